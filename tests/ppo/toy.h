/* Toy problems whose best action is known, acted by the learner's policy one outer
 * step at a time, as workers do. */
#ifndef CX_TESTS_PPO_TOY_H
#define CX_TESTS_PPO_TOY_H

#include "tests/test.h"

#include "ppo/learner.h"
#include <math.h>
#include <string.h>

typedef enum {
    TOY_BANDIT,  /* the best choices are always the same */
    TOY_CONTEXT, /* they depend on an observation */
    TOY_MEMORY   /* on an observation at the first step; only the last step counts */
} toy_kind;

enum { TOY_OBS = 6, TOY_PRIVILEGED = 8, TOY_CONTEXTS = 3 };

typedef struct {
    toy_kind kind;
    cx_heads heads;
    int min_steps, max_steps;
    double sign; /* of the reward: 1, or -1 to see that the tests can fail */
    bool masked; /* some choices are forbidden at random, never the best one */
} toy;

static inline cx_heads toy_heads(int n, const int *size) {
    cx_heads h = {.n_heads = n};
    for (int i = 0; i < n; i++) {
        h.size[i] = size[i];
        h.offset[i] = h.n_logits;
        h.hyper[i] = i;
        h.n_logits += size[i];
    }
    return h;
}

static inline cx_config toy_config(void) {
    cx_config c;
    memset(&c, 0, sizeof c);
    c.seed = 3;
    c.updates = 60;
    c.policy.hidden = 16;
    c.policy.lstm = 16;
    c.policy.residual = 1;
    c.policy.input_beta = 0.999;
    c.policy.input_clip = 2;
    c.policy.polyak = 0.9;
    c.ppo.learning_rate = 1e-2;
    c.ppo.beta2 = 0.999;
    c.ppo.clip = 0.2;
    c.ppo.entropy = 1e-3;
    c.ppo.value_coefficient = 0.5;
    c.ppo.gae_lambda = 0.95;
    c.ppo.gamma = 1;
    c.ppo.gradient_norm = 1;
    c.ppo.anneal_to = 0.1;
    c.ppo.episodes_per_update = 64;
    c.ppo.minibatch_episodes = 16;
    c.ppo.minibatches = 12;
    c.ppo.buffer_episodes = 64;
    c.ppo.max_uses = 3;
    c.ppo.max_staleness = 4;
    c.ppo.normalize_reward = 1;
    return c;
}

static inline cx_learner *toy_learner(const cx_config *config, const toy *p) {
    cx_error err;
    cx_learner *l;
    assert_ok(cx_learner_create_for(config, &p->heads, TOY_OBS, TOY_PRIVILEGED, &l, &err));
    return l;
}

/* The best choice of a head in a context. */
static inline int toy_best(const toy *p, int context, int head) {
    int c = p->kind == TOY_BANDIT ? 0 : context;
    return (c + 1 + head) % p->heads.size[head];
}

/* Observations of outer step k: [0] progress, [1..3] the context (MEMORY: at the first
 * step only), [4] noise, [5] constant; privileged: [6] the context always, [7] noise. */
static inline void toy_observe(const toy *p, int k, int steps, int context, cx_rng *rng,
                               float *obs) {
    memset(obs, 0, TOY_PRIVILEGED * sizeof *obs);
    obs[0] = (float)k / (float)steps;
    if (p->kind == TOY_CONTEXT || (p->kind == TOY_MEMORY && k == 0))
        obs[1 + context] = 1;
    obs[4] = (float)cx_rng_normal(rng);
    obs[5] = 1;
    obs[6] = (float)context;
    obs[7] = (float)cx_rng_normal(rng);
}

static inline void toy_mask(const toy *p, int context, cx_rng *rng, unsigned char *mask) {
    for (int h = 0; h < p->heads.n_heads; h++)
        for (int i = 0; i < p->heads.size[h]; i++)
            mask[p->heads.offset[h] + i] =
                !p->masked || i == toy_best(p, context, h) || cx_rng_below(rng, 4) > 0;
}

