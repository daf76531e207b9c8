#include "tests/test.h"

#include "tests/levels.h"

#include "nn/graph.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define OP(g, name, ...)                                                                           \
    cx_graph_op(g, name, (cx_ref[]){__VA_ARGS__},                                                  \
                (int)(sizeof((cx_ref[]){__VA_ARGS__}) / sizeof(cx_ref)), NULL)

/* --- faults of building --- */

static cx_ref x23(cx_graph *g) {
    return cx_graph_input(g, "x", CX_SHAPE(2, 3), false);
}
static void unknown_op(cx_graph *g) {
    (void)OP(g, "linera", x23(g));
}
static void missing_input(cx_graph *g) {
    (void)OP(g, "linear", x23(g));
}
static void too_many(cx_graph *g) {
    cx_ref x = x23(g);
    (void)OP(g, "act_relu", x, x);
}
static void wrong_shape(cx_graph *g) {
    cx_ref x = x23(g), w = cx_graph_param(g, "w", CX_SHAPE(5, 4), CX_INIT_FAN_IN, 4);
    (void)OP(g, "linear", x, w);
}
static void unknown_attr(cx_graph *g) {
    cx_ref x = x23(g);
    (void)cx_graph_op(g, "act_elu", &x, 1, (cx_attr[]){{"alfa", 1}, {NULL, 0}});
}
static void attr_range(cx_graph *g) {
    cx_ref x = x23(g);
    (void)cx_graph_op(g, "dropout", &x, 1, (cx_attr[]){{"p", 1.5}, {NULL, 0}});
}
static void attr_nan(cx_graph *g) {
    cx_ref x = x23(g);
    (void)cx_graph_op(g, "dropout", &x, 1, (cx_attr[]){{"p", NAN}, {NULL, 0}});
}
static void attr_fraction(cx_graph *g) {
    cx_ref x = cx_graph_input(g, "x", CX_SHAPE(1, 1, 4, 4), false);
    (void)cx_graph_op(g, "maxpool2d", &x, 1, (cx_attr[]){{"kernel", 1.5}, {NULL, 0}});
}
static void real_for_int(cx_graph *g) {
    cx_ref x = x23(g);
    (void)OP(g, "cross_entropy", x, x);
}
static void int_for_real(cx_graph *g) {
    (void)OP(g, "act_relu", cx_graph_input_int(g, "i", CX_SHAPE(3)));
}
static void empty_dimension(cx_graph *g) {
    (void)cx_graph_input(g, "x", CX_SHAPE(2, 0), false);
}
static void too_large(cx_graph *g) {
    (void)cx_graph_input(g, "x", CX_SHAPE(65536, 65536), false);
}
static void twice(cx_graph *g) {
    (void)cx_graph_param(g, "w", CX_SHAPE(2), CX_INIT_ZERO, 0);
    (void)cx_graph_param(g, "w", CX_SHAPE(2), CX_INIT_ZERO, 0);
}
static void bad_fan(cx_graph *g) {
    (void)cx_graph_param(g, "w", CX_SHAPE(2), CX_INIT_FAN_IN, 0);
}
static void no_state(cx_graph *g) {
    cx_ref x = x23(g), w = cx_graph_param(g, "w", CX_SHAPE(3), CX_INIT_ONE, 0);
    (void)OP(g, "batchnorm", x, w, w, w, w);
}
static void reshape_misfit(cx_graph *g) {
    cx_ref x = x23(g);
    (void)cx_graph_op(g, "reshape", &x, 1, (cx_attr[]){{"d0", 4}, {"d1", -1}, {NULL, 0}});
}
static void kernel_too_large(cx_graph *g) {
    cx_ref x = cx_graph_input(g, "x", CX_SHAPE(1, 1, 2, 2), false);
    (void)OP(g, "conv2d", x, cx_graph_param(g, "w", CX_SHAPE(1, 1, 3, 3), CX_INIT_FAN_IN, 9));
}

