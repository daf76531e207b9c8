/* Image classification by small networks (tasks/images_net.h) on Fashion-MNIST, MNIST
 * or KMNIST. Training batch number s takes the examples s B .. s B + B - 1 of an
 * endless row of epochs, each a permutation of the task's training subset, so that any
 * batch can be made without those before it. */
#include "data/images.h"
#include "base/arena.h"
#include "tasks/classify.h"
#include "tasks/family.h"
#include "tasks/images_net.h"
#include "tasks/permute.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 3, WANTS_MAX = 6 };
static const char *const set_words[SETS + 1] = {"fashion_mnist", "mnist", "kmnist", NULL};

/* clang-format off */
#define IMAGE_PARAMS(X) \
    CX_COMMON_PARAMS(X) \
    X(DATA, "data", set_words, 0, 0, 0, true, "the data set") \
    X(ARCHITECTURE, "architecture", cx_image_architecture_words, 0, 0, 0, true, "kind of network") \
    X(LAYERS, "layers", NULL, 0, CX_IMAGE_LAYERS_MAX, 2, true, "hidden layers (mlp), convolutions (cnn: 1 or more)") \
    X(WIDTH, "width", NULL, 0, CX_IMAGE_WIDTH_MAX, 0, true, "mlp: hidden units; cnn: first channels / 8, at most 64; 0: 64 and 2") \
    X(NORM, "norm", cx_image_norm_words, 0, 0, 0, true, "normalization of the hidden layers") \
    X(ACTIVATION, "activation", cx_image_activation_words, 0, 0, 0, true, "of the hidden layers") \
    X(LOSS, "loss", cx_image_loss_words, 0, 0, 0, true, "regression losses act on one-hot targets") \
    X(DROPOUT, "dropout", NULL, 0, 0.95, 0, false, "share of hidden units dropped in training") \
    X(BATCH_SIZE, "batch_size", NULL, 1, 4096, 64, true, "training examples of an inner step") \
    X(RESOLUTION, "resolution", NULL, 7, 28, 28, true, "side of the images in pixels: 28, 14 or 7") \
    X(WHITEN, "whiten", NULL, 0, 1, 0, true, "1: decorrelated pixels; resolution 14 and 7 only") \
    X(INPUT_SCALE, "input_scale", NULL, 1e-3, 1e3, 1, false, "factor of the normalized pixels") \
    X(LOSS_SCALE, "loss_scale", NULL, 1e-6, 1e6, 1, false, "factor of the loss, in training and evaluation") \
    X(LABEL_NOISE, "label_noise", NULL, 0, 1, 0, false, "share of training labels drawn anew, uniformly") \
    X(EPOCHS, "epochs", NULL, 0, 1000, 0, false, "length of the run; 0: inner_per_outer says it") \
    X(TRAIN_EXAMPLES, "train_examples", NULL, 1, 1e6, 50000, true, "training subset; at most what the split has")
/* clang-format on */

enum { IMAGE_PARAMS(CX_PARAM_ENUM) N_PARAMS };

static const cx_param_schema params[] = {IMAGE_PARAMS(CX_PARAM_ROW)};

const cx_family_schema cx_family_images_schema = {
    "images", "image classification by small networks", N_PARAMS, params};

/* Examples of an evaluation's pass; a cnn's maps would leave the caches. */
enum { EVAL_MLP = 256, EVAL_CNN = 64, FILES_TRAIN = 60000 };
static const double params_max = 1e8, activations_max = 5e8;

/* A graph with the arrays that are filled before each pass. */
typedef struct {
    cx_graph *graph;
    cx_image_refs refs;
    int batch;
} pass;

typedef struct {
    const cx_images *images;
    const cx_image_view *view;
    cx_image_net net;
    pass train, eval;
    uint32_t subset;     /* training examples of the task */
    cx_permute choose;   /* its first `subset` places are the subset */
    cx_permute order[3]; /* in which each split is evaluated */
    cx_epochs epochs;    /* of places in the subset */
    double label_noise, loss_scale;
    float input_scale;
} images_task;

static const char *set_path(const cx_config *config, int set) {
    const char *const paths[SETS] = {config->data.fashion_mnist, config->data.mnist,
                                     config->data.kmnist};
    return paths[set];
}

static cx_image_net net_of(const cx_task_spec *spec) {
    const double *v = spec->value;
    return (cx_image_net){.architecture = (int)v[ARCHITECTURE],
                          .layers = (int)v[LAYERS],
                          .width = (int)v[WIDTH],
                          .norm = (int)v[NORM],
                          .activation = (int)v[ACTIVATION],
                          .loss = (int)v[LOSS],
                          .side = (int)v[RESOLUTION],
                          .dropout = v[DROPOUT]};
}

/* --- what follows from the spec alone --- */

