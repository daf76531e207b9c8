/* The networks of the families algo and sentences: numbers of each time step, or an
 * embedding of words (normal numbers, as PyTorch's), then `layers` recurrent layers with
 * dropout between them, dropout, and a linear layer to the classes: at every step, or
 * from the last layer's last state. All arrays are time-major: [steps, batch, ..].
 *
 * Truncated backpropagation through time: `bptt_length` k > 0 cuts the gradient every k
 * steps, counted from the end, while the state is carried on. Where the loss sits at the
 * last step alone (k belongs to such networks), no gradient passes the last cut, so that
 * one cut is all there is to build: a sequence comes in two stretches, the first length - k
 * steps, which get no gradient, and the last k. */
#ifndef CX_TASKS_RECURRENT_NET_H
#define CX_TASKS_RECURRENT_NET_H

#include "tasks/layers.h"

enum { CX_RECURRENT_LAYERS_MAX = 8, CX_RECURRENT_LENGTH_MAX = 4096 };

typedef struct {
    int architecture; /* cx_recurrent_kind, word number of cx_recurrent_words */
    int layers, hidden;
    double dropout;
    int vocabulary; /* rows of the embedding; 0: there is none */
    int inputs;     /* numbers of a step: the embedding's width, or those that are given */
    int classes;
    bool every_step; /* predicts at every step; else once, at the end */
    int bptt_length; /* 0, or `length` and more: the whole length; not with every_step */
} cx_recurrent_net;

/* Numbers without building anything; products and activations of one sequence. */
typedef struct {
    double products;    /* multiplications of the forward pass */
    double trained;     /* those of them whose gradients are computed */
    double activations; /* numbers that the operators hand on or keep */
    double params;      /* of the network */
    double operators;   /* of the graph, every time step of a recurrent layer being one */
} cx_recurrent_net_cost;
cx_recurrent_net_cost cx_recurrent_net_measure(const cx_recurrent_net *net, int length);
/* Operations of a training step of `batch` sequences (see tasks/task.h). */
double cx_recurrent_net_flops(const cx_recurrent_net *net, int length, int batch);
/* CX_ECONFIG for a network or a batch that is larger than memory should be asked for;
 * `what` goes before the message. */
int cx_recurrent_net_check(const cx_recurrent_net *net, int length, int batch, const char *what,
                           cx_error *err);

typedef struct {
    int length, batch;
    int steps[2];  /* of both stretches; the first may have none */
    cx_ref in[2];  /* [steps, batch] words, or [steps, batch, inputs] numbers; -1: no stretch */
    cx_ref logits; /* [length, batch, classes], or [batch, classes] */
    cx_ref labels; /* the same without classes; -1 without a loss */
    cx_ref loss;   /* mean cross-entropy; -1 without */
} cx_recurrent_refs;

/* Adds the network to an empty graph, with labels and loss, or without and in one stretch:
 * both have the same parameters. Faults stay inside the graph. */
cx_recurrent_refs cx_recurrent_net_build(const cx_recurrent_net *net, int length, int batch,
                                         bool with_loss, cx_graph *g);

/* Where the words, or the numbers, of a sequence's step stand in a planned graph. */
int32_t *cx_recurrent_word(const cx_graph *g, const cx_recurrent_refs *refs, int step, int row);
float *cx_recurrent_numbers(const cx_graph *g, const cx_recurrent_refs *refs, int inputs, int step,
                            int row);

#endif
