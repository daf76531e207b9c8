/* Algorithms on bits, learned by recurrent networks step by step (tasks/algo_problems.h,
 * tasks/recurrent_net.h). Training batch number s is drawn anew from the training part of
 * the patterns, by (seed, s) alone; what is evaluated of a split is a list of patterns that
 * is made once for the task. */
#include "base/arena.h"
#include "tasks/algo_problems.h"
#include "tasks/classify.h"
#include "tasks/family.h"
#include "tasks/recurrent_net.h"
#include <math.h>
#include <stdlib.h>

/* clang-format off */
#define ALGO_PARAMS(X) \
    CX_COMMON_PARAMS(X) \
    X(PROBLEM, "problem", cx_algo_problem_words, 0, 0, 0, true, "running parity, or the sum of two numbers") \
    X(DIFFICULTY, "difficulty", NULL, 0, 1, 0.5, false, "length of the sequences (8 .. 32 and 4 .. 32 bits) and of the run") \
    X(TRAINING_MULTIPLIER, "training_multiplier", NULL, 0, 1000, 0, false, "length of the run, in units of 150 + 250 difficulty inner steps; 0: inner_per_outer says it") \
    X(BATCH_SIZE, "batch_size", NULL, 1, 4096, 64, true, "sequences of an inner step") \
    X(ARCHITECTURE, "architecture", cx_recurrent_words, 0, 0, CX_GRU, true, "kind of the recurrent layers") \
    X(HIDDEN, "hidden", NULL, 1, 4096, 64, true, "units of a layer") \
    X(LAYERS, "layers", NULL, 1, CX_RECURRENT_LAYERS_MAX, 1, true, "recurrent layers") \
    X(DROPOUT, "dropout", NULL, 0, 0.95, 0, false, "share of units dropped between layers and before the output")
/* clang-format on */

enum { ALGO_PARAMS(CX_PARAM_ENUM) N_PARAMS };

static const cx_param_schema params[] = {ALGO_PARAMS(CX_PARAM_ROW)};

const cx_family_schema cx_family_algo_schema = {
    "algo", "running parity and binary addition by recurrent networks", N_PARAMS, params};

enum { EVAL_BATCH = 128, LIST_MAX = 4096, CLASSES = 2 };

typedef struct {
    cx_algo problem;
    cx_recurrent_net net;
    cx_recurrent_refs train, eval;
    cx_graph *eval_graph;
    uint64_t *list[CX_SPLITS]; /* [LIST_MAX] */
    uint32_t count[CX_SPLITS];
} algo_task;

/* --- what follows from the spec alone --- */

static int length_of(const cx_task_spec *spec) {
    return cx_algo_length((int)spec->value[PROBLEM], spec->value[DIFFICULTY]);
}

static cx_recurrent_net net_of(const cx_task_spec *spec) {
    const double *v = spec->value;
    return (cx_recurrent_net){.architecture = (int)v[ARCHITECTURE],
                              .layers = (int)v[LAYERS],
                              .hidden = (int)v[HIDDEN],
                              .dropout = v[DROPOUT],
                              .inputs = cx_algo_inputs((int)v[PROBLEM]),
                              .classes = CLASSES,
                              .every_step = true};
}

static int inner_per_outer(const cx_task_spec *spec, const cx_config *config) {
    const double *v = spec->value;
    (void)config;
    if (!(v[TRAINING_MULTIPLIER] > 0))
        return (int)v[INNER_PER_OUTER];
    double steps = v[TRAINING_MULTIPLIER] * cx_algo_steps(v[DIFFICULTY]);
    return (int)fmax(1, round(steps / v[OUTER_STEPS]));
}

static double flops_per_step(const cx_task_spec *spec, const cx_config *config) {
    (void)config;
    cx_recurrent_net net = net_of(spec);
    return cx_recurrent_net_flops(&net, length_of(spec), (int)spec->value[BATCH_SIZE]);
}

static int check(const cx_task_spec *spec, const char *what, cx_error *err) {
    cx_recurrent_net net = net_of(spec);
    return cx_recurrent_net_check(&net, length_of(spec), (int)spec->value[BATCH_SIZE], what, err);
}

/* There are no data; but what an entry can draw at its upper ends is refused when the run
 * starts, not when it is drawn. */
static int open(const cx_config *config, cx_data_store *store, cx_error *err) {
    (void)store;
    for (int i = 0; i < config->n_tasks; i++) {
        cx_task_spec largest = {0};
        if (!cx_entry_is(config, i, &cx_family_algo))
            continue;
        for (int p = 0; p < N_PARAMS; p++)
            largest.value[p] = cx_dist_end(&config->tasks[i].param[p], true);
        for (int p = 0; p < CX_ALGO_PROBLEMS; p++) {
            largest.value[PROBLEM] = p;
            if (check(&largest, "algo", err))
                return cx_fail_in(err, "tasks.%d (%s)", i, config->tasks[i].name);
        }
    }
    return CX_OK;
}

/* --- creation --- */

static int make_lists(algo_task *t, uint64_t seed, cx_error *err) {
    for (int s = 0; s < CX_SPLITS; s++) {
        t->list[s] = cx_calloc(LIST_MAX, sizeof *t->list[s]);
        if (!t->list[s])
            return cx_fail(err, CX_ENOMEM, "no memory for a task's examples");
        cx_rng rng = cx_rng_make(seed, (uint64_t)s, CX_STREAM_EVAL);
        t->count[s] = cx_algo_list(&t->problem, (cx_split)s, &rng, t->list[s], LIST_MAX);
        if (t->count[s] == 0)
            return cx_fail(err, CX_ESTATE, "algo: split %d of %s, length %d, is empty", s,
                           cx_algo_problem_words[t->problem.problem], t->problem.length);
    }
    return CX_OK;
}

