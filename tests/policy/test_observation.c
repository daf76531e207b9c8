#include "tests/policy/sample.h"
#include "tests/test.h"

#include "base/rng.h"
#include "policy/cdf.h"
#include "policy/observation.h"
#include "tasks/task.h"

enum { POLICY = 1 + 78 + 35 + 7 + 6 + 6 + 14 + 3 + 3 + 8, MOST = 1024 };

/* Index of the entry so named; fails where there is none or more than one. */
static int entry(const cx_config *config, const char *name) {
    int found = -1;
    char buffer[128];
    for (int i = 0; i < cx_privileged_size(config); i++)
        if (strcmp(cx_observation_name(config, i, buffer, sizeof buffer), name) == 0) {
            if (found >= 0)
                fail_msg("two entries are called '%s'", name);
            found = i;
        }
    if (found < 0)
        fail_msg("no entry is called '%s'", name);
    return found;
}

typedef struct {
    cx_config config;
    cx_observer *o;
    cx_baseline baseline;
    cx_run_state run;
    double features[CX_FEATURE_COUNT];
    int action[CX_HEADS_MAX];
    float task[256], noise[CX_HYPER_COUNT], out[MOST];
} sample;

static void make(sample *s) {
    cx_error err;
    memset(s, 0, sizeof *s);
    sample_config(&s->config);
    cx_curve curve = {.n = 4, .t = {100, 200, 400, 800}, .loss = {1, 0.8, 0.6, 0.5}};
    s->baseline = (cx_baseline){
        .steps = 200, .initial_loss = 2.3, .n_runs = 2, .lr = {1e-3, 3e-3}, .final_loss = {1, 0.8}};
    cx_baseline_fit(&s->config, &s->baseline, &curve, 1);
    for (int i = 0; i < CX_FEATURE_COUNT; i++)
        s->features[i] = 0.1 * i - 0.5;
    for (int i = 0; i < 256; i++)
        s->task[i] = (float)i / 256;
    for (int i = 0; i < CX_HYPER_COUNT; i++)
        s->noise[i] = 0.1f * (float)i - 0.3f;
    const int action[] = {4, 6, 0, 1, 0, 1, 3, 2, 1};
    memcpy(s->action, action, sizeof action);
    s->run = (cx_run_state){.outer_step = 2,
                            .outer_steps = 8,
                            .inner_steps = 200,
                            .features = s->features,
                            .last_action = s->action,
                            .train_loss = 0.5,
                            .valid_loss = 0.8,
                            .param_norm = 11,
                            .previous_param_norm = 10,
                            .update_norm = 2,
                            .hyper = s->config.optimizer.start,
                            .hyper_start = s->config.optimizer.start,
                            .task_vector = s->task,
                            .n_task_vector = cx_task_vector_size(),
                            .start_noise = s->noise,
                            .baseline = &s->baseline};
    s->run.hyper.value[CX_HYPER_LR] *= 4;
    s->run.hyper.value[CX_HYPER_GROUP_CLIP] = 0.5;
    s->run.reg[1].full = true;
    s->run.reg[1].valid_loss = 1.6;
    s->run.reg[1].progress = 0.125;
    assert_true(cx_privileged_size(&s->config) <= MOST);
    assert_ok(cx_observer_create(&s->config, &s->o, &err));
}

static void near(sample *s, const char *name, double want) {
    double got = s->out[entry(&s->config, name)];
    if (!(fabs(got - want) < 1e-5))
        fail_msg("%s: %g, not %g", name, got, want);
}

static void test_sizes_and_names(void **state) {
    (void)state;
    cx_config config;
    sample_config(&config);
    int rest = cx_task_vector_size() + 8 + 2 + 12 + 3 + 1;
    assert_int_equal(cx_observation_size(&config), POLICY);
    assert_int_equal(cx_privileged_size(&config), POLICY + rest);
    char a[128], b[128];
    for (int i = 0; i < POLICY + rest; i++) {
        assert_ptr_equal(cx_observation_name(&config, i, a, sizeof a), a);
        assert_true(strlen(a) > 0);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(a, cx_observation_name(&config, j, b, sizeof b));
    }
    assert_string_equal(cx_observation_name(&config, 0, a, sizeof a), "progress");
    assert_string_equal(cx_observation_name(&config, 1 + 5 * 6 + 2, a, sizeof a),
                        "cdf 2.5 of log_noise_scale");
    assert_string_equal(cx_observation_name(&config, 79, a, sizeof a),
                        "last action registers nothing");
    /* the order of the published table, by its first entries */
    const char *const order[] = {"progress",
                                 "did_grad_clip",
                                 "last action registers nothing",
                                 "last action lr x 0.5",
                                 "is nan: log(valid / train loss)",
                                 "tanh log(update / parameter norm)",
                                 "tanh log(parameter norm / last)",
                                 "is nan: log train loss",
                                 "is nan: log valid loss",
                                 "tanh log(register / current loss) 0",
                                 "progress of register 0",
                                 "log(lr / start)",
                                 "task 0",
                                 "start noise of lr",
                                 "value of log train loss",
                                 "reward now, not clipped above",
                                 "best reward of the baselines",
                                 "tanh(log(alpha) / 10)"};
    for (size_t i = 1; i < sizeof order / sizeof *order; i++)
        assert_true(entry(&config, order[i - 1]) < entry(&config, order[i]));
    assert_int_equal(entry(&config, "task 0"), POLICY);
    config.observations.log_steps = 1;
    assert_int_equal(cx_observation_size(&config), POLICY + 2);
    assert_int_equal(entry(&config, "log steps 0"), POLICY);
    assert_int_equal(entry(&config, "task 0"), POLICY + 2);
    config.observations.log_steps = 0;
    config.registers = 0;
    assert_int_equal(cx_observation_size(&config), POLICY - 10 - 6);
}

