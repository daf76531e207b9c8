/* One update, in slices: begin plans it and renews the statistics of inputs and
 * rewards; then values of all planned episodes, a batch a slice; then advantages;
 * then the gradient steps of policy and value function in turn, one a slice. */
#include "ppo/learner.h"

#include "base/arena.h"
#include "base/clock.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A batch of episodes, as the networks see it. */
typedef struct {
    cx_trajectory *const *episode; /* all of the plan */
    const int *item;               /* [n]; NULL: first, first + 1, ... */
    int first, n;
    int T;      /* longest */
    int n_real; /* outer steps that are not padding */
} batch;

static int item_of(const batch *b, int i) {
    return b->item ? b->item[i] : b->first + i;
}

static const cx_trajectory *episode_of(const batch *b, int i) {
    return b->episode[item_of(b, i)];
}

static void measure(batch *b) {
    b->T = b->n_real = 0;
    for (int i = 0; i < b->n; i++) {
        int steps = episode_of(b, i)->result.steps;
        b->n_real += steps;
        if (steps > b->T)
            b->T = steps;
    }
}

static int reserve(float **p, size_t *have, size_t need, cx_error *err) {
    if (*have >= need)
        return CX_OK;
    float *q = cx_calloc(need, sizeof *q);
    if (!q)
        return cx_fail(err, CX_ENOMEM, "no memory for a minibatch of %zu numbers", need);
    free(*p);
    *p = q;
    *have = need;
    return CX_OK;
}

/* in[T][n][width]: the first `width` observations of each outer step; 0 in padding. */
static int fill_input(cx_learner *l, const batch *b, int width, cx_error *err) {
    size_t w = (size_t)width, n = (size_t)b->n;
    int rc = reserve(&l->in, &l->in_size, (size_t)b->T * n * w, err);
    if (rc)
        return rc;
    for (int i = 0; i < b->n; i++) {
        const cx_trajectory *e = episode_of(b, i);
        for (int t = 0; t < b->T; t++) {
            float *to = l->in + ((size_t)t * n + (size_t)i) * w;
            if (t < e->result.steps)
                memcpy(to, e->obs + (size_t)t * (size_t)e->n_obs, w * sizeof *to);
            else
                memset(to, 0, w * sizeof *to);
        }
    }
    return CX_OK;
}

static int forward(cx_learner *l, cx_model *m, const batch *b, const float **out, cx_error *err) {
    int rc = fill_input(l, b, m->inputs, err);
    return rc ? rc : cx_net_forward(m->net, m->block, l->in, b->T, b->n, out, err);
}

/* dout[T][n][outputs], all 0. */
static int clear_dout(cx_learner *l, const cx_model *m, const batch *b, cx_error *err) {
    size_t size = (size_t)b->T * (size_t)b->n * (size_t)m->outputs;
    int rc = reserve(&l->dout, &l->dout_size, size, err);
    if (!rc)
        memset(l->dout, 0, size * sizeof *l->dout);
    return rc;
}

/* --- begin --- */

/* Each new episode enters the statistics of both networks' inputs once, with the
 * weight 1 - policy.input_beta whatever its number of outer steps. The log
 * probabilities of behaviour stay as acted: a ratio compares with what did act. */
static int renew_input_statistics(cx_learner *l, const cx_trajectory *e, cx_error *err) {
    size_t steps = (size_t)e->result.steps, w = (size_t)l->policy.inputs;
    double beta = pow(l->config.policy.input_beta, 1 / (double)steps);
    int rc = reserve(&l->in, &l->in_size, steps * w, err);
    if (rc)
        return rc;
    for (size_t t = 0; t < steps; t++)
        memcpy(l->in + t * w, e->obs + t * (size_t)e->n_obs, w * sizeof *l->in);
    cx_net_update_statistics(l->policy.net, l->policy.block, l->in, steps, beta);
    cx_net_update_statistics(l->value.net, l->value.block, e->obs, steps, beta);
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
    cx_plan_free(&l->plan);
    free(l->at);
    free(l->values);
    free(l->advantage);
    free(l->value_target);
    l->at = NULL;
    l->values = l->advantage = l->value_target = NULL;
    l->next = l->n_policy = l->n_value = l->n_kl = l->n_used = 0;
    l->sum = (cx_update_stats){0};
    l->phase = CX_PHASE_IDLE;
}

