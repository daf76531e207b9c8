/* The networks of the images family.
 *
 * mlp: [linear, norm, activation, dropout] x layers, linear to the classes; `width`
 * hidden units (0: 64).
 * cnn: [convolution 3x3 padding 1, norm, activation, dropout] x layers, each followed
 * by max-pooling 2x2 while the map's side is above 4 (28: 14, 7, 3; 14: 7, 3; 7: 3),
 * then all of it flattened, linear to the classes. 8 * width channels (0: width 2),
 * doubled after each pooling, at most 512. Two layers of width 2 are the fixed bench
 * task. Batch norm is per channel, layer norm over channels and map.
 * Weights and biases start as PyTorch's. */
#ifndef CX_TASKS_IMAGES_NET_H
#define CX_TASKS_IMAGES_NET_H

#include "nn/graph.h"

extern const char *const cx_image_architecture_words[];
extern const char *const cx_image_norm_words[];
extern const char *const cx_image_activation_words[];
extern const char *const cx_image_loss_words[];

enum { CX_IMAGE_MLP, CX_IMAGE_CNN };
enum { CX_IMAGE_NORM_NONE, CX_IMAGE_NORM_BATCH, CX_IMAGE_NORM_LAYER };
enum { CX_IMAGE_CROSS_ENTROPY, CX_IMAGE_MSE, CX_IMAGE_MAE, CX_IMAGE_HUBER };

enum { CX_IMAGE_LAYERS_MAX = 16, CX_IMAGE_WIDTH_MAX = 8192, CX_IMAGE_CNN_WIDTH_MAX = 64 };

typedef struct {
    int architecture, layers, width, norm, activation, loss; /* words by number */
    int side;                                                /* of the images */
    double dropout;
} cx_image_net;

/* Why such a network cannot be had, or NULL. */
const char *cx_image_net_fault(const cx_image_net *net, int batch);

/* Numbers per example, without building anything. */
typedef struct {
    double products;    /* multiplications of the forward pass */
    double activations; /* numbers that the layers hand on */
    double params;      /* of the network, not per example */
    int operators;      /* of the graph */
} cx_image_net_cost;
cx_image_net_cost cx_image_net_measure(const cx_image_net *net);

typedef struct {
    cx_ref x;      /* [batch, side^2], or [batch, 1, side, side] */
    cx_ref logits; /* [batch, classes] */
    cx_ref labels; /* [batch] class numbers, of cross-entropy; else -1 */
    cx_ref target; /* [batch, classes] one-hot, of the regression losses; else -1 */
    cx_ref loss;   /* -1 without one */
} cx_image_refs;

/* Adds the network to an empty graph, with its targets and loss or without; faults stay
 * inside it. */
cx_image_refs cx_image_net_build(const cx_image_net *net, int batch, bool with_loss, cx_graph *g);

/* The loss of one example, as the graph's: cross-entropy of the logits, or the mean over
 * classes of the regression loss against the one-hot target (no softmax). */
double cx_image_row_loss(int loss, const float *logits, int label);

#endif
