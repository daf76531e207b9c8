/* Which runs the Adam sweep of a task instance consists of, and what comes out of it (lhopt,
 * section "reward"): the learning rates of the configuration's grid; half decades beyond an
 * edge, as long as the best is there; and, for the envelope, the best and the next lower one
 * continued to length_factor * N steps. A state machine without any training: runs are asked
 * for as their predecessors' ends allow, may be done in any order and anywhere, and the baseline
 * is the same bit by bit. */
#ifndef CX_POLICY_SWEEP_H
#define CX_POLICY_SWEEP_H

#include "policy/reward.h"
#include <stdbool.h>

/* Two of them are continued. */
#define CX_SWEEP_RUNS_MAX (CX_BASELINE_RUNS_MAX + 2)

/* One run, from the task's initial weights. */
typedef struct {
    double lr;
    uint32_t number;    /* in the order in which they were asked for */
    uint32_t beyond;    /* 1: to length_factor * N steps, not to N */
    uint32_t continues; /* beyond: the run to N of the same learning rate */
    uint32_t reserved;
} cx_sweep_run;

typedef struct {
    double initial_loss; /* of run 0; others need not say it */
    double final_loss;   /* after N steps, less the task's optimum; +INFINITY: diverged */
    double seconds;
    cx_curve curve; /* at and between the first point and the end, diverged or not */
} cx_sweep_outcome;

typedef struct cx_sweep cx_sweep;

int cx_sweep_create(const cx_config *config, cx_sweep **out, cx_error *err);
void cx_sweep_destroy(cx_sweep *s);
/* The next run that may begin; false: none before others have ended, or none at all. */
bool cx_sweep_next(cx_sweep *s, cx_sweep_run *run);
/* Would cx_sweep_next give one? */
bool cx_sweep_has_next(const cx_sweep *s);
/* A run that was asked for. */
cx_sweep_run cx_sweep_get(const cx_sweep *s, uint32_t number);
/* Is the outcome of this run waited for? */
bool cx_sweep_wants(const cx_sweep *s, uint32_t number);
/* What a wanted run has come to. */
void cx_sweep_answer(cx_sweep *s, uint32_t number, const cx_sweep_outcome *outcome);
const cx_sweep_outcome *cx_sweep_outcome_of(const cx_sweep *s, uint32_t number);
/* All is answered, and nothing more to be run. */
bool cx_sweep_done(const cx_sweep *s);
/* Of a sweep that is done; steps: N. */
void cx_sweep_baseline(const cx_sweep *s, uint64_t task_hash, int steps, cx_baseline *out);

/* About what a sweep costs, in episodes of the same task: by the grid, for few sweeps go
 * beyond it (111 runs of 1,000 in 2,720 sweeps of configs/desk.yaml). One in which each run is
 * a job of its own runs what is continued from the beginning. */
double cx_sweep_cost(const cx_config *config, bool apart);
/* The same of a single run. */
double cx_sweep_run_cost(const cx_config *config, const cx_sweep_run *run);
/* How long a sweep takes with a worker for each of its runs, in the same unit. */
double cx_sweep_critical(const cx_config *config);

#endif
