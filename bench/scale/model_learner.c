/* A learner that takes its time and learns nothing: the shards of a real update, each as
 * long as its padded outer steps ask for. */
#include "bench/scale/model.h"

#include "base/arena.h"
#include <stdlib.h>
#include <string.h>

enum { OPEN, OUT, ANSWERED };

/* The batches of one network, as ppo/chains.c goes through them. */
typedef struct {
    cx_shard_kind kind;
    int batch, n_batches;
    int begin, end;  /* episodes of the batch under way, by length */
    uint64_t number; /* of its first shard */
    int n, answered; /* shards */
    unsigned char *state;
} chain;

struct cx_learner {
    const cx_config *config;
    cx_net *net;
    float *block;
    uint64_t version, numbered, changed;
    int n_new, room;
    int *steps;        /* [room] outer steps of the new episodes */
    int *learned;      /* [room] of those of the update under way, ascending */
    int batches, size; /* minibatches that a pass is cut into, and episodes of one */
    double stale;      /* sum over the new ones */
    double most;       /* largest */
    enum { IDLE, VALUES, STEPS } phase;
    chain chain[2];
    cx_update_stats stats;
};

int cx_learner_create(const cx_config *config, cx_learner **out, cx_error *err) {
    cx_learner *l = *out = calloc(1, sizeof *l);
    if (!l)
        return cx_fail(err, CX_ENOMEM, "no memory for a learner");
    l->config = config;
    l->room = config->ppo.episodes_per_update;
    cx_net_shape shape = cx_model_shape(config);
    int rc = cx_net_create(&shape, &l->net, err);
    if (rc)
        return rc;
    l->block = cx_calloc(cx_net_count(l->net), sizeof *l->block);
    l->steps = calloc((size_t)l->room, sizeof *l->steps);
    l->learned = calloc((size_t)l->room, sizeof *l->learned);
    for (int i = 0; i < 2; i++)
        l->chain[i].state = calloc((size_t)l->room, 1);
    if (!l->block || !l->steps || !l->learned || !l->chain[0].state || !l->chain[1].state)
        return cx_fail(err, CX_ENOMEM, "no memory for a learner");
    return CX_OK;
}

void cx_learner_destroy(cx_learner *l) {
    if (!l)
        return;
    cx_net_destroy(l->net);
    free(l->block);
    free(l->steps);
    free(l->learned);
    free(l->chain[0].state);
    free(l->chain[1].state);
    free(l);
}

int cx_learner_add(cx_learner *l, cx_trajectory *t, cx_error *err) {
    if (l->n_new == l->room) {
        cx_trajectory_destroy(t);
        return cx_fail(err, CX_ESTATE, "more than %d episodes for one update", l->room);
    }
    double stale = (double)(l->version - t->result.version);
    l->steps[l->n_new++] = t->result.steps;
    l->stale += stale;
    l->most = stale > l->most ? stale : l->most;
    cx_trajectory_destroy(t);
    return CX_OK;
}

bool cx_learner_ready(const cx_learner *l) {
    return l->phase == IDLE && l->n_new == l->room;
}

