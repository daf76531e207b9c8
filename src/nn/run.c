/* Planning (one arena, memory shared where an operator works in place), binding,
 * forward and backward. */
#include "nn/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t padded(size_t n) {
    return (n + CX_PARAM_ALIGN - 1) / CX_PARAM_ALIGN * CX_PARAM_ALIGN;
}

/* --- planning --- */

/* Offsets in the flat block: trainable tensors first, then the state. */
static int plan_params(cx_graph *g, cx_error *err) {
    g->params = calloc((size_t)g->n_arrays + 1, sizeof *g->params);
    if (!g->params)
        return cx_fail(err, CX_ENOMEM, "no memory for %d parameters", g->n_arrays);
    size_t at = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < g->n_arrays; i++) {
            cx_array *a = &g->arrays[i];
            if (a->kind != (pass ? CX_ARRAY_STATE : CX_ARRAY_PARAM))
                continue;
            cx_param *p = &g->params[g->n_params];
            *p = (cx_param){.shape = a->shape,
                            .offset = at,
                            .size = (size_t)a->size,
                            .trainable = pass == 0,
                            .init = a->init,
                            .init_value = a->init_value};
            memcpy(p->name, a->name, sizeof p->name);
            a->param = g->n_params++;
            at += padded(p->size);
        }
        if (pass == 0) {
            g->n_trainable = g->n_params;
            g->param_count = at;
        }
    }
    g->state_count = at;
    return CX_OK;
}

/* An array can be overwritten by its only consumer when it is the result of an
 * operator, nobody asked to keep it, and no operator that wrote to the same memory
 * reads it again in backward. */
static bool may_overwrite(const cx_graph *g, cx_ref r) {
    for (; r >= 0; r = g->arrays[r].alias) {
        const cx_array *a = &g->arrays[r];
        if (a->kind != CX_ARRAY_OUTPUT || a->consumers != 1 || a->kept ||
            (!g->forward_only && g->calls[a->producer].op->reads_output))
            return false;
    }
    return true;
}

static void plan_in_place(cx_graph *g) {
    for (int i = 0; i < g->n_calls; i++) {
        cx_call *c = &g->calls[i];
        if (!c->op->in_place || !may_overwrite(g, c->in[0].ref))
            continue;
        g->arrays[c->out[0].ref].alias = c->in[0].ref;
        g->arrays[c->in[0].ref].overwritten = true;
    }
}

static cx_call *only_reader(cx_graph *g, cx_ref r) {
    for (int i = 0; i < g->n_calls; i++)
        for (int k = 0; k < CX_OP_INPUTS; k++)
            if (g->calls[i].in[k].ref == r)
                return &g->calls[i];
    return NULL;
}

/* A relu that works in place costs a pass over memory each way. Where the operator before
 * it, or a pooling after it, can do it on the way, it is left out: its input and its
 * output are the same memory, values and gradients. */
static void plan_relus(cx_graph *g) {
    const cx_op *relu = cx_op_find("act_relu");
    for (int i = 0; i < g->n_calls; i++) {
        cx_call *c = &g->calls[i];
        cx_array *x = &g->arrays[c->in[0].ref], *y = &g->arrays[c->out[0].ref];
        if (c->op != relu || y->alias < 0)
            continue;
        cx_call *before = &g->calls[x->producer], *after = NULL;
        if (x->alias < 0 && before->op->takes_relu && before->op->takes_relu(before)) {
            before->relu = c->idle = true;
            continue;
        }
        if (y->consumers == 1 && !y->kept)
            after = only_reader(g, c->out[0].ref);
        if (after && after->op->relu_first && after->op->takes_relu(after)) {
            after->relu = c->idle = true;
            y->overwritten = true; /* what it holds is not the relu's gradient */
        }
    }
}

/* What nobody reads is no way to the objective; but a first output may be the objective. */
static bool is_idle(const cx_array *a) {
    return a->kind == CX_ARRAY_OUTPUT && a->output > 0 && a->consumers == 0 && !a->kept;
}

