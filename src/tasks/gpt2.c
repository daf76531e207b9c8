/* Held out for evaluation: GPT-2 (Radford et al., 2019), from a few hundred thousand
 * parameters to GPT-2 small (the defaults: 124,439,808), on WikiText-style text
 * (tasks/language.h says how batches and evaluations are made). The feed-forward width is
 * 4 x width; the head is tied to the embedding. */
#include "tasks/language.h"

#include <math.h>
#include <stdio.h>

/* clang-format off */
#define GPT2_PARAMS(X) \
    CX_COMMON_PARAMS(X) \
    X(VOCABULARY, "vocabulary", NULL, 256, CX_BPE_MAX, 50257, true, "entries of data.gpt2_tokenizer; without one: learned from the training split (256: the bytes themselves)") \
    X(CONTEXT, "context", NULL, 1, 1024, 1024, true, "tokens of a window") \
    X(BATCH_SIZE, "batch_size", NULL, 1, 4096, 1, true, "windows of an inner step") \
    X(VALIDATION_BATCHES, "validation_batches", NULL, 1, 1e6, 10, true, "most batches of the validation (and training) split that an evaluation reads") \
    X(TEST_WINDOWS, "test_windows", NULL, 0, 1e9, 0, true, "most windows of the test split that are read; 0: 4 million tokens") \
    X(WIDTH, "width", NULL, 1, CX_TRANSFORMER_WIDTH_MAX, 768, true, "of the transformer") \
    X(LAYERS, "layers", NULL, 0, CX_TRANSFORMER_LAYERS_MAX, 12, true, "blocks") \
    X(HEADS, "heads", NULL, 1, 128, 12, true, "attention heads; width must be a multiple") \
    X(DROPOUT, "dropout", NULL, 0, 0.95, 0, false, "share dropped of the embedding and of what branches add")
/* clang-format on */

enum { GPT2_PARAMS(CX_PARAM_ENUM) N_PARAMS };

static const cx_param_schema params[] = {GPT2_PARAMS(CX_PARAM_ROW)};

const cx_family_schema cx_family_gpt2_schema = {"gpt2", "GPT-2 on WikiText-style text (held out)",
                                                N_PARAMS, params};

static cx_language read(const cx_task_spec *spec) {
    const double *v = spec->value;
    return (cx_language){.net = {.vocabulary = (int)v[VOCABULARY],
                                 .context = (int)v[CONTEXT],
                                 .width = (int)v[WIDTH],
                                 .layers = (int)v[LAYERS],
                                 .heads = (int)v[HEADS],
                                 .hidden = 4 * (int)v[WIDTH],
                                 .tied = true,
                                 .gpt2_start = true,
                                 .dropout = v[DROPOUT]},
                         .batch = (int)v[BATCH_SIZE],
                         .validation_batches = (int)v[VALIDATION_BATCHES],
                         .test_windows = v[TEST_WINDOWS]};
}

static const int fits[] = {VOCABULARY, CONTEXT, WIDTH, HEADS, -1};
static const cx_language_family self = {&cx_family_gpt2, read, fits, "data.gpt2"};

static int open(const cx_config *config, cx_data_store *store, cx_error *err) {
    return cx_language_open(&self, config, config->data.gpt2, config->data.gpt2_tokenizer, store,
                            err);
}

static void identity(const cx_task_spec *spec, const cx_config *config, char *out, size_t size) {
    (void)spec;
    (void)snprintf(out, size, "%s tokenizer %s", config->data.gpt2, config->data.gpt2_tokenizer);
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

const cx_task_family cx_family_gpt2 = {.schema = &cx_family_gpt2_schema,
                                       .held_out = true,
                                       .metric = {{"perplexity", false}, {"bits per byte", false}},
                                       .open = open,
                                       .identity = identity,
                                       .create = create,
                                       .destroy = cx_language_destroy,
                                       .step = cx_language_step,
                                       .evaluate = cx_language_evaluate,
                                       .flops_per_step = flops_per_step};
