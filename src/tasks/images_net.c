#include "tasks/images_net.h"

#include "data/images.h"
#include "tasks/classify.h"
#include "tasks/layers.h"
#include <math.h>
#include <stdio.h>

enum { CLASSES = CX_IMAGE_CLASSES, CHANNELS_MAX = 512, POOL_ABOVE = 4 };

const char *const cx_image_architecture_words[] = {"mlp", "cnn", NULL};
const char *const cx_image_norm_words[] = {"none", "batch", "layer", NULL};
const char *const cx_image_loss_words[] = {"cross_entropy", "mse", "mae", "huber", NULL};

/* word, operator, its attribute and value (NULL: none) */
#define ACTIVATIONS(X)                                                                             \
    X("relu", "act_relu", NULL, 0)                                                                 \
    X("elu", "act_elu", "alpha", 1)                                                                \
    X("leaky_relu", "act_leaky_relu", "slope", 0.01)                                               \
    X("very_leaky_relu", "act_leaky_relu", "slope", 0.33)                                          \
    X("prelu", "act_prelu", NULL, 0)                                                               \
    X("tanh", "act_tanh", NULL, 0)                                                                 \
    X("sigmoid", "act_sigmoid", NULL, 0)                                                           \
    X("celu", "act_celu", "alpha", 1)                                                              \
    X("rrelu", "act_rrelu", NULL, 0) /* slopes 1/8 .. 1/3 */

const char *const cx_image_activation_words[] = {
#define X(word, op, attr, value) word,
    ACTIVATIONS(X)
#undef X
        NULL};

static const struct {
    const char *op;
    cx_attr attr;
} activations[] = {
#define X(word, op, attr, value) {op, {attr, value}},
    ACTIVATIONS(X)
#undef X
};
enum { PRELU = 4 };

/* One hidden layer: in to out channels on maps of side x side (an mlp's are 1 x 1). */
typedef struct {
    int in, out, side;
    bool pool;
} layer;

/* Returns the numbers that reach the last linear layer. */
static int plan(const cx_image_net *net, layer layers[CX_IMAGE_LAYERS_MAX]) {
    bool cnn = net->architecture == CX_IMAGE_CNN;
    int side = cnn ? net->side : 1, in = cnn ? 1 : net->side * net->side;
    int width = net->width ? net->width : (cnn ? 2 : 64), out = cnn ? 8 * width : width;
    for (int i = 0; i < net->layers; i++) {
        bool pool = side > POOL_ABOVE;
        layers[i] = (layer){in, out, side, pool};
        in = out;
        if (pool) {
            side /= 2;
            out = 2 * out < CHANNELS_MAX ? 2 * out : CHANNELS_MAX;
        }
    }
    return in * side * side;
}

const char *cx_image_net_fault(const cx_image_net *net, int batch) {
    if (net->architecture == CX_IMAGE_CNN && net->layers < 1)
        return "a cnn needs layers of 1 or more";
    if (net->architecture == CX_IMAGE_CNN && net->width > CX_IMAGE_CNN_WIDTH_MAX)
        return "the width of a cnn (in units of 8 channels) is at most 64";
    if (net->architecture == CX_IMAGE_MLP && net->norm == CX_IMAGE_NORM_BATCH && net->layers > 0 &&
        batch < 2)
        return "batch norm in an mlp needs batch_size of 2 or more";
    return NULL;
}

cx_image_net_cost cx_image_net_measure(const cx_image_net *net) {
    layer layers[CX_IMAGE_LAYERS_MAX];
    int last = plan(net, layers);
    double taps = net->architecture == CX_IMAGE_CNN ? 9 : 1;
    cx_image_net_cost c = {.products = (double)last * CLASSES,
                           .activations = CLASSES + (double)net->side * net->side,
                           .params = (double)(last + 1) * CLASSES,
                           .operators = 2 + net->layers * (2 + (net->norm != CX_IMAGE_NORM_NONE) +
                                                           (net->dropout > 0))};
    for (int i = 0; i < net->layers; i++) {
        const layer *l = &layers[i];
        double map = (double)l->side * l->side, numbers = map * l->out;
        c.products += taps * numbers * l->in;
        c.activations += numbers * (2 + (net->norm != CX_IMAGE_NORM_NONE));
        c.params += (taps * l->in + 1) * l->out;
        if (net->norm == CX_IMAGE_NORM_BATCH)
            c.params += 2 * l->out;
        if (net->norm == CX_IMAGE_NORM_LAYER)
            c.params += 2 * numbers;
        c.params += net->activation == PRELU;
        c.operators += l->pool;
    }
    return c;
}

/* --- building --- */

typedef struct {
    cx_graph *g;
    const cx_image_net *net;
    int number; /* of the layer */
} builder;

