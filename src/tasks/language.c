#include "tasks/language.h"

#include "tasks/permute.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double params_max = 2e9, activations_max = 8e9;

typedef struct {
    const cx_corpus *corpus;
    cx_graph *graph; /* training and evaluation alike: a second one would double the memory */
    cx_transformer_refs refs;
    int batch, context;
    uint32_t windows[CX_SPLITS]; /* that evaluation takes at most */
    cx_permute order[CX_SPLITS]; /* of all the windows that there are */
    double bytes_per_token[CX_SPLITS];
} language_task;

static const char *fault_of(const cx_language *l) {
    if (l->batch < 1)
        return "tokens must be a multiple of context, which is what a batch is made of";
    const char *fault = cx_transformer_fault(&l->net, l->batch);
    cx_transformer_cost c = cx_transformer_measure(&l->net);
    if (!fault &&
        (c.params > params_max || c.activations * l->batch * l->net.context > activations_max))
        fault = "a network of more than 2e9 parameters, or of more than 8e9 activations a batch";
    return fault;
}

double cx_language_flops(const cx_language *l) {
    cx_transformer_cost c = cx_transformer_measure(&l->net);
    /* forward and twice as much backward; about 10 operations for each number that is
     * passed on, forward and backward */
    return (double)l->batch * l->net.context * (6 * c.products + 20 * c.activations) +
           CX_FLOPS_PER_UPDATE * c.params + CX_FLOPS_PER_OPERATOR * c.operators;
}

/* --- corpora --- */

static void corpus_name(double vocabulary, char out[16]) {
    (void)snprintf(out, 16, "%.0f", vocabulary);
}

static void close_corpus(void *data) {
    cx_corpus_close(data);
}

static int open_corpus(const cx_language_family *f, const cx_config *config, const char *path,
                       const char *tokenizer, int vocabulary, cx_data_store *store, cx_error *err) {
    char name[16];
    cx_corpus *corpus;
    corpus_name(vocabulary, name);
    if (cx_data_store_get(store, f->family, name))
        return CX_OK;
    if (path[0] == 0)
        return cx_fail(err, CX_ECONFIG,
                       "%s is empty, but a task uses it: a plain text file, or a folder with "
                       "train, valid and test files, is right",
                       f->key);
    int rc = cx_corpus_open(path, vocabulary, tokenizer, config->data.cache, &corpus, err);
    if (rc)
        return cx_fail_in(err, "%s", f->key);
    int entries = cx_corpus_entries(corpus);
    /* a text may be too short to learn so many; then some rows are never used */
    if (tokenizer[0] ? entries != vocabulary : entries > vocabulary) {
        cx_corpus_close(corpus);
        return cx_fail(err, CX_ECONFIG,
                       "vocabulary is %d, but the tokenizer %s has %d entries; vocabulary: %d is "
                       "right",
                       vocabulary, tokenizer, entries, entries);
    }
    return cx_data_store_put(store, f->family, name, corpus, close_corpus, err);
}

/* A window of training must fit into the training split. */
static int check_length(const cx_corpus *corpus, int context, cx_error *err) {
    size_t n = cx_corpus_tokens(corpus, CX_SPLIT_TRAIN);
    if (n <= (size_t)context)
        return cx_fail(err, CX_EDATA,
                       "the training split has %zu tokens, context is %d: at least %d are right", n,
                       context, context + 1);
    return CX_OK;
}

/* All values of one parameter, and which of them is being looked at. */
typedef struct {
    int param, n, at;
    double value[CX_CHOICES_MAX];
} wheel;

enum { WHEELS_MAX = 8 };

/* The next combination into spec; false: all were there. */
static bool turn(wheel *w, int n, cx_task_spec *spec) {
    int i = 0;
    while (i < n && ++w[i].at == w[i].n)
        w[i++].at = 0;
    for (int k = 0; k < n; k++)
        spec->value[w[k].param] = w[k].value[w[k].at];
    return i < n;
}

