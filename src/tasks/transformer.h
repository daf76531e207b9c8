/* Decoder-only transformers in GPT-2's arrangement (Radford et al., 2019): token embedding
 * plus learned positions, blocks x + attention(ln(x)), x + mlp(ln(x)) with GELU, a
 * last layer norm, and a head without bias. Dropout acts on the embedded tokens and on
 * what each branch adds; the attention's weights have none. */
#ifndef CX_TASKS_TRANSFORMER_H
#define CX_TASKS_TRANSFORMER_H

#include "nn/graph.h"

enum { CX_TRANSFORMER_LAYERS_MAX = 64, CX_TRANSFORMER_WIDTH_MAX = 8192 };

typedef struct {
    int vocabulary; /* rows of the embedding, classes of the head */
    int context;    /* tokens of a window, rows of the positions */
    int width, layers, heads;
    int hidden; /* units of a feed-forward layer */
    /* The head's weight is the embedding's. Else it is a tensor of its own. */
    bool tied;
    /* How linear layers start. True, GPT-2's way: normal of deviation 0.02, biases 0, and
     * 0.02 / sqrt(2 layers) for the two projections of a block that end in its sum. False:
     * uniform in +-1/sqrt(fan in). Embedding and positions are normal, 0.02, in both. */
    bool gpt2_start;
    bool erf; /* GELU by the error function, not its tanh form */
    double dropout;
} cx_transformer;

/* What is wrong with these numbers together, for a message ("heads ..."); NULL: nothing.
 * `batch`: windows of a pass. */
const char *cx_transformer_fault(const cx_transformer *net, int batch);

/* tokens and targets: int32 [batch, context]. A target of CX_TRANSFORMER_IGNORE does not
 * count. loss: mean cross-entropy, in nats, of the targets that count. */
enum { CX_TRANSFORMER_IGNORE = -100 };
typedef struct {
    cx_ref tokens, targets, loss;
} cx_transformer_refs;
/* Tensors are named as in GPT-2's weights (wte.weight, h.0.attn.c_attn.weight, ...; the
 * untied head: head.weight); matrices are [out, in]. Faults stay inside the graph. */
cx_transformer_refs cx_transformer_build(const cx_transformer *net, int batch, cx_graph *g);

/* From the numbers alone. */
typedef struct {
    double params;      /* trainable numbers, without padding */
    double products;    /* multiplications of one token's forward pass */
    double activations; /* numbers that one token's forward pass writes */
    int operators;
} cx_transformer_cost;
cx_transformer_cost cx_transformer_measure(const cx_transformer *net);

#endif
