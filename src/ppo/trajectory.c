#include "ppo/trajectory.h"

#include "base/arena.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_MAGIC 0x50545843u /* "CXTP" */

/* What goes before the numbers of a piece: 32 bytes, without gaps. After it come
 * obs [n][n_obs] float32, log_prob [n] float32, choice [n][n_heads] int32,
 * mask [n][n_logits] bytes, and nothing else. */
typedef struct {
    uint32_t magic, version;
    int32_t n_obs, n_heads, n_logits;
    int32_t first, n; /* outer steps [first, first + n) */
    uint32_t reserved;
} piece_header;

_Static_assert(sizeof(piece_header) == 32, "a piece's header has no gaps");

const char *cx_end_name(cx_end end) {
    static const char *const names[] = {
#define X(code, name) [code] = name,
        CX_END_TABLE(X)
#undef X
    };
    return (size_t)end < sizeof names / sizeof *names ? names[end] : "unknown";
}

int cx_trajectory_create(int n_obs, int n_heads, int n_logits, int capacity, cx_trajectory **out,
                         cx_error *err) {
    *out = NULL;
    if (n_obs < 1 || n_heads < 1 || n_heads > CX_HEADS_MAX || n_logits < n_heads || capacity < 1)
        return cx_fail(err, CX_ESTATE,
                       "no trajectory of %d observations, %d heads (1 to %d), %d logits and %d "
                       "outer steps can be",
                       n_obs, n_heads, CX_HEADS_MAX, n_logits, capacity);
    cx_trajectory *t = cx_calloc(1, sizeof *t);
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a trajectory");
    t->n_obs = n_obs;
    t->n_heads = n_heads;
    t->n_logits = n_logits;
    t->capacity = capacity;
    size_t steps = (size_t)capacity;
    t->obs = cx_calloc(steps * (size_t)n_obs, sizeof *t->obs);
    t->choice = cx_calloc(steps * (size_t)n_heads, sizeof *t->choice);
    t->mask = cx_calloc(steps, (size_t)n_logits);
    t->log_prob = cx_calloc(steps, sizeof *t->log_prob);
    if (!t->obs || !t->choice || !t->mask || !t->log_prob) {
        cx_trajectory_destroy(t);
        return cx_fail(err, CX_ENOMEM, "no memory for a trajectory of %d outer steps", capacity);
    }
    *out = t;
    return CX_OK;
}

void cx_trajectory_destroy(cx_trajectory *t) {
    if (!t)
        return;
    free(t->obs);
    free(t->choice);
    free(t->mask);
    free(t->log_prob);
    free(t);
}

/* Bytes of one outer step in a piece. */
static size_t step_bytes(const cx_trajectory *t) {
    return ((size_t)t->n_obs + 1) * sizeof(float) + (size_t)t->n_heads * sizeof(int32_t) +
           (size_t)t->n_logits;
}

size_t cx_trajectory_piece_bytes(const cx_trajectory *t, int n) {
    return sizeof(piece_header) + (size_t)n * step_bytes(t);
}

/* Where the parts of a piece stand, in bytes from its beginning. */
typedef struct {
    size_t obs, log_prob, choice, mask;
} piece_layout;

static piece_layout layout_of(const cx_trajectory *t, int n) {
    size_t steps = (size_t)n;
    piece_layout at = {.obs = sizeof(piece_header)};
    at.log_prob = at.obs + steps * (size_t)t->n_obs * sizeof(float);
    at.choice = at.log_prob + steps * sizeof(float);
    at.mask = at.choice + steps * (size_t)t->n_heads * sizeof(int32_t);
    return at;
}

void cx_trajectory_pack(const cx_trajectory *t, int first, int n, void *out) {
    unsigned char *bytes = out;
    piece_header h = {.magic = PIECE_MAGIC,
                      .version = CX_TRAJECTORY_VERSION,
                      .n_obs = t->n_obs,
                      .n_heads = t->n_heads,
                      .n_logits = t->n_logits,
                      .first = first,
                      .n = n};
    memcpy(bytes, &h, sizeof h);
    if (n < 1)
        return;
    piece_layout at = layout_of(t, n);
    size_t f = (size_t)first, m = (size_t)n;
    size_t n_obs = (size_t)t->n_obs, n_heads = (size_t)t->n_heads, n_logits = (size_t)t->n_logits;
    memcpy(bytes + at.obs, t->obs + f * n_obs, m * n_obs * sizeof(float));
    memcpy(bytes + at.log_prob, t->log_prob + f, m * sizeof(float));
    memcpy(bytes + at.choice, t->choice + f * n_heads, m * n_heads * sizeof(int32_t));
    memcpy(bytes + at.mask, t->mask + f * n_logits, m * n_logits);
}

/* Index of the first number that is not finite, or n. The bytes of a message need
 * not be aligned. */
