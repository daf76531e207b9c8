/* Natural images with residual networks (tasks/resnet_net.h), held out for evaluation.
 * Training batch number s takes the examples s B .. s B + B - 1 of an endless row of
 * epochs, each a permutation of the training split.
 *
 * Images are stored larger than the network sees them, or as large (data/natural_images.h):
 *   resolution R up to 64: stored R x R; training sees them shifted by up to R / 8 pixels
 *     each way over a border of the mean color (32: by 4, as He et al. do)
 *   above: stored 8/7 R (224: 256); training sees an R x R part of that
 * and half of them mirrored, drawn from (seed, step, row). Evaluation sees the middle. The
 * evaluated loss is the cross-entropy without label smoothing. */
#include "data/natural_images.h"
#include "tasks/classify.h"
#include "tasks/family.h"
#include "tasks/permute.h"
#include "tasks/resnet_net.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
#define RESNET_PARAMS(X) \
    CX_COMMON_PARAMS(X) \
    X(DEPTH, "depth", NULL, 8, 56, 20, true, "layers: 8, 20, 32, 44, 56 (networks for 32 x 32), 18, 34, 50 (for 224 x 224)") \
    X(WIDTH, "width", NULL, 0.0625, 16, 1, false, "factor of all numbers of channels") \
    X(RESOLUTION, "resolution", NULL, 8, 512, 32, true, "side of the network's input in pixels: a multiple of 4, or of 32 for depths 18, 34, 50") \
    X(BATCH_SIZE, "batch_size", NULL, 1, 4096, 128, true, "training examples of an inner step") \
    X(EPOCHS, "epochs", NULL, 0, 1000, 0, false, "length of the run; 0: inner_per_outer says it") \
    X(AUGMENT, "augment", NULL, 0, 1, 1, true, "1: training images are shifted and mirrored at random") \
    X(LABEL_SMOOTHING, "label_smoothing", NULL, 0, 0.99, 0, false, "of the training loss") \
    X(LABEL_NOISE, "label_noise", NULL, 0, 1, 0, false, "share of training labels drawn anew, uniformly")
/* clang-format on */

enum { RESNET_PARAMS(CX_PARAM_ENUM) N_PARAMS };

static const cx_param_schema params[] = {RESNET_PARAMS(CX_PARAM_ROW)};

const cx_family_schema cx_family_resnet_schema = {
    "resnet", "natural images with residual networks; held out", N_PARAMS, params};

enum { EVAL_MAX = 64, PADDED_UP_TO = 64 };
static const double params_max = 1e9, activations_max = 4e9;

/* A graph with the arrays that are filled before each pass. */
typedef struct {
    cx_graph *graph;
    cx_resnet_refs refs;
    int batch;
} pass;

typedef struct {
    const cx_natural_images *images;
    cx_resnet net;
    pass train, eval;
    cx_permute order[CX_SPLITS]; /* in which each split is evaluated */
    cx_epochs epochs;
    double label_noise;
    bool augment;
    int border; /* by which a shift may leave the stored image */
} resnet_task;

/* Side of the images as they are stored. */
static int stored_side(int resolution) {
    return resolution <= PADDED_UP_TO ? resolution : (8 * resolution + 6) / 7;
}

/* Examples of an evaluation's pass, which is to take less memory than training does. */
static int eval_batch(int resolution) {
    return resolution <= 64 ? EVAL_MAX : resolution <= 128 ? 32 : 16;
}

/* --- what follows from the spec alone --- */

/* Full data sets: CIFAR-10 for the small networks, ImageNet for the large ones. */
static int usual_classes(const cx_task_spec *spec) {
    return cx_resnet_is_large((int)spec->value[DEPTH]) ? 1000 : 10;
}

static double usual_examples(const cx_task_spec *spec, const cx_config *config) {
    double n = cx_resnet_is_large((int)spec->value[DEPTH]) ? 1281167 : 50000;
    return n - fmin(config->data.validation_examples, floor(n / 10));
}

static cx_resnet net_of(const cx_task_spec *spec, int classes) {
    const double *v = spec->value;
    return (cx_resnet){.depth = (int)v[DEPTH],
                       .side = (int)v[RESOLUTION],
                       .classes = classes,
                       .width = v[WIDTH],
                       .label_smoothing = v[LABEL_SMOOTHING]};
}

