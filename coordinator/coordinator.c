#include "coordinator/internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "tasks/task.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void say(const coordinator *c, bool live, const char *line) {
    if (c->o->say)
        c->o->say(c->o->say_context, live, line);
}

/* --- messages --- */

/* Pieces and results of a job that this worker does not hold (any more), or that another
 * one has done first, are no mistake: nobody waits for them. */
static int on_piece(coordinator *c, int rank, const cx_msg_piece *m, const void *extra,
                    size_t extra_size, cx_error *err) {
    cx_trajectory **t = cx_watch_trajectory(c->crew->watch, rank, m->episode);
    if (!t)
        return CX_OK;
    if (m->bytes != extra_size)
        return cx_fail(err, CX_EFORMAT, "a trajectory piece has %zu bytes, not %llu", extra_size,
                       (unsigned long long)m->bytes);
    if (!*t) {
        cx_task_spec spec;
        cx_task_sample(c->config, m->episode / (uint64_t)c->config->episode.environment_reuse,
                       &spec);
        int rc =
            cx_trajectory_create(cx_privileged_size(c->config), c->heads.n_heads, c->heads.n_logits,
                                 (int)cx_task_value(&spec, "outer_steps"), t, err);
        if (rc)
            return rc;
    }
    return cx_trajectory_unpack(*t, extra, extra_size, err);
}

bool cx_coordinator_result_fits(const coordinator *c, const cx_episode_result *r) {
    cx_task_spec spec;
    uint64_t instance = r->episode / (uint64_t)c->config->episode.environment_reuse;
    cx_task_sample(c->config, instance, &spec);
    return r->instance == instance && memcmp(&r->spec, &spec, sizeof spec) == 0 &&
           isfinite(r->reward) && r->steps <= r->outer_steps &&
           r->outer_steps == (int)cx_task_value(&spec, "outer_steps");
}

static int on_result(coordinator *c, int rank, const cx_msg_result *m, cx_error *err) {
    cx_trajectory *t = NULL;
    cx_job job = {.kind = CX_JOB_EPISODE, .episode = m->result.episode};
    job.instance = job.episode / (uint64_t)c->config->episode.environment_reuse;
    c->worker[rank - 1].time = m->time;
    bool held = cx_watch_answered(c->crew->watch, rank, &job, &t, c->crew->time);
    if (!held || !cx_dispatch_wants(c->dispatch, &job)) {
        cx_trajectory_destroy(t);
        return CX_OK;
    }
    if (!t || t->result.steps != m->result.steps || !cx_coordinator_result_fits(c, &m->result)) {
        cx_trajectory_destroy(t);
        return cx_fail(err, CX_EFORMAT, "the result of episode %llu does not fit its pieces",
                       (unsigned long long)m->result.episode);
    }
    t->result = m->result;
    int rc = cx_coordinator_drop(c, &job, err);
    if (rc) {
        cx_trajectory_destroy(t);
        return rc;
    }
    rc = cx_dispatch_finished(c->dispatch, m->result.episode, t, err);
    if (rc)
        return rc;
    bool diverged = m->result.end == CX_END_DIVERGED;
    c->counters.episodes++;
    c->counters.diverged += diverged;
    cx_progress_add(&c->progress, m->result.reward, diverged);
    return cx_run_dir_episode(&c->dir, c->config, &m->result, err);
}

/* *wanted: nobody else has done it before; others may leave it. */
static int swept(coordinator *c, int rank, const cx_job *job, const cx_worker_time *time,
                 bool *wanted, cx_error *err) {
    c->worker[rank - 1].time = *time;
    bool held = cx_watch_answered(c->crew->watch, rank, job, NULL, c->crew->time);
    *wanted = held && cx_dispatch_wants(c->dispatch, job);
    return *wanted ? cx_coordinator_drop(c, job, err) : CX_OK;
}

static int add_baseline(coordinator *c, uint64_t instance, const cx_baseline *b, cx_error *err) {
    int rc = cx_baseline_cache_add(c->cache, b, err);
    if (rc)
        return rc;
    return cx_dispatch_baseline(c->dispatch, instance,
                                cx_baseline_cache_find(c->cache, b->task_hash), err);
}

