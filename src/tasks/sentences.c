/* Classification of sentences by recurrent networks (tasks/recurrent_net.h) over words
 * (data/sentences.h). Of a sentence the first `length` words are read; a shorter one is
 * padded in front, so that the last state is always that of its last word. Words of the
 * network: 0 padding (an ordinary row of the embedding, trained like the others), 1 every word
 * that is not in the vocabulary, then the vocabulary by frequency.
 *
 * Training batch number s takes the sentences s B .. s B + B - 1 of an endless row of epochs,
 * each a permutation of the training split. */
#include "data/sentences.h"
#include "tasks/classify.h"
#include "tasks/family.h"
#include "tasks/permute.h"
#include "tasks/recurrent_net.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
#define SENTENCE_PARAMS(X) \
    CX_COMMON_PARAMS(X) \
    X(EPOCHS, "epochs", NULL, 0, 1000, 0, false, "length of the run; 0: inner_per_outer says it") \
    X(LENGTH, "length", NULL, 1, CX_RECURRENT_LENGTH_MAX, 32, true, "words of a sentence that are read, the first ones") \
    X(BATCH_SIZE, "batch_size", NULL, 1, 4096, 32, true, "sentences of an inner step") \
    X(ARCHITECTURE, "architecture", cx_recurrent_words, 0, 0, CX_LSTM, true, "kind of the recurrent layers") \
    X(HIDDEN, "hidden", NULL, 1, 4096, 64, true, "units of a layer") \
    X(LAYERS, "layers", NULL, 1, CX_RECURRENT_LAYERS_MAX, 1, true, "recurrent layers") \
    X(EMBEDDING, "embedding", NULL, 1, 4096, 64, true, "numbers that stand for a word") \
    X(DROPOUT, "dropout", NULL, 0, 0.95, 0, false, "share of units dropped between layers and before the output") \
    X(BPTT_LENGTH, "bptt_length", NULL, 0, CX_RECURRENT_LENGTH_MAX, 0, true, "words from the end through which the gradient goes; 0: all") \
    X(VOCABULARY, "vocabulary", NULL, 3, 1e6, 8000, true, "rows of the embedding at most, padding and the unknown word included") \
    X(MIN_COUNT, "min_count", NULL, 1, 1e6, 1, true, "times that a word of the vocabulary is in the training split at least")
/* clang-format on */

enum { SENTENCE_PARAMS(CX_PARAM_ENUM) N_PARAMS };

static const cx_param_schema params[] = {SENTENCE_PARAMS(CX_PARAM_ROW)};

const cx_family_schema cx_family_sentences_schema = {
    "sentences", "sentence classification by recurrent networks", N_PARAMS, params};

/* FULL_*: what is taken for the data set where there is none yet (SST). */
enum {
    EVAL_BATCH = 128,
    PADDING = 0,
    UNKNOWN = 1,
    SPECIAL = 2,
    FULL_TRAIN = 8544,
    FULL_CLASSES = 5
};
static const char set_name[] = "sentences";

typedef struct {
    const cx_sentences *set;
    cx_recurrent_net net;
    cx_recurrent_refs train, eval;
    cx_graph *eval_graph;
    uint32_t known; /* words of the vocabulary */
    cx_epochs epochs;
    cx_permute order[CX_SPLITS]; /* in which each split is evaluated */
} sentences_task;

/* --- what follows from the spec alone --- */

static int steps_per_outer(const cx_task_spec *spec, double examples) {
    return cx_epochs_per_outer(spec, spec->value[EPOCHS], examples, spec->value[BATCH_SIZE]);
}

static int inner_per_outer(const cx_task_spec *spec, const cx_config *config) {
    (void)config;
    return steps_per_outer(spec, FULL_TRAIN);
}

static cx_recurrent_net net_of(const cx_task_spec *spec, int rows, int classes) {
    const double *v = spec->value;
    return (cx_recurrent_net){.architecture = (int)v[ARCHITECTURE],
                              .layers = (int)v[LAYERS],
                              .hidden = (int)v[HIDDEN],
                              .dropout = v[DROPOUT],
                              .vocabulary = rows,
                              .inputs = (int)v[EMBEDDING],
                              .classes = classes,
                              .bptt_length = (int)v[BPTT_LENGTH]};
}

