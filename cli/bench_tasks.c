#include "cli/bench.h"

#include "base/arena.h"
#include "tasks/layers.h"
#include "tasks/recurrent_net.h"
#include "tasks/resnet_net.h"
#include "tasks/speech_net.h"
#include "tasks/transformer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cx_ref note(cx_bench_task *t, cx_ref ref, bool integer, int32_t low, int32_t high) {
    if (t->n_inputs < CX_BENCH_INPUTS)
        t->input[t->n_inputs++] =
            (cx_bench_input){.ref = ref, .integer = integer, .low = low, .high = high};
    return ref;
}

/* high: see cx_bench_input. */
static cx_ref real_input(cx_bench_task *t, const char *name, cx_shape shape, int32_t high) {
    return note(t, cx_graph_input(t->graph, name, shape, false), false, 0, high);
}

static cx_ref int_input(cx_bench_task *t, const char *name, cx_shape shape, int32_t low,
                        int32_t high) {
    return note(t, cx_graph_input_int(t->graph, name, shape), true, low, high);
}

/* Mean cross-entropy against `count` labels of 0 .. classes - 1. */
static void classify(cx_bench_task *t, cx_ref logits, int count, int classes) {
    cx_ref labels;
    t->loss = cx_layer_cross_entropy(t->graph, logits, count, &labels);
    (void)note(t, labels, true, 0, classes - 1);
}

/* Each build function returns the matrix products of the first layer, in operations of
 * one forward pass: nobody computes the gradient of its input. */
static double build_mlp(cx_bench_task *t) {
    enum { B = 128 };
    cx_graph *g = t->graph;
    cx_ref x = real_input(t, "x", CX_SHAPE(B, 784), 0);
    cx_ref h = cx_layer_linear(g, "layer0", x, 784, 128);
    h = cx_layer_unary(g, "act_relu", h, NULL);
    h = cx_layer_linear(g, "layer1", h, 128, 128);
    h = cx_layer_unary(g, "act_relu", h, NULL);
    classify(t, cx_layer_linear(g, "out", h, 128, 10), B, 10);
    return 2.0 * B * 784 * 128;
}

static double build_cnn(cx_bench_task *t) {
    enum { B = 128 };
    static const cx_attr two[] = {{"kernel", 2}, {"stride", 2}, {NULL, 0}};
    cx_graph *g = t->graph;
    cx_ref x = real_input(t, "x", CX_SHAPE(B, 1, 28, 28), 0);
    cx_ref h = cx_layer_conv(g, "conv0", x, 1, 16, 3, 1, true);
    h = cx_layer_unary(g, "maxpool2d", cx_layer_unary(g, "act_relu", h, NULL), two);
    h = cx_layer_conv(g, "conv1", h, 16, 32, 3, 1, true);
    h = cx_layer_unary(g, "maxpool2d", cx_layer_unary(g, "act_relu", h, NULL), two);
    h = cx_layer_unary(g, "flatten", h, NULL);
    classify(t, cx_layer_linear(g, "out", h, 1568, 10), B, 10);
    return 2.0 * B * 28 * 28 * 16 * 9;
}

/* NeuMF. Rows of the embeddings have a gradient: nothing is left out. */
static double build_ncf(cx_bench_task *t) {
    enum { B = 256, USERS = 6040, ITEMS = 3706, GMF = 8, MLP = 32 };
    cx_graph *g = t->graph;
    cx_ref user = int_input(t, "user", CX_SHAPE(B), 0, USERS - 1);
    cx_ref item = int_input(t, "item", CX_SHAPE(B), 0, ITEMS - 1);
    cx_ref pair[] = {cx_layer_embedding(g, "gmf.user", user, USERS, GMF, 0.01),
                     cx_layer_embedding(g, "gmf.item", item, ITEMS, GMF, 0.01)};
    cx_ref joined[] = {cx_layer_embedding(g, "mlp.user", user, USERS, MLP, 0.01),
                       cx_layer_embedding(g, "mlp.item", item, ITEMS, MLP, 0.01)};
    cx_ref h = cx_graph_op(g, "concat", joined, 2, NULL);
    static const int width[] = {64, 32, 16, 8};
    for (int i = 0; i < 3; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "mlp%d", i);
        h = cx_layer_linear(g, name, h, width[i], width[i + 1]);
        h = cx_layer_unary(g, "act_relu", h, NULL);
    }
    cx_ref both[] = {cx_graph_op(g, "mul", pair, 2, NULL), h};
    h = cx_graph_op(g, "concat", both, 2, NULL);
    cx_ref end[] = {cx_layer_linear(g, "out", h, GMF + 8, 1),
                    real_input(t, "target", CX_SHAPE(B, 1), 1)};
    t->loss = cx_graph_op(g, "bce_with_logits", end, 2, NULL);
    return 0;
}