static int on_sweep(coordinator *c, int rank, const cx_msg_sweep *m, cx_error *err) {
    cx_job job = {.kind = CX_JOB_BASELINE, .instance = m->instance};
    bool wanted;
    int rc = swept(c, rank, &job, &m->time, &wanted, err);
    return rc || !wanted ? rc : add_baseline(c, m->instance, &m->baseline, err);
}

static int on_sweep_run(coordinator *c, int rank, const cx_msg_sweep_run *m, cx_error *err) {
    cx_job job = {.kind = CX_JOB_BASELINE, .instance = m->instance, .run = (int)m->run + 1};
    const cx_sweep *done;
    bool wanted;
    int rc = swept(c, rank, &job, &m->time, &wanted, err);
    if (rc || !wanted)
        return rc;
    cx_dispatch_run_done(c->dispatch, &job, &m->outcome, &done);
    if (!done)
        return CX_OK;
    cx_task_spec spec;
    cx_baseline b;
    cx_task_sample(c->config, m->instance, &spec);
    cx_sweep_baseline(done, cx_task_hash(&spec, c->config), cx_task_inner_steps(&spec, c->config),
                      &b);
    return add_baseline(c, m->instance, &b, err);
}

static int handle(coordinator *c, int from, const void *data, size_t size, cx_error *err) {
    cx_msg_type type;
    const void *body, *extra;
    size_t extra_size;
    int rc = cx_message_unpack(data, size, &type, &body, &extra, &extra_size, err);
    if (rc)
        return cx_fail_in(err, "a message of rank %d", from);
    if (from < 1 || from > c->crew->n)
        return cx_fail(err, CX_ESTATE, "a message came from rank %d", from);
    if (type == CX_MSG_BYE)
        c->worker[from - 1].time = ((const cx_msg_bye *)body)->time;
    bool done;
    rc = cx_crew_heard(c->crew, from, type, body, &done, err);
    if (rc || done)
        return rc;
    switch (type) {
    case CX_MSG_PIECE:
        return on_piece(c, from, body, extra, extra_size, err);
    case CX_MSG_RESULT:
        return on_result(c, from, body, err);
    case CX_MSG_SWEEP:
        return on_sweep(c, from, body, err);
    case CX_MSG_SWEEP_RUN:
        return on_sweep_run(c, from, body, err);
    case CX_MSG_GRADED:
        return cx_coordinator_graded(c, from, body, extra, err);
    case CX_MSG_FAILED:
        return cx_crew_failed(c->crew, from, body, err);
    case CX_MSG_SIGNAL:
        c->told = true;
        return CX_OK;
    default:
        return cx_fail(err, CX_EFORMAT, "rank %d sent a message of type %s", from,
                       cx_message_name(type));
    }
}

static int receive_all(coordinator *c, bool *did, cx_error *err) {
    for (;;) {
        int from;
        void *data;
        size_t size;
        int rc = c->transport->receive(c->transport, &from, &data, &size, err);
        if (rc || !data)
            return rc;
        *did = true;
        rc = handle(c, from, data, size, err);
        free(data);
        if (rc)
            return rc;
    }
}

/* --- what is told of it --- */

/* Share of the learner ranks' wall time since the last call. */
static double learners_busy(coordinator *c) {
    double busy = 0, alive = 0;
    for (int i = c->n_workers; i < c->crew->n; i++) {
        worker_state *w = &c->worker[i];
        busy += w->time.gradient - w->time_before.gradient;
        alive += w->time.alive - w->time_before.alive;
        w->time_before = w->time;
    }
    return alive > 0 ? busy / alive : 0;
}