static void test_faults(void **state) {
    (void)state;
    static const struct {
        void (*build)(cx_graph *g);
        cx_code want;
        const char *says;
    } rows[] = {
        {unknown_op, CX_EUNSUPPORTED, "linera"},
        {missing_input, CX_ECONFIG, "'w' is missing"},
        {too_many, CX_ECONFIG, "at most 1"},
        {wrong_shape, CX_ECONFIG, "linear(x [2,3], w [5,4])"},
        {unknown_attr, CX_EUNSUPPORTED, "'alfa'"},
        {attr_range, CX_ECONFIG, "'p' is 1.5"},
        {attr_nan, CX_ECONFIG, "'p' is"},
        {attr_fraction, CX_ECONFIG, "integer"},
        {real_for_int, CX_ECONFIG, "'target' must be an integer array"},
        {int_for_real, CX_ECONFIG, "real numbers"},
        {empty_dimension, CX_ECONFIG, "[2,0]"},
        {too_large, CX_ECONFIG, "65536"},
        {twice, CX_ECONFIG, "twice"},
        {bad_fan, CX_ECONFIG, "'w'"},
        {no_state, CX_ECONFIG, "a state"},
        {reshape_misfit, CX_ECONFIG, "6 numbers"},
        {kernel_too_large, CX_ECONFIG, "larger"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cx_error err = {0};
        cx_graph *g = cx_graph_create();
        assert_non_null(g);
        rows[i].build(g);
        /* the first fault stays, whatever follows */
        assert_int_equal(cx_graph_input(g, "later", CX_SHAPE(1), false), -1);
        assert_int_equal(OP(g, "nonsense", 0), -1);
        int rc = cx_graph_plan(g, false, &err);
        if (rc != (int)rows[i].want || !strstr(err.message, rows[i].says))
            fail_msg("row %zu: code %d, '%s'; wanted %d, '%s'", i, rc, err.message, rows[i].want,
                     rows[i].says);
        cx_graph_destroy(g);
    }
}

/* --- a network that is used by the tests below --- */

typedef struct {
    cx_graph *g;
    cx_ref x, t, h, loss;
    float *block, *grads;
} net;

static net make(bool forward_only) {
    net n = {.g = cx_graph_create()};
    cx_graph *g = n.g;
    assert_non_null(g);
    n.x = cx_graph_input(g, "x", CX_SHAPE(7, 1, 9, 11), false);
    n.t = cx_graph_input_int(g, "t", CX_SHAPE(7));
    cx_ref mean = cx_graph_state(g, "mean", CX_SHAPE(3), 0);
    cx_ref w1 = cx_graph_param(g, "w1", CX_SHAPE(3, 1, 3, 3), CX_INIT_FAN_IN, 9);
    cx_ref b1 = cx_graph_param(g, "b1", CX_SHAPE(3), CX_INIT_FAN_IN, 9);
    cx_ref gain = cx_graph_param(g, "gain", CX_SHAPE(3), CX_INIT_ONE, 0);
    cx_ref bias = cx_graph_param(g, "bias", CX_SHAPE(3), CX_INIT_CONSTANT, 0.5);
    cx_ref var = cx_graph_state(g, "var", CX_SHAPE(3), 1);
    cx_ref y = OP(g, "conv2d", n.x, w1, b1);
    y = OP(g, "batchnorm", y, gain, bias, mean, var);
    y = OP(g, "act_rrelu", y);
    y = OP(g, "maxpool2d", y);
    y = OP(g, "flatten", y);
    y = OP(g, "dropout", y);
    n.h = y;
    y = OP(g, "linear", y, cx_graph_param(g, "w2", CX_SHAPE(5, 36), CX_INIT_NORMAL, 0.2));
    n.loss = OP(g, "cross_entropy", y, n.t);
    cx_error err = {0};
    assert_ok(cx_graph_plan(g, forward_only, &err));
    n.block = aligned_alloc(64, cx_graph_state_count(g) * sizeof(float));
    n.grads = aligned_alloc(64, cx_graph_param_count(g) * sizeof(float));
    assert_true(n.block && n.grads);
    memset(n.grads, 0xff, cx_graph_param_count(g) * sizeof(float)); /* NaN */
    cx_rng rng = cx_rng_make(1, 2, CX_STREAM_TEST);
    cx_graph_init(g, n.block, &rng);
    cx_graph_bind(g, n.block, forward_only ? NULL : n.grads);
    cx_rng_fill_normal(&rng, cx_graph_value(g, n.x), 7 * 99);
    for (int i = 0; i < 7; i++)
        cx_graph_value_int(g, n.t)[i] = i % 5;
    return n;
}

static void unmake(net *n) {
    cx_graph_destroy(n->g);
    free(n->block);
    free(n->grads);
}

static void test_layout(void **state) {
    (void)state;
    net n = make(false);
    assert_int_equal(cx_graph_param_tensors(n.g), 5);
    assert_int_equal(cx_graph_all_tensors(n.g), 7);
    static const char *const names[] = {"w1", "b1", "gain", "bias", "w2", "mean", "var"};
    size_t at = 0;
    for (int i = 0; i < 7; i++) {
        const cx_param *p = cx_graph_param_info(n.g, i);
        assert_string_equal(p->name, names[i]);
        assert_int_equal(p->trainable, i < 5);
        assert_int_equal(p->offset, at);
        assert_int_equal(p->size, cx_shape_size(&p->shape));
        at += (p->size + 15) / 16 * 16;
        if (i == 4)
            assert_int_equal(cx_graph_param_count(n.g), at);
    }
    assert_int_equal(cx_graph_state_count(n.g), at);
    assert_null(cx_graph_param_info(n.g, 7));
    assert_true(n.block[cx_graph_param_info(n.g, 3)->offset] == 0.5f);
    assert_true(n.block[cx_graph_param_info(n.g, 6)->offset] == 1.0f);
    for (int i = 0; i < 27; i++)
        assert_true(fabsf(n.block[i]) <= 1.0f / 3 && n.block[i] != 0);
    for (int i = 27; i < 32; i++)
        assert_true(n.block[i] == 0);
    assert_true(cx_graph_flops(n.g) == 2.0 * 7 * 3 * 63 * 9 + 2.0 * 7 * 36 * 5);
    assert_int_equal((uintptr_t)cx_graph_value(n.g, n.x) % 64, 0);
    assert_int_equal((uintptr_t)cx_graph_value(n.g, n.loss) % 64, 0);
    unmake(&n);
}

static void run(net *n, uint32_t sub) {
    cx_rng rng = cx_rng_make_sub(3, 4, CX_STREAM_DROPOUT, sub);
    cx_graph_forward(n->g, CX_TRAIN, &rng);
    cx_graph_backward_loss(n->g, n->loss);
}

/* Same inputs, same bits: in one graph twice, in a second graph, and not with another
 * stream (dropout and random slopes do draw). */
static void test_identical_bits(void **state) {
    (void)state;
    net a = make(false), b = make(false);
    size_t bytes = cx_graph_param_count(a.g) * sizeof(float);
    float *first = malloc(bytes);
    assert_non_null(first);
    size_t arena = cx_graph_arena_bytes(a.g);
    const float *value = cx_graph_value(a.g, a.loss);
    run(&a, 1);
    float loss = *value;
    assert_true(isfinite(loss));
    memcpy(first, a.grads, bytes);
    run(&a, 1);
    assert_true(*value == loss);
    assert_memory_equal(first, a.grads, bytes);
    run(&b, 1);
    assert_true(*cx_graph_value(b.g, b.loss) == loss);
    assert_memory_equal(first, b.grads, bytes);
    run(&b, 2);
    assert_true(*cx_graph_value(b.g, b.loss) != loss);
    assert_int_equal(cx_graph_arena_bytes(a.g), arena);
    assert_ptr_equal(cx_graph_value(a.g, a.loss), value);
    free(first);
    unmake(&a);
    unmake(&b);
}

/* Eval draws nothing, leaves the running statistics alone and gives the same twice. */
static void test_eval(void **state) {
    (void)state;
    net n = make(false);
    run(&n, 1);
    size_t bytes = cx_graph_state_count(n.g) * sizeof(float);
    float *before = malloc(bytes);
    assert_non_null(before);
    memcpy(before, n.block, bytes);
    cx_graph_forward(n.g, CX_EVAL, NULL);
    float loss = *cx_graph_value(n.g, n.loss);
    assert_memory_equal(before, n.block, bytes);
    cx_graph_forward(n.g, CX_EVAL, NULL);
    assert_true(*cx_graph_value(n.g, n.loss) == loss);
    /* train does move them */
    run(&n, 1);
    assert_memory_not_equal(before + cx_graph_param_count(n.g), n.block + cx_graph_param_count(n.g),
                            3 * sizeof(float));
    free(before);
    unmake(&n);
}

static void test_nan_reaches_the_loss(void **state) {
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        net n = make(false);
        cx_graph_value(n.g, n.x)[13] = bad[i];
        run(&n, 1);
        assert_true(!isfinite(*cx_graph_value(n.g, n.loss)));
        bool seen = false;
        for (size_t k = 0; k < cx_graph_param_count(n.g); k++)
            seen |= !isfinite(n.grads[k]);
        assert_true(seen);
        unmake(&n);
    }
}

