#include "tests/policy/sample.h"
#include "tests/test.h"

#include "tests/levels.h"

#include "base/rng.h"
#include "policy/network.h"

static const cx_net_shape small = {.inputs = 9,
                                   .hidden = 16,
                                   .lstm = 12,
                                   .outputs = 5,
                                   .residual = true,
                                   .output_scale = 1,
                                   .input_clip = 2};

typedef struct {
    cx_net *net;
    float *block, *in, *dout, *grads;
    int T, B;
} sample;

static float *numbers(size_t n, cx_rng *rng) {
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    cx_rng_fill_normal(rng, x, n);
    return x;
}

/* A network with statistics that are not the initial ones, and a batch for it. */
static void make(sample *s, const cx_net_shape *shape, int T, int B, uint64_t seed) {
    cx_error err;
    cx_rng rng = cx_rng_make(seed, 0, CX_STREAM_TEST);
    assert_ok(cx_net_create(shape, &s->net, &err));
    s->T = T;
    s->B = B;
    size_t rows = (size_t)T * (size_t)B;
    s->block = calloc(cx_net_count(s->net), sizeof(float));
    s->grads = calloc(cx_net_trainable(s->net), sizeof(float));
    assert_non_null(s->block);
    assert_non_null(s->grads);
    cx_net_init(s->net, s->block, &rng);
    s->in = numbers(rows * (size_t)shape->inputs, &rng);
    s->dout = numbers(rows * (size_t)shape->outputs, &rng);
    for (size_t i = 0; i < rows * (size_t)shape->inputs; i++)
        s->in[i] = s->in[i] * (float)(1 + i % 3) + 0.5f;
    cx_net_update_statistics(s->net, s->block, s->in, rows, 0.99);
}

static void drop(sample *s) {
    cx_net_destroy(s->net);
    free(s->block);
    free(s->in);
    free(s->dout);
    free(s->grads);
}

static void test_shapes(void **state) {
    (void)state;
    cx_error err;
    for (int residual = 0; residual < 2; residual++) {
        cx_net_shape shape = small;
        shape.residual = residual;
        cx_net *net;
        assert_ok(cx_net_create(&shape, &net, &err));
        size_t want = 16 * 9 + 16 + 48 * 16 + 48 * 12 + 4 * 48 + 2 * 12 + 16 * 12 + 16 + 5 * 16 + 5;
        size_t sum = 0, end = 0;
        for (int i = 0; i < cx_net_tensors(net); i++) {
            const struct cx_net_tensor *t = cx_net_tensor_at(net, i);
            size_t size = 1;
            for (int d = 0; d < t->rank; d++)
                size *= (size_t)t->dim[d];
            assert_true(size == t->size && t->offset >= end && t->offset % 16 == 0);
            end = t->offset + t->size;
            sum += size;
        }
        assert_int_equal(sum, want + (residual ? 5 * 9 : 0));
        assert_true(end <= cx_net_trainable(net));
        assert_true(cx_net_count(net) >= cx_net_trainable(net) + 2 * 9 + 1);
        assert_int_equal(cx_net_shape_of(net)->outputs, 5);
        cx_net_destroy(net);
    }
}

/* The outputs' weights are scaled and the same seed gives the same block. */
static void test_init(void **state) {
    (void)state;
    cx_error err;
    cx_net_shape shape = small;
    cx_net *a, *b;
    assert_ok(cx_net_create(&shape, &a, &err));
    shape.output_scale = 0.01;
    assert_ok(cx_net_create(&shape, &b, &err));
    size_t n = cx_net_count(a);
    float *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y);
    assert_non_null(x);
    assert_non_null(y);
    cx_rng r1 = cx_rng_make(1, 0, CX_STREAM_POLICY), r2 = r1;
    cx_net_init(a, x, &r1);
    cx_net_init(b, y, &r2);
    int scaled = 0, same = 0;
    for (int i = 0; i < cx_net_tensors(a); i++) {
        const struct cx_net_tensor *t = cx_net_tensor_at(a, i);
        bool output = strncmp(t->name, "output.", 7) == 0 || strncmp(t->name, "direct.", 7) == 0;
        for (size_t k = t->offset; k < t->offset + t->size; k++)
            assert_true(y[k] == (output ? x[k] * 0.01f : x[k]));
        *(output ? &scaled : &same) += 1;
    }
    assert_int_equal(scaled, 3);
    assert_true(same == cx_net_tensors(a) - 3);
    /* nearly uniform at first, and inputs come through before any statistics */
    float in[9] = {0.5f, -1, 3, -3, 0, 0.1f, 0.2f, 0.3f, 0.4f}, h[24] = {0}, out[5], normal[9];
    assert_ok(cx_net_step(b, y, in, h, out, &err));
    for (int i = 0; i < 5; i++)
        assert_true(fabsf(out[i]) < 0.1f);
    cx_net_normalize(b, y, in, normal);
    const float want[9] = {0.5f, -1, 2, -2, 0, 0.1f, 0.2f, 0.3f, 0.4f};
    for (int i = 0; i < 9; i++)
        assert_true(fabsf(normal[i] - want[i]) < 1e-4f);
    free(x);
    free(y);
    cx_net_destroy(a);
    cx_net_destroy(b);
}

