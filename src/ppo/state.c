/* The learner as bytes. A header of 32 bytes (magic, version, bytes that follow,
 * their XXH3, 0), then: sizes; counters and statistics; weights of policy, value
 * function and average; state of both optimizers; the episodes of the buffer. */
#include "ppo/learner.h"

#include "base/arena.h"
#include "base/hash.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STATE_MAGIC 0x524c5843u /* "CXLR" */
#define STATE_VERSION 1

typedef struct {
    uint32_t magic, version;
    uint64_t size, hash; /* of what follows the header */
    uint64_t reserved;
} state_header;

_Static_assert(sizeof(state_header) == 32, "the header has no gaps");

/* What must agree between the bytes and the learner they are loaded into. */
typedef struct {
    uint64_t n_obs, n_privileged, n_heads, n_logits, head[CX_HEADS_MAX];
    uint64_t policy_count, value_count; /* floats of the blocks */
    uint64_t policy_state, value_state; /* bytes of the optimizers */
    uint64_t result_size;               /* bytes of a cx_episode_result */
} state_sizes;

typedef struct {
    uint64_t version;
    cx_ewma reward, target;
    uint64_t n_episodes, n_new;
} state_counters;

/* One episode of the buffer; its numbers follow. */
typedef struct {
    cx_episode_result result;
    int32_t uses;
    int32_t reserved;
} state_episode;

static state_sizes sizes_of(const cx_learner *l) {
    state_sizes s = {.n_obs = (uint64_t)l->policy.inputs,
                     .n_privileged = (uint64_t)l->value.inputs,
                     .n_heads = (uint64_t)l->heads.n_heads,
                     .n_logits = (uint64_t)l->heads.n_logits,
                     .policy_count = cx_net_count(l->policy.net),
                     .value_count = cx_net_count(l->value.net),
                     .policy_state = cx_optimizer_state_bytes(l->policy.optimizer),
                     .value_state = cx_optimizer_state_bytes(l->value.optimizer),
                     .result_size = sizeof(cx_episode_result)};
    for (int h = 0; h < l->heads.n_heads; h++)
        s.head[h] = (uint64_t)l->heads.size[h];
    return s;
}

/* --- writing --- */

/* With data NULL it only counts: the same walk measures and writes. */
typedef struct {
    unsigned char *data;
    size_t used;
} writer;

static void put(writer *w, const void *from, size_t bytes) {
    if (w->data)
        memcpy(w->data + w->used, from, bytes);
    w->used += bytes;
}

static void put_optimizer(writer *w, const cx_optimizer *o, void *scratch) {
    if (w->data)
        cx_optimizer_save(o, scratch);
    put(w, scratch, cx_optimizer_state_bytes(o));
}

static void put_episode(writer *w, const cx_trajectory *t) {
    state_episode e;
    memset(&e, 0, sizeof e);
    e.result = t->result;
    e.uses = t->uses;
    size_t steps = (size_t)t->result.steps;
    put(w, &e, sizeof e);
    put(w, t->obs, steps * (size_t)t->n_obs * sizeof *t->obs);
    put(w, t->log_prob, steps * sizeof *t->log_prob);
    put(w, t->choice, steps * (size_t)t->n_heads * sizeof *t->choice);
    put(w, t->mask, steps * (size_t)t->n_logits);
}

static void put_all(writer *w, const cx_learner *l, void *scratch) {
    state_header h = {0};
    state_sizes s = sizes_of(l);
    state_counters c;
    memset(&c, 0, sizeof c);
    c.version = l->version;
    c.reward = l->reward;
    c.target = l->target;
    c.n_episodes = (uint64_t)l->buffer.n;
    c.n_new = (uint64_t)l->buffer.n_new;
    put(w, &h, sizeof h);
    put(w, &s, sizeof s);
    put(w, &c, sizeof c);
    put(w, l->policy.block, s.policy_count * sizeof(float));
    put(w, l->value.block, s.value_count * sizeof(float));
    put(w, l->average, s.policy_count * sizeof(float));
    put_optimizer(w, l->policy.optimizer, scratch);
    put_optimizer(w, l->value.optimizer, scratch);
    for (int i = 0; i < l->buffer.n; i++)
        put_episode(w, l->buffer.item[i]);
}

/* Room for the larger of the two optimizers' states, aligned. */
static void *optimizer_scratch(const state_sizes *s) {
    return cx_calloc(s->policy_state > s->value_state ? s->policy_state : s->value_state, 1);
}

