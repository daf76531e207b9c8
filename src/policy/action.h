/* Actions: one categorical choice per head at every outer step; and what a choice
 * does to the hyperparameters. Head 0 is the register head where there is one, then
 * the heads of the hyperparameters that have one, in the order of CX_HYPER_TABLE. */
#ifndef CX_POLICY_ACTION_H
#define CX_POLICY_ACTION_H

#include "config/config.h"

#define CX_HEADS_MAX (1 + CX_HYPER_COUNT)

typedef enum {
    CX_REGISTER_NOTHING,
    CX_REGISTER_SAVE,
    CX_REGISTER_LOAD,
    CX_REGISTER_SWAP
} cx_register_op;

typedef struct {
    int n_heads;
    int size[CX_HEADS_MAX];   /* choices of each head */
    int offset[CX_HEADS_MAX]; /* first logit of each head */
    int hyper[CX_HEADS_MAX];  /* cx_hyper_id; -1: the register head */
    int n_logits;             /* sum of sizes */
} cx_heads;

void cx_action_heads(const cx_config *config, cx_heads *heads);
const char *cx_action_head_name(const cx_heads *heads, int head);

/* Choices of the register head: 0 nothing; 1..R save; R+1..2R load; 2R+1..3R swap. */
cx_register_op cx_action_register(int n_registers, int choice, int *index);

/* Hyperparameters after the choices (bounds applied). */
void cx_action_apply(const cx_config *config, const cx_heads *heads, const int *choice,
                     cx_hyper *hyper);

/* Starting hyperparameters with noise, drawn from rng; noise[CX_HYPER_COUNT] gets
 * the position of each draw in [-1, 1] of the full range. lr's log range is scaled by
 * min(1, outer_steps / episode.noise_full_at). */
void cx_action_start(const cx_config *config, int outer_steps, cx_rng *rng, cx_hyper *hyper,
                     float *noise);

/* The choice of each head whose step is the neutral one (x 1, + 0, nothing), or
 * the nearest to it: the "no change" control. */
void cx_action_neutral(const cx_config *config, const cx_heads *heads, int *choice);

/* Categorical distributions from logits[n_logits]. mask[n_logits] (NULL: none)
 * is 0 for choices that are not allowed: they get probability 0. */
/* Samples all heads (rng), or takes the likeliest (rng NULL); returns the log
 * probability of the whole choice. */
double cx_action_choose(const cx_heads *heads, const float *logits, const unsigned char *mask,
                        cx_rng *rng, int *choice);
/* p[n_logits]: the probability of every choice of every head. */
void cx_action_probabilities(const cx_heads *heads, const float *logits, const unsigned char *mask,
                             double *p);
/* log p(choice), entropy per head (may be NULL), and, where dlogits is not NULL,
 * dlogits += coef_logp * d logp/d logits + coef_entropy * d(sum of entropies)/d logits. */
double cx_action_evaluate(const cx_heads *heads, const float *logits, const unsigned char *mask,
                          const int *choice, double *entropy, double coef_logp, double coef_entropy,
                          float *dlogits);

#endif
