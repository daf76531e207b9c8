/* Updates: when one begins, who computes its shards, and what follows its end. Shards go to the
 * learner ranks (workers.learner_ranks); while none of these may have one, rank 0 computes one at
 * a time. Optimizers, statistics and the buffer are rank 0's alone. */
#include "coordinator/internal.h"

#include "base/clock.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUED = 2 /* shards that a learner rank holds: one travels while one is computed */ };

void cx_coordinator_publish(coordinator *c) {
    memcpy(c->published, cx_learner_policy(c->learner),
           cx_learner_policy_count(c->learner) * sizeof(float));
}

static int begin_update(coordinator *c, cx_error *err) {
    int n = c->config->ppo.episodes_per_update;
    cx_trajectory **list = calloc((size_t)n, sizeof(cx_trajectory *));
    if (!list)
        return cx_fail(err, CX_ENOMEM, "no memory for a list of %d episodes", n);
    cx_dispatch_take(c->dispatch, list);
    int rc = CX_OK;
    for (int i = 0; i < n; i++) {
        if (rc)
            cx_trajectory_destroy(list[i]);
        else
            rc = cx_learner_add(c->learner, list[i], err);
    }
    free(list);
    c->update_began = cx_clock_now();
    if (!rc)
        rc = cx_learner_begin(c->learner, err);
    c->learning = !rc;
    return rc;
}

static int end_update(coordinator *c, cx_error *err) {
    c->learning = false;
    c->learner_seconds += c->stats.seconds;
    c->longest_update = fmax(c->longest_update, cx_clock_now() - c->update_began);
    cx_coordinator_publish(c);
    c->counters.version = cx_learner_version(c->learner);
    cx_dispatch_set_version(c->dispatch, c->counters.version);
    c->last_reward = c->stats.reward;
    cx_run_rates rates = cx_coordinator_rates(c);
    int rc = cx_run_dir_update(&c->dir, &c->counters, &c->heads, &c->stats, &rates, err);
    if (rc)
        return rc;
    double every = c->config->checkpoint.every_seconds;
    bool due = c->counters.version - c->checkpoint_version >=
                   (uint64_t)c->config->checkpoint.every_updates ||
               (every > 0 && cx_clock_now() - c->last_checkpoint >= every) ||
               c->counters.version >= (uint64_t)c->config->updates;
    return due ? cx_coordinator_save(c, err) : CX_OK;
}

/* --- learner ranks --- */

static int send_weights(coordinator *c, int rank, const cx_work *work, cx_error *err) {
    cx_msg_weights m;
    memset(&m, 0, sizeof m);
    m.net = cx_learned_net(&work->shard);
    uint64_t *has = &c->worker[rank - 1].serial[m.net];
    if (*has == work->serial)
        return CX_OK;
    *has = m.serial = work->serial;
    m.n = work->n_weights;
    return cx_message_send(c->transport, rank, CX_MSG_WEIGHTS, &m, sizeof m, work->weights,
                           work->n_weights * sizeof(float), err);
}

static cx_job job_of(uint64_t number) {
    return (cx_job){.kind = CX_JOB_GRADIENT, .episode = number};
}

static int give(coordinator *c, int rank, const cx_work *work, cx_error *err) {
    /* a gradient needs a backward pass besides, twice as long as the forward one */
    double rows = (double)work->shard.episodes * work->shard.longest;
    double passes = work->shard.kind == CX_SHARD_OUTPUTS ? 1 : 3;
    const cx_load load = {.gflop = passes * rows, .steps = passes * rows, .piece = 1};
    const cx_job job = job_of(work->number);
    if (!cx_watch_give(c->crew->watch, rank, &job, &load, c->crew->time))
        return CX_OK; /* it was late with it, and goes on with it */
    int rc = send_weights(c, rank, work, err);
    cx_msg_gradient m;
    memset(&m, 0, sizeof m);
    m.number = work->number;
    m.serial = work->serial;
    m.shard = work->shard;
    return rc ? rc
              : cx_message_send(c->transport, rank, CX_MSG_GRADIENT, &m, sizeof m, work->data,
                                work->size, err);
}

/* All learner ranks have one shard before any has two; and two only while there is one for
 * everybody besides: one that waits in a queue behind a long one is missing elsewhere. */
static int hand_out(coordinator *c, bool *did, cx_error *err) {
    int learners = cx_watch_learners(c->crew->watch, c->crew->time);
    for (int depth = 0; depth < QUEUED; depth++)
        for (int rank = c->n_workers + 1; rank <= c->crew->n; rank++) {
            cx_work work;
            bool any;
            if (!cx_watch_may_take(c->crew->watch, rank, depth, c->crew->time))
                continue;
            if (depth > 0 && cx_learner_open(c->learner) <= learners)
                return CX_OK;
            int rc = cx_learner_offer(c->learner, &work, &any, err);
            if (rc || !any)
                return rc;
            *did = true;
            rc = give(c, rank, &work, err);
            if (rc)
                return rc;
        }
    return CX_OK;
}

int cx_coordinator_graded(coordinator *c, int rank, const cx_msg_graded *m, const void *extra,
                          cx_error *err) {
    const cx_job job = job_of(m->number);
    c->worker[rank - 1].time = m->time;
    if (!cx_watch_answered(c->crew->watch, rank, &job, NULL, c->crew->time))
        return CX_OK;
    return cx_learner_answer(c->learner, m->number, extra, m->n, &m->sums, err);
}

/* --- both --- */

static int advance(coordinator *c, bool *did, bool *done, cx_error *err) {
    double before = cx_clock_now();
    int rc;
    if (cx_watch_learners(c->crew->watch, c->crew->time) > 0) {
        rc = hand_out(c, did, err);
        if (!rc)
            rc = cx_learner_end(c->learner, done, &c->stats, err);
    } else {
        *did = true;
        rc = cx_learner_advance(c->learner, done, &c->stats, err);
    }
    c->longest_slice = fmax(c->longest_slice, cx_clock_now() - before);
    return rc;
}

int cx_coordinator_learn(coordinator *c, bool *did, cx_error *err) {
    int rc = CX_OK;
    if (!c->learning) {
        if (!cx_dispatch_ready(c->dispatch))
            return CX_OK;
        *did = true;
        rc = begin_update(c, err);
        if (rc)
            return rc;
    }
    bool done = false;
    rc = advance(c, did, &done, err);
    if (rc || !done)
        return rc;
    *did = true;
    return end_update(c, err);
}
