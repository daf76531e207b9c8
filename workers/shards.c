#include "workers/shards.h"

#include "base/arena.h"
#include "policy/observation.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    cx_net *net;
    float *block;
    uint64_t serial; /* of the block; 0: none yet */
} network;

struct cx_shard_runner {
    cx_heads heads;
    network net[CX_LEARNED_NETS];
    cx_shard_scratch scratch;
    double seconds;
};

static int network_make(network *n, const cx_net_shape *shape, cx_error *err) {
    int rc = cx_net_create(shape, &n->net, err);
    if (rc)
        return rc;
    n->block = cx_calloc(cx_net_count(n->net), sizeof *n->block);
    return n->block ? CX_OK
                    : cx_fail(err, CX_ENOMEM, "no memory for a network of %zu weights",
                              cx_net_count(n->net));
}

int cx_shard_runner_create(const cx_config *config, cx_shard_runner **out, cx_error *err) {
    *out = NULL;
    cx_shard_runner *r = calloc(1, sizeof *r);
    if (!r)
        return cx_fail(err, CX_ENOMEM, "no memory for shards");
    cx_net_shape policy = cx_policy_shape(config), value = cx_value_shape(config);
    cx_action_heads(config, &r->heads);
    int rc = network_make(&r->net[CX_LEARNED_POLICY], &policy, err);
    if (!rc)
        rc = network_make(&r->net[CX_LEARNED_VALUE], &value, err);
    if (rc) {
        cx_shard_runner_destroy(r);
        return rc;
    }
    *out = r;
    return CX_OK;
}

void cx_shard_runner_destroy(cx_shard_runner *r) {
    if (!r)
        return;
    for (int i = 0; i < CX_LEARNED_NETS; i++) {
        cx_net_destroy(r->net[i].net);
        free(r->net[i].block);
    }
    cx_shard_scratch_free(&r->scratch);
    free(r);
}

double cx_shard_runner_seconds(const cx_shard_runner *r) {
    return r->seconds;
}

int cx_shard_runner_weights(cx_shard_runner *r, const cx_msg_weights *m, const float *weights,
                            cx_error *err) {
    network *n = &r->net[m->net];
    size_t want = cx_net_count(n->net);
    if (m->n != want)
        return cx_fail(err, CX_EFORMAT, "%llu weights of a network of %zu",
                       (unsigned long long)m->n, want);
    memcpy(n->block, weights, want * sizeof *weights);
    n->serial = m->serial;
    return CX_OK;
}

int cx_shard_runner_compute(cx_shard_runner *r, const cx_msg_gradient *m, const void *data,
                            size_t size, cx_msg_graded *answer, const float **out, cx_error *err) {
    const network *n = &r->net[cx_learned_net(&m->shard)];
    int rc = cx_shard_check(&m->shard, data, size, cx_net_shape_of(n->net), &r->heads, err);
    if (rc)
        return rc;
    if (n->serial == 0 || m->serial != n->serial)
        return cx_fail(err, CX_ESTATE, "a shard is of other weights than those that came last");
    answer->number = m->number;
    answer->n = cx_shard_results(&m->shard, n->net);
    rc = cx_shard_compute(&m->shard, data, n->net, n->block, &r->heads, &r->scratch, out,
                          &answer->sums, err);
    r->seconds += answer->sums.seconds;
    return rc;
}
