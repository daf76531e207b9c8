#include "tasks/transformer.h"

#include "tasks/layers.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>

static const double deviation = 0.02;

const char *cx_transformer_fault(const cx_transformer *net, int batch) {
    double tokens = (double)batch * net->context;
    if (net->layers > CX_TRANSFORMER_LAYERS_MAX || net->width > CX_TRANSFORMER_WIDTH_MAX)
        return "too many layers, or too wide";
    if (net->heads < 1 || net->width % net->heads != 0)
        return "the width (embedding) must be a multiple of heads";
    /* the arrays of a graph are numbered by int */
    if (tokens * fmax(fmax(net->vocabulary, net->hidden), 3.0 * net->width) > INT_MAX ||
        tokens * net->heads * net->context > INT_MAX)
        return "a batch's logits, units or attention weights are more than 2^31; fewer tokens a "
               "batch are right";
    return NULL;
}

/* --- building --- */

typedef struct {
    const cx_transformer *net;
    cx_graph *g;
    char prefix[16]; /* "h.3." inside a block */
} builder;

static cx_ref param(const builder *b, const char *name, cx_shape shape, cx_init init,
                    double value) {
    char full[96];
    (void)snprintf(full, sizeof full, "%s%s", b->prefix, name);
    return cx_graph_param(b->g, full, shape, init, value);
}

/* `ends`: its result is added to the residual stream. */
static cx_ref weight(const builder *b, const char *name, int out, int in, bool ends) {
    double gpt2 = ends ? deviation / sqrt(2.0 * b->net->layers) : deviation;
    bool normal = b->net->gpt2_start;
    return param(b, name, CX_SHAPE(out, in), normal ? CX_INIT_NORMAL : CX_INIT_FAN_IN,
                 normal ? gpt2 : in);
}

static cx_ref norm(const builder *b, const char *name, cx_ref x) {
    char full[64];
    (void)snprintf(full, sizeof full, "%s%s", b->prefix, name);
    return cx_layer_norm(b->g, full, x, b->net->width);
}

static cx_ref add(const builder *b, cx_ref x, cx_ref branch) {
    branch = cx_layer_dropout(b->g, branch, b->net->dropout);
    return cx_graph_op(b->g, "add", (cx_ref[]){x, branch}, 2, NULL);
}

/* Weight and bias of a linear layer, declared in this order. */
typedef struct {
    cx_ref w, b;
} affine;

static affine declare(const builder *b, const char *name, int out, int in, bool ends) {
    char full[64];
    affine a;
    (void)snprintf(full, sizeof full, "%s.weight", name);
    a.w = weight(b, full, out, in, ends);
    (void)snprintf(full, sizeof full, "%s.bias", name);
    a.b = param(b, full, CX_SHAPE(out), b->net->gpt2_start ? CX_INIT_ZERO : CX_INIT_FAN_IN, in);
    return a;
}

static cx_ref attention(const builder *b, cx_ref x) {
    const cx_attr heads[] = {{"heads", b->net->heads}, {NULL, 0}};
    int d = b->net->width;
    affine in = declare(b, "attn.c_attn", 3 * d, d, false);
    affine out = declare(b, "attn.c_proj", d, d, true);
    return cx_graph_op(b->g, "causal_attention", (cx_ref[]){x, in.w, in.b, out.w, out.b}, 5, heads);
}

static cx_ref mlp(const builder *b, cx_ref x) {
    int d = b->net->width, f = b->net->hidden;
    affine fc = declare(b, "mlp.c_fc", f, d, false);
    affine proj = declare(b, "mlp.c_proj", d, f, true);
    x = cx_graph_op(b->g, "linear", (cx_ref[]){x, fc.w, fc.b}, 3, NULL);
    x = cx_layer_unary(b->g, b->net->erf ? "act_gelu_erf" : "act_gelu_tanh", x, NULL);
    return cx_graph_op(b->g, "linear", (cx_ref[]){x, proj.w, proj.b}, 3, NULL);
}

cx_transformer_refs cx_transformer_build(const cx_transformer *net, int batch, cx_graph *g) {
    const cx_attr ignore[] = {{"ignore_index", CX_TRANSFORMER_IGNORE}, {NULL, 0}};
    builder b = {net, g, ""};
    int d = net->width, v = net->vocabulary, t = net->context;
    cx_transformer_refs r;
    r.tokens = cx_graph_input_int(g, "tokens", CX_SHAPE(batch, t));
    r.targets = cx_graph_input_int(g, "targets", CX_SHAPE(batch, t));
    cx_ref wte = param(&b, "wte.weight", CX_SHAPE(v, d), CX_INIT_NORMAL, deviation);
    cx_ref wpe = param(&b, "wpe.weight", CX_SHAPE(t, d), CX_INIT_NORMAL, deviation);
    cx_ref x = cx_graph_op(g, "embedding", (cx_ref[]){r.tokens, wte}, 2, NULL);
    x = cx_graph_op(g, "add", (cx_ref[]){x, wpe}, 2, NULL);
    x = cx_layer_dropout(g, x, net->dropout);
    for (int i = 0; i < net->layers; i++) {
        (void)snprintf(b.prefix, sizeof b.prefix, "h.%d.", i);
        x = add(&b, x, attention(&b, norm(&b, "ln_1", x)));
        x = add(&b, x, mlp(&b, norm(&b, "ln_2", x)));
    }
    b.prefix[0] = 0;
    x = norm(&b, "ln_f", x);
    cx_ref head = net->tied ? wte : weight(&b, "head.weight", v, d, false);
    cx_ref logits = cx_graph_op(g, "linear", (cx_ref[]){x, head}, 2, NULL);
    r.loss = cx_graph_op(g, "cross_entropy", (cx_ref[]){logits, r.targets}, 2, ignore);
    return r;
}

cx_transformer_cost cx_transformer_measure(const cx_transformer *net) {
    double d = net->width, f = net->hidden, v = net->vocabulary, t = net->context, n = net->layers;
    double matrices = 4 * d * d + 2 * d * f, vectors = 9 * d + f; /* of a block */
    int drops = net->dropout > 0;
    cx_transformer_cost c;
    c.params = (net->tied ? v : 2 * v) * d + t * d + n * (matrices + vectors) + 2 * d;
    c.products = v * d + n * (matrices + 2 * t * d);
    c.activations = 3 * d + 2 * v + n * (10 * d + 2 * f + net->heads * t);
    c.operators = 5 + drops + net->layers * (8 + 2 * drops);
    return c;
}
