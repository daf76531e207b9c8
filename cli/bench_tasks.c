#include "cli/bench.h"

#include "base/arena.h"
#include "tasks/layers.h"
#include "tasks/resnet_net.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each build function returns the matrix products of the first layer, in operations of
 * one forward pass: nobody computes the gradient of its input. */
static double build_mlp(cx_bench_task *t) {
    enum { B = 128 };
    cx_graph *g = t->graph;
    t->x = cx_graph_input(g, "x", CX_SHAPE(B, 784), false);
    cx_ref h = cx_layer_linear(g, "layer0", t->x, 784, 128);
    h = cx_layer_unary(g, "act_relu", h, NULL);
    h = cx_layer_linear(g, "layer1", h, 128, 128);
    h = cx_layer_unary(g, "act_relu", h, NULL);
    t->loss = cx_layer_cross_entropy(g, cx_layer_linear(g, "out", h, 128, 10), B, &t->label);
    return 2.0 * B * 784 * 128;
}

static double build_cnn(cx_bench_task *t) {
    enum { B = 128 };
    static const cx_attr two[] = {{"kernel", 2}, {"stride", 2}, {NULL, 0}};
    cx_graph *g = t->graph;
    t->x = cx_graph_input(g, "x", CX_SHAPE(B, 1, 28, 28), false);
    cx_ref h = cx_layer_conv(g, "conv0", t->x, 1, 16, 3, 1, true);
    h = cx_layer_unary(g, "maxpool2d", cx_layer_unary(g, "act_relu", h, NULL), two);
    h = cx_layer_conv(g, "conv1", h, 16, 32, 3, 1, true);
    h = cx_layer_unary(g, "maxpool2d", cx_layer_unary(g, "act_relu", h, NULL), two);
    h = cx_layer_unary(g, "flatten", h, NULL);
    t->loss = cx_layer_cross_entropy(g, cx_layer_linear(g, "out", h, 1568, 10), B, &t->label);
    return 2.0 * B * 28 * 28 * 16 * 9;
}

static double build_resnet(cx_bench_task *t) {
    enum { B = 64 };
    const cx_resnet net = {.depth = 8, .side = 32, .classes = 10, .width = 1};
    cx_resnet_refs r = cx_resnet_build(&net, B, true, t->graph);
    t->x = r.x;
    t->label = r.labels;
    t->loss = r.loss;
    return 2.0 * B * 32 * 32 * 16 * 27;
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
    int (*make)(cx_bench_task *t, cx_error *err); /* or all of it; both NULL: not there */
} row;

static const row rows[] = {
    {"mlp", build_mlp, NULL}, {"cnn", build_cnn, NULL},       {"lstm", NULL, NULL},
    {"gru", NULL, NULL},      {"transformer", NULL, NULL},    {"nqm", NULL, make_nqm},
    {"ncf", NULL, NULL},      {"resnet", build_resnet, NULL}, {"ctc", NULL, NULL},
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

const char *cx_bench_task_name(int i, bool *there) {
    if (i < 0 || i >= N_ROWS)
        return NULL;
    *there = rows[i].build || rows[i].make;
    return rows[i].name;
}

static int make_batches(cx_bench_task *t, int classes, cx_error *err) {
    cx_shape x = cx_graph_shape(t->graph, t->x), y = cx_graph_shape(t->graph, t->label);
    t->x_size = cx_shape_size(&x);
    t->label_size = cx_shape_size(&y);
    t->inputs = cx_calloc(CX_BENCH_BATCHES * t->x_size, sizeof *t->inputs);
    t->labels = cx_calloc(CX_BENCH_BATCHES * t->label_size, sizeof *t->labels);
    if (!t->inputs || !t->labels)
        return cx_fail(err, CX_ENOMEM, "no memory for the batches of %s", t->name);
    cx_rng rng = cx_rng_make(CX_BENCH_SEED, 0, CX_STREAM_DATA);
    cx_rng_fill_uniform(&rng, t->inputs, CX_BENCH_BATCHES * t->x_size, 0, 1);
    for (size_t i = 0; i < CX_BENCH_BATCHES * t->label_size; i++)
        t->labels[i] = (int32_t)cx_rng_below(&rng, (uint32_t)classes);
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
    if (!rows[i].build)
        return cx_fail(err, CX_EUNSUPPORTED, "task %s is not implemented", t->name);
    t->graph = cx_graph_create();
    if (!t->graph)
        return cx_fail(err, CX_ENOMEM, "no memory for the network of %s", t->name);
    double first = rows[i].build(t);
    rc = cx_graph_plan(t->graph, false, err);
    if (rc)
        return rc;
    t->flops = 3 * cx_graph_flops(t->graph) - first;
    rc = make_batches(t, 10, err);
    return rc ? rc : list_tensors(t, err);
}

void cx_bench_task_destroy(cx_bench_task *t) {
    if (t->task)
        cx_task_destroy(t->task);
    else
        cx_graph_destroy(t->graph);
    free(t->config);
    free(t->inputs);
    free(t->labels);
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

void cx_bench_task_forward(cx_bench_task *t, float *block, float *grads, uint32_t step) {
    if (t->task) {
        t->loss_value = cx_task_step(t->task, block, grads, step);
        return;
    }
    size_t b = step % CX_BENCH_BATCHES;
    cx_graph_bind(t->graph, block, grads);
    memcpy(cx_graph_value(t->graph, t->x), t->inputs + b * t->x_size,
           t->x_size * sizeof *t->inputs);
    memcpy(cx_graph_value_int(t->graph, t->label), t->labels + b * t->label_size,
           t->label_size * sizeof *t->labels);
    cx_graph_forward(t->graph, CX_TRAIN, NULL);
    t->loss_value = *cx_graph_value(t->graph, t->loss);
}

void cx_bench_task_backward(cx_bench_task *t) {
    if (!t->task)
        cx_graph_backward_loss(t->graph, t->loss);
}
