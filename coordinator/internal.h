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
    uint64_t serial[CX_LEARNED_NETS]; /* learner ranks: weights that they have; 0: none */
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
    int n_workers;        /* workers are ranks 1 .. n_workers; learner ranks those after them */
    worker_state *worker; /* of these, too */
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

/* learn.c: a little of an update, where there is one to be made. */
int cx_coordinator_learn(coordinator *c, bool *did, cx_error *err);
/* A learner rank's answer. */
int cx_coordinator_graded(coordinator *c, int rank, const cx_msg_graded *m, const void *extra,
                          cx_error *err);
/* What workers get: the learner's own weights change in the middle of an update. */
void cx_coordinator_publish(coordinator *c);
/* Since the last call. */
cx_run_rates cx_coordinator_rates(coordinator *c);

/* checkpoint.c */
int cx_coordinator_save(coordinator *c, cx_error *err);
/* Newest whole checkpoint into learner and dispatch; none: a fresh run. */
int cx_coordinator_restore(coordinator *c, cx_error *err);
/* policy.safetensors, replaced atomically. */
int cx_coordinator_write_policy(coordinator *c, cx_error *err);
int cx_coordinator_make_dispatch(coordinator *c, uint64_t version, cx_error *err);
double cx_coordinator_seconds(const coordinator *c);

#endif
