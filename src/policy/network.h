/* Policy and value function: input -> linear -> layer-normalized LSTM -> linear ->
 * outputs, where the outputs also read the normalized input directly
 * (policy.residual). Two networks of the same form; the policy has n_logits
 * outputs, the value function one. Input normalization (EWMA mean and variance,
 * one beta correction, eps 1e-5, clip) belongs to the weights: only the learner
 * updates it, and it travels in the same flat block. */
#ifndef CX_POLICY_NETWORK_H
#define CX_POLICY_NETWORK_H

#include "base/error.h"
#include "config/config.h"
#include <stddef.h>

typedef struct {
    int inputs, hidden, lstm, outputs;
    bool residual;
    double output_scale; /* initial weights of the outputs are multiplied by it (0.01 policy, 1
                            value) */
    double input_clip;
} cx_net_shape;

cx_net_shape cx_policy_shape(const cx_config *config);
cx_net_shape cx_value_shape(const cx_config *config);

/* Number of floats of one network's block: trainable weights first
 * (cx_net_trainable of them), then mean[inputs], variance[inputs] and the correction [1]
 * of the normalization, padded. Mean and variance are stored corrected, ready for use
 * (0 and 1 at the start); the correction is the weight of all that was seen, 1 - beta^count. */
typedef struct cx_net cx_net; /* graphs by (T, B), made when first needed and kept; one block of
                                memory serves them all */
int cx_net_create(const cx_net_shape *shape, cx_net **out, cx_error *err);
void cx_net_destroy(cx_net *net);
const cx_net_shape *cx_net_shape_of(const cx_net *net); /* what it was created with */
size_t cx_net_count(const cx_net *net);
size_t cx_net_trainable(const cx_net *net);
/* Tensors of the trainable part, for the optimizer and for weight files. */
int cx_net_tensors(const cx_net *net);
const struct cx_net_tensor *cx_net_tensor_at(const cx_net *net, int i);
struct cx_net_tensor {
    char name[32];
    int rank, dim[4];
    size_t offset, size;
};
/* Where in the block the normalization's mean [inputs], variance [inputs] and
 * correction [1] start. */
void cx_net_statistics_at(const cx_net *net, size_t offset[3]);
void cx_net_init(const cx_net *net, float *block, cx_rng *rng);

/* Normalizes one raw input into out (both [inputs]); the same arithmetic that
 * acting and learning use. Before any statistics: mean 0, deviation 1. */
void cx_net_normalize(const cx_net *net, const float *block, const float *in, float *out);
/* One EWMA update of the statistics from `n` inputs in[n][inputs] taken as one batch
 * (their mean and variance enter with weight 1 - beta^n). */
void cx_net_update_statistics(const cx_net *net, float *block, const float *in, size_t n,
                              double beta);

/* Acting: one step at batch 1. state[2 * lstm] (h, c) is read and replaced; zero at
 * the start of an episode. in: raw. out[outputs]. */
int cx_net_step(cx_net *net, const float *block, const float *in, float *state, float *out,
                cx_error *err);

/* Learning: about 30 kB a step and sequence at 256 units. Whole sequences from the zero state. in:
 * raw, [T][B][inputs] (padding: anything finite). *out points to [T][B][outputs], owned by the net,
 * valid until the next call. T and B are rounded up inside as the net likes. */
int cx_net_forward(cx_net *net, const float *block, const float *in, int T, int B,
                   const float **out, cx_error *err);
/* After cx_net_forward with the same T, B and block: dout [T][B][outputs] (0 in the
 * padding); grads[cx_net_trainable] is overwritten. */
int cx_net_backward(cx_net *net, const float *block, const float *dout, int T, int B, float *grads,
                    cx_error *err);

#endif
