#include "tests/test.h"

#include "tests/levels.h"

#include "tests/tasks/make.h"

static cx_config config;

static int set_up(void **state) {
    (void)state;
    make_config(&config, "", "  - {family: nqm, outer_steps: 4}\n");
    return 0;
}

static live make(int dimension, double conditioning, double noise, uint64_t seed) {
    cx_task_spec spec = make_spec("nqm", seed);
    set(&spec, "dimension", dimension);
    set(&spec, "conditioning", conditioning);
    set(&spec, "noise", noise);
    return make_live(&spec, &config, NULL);
}

static void test_shape(void **state) {
    (void)state;
    live l = make(21, 100, 1, 1);
    assert_int_equal(l.task->outer_steps, 2);
    assert_int_equal(l.task->inner_steps, 20);
    assert_int_equal(cx_graph_param_tensors(l.task->graph), 1);
    const cx_param *p = cx_graph_param_info(l.task->graph, 0);
    assert_int_equal(p->shape.rank, 1); /* a vector: LAMB leaves it alone */
    assert_int_equal(p->size, 21);
    assert_true(l.task->param_count >= 21 && l.task->state_count == l.task->param_count);
    drop_live(&l);
}

/* Central differences of the loss, in both the sampled and the expected one. */
static void test_gradient(void **state) {
    (void)state;
    for (int noisy = 0; noisy < 2; noisy++) {
        live l = make(9, 10, noisy ? 0.5 : 0, 3);
        double base = cx_task_step(l.task, l.block, l.grads, 7);
        double metric[CX_TASK_METRICS] = {0};
        if (!noisy) {
            double exact = cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, metric);
            assert_true(fabs(base - exact) < 1e-6 * base);
            assert_true(isnan(metric[0]) && isnan(metric[1]));
        }
        float *g = calloc(l.task->param_count, sizeof *g);
        for (int i = 0; i < 9; i++) {
            const float e = 0.25f; /* a quadratic has no third derivative: any width is exact */
            float was = l.block[i];
            l.block[i] = was + e;
            double up = cx_task_step(l.task, l.block, g, 7);
            l.block[i] = was - e;
            double down = cx_task_step(l.task, l.block, g, 7);
            double slope = (up - down) / ((double)(was + e) - (double)(was - e));
            l.block[i] = was;
            if (fabs(slope - l.grads[i]) > 1e-5 * (1 + fabs(slope)))
                fail_msg("x[%d]: gradient %g, difference quotient %g", i, l.grads[i], slope);
        }
        free(g);
        drop_live(&l);
    }
}

/* Curvature from two gradients; from it the optimum. */
static void test_spectrum_and_optimum(void **state) {
    (void)state;
    enum { D = 33 };
    live l = make(D, 500, 0, 5), noisy = make(D, 500, 0.7, 5);
    double h[D], sum = 0, lo = INFINITY, hi = 0;
    float *g = calloc(l.task->param_count, sizeof *g);
    (void)cx_task_step(l.task, l.block, l.grads, 0);
    memcpy(g, l.grads, D * sizeof *g);
    for (int i = 0; i < D; i++)
        l.block[i] += 1;
    (void)cx_task_step(l.task, l.block, l.grads, 0);
    for (int i = 0; i < D; i++) {
        h[i] = l.grads[i] - g[i];
        sum += h[i];
        lo = fmin(lo, h[i]);
        hi = fmax(hi, h[i]);
    }
    assert_true(fabs(sum - 1) < 1e-4);
    assert_true(fabs(hi / lo / 500 - 1) < 0.02);
    double left = 0;
    for (int i = 0; i < D; i++) {
        l.block[i] -= (float)(l.grads[i] / h[i]);
        left = fmax(left, fabs(l.block[i]));
    }
    assert_true(left > 0.5); /* the optimum is not the origin */
    assert_true(cx_task_optimum(l.task) == 0);
    assert_true(cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL) < 1e-7);
    double value = cx_task_evaluate(noisy.task, l.block, CX_SPLIT_TEST, 0, NULL);
    assert_true(fabs(cx_task_optimum(noisy.task) - 0.49) < 1e-12);
    assert_true(value >= cx_task_optimum(noisy.task)); /* the same optimum, noise or none */
    assert_true(value - cx_task_optimum(noisy.task) < 1e-7);
    free(g);
    drop_live(&l);
    drop_live(&noisy);
}

/* Mean of loss and gradient are the expected loss and its gradient; the gradient's
 * covariance is 2 noise^2 / d * H. */
