/* Policy and value networks on the engine of nn/:
 *     x  = clip((in - mean) / sqrt(variance + 1e-5))
 *     a  = tanh(W1 x + b1)                 hidden
 *     h  = lstm_layernorm(a)               lstm
 *     d  = tanh(W2 h + b2)                 hidden
 *     out = W3 d + b3 (+ W4 x)             outputs
 * The tanh after the two linear layers is ours: without it each would be one with
 * the matrix that follows. */
#include "policy/network.h"
#include "base/arena.h"
#include "base/level.h"
#include "nn/graph.h"
#include "policy/acting.h"
#include "policy/observation.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double variance_eps = 1e-5;
static const float layernorm_eps = 1e-5f; /* the operator's default */

/* Learning graphs that are kept. They share one block of memory. */
enum { KEPT_MAX = 48 };

typedef struct {
    cx_graph *graph;
    int T, B; /* as built */
    cx_ref in, out;
    uint64_t used; /* time of last use */
} variant;

/* The tensors of a block, by role. Those of the outputs are scaled at the start. */
#define TENSOR_TABLE(X)                                                                            \
    X(INPUT_W, "input.weight", false)                                                              \
    X(INPUT_B, "input.bias", false)                                                                \
    X(W_IH, "lstm.w_ih", false)                                                                    \
    X(W_HH, "lstm.w_hh", false)                                                                    \
    X(GAIN1, "lstm.gain1", false) /* of LN(W x), then of LN(U h), then of LN(c) */                 \
    X(BIAS1, "lstm.bias1", false)                                                                  \
    X(GAIN2, "lstm.gain2", false)                                                                  \
    X(BIAS2, "lstm.bias2", false)                                                                  \
    X(GAIN3, "lstm.gain3", false)                                                                  \
    X(BIAS3, "lstm.bias3", false)                                                                  \
    X(HIDDEN_W, "hidden.weight", false)                                                            \
    X(HIDDEN_B, "hidden.bias", false)                                                              \
    X(OUTPUT_W, "output.weight", true)                                                             \
    X(OUTPUT_B, "output.bias", true)                                                               \
    X(DIRECT_W, "direct.weight", true) /* only with `residual` */                                  \
    X(MEAN, "norm.mean", false)                                                                    \
    X(VARIANCE, "norm.variance", false)                                                            \
    X(CORRECTION, "norm.correction", false)
enum {
#define X(role, name, scaled) role,
    TENSOR_TABLE(X)
#undef X
        ROLES
};
static const struct {
    const char *name;
    bool scaled;
} roles[] = {
#define X(role, name, scaled) {name, scaled},
    TENSOR_TABLE(X)
#undef X
};

struct cx_net {
    const cx_acting_kernels *acting;
    cx_net_shape shape;
    cx_graph *layout; /* T = B = 1, never run: its tensors define the block */
    int n_tensors;
    struct cx_net_tensor *tensors;
    size_t at[ROLES]; /* where each tensor is in the block */
    float *scratch;   /* of acting */
    bool upward;      /* the way of the next step through the matrices' rows */
    variant kept[KEPT_MAX];
    int n_kept;
    void *memory; /* of the kept ones, which are used one at a time; as the largest needs */
    size_t memory_size;
    variant *current; /* that of the last forward pass */
    uint64_t clock;
    float *compact; /* outputs without padding */
    size_t compact_size;
};

static cx_net_shape shape_for(const cx_config *config, int inputs, int outputs, double scale) {
    return (cx_net_shape){.inputs = inputs,
                          .hidden = config->policy.hidden,
                          .lstm = config->policy.lstm,
                          .outputs = outputs,
                          .residual = config->policy.residual != 0,
                          .output_scale = scale,
                          .input_clip = config->policy.input_clip};
}

cx_net_shape cx_policy_shape(const cx_config *config) {
    cx_heads heads;
    cx_action_heads(config, &heads);
    return shape_for(config, cx_observation_size(config), heads.n_logits, 0.01);
}

cx_net_shape cx_value_shape(const cx_config *config) {
    return shape_for(config, cx_privileged_size(config), 1, 1);
}

