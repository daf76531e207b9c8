#include "tests/workers/fixture.h"

#include "workers/control.h"
#include <math.h>
#include <string.h>

static const char *const yaml =
    "seed: 3\n"
    "episode: {outer_examples: 32, final_examples: 32}\n"
    "reward: {length_factor: 2, max_extensions: 1, learning_rates: [1e-3, 1e-2, 1e-1]}\n"
    "policy: {hidden: 8, lstm: 8}\n"
    "workers: {chunk_steps: 3}\n"
    "tasks:\n"
    "  - {family: nqm, outer_steps: 7, inner_per_outer: 6, dimension: 40, conditioning: 100, "
    "noise: "
    "0.5}\n";

static fixture *set_up_with(const char *extra) {
    fixture *f = make_fixture(extra, yaml);
    cx_error err;
    cx_task_sample(&f->config, 0, &f->spec);
    assert_ok(cx_episode_runner_task(f->runner, &f->spec, &f->task, &err));
    assert_ok(
        cx_baseline_run(&f->config, f->task, CX_SPLIT_VALIDATION, 32, NULL, &f->baseline, &err));
    return f;
}

static cx_episode_result run(fixture *f, cx_acting acting, uint64_t episode,
                             cx_piece_function piece, void *context, cx_episode_extra *extra) {
    cx_error err;
    cx_episode_result result;
    cx_episode_job job = {.episode = episode,
                          .spec = f->spec,
                          .baseline = &f->baseline,
                          .acting = acting,
                          .test = true};
    assert_ok(cx_episode_run(f->runner, &job, f->policy, piece, context, &result, extra, &err));
    return result;
}

static void test_baseline(void **state) {
    (void)state;
    fixture *f = set_up_with("");
    const cx_baseline *b = &f->baseline;
    assert_true(b->n_runs >= 3 && b->n_runs <= 4);
    assert_true(b->steps == 42);
    assert_true(b->best_loss > 0 && b->best_loss < b->initial_loss);
    /* a run that ends where the best Adam ends earns 0; a better one more, a worse less */
    assert_true(fabs(cx_reward(&f->config, b, b->best_loss, NULL)) < 1e-9);
    assert_true(cx_reward(&f->config, b, b->best_loss * 0.9, NULL) > 0);
    assert_true(cx_reward(&f->config, b, b->best_loss * 1.1, NULL) < 0);
    cx_error err;
    cx_baseline again;
    assert_ok(cx_baseline_run(&f->config, f->task, CX_SPLIT_VALIDATION, 32, NULL, &again, &err));
    again.seconds = b->seconds;
    assert_memory_equal(&again, b, sizeof again);
    tear_down(f);
}

typedef struct {
    int calls, steps;
    float log_prob[64];
    cx_trajectory *copy;
} seen;

static int on_piece(void *context, const cx_trajectory *t, int first, int n, cx_error *err) {
    (void)err;
    seen *s = context;
    assert_int_equal(first, s->steps);
    s->calls++;
    s->steps += n;
    for (int k = first; k < first + n; k++) {
        s->log_prob[k] = t->log_prob[k];
        for (int i = 0; i < t->n_obs; i++)
            assert_true(isfinite(t->obs[(size_t)k * (size_t)t->n_obs + (size_t)i]));
    }
    return CX_OK;
}

static void test_pieces_and_determinism(void **state) {
    (void)state;
    fixture *f = set_up_with("");
    seen a = {0}, b = {0}, c = {0};
    cx_episode_result x = run(f, CX_ACT_SAMPLE, 17, on_piece, &a, NULL);
    cx_episode_result other = run(f, CX_ACT_SAMPLE, 18, on_piece, &c, NULL);
    cx_episode_result y = run(f, CX_ACT_SAMPLE, 17, on_piece, &b, NULL);
    assert_int_equal(a.calls, 3); /* 3 + 3 + 1 outer steps */
    assert_int_equal(a.steps, 7);
    assert_int_equal(x.steps, 7);
    assert_int_equal(x.inner_steps_done, 42);
    assert_int_equal(x.end, CX_END_FINISHED);
    /* the same number is the same episode, whatever ran between; another is another */
    assert_true(x.final_valid_loss == y.final_valid_loss && x.reward == y.reward);
    assert_memory_equal(a.log_prob, b.log_prob, sizeof a.log_prob);
    assert_true(x.final_valid_loss != other.final_valid_loss);
    for (int k = 0; k < 7; k++)
        assert_true(a.log_prob[k] < 0);
    tear_down(f);
}

static void test_acting(void **state) {
    (void)state;
    fixture *f = set_up_with("");
    cx_episode_extra extra;
    cx_episode_result neutral = run(f, CX_ACT_NEUTRAL, 1, NULL, NULL, &extra);
    for (int i = 1; i < CX_OPEN_LOOP_POINTS; i++) /* no change: the start's hyperparameters */
        assert_memory_equal(&extra.taken.point[i], &extra.taken.point[0], sizeof(cx_hyper));
    assert_true(isfinite(extra.loss[CX_SPLIT_TEST]));
    /* a replay of what was taken is the same run */
    cx_episode_result sampled = run(f, CX_ACT_RANDOM, 2, NULL, NULL, &extra);
    cx_error err;
    cx_episode_result replayed;
    cx_episode_job job = {.episode = 3,
                          .spec = f->spec,
                          .baseline = &f->baseline,
                          .acting = CX_ACT_REPLAY,
                          .replay = &extra.taken};
    assert_ok(cx_episode_run(f->runner, &job, NULL, NULL, NULL, &replayed, NULL, &err));
    assert_true(replayed.final_valid_loss == sampled.final_valid_loss);
    assert_true(neutral.final_valid_loss != sampled.final_valid_loss);
    job.acting = CX_ACT_SAMPLE;
    assert_int_equal(cx_episode_run(f->runner, &job, NULL, NULL, NULL, &replayed, NULL, &err),
                     CX_ESTATE);
    tear_down(f);
}

