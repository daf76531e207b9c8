#include "coordinator/dispatch.h"

#include "coordinator/queue.h"
#include <stdlib.h>
#include <string.h>

typedef enum { SLOT_FREE, SLOT_RUNNING, SLOT_DONE } slot_state;

/* Of a job that is running. */
typedef struct {
    bool again; /* to be handed out once more */
    int tries;
} mark;

typedef struct {
    slot_state state;
    mark mark;
    cx_trajectory *trajectory; /* DONE */
} episode_slot;

/* A sweep whose runs are jobs of their own. */
typedef struct {
    cx_sweep *sweep;
    mark mark[CX_SWEEP_RUNS_MAX];
} split;

/* Baselines are made this many instances ahead of need, and so many more for each worker: a
 * sweep may take a hundred times as long as most. */
enum { AHEAD = 2048, AHEAD_EACH = 4 };

typedef struct {
    slot_state state; /* of its baseline */
    double cost;      /* of an episode */
    double key;       /* in the queue of sweeps */
    bool queued;      /* there */
    mark whole;
    split *split; /* RUNNING; NULL: the sweep is one job */
    const cx_baseline *baseline;
} instance_slot;

struct cx_dispatch {
    cx_dispatch_rules rules;
    uint64_t version; /* of the learner */
    uint64_t base;    /* first episode that is not consumed */
    uint64_t total;   /* episodes of the whole run */
    /* up to here all episodes that may start, all instances whose baseline is wanted, have
     * been looked at: what can be done stands in the queues */
    uint64_t episodes_seen, instances_seen;
    int n_episodes; /* ring: episode e is in slot e % n_episodes */
    int n_instances;
    episode_slot *episode;
    instance_slot *instance;
    int running, finished;
    uint64_t done_before;      /* from base to here all episodes are finished */
    cx_queue episodes, sweeps; /* startable ones; what is not free any more is passed over */
    double interval;           /* between updates, in units of cost */
    int again;                 /* jobs with that mark */
};

static episode_slot *episode_at(const cx_dispatch *d, uint64_t e) {
    return &d->episode[e % (uint64_t)d->n_episodes];
}

