#include "ppo/learner.h"

#include "base/arena.h"
#include "policy/observation.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A number beyond this is no observation, and its square no float for long. */
#define OBSERVATION_BOUND 1e9f

static void model_free(cx_model *m) {
    cx_net_destroy(m->net);
    cx_optimizer_destroy(m->optimizer);
    free(m->block);
    free(m->grads);
    *m = (cx_model){0};
}

cx_hyper cx_learner_hyper(const cx_config *config, double learning_rate) {
    cx_hyper hyper = {0};
    hyper.value[CX_HYPER_LR] = learning_rate;
    hyper.value[CX_HYPER_EPSILON] = 1e-8;
    hyper.value[CX_HYPER_OMBETA1] = 0.1;
    hyper.value[CX_HYPER_OMBETA2] = 1 - config->ppo.beta2;
    hyper.value[CX_HYPER_GROUP_CLIP] = config->ppo.gradient_norm;
    hyper.value[CX_HYPER_CLIP_OMBETA] = 1;
    hyper.value[CX_HYPER_LAMB_OMBETA] = 1;
    return hyper;
}

static int make_optimizer(const cx_config *config, cx_model *m, cx_error *err) {
    const cx_rule_config adam = {.rule = CX_RULE_CIAO, .denominator_norm = 2, .clip = true};
    int n = cx_net_tensors(m->net);
    cx_optim_tensor *tensors = cx_calloc((size_t)n, sizeof *tensors);
    if (!tensors)
        return cx_fail(err, CX_ENOMEM, "no memory for a network's tensors");
    for (int i = 0; i < n; i++) {
        const struct cx_net_tensor *t = cx_net_tensor_at(m->net, i);
        tensors[i] = (cx_optim_tensor){.offset = t->offset, .size = t->size, .rank = t->rank};
    }
    int rc =
        cx_optimizer_create(&adam, tensors, n, 1, cx_net_trainable(m->net), &m->optimizer, err);
    free(tensors);
    if (rc)
        return rc;
    cx_hyper hyper = cx_learner_hyper(config, config->ppo.learning_rate);
    cx_optimizer_set_hyper(m->optimizer, &hyper);
    return CX_OK;
}

static int model_make(const cx_config *config, const cx_net_shape *shape, uint64_t which,
                      cx_model *m, cx_error *err) {
    int rc = cx_net_create(shape, &m->net, err);
    if (rc)
        return rc;
    m->inputs = shape->inputs;
    m->outputs = shape->outputs;
    m->block = cx_calloc(cx_net_count(m->net), sizeof *m->block);
    m->grads = cx_calloc(cx_net_trainable(m->net), sizeof *m->grads);
    if (!m->block || !m->grads)
        return cx_fail(err, CX_ENOMEM, "no memory for a network of %zu weights",
                       cx_net_count(m->net));
    cx_rng rng = cx_rng_make(config->seed, which, CX_STREAM_POLICY);
    cx_net_init(m->net, m->block, &rng);
    return make_optimizer(config, m, err);
}

static int check_config(const cx_config *config, cx_error *err) {
    if (config->ppo.buffer_episodes < config->ppo.episodes_per_update)
        return cx_fail(err, CX_ECONFIG,
                       "ppo.buffer_episodes is %d: an update waits for %d new episodes "
                       "(ppo.episodes_per_update), which must fit",
                       config->ppo.buffer_episodes, config->ppo.episodes_per_update);
    if (config->ppo.episodes_per_update < 1 || config->ppo.minibatch_episodes < 1 ||
        config->ppo.minibatches < 1 || config->ppo.max_uses < 1)
        return cx_fail(err, CX_ECONFIG,
                       "ppo.episodes_per_update, minibatch_episodes, minibatches and max_uses "
                       "must be at least 1");
    return CX_OK;
}

int cx_learner_create_for(const cx_config *config, const cx_heads *heads, int n_obs,
                          int n_privileged, cx_learner **out, cx_error *err) {
    *out = NULL;
    int rc = check_config(config, err);
    if (rc)
        return rc;
    if (n_obs < 1 || n_privileged < n_obs || heads->n_heads < 1 || heads->n_heads > CX_HEADS_MAX)
        return cx_fail(err, CX_ESTATE, "no learner for %d of %d observations and %d heads", n_obs,
                       n_privileged, heads->n_heads);
    cx_learner *l = cx_calloc(1, sizeof *l);
    if (!l)
        return cx_fail(err, CX_ENOMEM, "no memory for a learner");
    l->config = *config;
    l->heads = *heads;
    cx_net_shape policy = cx_policy_shape(config), value = cx_value_shape(config);
    policy.inputs = n_obs;
    policy.outputs = heads->n_logits;
    value.inputs = n_privileged;
    value.outputs = 1;
    rc = model_make(config, &policy, 0, &l->policy, err);
    if (!rc)
        rc = model_make(config, &value, 1, &l->value, err);
    if (!rc) {
        size_t count = cx_net_count(l->policy.net);
        l->average = cx_calloc(count, sizeof *l->average);
        if (l->average)
            memcpy(l->average, l->policy.block, count * sizeof *l->average);
        else
            rc = cx_fail(err, CX_ENOMEM, "no memory for the policy's average");
    }
    if (rc) {
        cx_learner_destroy(l);
        return rc;
    }
    *out = l;
    return CX_OK;
}