static void test_values(void **state) {
    (void)state;
    sample s;
    make(&s);
    s.config.observations.log_steps = 1;
    cx_observe(s.o, &s.run, s.out);
    near(&s, "progress", 0.25);
    near(&s, "log_noise_scale", 0);
    near(&s, "cdf_cosine_similarity_grad_param", 0.7);
    near(&s, "cdf 5 of did_grad_clip", 0.5); /* first sample */
    near(&s, "last action registers load 0", 1);
    near(&s, "last action registers save 2", 0);
    near(&s, "last action lr x 2", 1);
    near(&s, "last action lr x 1.414", 0);
    near(&s, "last action weight_decay x 0.5", 1);
    near(&s, "last action group_clip_grad_norm +1", 1);
    near(&s, "last action lamb_update_norm_ombeta x 1", 1);
    near(&s, "is nan: log(valid / train loss)", 0);
    near(&s, "tanh log(valid / train loss)", tanh(log(1.6)));
    near(&s, "tanh log(update / parameter norm)", tanh(log(0.2)));
    near(&s, "tanh log(parameter norm / last)", tanh(log(1.1)));
    near(&s, "is nan: log train loss", 0);
    near(&s, "is inf: log valid loss", 0);
    near(&s, "tanh log(register / current loss) 0", 0);
    near(&s, "tanh log(register / current loss) 1", tanh(log(2)));
    near(&s, "progress of register 1", 0.125);
    near(&s, "progress of register 2", 0);
    near(&s, "log(lr / start)", log(4));
    near(&s, "log(weight_decay / start)", 0);
    near(&s, "logit(group_clip_grad_norm / start)", -log(4));
    near(&s, "log steps 0", log10(200) / 4);
    near(&s, "log steps 1", log10(25) / 4);
    near(&s, "task 3", 3.0 / 256);
    near(&s, "start noise of weight_decay", -0.2);
    near(&s, "value of log train loss", log(0.5));
    near(&s, "value of log valid loss", log(0.8));
    near(&s, "reward now", 0);
    near(&s, "best reward of the baselines", 0);
    near(&s, "mean reward of the baselines", -0.5 * log(2));
    near(&s, "tanh(log(alpha) / 10)", tanh(log(s.baseline.alpha) / 10));
    int sum = 0;
    for (int i = 79; i < 79 + 35; i++) {
        assert_true(s.out[i] == 0 || s.out[i] == 1);
        sum += s.out[i] == 1;
    }
    assert_int_equal(sum, 9);
    cx_observer_destroy(s.o);
}

/* CDF features of each value are those of cdf.h over the sequence that was seen. */
static void test_cdf(void **state) {
    (void)state;
    sample s, off;
    make(&s);
    make(&off);
    off.config.observations.cdf = 0;
    const struct {
        const char *name;
        double x[3];
    } want[] = {{"log train loss", {log(0.5), log(0.25), log(0.125)}},
                {"log(valid / train loss)", {log(1.6), log(3.2), log(6.4)}},
                {"log_lamb", {-20, 20, 0.3}}, /* clipped before it enters */
                {"reward now", {0, 0, 0}}};
    cx_cdf cdf[4];
    memset(cdf, 0, sizeof cdf);
    for (int t = 0; t < 3; t++) {
        s.run.train_loss = off.run.train_loss = pow(0.5, t + 1);
        s.features[CX_FEATURE_log_lamb] = (const double[]){-1e9, INFINITY, 0.3}[t];
        cx_observe(s.o, &s.run, s.out);
        cx_observe(off.o, &off.run, off.out);
        for (int k = 0; k < 4; k++) {
            float out[CX_CDF_COUNT];
            cx_cdf_update(&cdf[k], want[k].x[t], out);
            for (int i = 0; i < CX_CDF_COUNT; i++) {
                char name[128];
                (void)snprintf(name, sizeof name, "cdf %g of %s", cx_cdf_weights[i], want[k].name);
                near(&s, name, out[i]);
                near(&off, name, 0.5);
            }
        }
    }
    cx_observer_destroy(s.o);
    cx_observer_destroy(off.o);
}

