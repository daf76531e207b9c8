/* Proximal policy optimization over whole episodes (Schulman et al. 2017), as
 * LHOPT uses it: buffer -> advantages -> minibatches -> gradient steps. */
#ifndef CX_PPO_PPO_H
#define CX_PPO_PPO_H

#include "policy/network.h"
#include "ppo/shard.h"
#include "ppo/trajectory.h"

/* Generalized advantage estimation (Schulman et al. 2016, eq. 16) of one episode
 * whose only reward comes at the end. value[steps]; advantage and target (= advantage
 * + value) [steps]. */
void cx_gae(const float *value, int steps, double final_reward, double gamma, double lambda,
            float *advantage, float *target);

typedef struct cx_learner cx_learner;

/* clang-format off */
/* Figures of one update, all means over its gradient steps unless said otherwise;
 * within a step, means over the outer steps of the minibatch, without padding. A
 * gradient step that was left out is in none but `skipped`. */
#define CX_UPDATE_TABLE(X)                                                                         \
    X(policy_loss)        /* the clipped surrogate, without the entropy bonus */                   \
    X(value_loss)         /* half the mean squared error, targets of unit variance */              \
    X(entropy)            /* sum over heads, nats */                                               \
    X(kl)                 /* approximate, (r - 1) - log r, mean over the last pass */              \
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
/* clang-format on */

typedef struct {
#define X(name) double name;
    CX_UPDATE_TABLE(X)
#undef X
    double head_entropy[CX_HEADS_MAX]; /* nats */
} cx_update_stats;

/* A learner for observation sizes and heads of `config`; weights from config.seed.
 * CX_ECONFIG when ppo.buffer_episodes is less than ppo.episodes_per_update. */
int cx_learner_create(const cx_config *config, cx_learner **out, cx_error *err);
/* The same for any problem: used by tests (a bandit). */
int cx_learner_create_for(const cx_config *config, const cx_heads *heads, int n_obs,
                          int n_privileged, cx_learner **out, cx_error *err);
void cx_learner_destroy(cx_learner *l);

/* Gives a finished episode to the buffer; takes ownership. Episodes are to be given
 * in the order of their numbers. CX_EFORMAT (and the trajectory is destroyed) when a
 * number in it is not finite or an observation beyond 1e9, a choice is not one its
 * mask allows, sizes are not the learner's, it has no outer step, or it claims a
 * version that does not exist yet. Allowed during an update, which it does not touch. */
int cx_learner_add(cx_learner *l, cx_trajectory *t, cx_error *err);
/* True when episodes_per_update new episodes are in the buffer (those that came after
 * the newest update began), and no update is under way. */
bool cx_learner_ready(const cx_learner *l);

/* An update in slices, so that the caller can answer messages between them: begin,
 * then advance until *done. A slice is one shard (ppo/shard.h). The version goes up by one at the
 * end, and *stats is filled (NULL: not).
 *
 * begin plans the minibatches (buffer.h) with random numbers keyed by (seed, version),
 * and lets every new episode enter the input normalization of both networks, once,
 * with the weight 1 - policy.input_beta. The stored log probabilities stay those of
 * the policy that acted, so that a ratio always compares with what did act.
 * Advantages come from whole episodes and from the values at the beginning of the
 * update; their mean and deviation over all planned outer steps are taken off.
 * Minibatches fewer than ppo.minibatches, when too few episodes may still be used
 * (max_uses, max_staleness); with none the update ends without a gradient step.
 * Learning rate and entropy coefficient fall linearly from 1 at version 0 to
 * ppo.anneal_to at version updates - 1, and stay there. */
int cx_learner_begin(cx_learner *l, cx_error *err);
int cx_learner_advance(cx_learner *l, bool *done, cx_update_stats *stats, cx_error *err);

/* The same with others' help: the shards that can be computed now are offered, one by one, and
 * answered in any order; `advance` computes one here. The values of all episodes come first; then
 * the gradient steps of the policy, and beside them those of the value function. */
typedef struct {
    uint64_t number; /* of this learner's shards */
    cx_shard shard;
    const void *data; /* its bytes; valid until the next offer */
    size_t size;
    const float *weights; /* of its network; valid until the next answer */
    size_t n_weights;
    uint64_t serial; /* of these weights: no others, of either network, have the same */
} cx_work;
/* *any: there was one. It is out then. */
int cx_learner_offer(cx_learner *l, cx_work *work, bool *any, cx_error *err);
int cx_learner_open(const cx_learner *l); /* how many could be offered now */
/* Who has it will not answer: it is offered again. */
void cx_learner_reopen(cx_learner *l, uint64_t number);
/* What cx_shard_compute gave, `n` numbers. Those of shards that are answered already, or of an
 * earlier update, are ignored. CX_EFORMAT: another number of numbers. */
int cx_learner_answer(cx_learner *l, uint64_t number, const float *out, size_t n,
                      const cx_shard_sums *sums, cx_error *err);
/* Ends the update where all shards are answered: *done. */
int cx_learner_end(cx_learner *l, bool *done, cx_update_stats *stats, cx_error *err);

uint64_t cx_learner_version(const cx_learner *l); /* updates done */
/* Newest policy block (cx_net_count floats) that acts in training (it changes during an
 * update, so copy it after one), and the average that is evaluated and shipped:
 * after update n (0-based) average <- w average + (1 - w) block, the whole block with
 * its input normalization, w = min(policy.polyak, (1 + n)/(10 + n)) so that a short
 * run is not dominated by its initial weights. Owned by the learner. */
const float *cx_learner_policy(const cx_learner *l);
const float *cx_learner_average(const cx_learner *l);
const cx_net *cx_learner_policy_net(const cx_learner *l);
size_t cx_learner_policy_count(const cx_learner *l);

/* Everything that determines the learner's future, as bytes (buffer included), for
 * checkpoints; load into a learner created from the same configuration. Not between
 * begin and done (CX_ESTATE). *data is the caller's (free()). A load that fails
 * (CX_EFORMAT, CX_EVERSION: cut off, altered, of another configuration, not finite)
 * leaves the learner as it was. */
int cx_learner_save(const cx_learner *l, void **data, size_t *size, cx_error *err);
int cx_learner_load(cx_learner *l, const void *data, size_t size, cx_error *err);

#endif
