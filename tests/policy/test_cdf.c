#include "tests/test.h"

#include "base/rng.h"
#include "policy/cdf.h"
#include <math.h>

static double phi(double z) {
    return 0.5 * (1 + erf(z / sqrt(2)));
}

/* Against mean and variance of the explicitly weighted samples: sample s of t has the
 * weight that the product of the running weights leaves it. */
static void test_formula(void **state) {
    (void)state;
    enum { N = 40 };
    double x[N];
    cx_rng rng = cx_rng_make(1, 0, CX_STREAM_TEST);
    cx_cdf cdf = {0};
    for (int t = 1; t <= N; t++) {
        x[t - 1] = 3 + 2 * cx_rng_normal(&rng);
        float out[CX_CDF_COUNT];
        cx_cdf_update(&cdf, x[t - 1], out);
        for (int i = 0; i < CX_CDF_COUNT; i++) {
            double w = cx_cdf_weights[i], share[N], mean = 0, variance = 0, sum = 0;
            for (int s = 1; s <= t; s++) {
                share[s - 1] = w / (s + w - 1);
                for (int later = s + 1; later <= t; later++)
                    share[s - 1] *= 1 - w / (later + w - 1);
                sum += share[s - 1];
                mean += share[s - 1] * x[s - 1];
            }
            for (int s = 0; s < t; s++)
                variance += share[s] * (x[s] - mean) * (x[s] - mean);
            assert_true(fabs(sum - 1) < 1e-12);
            double want = t == 1 ? 0.5 : phi((x[t - 1] - mean) / sqrt(variance));
            assert_true(fabs(out[i] - want) < 1e-6);
        }
    }
}

static void test_constant_and_first(void **state) {
    (void)state;
    cx_cdf cdf = {0};
    float out[CX_CDF_COUNT];
    for (int t = 0; t < 20; t++) {
        cx_cdf_update(&cdf, -0.3, out);
        for (int i = 0; i < CX_CDF_COUNT; i++)
            assert_true(out[i] == 0.5f);
    }
    /* a rise is seen as one, on every scale, most on the longest memory */
    cx_cdf_update(&cdf, 1, out);
    for (int i = 0; i < CX_CDF_COUNT; i++) {
        assert_true(out[i] > 0.5f && out[i] < 1);
        if (i)
            assert_true(out[i] < out[i - 1]);
    }
}

static void test_not_finite(void **state) {
    (void)state;
    cx_cdf cdf = {0}, same = {0};
    float a[CX_CDF_COUNT], b[CX_CDF_COUNT];
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int t = 0; t < 10; t++) {
        cx_cdf_update(&cdf, bad[t % 3], a);
        for (int i = 0; i < CX_CDF_COUNT; i++)
            assert_true(a[i] == 0.5f);
        cx_cdf_update(&cdf, t * t, a);
        cx_cdf_update(&same, t * t, b);
        assert_memory_equal(a, b, sizeof a);
    }
    assert_memory_equal(&cdf, &same, sizeof cdf);
    const double huge[] = {1.7e308, -1.7e308, 1, 1e300, 0};
    for (int t = 0; t < 5; t++) {
        cx_cdf_update(&cdf, huge[t], a);
        for (int i = 0; i < CX_CDF_COUNT; i++)
            assert_true(isfinite(a[i]) && a[i] >= 0 && a[i] <= 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formula),
        cmocka_unit_test(test_constant_and_first),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
