#include "tests/workers/fixture.h"

#include "workers/control.h"
#include "workers/trial.h"
#include <math.h>
#include <string.h>

static const char *const yaml =
    "seed: 3\n"
    "episode: {outer_examples: 32, final_examples: 32}\n"
    "policy: {hidden: 8, lstm: 8}\n"
    "tasks:\n"
    "  - {family: nqm, outer_steps: 7, inner_per_outer: 6, dimension: 40, conditioning: 100, "
    "noise: 0.5}\n";

static fixture *set_up_with(const char *extra) {
    fixture *f = make_fixture(extra, yaml);
    cx_task_sample_entry(&f->config, 0, 9, &f->spec);
    return f;
}

static cx_trial_job rule_job(const fixture *f, const char *rule, double lr) {
    cx_trial_job j;
    cx_rule_config ignored;
    cx_error err;
    memset(&j, 0, sizeof j);
    j.spec = f->spec;
    j.trainer = CX_TRAINER_RULE;
    if (strcmp(rule, CX_RULE_LEARNED) == 0)
        j.hyper = f->config.optimizer.start;
    else
        assert_ok(cx_rule_named(rule, &ignored, &j.hyper, &err));
    j.hyper.value[CX_HYPER_LR] = lr;
    memcpy(j.rule, rule, strlen(rule));
    j.length = 1;
    return j;
}

static cx_trial_job policy_job(const fixture *f) {
    cx_trial_job j;
    memset(&j, 0, sizeof j);
    j.spec = f->spec;
    j.trainer = CX_TRAINER_POLICY;
    j.length = 1;
    j.measure = CX_MEASURE_SPLITS | CX_MEASURE_CURVE;
    return j;
}

static cx_trial_result run(fixture *f, const cx_trial_job *j, const cx_open_loop *replay) {
    cx_error err;
    cx_trial_result r;
    assert_ok(cx_trial_run(&f->config, f->runner, j, replay, f->policy, &r, &err));
    assert_true(cx_trial_result_ok(&r, cx_trial_result_size(&r)));
    return r;
}

/* A trial is the training that `coxswain run` does. */
static void test_rule(void **state) {
    (void)state;
    fixture *f = set_up_with("");
    cx_error err;
    cx_rule_config rule;
    cx_hyper hyper;
    cx_task *task;
    cx_control_result c;
    cx_trial_job j = rule_job(f, "adamw", 0.03);
    j.schedule = CX_SCHEDULE_cosine;
    j.measure = CX_MEASURE_SPLITS | CX_MEASURE_CURVE;
    assert_ok(cx_rule_named("adamw", &rule, &hyper, &err));
    hyper.value[CX_HYPER_LR] = 0.03;
    assert_ok(cx_episode_runner_task(f->runner, &f->spec, &task, &err));
    const cx_control_plan plan = {.config = &f->config,
                                  .task = task,
                                  .rule = &rule,
                                  .hyper = &hyper,
                                  .schedule = CX_SCHEDULE_cosine,
                                  .steps = 42};
    assert_ok(cx_control_run(&plan, &c, &err));
    cx_trial_result r = run(f, &j, NULL);
    for (int s = 0; s < CX_SPLITS; s++)
        assert_true(r.loss[CX_PARAMS_AVERAGED][s] == c.loss[s]);
    assert_true(r.loss[CX_PARAMS_NEWEST][CX_SPLIT_TEST] != c.loss[CX_SPLIT_TEST]);
    assert_true(r.optimum == cx_task_optimum(task) && r.steps == 42 && !r.diverged && !r.has_taken);
    assert_int_equal(r.n_curve, CX_TRIAL_CURVE);
    assert_true(r.progress[CX_TRIAL_CURVE - 1] == 1);
    assert_true(r.valid[CX_TRIAL_CURVE - 1] == r.loss[CX_PARAMS_AVERAGED][CX_SPLIT_VALIDATION]);
    assert_true(r.seconds > 0 && r.seconds == r.training_seconds);
    /* a sweep's trial is the same training, and has not looked at the test split */
    j.measure = 0;
    cx_trial_result s = run(f, &j, NULL);
    for (int p = 0; p < CX_PARAMS_COUNT; p++) {
        assert_true(s.loss[p][CX_SPLIT_VALIDATION] == r.loss[p][CX_SPLIT_VALIDATION]);
        assert_true(isnan(s.loss[p][CX_SPLIT_TEST]) && isnan(s.loss[p][CX_SPLIT_TRAIN]));
    }
    assert_int_equal(s.n_curve, 0);
    tear_down(f);
}

