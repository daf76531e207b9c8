#include "coordinator/internal.h"

#include "base/clock.h"
#include "base/process.h"
#include "tasks/task.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The coordinator looks after its workers twice a second. Its own pauses are not charged
 * to them, but for what a pass of its loop may take. */
static const double look_seconds = 0.5, pass_seconds = 0.25;
static const double idle_patience = 5; /* at the end: who has nothing to do answers at once */

static void say(const coordinator *c, const char *line) {
    if (c->o->say)
        c->o->say(c->o->say_context, false, line);
}

/* --- jobs --- */

static cx_load load_of(const coordinator *c, const cx_job *job, const cx_task_spec *spec) {
    double outer_steps = cx_task_value(spec, "outer_steps");
    bool episode = job->kind == CX_JOB_EPISODE && outer_steps > 0;
    return (cx_load){.entry = (int)spec->entry,
                     .gflop = fmax(cx_task_gflop(spec, c->config), 1e-9),
                     .steps = fmax(cx_task_inner_steps(spec, c->config), 1),
                     .piece =
                         episode ? fmin(1, c->config->workers.chunk_steps / outer_steps) : 1};
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
    return cx_message_send(c->transport, rank, CX_MSG_BASELINE, &m, sizeof m, NULL, 0, err);
}

/* A sweep that the cache knows is not run again: then *known. */
static int give(coordinator *c, int rank, const cx_job *job, bool *known, cx_error *err) {
    cx_task_spec spec;
    cx_task_sample(c->config, job->instance, &spec);
    if (job->kind == CX_JOB_BASELINE) {
        const cx_baseline *b =
            cx_baseline_cache_find(c->cache, cx_task_hash(&spec, c->config));
        *known = b != NULL;
        if (b)
            return cx_dispatch_baseline(c->dispatch, job->instance, b, err);
    }
    cx_load load = load_of(c, job, &spec);
    if (!cx_watch_give(c->watch, rank, job, &load, c->heard_time))
        return CX_OK; /* it was late with it, and goes on with it */
    return job->kind == CX_JOB_EPISODE ? send_episode(c, rank, job, &spec, err)
                                       : send_baseline(c, rank, job, &spec, err);
}

/* In turn, so that all have one job before any has two. */
int cx_crew_assign(coordinator *c, bool *did, cx_error *err) {
    for (int depth = 0; depth < c->config->workers.prefetch; depth++)
        for (int rank = 1; rank <= c->n_workers; rank++) {
            if (!cx_watch_may_take(c->watch, rank, depth, c->heard_time))
                continue;
            cx_job job = cx_dispatch_next(c->dispatch);
            if (job.kind == CX_JOB_NONE)
                return CX_OK;
            bool known = false;
            int rc = give(c, rank, &job, &known, err);
            if (rc)
                return rc;
            *did = true;
            if (known)
                rank--; /* the same worker still waits */
        }
    return CX_OK;
}

static void again(void *context, const cx_job *job) {
    coordinator *c = context;
    cx_dispatch_again(c->dispatch, job);
}

int cx_crew_drop(coordinator *c, const cx_job *job, cx_error *err) {
    if (cx_dispatch_tries(c->dispatch, job) == 0)
        return CX_OK;
    bool episode = job->kind == CX_JOB_EPISODE;
    cx_msg_drop m;
    memset(&m, 0, sizeof m);
    m.type = episode ? CX_MSG_EPISODE : CX_MSG_BASELINE;
    m.number = episode ? job->episode : job->instance;
    for (int rank = 1; rank <= c->n_workers; rank++)
        if (cx_watch_drop(c->watch, rank, job, c->heard_time)) {
            int rc = cx_message_send(c->transport, rank, CX_MSG_DROP, &m, sizeof m, NULL, 0, err);
            if (rc)
                return rc;
        }
    return CX_OK;
}

/* --- workers --- */

int cx_crew_hello(coordinator *c, int rank, const cx_msg_hello *m, cx_error *err) {
    if (m->config_hash != c->config_hash)
        return cx_fail(err, CX_ECONFIG,
                       "rank %d on %.63s has read another configuration than rank 0", rank,
                       m->host);
    worker_state *w = &c->worker[rank - 1];
    char here[sizeof w->host];
    cx_process_host(here, sizeof here);
    memcpy(w->host, m->host, sizeof w->host);
    /* who has just written, and is not there, is of another world of process numbers */
    bool ours = strcmp(w->host, here) == 0 && !cx_process_ended(m->pid);
    w->pid = ours ? m->pid : 0;
    return cx_message_send_hello(c->transport, rank, c->config_hash, err);
}

static void tell_of(const coordinator *c, int rank, const char *what, int jobs) {
    char line[256];
    const worker_state *w = &c->worker[rank - 1];
    (void)snprintf(line, sizeof line, "worker %d on %s %s%s", rank, w->host, what,
                   jobs ? "; its jobs are given to others" : "");
    say(c, line);
}

