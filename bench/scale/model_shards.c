/* What learner ranks compute: it takes its time, and nothing comes of it. */
#include "bench/scale/model.h"

#include "workers/shards.h"
#include <stdlib.h>

struct cx_shard_runner {
    double seconds;
};

int cx_shard_runner_create(const cx_config *config, cx_shard_runner **out, cx_error *err) {
    (void)config;
    *out = calloc(1, sizeof **out);
    return *out ? CX_OK : cx_fail(err, CX_ENOMEM, "no memory for shards");
}

void cx_shard_runner_destroy(cx_shard_runner *r) {
    free(r);
}

double cx_shard_runner_seconds(const cx_shard_runner *r) {
    return r->seconds;
}

int cx_shard_runner_weights(cx_shard_runner *r, const cx_msg_weights *m, const float *weights,
                            cx_error *err) {
    (void)r, (void)m, (void)weights, (void)err;
    return CX_OK;
}

int cx_shard_runner_compute(cx_shard_runner *r, const cx_msg_gradient *m, const void *data,
                            size_t size, cx_msg_graded *answer, const float **out, cx_error *err) {
    static const float nothing[1];
    (void)data, (void)size, (void)err;
    answer->number = m->number;
    answer->sums.seconds = cx_model_shard(&m->shard);
    answer->n = 1; /* its real size travels beside it */
    *out = nothing;
    r->seconds += answer->sums.seconds;
    return CX_OK;
}