/* Against EWMA of mean and second moment with a correction, kept in double. */
static void test_statistics(void **state) {
    (void)state;
    sample s;
    make(&s, &small, 40, 5, 2);
    cx_rng rng = cx_rng_make(3, 0, CX_STREAM_POLICY);
    float *one = calloc(cx_net_count(s.net), sizeof *one), *batches = s.block;
    assert_non_null(one);
    cx_net_init(s.net, one, &rng);
    memcpy(batches, one, cx_net_count(s.net) * sizeof *one);
    const double beta = 0.97;
    double m[9] = {0}, m2[9] = {0}, correction = 0, worst = 0;
    for (int row = 0; row < 200; row++) {
        const float *in = s.in + row * 9;
        cx_net_update_statistics(s.net, one, in, 1, beta);
        if (row % 10 == 0)
            cx_net_update_statistics(s.net, batches, in, 10, beta);
        correction = beta * correction + 1 - beta;
        float got[9], other[9];
        cx_net_normalize(s.net, one, in, got);
        cx_net_normalize(s.net, batches, in, other);
        for (int i = 0; i < 9; i++) {
            m[i] = beta * m[i] + (1 - beta) * in[i];
            m2[i] = beta * m2[i] + (1 - beta) * in[i] * in[i];
            double mean = m[i] / correction, variance = m2[i] / correction - mean * mean;
            double want = (in[i] - mean) / sqrt(fmax(variance, 0) + 1e-5);
            want = fmin(fmax(want, -2), 2);
            if (row) /* the first has no deviation: 0 over sqrt(eps) */
                assert_true(fabs(got[i] - want) < 2e-3);
            else
                assert_true(fabsf(got[i]) < 1e-6f);
            assert_true(got[i] >= -2 && got[i] <= 2);
            if (row == 199)
                worst = fmax(worst, fabs(other[i] - want));
        }
    }
    /* batches of ten weigh their members alike: near, but not the same */
    assert_true(worst > 0 && worst < 0.2);
    /* one batch on fresh statistics: exactly its own mean and variance */
    cx_rng again = cx_rng_make(3, 0, CX_STREAM_POLICY);
    cx_net_init(s.net, one, &again);
    cx_net_update_statistics(s.net, one, s.in, 200, beta);
    for (int i = 0; i < 9; i++) {
        double mean = 0, variance = 0;
        for (int row = 0; row < 200; row++)
            mean += s.in[row * 9 + i] / 200.0;
        for (int row = 0; row < 200; row++)
            variance += pow(s.in[row * 9 + i] - mean, 2) / 200;
        float x[9] = {0}, got[9];
        x[i] = (float)(mean + sqrt(variance));
        cx_net_normalize(s.net, one, x, got);
        assert_true(fabsf(got[i] - 1) < 1e-4f);
    }
    free(one);
    drop(&s);
}

/* Acting step by step gives what the learner computes for the whole sequence. */
static void test_steps_equal_sequence(void **state) {
    (void)state;
    cx_error err;
    for (int residual = 0; residual < 2; residual++) {
        cx_net_shape shape = small;
        shape.residual = residual;
        sample s;
        make(&s, &shape, 13, 3, 4);
        const float *out;
        assert_ok(cx_net_forward(s.net, s.block, s.in, s.T, s.B, &out, &err));
        double spread = 0;
        for (int b = 0; b < s.B; b++) {
            float h[24] = {0}, got[5];
            for (int t = 0; t < s.T; t++) {
                size_t row = (size_t)(t * s.B + b);
                assert_ok(cx_net_step(s.net, s.block, s.in + row * 9, h, got, &err));
                for (int i = 0; i < 5; i++) {
                    assert_true(fabsf(got[i] - out[row * 5 + (size_t)i]) < 1e-5f);
                    spread = fmax(spread, fabsf(got[i]));
                }
            }
        }
        assert_true(spread > 0.1); /* there was something to compare */
        drop(&s);
    }
}

