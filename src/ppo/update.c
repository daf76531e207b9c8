/* One update: begin plans it and renews the statistics of inputs and rewards; then values
 * of all planned episodes; then advantages; then the gradient steps of policy and value
 * function. What is computed for these comes shard by shard (chains.c). */
#include "ppo/learner.h"

#include "base/arena.h"
#include "base/clock.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- begin --- */

/* Each new episode enters the statistics of both networks' inputs once, with the
 * weight 1 - policy.input_beta whatever its number of outer steps. The log
 * probabilities of behaviour stay as acted: a ratio compares with what did act. */
static int renew_input_statistics(cx_learner *l, const cx_trajectory *e, cx_error *err) {
    size_t steps = (size_t)e->result.steps, w = (size_t)l->policy.inputs;
    double beta = pow(l->config.policy.input_beta, 1 / (double)steps);
    float *in = malloc(steps * w * sizeof *in);
    if (!in)
        return cx_fail(err, CX_ENOMEM, "no memory for an episode of %zu outer steps", steps);
    for (size_t t = 0; t < steps; t++)
        memcpy(in + t * w, e->obs + t * (size_t)e->n_obs, w * sizeof *in);
    cx_net_update_statistics(l->policy.net, l->policy.block, in, steps, beta);
    cx_net_update_statistics(l->value.net, l->value.block, e->obs, steps, beta);
    free(in);
    return CX_OK;
}

static int take_in_new(cx_learner *l, cx_error *err) {
    cx_buffer *b = &l->buffer;
    for (int i = b->n - b->n_new; i < b->n; i++) {
        const cx_trajectory *e = b->item[i];
        cx_ewma_add(&l->reward, e->result.reward, 0, 1 - CX_EWMA_BETA);
        l->sum.reward += e->result.reward / b->n_new;
        l->sum.diverged += (e->result.end == CX_END_DIVERGED) / (double)b->n_new;
        int rc = renew_input_statistics(l, e, err);
        if (rc)
            return rc;
    }
    for (int i = 0; i < b->n; i++) {
        double s = (double)cx_staleness(b->item[i], l->version);
        if (s > l->sum.max_staleness)
            l->sum.max_staleness = s;
    }
    return CX_OK;
}

static int allocate(cx_learner *l, cx_error *err) {
    int n = l->plan.n_episodes;
    l->at = cx_calloc((size_t)n + 1, sizeof *l->at);
    if (!l->at)
        return cx_fail(err, CX_ENOMEM, "no memory for an update of %d episodes", n);
    for (int e = 0; e < n; e++)
        l->at[e + 1] = l->at[e] + (size_t)l->plan.episode[e]->result.steps;
    size_t steps = l->at[n] ? l->at[n] : 1;
    l->values = cx_calloc(steps, sizeof *l->values);
    l->advantage = cx_calloc(steps, sizeof *l->advantage);
    l->value_target = cx_calloc(steps, sizeof *l->value_target);
    if (!l->values || !l->advantage || !l->value_target)
        return cx_fail(err, CX_ENOMEM, "no memory for an update of %zu outer steps", steps);
    return CX_OK;
}

/* 1 at the first update, ppo.anneal_to from the last planned one on. */
static double annealing(const cx_learner *l) {
    double last = l->config.updates - 1, done = (double)l->version;
    double x = last <= 0 ? 0 : done < last ? done / last : 1;
    return 1 + x * (l->config.ppo.anneal_to - 1);
}

static void set_learning_rate(const cx_learner *l, cx_optimizer *o, double lr) {
    cx_hyper hyper = cx_learner_hyper(&l->config, lr);
    cx_optimizer_set_hyper(o, &hyper);
}

void cx_update_clear(cx_learner *l) {
    cx_chains_clear(l);
    cx_plan_free(&l->plan);
    free(l->at);
    free(l->values);
    free(l->advantage);
    free(l->value_target);
    l->at = NULL;
    l->values = l->advantage = l->value_target = NULL;
    l->n_policy = l->n_value = l->n_kl = l->n_used = 0;
    l->sum = (cx_update_stats){0};
    l->phase = CX_PHASE_IDLE;
}

/* --- values and advantages --- */

/* The reward in the units of values. */
static double reward_of(const cx_learner *l, const cx_trajectory *e) {
    if (!l->config.ppo.normalize_reward)
        return e->result.reward;
    return (e->result.reward - l->reward.mean) / cx_ewma_deviation(&l->reward);
}

static void mean_and_variance(const float *x, size_t n, double *mean, double *variance) {
    double sum = 0, square = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    *mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - *mean) * (x[i] - *mean);
    *variance = square / (double)n;
}