static int set_wheels(const cx_language_family *f, const cx_config *config, int entry, wheel *w,
                      int *n, cx_task_spec *spec, cx_error *err) {
    const cx_task_entry *t = &config->tasks[entry];
    const cx_family_schema *s = f->family->schema;
    for (int i = 0; i < s->n_params; i++)
        spec->value[i] = cx_dist_end(&t->param[i], true);
    for (*n = 0; *n < WHEELS_MAX && f->fits[*n] >= 0; ++*n) {
        int k = f->fits[*n];
        w[*n] = (wheel){.param = k};
        w[*n].n = cx_dist_values(&t->param[k], w[*n].value);
        if (w[*n].n == 0)
            return cx_fail(err, CX_ECONFIG,
                           "tasks.%d (%s): %s must be a constant or a list of at most %d choices, "
                           "so that all of them can be checked",
                           entry, t->name, s->params[k].name, CX_CHOICES_MAX);
        spec->value[k] = w[*n].value[0];
    }
    return CX_OK;
}

static int open_entry(const cx_language_family *f, const cx_config *config, int entry,
                      const char *path, const char *tokenizer, cx_data_store *store,
                      cx_error *err) {
    wheel w[WHEELS_MAX];
    int n, rc = CX_OK;
    cx_task_spec spec = {.seed = 0};
    rc = set_wheels(f, config, entry, w, &n, &spec, err);
    if (rc)
        return rc;
    do {
        char name[16];
        cx_language l = f->read(&spec);
        const char *fault = fault_of(&l);
        if (fault)
            rc = cx_fail(err, CX_ECONFIG, "%s", fault);
        if (!rc)
            rc = open_corpus(f, config, path, tokenizer, l.net.vocabulary, store, err);
        corpus_name(l.net.vocabulary, name);
        if (!rc)
            rc = check_length(cx_data_store_get(store, f->family, name), l.net.context, err);
    } while (!rc && turn(w, n, &spec));
    return rc ? cx_fail_in(err, "tasks.%d (%s)", entry, config->tasks[entry].name) : CX_OK;
}

int cx_language_open(const cx_language_family *f, const cx_config *config, const char *path,
                     const char *tokenizer, cx_data_store *store, cx_error *err) {
    int rc = CX_OK;
    for (int i = 0; i < config->n_tasks && !rc; i++)
        if (cx_entry_is(config, i, f->family))
            rc = open_entry(f, config, i, path, tokenizer, store, err);
    return rc;
}

/* --- creation --- */