static bool has_own_grad(const cx_graph *g, const cx_array *a) {
    return !g->forward_only && a->needs_grad && a->param < 0 && !is_idle(a);
}

/* Bytes for all arrays and operators; `really` also hands them out, of as large an arena. */
static size_t place(cx_graph *g, bool really) {
    size_t bytes = 0, temp = 0;
#define PLACE(pointer, count, type)                                                                \
    do {                                                                                           \
        size_t need_ = cx_arena_round((size_t)(count) * sizeof(type));                             \
        bytes += need_;                                                                            \
        if (really)                                                                                \
            (pointer) = cx_arena_take(&g->arena, need_);                                           \
    } while (0)
    for (int i = 0; i < g->n_arrays; i++) {
        cx_array *a = &g->arrays[i];
        const cx_array *base = a->alias >= 0 ? &g->arrays[a->alias] : NULL;
        if (a->kind == CX_ARRAY_INT)
            PLACE(a->index, a->size, int32_t);
        else if (base)
            a->value = base->value;
        else if (a->param < 0)
            PLACE(a->value, a->size, cx_real);
        if (base)
            a->grad = base->grad;
        else if (has_own_grad(g, a))
            PLACE(a->grad, a->size, cx_real);
    }
    for (int i = 0; i < g->n_calls; i++) {
        cx_call *c = &g->calls[i];
        if (c->save_size)
            PLACE(c->save, c->save_size, cx_real);
        temp = c->temp_size > temp ? c->temp_size : temp;
    }
    cx_real *shared = NULL;
    if (temp)
        PLACE(shared, temp, cx_real);
    for (int i = 0; really && i < g->n_calls; i++)
        g->calls[i].temp = shared;
#undef PLACE
    return bytes;
}

static void connect(cx_graph *g) {
    for (int i = 0; i < g->n_calls; i++) {
        cx_call *c = &g->calls[i];
        for (int k = 0; k < CX_OP_INPUTS; k++)
            if (c->in[k].ref >= 0) {
                const cx_array *a = &g->arrays[c->in[k].ref];
                c->in[k].value = a->value;
                c->in[k].index = a->index;
                c->in[k].grad = c->op->inputs[k].kind == CX_IN_REAL ? a->grad : NULL;
            }
        for (int k = 0; k < CX_OP_OUTPUTS; k++)
            if (c->out[k].ref >= 0)
                c->out[k].value = g->arrays[c->out[k].ref].value;
    }
}

int cx_graph_plan_only(cx_graph *g, bool forward_only, cx_error *err) {
    if (g->fault.code == CX_OK && g->planned)
        cx_fail(&g->fault, CX_ESTATE, "the graph is planned already");
    if (g->fault.code != CX_OK)
        return cx_fail(err, g->fault.code, "network graph: %s", g->fault.message);
    g->forward_only = forward_only;
    g->run = calloc((size_t)g->n_arrays + 1, sizeof *g->run);
    if (!g->run)
        return cx_fail(err, CX_ENOMEM, "no memory for a graph of %d arrays", g->n_arrays);
    int rc = plan_params(g, err);
    if (rc == CX_OK)
        plan_in_place(g);
    if (rc == CX_OK)
        plan_relus(g);
    if (rc == CX_OK)
        g->bytes = place(g, false);
    if (rc != CX_OK) {
        cx_fail(&g->fault, (cx_code)rc, "%s", "planning failed before");
        return rc;
    }
    for (int i = 0; i < g->n_calls; i++)
        g->flops += g->calls[i].flops;
    g->planned = true;
    return CX_OK;
}

void cx_graph_place(cx_graph *g, void *memory) {
    g->arena = (cx_arena){.base = memory, .size = g->bytes};
    (void)place(g, true);
    connect(g);
}

