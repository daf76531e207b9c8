#include "tests/policy/sample.h"
#include "tests/test.h"

#include "base/rng.h"
#include "policy/reward.h"

static void fill(cx_baseline *b, double steps, double initial, int n_runs,
                 const double *final_loss) {
    memset(b, 0, sizeof *b);
    b->steps = steps;
    b->initial_loss = initial;
    b->n_runs = n_runs;
    for (int i = 0; i < n_runs; i++) {
        b->lr[i] = 1e-4 * pow(10, 0.5 * i);
        b->final_loss[i] = final_loss[i];
    }
}

/* c + a t^-alpha at log-spaced times up to `end`, N and 2 N among them */
static double power_law(double c, double a, double alpha, double t) {
    return c + a * pow(t, -alpha);
}

static cx_curve power_curve(double c, double a, double alpha, double end, int n) {
    cx_curve curve = {.n = n};
    for (int i = 0; i < n; i++) {
        curve.t[i] = end * pow(2, -0.5 * (n - 1 - i));
        curve.loss[i] = power_law(c, a, alpha, curve.t[i]);
    }
    return curve;
}

/* What any reward must satisfy, whatever the baseline. Returns the number of faults. */
static int faults(const cx_config *config, const cx_baseline *b, double sign) {
    int bad = 0;
    double last = INFINITY, last_raw = INFINITY, raw;
    double top = config->reward.form == CX_REWARD_POWER_FIT ? log(2) : log(8);
    for (double x = -13; x < 6; x += 0.01) { /* losses from 1e-13 to 1e6 */
        double r = sign * cx_reward(config, b, pow(10, x), &raw);
        bad += !isfinite(r) || !isfinite(raw);
        bad += r > last + 1e-9 || sign * raw > last_raw + 1e-9;
        bad += r < config->reward.floor || r > top || r > sign * raw + 1e-12;
        last = r;
        last_raw = sign * raw;
    }
    if (isfinite(b->best_loss) && b->n_runs)
        bad += fabs(cx_reward(config, b, b->best_loss, NULL)) > 1e-12;
    const double end[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++)
        bad += cx_reward(config, b, end[i], &raw) != config->reward.floor ||
               raw != config->reward.floor;
    bad += cx_reward(config, b, 0, NULL) != cx_reward(config, b, 1e-12, NULL);
    bad += cx_reward(config, b, -1, NULL) != cx_reward(config, b, 1e-12, NULL);
    for (int i = 0; i < b->n_points; i++) {
        bad += !(b->t[i] >= 1) || !(b->loss[i] > 0);
        if (i)
            bad += !(b->t[i] > b->t[i - 1]) || !(b->loss[i] < b->loss[i - 1]);
    }
    bad += !(b->slope > 0) || !isfinite(b->slope) || !(b->alpha > 0) || !isfinite(b->alpha);
    bad += !isfinite(b->scale) || !isfinite(b->asymptote);
    bad += !isfinite(b->mean_reward) || !isfinite(b->median_reward) || !isfinite(b->best_reward);
    return bad;
}

