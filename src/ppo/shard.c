#include "ppo/shard.h"

#include "base/arena.h"
#include "base/clock.h"
#include "ppo/learner.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_MAX = 1 << 24 }; /* of anything that a shard has: products of two fit in 64 bits */

/* Where a shard's arrays are. */
typedef struct {
    const int32_t *steps, *choice;
    const float *in, *log_prob, *extra; /* extra: advantages, or targets */
    const unsigned char *mask;
    size_t size; /* of all */
} arrays;

static const void *take(const unsigned char *base, size_t *at, size_t bytes) {
    const void *p = base ? base + *at : NULL;
    *at += bytes;
    return p;
}

static arrays layout(const cx_shard *s, const void *data) {
    arrays a = {0};
    size_t rows = (size_t)s->rows;
    a.steps = take(data, &a.size, (size_t)s->episodes * sizeof(int32_t));
    a.in = take(data, &a.size, rows * (size_t)s->inputs * sizeof(float));
    if (s->kind == CX_SHARD_POLICY)
        a.log_prob = take(data, &a.size, rows * sizeof(float));
    if (s->kind != CX_SHARD_OUTPUTS)
        a.extra = take(data, &a.size, rows * sizeof(float));
    if (s->kind == CX_SHARD_POLICY) {
        a.choice = take(data, &a.size, rows * (size_t)s->heads * sizeof(int32_t));
        a.mask = take(data, &a.size, rows * (size_t)s->logits);
    }
    return a;
}

size_t cx_shard_bytes(const cx_shard *s) {
    bool policy = s->kind == CX_SHARD_POLICY;
    const int32_t counts[] = {s->episodes, s->longest, s->rows, s->inputs};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (counts[i] < 1 || counts[i] > COUNT_MAX)
            return 0;
    bool sound = s->kind < CX_SHARD_KINDS && s->reserved == 0 && s->heads >= policy &&
                 s->heads <= (policy ? CX_HEADS_MAX : 0) && s->logits >= policy &&
                 s->logits <= (policy ? COUNT_MAX : 0);
    return sound ? layout(s, NULL).size : 0;
}

void cx_shard_put(const cx_shard *s, void *data, int episode, int at, const cx_trajectory *t,
                  const float *extra) {
    arrays a = layout(s, data);
    size_t steps = (size_t)t->result.steps, row = (size_t)at, width = (size_t)s->inputs;
    ((int32_t *)(uintptr_t)a.steps)[episode] = t->result.steps;
    float *in = (float *)(uintptr_t)a.in + row * width;
    for (size_t k = 0; k < steps; k++)
        memcpy(in + k * width, t->obs + k * (size_t)t->n_obs, width * sizeof *in);
    if (a.extra)
        memcpy((float *)(uintptr_t)a.extra + row, extra, steps * sizeof *extra);
    if (!a.mask)
        return;
    size_t heads = (size_t)s->heads, logits = (size_t)s->logits;
    memcpy((float *)(uintptr_t)a.log_prob + row, t->log_prob, steps * sizeof(float));
    memcpy((int32_t *)(uintptr_t)a.choice + row * heads, t->choice,
           steps * heads * sizeof(int32_t));
    memcpy((unsigned char *)(uintptr_t)a.mask + row * logits, t->mask, steps * logits);
}

static bool choices_ok(const cx_shard *s, const arrays *a, const cx_heads *heads) {
    for (int row = 0; row < s->rows; row++)
        for (int h = 0; h < s->heads; h++) {
            int choice = a->choice[(size_t)row * (size_t)s->heads + (size_t)h];
            const unsigned char *mask =
                a->mask + (size_t)row * (size_t)s->logits + heads->offset[h];
            if (choice < 0 || choice >= heads->size[h] || !mask[choice])
                return false;
        }
    return true;
}

