#include "tests/test.h"

#include "base/rng.h"
#include "report/stats.h"
#include "report/table.h"
#include <math.h>
#include <string.h>

static void assert_near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.17g is not %.17g within %g", a, b, tolerance);
}

static void test_moments(void **state) {
    (void)state;
    cx_error err;
    const double x[] = {4, 1, 3, 2, 10};
    double p;
    assert_near(cx_stats_mean(x, 5), 4, 0);
    assert_near(cx_stats_deviation(x, 5), sqrt(12.5), 1e-15);
    assert_near(cx_stats_error(x, 5), sqrt(12.5 / 5), 1e-15);
    /* numpy.percentile([4,1,3,2,10], [0,25,50,90,100]) */
    const double at[] = {0, 25, 50, 90, 100}, expected[] = {1, 2, 3, 7.6, 10};
    for (int i = 0; i < 5; i++) {
        assert_ok(cx_stats_percentile(x, 5, at[i], &p, &err));
        assert_near(p, expected[i], 1e-12);
    }
    assert_true(isnan(cx_stats_mean(x, 0)));
    assert_true(isnan(cx_stats_deviation(x, 1)));
    assert_ok(cx_stats_percentile(x, 0, 50, &p, &err));
    assert_true(isnan(p));
    cx_interval i = cx_normal_mean(x, 5);
    assert_near(i.high - i.low, 2 * 1.959963984540054 * sqrt(2.5), 1e-12);
    assert_near(i.mean, 4, 0);
}

/* Over many samples of 40 normal numbers, the intervals cover the true mean about
 * 95 times in 100 (the percentile bootstrap slightly less: 93.7 +- 1.2 % at n = 40). */
static void test_coverage(void **state) {
    (void)state;
    cx_rng rng = cx_rng_make(7, 0, CX_STREAM_TEST);
    int by_bootstrap = 0, by_normal = 0;
    enum { ROUNDS = 400, N = 40 };
    for (int r = 0; r < ROUNDS; r++) {
        double x[N];
        for (int i = 0; i < N; i++)
            x[i] = 5 + 2 * cx_rng_normal(&rng);
        cx_interval b = cx_bootstrap_mean(x, N, (uint64_t)r), n = cx_normal_mean(x, N);
        by_bootstrap += b.low <= 5 && 5 <= b.high;
        by_normal += n.low <= 5 && 5 <= n.high;
    }
    assert_in_range(by_bootstrap, ROUNDS * 90 / 100, ROUNDS * 98 / 100);
    assert_in_range(by_normal, ROUNDS * 90 / 100, ROUNDS * 98 / 100);
}

static void test_bootstrap_is_a_function_of_its_seed(void **state) {
    (void)state;
    const double x[] = {1, 2, 4, 8, 16, 32};
    cx_interval a = cx_bootstrap_mean(x, 6, 1), b = cx_bootstrap_mean(x, 6, 1),
                c = cx_bootstrap_mean(x, 6, 2);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(a.low != c.low || a.high != c.high);
    assert_true(a.low < a.mean && a.mean < a.high);
    a = cx_bootstrap_mean(x, 1, 1);
    assert_true(a.low == 1 && a.high == 1);
    assert_true(isnan(cx_bootstrap_mean(x, 0, 1).low));
}

static void test_paired(void **state) {
    (void)state;
    cx_error err;
    cx_paired p;
    const double a[] = {1, 2, 3, 4}, b[] = {2, 2, 5, 3};
    assert_ok(cx_stats_paired(a, b, 4, 1, &p, &err));
    assert_near(p.difference.mean, -0.5, 0);
    assert_near(p.share_less, 2.5 / 4, 0);
    assert_near(p.error, sqrt((0.25 + 0.25 + 2.25 + 2.25) / 3 / 4), 1e-15);
    assert_true(p.difference.low >= -2 && p.difference.high <= 1);
    assert_true(p.difference.low < -0.5 && p.difference.high > -0.5);
}

static void test_statistics(void **state) {
    (void)state;
    const double x[] = {10, 1, 4, 2, 3};
    double y[5];
#define OF(f, n) (memcpy(y, x, sizeof x), f(NULL, y, n))
    assert_near(OF(cx_statistic_mean, 5), 4, 0);
    assert_near(OF(cx_statistic_median, 5), 3, 0);
    assert_near(OF(cx_statistic_least, 5), 1, 0);
    /* between 1.25 and 3.75 of the sorted 1 2 3 4 10: .75 of 2, 3, .75 of 4 */
    assert_near(OF(cx_statistic_iqm, 5), (0.75 * 2 + 3 + 0.75 * 4) / 2.5, 1e-15);
    assert_near(OF(cx_statistic_iqm, 4), 3, 1e-15); /* 2 and 4 of 1 2 4 10 */
    assert_near(OF(cx_statistic_iqm, 2), 5.5, 1e-15);
    assert_near(OF(cx_statistic_iqm, 1), 10, 0);
    assert_true(isnan(OF(cx_statistic_iqm, 0)) && isnan(OF(cx_statistic_median, 0)));
#undef OF
}

