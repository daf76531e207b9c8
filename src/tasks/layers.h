/* The layers that networks of several families are made of: parameters with their usual
 * names and starting values, and the operators on them. All of them start as PyTorch's
 * layers do (uniform in +-1/sqrt(fan in)) unless it says otherwise. Faults stay inside
 * the graph. */
#ifndef CX_TASKS_LAYERS_H
#define CX_TASKS_LAYERS_H

#include "nn/graph.h"

/* x [.., in] to [.., out]; NAME.weight [out, in] and NAME.bias [out]. */
cx_ref cx_layer_linear(cx_graph *g, const char *name, cx_ref x, int in, int out);
/* x [B, in, H, W]; NAME.weight [out, in, kernel, kernel], and NAME.bias [out] where
 * `bias`; padding kernel / 2. */
cx_ref cx_layer_conv(cx_graph *g, const char *name, cx_ref x, int in, int out, int kernel,
                     int stride, bool bias);
/* Over the last dimension; NAME.weight (1) and NAME.bias (0), [width]. */
cx_ref cx_layer_norm(cx_graph *g, const char *name, cx_ref x, int width);
/* Per channel, with running statistics; NAME.weight, .bias, .mean and .var [channels]. */
cx_ref cx_layer_batchnorm(cx_graph *g, const char *name, cx_ref x, int channels);
/* Rows of NAME.weight [rows, width] (normal numbers of that deviation). */
cx_ref cx_layer_embedding(cx_graph *g, const char *name, cx_ref index, int rows, int width,
                          double deviation);
/* x itself where p is 0. */
cx_ref cx_layer_dropout(cx_graph *g, cx_ref x, double p);
/* An operator of one input. attrs as in cx_graph_op. */
cx_ref cx_layer_unary(cx_graph *g, const char *op, cx_ref x, const cx_attr *attrs);

/* One recurrent layer's parameters: NAME.w_ih [gates * hidden, in], .w_hh, .b_ih, .b_hh,
 * uniform in +-1/sqrt(hidden). They may serve several stretches of a sequence. */
typedef enum { CX_RNN, CX_GRU, CX_LSTM } cx_recurrent_kind;
extern const char *const cx_recurrent_words[]; /* "rnn" (tanh), "gru", "lstm", NULL */
typedef struct {
    cx_recurrent_kind kind;
    int in, hidden;
    cx_ref w_ih, w_hh, b_ih, b_hh;
} cx_recurrent_layer;
cx_recurrent_layer cx_layer_recurrent(cx_graph *g, const char *name, cx_recurrent_kind kind, int in,
                                      int hidden);
/* x [T, B, in] to y [T, B, hidden]; h0 and c0 [B, hidden], -1: zeros (c0: lstm alone). */
typedef struct {
    cx_ref y, h, c; /* all states, the last one, the last cell (-1: not an lstm) */
} cx_recurrent_result;
cx_recurrent_result cx_layer_recurrent_run(cx_graph *g, const cx_recurrent_layer *layer, cx_ref x,
                                           cx_ref h0, cx_ref c0);
/* Numbers of such a layer, and its multiplications per time step and sequence. */
double cx_recurrent_params(cx_recurrent_kind kind, int in, int hidden);
double cx_recurrent_products(cx_recurrent_kind kind, int in, int hidden);

/* Adds `labels` [count] and the mean cross-entropy of logits [count, classes]; writes the
 * labels' input. */
cx_ref cx_layer_cross_entropy(cx_graph *g, cx_ref logits, int count, cx_ref *labels);

#endif