/* Every second step skipped is the training of half the length, exactly. */
static void test_skip(void **state) {
    (void)state;
    fixture *f = set_up_with("");
    cx_trial_job j = rule_job(f, "adamw", 0.03), half = j;
    j.schedule = half.schedule = CX_SCHEDULE_cosine;
    j.skip = 2;
    half.length = 0.5;
    cx_trial_result a = run(f, &j, NULL), b = run(f, &half, NULL);
    assert_true(a.loss[0][CX_SPLIT_VALIDATION] == b.loss[0][CX_SPLIT_VALIDATION]);
    assert_true(a.loss[1][CX_SPLIT_VALIDATION] == b.loss[1][CX_SPLIT_VALIDATION]);
    assert_true(a.steps == 42 && b.steps == 21);
    j.length = 2; /* skipped, at twice the length: the whole training */
    half.length = 1;
    a = run(f, &j, NULL);
    b = run(f, &half, NULL);
    assert_true(a.loss[0][CX_SPLIT_VALIDATION] == b.loss[0][CX_SPLIT_VALIDATION]);
    tear_down(f);
}

static void test_policy_and_replay(void **state) {
    (void)state;
    fixture *f = set_up_with("");
    cx_trial_job j = policy_job(f);
    cx_trial_result a = run(f, &j, NULL), b = run(f, &j, NULL);
    assert_true(a.loss[0][CX_SPLIT_TEST] == b.loss[0][CX_SPLIT_TEST] && a.has_taken);
    assert_true(a.steps == 42 && a.n_curve == 7 && a.progress[6] == 1);
    assert_true(a.seconds >= a.training_seconds && a.training_seconds > 0);
    /* from the start of the configuration, moved by at most one choice */
    double ratio = a.taken.point[0].value[CX_HYPER_LR] / f->config.optimizer.start.value[0];
    assert_true(ratio >= 0.1 && ratio <= 10);
    assert_true(isfinite(a.update[0]) && a.update[0] > 0);
    /* its own trajectory, replayed, is the same training */
    cx_trial_job replay = policy_job(f);
    replay.trainer = CX_TRAINER_REPLAY;
    b = run(f, &replay, &a.taken);
    assert_true(a.loss[0][CX_SPLIT_TEST] == b.loss[0][CX_SPLIT_TEST]);
    j.start_lr = 1000;
    b = run(f, &j, NULL);
    assert_true(b.taken.point[0].value[CX_HYPER_LR] > 50 * a.taken.point[0].value[CX_HYPER_LR]);
    j.start_lr = 0;
    j.sampled = 1;
    b = run(f, &j, NULL);
    cx_trial_result c = run(f, &j, NULL);
    assert_true(b.loss[0][CX_SPLIT_TEST] == c.loss[0][CX_SPLIT_TEST]);
    assert_true(b.loss[0][CX_SPLIT_TEST] != a.loss[0][CX_SPLIT_TEST]);
    /* the static control at the policy's constants is a replay of constants */
    cx_open_loop constant;
    for (int i = 0; i < CX_OPEN_LOOP_POINTS; i++)
        constant.point[i] = f->config.optimizer.start;
    cx_trial_job fixed = rule_job(f, CX_RULE_LEARNED, f->config.optimizer.start.value[0]);
    b = run(f, &replay, &constant);
    c = run(f, &fixed, NULL);
    assert_true(b.loss[0][CX_SPLIT_VALIDATION] == c.loss[0][CX_SPLIT_VALIDATION]);
    tear_down(f);
}

static void test_divergence(void **state) {
    (void)state;
    fixture *f = set_up_with("");
    cx_trial_job j = rule_job(f, "sgd", 1e30);
    j.measure = CX_MEASURE_SPLITS | CX_MEASURE_CURVE;
    cx_trial_result r = run(f, &j, NULL);
    assert_true(r.diverged && r.steps < 42 && isnan(r.loss[0][CX_SPLIT_TEST]));
    tear_down(f);
}

