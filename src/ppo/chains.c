/* The shards of an update: which there are, who may have one, and what their answers add up to. */
#include "ppo/learner.h"

#include "base/arena.h"
#include "base/clock.h"
#include <stdlib.h>
#include <string.h>

/* --- batches --- */

static void clear_parts(cx_chain *c) {
    for (int i = 0; i < c->n_parts; i++)
        free(c->part[i].out);
    free(c->part);
    c->part = NULL;
    c->n_parts = c->added = 0;
}

void cx_chains_clear(cx_learner *l) {
    for (int i = 0; i < 2; i++) {
        clear_parts(&l->chain[i]);
        l->chain[i] = (cx_chain){0};
    }
}

bool cx_chains_done(const cx_learner *l) {
    for (int i = 0; i < 2; i++)
        if (l->chain[i].batch < l->chain[i].n_batches)
            return false;
    return true;
}

static int episode_of(const cx_chain *c, int i) {
    return c->item ? c->item[i] : i;
}

static const cx_trajectory *trajectory_of(const cx_learner *l, const cx_chain *c, int i) {
    return l->plan.episode[episode_of(c, i)];
}

/* Shards of nearly equal numbers of episodes; these stand by length in a batch (buffer.h). */
static int open_batch(cx_learner *l, cx_chain *c, cx_error *err) {
    clear_parts(c);
    if (c->batch == c->n_batches)
        return CX_OK;
    if (c->kind != CX_SHARD_OUTPUTS) {
        c->item = l->plan.item + l->plan.start[c->batch];
        c->n = l->plan.start[c->batch + 1] - l->plan.start[c->batch];
    }
    c->rows = 0;
    for (int i = 0; i < c->n; i++)
        c->rows += trajectory_of(l, c, i)->result.steps;
    c->sums = (cx_shard_sums){0};
    int n = (c->n + CX_SHARD_EPISODES - 1) / CX_SHARD_EPISODES;
    c->part = calloc((size_t)n + 1, sizeof *c->part);
    if (!c->part)
        return cx_fail(err, CX_ENOMEM, "no memory for %d shards", n);
    c->n_parts = n;
    c->first = l->numbered;
    l->numbered += (uint64_t)n;
    return CX_OK;
}

int cx_chains_begin(cx_learner *l, cx_error *err) {
    cx_chains_clear(l);
    if (l->phase == CX_PHASE_VALUES) {
        int n = l->plan.n_episodes;
        l->chain[0] =
            (cx_chain){.model = &l->value, .kind = CX_SHARD_OUTPUTS, .n = n, .n_batches = n > 0};
    } else {
        int n = l->plan.n_batches;
        l->chain[0] = (cx_chain){.model = &l->policy, .kind = CX_SHARD_POLICY, .n_batches = n};
        l->chain[1] = (cx_chain){.model = &l->value, .kind = CX_SHARD_VALUE, .n_batches = n};
    }
    int rc = open_batch(l, &l->chain[0], err);
    return rc ? rc : open_batch(l, &l->chain[1], err);
}

/* --- offers --- */

/* The first part is that of the longest episodes: where several ranks compute, what takes long
 * has to begin first. part_end(c, p) is where part p - 1 begins. */
static int part_begin(const cx_chain *c, int part) {
    return (int)((int64_t)c->n * (c->n_parts - 1 - part) / c->n_parts);
}

static int part_end(const cx_chain *c, int part) {
    return part_begin(c, part - 1);
}

static int first_open(const cx_chain *c) {
    for (int i = 0; i < c->n_parts; i++)
        if (c->part[i].state == CX_PART_OPEN)
            return i;
    return -1;
}

int cx_learner_open(const cx_learner *l) {
    int n = 0;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < l->chain[k].n_parts; i++)
            n += l->chain[k].part[i].state == CX_PART_OPEN;
    return n;
}

/* Of the chain that is behind; of the policy where neither is. */
static cx_chain *choose(cx_learner *l, int *part) {
    int order = l->chain[1].batch < l->chain[0].batch;
    for (int k = 0; k < 2; k++) {
        cx_chain *c = &l->chain[k ^ order];
        *part = first_open(c);
        if (*part >= 0)
            return c;
    }
    return NULL;
}

static cx_shard shard_of(const cx_learner *l, const cx_chain *c, int begin, int end) {
    bool policy = c->kind == CX_SHARD_POLICY;
    cx_shard s;
    memset(&s, 0, sizeof s);
    s.kind = (uint32_t)c->kind;
    s.episodes = end - begin;
    s.inputs = c->model->inputs;
    s.heads = policy ? l->heads.n_heads : 0;
    s.logits = policy ? l->heads.n_logits : 0;
    for (int i = begin; i < end; i++) {
        int steps = trajectory_of(l, c, i)->result.steps;
        s.rows += steps;
        s.longest = steps > s.longest ? steps : s.longest;
    }
    s.share = 1 / c->rows;
    s.clip = l->config.ppo.clip;
    s.entropy_coefficient = l->sum.entropy_coefficient;
    s.value_coefficient = l->config.ppo.value_coefficient;
    return s;
}

