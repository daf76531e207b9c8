/* Figures of made-up trials, by hand. */
#include "tests/coordinator/fake_trials.h"

#include "coordinator/eval_json.h"
#include <jansson.h>

static const char *const yaml =
    "seed: 3\n"
    "evaluation: {seeds: 4, trials: 4, sampled: false, sgd: false, static_control: false, "
    "open_loop: false}\n"
    "tasks:\n"
    "  - {family: nqm, outer_steps: 8, inner_per_outer: 10}\n"
    "  - {family: images, name: mlp, outer_steps: 16, inner_per_outer: 6}\n"
    "  - {family: images, name: cnn, architecture: cnn, outer_steps: 32, inner_per_outer: 6}\n";

static int entry_of(const cx_trial_job *job) {
    return (int)job->spec.entry;
}

static int seed_of(const fakes *f, const cx_trial_job *job) {
    for (int s = 0; s < f->suite->seeds; s++) {
        cx_task_spec spec = f->suite->task[entry_of(job)].spec;
        cx_trial_seed(&spec, s);
        if (spec.seed == job->spec.seed)
            return s;
    }
    return -1;
}

/* AdamW's excess is 1 / length. The policy's, over the optimum 0.5: by task, */
static const double policy_loss[3][4] = {
    {0.5, 0.5, 0.5, 0.5}, /* as AdamW at twice the length: 2 x */
    {1, 1, 0.1, 0.1},     /* 1, 1, and twice more than 4 x */
    {4, 4, 4, NAN},       /* never; once diverged */
};

static void make(const fakes *f, const cx_trial_job *job, cx_trial_result *r) {
    double loss = 1 / job->length;
    r->optimum = 0.5;
    if (job->trainer == CX_TRAINER_POLICY) {
        loss = policy_loss[entry_of(job)][seed_of(f, job)];
        r->seconds = 2e-3 * r->steps;
        r->diverged = isnan(loss) ? 1 : 0;
        r->has_taken = 1;
        for (int i = 0; i < CX_OPEN_LOOP_POINTS; i++)
            r->taken.point[i] = f->config.optimizer.start;
    }
    if (job->schedule == CX_SCHEDULE_cosine && !job->skip && job->length == 1 &&
        (job->measure == (uint32_t)CX_MEASURE_SPLITS)) { /* a random trial: by its lr */
        double x = job->hyper.value[CX_HYPER_LR];
        fake_losses(r, x, x, x + 0.5);
        return;
    }
    double gap = job->trainer == CX_TRAINER_POLICY ? 0.3 : 0.1; /* overfits to validation */
    fake_losses(r, loss, loss + 0.5 - gap, loss + 0.5);
}

static void assert_near(double a, double b) {
    if (!(fabs(a - b) <= 1e-12 * fmax(1, fabs(b))))
        fail_msg("%.17g is not %.17g", a, b);
}

static fakes *create(void) {
    cx_error err;
    cx_suite_options o = {.policy_hash = 5};
    assert_ok(cx_fixed_optimizer_parse("adam:0.1:linear", &o.baseline, &err));
    fakes *f = fake_create(yaml, &o, make);
    fake_run(f);
    return f;
}

static void test_tasks(void **state) {
    (void)state;
    cx_error err;
    cx_figures *g;
    fakes *f = create();
    assert_ok(cx_figures_create(f->suite, &g, &err));
    int policy = cx_suite_find(f->suite, CX_CONTESTANT_POLICY);
    int base = cx_suite_find(f->suite, CX_CONTESTANT_BASELINE);
    const cx_entrant_figures *e = &g->task[0].entrant[policy];
    assert_near(e->speedup.log.mean, log(2));
    assert_true(e->speedup.bound == CX_BOUND_NONE && e->won == 1);
    assert_near(e->log_time, log(0.5)); /* twice the time per step */
    assert_near(e->difference.mean, -0.5);
    assert_near(e->log_ratio.mean, log(0.5));
    assert_near(e->loss[CX_SPLIT_TEST].mean, 0.5);
    assert_true(isnan(e->gap.mean)); /* the quadratic has one split */
    e = &g->task[1].entrant[policy];
    assert_near(e->speedup.log.mean, log(4) / 2);
    assert_true(e->speedup.bound == CX_BOUND_LEAST && e->speedup.above == 2);
    assert_near(e->won, 0.75);
    assert_near(e->gap.mean, 0.3);
    assert_near(e->gap_difference.mean, 0.2);
    assert_true(e->reached[2] == INFINITY && e->logs[2] == log(4));
    e = &g->task[2].entrant[policy];
    assert_true(e->speedup.bound == CX_BOUND_BELOW && e->diverged == 1 && e->won == 0);
    assert_near(e->loss[CX_SPLIT_TEST].mean, 4);
    e = &g->task[2].entrant[base];
    assert_true(e->speedup.log.mean == 0 && e->won == 0.5);
    for (int i = 0; i < 3; i++)
        assert_false(g->task[i].same_splits);
    cx_figures_destroy(g);
    fake_destroy(f);
}

