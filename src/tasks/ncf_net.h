/* The networks of neural collaborative filtering (He et al. 2017): a score (logit) for a
 * user and an item.
 *
 * gmf: embeddings of width `factors`, multiplied number by number, linear to 1.
 * mlp: embeddings of width factors * 2^(layers - 1), joined, then `layers` linear layers,
 * each half as wide as what it reads and followed by relu and dropout, the last one of
 * width `factors`; linear to 1.
 * neumf: both, each with embeddings of its own; linear to 1 from their joined ends.
 * factors 8 and layers 3 are the paper's and the bench task's: embeddings of 8 and 32,
 * 64-32-16-8. Dropout also acts on gmf's products.
 * Embeddings start normal with a deviation of 0.01, as in the paper; linear layers start as
 * PyTorch's (from 0.01, too, a tower of three would hand on next to nothing at first; the
 * authors' program does not start them so either). */
#ifndef CX_TASKS_NCF_NET_H
#define CX_TASKS_NCF_NET_H

#include "nn/graph.h"

extern const char *const cx_ncf_model_words[];
enum { CX_NCF_GMF, CX_NCF_MLP, CX_NCF_NEUMF };
enum { CX_NCF_FACTORS_MAX = 512, CX_NCF_LAYERS_MAX = 6 };

typedef struct {
    int model, factors, layers;
    double dropout;
    uint32_t users, items;
} cx_ncf_net;

/* Numbers per row (a user and an item), without building anything. */
typedef struct {
    double products;    /* multiplications of the forward pass */
    double activations; /* numbers that the layers hand on */
    double params;      /* of the network, not per row */
    int operators;      /* of the graph */
} cx_ncf_cost;
cx_ncf_cost cx_ncf_net_measure(const cx_ncf_net *net);

typedef struct {
    cx_ref user, item; /* [batch] */
    cx_ref logits;     /* [batch, 1] */
    cx_ref target;     /* [batch, 1], 0 or 1; -1 without a loss */
    cx_ref loss;       /* binary cross-entropy, mean over rows; -1 without one */
} cx_ncf_refs;

/* Adds the network to an empty graph, with its targets and loss or without; faults stay
 * inside it. */
cx_ncf_refs cx_ncf_net_build(const cx_ncf_net *net, int batch, bool with_loss, cx_graph *g);

#endif
