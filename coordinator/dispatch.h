/* Which job goes to whom. A state machine without messages or time, so that it can be
 * tested alone.
 *
 * Episodes are numbered; episode e runs on task instance e / environment_reuse, and
 * update u consumes exactly the episodes [u B, (u + 1) B), B = episodes_per_update. An
 * episode may be dispatched while e < (version + max_staleness) B and its instance's
 * baseline is there. So the learner is never more than max_staleness - 1 versions
 * ahead of a policy that acted, no episode is thrown away, and long ones count as much
 * as short ones. Synchronous mode is max_staleness = 1: every episode of an update is
 * run by the version before it, whatever the number of ranks. Baselines do not depend
 * on the policy; they are made far ahead.
 *
 * An update waits for its longest episode, and that one for its baseline, which takes
 * many times as long. So of all jobs that may start the most urgent one does: that which has
 * to begin first in order to be done when its update is due. Updates are due at
 * equal distances, as long as all workers need for one update's jobs; a job takes what its
 * task costs, doubled because that is a guess.
 *
 * The sweep of a short task is one job; that of a long one a job for each of its runs, which may
 * begin as policy/sweep.h says. */
#ifndef CX_COORDINATOR_DISPATCH_H
#define CX_COORDINATOR_DISPATCH_H

#include "policy/sweep.h"
#include "ppo/trajectory.h"
#include <stdbool.h>

typedef enum {
    CX_JOB_NONE,
    CX_JOB_EPISODE,
    CX_JOB_BASELINE,
    CX_JOB_GRADIENT,
    CX_JOB_KINDS
} cx_job_kind;

typedef struct {
    cx_job_kind kind;
    uint64_t episode; /* EPISODE; GRADIENT, which the dispatch knows nothing of: a shard's number */
    uint64_t instance; /* both */
    int run;           /* BASELINE: 0, the whole sweep; or 1 + the number of a run of it */
    int tries;         /* how often it was handed out before */
} cx_job;

typedef struct cx_dispatch cx_dispatch;

typedef struct {
    int episodes_per_update, environment_reuse, max_staleness, updates;
    int workers;
    /* What an episode of an instance costs, in any unit, > 0. NULL: all the same. */
    double (*cost)(const void *context, uint64_t instance);
    const void *cost_context;
    double sweep; /* cost of a baseline, in episodes of its instance */
    /* Sweeps of instances that cost more than that are handed out run by run; NULL: none. */
    const cx_config *split;
    double split_above;
} cx_dispatch_rules;

/* Starts at `version`: everything before version * B is consumed. */
int cx_dispatch_create(const cx_dispatch_rules *rules, uint64_t version, cx_dispatch **out,
                       cx_error *err);
void cx_dispatch_destroy(cx_dispatch *d); /* and the trajectories it holds */

/* The next job, marked as running; NONE when nothing may start now. Those that are to be
 * done again come first. */
cx_job cx_dispatch_next(cx_dispatch *d);
/* A running job whose answer may not come: it will be handed out once more. Whichever
 * answer comes first counts; of a job that is not wanted any more nothing is done. */
void cx_dispatch_again(cx_dispatch *d, const cx_job *job);
/* Is an answer to this job still waited for? */
bool cx_dispatch_wants(const cx_dispatch *d, const cx_job *job);
/* How often a job that is wanted was handed out again. */
int cx_dispatch_tries(const cx_dispatch *d, const cx_job *job);
/* The run that a wanted job with `run` > 0 is. */
cx_sweep_run cx_dispatch_run(const cx_dispatch *d, const cx_job *job);
/* A wanted run is done. *done (owned by the dispatch, until the next call for this instance):
 * its sweep, when that was the last one, or NULL; cx_dispatch_baseline is to follow. */
void cx_dispatch_run_done(cx_dispatch *d, const cx_job *job, const cx_sweep_outcome *outcome,
                          const cx_sweep **done);
/* The slot of a baseline that is known or done; the dispatch keeps the pointer, which
 * must stay valid. CX_EFORMAT for an instance that is not waited for. */
int cx_dispatch_baseline(cx_dispatch *d, uint64_t instance, const cx_baseline *baseline,
                         cx_error *err);
/* Baseline of an instance within the window, NULL before it is done. */
const cx_baseline *cx_dispatch_find_baseline(const cx_dispatch *d, uint64_t instance);

/* A finished episode, its trajectory complete (taken in any case). CX_EFORMAT for one
 * that is not waited for. */
int cx_dispatch_finished(cx_dispatch *d, uint64_t episode, cx_trajectory *t, cx_error *err);
/* True when all episodes of the next update are finished. */
bool cx_dispatch_ready(cx_dispatch *d);
/* Takes the finished episodes of the next update in order (the caller owns them) and
 * moves on: list has room for episodes_per_update. */
void cx_dispatch_take(cx_dispatch *d, cx_trajectory **list);
/* The learner has made one more version: the window moves. */
void cx_dispatch_set_version(cx_dispatch *d, uint64_t version);

/* For checkpoints: finished episodes that are not consumed yet. Calls `each` in order. */
int cx_dispatch_each_finished(const cx_dispatch *d,
                              int (*each)(void *, const cx_trajectory *, cx_error *), void *context,
                              cx_error *err);
/* Puts a finished episode of a checkpoint back (takes it). */
int cx_dispatch_restore(cx_dispatch *d, cx_trajectory *t, cx_error *err);

int cx_dispatch_running(const cx_dispatch *d); /* episodes at workers */
int cx_dispatch_finished_count(const cx_dispatch *d);

#endif