/* Shares of the workers' wall time; since the last call where `recent`. */
static cx_worker_shares worker_shares(coordinator *c, bool recent) {
    static const cx_worker_time zero;
    cx_worker_shares s = {0};
    double alive = 0;
    for (int i = 0; i < c->n_workers && c->worker; i++) {
        worker_state *w = &c->worker[i];
        const cx_worker_time *before = recent ? &w->time_before : &zero;
        s.busy += w->time.inner + w->time.baseline - before->inner - before->baseline;
        s.policy += w->time.policy - before->policy;
        s.waiting += w->time.waiting - before->waiting;
        alive += w->time.alive - before->alive;
        if (recent)
            w->time_before = w->time;
    }
    double scale = alive > 0 ? 1 / alive : 0;
    return (cx_worker_shares){s.busy * scale, s.policy * scale, s.waiting * scale};
}

cx_run_rates cx_coordinator_rates(coordinator *c) {
    double now = cx_clock_now(), since = now - c->last_update;
    cx_run_rates r;
    memset(&r, 0, sizeof r);
    r.seconds = cx_coordinator_seconds(c);
    r.episodes_per_second =
        since > 0 ? (double)(c->counters.episodes - c->episodes_at_update) / since : 0;
    r.workers = c->n_workers;
    r.share = worker_shares(c, true);
    c->busy = r.share.busy;
    r.crew = cx_watch_count(c->crew->watch);
    r.learners_busy = learners_busy(c);
    r.baselines = cx_baseline_cache_count(c->cache);
    for (int i = 0; i < c->crew->n; i++)
        if (c->worker[i].time.peak_bytes > r.peak_bytes_worker)
            r.peak_bytes_worker = c->worker[i].time.peak_bytes;
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        r.peak_bytes_coordinator = (uint64_t)usage.ru_maxrss * 1024;
    c->last_update = now;
    c->episodes_at_update = c->counters.episodes;
    return r;
}

/* --- the loop --- */

static void show(coordinator *c, bool force) {
    double now = cx_clock_now();
    if (!force && now - c->last_said < c->o->say_interval)
        return;
    c->last_said = now;
    char line[512];
    double done = cx_dispatch_finished_count(c->dispatch);
    cx_watch_counts crew = cx_watch_count(c->crew->watch);
    cx_progress_view v = {.updates = c->counters.version,
                          .total_updates = (uint64_t)c->config->updates,
                          .episodes = c->counters.episodes,
                          .seconds = cx_coordinator_seconds(c),
                          .workers = c->n_workers,
                          .workers_busy = c->busy,
                          .lost = crew.lost,
                          .late = crew.late,
                          .learners = crew.learners,
                          .reissued = crew.reissued,
                          .update_share = fmin(1, done / c->config->ppo.episodes_per_update)};
    v.episodes_per_second = v.seconds > 0 ? (double)v.episodes / v.seconds : 0;
    cx_progress_line(&c->progress, &v, line, sizeof line);
    say(c, true, line);
}

static int idle(coordinator *c, double *pause, cx_error *err) {
    bool worked = false;
    if (c->o->idle) {
        int rc = c->o->idle(c->o->idle_context, &worked, err);
        if (rc)
            return rc;
    }
    *pause = worked ? 50e-6 : fmin(*pause * 1.5, 1e-3);
    if (!worked)
        cx_clock_sleep(*pause);
    return CX_OK;
}

static bool asked_to_stop(coordinator *c) {
    char path[600];
    if (c->told || (c->o->should_stop && c->o->should_stop(c->o->stop_context)))
        return true;
    /* half as long again as the slowest ones so far, and a little for what is not measured */
    double need = 1.5 * (c->longest_update + c->longest_save) + 1;
    if (c->o->deadline > 0 && cx_clock_now() + need > c->o->deadline)
        return true;
    return cx_path(path, sizeof path, NULL, "%s/stop", c->dir.path) == CX_OK &&
           cx_file_exists(path);
}

/* A stop file that was obeyed is taken away: --resume is to go on. */
static void remove_stop_file(const coordinator *c) {
    char path[600];
    if (cx_path(path, sizeof path, NULL, "%s/stop", c->dir.path) == CX_OK)
        (void)cx_file_remove_all(path, NULL);
}

/* Finished episodes that no update has consumed are kept, too. */
static int save_all(coordinator *c, cx_error *err) {
    bool saved = c->checkpoint_version == c->counters.version && c->counters.version > 0 &&
                 c->checkpoint_episodes == c->counters.episodes;
    return saved ? CX_OK : cx_coordinator_save(c, err);
}

