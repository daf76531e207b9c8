/* Cutting text into pieces: GPT-2's pattern, by PCRE2. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/bpe_parts.h"

#include "base/hash.h"
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* Radford et al., 2019, encoder.py. Each character is a letter, a digit, a space or
 * something else, so that every valid character is in some piece. */
static const char pattern_text[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|"
                                   " ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* PCRE2 without its compiler to machine code looks for invalid UTF-8 in all that it is
 * shown, at every match: it is shown little, and more only for a long piece. */
static const size_t window_bytes = 256;
/* A match that ends this far from the end of what is shown is that of the whole text: a
 * space that it left to the next piece, and the character that it looked at behind it. */
static const size_t margin_bytes = 8;

struct cx_bpe_pattern {
    pcre2_code *code;
};

static int fail_pcre2(cx_error *err, int code) {
    char text[128] = "";
    (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
    return cx_fail(err, code == PCRE2_ERROR_NOMEMORY ? CX_ENOMEM : CX_EDATA,
                   "cutting text into pieces: %s", text);
}

int cx_bpe_pattern_create(cx_bpe_pattern **out, cx_error *err) {
    int code;
    size_t where;
    cx_bpe_pattern *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p)
        return cx_fail(err, CX_ENOMEM, "out of memory");
    p->code = pcre2_compile((PCRE2_SPTR)pattern_text, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &code, &where, NULL);
    if (!p->code) {
        free(p);
        return fail_pcre2(err, code);
    }
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without it: the same, slower */
    *out = p;
    return CX_OK;
}

void cx_bpe_pattern_free(cx_bpe_pattern *p) {
    if (!p)
        return;
    pcre2_code_free(p->code);
    free(p);
}

int cx_bpe_walk_start(cx_bpe_walk *w, const cx_bpe_pattern *pattern, const unsigned char *text,
                      size_t size, cx_error *err) {
    *w = (cx_bpe_walk){.pattern = pattern, .text = text, .size = size};
    w->match = pcre2_match_data_create_from_pattern(pattern->code, NULL);
    return w->match ? CX_OK : cx_fail(err, CX_ENOMEM, "out of memory");
}

void cx_bpe_walk_stop(cx_bpe_walk *w) {
    pcre2_match_data_free(w->match);
    w->match = NULL;
}

/* Looks for the next match, w->begin and w->end. */
static int find_match(cx_bpe_walk *w, cx_error *err) {
    for (size_t window = window_bytes;; window *= 4) {
        size_t left = w->size - w->at, shown = left < window ? left : window;
        int rc = pcre2_match(w->pattern->code, w->text + w->at, shown, 0, 0, w->match, NULL);
        if (rc == PCRE2_ERROR_NOMATCH) { /* no character, but for one cut off at the end */
            w->begin = w->end = w->at + (shown == left ? shown : shown - margin_bytes);
            return CX_OK;
        }
        if (rc < 0)
            return fail_pcre2(err, rc);
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(w->match);
        if (shown == left || range[1] + margin_bytes <= shown) {
            w->begin = w->at + range[0];
            w->end = w->at + range[1];
            return CX_OK;
        }
    }
}

int cx_bpe_walk_next(cx_bpe_walk *w, size_t *begin, size_t *end, cx_error *err) {
    if (w->at >= w->end && w->at < w->size) {
        int rc = find_match(w, err);
        if (rc)
            return rc;
    }
    *begin = w->at;
    w->at = w->at < w->begin ? w->at + 1 : w->end; /* uncovered bytes: each a piece */
    *end = w->at;
    return CX_OK;
}

/* Whether the character that ends before p[0] is a space to the pattern (\s: Unicode's
 * separators, the ASCII ones, U+0085 and U+180E). For what is no character: any answer. */
static bool space_before(const unsigned char *text, const unsigned char *p) {
    unsigned last = p[-1];
    if (last < 0x80)
        return last == ' ' || (last >= '\t' && last <= '\r');
    if (p - text >= 2 && p[-2] == 0xC2)
        return last == 0x85 || last == 0xA0;
    if (p - text < 3)
        return false;
    switch ((unsigned)p[-3] << 8 | p[-2]) {
    case 0xE19A: /* U+1680 */
    case 0xE380: /* U+3000 */
        return last == 0x80;
    case 0xE1A0: /* U+180E */
        return last == 0x8E;
    case 0xE280: /* U+2000 .. U+200A, U+2028, U+2029, U+202F */
        return last <= 0x8A || last == 0xA8 || last == 0xA9 || last == 0xAF;
    case 0xE281: /* U+205F */
        return last == 0x9F;
    default:
        return false;
    }
}

/* No piece has a space behind something else, and what is looked at behind a piece is
 * whether a space is followed by another one: a cut before a space changes neither. */
size_t cx_bpe_chunk(const unsigned char *text, size_t size, size_t want) {
    for (size_t i = want > 0 ? want : 1; i < size; i++)
        if ((text[i] == ' ' || text[i] == '\n') && !space_before(text, text + i))
            return i;
    return size;
}

bool cx_bpe_grow(void *array, size_t *capacity, size_t need, size_t element) {
    if (need <= *capacity)
        return true;
    size_t n = *capacity < 32 ? 32 : *capacity;
    while (n < need) {
        if (n > SIZE_MAX / 2 / element)
            return false;
        n *= 2;
    }
    void *p; /* copied, for a pointer to another type is not a void pointer */
    memcpy(&p, array, sizeof p);
    p = realloc(p, n * element);
    if (!p)
        return false;
    memcpy(array, &p, sizeof p);
    *capacity = n;
    return true;
}

static bool rehash(cx_bpe_words *t) {
    size_t slots = t->slots ? 2 * t->slots : 1024;
    uint32_t *slot = calloc(slots, sizeof *slot);
    if (!slot)
        return false;
    for (size_t i = 0; i < t->n; i++) {
        size_t s = t->word[i].hash & (slots - 1);
        while (slot[s])
            s = (s + 1) & (slots - 1);
        slot[s] = (uint32_t)i + 1;
    }
    free(t->slot);
    t->slot = slot;
    t->slots = slots;
    return true;
}

cx_bpe_word *cx_bpe_words_put(cx_bpe_words *t, const unsigned char *bytes, size_t size,
                              bool *fresh) {
    if (2 * (t->n + 1) > t->slots && !rehash(t))
        return NULL;
    uint64_t hash = cx_hash(bytes, size, 0);
    size_t s = hash & (t->slots - 1);
    *fresh = false;
    for (; t->slot[s]; s = (s + 1) & (t->slots - 1)) {
        cx_bpe_word *w = &t->word[t->slot[s] - 1];
        if (w->hash == hash && w->size == size && memcmp(t->bytes + w->offset, bytes, size) == 0)
            return w;
    }
    if (t->n >= UINT32_MAX - 1 || size > UINT32_MAX ||
        !cx_bpe_grow(&t->word, &t->capacity, t->n + 1, sizeof *t->word) ||
        !cx_bpe_grow(&t->bytes, &t->bytes_capacity, t->n_bytes + size, 1))
        return NULL;
    *fresh = true;
    memcpy(t->bytes + t->n_bytes, bytes, size);
    t->word[t->n] = (cx_bpe_word){.hash = hash, .offset = t->n_bytes, .size = (uint32_t)size};
    t->n_bytes += size;
    t->slot[s] = (uint32_t)++t->n;
    return &t->word[t->n - 1];
}

void cx_bpe_words_free(cx_bpe_words *t) {
    free(t->word);
    free(t->bytes);
    free(t->slot);
    *t = (cx_bpe_words){0};
}
