/* Operators of the level that was chosen, and what their shape functions share. */
#include "base/level.h"
#include "nn/ops.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

CX_LEVEL_LOOKUP(cx_op_table, cx_op, cx_op_table)

const cx_op *cx_op_find(const char *name) {
    for (const cx_op *op = cx_op_table(); op->name; op++)
        if (strcmp(op->name, name) == 0)
            return op;
    return NULL;
}

const char *cx_shape_text(const cx_shape *shape, char *out, size_t size) {
    size_t at = 0;
    for (int i = 0; i < shape->rank && at < size; i++) {
        int n = snprintf(out + at, size - at, "%s%d", i ? "," : "[", shape->dim[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    if (at < size)
        (void)snprintf(out + at, size - at, "%s", shape->rank ? "]" : "[]");
    return out;
}

bool cx_shape_equal(const cx_shape *a, const cx_shape *b) {
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

int cx_shape_same(cx_call *c, cx_error *err) {
    (void)err;
    c->out[0].shape = c->in[0].shape;
    return CX_OK;
}

int cx_op_fault(const cx_call *c, cx_error *err, const char *format, ...) {
    char text[256], shapes[480], shape[64];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t at = 0;
    shapes[0] = 0;
    for (int i = 0; i < CX_OP_INPUTS && c->op->inputs[i].name && at < sizeof shapes; i++) {
        if (c->in[i].ref < 0)
            continue;
        int n =
            snprintf(shapes + at, sizeof shapes - at, "%s%s %s", at ? ", " : "",
                     c->op->inputs[i].name, cx_shape_text(&c->in[i].shape, shape, sizeof shape));
        at += n > 0 ? (size_t)n : 0;
    }
    return cx_fail(err, CX_ECONFIG, "%s(%s): %s", c->op->name, shapes, text);
}

int cx_index_check(const cx_call *c, int k, int low, int high, double also, cx_error *err) {
    for (int i = 0; i < c->in[k].size; i++) {
        int32_t v = c->in[k].index[i];
        if ((v < low || v > high) && (double)v != also)
            return cx_fail(err, CX_EDATA, "%s: %s[%d] is %d, must be within %d..%d", c->op->name,
                           c->op->inputs[k].name, i, v, low, high);
    }
    return CX_OK;
}
