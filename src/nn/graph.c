/* Building a graph, and reading from it. */
#include "nn/internal.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t cx_shape_size(const cx_shape *shape) {
    size_t n = 1;
    for (int i = 0; i < shape->rank; i++)
        n *= (size_t)shape->dim[i];
    return n;
}

cx_graph *cx_graph_create(void) {
    return calloc(1, sizeof(cx_graph));
}

void cx_graph_destroy(cx_graph *g) {
    if (!g)
        return;
    free(g->arrays);
    free(g->calls);
    free(g->run);
    free(g->params);
    cx_arena_free(&g->own);
    free(g);
}

/* Room for one more row in a table that doubles; false: no memory, fault noted. */
static bool room(cx_graph *g, void **table, int used, int *max, size_t row) {
    if (used < *max)
        return true;
    int want = *max ? 2 * *max : 32;
    void *p = realloc(*table, (size_t)want * row);
    if (!p) {
        cx_fail(&g->fault, CX_ENOMEM, "no memory for a graph of %d rows", want);
        return false;
    }
    *table = p;
    *max = want;
    return true;
}

static bool broken(cx_graph *g) {
    if (g->fault.code == CX_OK && g->planned)
        cx_fail(&g->fault, CX_ESTATE, "the graph is planned: nothing can be added");
    return g->fault.code != CX_OK;
}

static cx_ref add_array(cx_graph *g, cx_array_kind kind, const char *name, cx_shape shape) {
    char text[64];
    if (broken(g))
        return -1;
    if (shape.rank < 0 || shape.rank > CX_RANK_MAX) {
        cx_fail(&g->fault, CX_ECONFIG, "array '%s': rank %d is not within 0..%d", name, shape.rank,
                CX_RANK_MAX);
        return -1;
    }
    double size = 1;
    for (int i = 0; i < shape.rank; i++) {
        size *= shape.dim[i];
        if (shape.dim[i] < 1 || size > INT_MAX) {
            cx_fail(&g->fault, CX_ECONFIG,
                    "array '%s': shape %s must have dimensions >= 1 and at most %d numbers", name,
                    cx_shape_text(&shape, text, sizeof text), INT_MAX);
            return -1;
        }
    }
    if (!room(g, (void **)&g->arrays, g->n_arrays, &g->max_arrays, sizeof(cx_array)))
        return -1;
    cx_array *a = &g->arrays[g->n_arrays];
    *a = (cx_array){
        .kind = kind, .shape = shape, .size = (int)size, .producer = -1, .param = -1, .alias = -1};
    (void)snprintf(a->name, sizeof a->name, "%s", name);
    return g->n_arrays++;
}

cx_ref cx_graph_input(cx_graph *g, const char *name, cx_shape shape, bool with_grad) {
    cx_ref r = add_array(g, CX_ARRAY_INPUT, name, shape);
    if (r >= 0)
        g->arrays[r].needs_grad = with_grad;
    return r;
}

cx_ref cx_graph_input_int(cx_graph *g, const char *name, cx_shape shape) {
    return add_array(g, CX_ARRAY_INT, name, shape);
}

static cx_ref add_param(cx_graph *g, cx_array_kind kind, const char *name, cx_shape shape,
                        cx_init init, double value) {
    cx_ref r = add_array(g, kind, name, shape);
    if (r < 0)
        return r;
    bool bad = !isfinite(value) || (init == CX_INIT_FAN_IN && value <= 0) ||
               (init == CX_INIT_NORMAL && value < 0);
    if (bad || strlen(name) >= sizeof g->arrays[r].name) {
        cx_fail(&g->fault, CX_ECONFIG, "parameter '%s': initial value %g or name is not usable",
                name, value);
        return -1;
    }
    for (int i = 0; i < r; i++)
        if (g->arrays[i].kind == CX_ARRAY_PARAM || g->arrays[i].kind == CX_ARRAY_STATE)
            if (strcmp(g->arrays[i].name, name) == 0) {
                cx_fail(&g->fault, CX_ECONFIG, "parameter '%s' is declared twice", name);
                return -1;
            }
    g->arrays[r].needs_grad = kind == CX_ARRAY_PARAM;
    g->arrays[r].init = init;
    g->arrays[r].init_value = value;
    return r;
}

cx_ref cx_graph_param(cx_graph *g, const char *name, cx_shape shape, cx_init init,
                      double init_value) {
    return add_param(g, CX_ARRAY_PARAM, name, shape, init, init_value);
}