int cx_graph_plan(cx_graph *g, bool forward_only, cx_error *err) {
    int rc = cx_graph_plan_only(g, forward_only, err);
    if (rc != CX_OK)
        return rc;
    rc = cx_arena_init(&g->own, g->bytes, err);
    if (rc != CX_OK) {
        cx_fail(&g->fault, (cx_code)rc, "%s", "planning failed before");
        return rc;
    }
    cx_graph_place(g, g->own.base);
    return CX_OK;
}

void cx_graph_bind(cx_graph *g, cx_real *block, cx_real *grads) {
    g->block = block;
    g->grads = grads;
    for (int i = 0; i < g->n_arrays; i++) {
        cx_array *a = &g->arrays[i];
        if (a->param < 0)
            continue;
        size_t offset = g->params[a->param].offset;
        a->value = block ? block + offset : NULL;
        a->grad = grads && a->kind == CX_ARRAY_PARAM && !g->forward_only ? grads + offset : NULL;
    }
    connect(g);
}

/* --- running --- */

void cx_graph_forward(cx_graph *g, cx_mode mode, cx_rng *rng) {
    for (int i = 0; i < g->n_calls; i++) {
        cx_call *c = &g->calls[i];
        c->mode = mode;
        if (!c->idle)
            c->op->forward(c, rng);
    }
}

void cx_graph_zero_grads(cx_graph *g) {
    g->fresh = true;
    for (int i = 0; i < g->n_arrays; i++) {
        cx_array *a = &g->arrays[i];
        if (a->kind == CX_ARRAY_OUTPUT && a->grad && g->run[i].exposed)
            cx_zero(a->grad, (size_t)a->size);
    }
}

/* Which gradients hold something before the first operator runs. */
static void begin_backward(cx_graph *g, cx_ref seed) {
    for (int i = 0; i < g->n_arrays; i++) {
        cx_array_run *r = &g->run[i];
        const cx_array *a = &g->arrays[i];
        r->filled = a->grad && ((a->kind == CX_ARRAY_OUTPUT && r->exposed) || i == seed ||
                                (a->kind == CX_ARRAY_PARAM && !g->fresh));
    }
}

/* Parameters and inputs that nothing reached, and the padding between tensors. */
static void end_backward(cx_graph *g) {
    for (int i = 0; i < g->n_arrays; i++) {
        cx_array *a = &g->arrays[i];
        if (!a->grad || a->kind == CX_ARRAY_OUTPUT)
            continue;
        size_t size = (size_t)a->size;
        if (!g->run[i].filled)
            cx_zero(a->grad, size);
        if (a->kind == CX_ARRAY_PARAM)
            cx_zero(a->grad + size, padded(size) - size);
    }
    g->fresh = false;
}

static void backward_from(cx_graph *g, cx_ref seed) {
    begin_backward(g, seed);
    for (int i = g->n_calls - 1; i >= 0; i--) {
        cx_call *c = &g->calls[i];
        bool any = false, wanted = false;
        for (int k = 0; k < CX_OP_OUTPUTS && c->op->outputs[k]; k++) {
            cx_ref r = c->out[k].ref;
            c->out[k].grad = g->run[r].filled ? g->arrays[r].grad : NULL;
            any |= g->run[r].filled;
        }
        for (int k = 0; any && k < CX_OP_INPUTS; k++)
            if (c->in[k].grad) {
                c->in[k].add = g->run[c->in[k].ref].filled;
                g->run[c->in[k].ref].filled = true;
                wanted = true;
            }
        if (any && wanted && !c->idle)
            c->op->backward(c);
    }
    end_backward(g);
}

void cx_graph_backward(cx_graph *g) {
    if (!g->forward_only)
        backward_from(g, -1);
}

void cx_graph_backward_loss(cx_graph *g, cx_ref loss) {
    if (g->forward_only || loss < 0 || loss >= g->n_arrays || !g->arrays[loss].grad)
        return;
    cx_graph_zero_grads(g);
    g->arrays[loss].grad[0] = 1;
    backward_from(g, loss);
}
