/* What the files of byte-pair encoding share (bpe.c, bpe_learn.c, bpe_files.c, bpe_gpt2.c,
 * bpe_pieces.c; corpus.c for vocabularies in the cache); nobody else includes it. */
#ifndef CX_DATA_BPE_PARTS_H
#define CX_DATA_BPE_PARTS_H

#include "data/bpe.h"
#include <stdbool.h>

enum {
    CX_BPE_BYTES = 256,
    CX_BPE_TOKEN_BYTES_MAX = 1024 /* of what one token stands for: 65536 of them fit anywhere */
};

/* ---- pieces: the compiled pattern, and a walk over a text */
typedef struct cx_bpe_pattern cx_bpe_pattern;
int cx_bpe_pattern_create(cx_bpe_pattern **out, cx_error *err);
void cx_bpe_pattern_free(cx_bpe_pattern *p);

typedef struct {
    const cx_bpe_pattern *pattern;
    void *match; /* PCRE2's data of one match */
    const unsigned char *text;
    size_t size, at;
    size_t begin, end; /* of the last match; begin > at: bytes that no match covers */
} cx_bpe_walk;

int cx_bpe_walk_start(cx_bpe_walk *w, const cx_bpe_pattern *pattern, const unsigned char *text,
                      size_t size, cx_error *err);
/* The next piece, text[*begin .. *end); *begin == *end: the text is at its end. */
int cx_bpe_walk_next(cx_bpe_walk *w, size_t *begin, size_t *end, cx_error *err);
void cx_bpe_walk_stop(cx_bpe_walk *w);

/* ---- a hash table of pieces */
typedef struct {
    uint64_t hash;
    size_t offset; /* of its bytes in cx_bpe_words.bytes */
    uint32_t size;
    uint32_t n; /* for the user of the table, as is `value`: both start as 0 */
    uint64_t value;
} cx_bpe_word;

typedef struct {
    cx_bpe_word *word;
    size_t n, capacity;
    unsigned char *bytes;
    size_t n_bytes, bytes_capacity;
    uint32_t *slot; /* 1 + index of the word; 0: free */
    size_t slots;   /* a power of two, at least twice n */
} cx_bpe_words;

/* The word of these bytes (1 .. UINT32_MAX of them), entered where it is new; *fresh tells.
 * NULL: out of memory. Valid until the next call. */
cx_bpe_word *cx_bpe_words_put(cx_bpe_words *t, const unsigned char *bytes, size_t size,
                              bool *fresh);
void cx_bpe_words_free(cx_bpe_words *t);

/* ---- the vocabulary */
typedef struct {
    uint16_t a, b, result;
} cx_bpe_merge;

struct cx_bpe {
    int entries, n_merges;
    bool foreign;                /* numbers of GPT-2's files */
    uint16_t byte[CX_BPE_BYTES]; /* token of each byte */
    cx_bpe_merge *merge;         /* by rank */
    size_t *start;               /* [entries + 1] of each token's bytes */
    unsigned char *bytes;        /* of all tokens */
    struct cx_bpe_slot *slot;    /* hash table of pairs */
    size_t slots;                /* a power of two */
    cx_bpe_pattern *pattern;
};

/* Zeroed, with room for merges and starts; NULL: out of memory. */
cx_bpe *cx_bpe_blank(int entries, int n_merges);
/* With all merges in place: makes table and pattern. *twice: -1, or the first merge whose
 * pair an earlier one has already, which is CX_EDATA (without a message). */
int cx_bpe_complete(cx_bpe *b, int *twice, cx_error *err);
/* Numbers of a learned vocabulary: merge[i].a and .b are there and below 256 + i; fills in
 * the rest and completes. `name`: of the file, for messages; merge i is in line i + 2. */
int cx_bpe_complete_learned(cx_bpe *b, const char *name, cx_error *err);
/* Rank of a pair; -1: none. */
int cx_bpe_rank(const cx_bpe *b, uint16_t left, uint16_t right);

/* The text of cx_bpe_write (owned by the caller), and a vocabulary from it. */
int cx_bpe_print(const cx_bpe *b, char **text, size_t *size, cx_error *err);
int cx_bpe_parse(const char *name, const unsigned char *text, size_t size, cx_bpe **out,
                 cx_error *err);
int cx_bpe_read_gpt2(const char *folder, cx_bpe **out, cx_error *err);

/* Grows an array to hold `need` elements of `element` bytes; `array` is the address of the
 * pointer to it. false: out of memory, nothing changed. */
bool cx_bpe_grow(void *array, size_t *capacity, size_t need, size_t element);

#endif
