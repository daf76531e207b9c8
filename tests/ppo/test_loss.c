#include "tests/test.h"

#include "base/rng.h"
#include "ppo/learner.h"
#include <math.h>

/* The definition, written otherwise than in loss.c. */
static double objective(double log_prob, double old, double advantage, double clip) {
    double r = exp(log_prob - old);
    return fmin(r * advantage, fmin(fmax(r, 1 - clip), 1 + clip) * advantage);
}

static void test_surrogate_against_definition(void **state) {
    (void)state;
    cx_rng rng = cx_rng_make(2, 0, CX_STREAM_TEST);
    int clipped = 0, flat = 0;
    for (int i = 0; i < 10000; i++) {
        double old = -3 * cx_rng_uniform(&rng), log_prob = old + 0.4 * cx_rng_normal(&rng);
        double advantage = cx_rng_normal(&rng), r = exp(log_prob - old), h = 1e-6;
        if (fabs(fabs(r - 1) - 0.2) < 1e-4)
            continue; /* the corner has no derivative */
        cx_surrogate s = cx_surrogate_at(log_prob, old, advantage, 0.2);
        double slope = (objective(log_prob + h, old, advantage, 0.2) -
                        objective(log_prob - h, old, advantage, 0.2)) /
                       (2 * h);
        assert_true(fabs(s.loss + objective(log_prob, old, advantage, 0.2)) < 1e-12);
        assert_true(fabs(s.d_log_prob + slope) < 1e-7);
        assert_true(fabs(s.log_ratio - (log_prob - old)) < 1e-12);
        assert_int_equal(s.clipped, fabs(r - 1) > 0.2);
        clipped += s.clipped;
        flat += s.d_log_prob == 0;
    }
    assert_true(clipped > 1000 && flat > 500 && flat < clipped);
}

/* A good choice is made likelier, a bad one less likely, and neither any further once
 * the ratio has left the bounds in that direction. */
static void test_surrogate_signs(void **state) {
    (void)state;
    assert_true(cx_surrogate_at(-1, -1, 2, 0.2).d_log_prob == -2); /* descent raises log p */
    assert_true(cx_surrogate_at(-1, -1, -2, 0.2).d_log_prob == 2);
    assert_true(cx_surrogate_at(-0.5, -1, 2, 0.2).d_log_prob == 0);
    assert_true(cx_surrogate_at(-0.5, -1, -2, 0.2).d_log_prob > 0);
    assert_true(cx_surrogate_at(-1.5, -1, -2, 0.2).d_log_prob == 0);
    assert_true(cx_surrogate_at(-1.5, -1, 2, 0.2).d_log_prob < 0);
    cx_surrogate far = cx_surrogate_at(0, -1e4, -1, 0.2);
    assert_true(isfinite(far.loss) && isfinite(far.d_log_prob));
}

/* Weights beta^(age) (1 - beta) / (1 - beta^n), computed all at once. */
static void test_ewma(void **state) {
    (void)state;
    cx_rng rng = cx_rng_make(4, 0, CX_STREAM_TEST);
    cx_ewma e = {0};
    double x[300], beta = 0.99;
    assert_true(cx_ewma_deviation(&e) == 1);
    for (int n = 1; n <= 300; n++) {
        x[n - 1] = 5 + cx_rng_normal(&rng);
        cx_ewma_add(&e, x[n - 1], 0, 1 - beta);
        double weight = 0, mean = 0, variance = 0;
        for (int i = 0; i < n; i++) {
            weight += pow(beta, n - 1 - i);
            mean += pow(beta, n - 1 - i) * x[i];
        }
        mean /= weight;
        for (int i = 0; i < n; i++)
            variance += pow(beta, n - 1 - i) * (x[i] - mean) * (x[i] - mean) / weight;
        assert_true(fabs(e.mean - mean) < 1e-10);
        assert_true(fabs(e.variance - variance) < 1e-10);
        assert_true(fabs(cx_ewma_deviation(&e) - sqrt(variance + 1e-8)) < 1e-10);
    }
    /* a group enters as one sample with a spread of its own */
    cx_ewma g = {0};
    cx_ewma_add(&g, 3, 4, 0.25);
    assert_true(g.mean == 3 && g.variance == 4 && g.weight == 0.25);
    cx_ewma_add(&g, 3, 1, 0.25);
    double now = 0.25 / (0.25 + 0.25 * 0.75);
    assert_true(fabs(g.variance - (now * 1 + (1 - now) * 4)) < 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_surrogate_against_definition),
        cmocka_unit_test(test_surrogate_signs),
        cmocka_unit_test(test_ewma),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
