/* Mean rewards of a policy on fresh tasks of a distribution, spread over the workers:
 * policy (sampled, likeliest), random actions, no change, and the open-loop replays
 * (lhopt, section "evaluation"). Rewards are computed from *test* losses, against Adam
 * sweeps that are chosen and measured on the test split, too (which favors Adam a
 * little); the runs themselves see the validation split only, as ever. All see the same task
 * instances, the same initial weights and batches, and the same start noise. */
#ifndef CX_COORDINATOR_REWARDS_H
#define CX_COORDINATOR_REWARDS_H

#include "coordinator/farm.h"

/* Who chooses. All start with the training's noise on the hyperparameters but the default
 * start, which is how a policy is used, and the replays, which set their own. The replays
 * are made from the likeliest-choice runs (with noise) of the *other* half of the tasks.
 * X(enum, name, acting) */
#define CX_CHOOSER_TABLE(X)                                                                        \
    X(CX_BY_LIKELIEST, "policy, likeliest", CX_ACT_LIKELIEST)                                      \
    X(CX_BY_DEFAULT, "policy, default start", CX_ACT_LIKELIEST)                                    \
    X(CX_BY_SAMPLE, "policy, sampled", CX_ACT_SAMPLE)                                              \
    X(CX_BY_RANDOM, "random actions", CX_ACT_RANDOM)                                               \
    X(CX_BY_NEUTRAL, "no change", CX_ACT_NEUTRAL)                                                  \
    X(CX_BY_REPLAY, "replay of the mean", CX_ACT_REPLAY)                                           \
    X(CX_BY_REPLAY_FAMILY, "replay, per family", CX_ACT_REPLAY)                                    \
    X(CX_BY_REPLAY_STEPS, "replay, lr by N", CX_ACT_REPLAY)                                        \
    X(CX_BY_REPLAY_BOTH, "replay, per family, lr by N", CX_ACT_REPLAY)

typedef enum {
#define X(code, name, acting) code,
    CX_CHOOSER_TABLE(X)
#undef X
        CX_CHOOSER_COUNT
} cx_chooser;
const char *cx_chooser_name(cx_chooser c);

typedef struct {
    cx_task_spec spec;
    int outer_steps, inner_steps;
    cx_baseline baseline;
    double reward[CX_CHOOSER_COUNT]; /* clipped; reward.floor where the run diverged */
    double test_loss[CX_CHOOSER_COUNT], valid_loss[CX_CHOOSER_COUNT];
    bool taken_whole;   /* the likeliest choice's run did not diverge */
    cx_open_loop taken; /* by the likeliest choice */
} cx_rewarded_task;

typedef struct {
    const cx_config *config; /* its seed draws the tasks */
    uint64_t first_instance; /* task instances first_instance, +1, ... */
    int n_tasks;
    const float *policy; /* cx_net block */
    size_t policy_count;
    cx_farm_options farm;
    void (*say)(void *context, bool live, const char *line);
    void *say_context;
} cx_rewards_options;

/* tasks[n_tasks] is filled. exponent[2]: of lr over N, as fitted on either half. */
int cx_rewards_measure(const cx_rewards_options *options, cx_rewarded_task *tasks,
                       double exponent[2], cx_error *err);

#endif