static int steps_per_outer(const cx_task_spec *spec, double examples) {
    return cx_epochs_per_outer(spec, spec->value[EPOCHS], examples, spec->value[BATCH_SIZE]);
}

static int inner_per_outer(const cx_task_spec *spec, const cx_config *config) {
    return steps_per_outer(spec, usual_examples(spec, config));
}

static double flops_per_step(const cx_task_spec *spec, const cx_config *config) {
    (void)config;
    cx_resnet net = net_of(spec, usual_classes(spec));
    cx_resnet_cost c = cx_resnet_measure(&net);
    /* forward and twice as much backward; about 10 operations for each number that is
     * passed on, forward and backward */
    return spec->value[BATCH_SIZE] * (6 * c.products + 20 * c.activations) +
           CX_FLOPS_PER_UPDATE * c.params + CX_FLOPS_PER_OPERATOR * c.operators;
}

static int check(const cx_resnet *net, double batch, cx_error *err) {
    const char *fault = cx_resnet_fault(net->depth, net->side);
    if (fault)
        return cx_fail(err, CX_ECONFIG, "resnet: depth %d at resolution %d: %s", net->depth,
                       net->side, fault);
    cx_resnet_cost c = cx_resnet_measure(net);
    if (c.params > params_max || c.activations * batch > activations_max)
        return cx_fail(err, CX_ECONFIG,
                       "resnet: a network of %.3g parameters and %.3g activations; at most %.0e "
                       "and %.0e are right (depth, width, resolution, batch_size)",
                       c.params, c.activations * batch, params_max, activations_max);
    return CX_OK;
}

/* --- creation --- */

static int build(pass *p, const cx_resnet *net, int batch, bool forward_only, cx_error *err) {
    p->graph = cx_graph_create();
    if (!p->graph)
        return cx_fail(err, CX_ENOMEM, "no memory for a graph");
    p->batch = batch;
    p->refs = cx_resnet_build(net, batch, !forward_only, p->graph);
    return cx_graph_plan(p->graph, forward_only, err);
}

static void store_name(int side, char out[32]) {
    (void)snprintf(out, 32, "side %d", side);
}

static int find_data(const cx_task_spec *spec, const cx_data_store *store, resnet_task *t,
                     cx_error *err) {
    char name[32];
    int side = (int)spec->value[RESOLUTION];
    store_name(stored_side(side), name);
    t->images = cx_data_store_get(store, &cx_family_resnet, name);
    if (!t->images)
        return cx_fail(err, CX_ESTATE,
                       "resnet: images for resolution %d are not open; the configuration that the "
                       "data were opened for does not name it",
                       side);
    return CX_OK;
}

static int create(const cx_task_spec *spec, const cx_config *config, const cx_data_store *store,
                  cx_task *task, cx_error *err) {
    (void)config;
    const double *v = spec->value;
    cx_resnet net = net_of(spec, usual_classes(spec));
    int rc = check(&net, v[BATCH_SIZE], err);
    if (rc)
        return rc;
    resnet_task *t = calloc(1, sizeof *t);
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a task");
    task->own = t;
    rc = find_data(spec, store, t, err);
    if (rc)
        return rc;
    t->net = net_of(spec, cx_natural_images_classes(t->images));
    t->label_noise = v[LABEL_NOISE];
    t->augment = v[AUGMENT] > 0;
    t->border = t->net.side <= PADDED_UP_TO ? t->net.side / 8 : 0;
    uint32_t n = cx_natural_images_count(t->images, CX_SPLIT_TRAIN);
    if (!(v[CX_PARAM_INNER_STEPS] > 0)) /* epochs count the examples that there really are */
        task->inner_steps = task->outer_steps * steps_per_outer(spec, n);
    cx_rng rng = cx_rng_make(spec->seed, 0, CX_STREAM_EVAL);
    for (int s = 0; s < CX_SPLITS; s++)
        t->order[s] = cx_permute_make(cx_natural_images_count(t->images, s), &rng);
    t->epochs = cx_epochs_make(n, spec->seed);
    rc = build(&t->train, &t->net, (int)v[BATCH_SIZE], false, err);
    task->graph = t->train.graph; /* the task's to destroy */
    if (!rc)
        rc = build(&t->eval, &t->net, eval_batch(t->net.side), true, err);
    if (rc)
        return rc;
    if (cx_graph_state_count(t->train.graph) != cx_graph_state_count(t->eval.graph))
        return cx_fail(err, CX_ESTATE, "resnet: training and evaluation differ in parameters");
    return CX_OK;
}