int cx_learner_begin(cx_learner *l, cx_error *err) {
    if (l->phase != CX_PHASE_IDLE)
        return cx_fail(err, CX_ESTATE, "an update is under way already");
    double start = cx_clock_now();
    cx_update_clear(l);
    cx_rng rng = cx_rng_make(l->config.seed, l->version, CX_STREAM_LEARNER);
    int rc = cx_plan_make(&l->buffer, l->version, l->config.ppo.max_uses,
                          l->config.ppo.max_staleness, l->config.ppo.minibatches,
                          l->config.ppo.minibatch_episodes, &rng, &l->plan, err);
    if (!rc)
        rc = allocate(l, err);
    if (!rc)
        rc = take_in_new(l, err);
    if (rc) {
        cx_update_clear(l);
        return rc;
    }
    l->buffer.n_new = 0;
    l->sum.learning_rate = l->config.ppo.learning_rate * annealing(l);
    l->sum.entropy_coefficient = l->config.ppo.entropy * annealing(l);
    set_learning_rate(l, l->policy.optimizer, l->sum.learning_rate);
    set_learning_rate(l, l->value.optimizer, l->sum.learning_rate);
    l->phase = CX_PHASE_VALUES;
    l->sum.seconds = cx_clock_now() - start;
    return CX_OK;
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

static int value_slice(cx_learner *l, cx_error *err) {
    if (l->target.weight <= 0)
        first_target_statistics(l);
    int size = l->config.ppo.minibatch_episodes, n = l->plan.n_episodes;
    batch b = {.episode = l->plan.episode, .first = l->next};
    b.n = n - l->next < size ? n - l->next : size;
    measure(&b);
    const float *out;
    int rc = forward(l, &l->value, &b, &out, err);
    if (rc)
        return rc;
    double mean = l->target.mean, deviation = cx_ewma_deviation(&l->target);
    for (int i = 0; i < b.n; i++)
        for (int t = 0; t < episode_of(&b, i)->result.steps; t++)
            l->values[l->at[b.first + i] + (size_t)t] =
                (float)(mean + deviation * out[(size_t)t * (size_t)b.n + (size_t)i]);
    l->next += b.n;
    return CX_OK;
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

/* --- gradient steps --- */

/* Means over a batch's outer steps. */
typedef struct {
    double loss, kl, clipped, entropy[CX_HEADS_MAX];
} policy_means;

/* Fills dout from logits: loss = mean over real outer steps of (surrogate - entropy
 * coefficient * sum of the heads' entropies). */
static void policy_loss(cx_learner *l, const batch *b, const float *logits, policy_means *m) {
    const cx_heads *heads = &l->heads;
    double share = 1 / (double)b->n_real, entropy[CX_HEADS_MAX];
    size_t width = (size_t)heads->n_logits;
    for (int i = 0; i < b->n; i++) {
        const cx_trajectory *e = episode_of(b, i);
        for (int t = 0; t < e->result.steps; t++) {
            size_t row = ((size_t)t * (size_t)b->n + (size_t)i) * width;
            const unsigned char *mask = e->mask + (size_t)t * width;
            const int32_t *choice = e->choice + (size_t)t * (size_t)heads->n_heads;
            double log_prob =
                cx_action_evaluate(heads, logits + row, mask, choice, entropy, 0, 0, NULL);
            cx_surrogate s =
                cx_surrogate_at(log_prob, e->log_prob[t],
                                l->advantage[l->at[item_of(b, i)] + (size_t)t], l->config.ppo.clip);
            (void)cx_action_evaluate(heads, logits + row, mask, choice, NULL, share * s.d_log_prob,
                                     -share * l->sum.entropy_coefficient, l->dout + row);
            m->loss += share * s.loss;
            m->kl += share * (expm1(s.log_ratio) - s.log_ratio);
            m->clipped += share * s.clipped;
            for (int h = 0; h < heads->n_heads; h++)
                m->entropy[h] += share * entropy[h];
        }
    }
}

/* Backward pass and optimizer. *norm: of the gradient before clipping; when it is
 * not finite, the optimizer has changed nothing, and the step is counted as skipped. */
static int descend(cx_learner *l, cx_model *m, const batch *b, double *norm, cx_error *err) {
    int rc = cx_net_backward(m->net, m->block, l->dout, b->T, b->n, m->grads, err);
    if (rc)
        return rc;
    *norm = cx_optimizer_step(m->optimizer, m->block, m->grads, NULL, NULL, 0);
    if (!isfinite(*norm))
        l->sum.skipped++;
    return CX_OK;
}

static int policy_step(cx_learner *l, const batch *b, bool last_pass, cx_error *err) {
    const float *logits;
    policy_means m = {0};
    double norm;
    int rc = forward(l, &l->policy, b, &logits, err);
    if (!rc)
        rc = clear_dout(l, &l->policy, b, err);
    if (rc)
        return rc;
    policy_loss(l, b, logits, &m);
    rc = descend(l, &l->policy, b, &norm, err);
    if (rc || !isfinite(norm))
        return rc;
    l->n_policy++;
    l->sum.policy_loss += m.loss;
    l->sum.clip_fraction += m.clipped;
    l->sum.gradient_norm += norm;
    for (int h = 0; h < l->heads.n_heads; h++) {
        l->sum.head_entropy[h] += m.entropy[h];
        l->sum.entropy += m.entropy[h];
    }
    if (last_pass) {
        l->n_kl++;
        l->sum.kl += m.kl;
    }
    return CX_OK;
}

/* Half the mean squared error in the network's units, and its derivative times
 * ppo.value_coefficient in dout; also the explained variance 1 - var(target - y) /
 * var(target), 0 where all targets are the same. */
static double value_loss(cx_learner *l, const batch *b, const float *y, double *explained) {
    double share = 1 / (double)b->n_real, coefficient = l->config.ppo.value_coefficient;
    double square = 0, error_mean = 0, target_mean = 0, target_square = 0;
    for (int i = 0; i < b->n; i++)
        for (int t = 0; t < episode_of(b, i)->result.steps; t++) {
            size_t row = (size_t)t * (size_t)b->n + (size_t)i;
            double target = l->value_target[l->at[item_of(b, i)] + (size_t)t];
            double error = y[row] - target;
            l->dout[row] = (float)(coefficient * share * error);
            square += share * error * error;
            error_mean += share * error;
            target_mean += share * target;
            target_square += share * target * target;
        }
    double variance = target_square - target_mean * target_mean;
    *explained = variance > 1e-12 ? 1 - (square - error_mean * error_mean) / variance : 0;
    return 0.5 * square;
}

static int value_step(cx_learner *l, const batch *b, cx_error *err) {
    const float *y;
    double norm, explained;
    int rc = forward(l, &l->value, b, &y, err);
    if (!rc)
        rc = clear_dout(l, &l->value, b, err);
    if (rc)
        return rc;
    double loss = value_loss(l, b, y, &explained);
    rc = descend(l, &l->value, b, &norm, err);
    if (rc || !isfinite(norm))
        return rc;
    l->n_value++;
    l->sum.value_loss += loss;
    l->sum.value_gradient_norm += norm;
    l->sum.explained_variance += explained;
    return CX_OK;
}

static void count_uses(cx_learner *l, const batch *b) {
    for (int i = 0; i < b->n; i++) {
        cx_trajectory *e = b->episode[b->item[i]];
        l->sum.staleness += (double)cx_staleness(e, l->version);
        l->n_used++;
        e->uses++;
    }
}

/* Each batch takes two slices: a step of the policy, then one of the value function. */
static int gradient_slice(cx_learner *l, cx_error *err) {
    const cx_plan *plan = &l->plan;
    int i = l->next / 2;
    batch b = {.episode = plan->episode,
               .item = plan->item + plan->start[i],
               .n = plan->start[i + 1] - plan->start[i]};
    measure(&b);
    int rc =
        l->next % 2 == 0 ? policy_step(l, &b, i >= plan->last_pass, err) : value_step(l, &b, err);
    if (rc)
        return rc;
    if (l->next % 2 == 1)
        count_uses(l, &b);
    l->next++;
    return CX_OK;
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

static int advance(cx_learner *l, cx_error *err) {
    if (l->phase == CX_PHASE_VALUES && l->next < l->plan.n_episodes) {
        int rc = value_slice(l, err);
        if (rc)
            return rc;
    } else if (l->phase == CX_PHASE_STEPS && l->next < 2 * l->plan.n_batches) {
        int rc = gradient_slice(l, err);
        if (rc)
            return rc;
    }
    if (l->phase == CX_PHASE_VALUES && l->next >= l->plan.n_episodes) {
        if (l->plan.n_episodes)
            compute_advantages(l);
        l->phase = CX_PHASE_STEPS;
        l->next = 0;
    }
    return CX_OK;
}

int cx_learner_advance(cx_learner *l, bool *done, cx_update_stats *stats, cx_error *err) {
    *done = false;
    if (l->phase == CX_PHASE_IDLE)
        return cx_fail(err, CX_ESTATE, "no update is under way");
    double start = cx_clock_now();
    int rc = advance(l, err);
    if (rc)
        return rc;
    *done = l->phase == CX_PHASE_STEPS && l->next >= 2 * l->plan.n_batches;
    l->sum.seconds += cx_clock_now() - start;
    if (*done) {
        if (stats)
            finish_stats(l, stats);
        finish(l);
    }
    return CX_OK;
}