/* --- building --- */

static cx_ref param(cx_graph *g, int role, cx_shape shape, cx_init init, double value) {
    return cx_graph_param(g, roles[role].name, shape, init, value);
}

static cx_ref linear(cx_graph *g, cx_ref x, int weight, int bias, int in, int out) {
    cx_ref refs[] = {x, param(g, weight, CX_SHAPE(out, in), CX_INIT_FAN_IN, in), -1};
    if (bias >= 0)
        refs[2] = param(g, bias, CX_SHAPE(out), CX_INIT_FAN_IN, in);
    return cx_graph_op(g, "linear", refs, bias >= 0 ? 3 : 2, NULL);
}

static cx_ref lstm(cx_graph *g, const cx_net_shape *s, cx_ref x) {
    int n = s->lstm;
    cx_ref refs[11] = {x, -1, -1}; /* from the zero state */
    refs[3] = param(g, W_IH, CX_SHAPE(4 * n, s->hidden), CX_INIT_FAN_IN, n);
    refs[4] = param(g, W_HH, CX_SHAPE(4 * n, n), CX_INIT_FAN_IN, n);
    for (int i = 0; i < 6; i++)
        refs[5 + i] =
            param(g, GAIN1 + i, CX_SHAPE(i < 4 ? 4 * n : n), i % 2 ? CX_INIT_ZERO : CX_INIT_ONE, 0);
    return cx_graph_op(g, "lstm_layernorm", refs, 11,
                       (cx_attr[]){{"eps", layernorm_eps}, {NULL, 0}});
}

/* Without memory. */
static int build(const cx_net_shape *s, int T, int B, bool forward_only, variant *v,
                 cx_error *err) {
    cx_graph *g = cx_graph_create();
    if (!g)
        return cx_fail(err, CX_ENOMEM, "no memory for a network graph");
    *v = (variant){.graph = g, .T = T, .B = B};
    v->in = cx_graph_input(g, "in", CX_SHAPE(T, B, s->inputs), false);
    cx_ref x = linear(g, v->in, INPUT_W, INPUT_B, s->inputs, s->hidden);
    x = cx_graph_op(g, "act_tanh", &x, 1, NULL);
    x = lstm(g, s, x);
    x = linear(g, x, HIDDEN_W, HIDDEN_B, s->lstm, s->hidden);
    x = cx_graph_op(g, "act_tanh", &x, 1, NULL);
    x = linear(g, x, OUTPUT_W, OUTPUT_B, s->hidden, s->outputs);
    if (s->residual) {
        cx_ref direct = linear(g, v->in, DIRECT_W, -1, s->inputs, s->outputs);
        x = cx_graph_op(g, "add", (cx_ref[]){x, direct}, 2, NULL);
    }
    v->out = x;
    (void)cx_graph_state(g, roles[MEAN].name, CX_SHAPE(s->inputs), 0);
    (void)cx_graph_state(g, roles[VARIANCE].name, CX_SHAPE(s->inputs), 1);
    (void)cx_graph_state(g, roles[CORRECTION].name, CX_SHAPE(1), 0);
    int rc = cx_graph_plan_only(g, forward_only, err);
    if (rc != CX_OK) {
        cx_graph_destroy(g);
        v->graph = NULL;
    }
    return rc;
}

/* The table of tensors, and where each role's is in the block. */
static int describe(cx_net *net, cx_error *err) {
    const cx_graph *g = net->layout;
    int all = cx_graph_all_tensors(g);
    net->n_tensors = cx_graph_param_tensors(g);
    net->tensors = calloc((size_t)net->n_tensors, sizeof *net->tensors);
    if (!net->tensors)
        return cx_fail(err, CX_ENOMEM, "no memory for a table of %d tensors", net->n_tensors);
    for (int i = 0; i < all; i++) {
        const cx_param *p = cx_graph_param_info(g, i);
        for (int r = 0; r < ROLES; r++)
            if (strcmp(p->name, roles[r].name) == 0)
                net->at[r] = p->offset;
        if (i >= net->n_tensors)
            continue;
        struct cx_net_tensor *t = &net->tensors[i];
        memcpy(t->name, p->name, sizeof t->name);
        t->rank = p->shape.rank;
        memcpy(t->dim, p->shape.dim, sizeof t->dim);
        t->offset = p->offset;
        t->size = p->size;
    }
    return CX_OK;
}

