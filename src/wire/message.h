/* The messages between coordinator (rank 0) and workers. Each is a header, then a
 * body of the struct named here, then bytes as said. All numbers little-endian, as
 * the machines of one job are alike. */
#ifndef CX_WIRE_MESSAGE_H
#define CX_WIRE_MESSAGE_H

#include "policy/open_loop.h"
#include "policy/sweep.h"
#include "policy/trial.h"
#include "ppo/shard.h"
#include "ppo/trajectory.h"
#include "wire/transport.h"

#define CX_WIRE_VERSION 4
#define CX_MESSAGE_MAX 0x7fffffff /* bytes of a whole message: MPI counts with an int */

#define CX_MESSAGE_TABLE(X)                                                                        \
    X(CX_MSG_HELLO)      /* both ways: cx_msg_hello; w -> c once, first; c -> w at times */        \
    X(CX_MSG_READY)      /* w -> c: may be given jobs; no body */                                  \
    X(CX_MSG_EPISODE)    /* c -> w: cx_msg_episode, then weights (n_weights floats) */             \
    X(CX_MSG_BASELINE)   /* c -> w: cx_msg_baseline_job */                                         \
    X(CX_MSG_EVALUATION) /* c -> w: cx_msg_evaluation, then weights (n_weights floats) */          \
    X(CX_MSG_TRIAL)      /* c -> w: cx_msg_trial, then weights (n_weights floats) */               \
    X(CX_MSG_WEIGHTS)    /* c -> w: cx_msg_weights, then n floats: of a network that learns */     \
    X(CX_MSG_GRADIENT)   /* c -> w: cx_msg_gradient, then cx_shard_bytes of it */                  \
    X(CX_MSG_DROP)       /* c -> w: cx_msg_drop: nobody waits for this job any more */             \
    X(CX_MSG_STOP)       /* c -> w: cx_msg_stop: finish */                                         \
    X(CX_MSG_PIECE)      /* w -> c: cx_msg_piece, then a trajectory piece */                       \
    X(CX_MSG_RESULT)     /* w -> c: cx_msg_result; all pieces went before */                       \
    X(CX_MSG_SWEEP)      /* w -> c: cx_msg_sweep: a baseline is done */                            \
    X(CX_MSG_SWEEP_RUN)  /* w -> c: cx_msg_sweep_run: one run of a baseline is done */             \
    X(CX_MSG_EVALUATED)  /* w -> c: cx_msg_evaluated */                                            \
    X(CX_MSG_TRIED)      /* w -> c: cx_msg_tried: a trial is done */                               \
    X(CX_MSG_GRADED)     /* w -> c: cx_msg_graded, then n floats: answers GRADIENT */              \
    X(CX_MSG_FAILED)     /* w -> c: cx_msg_failed: the job cannot be done; ends the run */         \
    X(CX_MSG_BYE)        /* w -> c: cx_msg_bye, the answer to STOP */                              \
    X(CX_MSG_SIGNAL)     /* w -> c: a signal asked this rank to stop the run; no body */

typedef enum {
#define X(name) name,
    CX_MESSAGE_TABLE(X)
#undef X
        CX_MSG_COUNT
} cx_msg_type;

typedef struct {
    uint32_t magic, version, type, reserved;
    uint64_t body; /* bytes after the header */
    uint64_t hash; /* of these bytes, seeded with the type */
} cx_msg_header;

/* Where a worker's time goes, seconds since it started. */
typedef struct {
    /* inner: training steps and evaluations; policy: observing and choosing; gradient: of a
     * learner rank; waiting: the rest, messages included. The others' sum is alive. */
    double alive, inner, policy, baseline, gradient, waiting;
    uint64_t peak_bytes; /* resident memory */
} cx_worker_time;

typedef struct {
    uint64_t config_hash; /* both sides must have read the same configuration */
    char host[64];
    int64_t pid;
} cx_msg_hello;

typedef struct {
    uint32_t type;   /* of the job: CX_MSG_EPISODE, BASELINE, EVALUATION or TRIAL */
    uint32_t run;    /* BASELINE: 0, the whole sweep, or 1 + the number of a run */
    uint64_t number; /* episode, instance, number, or key */
} cx_msg_drop;

typedef struct {
    uint32_t finalize; /* 1: all ranks live, and may leave MPI together */
} cx_msg_stop;

/* How actions are chosen. */
#define CX_ACTING_TABLE(X)                                                                         \
    X(CX_ACT_SAMPLE, "sampled")                                                                    \
    X(CX_ACT_LIKELIEST, "likeliest")                                                               \
    X(CX_ACT_RANDOM, "random") /* uniform over choices */                                          \
    X(CX_ACT_NEUTRAL, "no change")                                                                 \
    X(CX_ACT_REPLAY, "replay") /* the hyperparameters follow a given trajectory */
typedef enum {
#define X(code, name) code,
    CX_ACTING_TABLE(X)
#undef X
} cx_acting;