/* An lr that no run survives: it ends early, earns the floor, and every number that
 * reaches the learner is finite. */
static void test_divergence(void **state) {
    (void)state;
    /* lr * weight_decay > 2: decay alone makes the parameters grow at every step */
    fixture *f =
        set_up_with("optimizer: {lr: 1e4, weight_decay: 1}\n"
                    "actions: {lr: {factors: [1, 2], low: 1e-8, high: 1e4, noise: [1, 1]}}\n");
    seen a = {0};
    cx_episode_result x = run(f, CX_ACT_RANDOM, 1, on_piece, &a, NULL);
    assert_int_equal(x.end, CX_END_DIVERGED);
    assert_true(x.reward == -3);
    assert_true(x.steps >= 1 && x.steps == a.steps);
    assert_true(x.inner_steps_done < 42);
    tear_down(f);
}

static void test_registers(void **state) {
    (void)state;
    fixture *f =
        set_up_with("actions: {registers: 2, lr: {factors: [0.5, 1, 2], low: 1e-8, high: 1, "
                    "noise: [1, 1]}}\n");
    for (uint64_t e = 0; e < 40; e++) { /* random saves, loads and swaps, under the sanitizers */
        seen a = {0};
        cx_episode_result x = run(f, CX_ACT_RANDOM, e, on_piece, &a, NULL);
        assert_int_equal(x.end, CX_END_FINISHED);
        assert_int_equal(x.inner_steps_done, 42);
        assert_true(isfinite(x.final_valid_loss));
    }
    tear_down(f);
}

/* The learned rule's features off and on are the same training. */
static void test_control(void **state) {
    (void)state;
    fixture *f = set_up_with("");
    cx_error err;
    cx_rule_config rule;
    cx_hyper hyper;
    cx_control_result a, b;
    assert_ok(cx_rule_named("adam", &rule, &hyper, &err));
    hyper.value[CX_HYPER_LR] = f->baseline.best_lr;
    const cx_control_plan plan = {
        .config = &f->config, .task = f->task, .rule = &rule, .hyper = &hyper, .steps = 42};
    assert_ok(cx_control_run(&plan, &a, &err));
    /* the sweep's own run at that lr: the same initial weights, batches and evaluation */
    assert_true(fabs(a.loss[CX_SPLIT_VALIDATION] - cx_task_optimum(f->task) -
                     f->baseline.best_loss) < 1e-6 * f->baseline.best_loss);
    cx_control_best best;
    const cx_schedule schedules[] = {CX_SCHEDULE_constant, CX_SCHEDULE_cosine};
    assert_ok(cx_control_tune(&f->config, f->task, &rule, &hyper, schedules, 2, 42, &best, &err));
    assert_true(best.runs >= 6);
    assert_true(best.result.loss[CX_SPLIT_VALIDATION] <= a.loss[CX_SPLIT_VALIDATION]);
    hyper.value[CX_HYPER_LR] = 1e30;
    assert_ok(cx_rule_named("sgd", &rule, &hyper, &err));
    hyper.value[CX_HYPER_LR] = 1e30;
    assert_ok(cx_control_run(&plan, &b, &err));
    assert_true(b.diverged);
    tear_down(f);
}

static bool count_down(void *context) {
    int *left = context;
    return --*left < 0;
}

/* A job that is interrupted says so, and leaves nothing behind that the next one sees. */
static void test_interrupt(void **state) {
    (void)state;
    fixture *f = set_up_with("");
    cx_error err;
    cx_episode_result before = run(f, CX_ACT_SAMPLE, 1, NULL, NULL, NULL), result;
    cx_episode_job job = {
        .episode = 1, .spec = f->spec, .baseline = &f->baseline, .acting = CX_ACT_SAMPLE};
    int left = 2;
    cx_episode_runner_interrupt(f->runner, (cx_interrupt){count_down, &left});
    assert_int_equal(cx_episode_run(f->runner, &job, f->policy, NULL, NULL, &result, NULL, &err),
                     CX_ESTOPPED);
    assert_int_equal(left, -1); /* asked after each outer step, and not again */
    cx_episode_runner_interrupt(f->runner, (cx_interrupt){NULL, NULL});
    cx_episode_result after = run(f, CX_ACT_SAMPLE, 1, NULL, NULL, NULL);
    assert_true(after.final_valid_loss == before.final_valid_loss && after.reward == before.reward);

    cx_baseline b;
    for (int n = 0; n < 60; n += 7) { /* amid the sweep, its extension, its continuation */
        left = n;
        cx_interrupt i = {count_down, &left};
        int rc = cx_baseline_run(&f->config, f->task, CX_SPLIT_VALIDATION, 32, &i, &b, &err);
        assert_int_equal(rc, left < 0 ? CX_ESTOPPED : CX_OK);
        assert_true(n > 0 || rc == CX_ESTOPPED);
    }
    assert_ok(cx_baseline_run(&f->config, f->task, CX_SPLIT_VALIDATION, 32, NULL, &b, &err));
    b.seconds = f->baseline.seconds;
    assert_memory_equal(&b, &f->baseline, sizeof b);
    tear_down(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_baseline),
        cmocka_unit_test(test_pieces_and_determinism),
        cmocka_unit_test(test_acting),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_control),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
