/* What a learner is made of. Private to ppo/ (and its tests). */
#ifndef CX_PPO_LEARNER_H
#define CX_PPO_LEARNER_H

#include "optim/optimizer.h"
#include "ppo/buffer.h"
#include "ppo/ppo.h"

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
    float *block; /* cx_net_count */
    float *grads; /* cx_net_trainable */
    int inputs, outputs;
} cx_model;

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
    int next;            /* episode whose value, or gradient step (two a batch), is next */
    size_t *at;          /* [n_episodes + 1]: first outer step of each in the arrays below */
    float *values;       /* [outer steps], of the planned episodes one after another */
    float *advantage;    /* same; normalized at the end of the phase of values */
    float *value_target; /* same; in the value network's units at that time */
    float *in, *dout;    /* scratch of a batch */
    size_t in_size, dout_size;
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

#endif
