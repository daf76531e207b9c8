/* Finite differences against backward, in double precision, for every operator of the
 * table: plain, with its inputs shared with a second consumer (gradients add up) and
 * behind another operator (in-place work). Signed values are compared. */
#include "tests/test.h"

#include "tests/levels.h"

#include "nn/internal.h"
#include "tests/nn/operator_rig.h"
#include <math.h>
#include <string.h>

#define STEP 1e-3 /* of the five-point formula: its error is of order STEP^4 */
#define TOLERANCE 1e-6

/* sum over all outputs of <weights, output> */
static double objective(rig *r) {
    cx_rng rng = r->rng;
    cx_graph_forward(r->g, r->gc->mode, &rng);
    double sum = 0;
    for (int k = 0; k < r->n_seeds; k++) {
        cx_shape s = cx_graph_shape(r->g, r->seeds[k]);
        const cx_real *y = cx_graph_value(r->g, r->seeds[k]);
        for (size_t i = 0; i < cx_shape_size(&s); i++)
            sum += y[i] * r->weights[k][i];
    }
    return sum;
}

static double slope(rig *r, cx_real *x) {
    static const double at[] = {-2, -1, 1, 2}, weight[] = {1, -8, 8, -1};
    double start = *x, sum = 0;
    for (int k = 0; k < 4; k++) {
        *x = start + at[k] * STEP;
        sum += weight[k] * objective(r);
    }
    *x = start;
    return sum / (12 * STEP);
}

/* Runs backward and compares; returns how many numbers of how many differ, and says the
 * first in `text`. Large tensors are sampled with a stride. */
static int check(rig *r, char *text, size_t size) {
    (void)objective(r);
    cx_graph_zero_grads(r->g);
    for (int k = 0; k < r->n_seeds; k++) {
        cx_shape s = cx_graph_shape(r->g, r->seeds[k]);
        cx_real *to = cx_graph_grad(r->g, r->seeds[k]);
        if (to) /* not where no input is differentiable */
            memcpy(to, r->weights[k], cx_shape_size(&s) * sizeof(cx_real));
    }
    cx_graph_backward(r->g);
    const cx_op *op = cx_op_find(r->gc->op);
    int bad = 0;
    for (int i = 0; i < r->n_in; i++) {
        cx_real *x = r->in[i] >= 0 ? cx_graph_value(r->g, r->in[i]) : NULL;
        if (!x || op->inputs[i].kind != CX_IN_REAL)
            continue;
        cx_shape s = cx_graph_shape(r->g, r->in[i]);
        size_t n = cx_shape_size(&s), skip = n > 300 ? n / 41 : 1;
        const cx_real *grad = cx_graph_grad(r->g, r->in[i]);
        assert_non_null(grad);
        double scale = 0;
        for (size_t k = 0; k < n; k++)
            scale = fmax(scale, fabs(grad[k]));
        for (size_t k = 0; k < n; k += skip) {
            double want = slope(r, x + k), got = grad[k];
            /* relative, but a number far below the tensor's largest may carry the rounding
             * of the objective, which is of the largest's size */
            double allowed = TOLERANCE * fmax(fmax(fabs(want), fabs(got)), 1e-3 * fmax(scale, 0.1));
            if (fabs(got - want) <= allowed)
                continue;
            if (bad++ == 0)
                (void)snprintf(text, size,
                               "%s: gradient of %s[%zu] is %.12g, differences say %.12g", op->name,
                               op->inputs[i].name, k, got, want);
        }
    }
    return bad;
}

static void test_every_operator(void **state) {
    (void)state;
    static const char *const names[] = {"plain", "shared", "behind"};
    int failed = 0;
    for (int i = 0; i < CASES; i++)
        for (int v = 0; v < VARIANTS; v++) {
            char text[256];
            rig r = make(&gradient_cases[i], (variant)v);
            int bad = check(&r, text, sizeof text);
            if (bad) {
                printf("row %d, %s: %d numbers differ; %s\n", i, names[v], bad, text);
                failed++;
            }
            unmake(&r);
        }
    assert_int_equal(failed, 0);
}

/* Every operator has a row, and every attribute of it is set in one. */
static void test_table_is_covered(void **state) {
    (void)state;
    int missing = 0;
    for (const cx_op *op = cx_op_table(); op->name; op++) {
        int rows = 0;
        for (int i = 0; i < CASES; i++)
            rows += strcmp(gradient_cases[i].op, op->name) == 0;
        if (!rows && ++missing)
            printf("operator '%s' has no case\n", op->name);
        for (int a = 0; a < CX_OP_ATTRS && op->attrs[a].name; a++) {
            bool set = false;
            for (int i = 0; i < CASES; i++)
                for (const cx_attr *at = gradient_cases[i].attrs;
                     strcmp(gradient_cases[i].op, op->name) == 0 && at->name; at++)
                    set |= strcmp(at->name, op->attrs[a].name) == 0;
            if (!set && ++missing)
                printf("attribute '%s' of operator '%s' is set in no case\n", op->attrs[a].name,
                       op->name);
        }
    }
    assert_int_equal(missing, 0);
}

/* --- the checker itself: wrong backward functions that it must find --- */

static const cx_op *honest;