int cx_learner_save(const cx_learner *l, void **data, size_t *size, cx_error *err) {
    *data = NULL;
    *size = 0;
    if (l->phase != CX_PHASE_IDLE)
        return cx_fail(err, CX_ESTATE, "a learner cannot be saved in the middle of an update");
    state_sizes s = sizes_of(l);
    void *scratch = optimizer_scratch(&s);
    writer w = {0};
    if (scratch) {
        put_all(&w, l, scratch);
        w = (writer){.data = malloc(w.used)};
    }
    if (!w.data) {
        free(scratch);
        return cx_fail(err, CX_ENOMEM, "no memory to save the learner");
    }
    put_all(&w, l, scratch);
    free(scratch);
    state_header h = {.magic = STATE_MAGIC, .version = STATE_VERSION, .size = w.used - sizeof h};
    h.hash = cx_hash(w.data + sizeof h, h.size, 0);
    memcpy(w.data, &h, sizeof h);
    *data = w.data;
    *size = w.used;
    return CX_OK;
}

/* --- reading --- */

typedef struct {
    const unsigned char *data;
    size_t left;
} reader;

/* The next `bytes` bytes, or NULL when there are fewer. */
static const unsigned char *take(reader *r, uint64_t bytes) {
    if (bytes > r->left)
        return NULL;
    const unsigned char *p = r->data;
    r->data += bytes;
    r->left -= bytes;
    return p;
}

static bool get(reader *r, void *to, size_t bytes) {
    const unsigned char *p = take(r, bytes);
    if (p)
        memcpy(to, p, bytes);
    return p != NULL;
}

static int too_short(cx_error *err) {
    return cx_fail(err, CX_EFORMAT, "learner state: it ends too early");
}

/* Everything read and checked, before any of it is put to use. */
typedef struct {
    state_counters counters;
    const unsigned char *policy, *value, *average, *policy_state, *value_state;
    cx_buffer buffer;
} staged;

static int open_state(const cx_learner *l, const void *data, size_t size, reader *r,
                      cx_error *err) {
    state_header h;
    state_sizes have, want = sizes_of(l);
    *r = (reader){.data = data, .left = size};
    if (!get(r, &h, sizeof h) || h.magic != STATE_MAGIC)
        return cx_fail(err, CX_EFORMAT, "learner state: not one of coxswain's");
    if (h.version != STATE_VERSION)
        return cx_fail(err, CX_EVERSION, "learner state: version %u, this is version %d",
                       (unsigned)h.version, STATE_VERSION);
    if (h.size != r->left || h.reserved)
        return cx_fail(err, CX_EFORMAT, "learner state: %zu bytes, its header says %llu", r->left,
                       (unsigned long long)h.size);
    if (cx_hash(r->data, r->left, 0) != h.hash)
        return cx_fail(err, CX_EFORMAT, "learner state: its check sum is wrong");
    if (!get(r, &have, sizeof have))
        return too_short(err);
    if (memcmp(&have, &want, sizeof have) != 0)
        return cx_fail(err, CX_EFORMAT,
                       "learner state: made by another configuration (%llu observations, %llu "
                       "logits, %llu weights; this one has %llu, %llu, %llu)",
                       (unsigned long long)have.n_obs, (unsigned long long)have.n_logits,
                       (unsigned long long)have.policy_count, (unsigned long long)want.n_obs,
                       (unsigned long long)want.n_logits, (unsigned long long)want.policy_count);
    return CX_OK;
}

static bool ewma_valid(const cx_ewma *e) {
    return isfinite(e->mean) && isfinite(e->variance) && e->variance >= 0 && e->weight >= 0 &&
           e->weight <= 1;
}

static bool all_finite(const unsigned char *p, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, p + i * sizeof x, sizeof x);
        if (!isfinite(x))
            return false;
    }
    return true;
}

static int read_weights(const cx_learner *l, reader *r, staged *s, cx_error *err) {
    state_sizes want = sizes_of(l);
    s->policy = take(r, want.policy_count * sizeof(float));
    s->value = take(r, want.value_count * sizeof(float));
    s->average = take(r, want.policy_count * sizeof(float));
    s->policy_state = take(r, want.policy_state);
    s->value_state = take(r, want.value_state);
    if (!s->policy || !s->value || !s->average || !s->policy_state || !s->value_state)
        return too_short(err);
    if (!all_finite(s->policy, want.policy_count) || !all_finite(s->value, want.value_count) ||
        !all_finite(s->average, want.policy_count))
        return cx_fail(err, CX_EFORMAT, "learner state: a weight is not finite");
    return CX_OK;
}

