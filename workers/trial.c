#include "workers/trial.h"

#include "base/clock.h"
#include <math.h>
#include <string.h>

typedef struct {
    const cx_config *config;
    const cx_trial_job *job;
    cx_trial_result *out;
    const cx_episode_runner *runner;
    bool stopped;     /* by the runner's interrupt */
    double train_sum; /* of the losses since the curve's last point */
    int train_count;
} trial;

static void no_values(cx_trial_result *out) {
    memset(out, 0, sizeof *out);
    for (int p = 0; p < CX_PARAMS_COUNT; p++)
        for (int s = 0; s < CX_SPLITS; s++) {
            out->loss[p][s] = NAN;
            for (int m = 0; m < CX_TASK_METRICS; m++)
                out->metric[p][s][m] = NAN;
        }
    for (int i = 0; i < CX_OPEN_LOOP_POINTS; i++)
        out->update[i] = NAN;
}

/* Final losses and metrics; after a run that did not diverge. */
static void measure(const trial *t, cx_inner_run *run) {
    const int examples[CX_SPLITS] = {[CX_SPLIT_TRAIN] = t->config->episode.final_examples,
                                     [CX_SPLIT_VALIDATION] =
                                         t->config->evaluation.validation_examples,
                                     [CX_SPLIT_TEST] = t->config->evaluation.test_examples};
    for (int s = 0; s < CX_SPLITS; s++) {
        if (s != CX_SPLIT_VALIDATION && !(t->job->measure & CX_MEASURE_SPLITS))
            continue;
        for (int p = 0; p < CX_PARAMS_COUNT; p++)
            t->out->loss[p][s] = cx_inner_run_evaluate(
                run, (cx_split)s, examples[s], p == CX_PARAMS_AVERAGED, t->out->metric[p][s]);
    }
    t->out->diverged = !isfinite(t->out->loss[CX_PARAMS_AVERAGED][CX_SPLIT_VALIDATION]) &&
                       !isfinite(t->out->loss[CX_PARAMS_NEWEST][CX_SPLIT_VALIDATION]);
}

static void add_point(trial *t, double progress, double valid) {
    cx_trial_result *out = t->out;
    if (out->n_curve == CX_TRIAL_CURVE)
        return;
    out->progress[out->n_curve] = progress;
    out->train[out->n_curve] = t->train_count ? t->train_sum / t->train_count : NAN;
    out->valid[out->n_curve] = valid;
    out->n_curve++;
    t->train_sum = t->train_count = 0;
}

/* --- a rule --- */

/* Steps [from, to) of n. False when it diverged, or was stopped. */
static bool train(trial *t, cx_inner_run *run, const cx_hyper *hyper, int from, int to, int n) {
    cx_hyper now = *hyper;
    int skip = (int)t->job->skip;
    double start = cx_clock_cpu();
    bool good = true;
    for (int i = from; i < to && good; i++) {
        t->out->steps++;
        if (skip > 1 && i % skip)
            continue;
        now.value[CX_HYPER_LR] = hyper->value[CX_HYPER_LR] *
                                 cx_schedule_factor((cx_schedule)t->job->schedule, (double)i / n);
        cx_optimizer_set_hyper(run->optimizer, &now);
        good = cx_inner_run_advance(run, 1);
        t->train_sum += run->train_loss;
        t->train_count++;
        t->stopped = cx_episode_runner_interrupted(t->runner);
        good &= !t->stopped;
    }
    t->out->seconds += cx_clock_cpu() - start;
    return good;
}

static int run_rule(trial *t, cx_task *task, cx_error *err) {
    cx_rule_config rule;
    cx_hyper usual;
    cx_inner_run *run = NULL;
    int rc = CX_OK, n = cx_trial_steps(t->config, t->job);
    if (strcmp(t->job->rule, CX_RULE_LEARNED) == 0)
        rule = cx_rule_learned(&t->config->optimizer, 0);
    else
        rc = cx_rule_named(t->job->rule, &rule, &usual, err);
    if (!rc)
        rc = cx_inner_run_create(t->config, task, &rule, &run, err);
    if (rc)
        return rc;
    bool curve = t->job->measure & CX_MEASURE_CURVE, good = true;
    int points = !curve ? 1 : n < CX_TRIAL_CURVE ? n : CX_TRIAL_CURVE;
    for (int i = 0; i < points && good; i++) {
        int from = (int)((double)n * i / points), to = (int)((double)n * (i + 1) / points);
        good = train(t, run, &t->job->hyper, from, to, n);
        if (good && curve)
            add_point(t, (double)to / n,
                      cx_inner_run_evaluate(run, CX_SPLIT_VALIDATION,
                                            t->config->episode.outer_examples, true, NULL));
    }
    t->out->training_seconds = t->out->seconds;
    t->out->optimum = cx_task_optimum(task);
    t->out->diverged = !good;
    if (good)
        measure(t, run);
    cx_inner_run_destroy(run);
    return t->stopped ? cx_fail(err, CX_ESTOPPED, "a trial was interrupted") : CX_OK;
}