static int steps_per_outer(const cx_task_spec *spec, double examples) {
    const double *v = spec->value;
    return cx_epochs_per_outer(spec, v[EPOCHS], fmin(v[TRAIN_EXAMPLES], examples), v[BATCH_SIZE]);
}

static int inner_per_outer(const cx_task_spec *spec, const cx_config *config) {
    return steps_per_outer(spec, FILES_TRAIN - config->data.validation_examples);
}

static double flops_per_step(const cx_task_spec *spec, const cx_config *config) {
    (void)config;
    cx_image_net net = net_of(spec);
    cx_image_net_cost c = cx_image_net_measure(&net);
    /* forward and twice as much backward; about 10 operations for each number that is
     * passed on, forward and backward */
    return spec->value[BATCH_SIZE] * (6 * c.products + 20 * c.activations) +
           CX_FLOPS_PER_UPDATE * c.params + CX_FLOPS_PER_OPERATOR * c.operators;
}

static int check(const cx_task_spec *spec, cx_error *err) {
    const double *v = spec->value;
    cx_image_net net = net_of(spec);
    const char *fault = cx_image_net_fault(&net, (int)v[BATCH_SIZE]);
    if (!fault)
        fault = cx_image_want_fault((cx_image_want){net.side, v[WHITEN] > 0});
    if (fault)
        return cx_fail(err, CX_ECONFIG, "images: %s", fault);
    cx_image_net_cost c = cx_image_net_measure(&net);
    if (c.params > params_max || c.activations * v[BATCH_SIZE] > activations_max)
        return cx_fail(err, CX_ECONFIG,
                       "images: a network of %.3g parameters and %.3g activations; at most %.0e "
                       "and %.0e are right",
                       c.params, c.activations * v[BATCH_SIZE], params_max, activations_max);
    return CX_OK;
}

/* --- creation --- */

static int build(pass *p, const cx_image_net *net, int batch, bool forward_only, cx_error *err) {
    p->graph = cx_graph_create();
    if (!p->graph)
        return cx_fail(err, CX_ENOMEM, "no memory for a graph");
    p->batch = batch;
    p->refs = cx_image_net_build(net, batch, !forward_only, p->graph);
    return cx_graph_plan(p->graph, forward_only, err);
}

static int find_data(const cx_task_spec *spec, const cx_data_store *store, images_task *t,
                     cx_error *err) {
    int set = (int)spec->value[DATA];
    cx_image_want want = {t->net.side, spec->value[WHITEN] > 0};
    t->images = cx_data_store_get(store, &cx_family_images, set_words[set]);
    t->view = t->images ? cx_images_view(t->images, want) : NULL;
    if (!t->view)
        return cx_fail(err, CX_ESTATE,
                       "images: %s at resolution %d%s is not open; the configuration that the data "
                       "were opened for does not name it",
                       set_words[set], want.side, want.whiten ? ", whitened," : "");
    return CX_OK;
}

static int create(const cx_task_spec *spec, const cx_config *config, const cx_data_store *store,
                  cx_task *task, cx_error *err) {
    (void)config;
    const double *v = spec->value;
    int rc = check(spec, err);
    if (rc)
        return rc;
    images_task *t = calloc(1, sizeof *t);
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a task");
    task->own = t;
    t->net = net_of(spec);
    rc = find_data(spec, store, t, err);
    if (rc)
        return rc;
    t->label_noise = v[LABEL_NOISE];
    t->loss_scale = v[LOSS_SCALE];
    t->input_scale = (float)v[INPUT_SCALE];
    uint32_t n = cx_images_count(t->images, CX_SPLIT_TRAIN);
    t->subset = v[TRAIN_EXAMPLES] < n ? (uint32_t)v[TRAIN_EXAMPLES] : n;
    if (!(v[INNER_STEPS] > 0)) /* epochs count the examples that there really are */
        task->inner_steps = task->outer_steps * steps_per_outer(spec, n);
    cx_rng rng = cx_rng_make(spec->seed, 0, CX_STREAM_DATA);
    t->choose = cx_permute_make(n, &rng);
    rng = cx_rng_make(spec->seed, 0, CX_STREAM_EVAL);
    t->order[CX_SPLIT_TRAIN] = cx_permute_make(t->subset, &rng);
    for (int s = CX_SPLIT_VALIDATION; s <= CX_SPLIT_TEST; s++)
        t->order[s] = cx_permute_make(cx_images_count(t->images, s), &rng);
    t->epochs = cx_epochs_make(t->subset, spec->seed);
    rc = build(&t->train, &t->net, (int)v[BATCH_SIZE], false, err);
    task->graph = t->train.graph; /* the task's to destroy */
    if (!rc)
        rc = build(&t->eval, &t->net, t->net.architecture == CX_IMAGE_CNN ? EVAL_CNN : EVAL_MLP,
                   true, err);
    if (rc)
        return rc;
    if (cx_graph_state_count(t->train.graph) != cx_graph_state_count(t->eval.graph))
        return cx_fail(err, CX_ESTATE, "images: training and evaluation differ in parameters");
    return CX_OK;
}

