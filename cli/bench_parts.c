/* What `bench` measures alone: the optimizer, the policy. The learner: bench_learner.c. */
#include "cli/bench.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/rng.h"
#include "policy/network.h"
#include "policy/observation.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- update --- */

enum { TENSORS = 4, GRADIENTS = 4, VARIANTS = 5, ADAM = 1 };

/* Moments and parameters of the textbook loop, which shows what the library's plain
 * Adam is worth as a measure. */
typedef struct {
    float *m, *v;
    double power1, power2; /* of the betas */
} loop_state;

typedef struct {
    const char *name, *rule;
    int feature_interval;
    bool average;
} variant;

/* The first is the loop; ratios are over the second. */
static const variant variants[VARIANTS] = {
    {"adam, one loop", NULL, 0, false},
    {"adam", "adam", 0, false},
    {"ciao", "ciao", 0, false},
    {"ciao, features", "ciao", CX_BENCH_BLOCK, false},
    {"ciao, features, average", "ciao", CX_BENCH_BLOCK, true},
};

typedef struct {
    cx_optimizer *o;
    loop_state loop;
    float *params, *average;
    double *seconds; /* [blocks] */
    double norm;
} update_runner;

typedef struct {
    size_t count;
    cx_optim_tensor tensor[TENSORS];
    float *grads, *pool; /* [count], [GRADIENTS][count] */
    update_runner r[VARIANTS];
} update_bench;

