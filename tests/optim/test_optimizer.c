#include "tests/test.h"

#include "tests/levels.h"

#include "base/arena.h"
#include "optim/optimizer.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* Three tensors in an order that is not that of the block, with padding before,
 * between and behind; sizes around the lengths of blocks and lanes. */
enum { COUNT = 2200, TENSORS = 3 };
static const cx_optim_tensor layout[TENSORS] = {
    {.offset = 720, .size = 1049, .rank = 2, .group = 0},
    {.offset = 16, .size = 7, .rank = 1, .group = 0},
    {.offset = 32, .size = 640, .rank = 4, .group = 0},
};

static bool in_tensor(size_t i) {
    for (int t = 0; t < TENSORS; t++)
        if (i >= layout[t].offset && i < layout[t].offset + layout[t].size)
            return true;
    return false;
}

/* Numbers in (-1, 1) from a congruential generator: the same for every test. */
static float draw(uint32_t *s) {
    *s = 1664525u * *s + 1013904223u;
    return (float)((int32_t)(*s >> 8) - (1 << 23)) / (float)(1 << 23);
}
static void fill(float *x, uint32_t seed, float scale) {
    for (size_t i = 0; i < COUNT; i++)
        x[i] = scale * draw(&seed);
}

static cx_optimizer *create(const cx_rule_config *rule, const cx_hyper *hyper) {
    cx_error err;
    cx_optimizer *o;
    assert_ok(cx_optimizer_create(rule, layout, TENSORS, 1, COUNT, &o, &err));
    cx_optimizer_set_hyper(o, hyper);
    return o;
}

static void named(const char *name, cx_rule_config *rule, cx_hyper *hyper) {
    cx_error err;
    assert_ok(cx_rule_named(name, rule, hyper, &err));
}

/* Kingma & Ba's Adam with Loshchilov & Hutter's decay, as the papers write it. */
static void textbook_adamw(double *p, double *m, double *v, double g, int t, double lr, double wd,
                           bool l2) {
    const double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
    if (l2)
        g += wd * *p;
    else
        *p -= lr * wd * *p;
    *m = beta1 * *m + (1 - beta1) * g;
    *v = beta2 * *v + (1 - beta2) * g * g;
    *p -= lr * (*m / (1 - pow(beta1, t))) / (sqrt(*v / (1 - pow(beta2, t))) + eps);
}

static void check_textbook(const char *name, double wd) {
    static float params[COUNT], grads[COUNT];
    static double p[COUNT], m[COUNT], v[COUNT];
    cx_rule_config rule;
    cx_hyper hyper;
    named(name, &rule, &hyper);
    hyper.value[CX_HYPER_WEIGHT_DECAY] = wd;
    cx_optimizer *o = create(&rule, &hyper);
    fill(params, 1, 1);
    memset(m, 0, sizeof m);
    memset(v, 0, sizeof v);
    for (size_t i = 0; i < COUNT; i++)
        p[i] = (double)params[i];
    for (int t = 1; t <= 200; t++) {
        const double lr = t < 100 ? 1e-2 : 1e-3;
        double square = 0;
        fill(grads, (uint32_t)t, 0.1f);
        for (size_t i = 0; i < COUNT; i++)
            if (in_tensor(i)) {
                square += (double)grads[i] * (double)grads[i];
                textbook_adamw(&p[i], &m[i], &v[i], (double)grads[i], t, lr, wd,
                               strcmp(name, "adam") == 0);
            }
        hyper.value[CX_HYPER_LR] = lr;
        cx_optimizer_set_hyper(o, &hyper);
        double norm = cx_optimizer_step(o, params, grads, NULL, NULL, 0);
        assert_true(fabs(norm - sqrt(square)) < 1e-6 * sqrt(square));
    }
    for (size_t i = 0; i < COUNT; i++)
        if (fabs(p[i] - (double)params[i]) > 2e-6)
            fail_msg("%s, entry %zu: %.9g, not %.9g", name, i, (double)params[i], p[i]);
    cx_optimizer_destroy(o);
}

