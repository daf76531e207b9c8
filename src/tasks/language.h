/* What the language-modeling families (text, gpt2) share: a transformer that predicts the
 * next token of a corpus.
 *
 * Training batch number s: `batch` windows of context + 1 tokens, each from a place drawn
 * uniformly over the training split by (seed, s).
 *
 * Evaluation: a split is cut into windows of `context` predicted tokens that follow each
 * other without overlap, so that every token but the split's first is predicted exactly
 * once (with the tokens before it in its window; the last window may be shorter). They
 * are taken in an order shuffled by the seed; examples count windows. */
#ifndef CX_TASKS_LANGUAGE_H
#define CX_TASKS_LANGUAGE_H

#include "data/corpus.h"
#include "tasks/family.h"
#include "tasks/transformer.h"

/* At most so many tokens of a test split are evaluated where test_windows is 0: all of
 * WikiText-103's, but minutes instead of hours of a corpus of gigabytes. */
#define CX_LANGUAGE_TEST_TOKENS (1 << 22)

/* What a spec comes to. */
typedef struct {
    cx_transformer net;
    int batch;              /* windows; 0: tokens is no multiple of context */
    int validation_batches; /* most that is evaluated of the training and validation split */
    double test_windows;    /* most of the test split; 0: CX_LANGUAGE_TEST_TOKENS */
} cx_language;

/* How a family is to be read. */
typedef struct {
    const cx_task_family *family;
    cx_language (*read)(const cx_task_spec *spec);
    const int *fits; /* numbers of the parameters that must fit together; -1 ends */
    const char *key; /* of the corpus: "data.text" */
} cx_language_family;

/* Checks every combination of `fits` that the family's entries can draw, and opens a
 * corpus per vocabulary. tokenizer "": learned from the corpus. */
int cx_language_open(const cx_language_family *f, const cx_config *config, const char *path,
                     const char *tokenizer, cx_data_store *store, cx_error *err);
/* The functions of cx_task_family. */
int cx_language_create(const cx_language_family *f, const cx_task_spec *spec,
                       const cx_data_store *store, cx_task *task, cx_error *err);
void cx_language_destroy(cx_task *task);
double cx_language_step(cx_task *task, float *block, float *grads, uint32_t number);
double cx_language_evaluate(cx_task *task, float *block, cx_split split, int examples,
                            double metric[CX_TASK_METRICS]); /* perplexity, bits per byte */
double cx_language_flops(const cx_language *l);

#endif
