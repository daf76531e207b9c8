/* A trial: one inner training of an evaluation. What trains which task for how long, what
 * is measured, and what came of it. Flat structs: sent, hashed and stored as they are. */
#ifndef CX_POLICY_TRIAL_H
#define CX_POLICY_TRIAL_H

#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "policy/open_loop.h"
#include "tasks/task.h"

typedef enum {
    CX_TRAINER_RULE,   /* an update rule with constant hyperparameters, and a schedule of the lr */
    CX_TRAINER_POLICY, /* a policy, from the default start */
    CX_TRAINER_REPLAY, /* the learned optimizer's rule along a given trajectory */
    CX_TRAINER_COUNT
} cx_trainer;

/* What is measured besides the validation loss at the end. Sweeps measure nothing else:
 * what is chosen by validation has not seen the test split. */
enum { CX_MEASURE_SPLITS = 1 /* training and test split */, CX_MEASURE_CURVE = 2 };

#define CX_TRIAL_RULE_SIZE 16
#define CX_RULE_LEARNED "learned" /* the learned optimizer's rule, besides cx_rule_named's */

/* Unused members and bytes are zero. */
typedef struct {
    cx_task_spec spec;
    uint32_t trainer; /* cx_trainer */
    uint32_t measure;
    uint32_t sampled; /* POLICY: 1: choices are sampled, 0: the likeliest */
    /* RULE */
    uint32_t schedule;             /* cx_schedule */
    uint32_t skip;                 /* n > 1: only every n-th step is a step; 0: all are */
    uint32_t reserved;             /* 0 */
    char rule[CX_TRIAL_RULE_SIZE]; /* name */
    cx_hyper hyper;
    double length;   /* factor of the task's number of inner steps */
    double start_lr; /* POLICY: factor of the starting lr */
    uint64_t source; /* POLICY: hash of its weights; REPLAY: of the trajectory */
} cx_trial_job;

enum { CX_TRIAL_CURVE = 32 };
typedef enum { CX_PARAMS_AVERAGED, CX_PARAMS_NEWEST, CX_PARAMS_COUNT } cx_params;

typedef struct {
    uint64_t key; /* cx_trial_key of the job */
    uint32_t diverged;
    int32_t steps;  /* inner steps of the run, or until it diverged; skipped ones count */
    double optimum; /* loss below which nothing goes; not subtracted from any loss here */
    /* At the end; NAN where it was not measured, or diverged. */
    double loss[CX_PARAMS_COUNT][CX_SPLITS];
    double metric[CX_PARAMS_COUNT][CX_SPLITS][CX_TASK_METRICS];
    /* CPU seconds without evaluation, but with the validation losses that a policy reads; and
     * those of the training steps alone */
    double seconds, training_seconds;
    int32_t n_curve, has_taken;
    /* Evenly spaced points of progress in (0, 1]: training loss since the last point,
     * validation loss (of the first episode.outer_examples, averaged parameters). */
    double progress[CX_TRIAL_CURVE], train[CX_TRIAL_CURVE], valid[CX_TRIAL_CURVE];
    /* What follows is there (and in the file) only where has_taken: a policy's run, or a
     * replay. Over progress, as cx_open_loop. */
    cx_open_loop taken;
    float update[CX_OPEN_LOOP_POINTS];            /* mean ||update|| / ||params||; NAN: none */
    unsigned char registers[CX_OPEN_LOOP_POINTS]; /* cx_register_op; the gravest of a point */
} cx_trial_result;

/* Bytes of a result that are stored: all, or up to `taken`. */
size_t cx_trial_result_size(const cx_trial_result *result);
/* Whether bytes that were read are a result of this version: sizes and counts. */
bool cx_trial_result_ok(const void *data, size_t size);

/* The key of a trial's result: a hash of everything that its numbers depend on (but the
 * machine): task, data, seed, trainer, length, and the configuration's parts that act on it.
 * Goes another way with CX_TRIAL_VERSION, which is raised when a trial comes to mean
 * something else. */
#define CX_TRIAL_VERSION 1
uint64_t cx_trial_key(const cx_config *config, const cx_trial_job *job);
/* CX_EUSAGE, CX_EFORMAT: a job that no worker could do. */
int cx_trial_check(const cx_trial_job *job, cx_error *err);
/* Inner steps of a job's run. */
int cx_trial_steps(const cx_config *config, const cx_trial_job *job);

/* Seed number s of a task: s = 0 is its own; others are a hash of it and s. */
void cx_trial_seed(cx_task_spec *spec, int s);

#endif