static void flipped(cx_call *c) {
    honest->backward(c);
    for (int i = 0; i < c->in[1].size; i++)
        c->in[1].grad[i] = -c->in[1].grad[i];
}
static void stretched(cx_call *c) {
    honest->backward(c);
    for (int i = 0; i < c->in[0].size; i++)
        c->in[0].grad[i] *= 1.00001;
}
static void term_missing(cx_call *c) {
    honest->backward(c);
    c->in[2].grad[c->in[2].size - 1] -= c->out[0].grad[c->out[0].size - 1];
}
static void all_flipped(cx_call *c) {
    for (int i = 0; i < c->out[0].size; i++)
        c->out[0].grad[i] = -c->out[0].grad[i];
    honest->backward(c);
}
static void swapped(cx_call *c) {
    honest->backward(c);
    cx_real t = c->in[0].grad[0];
    c->in[0].grad[0] = c->in[0].grad[1];
    c->in[0].grad[1] = t;
}
static void forgets_others(cx_call *c) { /* overwrites where it has to add */
    bool add = c->in[0].add;
    c->in[0].add = false;
    honest->backward(c);
    c->in[0].add = add;
}
static void untouched(cx_call *c) {
    honest->backward(c);
}

static void test_checker_finds_faults(void **state) {
    (void)state;
    static const struct {
        void (*backward)(cx_call *c);
        variant v;
        bool wrong;
    } plants[] = {
        {untouched, PLAIN, false},   {flipped, PLAIN, true},  {stretched, PLAIN, true},
        {term_missing, PLAIN, true}, {swapped, PLAIN, true},  {all_flipped, PLAIN, true},
        {untouched, SHARED, false},  {flipped, BEHIND, true}, {forgets_others, SHARED, true},
    };
    honest = cx_op_find("linear");
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
        char text[256];
        rig r = make(&gradient_cases[0], plants[i].v);
        cx_op wrong = *honest;
        wrong.backward = plants[i].backward;
        for (int k = 0; k < r.g->n_calls; k++)
            if (r.g->calls[k].op == honest)
                r.g->calls[k].op = &wrong;
        int bad = check(&r, text, sizeof text);
        if ((bad > 0) != plants[i].wrong)
            fail_msg("plant %zu: the checker found %d differences", i, bad);
        unmake(&r);
    }
}

/* A whole network: parameters used twice, in-place activations, dropout, a branch that
 * leads nowhere. */
static cx_ref network(cx_graph *g, cx_ref *x) {
    *x = cx_graph_input(g, "x", CX_SHAPE(3, 5), false);
    cx_ref t = cx_graph_input_int(g, "t", CX_SHAPE(3));
    cx_ref w = cx_graph_param(g, "w", CX_SHAPE(5, 5), CX_INIT_NORMAL, 0.6);
    cx_ref b = cx_graph_param(g, "b", CX_SHAPE(5), CX_INIT_NORMAL, 0.6);
    cx_ref h = cx_graph_op(g, "linear", (cx_ref[]){*x, w, b}, 3, NULL);
    h = cx_graph_op(g, "act_tanh", &h, 1, NULL);
    cx_ref h2 = cx_graph_op(g, "linear", (cx_ref[]){h, w, b}, 3, NULL);
    h2 = cx_graph_op(g, "act_silu", &h2, 1, NULL);
    h2 = cx_graph_op(g, "dropout", &h2, 1, NULL);
    h2 = cx_graph_op(g, "add", (cx_ref[]){h2, h}, 2, NULL);
    (void)cx_graph_op(g, "softmax", &h2, 1, NULL);
    h2 = cx_graph_op(g, "concat", (cx_ref[]){h2, h2}, 2, NULL);
    return cx_graph_op(g, "cross_entropy", (cx_ref[]){h2, t}, 2, NULL);
}

static void test_whole_network(void **state) {
    (void)state;
    cx_error err;
    cx_graph *g = cx_graph_create();
    cx_ref x, loss = network(g, &x);
    assert_ok(cx_graph_plan(g, false, &err));
    size_t n = cx_graph_param_count(g);
    cx_real *block = cx_calloc(n, sizeof *block), *grads = cx_calloc(n, sizeof *grads);
    cx_rng rng = stream(5);
    cx_graph_init(g, block, &rng);
    cx_graph_bind(g, block, grads);
    fill('n', cx_graph_value(g, x), 15, &rng);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < n; i++)
            grads[i] = NAN; /* backward has to overwrite everything, the padding too */
        cx_rng r = stream(6);
        cx_graph_forward(g, CX_TRAIN, &r);
        cx_graph_backward_loss(g, loss);
    }
    for (int p = 0; p < cx_graph_param_tensors(g); p++) {
        const cx_param *info = cx_graph_param_info(g, p);
        for (size_t i = info->offset; i < info->offset + info->size; i++) {
            double start = block[i], side[2];
            for (int k = 0; k < 2; k++) {
                block[i] = start + (k ? 1e-5 : -1e-5);
                cx_rng r = stream(6);
                cx_graph_forward(g, CX_TRAIN, &r);
                side[k] = *cx_graph_value(g, loss);
            }
            block[i] = start;
            double want = (side[1] - side[0]) / 2e-5;
            if (!(fabs(grads[i] - want) <= 1e-6 * fmax(0.01, fabs(want))))
                fail_msg("%s[%zu]: %.12g, differences say %.12g", info->name, i - info->offset,
                         grads[i], want);
        }
        size_t end = p + 1 < cx_graph_param_tensors(g) ? cx_graph_param_info(g, p + 1)->offset : n;
        for (size_t i = info->offset + info->size; i < end; i++)
            assert_true(grads[i] == 0);
    }
    free(block);
    free(grads);
    cx_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operator),
        cmocka_unit_test(test_table_is_covered),
        cmocka_unit_test(test_checker_finds_faults),
        cmocka_unit_test(test_whole_network),
    };
    int failed = 0;
    /* the definition, and what runs here; test_levels.c compares them and those between */
    cx_level ends[2] = {next_level(0), cx_level_now()};
    for (int i = 0; i < 2; i++) {
        cx_level_choose(ends[i]);
        failed += cmocka_run_group_tests_name(cx_level_name(ends[i]), tests, NULL, NULL);
    }
    return failed;
}
