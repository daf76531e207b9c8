#include "tests/coordinator/fake_trials.h"

static const char *const yaml =
    "seed: 3\n"
    "evaluation: {seeds: 3, trials: 5, tasks_per_entry: 2, "
    "max_extensions: 4, start_lr: [0.01, 1]}\n"
    "tasks:\n"
    "  - {family: nqm, outer_steps: 7, inner_per_outer: {int: [5, 50]}, "
    "dimension: 40}\n"
    "  - {family: images, outer_steps: 8, inner_per_outer: 6}\n";

/* Where a formula has its minimum. */
static double best_lr, best_decay;
static int best_schedule;

static double off(double x, double best) {
    double d = log(fmax(x, 1e-9) / best);
    return d * d;
}

static int task_of(const fakes *f, const cx_trial_job *job) {
    for (int i = 0; i < f->suite->n_tasks; i++)
        for (int s = 0; s < f->suite->seeds; s++) {
            cx_task_spec spec = f->suite->task[i].spec;
            cx_trial_seed(&spec, s);
            if (memcmp(&spec, &job->spec, sizeof spec) == 0)
                return i;
        }
    fail_msg("a job of no task");
    return -1;
}

static void make(const fakes *f, const cx_trial_job *job, cx_trial_result *r) {
    double loss = 1;
    if (job->trainer == CX_TRAINER_RULE) {
        const double *h = job->hyper.value;
        loss += off(h[CX_HYPER_LR], best_lr) + 0.01 * off(h[CX_HYPER_WEIGHT_DECAY], best_decay) +
                (job->schedule != (uint32_t)best_schedule);
        if (strcmp(job->rule, CX_RULE_LEARNED) == 0) /* as far from 0.1 as can be: its bound */
            loss += 1e-3 * log(h[CX_HYPER_OMBETA1]);
    } else {
        /* every task has an lr of its own: 1, 10, 100, ... */
        cx_hyper hyper = f->config.optimizer.start;
        hyper.value[CX_HYPER_LR] = 1e-4 * pow(10, task_of(f, job));
        for (int k = 0; k < CX_OPEN_LOOP_POINTS; k++)
            r->taken.point[k] = hyper;
        r->has_taken = 1;
    }
    fake_losses(r, loss, loss, loss);
    r->loss[CX_PARAMS_NEWEST][CX_SPLIT_VALIDATION] = loss - 0.1; /* without the average */
}

static fakes *create(void) {
    const cx_suite_options options = {.first_instance = 1000, .policy_hash = 77};
    return fake_create(yaml, &options, make);
}

static void test_choices(void **state) {
    (void)state;
    best_lr = 3e-3;
    best_decay = 1e-3;
    best_schedule = CX_SCHEDULE_linear;
    fakes *f = create();
    int rounds = fake_run(f);
    assert_true(rounds >= 4);
    for (int i = 0; i < 4; i++) {
        const cx_suite_task *t = &f->suite->task[i];
        assert_true(t->complete);
        const cx_entrant *e = fake_entrant(f, i, CX_CONTESTANT_BASELINE);
        assert_true(e->job.hyper.value[CX_HYPER_LR] == 3e-3);
        assert_true(e->job.hyper.value[CX_HYPER_WEIGHT_DECAY] == 1e-3);
        assert_int_equal(e->job.schedule, CX_SCHEDULE_linear);
        assert_int_equal(e->params, CX_PARAMS_NEWEST);
        assert_int_equal(e->tuning_trials, 5 * 7 + 4);
        assert_true(e->tuning_steps == 39.0 * t->inner_steps);
        for (int l = 0; l < CX_SUITE_LENGTHS; l++)
            for (int s = 0; s < 3; s++)
                assert_int_equal(t->length[l][s]->steps,
                                 lround(t->inner_steps * cx_suite_lengths[l]));
        e = fake_entrant(f, i, CX_CONTESTANT_STATIC);
        assert_true(e->job.hyper.value[CX_HYPER_OMBETA1] == 0.1 / 4);
        assert_int_equal(fake_entrant(f, i, CX_CONTESTANT_SGD)->job.schedule, CX_SCHEDULE_cosine);
    }
    fake_destroy(f);
}