int cx_shard_check(const cx_shard *s, const void *data, size_t size, const cx_net_shape *shape,
                   const cx_heads *heads, cx_error *err) {
    bool policy = s->kind == CX_SHARD_POLICY;
    size_t bytes = cx_shard_bytes(s);
    if (!bytes || bytes != size)
        return cx_fail(err, CX_EFORMAT, "a shard of %d episodes has %zu bytes, not %zu",
                       s->episodes, size, bytes);
    if (s->inputs != shape->inputs ||
        (policy && (s->heads != heads->n_heads || s->logits != heads->n_logits)))
        return cx_fail(err, CX_EFORMAT,
                       "a shard has %d inputs, %d heads and %d logits, not %d, %d, %d", s->inputs,
                       s->heads, s->logits, shape->inputs, heads->n_heads, heads->n_logits);
    if (s->episodes > CX_SHARD_EPISODES) /* which also bounds the padding */
        return cx_fail(err, CX_EFORMAT, "a shard has %d episodes, more than %d", s->episodes,
                       CX_SHARD_EPISODES);
    arrays a = layout(s, data);
    int64_t rows = 0;
    int longest = 0;
    for (int i = 0; i < s->episodes; i++) {
        if (a.steps[i] < 1 || a.steps[i] > s->longest)
            return cx_fail(err, CX_EFORMAT, "a shard has an episode of %d outer steps, not 1 to %d",
                           a.steps[i], s->longest);
        rows += a.steps[i];
        longest = a.steps[i] > longest ? a.steps[i] : longest;
    }
    if (rows != s->rows || longest != s->longest)
        return cx_fail(err, CX_EFORMAT, "a shard's episodes have %lld outer steps, not %d",
                       (long long)rows, s->rows);
    if (policy && !choices_ok(s, &a, heads))
        return cx_fail(err, CX_EFORMAT, "a shard has a choice that was not allowed");
    return CX_OK;
}

void cx_shard_sums_add(cx_shard_sums *to, const cx_shard_sums *more) {
    to->loss += more->loss;
    to->kl += more->kl;
    to->clipped += more->clipped;
    for (int h = 0; h < CX_HEADS_MAX; h++)
        to->entropy[h] += more->entropy[h];
    to->error += more->error;
    to->target += more->target;
    to->target_square += more->target_square;
    to->seconds += more->seconds;
}

/* --- computing --- */

void cx_shard_scratch_free(cx_shard_scratch *scratch) {
    free(scratch->in);
    free(scratch->dout);
    free(scratch->out);
    *scratch = (cx_shard_scratch){0};
}

static int reserve(float **p, size_t *have, size_t need, cx_error *err) {
    if (*have >= need)
        return CX_OK;
    free(*p);
    *have = 0;
    *p = cx_calloc(need, sizeof **p);
    if (!*p)
        return cx_fail(err, CX_ENOMEM, "no memory for a shard of %zu numbers", need);
    *have = need;
    return CX_OK;
}

/* [longest][episodes][width] with zeros where an episode has ended, from its rows. */
static void pad(const cx_shard *s, const arrays *a, float *to) {
    size_t width = (size_t)s->inputs, n = (size_t)s->episodes;
    const float *from = a->in;
    for (size_t i = 0; i < n; i++)
        for (int t = 0; t < s->longest; t++) {
            float *row = to + ((size_t)t * n + i) * width;
            if (t < a->steps[i]) {
                memcpy(row, from, width * sizeof *row);
                from += width;
            } else {
                memset(row, 0, width * sizeof *row);
            }
        }
}

/* Fills dout from logits: loss = mean over real outer steps of (surrogate - entropy
 * coefficient * sum of the heads' entropies). */