CX_LEVEL_LOOKUP(cx_acting_kernels_now, cx_acting_kernels, cx_acting_kernels)

static size_t scratch_size(const cx_net_shape *s) {
    return (size_t)s->inputs + 2 * (size_t)s->hidden + 8 * (size_t)s->lstm;
}

int cx_net_create(const cx_net_shape *shape, cx_net **out, cx_error *err) {
    *out = NULL;
    cx_net *net = calloc(1, sizeof *net);
    if (!net)
        return cx_fail(err, CX_ENOMEM, "no memory for a network");
    net->acting = cx_acting_kernels_now();
    net->shape = *shape;
    variant layout = {0};
    int rc = build(shape, 1, 1, true, &layout, err);
    net->layout = layout.graph;
    if (rc == CX_OK)
        rc = describe(net, err);
    net->scratch = cx_calloc(scratch_size(shape), sizeof *net->scratch);
    if (rc == CX_OK && !net->scratch)
        rc = cx_fail(err, CX_ENOMEM, "no memory for a network's activations");
    if (rc != CX_OK) {
        cx_net_destroy(net);
        return rc;
    }
    *out = net;
    return CX_OK;
}

void cx_net_destroy(cx_net *net) {
    if (!net)
        return;
    if (net->layout)
        cx_graph_destroy(net->layout);
    for (int i = 0; i < net->n_kept; i++)
        cx_graph_destroy(net->kept[i].graph);
    free(net->memory);
    free(net->tensors);
    free(net->scratch);
    free(net->compact);
    free(net);
}

const cx_net_shape *cx_net_shape_of(const cx_net *net) {
    return &net->shape;
}

size_t cx_net_count(const cx_net *net) {
    return cx_graph_state_count(net->layout);
}

size_t cx_net_trainable(const cx_net *net) {
    return cx_graph_param_count(net->layout);
}

int cx_net_tensors(const cx_net *net) {
    return net->n_tensors;
}

const struct cx_net_tensor *cx_net_tensor_at(const cx_net *net, int i) {
    return &net->tensors[i];
}

void cx_net_statistics_at(const cx_net *net, size_t offset[3]) {
    offset[0] = net->at[MEAN];
    offset[1] = net->at[VARIANCE];
    offset[2] = net->at[CORRECTION];
}

void cx_net_init(const cx_net *net, float *block, cx_rng *rng) {
    cx_graph_init(net->layout, block, rng);
    for (int i = 0; i < net->n_tensors; i++)
        for (int r = 0; r < ROLES; r++)
            if (roles[r].scaled && strcmp(net->tensors[i].name, roles[r].name) == 0)
                for (size_t j = 0; j < net->tensors[i].size; j++)
                    block[net->tensors[i].offset + j] *= (float)net->shape.output_scale;
}

/* --- normalization of the inputs --- */

void cx_net_normalize(const cx_net *net, const float *block, const float *in, float *out) {
    const float *mean = block + net->at[MEAN], *variance = block + net->at[VARIANCE];
    float eps = (float)variance_eps, clip = (float)net->shape.input_clip;
    for (int i = 0; i < net->shape.inputs; i++) {
        float x = (in[i] - mean[i]) / sqrtf(variance[i] + eps);
        x = x < -clip ? -clip : x;
        out[i] = x > clip ? clip : x;
    }
}

