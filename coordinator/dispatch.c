#include "coordinator/dispatch.h"

#include <stdlib.h>
#include <string.h>

typedef enum { SLOT_FREE, SLOT_RUNNING, SLOT_DONE } slot_state;

typedef struct {
    slot_state state;
    bool again; /* running, and to be handed out once more */
    int tries;
    cx_trajectory *trajectory; /* DONE */
} episode_slot;

typedef struct {
    slot_state state; /* of its baseline */
    bool again;
    int tries;
    const cx_baseline *baseline;
} instance_slot;

struct cx_dispatch {
    cx_dispatch_rules rules;
    uint64_t version;    /* of the learner */
    uint64_t base;       /* first episode that is not consumed */
    uint64_t total;      /* episodes of the whole run */
    uint64_t first_free; /* no episode before it is free */
    int n_episodes;      /* ring: episode e is in slot e % n_episodes */
    int n_instances;
    episode_slot *episode;
    instance_slot *instance;
    int running, finished;
    int again; /* jobs with that mark */
};

int cx_dispatch_create(const cx_dispatch_rules *rules, uint64_t version, cx_dispatch **out,
                       cx_error *err) {
    *out = NULL;
    cx_dispatch *d = calloc(1, sizeof *d);
    if (!d)
        return cx_fail(err, CX_ENOMEM, "no memory for the dispatch");
    d->rules = *rules;
    int B = rules->episodes_per_update;
    d->total = (uint64_t)rules->updates * (uint64_t)B;
    d->base = d->first_free = version * (uint64_t)B;
    d->version = version;
    d->n_episodes = (rules->max_staleness + 1) * B;
    d->n_instances = d->n_episodes / rules->environment_reuse + 2 * rules->workers + 4;
    d->episode = calloc((size_t)d->n_episodes, sizeof *d->episode);
    d->instance = calloc((size_t)d->n_instances, sizeof *d->instance);
    if (!d->episode || !d->instance) {
        cx_dispatch_destroy(d);
        return cx_fail(err, CX_ENOMEM, "no memory for %d episodes in flight", d->n_episodes);
    }
    *out = d;
    return CX_OK;
}

void cx_dispatch_destroy(cx_dispatch *d) {
    if (!d)
        return;
    for (int i = 0; d->episode && i < d->n_episodes; i++)
        cx_trajectory_destroy(d->episode[i].trajectory);
    free(d->episode);
    free(d->instance);
    free(d);
}

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
    uint64_t wanted = (window_end(d) + reuse - 1) / reuse + 2 * (uint64_t)d->rules.workers;
    uint64_t last = (d->total + reuse - 1) / reuse;
    return least(least(wanted, last), first_instance(d) + (uint64_t)d->n_instances);
}

/* The first free episode whose baseline is there; *ready_instances counts the different
 * instances, from there on, that could feed workers. */
static bool find_episode(cx_dispatch *d, uint64_t *episode, int *ready_instances) {
    uint64_t end = window_end(d), reuse = (uint64_t)d->rules.environment_reuse;
    while (d->first_free < end && episode_at(d, d->first_free)->state != SLOT_FREE)
        d->first_free++;
    bool found = false;
    *ready_instances = 0;
    uint64_t e = d->first_free;
    while (e < end && *ready_instances <= d->rules.workers) {
        uint64_t next = (e / reuse + 1) * reuse; /* the next instance's first episode */
        if (instance_at(d, e / reuse)->state == SLOT_DONE) {
            while (e < next && e < end && episode_at(d, e)->state != SLOT_FREE)
                e++;
            if (e < next && e < end) {
                if (!found)
                    *episode = e;
                found = true;
                (*ready_instances)++;
            }
        }
        e = next;
    }
    return found;
}

bool cx_dispatch_next_instance(const cx_dispatch *d, uint64_t *instance) {
    uint64_t end = instances_end(d);
    for (uint64_t i = first_instance(d); i < end; i++)
        if (instance_at(d, i)->state == SLOT_FREE) {
            *instance = i;
            return true;
        }
    return false;
}

static int baselines_running(const cx_dispatch *d) {
    int n = 0;
    for (int i = 0; i < d->n_instances; i++)
        n += d->instance[i].state == SLOT_RUNNING;
    return n;
}

static bool in_window(const cx_dispatch *d, uint64_t episode) {
    return episode >= d->base && episode < d->base + (uint64_t)d->n_episodes;
}

static bool instance_in_window(const cx_dispatch *d, uint64_t instance) {
    return instance >= first_instance(d) && instance < first_instance(d) + (uint64_t)d->n_instances;
}