static int ascending(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

/* Batches are of episodes of near lengths (ppo/buffer.h). */
static void open_batch(cx_learner *l, chain *c) {
    c->n = c->answered = 0;
    if (c->batch == c->n_batches)
        return;
    int at = c->batch % l->batches, n = l->room;
    c->begin = c->kind == CX_SHARD_OUTPUTS ? 0 : at * l->size;
    c->end = c->kind == CX_SHARD_OUTPUTS || c->begin + l->size > n ? n : c->begin + l->size;
    c->n = (c->end - c->begin + CX_SHARD_EPISODES - 1) / CX_SHARD_EPISODES;
    c->number = l->numbered;
    l->numbered += (uint64_t)c->n;
    memset(c->state, OPEN, (size_t)c->n);
}

static void begin_chain(cx_learner *l, int i, cx_shard_kind kind, int batches) {
    chain *c = &l->chain[i];
    c->kind = kind;
    c->batch = 0;
    c->n_batches = batches;
    open_batch(l, c);
}

int cx_learner_begin(cx_learner *l, cx_error *err) {
    int n = l->n_new, size = l->config->ppo.minibatch_episodes;
    if (l->phase != IDLE || n < 1)
        return cx_fail(err, CX_ESTATE, "an update is under way, or has no episodes");
    l->batches = (n + size - 1) / size;
    l->size = (n + l->batches - 1) / l->batches; /* of nearly equal sizes */
    memcpy(l->learned, l->steps, (size_t)n * sizeof *l->steps);
    qsort(l->learned, (size_t)n, sizeof(int), ascending);
    l->stats = (cx_update_stats){
        .staleness = l->stale / n, .max_staleness = l->most, .reward = -1, .learning_rate = 1};
    l->stale = l->most = 0;
    l->n_new = 0;
    l->phase = VALUES;
    l->changed++;
    begin_chain(l, 0, CX_SHARD_OUTPUTS, 1);
    begin_chain(l, 1, CX_SHARD_VALUE, 0);
    return CX_OK;
}

static int first_open(const chain *c) {
    for (int i = 0; i < c->n; i++)
        if (c->state[i] == OPEN)
            return i;
    return -1;
}

/* Its numbers are real, but for what a row holds; its bytes are none. */
static cx_shard shard_of(const cx_learner *l, const chain *c, int part) {
    int n = c->end - c->begin, from = c->n - 1 - part; /* the longest first, as in chains.c */
    int first = c->begin + (int)((int64_t)n * from / c->n);
    int last = c->begin + (int)((int64_t)n * (from + 1) / c->n);
    bool policy = c->kind == CX_SHARD_POLICY;
    cx_shard s;
    memset(&s, 0, sizeof s);
    s.kind = (uint32_t)c->kind;
    s.episodes = last - first;
    s.longest = l->learned[last - 1];
    s.inputs = 1;
    s.heads = s.logits = policy;
    for (int i = first; i < last; i++)
        s.rows += l->learned[i];
    return s;
}

int cx_learner_open(const cx_learner *l) {
    int n = 0;
    for (int k = 0; k < 2 && l->phase != IDLE; k++)
        for (int i = 0; i < l->chain[k].n; i++)
            n += l->chain[k].state[i] == OPEN;
    return n;
}

int cx_learner_offer(cx_learner *l, cx_work *w, bool *any, cx_error *err) {
    static unsigned char nothing[1 << 20];
    int order = l->chain[1].batch < l->chain[0].batch;
    *any = false;
    for (int k = 0; k < 2 && !*any; k++) {
        chain *c = &l->chain[k ^ order];
        int part = l->phase == IDLE ? -1 : first_open(c);
        if (part < 0)
            continue;
        *any = true;
        c->state[part] = OUT;
        memset(w, 0, sizeof *w);
        w->number = c->number + (uint64_t)part;
        w->shard = shard_of(l, c, part);
        w->data = nothing;
        w->size = cx_shard_bytes(&w->shard);
        w->weights = l->block;
        w->n_weights = 1;
        w->serial = 2 * l->changed + (c->kind == CX_SHARD_POLICY);
        if (w->size > sizeof nothing)
            return cx_fail(err, CX_ESTATE, "a shard of %zu bytes", w->size);
    }
    return CX_OK;
}

static chain *find(cx_learner *l, uint64_t number, int *part) {
    for (int k = 0; k < 2 && l->phase != IDLE; k++) {
        chain *c = &l->chain[k];
        if (number - c->number < (uint64_t)c->n) {
            *part = (int)(number - c->number);
            return c->state[*part] == ANSWERED ? NULL : c;
        }
    }
    return NULL;
}

void cx_learner_reopen(cx_learner *l, uint64_t number) {
    int part;
    chain *c = find(l, number, &part);
    if (c)
        c->state[part] = OPEN;
}

int cx_learner_answer(cx_learner *l, uint64_t number, const float *out, size_t n,
                      const cx_shard_sums *sums, cx_error *err) {
    int part;
    chain *c = find(l, number, &part);
    (void)out;
    (void)n;
    (void)err;
    if (!c)
        return CX_OK;
    c->state[part] = ANSWERED;
    l->stats.seconds += sums->seconds;
    if (++c->answered < c->n)
        return CX_OK;
    if (c->kind != CX_SHARD_OUTPUTS && cx_the_model.charge) /* the optimizer's step */
        cx_the_model.charge(cx_the_model.learner.step);
    l->changed++;
    c->batch++;
    open_batch(l, c);
    return CX_OK;
}

int cx_learner_end(cx_learner *l, bool *done, cx_update_stats *stats, cx_error *err) {
    const chain *c = l->chain;
    *done = false;
    if (l->phase == IDLE)
        return cx_fail(err, CX_ESTATE, "no update is under way");
    bool whole = c[0].batch == c[0].n_batches && c[1].batch == c[1].n_batches;
    if (whole && l->phase == VALUES) {
        l->phase = STEPS;
        begin_chain(l, 0, CX_SHARD_POLICY, l->config->ppo.minibatches);
        begin_chain(l, 1, CX_SHARD_VALUE, l->config->ppo.minibatches);
        return CX_OK;
    }
    *done = whole;
    if (whole) {
        *stats = l->stats;
        l->phase = IDLE;
        l->version++;
        if (cx_the_model.on_update)
            cx_the_model.on_update(l->version);
    }
    return CX_OK;
}

double cx_model_shard(const cx_shard *s) {
    const cx_model_learner *cost = &cx_the_model.learner;
    double each = s->kind == CX_SHARD_POLICY  ? cost->policy
                  : s->kind == CX_SHARD_VALUE ? cost->value
                                              : cost->forward;
    double seconds = each * s->episodes * s->longest;
    cx_the_model.learner_pause(seconds);
    cx_the_model.learner_seconds += seconds;
    return seconds;
}

int cx_learner_advance(cx_learner *l, bool *done, cx_update_stats *stats, cx_error *err) {
    cx_work w;
    bool any;
    int rc = cx_learner_offer(l, &w, &any, err);
    if (!rc && any) {
        const cx_shard_sums sums = {.seconds = cx_model_shard(&w.shard)};
        rc = cx_learner_answer(l, w.number, NULL, 0, &sums, err);
    }
    return rc ? rc : cx_learner_end(l, done, stats, err);
}

uint64_t cx_learner_version(const cx_learner *l) {
    return l->version;
}

const float *cx_learner_policy(const cx_learner *l) {
    return l->block;
}

const float *cx_learner_average(const cx_learner *l) {
    return l->block;
}

const cx_net *cx_learner_policy_net(const cx_learner *l) {
    return l->net;
}

size_t cx_learner_policy_count(const cx_learner *l) {
    return cx_net_count(l->net);
}

int cx_learner_save(const cx_learner *l, void **data, size_t *size, cx_error *err) {
    *size = sizeof l->version;
    *data = malloc(*size);
    if (!*data)
        return cx_fail(err, CX_ENOMEM, "no memory for a checkpoint");
    memcpy(*data, &l->version, *size);
    return CX_OK;
}

int cx_learner_load(cx_learner *l, const void *data, size_t size, cx_error *err) {
    if (size != sizeof l->version)
        return cx_fail(err, CX_EFORMAT, "not a modeled learner's checkpoint");
    memcpy(&l->version, data, size);
    return CX_OK;
}