static double flops_per_step(const cx_task_spec *spec, const cx_config *config) {
    (void)config;
    const double *v = spec->value;
    cx_recurrent_net net = net_of(spec, (int)v[VOCABULARY], FULL_CLASSES);
    return cx_recurrent_net_flops(&net, (int)v[LENGTH], (int)v[BATCH_SIZE]);
}

static int check(const cx_task_spec *spec, int rows, int classes, cx_error *err) {
    const double *v = spec->value;
    cx_recurrent_net net = net_of(spec, rows, classes);
    return cx_recurrent_net_check(&net, (int)v[LENGTH], (int)v[BATCH_SIZE], "sentences", err);
}

/* --- creation --- */

static int build(const sentences_task *t, int length, int batch, bool train, cx_graph **g,
                 cx_recurrent_refs *refs, cx_error *err) {
    *g = cx_graph_create();
    if (!*g)
        return cx_fail(err, CX_ENOMEM, "no memory for a graph");
    *refs = cx_recurrent_net_build(&t->net, length, batch, train, *g);
    return cx_graph_plan(*g, !train, err);
}

static int create(const cx_task_spec *spec, const cx_config *config, const cx_data_store *store,
                  cx_task *task, cx_error *err) {
    (void)config;
    const double *v = spec->value;
    sentences_task *t = calloc(1, sizeof *t);
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a task");
    task->own = t;
    t->set = cx_data_store_get(store, &cx_family_sentences, set_name);
    if (!t->set)
        return cx_fail(err, CX_ESTATE,
                       "sentences: no data are open; the configuration that they were opened for "
                       "has no task of this family");
    t->known = cx_sentences_known(t->set, (uint32_t)v[VOCABULARY] - SPECIAL, v[MIN_COUNT]);
    int rows = SPECIAL + (int)t->known, classes = cx_sentences_classes(t->set);
    int rc = check(spec, rows, classes, err);
    if (rc)
        return rc;
    t->net = net_of(spec, rows, classes);
    uint32_t n = cx_sentences_count(t->set, CX_SPLIT_TRAIN);
    if (!(v[INNER_STEPS] > 0)) /* epochs count the sentences that there really are */
        task->inner_steps = task->outer_steps * steps_per_outer(spec, n);
    t->epochs = cx_epochs_make(n, spec->seed);
    cx_rng rng = cx_rng_make(spec->seed, 0, CX_STREAM_EVAL);
    for (int s = 0; s < CX_SPLITS; s++)
        t->order[s] = cx_permute_make(cx_sentences_count(t->set, s), &rng);
    rc = build(t, (int)v[LENGTH], (int)v[BATCH_SIZE], true, &task->graph, &t->train, err);
    if (!rc)
        rc = build(t, (int)v[LENGTH], EVAL_BATCH, false, &t->eval_graph, &t->eval, err);
    return rc;
}

static void destroy(cx_task *task) {
    sentences_task *t = task->own;
    if (!t)
        return;
    cx_graph_destroy(t->eval_graph);
    free(t);
    task->own = NULL;
}

/* --- training --- */

static void put_words(const sentences_task *t, const cx_graph *g, const cx_recurrent_refs *refs,
                      int row, cx_split split, uint32_t example) {
    size_t n;
    const uint32_t *words = cx_sentences_words(t->set, split, example, &n);
    int length = refs->length, used = n < (size_t)length ? (int)n : length;
    for (int step = 0; step < length - used; step++)
        *cx_recurrent_word(g, refs, step, row) = PADDING;
    for (int i = 0; i < used; i++)
        *cx_recurrent_word(g, refs, length - used + i, row) =
            words[i] < t->known ? SPECIAL + (int32_t)words[i] : UNKNOWN;
}

static double step(cx_task *task, float *block, float *grads, uint32_t number) {
    sentences_task *t = task->own;
    cx_graph *g = task->graph;
    int batch = t->train.batch;
    uint64_t first = (uint64_t)number * (uint64_t)batch;
    int32_t *labels = cx_graph_value_int(g, t->train.labels);
    for (int row = 0; row < batch; row++) {
        uint32_t e = cx_epochs_at(&t->epochs, first + (uint64_t)row);
        put_words(t, g, &t->train, row, CX_SPLIT_TRAIN, e);
        labels[row] = cx_sentences_label(t->set, CX_SPLIT_TRAIN, e);
    }
    cx_rng rng = cx_rng_make(task->spec.seed, number, CX_STREAM_DROPOUT);
    cx_graph_bind(g, block, grads);
    cx_graph_forward(g, CX_TRAIN, &rng);
    cx_graph_backward_loss(g, t->train.loss);
    return *cx_graph_value(g, t->train.loss);
}