static void test_envelope(void **state) {
    (void)state;
    cx_config config;
    cx_baseline b;
    sample_config(&config);
    enum { N = 400 };
    cx_curve curve[2] = {power_curve(0.1, 2, 0.5, 4 * N, 18),
                         power_curve(0.12, 1.9, 0.5, 4 * N, 18)};
    double final_loss[] = {power_law(0.12, 1.9, 0.5, N), power_law(0.1, 2, 0.5, N), INFINITY};
    fill(&b, N, 2.3, 3, final_loss);
    cx_baseline_fit(&config, &b, curve, 2);
    assert_true(b.best_loss == final_loss[1] && b.best_lr == b.lr[1]);
    assert_true(cx_reward(&config, &b, final_loss[1], NULL) == 0);
    double raw;
    const double ratio[] = {0.5, 2, 4};
    for (int i = 0; i < 3; i++) { /* the lower of the two curves at that time */
        double t = ratio[i] * N;
        double loss = fmin(power_law(0.1, 2, 0.5, t), power_law(0.12, 1.9, 0.5, t));
        assert_true(fabs(cx_reward(&config, &b, loss, &raw) - log(ratio[i])) < 1e-9);
        assert_true(fabs(raw - log(ratio[i])) < 1e-9);
    }
    /* between the points: close to the true curve */
    assert_true(fabs(cx_reward(&config, &b, power_law(0.1, 2, 0.5, 1.7 * N), NULL) - log(1.7)) <
                0.02);
    /* beyond 4 N: on with the slope over [N/4, 4 N], up to log 8 */
    double l0 = power_law(0.1, 2, 0.5, N / 4.0), l1 = power_law(0.1, 2, 0.5, 4 * N);
    l0 = fmin(l0, power_law(0.12, 1.9, 0.5, N / 4.0));
    double slope = log(16) / log(l0 / l1);
    assert_true(fabs(b.slope - slope) < 1e-9 * slope);
    double want = log(4) + slope * 0.05;
    assert_true(fabs(cx_reward(&config, &b, l1 * exp(-0.05), NULL) - want) < 1e-9);
    assert_true(cx_reward(&config, &b, l1 / 10, &raw) == log(8));
    assert_true(fabs(raw - (log(4) + slope * log(10))) < 1e-9);
    /* from the first point up to the initial loss at t = 1, and on */
    double t0 = curve[0].t[0], first = fmin(curve[0].loss[0], curve[1].loss[0]);
    config.reward.floor = -50;
    assert_true(first < 2.3);
    assert_true(fabs(cx_reward(&config, &b, first, NULL) - log(t0 / N)) < 1e-9);
    assert_true(fabs(cx_reward(&config, &b, 2.3, NULL) - log(1.0 / N)) < 1e-9);
    double middle = sqrt(2.3 * first);
    assert_true(fabs(cx_reward(&config, &b, middle, NULL) - (0.5 * log(t0) - log(N))) < 1e-9);
    assert_true(cx_reward(&config, &b, 2.5, NULL) < log(1.0 / N) - 1e-3);
    config.reward.floor = -3;
    assert_true(cx_reward(&config, &b, 2.3, NULL) == -3);
    assert_int_equal(faults(&config, &b, 1), 0);
    assert_true(faults(&config, &b, -1) > 100); /* the check sees a flipped sign */
    /* the sweep's own runs */
    double other = cx_reward(&config, &b, final_loss[0], NULL);
    assert_true(other < 0 && other > -3);
    assert_true(b.best_reward == 0 && b.median_reward == other);
    assert_true(fabs(b.mean_reward - (other - 3) / 3) < 1e-12);
}

/* An early dip below what is held at N does not move the zero. */
static void test_dip(void **state) {
    (void)state;
    cx_config config;
    cx_baseline b;
    sample_config(&config);
    cx_curve curve = {
        .n = 6, .t = {10, 50, 100, 200, 400, 800}, .loss = {1, 0.4, 0.5, 0.6, 0.35, 0.38}};
    fill(&b, 200, 2, 1, (double[]){0.6});
    cx_baseline_fit(&config, &b, &curve, 1);
    assert_true(cx_reward(&config, &b, 0.6, NULL) == 0);
    assert_true(fabs(cx_reward(&config, &b, 1, NULL) - log(10 / 200.0)) < 1e-12);
    assert_true(fabs(cx_reward(&config, &b, 0.35, NULL) - log(2)) < 1e-12);
    assert_int_equal(b.n_points, 4); /* t = 1, 10, 200, 400 */
    assert_int_equal(faults(&config, &b, 1), 0);
}

static void test_power_fit(void **state) {
    (void)state;
    cx_config config;
    cx_baseline b;
    sample_config(&config);
    config.reward.form = CX_REWARD_POWER_FIT;
    enum { N = 1000 };
    /* c = L_N / 2 exactly, so that the fit must find the exponent */
    const double alpha = 0.7, c = 0.2, a = 0.2 * pow(N, 0.7);
    cx_curve curve = power_curve(c, a, alpha, N, 14);
    fill(&b, N, 100, 1, (double[]){2 * c});
    cx_baseline_fit(&config, &b, &curve, 1);
    assert_true(fabs(b.alpha - alpha) < 1e-9);
    assert_true(fabs(b.asymptote - c) < 1e-12 && fabs(b.scale - a) < 1e-9);
    double raw;
    assert_true(cx_reward(&config, &b, 2 * c, NULL) == 0);
    assert_true(fabs(cx_reward(&config, &b, power_law(c, a, alpha, 1.5 * N), NULL) - log(1.5)) <
                1e-9);
    assert_true(fabs(cx_reward(&config, &b, power_law(c, a, alpha, 2 * N), NULL) - log(2)) < 1e-9);
    assert_true(cx_reward(&config, &b, power_law(c, a, alpha, 3 * N), &raw) == log(2));
    assert_true(fabs(raw - log(3)) < 1e-9);
    assert_true(cx_reward(&config, &b, 0.9 * c, &raw) == log(2));
    assert_true(isfinite(raw) && raw > 3);
    /* inside [0, N]: interpolated, exact at the points */
    assert_true(fabs(cx_reward(&config, &b, curve.loss[11], NULL) - log(0.5)) < 1e-9);
    assert_int_equal(faults(&config, &b, 1), 0);
    assert_true(faults(&config, &b, -1) > 100);
    /* points beyond N are none of its affair */
    cx_curve longer = power_curve(c, a, alpha, 4 * N, 18);
    cx_baseline same = b;
    cx_baseline_fit(&config, &same, &longer, 1);
    assert_true(fabs(same.alpha - alpha) < 1e-9 && same.n_points <= b.n_points + 1);
    assert_true(fabs(cx_reward(&config, &same, power_law(c, a, alpha, 1.5 * N), NULL) - log(1.5)) <
                1e-9);
}

