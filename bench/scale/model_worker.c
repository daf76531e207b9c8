/* Inner runs that take their time and train nothing. */
#include "bench/scale/model.h"

#include "base/rng.h"

#include "workers/baseline.h"
#include "workers/episode.h"
#include "workers/trial.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

cx_model cx_the_model;

struct cx_episode_runner {
    const cx_config *config;
    cx_interrupt interrupt;
    cx_task task; /* the one that was asked for: its spec is all there is */
};

/* One for all ranks: what is in them never changes. */
static cx_net *the_net;
static cx_trajectory *the_trajectory;

cx_net_shape cx_model_shape(const cx_config *config) {
    cx_net_shape shape = cx_policy_shape(config);
    if (!cx_the_model.real_size)
        shape.hidden = shape.lstm = 4;
    return shape;
}

static int prepare_shared(const cx_config *config, cx_error *err) {
    if (!the_net) {
        cx_net_shape shape = cx_model_shape(config);
        int rc = cx_net_create(&shape, &the_net, err);
        if (rc)
            return rc;
    }
    if (the_trajectory)
        return CX_OK;
    cx_heads heads;
    enum { LONGEST = 4096 }; /* outer steps; untouched memory costs nothing */
    cx_action_heads(config, &heads);
    int rc = cx_trajectory_create(cx_privileged_size(config), heads.n_heads, heads.n_logits,
                                  LONGEST, &the_trajectory, err);
    if (!rc)
        memset(the_trajectory->mask, 1, LONGEST * (size_t)heads.n_logits);
    for (int i = 0; !rc && i < LONGEST; i++)
        the_trajectory->log_prob[i] = -1;
    return rc;
}

int cx_episode_runner_create(const cx_config *config, const cx_data_store *store,
                             cx_episode_runner **out, cx_error *err) {
    (void)store;
    *out = NULL;
    int rc = prepare_shared(config, err);
    if (rc)
        return rc;
    *out = calloc(1, sizeof **out);
    if (!*out)
        return cx_fail(err, CX_ENOMEM, "no memory for an episode runner");
    (*out)->config = config;
    return CX_OK;
}

void cx_episode_runner_destroy(cx_episode_runner *r) {
    free(r);
}

const cx_net *cx_episode_runner_net(const cx_episode_runner *r) {
    (void)r;
    return the_net;
}

void cx_episode_runner_interrupt(cx_episode_runner *r, cx_interrupt interrupt) {
    r->interrupt = interrupt;
}

bool cx_episode_runner_interrupted(const cx_episode_runner *r) {
    return r->interrupt.asked && r->interrupt.asked(r->interrupt.context);
}

double cx_episode_runner_policy_seconds(const cx_episode_runner *r) {
    (void)r;
    return 0; /* the measured times of episodes hold it */
}

int cx_episode_runner_task(cx_episode_runner *r, const cx_task_spec *spec, cx_task **task,
                           cx_error *err) {
    (void)err;
    r->task.spec = *spec;
    *task = &r->task;
    return CX_OK;
}

int cx_episode_run(cx_episode_runner *r, const cx_episode_job *job, const float *policy,
                   cx_piece_function piece, void *context, cx_episode_result *result,
                   cx_episode_extra *extra, cx_error *err) {
    (void)policy;
    (void)extra;
    int K = (int)cx_task_value(&job->spec, "outer_steps"), chunk = r->config->workers.chunk_steps;
    double seconds = cx_times_episode(&cx_the_model.times, r->config, &job->spec);
    memset(result, 0, sizeof *result);
    for (int k = 0; k < K;) {
        int n = K - k < chunk ? K - k : chunk;
        cx_the_model.pause(seconds * n / K);
        the_trajectory->result.steps = k + n;
        int rc = piece ? piece(context, the_trajectory, k, n, err) : CX_OK;
        if (rc)
            return rc;
        k += n;
        if (cx_episode_runner_interrupted(r))
            return cx_fail(err, CX_ESTOPPED, "an episode was interrupted");
    }
    result->episode = job->episode;
    result->instance = job->instance;
    result->spec = job->spec;
    result->version = job->version;
    result->end = CX_END_FINISHED;
    result->steps = result->outer_steps = K;
    result->inner_steps = result->inner_steps_done = cx_task_inner_steps(&job->spec, r->config);
    result->reward = result->reward_raw = -1;
    result->initial_valid_loss = 2;
    result->final_train_loss = result->final_valid_loss = result->final_valid_loss_raw = 1;
    result->seconds = result->cpu_seconds = seconds;
    cx_the_model.episodes++;
    return CX_OK;
}