/* --- evaluation --- */

static double evaluate(cx_task *task, float *block, cx_split split, int examples,
                       double metric[CX_TASK_METRICS]) {
    sentences_task *t = task->own;
    uint32_t all = cx_sentences_count(t->set, split), right = 0;
    uint32_t n = examples > 0 && (uint32_t)examples < all ? (uint32_t)examples : all;
    int label[EVAL_BATCH], classes = t->net.classes;
    double sum = 0;
    cx_graph_bind(t->eval_graph, block, NULL);
    for (uint32_t start = 0; start < n; start += EVAL_BATCH) {
        /* the rows of a last batch that is not full are those of the one before it, and
         * are not counted */
        uint32_t rows = n - start < EVAL_BATCH ? n - start : EVAL_BATCH;
        for (uint32_t i = 0; i < rows; i++) {
            uint32_t e = cx_permute_at(&t->order[split], start + i);
            put_words(t, t->eval_graph, &t->eval, (int)i, split, e);
            label[i] = cx_sentences_label(t->set, split, e);
        }
        cx_graph_forward(t->eval_graph, CX_EVAL, NULL);
        const float *logits = cx_graph_value(t->eval_graph, t->eval.logits);
        for (uint32_t i = 0; i < rows; i++, logits += classes) {
            sum += cx_row_cross_entropy(logits, classes, label[i]);
            right += cx_row_is_right(logits, classes, label[i]);
        }
    }
    metric[0] = (double)right / n;
    return sum / n;
}

/* --- what the entries of the configuration can draw --- */

static int check_entry(const cx_config *config, int entry, const cx_sentences *set, cx_error *err) {
    const cx_dist *p = config->tasks[entry].param;
    cx_task_spec largest = {0};
    for (int i = 0; i < N_PARAMS; i++)
        largest.value[i] = cx_dist_end(&p[i], true);
    largest.value[BPTT_LENGTH] = 0;
    uint32_t known = cx_sentences_known(set, (uint32_t)largest.value[VOCABULARY] - SPECIAL,
                                        cx_dist_end(&p[MIN_COUNT], false));
    if (check(&largest, SPECIAL + (int)known, cx_sentences_classes(set), err))
        return cx_fail_in(err, "tasks.%d (%s)", entry, config->tasks[entry].name);
    return CX_OK;
}

static void close_set(void *data) {
    cx_sentences_close(data);
}

static int open(const cx_config *config, cx_data_store *store, cx_error *err) {
    cx_sentences *set;
    if (config->data.sentences[0] == 0)
        return cx_fail(err, CX_ECONFIG,
                       "data.sentences is empty, but a task uses it: a folder with train, dev and "
                       "test files, or one file is right (bracketed trees, label<TAB>text, or "
                       "CSV; plain or .gz)");
    int rc = cx_sentences_open(config->data.sentences, config->data.cache, &set, err);
    if (rc)
        return cx_fail_in(err, "data.sentences");
    for (int i = 0; i < config->n_tasks && !rc; i++)
        if (cx_entry_is(config, i, &cx_family_sentences))
            rc = check_entry(config, i, set, err);
    if (rc) {
        cx_sentences_close(set);
        return rc;
    }
    return cx_data_store_put(store, &cx_family_sentences, set_name, set, close_set, err);
}

static void identity(const cx_task_spec *spec, const cx_config *config, char *out, size_t size) {
    (void)spec;
    (void)snprintf(out, size, "%s", config->data.sentences);
}

const cx_task_family cx_family_sentences = {.schema = &cx_family_sentences_schema,
                                            .metric = {{"accuracy", true}},
                                            .open = open,
                                            .identity = identity,
                                            .create = create,
                                            .destroy = destroy,
                                            .step = step,
                                            .evaluate = evaluate,
                                            .flops_per_step = flops_per_step,
                                            .inner_per_outer = inner_per_outer};