/* Every elementwise function keeps a NaN, whatever side it is on. */
static void test_nan_through_activations(void **state) {
    (void)state;
    static const char *const ops[] = {"act_relu",      "act_leaky_relu", "act_elu",  "act_celu",
                                      "act_tanh",      "act_sigmoid",    "act_silu", "act_gelu_erf",
                                      "act_gelu_tanh", "act_rrelu",      "scale",    "dropout",
                                      "softmax",       "log_softmax",    "layernorm"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        cx_error err = {0};
        cx_graph *g = cx_graph_create();
        cx_ref x = cx_graph_input(g, "x", CX_SHAPE(2, 37), true);
        cx_ref y = OP(g, ops[i], x);
        assert_ok(cx_graph_plan(g, false, &err));
        cx_rng rng = cx_rng_make(1, 1, CX_STREAM_TEST);
        for (int k = 0; k < 74; k++)
            cx_graph_value(g, x)[k] = 0.1f * (float)(k - 30);
        cx_graph_value(g, x)[5] = NAN;
        cx_graph_forward(g, CX_EVAL, &rng);
        const float *v = cx_graph_value(g, y);
        if (!isnan(v[5]) || isnan(v[40]))
            fail_msg("%s turns NaN into %g", ops[i], (double)v[5]);
        cx_graph_zero_grads(g);
        cx_graph_grad(g, y)[5] = NAN;
        cx_graph_grad(g, y)[41] = 1;
        cx_graph_backward(g);
        if (!isnan(cx_graph_grad(g, x)[5]) || isnan(cx_graph_grad(g, x)[41]))
            fail_msg("%s loses a NaN in backward", ops[i]);
        cx_graph_destroy(g);
    }
}

