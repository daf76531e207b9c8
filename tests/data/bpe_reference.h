/* Byte-pair encoding by the book: slow, without tables, heaps and caches. Vocabularies go
 * in and out as lists of merges; merge i makes token 256 + i. */
#ifndef CX_TESTS_DATA_BPE_REFERENCE_H
#define CX_TESTS_DATA_BPE_REFERENCE_H

#include "base/rng.h"
#include "data/bpe_parts.h"
#include <string.h>

typedef struct {
    int a, b;
} ref_pair;

/* A text as tokens, with a -1 behind each piece. */
typedef struct {
    int *token;
    size_t n;
} ref_text;

static inline ref_text ref_pieces(const unsigned char *text, size_t size) {
    cx_error err = {0};
    cx_bpe_pattern *pattern;
    cx_bpe_walk walk;
    size_t begin, end;
    ref_text r = {calloc(2 * size + 1, sizeof *r.token), 0};
    assert_non_null(r.token);
    assert_ok(cx_bpe_pattern_create(&pattern, &err));
    assert_ok(cx_bpe_walk_start(&walk, pattern, text, size, &err));
    for (;;) {
        assert_ok(cx_bpe_walk_next(&walk, &begin, &end, &err));
        if (begin == end)
            break;
        for (size_t i = begin; i < end; i++)
            r.token[r.n++] = text[i];
        r.token[r.n++] = -1;
    }
    assert_int_equal(end, size);
    cx_bpe_walk_stop(&walk);
    cx_bpe_pattern_free(pattern);
    return r;
}

static inline void ref_merge(ref_text *t, ref_pair pair, int made) {
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (i + 1 < t->n && t->token[i] == pair.a && t->token[i + 1] == pair.b) {
            t->token[n++] = made;
            i++;
        } else {
            t->token[n++] = t->token[i];
        }
    }
    t->n = n;
}

static inline int ref_count(const ref_text *t, ref_pair pair) {
    int count = 0;
    for (size_t i = 0; i + 1 < t->n; i++)
        count += t->token[i] == pair.a && t->token[i + 1] == pair.b;
    return count;
}

/* At most `most` merges; returns how many. */
static inline int ref_learn(const unsigned char *text, size_t size, int most, ref_pair *merge) {
    ref_text t = ref_pieces(text, size);
    int n = 0;
    for (; n < most; n++) {
        int best = 1;
        for (size_t i = 0; i + 1 < t.n; i++) {
            ref_pair p = {t.token[i], t.token[i + 1]};
            if (p.a < 0 || p.b < 0)
                continue;
            int count = ref_count(&t, p);
            if (count > best || (count == best && best > 1 &&
                                 (p.a < merge[n].a || (p.a == merge[n].a && p.b < merge[n].b)))) {
                best = count;
                merge[n] = p;
            }
        }
        if (best < 2)
            break;
        ref_merge(&t, merge[n], 256 + n);
    }
    free(t.token);
    return n;
}

/* Piece by piece, the first merge of the list that applies, everywhere; then again. A merge
 * of a piece touches no other piece: all of them at once are the same. */
static inline ref_text ref_encode(const unsigned char *text, size_t size, const ref_pair *merge,
                                  int merges) {
    ref_text t = ref_pieces(text, size);
    for (int i = 0; i < merges; i++)
        if (ref_count(&t, merge[i]) > 0) {
            ref_merge(&t, merge[i], 256 + i);
            i = -1;
        }
    size_t n = 0;
    for (size_t i = 0; i < t.n; i++)
        if (t.token[i] >= 0)
            t.token[n++] = t.token[i];
    t.n = n;
    return t;
}

static inline int ref_merges_of(const cx_bpe *b, ref_pair *merge) {
    for (int i = 0; i < b->n_merges; i++)
        merge[i] = (ref_pair){b->merge[i].a, b->merge[i].b};
    return b->n_merges;
}

/* Text in which every rule of the pattern has much to do: few letters, many kinds of
 * spaces, digits, marks, contractions, broken UTF-8. */
static inline size_t ref_random_text(uint64_t seed, size_t parts, unsigned char *out) {
    static const char *const part[] = {"a",
                                       "b",
                                       "ab",
                                       "the",
                                       "x",
                                       "'s",
                                       "'ll",
                                       "'",
                                       "7",
                                       "42",
                                       ".",
                                       "?!",
                                       " ",
                                       " ",
                                       " ",
                                       "  ",
                                       "\n",
                                       "\r\n",
                                       "\t",
                                       "\v",
                                       "\xC3",
                                       "\xA0",
                                       "\xFF",
                                       "\xE2\x80",
                                       "\xC2\xA0",
                                       "\xC2\x85",
                                       "\xE3\x80\x80",
                                       "\xE2\x80\x83",
                                       "\xE2\x80\xA8",
                                       "\xE1\x9A\x80",
                                       "\xE1\xA0\x8E",
                                       "\xE2\x81\x9F",
                                       "\xC3\xA9",
                                       "\xE4\xB8\x80",
                                       "\xF0\x9F\x98\x80",
                                       "\xD9\xA3",
                                       "\xCC\x81",
                                       "\xED\xA0\x80"};
    cx_rng rng = cx_rng_make(seed, 0, CX_STREAM_TEST);
    size_t n = 0;
    for (size_t i = 0; i < parts; i++) {
        uint32_t k = cx_rng_below(&rng, sizeof part / sizeof part[0] + 1);
        if (k == sizeof part / sizeof part[0]) {
            out[n++] = 0;
            continue;
        }
        size_t size = strlen(part[k]);
        memcpy(out + n, part[k], size);
        n += size;
    }
    return n;
}

#endif
