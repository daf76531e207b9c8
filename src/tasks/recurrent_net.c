#include "tasks/recurrent_net.h"

#include "tasks/family.h"
#include <stdio.h>

static const double params_max = 1e8, activations_max = 5e8;

static int last_steps(const cx_recurrent_net *net, int length) {
    int k = net->bptt_length;
    return k > 0 && k < length && !net->every_step ? k : length;
}

/* --- measures --- */

cx_recurrent_net_cost cx_recurrent_net_measure(const cx_recurrent_net *net, int length) {
    /* numbers per hidden unit and step: gates and the gru's second half of them, states,
     * cells and their tanh */
    static const double kept[] = {2, 7, 7};
    cx_recurrent_kind kind = (cx_recurrent_kind)net->architecture;
    double share = (double)last_steps(net, length) / length, outputs = net->every_step ? length : 1;
    double linear = outputs * net->hidden * net->classes;
    cx_recurrent_net_cost c = {
        .activations = outputs * (net->hidden + 2.0 * net->classes) + (double)length * net->inputs,
        .params = (double)net->vocabulary * net->inputs + (net->hidden + 1.0) * net->classes,
        .operators = 3 + (net->dropout > 0 ? net->layers : 0)};
    for (int i = 0; i < net->layers; i++) {
        int in = i ? net->hidden : net->inputs;
        c.products += length * cx_recurrent_products(kind, in, net->hidden);
        c.activations += (double)length * net->hidden * (kept[kind] + (net->dropout > 0 ? 2 : 0));
        c.params += cx_recurrent_params(kind, in, net->hidden);
        c.operators += length;
    }
    c.trained = c.products * share + linear;
    c.products += linear;
    return c;
}

double cx_recurrent_net_flops(const cx_recurrent_net *net, int length, int batch) {
    cx_recurrent_net_cost c = cx_recurrent_net_measure(net, length);
    return batch * (2 * c.products + 4 * c.trained + 20 * c.activations) +
           CX_FLOPS_PER_UPDATE * c.params + CX_FLOPS_PER_OPERATOR * c.operators;
}

int cx_recurrent_net_check(const cx_recurrent_net *net, int length, int batch, const char *what,
                           cx_error *err) {
    cx_recurrent_net_cost c = cx_recurrent_net_measure(net, length);
    double logits = (double)batch * net->classes * (net->every_step ? length : 1);
    double activations = c.activations * batch + logits;
    if (c.params > params_max || activations > activations_max)
        return cx_fail(err, CX_ECONFIG,
                       "%s: a network of %.3g parameters and %.3g activations a batch; at most "
                       "%.0e and %.0e are right",
                       what, c.params, activations, params_max, activations_max);
    return CX_OK;
}

/* --- building --- */

/* The inputs of both stretches, and what the first recurrent layer reads. */
static void add_inputs(const cx_recurrent_net *net, cx_graph *g, cx_recurrent_refs *r,
                       cx_ref x[2]) {
    static const char *const names[] = {"early", "in"};
    for (int s = 0; s < 2; s++) {
        r->in[s] = x[s] = -1;
        if (r->steps[s] == 0)
            continue;
        if (net->vocabulary)
            r->in[s] = cx_graph_input_int(g, names[s], CX_SHAPE(r->steps[s], r->batch));
        else
            r->in[s] =
                cx_graph_input(g, names[s], CX_SHAPE(r->steps[s], r->batch, net->inputs), false);
        x[s] = r->in[s];
    }
    if (!net->vocabulary)
        return;
    cx_ref w = cx_graph_param(g, "embedding.weight", CX_SHAPE(net->vocabulary, net->inputs),
                              CX_INIT_NORMAL, 1);
    for (int s = 0; s < 2; s++)
        if (r->steps[s])
            x[s] = cx_graph_op(g, "embedding", (cx_ref[]){r->in[s], w}, 2, NULL);
}

static cx_ref stop(cx_graph *g, cx_ref x) {
    return x < 0 ? x : cx_layer_unary(g, "stop_gradient", x, NULL);
}

/* One layer over both stretches; x becomes what it hands on. Returns its last state. */
static cx_ref add_layer(const cx_recurrent_net *net, int number, cx_graph *g,
                        const cx_recurrent_refs *r, cx_ref x[2]) {
    char name[32];
    (void)snprintf(name, sizeof name, "layer%d", number);
    cx_recurrent_layer l = cx_layer_recurrent(g, name, (cx_recurrent_kind)net->architecture,
                                              number ? net->hidden : net->inputs, net->hidden);
    cx_recurrent_result result = {.h = -1, .c = -1};
    for (int s = 0; s < 2; s++)
        if (r->steps[s]) {
            result = cx_layer_recurrent_run(g, &l, x[s], stop(g, result.h), stop(g, result.c));
            x[s] = result.y;
        }
    return result.h;
}

cx_recurrent_refs cx_recurrent_net_build(const cx_recurrent_net *net, int length, int batch,
                                         bool with_loss, cx_graph *g) {
    cx_recurrent_refs r = {.length = length, .batch = batch, .labels = -1, .loss = -1};
    cx_ref x[2], h = -1;
    r.steps[1] = with_loss ? last_steps(net, length) : length;
    r.steps[0] = length - r.steps[1];
    add_inputs(net, g, &r, x);
    for (int i = 0; i < net->layers; i++) {
        for (int s = 0; i > 0 && s < 2; s++)
            if (r.steps[s])
                x[s] = cx_layer_dropout(g, x[s], net->dropout);
        h = add_layer(net, i, g, &r, x);
    }
    h = cx_layer_dropout(g, net->every_step ? x[1] : h, net->dropout);
    r.logits = cx_layer_linear(g, "out", h, net->hidden, net->classes);
    if (!with_loss)
        return r;
    r.labels = cx_graph_input_int(g, "labels",
                                  net->every_step ? CX_SHAPE(length, batch) : CX_SHAPE(batch));
    r.loss = cx_graph_op(g, "cross_entropy", (cx_ref[]){r.logits, r.labels}, 2, NULL);
    return r;
}

/* --- filling --- */

int32_t *cx_recurrent_word(const cx_graph *g, const cx_recurrent_refs *r, int step, int row) {
    int s = step >= r->steps[0];
    int32_t *words = cx_graph_value_int(g, r->in[s]);
    return words + (size_t)(s ? step - r->steps[0] : step) * (size_t)r->batch + row;
}

float *cx_recurrent_numbers(const cx_graph *g, const cx_recurrent_refs *r, int inputs, int step,
                            int row) {
    int s = step >= r->steps[0];
    size_t at = (size_t)(s ? step - r->steps[0] : step) * (size_t)r->batch + (size_t)row;
    return cx_graph_value(g, r->in[s]) + at * (size_t)inputs;
}
