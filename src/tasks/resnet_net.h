/* Residual networks with batch norm (He, Zhang, Ren, Sun, "Deep Residual Learning for
 * Image Recognition", 2016).
 *
 * Depths 8, 20, 32, 44, 56 (6n + 2; section 4.2, for 32 x 32): convolution 3x3 to 16
 * channels, three stages of n basic blocks with 16, 32 and 64 channels, the second and the
 * third beginning with stride 2.
 * Depths 18, 34 (basic blocks), 50 (bottlenecks, four times as wide at their end; the
 * stride is in the 3x3 convolution, as in torchvision): convolution 7x7 stride 2 to 64
 * channels, max-pooling 3x3 stride 2, four stages of 64, 128, 256 and 512 channels.
 * Then the average of each map, and a linear layer to the classes.
 *
 * Where a block changes the shape, its shortcut is a convolution 1x1 with batch norm; else
 * it is the block's input. Names are torchvision's. Convolutions start normal with
 * deviation sqrt(2 / fan out), the linear layer as PyTorch's; batch norm at 1 and 0. */
#ifndef CX_TASKS_RESNET_NET_H
#define CX_TASKS_RESNET_NET_H

#include "nn/graph.h"

enum { CX_RESNET_TOP = 5 }; /* of the second metric */

typedef struct {
    int depth, side, classes;
    double width; /* factor of all numbers of channels */
    double label_smoothing;
} cx_resnet;

/* Why such a network cannot be had, or NULL. */
const char *cx_resnet_fault(int depth, int side);
/* Is it one of the networks for large images? */
bool cx_resnet_is_large(int depth);

/* Numbers per example, without building anything. */
typedef struct {
    double products;    /* multiplications of the forward pass */
    double activations; /* numbers that the layers hand on */
    double params;      /* of the network, not per example */
    int operators;      /* of the graph */
} cx_resnet_cost;
cx_resnet_cost cx_resnet_measure(const cx_resnet *net);

typedef struct {
    cx_ref x;      /* [batch, 3, side, side] */
    cx_ref logits; /* [batch, classes] */
    cx_ref labels; /* [batch] class numbers; -1 without a loss */
    cx_ref loss;
} cx_resnet_refs;

/* Adds the network to an empty graph, with its labels and loss or without; faults stay
 * inside it. */
cx_resnet_refs cx_resnet_build(const cx_resnet *net, int batch, bool with_loss, cx_graph *g);

#endif
