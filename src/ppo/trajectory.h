/* An episode as the learner sees it: one versioned struct, on the wire and on disk. */
#ifndef CX_PPO_TRAJECTORY_H
#define CX_PPO_TRAJECTORY_H

#include "base/error.h"
#include "policy/action.h"
#include <stdint.h>

#define CX_TRAJECTORY_VERSION 1
/* A log probability may be above 0 by rounding, but not by more. */
#define CX_LOG_PROB_MAX 1e-3f

#define CX_END_TABLE(X)                                                                            \
    X(CX_END_FINISHED, "finished") /* all inner steps done */                                      \
    X(CX_END_DIVERGED, "diverged") /* loss or gradient not finite */

typedef enum {
#define X(code, name) code,
    CX_END_TABLE(X)
#undef X
} cx_end;
const char *cx_end_name(cx_end end);

/* What is known when the episode is over. Flat: sent and stored as it is. */
typedef struct {
    uint64_t episode;  /* its number: dispatch order */
    uint64_t instance; /* task instance number */
    cx_task_spec spec;
    uint64_t version; /* of the policy that acted */
    uint32_t end;     /* cx_end */
    int32_t rank;
    int32_t steps; /* outer steps acted (K, or fewer when it diverged) */
    int32_t outer_steps, inner_steps, inner_steps_done;
    double reward, reward_raw; /* clipped; before clipping above */
    double initial_valid_loss;
    double final_train_loss, final_valid_loss,
        final_valid_loss_raw; /* _raw: unaveraged parameters */
    double seconds;           /* wall time of the inner run */
    double cpu_seconds;
} cx_episode_result;

typedef struct {
    cx_episode_result result;
    int n_obs, n_heads, n_logits; /* n_obs: privileged size; the policy's part is its front */
    int capacity;                 /* outer steps that fit */
    float *obs;                   /* [capacity][n_obs] raw */
    int32_t *choice;              /* [capacity][n_heads] */
    unsigned char *mask;          /* [capacity][n_logits] */
    float *log_prob;              /* [capacity] of the behaviour policy */
    int uses;                     /* gradient steps served (learner) */
} cx_trajectory;

int cx_trajectory_create(int n_obs, int n_heads, int n_logits, int capacity, cx_trajectory **out,
                         cx_error *err);
void cx_trajectory_destroy(cx_trajectory *t);
/* A piece of outer steps [first, first + n) as bytes, and back. Whoever acts fills
 * obs, choice, mask, log_prob of step result.steps and then counts it; first + n <=
 * result.steps. Pieces of one episode arrive in order: unpack appends at
 * result.steps and counts the steps. It checks version, sizes, order, and every
 * number (finite; choices in [0, n_logits); masks 0 or 1) and changes nothing when it
 * refuses: CX_EFORMAT, or CX_EVERSION. A piece of no steps is allowed. The bytes need
 * not be aligned. Layout in docs/developer.md. */
size_t cx_trajectory_piece_bytes(const cx_trajectory *t, int n);
void cx_trajectory_pack(const cx_trajectory *t, int first, int n, void *out);
int cx_trajectory_unpack(cx_trajectory *t, const void *data, size_t size, cx_error *err);

#endif
