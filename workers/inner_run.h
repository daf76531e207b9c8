/* One inner training: a task, its parameters and their average, and an optimizer.
 * Episodes, baselines and controls are all made of it. */
#ifndef CX_WORKERS_INNER_RUN_H
#define CX_WORKERS_INNER_RUN_H

#include "optim/optimizer.h"
#include "tasks/task.h"

typedef struct {
    const cx_config *config;
    cx_task *task; /* not owned */
    cx_optimizer *optimizer;
    float *block;         /* [state_count] */
    float *grads;         /* [param_count] */
    float *average;       /* [state_count] exponential average of block; what is evaluated */
    float *previous;      /* [param_count] parameters when they were marked; NULL: not marked yet */
    int steps_done;       /* inner steps counted for the average and the batches */
    double train_loss;    /* mean over the steps of the last advance; NAN when it diverged */
    double gradient_norm; /* of the last step, before clipping */
} cx_inner_run;

/* Asked now and then amid a long job; true: the job is to end with CX_ESTOPPED. */
typedef struct {
    bool (*asked)(void *context);
    void *context;
} cx_interrupt;

/* The task's initial weights are in the block at once. */
int cx_inner_run_create(const cx_config *config, cx_task *task, const cx_rule_config *rule,
                        cx_inner_run **out, cx_error *err);
void cx_inner_run_destroy(cx_inner_run *run);
/* Back to the initial weights and an empty optimizer. */
void cx_inner_run_restart(cx_inner_run *run);
/* `steps` training steps. False when a loss or a gradient norm was not finite: the
 * run stands before that step then, and train_loss is NAN. */
bool cx_inner_run_advance(cx_inner_run *run, int steps);
/* Loss on a split, of the averaged or of the newest parameters. */
double cx_inner_run_evaluate(cx_inner_run *run, cx_split split, int examples, bool averaged,
                             double *metric);
/* ||params||, and ||params - previous|| (NAN before the first mark), both over the trainable
 * part. */
double cx_inner_run_norm(const cx_inner_run *run);
double cx_inner_run_update_norm(const cx_inner_run *run);
/* previous <- params. CX_ENOMEM, the first time only: runs that nobody asks for updates
 * do without. */
int cx_inner_run_mark(cx_inner_run *run, cx_error *err);

/* A saved state of a run: what a register holds, or what a sweep continues from. */
typedef struct {
    bool full;
    double valid_loss, progress; /* of a register, when it was saved */
    int steps_done;
    float *block, *average;
    void *optimizer;
} cx_snapshot;
int cx_snapshot_create(const cx_inner_run *run, cx_snapshot *s, cx_error *err); /* empty */
void cx_snapshot_destroy(cx_snapshot *s);
void cx_snapshot_save(cx_snapshot *s, const cx_inner_run *run);
/* with_steps: the step counter too (a sweep); a register's rolled back steps count. */
void cx_snapshot_load(const cx_snapshot *s, cx_inner_run *run, bool with_steps);
/* Exchanges the run's state and the snapshot's, by pointers. */
void cx_snapshot_swap(cx_snapshot *s, cx_inner_run *run);

#endif
