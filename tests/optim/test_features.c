/* The features and the whole learned rule against section 1 written out in double,
 * one entry after the other, on tensors of many blocks. */
#include "tests/test.h"

#include "tests/levels.h"

#include "optim/optimizer.h"
#include <math.h>
#include <string.h>

enum { TENSORS = 4, COUNT = 9000, STEPS = 24 };
static const cx_optim_tensor layout[TENSORS] = {
    {0, 5000, 2, 0}, {5008, 1, 0, 1}, {5024, 515, 1, 1}, {6000, 3000, 3, 0}};

typedef struct {
    double p[COUNT], m[COUNT], v[COUNT];
    double c1[TENSORS], c2[TENSORS], lamb[TENSORS], lamb_c[TENSORS], rolling[2];
    double log_slack[TENSORS]; /* what rounding u to 3e-7 does to the mean of log|u| */
} reference;

static float draw(uint32_t *s) {
    *s = 1664525u * *s + 1013904223u;
    return (float)((int32_t)(*s >> 8) - (1 << 23)) / (float)(1 << 23);
}

static double norm_of(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

static double dot(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static double safe(double x) {
    return log(x + 1e-8);
}

static double logit_phi(double x) {
    double p = fmin(fmax(0.5 * (1 + erf(x / sqrt(2))), 1e-8), 1 - 1e-8);
    return log(p) - log1p(-p);
}

/* One tensor of one step; g is clipped already. Writes the features. */
static void reference_step(reference *r, const cx_rule_config *rule, const double *h, int t,
                           const double *g, bool clipped, double *f) {
    static double u[COUNT], hat[COUNT], noise[COUNT];
    const size_t n = layout[t].size, at = layout[t].offset;
    double *p = r->p + at, *m = r->m + at, *v = r->v + at;
    const double o1 = h[CX_HYPER_OMBETA1], o2 = h[CX_HYPER_OMBETA2], eps = h[CX_HYPER_EPSILON];
    double above = 0, logs = 0, slack = 0, lr = h[CX_HYPER_LR];
    r->c1[t] = (1 - o1) * r->c1[t] + o1;
    r->c2[t] = (1 - o2) * r->c2[t] + o2;
    for (size_t i = 0; i < n; i++) {
        double s;
        m[i] = (1 - o1) * m[i] + o1 * g[i];
        if (isinf(rule->denominator_norm)) {
            s = v[i] = fmax((1 - o2) * v[i], fabs(g[i]));
        } else {
            v[i] = (1 - o2) * v[i] + o2 * pow(fabs(g[i]), rule->denominator_norm);
            s = pow(v[i] / r->c2[t], 1 / rule->denominator_norm);
        }
        hat[i] = m[i] / r->c1[t];
        noise[i] = hat[i] - g[i];
        u[i] = hat[i] / (s + eps) + (rule->decay_in_update ? h[CX_HYPER_WEIGHT_DECAY] * p[i] : 0);
        above += s > eps;
        logs += safe(fabs(u[i]));
        slack += 3e-7 / (fabs(u[i]) + 1e-8); /* m, or m and the decay, may cancel */
    }
    r->log_slack[t] = slack / (double)n;
    const double pn = norm_of(p, n), un = norm_of(u, n), gn = norm_of(g, n), mn = norm_of(hat, n);
    if (rule->lamb_power > 0 && !(rule->lamb_ignore_vectors && layout[t].rank < 2)) {
        const double o = h[CX_HYPER_LAMB_OMBETA];
        r->lamb[t] = (1 - o) * r->lamb[t] + o * un;
        r->lamb_c[t] = (1 - o) * r->lamb_c[t] + o;
        const double average = r->lamb[t] / r->lamb_c[t];
        if (pn >= 1e-8 && average >= 1e-8)
            lr *= pow(fmin(fmax(pn / average, rule->lamb_min_trust), rule->lamb_max_trust),
                      rule->lamb_power);
    }
    for (size_t i = 0; i < n; i++) {
        if (!rule->decay_in_update)
            p[i] *= 1 - lr * h[CX_HYPER_WEIGHT_DECAY];
        p[i] -= lr * u[i];
    }
    const double root = sqrt((double)n), gm = dot(g, hat, n) / fmax(gn * mn, 1e-8),
                 gp = dot(g, p, n) / fmax(gn * pn, 1e-8), gu = dot(g, u, n) / fmax(gn * un, 1e-8);
    const double all[CX_FEATURE_COUNT] = {
        [CX_FEATURE_did_grad_clip] = clipped,
        [CX_FEATURE_sqrt_v_hat_gt_epsilon] = above / (double)n,
        [CX_FEATURE_mean_log_abs_adam_pre_lr_update] = logs / (double)n,
        [CX_FEATURE_log_two_regimes_scale] = safe(mn) - safe(gn),
        [CX_FEATURE_log_adam_update_norm_over_param_norm] = safe(lr * un) - safe(pn),
        [CX_FEATURE_log_noise_scale] = safe(mn) - safe(norm_of(noise, n)),
        [CX_FEATURE_log_lamb] = safe(pn) - safe(un),
        [CX_FEATURE_cosine_similarity_grad_momentum] = gm,
        [CX_FEATURE_cosine_similarity_grad_param] = gp,
        [CX_FEATURE_cosine_similarity_grad_update] = gu,
        [CX_FEATURE_logit_cdf_cosine_similarity_grad_momentum] = logit_phi(gm * root),
        [CX_FEATURE_logit_cdf_cosine_similarity_grad_update] = logit_phi(gu * root),
        [CX_FEATURE_cdf_cosine_similarity_grad_param] = 0.5 * (1 + erf(gp * root / sqrt(2))),
    };
    memcpy(f, all, sizeof all);
}

/* Clips by group; leaves g in double. */
static void reference_clip(reference *r, const double *h, const float *grads, double *g,
                           bool clipped[2]) {
    double square[2] = {0, 0};
    for (int t = 0; t < TENSORS; t++)
        for (size_t i = layout[t].offset; i < layout[t].offset + layout[t].size; i++)
            square[layout[t].group] += (double)grads[i] * (double)grads[i];
    double coef[2];
    for (int k = 0; k < 2; k++) {
        const double n = sqrt(square[k]);
        r->rolling[k] = fmax(n, r->rolling[k] * (1 - h[CX_HYPER_CLIP_OMBETA]));
        coef[k] = h[CX_HYPER_GROUP_CLIP] * r->rolling[k] / (n + 1e-6);
        clipped[k] = coef[k] < 1;
        coef[k] = fmin(coef[k], 1);
    }
    for (int t = 0; t < TENSORS; t++)
        for (size_t i = layout[t].offset; i < layout[t].offset + layout[t].size; i++)
            g[i] = coef[layout[t].group] * (double)grads[i];
}

static void expect(double ours, double theirs, double tolerance, const char *what, int step,
                   int tensor) {
    if (!(fabs(ours - theirs) <= tolerance * fmax(1, fabs(theirs))))
        fail_msg("%s, step %d, tensor %d: %.9g, not %.9g", what, step, tensor, ours, theirs);
}

static void check(const cx_rule_config *rule, cx_hyper h) {
    static reference r;
    static float params[COUNT], grads[COUNT];
    static double g[COUNT], last[TENSORS * CX_FEATURE_COUNT], own[TENSORS * CX_FEATURE_COUNT];
    double means[CX_FEATURE_COUNT] = {0}, means_own[CX_FEATURE_COUNT];
    int n_means = 0;
    cx_error err;
    cx_optimizer *o;
    uint32_t seed = 9;
    memset(&r, 0, sizeof r);
    for (size_t i = 0; i < COUNT; i++)
        r.p[i] = (double)(params[i] = 0.2f * draw(&seed));
    assert_ok(cx_optimizer_create(rule, layout, TENSORS, 2, COUNT, &o, &err));
    for (int step = 0; step < STEPS; step++) {
        bool clipped[2];
        h.value[CX_HYPER_LR] *= 1.05;
        h.value[CX_HYPER_OMBETA2] *= 0.97;
        h.value[CX_HYPER_OMBETA1] *= 0.99;
        cx_optimizer_set_hyper(o, &h);
        for (size_t i = 0; i < COUNT; i++) { /* with a part that stays, so that m is no noise */
            grads[i] = ldexpf(draw(&seed), (int)(i % 9) - 12 + step % 3);
            grads[i] += i % 3 == 0 ? 0.05f : 0;
        }
        reference_clip(&r, h.value, grads, g, clipped);
        for (int t = 0; t < TENSORS; t++)
            reference_step(&r, rule, h.value, t, g + layout[t].offset, clipped[layout[t].group],
                           own + t * CX_FEATURE_COUNT);
        assert_true(cx_optimizer_step(o, params, grads, NULL, NULL, 0) > 0);
        for (int t = 0; t < TENSORS; t++)
            for (size_t i = layout[t].offset; i < layout[t].offset + layout[t].size; i++)
                expect((double)params[i], r.p[i], 1e-6, "parameter", step, t);
        const bool taken = step % rule->feature_interval == 0;
        assert_true(cx_optimizer_last_features(o, last) == taken);
        for (int k = 0; taken && k < TENSORS * CX_FEATURE_COUNT; k++) {
            const int f = k % CX_FEATURE_COUNT;
            if (f == CX_FEATURE_log_noise_scale && own[k] > 10)
                assert_true(step == 0 && last[k] > 10); /* rounding noise */
            else
                expect(last[k], own[k],
                       2e-5 + (f == CX_FEATURE_mean_log_abs_adam_pre_lr_update
                                   ? r.log_slack[k / CX_FEATURE_COUNT]
                                   : 0),
                       cx_feature_name((cx_feature)f), step, k / CX_FEATURE_COUNT);
        }
        n_means += taken;
        for (int f = 0; taken && f < CX_FEATURE_COUNT; f++)
            means[f] += (own[f] + own[CX_FEATURE_COUNT + f] + own[2 * CX_FEATURE_COUNT + f] +
                         own[3 * CX_FEATURE_COUNT + f]) /
                        4; /* two groups of two */
    }
    cx_optimizer_outer_step(o, means_own);
    for (int f = 0; f < CX_FEATURE_COUNT; f++)
        if (f != CX_FEATURE_log_noise_scale) /* contains the first step */
            expect(means_own[f], means[f] / n_means, 2e-5, cx_feature_name((cx_feature)f), -1, -1);
    cx_optimizer_destroy(o);
}

static void learned(cx_rule_config *rule, cx_hyper *hyper) {
    cx_error err;
    assert_ok(cx_rule_named("ciao", rule, hyper, &err));
}

static void test_learned_rule(void **state) {
    (void)state;
    cx_rule_config rule;
    cx_hyper hyper;
    learned(&rule, &hyper);
    check(&rule, hyper);
    rule.feature_interval = 1;
    check(&rule, hyper);
}

static void test_other_denominators(void **state) {
    (void)state;
    cx_rule_config rule;
    cx_hyper hyper;
    learned(&rule, &hyper);
    rule.denominator_norm = 2;
    check(&rule, hyper);
    rule.denominator_norm = 1.5;
    rule.lamb_ignore_vectors = false;
    check(&rule, hyper);
}

static void test_decoupled_decay_and_no_lamb(void **state) {
    (void)state;
    cx_rule_config rule;
    cx_hyper hyper;
    learned(&rule, &hyper);
    rule.decay_in_update = false;
    check(&rule, hyper);
    rule.lamb_power = 0.5;
    rule.lamb_max_trust = 0.3;
    rule.lamb_min_trust = 0.2;
    check(&rule, hyper);
    rule.lamb_power = 0;
    check(&rule, hyper);
}

static void test_small_rates(void **state) {
    (void)state;
    cx_rule_config rule;
    cx_hyper hyper;
    learned(&rule, &hyper);
    rule.denominator_norm = 2;
    hyper.value[CX_HYPER_OMBETA1] = 1e-5; /* the bounds of the action heads */
    hyper.value[CX_HYPER_OMBETA2] = 1e-5;
    hyper.value[CX_HYPER_LAMB_OMBETA] = 1e-5;
    check(&rule, hyper);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learned_rule),
        cmocka_unit_test(test_other_denominators),
        cmocka_unit_test(test_decoupled_decay_and_no_lamb),
        cmocka_unit_test(test_small_rates),
    };
    int failed = 0;
    RUN_AT_EACH_LEVEL(failed, tests, NULL, NULL);
    return failed;
}
