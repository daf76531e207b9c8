#include "tasks/permute.h"

cx_permute cx_permute_make(uint32_t n, cx_rng *rng) {
    cx_permute p = {.n = n, .half_bits = 1};
    while (p.half_bits < 16 && (uint64_t)1 << (2 * p.half_bits) < n)
        p.half_bits++;
    for (int i = 0; i < CX_PERMUTE_ROUNDS; i++)
        p.key[i] = cx_rng_u32(rng);
    return p;
}

/* The middle of a product with a large odd number, on a half and a key. */
static uint32_t mix(uint32_t x, uint32_t key) {
    return (uint32_t)((uint64_t)(x ^ key) * 0x9e3779b97f4a7c15u >> 32);
}

uint32_t cx_permute_at(const cx_permute *p, uint32_t i) {
    uint32_t mask = ((uint32_t)1 << p->half_bits) - 1;
    do {
        uint32_t left = i >> p->half_bits, right = i & mask;
        for (int r = 0; r < CX_PERMUTE_ROUNDS; r++) {
            uint32_t next = left ^ (mix(right, p->key[r]) & mask);
            left = right;
            right = next;
        }
        i = left << p->half_bits | right;
    } while (i >= p->n); /* at most 4 times on average: the power of four is below 4 n */
    return i;
}

cx_epochs cx_epochs_make(uint32_t n, uint64_t seed) {
    return (cx_epochs){.n = n, .seed = seed, .epoch = UINT64_MAX};
}

uint32_t cx_epochs_at(cx_epochs *e, uint64_t position) {
    uint64_t epoch = position / e->n;
    if (epoch != e->epoch) {
        cx_rng rng = cx_rng_make(e->seed, epoch, CX_STREAM_BATCH);
        e->order = cx_permute_make(e->n, &rng);
        e->epoch = epoch;
    }
    return cx_permute_at(&e->order, (uint32_t)(position % e->n));
}
