/* A sweep whose runs are done one by one, in any order, each from the beginning and by another
 * worker, leaves the same baseline as the sweep that is one job: every bit of it. */
#include "tests/workers/fixture.h"

#include "base/rng.h"

static const char *const task_yaml =
    "tasks:\n"
    "  - {family: nqm, outer_steps: 6, inner_per_outer: 7, dimension: 40, noise: 0.5}\n";

/* As the coordinator does it: all that may begin is given out, and ends in any order. */
static int run_by_run(const fixture *f, cx_rng *rng, cx_split split, cx_baseline *out) {
    cx_sweep *sweep;
    cx_sweep_run open[CX_SWEEP_RUNS_MAX];
    cx_error err;
    int n = 0, runs = 0;
    assert_ok(cx_sweep_create(&f->config, &sweep, &err));
    while (!cx_sweep_done(sweep)) {
        while (cx_sweep_next(sweep, &open[n]))
            n++;
        int i = (int)cx_rng_below(rng, (uint32_t)n);
        cx_sweep_run it = open[i];
        open[i] = open[--n];
        cx_sweep_outcome o;
        assert_ok(cx_baseline_run_one(&f->config, f->task, split, 32, &it, NULL, &o, &err));
        cx_sweep_answer(sweep, it.number, &o);
        runs++;
    }
    cx_sweep_baseline(sweep, cx_task_hash(&f->spec, &f->config),
                      cx_task_inner_steps(&f->spec, &f->config), out);
    cx_sweep_destroy(sweep);
    return runs;
}

/* Returns the number of runs. */
static int compare(const char *reward) {
    fixture *f = make_fixture(reward, task_yaml);
    cx_error err;
    cx_baseline whole, apart;
    cx_rng rng = cx_rng_make(9, 0, CX_STREAM_TEST);
    cx_task_sample(&f->config, 3, &f->spec);
    assert_ok(cx_episode_runner_task(f->runner, &f->spec, &f->task, &err));
    const cx_split split[] = {CX_SPLIT_VALIDATION, CX_SPLIT_TEST};
    int runs = 0;
    for (int i = 0; i < 2; i++) {
        assert_ok(cx_baseline_run(&f->config, f->task, split[i], 32, NULL, &whole, &err));
        runs = run_by_run(f, &rng, split[i], &apart);
        assert_true(whole.n_points > 2 && whole.seconds > 0 && apart.seconds > 0);
        apart.seconds = whole.seconds;
        assert_memory_equal(&whole, &apart, sizeof whole);
    }
    tear_down(f);
    return runs;
}

static void test_run_by_run(void **state) {
    (void)state;
    /* the best within the grid, two continued; at its edge; all but one diverge; not continued */
    assert_int_equal(compare("reward: {length_factor: 3, max_extensions: 6, "
                             "learning_rates: [1e-3, 1e-2, 1e-1, 10]}\n"),
                     6);
    assert_true(compare("reward: {length_factor: 2, max_extensions: 4, "
                        "learning_rates: [1e-6, 1e-5]}\n") == 8);
    assert_true(compare("reward: {form: power_fit, max_extensions: 2, "
                        "learning_rates: [1e-3, 1e-2, 1e-1, 10]}\n") == 4);
}

static bool at_once(void *context) {
    return ++*(int *)context == 3;
}

static void test_interrupted(void **state) {
    (void)state;
    fixture *f = make_fixture("", task_yaml);
    cx_error err;
    cx_sweep_outcome o;
    cx_sweep_run run = {.lr = 1e-3, .beyond = 1};
    int asked = 0;
    const cx_interrupt interrupt = {at_once, &asked};
    cx_task_sample(&f->config, 3, &f->spec);
    assert_ok(cx_episode_runner_task(f->runner, &f->spec, &f->task, &err));
    assert_int_equal(cx_baseline_run_one(&f->config, f->task, CX_SPLIT_VALIDATION, 32, &run,
                                         &interrupt, &o, &err),
                     CX_ESTOPPED);
    assert_int_equal(asked, 3);
    tear_down(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_by_run),
        cmocka_unit_test(test_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