/* Share with which the targets of this update enter their statistics: as many
 * episodes as an update has new ones. */
static double target_share(const cx_learner *l) {
    return 1 - pow(CX_EWMA_BETA, l->config.ppo.episodes_per_update);
}

/* Before any target is known, rewards stand for them, so that the first values
 * are of the right size. */
static void first_target_statistics(cx_learner *l) {
    for (int i = 0; i < l->plan.n_episodes; i++)
        cx_ewma_add(&l->target, reward_of(l, l->plan.episode[i]), 0, 1 - CX_EWMA_BETA);
}

static void compute_advantages(cx_learner *l) {
    int n = l->plan.n_episodes;
    size_t steps = l->at[n];
    for (int e = 0; e < n; e++) {
        const cx_trajectory *t = l->plan.episode[e];
        size_t at = l->at[e];
        cx_gae(l->values + at, t->result.steps, reward_of(l, t), l->config.ppo.gamma,
               l->config.ppo.gae_lambda, l->advantage + at, l->value_target + at);
    }
    double mean, variance;
    mean_and_variance(l->advantage, steps, &mean, &variance);
    double scale = 1 / (sqrt(variance) + 1e-8);
    for (size_t i = 0; i < steps; i++)
        l->advantage[i] = (float)((l->advantage[i] - mean) * scale);
    mean_and_variance(l->value_target, steps, &mean, &variance);
    cx_ewma_add(&l->target, mean, variance, target_share(l));
    double deviation = cx_ewma_deviation(&l->target);
    for (size_t i = 0; i < steps; i++)
        l->value_target[i] = (float)((l->value_target[i] - l->target.mean) / deviation);
}

/* --- begin, continued --- */

static int begin(cx_learner *l, cx_error *err) {
    cx_rng rng = cx_rng_make(l->config.seed, l->version, CX_STREAM_LEARNER);
    int rc = cx_plan_make(&l->buffer, l->version, l->config.ppo.max_uses,
                          l->config.ppo.max_staleness, l->config.ppo.minibatches,
                          l->config.ppo.minibatch_episodes, &rng, &l->plan, err);
    if (!rc)
        rc = allocate(l, err);
    if (!rc)
        rc = take_in_new(l, err);
    if (rc)
        return rc;
    if (l->target.weight <= 0)
        first_target_statistics(l);
    l->policy.serial = ++l->changed;
    l->value.serial = ++l->changed;
    l->phase = CX_PHASE_VALUES;
    return cx_chains_begin(l, err);
}

int cx_learner_begin(cx_learner *l, cx_error *err) {
    if (l->phase != CX_PHASE_IDLE)
        return cx_fail(err, CX_ESTATE, "an update is under way already");
    double start = cx_clock_now();
    cx_update_clear(l);
    int rc = begin(l, err);
    if (rc) {
        cx_update_clear(l);
        return rc;
    }
    l->buffer.n_new = 0;
    l->sum.learning_rate = l->config.ppo.learning_rate * annealing(l);
    l->sum.entropy_coefficient = l->config.ppo.entropy * annealing(l);
    set_learning_rate(l, l->policy.optimizer, l->sum.learning_rate);
    set_learning_rate(l, l->value.optimizer, l->sum.learning_rate);
    l->sum.seconds += cx_clock_now() - start;
    return CX_OK;
}

/* --- gradient steps --- */

static void count_policy_step(cx_learner *l, const cx_chain *c, double norm) {
    const cx_shard_sums *m = &c->sums;
    l->n_policy++;
    l->sum.policy_loss += m->loss;
    l->sum.clip_fraction += m->clipped;
    l->sum.gradient_norm += norm;
    for (int h = 0; h < l->heads.n_heads; h++) {
        l->sum.head_entropy[h] += m->entropy[h];
        l->sum.entropy += m->entropy[h];
    }
    if (c->batch >= l->plan.last_pass) {
        l->n_kl++;
        l->sum.kl += m->kl;
    }
}

/* The explained variance is 1 - var(target - y) / var(target), 0 where all targets are the
 * same. */
static void count_value_step(cx_learner *l, const cx_chain *c, double norm) {
    const cx_shard_sums *m = &c->sums;
    double variance = m->target_square - m->target * m->target;
    l->n_value++;
    l->sum.value_loss += m->loss;
    l->sum.value_gradient_norm += norm;
    l->sum.explained_variance +=
        variance > 1e-12 ? 1 - (2 * m->loss - m->error * m->error) / variance : 0;
}

