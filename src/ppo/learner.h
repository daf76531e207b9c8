/* What a learner is made of. Private to ppo/ (and its tests). */
#ifndef CX_PPO_LEARNER_H
#define CX_PPO_LEARNER_H

#include "optim/optimizer.h"
#include "ppo/buffer.h"
#include "ppo/ppo.h"
#include "ppo/shard.h"

/* Exponentially weighted mean and variance of a number, with bias correction: the
 * j-th newest of n samples weighs beta^(j-1) (1 - beta) / (1 - beta^n). */
typedef struct {
    double mean, variance;
    double weight; /* 1 - beta^n; 0: no sample yet, and then mean 0, variance 0 */
} cx_ewma;

/* Decay per episode of the statistics of rewards and value targets. */
#define CX_EWMA_BETA 0.999

/* A group of samples with this mean and variance enters with weight `share` = 1 -
 * beta^(samples). */
void cx_ewma_add(cx_ewma *e, double mean, double variance, double share);
/* sqrt(variance + 1e-8); 1 before any sample. */
double cx_ewma_deviation(const cx_ewma *e);

/* The clipped surrogate objective at one outer step (Schulman et al. 2017, eq. 7), as
 * a loss: -min(r A, clip(r, 1 - c, 1 + c) A) with r = p / p_old. log_prob is of the
 * whole choice: the sum over heads. */
typedef struct {
    double loss;
    double d_log_prob; /* d loss / d log_prob */
    double log_ratio;  /* log r, kept within +-20, so that r stays finite */
    bool clipped;      /* |r - 1| > c */
} cx_surrogate;
cx_surrogate cx_surrogate_at(double log_prob, double old_log_prob, double advantage, double clip);

/* One network with its optimizer. */
typedef struct {
    cx_net *net;
    cx_optimizer *optimizer;
    float *block;    /* cx_net_count */
    float *grads;    /* cx_net_trainable: of the shards added so far */
    uint64_t serial; /* of the block: another one after every change */
    int inputs, outputs;
} cx_model;

/* A shard of the batch under way. */
typedef struct {
    enum { CX_PART_OPEN, CX_PART_OUT, CX_PART_ANSWERED } state;
    float *out; /* answered before its turn; else NULL */
    cx_shard_sums sums;
} cx_part;

/* The batches of one network, one after another. */
typedef struct {
    cx_model *model;
    cx_shard_kind kind;
    int batch, n_batches; /* under way, of how many */
    const int *item;      /* [n] episodes of the batch; NULL: 0, 1, ... */
    int n;
    double rows;    /* outer steps of the batch */
    uint64_t first; /* number of its first shard */
    int n_parts, added;
    cx_part *part; /* [n_parts] */
    cx_shard_sums sums;
} cx_chain;

typedef enum { CX_PHASE_IDLE, CX_PHASE_VALUES, CX_PHASE_STEPS } cx_phase;

struct cx_learner {
    cx_config config;
    cx_heads heads;
    cx_model policy, value;
    float *average; /* of policy.block */
    uint64_t version;
    cx_buffer buffer;
    /* Units: the reward R becomes r = (R - reward.mean) / deviation(reward) where
     * ppo.normalize_reward is on, else r = R. Values, advantages and targets are in
     * units of r. The value network's output y means target.mean +
     * deviation(target) * y. */
    cx_ewma reward, target;

    /* the update under way */
    cx_phase phase;
    cx_plan plan;
    cx_chain chain[2];   /* values: the first alone; steps: policy, value function */
    size_t *at;          /* [n_episodes + 1]: first outer step of each in the arrays below */
    float *values;       /* [outer steps], of the planned episodes one after another */
    float *advantage;    /* same; normalized at the end of the phase of values */
    float *value_target; /* same; in the value network's units at that time */
    uint64_t numbered;   /* shards so far */
    uint64_t changed;    /* blocks, so often */
    void *packed;        /* the shard that was offered last */
    size_t packed_size;
    cx_shard_scratch scratch;
    cx_update_stats sum;                 /* sums so far of what stats will hold the mean of */
    int n_policy, n_value, n_kl, n_used; /* counts to divide by */
};

/* Checks of an episode: fits the learner, steps 1.., finite numbers, choices that its
 * masks allow, a version not after `version`. CX_EFORMAT. */
int cx_learner_check(const cx_learner *l, const cx_trajectory *t, uint64_t version, cx_error *err);
/* Adam's hyperparameters: beta1 0.9, epsilon 1e-8, no decay, an absolute bound of the
 * gradient norm; beta2 and the bound from the configuration. */
cx_hyper cx_learner_hyper(const cx_config *config, double learning_rate);
/* Frees what an update under way holds; the phase is idle again. */
void cx_update_clear(cx_learner *l);

/* update.c's part of a batch: what its shards' means and summed gradient come to. */
void cx_update_batch_done(cx_learner *l, const cx_chain *c);
/* chains.c: begins the chains of the phase. */
int cx_chains_begin(cx_learner *l, cx_error *err);
void cx_chains_clear(cx_learner *l);
bool cx_chains_done(const cx_learner *l);

#endif
