/* Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011, from
 * Random123). A number is a function of (seed, episode, stream, index) alone,
 * never of a rank or of time. */
#ifndef CX_BASE_RNG_H
#define CX_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a stream of random numbers is used for; one row, one stream. */
#define CX_STREAM_TABLE(X)                                                                         \
    X(CX_STREAM_TASK)    /* sampling a task from the distribution */                               \
    X(CX_STREAM_INIT)    /* initial weights of an inner network */                                 \
    X(CX_STREAM_BATCH)   /* choice of the training batches */                                      \
    X(CX_STREAM_DROPOUT) /* dropout masks, random slopes, gradient noise, augmentation */          \
    X(CX_STREAM_DATA)    /* data that a task makes itself; label noise */                          \
    X(CX_STREAM_START)   /* noise on the starting hyperparameters */                               \
    X(CX_STREAM_ACTION)  /* sampling of actions */                                                 \
    X(CX_STREAM_POLICY)  /* initial weights of policy and value function */                        \
    X(CX_STREAM_LEARNER) /* order of the minibatches */                                            \
    X(CX_STREAM_EVAL)    /* choices of an evaluation */                                            \
    X(CX_STREAM_TEST)    /* tests */

typedef enum {
#define X(name) name,
    CX_STREAM_TABLE(X)
#undef X
        CX_STREAM_COUNT
} cx_stream;

typedef struct {
    uint64_t seed, episode;
    uint32_t stream;
    uint32_t index; /* the next block of four numbers */
    uint32_t block[4];
    int used; /* numbers of the block that are used up; 4: none left */
} cx_rng;

cx_rng cx_rng_make(uint64_t seed, uint64_t episode, cx_stream stream);
/* The same stream, positioned so that sub-sequences do not overlap: sub-stream
 * `sub` (for example an inner step) starts at a counter of its own. */
cx_rng cx_rng_make_sub(uint64_t seed, uint64_t episode, cx_stream stream, uint32_t sub);
uint32_t cx_rng_u32(cx_rng *rng);
double cx_rng_uniform(cx_rng *rng);                       /* [0, 1), 32 bits */
double cx_rng_normal(cx_rng *rng);                        /* Box-Muller, one of the pair */
uint32_t cx_rng_below(cx_rng *rng, uint32_t n);           /* 0 .. n-1, unbiased; n >= 1 */
void cx_rng_fill_normal(cx_rng *rng, float *x, size_t n); /* standard normal */
void cx_rng_fill_uniform(cx_rng *rng, float *x, size_t n, float low, float high);
void cx_rng_shuffle(cx_rng *rng, uint32_t *x, size_t n);

#endif