static void adam_loop(loop_state *s, float *restrict p, const float *restrict g, size_t n) {
    const float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;
    s->power1 *= 0.9;
    s->power2 *= 0.999;
    const float rate = (float)(1e-4 / (1 - s->power1)), root = (float)sqrt(1 - s->power2);
    float *restrict m = s->m, *restrict v = s->v;
    for (size_t i = 0; i < n; i++) {
        m[i] = beta1 * m[i] + (1 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        p[i] -= rate * m[i] / (sqrtf(v[i]) / root + epsilon);
    }
}

static void update_step(update_bench *u, int which, uint32_t step, double *seconds) {
    update_runner *r = &u->r[which];
    /* a step may use the gradient as scratch: each gets a fresh one, warm in the cache as
     * after a backward pass */
    memcpy(u->grads, u->pool + (step % GRADIENTS) * u->count, u->count * sizeof *u->grads);
    double start = cx_clock_now();
    if (r->o)
        r->norm = cx_optimizer_step(r->o, r->params, u->grads, NULL, r->average, 0.99f);
    else
        adam_loop(&r->loop, r->params, u->grads, u->count);
    *seconds += cx_clock_now() - start;
}

static void update_block(update_bench *u, int which, double *seconds) {
    double features[CX_FEATURE_COUNT], warm = 0;
    update_step(u, which, GRADIENTS - 1, &warm);
    if (u->r[which].o)
        cx_optimizer_outer_step(u->r[which].o, features);
    *seconds = 0;
    for (uint32_t i = 0; i < CX_BENCH_BLOCK; i++)
        update_step(u, which, i, seconds);
}

static void update_free(update_bench *u) {
    for (int k = 0; k < VARIANTS; k++) {
        cx_optimizer_destroy(u->r[k].o);
        free(u->r[k].loop.m);
        free(u->r[k].loop.v);
        free(u->r[k].params);
        free(u->r[k].average);
        free(u->r[k].seconds);
    }
    free(u->grads);
    free(u->pool);
}

/* Two matrices and two vectors of a hundredth, as in a small network. */
static void lay_out(update_bench *u) {
    size_t vector = u->count / 100 / CX_PARAM_ALIGN * CX_PARAM_ALIGN, at = 0;
    for (int i = 0; i < TENSORS; i++) {
        bool matrix = i % 2 == 0;
        size_t size = matrix ? u->count / 2 / CX_PARAM_ALIGN * CX_PARAM_ALIGN - vector : vector;
        u->tensor[i] = (cx_optim_tensor){.offset = at, .size = size, .rank = matrix ? 2 : 1};
        at += size;
    }
    u->count = at;
}

static int update_make(update_bench *u, cx_error *err) {
    lay_out(u);
    u->grads = cx_calloc(u->count, sizeof *u->grads);
    u->pool = cx_calloc(GRADIENTS * u->count, sizeof *u->pool);
    bool room = u->grads && u->pool;
    for (int k = 0; k < VARIANTS; k++) {
        update_runner *r = &u->r[k];
        r->params = cx_calloc(u->count, sizeof *r->params);
        room = room && r->params;
        if (variants[k].average) {
            r->average = cx_calloc(u->count, sizeof *r->average);
            room = room && r->average;
        }
        if (variants[k].rule)
            continue;
        r->loop = (loop_state){cx_calloc(u->count, sizeof(float)),
                               cx_calloc(u->count, sizeof(float)), 1, 1};
        room = room && r->loop.m && r->loop.v;
    }
    if (!room)
        return cx_fail(err, CX_ENOMEM, "no memory for %zu parameters", u->count);
    cx_rng rng = cx_rng_make(CX_BENCH_SEED, u->count, CX_STREAM_DATA);
    cx_rng_fill_normal(&rng, u->pool, GRADIENTS * u->count);
    for (int k = 0; k < VARIANTS; k++) {
        cx_rng_fill_normal(&rng, u->r[k].params, u->count);
        if (!variants[k].rule)
            continue;
        int rc = cx_bench_optimizer(variants[k].rule, variants[k].feature_interval, u->tensor,
                                    TENSORS, u->count, &u->r[k].o, err);
        if (rc)
            return rc;
    }
    return CX_OK;
}

static int update_measure(update_bench *u, const cx_bench_options *o, cx_table *table,
                          cx_error *err) {
    double once, took = 0;
    for (int pass = 0; pass < 3; pass++) {
        took = 0;
        for (int k = 0; k < VARIANTS; k++) {
            update_block(u, k, &once);
            took += once;
        }
    }
    int blocks = cx_bench_blocks(o, took, 2, 40);
    double *ratio = calloc((size_t)blocks, sizeof *ratio);
    bool room = ratio != NULL;
    for (int k = 0; k < VARIANTS; k++) {
        u->r[k].seconds = calloc((size_t)blocks, sizeof(double));
        room = room && u->r[k].seconds;
    }
    for (int b = 0; room && b < blocks; b++)
        for (int k = 0; k < VARIANTS; k++)
            update_block(u, k, &u->r[k].seconds[b]);
    for (int k = 0; room && k < VARIANTS; k++) {
        for (int b = 0; b < blocks; b++)
            ratio[b] = u->r[k].seconds[b] / u->r[ADAM].seconds[b];
        double s = cx_bench_median(u->r[k].seconds, blocks) / CX_BENCH_BLOCK;
        cx_table_number(table, (double)u->count);
        cx_table_text(table, variants[k].name);
        cx_table_number(table, 1e6 * s);
        cx_table_number(table, 1e6 * cx_bench_least(u->r[k].seconds, blocks) / CX_BENCH_BLOCK);
        cx_table_number(table, 1e9 * s / (double)u->count);
        cx_table_number(table, cx_bench_median(ratio, blocks));
        if (!isfinite(u->r[k].norm))
            room = false;
    }
    free(ratio);
    return room ? CX_OK : cx_fail(err, CX_ESTATE, "no memory, or a gradient that is not finite");
}

int cx_bench_update(const cx_bench_options *o, cx_error *err) {
    static const size_t sizes[] = {10000, 100000, 1000000};
    cx_table *t = cx_table_create("one update (four tensors; features on every 4th step)");
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a table");
    cx_table_column(t, "params", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "update", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "us_per_step", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "min_us_per_step", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "ns_per_param", CX_COLUMN_SIGNIFICANT, 3);
    cx_table_column(t, "ratio_to_adam", CX_COLUMN_FIXED, 2);
    cx_table_note(t, "ratio_to_adam: median over blocks of four steps that took turns; the goal "
                     "for ciao with features is at most 2.00");
    int rc = CX_OK;
    for (size_t i = 0; !rc && i < sizeof sizes / sizeof *sizes; i++) {
        update_bench u = {.count = sizes[i]};
        rc = update_make(&u, err);
        if (!rc)
            rc = update_measure(&u, o, t, err);
        update_free(&u);
    }
    if (!rc)
        return cx_bench_print(t, o->json, err);
    cx_table_destroy(t);
    return rc;
}

/* --- policy --- */

enum { OUTER_STEPS = 24 };

/* Sizes of configs/quickstart.yaml, of configs/desk.yaml, and the default (the paper's). */
static const struct {
    const char *name;
    int hidden, lstm;
} nets[] = {{"quickstart", 64, 64}, {"desk", 128, 128}, {"default", 256, 256}};
enum { N_NETS = sizeof nets / sizeof nets[0] };

int cx_bench_net_config(int hidden, int lstm, int outer_steps, const char *more, cx_config **config,
                        cx_error *err) {
    char yaml[512];
    (void)snprintf(yaml, sizeof yaml,
                   "preset: desk\npolicy: {hidden: %d, lstm: %d}\n%s"
                   "tasks:\n  - {family: nqm, outer_steps: %d}\n",
                   hidden, lstm, more, outer_steps);
    return cx_bench_config(yaml, config, err);
}

typedef struct {
    cx_config *config;
    cx_heads heads;
    cx_net *net;
    cx_observer *observer;
    cx_baseline baseline;
    float *block, *privileged, *state, *logits, *task_vector;
    unsigned char *flush; /* larger than the caches */
} policy_bench;

enum { FLUSH_BYTES = 64 << 20 };

static void policy_free(policy_bench *p) {
    cx_net_destroy(p->net);
    cx_observer_destroy(p->observer);
    free(p->config);
    free(p->block);
    free(p->privileged);
    free(p->state);
    free(p->logits);
    free(p->task_vector);
    free(p->flush);
}

/* A sweep of three learning rates whose loss falls as 1/sqrt(t). */
static void make_baseline(policy_bench *p) {
    cx_baseline *b = &p->baseline;
    cx_curve curve = {0};
    b->steps = 256;
    b->initial_loss = 2.3;
    for (int i = 0; i < 3; i++) {
        b->lr[i] = pow(10, -3 + 0.5 * i);
        b->final_loss[i] = 0.2 + 0.05 * abs(i - 1);
    }
    b->n_runs = 3;
    for (int i = 0; i < 16; i++) {
        curve.t[i] = 64 * (i + 1);
        curve.loss[i] = 0.2 * sqrt(256 / curve.t[i]);
    }
    curve.n = 16;
    b->best_lr = b->lr[1];
    b->best_loss = b->final_loss[1];
    cx_baseline_fit(p->config, b, &curve, 1);
}

static int policy_make(policy_bench *p, int hidden, int lstm, cx_error *err) {
    int rc = cx_bench_net_config(hidden, lstm, OUTER_STEPS, "", &p->config, err);
    if (rc)
        return rc;
    cx_net_shape shape = cx_policy_shape(p->config);
    cx_action_heads(p->config, &p->heads);
    rc = cx_net_create(&shape, &p->net, err);
    if (rc)
        return rc;
    p->block = cx_calloc(cx_net_count(p->net), sizeof *p->block);
    p->privileged = cx_calloc((size_t)cx_privileged_size(p->config), sizeof *p->privileged);
    p->state = cx_calloc(2 * (size_t)lstm, sizeof *p->state);
    p->logits = cx_calloc((size_t)p->heads.n_logits, sizeof *p->logits);
    p->task_vector = cx_calloc((size_t)cx_task_vector_size(), sizeof *p->task_vector);
    p->flush = cx_calloc(FLUSH_BYTES, 1);
    if (!p->block || !p->privileged || !p->state || !p->logits || !p->task_vector || !p->flush)
        return cx_fail(err, CX_ENOMEM, "no memory for a policy of %d units", lstm);
    cx_rng rng = cx_rng_make(CX_BENCH_SEED, 0, CX_STREAM_POLICY);
    cx_net_init(p->net, p->block, &rng);
    make_baseline(p);
    return CX_OK;
}

enum { OBSERVE, NETWORK, CHOOSE, PHASES };

/* One outer step of a made-up run; seconds[PHASES]. */
static int policy_step(policy_bench *p, int k, cx_rng *rng, int *choice, double *seconds,
                       cx_error *err) {
    double features[CX_FEATURE_COUNT], at[PHASES + 1];
    float noise[CX_HYPER_COUNT] = {0};
    for (int i = 0; i < CX_FEATURE_COUNT; i++)
        features[i] = k ? cx_rng_normal(rng) : NAN;
    double loss = 2.3 / (1 + 0.5 * k) * exp(0.05 * cx_rng_normal(rng));
    cx_run_state s = {.outer_step = k,
                      .outer_steps = OUTER_STEPS,
                      .inner_steps = 10 * OUTER_STEPS,
                      .features = features,
                      .last_action = k ? choice : NULL,
                      .train_loss = 0.95 * loss,
                      .valid_loss = loss,
                      .param_norm = 10 + 0.1 * k,
                      .previous_param_norm = k ? 9.9 + 0.1 * k : NAN,
                      .update_norm = k ? 0.5 : NAN,
                      .hyper = p->config->optimizer.start,
                      .hyper_start = p->config->optimizer.start,
                      .task_vector = p->task_vector,
                      .n_task_vector = cx_task_vector_size(),
                      .start_noise = noise,
                      .baseline = &p->baseline};
    at[0] = cx_clock_now();
    cx_observe(p->observer, &s, p->privileged);
    at[1] = cx_clock_now();
    int rc = cx_net_step(p->net, p->block, p->privileged, p->state, p->logits, err);
    at[2] = cx_clock_now();
    (void)cx_action_choose(&p->heads, p->logits, NULL, rng, choice);
    at[3] = cx_clock_now();
    for (int i = 0; i < PHASES; i++)
        seconds[i] = at[i + 1] - at[i];
    return rc;
}

/* Whole episodes; seconds[PHASES][steps]. cold: the caches are emptied before each
 * outer step, as a long stretch of inner steps does. */
static int policy_measure(policy_bench *p, int steps, bool cold, double *seconds, cx_error *err) {
    int choice[CX_HEADS_MAX] = {0}, rc = CX_OK;
    cx_rng rng = cx_rng_make(CX_BENCH_SEED, 0, CX_STREAM_ACTION);
    for (int i = 0; !rc && i < steps; i++) {
        double times[PHASES] = {0};
        int k = i % OUTER_STEPS;
        if (k == 0) {
            cx_observer_destroy(p->observer);
            rc = cx_observer_create(p->config, &p->observer, err);
            memset(p->state, 0, 2 * (size_t)p->config->policy.lstm * sizeof *p->state);
        }
        if (cold)
            memset(p->flush, i, FLUSH_BYTES);
        if (!rc)
            rc = policy_step(p, k, &rng, choice, times, err);
        for (int phase = 0; phase < PHASES; phase++)
            seconds[phase * steps + i] = times[phase];
    }
    return rc;
}

static int policy_rows(policy_bench *p, const char *name, int steps, cx_table *t, cx_error *err) {
    double *seconds = calloc((size_t)(PHASES * steps), sizeof *seconds);
    if (!seconds)
        return cx_fail(err, CX_ENOMEM, "no memory for %d times", steps);
    double unused[PHASES * OUTER_STEPS];
    int rc = policy_measure(p, OUTER_STEPS, false, unused, err); /* warms up */
    for (int cold = 0; !rc && cold < 2; cold++) {
        /* a flush costs more than the step: fewer of them do */
        int n = cold && steps > 20 * OUTER_STEPS ? 20 * OUTER_STEPS : steps;
        double sum = 0;
        rc = policy_measure(p, n, cold, seconds, err);
        if (rc)
            break;
        cx_table_text(t, name);
        cx_table_number(t, p->config->policy.hidden);
        cx_table_number(t, p->config->policy.lstm);
        cx_table_number(t, (double)cx_net_count(p->net));
        cx_table_text(t, cold ? "cold" : "warm");
        for (int phase = 0; phase < PHASES; phase++) {
            double us = 1e6 * cx_bench_median(seconds + phase * n, n);
            cx_table_number(t, us);
            sum += us;
        }
        cx_table_number(t, sum);
    }
    free(seconds);
    return rc;
}

int cx_bench_policy(const cx_bench_options *o, cx_error *err) {
    cx_table *t = cx_table_create("the policy at one outer step");
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a table");
    cx_table_column(t, "policy", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "hidden", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "lstm", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "params", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "caches", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "observe_us", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "network_us", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "choose_us", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "sum_us", CX_COLUMN_SIGNIFICANT, 4);
    int rc = CX_OK, steps = o->steps > 0 ? (int)o->steps : 100 * OUTER_STEPS;
    for (int i = 0; !rc && i < N_NETS; i++) {
        policy_bench p = {0};
        rc = policy_make(&p, nets[i].hidden, nets[i].lstm, err);
        if (!rc)
            rc = policy_rows(&p, nets[i].name, steps, t, err);
        policy_free(&p);
    }
    if (!rc)
        return cx_bench_print(t, o->json, err);
    cx_table_destroy(t);
    return rc;
}