cx_ref cx_graph_state(cx_graph *g, const char *name, cx_shape shape, double value) {
    return add_param(g, CX_ARRAY_STATE, name, shape, CX_INIT_CONSTANT, value);
}

/* --- operators --- */

static int op_count_inputs(const cx_op *op) {
    int n = 0;
    while (n < CX_OP_INPUTS && op->inputs[n].kind != CX_IN_NONE)
        n++;
    return n;
}

static int set_attrs(cx_graph *g, cx_call *c, const cx_attr *attrs) {
    const cx_op_attr *row = c->op->attrs;
    for (int i = 0; i < CX_OP_ATTRS && row[i].name; i++)
        c->attr[i] = row[i].value;
    for (; attrs && attrs->name; attrs++) {
        int i = 0;
        while (i < CX_OP_ATTRS && row[i].name && strcmp(row[i].name, attrs->name) != 0)
            i++;
        if (i == CX_OP_ATTRS || !row[i].name)
            return cx_fail(&g->fault, CX_EUNSUPPORTED, "operator '%s' has no attribute '%s'",
                           c->op->name, attrs->name);
        double v = attrs->value;
        if (!(v >= row[i].low && v <= row[i].high) || (row[i].integer && v != floor(v)))
            return cx_fail(&g->fault, CX_ECONFIG,
                           "operator '%s': attribute '%s' is %g, must be %s within %g..%g",
                           c->op->name, attrs->name, v, row[i].integer ? "an integer" : "a number",
                           row[i].low, row[i].high);
        c->attr[i] = v;
        c->given[i] = true;
    }
    return CX_OK;
}

static int set_inputs(cx_graph *g, cx_call *c, const cx_ref *inputs, int n_inputs) {
    int max = op_count_inputs(c->op);
    if (n_inputs > max)
        return cx_fail(&g->fault, CX_ECONFIG, "operator '%s' takes at most %d inputs, not %d",
                       c->op->name, max, n_inputs);
    for (int i = 0; i < CX_OP_INPUTS; i++) {
        cx_slot *s = &c->in[i];
        s->ref = i < n_inputs ? inputs[i] : -1;
        const cx_op_input *want = &c->op->inputs[i];
        if (i >= max || (s->ref < 0 && want->optional))
            continue;
        if (s->ref < 0 || s->ref >= g->n_arrays)
            return cx_fail(&g->fault, CX_ECONFIG, "operator '%s': input '%s' is missing",
                           c->op->name, want->name);
        const cx_array *a = &g->arrays[s->ref];
        bool ints = want->kind == CX_IN_INT;
        if (ints != (a->kind == CX_ARRAY_INT) ||
            (want->kind == CX_IN_STATE && a->kind != CX_ARRAY_STATE))
            return cx_fail(&g->fault, CX_ECONFIG,
                           "operator '%s': input '%s' must be %s, '%s' is not", c->op->name,
                           want->name,
                           ints                        ? "an integer array"
                           : want->kind == CX_IN_STATE ? "a state"
                                                       : "an array of real numbers",
                           a->name);
        s->shape = a->shape;
        s->size = a->size;
    }
    return CX_OK;
}

cx_ref cx_graph_op(cx_graph *g, const char *op, const cx_ref *inputs, int n_inputs,
                   const cx_attr *attrs) {
    if (broken(g) || !room(g, (void **)&g->calls, g->n_calls, &g->max_calls, sizeof(cx_call)))
        return -1;
    cx_call *c = &g->calls[g->n_calls];
    *c = (cx_call){.op = cx_op_find(op)};
    if (!c->op) {
        cx_fail(&g->fault, CX_EUNSUPPORTED, "there is no operator '%s'", op);
        return -1;
    }
    if (set_attrs(g, c, attrs) != CX_OK || set_inputs(g, c, inputs, n_inputs) != CX_OK ||
        c->op->shape(c, &g->fault) != CX_OK)
        return -1;
    bool needs_grad = false;
    for (int i = 0; i < CX_OP_INPUTS; i++)
        if (c->in[i].ref >= 0) {
            g->arrays[c->in[i].ref].consumers++;
            if (c->op->inputs[i].kind == CX_IN_REAL)
                needs_grad |= g->arrays[c->in[i].ref].needs_grad;
        }
    cx_ref first = -1;
    for (int k = 0; k < CX_OP_OUTPUTS; k++) {
        c->out[k].ref = -1;
        if (!c->op->outputs[k])
            continue;
        cx_ref r = add_array(g, CX_ARRAY_OUTPUT, c->op->outputs[k], c->out[k].shape);
        if (r < 0)
            return -1;
        cx_array *a = &g->arrays[r];
        a->producer = g->n_calls;
        a->output = k;
        a->needs_grad = needs_grad;
        c->out[k].ref = r;
        c->out[k].size = a->size;
        first = k == 0 ? r : first;
    }
    g->n_calls++;
    return first;
}