static int read_episode(const cx_learner *l, reader *r, uint64_t version, cx_trajectory **out,
                        cx_error *err) {
    state_episode e;
    *out = NULL;
    if (!get(r, &e, sizeof e))
        return too_short(err);
    int n_obs = l->value.inputs, n_heads = l->heads.n_heads, n_logits = l->heads.n_logits;
    size_t row =
        ((size_t)n_obs + 1) * sizeof(float) + (size_t)n_heads * sizeof(int32_t) + (size_t)n_logits;
    if (e.result.steps < 1 || (size_t)e.result.steps > r->left / row)
        return cx_fail(err, CX_EFORMAT, "learner state: an episode of %d outer steps",
                       e.result.steps);
    cx_trajectory *t;
    int rc = cx_trajectory_create(n_obs, n_heads, n_logits, e.result.steps, &t, err);
    if (rc)
        return rc;
    size_t steps = (size_t)e.result.steps;
    t->result = e.result;
    t->uses = e.uses;
    if (!get(r, t->obs, steps * (size_t)n_obs * sizeof *t->obs) ||
        !get(r, t->log_prob, steps * sizeof *t->log_prob) ||
        !get(r, t->choice, steps * (size_t)n_heads * sizeof *t->choice) ||
        !get(r, t->mask, steps * (size_t)n_logits))
        rc = too_short(err);
    if (!rc)
        rc = cx_learner_check(l, t, version, err);
    if (rc) {
        cx_trajectory_destroy(t);
        return rc;
    }
    *out = t;
    return CX_OK;
}

static int read_all(const cx_learner *l, reader *r, staged *s, cx_error *err) {
    state_counters *c = &s->counters;
    if (!get(r, c, sizeof *c))
        return too_short(err);
    if (!ewma_valid(&c->reward) || !ewma_valid(&c->target) || c->n_new > c->n_episodes ||
        c->n_episodes > r->left / sizeof(state_episode))
        return cx_fail(err, CX_EFORMAT, "learner state: its counters make no sense");
    int rc = read_weights(l, r, s, err);
    for (uint64_t i = 0; i < c->n_episodes && !rc; i++) {
        cx_trajectory *t;
        rc = read_episode(l, r, c->version, &t, err);
        if (rc)
            break;
        rc = cx_buffer_add(&s->buffer, t, err);
        if (rc)
            cx_trajectory_destroy(t);
    }
    if (!rc && r->left)
        rc = cx_fail(err, CX_EFORMAT, "learner state: %zu bytes are left over", r->left);
    return rc;
}

/* Cannot fail. */
static void put_to_use(cx_learner *l, staged *s, void *scratch) {
    state_sizes n = sizes_of(l);
    memcpy(l->policy.block, s->policy, n.policy_count * sizeof(float));
    memcpy(l->value.block, s->value, n.value_count * sizeof(float));
    memcpy(l->average, s->average, n.policy_count * sizeof(float));
    memcpy(scratch, s->policy_state, n.policy_state);
    cx_optimizer_load(l->policy.optimizer, scratch);
    memcpy(scratch, s->value_state, n.value_state);
    cx_optimizer_load(l->value.optimizer, scratch);
    l->version = s->counters.version;
    l->reward = s->counters.reward;
    l->target = s->counters.target;
    cx_buffer_free(&l->buffer);
    l->buffer = s->buffer;
    l->buffer.n_new = (int)s->counters.n_new;
    /* the configuration may have asked for less since */
    cx_buffer_evict(&l->buffer, l->config.ppo.buffer_episodes);
}

int cx_learner_load(cx_learner *l, const void *data, size_t size, cx_error *err) {
    reader r;
    staged s = {0};
    if (l->phase != CX_PHASE_IDLE)
        return cx_fail(err, CX_ESTATE, "a learner cannot be loaded in the middle of an update");
    int rc = open_state(l, data, size, &r, err);
    if (rc)
        return rc;
    state_sizes sizes = sizes_of(l);
    void *scratch = optimizer_scratch(&sizes);
    if (!scratch)
        return cx_fail(err, CX_ENOMEM, "no memory to load a learner");
    rc = read_all(l, &r, &s, err);
    if (rc)
        cx_buffer_free(&s.buffer);
    else
        put_to_use(l, &s, scratch);
    free(scratch);
    return rc;
}