/* The best lr lies outside the grid: the sweep goes there, but no further than allowed. */
static void test_edges(void **state) {
    (void)state;
    best_decay = 1e-2;
    best_schedule = CX_SCHEDULE_constant;
    best_lr = 0.1; /* two half decades above 1e-2 */
    fakes *f = create();
    fake_run(f);
    const cx_entrant *e = fake_entrant(f, 0, CX_CONTESTANT_BASELINE);
    assert_true(fabs(e->job.hyper.value[CX_HYPER_LR] - 0.1) < 1e-12);
    assert_int_equal(e->tuning_trials, (5 + 3) * 7 + 4); /* one more to see that it is worse */
    fake_destroy(f);
    best_lr = 1e-9;
    f = create();
    fake_run(f);
    e = fake_entrant(f, 0, CX_CONTESTANT_BASELINE);
    assert_true(fabs(e->job.hyper.value[CX_HYPER_LR] - 1e-6) < 1e-18);
    assert_int_equal(e->tuning_trials, (5 + 4) * 7 + 4);
    fake_destroy(f);
}

/* Asking again changes nothing; results in any order and number lead to the same. */
static void test_idempotent(void **state) {
    (void)state;
    best_lr = 0.03;
    best_decay = 1e-2;
    best_schedule = CX_SCHEDULE_cosine;
    fakes *f = create(), *g = create();
    fake_run(f);
    cx_rng rng = cx_rng_make(1, 0, CX_STREAM_TEST);
    while (!fake_plan(g)) {
        int n = g->n_wanted;
        uint64_t first = g->wanted[0].key, last = g->wanted[n - 1].key;
        assert_false(fake_plan(g));
        assert_int_equal(g->n_wanted, n);
        assert_true(g->wanted[0].key == first && g->wanted[n - 1].key == last);
        int some = 1 + (int)cx_rng_below(&rng, 60);
        for (int i = 0; i < some && i < n; i++) /* from the end */
            fake_do(g, n - 1 - i);
    }
    assert_true(fake_plan(g) && fake_plan(f));
    assert_int_equal(f->n, g->n);
    for (int i = 0; i < f->n; i++) { /* the same trials; none twice */
        int twins = 0;
        for (int j = 0; j < g->n; j++)
            twins += f->result[i].key == g->result[j].key;
        assert_int_equal(twins, 1);
    }
    fake_destroy(f);
    fake_destroy(g);
}

/* What chooses by validation has not measured the test split; every optimizer has the same
 * weights and batches per seed; the other lengths are those of the chosen one. */
static void test_fairness(void **state) {
    (void)state;
    best_lr = 3e-3;
    best_decay = 1e-2;
    best_schedule = CX_SCHEDULE_cosine;
    fakes *f = create();
    fake_run(f);
    int measured = 0;
    for (int i = 0; i < f->n; i++) {
        const cx_trial_job *j = &f->job[i];
        assert_true(task_of(f, j) >= 0); /* of a seed of a task of the suite */
        assert_true(j->trainer == CX_TRAINER_RULE || j->length == 1);
        measured += (j->measure & CX_MEASURE_SPLITS) != 0;
    }
    /* per task: policy, sampled, start, static, 4 replays less those that are equal, SGD: 3
     * each; the baseline: 3 x 4 lengths; 5 trials */
    int replays = 0;
    for (int i = 0; i < f->n; i++)
        replays += f->job[i].trainer == CX_TRAINER_REPLAY;
    assert_int_equal(measured - replays, 4 * (3 + 3 + 3 + 3 + 3 + 12 + 5));
    assert_true(f->suite->contestant[2].kind == CX_CONTESTANT_START &&
                f->suite->contestant[2].start_lr == 0.01);
    fake_destroy(f);
}