static void test_first_and_diverged(void **state) {
    (void)state;
    sample s;
    make(&s);
    s.run.features = NULL;
    s.run.last_action = NULL;
    s.run.update_norm = s.run.previous_param_norm = NAN;
    s.run.outer_step = 0;
    cx_observe(s.o, &s.run, s.out);
    near(&s, "log_lamb", 0);
    near(&s, "cdf 20 of log_lamb", 0.5);
    near(&s, "tanh log(update / parameter norm)", 0);
    near(&s, "tanh log(parameter norm / last)", 0);
    for (int i = 79; i < 79 + 35; i++)
        assert_true(s.out[i] == 0);
    s.run.train_loss = NAN;
    s.run.valid_loss = INFINITY;
    cx_observe(s.o, &s.run, s.out);
    near(&s, "is nan: log train loss", 1);
    near(&s, "is inf: log train loss", 0);
    near(&s, "is nan: log valid loss", 0);
    near(&s, "is inf: log valid loss", 1);
    near(&s, "is nan: log(valid / train loss)", 1);
    near(&s, "tanh log(valid / train loss)", 0);
    near(&s, "cdf 5 of log valid loss", 0.5);
    near(&s, "value of log train loss", 30);
    near(&s, "value of log valid loss", 30);
    near(&s, "reward now", -3);
    near(&s, "tanh log(register / current loss) 1", -1);
    s.run.valid_loss = 0;
    cx_observe(s.o, &s.run, s.out);
    near(&s, "value of log valid loss", log(1e-12));
    near(&s, "is inf: log valid loss", 0);
    /* without privileged information: the policy's part is the same */
    float with[MOST];
    memcpy(with, s.out, sizeof with);
    cx_observer_destroy(s.o);
    cx_error err;
    assert_ok(cx_observer_create(&s.config, &s.o, &err));
    s.run.task_vector = NULL;
    s.run.start_noise = NULL;
    s.run.baseline = NULL;
    s.run.valid_loss = 0.8;
    cx_observe(s.o, &s.run, s.out);
    near(&s, "task 3", 0);
    near(&s, "reward now", 0);
    cx_observer_destroy(s.o);
}

static double odd(cx_rng *rng) {
    const double x[] = {NAN, INFINITY, -INFINITY, 0, -0.0, -1, 1e-320, 1.7e308, -1.7e308, 1, 1e-12};
    uint32_t i = cx_rng_below(rng, 16);
    return i < 11 ? x[i] : exp(5 * cx_rng_normal(rng));
}

static void test_always_finite(void **state) {
    (void)state;
    cx_rng rng = cx_rng_make(11, 0, CX_STREAM_TEST);
    for (int episode = 0; episode < 60; episode++) {
        sample s;
        make(&s);
        s.config.reward.form = episode % 2;
        s.config.observations.log_steps = 1;
        for (int k = 0; k < 12; k++) {
            for (int i = 0; i < CX_FEATURE_COUNT; i++)
                s.features[i] = odd(&rng);
            double *const value[] = {&s.run.train_loss,
                                     &s.run.valid_loss,
                                     &s.run.param_norm,
                                     &s.run.previous_param_norm,
                                     &s.run.update_norm,
                                     &s.run.inner_steps,
                                     &s.run.optimum,
                                     &s.run.reg[0].valid_loss,
                                     &s.run.reg[0].progress,
                                     &s.baseline.alpha,
                                     &s.baseline.mean_reward,
                                     &s.run.hyper.value[0],
                                     &s.run.hyper_start.value[5]};
            for (size_t i = 0; i < sizeof value / sizeof *value; i++)
                *value[i] = odd(&rng);
            s.run.reg[0].full = true;
            s.run.outer_step = k;
            s.run.outer_steps = (int)cx_rng_below(&rng, 12);
            s.run.start_noise = k % 3 ? s.noise : NULL;
            s.noise[2] = (float)fmin(fmax(odd(&rng), -1e30), 1e30);
            s.task[1] = NAN;
            cx_observe(s.o, &s.run, s.out);
            for (int i = 0; i < cx_privileged_size(&s.config); i++)
                if (!isfinite(s.out[i])) {
                    char name[128];
                    fail_msg("%s is %g", cx_observation_name(&s.config, i, name, sizeof name),
                             s.out[i]);
                }
        }
        cx_observer_destroy(s.o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_and_names),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_cdf),
        cmocka_unit_test(test_first_and_diverged),
        cmocka_unit_test(test_always_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