static void test_textbook(void **state) {
    (void)state;
    check_textbook("adamw", 0.05);
    check_textbook("adamw", 0);
    check_textbook("adam", 0.05);
}

static void test_padding_is_left_alone(void **state) {
    (void)state;
    static float params[COUNT], grads[COUNT];
    static const char *const names[] = {"adam", "ciao", "nesterov", "rmsprop"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        cx_rule_config rule;
        cx_hyper hyper;
        named(names[k], &rule, &hyper);
        cx_optimizer *o = create(&rule, &hyper);
        fill(params, 3, 1);
        for (int t = 0; t < 5; t++) {
            fill(grads, 50 + (uint32_t)t, 1);
            for (size_t i = 0; i < COUNT; i++)
                if (!in_tensor(i)) {
                    grads[i] = NAN; /* nobody may look at it */
                    params[i] = -7;
                }
            assert_true(isfinite(cx_optimizer_step(o, params, grads, NULL, NULL, 0)));
            for (size_t i = 0; i < COUNT; i++)
                assert_true(in_tensor(i) ? isfinite(params[i]) : params[i] == -7);
        }
        cx_optimizer_destroy(o);
    }
}

/* Runs steps first .. last with hyperparameters that change on the way. */
static void run(cx_optimizer *o, cx_hyper hyper, float *params, float *average, int first,
                int last) {
    static float grads[COUNT];
    static const bool some[TENSORS] = {true, false, true};
    for (int t = first; t <= last; t++) {
        fill(grads, 900 + (uint32_t)t, ldexpf(1, t % 5 - 2));
        hyper.value[CX_HYPER_LR] = 1e-3 * (1 + t % 3);
        hyper.value[CX_HYPER_OMBETA1] = t % 2 ? 0.1 : 0.05;
        cx_optimizer_set_hyper(o, &hyper);
        (void)cx_optimizer_step(o, params, grads, t % 4 == 2 ? some : NULL, average, 0.9f);
    }
}

static void test_saved_state_continues_to_the_bit(void **state) {
    (void)state;
    static const char *const names[] = {"ciao",     "adamw", "adamax", "lamb",
                                        "momentum", "sgd",   "rmsprop"};
    static float a[COUNT], b[COUNT], kept[COUNT];
    double fa[CX_FEATURE_COUNT], fb[CX_FEATURE_COUNT];
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        cx_rule_config rule;
        cx_hyper hyper;
        named(names[k], &rule, &hyper);
        cx_optimizer *o = create(&rule, &hyper), *other = create(&rule, &hyper);
        void *saved = cx_calloc(1, cx_optimizer_state_bytes(o));
        assert_non_null(saved);
        fill(a, 5, 1);
        run(o, hyper, a, NULL, 1, 8);
        cx_optimizer_outer_step(o, fa);
        cx_optimizer_save(o, saved);
        memcpy(kept, a, sizeof a);
        run(o, hyper, a, NULL, 9, 24);
        cx_optimizer_outer_step(o, fa);

        fill(b, 6, 1);
        run(other, hyper, b, NULL, 1, 3); /* a state of its own, to be replaced */
        cx_optimizer_outer_step(other, fb);
        cx_optimizer_load(other, saved);
        memcpy(b, kept, sizeof b);
        run(other, hyper, b, NULL, 9, 24);
        cx_optimizer_outer_step(other, fb);
        assert_memory_equal(a, b, sizeof a);
        assert_memory_equal(fa, fb, sizeof fa);

        cx_optimizer_exchange(o, &saved); /* o goes back, its state of step 24 is in saved */
        memcpy(b, kept, sizeof b);
        run(o, hyper, b, NULL, 9, 24);
        assert_memory_equal(a, b, sizeof a);

        cx_optimizer_reset(o);
        fill(b, 5, 1);
        run(o, hyper, b, NULL, 1, 8);
        assert_memory_equal(b, kept, sizeof b);
        cx_optimizer_destroy(o);
        cx_optimizer_destroy(other);
        free(saved);
    }
}

