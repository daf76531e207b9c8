/* An episode: a whole inner training with the policy acting before each outer step. */
#ifndef CX_WORKERS_EPISODE_H
#define CX_WORKERS_EPISODE_H

#include "policy/network.h"
#include "policy/observation.h"
#include "policy/open_loop.h"
#include "ppo/trajectory.h"
#include "tasks/task.h"
#include "wire/message.h"
#include "workers/inner_run.h"

typedef struct {
    uint64_t episode, instance, version;
    cx_task_spec spec;
    const cx_baseline *baseline;
    cx_acting acting;
    const cx_open_loop *replay; /* for acting REPLAY */
    bool default_start;         /* no noise on the starting hyperparameters */
    double start_lr;            /* factor of the starting lr; 0: 1 */
    bool test;                  /* also evaluate the test split at the end, for reports */
    int test_examples;          /* the first so many; 0: all of it */
} cx_episode_job;

/* What only evaluations want to know besides the result. */
typedef struct {
    /* at the end, by split, as cx_control_result's; NAN where the job wants no test */
    double loss[CX_SPLITS], metric[CX_SPLITS][CX_TASK_METRICS];
    double optimum;
    cx_open_loop taken; /* hyperparameters that were used, over progress */
    /* CPU seconds of what the policy's optimizer needs: training steps, the validation losses
     * between them, observing and deciding; and of the training steps alone. Of all
     * evaluations of the validation split, those at the end, too; of observing and deciding */
    double seconds, training_seconds, evaluation_seconds, policy_seconds;
} cx_episode_extra;

/* Called with each finished stretch of outer steps [first, first + n). */
typedef int (*cx_piece_function)(void *context, const cx_trajectory *t, int first, int n,
                                 cx_error *err);
/* Called after each outer step, for people who watch (`coxswain run`). */
typedef struct {
    int outer_step;
    const cx_run_state *state; /* what was seen before it */
    const float *obs;          /* as the networks saw it, cx_privileged_size numbers */
    const cx_heads *heads;
    const float *logits;       /* zeros where nothing but chance or a rule chose */
    const unsigned char *mask; /* 0: not allowed */
    const int *choice;
    const cx_hyper *hyper; /* after the choice */
    double train_loss, valid_loss;
    const double *features; /* CX_FEATURE_COUNT, of this outer step */
} cx_outer_step_view;
typedef void (*cx_watch_function)(void *context, const cx_outer_step_view *view);

typedef struct cx_episode_runner cx_episode_runner;
/* config and store must outlive the runner. */
int cx_episode_runner_create(const cx_config *config, const cx_data_store *store,
                             cx_episode_runner **out, cx_error *err);
void cx_episode_runner_destroy(cx_episode_runner *r);
const cx_net *cx_episode_runner_net(const cx_episode_runner *r);
void cx_episode_runner_watch(cx_episode_runner *r, cx_watch_function watch, void *context);
/* Asked after each outer step; cx_episode_run then ends with CX_ESTOPPED. */
void cx_episode_runner_interrupt(cx_episode_runner *r, cx_interrupt interrupt);
/* Asks it: for other long work on the runner's tasks. */
bool cx_episode_runner_interrupted(const cx_episode_runner *r);
/* Seconds spent in the policy (observation, network, choice) since creation. */
double cx_episode_runner_policy_seconds(const cx_episode_runner *r);

/* A built task for spec; the newest few are kept. Owned by the runner. */
int cx_episode_runner_task(cx_episode_runner *r, const cx_task_spec *spec, cx_task **task,
                           cx_error *err);
/* The inner run that the newest episode of this task has left; NULL: none is kept. */
cx_inner_run *cx_episode_runner_inner(cx_episode_runner *r, const cx_task_spec *spec);
/* Runs one episode. policy: block of the acting policy (NULL where acting needs
 * none). piece and extra may be NULL. Divergence is a result, not an error. */
int cx_episode_run(cx_episode_runner *r, const cx_episode_job *job, const float *policy,
                   cx_piece_function piece, void *context, cx_episode_result *result,
                   cx_episode_extra *extra, cx_error *err);

#endif
