/* The learner's episodes, and which of them serve which gradient step. Private to
 * ppo/. */
#ifndef CX_PPO_BUFFER_H
#define CX_PPO_BUFFER_H

#include "base/rng.h"
#include "ppo/trajectory.h"

/* Episodes in the order in which they were given, oldest first. */
typedef struct {
    cx_trajectory **item;
    int n, capacity;
    int n_new; /* the last n_new of them came after the newest update began */
} cx_buffer;

/* Takes the trajectory over on success only. */
int cx_buffer_add(cx_buffer *b, cx_trajectory *t, cx_error *err);
/* Destroys the oldest episodes until at most `limit` are left, new ones among them
 * where need be. */
void cx_buffer_evict(cx_buffer *b, int limit);
/* Destroys episodes that are not new and can serve no update any more. */
void cx_buffer_drop_spent(cx_buffer *b, uint64_t version, int max_uses, int max_staleness);
void cx_buffer_free(cx_buffer *b);

/* Versions between acting and now; 0 when the episode claims a later one. */
uint64_t cx_staleness(const cx_trajectory *t, uint64_t version);
/* An episode may be used when it served fewer than max_uses gradient steps and was
 * acted at most max_staleness versions ago. */
bool cx_buffer_eligible(const cx_trajectory *t, uint64_t version, int max_uses, int max_staleness);

/* The minibatches of one update, and the episodes in them, each once. */
typedef struct {
    int n_episodes;
    cx_trajectory **episode; /* [n_episodes], the buffer's; by number of outer steps, ascending */
    int n_batches;
    int *start;    /* [n_batches + 1]: batch b is item[start[b] .. start[b + 1]) */
    int *item;     /* indices into episode */
    int last_pass; /* first batch of the last pass */
} cx_plan;

/* Plans up to `minibatches` batches of at most `size` different episodes, as passes:
 * - A pass goes through the eligible episodes that have been used least so far, each
 *   once; where these are fewer than `size`, the next least used ones fill it up.
 * - It is cut into batches whose sizes differ by one at most, so that no gradient
 *   step rests on a few left-over episodes.
 * - Episodes are put in random order, sorted by number of outer steps in windows of
 *   a few batches (little padding), and the batches put in random order.
 * When no episode may be used any more there are fewer batches, possibly none. */
int cx_plan_make(const cx_buffer *b, uint64_t version, int max_uses, int max_staleness,
                 int minibatches, int size, cx_rng *rng, cx_plan *plan, cx_error *err);
void cx_plan_free(cx_plan *plan);

#endif