static void test_bad_gradients_change_nothing(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static float a[COUNT], b[COUNT], average[COUNT], same[COUNT], grads[COUNT];
    double fa[CX_FEATURE_COUNT], fb[CX_FEATURE_COUNT];
    cx_rule_config rule;
    cx_hyper hyper;
    named("ciao", &rule, &hyper);
    cx_optimizer *o = create(&rule, &hyper), *clean = create(&rule, &hyper);
    const size_t bytes = cx_optimizer_state_bytes(o);
    void *before = cx_calloc(1, bytes), *after = cx_calloc(1, bytes);
    assert_true(before && after);
    fill(a, 5, 1);
    fill(b, 5, 1);
    memset(average, 0, sizeof average);
    run(o, hyper, a, average, 1, 6);
    run(clean, hyper, b, NULL, 1, 6);
    memcpy(same, average, sizeof same);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        for (int t = 0; t < TENSORS; t++) {
            fill(grads, 77, 1);
            grads[layout[t].offset + layout[t].size - 1] = bad[k];
            cx_optimizer_save(o, before);
            const double norm = cx_optimizer_step(o, a, grads, NULL, average, 0.9f);
            assert_true(isnan(norm) || isinf(norm));
            cx_optimizer_save(o, after);
            assert_memory_equal(before, after, bytes);
            assert_memory_equal(average, same, sizeof same);
            assert_memory_equal(a, b, sizeof a);
        }
    run(o, hyper, a, average, 7, 12);
    run(clean, hyper, b, NULL, 7, 12);
    assert_memory_equal(a, b, sizeof a);
    cx_optimizer_outer_step(o, fa);
    cx_optimizer_outer_step(clean, fb);
    assert_memory_equal(fa, fb, sizeof fa);
    assert_true(cx_optimizer_rolling_max(o, 0) == cx_optimizer_rolling_max(clean, 0));

    fill(grads, 78, 1e25f); /* finite, though its squares are not in float */
    double norm = cx_optimizer_step(o, a, grads, NULL, NULL, 0);
    assert_true(isfinite(norm) && norm > 1e26);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(isfinite(a[i]));
    free(before);
    free(after);
    cx_optimizer_destroy(o);
    cx_optimizer_destroy(clean);
}

/* Section 1.2: a new maximum clips the gradient that set it, R follows the raw norm
 * and decays by (1 - grad_clip_ombeta); below the limit nothing is clipped. */
static void test_rolling_maximum(void **state) {
    (void)state;
    static float params[COUNT], grads[COUNT];
    static const double scale[] = {1, 0.5, 4, 3.9, 3.1, 0};
    double expected = 0;
    cx_rule_config rule;
    cx_hyper hyper;
    named("ciao", &rule, &hyper);
    rule.feature_interval = 1;
    cx_optimizer *o = create(&rule, &hyper);
    fill(params, 1, 1);
    for (size_t k = 0; k < sizeof scale / sizeof *scale; k++) {
        double features[TENSORS * CX_FEATURE_COUNT], clipped = 0;
        fill(grads, 4, (float)scale[k]);
        const double norm = cx_optimizer_step(o, params, grads, NULL, NULL, 0);
        expected = fmax(norm, expected * 0.99);
        assert_true(fabs(cx_optimizer_rolling_max(o, 0) - expected) <= 1e-12 * expected);
        const bool clips = 0.8 * expected / (norm + 1e-6) < 1;
        assert_true(clips == (k == 0 || k == 2 || k == 3)); /* 3.1 is below 0.8 * 4 * .99 ^ 2 */
        for (int t = 0; t < TENSORS; t++) {
            cx_optim_inspection x;
            cx_optimizer_inspect(o, t, &x);
            clipped += x.grad_norm * x.grad_norm;
            assert_int_equal(x.steps, k + 1);
        }
        const double limited = clips ? norm * (0.8 * expected / (norm + 1e-6)) : norm;
        assert_true(fabs(sqrt(clipped) - limited) <= 1e-9);
        assert_true(cx_optimizer_last_features(o, features));
        for (int t = 0; t < TENSORS; t++)
            assert_true(features[t * CX_FEATURE_COUNT + CX_FEATURE_did_grad_clip] == clips);
    }
    cx_optimizer_destroy(o);
}

