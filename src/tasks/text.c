/* Language modeling for training: small transformers on a corpus of bytes or of learned
 * byte pairs (tasks/language.h says how batches and evaluations are made). */
#include "tasks/language.h"

#include <math.h>
#include <stdio.h>

/* clang-format off */
#define TEXT_PARAMS(X) \
    CX_COMMON_PARAMS(X) \
    X(VOCABULARY, "vocabulary", NULL, 256, CX_BPE_MAX, 256, true, "entries learned from the training split; 256: the bytes themselves") \
    X(CONTEXT, "context", NULL, 1, 4096, 64, true, "tokens of a window") \
    X(TOKENS, "tokens", NULL, 1, 1e6, 1024, true, "tokens of an inner step: context x batch") \
    X(VALIDATION_BATCHES, "validation_batches", NULL, 1, 1e6, 10, true, "most batches of the validation (and training) split that an evaluation reads") \
    X(TEST_WINDOWS, "test_windows", NULL, 0, 1e9, 0, true, "most windows of the test split that are read; 0: 4 million tokens") \
    X(EMBEDDING, "embedding", NULL, 1, 4096, 64, true, "width of the transformer") \
    X(LAYERS, "layers", NULL, 0, CX_TRANSFORMER_LAYERS_MAX, 2, true, "blocks") \
    X(HIDDEN, "hidden", NULL, 1, 16384, 128, true, "units of a block's feed-forward layer") \
    X(HEADS, "heads", NULL, 1, 64, 4, true, "attention heads; embedding must be a multiple") \
    X(DROPOUT, "dropout", NULL, 0, 0.95, 0, false, "share dropped of the embedding and of what branches add")
/* clang-format on */

enum { TEXT_PARAMS(CX_PARAM_ENUM) N_PARAMS };

static const cx_param_schema params[] = {TEXT_PARAMS(CX_PARAM_ROW)};

const cx_family_schema cx_family_text_schema = {"text", "language modeling by small transformers",
                                                N_PARAMS, params};

static cx_language read(const cx_task_spec *spec) {
    const double *v = spec->value;
    int context = (int)v[CONTEXT], tokens = (int)v[TOKENS];
    return (cx_language){.net = {.vocabulary = (int)v[VOCABULARY],
                                 .context = context,
                                 .width = (int)v[EMBEDDING],
                                 .layers = (int)v[LAYERS],
                                 .heads = (int)v[HEADS],
                                 .hidden = (int)v[HIDDEN],
                                 .dropout = v[DROPOUT]},
                         .batch = tokens % context == 0 ? tokens / context : 0,
                         .validation_batches = (int)v[VALIDATION_BATCHES],
                         .test_windows = v[TEST_WINDOWS]};
}

static const int fits[] = {VOCABULARY, CONTEXT, TOKENS, EMBEDDING, HEADS, -1};
static const cx_language_family self = {&cx_family_text, read, fits, "data.text"};

static int open(const cx_config *config, cx_data_store *store, cx_error *err) {
    return cx_language_open(&self, config, config->data.text, "", store, err);
}

static void identity(const cx_task_spec *spec, const cx_config *config, char *out, size_t size) {
    (void)spec;
    (void)snprintf(out, size, "%s", config->data.text);
}

static int create(const cx_task_spec *spec, const cx_config *config, const cx_data_store *store,
                  cx_task *task, cx_error *err) {
    (void)config;
    return cx_language_create(&self, spec, store, task, err);
}

static double flops_per_step(const cx_task_spec *spec, const cx_config *config) {
    cx_language l = read(spec);
    (void)config;
    return cx_language_flops(&l);
}

const cx_task_family cx_family_text = {.schema = &cx_family_text_schema,
                                       .metric = {{"perplexity", false}, {"bits per byte", false}},
                                       .open = open,
                                       .identity = identity,
                                       .create = create,
                                       .destroy = cx_language_destroy,
                                       .step = cx_language_step,
                                       .evaluate = cx_language_evaluate,
                                       .flops_per_step = flops_per_step};