/* Random baselines, many of them degenerate. */
static void test_any_curve(void **state) {
    (void)state;
    cx_config config;
    sample_config(&config);
    cx_rng rng = cx_rng_make(8, 0, CX_STREAM_TEST);
    const double odd[] = {NAN, INFINITY, 0, -1, 1e-300, 1e300, 1};
    for (int round = 0; round < 600; round++) {
        config.reward.form = round % 2 ? CX_REWARD_POWER_FIT : CX_REWARD_ENVELOPE;
        config.reward.length_factor = 1 + (int)cx_rng_below(&rng, 5);
        double steps = 1 + cx_rng_below(&rng, 2000);
        int n_curves = (int)cx_rng_below(&rng, 3), kind = (int)cx_rng_below(&rng, 6);
        cx_curve curve[2];
        for (int c = 0; c < n_curves; c++) {
            memset(&curve[c], 0, sizeof curve[c]);
            int n = 1 + (int)cx_rng_below(&rng, round % 10 ? 20 : CX_BASELINE_POINTS_MAX);
            curve[c].n = kind == 0 ? 1 : n;
            double t = 1, level = exp(3 * cx_rng_normal(&rng));
            for (int i = 0; i < n; i++) {
                t += cx_rng_uniform(&rng) * 8 * steps / n; /* another grid for each curve */
                level *= kind == 1 ? 1 : exp(0.3 * cx_rng_normal(&rng) - (kind == 2 ? 0 : 0.2));
                curve[c].t[i] = t;
                curve[c].loss[i] = level;
                if (kind == 3 && cx_rng_below(&rng, 3) == 0)
                    curve[c].loss[i] = odd[cx_rng_below(&rng, 7)];
                if (kind == 4)
                    curve[c].loss[i] = INFINITY;
            }
        }
        double final_loss[4], initial = exp(3 * cx_rng_normal(&rng));
        for (int i = 0; i < 4; i++) {
            final_loss[i] = kind == 1 ? initial : exp(2 * cx_rng_normal(&rng));
            if (kind == 3 && cx_rng_below(&rng, 2))
                final_loss[i] = odd[cx_rng_below(&rng, 7)];
            if (kind == 4)
                final_loss[i] = i % 2 ? NAN : INFINITY;
        }
        if (kind == 5)
            initial = odd[cx_rng_below(&rng, 7)];
        cx_baseline b;
        fill(&b, steps, initial, round % 7 ? 4 : 0, final_loss);
        cx_baseline_fit(&config, &b, curve, n_curves);
        int bad = faults(&config, &b, 1);
        if (bad)
            fail_msg("round %d (kind %d): %d faults", round, kind, bad);
        if (b.n_points) /* else every finite loss is worth 0 */
            assert_true(faults(&config, &b, -1) > 0);
    }
}

/* Curves on two grids of 64 points each: thinned, with both ends and the zero kept. */
static void test_many_points(void **state) {
    (void)state;
    cx_config config;
    cx_baseline b;
    sample_config(&config);
    cx_curve curve[2] = {{.n = 64}, {.n = 64}};
    for (int c = 0; c < 2; c++)
        for (int i = 0; i < 64; i++) {
            curve[c].t[i] = 10 + 20 * i + 10 * c;
            curve[c].loss[i] = power_law(0, 3, 0.4, curve[c].t[i]);
        }
    double at_n = power_law(0, 3, 0.4, 320), end = power_law(0, 3, 0.4, 1280);
    fill(&b, 320, 3.5, 1, (double[]){at_n});
    cx_baseline_fit(&config, &b, curve, 2);
    assert_int_equal(b.n_points, CX_BASELINE_POINTS_MAX);
    assert_true(cx_reward(&config, &b, at_n, NULL) == 0);
    assert_true(b.t[0] == 1 && b.t[63] == 1280);
    assert_true(fabs(cx_reward(&config, &b, end, NULL) - log(4)) < 1e-12);
    assert_true(fabs(cx_reward(&config, &b, power_law(0, 3, 0.4, 640), NULL) - log(2)) < 1e-9);
    assert_int_equal(faults(&config, &b, 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope),    cmocka_unit_test(test_dip),
        cmocka_unit_test(test_power_fit),   cmocka_unit_test(test_any_curve),
        cmocka_unit_test(test_many_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