static cx_job episode_job(const cx_dispatch *d, uint64_t e, int tries) {
    return (cx_job){CX_JOB_EPISODE, e, e / (uint64_t)d->rules.environment_reuse, tries};
}

/* Episodes before baselines: an update waits for them. */
static cx_job next_again(cx_dispatch *d) {
    d->again--;
    for (uint64_t e = d->base; e < d->base + (uint64_t)d->n_episodes; e++) {
        episode_slot *s = episode_at(d, e);
        if (s->again) {
            s->again = false;
            return episode_job(d, e, ++s->tries);
        }
    }
    for (uint64_t i = first_instance(d);; i++) {
        instance_slot *s = instance_at(d, i);
        if (s->again) {
            s->again = false;
            return (cx_job){CX_JOB_BASELINE, 0, i, ++s->tries};
        }
    }
}

bool cx_dispatch_wants(const cx_dispatch *d, const cx_job *job) {
    if (job->kind == CX_JOB_EPISODE)
        return in_window(d, job->episode) && episode_at(d, job->episode)->state == SLOT_RUNNING;
    return job->kind == CX_JOB_BASELINE && instance_in_window(d, job->instance) &&
           instance_at(d, job->instance)->state == SLOT_RUNNING;
}

int cx_dispatch_tries(const cx_dispatch *d, const cx_job *job) {
    if (!cx_dispatch_wants(d, job))
        return 0;
    return job->kind == CX_JOB_EPISODE ? episode_at(d, job->episode)->tries
                                       : instance_at(d, job->instance)->tries;
}

void cx_dispatch_again(cx_dispatch *d, const cx_job *job) {
    if (!cx_dispatch_wants(d, job))
        return;
    bool *again = job->kind == CX_JOB_EPISODE ? &episode_at(d, job->episode)->again
                                              : &instance_at(d, job->instance)->again;
    d->again += !*again;
    *again = true;
}

static void not_again(cx_dispatch *d, bool *again) {
    d->again -= *again;
    *again = false;
}

cx_job cx_dispatch_next(cx_dispatch *d) {
    if (d->again > 0)
        return next_again(d);
    cx_job job = {.kind = CX_JOB_NONE};
    int ready = 0;
    uint64_t episode = 0, instance = 0;
    bool have_episode = find_episode(d, &episode, &ready);
    bool have_instance = cx_dispatch_next_instance(d, &instance);
    /* as many ready or coming instances as workers, and one more, so that nobody waits */
    bool scarce = ready + baselines_running(d) <= d->rules.workers;
    if (have_instance && (!have_episode || scarce)) {
        job.kind = CX_JOB_BASELINE;
        job.instance = instance;
        instance_at(d, instance)->state = SLOT_RUNNING;
    } else if (have_episode) {
        job = episode_job(d, episode, 0);
        episode_at(d, episode)->state = SLOT_RUNNING;
        d->running++;
    }
    return job;
}

int cx_dispatch_baseline(cx_dispatch *d, uint64_t instance, const cx_baseline *baseline,
                         cx_error *err) {
    if (!instance_in_window(d, instance) || instance_at(d, instance)->state == SLOT_DONE)
        return cx_fail(err, CX_EFORMAT,
                       "a baseline came for task instance %llu, which nobody asked for",
                       (unsigned long long)instance);
    instance_slot *s = instance_at(d, instance);
    not_again(d, &s->again);
    s->state = SLOT_DONE;
    s->baseline = baseline;
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
    not_again(d, &s->again);
    s->state = SLOT_DONE;
    s->trajectory = t;
    d->running--;
    d->finished++;
    return CX_OK;
}

bool cx_dispatch_ready(const cx_dispatch *d) {
    uint64_t end = d->base + (uint64_t)d->rules.episodes_per_update;
    if (end > d->total || d->finished < d->rules.episodes_per_update)
        return false;
    for (uint64_t e = d->base; e < end; e++)
        if (episode_at(d, e)->state != SLOT_DONE)
            return false;
    return true;
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
    if (d->first_free < d->base)
        d->first_free = d->base;
    /* a baseline may be running even now: after a restart, when all its episodes are there */
    for (uint64_t i = old_first; i < first_instance(d); i++) {
        not_again(d, &instance_at(d, i)->again);
        memset(instance_at(d, i), 0, sizeof(instance_slot));
    }
}

void cx_dispatch_set_version(cx_dispatch *d, uint64_t version) {
    d->version = version;
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
