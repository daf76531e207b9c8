/* One operator with its inputs filled, as rows of gradient_cases.h say: alone, with its
 * inputs shared with a second consumer, or behind another operator. */
#ifndef CX_TESTS_OPERATOR_RIG_H
#define CX_TESTS_OPERATOR_RIG_H

#include "base/arena.h"
#include "nn/ops.h"
#include "tests/nn/gradient_cases.h"
#include <string.h>

#define CASES ((int)(sizeof gradient_cases / sizeof *gradient_cases))

typedef enum { PLAIN, SHARED, BEHIND, VARIANTS } variant;

typedef struct {
    const gradient_case *gc;
    cx_graph *g;
    cx_ref in[12], seeds[CX_OP_OUTPUTS + 12];
    int n_in, n_seeds;
    cx_real *block;
    cx_rng rng; /* where every forward pass starts its stream */
    cx_real *weights[CX_OP_OUTPUTS + 12];
} rig;

static cx_rng stream(uint32_t sub) {
    return cx_rng_make_sub(3, 1, CX_STREAM_TEST, sub);
}

static void fill(char kind, cx_real *x, int n, cx_rng *rng) {
    for (int i = 0; i < n; i++)
        switch (kind) {
        case 'k': /* -1.9, -1.7, .. 1.9 */
            x[i] = 0.2 * (double)cx_rng_below(rng, 20) - 1.9;
            break;
        case 'd':
            x[i] = 0.1 * i - 0.05 * n;
            break;
        case 'p':
            x[i] = 0.1 + 0.8 * cx_rng_uniform(rng);
            break;
        case '0':
            x[i] = 0;
            break;
        default:
            x[i] = cx_rng_normal(rng);
        }
    for (int i = n - 1; kind == 'd' && i > 0; i--) {
        int j = (int)cx_rng_below(rng, (uint32_t)i + 1);
        cx_real t = x[i];
        x[i] = x[j];
        x[j] = t;
    }
}

static void seed_output(rig *r, cx_ref ref) {
    assert_true(ref >= 0);
    cx_graph_keep(r->g, ref); /* or attention weights and last states had no gradient */
    r->seeds[r->n_seeds++] = ref;
}

static inline rig make(const gradient_case *gc, variant v) {
    rig r = {.gc = gc, .g = cx_graph_create(), .rng = stream(7)};
    const cx_op *op = cx_op_find(gc->op);
    assert_non_null(r.g);
    assert_non_null(op);
    cx_ref use[12];
    for (; r.n_in < CX_OP_INPUTS && op->inputs[r.n_in].kind != CX_IN_NONE; r.n_in++) {
        const case_input *ci = &gc->in[r.n_in];
        const cx_op_input *slot = &op->inputs[r.n_in];
        cx_shape shape = {.rank = ci->rank};
        memcpy(shape.dim, ci->dim, sizeof shape.dim);
        cx_ref ref = -1;
        if (ci->values && ci->values != '-') {
            if (slot->kind == CX_IN_INT)
                ref = cx_graph_input_int(r.g, slot->name, shape);
            else if (slot->kind == CX_IN_STATE)
                ref = cx_graph_state(r.g, slot->name, shape, 0);
            else
                ref = cx_graph_input(r.g, slot->name, shape, slot->kind == CX_IN_REAL);
        }
        r.in[r.n_in] = use[r.n_in] = ref;
        if (ref >= 0 && slot->kind == CX_IN_REAL && v == BEHIND)
            use[r.n_in] = cx_graph_op(r.g, "scale", &ref, 1, (cx_attr[]){{"factor", 1}, LAST});
    }
    cx_ref out = cx_graph_op(r.g, gc->op, use, r.n_in, gc->attrs);
    for (int k = 0; k < CX_OP_OUTPUTS && op->outputs[k]; k++)
        seed_output(&r, cx_graph_output(r.g, out, k));
    /* declared later, so that backward reaches it first and the operator has to add */
    for (int i = 0; v == SHARED && i < r.n_in; i++)
        if (r.in[i] >= 0 && op->inputs[i].kind == CX_IN_REAL)
            seed_output(&r,
                        cx_graph_op(r.g, "scale", &r.in[i], 1, (cx_attr[]){{"factor", 0.7}, LAST}));
    cx_error err;
    assert_ok(cx_graph_plan(r.g, false, &err));
    r.block = cx_calloc(cx_graph_state_count(r.g) + 1, sizeof *r.block);
    assert_non_null(r.block);
    cx_graph_bind(r.g, r.block, NULL);
    cx_rng rng = stream(1);
    int ints = 0;
    for (int i = 0; i < r.n_in; i++) {
        if (r.in[i] < 0)
            continue;
        cx_shape s = cx_graph_shape(r.g, r.in[i]);
        int n = (int)cx_shape_size(&s);
        int32_t *index = cx_graph_value_int(r.g, r.in[i]);
        const int32_t *given = gc->ints[ints < 3 ? ints : 2];
        bool random = true;
        for (int k = 0; index && k < 12; k++)
            random &= given[k] == 0;
        for (int k = 0; index && k < n; k++)
            index[k] = random ? (int32_t)cx_rng_below(&rng, (uint32_t)gc->in[i].below) : given[k];
        ints += index != NULL;
        if (!index)
            fill(gc->in[i].values, cx_graph_value(r.g, r.in[i]), n, &rng);
    }
    assert_ok(cx_graph_check_indices(r.g, &err));
    for (int k = 0; k < r.n_seeds; k++) {
        cx_shape s = cx_graph_shape(r.g, r.seeds[k]);
        r.weights[k] = cx_calloc(cx_shape_size(&s), sizeof(cx_real));
        assert_non_null(r.weights[k]);
        fill('n', r.weights[k], (int)cx_shape_size(&s), &rng);
    }
    return r;
}

static inline void unmake(rig *r) {
    cx_graph_destroy(r->g);
    free(r->block);
    for (int k = 0; k < r->n_seeds; k++)
        free(r->weights[k]);
}

#endif
