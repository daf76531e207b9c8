/* Every operator at every level of the instruction set against the plain level (one number
 * at a time, products as their definition): values, gradients, running statistics. */
#include "tests/test.h"

#include "tests/levels.h"
#include "tests/nn/operator_rig.h"
#include <math.h>

/* Sizes around and far from the lengths of vectors and tiles, in addition to the small ones
 * of gradient_cases.h. */
/* clang-format off */
static const gradient_case wide_cases[] = {
    {"linear", {N2(1, 1), N2(1, 1), N1(1)}, {LAST}, CX_TRAIN, {{0}}},
    {"linear", {N2(1, 129), N2(65, 129), N1(65)}, {LAST}, CX_TRAIN, {{0}}},
    {"linear", {N2(17, 127), N2(33, 127), N1(33)}, {LAST}, CX_TRAIN, {{0}}},
    {"linear", {N2(128, 31), N2(1, 31), N1(1)}, {LAST}, CX_TRAIN, {{0}}},
    {"linear", {N2(67, 1), N2(131, 1), N1(131)}, {LAST}, CX_TRAIN, {{0}}},
    {"linear", {N2(61, 521), N2(97, 521)}, {LAST}, CX_TRAIN, {{0}}}, /* deeper than a panel */
    {"linear", {N2(523, 29), N2(13, 29)}, {LAST}, CX_TRAIN, {{0}}},  /* higher than one */
    {"act_relu", {K1(1)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_elu", {K1(131)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_tanh", {N1(131)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_sigmoid", {N1(131)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_gelu_erf", {N1(131)}, {LAST}, CX_TRAIN, {{0}}},
    {"dropout", {N1(1031)}, {{"p", 0.4}, LAST}, CX_TRAIN, {{0}}},
    {"layernorm", {N2(3, 1), N1(1), N1(1)}, {{"eps", 0.1}, LAST}, CX_TRAIN, {{0}}},
    {"layernorm", {N2(7, 131), N1(131), N1(131)}, {LAST}, CX_TRAIN, {{0}}},
    {"softmax", {N2(3, 131)}, {LAST}, CX_TRAIN, {{0}}},
    {"log_softmax", {N2(3, 1)}, {LAST}, CX_TRAIN, {{0}}},
    {"cross_entropy", {N2(17, 101), {'i', 1, {17}, 101}}, {LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(17, 5, 13, 11), N4(19, 5, 3, 3), N1(19)}, {{"padding", 1}, LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(33, 3, 9, 7), N4(5, 3, 3, 3), N1(5)}, {{"stride", 2}, {"padding", 1}, LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(3, 37, 5, 3), N4(41, 37, 1, 1)}, {LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(2, 1, 23, 29), N4(1, 1, 5, 7), N1(1)}, {{"padding", 3}, LAST}, CX_TRAIN, {{0}}},
    {"maxpool2d", {D4(3, 5, 14, 34)}, {{"kernel", 2}, LAST}, CX_TRAIN, {{0}}},
    {"maxpool2d", {D4(2, 3, 13, 37)}, {{"kernel", 3}, {"stride", 2}, {"padding", 1}, LAST}, CX_TRAIN, {{0}}},
    {"avgpool2d", {N4(3, 5, 14, 34)}, {{"kernel", 2}, LAST}, CX_TRAIN, {{0}}},
    {"avgpool2d", {N4(3, 17, 7, 7)}, {{"global", 1}, LAST}, CX_TRAIN, {{0}}},
    {"batchnorm", {N4(17, 7, 11, 3), N1(7), N1(7), N1(7), P1(7)}, {LAST}, CX_TRAIN, {{0}}},
    {"batchnorm", {N2(131, 37), N1(37), N1(37), N1(37), P1(37)}, {LAST}, CX_TRAIN, {{0}}},
    {"groupnorm", {N4(3, 34, 5, 7), N1(34), N1(34)}, {{"groups", 17}, LAST}, CX_TRAIN, {{0}}},
    {"embedding", {{'i', 2, {7, 11}, 13}, N2(13, 37)}, {LAST}, CX_TRAIN, {{0}}},
    {"rnn_tanh", {N3(5, 17, 7), N2(17, 33), N2(33, 7), N2(33, 33), N1(33), N1(33)}, {LAST}, CX_TRAIN, {{0}}},
    {"gru", {N3(7, 1, 1), N2(1, 1), N2(3, 1), N2(3, 1), N1(3), N1(3)}, {LAST}, CX_TRAIN, {{0}}},
    {"gru", {N3(5, 19, 13), N2(19, 37), N2(111, 13), N2(111, 37), N1(111), N1(111)}, {LAST}, CX_TRAIN, {{0}}},
    {"lstm", {N3(7, 1, 1), N2(1, 1), N2(4, 1), N2(4, 1), N1(4), N1(4), N2(1, 1)}, {LAST}, CX_TRAIN, {{0}}},
    {"lstm", {N3(5, 33, 13), N2(33, 37), N2(148, 13), N2(148, 37), N1(148), N1(148), N2(33, 37)}, {LAST}, CX_TRAIN, {{0}}},
    {"lstm_layernorm", {N3(3, 17, 7), N2(17, 19), N2(17, 19), N2(76, 7), N2(76, 19), N1(76), N1(76), N1(76), N1(76), N1(19), N1(19)}, {LAST}, CX_TRAIN, {{0}}},
    {"causal_attention", {N3(1, 1, 4), N2(12, 4), N1(12), N2(4, 4), N1(4)}, {{"heads", 2}, LAST}, CX_TRAIN, {{0}}},
    {"causal_attention", {N3(3, 37, 51), N2(153, 51), N1(153), N2(51, 51), N1(51)}, {{"heads", 3}, LAST}, CX_TRAIN, {{0}}},
};
/* clang-format on */
#define WIDE ((int)(sizeof wide_cases / sizeof *wide_cases))

typedef struct {
    char name[32]; /* of what, for messages */
    int n;
    float *x;
} tensor;
typedef struct {
    int n;
    tensor t[64];
} result;

static void keep(result *all, const char *what, const char *name, const float *x, cx_shape s) {
    if (!x)
        return;
    tensor *t = &all->t[all->n++];
    assert_true(all->n <= 64);
    (void)snprintf(t->name, sizeof t->name, "%s of %s", what, name);
    t->n = (int)cx_shape_size(&s);
    t->x = cx_calloc((size_t)t->n, sizeof *t->x);
    assert_non_null(t->x);
    memcpy(t->x, x, (size_t)t->n * sizeof *x);
}

static result run(cx_level level, const gradient_case *gc, variant v) {
    static const char *const numbers[] = {"0", "1", "2", "3"};
    cx_level_choose(level);
    result all = {0};
    rig r = make(gc, v);
    cx_rng rng = r.rng;
    cx_graph_forward(r.g, gc->mode, &rng);
    for (int k = 0; k < r.n_seeds; k++)
        keep(&all, "value", k < 4 ? numbers[k] : "further", cx_graph_value(r.g, r.seeds[k]),
             cx_graph_shape(r.g, r.seeds[k]));
    cx_graph_zero_grads(r.g);
    for (int k = 0; k < r.n_seeds; k++) {
        cx_shape s = cx_graph_shape(r.g, r.seeds[k]);
        cx_real *to = cx_graph_grad(r.g, r.seeds[k]);
        if (to)
            memcpy(to, r.weights[k], cx_shape_size(&s) * sizeof(cx_real));
    }
    cx_graph_backward(r.g);
    const cx_op *op = cx_op_find(gc->op);
    for (int i = 0; i < r.n_in; i++) {
        if (r.in[i] < 0)
            continue;
        cx_shape s = cx_graph_shape(r.g, r.in[i]);
        if (op->inputs[i].kind == CX_IN_STATE)
            keep(&all, "state", op->inputs[i].name, cx_graph_value(r.g, r.in[i]), s);
        else if (op->inputs[i].kind == CX_IN_REAL)
            keep(&all, "gradient", op->inputs[i].name, cx_graph_grad(r.g, r.in[i]), s);
    }
    unmake(&r);
    return all;
}

static void forget(result *all) {
    for (int i = 0; i < all->n; i++)
        free(all->t[i].x);
}

/* The worst difference, in units of the tensor's largest number. */
static double difference(const result *a, const result *b, const char **where) {
    double worst = 0;
    assert_int_equal(a->n, b->n);
    for (int i = 0; i < a->n; i++) {
        const tensor *x = &a->t[i], *y = &b->t[i];
        double scale = 1e-6;
        assert_int_equal(x->n, y->n);
        for (int k = 0; k < x->n; k++)
            scale = fmax(scale, fabs((double)x->x[k]));
        for (int k = 0; k < x->n; k++) {
            double d = fabs((double)x->x[k] - (double)y->x[k]) / scale;
            if (!(d <= worst)) {
                worst = isnan(d) ? INFINITY : d;
                *where = x->name;
            }
        }
    }
    return worst;
}

/* Rounding: sums of at most some hundred terms in another order, and the gradients of what
 * was rounded. */
#define TOLERANCE 2e-5

static int compare(const gradient_case *gc, int row, const char *list) {
    int bad = 0;
    for (int v = 0; v < VARIANTS; v++) {
        result want = run(CX_LEVEL_plain, gc, (variant)v);
        FOR_EACH_LEVEL(level) {
            const char *where = "";
            result got = run(level, gc, (variant)v);
            double d = difference(&want, &got, &where);
            if (d > TOLERANCE && ++bad)
                printf("%s at %s, row %d of %s, variant %d: %s differs by %.3g\n", gc->op,
                       cx_level_name(level), row, list, v, where, d);
            forget(&got);
        }
        forget(&want);
    }
    return bad;
}

static void test_small(void **state) {
    (void)state;
    int bad = 0;
    for (int i = 0; i < CASES; i++)
        bad += compare(&gradient_cases[i], i, "gradient_cases");
    assert_int_equal(bad, 0);
}

static void test_wide(void **state) {
    (void)state;
    int bad = 0;
    for (int i = 0; i < WIDE; i++)
        bad += compare(&wide_cases[i], i, "wide_cases");
    assert_int_equal(bad, 0);
}

/* The comparison itself: what differs in one number is found. */
static void test_comparison(void **state) {
    (void)state;
    const char *where = "";
    result a = run(CX_LEVEL_plain, &wide_cases[2], PLAIN);
    result b = run(CX_LEVEL_plain, &wide_cases[2], PLAIN);
    assert_true(difference(&a, &b, &where) == 0);
    tensor *last = &b.t[b.n - 1];
    last->x[last->n - 1] += 1e-3f;
    assert_true(difference(&a, &b, &where) > TOLERANCE);
    last->x[last->n - 1] = NAN;
    assert_true(difference(&a, &b, &where) > TOLERANCE);
    forget(&a);
    forget(&b);
}

/* Each level's operators are functions of their own: a choice that chose nothing would
 * compare a level with itself. */
static void test_levels_differ(void **state) {
    (void)state;
    const cx_op *seen[CX_LEVEL_COUNT];
    int n = 0;
    FOR_EACH_LEVEL(level) {
        cx_level_choose(level);
        assert_int_equal(cx_level_now(), level);
        seen[n] = cx_op_find("linear");
        for (int i = 0; i < n; i++)
            assert_true(seen[i]->forward != seen[n]->forward);
        n++;
    }
    assert_true(n >= 2);
}

static void test_names(void **state) {
    (void)state;
    cx_error err;
    cx_level level, best;
    assert_ok(cx_level_best(&best, &err));
    assert_ok(cx_level_find("auto", &level, &err));
    assert_int_equal(level, best);
    FOR_EACH_LEVEL(l) {
        assert_ok(cx_level_find(cx_level_name(l), &level, &err));
        assert_int_equal(level, l);
    }
    assert_int_equal(cx_level_find("x86-64-v9", &level, &err), CX_EUSAGE);
    assert_non_null(strstr(err.message, "x86-64-v9"));
    for (int l = 0; l < CX_LEVEL_COUNT; l++)
        if (!cx_level_built((cx_level)l))
            assert_int_equal(cx_level_find(cx_level_name((cx_level)l), &level, &err), CX_EUSAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),      cmocka_unit_test(test_levels_differ),
        cmocka_unit_test(test_comparison), cmocka_unit_test(test_small),
        cmocka_unit_test(test_wide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