typedef struct {
    uint64_t episode, instance, version; /* version: of the policy that is to act */
    cx_task_spec spec;
    cx_baseline baseline;
    uint64_t n_weights; /* 0: the worker has this version already */
} cx_msg_episode;

typedef struct {
    uint64_t instance;
    cx_task_spec spec;
    uint32_t test;     /* 1: measured on the test split, for a report */
    uint32_t examples; /* of that split */
    uint32_t apart;    /* 1: only that run; 0: the whole sweep */
    uint32_t reserved;
    cx_sweep_run run;
} cx_msg_baseline_job;

typedef struct {
    uint64_t episode;
    uint64_t bytes; /* of the piece */
} cx_msg_piece;

typedef struct {
    cx_episode_result result;
    cx_worker_time time;
} cx_msg_result;

typedef struct {
    uint64_t instance;
    cx_baseline baseline;
    cx_worker_time time;
} cx_msg_sweep;

typedef struct {
    uint64_t instance;
    uint32_t run, reserved; /* its number */
    cx_sweep_outcome outcome;
    cx_worker_time time;
} cx_msg_sweep_run;

/* CX_NO_JOB: the worker could not start, or goes without an answer to STOP. */
#define CX_NO_JOB UINT64_MAX
typedef struct {
    uint64_t number;
    int32_t code; /* cx_code */
    char text[1024];
} cx_msg_failed;

typedef struct {
    cx_worker_time time;
} cx_msg_bye;

/* One run of an evaluation: a task, and who chooses the hyperparameters. */
typedef struct {
    uint64_t number; /* of the job */
    uint64_t episode, instance, version;
    cx_task_spec spec;
    cx_baseline baseline;
    uint32_t acting;        /* cx_acting */
    uint32_t default_start; /* 1: no noise on the starting hyperparameters */
    uint32_t test_examples; /* of the test split, at the end */
    cx_open_loop replay;
    uint64_t n_weights;
} cx_msg_evaluation;

typedef struct {
    uint64_t number;
    cx_episode_result result;
    double test_loss, test_metric;
    double optimum; /* of the task: what the reward takes off */
    cx_open_loop taken;
} cx_msg_evaluated;

/* One trial of an evaluation. */
typedef struct {
    uint64_t key; /* of its result */
    cx_trial_job job;
    cx_open_loop replay; /* where the job's trainer is one */
    uint64_t n_weights;  /* of the policy; 0: the worker has them, or needs none */
} cx_msg_trial;

typedef struct {
    cx_trial_result result;
} cx_msg_tried;

/* The networks that learn, as ranks that compute gradients number them. */
enum { CX_LEARNED_POLICY, CX_LEARNED_VALUE, CX_LEARNED_NETS };
static inline uint32_t cx_learned_net(const cx_shard *s) {
    return s->kind == CX_SHARD_POLICY ? CX_LEARNED_POLICY : CX_LEARNED_VALUE;
}

/* Weights for the shards that follow, until others of the same network come. */
typedef struct {
    uint32_t net, reserved;
    uint64_t serial, n;
} cx_msg_weights;

typedef struct {
    uint64_t number; /* of the shard */
    uint64_t serial; /* of the weights that it is to be computed with */
    cx_shard shard;
} cx_msg_gradient;

typedef struct {
    uint64_t number, n;
    cx_shard_sums sums;
    cx_worker_time time;
} cx_msg_graded;

/* A whole message: header, body, extra bytes. *out is malloc'ed. What cx_message_unpack
 * would refuse, and messages of 2 GiB and more, are CX_ESTATE. */
int cx_message_pack(cx_msg_type type, const void *body, size_t body_size, const void *extra,
                    size_t extra_size, void **out, size_t *size, cx_error *err);
/* Packs a message and starts sending it. */
int cx_message_send(cx_transport *t, int to, cx_msg_type type, const void *body, size_t body_size,
                    const void *extra, size_t extra_size, cx_error *err);
/* HELLO of this process: its host, its number there. */
int cx_message_send_hello(cx_transport *t, int to, uint64_t config_hash, cx_error *err);
/* STOP; where it cannot be sent, it is not. */
void cx_message_send_stop(cx_transport *t, int to, bool finalize);
/* Checks magic, version, type, length and hash, the number of extra bytes against what
 * the body says, that texts end, and counts and enums that readers index with; *body
 * points into data (which must be aligned as malloc does), *extra after the type's body
 * struct (NULL: none). CX_EFORMAT; another CX_WIRE_VERSION: CX_EVERSION. */
int cx_message_unpack(const void *data, size_t size, cx_msg_type *type, const void **body,
                      const void **extra, size_t *extra_size, cx_error *err);
/* The type that a message's header claims, unchecked; CX_MSG_COUNT for what is too short. */
cx_msg_type cx_message_type(const void *data, size_t size);
const char *cx_message_name(cx_msg_type type);
size_t cx_message_body_size(cx_msg_type type);

#endif