static int build(const algo_task *t, int batch, bool train, cx_graph **g, cx_recurrent_refs *refs,
                 cx_error *err) {
    *g = cx_graph_create();
    if (!*g)
        return cx_fail(err, CX_ENOMEM, "no memory for a graph");
    *refs = cx_recurrent_net_build(&t->net, t->problem.length, batch, train, *g);
    return cx_graph_plan(*g, !train, err);
}

static int create(const cx_task_spec *spec, const cx_config *config, const cx_data_store *store,
                  cx_task *task, cx_error *err) {
    (void)config;
    (void)store;
    int rc = check(spec, "algo", err);
    if (rc)
        return rc;
    algo_task *t = calloc(1, sizeof *t);
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a task");
    task->own = t;
    t->net = net_of(spec);
    t->problem = (cx_algo){(int)spec->value[PROBLEM], length_of(spec), spec->seed};
    rc = make_lists(t, spec->seed, err);
    if (!rc)
        rc = build(t, (int)spec->value[BATCH_SIZE], true, &task->graph, &t->train, err);
    if (!rc)
        rc = build(t, EVAL_BATCH, false, &t->eval_graph, &t->eval, err);
    return rc;
}

static void destroy(cx_task *task) {
    algo_task *t = task->own;
    if (!t)
        return;
    cx_graph_destroy(t->eval_graph);
    for (int s = 0; s < CX_SPLITS; s++)
        free(t->list[s]);
    free(t);
    task->own = NULL;
}

/* --- training --- */

static void put_inputs(const algo_task *t, const cx_graph *g, const cx_recurrent_refs *refs,
                       int row, uint64_t pattern) {
    for (int step = 0; step < t->problem.length; step++) {
        float *x = cx_recurrent_numbers(g, refs, t->net.inputs, step, row);
        for (int i = 0; i < t->net.inputs; i++)
            x[i] = cx_algo_input(&t->problem, pattern, step, i) ? 1.0f : -1.0f;
    }
}

static double step(cx_task *task, float *block, float *grads, uint32_t number) {
    algo_task *t = task->own;
    cx_graph *g = task->graph;
    uint64_t seed = task->spec.seed;
    int label[CX_ALGO_LENGTH_MAX], batch = t->train.batch;
    int32_t *labels = cx_graph_value_int(g, t->train.labels);
    cx_rng rng = cx_rng_make(seed, number, CX_STREAM_BATCH);
    for (int row = 0; row < batch; row++) {
        uint64_t pattern = cx_algo_draw(&t->problem, CX_SPLIT_TRAIN, &rng);
        put_inputs(t, g, &t->train, row, pattern);
        cx_algo_labels(&t->problem, pattern, label);
        for (int i = 0; i < t->problem.length; i++)
            labels[i * batch + row] = label[i];
    }
    rng = cx_rng_make(seed, number, CX_STREAM_DROPOUT);
    cx_graph_bind(g, block, grads);
    cx_graph_forward(g, CX_TRAIN, &rng);
    cx_graph_backward_loss(g, t->train.loss);
    return *cx_graph_value(g, t->train.loss);
}

/* --- evaluation --- */

/* Adds the losses of a row's steps; returns how many of them are right. */
static int add_row(const algo_task *t, const float *logits, int row, uint64_t pattern,
                   double *sum) {
    int label[CX_ALGO_LENGTH_MAX], right = 0;
    cx_algo_labels(&t->problem, pattern, label);
    for (int i = 0; i < t->problem.length; i++) {
        const float *at = logits + ((size_t)i * EVAL_BATCH + (size_t)row) * CLASSES;
        *sum += cx_row_cross_entropy(at, CLASSES, label[i]);
        right += cx_row_is_right(at, CLASSES, label[i]);
    }
    return right;
}

static double evaluate(cx_task *task, float *block, cx_split split, int examples,
                       double metric[CX_TASK_METRICS]) {
    algo_task *t = task->own;
    const uint64_t *list = t->list[split];
    uint32_t all = t->count[split];
    uint32_t n = examples > 0 && (uint32_t)examples < all ? (uint32_t)examples : all;
    uint64_t right = 0, whole = 0;
    double sum = 0;
    cx_graph_bind(t->eval_graph, block, NULL);
    for (uint32_t start = 0; start < n; start += EVAL_BATCH) {
        /* the rows of a last batch that is not full are those of the one before it, and
         * are not counted */
        uint32_t rows = n - start < EVAL_BATCH ? n - start : EVAL_BATCH;
        for (uint32_t i = 0; i < rows; i++)
            put_inputs(t, t->eval_graph, &t->eval, (int)i, list[start + i]);
        cx_graph_forward(t->eval_graph, CX_EVAL, NULL);
        const float *logits = cx_graph_value(t->eval_graph, t->eval.logits);
        for (uint32_t i = 0; i < rows; i++) {
            int bits = add_row(t, logits, (int)i, list[start + i], &sum);
            right += (uint64_t)bits;
            whole += bits == t->problem.length;
        }
    }
    double bits = (double)n * t->problem.length;
    metric[0] = (double)right / bits;
    metric[1] = (double)whole / n;
    return sum / bits;
}

const cx_task_family cx_family_algo = {.schema = &cx_family_algo_schema,
                                       .metric = {{"accuracy", true}, {"exact_match", true}},
                                       .open = open,
                                       .create = create,
                                       .destroy = destroy,
                                       .step = step,
                                       .evaluate = evaluate,
                                       .flops_per_step = flops_per_step,
                                       .inner_per_outer = inner_per_outer};
