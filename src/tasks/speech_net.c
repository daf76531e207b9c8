#include "tasks/speech_net.h"

#include <stdio.h>

static int directions(const cx_speech_net *net) {
    return net->bidirectional ? 2 : 1;
}

cx_speech_net_cost cx_speech_net_measure(const cx_speech_net *net) {
    int in = net->in, d = directions(net);
    cx_speech_net_cost c = {.activations = net->in, .operators = 2};
    for (int i = 0; i < net->layers; i++) {
        c.products += d * cx_recurrent_products(net->cell, in, net->hidden);
        c.params += d * cx_recurrent_params(net->cell, in, net->hidden);
        c.activations += 6.0 * d * net->hidden;
        in = d * net->hidden;
        c.operators += d + (net->dropout > 0) + 3 * (d - 1);
    }
    c.products += (double)in * net->symbols;
    c.params += (in + 1.0) * net->symbols;
    c.activations += 4.0 * net->symbols;
    return c;
}

typedef struct {
    cx_graph *g;
    const cx_speech_net *net;
    cx_speech_size size;
    cx_ref order;
} builder;

/* x [steps, batch, width] with every utterance reversed in time. */
static cx_ref reverse(const builder *b, cx_ref x, int width) {
    const cx_attr rows[] = {
        {"d0", (double)b->size.steps * b->size.batch}, {"d1", width}, {NULL, 0}};
    cx_ref flat = cx_layer_unary(b->g, "reshape", x, rows);
    return cx_graph_op(b->g, "embedding", (cx_ref[]){b->order, flat}, 2, NULL);
}

static cx_ref recurrent(const builder *b, int layer, const char *direction, cx_ref x, int in) {
    char name[32];
    (void)snprintf(name, sizeof name, "layer%d%s", layer, direction);
    cx_recurrent_layer l = cx_layer_recurrent(b->g, name, b->net->cell, in, b->net->hidden);
    return cx_layer_recurrent_run(b->g, &l, x, -1, -1).y;
}

cx_speech_refs cx_speech_net_build(const cx_speech_net *net, cx_speech_size size, cx_graph *g) {
    cx_speech_refs r = {.order = -1};
    r.x = cx_graph_input(g, "x", CX_SHAPE(size.steps, size.batch, net->in), false);
    if (net->bidirectional)
        r.order = cx_graph_input_int(g, "order", CX_SHAPE(size.steps, size.batch));
    builder b = {g, net, size, r.order};
    cx_ref h = r.x;
    int in = net->in;
    for (int i = 0; i < net->layers; i++) {
        cx_ref y = recurrent(&b, i, "", h, in);
        if (net->bidirectional) {
            cx_ref back = recurrent(&b, i, ".back", reverse(&b, h, in), in);
            y = cx_graph_op(g, "concat", (cx_ref[]){y, reverse(&b, back, net->hidden)}, 2, NULL);
        }
        h = cx_layer_dropout(g, y, net->dropout);
        in = directions(net) * net->hidden;
    }
    r.logits = cx_layer_linear(g, "out", h, in, net->symbols);
    cx_graph_keep(g, r.logits);
    r.labels = cx_graph_input_int(g, "labels", CX_SHAPE(size.batch, size.length));
    r.step_counts = cx_graph_input_int(g, "step_counts", CX_SHAPE(size.batch));
    r.lengths = cx_graph_input_int(g, "lengths", CX_SHAPE(size.batch));
    r.loss =
        cx_graph_op(g, "ctc", (cx_ref[]){r.logits, r.labels, r.step_counts, r.lengths}, 4, NULL);
    r.nll = cx_graph_output(g, r.loss, 1);
    return r;
}

void cx_speech_net_order(int32_t *order, cx_speech_size size, int b, int steps) {
    for (int t = 0; t < size.steps; t++)
        order[t * size.batch + b] = (t < steps ? steps - 1 - t : t) * size.batch + b;
}
