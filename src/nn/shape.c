/* Operators that move or combine whole arrays: add, mul, reshape, flatten, concat,
 * stop_gradient. */
#include "nn/ops.h"

#include <string.h>

/* --- add: a + b, where b has the shape of a or of a's last dimensions (broadcast) --- */

static int tail_of(cx_call *c, cx_error *err) {
    const cx_shape *a = &c->in[0].shape, *b = &c->in[1].shape;
    int skip = a->rank - b->rank;
    for (int i = 0; skip >= 0 && i < b->rank; i++)
        if (a->dim[i + skip] != b->dim[i])
            skip = -1;
    if (skip < 0)
        return cx_op_fault(c, err, "b must have the shape of a, or of its last dimensions");
    return cx_shape_same(c, err);
}

int cx_add_shape(cx_call *c, cx_error *err) {
    return tail_of(c, err);
}

bool cx_takes_relu(const cx_call *c) {
    (void)c;
    return true;
}

bool cx_add_takes_relu(const cx_call *c) {
    return c->in[0].size == c->in[1].size;
}

void cx_add_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    int n = c->in[1].size;
    for (int at = 0; at < c->in[0].size; at += n) {
        const cx_real *a = c->in[0].value + at, *b = c->in[1].value;
        cx_real *y = c->out[0].value + at;
        if (c->relu)
            for (int i = 0; i < n; i++)
                y[i] = a[i] + b[i] < 0 ? 0 : a[i] + b[i];
        else
            for (int i = 0; i < n; i++)
                y[i] = a[i] + b[i];
    }
}

/* dx (+)= dy where y is positive */
static void give_through_relu(const cx_slot *y, cx_real *dx, bool add) {
    const cx_real *restrict v = y->value, *restrict dy = y->grad;
    if (add)
        for (int i = 0; i < y->size; i++)
            dx[i] += v[i] <= 0 ? 0 : dy[i];
    else
        for (int i = 0; i < y->size; i++)
            dx[i] = v[i] <= 0 ? 0 : dy[i];
}

void cx_add_backward(cx_call *c) {
    for (int k = 0; k < 2 && c->relu; k++)
        if (c->in[k].grad)
            give_through_relu(&c->out[0], c->in[k].grad, c->in[k].add);
    if (c->relu)
        return;
    if (c->in[0].grad)
        cx_give(c->in[0].grad, c->out[0].grad, c->in[0].size, c->in[0].add);
    if (c->in[1].grad)
        cx_rows_sum(c->in[1].grad, c->out[0].grad, c->in[0].size / c->in[1].size, c->in[1].size,
                    c->in[1].add);
}

/* --- mul: a * b elementwise, b broadcast as above --- */

int cx_mul_shape(cx_call *c, cx_error *err) {
    return tail_of(c, err);
}

void cx_mul_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    int n = c->in[1].size;
    for (int at = 0; at < c->in[0].size; at += n) {
        const cx_real *a = c->in[0].value + at, *b = c->in[1].value;
        cx_real *y = c->out[0].value + at;
        for (int i = 0; i < n; i++)
            y[i] = a[i] * b[i];
    }
}

void cx_mul_backward(cx_call *c) {
    int n = c->in[1].size;
    cx_real *da = c->in[0].grad, *db = c->in[1].grad;
    for (int at = 0; da && at < c->in[0].size; at += n) {
        const cx_real *b = c->in[1].value, *dy = c->out[0].grad + at;
        for (int i = 0; i < n; i++)
            da[at + i] = (c->in[0].add ? da[at + i] : 0) + dy[i] * b[i];
    }
    for (int at = 0; db && at < c->in[0].size; at += n) {
        const cx_real *a = c->in[0].value + at, *dy = c->out[0].grad + at;
        bool add = c->in[1].add || at;
        for (int i = 0; i < n; i++)
            db[i] = (add ? db[i] : 0) + dy[i] * a[i];
    }
}

/* --- reshape: attributes d0..d3; 0: absent, -1 (once): what is left --- */

