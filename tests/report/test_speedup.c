#include "tests/test.h"

#include "base/rng.h"
#include "report/speedup.h"
#include <math.h>
#include <string.h>

static const double lengths[] = {0.5, 1, 2, 4};

static void assert_near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.17g is not %.17g within %g", a, b, tolerance);
}

static void test_length_to_reach(void **state) {
    (void)state;
    const double loss[] = {0.8, 0.4, 0.2, 0.1}; /* loss ~ 1 / length */
    for (int i = 0; i < 4; i++)                 /* the knots exactly */
        assert_true(cx_length_to_reach(lengths, loss, 4, loss[i]) == lengths[i]);
    for (double at = 0.55; at < 4; at += 0.1)
        assert_near(cx_length_to_reach(lengths, loss, 4, 0.4 / at), at, 1e-12);
    assert_true(cx_length_to_reach(lengths, loss, 4, 0.81) == -INFINITY);
    assert_true(cx_length_to_reach(lengths, loss, 4, 0.099) == INFINITY);
    assert_true(cx_length_to_reach(lengths, loss, 4, NAN) == -INFINITY);
    assert_true(cx_length_to_reach(lengths, loss, 4, INFINITY) == -INFINITY);
    /* a loss of 0: floored, no infinity of its own */
    const double to_zero[] = {0.8, 0.4, 0.2, 0};
    double x = cx_length_to_reach(lengths, to_zero, 4, 0.1);
    assert_true(x > 2 && x < 4);
}

/* By hand: 8 is reached at 1, held over 2; 6 is half the way down (in logarithms:
 * log(8/6)/log(8/4) = 0.41504) from 2 to 4. */
static void test_running_minimum(void **state) {
    (void)state;
    const double loss[] = {10, 8, 9, 4};
    assert_true(cx_length_to_reach(lengths, loss, 4, 8) == 1);
    assert_near(cx_length_to_reach(lengths, loss, 4, 6), 2 * pow(2, log(8 / 6.0) / log(2)), 1e-12);
    assert_near(cx_length_to_reach(lengths, loss, 4, 9), pow(2, log(10 / 9.0) / log(1.25) - 1),
                1e-12);
    const double rising[] = {1, 2, 3, 4};
    assert_true(cx_length_to_reach(lengths, rising, 4, 1) == 0.5);
    assert_true(cx_length_to_reach(lengths, rising, 4, 0.9) == INFINITY);
    /* diverged baselines reach nothing */
    const double holes[] = {NAN, 8, INFINITY, 4};
    assert_true(cx_length_to_reach(lengths, holes, 4, 100) == 1);
    assert_true(cx_length_to_reach(lengths, holes, 4, 8) == 1);
    assert_near(cx_length_to_reach(lengths, holes, 4, 6), 2 * pow(2, log(8 / 6.0) / log(2)), 1e-12);
    const double none[] = {NAN, NAN, NAN, NAN};
    assert_true(cx_length_to_reach(lengths, none, 4, 6) == INFINITY);
}

static void assert_text(double x, int below, int above, const char *expected) {
    char text[32];
    cx_speedup_text(log(x), cx_bound_of(5, below, above), 0.5, 4, text, sizeof text);
    assert_string_equal(text, expected);
}

static void test_speedups(void **state) {
    (void)state;
    cx_error err;
    cx_speedup s;
    double logs[4];
    const double exact[] = {1, 2, 4, 2};
    assert_ok(cx_speedup_of(exact, 4, 0.5, 4, 1, logs, &s, &err));
    assert_near(s.log.mean, log(2), 1e-15);
    assert_near(s.median, log(2), 1e-15);
    assert_true(s.below == 0 && s.above == 0 && s.log.low < log(2) && s.log.high > log(2));
    const double outside[] = {INFINITY, 4, -INFINITY, 0.5};
    assert_ok(cx_speedup_of(outside, 4, 0.5, 4, 1, logs, &s, &err));
    assert_true(s.below == 1 && s.above == 1);
    assert_near(s.log.mean, (2 * log(4) - 2 * log(2)) / 4, 1e-15);
    assert_text(1.5, 0, 0, "1.50 x");
    assert_text(4, 0, 5, "> 4 x");
    assert_text(0.5, 5, 0, "< 1/2 x");
    assert_text(2.9, 0, 1, ">= 2.90 x");
    assert_text(0.75, 2, 0, "<= 0.75 x");
    assert_text(1.1, 1, 1, "~ 1.10 x");
    assert_text(NAN, 0, 0, "-");
}

/* Over all subsets, one by one. */
static double brute(const double *valid, const double *test, int n, int N) {
    double sum = 0;
    int count = 0;
    for (unsigned set = 0; set < 1u << n; set++) {
        int best = -1, size = 0;
        for (int i = 0; i < n; i++)
            if (set >> i & 1) {
                size++;
                if (best < 0 || valid[i] < valid[best])
                    best = i;
            }
        if (size == N) {
            sum += test[best];
            count++;
        }
    }
    return sum / count;
}

static void test_trials(void **state) {
    (void)state;
    enum { N = 9 };
    cx_error err;
    cx_rng rng = cx_rng_make(5, 0, CX_STREAM_TEST);
    for (int round = 0; round < 20; round++) {
        double valid[N], test[N], expected[N];
        int worth;
        for (int i = 0; i < N; i++) {
            valid[i] = cx_rng_uniform(&rng);
            test[i] = valid[i] + 0.3 * cx_rng_uniform(&rng);
        }
        double target = 0.2 + 0.4 * cx_rng_uniform(&rng);
        assert_ok(cx_trials_worth(valid, test, N, target, expected, &worth, &err));
        int first = 0;
        for (int n = 1; n <= N; n++) {
            double b = brute(valid, test, N, n);
            assert_near(expected[n - 1], b, 1e-12);
            if (!first && b <= target)
                first = n;
        }
        assert_int_equal(worth, first);
    }
}

/* A diverged trial is chosen last, and costs what the worst of the others does. */
static void test_diverged_trials(void **state) {
    (void)state;
    cx_error err;
    const double valid[] = {3, NAN, 1}, test[] = {3, NAN, 2};
    double expected[3];
    int worth;
    assert_ok(cx_trials_worth(valid, test, 3, 2.3, expected, &worth, &err));
    assert_near(expected[0], (3 + 3 + 2) / 3.0, 1e-15);
    assert_near(expected[1], (2 + 2 + 3) / 3.0, 1e-15);
    assert_near(expected[2], 2, 1e-15);
    assert_int_equal(worth, 3);
    assert_ok(cx_trials_worth(valid, test, 3, 1.9, expected, &worth, &err));
    assert_int_equal(worth, 0);
    const double nothing[] = {NAN, NAN};
    assert_ok(cx_trials_worth(nothing, nothing, 2, 1, expected, &worth, &err));
    assert_int_equal(worth, 0);
    assert_ok(cx_trials_worth(nothing, nothing, 0, 1, expected, &worth, &err));
    assert_int_equal(worth, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length_to_reach), cmocka_unit_test(test_running_minimum),
        cmocka_unit_test(test_speedups),        cmocka_unit_test(test_trials),
        cmocka_unit_test(test_diverged_trials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
