/* The vocabulary itself, encoding and decoding. */
#include "data/bpe_parts.h"

#include "base/hash.h"
#include <stdlib.h>
#include <string.h>

struct cx_bpe_slot {
    uint32_t pair; /* left << 16 | right */
    int32_t rank;  /* + 1; 0: free */
};

static size_t slot_of(uint32_t pair, size_t slots) {
    return (size_t)((pair * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (slots - 1);
}

int cx_bpe_rank(const cx_bpe *b, uint16_t left, uint16_t right) {
    uint32_t pair = (uint32_t)left << 16 | right;
    size_t s = slot_of(pair, b->slots);
    for (; b->slot[s].rank; s = (s + 1) & (b->slots - 1))
        if (b->slot[s].pair == pair)
            return b->slot[s].rank - 1;
    return -1;
}

cx_bpe *cx_bpe_blank(int entries, int n_merges) {
    cx_bpe *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->entries = entries;
    b->n_merges = n_merges;
    b->slots = 64;
    while (b->slots < 4 * (size_t)n_merges) /* most pairs of a text are none: short searches */
        b->slots *= 2;
    b->merge = calloc((size_t)n_merges + 1, sizeof *b->merge);
    b->start = calloc((size_t)entries + 1, sizeof *b->start);
    b->slot = calloc(b->slots, sizeof *b->slot);
    if (!b->merge || !b->start || !b->slot) {
        cx_bpe_free(b);
        return NULL;
    }
    return b;
}

void cx_bpe_free(cx_bpe *b) {
    if (!b)
        return;
    cx_bpe_pattern_free(b->pattern);
    free(b->merge);
    free(b->start);
    free(b->bytes);
    free(b->slot);
    free(b);
}

int cx_bpe_complete(cx_bpe *b, int *twice, cx_error *err) {
    *twice = -1;
    for (int i = 0; i < b->n_merges; i++) {
        uint32_t pair = (uint32_t)b->merge[i].a << 16 | b->merge[i].b;
        size_t s = slot_of(pair, b->slots);
        for (; b->slot[s].rank; s = (s + 1) & (b->slots - 1))
            if (b->slot[s].pair == pair) {
                *twice = i;
                return CX_EDATA;
            }
        b->slot[s].pair = pair;
        b->slot[s].rank = i + 1;
    }
    return cx_bpe_pattern_create(&b->pattern, err);
}

static size_t token_size(const cx_bpe *b, int token) {
    return b->start[token + 1] - b->start[token];
}

/* The tokens' sizes first, so that nothing grows; then their bytes. */
static int fill_learned(cx_bpe *b, const char *name, cx_error *err) {
    for (int i = 0; i < CX_BPE_BYTES; i++) {
        b->byte[i] = (uint16_t)i;
        b->start[i + 1] = (size_t)i + 1;
    }
    for (int i = 0; i < b->n_merges; i++) {
        cx_bpe_merge *m = &b->merge[i];
        size_t size = token_size(b, m->a) + token_size(b, m->b);
        if (size > CX_BPE_TOKEN_BYTES_MAX)
            return cx_fail(err, CX_EDATA, "%s:%d: a token of %zu bytes; at most %d are right", name,
                           i + 2, size, CX_BPE_TOKEN_BYTES_MAX);
        m->result = (uint16_t)(CX_BPE_BYTES + i);
        b->start[m->result + 1] = b->start[m->result] + size;
    }
    b->bytes = malloc(b->start[b->entries]);
    if (!b->bytes)
        return cx_fail(err, CX_ENOMEM, "%s: out of memory", name);
    for (int i = 0; i < CX_BPE_BYTES; i++)
        b->bytes[i] = (unsigned char)i;
    for (int i = 0; i < b->n_merges; i++) {
        const cx_bpe_merge *m = &b->merge[i];
        unsigned char *to = b->bytes + b->start[m->result];
        memcpy(to, b->bytes + b->start[m->a], token_size(b, m->a));
        memcpy(to + token_size(b, m->a), b->bytes + b->start[m->b], token_size(b, m->b));
    }
    return CX_OK;
}

int cx_bpe_complete_learned(cx_bpe *b, const char *name, cx_error *err) {
    int twice = -1, rc = fill_learned(b, name, err);
    if (!rc)
        rc = cx_bpe_complete(b, &twice, err);
    if (twice >= 0)
        return cx_fail(err, CX_EDATA, "%s:%d: the pair %d %d is merged in an earlier line already",
                       name, twice + 2, b->merge[twice].a, b->merge[twice].b);
    return rc;
}

int cx_bpe_entries(const cx_bpe *b) {
    return b->entries;
}

uint64_t cx_bpe_hash(const cx_bpe *b) {
    const int32_t sizes[] = {b->entries, b->n_merges};
    uint64_t h = cx_hash(sizes, sizeof sizes, 1);
    h = cx_hash(b->byte, sizeof b->byte, h);
    h = cx_hash(b->merge, (size_t)b->n_merges * sizeof *b->merge, h);
    return cx_hash(b->bytes, b->start[b->entries], h);
}

const unsigned char *cx_bpe_bytes(const cx_bpe *b, int token, size_t *size) {
    *size = 0;
    if (token < 0 || token >= b->entries)
        return NULL;
    *size = token_size(b, token);
    return b->bytes + b->start[token];
}

/* ---- encoding */

enum {
    CACHED_BYTES = 64,      /* longer pieces do not come twice */
    CACHED_PIECES = 1 << 18 /* and the cache does not grow with the text */
};

typedef struct {
    const cx_bpe *bpe;
    uint16_t *token; /* the result; cached pieces are ranges of it */
    size_t n, capacity;
    cx_bpe_words cache;
    /* one piece: its tokens as a list, and a heap of rank << 32 | place of the left token */
    struct node {
        int32_t token; /* -1: merged into the one before */
        uint32_t before, after;
    } * node;
    size_t node_capacity;
    uint64_t *heap;
    size_t heap_n, heap_capacity;
    uint32_t *batch;
    size_t batch_capacity;
} encoder;

static const uint32_t none = UINT32_MAX;

static bool heap_push(encoder *e, uint64_t x) {
    if (!cx_bpe_grow(&e->heap, &e->heap_capacity, e->heap_n + 1, sizeof *e->heap))
        return false;
    size_t i = e->heap_n++;
    for (; i > 0 && e->heap[(i - 1) / 2] > x; i = (i - 1) / 2)
        e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = x;
    return true;
}

static uint64_t heap_pop(encoder *e) {
    uint64_t top = e->heap[0], x = e->heap[--e->heap_n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= e->heap_n)
            break;
        if (child + 1 < e->heap_n && e->heap[child + 1] < e->heap[child])
            child++;
        if (x <= e->heap[child])
            break;
        e->heap[i] = e->heap[child];
        i = child;
    }
    e->heap[i] = x;
    return top;
}

static bool push_pair(encoder *e, uint32_t left) {
    uint32_t right = e->node[left].after;
    if (right == none)
        return true;
    int rank = cx_bpe_rank(e->bpe, (uint16_t)e->node[left].token, (uint16_t)e->node[right].token);
    return rank < 0 || heap_push(e, (uint64_t)rank << 32 | left);
}

/* Merges the pair at `left` where it is still that of the merge. */
static bool merge_at(encoder *e, uint32_t left, const cx_bpe_merge *m) {
    struct node *l = &e->node[left];
    if (l->token != m->a || l->after == none || e->node[l->after].token != m->b)
        return true;
    struct node *r = &e->node[l->after];
    l->token = m->result;
    r->token = -1;
    l->after = r->after;
    if (l->after != none)
        e->node[l->after].before = left;
    return push_pair(e, left) && (l->before == none || push_pair(e, l->before));
}

/* The pair of lowest rank is merged wherever it is, from left to right, before the next
 * pair is looked for (all places of a rank leave the heap together, in their order). */
static bool merge_all(encoder *e) {
    while (e->heap_n > 0) {
        uint64_t rank = e->heap[0] >> 32;
        size_t n = 0;
        while (e->heap_n > 0 && e->heap[0] >> 32 == rank) {
            if (!cx_bpe_grow(&e->batch, &e->batch_capacity, n + 1, sizeof *e->batch))
                return false;
            e->batch[n++] = (uint32_t)heap_pop(e);
        }
        for (size_t i = 0; i < n; i++)
            if (!merge_at(e, e->batch[i], &e->bpe->merge[rank]))
                return false;
    }
    return true;
}

static bool encode_piece(encoder *e, const unsigned char *piece, size_t size) {
    if (size >= none || !cx_bpe_grow(&e->token, &e->capacity, e->n + size, sizeof *e->token))
        return false;
    if (size == 1) {
        e->token[e->n++] = e->bpe->byte[piece[0]];
        return true;
    }
    if (!cx_bpe_grow(&e->node, &e->node_capacity, size, sizeof *e->node))
        return false;
    e->heap_n = 0;
    for (uint32_t i = 0; i < size; i++)
        e->node[i] = (struct node){e->bpe->byte[piece[i]], i - 1, i + 1 < size ? i + 1 : none};
    for (uint32_t i = 0; i + 1 < size; i++)
        if (!push_pair(e, i))
            return false;
    if (!merge_all(e))
        return false;
    for (uint32_t i = 0; i != none; i = e->node[i].after)
        e->token[e->n++] = (uint16_t)e->node[i].token;
    return true;
}

static bool encode_cached(encoder *e, const unsigned char *piece, size_t size) {
    bool fresh;
    if (size == 1 || size > CACHED_BYTES || e->cache.n >= CACHED_PIECES)
        return encode_piece(e, piece, size);
    cx_bpe_word *w = cx_bpe_words_put(&e->cache, piece, size, &fresh);
    if (!w)
        return false;
    if (fresh) {
        w->value = e->n;
        bool ok = encode_piece(e, piece, size);
        w->n = (uint32_t)(e->n - w->value);
        return ok;
    }
    if (!cx_bpe_grow(&e->token, &e->capacity, e->n + w->n, sizeof *e->token))
        return false;
    memcpy(e->token + e->n, e->token + w->value, w->n * sizeof *e->token);
    e->n += w->n;
    return true;
}

int cx_bpe_encode(const cx_bpe *b, const unsigned char *text, size_t size, uint16_t **tokens,
                  size_t *n, cx_error *err) {
    encoder e = {.bpe = b};
    cx_bpe_walk walk;
    size_t begin = 0, end = 0;
    *tokens = NULL;
    *n = 0;
    int rc = cx_bpe_walk_start(&walk, b->pattern, text, size, err);
    if (rc)
        return rc;
    while (!(rc = cx_bpe_walk_next(&walk, &begin, &end, err)) && begin < end)
        if (!encode_cached(&e, text + begin, end - begin)) {
            rc = cx_fail(err, CX_ENOMEM, "no memory to encode a text of %zu bytes", size);
            break;
        }
    cx_bpe_walk_stop(&walk);
    cx_bpe_words_free(&e.cache);
    free(e.node);
    free(e.heap);
    free(e.batch);
    if (rc) {
        free(e.token);
        return rc;
    }
    *tokens = e.token;
    *n = e.n;
    return CX_OK;
}

int cx_bpe_decode(const cx_bpe *b, const uint16_t *tokens, size_t n, unsigned char **text,
                  size_t *size, cx_error *err) {
    size_t total = 0;
    *text = NULL;
    *size = 0;
    for (size_t i = 0; i < n; i++) {
        if (tokens[i] >= b->entries)
            return cx_fail(err, CX_EDATA, "token %zu is %d; the vocabulary has 0 .. %d", i,
                           tokens[i], b->entries - 1);
        total += token_size(b, tokens[i]);
    }
    unsigned char *p = malloc(total + 1);
    if (!p)
        return cx_fail(err, CX_ENOMEM, "no memory for a text of %zu bytes", total);
    *text = p;
    *size = total;
    for (size_t i = 0; i < n; i++) {
        size_t k = token_size(b, tokens[i]);
        memcpy(p, b->bytes + b->start[tokens[i]], k);
        p += k;
    }
    *p = 0;
    return CX_OK;
}
