/* Inner trainings without a policy: a named rule with constant hyperparameters and a
 * learning-rate schedule; and the sweeps that a policy's run is compared with. */
#ifndef CX_WORKERS_CONTROL_H
#define CX_WORKERS_CONTROL_H

#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "tasks/task.h"

typedef struct {
    /* of the averaged parameters at the end, by split (cx_split); NAN: diverged. Of the
     * training and validation splits the first episode.final_examples, all of the test
     * split. */
    double loss[CX_SPLITS], metric[CX_SPLITS][CX_TASK_METRICS];
    double seconds; /* those of earlier processes included, where the run was interrupted */
    bool diverged;
} cx_control_result;

/* Called at about `views` evenly spaced points of a run, the last step included. */
typedef void (*cx_control_view)(void *context, int step, double lr, double train_loss,
                                double valid_loss);

/* What a run leaves on disk, and how it is told to stop. All NULL and 0: nothing. */
typedef struct {
    /* The state is kept in this file: written at once (or, where it is there, gone on from;
     * CX_ECONFIG when it is of another run), then after every `every` seconds (0: not),
     * when a stop is asked for, and after the last step. A run that was interrupted ends
     * with the same bits as one that was not. FILE.lock is held meanwhile, and stays. */
    const char *checkpoint;
    double every;
    const char *save; /* the averaged parameters at the end, as safetensors; not if diverged */
    const char *name; /* of the rule, for the file's text and messages */
    /* Asked after each step; true: the run ends with CX_ESTOPPED. */
    bool (*should_stop)(void *context);
    void (*say)(void *context, const char *text);
    void *context;
} cx_control_keep;

/* `steps` inner steps with lr * schedule(progress). */
typedef struct {
    const cx_config *config;
    cx_task *task;
    const cx_rule_config *rule;
    const cx_hyper *hyper;
    cx_schedule schedule;
    int steps;
    cx_control_view view; /* NULL: none */
    void *view_context;
    int views;
    cx_control_keep keep;
} cx_control_plan;
int cx_control_run(const cx_control_plan *plan, cx_control_result *out, cx_error *err);

/* The best of a bracketed lr sweep x schedules, chosen by validation loss. */
typedef struct {
    double lr;
    cx_schedule schedule;
    cx_control_result result;
    int runs; /* trainings that it took */
} cx_control_best;
int cx_control_tune(const cx_config *config, cx_task *task, const cx_rule_config *rule,
                    const cx_hyper *hyper, const cx_schedule *schedules, int n_schedules, int steps,
                    cx_control_best *out, cx_error *err);

#endif