static void test_clipping_is_per_group(void **state) {
    (void)state;
    static float params[COUNT], grads[COUNT];
    double all[CX_FEATURE_COUNT], each[TENSORS * CX_FEATURE_COUNT];
    cx_optim_tensor tensors[TENSORS];
    cx_error err;
    cx_rule_config rule;
    cx_hyper hyper;
    cx_optimizer *o;
    memcpy(tensors, layout, sizeof layout);
    tensors[0].group = 1;
    named("ciao", &rule, &hyper);
    assert_ok(cx_optimizer_create(&rule, tensors, TENSORS, 3, COUNT, &o, &err));
    cx_optimizer_set_hyper(o, &hyper);
    fill(params, 1, 1);
    for (int step = 0; step < 5; step++) { /* features at the first and the fifth */
        fill(grads, 4, 1);
        for (size_t i = 0; step == 4 && i < tensors[0].size; i++)
            grads[tensors[0].offset + i] *= 0.1f;
        (void)cx_optimizer_step(o, params, grads, NULL, NULL, 0);
        assert_true(cx_optimizer_last_features(o, each) == (step % 4 == 0));
    }
    assert_true(cx_optimizer_rolling_max(o, 0) != cx_optimizer_rolling_max(o, 1));
    assert_true(cx_optimizer_rolling_max(o, 2) == 0); /* it has no tensor */
    assert_true(each[CX_FEATURE_did_grad_clip] == 0);
    assert_true(each[CX_FEATURE_COUNT + CX_FEATURE_did_grad_clip] == 1);
    cx_optimizer_outer_step(o, all);
    /* 1, 1 at the first, 1, 0 at the second; the mean over groups, not over tensors */
    assert_true(all[CX_FEATURE_did_grad_clip] == 0.75);
    cx_optimizer_outer_step(o, all);
    for (int f = 0; f < CX_FEATURE_COUNT; f++)
        assert_true(isnan(all[f]));
    cx_optimizer_destroy(o);
}

/* The fused average against one of its own, over the whole block, to the bit. */
static void test_average(void **state) {
    (void)state;
    static const char *const names[] = {"ciao", "adamw", "momentum", "rmsprop"};
    static float a[COUNT], b[COUNT], average[COUNT], own[COUNT], grads[COUNT];
    static const bool some[TENSORS] = {true, true, false};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        cx_rule_config rule;
        cx_hyper hyper;
        named(names[k], &rule, &hyper);
        cx_optimizer *o = create(&rule, &hyper), *plain = create(&rule, &hyper);
        fill(a, 5, 1);
        fill(b, 5, 1);
        memcpy(average, a, sizeof a);
        memcpy(own, a, sizeof a);
        for (int t = 0; t < 9; t++) {
            const float weight = (float)fmin(0.99, (1 + t) / (10.0 + t));
            const float rest = 1 - weight;
            const bool *has_grad = t == 4 ? some : NULL;
            a[700] = b[700] = (float)t; /* between two tensors: a running statistic, say */
            fill(grads, 40 + (uint32_t)t, 1);
            (void)cx_optimizer_step(o, a, grads, has_grad, average, weight);
            fill(grads, 40 + (uint32_t)t, 1);
            (void)cx_optimizer_step(plain, b, grads, has_grad, NULL, 0);
            for (size_t i = 0; i < COUNT; i++)
                own[i] = weight * own[i] + rest * b[i];
            assert_memory_equal(a, b, sizeof a);
            assert_memory_equal(average, own, sizeof own);
        }
        cx_optimizer_destroy(o);
        cx_optimizer_destroy(plain);
    }
}

