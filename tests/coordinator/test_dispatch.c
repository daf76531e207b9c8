#include "tests/test.h"

#include "base/rng.h"
#include "coordinator/dispatch.h"
#include <string.h>

static const cx_baseline some_baseline;

static cx_dispatch *make(int per_update, int reuse, int staleness, int updates, int workers,
                         uint64_t version) {
    cx_error err;
    cx_dispatch *d;
    cx_dispatch_rules rules = {.episodes_per_update = per_update,
                               .environment_reuse = reuse,
                               .max_staleness = staleness,
                               .updates = updates,
                               .workers = workers};
    assert_ok(cx_dispatch_create(&rules, version, &d, &err));
    return d;
}

/* Finishes an episode as the coordinator does. */
static void finish(cx_dispatch *d, uint64_t episode) {
    cx_error err;
    cx_trajectory *t;
    assert_ok(cx_trajectory_create(1, 1, 1, 1, &t, &err));
    t->result.episode = episode;
    assert_ok(cx_dispatch_finished(d, episode, t, &err));
}

static void take(cx_dispatch *d, int n, uint64_t first) {
    cx_trajectory *list[64];
    cx_dispatch_take(d, list);
    for (int i = 0; i < n; i++) {
        assert_int_equal(list[i]->result.episode, first + (uint64_t)i);
        cx_trajectory_destroy(list[i]);
    }
}

static void test_baseline_comes_first(void **state) {
    (void)state;
    cx_error err;
    cx_dispatch *d = make(4, 2, 1, 2, 1, 0);
    cx_job job = cx_dispatch_next(d);
    assert_int_equal(job.kind, CX_JOB_BASELINE);
    assert_int_equal(job.instance, 0);
    assert_null(cx_dispatch_find_baseline(d, 0));
    assert_ok(cx_dispatch_baseline(d, 0, &some_baseline, &err));
    assert_ptr_equal(cx_dispatch_find_baseline(d, 0), &some_baseline);
    assert_int_equal(cx_dispatch_baseline(d, 0, &some_baseline, &err), CX_EFORMAT);
    bool seen_episode = false;
    for (int i = 0; i < 8 && !seen_episode; i++) {
        job = cx_dispatch_next(d);
        seen_episode = job.kind == CX_JOB_EPISODE;
    }
    assert_true(seen_episode);
    assert_int_equal(job.episode, 0);
    assert_int_equal(job.instance, 0);
    cx_dispatch_destroy(d);
}

/* Runs a whole run with workers that finish in a shuffled order; returns the largest
 * distance between the version at dispatch and the update that consumed the episode. */
static int run_all(int per_update, int reuse, int staleness, int updates, int workers) {
    cx_error err;
    cx_dispatch *d = make(per_update, reuse, staleness, updates, workers, 0);
    struct {
        cx_job job;
        uint64_t version;
    } queue[256];
    static uint64_t dispatched_at[4096];
    int n = 0, worst = 0;
    uint64_t version = 0;
    cx_rng rng = cx_rng_make(3, 0, CX_STREAM_TEST);
    while (version < (uint64_t)updates) {
        while (n < workers * 3) {
            cx_job job = cx_dispatch_next(d);
            if (job.kind == CX_JOB_NONE)
                break;
            if (job.kind == CX_JOB_EPISODE) {
                assert_int_equal(job.instance, job.episode / (uint64_t)reuse);
                assert_non_null(cx_dispatch_find_baseline(d, job.instance));
                assert_true(job.episode < (uint64_t)(updates * per_update));
                dispatched_at[job.episode] = version;
            }
            queue[n].job = job;
            queue[n++].version = version;
        }
        if (n > 0) {
            int i = (int)cx_rng_below(&rng, (uint32_t)n);
            cx_job job = queue[i].job;
            queue[i] = queue[--n];
            if (job.kind == CX_JOB_BASELINE)
                assert_ok(cx_dispatch_baseline(d, job.instance, &some_baseline, &err));
            else
                finish(d, job.episode);
        }
        /* the learner is slow: it looks only now and then */
        if (cx_dispatch_ready(d) && (n == 0 || cx_rng_below(&rng, 4) == 0)) {
            for (int i = 0; i < per_update; i++) {
                int stale =
                    (int)(version - dispatched_at[version * (uint64_t)per_update + (uint64_t)i]);
                worst = stale > worst ? stale : worst;
            }
            take(d, per_update, version * (uint64_t)per_update);
            cx_dispatch_set_version(d, ++version);
        }
        assert_true(n > 0 || cx_dispatch_ready(d) || version == (uint64_t)updates ||
                    cx_dispatch_running(d) == 0);
    }
    assert_int_equal(cx_dispatch_next(d).kind, CX_JOB_NONE);
    cx_dispatch_destroy(d);
    return worst;
}

