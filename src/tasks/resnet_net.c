#include "tasks/resnet_net.h"

#include "tasks/layers.h"
#include <math.h>
#include <stdio.h>

enum { STAGES_MAX = 4, EXPANSION = 4, IN = 3 };

typedef struct {
    int depth;
    int stages, blocks[STAGES_MAX];
    bool bottleneck, large;
} plan;

static const plan plans[] = {
    {8, 3, {1, 1, 1}, false, false},    {20, 3, {3, 3, 3}, false, false},
    {32, 3, {5, 5, 5}, false, false},   {44, 3, {7, 7, 7}, false, false},
    {56, 3, {9, 9, 9}, false, false},   {18, 4, {2, 2, 2, 2}, false, true},
    {34, 4, {3, 4, 6, 3}, false, true}, {50, 4, {3, 4, 6, 3}, true, true},
};

static const plan *find_plan(int depth) {
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++)
        if (plans[i].depth == depth)
            return &plans[i];
    return NULL;
}

bool cx_resnet_is_large(int depth) {
    const plan *p = find_plan(depth);
    return p && p->large;
}

const char *cx_resnet_fault(int depth, int side) {
    const plan *p = find_plan(depth);
    if (!p)
        return "depth must be 8, 20, 32, 44 or 56 (small images), or 18, 34 or 50 (large ones)";
    if (p->large && side % 32)
        return "resolution must be a multiple of 32 for depths 18, 34 and 50";
    if (side % 4)
        return "resolution must be a multiple of 4 for depths 8, 20, 32, 44 and 56";
    return NULL;
}

/* The network is walked once for measuring and once for building: a builder without a
 * graph only counts. */
typedef struct {
    cx_graph *g; /* NULL: measure */
    cx_resnet_cost cost;
} builder;

/* An array of the network as the builder sees it. */
typedef struct {
    cx_ref ref;
    int channels, side;
} map;

static map conv(builder *b, const char *name, map x, int out, int kernel, int stride) {
    int side = (x.side + 2 * (kernel / 2) - kernel) / stride + 1;
    double weights = (double)kernel * kernel * x.channels * out;
    b->cost.params += weights;
    b->cost.products += weights * side * side;
    b->cost.activations += (double)out * side * side;
    b->cost.operators++;
    cx_ref y = -1;
    if (b->g) {
        char full[64];
        const cx_attr attrs[] = {{"stride", stride}, {"padding", kernel / 2}, {NULL, 0}};
        (void)snprintf(full, sizeof full, "%s.weight", name);
        cx_ref w = cx_graph_param(b->g, full, CX_SHAPE(out, x.channels, kernel, kernel),
                                  CX_INIT_NORMAL, sqrt(2.0 / ((double)out * kernel * kernel)));
        y = cx_graph_op(b->g, "conv2d", (cx_ref[]){x.ref, w}, 2, attrs);
    }
    return (map){y, out, side};
}

static map unary(builder *b, const char *op, map x, const cx_attr *attrs, int side) {
    b->cost.activations += (double)x.channels * side * side;
    b->cost.operators++;
    return (map){b->g ? cx_layer_unary(b->g, op, x.ref, attrs) : -1, x.channels, side};
}

static map batchnorm(builder *b, const char *name, map x) {
    b->cost.params += 2.0 * x.channels;
    b->cost.activations += (double)x.channels * x.side * x.side;
    b->cost.operators++;
    x.ref = b->g ? cx_layer_batchnorm(b->g, name, x.ref, x.channels) : -1;
    return x;
}

static map relu(builder *b, map x) {
    return unary(b, "act_relu", x, NULL, x.side);
}

static map add(builder *b, map x, map y) {
    b->cost.activations += (double)x.channels * x.side * x.side;
    b->cost.operators++;
    x.ref = b->g ? cx_graph_op(b->g, "add", (cx_ref[]){x.ref, y.ref}, 2, NULL) : -1;
    return x;
}

