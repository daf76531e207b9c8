/* What is computed at a time: one network over a few episodes of a minibatch. A shard is a
 * struct and bytes, and what comes of it depends on these and the network's weights alone, so
 * that it can be computed on any rank. Minibatches are always cut into shards in the same way,
 * and shards are added in their order: hence the same bits, whoever computes them. */
#ifndef CX_PPO_SHARD_H
#define CX_PPO_SHARD_H

#include "policy/network.h"
#include "ppo/trajectory.h"

/* At most. Fewer cost time (matrix products with few rows), more cost memory and leave less to
 * be shared; figures in docs/scaling.md. */
enum { CX_SHARD_EPISODES = 16 };

typedef enum {
    CX_SHARD_POLICY,  /* gradient of the policy's loss */
    CX_SHARD_VALUE,   /* gradient of the value function's loss */
    CX_SHARD_OUTPUTS, /* outputs of the value function */
    CX_SHARD_KINDS
} cx_shard_kind;

/* Flat: sent as it is. Its bytes are arrays of 4-byte numbers one after another, episode after
 * episode without padding: steps [episodes] (int32), inputs [rows][inputs]; POLICY: old log
 * probabilities [rows], advantages [rows], choices [rows][heads] (int32), masks [rows][logits]
 * (bytes); VALUE: targets [rows]. */
typedef struct {
    uint32_t kind;                    /* cx_shard_kind */
    int32_t episodes, longest, rows;  /* longest: outer steps of one; rows: of all */
    int32_t inputs, heads, logits;    /* of a row; POLICY: else 0 heads and logits */
    uint32_t reserved;                /* 0 */
    double share;                     /* of an outer step in the loss: 1 / those of the minibatch */
    double clip, entropy_coefficient; /* POLICY */
    double value_coefficient;         /* VALUE */
} cx_shard;

/* Shares of the minibatch's means (ppo.h: CX_UPDATE_TABLE). Flat, too. */
typedef struct {
    double loss, kl, clipped, entropy[CX_HEADS_MAX]; /* loss: VALUE: half the square */
    double error, target, target_square;             /* VALUE */
    double seconds;                                  /* of computing */
} cx_shard_sums;
void cx_shard_sums_add(cx_shard_sums *to, const cx_shard_sums *more);

/* Bytes that go with it. 0: its numbers make no sense. */
size_t cx_shard_bytes(const cx_shard *s);
/* One episode of a shard that is being made: appends it. extra [steps]: POLICY: advantages;
 * VALUE: targets. `at`: rows before it. */
void cx_shard_put(const cx_shard *s, void *data, int episode, int at, const cx_trajectory *t,
                  const float *extra);
/* That `size` bytes fit it, and that they fit a network of this shape and these heads: steps add
 * up, choices are such. Numbers need not be finite: what comes of them is not, either.
 * CX_EFORMAT. */
int cx_shard_check(const cx_shard *s, const void *data, size_t size, const cx_net_shape *shape,
                   const cx_heads *heads, cx_error *err);

/* Memory that shards are computed in; all 0 at the start. */
typedef struct {
    float *in, *dout, *out;
    size_t in_size, dout_size, out_size;
} cx_shard_scratch;
void cx_shard_scratch_free(cx_shard_scratch *scratch);
/* Numbers that come of it: cx_net_trainable of a gradient, or one for each row. */
size_t cx_shard_results(const cx_shard *s, const cx_net *net);
/* *out: [cx_shard_results], in the scratch until the next call. Of a shard that was checked.
 * *sums includes the time. */
int cx_shard_compute(const cx_shard *s, const void *data, cx_net *net, const float *block,
                     const cx_heads *heads, cx_shard_scratch *scratch, const float **out,
                     cx_shard_sums *sums, cx_error *err);

#endif