static int pack(cx_learner *l, const cx_chain *c, int part, cx_work *w, cx_error *err) {
    int begin = part_begin(c, part), end = part_end(c, part);
    w->shard = shard_of(l, c, begin, end);
    w->size = cx_shard_bytes(&w->shard);
    if (w->size > l->packed_size) {
        free(l->packed);
        l->packed_size = 0;
        l->packed = malloc(w->size);
        if (!l->packed)
            return cx_fail(err, CX_ENOMEM, "no memory for a shard of %zu bytes", w->size);
        l->packed_size = w->size;
    }
    const float *extra = c->kind == CX_SHARD_POLICY ? l->advantage : l->value_target;
    for (int i = begin, at = 0; i < end; i++) {
        const cx_trajectory *t = trajectory_of(l, c, i);
        cx_shard_put(&w->shard, l->packed, i - begin, at, t, extra + l->at[episode_of(c, i)]);
        at += t->result.steps;
    }
    return CX_OK;
}

int cx_learner_offer(cx_learner *l, cx_work *w, bool *any, cx_error *err) {
    double start = cx_clock_now();
    int part = -1;
    cx_chain *c = choose(l, &part);
    *any = false;
    if (!c)
        return CX_OK;
    int rc = pack(l, c, part, w, err);
    if (rc)
        return rc;
    *any = true;
    c->part[part].state = CX_PART_OUT;
    w->number = c->first + (uint64_t)part;
    w->data = l->packed;
    w->weights = c->model->block;
    w->n_weights = cx_net_count(c->model->net);
    w->serial = c->model->serial;
    l->sum.seconds += cx_clock_now() - start;
    return CX_OK;
}

/* --- answers --- */

/* The shard of that number that is not answered yet. */
static cx_part *find(cx_learner *l, uint64_t number, cx_chain **chain) {
    for (int k = 0; k < 2; k++) {
        cx_chain *c = &l->chain[k];
        if (number - c->first < (uint64_t)c->n_parts) { /* unsigned: not before it, either */
            cx_part *p = &c->part[number - c->first];
            *chain = c;
            return p->state == CX_PART_ANSWERED ? NULL : p;
        }
    }
    return NULL;
}

void cx_learner_reopen(cx_learner *l, uint64_t number) {
    cx_chain *c;
    cx_part *p = find(l, number, &c);
    if (p)
        p->state = CX_PART_OPEN;
}

/* Values of a shard's rows, in the units of rewards. */
static void put_values(cx_learner *l, const cx_chain *c, int part, const float *out) {
    double mean = l->target.mean, deviation = cx_ewma_deviation(&l->target);
    for (int i = part_begin(c, part); i < part_end(c, part); i++) {
        size_t e = (size_t)episode_of(c, i);
        for (size_t k = l->at[e]; k < l->at[e + 1]; k++)
            l->values[k] = (float)(mean + deviation * *out++);
    }
}

static void add(cx_learner *l, cx_chain *c, const float *out, const cx_shard_sums *sums) {
    size_t n = cx_net_trainable(c->model->net);
    float *restrict grads = c->model->grads;
    if (c->kind == CX_SHARD_OUTPUTS)
        put_values(l, c, c->added, out);
    else if (c->added == 0)
        memcpy(grads, out, n * sizeof *grads);
    else
        for (size_t i = 0; i < n; i++)
            grads[i] += out[i];
    cx_shard_sums_add(&c->sums, sums);
    c->added++;
}

/* What comes before its turn is kept until then. */
static int keep(cx_part *p, const float *out, size_t n, cx_error *err) {
    p->out = malloc(n * sizeof *out);
    if (!p->out)
        return cx_fail(err, CX_ENOMEM, "no memory for a gradient of %zu numbers", n);
    memcpy(p->out, out, n * sizeof *out);
    return CX_OK;
}

static bool add_kept(cx_learner *l, cx_chain *c) {
    while (c->added < c->n_parts && c->part[c->added].out) {
        cx_part *p = &c->part[c->added];
        add(l, c, p->out, &p->sums);
        free(p->out);
        p->out = NULL;
    }
    return c->added == c->n_parts;
}

static size_t results_of(const cx_learner *l, const cx_chain *c, int part) {
    if (c->kind != CX_SHARD_OUTPUTS)
        return cx_net_trainable(c->model->net);
    int end = part_end(c, part) - 1;
    return l->at[episode_of(c, end) + 1] - l->at[episode_of(c, part_begin(c, part))];
}

int cx_learner_answer(cx_learner *l, uint64_t number, const float *out, size_t n,
                      const cx_shard_sums *sums, cx_error *err) {
    double start = cx_clock_now();
    cx_chain *c;
    cx_part *p = find(l, number, &c);
    if (!p)
        return CX_OK;
    int part = (int)(p - c->part), rc = CX_OK;
    if (n != results_of(l, c, part))
        return cx_fail(err, CX_EFORMAT, "a shard was answered with %zu numbers, not %zu", n,
                       results_of(l, c, part));
    if (part == c->added)
        add(l, c, out, sums);
    else
        rc = keep(p, out, n, err);
    if (rc)
        return rc;
    p->state = CX_PART_ANSWERED;
    p->sums = *sums;
    if (add_kept(l, c)) {
        cx_update_batch_done(l, c);
        c->batch++;
        rc = open_batch(l, c, err);
    }
    l->sum.seconds += cx_clock_now() - start + sums->seconds;
    return rc;
}