static int stop(coordinator *c, cx_error *err) {
    int rc = save_all(c, err);
    if (rc)
        return rc;
    remove_stop_file(c);
    return cx_fail(err, CX_ESTOPPED, "stopped after update %llu, with a checkpoint",
                   (unsigned long long)c->counters.version);
}

/* There is no going on, or a restart that brings the lost ones back is worth its time. */
static bool too_few(const coordinator *c) {
    return cx_crew_hopeless(c->crew) ||
           (c->o->restarts && 2 * cx_watch_count(c->crew->watch).lost > c->n_workers);
}

static int give_up(coordinator *c, cx_error *err) {
    int rc = save_all(c, err);
    return rc ? rc : cx_crew_lost_error(c->crew, err);
}

static int loop(coordinator *c, cx_error *err) {
    double pause = 50e-6, last_asked = 0;
    while (c->counters.version < (uint64_t)c->config->updates) {
        bool did = false;
        int rc = receive_all(c, &did, err);
        if (!rc)
            rc = cx_crew_look_after(c->crew, err);
        if (!rc)
            rc = cx_coordinator_assign(c, &did, err);
        if (!rc)
            rc = cx_coordinator_learn(c, &did, err);
        if (rc)
            return rc;
        show(c, false);
        double now = cx_clock_now();
        if (!c->learning && now - last_asked > 0.1) {
            last_asked = now;
            if (asked_to_stop(c))
                return stop(c, err);
            if (too_few(c))
                return give_up(c, err);
        }
        if (did)
            pause = 50e-6;
        else if ((rc = idle(c, &pause, err)) != CX_OK)
            return rc;
    }
    return CX_OK;
}

/* Tells all workers to stop and hears their last reports. */
static void stop_workers(coordinator *c, double patience) {
    cx_error ignored;
    double began = cx_clock_now(), pause = 50e-6;
    cx_crew_dismiss(c->crew);
    for (;;) {
        int from;
        void *data;
        size_t size;
        if (c->transport->receive(c->transport, &from, &data, &size, &ignored))
            return;
        if (data) {
            cx_msg_type type;
            const void *body, *extra;
            size_t extra_size;
            /* results that come now belong to episodes that nobody waits for */
            if (cx_message_unpack(data, size, &type, &body, &extra, &extra_size, &ignored) ==
                    CX_OK &&
                (type == CX_MSG_BYE || type == CX_MSG_READY || type == CX_MSG_HELLO))
                (void)handle(c, from, data, size, &ignored);
            free(data);
        } else if (cx_crew_staying(c->crew, cx_clock_now() - began, patience) == 0 ||
                   idle(c, &pause, &ignored)) {
            return;
        }
    }
}

static int open_cache(coordinator *c, cx_error *err) {
    char path[600];
    const char *shared = c->config->baseline_cache;
    int rc = shared[0] ? cx_path(path, sizeof path, err, "%s", shared)
                       : cx_path(path, sizeof path, err, "%s/baselines", c->dir.path);
    if (!rc)
        rc = cx_file_make_dirs(path, err);
    if (!rc)
        rc = cx_baseline_cache_open(path, &c->cache, err);
    return rc;
}

static int make_crew(coordinator *c, cx_error *err) {
    cx_crew_options o = {
        .transport = c->transport,
        .config_hash = c->config_hash,
        .rules = cx_crew_rules(c->config, c->transport->ranks - 1, c->config->workers.prefetch),
        .silence_seconds = c->config->workers.silence_seconds,
        .again = cx_coordinator_again,
        .again_context = c,
        .lost = c->o->lost,
        .lost_context = c->o->lost_context,
        .say = c->o->say,
        .say_context = c->o->say_context};
    o.rules.learners = c->config->workers.learner_ranks;
    return cx_crew_create(&o, &c->crew, err);
}

