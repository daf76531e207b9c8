#include "tests/test.h"

#include "config/config.h"
#include "tests/config/families.h"
#include <math.h>
#include <string.h>

enum { N = 40000 };

static cx_rng stream(uint64_t i) {
    return cx_rng_make(11, i, CX_STREAM_TEST);
}

/* The largest distance between the empirical distribution of N draws and F (Kolmogorov):
 * 1.95 / sqrt(N) is passed by chance once in a thousand times. */
static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double distance(const cx_dist *dist, double (*f)(double, double, double)) {
    static double x[N];
    cx_rng rng = stream((uint64_t)dist->kind);
    for (int i = 0; i < N; i++) {
        x[i] = cx_dist_sample(dist, &rng);
        assert_true(x[i] >= dist->low && x[i] <= dist->high);
    }
    qsort(x, N, sizeof x[0], ascending);
    double d = 0;
    for (int i = 0; i < N; i++) {
        double u = f(x[i], dist->low, dist->high);
        d = fmax(d, fmax(fabs(u - (double)i / N), fabs(u - (i + 1.0) / N)));
    }
    return d;
}

static double uniform_cdf(double x, double low, double high) {
    return (x - low) / (high - low);
}

static double log_cdf(double x, double low, double high) {
    return log(x / low) / log(high / low);
}

static void test_continuous(void **state) {
    (void)state;
    double limit = 1.95 / sqrt(N);
    cx_dist uniform = {.kind = CX_DIST_UNIFORM, .low = -2, .high = 5};
    cx_dist logarithmic = {.kind = CX_DIST_LOG, .low = 1e-3, .high = 1e2};
    assert_true(distance(&uniform, uniform_cdf) < limit);
    assert_true(distance(&logarithmic, log_cdf) < limit);
    /* the measure tells one from the other */
    assert_true(distance(&logarithmic, uniform_cdf) > 0.3);
}

/* Every whole number as often as it should be: within five deviations. */
static void check_counts(const cx_dist *dist, int n, const double *share) {
    int count[16] = {0};
    cx_rng rng = stream(100 + (uint64_t)dist->kind);
    for (int i = 0; i < N; i++) {
        double x = cx_dist_sample(dist, &rng);
        int k = (int)(x - dist->low);
        assert_true(x == floor(x) && k >= 0 && k < n);
        count[k]++;
    }
    for (int k = 0; k < n; k++)
        assert_true(fabs(count[k] - N * share[k]) < 5 * sqrt(N * share[k] * (1 - share[k])));
}

static void test_whole(void **state) {
    (void)state;
    cx_dist whole = {.kind = CX_DIST_INT, .low = -1, .high = 2};
    check_counts(&whole, 4, (double[]){0.25, 0.25, 0.25, 0.25});
    cx_dist geometric = {.kind = CX_DIST_LOG_INT, .low = 1, .high = 4};
    double share[4]; /* the logarithm is uniform on [0, log 4], then rounded */
    for (int k = 1; k <= 4; k++)
        share[k - 1] = (log(fmin(k + 0.5, 4)) - log(fmax(k - 0.5, 1))) / log(4);
    check_counts(&geometric, 4, share);
    cx_dist choice = {.kind = CX_DIST_CHOICE, .high = 2, .n_choices = 3, .choice = {2, 0, 1}};
    check_counts(&choice, 3, (double[]){1 / 3.0, 1 / 3.0, 1 / 3.0});
    cx_dist point = {.kind = CX_DIST_INT, .low = 7, .high = 7};
    cx_rng rng = stream(5);
    assert_true(cx_dist_sample(&point, &rng) == 7);
    cx_dist wide = {.kind = CX_DIST_INT, .low = 0, .high = 4e9};
    for (int i = 0; i < 100; i++)
        assert_true(cx_dist_sample(&wide, &rng) <= 4e9);
}

static void assert_near(double a, double b) {
    if (!(fabs(a - b) < 1e-12))
        fail_msg("%.17g is not %.17g", a, b);
}

static void test_position(void **state) {
    (void)state;
    cx_dist uniform = {.kind = CX_DIST_UNIFORM, .low = 2, .high = 6};
    assert_near(cx_dist_position(&uniform, 2), -1);
    assert_near(cx_dist_position(&uniform, 5), 0.5);
    assert_near(cx_dist_position(&uniform, 9), 1); /* never beyond the ends */
    assert_near(cx_dist_position(&uniform, NAN), 0);
    cx_dist logarithmic = {.kind = CX_DIST_LOG_INT, .low = 1, .high = 100};
    assert_near(cx_dist_position(&logarithmic, 10), 0);
    assert_near(cx_dist_position(&logarithmic, 100), 1);
    assert_near(cx_dist_position(&logarithmic, -3), -1);
    cx_dist constant = {.kind = CX_DIST_CONSTANT, .low = 3, .high = 3};
    assert_near(cx_dist_position(&constant, 3), 0);
    cx_dist point = {.kind = CX_DIST_LOG, .low = 3, .high = 3};
    assert_near(cx_dist_position(&point, 3), 0);
    cx_dist choice = {
        .kind = CX_DIST_CHOICE, .low = 1, .high = 100, .n_choices = 4, .choice = {100, 1, 10, 1}};
    assert_near(cx_dist_position(&choice, 1), -1);
    assert_near(cx_dist_position(&choice, 10), 0);
    assert_near(cx_dist_position(&choice, 100), 1);
    cx_dist single = {.kind = CX_DIST_CHOICE, .low = 4, .high = 4, .n_choices = 1, .choice = {4}};
    assert_near(cx_dist_position(&single, 4), 0);
}