static void test_forward_only(void **state) {
    (void)state;
    net a = make(false), b = make(true);
    assert_true(cx_graph_arena_bytes(b.g) < cx_graph_arena_bytes(a.g));
    assert_null(cx_graph_grad(b.g, b.loss));
    cx_graph_forward(a.g, CX_EVAL, NULL);
    cx_graph_forward(b.g, CX_EVAL, NULL);
    assert_true(*cx_graph_value(a.g, a.loss) == *cx_graph_value(b.g, b.loss));
    cx_graph_backward_loss(b.g, b.loss); /* nothing happens */
    unmake(&a);
    unmake(&b);
}

/* The network engine of in-place work: the value of an array that is kept survives, the
 * one of an array that is not is replaced, and results are the same. */
static void test_keep(void **state) {
    (void)state;
    float loss[2], grad[2];
    for (int keep = 0; keep < 2; keep++) {
        cx_error err = {0};
        cx_graph *g = cx_graph_create();
        cx_ref x = cx_graph_input(g, "x", CX_SHAPE(1, 2), true);
        cx_ref w = cx_graph_param(g, "w", CX_SHAPE(2, 2), CX_INIT_CONSTANT, -1);
        cx_ref h = OP(g, "linear", x, w);
        if (keep)
            cx_graph_keep(g, h);
        cx_ref y = OP(g, "act_elu", h), t = cx_graph_input(g, "t", CX_SHAPE(1, 2), false);
        cx_ref l = OP(g, "mse", y, t);
        assert_ok(cx_graph_plan(g, false, &err));
        float block[16], grads[16];
        cx_rng rng = cx_rng_make(1, 1, CX_STREAM_TEST);
        cx_graph_init(g, block, &rng);
        cx_graph_bind(g, block, grads);
        cx_graph_value(g, x)[0] = 1;
        cx_graph_value(g, x)[1] = 2;
        cx_graph_value(g, t)[0] = cx_graph_value(g, t)[1] = 3;
        cx_graph_forward(g, CX_TRAIN, NULL);
        cx_graph_backward_loss(g, l);
        loss[keep] = *cx_graph_value(g, l);
        grad[keep] = cx_graph_grad(g, x)[0];
        assert_int_equal(cx_graph_value(g, h) == cx_graph_value(g, y), !keep);
        assert_int_equal(cx_graph_grad(g, h) == NULL, !keep);
        if (keep)
            assert_true(cx_graph_value(g, h)[0] == -3);
        cx_graph_destroy(g);
    }
    assert_true(loss[0] == loss[1]);
    assert_true(grad[0] == grad[1]);
}

