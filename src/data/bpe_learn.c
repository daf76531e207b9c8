/* Learning a vocabulary: pieces are counted, and merges made in the different pieces
 * alone. Counts of pairs are kept up to date: a merge touches only the pieces that have
 * its pair. */
#include "data/bpe_parts.h"

#include <stdlib.h>
#include <string.h>

/* Longer pieces are counted in parts, so that a text without spaces does not make every
 * merge read all of it, and no token is longer. */
enum { PART_BYTES = CX_BPE_TOKEN_BYTES_MAX };

struct cx_bpe_learner {
    cx_bpe_pattern *pattern;
    cx_bpe_words words; /* value: how often */
};

typedef struct {
    uint64_t key;  /* 1 + (left << 16 | right); 0: free */
    int64_t count; /* how often the two stand together now */
    size_t first;  /* 1 + its newest place; 0: none */
} pair;

/* A piece that has (or had) a pair. */
typedef struct {
    size_t next; /* as pair.first */
    uint32_t word;
} place;

/* A count that was right when it was entered; it may have become lower since. */
typedef struct {
    int64_t count;
    uint32_t key;
} candidate;

typedef struct {
    const cx_bpe_words *words;
    uint16_t *symbol; /* the pieces' tokens; piece i starts at words->word[i].offset */
    uint32_t *length; /* [words->n] in tokens */
    pair *table;
    size_t pairs, slots;
    place *place;
    size_t places, places_capacity;
    candidate *heap;
    size_t heap_n, heap_capacity;
    uint32_t *fresh; /* pairs that a merge has made */
    size_t fresh_n, fresh_capacity;
} learning;

int cx_bpe_learner_create(cx_bpe_learner **out, cx_error *err) {
    cx_bpe_learner *l = calloc(1, sizeof *l);
    *out = NULL;
    if (!l)
        return cx_fail(err, CX_ENOMEM, "out of memory");
    int rc = cx_bpe_pattern_create(&l->pattern, err);
    if (rc) {
        free(l);
        return rc;
    }
    *out = l;
    return CX_OK;
}

void cx_bpe_learner_free(cx_bpe_learner *l) {
    if (!l)
        return;
    cx_bpe_pattern_free(l->pattern);
    cx_bpe_words_free(&l->words);
    free(l);
}

static bool count_piece(cx_bpe_learner *l, const unsigned char *piece, size_t size) {
    while (size > 1) { /* one byte has no pair */
        bool fresh;
        size_t part = size < PART_BYTES ? size : PART_BYTES;
        cx_bpe_word *w = cx_bpe_words_put(&l->words, piece, part, &fresh);
        if (!w)
            return false;
        w->value++;
        piece += part;
        size -= part;
    }
    return true;
}

int cx_bpe_learner_add(cx_bpe_learner *l, const unsigned char *text, size_t size, cx_error *err) {
    cx_bpe_walk walk;
    size_t begin = 0, end = 0;
    int rc = cx_bpe_walk_start(&walk, l->pattern, text, size, err);
    if (rc)
        return rc;
    while (!(rc = cx_bpe_walk_next(&walk, &begin, &end, err)) && begin < end)
        if (!count_piece(l, text + begin, end - begin)) {
            rc = cx_fail(err, CX_ENOMEM, "no memory for the pieces of a text of %zu bytes", size);
            break;
        }
    cx_bpe_walk_stop(&walk);
    return rc;
}

/* ---- pairs */