static void destroy(cx_task *task) {
    resnet_task *t = task->own;
    if (!t)
        return;
    cx_graph_destroy(t->eval.graph);
    free(t);
    task->own = NULL;
}

/* --- training --- */

/* Puts the example's middle, or with `rng` a shifted and perhaps mirrored part, into a row
 * of the batch. */
static void put_example(const resnet_task *t, const pass *p, int row, uint32_t example,
                        cx_rng *rng) {
    int side = t->net.side, stored = cx_natural_images_side(t->images);
    int x = (stored - side) / 2, y = x;
    bool flip = false;
    if (rng) {
        uint32_t places = (uint32_t)(stored - side + 2 * t->border + 1);
        x = (int)cx_rng_below(rng, places) - t->border;
        y = (int)cx_rng_below(rng, places) - t->border;
        flip = cx_rng_u32(rng) & 1;
    }
    float *to = cx_graph_value(p->graph, p->refs.x) + (size_t)row * 3 * (size_t)(side * side);
    cx_natural_images_copy(t->images, example, side, x, y, flip, to);
}

static double step(cx_task *task, float *block, float *grads, uint32_t number) {
    resnet_task *t = task->own;
    const pass *p = &t->train;
    uint64_t seed = task->spec.seed, first = (uint64_t)number * (uint64_t)p->batch;
    int32_t *labels = cx_graph_value_int(p->graph, p->refs.labels);
    for (int i = 0; i < p->batch; i++) {
        uint32_t e = cx_epochs_at(&t->epochs, first + (uint64_t)i);
        cx_rng rng = cx_rng_make_sub(seed, number, CX_STREAM_DROPOUT, (uint32_t)i);
        put_example(t, p, i, e, t->augment ? &rng : NULL);
        labels[i] = cx_noisy_label(cx_natural_images_label(t->images, e), t->net.classes,
                                   t->label_noise, seed, e);
    }
    cx_graph_bind(p->graph, block, grads);
    cx_graph_forward(p->graph, CX_TRAIN, NULL);
    double loss = *cx_graph_value(p->graph, p->refs.loss);
    cx_graph_backward_loss(p->graph, p->refs.loss);
    return loss;
}

/* --- evaluation --- */

static double evaluate(cx_task *task, float *block, cx_split split, int examples,
                       double metric[CX_TASK_METRICS]) {
    resnet_task *t = task->own;
    const pass *p = &t->eval;
    uint32_t all = cx_natural_images_count(t->images, split), right = 0, near = 0;
    uint32_t n = examples > 0 && (uint32_t)examples < all ? (uint32_t)examples : all;
    int label[EVAL_MAX], classes = t->net.classes;
    double sum = 0;
    cx_graph_bind(p->graph, block, NULL);
    for (uint32_t start = 0; start < n; start += (uint32_t)p->batch) {
        /* the rows of a last batch that is not full hold examples of the one before it,
         * and are not counted */
        uint32_t rows = n - start < (uint32_t)p->batch ? n - start : (uint32_t)p->batch;
        for (uint32_t i = 0; i < rows; i++) {
            uint32_t e = cx_natural_images_first(t->images, split) +
                         cx_permute_at(&t->order[split], start + i);
            put_example(t, p, (int)i, e, NULL);
            label[i] = cx_natural_images_label(t->images, e);
        }
        cx_graph_forward(p->graph, CX_EVAL, NULL);
        const float *logits = cx_graph_value(p->graph, p->refs.logits);
        for (uint32_t i = 0; i < rows; i++, logits += classes) {
            sum += cx_row_cross_entropy(logits, classes, label[i]);
            right += cx_row_is_right(logits, classes, label[i]);
            near += cx_row_in_top(logits, classes, label[i], CX_RESNET_TOP);
        }
    }
    metric[0] = (double)right / n;
    metric[1] = (double)near / n;
    return sum / n;
}