static const char *name(const builder *b, const char *what, char out[32]) {
    (void)snprintf(out, 32, "layer%d.%s", b->number, what);
    return out;
}

static cx_ref weights(const builder *b, const layer *l, cx_ref x) {
    char n[32];
    (void)snprintf(n, sizeof n, "layer%d", b->number);
    return b->net->architecture == CX_IMAGE_CNN
               ? cx_layer_conv(b->g, n, x, l->in, l->out, 3, 1, true)
               : cx_layer_linear(b->g, n, x, l->in, l->out);
}

static cx_ref norm(const builder *b, const layer *l, cx_ref x) {
    char n[32];
    bool cnn = b->net->architecture == CX_IMAGE_CNN;
    if (b->net->norm == CX_IMAGE_NORM_NONE)
        return x;
    if (b->net->norm == CX_IMAGE_NORM_BATCH)
        return cx_layer_batchnorm(b->g, name(b, "norm", n), x, l->out);
    cx_shape shape = cnn ? CX_SHAPE(l->out, l->side, l->side) : CX_SHAPE(l->out);
    cx_ref w = cx_graph_param(b->g, name(b, "norm.weight", n), shape, CX_INIT_ONE, 0);
    cx_ref v = cx_graph_param(b->g, name(b, "norm.bias", n), shape, CX_INIT_ZERO, 0);
    const cx_attr attrs[] = {{"dims", shape.rank}, {NULL, 0}};
    return cx_graph_op(b->g, "layernorm", (cx_ref[]){x, w, v}, 3, attrs);
}

static cx_ref activate(const builder *b, cx_ref x) {
    char n[32];
    int k = b->net->activation;
    const cx_attr attrs[] = {activations[k].attr, {NULL, 0}};
    cx_ref in[2] = {x, -1};
    if (k == PRELU)
        in[1] = cx_graph_param(b->g, name(b, "slope", n), CX_SHAPE(1), CX_INIT_CONSTANT, 0.25);
    return cx_graph_op(b->g, activations[k].op, in, k == PRELU ? 2 : 1, attrs);
}

static cx_ref hidden(const builder *b, const layer *l, cx_ref x) {
    x = cx_layer_dropout(b->g, activate(b, norm(b, l, weights(b, l, x))), b->net->dropout);
    if (l->pool) {
        static const cx_attr attrs[] = {{"kernel", 2}, {"stride", 2}, {NULL, 0}};
        x = cx_graph_op(b->g, "maxpool2d", &x, 1, attrs);
    }
    return x;
}

static void add_loss(const cx_image_net *net, int batch, cx_graph *g, cx_image_refs *r) {
    bool classes = net->loss == CX_IMAGE_CROSS_ENTROPY;
    if (classes)
        r->labels = cx_graph_input_int(g, "labels", CX_SHAPE(batch));
    else
        r->target = cx_graph_input(g, "target", CX_SHAPE(batch, CLASSES), false);
    cx_ref in[] = {r->logits, classes ? r->labels : r->target};
    r->loss = cx_graph_op(g, cx_image_loss_words[net->loss], in, 2, NULL);
}

cx_image_refs cx_image_net_build(const cx_image_net *net, int batch, bool with_loss, cx_graph *g) {
    layer layers[CX_IMAGE_LAYERS_MAX];
    int last = plan(net, layers), side = net->side;
    bool cnn = net->architecture == CX_IMAGE_CNN;
    builder b = {g, net, 0};
    cx_image_refs r = {.labels = -1, .target = -1, .loss = -1};
    r.x = cx_graph_input(
        g, "x", cnn ? CX_SHAPE(batch, 1, side, side) : CX_SHAPE(batch, side * side), false);
    cx_ref h = r.x;
    for (; b.number < net->layers; b.number++)
        h = hidden(&b, &layers[b.number], h);
    if (cnn)
        h = cx_graph_op(g, "flatten", &h, 1, NULL);
    r.logits = cx_layer_linear(g, "out", h, last, CLASSES);
    if (with_loss)
        add_loss(net, batch, g, &r);
    return r;
}

double cx_image_row_loss(int loss, const float *x, int label) {
    double sum = 0;
    if (loss == CX_IMAGE_CROSS_ENTROPY)
        return cx_row_cross_entropy(x, CLASSES, label);
    for (int i = 0; i < CLASSES; i++) {
        double d = fabs((double)x[i] - (i == label));
        sum += loss == CX_IMAGE_MSE ? d * d : loss == CX_IMAGE_MAE || d > 1 ? d : 0.5 * d * d;
        if (loss == CX_IMAGE_HUBER && d > 1)
            sum -= 0.5;
    }
    return sum / CLASSES;
}