/* ---- whole tasks ---- */

static cx_config config;
static const char yaml[] = "seed: 5\n"
                           "tasks:\n"
                           "  - {family: bowl, weight: 1, outer_steps: {int: [1, 9]}}\n"
                           "  - family: picture\n"
                           "    weight: 3\n"
                           "    outer_steps: {log_int: [2, 128]}\n"
                           "    norm: [none, batch, layer]\n"
                           "    dropout: {uniform: [0, 0.5]}\n"
                           "    input_scale: {log: [0.1, 10]}\n";

static void parse(const char *text, const char *const *overrides, int n) {
    cx_error err = {0};
    assert_ok(cx_config_parse("f.yaml", text, strlen(text), overrides, n, families, FAMILIES,
                              &config, NULL, &err));
}

static void test_tasks(void **state) {
    (void)state;
    parse(yaml, NULL, 0);
    int pictures = 0, norm[3] = {0};
    double sum = 0, sum2 = 0, cross = 0;
    for (uint64_t i = 0; i < N; i++) {
        cx_task_spec s;
        cx_config_sample_task(&config, families, i, 0, &s);
        assert_int_equal(s.family, s.entry);
        const cx_family_schema *family = families[s.family];
        for (int j = 0; j < CX_TASK_PARAMS_MAX; j++)
            if (j < family->n_params && !family->params[j].words)
                assert_true(s.value[j] >= family->params[j].low &&
                            s.value[j] <= family->params[j].high);
            else if (j >= family->n_params)
                assert_true(s.value[j] == 0);
        if (s.entry == 0)
            continue;
        pictures++;
        norm[(int)s.value[1]]++;
        assert_true(s.value[2] == 64); /* the schema's default */
        sum += s.value[3];
        sum2 += s.value[3] * s.value[3];
        cross += (s.value[3] - 0.25) * log(s.value[4]);
    }
    assert_true(fabs(pictures - 0.75 * N) < 5 * sqrt(N * 0.75 * 0.25));
    for (int i = 0; i < 3; i++)
        assert_true(fabs(norm[i] - pictures / 3.0) < 5 * sqrt(pictures * 2 / 9.0));
    double mean = sum / pictures, deviation = sqrt(sum2 / pictures - mean * mean);
    assert_true(fabs(mean - 0.25) < 0.005);
    assert_true(fabs(deviation - 0.5 / sqrt(12)) < 0.005);
    /* parameters are independent: the correlation is within five of its deviations */
    cross /= pictures * deviation * (log(100) / sqrt(12));
    assert_true(fabs(cross) < 5 / sqrt(pictures));
}

static void test_reproducible(void **state) {
    (void)state;
    cx_task_spec a, b;
    int same_entry = 0, same_dropout = 0;
    for (uint64_t i = 0; i < 200; i++) {
        parse(yaml, NULL, 0);
        memset(&a, 0xff, sizeof a);
        cx_config_sample_task(&config, families, i, 0, &a);
        cx_config_sample_task(&config, families, i, 0, &b);
        assert_memory_equal(&a, &b, sizeof a); /* padding included: it is hashed */

        cx_config_sample_task(&config, families, i, 1, &b); /* another attempt */
        assert_true(a.seed != b.seed);
        same_entry += a.entry == b.entry;
        cx_config_sample_task(&config, families, i + 1000, 0, &b);
        assert_true(a.seed != b.seed);
        same_dropout += a.entry == 1 && a.value[3] == b.value[3];

        /* one parameter's distribution changes nothing but that parameter */
        static const char *const set[] = {"tasks.1.norm=none", "policy.hidden=8"};
        parse(yaml, set, 2);
        cx_config_sample_task(&config, families, i, 0, &b);
        if (a.entry == 1)
            a.value[1] = 0;
        assert_memory_equal(&a, &b, sizeof a);

        static const char *const other[] = {"seed=6"};
        parse(yaml, other, 1);
        cx_config_sample_task(&config, families, i, 0, &b);
        assert_true(a.seed != b.seed);
    }
    assert_true(same_entry < 160);
    assert_int_equal(same_dropout, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_continuous),   cmocka_unit_test(test_whole),
        cmocka_unit_test(test_position),     cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_reproducible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