/* The replay for a task is made of the others' runs alone: of lr 1e-4 .. 1e-1, the
 * mean of the logarithms without its own. */
static void test_replays(void **state) {
    (void)state;
    best_lr = 3e-3;
    best_decay = 1e-2;
    best_schedule = CX_SCHEDULE_cosine;
    fakes *f = create();
    /* nothing but the policy's runs is there: replays wait for all of them */
    (void)fake_plan(f);
    for (int i = 0; i < f->n_wanted; i++)
        assert_true(f->wanted[i].job.trainer != CX_TRAINER_REPLAY);
    fake_run(f);
    const double sum = -4 - 3 - 2 - 1;
    for (int i = 0; i < 4; i++) {
        const cx_entrant *e = fake_entrant(f, i, CX_CONTESTANT_REPLAY);
        double lr = e->replay->point[5].value[CX_HYPER_LR];
        assert_true(e->present && fabs(log10(lr) - (sum - (i - 4)) / 3) < 1e-9);
        e = fake_entrant(f, i, CX_CONTESTANT_REPLAY_FAMILY); /* one other of the family */
        int other = i ^ 1;
        lr = e->replay->point[99].value[CX_HYPER_LR];
        assert_true(fabs(log10(lr) - (other - 4)) < 1e-9);
        /* one run of each other task and seed: no two lengths in the family, no exponent */
        assert_false(fake_entrant(f, i, CX_CONTESTANT_REPLAY_BOTH)->present);
        assert_true(fake_entrant(f, i, CX_CONTESTANT_REPLAY_STEPS)->present);
        assert_true(fake_entrant(f, i, CX_CONTESTANT_OPEN_LOOP)->present);
        assert_non_null(fake_entrant(f, i, CX_CONTESTANT_OPEN_LOOP)->as);
    }
    fake_destroy(f);
}

static void test_fixed(void **state) {
    (void)state;
    cx_error err;
    cx_suite_options o = {.first_instance = 1};
    assert_ok(cx_fixed_optimizer_parse("adamw:0.01:cosine:skip=2", &o.baseline, &err));
    assert_true(o.baseline.given && o.baseline.job.skip == 2 &&
                o.baseline.job.schedule == CX_SCHEDULE_cosine &&
                o.baseline.job.hyper.value[CX_HYPER_LR] == 0.01);
    assert_ok(cx_fixed_optimizer_parse("lamb:1e-2", &o.contestant, &err));
    assert_int_equal(o.contestant.job.schedule, CX_SCHEDULE_constant);
    static const char *const bad[] = {"",
                                      "adamw",
                                      "adamv:0.1",
                                      "adamw:x",
                                      "adamw:-1",
                                      "adamw:0.1:cosinus",
                                      "adamw:nan",
                                      "adamw:1:skip=0",
                                      "adamw:1:skip=many",
                                      "a_very_long_name_of_nothing:1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cx_fixed_optimizer x;
        assert_int_equal(cx_fixed_optimizer_parse(bad[i], &x, &err), CX_EUSAGE);
    }
    best_lr = 0.01;
    fakes *f = fake_create(yaml, &o, make);
    assert_int_equal(cx_suite_find(f->suite, CX_CONTESTANT_OPEN_LOOP), -1);
    assert_int_equal(cx_suite_find(f->suite, CX_CONTESTANT_SAMPLED), -1);
    fake_run(f);
    const cx_entrant *e = fake_entrant(f, 0, CX_CONTESTANT_BASELINE);
    assert_true(e->complete && e->tuning_trials == 0 && e->job.skip == 2 &&
                e->params == CX_PARAMS_AVERAGED);
    assert_string_equal(fake_entrant(f, 0, CX_CONTESTANT_POLICY)->job.rule, "lamb");
    fake_destroy(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choices),    cmocka_unit_test(test_edges),
        cmocka_unit_test(test_idempotent), cmocka_unit_test(test_fairness),
        cmocka_unit_test(test_replays),    cmocka_unit_test(test_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