static void test_tensor_without_gradient(void **state) {
    (void)state;
    static float a[COUNT], old[COUNT], grads[COUNT];
    static const bool some[TENSORS] = {true, false, false};
    cx_rule_config rule;
    cx_hyper hyper;
    cx_optim_inspection x;
    double features[TENSORS * CX_FEATURE_COUNT];
    named("ciao", &rule, &hyper);
    cx_optimizer *o = create(&rule, &hyper);
    fill(a, 5, 1);
    memcpy(old, a, sizeof a);
    fill(grads, 6, 1);
    for (size_t i = 0; i < layout[1].size; i++)
        grads[layout[1].offset + i] = NAN; /* no gradient: not looked at */
    assert_true(isfinite(cx_optimizer_step(o, a, grads, some, NULL, 0)));
    assert_memory_equal(a + layout[1].offset, old + layout[1].offset, 7 * sizeof *a);
    assert_memory_equal(a + layout[2].offset, old + layout[2].offset, 640 * sizeof *a);
    cx_optimizer_inspect(o, 1, &x);
    assert_true(x.steps == 0 && x.c1 == 0 && x.m_norm == 0 && x.v_norm == 0);
    assert_true(cx_optimizer_last_features(o, features));
    assert_true(isfinite(features[CX_FEATURE_log_lamb]));
    assert_true(isnan(features[CX_FEATURE_COUNT + CX_FEATURE_log_lamb]));
    static const bool none[TENSORS] = {false, false, false};
    const double r = cx_optimizer_rolling_max(o, 0);
    assert_true(cx_optimizer_step(o, a, grads, none, NULL, 0) == 0);
    assert_true(cx_optimizer_rolling_max(o, 0) == r);
    cx_optimizer_destroy(o);
}

/* Weights without gradient let the moments decay towards subnormals, on which a step
 * would take a hundred times as long: it never leaves any, and only a step does so. */
static void test_subnormals(void **state) {
    (void)state;
    static float a[COUNT], grads[COUNT];
    cx_rule_config rule;
    cx_hyper hyper;
    cx_optim_inspection x;
    named("adam", &rule, &hyper);
    hyper.value[CX_HYPER_OMBETA2] = 0.1;
    cx_optimizer *o = create(&rule, &hyper);
    fill(a, 5, 1);
    fill(grads, 6, 1);
    for (int t = 0; t < 1100; t++) {
        (void)cx_optimizer_step(o, a, grads, NULL, NULL, 0);
        memset(grads, 0, sizeof grads);
    }
    cx_optimizer_inspect(o, 0, &x);
    assert_true(x.m_norm < 1e-30 && x.v_norm < 1e-30);
#ifdef __SSE__
    assert_true(x.m_norm > (double)FLT_MIN && x.v_norm > (double)FLT_MIN);
#endif
    volatile float tiny = 1e-38f;
    tiny *= 0.01f;
    assert_true(tiny > 0);
    cx_optimizer_destroy(o);
}