static void count_uses(cx_learner *l, const cx_chain *c) {
    for (int i = 0; i < c->n; i++) {
        cx_trajectory *e = l->plan.episode[c->item[i]];
        l->sum.staleness += (double)cx_staleness(e, l->version);
        l->n_used++;
        e->uses++;
    }
}

/* With a gradient that is not finite the optimizer changes nothing, and the step is counted as
 * skipped. */
static void descend(cx_learner *l, const cx_chain *c) {
    cx_model *m = c->model;
    double norm = cx_optimizer_step(m->optimizer, m->block, m->grads, NULL, NULL, 0);
    m->serial = ++l->changed;
    if (!isfinite(norm))
        l->sum.skipped++;
    else if (c->kind == CX_SHARD_POLICY)
        count_policy_step(l, c, norm);
    else
        count_value_step(l, c, norm);
    if (c->kind == CX_SHARD_POLICY)
        count_uses(l, c);
}

void cx_update_batch_done(cx_learner *l, const cx_chain *c) {
    if (c->kind == CX_SHARD_OUTPUTS)
        compute_advantages(l);
    else
        descend(l, c);
}

/* --- the end --- */

/* One step of the average that is evaluated and shipped; the weight of the old one
 * is smaller in the first updates, so that the initial weights fade. */
static void renew_average(cx_learner *l) {
    double n = (double)l->version, weight = (1 + n) / (10 + n);
    if (weight > l->config.policy.polyak)
        weight = l->config.policy.polyak;
    size_t count = cx_net_count(l->policy.net);
    for (size_t i = 0; i < count; i++)
        l->average[i] = (float)(weight * l->average[i] + (1 - weight) * l->policy.block[i]);
}

static double mean_of(double sum, int n) {
    return n ? sum / n : 0;
}

static void finish_stats(const cx_learner *l, cx_update_stats *s) {
    *s = l->sum;
    s->policy_loss = mean_of(s->policy_loss, l->n_policy);
    s->clip_fraction = mean_of(s->clip_fraction, l->n_policy);
    s->gradient_norm = mean_of(s->gradient_norm, l->n_policy);
    s->entropy = mean_of(s->entropy, l->n_policy);
    for (int h = 0; h < l->heads.n_heads; h++)
        s->head_entropy[h] = mean_of(s->head_entropy[h], l->n_policy);
    s->kl = mean_of(s->kl, l->n_kl);
    s->value_loss = mean_of(s->value_loss, l->n_value);
    s->value_gradient_norm = mean_of(s->value_gradient_norm, l->n_value);
    s->explained_variance = mean_of(s->explained_variance, l->n_value);
    s->staleness = mean_of(s->staleness, l->n_used);
}

static void finish(cx_learner *l) {
    renew_average(l);
    l->version++;
    cx_update_clear(l); /* before episodes go that the plan points to */
    cx_buffer_drop_spent(&l->buffer, l->version, l->config.ppo.max_uses,
                         l->config.ppo.max_staleness);
    cx_buffer_evict(&l->buffer, l->config.ppo.buffer_episodes);
}

int cx_learner_end(cx_learner *l, bool *done, cx_update_stats *stats, cx_error *err) {
    *done = false;
    if (l->phase == CX_PHASE_IDLE)
        return cx_fail(err, CX_ESTATE, "no update is under way");
    double start = cx_clock_now();
    if (l->phase == CX_PHASE_VALUES && cx_chains_done(l)) {
        l->phase = CX_PHASE_STEPS;
        int rc = cx_chains_begin(l, err);
        if (rc)
            return rc;
    }
    *done = l->phase == CX_PHASE_STEPS && cx_chains_done(l);
    l->sum.seconds += cx_clock_now() - start;
    if (*done) {
        if (stats)
            finish_stats(l, stats);
        finish(l);
    }
    return CX_OK;
}

static int compute_here(cx_learner *l, const cx_work *w, cx_error *err) {
    cx_model *m = w->shard.kind == CX_SHARD_POLICY ? &l->policy : &l->value;
    cx_shard_sums sums;
    const float *out;
    int rc = cx_shard_compute(&w->shard, w->data, m->net, m->block, &l->heads, &l->scratch, &out,
                              &sums, err);
    return rc ? rc
              : cx_learner_answer(l, w->number, out, cx_shard_results(&w->shard, m->net), &sums,
                                  err);
}

int cx_learner_advance(cx_learner *l, bool *done, cx_update_stats *stats, cx_error *err) {
    cx_work work;
    bool any = false;
    *done = false;
    int rc = cx_learner_offer(l, &work, &any, err);
    if (!rc && any)
        rc = compute_here(l, &work, err);
    return rc ? rc : cx_learner_end(l, done, stats, err);
}