static void policy_loss(const cx_shard *s, const arrays *a, const cx_heads *heads,
                        const float *logits, float *dout, cx_shard_sums *sums) {
    size_t width = (size_t)s->logits, from = 0;
    double share = s->share, entropy[CX_HEADS_MAX];
    for (int i = 0; i < s->episodes; i++)
        for (int t = 0; t < a->steps[i]; t++, from++) {
            size_t row = ((size_t)t * (size_t)s->episodes + (size_t)i) * width;
            const unsigned char *mask = a->mask + from * width;
            const int32_t *choice = a->choice + from * (size_t)s->heads;
            double log_prob =
                cx_action_evaluate(heads, logits + row, mask, choice, entropy, 0, 0, NULL);
            cx_surrogate at = cx_surrogate_at(log_prob, a->log_prob[from], a->extra[from], s->clip);
            (void)cx_action_evaluate(heads, logits + row, mask, choice, NULL, share * at.d_log_prob,
                                     -share * s->entropy_coefficient, dout + row);
            sums->loss += share * at.loss;
            sums->kl += share * (expm1(at.log_ratio) - at.log_ratio);
            sums->clipped += share * at.clipped;
            for (int h = 0; h < s->heads; h++)
                sums->entropy[h] += share * entropy[h];
        }
}

/* Half the mean squared error in the network's units; its derivative times the coefficient in
 * dout. */
static void value_loss(const cx_shard *s, const arrays *a, const float *y, float *dout,
                       cx_shard_sums *sums) {
    size_t from = 0;
    for (int i = 0; i < s->episodes; i++)
        for (int t = 0; t < a->steps[i]; t++, from++) {
            size_t row = (size_t)t * (size_t)s->episodes + (size_t)i;
            double target = a->extra[from], error = y[row] - target;
            dout[row] = (float)(s->value_coefficient * s->share * error);
            sums->loss += 0.5 * s->share * error * error;
            sums->error += s->share * error;
            sums->target += s->share * target;
            sums->target_square += s->share * target * target;
        }
}

static void copy_outputs(const cx_shard *s, const arrays *a, const float *y, float *out) {
    for (int i = 0; i < s->episodes; i++)
        for (int t = 0; t < a->steps[i]; t++)
            *out++ = y[(size_t)t * (size_t)s->episodes + (size_t)i];
}

size_t cx_shard_results(const cx_shard *s, const cx_net *net) {
    return s->kind == CX_SHARD_OUTPUTS ? (size_t)s->rows : cx_net_trainable(net);
}

static int gradient(const cx_shard *s, const arrays *a, cx_net *net, const float *block,
                    const cx_heads *heads, const float *y, cx_shard_scratch *scratch,
                    cx_shard_sums *sums, cx_error *err) {
    size_t size = (size_t)s->longest * (size_t)s->episodes;
    if (s->kind == CX_SHARD_POLICY)
        size *= (size_t)s->logits;
    int rc = reserve(&scratch->dout, &scratch->dout_size, size, err);
    if (rc)
        return rc;
    memset(scratch->dout, 0, size * sizeof *scratch->dout);
    if (s->kind == CX_SHARD_POLICY)
        policy_loss(s, a, heads, y, scratch->dout, sums);
    else
        value_loss(s, a, y, scratch->dout, sums);
    return cx_net_backward(net, block, scratch->dout, s->longest, s->episodes, scratch->out, err);
}

int cx_shard_compute(const cx_shard *s, const void *data, cx_net *net, const float *block,
                     const cx_heads *heads, cx_shard_scratch *scratch, const float **out,
                     cx_shard_sums *sums, cx_error *err) {
    double start = cx_clock_now();
    arrays a = layout(s, data);
    const float *y;
    memset(sums, 0, sizeof *sums);
    int rc = reserve(&scratch->in, &scratch->in_size,
                     (size_t)s->longest * (size_t)s->episodes * (size_t)s->inputs, err);
    if (!rc)
        rc = reserve(&scratch->out, &scratch->out_size, cx_shard_results(s, net), err);
    if (rc)
        return rc;
    *out = scratch->out;
    pad(s, &a, scratch->in);
    rc = cx_net_forward(net, block, scratch->in, s->longest, s->episodes, &y, err);
    if (!rc && s->kind == CX_SHARD_OUTPUTS)
        copy_outputs(s, &a, y, scratch->out);
    else if (!rc)
        rc = gradient(s, &a, net, block, heads, y, scratch, sums, err);
    sums->seconds = cx_clock_now() - start;
    return rc;
}