/* sum of dout * out, whose gradient cx_net_backward gives for dout */
static double objective(sample *s) {
    cx_error err;
    const float *out;
    assert_ok(cx_net_forward(s->net, s->block, s->in, s->T, s->B, &out, &err));
    double sum = 0;
    for (int i = 0; i < s->T * s->B * 5; i++)
        sum += (double)s->dout[i] * out[i];
    return sum;
}

/* Largest relative difference, over tensors and directions, between the slope of the
 * objective and `sign` times what the gradient says. */
static double gradient_error(sample *s, double sign) {
    double worst = 0;
    cx_rng rng = cx_rng_make(6, 0, CX_STREAM_TEST);
    for (int i = 0; i < cx_net_tensors(s->net); i++) {
        const struct cx_net_tensor *t = cx_net_tensor_at(s->net, i);
        for (int round = 0; round < 3; round++) {
            float *d = numbers(t->size, &rng), *w = s->block + t->offset, *g = s->grads + t->offset;
            float *start = malloc(t->size * sizeof *start);
            assert_non_null(start);
            memcpy(start, w, t->size * sizeof *start);
            double norm = 0, said = 0, value[2];
            for (size_t k = 0; k < t->size; k++)
                norm += (double)d[k] * d[k];
            for (size_t k = 0; k < t->size; k++) /* along and across the gradient */
                d[k] = (float)(d[k] / sqrt(norm)) + (round ? 0 : g[k]);
            norm = 0;
            for (size_t k = 0; k < t->size; k++)
                norm += (double)d[k] * d[k];
            for (size_t k = 0; k < t->size; k++)
                said += g[k] * (d[k] /= (float)sqrt(norm));
            const double h = 5e-3;
            for (int side = 0; side < 2; side++) {
                for (size_t k = 0; k < t->size; k++)
                    w[k] = start[k] + (float)(side ? h : -h) * d[k];
                value[side] = objective(s);
            }
            memcpy(w, start, t->size * sizeof *start);
            double slope = (value[1] - value[0]) / (2 * h);
            worst = fmax(worst, fabs(slope - sign * said) / (0.1 + fabs(slope)));
            free(d);
            free(start);
        }
    }
    return worst;
}

static void test_gradient(void **state) {
    (void)state;
    cx_error err;
    sample s;
    make(&s, &small, 9, 3, 5); /* both are padded inside */
    (void)objective(&s);
    memset(s.grads, 0x7f, cx_net_trainable(s.net) * sizeof *s.grads); /* to be overwritten */
    assert_ok(cx_net_backward(s.net, s.block, s.dout, s.T, s.B, s.grads, &err));
    double error = gradient_error(&s, 1);
    if (!(error < 0.02))
        fail_msg("slopes differ by %g", error);
    assert_true(gradient_error(&s, -1) > 0.5); /* the check sees a flipped sign */
    /* the same again gives the same bits */
    float *again = malloc(cx_net_trainable(s.net) * sizeof *again);
    assert_non_null(again);
    (void)objective(&s);
    assert_ok(cx_net_backward(s.net, s.block, s.dout, s.T, s.B, again, &err));
    assert_memory_equal(again, s.grads, cx_net_trainable(s.net) * sizeof *again);
    assert_int_equal(cx_net_backward(s.net, s.block, s.dout, 30, s.B, again, &err), CX_ESTATE);
    free(again);
    drop(&s);
}

