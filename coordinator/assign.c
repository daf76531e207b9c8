/* Which jobs a training gives to its workers. */
#include "coordinator/internal.h"

#include "tasks/task.h"
#include <math.h>
#include <string.h>

static cx_load load_of(const coordinator *c, const cx_job *job, const cx_task_spec *spec) {
    double outer_steps = cx_task_value(spec, "outer_steps");
    bool pieces = job->kind == CX_JOB_EPISODE && outer_steps > 0;
    cx_load load = cx_crew_load(spec, c->config);
    load.piece = pieces ? fmin(1, c->config->workers.chunk_steps / outer_steps) : 1;
    if (job->kind == CX_JOB_BASELINE) {
        cx_sweep_run run;
        double trainings = cx_sweep_cost(c->config, false);
        if (job->run > 0) {
            run = cx_dispatch_run(c->dispatch, job);
            trainings = cx_sweep_run_cost(c->config, &run);
        }
        load.gflop *= trainings;
        load.steps *= trainings;
    }
    return load;
}

static int send_episode(coordinator *c, int rank, const cx_job *job, const cx_task_spec *spec,
                        cx_error *err) {
    worker_state *w = &c->worker[rank - 1];
    cx_msg_episode m;
    memset(&m, 0, sizeof m);
    m.episode = job->episode;
    m.instance = job->instance;
    m.version = cx_learner_version(c->learner);
    m.spec = *spec;
    m.baseline = *cx_dispatch_find_baseline(c->dispatch, job->instance);
    const float *weights = NULL;
    if (w->version != m.version) {
        weights = c->published;
        m.n_weights = cx_learner_policy_count(c->learner);
        w->version = m.version;
    }
    return cx_message_send(c->transport, rank, CX_MSG_EPISODE, &m, sizeof m, weights,
                           (size_t)m.n_weights * sizeof(float), err);
}

static int send_baseline(coordinator *c, int rank, const cx_job *job, const cx_task_spec *spec,
                         cx_error *err) {
    cx_msg_baseline_job m;
    memset(&m, 0, sizeof m);
    m.instance = job->instance;
    m.examples = (uint32_t)c->config->episode.final_examples;
    m.spec = *spec;
    m.apart = job->run > 0;
    if (m.apart)
        m.run = cx_dispatch_run(c->dispatch, job);
    return cx_message_send(c->transport, rank, CX_MSG_BASELINE, &m, sizeof m, NULL, 0, err);
}

/* A sweep that the cache knows is not run again: then *known. */
static int give(coordinator *c, int rank, const cx_job *job, bool *known, cx_error *err) {
    cx_task_spec spec;
    cx_task_sample(c->config, job->instance, &spec);
    if (job->kind == CX_JOB_BASELINE) {
        const cx_baseline *b = cx_baseline_cache_find(c->cache, cx_task_hash(&spec, c->config));
        *known = b != NULL;
        if (b)
            return cx_dispatch_baseline(c->dispatch, job->instance, b, err);
    }
    cx_load load = load_of(c, job, &spec);
    if (!cx_watch_give(c->crew->watch, rank, job, &load, c->crew->time))
        return CX_OK; /* it was late with it, and goes on with it */
    return job->kind == CX_JOB_EPISODE ? send_episode(c, rank, job, &spec, err)
                                       : send_baseline(c, rank, job, &spec, err);
}

/* A job behind another one waits for it, while some other worker might do it: a queue is for
 * bridging the time in which the coordinator does not answer, and no longer. */
static bool holds_enough(const coordinator *c, int rank) {
    const cx_watch *w = c->crew->watch;
    return cx_watch_taken_up(w, rank) ||
           (cx_watch_held(w, rank) > 0 &&
            cx_watch_expected(w, rank) >= 0.05 + 2 * c->longest_slice);
}

static bool may_take(const coordinator *c, int rank, int depth) {
    cx_watch *w = c->crew->watch;
    if (holds_enough(c, rank)) {
        cx_watch_pass_over(w, rank);
        return false;
    }
    return cx_watch_may_take(w, rank, depth, c->crew->time);
}

/* In turn, so that all have one job before any has two. */
int cx_coordinator_assign(coordinator *c, bool *did, cx_error *err) {
    const cx_watch *w = c->crew->watch;
    bool more = true; /* somebody holds as many */
    for (int depth = 0; more && depth < c->config->workers.prefetch; depth++) {
        more = false;
        for (int rank = cx_watch_open(w, 1); rank && rank <= c->n_workers;
             rank = cx_watch_open(w, rank + 1)) {
            more |= cx_watch_held(w, rank) > depth;
            if (cx_watch_held(w, rank) != depth || !may_take(c, rank, depth))
                continue;
            cx_job job = cx_dispatch_next(c->dispatch);
            if (job.kind == CX_JOB_NONE)
                return CX_OK;
            bool known = false;
            int rc = give(c, rank, &job, &known, err);
            if (rc)
                return rc;
            *did = more = true;
            if (known)
                rank--; /* the same worker still waits */
        }
    }
    return CX_OK;
}

int cx_coordinator_drop(coordinator *c, const cx_job *job, cx_error *err) {
    if (cx_dispatch_tries(c->dispatch, job) == 0)
        return CX_OK;
    bool episode = job->kind == CX_JOB_EPISODE;
    cx_msg_drop m;
    memset(&m, 0, sizeof m);
    m.type = episode ? CX_MSG_EPISODE : CX_MSG_BASELINE;
    m.number = episode ? job->episode : job->instance;
    m.run = (uint32_t)job->run;
    return cx_crew_drop(c->crew, job, &m, err);
}

void cx_coordinator_again(void *context, const cx_job *job) {
    coordinator *c = context;
    if (job->kind == CX_JOB_GRADIENT)
        cx_learner_reopen(c->learner, job->episode);
    else
        cx_dispatch_again(c->dispatch, job);
}