static void lose(coordinator *c, int rank, const char *what) {
    bool on = c->counters.version < (uint64_t)c->config->updates;
    tell_of(c, rank, what, on ? cx_watch_held(c->watch, rank) : 0);
    cx_watch_lost(c->watch, rank, again, c);
    if (c->o->lost)
        c->o->lost(c->o->lost_context, c->worker[rank - 1].host);
}

/* A machine that has no memory left is its worker's fault; anything else, and a job that
 * fails for a second one, too, is the run's. */
int cx_crew_failed(coordinator *c, int rank, const cx_msg_failed *m, cx_error *err) {
    bool leaves = m->number == CX_NO_JOB;
    const cx_job *job = cx_watch_first(c->watch, rank);
    bool others = cx_watch_count(c->watch).well > 1;
    bool theirs = m->code == CX_ENOMEM || (leaves && m->code == CX_EMPI);
    if (theirs && others && (leaves || (job && job->tries == 0))) {
        lose(c, rank, "has no memory left, or has lost its connection");
        cx_message_send_stop(c->transport, rank, false);
        return CX_OK;
    }
    if (leaves)
        cx_watch_left(c->watch, rank);
    return cx_fail(err, (cx_code)m->code, "rank %d: job %llu: %.900s", rank,
                   (unsigned long long)m->number, m->text);
}

static void find_dead(coordinator *c) {
    for (int rank = 1; rank <= c->n_workers; rank++) {
        worker_state *w = &c->worker[rank - 1];
        cx_crew_state state = cx_watch_state(c->watch, rank);
        if (w->pid && state != CX_CREW_LOST && state != CX_CREW_LEFT && cx_process_ended(w->pid))
            lose(c, rank, "has died");
    }
}

static void find_late(coordinator *c) {
    for (int rank = 1; rank <= c->n_workers; rank++)
        c->worker[rank - 1].was_well = cx_watch_state(c->watch, rank) == CX_CREW_WELL;
    if (!cx_watch_check(c->watch, c->heard_time, again, c))
        return;
    for (int rank = 1; rank <= c->n_workers; rank++)
        if (c->worker[rank - 1].was_well && cx_watch_state(c->watch, rank) == CX_CREW_LATE)
            tell_of(c, rank, "is late", 1);
}

int cx_crew_look_after(coordinator *c, cx_error *err) {
    double now = cx_clock_now();
    c->heard_time += fmin(now - c->last_heard, pass_seconds);
    c->last_heard = now;
    if (now - c->last_looked < look_seconds)
        return CX_OK;
    c->last_looked = now;
    find_dead(c);
    find_late(c);
    /* often enough for a worker that waits for a sign of life */
    if (now - c->last_hello < c->config->workers.silence_seconds / 20)
        return CX_OK;
    c->last_hello = now;
    int rc = CX_OK;
    for (int rank = 1; rank <= c->n_workers && !rc; rank++) {
        cx_crew_state state = cx_watch_state(c->watch, rank);
        if (state == CX_CREW_WELL || state == CX_CREW_AWAITED)
            rc = cx_message_send_hello(c->transport, rank, c->config_hash, err);
    }
    return rc;
}

bool cx_crew_too_few(const coordinator *c) {
    cx_watch_counts n = cx_watch_count(c->watch);
    return c->n_workers > 0 && (cx_watch_hopeless(c->watch, c->heard_time) ||
                                (c->o->restarts && 2 * n.lost > c->n_workers));
}

/* --- the end --- */

void cx_crew_dismiss(coordinator *c) {
    find_dead(c);
    cx_watch_counts n = cx_watch_count(c->watch);
    bool whole = n.lost == 0 && n.late == 0;
    c->transport->broken |= !whole;
    for (int rank = 1; rank <= c->n_workers; rank++) {
        cx_crew_state state = cx_watch_state(c->watch, rank);
        if (state == CX_CREW_LATE && c->o->lost)
            c->o->lost(c->o->lost_context, c->worker[rank - 1].host);
        if (state != CX_CREW_LOST && state != CX_CREW_LEFT)
            cx_message_send_stop(c->transport, rank, whole);
    }
}

int cx_crew_staying(coordinator *c, double seconds, double patience) {
    int n = 0;
    for (int rank = 1; rank <= c->n_workers; rank++) {
        cx_crew_state state = cx_watch_state(c->watch, rank);
        const worker_state *w = &c->worker[rank - 1];
        bool loads = state == CX_CREW_AWAITED && w->host[0];
        bool busy = loads || cx_watch_held(c->watch, rank) > 0;
        double bound = busy ? patience : fmin(patience, idle_patience);
        if (state != CX_CREW_WELL && state != CX_CREW_AWAITED)
            continue;
        if (seconds < bound && !(w->pid && cx_process_ended(w->pid))) {
            n++;
            continue;
        }
        c->transport->broken = true;
        lose(c, rank, "does not answer any more");
    }
    return n;
}
