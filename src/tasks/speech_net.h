/* The network of the speech family: [recurrent layer, dropout] x layers over time, linear
 * to the symbols at every step, and connectionist temporal classification.
 *
 * A time step holds `stack` frames side by side. Utterances shorter than the graph are
 * padded behind. With `bidirectional` every layer also has a part that reads each
 * utterance from its own end to its beginning, and hands on both parts' states. What
 * stands in the padding therefore reaches no step of an utterance, nor the loss. */
#ifndef CX_TASKS_SPEECH_NET_H
#define CX_TASKS_SPEECH_NET_H

#include "nn/graph.h"
#include "tasks/layers.h"

enum { CX_SPEECH_LAYERS_MAX = 4 };

typedef struct {
    cx_recurrent_kind cell;
    int layers, hidden; /* units of a layer, in each direction */
    bool bidirectional;
    int in, symbols; /* numbers of a time step; with the blank */
    double dropout;
} cx_speech_net;

/* Multiplications per time step and utterance, parameters, operators. */
typedef struct {
    double products, activations, params;
    int operators;
} cx_speech_net_cost;
cx_speech_net_cost cx_speech_net_measure(const cx_speech_net *net);

/* A batch of `batch` utterances of at most `steps` time steps and `length` labels. */
typedef struct {
    int steps, batch, length;
} cx_speech_size;

typedef struct {
    cx_ref x;                            /* [steps, batch, in] */
    cx_ref order;                        /* [steps, batch]; -1: not bidirectional */
    cx_ref labels, step_counts, lengths; /* [batch, length]; [batch] each */
    cx_ref logits;                       /* [steps, batch, symbols] */
    cx_ref loss, nll;                    /* mean of nll / length; [batch] */
} cx_speech_refs;

/* Adds the network to an empty graph; faults stay inside it. */
cx_speech_refs cx_speech_net_build(const cx_speech_net *net, cx_speech_size size, cx_graph *g);

/* Row b of `order`: where step t of an utterance stands when it is read backward; the
 * padding stays where it is. */
void cx_speech_net_order(int32_t *order, cx_speech_size size, int b, int steps);

#endif