static size_t slot_of(uint64_t key, size_t slots) {
    return (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (slots - 1);
}

static bool rehash(learning *s) {
    size_t slots = s->slots ? 2 * s->slots : 4096;
    pair *table = calloc(slots, sizeof *table);
    if (!table)
        return false;
    for (size_t i = 0; i < s->slots; i++)
        if (s->table[i].key) {
            size_t k = slot_of(s->table[i].key, slots);
            while (table[k].key)
                k = (k + 1) & (slots - 1);
            table[k] = s->table[i];
        }
    free(s->table);
    s->table = table;
    s->slots = slots;
    return true;
}

/* The pair of a key, entered where it is new (then only: NULL, out of memory). */
static pair *find_pair(learning *s, uint32_t pair_key) {
    uint64_t key = (uint64_t)pair_key + 1;
    size_t k = slot_of(key, s->slots);
    while (s->table[k].key && s->table[k].key != key)
        k = (k + 1) & (s->slots - 1);
    if (s->table[k].key)
        return &s->table[k];
    if (2 * (s->pairs + 1) > s->slots) {
        if (!rehash(s))
            return NULL;
        return find_pair(s, pair_key);
    }
    s->table[k].key = key;
    s->pairs++;
    return &s->table[k];
}

static bool add_place(learning *s, pair *p, uint32_t word) {
    if (p->first && s->place[p->first - 1].word == word)
        return true;
    if (!cx_bpe_grow(&s->place, &s->places_capacity, s->places + 1, sizeof *s->place))
        return false;
    s->place[s->places] = (place){p->first, word};
    p->first = ++s->places;
    return true;
}

/* Of two candidates, which is merged first. */
static bool better(candidate a, candidate b) {
    return a.count > b.count || (a.count == b.count && a.key < b.key);
}

static bool push(learning *s, candidate c) {
    if (!cx_bpe_grow(&s->heap, &s->heap_capacity, s->heap_n + 1, sizeof *s->heap))
        return false;
    size_t i = s->heap_n++;
    for (; i > 0 && better(c, s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = c;
    return true;
}

/* Puts c in the place of the best one. */
static void replace_top(learning *s, candidate c) {
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->heap_n)
            break;
        if (child + 1 < s->heap_n && better(s->heap[child + 1], s->heap[child]))
            child++;
        if (!better(s->heap[child], c))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = c;
}

/* The pair to merge, taken off the heap; false: none occurs twice. Counts of pairs that
 * are there only fall (a merge raises those with its own new token alone, which are
 * entered after it), so a candidate whose count still holds is the best of all. */
static bool best_pair(learning *s, uint32_t *key) {
    while (s->heap_n > 0 && s->heap[0].count >= 2) {
        candidate top = s->heap[0];
        int64_t count = find_pair(s, top.key)->count; /* it is there: no memory is needed */
        if (count == top.count || count < 2) {
            s->heap_n--;
            if (s->heap_n > 0)
                replace_top(s, s->heap[s->heap_n]);
            if (count >= 2) {
                *key = top.key;
                return true;
            }
        } else {
            replace_top(s, (candidate){count, top.key});
        }
    }
    return false;
}

/* ---- merging */

static uint32_t key_of(const uint16_t *symbol) {
    return (uint32_t)symbol[0] << 16 | symbol[1];
}

/* Adds a piece's pairs to the counts, or takes them off. Places are noted for pairs with
 * the token `made` (-1: for all): a piece is noted for its other pairs already. */
static bool count_pairs(learning *s, uint32_t word, int sign, int made) {
    const uint16_t *symbol = s->symbol + s->words->word[word].offset;
    int64_t count = sign * (int64_t)s->words->word[word].value;
    for (uint32_t i = 0; i + 1 < s->length[word]; i++) {
        pair *p = find_pair(s, key_of(symbol + i));
        if (!p)
            return false;
        p->count += count;
        if (sign < 0 || (made >= 0 && symbol[i] != made && symbol[i + 1] != made))
            continue;
        if (made >= 0 && !p->first) {
            if (!cx_bpe_grow(&s->fresh, &s->fresh_capacity, s->fresh_n + 1, sizeof *s->fresh))
                return false;
            s->fresh[s->fresh_n++] = key_of(symbol + i);
        }
        if (!add_place(s, p, word))
            return false;
    }
    return true;
}

static bool has_pair(const learning *s, uint32_t word, uint32_t key) {
    const uint16_t *symbol = s->symbol + s->words->word[word].offset;
    for (uint32_t i = 0; i + 1 < s->length[word]; i++)
        if (key_of(symbol + i) == key)
            return true;
    return false;
}

static void rewrite(learning *s, uint32_t word, uint32_t key, uint16_t made) {
    uint16_t *symbol = s->symbol + s->words->word[word].offset;
    uint32_t n = 0, length = s->length[word];
    for (uint32_t i = 0; i < length; i++) {
        if (i + 1 < length && key_of(symbol + i) == key) {
            symbol[n++] = made;
            i++;
        } else {
            symbol[n++] = symbol[i];
        }
    }
    s->length[word] = n;
}

static bool merge(learning *s, uint32_t key, uint16_t made) {
    s->fresh_n = 0;
    for (size_t at = find_pair(s, key)->first; at > 0; at = s->place[at - 1].next) {
        uint32_t word = s->place[at - 1].word;
        if (!has_pair(s, word, key)) /* it is gone from there by an earlier merge */
            continue;
        if (!count_pairs(s, word, -1, -1))
            return false;
        rewrite(s, word, key, made);
        if (!count_pairs(s, word, 1, made))
            return false;
    }
    for (size_t i = 0; i < s->fresh_n; i++)
        if (!push(s, (candidate){find_pair(s, s->fresh[i])->count, s->fresh[i]}))
            return false;
    return true;
}

static bool start(learning *s) {
    const cx_bpe_words *w = s->words;
    s->symbol = malloc((w->n_bytes + 1) * sizeof *s->symbol);
    s->length = malloc((w->n + 1) * sizeof *s->length);
    if (!s->symbol || !s->length || !rehash(s))
        return false;
    for (size_t i = 0; i < w->n_bytes; i++)
        s->symbol[i] = w->bytes[i];
    for (size_t i = 0; i < w->n; i++) {
        s->length[i] = w->word[i].size;
        if (!count_pairs(s, (uint32_t)i, 1, -1))
            return false;
    }
    for (size_t i = 0; i < s->slots; i++)
        if (s->table[i].key &&
            !push(s, (candidate){s->table[i].count, (uint32_t)(s->table[i].key - 1)}))
            return false;
    return true;
}

static void stop(learning *s) {
    free(s->symbol);
    free(s->length);
    free(s->table);
    free(s->place);
    free(s->heap);
    free(s->fresh);
}

int cx_bpe_learner_finish(const cx_bpe_learner *l, int entries, cx_bpe **out, cx_error *err) {
    learning s = {.words = &l->words};
    uint32_t key;
    *out = NULL;
    if (entries < CX_BPE_BYTES || entries > CX_BPE_MAX)
        return cx_fail(err, CX_EUSAGE, "a vocabulary of %d entries: %d .. %d is right", entries,
                       CX_BPE_BYTES, CX_BPE_MAX);
    cx_bpe *b = cx_bpe_blank(entries, entries - CX_BPE_BYTES);
    bool ok = b && start(&s);
    int n = 0;
    for (; ok && n < entries - CX_BPE_BYTES && best_pair(&s, &key); n++) {
        b->merge[n].a = (uint16_t)(key >> 16);
        b->merge[n].b = (uint16_t)key;
        ok = merge(&s, key, (uint16_t)(CX_BPE_BYTES + n));
    }
    stop(&s);
    int rc = ok ? CX_OK : cx_fail(err, CX_ENOMEM, "no memory to learn a vocabulary");
    if (!rc) {
        b->n_merges = n;
        b->entries = CX_BPE_BYTES + n;
        rc = cx_bpe_complete_learned(b, "learned vocabulary", err);
    }
    if (rc)
        cx_bpe_free(b);
    else
        *out = b;
    return rc;
}

int cx_bpe_learn(const unsigned char *text, size_t size, int entries, cx_bpe **out, cx_error *err) {
    cx_bpe_learner *l;
    *out = NULL;
    int rc = cx_bpe_learner_create(&l, err);
    if (!rc)
        rc = cx_bpe_learner_add(l, text, size, err);
    if (!rc)
        rc = cx_bpe_learner_finish(l, entries, out, err);
    cx_bpe_learner_free(l);
    return rc;
}
