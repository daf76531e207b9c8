#include "tasks/ncf_net.h"

#include "tasks/layers.h"
#include <stdio.h>

const char *const cx_ncf_model_words[] = {"gmf", "mlp", "neumf", NULL};

static const double embedding_deviation = 0.01;

static bool has_gmf(const cx_ncf_net *net) {
    return net->model != CX_NCF_MLP;
}

static bool has_mlp(const cx_ncf_net *net) {
    return net->model != CX_NCF_GMF;
}

/* Of an mlp's embedding of a user, and of an item. */
static int mlp_width(const cx_ncf_net *net) {
    return net->factors << (net->layers - 1);
}

cx_ncf_cost cx_ncf_net_measure(const cx_ncf_net *net) {
    double rows = (double)net->users + net->items, f = net->factors;
    int dropped = net->dropout > 0, end = 0;
    cx_ncf_cost c = {.operators = 2};
    if (has_gmf(net)) {
        c.params += rows * f;
        c.activations += 3 * f;
        c.operators += 3 + dropped;
        end += net->factors;
    }
    if (has_mlp(net)) {
        double in = 2.0 * mlp_width(net);
        c.params += rows * mlp_width(net);
        c.activations += 2 * in;
        for (int i = 0; i < net->layers; i++, in /= 2) {
            c.products += in * in / 2;
            c.params += (in + 1) * in / 2;
            c.activations += in;
        }
        c.operators += 3 + net->layers * (2 + dropped);
        end += net->factors;
    }
    if (net->model == CX_NCF_NEUMF) {
        c.activations += end;
        c.operators++;
    }
    c.products += end;
    c.params += end + 1;
    return c;
}

static cx_ref gmf(const cx_ncf_net *net, cx_graph *g, const cx_ncf_refs *r) {
    cx_ref pair[] = {cx_layer_embedding(g, "gmf.user", r->user, (int)net->users, net->factors,
                                        embedding_deviation),
                     cx_layer_embedding(g, "gmf.item", r->item, (int)net->items, net->factors,
                                        embedding_deviation)};
    return cx_layer_dropout(g, cx_graph_op(g, "mul", pair, 2, NULL), net->dropout);
}

static cx_ref mlp(const cx_ncf_net *net, cx_graph *g, const cx_ncf_refs *r) {
    int width = mlp_width(net);
    cx_ref pair[] = {
        cx_layer_embedding(g, "mlp.user", r->user, (int)net->users, width, embedding_deviation),
        cx_layer_embedding(g, "mlp.item", r->item, (int)net->items, width, embedding_deviation)};
    cx_ref h = cx_graph_op(g, "concat", pair, 2, NULL);
    for (int i = 0; i < net->layers; i++, width /= 2) {
        char name[16];
        (void)snprintf(name, sizeof name, "mlp%d", i);
        h = cx_layer_linear(g, name, h, 2 * width, width);
        h = cx_layer_dropout(g, cx_layer_unary(g, "act_relu", h, NULL), net->dropout);
    }
    return h;
}

cx_ncf_refs cx_ncf_net_build(const cx_ncf_net *net, int batch, bool with_loss, cx_graph *g) {
    cx_ncf_refs r = {.user = cx_graph_input_int(g, "user", CX_SHAPE(batch)),
                     .item = cx_graph_input_int(g, "item", CX_SHAPE(batch)),
                     .target = -1,
                     .loss = -1};
    cx_ref end[2] = {-1, -1};
    int n = 0;
    if (has_gmf(net))
        end[n++] = gmf(net, g, &r);
    if (has_mlp(net))
        end[n++] = mlp(net, g, &r);
    cx_ref h = n > 1 ? cx_graph_op(g, "concat", end, n, NULL) : end[0];
    r.logits = cx_layer_linear(g, "out", h, n * net->factors, 1);
    if (with_loss) {
        r.target = cx_graph_input(g, "target", CX_SHAPE(batch, 1), false);
        r.loss = cx_graph_op(g, "bce_with_logits", (cx_ref[]){r.logits, r.target}, 2, NULL);
    }
    return r;
}