/* --- what the entries of the configuration can draw --- */

enum { SIDES_MAX = 8 };
typedef struct {
    int n, side[SIDES_MAX]; /* stored */
} wanted;

static int want(wanted *w, int resolution, cx_error *err) {
    int side = stored_side(resolution);
    for (int i = 0; i < w->n; i++)
        if (w->side[i] == side)
            return CX_OK;
    if (w->n == SIDES_MAX)
        return cx_fail(err, CX_ECONFIG, "resnet: more than %d resolutions in one configuration",
                       SIDES_MAX);
    w->side[w->n++] = side;
    return CX_OK;
}

/* Checks that whatever entry number `entry` can draw fits together, and adds the sides
 * that it needs. */
static int add_entry(const cx_config *config, int entry, wanted *w, cx_error *err) {
    const cx_task_entry *t = &config->tasks[entry];
    double depths[CX_CHOICES_MAX], sides[CX_CHOICES_MAX];
    int n_depths = cx_dist_values(&t->param[DEPTH], depths),
        n_sides = cx_dist_values(&t->param[RESOLUTION], sides), rc = CX_OK;
    if (!n_depths || !n_sides)
        rc = cx_fail(err, CX_ECONFIG, "depth and resolution must be constants or lists of choices");
    for (int i = 0; i < n_depths * n_sides && !rc; i++) {
        cx_task_spec spec = {0};
        spec.value[DEPTH] = depths[i % n_depths];
        spec.value[RESOLUTION] = sides[i / n_depths];
        spec.value[WIDTH] = cx_dist_end(&t->param[WIDTH], true);
        cx_resnet net = net_of(&spec, usual_classes(&spec));
        rc = check(&net, cx_dist_end(&t->param[BATCH_SIZE], true), err);
        if (!rc)
            rc = want(w, net.side, err);
    }
    return rc ? cx_fail_in(err, "tasks.%d (%s)", entry, t->name) : CX_OK;
}

static void close_set(void *data) {
    cx_natural_images_close(data);
}

static int open_side(const cx_config *config, int side, cx_data_store *store, cx_error *err) {
    char name[32];
    cx_natural_images *images;
    int rc = cx_natural_images_open(config->data.resnet, config->data.cache,
                                    config->data.validation_examples, side, &images, err);
    if (rc)
        return cx_fail_in(err, "data.resnet");
    store_name(side, name);
    return cx_data_store_put(store, &cx_family_resnet, name, images, close_set, err);
}

static int open(const cx_config *config, cx_data_store *store, cx_error *err) {
    wanted w = {.n = 0};
    int rc = CX_OK;
    for (int i = 0; i < config->n_tasks && !rc; i++)
        if (cx_entry_is(config, i, &cx_family_resnet))
            rc = add_entry(config, i, &w, err);
    if (!rc && config->data.resnet[0] == 0)
        rc = cx_fail(err, CX_ECONFIG,
                     "data.resnet is empty, but a task uses it: a folder with train/CLASS/*.jpg or "
                     "*.png (and val/, test/), or with CIFAR's binary files, is right");
    for (int i = 0; i < w.n && !rc; i++)
        rc = open_side(config, w.side[i], store, err);
    return rc;
}

static void identity(const cx_task_spec *spec, const cx_config *config, char *out, size_t size) {
    (void)spec;
    (void)snprintf(out, size, "%s validation %d", config->data.resnet,
                   config->data.validation_examples);
}

const cx_task_family cx_family_resnet = {.schema = &cx_family_resnet_schema,
                                         .held_out = true,
                                         .metric = {{"accuracy", true}, {"top5_accuracy", true}},
                                         .open = open,
                                         .identity = identity,
                                         .create = create,
                                         .destroy = destroy,
                                         .step = step,
                                         .evaluate = evaluate,
                                         .flops_per_step = flops_per_step,
                                         .inner_per_outer = inner_per_outer};