int cx_reshape_shape(cx_call *c, cx_error *err) {
    cx_shape y = {0};
    int open = -1;
    long long known = 1;
    for (int i = 0; i < CX_RANK_MAX && c->attr[i] != 0; i++) {
        y.dim[y.rank++] = (int)c->attr[i];
        if (c->attr[i] > 0)
            known *= (long long)c->attr[i];
        else if (open >= 0)
            return cx_op_fault(c, err, "only one dimension may be -1");
        else
            open = i;
        if (known > c->in[0].size)
            break;
    }
    if (open >= 0 && c->in[0].size % known == 0)
        y.dim[open] = (int)(c->in[0].size / known), known = c->in[0].size;
    if (known != c->in[0].size) {
        char text[64];
        return cx_op_fault(c, err, "%d numbers cannot have the shape %s", c->in[0].size,
                           cx_shape_text(&y, text, sizeof text));
    }
    c->out[0].shape = y;
    return CX_OK;
}

void cx_reshape_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    cx_give(c->out[0].value, c->in[0].value, c->in[0].size, false);
}

void cx_reshape_backward(cx_call *c) {
    cx_give(c->in[0].grad, c->out[0].grad, c->in[0].size, c->in[0].add);
}

/* --- flatten: keeps the first `keep` dimensions, joins the rest into one --- */

int cx_flatten_shape(cx_call *c, cx_error *err) {
    const cx_shape *x = &c->in[0].shape;
    int keep = (int)c->attr[0];
    if (x->rank <= keep)
        return cx_op_fault(c, err, "x needs more than %d dimensions", keep);
    c->out[0].shape = (cx_shape){.rank = keep + 1};
    int rest = 1;
    for (int i = 0; i < x->rank; i++)
        if (i < keep)
            c->out[0].shape.dim[i] = x->dim[i];
        else
            rest *= x->dim[i];
    c->out[0].shape.dim[keep] = rest;
    return CX_OK;
}

void cx_flatten_forward(cx_call *c, cx_rng *rng) {
    cx_reshape_forward(c, rng);
}

void cx_flatten_backward(cx_call *c) {
    cx_reshape_backward(c);
}

/* --- concat: up to CX_OP_INPUTS - 1 arrays side by side along the last dimension --- */

int cx_concat_shape(cx_call *c, cx_error *err) {
    const cx_shape *a = &c->in[0].shape;
    int width = 0;
    if (a->rank < 1)
        return cx_op_fault(c, err, "scalars cannot be joined");
    for (int k = 0; k < CX_OP_INPUTS; k++) {
        if (c->in[k].ref < 0)
            continue;
        cx_shape s = c->in[k].shape;
        int last = cx_last_dim(&s);
        if (s.rank)
            s.dim[s.rank - 1] = cx_last_dim(a);
        if (!cx_shape_equal(&s, a))
            return cx_op_fault(c, err, "all dimensions but the last must be equal");
        width += last;
    }
    c->out[0].shape = *a;
    c->out[0].shape.dim[a->rank - 1] = width;
    return CX_OK;
}

void cx_concat_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    int width = cx_last_dim(&c->out[0].shape), rows = c->in[0].size / cx_last_dim(&c->in[0].shape);
    for (int k = 0, at = 0; k < CX_OP_INPUTS; k++) {
        if (c->in[k].ref < 0)
            continue;
        int w = cx_last_dim(&c->in[k].shape);
        for (int r = 0; r < rows; r++)
            memcpy(c->out[0].value + (size_t)r * (size_t)width + at, c->in[k].value + r * w,
                   (size_t)w * sizeof(cx_real));
        at += w;
    }
}

void cx_concat_backward(cx_call *c) {
    int width = cx_last_dim(&c->out[0].shape), rows = c->in[0].size / cx_last_dim(&c->in[0].shape);
    for (int k = 0, at = 0; k < CX_OP_INPUTS; k++) {
        if (c->in[k].ref < 0)
            continue;
        int w = cx_last_dim(&c->in[k].shape);
        for (int r = 0; c->in[k].grad && r < rows; r++)
            cx_give(c->in[k].grad + r * w, c->out[0].grad + (size_t)r * (size_t)width + at, w,
                    c->in[k].add);
        at += w;
    }
}

/* --- stop_gradient: x itself, which counts as a number that was given: its slot is of
 * data, so that no gradient is ever computed for what x came from --- */

void cx_stop_gradient_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    cx_give(c->out[0].value, c->in[0].value, c->in[0].size, false);
}