static void destroy(cx_task *task) {
    images_task *t = task->own;
    if (!t)
        return;
    cx_graph_destroy(t->eval.graph);
    free(t);
    task->own = NULL;
}

/* --- training --- */

static void put_example(const images_task *t, const pass *p, int row, uint32_t example) {
    float *x = cx_graph_value(p->graph, p->refs.x);
    size_t at = (size_t)row * (size_t)t->view->n_pixels;
    cx_image_view_copy(t->view, example, t->input_scale, x + at);
}

static void put_target(const pass *p, int row, int label) {
    if (p->refs.labels >= 0) {
        cx_graph_value_int(p->graph, p->refs.labels)[row] = label;
        return;
    }
    float *target = cx_graph_value(p->graph, p->refs.target) + row * CX_IMAGE_CLASSES;
    for (int i = 0; i < CX_IMAGE_CLASSES; i++)
        target[i] = i == label ? 1.0f : 0.0f;
}

/* Number i of the task's training subset. */
static uint32_t chosen(const images_task *t, uint32_t i) {
    return t->subset < t->choose.n ? cx_permute_at(&t->choose, i) : i;
}

static void assemble(cx_task *task, uint32_t number) {
    enum { AHEAD = 16 }; /* rows whose images are on their way */
    images_task *t = task->own;
    const pass *p = &t->train;
    uint64_t seed = task->spec.seed, first = (uint64_t)number * (uint64_t)p->batch;
    uint32_t example[AHEAD];
    for (int i = -AHEAD; i < p->batch; i++) {
        uint32_t *e = &example[(i + AHEAD) % AHEAD];
        if (i >= 0) {
            put_example(t, p, i, *e);
            put_target(p, i,
                       cx_noisy_label(cx_images_label(t->images, *e), CX_IMAGE_CLASSES,
                                      t->label_noise, seed, *e));
        }
        if (i + AHEAD < p->batch) {
            *e = chosen(t, cx_epochs_at(&t->epochs, first + (uint64_t)(i + AHEAD)));
            cx_image_view_prefetch(t->view, *e);
        }
    }
}

static double step(cx_task *task, float *block, float *grads, uint32_t number) {
    images_task *t = task->own;
    const pass *p = &t->train;
    assemble(task, number);
    cx_rng rng = cx_rng_make(task->spec.seed, number, CX_STREAM_DROPOUT);
    cx_graph_bind(p->graph, block, grads);
    cx_graph_forward(p->graph, CX_TRAIN, &rng);
    double loss = *cx_graph_value(p->graph, p->refs.loss);
    cx_graph_zero_grads(p->graph);
    *cx_graph_grad(p->graph, p->refs.loss) = (float)t->loss_scale;
    cx_graph_backward(p->graph);
    return t->loss_scale * loss;
}

/* --- evaluation --- */

static uint32_t evaluated_example(const images_task *t, cx_split split, uint32_t i) {
    i = cx_permute_at(&t->order[split], i);
    return split == CX_SPLIT_TRAIN ? chosen(t, i) : cx_images_first(t->images, split) + i;
}

static double evaluate(cx_task *task, float *block, cx_split split, int examples,
                       double metric[CX_TASK_METRICS]) {
    images_task *t = task->own;
    const pass *p = &t->eval;
    uint32_t all = split == CX_SPLIT_TRAIN ? t->subset : cx_images_count(t->images, split);
    uint32_t n = examples > 0 && (uint32_t)examples < all ? (uint32_t)examples : all, right = 0;
    int label[EVAL_MLP];
    double sum = 0;
    cx_graph_bind(p->graph, block, NULL);
    for (uint32_t start = 0; start < n; start += (uint32_t)p->batch) {
        /* the rows of a last batch that is not full hold examples of the one before it,
         * and are not counted */
        uint32_t rows = n - start < (uint32_t)p->batch ? n - start : (uint32_t)p->batch;
        for (uint32_t i = 0; i < rows; i++) {
            uint32_t e = evaluated_example(t, split, start + i);
            put_example(t, p, (int)i, e);
            label[i] = cx_images_label(t->images, e);
        }
        cx_graph_forward(p->graph, CX_EVAL, NULL);
        const float *logits = cx_graph_value(p->graph, p->refs.logits);
        for (uint32_t i = 0; i < rows; i++, logits += CX_IMAGE_CLASSES) {
            sum += cx_image_row_loss(t->net.loss, logits, label[i]);
            right += cx_row_is_right(logits, CX_IMAGE_CLASSES, label[i]);
        }
    }
    metric[0] = (double)right / n;
    return t->loss_scale * sum / n;
}

