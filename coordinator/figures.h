/* What follows from an evaluation's trials: figures per task and contestant, per task, and
 * over groups of tasks. Speedups are in steps, over the suite's baseline, on the test
 * split; logarithms are natural. Losses are excesses over the task's optimum. What has
 * no value is NAN. */
#ifndef CX_COORDINATOR_FIGURES_H
#define CX_COORDINATOR_FIGURES_H

#include "coordinator/suite.h"
#include "report/speedup.h"

#define CX_WARNING_SAME_SPLITS "test and validation split seem to be the same data"

/* A contestant on a task. Intervals are bootstraps over the seeds whose runs (both, where two
 * are compared) did not diverge. */
typedef struct {
    bool present;
    int seeds, diverged;
    cx_interval loss[CX_SPLITS], metric[CX_SPLITS]; /* the family's first metric */
    double seconds_per_step, training_per_step;     /* median over seeds */
    double reached[CX_SUITE_SEEDS]; /* speedup by seed; -INFINITY, INFINITY: outside the lengths */
    double logs[CX_SUITE_SEEDS];    /* its logarithm, cut at the lengths' ends */
    cx_speedup speedup;
    double log_time;            /* of the baseline's seconds per step over its own */
    cx_interval difference;     /* of test losses, to the baseline's, paired by seed */
    cx_interval log_ratio;      /* of the same */
    double won;                 /* share of seeds with less test loss than the baseline; ties 1/2 */
    cx_interval gap;            /* test minus validation loss; NAN where there is one split */
    cx_interval gap_difference; /* to the baseline's, paired by seed */
} cx_entrant_figures;

typedef struct {
    bool complete;
    bool same_splits; /* test and validation losses are equal in every run: the same data */
    cx_entrant_figures entrant[CX_CONTESTANTS_MAX];
    /* Logarithm of the policy's speedup minus that of the open-loop and of the static
     * control, paired by seed: what adapting, and what learning at all, is worth. */
    cx_interval adapting, over_static;
    /* Random trials whose best, by validation loss, is expected to be as good as the policy's
     * one run (test loss, seed 0); 0: none of up to `trials`. */
    int trials, worth;
    double expected[CX_SUITE_TRIALS];    /* test loss of the best of 1, 2, ... */
    double tuning_steps, tuning_seconds; /* of the baseline's tuning, over one run of the policy */
} cx_task_figures;

enum { CX_PROFILE_POINTS = 25 }; /* 1/2 .. 4, evenly spaced in logarithms */
double cx_profile_at(int i);

/* A statistic of logarithms of speedups over tasks, and how it is cut. */
typedef struct {
    cx_interval log;
    cx_bound bound;
} cx_bounded;

typedef struct {
    int tasks;                           /* on which it takes part */
    cx_bounded mean, median, iqm, worst; /* over tasks; bootstrap over tasks and seeds */
    int worst_task;
    cx_interval time_median; /* of speedups in wall time */
    cx_interval log_ratio;   /* of test losses to the baseline's; mean */
    cx_interval won;         /* share of tasks with less mean test loss; Wilson's interval */
    cx_interval profile[CX_PROFILE_POINTS]; /* share of tasks with that speedup or more */
} cx_contestant_figures;

typedef struct {
    char name[64];
    int tasks; /* complete ones */
    cx_contestant_figures contestant[CX_CONTESTANTS_MAX];
    cx_interval adapting, over_static;  /* means over tasks */
    cx_interval gap_difference;         /* mean over tasks, of gaps relative to the test loss */
    double worth_median, tuning_median; /* worth: trials + 1 stands for more */
    bool worth_is_bound;                /* the median is "more than all trials" */
} cx_group_figures;

enum { CX_GROUPS_MAX = 48 };
typedef struct {
    int n_tasks;
    cx_task_figures *task; /* in the suite's order */
    int n_groups;          /* 0: all tasks; families; entries; numbers of outer steps */
    cx_group_figures group[CX_GROUPS_MAX];
} cx_figures;

/* The part of cx_figures_create that is about groups. */
int cx_figures_groups(const cx_suite *suite, cx_figures *f, cx_error *err);
/* CX_ENOMEM. Tasks that are not complete have no figures and are in no group. */
int cx_figures_create(const cx_suite *suite, cx_figures **out, cx_error *err);
void cx_figures_destroy(cx_figures *f);

#endif
