/* The inner optimizer: one update rule with switchable parts (LHOPT, section
 * "inner optimizer"; the authors call theirs CIAO) that is, so configured, Adam,
 * AdamW, AdaMax or LAMB; and the plain rules SGD (momentum, Nesterov) and
 * RMSProp behind the same calls. It works on one flat block of parameters. */
#ifndef CX_OPTIM_OPTIMIZER_H
#define CX_OPTIM_OPTIMIZER_H

#include "base/error.h"
#include "config/config.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The features of one outer step, in this order. */
#define CX_FEATURE_TABLE(X)                                                                        \
    X(did_grad_clip)                                                                               \
    X(sqrt_v_hat_gt_epsilon)                                                                       \
    X(mean_log_abs_adam_pre_lr_update)                                                             \
    X(log_two_regimes_scale)                                                                       \
    X(log_adam_update_norm_over_param_norm)                                                        \
    X(log_noise_scale)                                                                             \
    X(log_lamb)                                                                                    \
    X(cosine_similarity_grad_momentum)                                                             \
    X(cosine_similarity_grad_param)                                                                \
    X(cosine_similarity_grad_update)                                                               \
    X(logit_cdf_cosine_similarity_grad_momentum)                                                   \
    X(logit_cdf_cosine_similarity_grad_update)                                                     \
    X(cdf_cosine_similarity_grad_param)

typedef enum {
#define X(name) CX_FEATURE_##name,
    CX_FEATURE_TABLE(X)
#undef X
        CX_FEATURE_COUNT
} cx_feature;
const char *cx_feature_name(cx_feature f);

typedef enum { CX_RULE_CIAO, CX_RULE_SGD, CX_RULE_RMSPROP } cx_rule;

typedef struct {
    cx_rule rule;
    double denominator_norm;   /* CIAO: INFINITY AdaMax, 2 Adam, else q */
    bool clip;                 /* group_clip_grad_norm acts at all */
    bool scale_by_rolling_max; /* limit = group_clip_grad_norm * rolling maximum */
    bool decay_in_update;      /* false: AdamW's decoupled decay */
    double lamb_power;         /* 0: no LAMB */
    double lamb_min_trust, lamb_max_trust;
    bool lamb_ignore_vectors;
    double momentum;        /* SGD, RMSPROP */
    bool nesterov;          /* SGD */
    int feature_interval;   /* features on every n-th step of an outer step; 0: never */
    bool decay_in_gradient; /* CIAO: g + weight_decay p in place of g (L2 as in torch.optim.Adam) */
    bool epsilon_in_maximum; /* AdaMax as in torch.optim: v = max(beta2 v, |g| + eps), s = v */
} cx_rule_config;

/* The learned optimizer's rule from the configuration. */
cx_rule_config cx_rule_learned(const cx_optimizer_config *config, int feature_interval);
/* adam, adamw, adamax, lamb, sgd, momentum, nesterov, rmsprop, ciao by name, with
 * their usual hyperparameters in *hyper (PyTorch's defaults; LAMB those of its
 * common implementations; ciao the learned optimizer's start). CX_EUSAGE else. */
int cx_rule_named(const char *name, cx_rule_config *rule, cx_hyper *hyper, cx_error *err);

/* Where the tensors lie in the flat block. group: clipping is per group. */
typedef struct {
    size_t offset, size; /* numbers; between tensors there may be padding */
    int rank;            /* 0 and 1: a vector for lamb_ignore_vectors */
    int group;           /* 0 .. n_groups-1, non-decreasing not required */
} cx_optim_tensor;

typedef struct cx_optimizer cx_optimizer;

/* `count`: numbers in the flat block (all offset + size <= count). Copies
 * `tensors`, which may be in any order and may not overlap. The whole state
 * starts at zero. CX_ESTATE for a layout that cannot be, CX_ENOMEM. */
int cx_optimizer_create(const cx_rule_config *rule, const cx_optim_tensor *tensors, int n_tensors,
                        int n_groups, size_t count, cx_optimizer **out, cx_error *err);
void cx_optimizer_destroy(cx_optimizer *o); /* NULL is fine */

/* Hyperparameters from the next step on (all groups). What a rule does not use is
 * ignored. RMSPROP: ombeta2 = 1 - alpha. SGD and RMSPROP: weight_decay is L2.
 * lamb_update_norm_ombeta 1: LAMB without an average. */
void cx_optimizer_set_hyper(cx_optimizer *o, const cx_hyper *hyper);
/* One step: params[count] is updated in place; grads[count] is used as scratch
 * and left undefined. `has_grad[n_tensors]` NULL: all have one; a tensor without
 * gradient is left alone altogether, and so is a group without any. Where
 * `average` is not NULL, also average <- weight * average + (1 - weight) * params
 * over the whole block (what lies between the tensors included), in the same pass.
 * Returns the norm of the whole gradient before clipping; when that is not finite,
 * nothing at all is changed (params, state, average) and the caller decides.
 * Accuracy against exact arithmetic over 40 steps from parameters of size 1: 1e-6
 * (parameters), 2e-5 relative to max(1, |x|) (features); these are the tolerances
 * of optim/replay.h. The same inputs give the same bits. */
double cx_optimizer_step(cx_optimizer *o, float *params, float *grads, const bool *has_grad,
                         float *average, float average_weight);

/* Features: means since the last call, then reset (this is the end of an outer
 * step; the step counter of feature_interval starts again). Over the tensors of a
 * group, then over the groups, then over the feature steps, each time over those
 * that have a value. NAN where a feature had no value at all (did_grad_clip where
 * nothing is ever clipped; everything for SGD and RMSPROP). */
void cx_optimizer_outer_step(cx_optimizer *o, double features[CX_FEATURE_COUNT]);
/* Features of the newest feature step per tensor, for replay: NAN where none.
 * features[t * CX_FEATURE_COUNT + f]. false when the last step took no features. */
bool cx_optimizer_last_features(const cx_optimizer *o, double *features);

/* What else a replay compares: of one tensor, and of one group (the rolling
 * maximum of its gradient norm; 0 where the rule has none). */
typedef struct {
    double m_norm, v_norm; /* of the raw moments; 0 where the rule has none */
    double c1, c2;         /* bias corrections */
    double lamb,
        lamb_correction; /* running average of ||u||, not yet corrected, and its correction */
    double grad_norm;    /* of the newest gradient, after clipping */
    uint64_t steps;      /* that this tensor has taken */
} cx_optim_inspection;
void cx_optimizer_inspect(const cx_optimizer *o, int tensor, cx_optim_inspection *out);
double cx_optimizer_rolling_max(const cx_optimizer *o, int group);

/* The whole state (m, v, rolling maxima, bias corrections, LAMB averages, step
 * counts) as one block, for registers and checkpoints: copy, or exchange. The sums
 * of the features are not part of it: save and load between outer steps. A block
 * fits optimizers of the same rule, tensors and groups only. */
size_t cx_optimizer_state_bytes(const cx_optimizer *o);
void cx_optimizer_save(const cx_optimizer *o, void *state);
/* The block itself, as it stands: valid until the next call. */
const void *cx_optimizer_state(const cx_optimizer *o);
void cx_optimizer_load(cx_optimizer *o, const void *state);
/* Swaps pointers: *state is a block from cx_calloc(1, cx_optimizer_state_bytes(o))
 * that a state was saved in (or zeroes), and holds the old state afterwards. */
void cx_optimizer_exchange(cx_optimizer *o, void **state);
void cx_optimizer_reset(cx_optimizer *o); /* back to the state after create */

#endif