/* Share of the choices that count and were right. */
static inline double toy_score(const toy *p, const cx_trajectory *t, int context) {
    int right = 0, n = 0;
    for (int k = p->kind == TOY_MEMORY ? t->result.steps - 1 : 0; k < t->result.steps; k++)
        for (int h = 0; h < p->heads.n_heads; h++, n++)
            right += t->choice[k * p->heads.n_heads + h] == toy_best(p, context, h);
    return (double)right / n;
}

/* Plays episode number `number`. best (may be NULL): the least probability that the
 * policy gave to a best choice that counts. */
static inline cx_trajectory *toy_play(cx_learner *l, const toy *p, uint64_t number, double *best) {
    cx_error err;
    cx_trajectory *t;
    cx_rng rng = cx_rng_make(11, number, CX_STREAM_TEST);
    cx_rng act = cx_rng_make(11, number, CX_STREAM_ACTION);
    int steps = p->min_steps + (int)cx_rng_below(&rng, (uint32_t)(p->max_steps - p->min_steps + 1));
    int context = (int)cx_rng_below(&rng, TOY_CONTEXTS), n_heads = p->heads.n_heads;
    float state[2 * 64] = {0}, logits[64];
    assert_true(l->config.policy.lstm <= 64 && p->heads.n_logits <= 64);
    assert_ok(cx_trajectory_create(TOY_PRIVILEGED, n_heads, p->heads.n_logits, steps, &t, &err));
    for (int k = 0; k < steps; k++) {
        float *obs = t->obs + k * TOY_PRIVILEGED;
        unsigned char *mask = t->mask + k * p->heads.n_logits;
        toy_observe(p, k, steps, context, &rng, obs);
        toy_mask(p, context, &rng, mask);
        assert_ok(cx_net_step(l->policy.net, cx_learner_policy(l), obs, state, logits, &err));
        t->log_prob[k] =
            (float)cx_action_choose(&p->heads, logits, mask, &act, t->choice + k * n_heads);
        for (int h = 0; best && h < n_heads; h++) {
            if (p->kind == TOY_MEMORY && k < steps - 1)
                break;
            const float *z = logits + p->heads.offset[h];
            double sum = 0;
            for (int i = 0; i < p->heads.size[h]; i++)
                sum += exp(z[i]);
            double prob = exp(z[toy_best(p, context, h)]) / sum;
            if (prob < *best)
                *best = prob;
        }
    }
    t->result.steps = t->result.outer_steps = steps;
    t->result.episode = number;
    t->result.version = cx_learner_version(l);
    t->result.reward = p->sign * toy_score(p, t, context);
    return t;
}

/* Adds `n` episodes, the first of which has this number. */
static inline void toy_add(cx_learner *l, const toy *p, uint64_t first, int n) {
    cx_error err;
    for (int i = 0; i < n; i++)
        assert_ok(cx_learner_add(l, toy_play(l, p, first + (uint64_t)i, NULL), &err));
}

static inline cx_update_stats toy_finish_update(cx_learner *l) {
    cx_error err;
    cx_update_stats stats;
    bool done = false;
    memset(&stats, 0, sizeof stats);
    while (!done)
        assert_ok(cx_learner_advance(l, &done, &stats, &err));
    return stats;
}

static inline cx_update_stats toy_update(cx_learner *l) {
    cx_error err;
    assert_ok(cx_learner_begin(l, &err));
    return toy_finish_update(l);
}

/* `updates` updates of new episodes, numbered on from the learner's version. */
static inline cx_update_stats toy_train(cx_learner *l, const toy *p, int updates) {
    cx_update_stats stats;
    memset(&stats, 0, sizeof stats);
    for (int u = 0; u < updates; u++) {
        int n = l->config.ppo.episodes_per_update;
        toy_add(l, p, cx_learner_version(l) * (uint64_t)n, n);
        assert_true(cx_learner_ready(l));
        stats = toy_update(l);
        assert_false(cx_learner_ready(l));
    }
    return stats;
}

/* The least probability of a best choice over fresh episodes. */
static inline double toy_least_best(cx_learner *l, const toy *p) {
    double best = 1;
    for (uint64_t i = 0; i < 50; i++)
        cx_trajectory_destroy(toy_play(l, p, 1000000 + i, &best));
    return best;
}

#endif