/* conv, batch norm, and relu where `active`; named PREFIX.convN and PREFIX.bnN */
static map layer(builder *b, const char *prefix, int number, map x, int out, int kernel, int stride,
                 bool active) {
    char name[48];
    (void)snprintf(name, sizeof name, "%sconv%d", prefix, number);
    x = conv(b, name, x, out, kernel, stride);
    (void)snprintf(name, sizeof name, "%sbn%d", prefix, number);
    x = batchnorm(b, name, x);
    return active ? relu(b, x) : x;
}

static map shortcut(builder *b, const char *prefix, map x, int out, int stride) {
    char name[48];
    if (x.channels == out && stride == 1)
        return x;
    (void)snprintf(name, sizeof name, "%sdownsample.0", prefix);
    x = conv(b, name, x, out, 1, stride);
    (void)snprintf(name, sizeof name, "%sdownsample.1", prefix);
    return batchnorm(b, name, x);
}

static map block(builder *b, const char *prefix, bool bottleneck, map x, int channels, int stride) {
    int out = bottleneck ? EXPANSION * channels : channels;
    map y;
    if (bottleneck) {
        y = layer(b, prefix, 1, x, channels, 1, 1, true);
        y = layer(b, prefix, 2, y, channels, 3, stride, true);
        y = layer(b, prefix, 3, y, out, 1, 1, false);
    } else {
        y = layer(b, prefix, 1, x, channels, 3, stride, true);
        y = layer(b, prefix, 2, y, out, 3, 1, false);
    }
    return relu(b, add(b, y, shortcut(b, prefix, x, out, stride)));
}

static map stem(builder *b, const plan *p, map x, int channels) {
    static const cx_attr pool[] = {{"kernel", 3}, {"stride", 2}, {"padding", 1}, {NULL, 0}};
    x = layer(b, "", 1, x, channels, p->large ? 7 : 3, p->large ? 2 : 1, true);
    return p->large ? unary(b, "maxpool2d", x, pool, (x.side - 1) / 2 + 1) : x;
}

/* The whole network, from x to the average of each map. */
static map body(builder *b, const cx_resnet *net, cx_ref input) {
    static const cx_attr global[] = {{"global", 1}, {NULL, 0}};
    const plan *p = find_plan(net->depth);
    int channels = (int)fmax(1, round((p->large ? 64 : 16) * net->width));
    map x = stem(b, p, (map){input, IN, net->side}, channels);
    for (int s = 0; s < p->stages; s++, channels *= 2)
        for (int i = 0; i < p->blocks[s]; i++) {
            char prefix[32];
            (void)snprintf(prefix, sizeof prefix, "layer%d.%d.", s + 1, i);
            x = block(b, prefix, p->bottleneck, x, channels, s > 0 && i == 0 ? 2 : 1);
        }
    return unary(b, "avgpool2d", x, global, 1);
}

cx_resnet_cost cx_resnet_measure(const cx_resnet *net) {
    builder b = {.g = NULL};
    map last = body(&b, net, -1);
    b.cost.activations += (double)IN * net->side * net->side + net->classes;
    b.cost.products += (double)last.channels * net->classes;
    b.cost.params += (last.channels + 1.0) * net->classes;
    b.cost.operators += 3; /* flatten, linear, loss */
    return b.cost;
}

cx_resnet_refs cx_resnet_build(const cx_resnet *net, int batch, bool with_loss, cx_graph *g) {
    const cx_attr smoothing[] = {{"label_smoothing", net->label_smoothing}, {NULL, 0}};
    builder b = {.g = g};
    cx_resnet_refs r = {.labels = -1, .loss = -1};
    r.x = cx_graph_input(g, "x", CX_SHAPE(batch, IN, net->side, net->side), false);
    map last = body(&b, net, r.x);
    cx_ref flat = cx_layer_unary(g, "flatten", last.ref, NULL);
    r.logits = cx_layer_linear(g, "fc", flat, last.channels, net->classes);
    if (with_loss) {
        r.labels = cx_graph_input_int(g, "labels", CX_SHAPE(batch));
        r.loss = cx_graph_op(g, "cross_entropy", (cx_ref[]){r.logits, r.labels}, 2, smoothing);
    }
    return r;
}