/* More outer steps than points of a trajectory, with registers. */
static void test_long_run(void **state) {
    (void)state;
    fixture *f = set_up_with("actions: {registers: 1}\n");
    f->spec.value[0] = 300;
    f->spec.value[1] = 1;
    cx_trial_job j = policy_job(f);
    j.sampled = 1;
    cx_trial_result r = run(f, &j, NULL);
    int seen[4] = {0};
    for (int i = 0; i < CX_OPEN_LOOP_POINTS; i++) {
        assert_in_range(r.registers[i], 0, 3);
        seen[r.registers[i]]++;
        assert_true(r.taken.point[i].value[CX_HYPER_LR] > 0);
    }
    assert_true(seen[1] > 0 && seen[2] > 0 && seen[3] > 0);
    assert_int_equal(r.n_curve, CX_TRIAL_CURVE);
    tear_down(f);
}

static void test_keys(void **state) {
    (void)state;
    cx_error err;
    fixture *f = set_up_with("");
    const cx_trial_job adam = rule_job(f, "adamw", 0.03), policy = policy_job(f);
    cx_trial_job learned = rule_job(f, CX_RULE_LEARNED, 0.03), j;
    uint64_t a = cx_trial_key(&f->config, &adam), p = cx_trial_key(&f->config, &policy),
             l = cx_trial_key(&f->config, &learned);
    assert_true(a != p && a != l && p != l);
#define CHANGED(change)                                                                            \
    do {                                                                                           \
        j = adam;                                                                                  \
        change;                                                                                    \
        assert_true(cx_trial_key(&f->config, &j) != a);                                            \
    } while (0)
    CHANGED(j.spec.seed++);
    CHANGED(j.spec.value[3]++);
    CHANGED(j.schedule = 1);
    CHANGED(j.skip = 2);
    CHANGED(j.measure = CX_MEASURE_CURVE);
    CHANGED(j.length = 2);
    CHANGED(j.hyper.value[CX_HYPER_EPSILON] *= 2);
    CHANGED(j.rule[4] = 0);
    CHANGED(j.source = 1);
#undef CHANGED
    j = adam;
    j.spec.entry = 7; /* where a task stands in a configuration does not matter */
    assert_true(cx_trial_key(&f->config, &j) == a);
    /* what acts on the learned optimizer alone leaves AdamW's results valid */
    f->config.optimizer.lamb_power = 0.5;
    assert_true(cx_trial_key(&f->config, &adam) == a);
    assert_true(cx_trial_key(&f->config, &policy) != p);
    assert_true(cx_trial_key(&f->config, &learned) != l);
    f->config.reward.max_extensions++; /* of the reward's sweep: of none of them */
    assert_true(cx_trial_key(&f->config, &adam) == a);
    f->config.episode.parameter_average = 0.5;
    assert_true(cx_trial_key(&f->config, &adam) != a);
    /* seeds: the first is the task's own, the others differ */
    cx_task_spec s = f->spec, t = f->spec;
    cx_trial_seed(&s, 0);
    assert_true(s.seed == f->spec.seed);
    cx_trial_seed(&s, 1);
    cx_trial_seed(&t, 2);
    assert_true(s.seed != f->spec.seed && t.seed != s.seed);
    /* jobs that cannot be */
    j = adam;
    j.length = NAN;
    assert_int_equal(cx_trial_check(&j, &err), CX_EFORMAT);
    j = policy;
    j.length = 2;
    assert_int_equal(cx_trial_check(&j, &err), CX_EFORMAT);
    j = adam;
    memset(j.rule, 'x', sizeof j.rule);
    assert_int_equal(cx_trial_check(&j, &err), CX_EFORMAT);
    j = adam;
    j.rule[0] = 'x';
    assert_int_equal(cx_trial_check(&j, &err), CX_EUSAGE);
    /* results of other sizes, or with counts that are none */
    cx_trial_result r = {.n_curve = 3};
    assert_true(cx_trial_result_ok(&r, cx_trial_result_size(&r)));
    assert_false(cx_trial_result_ok(&r, sizeof r));
    assert_false(cx_trial_result_ok(&r, 100));
    r.has_taken = 1;
    assert_true(cx_trial_result_ok(&r, sizeof r));
    r.n_curve = CX_TRIAL_CURVE + 1;
    assert_false(cx_trial_result_ok(&r, sizeof r));
    tear_down(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_policy_and_replay),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_long_run),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
