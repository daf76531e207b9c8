/* A set of labeled sentences (data/sentence_file.h has the formats) with its vocabulary.
 *
 * `path` is a folder with a training, a validation and a test file (data/split_files.h; any
 * of them may be gzipped), or one file, which is cut 80 : 10 : 10 by a fixed shuffle: in the
 * order of a hash of the words, so that equal sentences are in the same split.
 *
 * Words are numbered by their frequency in the training split, the most frequent first (ties
 * by bytes). What the training split does not have is CX_SENTENCES_UNKNOWN. A smaller vocabulary
 * is a beginning of that row: see cx_sentences_known. Labels are numbered in the order of
 * their values where all are whole numbers, else of their bytes, by the training split. */
#ifndef CX_DATA_SENTENCES_H
#define CX_DATA_SENTENCES_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define CX_SENTENCES_UNKNOWN UINT32_MAX
enum { CX_SENTENCES_CLASSES_MAX = 1000 };

typedef struct cx_sentences cx_sentences;

/* `cache`: where gzipped files are unpacked (data/cache.h). CX_EDATA with file and line: see
 * sentence_file.h; a split without sentences; fewer than 2 labels, or more than
 * CX_SENTENCES_CLASSES_MAX; a label in validation or test that training does not have. */
int cx_sentences_open(const char *path, const char *cache, cx_sentences **out, cx_error *err);
void cx_sentences_close(cx_sentences *s);

/* Of the training (0), validation (1) and test (2) split. */
uint32_t cx_sentences_count(const cx_sentences *s, int split);
int cx_sentences_classes(const cx_sentences *s);
const char *cx_sentences_class_name(const cx_sentences *s, int label);
int cx_sentences_label(const cx_sentences *s, int split, uint32_t i);
/* The words of a sentence, at least one. */
const uint32_t *cx_sentences_words(const cx_sentences *s, int split, uint32_t i, size_t *n);

uint32_t cx_sentences_vocabulary(const cx_sentences *s); /* different words of training */
const char *cx_sentences_word(const cx_sentences *s, uint32_t word);
/* Words that a vocabulary of at most `entries` words has, each at least `least` times in
 * training: it is the words 0 .. that number - 1. */
uint32_t cx_sentences_known(const cx_sentences *s, uint32_t entries, double least);

#endif