void cx_net_update_statistics(const cx_net *net, float *block, const float *in, size_t n,
                              double beta) {
    if (n == 0)
        return;
    /* Mean and variance are kept corrected: those of all inputs seen, weighted by
     * beta^age and scaled to sum 1. The correction is the sum before scaling, 1 -
     * beta^count; it says how much the past weighs against the batch. */
    float *mean = block + net->at[MEAN], *variance = block + net->at[VARIANCE];
    float *correction = block + net->at[CORRECTION];
    double fresh = 1 - pow(beta, (double)n), total = (1 - fresh) * *correction + fresh;
    double share = total > 0 ? fresh / total : 0;
    size_t width = (size_t)net->shape.inputs;
    for (size_t i = 0; i < width; i++) {
        double m = 0, v = 0;
        for (size_t k = 0; k < n; k++)
            m += in[k * width + i];
        m /= (double)n;
        for (size_t k = 0; k < n; k++)
            v += (in[k * width + i] - m) * (in[k * width + i] - m);
        v /= (double)n;
        double delta = m - mean[i];
        mean[i] = (float)(mean[i] + share * delta);
        variance[i] =
            (float)((1 - share) * variance[i] + share * v + share * (1 - share) * delta * delta);
    }
    *correction = (float)total;
}

/* --- acting: one row through the network, written out --- */

int cx_net_step(cx_net *net, const float *block, const float *in, float *state, float *out,
                cx_error *err) {
    (void)err; /* all memory is there already */
    const cx_net_shape *s = &net->shape;
    const size_t *at = net->at;
    float *x = net->scratch, *a = x + s->inputs, *d = a + s->hidden;
    float *gate = d + s->hidden, *other = gate + 4 * s->lstm;
    float *h = state, *c = state + s->lstm;
    const cx_acting_kernels *k = net->acting;
    const cx_acting_norms norms = {block + at[GAIN1], block + at[BIAS1], block + at[GAIN2],
                                   block + at[BIAS2], block + at[GAIN3], block + at[BIAS3]};
    /* Weights larger than the second-level cache: what the step before has read last is still
     * there, and is read first. */
    bool up = net->upward;
    net->upward = !up;
    cx_net_normalize(net, block, in, x);
    if (up)
        k->matvec(block + at[W_HH], NULL, h, 4 * s->lstm, s->lstm, false, up, other);
    k->matvec(block + at[INPUT_W], block + at[INPUT_B], x, s->hidden, s->inputs, false, up, a);
    k->apply_tanh(a, s->hidden);
    k->matvec(block + at[W_IH], NULL, a, 4 * s->lstm, s->hidden, false, up, gate);
    if (!up)
        k->matvec(block + at[W_HH], NULL, h, 4 * s->lstm, s->lstm, false, up, other);
    k->cell(&norms, s->lstm, gate, other, h, c);
    k->matvec(block + at[HIDDEN_W], block + at[HIDDEN_B], h, s->hidden, s->lstm, false, up, d);
    k->apply_tanh(d, s->hidden);
    k->matvec(block + at[OUTPUT_W], block + at[OUTPUT_B], d, s->outputs, s->hidden, false, up, out);
    if (s->residual)
        k->matvec(block + at[DIRECT_W], NULL, x, s->outputs, s->inputs, true, up, out);
    return CX_OK;
}

/* --- learning --- */

/* The engine's blocks are writable for running statistics; none of our operators has
 * any, so that a constant block stays as it is. */
static void bind(variant *v, const float *block, float *grads) {
    cx_graph_bind(v->graph, (float *)(uintptr_t)block, grads);
}

/* Up to a number with at most four significant bits: a graph serves near sizes, too,
 * and wastes less than an eighth. */
static int rounded(int n) {
    int unit = 1;
    while (n > 8 * unit)
        unit *= 2;
    return (n + unit - 1) / unit * unit;
}

/* Drops the one not used for longest, where there are as many as may be. */
static void make_room(cx_net *net) {
    int oldest = 0;
    for (int i = 1; i < net->n_kept; i++)
        if (net->kept[i].used < net->kept[oldest].used)
            oldest = i;
    if (net->n_kept < KEPT_MAX)
        return;
    cx_graph_destroy(net->kept[oldest].graph);
    net->kept[oldest] = net->kept[--net->n_kept];
}