static void test_named_rules(void **state) {
    (void)state;
    cx_error err;
    cx_rule_config rule;
    cx_hyper h;
    assert_ok(cx_rule_named("adam", &rule, &h, &err));
    assert_true(rule.rule == CX_RULE_CIAO && rule.denominator_norm == 2 && !rule.clip &&
                rule.lamb_power == 0 && h.value[CX_HYPER_LR] == 1e-3 &&
                h.value[CX_HYPER_OMBETA2] == 1e-3 && h.value[CX_HYPER_WEIGHT_DECAY] == 0);
    assert_ok(cx_rule_named("adamw", &rule, &h, &err));
    assert_true(!rule.decay_in_update && !rule.decay_in_gradient &&
                h.value[CX_HYPER_WEIGHT_DECAY] == 1e-2 && h.value[CX_HYPER_EPSILON] == 1e-8);
    assert_ok(cx_rule_named("adamax", &rule, &h, &err));
    assert_true(isinf(rule.denominator_norm) && h.value[CX_HYPER_LR] == 2e-3);
    assert_ok(cx_rule_named("lamb", &rule, &h, &err));
    assert_true(rule.lamb_power == 1 && rule.denominator_norm == 2 && rule.decay_in_update &&
                h.value[CX_HYPER_LAMB_OMBETA] == 1);
    assert_ok(cx_rule_named("sgd", &rule, &h, &err));
    assert_true(rule.rule == CX_RULE_SGD && rule.momentum == 0);
    assert_ok(cx_rule_named("nesterov", &rule, &h, &err));
    assert_true(rule.rule == CX_RULE_SGD && rule.momentum == 0.9 && rule.nesterov);
    assert_ok(cx_rule_named("rmsprop", &rule, &h, &err));
    assert_true(rule.rule == CX_RULE_RMSPROP && h.value[CX_HYPER_LR] == 1e-2);
    assert_ok(cx_rule_named("ciao", &rule, &h, &err));
    assert_true(rule.clip && rule.scale_by_rolling_max && rule.feature_interval == 4 &&
                h.value[CX_HYPER_GROUP_CLIP] == 0.8 && h.value[CX_HYPER_LAMB_OMBETA] == 0.05);
    assert_int_equal(cx_rule_named("adamm", &rule, &h, &err), CX_EUSAGE);
    assert_non_null(strstr(err.message, "adamm"));
    assert_non_null(strstr(err.message, "rmsprop"));

    cx_optimizer_config config = {.denominator_norm = INFINITY,
                                  .scale_by_rolling_max = 1,
                                  .decay_in_update = 1,
                                  .lamb_ignore_vectors = 1,
                                  .lamb_power = 1,
                                  .lamb_min_trust = 1e-3,
                                  .lamb_max_trust = 10};
    cx_rule_config learned = cx_rule_learned(&config, 4);
    assert_true(learned.rule == CX_RULE_CIAO && isinf(learned.denominator_norm) && learned.clip &&
                learned.scale_by_rolling_max && learned.decay_in_update &&
                learned.lamb_power == 1 && learned.lamb_max_trust == 10 &&
                learned.feature_interval == 4);
}

static void test_layouts_that_cannot_be(void **state) {
    (void)state;
    static const struct {
        cx_optim_tensor tensor[2];
        size_t count;
        const char *says;
    } bad[] = {
        {{{0, 4, 1, 0}, {3, 4, 1, 0}}, 16, "overlap"},
        {{{0, 4, 1, 0}, {8, 9, 1, 0}}, 16, "block"},
        {{{0, 4, 1, 0}, {SIZE_MAX - 1, 4, 1, 0}}, 16, "block"},
        {{{0, 4, 1, 0}, {8, 4, 1, 1}}, 16, "group"},
        {{{0, 4, 1, 0}, {8, 0, 1, 0}}, 16, "tensor 1"},
        {{{0, 4, 1, 0}, {8, 4, 1, 0}}, 0, "0 numbers"},
    };
    cx_rule_config rule;
    cx_hyper hyper;
    named("adam", &rule, &hyper);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cx_error err;
        cx_optimizer *o;
        assert_int_equal(cx_optimizer_create(&rule, bad[i].tensor, 2, 1, bad[i].count, &o, &err),
                         CX_ESTATE);
        assert_null(o);
        assert_non_null(strstr(err.message, bad[i].says));
    }
    cx_optimizer_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_textbook),
        cmocka_unit_test(test_padding_is_left_alone),
        cmocka_unit_test(test_saved_state_continues_to_the_bit),
        cmocka_unit_test(test_bad_gradients_change_nothing),
        cmocka_unit_test(test_rolling_maximum),
        cmocka_unit_test(test_clipping_is_per_group),
        cmocka_unit_test(test_average),
        cmocka_unit_test(test_tensor_without_gradient),
        cmocka_unit_test(test_subnormals),
        cmocka_unit_test(test_named_rules),
        cmocka_unit_test(test_layouts_that_cannot_be),
    };
    int failed = 0;
    RUN_AT_EACH_LEVEL(failed, tests, NULL, NULL);
    return failed;
}