int cx_learner_create(const cx_config *config, cx_learner **out, cx_error *err) {
    cx_heads heads;
    cx_action_heads(config, &heads);
    return cx_learner_create_for(config, &heads, cx_observation_size(config),
                                 cx_privileged_size(config), out, err);
}

void cx_learner_destroy(cx_learner *l) {
    if (!l)
        return;
    cx_update_clear(l);
    cx_buffer_free(&l->buffer);
    model_free(&l->policy);
    model_free(&l->value);
    free(l->average);
    free(l->packed);
    cx_shard_scratch_free(&l->scratch);
    free(l);
}

static int check_step(const cx_learner *l, const cx_trajectory *t, int step, cx_error *err) {
    unsigned long long episode = t->result.episode;
    const float *obs = t->obs + (size_t)step * (size_t)t->n_obs;
    for (int i = 0; i < t->n_obs; i++)
        if (!(fabsf(obs[i]) <= OBSERVATION_BOUND)) /* catches NaN */
            return cx_fail(err, CX_EFORMAT, "episode %llu, outer step %d: observation %d is %g",
                           episode, step, i, (double)obs[i]);
    if (!isfinite(t->log_prob[step]) || t->log_prob[step] > CX_LOG_PROB_MAX)
        return cx_fail(err, CX_EFORMAT, "episode %llu, outer step %d: log probability %g", episode,
                       step, (double)t->log_prob[step]);
    for (int h = 0; h < l->heads.n_heads; h++) {
        int choice = t->choice[step * t->n_heads + h];
        if (choice < 0 || choice >= l->heads.size[h])
            return cx_fail(err, CX_EFORMAT,
                           "episode %llu, outer step %d: choice %d of head %d, which has %d",
                           episode, step, choice, h, l->heads.size[h]);
        if (!t->mask[(size_t)step * (size_t)t->n_logits + (size_t)(l->heads.offset[h] + choice)])
            return cx_fail(err, CX_EFORMAT,
                           "episode %llu, outer step %d: choice %d of head %d was not allowed",
                           episode, step, choice, h);
    }
    return CX_OK;
}

int cx_learner_check(const cx_learner *l, const cx_trajectory *t, uint64_t version, cx_error *err) {
    const cx_episode_result *r = &t->result;
    unsigned long long episode = r->episode;
    if (t->n_obs != l->value.inputs || t->n_heads != l->heads.n_heads ||
        t->n_logits != l->heads.n_logits)
        return cx_fail(err, CX_EFORMAT,
                       "episode %llu has %d observations, %d heads and %d logits, not %d, %d, %d",
                       episode, t->n_obs, t->n_heads, t->n_logits, l->value.inputs,
                       l->heads.n_heads, l->heads.n_logits);
    if (r->steps < 1 || r->steps > t->capacity)
        return cx_fail(err, CX_EFORMAT, "episode %llu has %d outer steps, not 1 to %d", episode,
                       r->steps, t->capacity);
    if (!isfinite(r->reward))
        return cx_fail(err, CX_EFORMAT, "episode %llu has the reward %g", episode, r->reward);
    if (r->version > version)
        return cx_fail(err, CX_EFORMAT,
                       "episode %llu was acted by version %llu, the newest is %llu", episode,
                       (unsigned long long)r->version, (unsigned long long)version);
    if (t->uses < 0 || r->end > CX_END_DIVERGED)
        return cx_fail(err, CX_EFORMAT, "episode %llu: %d uses, end %u", episode, t->uses,
                       (unsigned)r->end);
    for (int step = 0; step < r->steps; step++) {
        int rc = check_step(l, t, step, err);
        if (rc)
            return rc;
    }
    return CX_OK;
}

int cx_learner_add(cx_learner *l, cx_trajectory *t, cx_error *err) {
    int rc = cx_learner_check(l, t, l->version, err);
    if (!rc)
        rc = cx_buffer_add(&l->buffer, t, err);
    if (rc) {
        cx_trajectory_destroy(t);
        return rc;
    }
    /* an update under way holds on to its episodes; it evicts when it is done */
    if (l->phase == CX_PHASE_IDLE)
        cx_buffer_evict(&l->buffer, l->config.ppo.buffer_episodes);
    return CX_OK;
}

bool cx_learner_ready(const cx_learner *l) {
    return l->phase == CX_PHASE_IDLE && l->buffer.n_new >= l->config.ppo.episodes_per_update;
}

uint64_t cx_learner_version(const cx_learner *l) {
    return l->version;
}

const float *cx_learner_policy(const cx_learner *l) {
    return l->policy.block;
}

const float *cx_learner_average(const cx_learner *l) {
    return l->average;
}

const cx_net *cx_learner_policy_net(const cx_learner *l) {
    return l->policy.net;
}

size_t cx_learner_policy_count(const cx_learner *l) {
    return cx_net_count(l->policy.net);
}