/* --- what the entries of the configuration can draw --- */

/* Networks at the ends of the ranges: the first fault found, or NULL. */
static const char *net_fault_of(const cx_dist *p) {
    double arch[CX_CHOICES_MAX], norms[CX_CHOICES_MAX];
    int n_arch = cx_dist_values(&p[ARCHITECTURE], arch), n_norm = cx_dist_values(&p[NORM], norms);
    const char *fault = NULL;
    for (int i = 0; i < n_arch * n_norm * 2 && !fault; i++) {
        cx_image_net net = {.architecture = (int)arch[i / 2 % n_arch],
                            .norm = (int)norms[i / 2 / n_arch],
                            .layers = (int)cx_dist_end(&p[LAYERS], i % 2),
                            .width = (int)cx_dist_end(&p[WIDTH], true),
                            .side = 7};
        fault = cx_image_net_fault(&net, (int)cx_dist_end(&p[BATCH_SIZE], false));
    }
    return fault;
}

static void add_want(cx_image_want *wants, int *n, cx_image_want want) {
    for (int i = 0; i < *n; i++)
        if (wants[i].side == want.side && wants[i].whiten == want.whiten)
            return;
    if (*n < WANTS_MAX)
        wants[(*n)++] = want;
}

/* Checks that whatever entry number `entry` can draw fits together, and adds the views
 * that it needs of each set. */
static int add_entry(const cx_config *config, int entry, cx_image_want wants[SETS][WANTS_MAX],
                     int n[SETS], cx_error *err) {
    const cx_task_entry *t = &config->tasks[entry];
    double sets[CX_CHOICES_MAX], sides[CX_CHOICES_MAX], whitens[CX_CHOICES_MAX];
    int n_sets = cx_dist_values(&t->param[DATA], sets),
        n_sides = cx_dist_values(&t->param[RESOLUTION], sides);
    int n_whitens = cx_dist_values(&t->param[WHITEN], whitens);
    const char *fault = net_fault_of(t->param);
    if (!n_sets || !n_sides || !n_whitens)
        fault = "data, resolution and whiten must be constants or lists of choices";
    for (int i = 0; i < n_sides * n_whitens && !fault; i++) {
        cx_image_want want = {(int)sides[i % n_sides], whitens[i / n_sides] > 0};
        fault = cx_image_want_fault(want);
        for (int k = 0; k < n_sets && !fault; k++) {
            int set = (int)sets[k];
            if (set < 0 || set >= SETS)
                fault = "unknown data set";
            else
                add_want(wants[set], &n[set], want);
        }
    }
    if (fault)
        return cx_fail(err, CX_ECONFIG, "tasks.%d (%s): %s", entry, t->name, fault);
    return CX_OK;
}

static void close_set(void *data) {
    cx_images_close(data);
}

static int open_set(const cx_config *config, int set, const cx_image_want *wants, int n,
                    cx_data_store *store, cx_error *err) {
    const char *path = set_path(config, set);
    cx_images *images;
    if (path[0] == 0)
        return cx_fail(err, CX_ECONFIG,
                       "data.%s is empty, but a task uses it: the folder with its four IDX files "
                       "is right",
                       set_words[set]);
    int rc = cx_images_open(path, config->data.validation_examples, wants, n, &images, err);
    if (rc)
        return cx_fail_in(err, "data.%s", set_words[set]);
    return cx_data_store_put(store, &cx_family_images, set_words[set], images, close_set, err);
}

static int open(const cx_config *config, cx_data_store *store, cx_error *err) {
    cx_image_want wants[SETS][WANTS_MAX];
    int n[SETS] = {0}, rc = CX_OK;
    for (int i = 0; i < config->n_tasks && !rc; i++)
        if (cx_entry_is(config, i, &cx_family_images))
            rc = add_entry(config, i, wants, n, err);
    for (int s = 0; s < SETS && !rc; s++)
        if (n[s] > 0)
            rc = open_set(config, s, wants[s], n[s], store, err);
    return rc;
}

static void identity(const cx_task_spec *spec, const cx_config *config, char *out, size_t size) {
    double set = spec->value[DATA];
    if (set >= 0 && set < SETS)
        (void)snprintf(out, size, "%s validation %d", set_path(config, (int)set),
                       config->data.validation_examples);
}

const cx_task_family cx_family_images = {.schema = &cx_family_images_schema,
                                         .metric = {{"accuracy", true}},
                                         .open = open,
                                         .identity = identity,
                                         .create = create,
                                         .destroy = destroy,
                                         .step = step,
                                         .assemble = assemble,
                                         .evaluate = evaluate,
                                         .flops_per_step = flops_per_step,
                                         .inner_per_outer = inner_per_outer};