/* Gives the newest graph its memory; where it needs more than there is, all get another. */
static int furnish(cx_net *net, const variant *v, cx_error *err) {
    size_t need = cx_graph_arena_bytes(v->graph);
    if (need <= net->memory_size) {
        cx_graph_place(v->graph, net->memory);
        return CX_OK;
    }
    free(net->memory);
    net->memory_size = 0;
    net->memory = cx_calloc(need, 1);
    for (int i = 0; i < net->n_kept; i++) /* those before it must not point to what is gone */
        if (net->memory)
            cx_graph_place(net->kept[i].graph, net->memory);
        else
            cx_graph_destroy(net->kept[i].graph);
    if (!net->memory) {
        net->n_kept = 0;
        return cx_fail(err, CX_ENOMEM, "no memory for a graph of %zu bytes", need);
    }
    net->memory_size = need;
    cx_graph_place(v->graph, net->memory);
    return CX_OK;
}

static int find(cx_net *net, int T, int B, variant **out, cx_error *err) {
    T = rounded(T);
    B = rounded(B);
    *out = NULL;
    for (int i = 0; i < net->n_kept; i++)
        if (net->kept[i].T == T && net->kept[i].B == B)
            *out = &net->kept[i];
    if (!*out) {
        make_room(net);
        variant *v = &net->kept[net->n_kept];
        int rc = build(&net->shape, T, B, false, v, err);
        if (rc == CX_OK) {
            rc = furnish(net, v, err);
            if (rc != CX_OK)
                cx_graph_destroy(v->graph);
        }
        if (rc != CX_OK)
            return cx_fail_in(err, "network of %d steps and %d sequences", T, B), rc;
        net->n_kept++;
        *out = v;
    }
    (*out)->used = ++net->clock;
    return CX_OK;
}

int cx_net_forward(cx_net *net, const float *block, const float *in, int T, int B,
                   const float **out, cx_error *err) {
    *out = NULL;
    net->current = NULL;
    if (T < 1 || B < 1)
        return cx_fail(err, CX_ESTATE, "a network was asked for %d steps of %d sequences", T, B);
    variant *v;
    int rc = find(net, T, B, &v, err);
    if (rc != CX_OK)
        return rc;
    size_t width = (size_t)net->shape.inputs, outputs = (size_t)net->shape.outputs;
    size_t need = (size_t)T * (size_t)B * outputs;
    if (v->B != B && need > net->compact_size) {
        free(net->compact);
        net->compact_size = 0;
        net->compact = malloc(need * sizeof *net->compact);
        if (!net->compact)
            return cx_fail(err, CX_ENOMEM, "no memory for %zu outputs", need);
        net->compact_size = need;
    }
    bind(v, block, NULL);
    float *x = cx_graph_value(v->graph, v->in);
    for (int t = 0; t < v->T; t++)
        for (int b = 0; b < v->B; b++, x += width)
            if (t < T && b < B)
                cx_net_normalize(net, block, in + ((size_t)t * (size_t)B + (size_t)b) * width, x);
            else
                memset(x, 0, width * sizeof *x);
    cx_graph_forward(v->graph, CX_TRAIN, NULL);
    net->current = v;
    const float *y = cx_graph_value(v->graph, v->out);
    *out = y;
    if (v->B != B) { /* else the padding lies behind */
        size_t row = (size_t)B * outputs;
        for (int t = 0; t < T; t++)
            memcpy(net->compact + (size_t)t * row, y + (size_t)t * (size_t)v->B * outputs,
                   row * sizeof *y);
        *out = net->compact;
    }
    return CX_OK;
}

int cx_net_backward(cx_net *net, const float *block, const float *dout, int T, int B, float *grads,
                    cx_error *err) {
    variant *v = net->current;
    if (!v || v->T != rounded(T) || v->B != rounded(B))
        return cx_fail(err, CX_ESTATE,
                       "a backward pass of %d steps and %d sequences has no forward pass", T, B);
    size_t row = (size_t)B * (size_t)net->shape.outputs;
    size_t padded = (size_t)v->B * (size_t)net->shape.outputs;
    bind(v, block, grads);
    float *d = cx_graph_grad(v->graph, v->out);
    cx_graph_zero_grads(v->graph);
    for (int t = 0; t < T; t++)
        memcpy(d + (size_t)t * padded, dout + (size_t)t * row, row * sizeof *d);
    cx_graph_backward(v->graph);
    return CX_OK;
}
