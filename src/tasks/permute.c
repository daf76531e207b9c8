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
