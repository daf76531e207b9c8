/* Open-loop controls: a policy's mean hyperparameter trajectory over progress, from
 * other tasks, replayed without looking (lhopt, section "evaluation"). What a policy
 * gains over them is what its adapting is worth. */
#ifndef CX_POLICY_OPEN_LOOP_H
#define CX_POLICY_OPEN_LOOP_H

#include "config/config.h"

enum { CX_OPEN_LOOP_POINTS = 128 }; /* as many as most runs have outer steps */

/* Hyperparameters over progress: those of point i hold for progress in
 * [i, i + 1) / CX_OPEN_LOOP_POINTS. */
typedef struct {
    cx_hyper point[CX_OPEN_LOOP_POINTS];
} cx_open_loop;

/* The hyperparameters at progress in [0, 1). */
const cx_hyper *cx_open_loop_at(const cx_open_loop *o, double progress);
/* The points [*first, *last) that lie in outer step k of K: those whose beginning does. */
void cx_open_loop_span(int k, int K, int *first, int *last);
/* Records that `hyper` held for outer step k of K. */
void cx_open_loop_record(cx_open_loop *o, int k, int K, const cx_hyper *hyper);
/* Mean over `n` trajectories, of the logarithms (of the logits, where the head of the
 * hyperparameter works on logits). n >= 1. */
void cx_open_loop_mean(const cx_config *config, const cx_open_loop *const *list, int n,
                       cx_open_loop *out);
/* Least-squares exponent e of lr ~ N^e over the trajectories (mean log lr of each over
 * progress against log N); 0 where the steps do not vary. *mean_log_steps is the mean. */
double cx_open_loop_exponent(const cx_open_loop *const *list, const double *steps, int n,
                             double *mean_log_steps);
/* lr times factor, within the lr's bounds. */
void cx_open_loop_scale_lr(const cx_config *config, cx_open_loop *o, double factor);

#endif