static void test_worth(void **state) {
    (void)state;
    cx_error err;
    cx_figures *g;
    fakes *f = create();
    assert_ok(cx_figures_create(f->suite, &g, &err));
    for (int i = 0; i < 3; i++) {
        double valid[4], test[4], expected[4];
        int worth;
        for (int k = 0; k < 4; k++) {
            const cx_trial_result *r = f->suite->task[i].trial[k];
            valid[k] = r->loss[0][CX_SPLIT_VALIDATION];
            test[k] = r->loss[0][CX_SPLIT_TEST] - r->optimum;
        }
        assert_ok(cx_trials_worth(valid, test, 4, policy_loss[i][0], expected, &worth, &err));
        assert_int_equal(g->task[i].worth, worth);
        assert_int_equal(g->task[i].trials, 4);
        assert_near(g->task[i].expected[2], expected[2]);
    }
    cx_figures_destroy(g);
    fake_destroy(f);
}

static const cx_group_figures *group(const cx_figures *g, const char *name) {
    for (int i = 0; i < g->n_groups; i++)
        if (strcmp(g->group[i].name, name) == 0)
            return &g->group[i];
    fail_msg("no group %s", name);
    return NULL;
}

static void test_groups(void **state) {
    (void)state;
    cx_error err;
    cx_figures *g;
    fakes *f = create();
    assert_ok(cx_figures_create(f->suite, &g, &err));
    const cx_contestant_figures *c = &group(g, "all tasks")->contestant[0];
    /* log 2, log(4)/2 (at least), log(1/2) (below) */
    assert_int_equal(c->tasks, 3);
    assert_near(c->median.log.mean, log(2));
    assert_near(c->mean.log.mean, log(2) / 3);
    assert_near(c->iqm.log.mean, (0.25 * log(0.5) + log(2) + 0.25 * log(2)) / 1.5);
    assert_near(c->worst.log.mean, log(0.5));
    assert_int_equal(c->worst_task, 2);
    assert_true(c->worst.bound == CX_BOUND_BELOW && c->mean.bound == CX_BOUND_EITHER);
    assert_true(c->mean.log.low < c->mean.log.mean && c->mean.log.mean < c->mean.log.high);
    assert_near(c->won.mean, 2 / 3.0);
    assert_near(c->time_median.mean, 0);
    /* at 1/2 two tasks (the third is below), at 2 two, above it none */
    assert_near(c->profile[0].mean, 2 / 3.0);
    assert_near(c->profile[16].mean, 2 / 3.0);
    assert_near(c->profile[17].mean, 0);
    assert_near(cx_profile_at(16), 2);
    c = &group(g, "images")->contestant[0];
    assert_int_equal(c->tasks, 2);
    assert_near(c->median.log.mean, 0);
    c = &group(g, "K 32 to 63")->contestant[0];
    assert_true(c->tasks == 1 && c->median.bound == CX_BOUND_BELOW);
    assert_near(group(g, "images")->gap_difference.mean, (0.2 / 0.55 + 0.2 / 4) / 2);
    cx_figures_destroy(g);
    fake_destroy(f);
}

static void make_leak(const fakes *f, const cx_trial_job *job, cx_trial_result *r) {
    make(f, job, r);
    for (int p = 0; p < CX_PARAMS_COUNT; p++) /* added up in another order */
        r->loss[p][CX_SPLIT_TEST] = r->loss[p][CX_SPLIT_VALIDATION] * (1 + 1e-13);
}

static void test_leak(void **state) {
    (void)state;
    cx_error err;
    cx_figures *g;
    const cx_suite_options o = {.policy_hash = 5};
    fakes *f = fake_create(yaml, &o, make_leak);
    fake_run(f);
    assert_ok(cx_figures_create(f->suite, &g, &err));
    assert_false(g->task[0].same_splits); /* it has one split, and says so */
    assert_true(g->task[1].same_splits && g->task[2].same_splits);
    assert_true(fabs(g->task[1].entrant[0].gap.mean) < 1e-12);
    cx_figures_destroy(g);
    fake_destroy(f);
}

/* The file for readers is whole JSON with every task and contestant; NAN is null. */
static void test_json(void **state) {
    (void)state;
    cx_error err;
    cx_figures *g;
    char *text;
    fakes *f = create();
    assert_ok(cx_figures_create(f->suite, &g, &err));
    cx_evaluation e = {.config = &f->config, .source = "some.safetensors", .suite = f->suite->o};
    assert_ok(cx_evaluation_summary_json(&e, f->suite, g, &text, &err));
    json_t *o = json_loads(text, 0, NULL);
    assert_non_null(o);
    assert_int_equal(json_array_size(json_object_get(o, "tasks")), 3);
    json_t *t = json_array_get(json_object_get(o, "tasks"), 2), *c;
    c = json_array_get(json_object_get(t, "contestants"), 0);
    assert_string_equal(json_string_value(json_object_get(c, "id")), "policy");
    c = json_array_get(json_object_get(c, "seeds"), 3);
    assert_true(json_is_null(json_object_get(c, "test_loss")));
    assert_string_equal(json_string_value(json_object_get(c, "outside")), "below");
    json_decref(o);
    free(text);
    cx_figures_destroy(g);
    fake_destroy(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks), cmocka_unit_test(test_worth), cmocka_unit_test(test_groups),
        cmocka_unit_test(test_leak),  cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