/* --- a policy, or a replay --- */

static void note_registers(trial *t, const cx_outer_step_view *v, int first, int last) {
    int index;
    if (v->heads->n_heads == 0 || v->heads->hyper[0] >= 0 || t->job->trainer != CX_TRAINER_POLICY)
        return;
    cx_register_op op = cx_action_register(t->config->registers, v->choice[0], &index);
    for (int i = first; i < last; i++)
        if (op > t->out->registers[i])
            t->out->registers[i] = (unsigned char)op;
}

static void watch(void *context, const cx_outer_step_view *v) {
    trial *t = context;
    int first, last, K = v->state->outer_steps, k = v->outer_step;
    cx_open_loop_span(k, K, &first, &last);
    double log_update = v->features[CX_FEATURE_log_adam_update_norm_over_param_norm];
    for (int i = first; i < last; i++)
        t->out->update[i] = (float)exp(log_update);
    if (first >= last) /* more outer steps than points: several share one */
        first = (last = first < CX_OPEN_LOOP_POINTS ? first + 1 : CX_OPEN_LOOP_POINTS) - 1;
    note_registers(t, v, first, last);
    t->train_sum += v->train_loss;
    t->train_count++;
    bool point = (k + 1) * CX_TRIAL_CURVE / K > k * CX_TRIAL_CURVE / K;
    if (point && (t->job->measure & CX_MEASURE_CURVE))
        add_point(t, (double)(k + 1) / K, v->valid_loss);
}

static int run_episode(trial *t, cx_episode_runner *runner, const cx_open_loop *replay,
                       const float *policy, cx_error *err) {
    cx_trial_result *out = t->out;
    cx_episode_result result;
    cx_episode_extra extra;
    bool acts = t->job->trainer == CX_TRAINER_POLICY;
    cx_episode_job job = {.episode = t->job->spec.seed,
                          .spec = t->job->spec,
                          .acting = !acts             ? CX_ACT_REPLAY
                                    : t->job->sampled ? CX_ACT_SAMPLE
                                                      : CX_ACT_LIKELIEST,
                          .replay = replay,
                          .default_start = true,
                          .start_lr = t->job->start_lr};
    cx_episode_runner_watch(runner, watch, t);
    int rc = cx_episode_run(runner, &job, policy, NULL, NULL, &result, &extra, err);
    cx_episode_runner_watch(runner, NULL, NULL);
    if (rc)
        return rc;
    out->steps = result.inner_steps_done;
    out->optimum = extra.optimum;
    out->taken = extra.taken;
    out->has_taken = 1;
    out->seconds = extra.seconds;
    out->training_seconds = extra.training_seconds;
    out->diverged = result.end == CX_END_DIVERGED;
    cx_inner_run *inner = cx_episode_runner_inner(runner, &t->job->spec);
    if (!out->diverged && inner)
        measure(t, inner);
    return CX_OK;
}

int cx_trial_run(const cx_config *config, cx_episode_runner *runner, const cx_trial_job *job,
                 const cx_open_loop *replay, const float *policy, cx_trial_result *out,
                 cx_error *err) {
    trial t = {.config = config, .job = job, .out = out, .runner = runner};
    cx_task *task;
    no_values(out);
    int rc = cx_trial_check(job, err);
    if (!rc)
        rc = cx_episode_runner_task(runner, &job->spec, &task, err);
    if (rc)
        return rc;
    return job->trainer == CX_TRAINER_RULE ? run_rule(&t, task, err)
                                           : run_episode(&t, runner, replay, policy, err);
}