static void test_noise(void **state) {
    (void)state;
    enum { D = 5, N = 20000 };
    live l = make(D, 50, 0.8, 11), clean = make(D, 50, 0, 11);
    assert_memory_equal(l.block, clean.block, D * sizeof(float)); /* the same start */
    double loss = 0, mean[D] = {0}, square[D] = {0};
    for (uint32_t s = 0; s < N; s++) {
        double one = cx_task_step(l.task, l.block, l.grads, s);
        assert_true(one >= 0);
        loss += one / N;
        for (int i = 0; i < D; i++) {
            mean[i] += l.grads[i] / N;
            square[i] += (double)l.grads[i] * l.grads[i] / N;
        }
    }
    double exact = cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL);
    assert_true(fabs(loss / exact - 1) < 0.03);
    (void)cx_task_step(clean.task, clean.block, clean.grads, 0);
    double sum = 0;
    for (int i = 0; i < D; i++) {
        double variance = square[i] - mean[i] * mean[i];
        double h = variance * D / (2 * 0.64); /* what the covariance says of the curvature */
        assert_true(fabs(mean[i] - clean.grads[i]) < 5 * sqrt(variance / N));
        sum += h;
    }
    assert_true(fabs(sum - 1) < 0.03);
    drop_live(&l);
    drop_live(&clean);
}

/* With equal eigenvalues 1/d the gradients betray the normal numbers themselves. */
static void test_noise_is_normal(void **state) {
    (void)state;
    enum { D = 601, STEPS = 400 };
    live l = make(D, 1, 1, 2), clean = make(D, 1, 0, 2);
    double power[5] = {0}, lag[4] = {0}, beyond[3] = {0}, n = (double)D * STEPS;
    static const int lags[4] = {1, 44, 45, 128}; /* 601 = 2 * 256 + 89: pairs lie 128 or 45 apart */
    (void)cx_task_step(clean.task, clean.block, clean.grads, 0);
    for (uint32_t s = 0; s < STEPS; s++) {
        double e[D];
        (void)cx_task_step(l.task, l.block, l.grads, s);
        for (int i = 0; i < D; i++) {
            e[i] = ((double)clean.grads[i] - l.grads[i]) * D / sqrt(2);
            for (int k = 1; k < 5; k++)
                power[k] += pow(e[i], k) / n;
            for (int k = 0; k < 3; k++)
                beyond[k] += (fabs(e[i]) > k + 1) / n;
            for (int k = 0; k < 4; k++)
                lag[k] += i >= lags[k] ? e[i] * e[i - lags[k]] / n : 0;
        }
    }
    /* five standard errors of 240,400 numbers */
    assert_true(fabs(power[1]) < 0.0102);
    assert_true(fabs(power[2] - 1) < 0.0145);
    assert_true(fabs(power[3]) < 0.04);
    assert_true(fabs(power[4] - 3) < 0.1);
    for (int k = 0; k < 3; k++) {
        double p = erfc((k + 1) / sqrt(2));
        assert_true(fabs(beyond[k] - p) < 5 * sqrt(p / n));
    }
    for (int k = 0; k < 4; k++)
        assert_true(fabs(lag[k]) < 0.0102);
    drop_live(&l);
    drop_live(&clean);
}

static void test_initial_excess(void **state) {
    (void)state;
    double sum = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        live l = make(300, 1000, 1, seed);
        double x = cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL);
        sum += (x - cx_task_optimum(l.task)) / 50;
        drop_live(&l);
    }
    assert_true(sum > 0.85 && sum < 1.15);
}

static void test_same_bits(void **state) {
    (void)state;
    live a = make(100, 1000, 1, 42), b = make(100, 1000, 1, 42), c = make(100, 1000, 1, 43);
    size_t bytes = a.task->param_count * sizeof(float);
    assert_memory_equal(a.block, b.block, bytes);
    assert_memory_not_equal(a.block, c.block, bytes);
    double first = cx_task_step(a.task, a.block, a.grads, 3);
    (void)cx_task_step(b.task, b.block, b.grads, 9);
    assert_memory_not_equal(a.grads, b.grads, bytes);
    assert_true(cx_task_step(b.task, b.block, b.grads, 3) == first);
    assert_memory_equal(a.grads, b.grads, bytes);
    drop_live(&a);
    drop_live(&b);
    drop_live(&c);
}

static void test_sgd_falls(void **state) {
    (void)state;
    live l = make(1000, 10, 1, 1);
    double before = cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL) - 1;
    for (uint32_t s = 0; s < 2000; s++) {
        (void)cx_task_step(l.task, l.block, l.grads, s);
        for (size_t i = 0; i < l.task->param_count; i++)
            l.block[i] -= 5 * l.grads[i];
    }
    double after = cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL) - 1;
    assert_true(after < 0.1 * before);
    drop_live(&l);
}

static void test_one_dimension(void **state) {
    (void)state;
    live l = make(1, 1e8, 0, 1);
    (void)cx_task_step(l.task, l.block, l.grads, 0);
    l.block[0] -= l.grads[0]; /* the only eigenvalue is 1: Newton's step */
    assert_true(cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, NULL) < 1e-12);
    drop_live(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_spectrum_and_optimum),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_noise_is_normal),
        cmocka_unit_test(test_initial_excess),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_sgd_falls),
        cmocka_unit_test(test_one_dimension),
    };
    int failed = 0;
    RUN_AT_EACH_LEVEL(failed, tests, set_up, NULL);
    return failed;
}
