#include "tasks/layers.h"

#include <stdio.h>

const char *const cx_recurrent_words[] = {"rnn", "gru", "lstm", NULL};

static cx_ref param(cx_graph *g, const char *name, const char *what, cx_shape shape, cx_init init,
                    double value) {
    char full[64];
    (void)snprintf(full, sizeof full, "%s.%s", name, what);
    return cx_graph_param(g, full, shape, init, value);
}

cx_ref cx_layer_unary(cx_graph *g, const char *op, cx_ref x, const cx_attr *attrs) {
    return cx_graph_op(g, op, &x, 1, attrs);
}

cx_ref cx_layer_linear(cx_graph *g, const char *name, cx_ref x, int in, int out) {
    cx_ref w = param(g, name, "weight", CX_SHAPE(out, in), CX_INIT_FAN_IN, in);
    cx_ref b = param(g, name, "bias", CX_SHAPE(out), CX_INIT_FAN_IN, in);
    return cx_graph_op(g, "linear", (cx_ref[]){x, w, b}, 3, NULL);
}

cx_ref cx_layer_conv(cx_graph *g, const char *name, cx_ref x, int in, int out, int kernel,
                     int stride, bool bias) {
    const cx_attr attrs[] = {{"stride", stride}, {"padding", kernel / 2}, {NULL, 0}};
    int fan_in = in * kernel * kernel;
    cx_ref w = param(g, name, "weight", CX_SHAPE(out, in, kernel, kernel), CX_INIT_FAN_IN, fan_in);
    cx_ref b = bias ? param(g, name, "bias", CX_SHAPE(out), CX_INIT_FAN_IN, fan_in) : -1;
    return cx_graph_op(g, "conv2d", (cx_ref[]){x, w, b}, bias ? 3 : 2, attrs);
}

cx_ref cx_layer_norm(cx_graph *g, const char *name, cx_ref x, int width) {
    cx_ref w = param(g, name, "weight", CX_SHAPE(width), CX_INIT_ONE, 0);
    cx_ref b = param(g, name, "bias", CX_SHAPE(width), CX_INIT_ZERO, 0);
    return cx_graph_op(g, "layernorm", (cx_ref[]){x, w, b}, 3, NULL);
}

cx_ref cx_layer_batchnorm(cx_graph *g, const char *name, cx_ref x, int channels) {
    char mean[64], var[64];
    (void)snprintf(mean, sizeof mean, "%s.mean", name);
    (void)snprintf(var, sizeof var, "%s.var", name);
    cx_ref w = param(g, name, "weight", CX_SHAPE(channels), CX_INIT_ONE, 0);
    cx_ref b = param(g, name, "bias", CX_SHAPE(channels), CX_INIT_ZERO, 0);
    cx_ref in[] = {x, w, b, cx_graph_state(g, mean, CX_SHAPE(channels), 0),
                   cx_graph_state(g, var, CX_SHAPE(channels), 1)};
    return cx_graph_op(g, "batchnorm", in, 5, NULL);
}

cx_ref cx_layer_embedding(cx_graph *g, const char *name, cx_ref index, int rows, int width,
                          double deviation) {
    cx_ref w = param(g, name, "weight", CX_SHAPE(rows, width), CX_INIT_NORMAL, deviation);
    return cx_graph_op(g, "embedding", (cx_ref[]){index, w}, 2, NULL);
}

cx_ref cx_layer_dropout(cx_graph *g, cx_ref x, double p) {
    const cx_attr attrs[] = {{"p", p}, {NULL, 0}};
    return p > 0 ? cx_layer_unary(g, "dropout", x, attrs) : x;
}

static int gates_of(cx_recurrent_kind kind) {
    return kind == CX_LSTM ? 4 : kind == CX_GRU ? 3 : 1;
}

cx_recurrent_layer cx_layer_recurrent(cx_graph *g, const char *name, cx_recurrent_kind kind, int in,
                                      int hidden) {
    int rows = gates_of(kind) * hidden;
    cx_recurrent_layer l = {.kind = kind, .in = in, .hidden = hidden};
    l.w_ih = param(g, name, "w_ih", CX_SHAPE(rows, in), CX_INIT_FAN_IN, hidden);
    l.w_hh = param(g, name, "w_hh", CX_SHAPE(rows, hidden), CX_INIT_FAN_IN, hidden);
    l.b_ih = param(g, name, "b_ih", CX_SHAPE(rows), CX_INIT_FAN_IN, hidden);
    l.b_hh = param(g, name, "b_hh", CX_SHAPE(rows), CX_INIT_FAN_IN, hidden);
    return l;
}

cx_recurrent_result cx_layer_recurrent_run(cx_graph *g, const cx_recurrent_layer *l, cx_ref x,
                                           cx_ref h0, cx_ref c0) {
    static const char *const ops[] = {"rnn_tanh", "gru", "lstm"};
    cx_ref in[] = {x, h0, l->w_ih, l->w_hh, l->b_ih, l->b_hh, c0};
    bool lstm = l->kind == CX_LSTM;
    cx_recurrent_result r = {.c = -1};
    r.y = cx_graph_op(g, ops[l->kind], in, lstm ? 7 : 6, NULL);
    r.h = cx_graph_output(g, r.y, 1);
    if (lstm)
        r.c = cx_graph_output(g, r.y, 2);
    return r;
}

double cx_recurrent_params(cx_recurrent_kind kind, int in, int hidden) {
    return (double)gates_of(kind) * hidden * (in + hidden + 2.0);
}

double cx_recurrent_products(cx_recurrent_kind kind, int in, int hidden) {
    return (double)gates_of(kind) * hidden * ((double)in + hidden);
}

cx_ref cx_layer_cross_entropy(cx_graph *g, cx_ref logits, int count, cx_ref *labels) {
    *labels = cx_graph_input_int(g, "labels", CX_SHAPE(count));
    return cx_graph_op(g, "cross_entropy", (cx_ref[]){logits, *labels}, 2, NULL);
}