static instance_slot *instance_at(const cx_dispatch *d, uint64_t i) {
    return &d->instance[i % (uint64_t)d->n_instances];
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* First episode that may not start yet. */
static uint64_t window_end(const cx_dispatch *d) {
    uint64_t end =
        (d->version + (uint64_t)d->rules.max_staleness) * (uint64_t)d->rules.episodes_per_update;
    return least(least(end, d->base + (uint64_t)d->n_episodes), d->total);
}

static uint64_t first_instance(const cx_dispatch *d) {
    return d->base / (uint64_t)d->rules.environment_reuse;
}

/* First instance whose baseline is not wanted yet. */
static uint64_t instances_end(const cx_dispatch *d) {
    uint64_t reuse = (uint64_t)d->rules.environment_reuse;
    uint64_t wanted =
        (window_end(d) + reuse - 1) / reuse + AHEAD_EACH * (uint64_t)d->rules.workers + AHEAD;
    uint64_t last = (d->total + reuse - 1) / reuse;
    return least(least(wanted, last), first_instance(d) + (uint64_t)d->n_instances);
}

static double cost_of(const cx_dispatch *d, uint64_t instance) {
    double cost = d->rules.cost ? d->rules.cost(d->rules.cost_context, instance) : 1;
    return cost > 0 ? cost : 1;
}

/* What all workers need for one update's jobs, by the first few hundred instances. */
static double expected_interval(const cx_dispatch *d) {
    enum { LOOKED_AT = 256 };
    double sum = 0, reuse = d->rules.environment_reuse;
    for (uint64_t i = 0; i < LOOKED_AT; i++)
        sum += cost_of(d, first_instance(d) + i);
    return sum / LOOKED_AT * d->rules.episodes_per_update * (1 + d->rules.sweep / reuse) /
           (d->rules.workers > 0 ? d->rules.workers : 1);
}

/* When a job has to begin that needs `cost` until the end of that episode. */
static double latest_begin(const cx_dispatch *d, uint64_t episode, double cost) {
    uint64_t update = episode / (uint64_t)d->rules.episodes_per_update;
    return (double)(update + 1) * d->interval - 2 * cost;
}

static void queue_episode(cx_dispatch *d, uint64_t e) {
    uint64_t instance = e / (uint64_t)d->rules.environment_reuse;
    const instance_slot *i = instance_at(d, instance);
    if (i->state == SLOT_DONE && episode_at(d, e)->state == SLOT_FREE)
        cx_queue_push(&d->episodes, latest_begin(d, e, i->cost), e);
}

/* Something of its sweep may be handed out. */
static bool startable(const cx_dispatch *d, uint64_t instance) {
    if (instance < first_instance(d))
        return false;
    const instance_slot *s = instance_at(d, instance);
    return s->state == SLOT_FREE ||
           (s->state == SLOT_RUNNING && s->split && cx_sweep_has_next(s->split->sweep));
}

/* Those that nobody needs any more make room. */
static void forget_passed_sweeps(cx_dispatch *d) {
    cx_queue kept = {d->sweeps.item, 0};
    for (int i = 0, n = d->sweeps.n; i < n; i++) {
        cx_queued q = d->sweeps.item[i];
        if (startable(d, q.number))
            cx_queue_push(&kept, q.key, q.number);
        else if (q.number >= first_instance(d))
            instance_at(d, q.number)->queued = false;
    }
    d->sweeps = kept;
}

static void queue_sweep(cx_dispatch *d, uint64_t instance) {
    instance_slot *s = instance_at(d, instance);
    if (s->queued)
        return;
    if (d->sweeps.n == d->n_instances)
        forget_passed_sweeps(d);
    s->queued = true;
    cx_queue_push(&d->sweeps, s->key, instance);
}

static bool apart(const cx_dispatch *d, double cost) {
    return d->rules.split && cost > d->rules.split_above;
}

/* From the beginning of its sweep to the end of its first episode. */
static double time_to_episode(const cx_dispatch *d, double cost) {
    return cost * (1 + (apart(d, cost) ? cx_sweep_critical(d->rules.split) : d->rules.sweep));
}

/* Puts into the queues what the window has come to hold. */
static void look_ahead(cx_dispatch *d) {
    uint64_t reuse = (uint64_t)d->rules.environment_reuse;
    for (; d->instances_seen < instances_end(d); d->instances_seen++) {
        uint64_t i = d->instances_seen;
        instance_slot *s = instance_at(d, i);
        s->cost = cost_of(d, i);
        s->key = latest_begin(d, i * reuse, time_to_episode(d, s->cost));
        queue_sweep(d, i);
    }
    for (; d->episodes_seen < window_end(d); d->episodes_seen++)
        queue_episode(d, d->episodes_seen);
}

int cx_dispatch_create(const cx_dispatch_rules *rules, uint64_t version, cx_dispatch **out,
                       cx_error *err) {
    *out = NULL;
    cx_dispatch *d = calloc(1, sizeof *d);
    if (!d)
        return cx_fail(err, CX_ENOMEM, "no memory for the dispatch");
    d->rules = *rules;
    int B = rules->episodes_per_update;
    d->total = (uint64_t)rules->updates * (uint64_t)B;
    d->base = d->episodes_seen = version * (uint64_t)B;
    d->version = version;
    d->n_episodes = (rules->max_staleness + 1) * B;
    d->n_instances =
        d->n_episodes / rules->environment_reuse + AHEAD_EACH * rules->workers + AHEAD + 4;
    d->instances_seen = d->base / (uint64_t)rules->environment_reuse;
    d->episode = calloc((size_t)d->n_episodes, sizeof *d->episode);
    d->instance = calloc((size_t)d->n_instances, sizeof *d->instance);
    d->episodes.item = calloc((size_t)d->n_episodes, sizeof *d->episodes.item);
    d->sweeps.item = calloc((size_t)d->n_instances, sizeof *d->sweeps.item);
    if (!d->episode || !d->instance || !d->episodes.item || !d->sweeps.item) {
        cx_dispatch_destroy(d);
        return cx_fail(err, CX_ENOMEM, "no memory for %d episodes in flight", d->n_episodes);
    }
    d->interval = expected_interval(d);
    look_ahead(d);
    *out = d;
    return CX_OK;
}

static void drop_split(instance_slot *s) {
    if (!s->split)
        return;
    cx_sweep_destroy(s->split->sweep);
    free(s->split);
    s->split = NULL;
}

void cx_dispatch_destroy(cx_dispatch *d) {
    if (!d)
        return;
    for (int i = 0; d->instance && i < d->n_instances; i++)
        drop_split(&d->instance[i]);
    for (int i = 0; d->episode && i < d->n_episodes; i++)
        cx_trajectory_destroy(d->episode[i].trajectory);
    free(d->episode);
    free(d->instance);
    free(d->episodes.item);
    free(d->sweeps.item);
    free(d);
}

/* The first of a queue that still waits to be done; NULL: none. */
static const cx_queued *first_sweep(cx_dispatch *d) {
    const cx_queued *q;
    while ((q = cx_queue_first(&d->sweeps)) && !startable(d, q->number)) {
        if (q->number >= first_instance(d))
            instance_at(d, q->number)->queued = false;
        cx_queue_pop(&d->sweeps);
    }
    return q;
}

static const cx_queued *first_episode(cx_dispatch *d) {
    const cx_queued *q;
    while ((q = cx_queue_first(&d->episodes)) &&
           (q->number < d->base || episode_at(d, q->number)->state != SLOT_FREE))
        cx_queue_pop(&d->episodes);
    return q;
}

static bool in_window(const cx_dispatch *d, uint64_t episode) {
    return episode >= d->base && episode < d->base + (uint64_t)d->n_episodes;
}

static bool instance_in_window(const cx_dispatch *d, uint64_t instance) {
    return instance >= first_instance(d) && instance < first_instance(d) + (uint64_t)d->n_instances;
}

static cx_job episode_job(const cx_dispatch *d, uint64_t e, int tries) {
    return (cx_job){.kind = CX_JOB_EPISODE,
                    .episode = e,
                    .instance = e / (uint64_t)d->rules.environment_reuse,
                    .tries = tries};
}

/* Of a job that is wanted, or NULL. */
static mark *mark_of(const cx_dispatch *d, const cx_job *job) {
    if (job->kind == CX_JOB_EPISODE) {
        episode_slot *e = episode_at(d, job->episode);
        return in_window(d, job->episode) && e->state == SLOT_RUNNING ? &e->mark : NULL;
    }
    instance_slot *s = instance_at(d, job->instance);
    if (job->kind != CX_JOB_BASELINE || !instance_in_window(d, job->instance) ||
        s->state != SLOT_RUNNING || job->run < 0)
        return NULL;
    if (!s->split)
        return job->run == 0 ? &s->whole : NULL;
    return job->run > 0 && cx_sweep_wants(s->split->sweep, (uint32_t)job->run - 1)
               ? &s->split->mark[job->run - 1]
               : NULL;
}

/* True: the job is to be handed out once more, and that is done now. */
static bool take_mark(const cx_dispatch *d, cx_job *job) {
    mark *m = mark_of(d, job);
    if (!m || !m->again)
        return false;
    m->again = false;
    job->tries = ++m->tries;
    return true;
}

/* Episodes before baselines: an update waits for them. */
static cx_job next_again(cx_dispatch *d) {
    d->again--;
    for (uint64_t e = d->base; e < d->base + (uint64_t)d->n_episodes; e++) {
        cx_job job = episode_job(d, e, 0);
        if (take_mark(d, &job))
            return job;
    }
    for (uint64_t i = first_instance(d);; i++)
        for (int run = 0; run <= CX_SWEEP_RUNS_MAX; run++) {
            cx_job job = {.kind = CX_JOB_BASELINE, .instance = i, .run = run};
            if (take_mark(d, &job))
                return job;
        }
}

bool cx_dispatch_wants(const cx_dispatch *d, const cx_job *job) {
    return mark_of(d, job) != NULL;
}

int cx_dispatch_tries(const cx_dispatch *d, const cx_job *job) {
    const mark *m = mark_of(d, job);
    return m ? m->tries : 0;
}

void cx_dispatch_again(cx_dispatch *d, const cx_job *job) {
    mark *m = mark_of(d, job);
    if (!m)
        return;
    d->again += !m->again;
    m->again = true;
}

static void not_again(cx_dispatch *d, mark *m) {
    d->again -= m->again;
    m->again = false;
}

/* The sweep of an instance is wanted no more, or not as jobs. */
static void end_sweep(cx_dispatch *d, instance_slot *s) {
    not_again(d, &s->whole);
    for (int i = 0; s->split && i < CX_SWEEP_RUNS_MAX; i++)
        not_again(d, &s->split->mark[i]);
    drop_split(s);
}

/* Without memory for it the sweep stays one job: what comes out is the same. */
static void begin_sweep(cx_dispatch *d, instance_slot *s) {
    s->state = SLOT_RUNNING;
    s->split = apart(d, s->cost) ? calloc(1, sizeof *s->split) : NULL;
    if (s->split && cx_sweep_create(d->rules.split, &s->split->sweep, NULL))
        drop_split(s);
}

static cx_job next_of_sweep(cx_dispatch *d, uint64_t instance) {
    instance_slot *s = instance_at(d, instance);
    cx_job job = {.kind = CX_JOB_BASELINE, .instance = instance};
    cx_sweep_run run;
    if (s->state == SLOT_FREE)
        begin_sweep(d, s);
    if (s->split && cx_sweep_next(s->split->sweep, &run))
        job.run = (int)run.number + 1;
    if (!startable(d, instance)) {
        s->queued = false;
        cx_queue_pop(&d->sweeps); /* it is the first one */
    }
    return job;
}

cx_job cx_dispatch_next(cx_dispatch *d) {
    if (d->again > 0)
        return next_again(d);
    cx_job job = {.kind = CX_JOB_NONE};
    const cx_queued *sweep = first_sweep(d), *episode = first_episode(d);
    if (sweep && (!episode || sweep->key < episode->key)) {
        job = next_of_sweep(d, sweep->number);
    } else if (episode) {
        job = episode_job(d, episode->number, 0);
        episode_at(d, job.episode)->state = SLOT_RUNNING;
        d->running++;
        cx_queue_pop(&d->episodes);
    }
    return job;
}

cx_sweep_run cx_dispatch_run(const cx_dispatch *d, const cx_job *job) {
    return cx_sweep_get(instance_at(d, job->instance)->split->sweep, (uint32_t)job->run - 1);
}

void cx_dispatch_run_done(cx_dispatch *d, const cx_job *job, const cx_sweep_outcome *outcome,
                          const cx_sweep **done) {
    cx_sweep *sweep = instance_at(d, job->instance)->split->sweep;
    not_again(d, mark_of(d, job));
    cx_sweep_answer(sweep, (uint32_t)job->run - 1, outcome);
    if (cx_sweep_has_next(sweep))
        queue_sweep(d, job->instance);
    *done = cx_sweep_done(sweep) ? sweep : NULL;
}

int cx_dispatch_baseline(cx_dispatch *d, uint64_t instance, const cx_baseline *baseline,
                         cx_error *err) {
    if (!instance_in_window(d, instance) || instance_at(d, instance)->state == SLOT_DONE)
        return cx_fail(err, CX_EFORMAT,
                       "a baseline came for task instance %llu, which nobody asked for",
                       (unsigned long long)instance);
    instance_slot *s = instance_at(d, instance);
    end_sweep(d, s);
    s->state = SLOT_DONE;
    s->baseline = baseline;
    uint64_t reuse = (uint64_t)d->rules.environment_reuse, e = instance * reuse;
    for (e = e > d->base ? e : d->base; e < (instance + 1) * reuse && e < d->episodes_seen; e++)
        queue_episode(d, e);
    return CX_OK;
}

const cx_baseline *cx_dispatch_find_baseline(const cx_dispatch *d, uint64_t instance) {
    if (!instance_in_window(d, instance))
        return NULL;
    const instance_slot *s = instance_at(d, instance);
    return s->state == SLOT_DONE ? s->baseline : NULL;
}

int cx_dispatch_finished(cx_dispatch *d, uint64_t episode, cx_trajectory *t, cx_error *err) {
    cx_job job = episode_job(d, episode, 0);
    if (!cx_dispatch_wants(d, &job)) {
        cx_trajectory_destroy(t);
        return cx_fail(err, CX_EFORMAT, "a result came for episode %llu, which is not running",
                       (unsigned long long)episode);
    }
    episode_slot *s = episode_at(d, episode);
    not_again(d, &s->mark);
    s->state = SLOT_DONE;
    s->trajectory = t;
    d->running--;
    d->finished++;
    return CX_OK;
}

bool cx_dispatch_ready(cx_dispatch *d) {
    uint64_t end = d->base + (uint64_t)d->rules.episodes_per_update;
    if (end > d->total || d->finished < d->rules.episodes_per_update)
        return false;
    if (d->done_before < d->base)
        d->done_before = d->base;
    while (d->done_before < end && episode_at(d, d->done_before)->state == SLOT_DONE)
        d->done_before++;
    return d->done_before == end;
}

void cx_dispatch_take(cx_dispatch *d, cx_trajectory **list) {
    uint64_t old_first = first_instance(d);
    for (int i = 0; i < d->rules.episodes_per_update; i++) {
        episode_slot *s = episode_at(d, d->base + (uint64_t)i);
        list[i] = s->trajectory;
        memset(s, 0, sizeof *s);
    }
    d->finished -= d->rules.episodes_per_update;
    d->base += (uint64_t)d->rules.episodes_per_update;
    if (d->episodes_seen < d->base)
        d->episodes_seen = d->base;
    /* a baseline may be running even now: after a restart, when all its episodes are there */
    for (uint64_t i = old_first; i < first_instance(d); i++) {
        end_sweep(d, instance_at(d, i));
        memset(instance_at(d, i), 0, sizeof(instance_slot));
    }
    look_ahead(d);
}

void cx_dispatch_set_version(cx_dispatch *d, uint64_t version) {
    d->version = version;
    look_ahead(d);
}

int cx_dispatch_each_finished(const cx_dispatch *d,
                              int (*each)(void *, const cx_trajectory *, cx_error *), void *context,
                              cx_error *err) {
    for (uint64_t e = d->base; e < d->base + (uint64_t)d->n_episodes; e++)
        if (episode_at(d, e)->state == SLOT_DONE) {
            int rc = each(context, episode_at(d, e)->trajectory, err);
            if (rc)
                return rc;
        }
    return CX_OK;
}

int cx_dispatch_restore(cx_dispatch *d, cx_trajectory *t, cx_error *err) {
    uint64_t e = t->result.episode;
    if (!in_window(d, e) || episode_at(d, e)->state != SLOT_FREE) {
        cx_trajectory_destroy(t);
        return cx_fail(err, CX_EFORMAT, "the checkpoint holds episode %llu, which is out of place",
                       (unsigned long long)e);
    }
    episode_at(d, e)->state = SLOT_DONE;
    episode_at(d, e)->trajectory = t;
    d->finished++;
    return CX_OK;
}

int cx_dispatch_running(const cx_dispatch *d) {
    return d->running;
}

int cx_dispatch_finished_count(const cx_dispatch *d) {
    return d->finished;
}
