/* A permutation of 0 .. n-1 that is computed, not stored: a Feistel network over the
 * next power of four (Luby and Rackoff, 1988), walked until it falls inside. Any
 * element of any epoch's order costs a few multiplications and no memory. */
#ifndef CX_TASKS_PERMUTE_H
#define CX_TASKS_PERMUTE_H

#include "base/rng.h"
#include <stdint.h>

/* Small domains need many: with 8 rounds a permutation of 11 is visibly uneven. */
enum { CX_PERMUTE_ROUNDS = 14 };

typedef struct {
    uint32_t n;
    uint32_t half_bits; /* the network works on 2 * half_bits bits */
    uint32_t key[CX_PERMUTE_ROUNDS];
} cx_permute;

/* Keys are drawn from rng; n >= 1. */
cx_permute cx_permute_make(uint32_t n, cx_rng *rng);
/* Where i (below n) goes. */
uint32_t cx_permute_at(const cx_permute *p, uint32_t i);

/* An endless row of epochs, each a permutation of n examples: the example at any
 * position is known without those before it. */
typedef struct {
    uint32_t n;
    uint64_t seed, epoch; /* the epoch that `order` belongs to */
    cx_permute order;
} cx_epochs;

cx_epochs cx_epochs_make(uint32_t n, uint64_t seed);
/* Fast while positions stay within one epoch. */
uint32_t cx_epochs_at(cx_epochs *e, uint64_t position);

#endif