/* The networks of the families sentences and algo. */
static double build_lstm(cx_bench_task *t) {
    static const cx_recurrent_net net = {.architecture = CX_LSTM,
                                         .layers = 1,
                                         .hidden = 64,
                                         .vocabulary = 2000,
                                         .inputs = 64,
                                         .classes = 2};
    cx_recurrent_refs r = cx_recurrent_net_build(&net, 32, 64, true, t->graph);
    (void)note(t, r.in[1], true, 0, net.vocabulary - 1);
    (void)note(t, r.labels, true, 0, net.classes - 1);
    t->loss = r.loss;
    return 0; /* the embedding has a gradient */
}

static double build_gru(cx_bench_task *t) {
    static const cx_recurrent_net net = {.architecture = CX_GRU,
                                         .layers = 1,
                                         .hidden = 64,
                                         .inputs = 2,
                                         .classes = 2,
                                         .every_step = true};
    cx_recurrent_refs r = cx_recurrent_net_build(&net, 32, 128, true, t->graph);
    (void)note(t, r.in[1], false, 0, 1);
    (void)note(t, r.labels, true, 0, net.classes - 1);
    t->loss = r.loss;
    return 2.0 * 32 * 128 * 2 * 3 * 64;
}

static double build_resnet(cx_bench_task *t) {
    enum { B = 64 };
    static const cx_resnet net = {.depth = 8, .side = 32, .classes = 10, .width = 1};
    cx_resnet_refs r = cx_resnet_build(&net, B, true, t->graph);
    (void)note(t, r.x, false, 0, 0);
    (void)note(t, r.labels, true, 0, net.classes - 1);
    t->loss = r.loss;
    return 2.0 * B * 32 * 32 * 16 * 27;
}

/* The network of the family speech: 1 s of 40 mel bands, up to 20 of 29 characters. */
static double build_ctc(cx_bench_task *t) {
    static const cx_speech_net net = {
        .cell = CX_GRU, .layers = 2, .hidden = 96, .in = 40, .symbols = 30};
    static const cx_speech_size size = {100, 16, 20};
    cx_speech_refs r = cx_speech_net_build(&net, size, t->graph);
    (void)note(t, r.x, false, 0, 0);
    (void)note(t, r.labels, true, 1, net.symbols - 1);
    (void)note(t, r.step_counts, true, size.steps, size.steps);
    (void)note(t, r.lengths, true, size.length / 2, size.length);
    t->loss = r.loss;
    return 2.0 * 16 * 100 * 40 * 3 * 96;
}

/* The network of the families text and gpt2. Rows of the embedding have a gradient. */
static double build_transformer(cx_bench_task *t) {
    static const cx_transformer net = {.vocabulary = 256,
                                       .context = 64,
                                       .width = 128,
                                       .layers = 2,
                                       .heads = 4,
                                       .hidden = 512,
                                       .erf = true};
    cx_transformer_refs r = cx_transformer_build(&net, 16, t->graph);
    (void)note(t, r.tokens, true, 0, net.vocabulary - 1);
    (void)note(t, r.targets, true, 0, net.vocabulary - 1);
    t->loss = r.loss;
    return 0;
}

/* The noisy quadratic is the task family itself: its step is a pass of its own, which
 * draws the noise, too. */
static int make_nqm(cx_bench_task *t, cx_error *err) {
    static const char yaml[] = "tasks:\n"
                               "  - {family: nqm, outer_steps: 32, inner_per_outer: 4,\n"
                               "     dimension: 1000, conditioning: 1000, noise: 1}\n";
    int rc = cx_bench_config(yaml, &t->config, err);
    if (rc)
        return rc;
    cx_task_spec spec;
    cx_task_sample(t->config, 0, &spec);
    rc = cx_task_create(&spec, t->config, NULL, &t->task, err);
    if (rc)
        return rc;
    t->graph = t->task->graph;
    t->flops = 3 * 2.0 * 1000; /* the product with the diagonal of H */
    return CX_OK;
}

typedef struct {
    const char *name;
    double (*build)(cx_bench_task *t);            /* a graph */
    int (*make)(cx_bench_task *t, cx_error *err); /* or all of it */
} row;