/* Half decades by which sweeps grew beyond their grid, in 2,720 sweeps of configs/desk.yaml. */
static int extensions(const cx_task_spec *spec) {
    static const int sweeps[] = {2465, 223, 20, 9, 3};
    cx_rng rng = cx_rng_make((uint64_t)spec->seed, 1, CX_STREAM_TEST);
    int n = 0, at = (int)cx_rng_below(&rng, 2720);
    while (n < 4 && at >= sweeps[n])
        at -= sweeps[n++];
    return n;
}

/* Of a learning rate: least where the sweep then has as many extensions. */
static double final_loss(const cx_config *config, const cx_task_spec *spec, double lr) {
    const cx_reals *grid = &config->reward.learning_rates;
    int n = extensions(spec);
    double best = n ? grid->value[grid->n - 1] * pow(10, 0.5 * (n - 1)) : grid->value[grid->n / 2];
    return 0.2 + 0.05 * fabs(log10(lr / best));
}

/* Training of one learning rate whose loss falls as 1/sqrt(t), and takes its time, but for what
 * a run before it has done already. */
static int sweep_run(const cx_config *config, const cx_task *task, const cx_sweep_run *run,
                     double done_already, const cx_interrupt *interrupt, cx_sweep_outcome *out,
                     cx_error *err) {
    enum { PARTS = 2 };
    double share = cx_sweep_run_cost(config, run) - done_already;
    double seconds = share * cx_times_episode(&cx_the_model.times, config, &task->spec);
    for (int i = 0; i < PARTS; i++) {
        cx_the_model.pause(seconds / PARTS);
        if (interrupt && interrupt->asked && interrupt->asked(interrupt->context))
            return cx_fail(err, CX_ESTOPPED, "a baseline was interrupted");
    }
    memset(out, 0, sizeof *out);
    out->initial_loss = 2.3;
    out->final_loss = final_loss(config, &task->spec, run->lr);
    out->seconds = seconds;
    out->curve.n = 16;
    for (int i = 0; i < 16; i++) {
        out->curve.t[i] = 64 * (i + 1);
        out->curve.loss[i] = out->final_loss * sqrt(1024 / out->curve.t[i]);
    }
    cx_the_model.sweep_runs++;
    return CX_OK;
}

int cx_baseline_run_one(const cx_config *config, cx_task *task, cx_split split, int examples,
                        const cx_sweep_run *run, const cx_interrupt *interrupt,
                        cx_sweep_outcome *out, cx_error *err) {
    (void)split;
    (void)examples;
    return sweep_run(config, task, run, 0, interrupt, out, err);
}

int cx_baseline_run(const cx_config *config, cx_task *task, cx_split split, int examples,
                    const cx_interrupt *interrupt, cx_baseline *out, cx_error *err) {
    cx_sweep *sweep;
    cx_sweep_run run;
    cx_sweep_outcome outcome;
    (void)split;
    (void)examples;
    int rc = cx_sweep_create(config, &sweep, err);
    while (!rc && cx_sweep_next(sweep, &run)) {
        rc = sweep_run(config, task, &run, run.beyond, interrupt, &outcome, err);
        if (!rc)
            cx_sweep_answer(sweep, run.number, &outcome);
    }
    if (!rc)
        cx_sweep_baseline(sweep, cx_task_hash(&task->spec, config), 1024, out);
    cx_sweep_destroy(sweep);
    return rc;
}

int cx_trial_run(const cx_config *config, cx_episode_runner *runner, const cx_trial_job *job,
                 const cx_open_loop *replay, const float *policy, cx_trial_result *out,
                 cx_error *err) {
    (void)config, (void)runner, (void)job, (void)replay, (void)policy, (void)out;
    return cx_fail(err, CX_EUNSUPPORTED, "trials are not modeled");
}