/* What is real depends neither on what stands in the padding nor on its amount. */
static void test_padding(void **state) {
    (void)state;
    enum { T = 10, B = 4, LONG = 19, WIDE = 9 };
    cx_error err;
    sample s;
    make(&s, &small, T, B, 7);
    const float *out;
    assert_ok(cx_net_forward(s.net, s.block, s.in, T, B, &out, &err));
    float kept[T * B * 5];
    memcpy(kept, out, sizeof kept);
    assert_ok(cx_net_backward(s.net, s.block, s.dout, T, B, s.grads, &err));
    size_t n = cx_net_trainable(s.net);
    float *other = calloc(n, sizeof *other), *first = calloc(n, sizeof *first);
    assert_non_null(other);
    assert_non_null(first);
    cx_rng rng = cx_rng_make(8, 0, CX_STREAM_TEST);
    for (int round = 0; round < 2; round++) { /* other contents, the same padding */
        float *in = numbers(LONG * WIDE * 9, &rng), *dout = calloc(LONG * WIDE * 5, sizeof *dout);
        float *wide = calloc(LONG * WIDE * 5, sizeof *wide);
        assert_non_null(dout);
        assert_non_null(wide);
        for (int t = 0; t < T; t++) {
            memcpy(in + t * WIDE * 9, s.in + t * B * 9, B * 9 * sizeof *in);
            memcpy(dout + t * WIDE * 5, s.dout + t * B * 5, B * 5 * sizeof *dout);
        }
        assert_ok(cx_net_forward(s.net, s.block, in, LONG, WIDE, &out, &err));
        for (int t = 0; t < T; t++)
            for (int k = 0; k < B * 5; k++)
                assert_true(fabsf(out[t * WIDE * 5 + k] - kept[t * B * 5 + k]) < 1e-5f);
        assert_ok(cx_net_backward(s.net, s.block, dout, LONG, WIDE, other, &err));
        double scale = 0, difference = 0;
        for (size_t k = 0; k < n; k++) {
            scale = fmax(scale, fabsf(s.grads[k]));
            difference = fmax(difference, fabsf(s.grads[k] - other[k]));
        }
        assert_true(scale > 0.1 && difference < 1e-5 * scale);
        if (round) /* to the last bit */
            assert_memory_equal(first, other, n * sizeof *first);
        memcpy(first, other, n * sizeof *first);
        free(in);
        free(dout);
        free(wide);
    }
    free(first);
    free(other);
    drop(&s);
}

/* Many sizes, so that graphs are dropped and made again, and two blocks in turn. */
static void test_many_sizes(void **state) {
    (void)state;
    cx_error err;
    sample s;
    make(&s, &small, 40, 6, 9);
    const float *out;
    float before[5];
    assert_ok(cx_net_forward(s.net, s.block, s.in, 5, 2, &out, &err));
    memcpy(before, out + (4 * 2 + 1) * 5, sizeof before);
    for (int T = 1; T <= 40; T++)
        for (int B = 1; B <= 6; B += 5) {
            assert_ok(cx_net_forward(s.net, s.block, s.in, T, B, &out, &err));
            for (int i = 0; i < T * B * 5; i++)
                assert_true(isfinite(out[i]));
        }
    assert_ok(cx_net_forward(s.net, s.block, s.in, 5, 2, &out, &err));
    assert_memory_equal(before, out + (4 * 2 + 1) * 5, sizeof before);
    /* another block, and back: acting looks at the block that it is given */
    size_t n = cx_net_count(s.net);
    float *block = calloc(n, sizeof *block), h[24] = {0}, first[5], second[5];
    assert_non_null(block);
    assert_ok(cx_net_step(s.net, s.block, s.in, h, first, &err));
    memset(h, 0, sizeof h);
    assert_ok(cx_net_step(s.net, block, s.in, h, second, &err));
    for (int i = 0; i < 5; i++)
        assert_true(second[i] == 0 && first[i] != 0);
    memset(h, 0, sizeof h);
    assert_ok(cx_net_step(s.net, s.block, s.in, h, second, &err));
    assert_memory_equal(first, second, sizeof first);
    assert_int_equal(cx_net_forward(s.net, s.block, s.in, 0, 1, &out, &err), CX_ESTATE);
    free(block);
    drop(&s);
}

static void test_shapes_of_configuration(void **state) {
    (void)state;
    cx_config config;
    sample_config(&config);
    cx_net_shape policy = cx_policy_shape(&config), value = cx_value_shape(&config);
    assert_int_equal(policy.inputs, 161);
    assert_int_equal(policy.outputs, 35);
    assert_int_equal(value.outputs, 1);
    assert_true(value.inputs > policy.inputs + 26);
    assert_true(policy.output_scale == 0.01 && value.output_scale == 1);
    assert_true(policy.residual && policy.hidden == 16 && policy.lstm == 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),     cmocka_unit_test(test_init),
        cmocka_unit_test(test_statistics), cmocka_unit_test(test_steps_equal_sequence),
        cmocka_unit_test(test_gradient),   cmocka_unit_test(test_padding),
        cmocka_unit_test(test_many_sizes), cmocka_unit_test(test_shapes_of_configuration),
    };
    int failed = 0;
    RUN_AT_EACH_LEVEL(failed, tests, NULL, NULL);
    return failed;
}