static const row rows[] = {
    {"mlp", build_mlp, NULL},
    {"cnn", build_cnn, NULL},
    {"lstm", build_lstm, NULL},
    {"gru", build_gru, NULL},
    {"transformer", build_transformer, NULL},
    {"nqm", NULL, make_nqm},
    {"ncf", build_ncf, NULL},
    {"resnet", build_resnet, NULL},
    {"ctc", build_ctc, NULL},
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

const char *cx_bench_task_name(int i) {
    return i >= 0 && i < N_ROWS ? rows[i].name : NULL;
}

static int make_batches(cx_bench_task *t, cx_error *err) {
    cx_rng rng = cx_rng_make(CX_BENCH_SEED, 0, CX_STREAM_DATA);
    for (int k = 0; k < t->n_inputs; k++) {
        cx_bench_input *in = &t->input[k];
        cx_shape shape = cx_graph_shape(t->graph, in->ref);
        in->size = cx_shape_size(&shape);
        size_t n = CX_BENCH_BATCHES * in->size;
        float *real = in->batches = cx_calloc(n, 4);
        int32_t *whole = in->batches;
        if (!in->batches)
            return cx_fail(err, CX_ENOMEM, "no memory for the batches of %s", t->name);
        bool uniform = !in->integer && in->high == 0;
        if (uniform)
            cx_rng_fill_uniform(&rng, real, n, 0, 1);
        for (size_t i = 0; i < n && !uniform; i++) {
            int32_t x = in->low + (int32_t)cx_rng_below(&rng, (uint32_t)(in->high - in->low + 1));
            if (in->integer)
                whole[i] = x;
            else
                real[i] = (float)x;
        }
    }
    return CX_OK;
}

static int list_tensors(cx_bench_task *t, cx_error *err) {
    t->n_tensors = cx_graph_param_tensors(t->graph);
    t->param_count = cx_graph_param_count(t->graph);
    t->state_count = cx_graph_state_count(t->graph);
    t->tensors = calloc((size_t)t->n_tensors, sizeof *t->tensors);
    if (!t->tensors)
        return cx_fail(err, CX_ENOMEM, "no memory for the tensors of %s", t->name);
    for (int i = 0; i < t->n_tensors; i++) {
        const cx_param *p = cx_graph_param_info(t->graph, i);
        t->tensors[i] =
            (cx_optim_tensor){.offset = p->offset, .size = p->size, .rank = p->shape.rank};
        t->params += (double)p->size;
    }
    return CX_OK;
}

int cx_bench_task_create(int i, cx_bench_task *t, cx_error *err) {
    int rc;
    memset(t, 0, sizeof *t);
    t->name = rows[i].name;
    if (rows[i].make) {
        rc = rows[i].make(t, err);
        return rc ? rc : list_tensors(t, err);
    }
    t->graph = cx_graph_create();
    if (!t->graph)
        return cx_fail(err, CX_ENOMEM, "no memory for the network of %s", t->name);
    double first = rows[i].build(t);
    rc = cx_graph_plan(t->graph, false, err);
    if (rc)
        return rc;
    t->flops = 3 * cx_graph_flops(t->graph) - first;
    rc = make_batches(t, err);
    return rc ? rc : list_tensors(t, err);
}

void cx_bench_task_destroy(cx_bench_task *t) {
    if (t->task)
        cx_task_destroy(t->task);
    else
        cx_graph_destroy(t->graph);
    free(t->config);
    for (int k = 0; k < t->n_inputs; k++)
        free(t->input[k].batches);
    free(t->tensors);
    memset(t, 0, sizeof *t);
}

void cx_bench_task_init(const cx_bench_task *t, float *block) {
    if (t->task) {
        cx_task_init(t->task, block);
        return;
    }
    cx_rng rng = cx_rng_make(CX_BENCH_SEED, 0, CX_STREAM_INIT);
    cx_graph_init(t->graph, block, &rng);
}

void cx_bench_task_data(cx_bench_task *t, float *block, float *grads, uint32_t step) {
    if (t->task)
        return;
    size_t b = step % CX_BENCH_BATCHES;
    cx_graph_bind(t->graph, block, grads);
    for (int k = 0; k < t->n_inputs; k++) {
        const cx_bench_input *in = &t->input[k];
        void *to = in->integer ? (void *)cx_graph_value_int(t->graph, in->ref)
                               : (void *)cx_graph_value(t->graph, in->ref);
        memcpy(to, (const char *)in->batches + b * in->size * 4, in->size * 4);
    }
}

void cx_bench_task_forward(cx_bench_task *t, float *block, float *grads, uint32_t step) {
    if (t->task) {
        t->loss_value = cx_task_step(t->task, block, grads, step);
        return;
    }
    cx_graph_forward(t->graph, CX_TRAIN, NULL);
    t->loss_value = *cx_graph_value(t->graph, t->loss);
}

void cx_bench_task_backward(cx_bench_task *t) {
    if (!t->task)
        cx_graph_backward_loss(t->graph, t->loss);
}