/* Windows of a split: each predicts `context` tokens, the last one what is left. */
static uint32_t count_windows(const cx_corpus *corpus, int split, int context) {
    size_t predicted = cx_corpus_tokens(corpus, split) - 1;
    size_t n = (predicted + (size_t)context - 1) / (size_t)context;
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static uint32_t at_most(uint32_t n, double bound) {
    return (double)n <= bound ? n : (uint32_t)bound;
}

static void plan_evaluation(language_task *t, const cx_language *l, uint64_t seed) {
    cx_rng rng = cx_rng_make(seed, 0, CX_STREAM_EVAL);
    double some = (double)l->validation_batches * l->batch;
    double test = ceil((double)CX_LANGUAGE_TEST_TOKENS / l->net.context);
    if (l->test_windows > 0)
        test = l->test_windows;
    for (int s = 0; s < CX_SPLITS; s++) {
        uint32_t n = count_windows(t->corpus, s, l->net.context);
        t->order[s] = cx_permute_make(n, &rng);
        t->windows[s] = at_most(n, s == CX_SPLIT_TEST ? test : some);
        t->bytes_per_token[s] =
            (double)cx_corpus_bytes(t->corpus, s) / (double)cx_corpus_tokens(t->corpus, s);
    }
}

int cx_language_create(const cx_language_family *f, const cx_task_spec *spec,
                       const cx_data_store *store, cx_task *task, cx_error *err) {
    cx_language l = f->read(spec);
    const char *fault = fault_of(&l), *name = f->family->schema->name;
    char key[16];
    if (fault)
        return cx_fail(err, CX_ECONFIG, "%s: %s", name, fault);
    language_task *t = calloc(1, sizeof *t);
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a task");
    task->own = t;
    corpus_name(l.net.vocabulary, key);
    t->corpus = cx_data_store_get(store, f->family, key);
    if (!t->corpus)
        return cx_fail(err, CX_ESTATE,
                       "%s: the corpus in %d tokens is not open; the configuration that the data "
                       "were opened for does not name it",
                       name, l.net.vocabulary);
    int rc = check_length(t->corpus, l.net.context, err);
    if (rc)
        return cx_fail_in(err, "%s", name);
    t->batch = l.batch;
    t->context = l.net.context;
    plan_evaluation(t, &l, spec->seed);
    t->graph = task->graph = cx_graph_create(); /* the task's to destroy */
    if (!t->graph)
        return cx_fail(err, CX_ENOMEM, "no memory for a graph");
    t->refs = cx_transformer_build(&l.net, l.batch, t->graph);
    return cx_graph_plan(t->graph, false, err);
}

void cx_language_destroy(cx_task *task) {
    free(task->own);
    task->own = NULL;
}

/* --- training and evaluation --- */

/* Row `row` predicts the `count` tokens after token `first` of a split; the rest of the
 * row does not count. */
static void put_window(const language_task *t, int split, int row, size_t first, int count) {
    size_t at = (size_t)row * (size_t)t->context;
    int32_t *tokens = cx_graph_value_int(t->graph, t->refs.tokens) + at;
    int32_t *targets = cx_graph_value_int(t->graph, t->refs.targets) + at;
    cx_corpus_copy(t->corpus, split, first, count, tokens);
    cx_corpus_copy(t->corpus, split, first + 1, count, targets);
    for (int i = count; i < t->context; i++) {
        tokens[i] = 0;
        targets[i] = CX_TRANSFORMER_IGNORE;
    }
}

/* 64 bits, as a corpus may have more than 2^32 tokens; the bias is below n / 2^64. */
static size_t draw_below(cx_rng *rng, size_t n) {
    uint64_t high = cx_rng_u32(rng);
    return (size_t)((high << 32 | cx_rng_u32(rng)) % n);
}

double cx_language_step(cx_task *task, float *block, float *grads, uint32_t number) {
    const language_task *t = task->own;
    size_t starts = cx_corpus_tokens(t->corpus, CX_SPLIT_TRAIN) - (size_t)t->context;
    cx_rng rng = cx_rng_make(task->spec.seed, number, CX_STREAM_BATCH);
    for (int i = 0; i < t->batch; i++)
        put_window(t, CX_SPLIT_TRAIN, i, draw_below(&rng, starts), t->context);
    rng = cx_rng_make(task->spec.seed, number, CX_STREAM_DROPOUT);
    cx_graph_bind(t->graph, block, grads);
    cx_graph_forward(t->graph, CX_TRAIN, &rng);
    double loss = *cx_graph_value(t->graph, t->refs.loss);
    cx_graph_backward_loss(t->graph, t->refs.loss);
    return loss;
}

double cx_language_evaluate(cx_task *task, float *block, cx_split split, int examples,
                            double metric[CX_TASK_METRICS]) {
    const language_task *t = task->own;
    uint32_t n = examples > 0 ? at_most(t->windows[split], examples) : t->windows[split];
    size_t last = cx_corpus_tokens(t->corpus, split) - 1, context = (size_t)t->context;
    double sum = 0, counted = 0;
    cx_graph_bind(t->graph, block, NULL);
    for (uint32_t start = 0; start < n; start += (uint32_t)t->batch) {
        double here = 0;
        for (int i = 0; i < t->batch; i++) {
            size_t first = 0, count = 0; /* a row too many counts nothing */
            if (n - start > (uint32_t)i) {
                first = cx_permute_at(&t->order[split], start + (uint32_t)i) * context;
                count = last - first < context ? last - first : context;
            }
            put_window(t, split, i, first, (int)count);
            here += (double)count;
        }
        cx_graph_forward(t->graph, CX_EVAL, NULL);
        sum += here * *cx_graph_value(t->graph, t->refs.loss);
        counted += here;
    }
    double loss = sum / counted;
    metric[0] = exp(loss);
    metric[1] = loss / t->bytes_per_token[split] / log(2);
    return loss;
}