static void test_whole_runs(void **state) {
    (void)state;
    assert_int_equal(run_all(8, 4, 1, 6, 3), 0); /* synchronous */
    int worst = run_all(8, 4, 4, 20, 3);
    assert_true(worst >= 1 && worst <= 3);
    assert_int_equal(run_all(5, 16, 1, 7, 2), 0); /* an instance spans several updates */
    assert_true(run_all(5, 16, 3, 30, 6) <= 2);
    assert_int_equal(run_all(6, 1, 1, 4, 1), 0);
}

static double cost_by_number(const void *context, uint64_t instance) {
    const double *cost = context;
    return instance < 8 ? cost[instance] : 1;
}

/* What has to begin first goes first: the longest of an update, but not before a shorter one
 * that an earlier update waits for; a baseline before what needs it. */
static void test_urgent_jobs_first(void **state) {
    (void)state;
    static const double cost[8] = {1, 5, 2, 9, 1, 1, 300, 1};
    cx_error err;
    cx_dispatch *d;
    cx_dispatch_rules rules = {.episodes_per_update = 4,
                               .environment_reuse = 1,
                               .max_staleness = 1,
                               .updates = 2,
                               .workers = 1,
                               .cost = cost_by_number,
                               .cost_context = cost,
                               .sweep = 1};
    assert_ok(cx_dispatch_create(&rules, 0, &d, &err));
    /* updates are about 20 apart: 6 is so long that it begins first, the others of the second
     * update after all of the first */
    uint64_t want[8] = {6, 3, 1, 2, 0, 4, 5, 7};
    for (int i = 0; i < 8; i++) {
        cx_job job = cx_dispatch_next(d);
        assert_int_equal(job.kind, CX_JOB_BASELINE);
        assert_int_equal(job.instance, want[i]);
    }
    assert_int_equal(cx_dispatch_next(d).kind, CX_JOB_NONE); /* no episode without one */
    for (uint64_t i = 0; i < 8; i++)
        assert_ok(cx_dispatch_baseline(d, i, &some_baseline, &err));
    uint64_t want_episode[4] = {3, 1, 2, 0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(cx_dispatch_next(d).episode, want_episode[i]);
    assert_int_equal(cx_dispatch_next(d).kind, CX_JOB_NONE); /* synchronous */
    cx_dispatch_destroy(d);
}

static void test_restart_and_restore(void **state) {
    (void)state;
    cx_error err;
    cx_dispatch *d = make(4, 4, 2, 10, 1, 3); /* update 3 consumes episodes 12..15 */
    cx_trajectory *t;
    assert_ok(cx_trajectory_create(1, 1, 1, 1, &t, &err));
    t->result.episode = 13;
    assert_ok(cx_dispatch_restore(d, t, &err));
    assert_ok(cx_trajectory_create(1, 1, 1, 1, &t, &err));
    t->result.episode = 11;
    assert_int_equal(cx_dispatch_restore(d, t, &err), CX_EFORMAT);
    uint64_t want[] = {12, 14, 15}, seen = 0;
    while (seen < 3) {
        cx_job job = cx_dispatch_next(d);
        if (job.kind == CX_JOB_BASELINE) {
            assert_ok(cx_dispatch_baseline(d, job.instance, &some_baseline, &err));
            continue;
        }
        assert_int_equal(job.kind, CX_JOB_EPISODE);
        assert_int_equal(job.episode, want[seen++]);
        finish(d, job.episode);
    }
    assert_true(cx_dispatch_ready(d));
    take(d, 4, 12);
    cx_dispatch_destroy(d);
}

static void test_strangers_are_refused(void **state) {
    (void)state;
    cx_error err;
    cx_dispatch *d = make(4, 4, 1, 2, 1, 0);
    for (uint64_t e = 0; e < 3; e++) { /* not running; out of the window */
        uint64_t episode[] = {0, 2, 1000000};
        cx_trajectory *t;
        assert_ok(cx_trajectory_create(1, 1, 1, 1, &t, &err));
        assert_int_equal(cx_dispatch_finished(d, episode[e], t, &err), CX_EFORMAT);
    }
    assert_int_equal(cx_dispatch_baseline(d, 1000000, &some_baseline, &err), CX_EFORMAT);
    cx_dispatch_destroy(d);
}

/* A job that is handed out again comes before all others; the first answer counts. */
static void test_again(void **state) {
    (void)state;
    cx_error err;
    cx_dispatch *d = make(4, 2, 1, 2, 1, 0);
    cx_job sweep = cx_dispatch_next(d), job;
    assert_int_equal(sweep.tries, 0);
    cx_job strange = {.kind = CX_JOB_EPISODE, .episode = 3, .instance = 1};
    cx_dispatch_again(d, &strange); /* nobody runs it */
    cx_dispatch_again(d, &sweep);
    cx_dispatch_again(d, &sweep); /* once is enough */
    job = cx_dispatch_next(d);
    assert_int_equal(job.kind, CX_JOB_BASELINE);
    assert_int_equal(job.instance, 0);
    assert_int_equal(job.tries, 1);
    assert_int_equal(cx_dispatch_tries(d, &sweep), 1);
    assert_true(cx_dispatch_wants(d, &sweep));
    cx_dispatch_again(d, &sweep);
    assert_ok(cx_dispatch_baseline(d, 0, &some_baseline, &err)); /* that was the first one's */
    assert_false(cx_dispatch_wants(d, &sweep));
    do {
        job = cx_dispatch_next(d);
        assert_true(job.kind == CX_JOB_EPISODE || job.instance > 0);
    } while (job.kind != CX_JOB_EPISODE);
    cx_job first = job, second;
    while ((second = cx_dispatch_next(d)).kind != CX_JOB_EPISODE)
        assert_int_equal(second.kind, CX_JOB_BASELINE);
    assert_int_equal(cx_dispatch_running(d), 2);
    cx_dispatch_again(d, &second);
    cx_dispatch_again(d, &first);
    job = cx_dispatch_next(d);
    assert_int_equal(job.episode, first.episode);
    assert_int_equal(job.tries, 1);
    finish(d, second.episode); /* the old answer comes while it waits to be handed out */
    assert_int_equal(cx_dispatch_running(d), 1);
    for (int i = 0; i < 8; i++) {
        job = cx_dispatch_next(d);
        assert_true(job.kind != CX_JOB_EPISODE || job.tries == 0);
    }
    cx_dispatch_again(d, &first);
    job = cx_dispatch_next(d);
    assert_int_equal(job.episode, first.episode);
    assert_int_equal(job.tries, 2);
    finish(d, first.episode);
    assert_false(cx_dispatch_wants(d, &first));
    cx_dispatch_destroy(d);
}

/* A dispatch of instances that cost 1, but number 1, which costs 100: its sweep is split. */
static cx_dispatch *make_split(const cx_config *config) {
    static const double cost[8] = {1, 100, 1, 1, 1, 1, 1, 1};
    cx_error err;
    cx_dispatch *d;
    cx_dispatch_rules rules = {.episodes_per_update = 4,
                               .environment_reuse = 1,
                               .max_staleness = 1,
                               .updates = 2,
                               .workers = 1,
                               .cost = cost_by_number,
                               .cost_context = cost,
                               .sweep = cx_sweep_cost(config, false),
                               .split = config,
                               .split_above = 99};
    assert_ok(cx_dispatch_create(&rules, 0, &d, &err));
    return d;
}

static cx_config sweep_config(void) {
    cx_config config;
    memset(&config, 0, sizeof config);
    config.reward.form = CX_REWARD_ENVELOPE;
    config.reward.length_factor = 2;
    config.reward.learning_rates = (cx_reals){3, {1e-3, 1e-2, 1e-1}};
    return config;
}

/* The runs of a long task's sweep are jobs of their own, the later ones when their time has
 * come; others are given out meanwhile. */
static void test_split_sweep(void **state) {
    (void)state;
    cx_error err;
    const cx_config config = sweep_config();
    cx_dispatch *d = make_split(&config);
    const cx_sweep *done;
    cx_job job, run[3];
    for (int i = 0; i < 3; i++) {
        run[i] = cx_dispatch_next(d);
        assert_int_equal(run[i].kind, CX_JOB_BASELINE);
        assert_true(run[i].instance == 1 && run[i].run == i + 1);
        assert_true(cx_dispatch_run(d, &run[i]).lr == config.reward.learning_rates.value[i]);
        assert_true(cx_dispatch_wants(d, &run[i]));
    }
    job = cx_dispatch_next(d);
    assert_true(job.instance != 1 && job.run == 0);
    cx_job other[] = {{.kind = CX_JOB_BASELINE, .instance = 1, .run = 0},
                      {.kind = CX_JOB_BASELINE, .instance = 1, .run = 4},
                      {.kind = CX_JOB_BASELINE, .instance = job.instance, .run = 1},
                      {.kind = CX_JOB_BASELINE, .instance = 1, .run = -1}};
    for (int i = 0; i < 4; i++)
        assert_false(cx_dispatch_wants(d, &other[i]));
    /* one is late: it comes again, and so does the whole sweep of the short one */
    cx_dispatch_again(d, &job);
    cx_dispatch_again(d, &run[1]);
    cx_job again = cx_dispatch_next(d);
    assert_true(again.instance == job.instance && again.run == 0 && again.tries == 1);
    again = cx_dispatch_next(d);
    assert_true(again.instance == 1 && again.run == 2 && again.tries == 1);
    assert_int_equal(cx_dispatch_tries(d, &run[1]), 1);
    assert_int_equal(cx_dispatch_tries(d, &run[0]), 0);
    cx_dispatch_again(d, &run[2]); /* but its answer comes first */
    for (int i = 2; i >= 0; i--) {
        cx_sweep_outcome o = {.final_loss = i == 1 ? 0.1 : 0.2, .curve = {1, {8}, {0.2}}};
        cx_dispatch_run_done(d, &run[i], &o, &done);
        assert_null(done);
        assert_false(cx_dispatch_wants(d, &run[i]));
    }
    /* its key is the least: what continues the two best is next */
    for (int i = 0; i < 2; i++) {
        run[i] = cx_dispatch_next(d);
        assert_true(run[i].instance == 1 && run[i].run == 4 + i && run[i].tries == 0);
        assert_int_equal(cx_dispatch_run(d, &run[i]).beyond, 1);
    }
    for (int i = 0; i < 2; i++) {
        cx_sweep_outcome o = {.final_loss = 0.1, .curve = {2, {8, 16}, {0.2, 0.1}}};
        cx_dispatch_run_done(d, &run[i], &o, &done);
        assert_true((done != NULL) == (i == 1));
    }
    assert_ok(cx_dispatch_baseline(d, 1, &some_baseline, &err));
    assert_false(cx_dispatch_wants(d, &run[0]));
    job = cx_dispatch_next(d);
    assert_true(job.kind == CX_JOB_EPISODE && job.episode == 1);
    while ((job = cx_dispatch_next(d)).kind != CX_JOB_NONE)
        assert_true(job.kind == CX_JOB_BASELINE && job.run == 0 && job.tries == 0);
    cx_dispatch_destroy(d);
}

/* One that is known is not run, nor what was marked to be done again. */
static void test_split_sweep_known(void **state) {
    (void)state;
    cx_error err;
    const cx_config config = sweep_config();
    cx_dispatch *d = make_split(&config);
    cx_job a = cx_dispatch_next(d), b = cx_dispatch_next(d);
    assert_true(a.run == 1 && b.run == 2);
    cx_dispatch_again(d, &a);
    cx_dispatch_again(d, &b);
    assert_ok(cx_dispatch_baseline(d, 1, &some_baseline, &err));
    cx_job job = cx_dispatch_next(d);
    assert_true(job.kind == CX_JOB_EPISODE && job.episode == 1 && job.tries == 0);
    while ((job = cx_dispatch_next(d)).kind != CX_JOB_NONE)
        assert_true(job.instance != 1);
    cx_dispatch_destroy(d); /* with one that is under way: nothing leaks */
    d = make_split(&config);
    (void)cx_dispatch_next(d);
    cx_dispatch_destroy(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_baseline_comes_first),
        cmocka_unit_test(test_whole_runs),
        cmocka_unit_test(test_urgent_jobs_first),
        cmocka_unit_test(test_restart_and_restore),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_split_sweep),
        cmocka_unit_test(test_split_sweep_known),
        cmocka_unit_test(test_strangers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