cx_ref cx_graph_output(const cx_graph *g, cx_ref first, int k) {
    if (first < 0 || first >= g->n_arrays || k < 0 || k >= CX_OP_OUTPUTS)
        return -1;
    const cx_array *a = &g->arrays[first];
    if (a->kind != CX_ARRAY_OUTPUT || a->output != 0)
        return -1;
    return g->calls[a->producer].out[k].ref;
}

void cx_graph_keep(cx_graph *g, cx_ref r) {
    if (r >= 0 && r < g->n_arrays)
        g->arrays[r].kept = true;
}

/* --- reading --- */

int cx_graph_param_tensors(const cx_graph *g) {
    return g->n_trainable;
}
int cx_graph_all_tensors(const cx_graph *g) {
    return g->n_params;
}
const cx_param *cx_graph_param_info(const cx_graph *g, int i) {
    return i >= 0 && i < g->n_params ? &g->params[i] : NULL;
}
size_t cx_graph_declared_count(const cx_graph *g) {
    size_t n = 0;
    for (int i = 0; i < g->n_arrays; i++)
        n += g->arrays[i].kind == CX_ARRAY_PARAM ? (size_t)g->arrays[i].size : 0;
    return n;
}
size_t cx_graph_param_count(const cx_graph *g) {
    return g->param_count;
}
size_t cx_graph_state_count(const cx_graph *g) {
    return g->state_count;
}
size_t cx_graph_arena_bytes(const cx_graph *g) {
    return g->bytes;
}
double cx_graph_flops(const cx_graph *g) {
    return g->flops;
}
cx_shape cx_graph_shape(const cx_graph *g, cx_ref r) {
    return r >= 0 && r < g->n_arrays ? g->arrays[r].shape : CX_SCALAR;
}
cx_real *cx_graph_value(const cx_graph *g, cx_ref r) {
    return r >= 0 && r < g->n_arrays ? g->arrays[r].value : NULL;
}
int32_t *cx_graph_value_int(const cx_graph *g, cx_ref r) {
    return r >= 0 && r < g->n_arrays ? g->arrays[r].index : NULL;
}
cx_real *cx_graph_grad(const cx_graph *g, cx_ref r) {
    if (r < 0 || r >= g->n_arrays || !g->planned || g->arrays[r].overwritten)
        return NULL;
    const cx_array *a = &g->arrays[r];
    /* given out for the first time after zero_grads, which therefore passed it over */
    if (a->grad && a->kind == CX_ARRAY_OUTPUT && !g->run[r].exposed && g->fresh)
        cx_zero(a->grad, (size_t)a->size);
    g->run[r].exposed = true;
    return a->grad;
}

int cx_graph_check_indices(const cx_graph *g, cx_error *err) {
    for (int i = 0; i < g->n_calls; i++)
        if (g->calls[i].op->check) {
            int rc = g->calls[i].op->check(&g->calls[i], err);
            if (rc != CX_OK)
                return rc;
        }
    return CX_OK;
}

void cx_graph_init(const cx_graph *g, cx_real *block, cx_rng *rng) {
    memset(block, 0, g->state_count * sizeof *block);
    for (int i = 0; i < g->n_params; i++) {
        const cx_param *p = &g->params[i];
        cx_real *x = block + p->offset;
        double bound = p->init == CX_INIT_FAN_IN ? 1 / sqrt(p->init_value) : 0;
        for (size_t k = 0; k < p->size; k++)
            switch (p->init) {
            case CX_INIT_ZERO:
                break;
            case CX_INIT_ONE:
                x[k] = 1;
                break;
            case CX_INIT_CONSTANT:
                x[k] = (cx_real)p->init_value;
                break;
            case CX_INIT_FAN_IN:
                x[k] = (cx_real)(bound * (2 * cx_rng_uniform(rng) - 1));
                break;
            case CX_INIT_NORMAL:
                x[k] = (cx_real)(p->init_value * cx_rng_normal(rng));
                break;
            }
    }
}