/* Seeds on two outputs, one of which another operator reads; a second backward without
 * zero_grads adds to the parameters' gradients. */
static void test_seeds_and_accumulation(void **state) {
    (void)state;
    cx_error err = {0};
    cx_graph *g = cx_graph_create();
    cx_ref w = cx_graph_param(g, "w", CX_SHAPE(3), CX_INIT_CONSTANT, 2);
    cx_ref unused = cx_graph_param(g, "unused", CX_SHAPE(5), CX_INIT_ONE, 0);
    cx_ref a = cx_graph_op(g, "scale", &w, 1, (cx_attr[]){{"factor", 3}, {NULL, 0}});
    cx_ref b = OP(g, "mul", a, a), d = OP(g, "add", unused, unused);
    assert_ok(cx_graph_plan(g, false, &err));
    assert_true(d >= 0);
    float block[32], grads[32];
    cx_rng rng = cx_rng_make(1, 1, CX_STREAM_TEST);
    cx_graph_init(g, block, &rng);
    memset(grads, 0xff, sizeof grads);
    cx_graph_bind(g, block, grads);
    cx_graph_forward(g, CX_TRAIN, NULL);
    cx_graph_zero_grads(g);
    cx_graph_grad(g, a)[1] = 10;
    cx_graph_grad(g, b)[0] = 1;
    cx_graph_backward(g);
    /* b = (3w)^2: 18 w = 36; a = 3 w: 30 */
    assert_true(grads[0] == 36 && grads[1] == 30 && grads[2] == 0);
    for (int i = 3; i < 32; i++)
        assert_true(grads[i] == 0);
    cx_graph_grad(g, a)[1] = 10;
    cx_graph_grad(g, a)[0] = cx_graph_grad(g, a)[2] = 0;
    cx_graph_backward(g);
    assert_true(grads[0] == 72 && grads[1] == 60 && grads[2] == 0);
    cx_graph_destroy(g);
}

/* y = x stop(x): the derivative is stop(x), not 2 x; and nothing behind a stop has one. */
static void test_stop_gradient(void **state) {
    (void)state;
    cx_error err;
    cx_graph *g = cx_graph_create();
    cx_ref x = cx_graph_input(g, "x", CX_SHAPE(3), true);
    cx_ref w = cx_graph_param(g, "w", CX_SHAPE(3), CX_INIT_ONE, 0);
    cx_ref z = OP(g, "stop_gradient", OP(g, "mul", x, w)); /* = x */
    cx_ref y = OP(g, "mul", x, z), only = OP(g, "scale", z);
    assert_ok(cx_graph_plan(g, false, &err));
    float block[CX_PARAM_ALIGN], grads[CX_PARAM_ALIGN];
    assert_int_equal(cx_graph_state_count(g), CX_PARAM_ALIGN);
    cx_graph_init(g, block, NULL);
    cx_graph_bind(g, block, grads);
    const float values[] = {2, -3, 0.5f};
    memcpy(cx_graph_value(g, x), values, sizeof values);
    cx_graph_forward(g, CX_TRAIN, NULL);
    assert_memory_equal(cx_graph_value(g, z), values, sizeof values);
    assert_null(cx_graph_grad(g, z));
    assert_null(cx_graph_grad(g, only));
    cx_graph_zero_grads(g);
    for (int i = 0; i < 3; i++)
        cx_graph_grad(g, y)[i] = 1;
    cx_graph_backward(g);
    assert_memory_equal(cx_graph_grad(g, x), values, sizeof values);
    for (int i = 0; i < 3; i++)
        assert_true(grads[i] == 0);
    cx_graph_destroy(g);
}

