/* A learner that takes its time and learns nothing: the slices of a real update, each as
 * long as its batch asks for. */
#include "bench/scale/model.h"

#include "base/arena.h"
#include <stdlib.h>
#include <string.h>

struct cx_learner {
    const cx_config *config;
    cx_net *net;
    float *block;
    uint64_t version;
    int n_new, room;
    int *steps;         /* [n_new] outer steps of the new episodes */
    double stale;       /* sum over them */
    double most;        /* largest */
    double *slice;      /* seconds */
    int n_slices, next; /* of the update under way; 0: none */
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
    int batches = l->room / config->ppo.minibatch_episodes + 1;
    l->slice = calloc((size_t)(2 * config->ppo.minibatches + batches), sizeof *l->slice);
    if (!l->block || !l->steps || !l->slice)
        return cx_fail(err, CX_ENOMEM, "no memory for a learner");
    return CX_OK;
}

void cx_learner_destroy(cx_learner *l) {
    if (!l)
        return;
    cx_net_destroy(l->net);
    free(l->block);
    free(l->steps);
    free(l->slice);
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
    return l->n_slices == 0 && l->n_new == l->room;
}

static int ascending(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

/* Batches are of episodes of near lengths, padded to the longest (ppo/buffer.h). */
int cx_learner_begin(cx_learner *l, cx_error *err) {
    const cx_model_learner *cost = &cx_the_model.learner;
    int n = l->n_new, size = l->config->ppo.minibatch_episodes, batches = (n + size - 1) / size;
    if (l->n_slices || n < 1)
        return cx_fail(err, CX_ESTATE, "an update is under way, or has no episodes");
    size = (n + batches - 1) / batches; /* of nearly equal sizes */
    double share = 1 / cx_the_model.learner_ranks;
    qsort(l->steps, (size_t)n, sizeof(int), ascending);
    for (int b = 0; b < batches; b++) {
        int end = (b + 1) * size < n ? (b + 1) * size : n;
        l->slice[l->n_slices++] = share * cost->forward * (end - b * size) * l->steps[end - 1];
    }
    for (int b = 0; b < l->config->ppo.minibatches; b++) {
        int at = b % batches, end = (at + 1) * size < n ? (at + 1) * size : n;
        double rows = (double)(end - at * size) * l->steps[end - 1];
        l->slice[l->n_slices++] = share * cost->policy * rows;
        l->slice[l->n_slices++] = share * cost->value * rows;
    }
    l->stats = (cx_update_stats){
        .staleness = l->stale / n, .max_staleness = l->most, .reward = -1, .learning_rate = 1};
    l->stale = l->most = 0;
    l->n_new = l->next = 0;
    return CX_OK;
}

int cx_learner_advance(cx_learner *l, bool *done, cx_update_stats *stats, cx_error *err) {
    if (!l->n_slices)
        return cx_fail(err, CX_ESTATE, "no update is under way");
    double seconds = l->slice[l->next++];
    cx_the_model.learner_pause(seconds);
    cx_the_model.learner_seconds += seconds;
    l->stats.seconds += seconds;
    *done = l->next == l->n_slices;
    if (*done) {
        *stats = l->stats;
        l->n_slices = 0;
        l->version++;
        if (cx_the_model.on_update)
            cx_the_model.on_update(l->version);
    }
    return CX_OK;
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