static size_t first_not_finite(const unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, bytes + i * sizeof x, sizeof x);
        if (!isfinite(x))
            return i;
    }
    return n;
}

static int check_header(const cx_trajectory *t, const void *data, size_t size, piece_header *h,
                        cx_error *err) {
    if (size < sizeof *h)
        return cx_fail(err, CX_EFORMAT, "a trajectory piece of %zu bytes has no header", size);
    memcpy(h, data, sizeof *h);
    if (h->magic != PIECE_MAGIC)
        return cx_fail(err, CX_EFORMAT, "not a trajectory piece (magic %08x)", (unsigned)h->magic);
    if (h->version != CX_TRAJECTORY_VERSION)
        return cx_fail(err, CX_EVERSION, "trajectory piece of version %u, this is version %d",
                       (unsigned)h->version, CX_TRAJECTORY_VERSION);
    if (h->n_obs != t->n_obs || h->n_heads != t->n_heads || h->n_logits != t->n_logits)
        return cx_fail(err, CX_EFORMAT,
                       "trajectory piece of %d observations, %d heads and %d logits, not %d, %d "
                       "and %d",
                       h->n_obs, h->n_heads, h->n_logits, t->n_obs, t->n_heads, t->n_logits);
    if (h->first != t->result.steps)
        return cx_fail(err, CX_EFORMAT,
                       "trajectory piece begins at outer step %d, the next one is %d", h->first,
                       t->result.steps);
    if (h->n < 0 || h->n > t->capacity - h->first)
        return cx_fail(err, CX_EFORMAT, "trajectory piece of %d outer steps, %d at most can follow",
                       h->n, t->capacity - h->first);
    if (size != cx_trajectory_piece_bytes(t, h->n))
        return cx_fail(err, CX_EFORMAT, "trajectory piece of %zu bytes, %d outer steps have %zu",
                       size, h->n, cx_trajectory_piece_bytes(t, h->n));
    return CX_OK;
}

static int check_numbers(const cx_trajectory *t, const unsigned char *bytes, int n, cx_error *err) {
    piece_layout at = layout_of(t, n);
    size_t steps = (size_t)n, n_obs = (size_t)t->n_obs;
    size_t bad = first_not_finite(bytes + at.obs, steps * n_obs);
    if (bad < steps * n_obs)
        return cx_fail(err, CX_EFORMAT, "observation %zu of outer step %zu is not finite",
                       bad % n_obs, (size_t)t->result.steps + bad / n_obs);
    for (size_t i = 0; i < steps; i++) {
        float x;
        memcpy(&x, bytes + at.log_prob + i * sizeof x, sizeof x);
        if (!isfinite(x) || x > CX_LOG_PROB_MAX)
            return cx_fail(err, CX_EFORMAT, "log probability %g at outer step %zu", (double)x,
                           (size_t)t->result.steps + i);
    }
    for (size_t i = 0; i < steps * (size_t)t->n_heads; i++) {
        int32_t c;
        memcpy(&c, bytes + at.choice + i * sizeof c, sizeof c);
        if (c < 0 || c >= t->n_logits)
            return cx_fail(err, CX_EFORMAT, "choice %d at outer step %zu", c,
                           (size_t)t->result.steps + i / (size_t)t->n_heads);
    }
    for (size_t i = 0; i < steps * (size_t)t->n_logits; i++)
        if (bytes[at.mask + i] > 1)
            return cx_fail(err, CX_EFORMAT, "mask %d at outer step %zu is neither 0 nor 1",
                           bytes[at.mask + i], (size_t)t->result.steps + i / (size_t)t->n_logits);
    return CX_OK;
}

int cx_trajectory_unpack(cx_trajectory *t, const void *data, size_t size, cx_error *err) {
    const unsigned char *bytes = data;
    piece_header h;
    int rc = check_header(t, data, size, &h, err);
    if (rc || h.n == 0)
        return rc;
    /* everything is checked before anything is changed */
    rc = check_numbers(t, bytes, h.n, err);
    if (rc)
        return rc;
    piece_layout at = layout_of(t, h.n);
    size_t f = (size_t)h.first, m = (size_t)h.n;
    size_t n_obs = (size_t)t->n_obs, n_heads = (size_t)t->n_heads, n_logits = (size_t)t->n_logits;
    memcpy(t->obs + f * n_obs, bytes + at.obs, m * n_obs * sizeof(float));
    memcpy(t->log_prob + f, bytes + at.log_prob, m * sizeof(float));
    memcpy(t->choice + f * n_heads, bytes + at.choice, m * n_heads * sizeof(int32_t));
    memcpy(t->mask + f * n_logits, bytes + at.mask, m * n_logits);
    t->result.steps += h.n;
    return CX_OK;
}