static void test_indices_out_of_range(void **state) {
    (void)state;
    cx_error err = {0};
    cx_graph *g = cx_graph_create();
    cx_ref i = cx_graph_input_int(g, "i", CX_SHAPE(3)), t = cx_graph_input_int(g, "t", CX_SHAPE(3));
    cx_ref w = cx_graph_param(g, "w", CX_SHAPE(4, 5), CX_INIT_NORMAL, 1);
    cx_ref l = OP(g, "cross_entropy", OP(g, "embedding", i, w), t);
    assert_ok(cx_graph_plan(g, false, &err));
    float block[32], grads[32];
    cx_rng rng = cx_rng_make(1, 1, CX_STREAM_TEST);
    cx_graph_init(g, block, &rng);
    cx_graph_bind(g, block, grads);
    int32_t *iv = cx_graph_value_int(g, i), *tv = cx_graph_value_int(g, t);
    for (int k = 0; k < 3; k++)
        iv[k] = tv[k] = k;
    assert_ok(cx_graph_check_indices(g, &err));
    iv[1] = 4;
    assert_int_equal(cx_graph_check_indices(g, &err), CX_EDATA);
    assert_non_null(strstr(err.message, "idx[1] is 4"));
    cx_graph_forward(g, CX_TRAIN, NULL);
    assert_true(isnan(*cx_graph_value(g, l)));
    cx_graph_backward_loss(g, l);
    iv[1] = 1;
    tv[2] = -1;
    assert_int_equal(cx_graph_check_indices(g, &err), CX_EDATA);
    cx_graph_forward(g, CX_TRAIN, NULL);
    assert_true(isnan(*cx_graph_value(g, l)));
    cx_graph_backward_loss(g, l);
    cx_graph_destroy(g);
}

/* The mask is made of the stream's numbers, two elements a number, its lower half first. */
static void test_dropout_bits(void **state) {
    (void)state;
    static const int sizes[] = {1, 2, 31, 33, 1023, 1024, 1025, 2177};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        cx_error err = {0};
        int n = sizes[k];
        cx_graph *g = cx_graph_create();
        cx_ref x = cx_graph_input(g, "x", CX_SHAPE(n), false);
        cx_ref y = cx_graph_op(g, "dropout", &x, 1, (cx_attr[]){{"p", 0.5}, {NULL, 0}});
        cx_ref z = OP(g, "act_rrelu", x);
        assert_ok(cx_graph_plan(g, false, &err));
        for (int i = 0; i < n; i++)
            cx_graph_value(g, x)[i] = -1;
        cx_rng rng = cx_rng_make(4, 5, CX_STREAM_TEST), same = rng;
        (void)cx_rng_u32(&rng);
        (void)cx_rng_u32(&same);
        cx_graph_forward(g, CX_TRAIN, &rng);
        uint32_t u = 0;
        for (int i = 0; i < n; i++) {
            u = i % 2 ? u >> 16 : cx_rng_u32(&same);
            assert_true(cx_graph_value(g, y)[i] == ((u & 0xffff) < 32768 ? 0 : -2.0f));
        }
        for (int i = 0; i < n; i++) { /* slopes of 1/8 .. 1/3 */
            double want = -1.0 / 8 - (1.0 / 3 - 1.0 / 8) * cx_rng_uniform(&same);
            assert_true(fabs((double)cx_graph_value(g, z)[i] - want) < 1e-6);
        }
        assert_int_equal(cx_rng_u32(&rng), cx_rng_u32(&same));
        cx_graph_destroy(g);
    }
}

static void test_dropout_share(void **state) {
    (void)state;
    enum { N = 40001 };
    cx_error err = {0};
    cx_graph *g = cx_graph_create();
    cx_ref x = cx_graph_input(g, "x", CX_SHAPE(N), false);
    cx_ref y = cx_graph_op(g, "dropout", &x, 1, (cx_attr[]){{"p", 0.2}, {NULL, 0}});
    assert_ok(cx_graph_plan(g, false, &err));
    for (int k = 0; k < N; k++)
        cx_graph_value(g, x)[k] = 1;
    cx_rng rng = cx_rng_make(1, 1, CX_STREAM_TEST);
    cx_graph_forward(g, CX_TRAIN, &rng);
    int zero = 0;
    for (int k = 0; k < N; k++) {
        float v = cx_graph_value(g, y)[k];
        zero += v == 0;
        assert_true(v == 0 || fabsf(v - 1.25f) < 1e-6f);
    }
    assert_true(abs(zero - N / 5) < 400); /* five standard deviations */
    cx_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_identical_bits),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_nan_reaches_the_loss),
        cmocka_unit_test(test_nan_through_activations),
        cmocka_unit_test(test_forward_only),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_seeds_and_accumulation),
        cmocka_unit_test(test_stop_gradient),
        cmocka_unit_test(test_indices_out_of_range),
        cmocka_unit_test(test_dropout_bits),
        cmocka_unit_test(test_dropout_share),
    };
    int failed = 0;
    RUN_AT_EACH_LEVEL(failed, tests, NULL, NULL);
    return failed;
}
