/* Inner runs that take their time and train nothing. */
#include "bench/scale/model.h"

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

/* A sweep of three learning rates whose loss falls as 1/sqrt(t). */
static void make_baseline(const cx_config *config, const cx_task *task, cx_baseline *b) {
    cx_curve curve = {.n = 16};
    memset(b, 0, sizeof *b);
    b->task_hash = cx_task_hash(&task->spec, config);
    b->steps = 256;
    b->initial_loss = 2.3;
    b->n_runs = 3;
    for (int i = 0; i < 3; i++) {
        b->lr[i] = pow(10, -3 + 0.5 * i);
        b->final_loss[i] = 0.2 + 0.05 * abs(i - 1);
    }
    for (int i = 0; i < 16; i++) {
        curve.t[i] = 64 * (i + 1);
        curve.loss[i] = 0.2 * sqrt(256 / curve.t[i]);
    }
    cx_baseline_fit(config, b, &curve, 1);
}

int cx_baseline_run(const cx_config *config, cx_task *task, cx_split split, int examples,
                    const cx_interrupt *interrupt, cx_baseline *out, cx_error *err) {
    enum { PARTS = 16 };
    double seconds = cx_times_episode(&cx_the_model.times, config, &task->spec);
    (void)split;
    (void)examples;
    for (int i = 0; i < PARTS; i++) {
        cx_the_model.pause(seconds * cx_baseline_cost(config) / PARTS);
        if (interrupt && interrupt->asked && interrupt->asked(interrupt->context))
            return cx_fail(err, CX_ESTOPPED, "a baseline was interrupted");
    }
    make_baseline(config, task, out);
    out->seconds = seconds * cx_baseline_cost(config);
    cx_the_model.sweeps++;
    return CX_OK;
}

int cx_trial_run(const cx_config *config, cx_episode_runner *runner, const cx_trial_job *job,
                 const cx_open_loop *replay, const float *policy, cx_trial_result *out,
                 cx_error *err) {
    (void)config, (void)runner, (void)job, (void)replay, (void)policy, (void)out;
    return cx_fail(err, CX_EUNSUPPORTED, "trials are not modeled");
}
