/* What a learner rank computes: shards of gradient steps, with the weights that it was sent
 * (ppo/shard.h). Nothing of it lasts but these weights. */
#ifndef CX_WORKERS_SHARDS_H
#define CX_WORKERS_SHARDS_H

#include "wire/message.h"

typedef struct cx_shard_runner cx_shard_runner;
int cx_shard_runner_create(const cx_config *config, cx_shard_runner **out, cx_error *err);
void cx_shard_runner_destroy(cx_shard_runner *r);
/* CX_EFORMAT: not as many as its network has. */
int cx_shard_runner_weights(cx_shard_runner *r, const cx_msg_weights *m, const float *weights,
                            cx_error *err);
/* Fills number, n and sums of the answer; *out[answer->n] is valid until the next call. CX_ESTATE:
 * other weights than those that it has; CX_EFORMAT. */
int cx_shard_runner_compute(cx_shard_runner *r, const cx_msg_gradient *m, const void *data,
                            size_t size, cx_msg_graded *answer, const float **out, cx_error *err);
/* Of computing, so far. */
double cx_shard_runner_seconds(const cx_shard_runner *r);

#endif
