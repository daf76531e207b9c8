/* A suite: the tasks of an evaluation, who is compared on them, and the plan of the trials
 * that this takes (lhopt, section "evaluation"). */
#ifndef CX_COORDINATOR_SUITE_H
#define CX_COORDINATOR_SUITE_H

#include "policy/trial.h"

enum {
    CX_SUITE_SEEDS = 32,   /* as evaluation.seeds */
    CX_SUITE_TRIALS = 256, /* as evaluation.trials */
    CX_SUITE_LENGTHS = 4,
    CX_CONTESTANTS_MAX = 24
};
extern const double cx_suite_lengths[CX_SUITE_LENGTHS]; /* 1/2, 1, 2, 4 */
enum { CX_SUITE_LENGTH_ONE = 1 };                       /* index of the length 1 */

/* X(enum, id, name). A START stands once per factor of evaluation.start_lr but 1. */
#define CX_CONTESTANT_TABLE(X)                                                                     \
    X(CX_CONTESTANT_POLICY, "policy", "policy, likeliest")                                         \
    X(CX_CONTESTANT_SAMPLED, "policy_sampled", "policy, sampled")                                  \
    X(CX_CONTESTANT_START, "policy_start", "policy, started at lr")                                \
    X(CX_CONTESTANT_BASELINE, "baseline", "AdamW, tuned")                                          \
    X(CX_CONTESTANT_STATIC, "static", "static control")                                            \
    X(CX_CONTESTANT_OPEN_LOOP, "open_loop", "open loop, best of them")                             \
    X(CX_CONTESTANT_REPLAY, "replay", "replay of the mean")                                        \
    X(CX_CONTESTANT_REPLAY_FAMILY, "replay_family", "replay, per family")                          \
    X(CX_CONTESTANT_REPLAY_STEPS, "replay_steps", "replay, lr by N")                               \
    X(CX_CONTESTANT_REPLAY_BOTH, "replay_family_steps", "replay, family, lr by N")                 \
    X(CX_CONTESTANT_SGD, "sgd", "SGD, Nesterov, cosine")                                           \
    X(CX_CONTESTANT_SEARCH, "random_search", "AdamW, random search")

typedef enum {
#define X(code, id, name) code,
    CX_CONTESTANT_TABLE(X)
#undef X
        CX_CONTESTANT_KINDS
} cx_contestant_kind;

/* A contestant of the suite. */
typedef struct {
    cx_contestant_kind kind;
    char id[32], name[64]; /* ids are unique: keys of the results */
    double start_lr;       /* START */
} cx_contestant;

/* A contestant on one task. */
typedef struct {
    bool present;            /* a suite of one task has no replays */
    bool complete;           /* all of its trials are there */
    bool replay_made;        /* `replay` and `present` are decided */
    cx_params params;        /* which parameters count: chosen by validation loss, or averaged */
    cx_trial_job job;        /* on the task's own seed, at length 1 */
    cx_open_loop *replay;    /* of replays */
    double exponent;         /* of lr over N, of replays that are scaled by it */
    const cx_contestant *as; /* OPEN_LOOP: which of the replays it is */
    int tuning_trials;       /* what choosing `job` took, on seed 0 */
    double tuning_steps, tuning_seconds;
    const cx_trial_result *run[CX_SUITE_SEEDS]; /* by seed; NULL: not there (yet) */
} cx_entrant;

typedef struct {
    cx_task_spec spec; /* of seed 0 */
    int outer_steps, inner_steps;
    bool complete;
    cx_entrant entrant[CX_CONTESTANTS_MAX]; /* in the order of the suite's contestants */
    /* the baseline at every length: [..][seed] */
    const cx_trial_result *length[CX_SUITE_LENGTHS][CX_SUITE_SEEDS];
    const cx_trial_result *trial[CX_SUITE_TRIALS]; /* of the random search, seed 0 */
} cx_suite_task;

/* A named optimizer in the place of the policy, or of the tuned baseline. */
typedef struct {
    bool given;
    cx_trial_job job; /* without a task */
} cx_fixed_optimizer;

typedef struct {
    const cx_config *config; /* tasks, evaluation.* */
    uint64_t first_instance; /* task instances from here on */
    uint64_t policy_hash;    /* of the policy's weights */
    cx_fixed_optimizer contestant, baseline;
} cx_suite_options;

typedef struct {
    cx_suite_options o;
    int seeds;
    int n_contestants;
    cx_contestant contestant[CX_CONTESTANTS_MAX];
    int n_tasks;
    cx_suite_task *task;
} cx_suite;

int cx_suite_create(const cx_suite_options *options, cx_suite **out, cx_error *err);
void cx_suite_destroy(cx_suite *suite);
int cx_suite_find(const cx_suite *suite, cx_contestant_kind kind); /* first of a kind; -1: none */

/* Where results are found, and where it is heard which are wanted. `replay` is valid as
 * long as the suite; NULL where the job has none. */
typedef struct {
    const cx_trial_result *(*find)(void *context, uint64_t key);
    void (*want)(void *context, uint64_t key, const cx_trial_job *job, const cx_open_loop *replay);
    void *context;
} cx_plan_io;

/* Asks for every trial that can be asked for with the results that there are, and fills
 * in what is known. To be called again when more results are there, until it returns
 * true: nothing is missing. Calling it twice changes nothing and asks for the same.
 * Stages that depend on earlier ones (edges of a sweep, weight decay at its best, replays of
 * other tasks' runs) follow from that, without being named. */
bool cx_suite_plan(cx_suite *suite, const cx_plan_io *io);

/* RULE:LR[:SCHEDULE][:skip=N]. CX_EUSAGE. */
int cx_fixed_optimizer_parse(const char *text, cx_fixed_optimizer *out, cx_error *err);
/* "adamw lr 0.003 cosine, weight decay 0.01": how a rule's job trains, for people. */
void cx_trial_describe(const cx_trial_job *job, char *out, size_t size);

#endif
