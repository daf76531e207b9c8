/* A text corpus as one row of tokens per split, mapped, not read: texts of any size.
 *
 * `path` is a folder or a file. In a folder the splits are the files with one of these
 * words in their names, between other characters than letters (wiki.train.tokens,
 * ptb-valid.txt): train, training; valid, validation, val, dev; test, testing. Of a missing
 * test file the last tenth of the training file takes the place, then of a missing
 * validation file the last tenth of the rest. One plain file is cut: its first 90 %, 5 %,
 * 5 %. All cuts are at line ends where there are any near. gzipped files (*.gz) are
 * unpacked into the cache first.
 *
 * A vocabulary of 256 without a tokenizer are the bytes of the mapped files themselves.
 * Else the tokens are made once and kept in the cache (data/cache.h). */
#ifndef CX_DATA_CORPUS_H
#define CX_DATA_CORPUS_H

#include "data/bpe.h"
#include <stddef.h>
#include <stdint.h>

typedef struct cx_corpus cx_corpus;

/* `tokenizer`: what cx_bpe_read takes, and `entries` says nothing then; or "": learned from
 * the training split (at most its first 64 MiB), with `entries` entries, or fewer where the
 * text is too short for so many. `cache`: a folder, or "" for the
 * usual one. CX_EDATA: missing, empty, a split of fewer than 2 tokens. */
int cx_corpus_open(const char *path, int entries, const char *tokenizer, const char *cache,
                   cx_corpus **out, cx_error *err);
void cx_corpus_close(cx_corpus *c);
int cx_corpus_entries(const cx_corpus *c); /* of the vocabulary */
/* Tokens, and bytes of text that they stand for, of the training (0), validation (1) and
 * test (2) split. */
size_t cx_corpus_tokens(const cx_corpus *c, int split);
size_t cx_corpus_bytes(const cx_corpus *c, int split);
/* Tokens [first, first + n) of a split, which must be there. */
void cx_corpus_copy(const cx_corpus *c, int split, size_t first, int n, int32_t *out);
/* NULL for bytes without a tokenizer. Owned by the corpus. */
const cx_bpe *cx_corpus_bpe(const cx_corpus *c);

#endif