/* Wilson's interval by hand: 8 of 10 is 0.4902 .. 0.9433; 4 of 4 is 0.5101 .. 1. */
static void test_share(void **state) {
    (void)state;
    cx_interval i = cx_share_interval(8, 10);
    assert_near(i.mean, 0.8, 0);
    assert_near(i.low, 0.49016, 1e-5);
    assert_near(i.high, 0.94332, 1e-5);
    i = cx_share_interval(4, 4);
    assert_near(i.low, 0.51011, 1e-5);
    assert_near(i.high, 1, 1e-12);
    i = cx_share_interval(0, 4);
    assert_near(i.low, 0, 1e-12);
    assert_true(isnan(cx_share_interval(0, 0).mean));
}

/* One group: the bootstrap of its mean. Groups of one number: that of the groups. Between
 * and within: wider than either. */
static void test_groups(void **state) {
    (void)state;
    cx_error err;
    const double a[] = {1, 2, 3, 4}, b[] = {11, 12, 13, 14}, c[] = {2.5}, d[] = {12.5};
    const double *one[] = {a}, *both[] = {a, b}, *alone[] = {c, d};
    const int n[] = {4, 4}, single[] = {1, 1};
    cx_interval i, j;
    assert_ok(cx_bootstrap_groups(one, n, 1, cx_statistic_mean, NULL, 3, &i, &err));
    j = cx_bootstrap_mean(a, 4, 3);
    assert_near(i.mean, 2.5, 0);
    assert_near(i.low, j.low, 0.3);
    assert_near(i.high, j.high, 0.3);
    assert_ok(cx_bootstrap_groups(alone, single, 2, cx_statistic_mean, NULL, 3, &i, &err));
    assert_true(i.mean == 7.5 && i.low == 2.5 && i.high == 12.5);
    assert_ok(cx_bootstrap_groups(both, n, 2, cx_statistic_mean, NULL, 3, &j, &err));
    assert_true(j.mean == 7.5 && j.low < i.low && j.high > i.high);
    assert_ok(cx_bootstrap_groups(both, n, 2, cx_statistic_median, NULL, 3, &i, &err));
    assert_near(i.mean, 7.5, 0);
    assert_ok(cx_bootstrap_groups(both, n, 0, cx_statistic_mean, NULL, 3, &i, &err));
    assert_true(isnan(i.mean));
}

static cx_table *example(void) {
    cx_table *t = cx_table_create("Title");
    cx_table_column(t, "name", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "loss", CX_COLUMN_FIXED, 3);
    cx_table_column(t, "lr", CX_COLUMN_SIGNIFICANT, 3);
    cx_table_column(t, "won", CX_COLUMN_SHARE, 0);
    cx_table_text(t, "AdamW");
    cx_table_number(t, 0.12345);
    cx_table_number(t, 1e-4);
    cx_table_number(t, 0.5);
    cx_table_text(t, "pol\xc3\xadtica");
    cx_table_number(t, -0.0001);
    cx_table_number(t, NAN);
    cx_table_format(t, "%d of %d", 3, 4);
    cx_table_note(t, "A note.");
    return t;
}

static void test_table_as_text(void **state) {
    (void)state;
    cx_error err;
    char *text;
    cx_table *t = example();
    assert_ok(cx_table_to_text(t, &text, &err));
    assert_string_equal(text, "Title\n"
                              "name       loss      lr     won\n"
                              "AdamW     0.123  0.0001    50 %\n"
                              "pol\xc3\xadtica  0.000       -  3 of 4\n"
                              "A note.\n");
    free(text);
    cx_table_text(t, "a cell too many");
    assert_int_equal(cx_table_to_text(t, &text, &err), CX_ESTATE);
    assert_null(text);
    cx_table_destroy(t);
}

static void test_table_as_json(void **state) {
    (void)state;
    cx_error err;
    char *text;
    cx_table *t = example();
    assert_ok(cx_table_to_json(t, &text, &err));
    assert_string_equal(
        text, "{\"name\":\"AdamW\",\"loss\":0.12345,\"lr\":0.0001,\"won\":0.5}\n"
              "{\"name\":\"pol\xc3\xadtica\",\"loss\":-0.0001,\"lr\":null,\"won\":\"3 of 4\"}\n");
    free(text);
    cx_table_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_bootstrap_is_a_function_of_its_seed),
        cmocka_unit_test(test_paired),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_table_as_text),
        cmocka_unit_test(test_table_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