int cx_coordinator_check_ranks(const cx_config *config, int ranks, cx_error *err) {
    int workers = ranks > 1 ? ranks - 1 : 1, learners = config->workers.learner_ranks;
    return learners < workers
               ? CX_OK
               : cx_fail(err, CX_ECONFIG,
                         "workers.learner_ranks is %d, but of %d ranks only %d can be: rank 0 and "
                         "at least one worker have to be left",
                         learners, ranks, workers - 1);
}

static int prepare(coordinator *c, cx_error *err) {
    int others = c->transport->ranks - 1;
    int rc = cx_coordinator_check_ranks(c->config, c->transport->ranks, err);
    if (rc)
        return rc;
    c->worker = calloc((size_t)others + 1, sizeof *c->worker);
    if (!c->worker)
        return cx_fail(err, CX_ENOMEM, "no memory for %d workers", others);
    for (int i = 0; i < others; i++)
        c->worker[i].version = UINT64_MAX;
    c->config_hash = cx_hash(c->o->config_yaml, strlen(c->o->config_yaml), 0);
    cx_action_heads(c->config, &c->heads);
    rc = make_crew(c, err);
    if (!rc)
        rc = cx_run_dir_open(&c->dir, c->o->dir, c->o->resume, c->o->config_yaml, err);
    if (!rc && !c->dir.resumed)
        rc = cx_made_write(c->o->dir, c->o->command, err);
    if (!rc)
        rc = cx_learner_create(c->config, &c->learner, err);
    if (!rc)
        rc = cx_coordinator_restore(c, err);
    if (!rc) {
        c->published = calloc(cx_learner_policy_count(c->learner), sizeof(float));
        if (!c->published)
            rc = cx_fail(err, CX_ENOMEM, "no memory for the policy");
        else
            cx_coordinator_publish(c);
    }
    if (!rc)
        rc = cx_run_dir_open_lines(&c->dir, &c->counters, err);
    if (!rc && c->restored) /* a kill after DONE may have left an older policy file, or none */
        rc = cx_coordinator_write_policy(c, err);
    if (!rc)
        rc = open_cache(c, err);
    if (rc)
        return rc;
    if (c->dir.note[0])
        say(c, false, c->dir.note);
    c->last_reward = NAN;
    c->cpu_before = cx_clock_cpu();
    c->started = c->last_said = c->last_checkpoint = c->last_update = cx_clock_now();
    c->crew->last_pass = c->started;
    c->episodes_at_update = c->counters.episodes;
    return CX_OK;
}

static void summarize(coordinator *c, cx_run_summary *s) {
    memset(s, 0, sizeof *s);
    s->updates = c->counters.version;
    s->episodes = c->counters.episodes;
    s->diverged = c->counters.diverged;
    s->seconds = c->started > 0 ? cx_coordinator_seconds(c) : 0;
    s->last_reward = c->last_reward;
    double wall = cx_clock_now() - c->started;
    s->share = worker_shares(c, false);
    s->learner_seconds = c->learner_seconds;
    s->coordinator_cpu = c->started > 0 && wall > 0 ? (cx_clock_cpu() - c->cpu_before) / wall : 0;
}

int cx_coordinate(const cx_coordinator_options *options, cx_run_summary *summary, cx_error *err) {
    coordinator *c = calloc(1, sizeof *c);
    if (!c)
        return cx_fail(err, CX_ENOMEM, "no memory for the coordinator");
    c->o = options;
    c->config = options->config;
    c->transport = options->transport;
    c->n_workers = options->transport->ranks - 1 - options->config->workers.learner_ranks;
    int rc = prepare(c, err);
    if (!rc)
        rc = loop(c, err);
    if (c->dispatch && c->started > 0)
        show(c, true);
    if (c->crew)
        stop_workers(c, rc ? 5 : 60); /* whoever stops us may soon kill */
    summarize(c, summary);
    cx_crew_destroy(c->crew);
    cx_dispatch_destroy(c->dispatch);
    cx_learner_destroy(c->learner);
    cx_baseline_cache_close(c->cache);
    cx_run_dir_close(&c->dir);
    free(c->published);
    free(c->worker);
    free(c);
    return rc;
}
