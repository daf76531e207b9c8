/* What policy and value function see before each outer step. All groups stand in
 * one table, in the order in which they are laid out. The meaning of features and
 * actions has a version: policy files carry it, and another version is refused. */
#ifndef CX_POLICY_OBSERVATION_H
#define CX_POLICY_OBSERVATION_H

#include "config/config.h"
#include "optim/optimizer.h"
#include "policy/action.h"
#include "policy/reward.h"

#define CX_SEMANTICS_VERSION 1

/* Sizes for a configuration: numbers in the policy's vector, and of the value
 * function's (which starts with the policy's). */
int cx_observation_size(const cx_config *config);
int cx_privileged_size(const cx_config *config);
/* Name of entry i of the privileged vector ("cdf 2.5 of log_noise_scale"), for
 * traces; a pointer into *buffer. */
const char *cx_observation_name(const cx_config *config, int i, char *buffer, size_t size);

typedef struct cx_observer cx_observer; /* the running statistics of one episode */
/* `config` must outlive the observer. */
int cx_observer_create(const cx_config *config, cx_observer **out, cx_error *err);
void cx_observer_destroy(cx_observer *o);

/* The state of the inner run at the beginning of outer step k (0-based). At k = 0
 * nothing has run: features are NAN, losses those at the initial weights. */
typedef struct {
    int outer_step, outer_steps;   /* k, K */
    double inner_steps;            /* of the whole run, for observations.log_steps */
    const double *features;        /* CX_FEATURE_COUNT, of the outer step before; NAN: none */
    const int *last_action;        /* per head (cx_action_heads); NULL at k = 0 */
    double train_loss, valid_loss; /* may be non-finite */
    double param_norm;             /* ||theta_k|| */
    double previous_param_norm;    /* ||theta_{k-1}||; NAN at k = 0 */
    double update_norm;            /* ||theta_k - theta_{k-1}||; NAN at k = 0 */
    struct {
        bool full;
        double valid_loss, progress;
    } reg[CX_REGISTERS_MAX];
    cx_hyper hyper, hyper_start; /* now; after start noise */
    /* privileged: NULL (task_vector, start_noise, baseline) where nobody reads the value
     * function, as in an application of a finished policy; zeros then stand for them */
    const float *task_vector; /* cx_task_vector_size() numbers, given as n */
    int n_task_vector;
    const float *start_noise; /* CX_HYPER_COUNT: noise drawn, in [-1, 1] */
    const cx_baseline *baseline;
    double optimum; /* subtracted from valid_loss for the reward */
} cx_run_state;

/* Writes cx_privileged_size numbers, all finite; the first cx_observation_size of
 * them are the policy's. Numbers that a task_vector has too few of are 0. */
void cx_observe(cx_observer *o, const cx_run_state *state, float *out);

#endif
