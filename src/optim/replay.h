/* Replays a recorded optimizer trajectory (shared/vectors, "Optimizer file") and
 * compares parameters, features and inner state after every step. */
#ifndef CX_OPTIM_REPLAY_H
#define CX_OPTIM_REPLAY_H

#include "base/error.h"
#include "optim/optimizer.h"
#include <stdbool.h>
#include <stddef.h>

struct json_t;

/* Errors are |ours - theirs| / max(1, |theirs|): for parameters of size 1 that is
 * the absolute error. An independent implementation in double came within 4e-7 and
 * 6e-6 of the (float) vectors. log_noise_scale at a tensor's first step is the
 * logarithm of rounding noise: only that it is above 10 is checked, and the means
 * that contain it are left out. */
#define CX_REPLAY_PARAM_TOLERANCE 1e-6
#define CX_REPLAY_FEATURE_TOLERANCE 2e-5

typedef struct {
    bool passed;
    int steps;
    /* largest errors; INFINITY for a missing or non-finite value, NAN where the file has
     * nothing to compare */
    double param_error, feature_error;
    double state_error; /* norms of moments, bias corrections, rolling maxima, LAMB averages */
    char worst[192];    /* what was first past tolerance; empty when passed */
} cx_optimizer_replay;

/* Replays a file that jansson has read; `name` stands for it in messages. CX_OK
 * whether or not it passed; CX_EUNSUPPORTED, naming the optimizer or the switch;
 * CX_EDATA for a file that is not of the format. */
int cx_replay_optimizer(const char *name, const struct json_t *root, cx_optimizer_replay *out,
                        cx_error *err);

/* The rule and hyperparameters of a file: its `optimizer` and `hyperparameters`
 * (replay_rule.c). `schedule_clips`: a later `set` gives group_clip_grad_norm. */
int cx_replay_rule(const char *name, const char *optimizer, const struct json_t *hyperparameters,
                   bool schedule_clips, cx_rule_config *rule, cx_hyper *hyper, cx_error *err);
/* A `set` of the schedule: changes *hyper; CX_EUNSUPPORTED where it would change
 * the rule itself. */
int cx_replay_set(const char *name, const char *optimizer, const struct json_t *set,
                  const cx_rule_config *rule, cx_hyper *hyper, cx_error *err);

#endif
