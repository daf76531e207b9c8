/* Proximal policy optimization over whole episodes (Schulman et al. 2017), as
 * LHOPT uses it: buffer -> advantages -> minibatches -> gradient steps. */
#ifndef CX_PPO_PPO_H
#define CX_PPO_PPO_H

#include "policy/network.h"
#include "ppo/trajectory.h"

/* Generalized advantage estimation (Schulman et al. 2016, eq. 16) of one episode
 * whose only reward comes at the end. value[steps]; advantage and target (= advantage
 * + value) [steps]. */
void cx_gae(const float *value, int steps, double final_reward, double gamma, double lambda,
            float *advantage, float *target);

typedef struct cx_learner cx_learner;

/* Figures of one update, all means over its gradient steps unless said otherwise. */
#define CX_UPDATE_TABLE(X)                                                                         \
    X(policy_loss)                                                                                 \
    X(value_loss)                                                                                  \
    X(entropy)            /* sum over heads, nats */                                               \
    X(kl)                 /* approximate, (r - 1) - log r, after the last gradient step's batch */  \
    X(clip_fraction)                                                                               \
    X(explained_variance) /* of the value function on the batch's targets */                       \
    X(gradient_norm)      /* of the policy, before clipping */                                     \
    X(value_gradient_norm)                                                                         \
    X(staleness)          /* versions between acting and learning, mean */                         \
    X(max_staleness)      /* the largest in the buffer */                                          \
    X(learning_rate)                                                                               \
    X(entropy_coefficient)                                                                         \
    X(reward)             /* mean over the new episodes of this update */                          \
    X(diverged)           /* share of them */                                                      \
    X(skipped)            /* gradient steps left out because a gradient was not finite */          \
    X(seconds)            /* of computing */

typedef struct {
#define X(name) double name;
    CX_UPDATE_TABLE(X)
#undef X
    double head_entropy[CX_HEADS_MAX]; /* nats */
} cx_update_stats;

/* A learner for observation sizes and heads of `config`; weights from config.seed. */
int cx_learner_create(const cx_config *config, cx_learner **out, cx_error *err);
/* The same for any problem: used by tests (a bandit). */
int cx_learner_create_for(const cx_config *config, const cx_heads *heads, int n_obs,
                          int n_privileged, cx_learner **out, cx_error *err);
void cx_learner_destroy(cx_learner *l);

/* Gives a finished episode to the buffer; takes ownership. Episodes are to be given
 * in the order of their numbers. CX_EFORMAT (and the trajectory is destroyed) when a
 * number in it is not finite. */
int cx_learner_add(cx_learner *l, cx_trajectory *t, cx_error *err);
/* True when episodes_per_update new episodes are in the buffer. */
bool cx_learner_ready(const cx_learner *l);
/* An update in slices, so that the caller can answer messages between them: begin,
 * then advance (one gradient step each) until *done. The version goes up by one at
 * the end. `total_updates` sets the annealing. */
int cx_learner_begin(cx_learner *l, cx_error *err);
int cx_learner_advance(cx_learner *l, bool *done, cx_update_stats *stats, cx_error *err);

uint64_t cx_learner_version(const cx_learner *l); /* updates done */
/* Newest policy block (cx_net_count floats) that acts in training, and the Polyak
 * average that is evaluated and shipped. Owned by the learner. */
const float *cx_learner_policy(const cx_learner *l);
const float *cx_learner_average(const cx_learner *l);
const cx_net *cx_learner_policy_net(const cx_learner *l);
size_t cx_learner_policy_count(const cx_learner *l);

/* Everything that determines the learner's future, as bytes (buffer included), for
 * checkpoints; load into a learner created from the same configuration. Not between
 * begin and done. *data is the caller's (free()). */
int cx_learner_save(const cx_learner *l, void **data, size_t *size, cx_error *err);
int cx_learner_load(cx_learner *l, const void *data, size_t size, cx_error *err);

#endif
