/* The coordinator's state, shared by its source files and nobody else. */
#ifndef CX_COORDINATOR_INTERNAL_H
#define CX_COORDINATOR_INTERNAL_H

#include "coordinator/coordinator.h"
#include "coordinator/crew.h"
#include "coordinator/dispatch.h"
#include "coordinator/progress.h"
#include "policy/observation.h"
#include "wire/message.h"

typedef struct {
    uint64_t version;                 /* newest weights that were sent */
    cx_worker_time time, time_before; /* newest report; that at the last metrics line */
} worker_state;

/* A baseline that the run's cache does not hold yet stands in the cache afterwards;
 * pointers into the cache stay valid while it is open (store.h). */
typedef struct {
    const cx_coordinator_options *o;
    const cx_config *config;
    cx_transport *transport;
    cx_run_dir dir;
    cx_run_counters counters;
    cx_heads heads;
    cx_learner *learner;
    float *published; /* the newest version's policy, as workers get it */
    cx_dispatch *dispatch;
    cx_crew *crew;
    cx_baseline_cache *cache;
    int n_workers; /* workers are ranks 1 .. n_workers */
    worker_state *worker;
    uint64_t config_hash;
    bool learning;
    bool restored; /* from a checkpoint */
    bool told;     /* by a worker, that a signal asked for a stop */
    cx_progress progress;
    double cpu_before, started, last_said, last_checkpoint, last_update;
    double update_began, longest_update, longest_save; /* seconds of wall time, the last two */
    uint64_t checkpoint_version, checkpoint_episodes, episodes_at_update;
    cx_update_stats stats; /* of the last update */
    double last_reward, busy, learner_seconds;
    double longest_slice; /* seconds, of the learner */
} coordinator;

/* Whether a finished episode is one of this run: its task is the one that its number stands
 * for, and its reward is a number. */
bool cx_coordinator_result_fits(const coordinator *c, const cx_episode_result *r);
/* assign.c: fills the workers' queues. */
int cx_coordinator_assign(coordinator *c, bool *did, cx_error *err);
/* A job is done: whoever else holds it may leave it. */
int cx_coordinator_drop(coordinator *c, const cx_job *job, cx_error *err);
void cx_coordinator_again(void *coordinator, const cx_job *job); /* a cx_watch_again */

/* checkpoint.c */
int cx_coordinator_save(coordinator *c, cx_error *err);
/* Newest whole checkpoint into learner and dispatch; none: a fresh run. */
int cx_coordinator_restore(coordinator *c, cx_error *err);
/* policy.safetensors, replaced atomically. */
int cx_coordinator_write_policy(coordinator *c, cx_error *err);
int cx_coordinator_make_dispatch(coordinator *c, uint64_t version, cx_error *err);
double cx_coordinator_seconds(const coordinator *c);

#endif
