#include "tasks/algo_problems.h"

#include "base/hash.h"
#include "tasks/permute.h"
#include <math.h>

const char *const cx_algo_problem_words[] = {"xor", "addition", NULL};

enum { LISTED_BITS = 30, SHARES = 10 }; /* shares of the hash: one validation, one test */

int cx_algo_inputs(int problem) {
    return problem == CX_ALGO_ADDITION ? 2 : 1;
}

int cx_algo_length(int problem, double difficulty) {
    return (int)lround(problem == CX_ALGO_ADDITION ? 4 + 28 * difficulty : 8 + 24 * difficulty);
}

double cx_algo_steps(double difficulty) {
    return 150 + 250 * difficulty;
}

int cx_algo_bits(const cx_algo *a) {
    return cx_algo_inputs(a->problem) * a->length;
}

/* The first summand is in the low bits. */
static uint64_t summand(const cx_algo *a, uint64_t pattern, int input) {
    return pattern >> (input * a->length) & (((uint64_t)1 << a->length) - 1);
}

cx_split cx_algo_split(const cx_algo *a, uint64_t pattern) {
    uint64_t key[2] = {pattern, (uint64_t)a->length << 8 | (uint64_t)a->problem};
    if (a->problem == CX_ALGO_ADDITION) {
        uint64_t x = summand(a, pattern, 0), y = summand(a, pattern, 1);
        key[0] = x < y ? pattern : x << a->length | y;
    }
    uint64_t share = cx_hash(key, sizeof key, a->seed) % SHARES;
    return share == 0 ? CX_SPLIT_VALIDATION : share == 1 ? CX_SPLIT_TEST : CX_SPLIT_TRAIN;
}

uint64_t cx_algo_draw(const cx_algo *a, cx_split split, cx_rng *rng) {
    uint64_t pattern;
    do {
        pattern = cx_rng_u32(rng);
        if (cx_algo_bits(a) > 32)
            pattern |= (uint64_t)cx_rng_u32(rng) << 32;
        pattern &= UINT64_MAX >> (64 - cx_algo_bits(a));
    } while (cx_algo_split(a, pattern) != split);
    return pattern;
}

uint32_t cx_algo_list(const cx_algo *a, cx_split split, cx_rng *rng, uint64_t *patterns,
                      uint32_t max) {
    uint32_t n = 0;
    if (cx_algo_bits(a) > LISTED_BITS) {
        while (n < max)
            patterns[n++] = cx_algo_draw(a, split, rng);
        return n;
    }
    cx_permute order = cx_permute_make((uint32_t)1 << cx_algo_bits(a), rng);
    for (uint32_t i = 0; i < order.n && n < max; i++) {
        uint32_t pattern = cx_permute_at(&order, i);
        if (cx_algo_split(a, pattern) == split)
            patterns[n++] = pattern;
    }
    return n;
}

int cx_algo_input(const cx_algo *a, uint64_t pattern, int t, int input) {
    return (int)(pattern >> (input * a->length + t) & 1);
}

void cx_algo_labels(const cx_algo *a, uint64_t pattern, int label[CX_ALGO_LENGTH_MAX]) {
    int carry = 0; /* xor: the parity so far */
    for (int t = 0; t < a->length; t++) {
        int sum = carry;
        for (int i = 0; i < cx_algo_inputs(a->problem); i++)
            sum += cx_algo_input(a, pattern, t, i);
        label[t] = sum & 1;
        carry = a->problem == CX_ALGO_XOR ? label[t] : sum >> 1;
    }
}
