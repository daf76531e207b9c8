/* cx_rng_u32 many times over, for loops that need numbers by the thousand: the same numbers,
 * with blocks of the counter side by side where the processor has vectors for them. In a
 * header so that it is compiled for the level of the kernel that includes it. */
#ifndef CX_BASE_DRAW_H
#define CX_BASE_DRAW_H

#include "base/rng.h"

#include <string.h>

#if defined(CX_PLAIN) || !defined(__SSE2__)
#define CX_DRAW_BYTES 0
#else
#include <immintrin.h>
#if defined(__AVX512F__)
#define CX_DRAW_BYTES 64
#define CX_DRAW_MUL(x, k) ((cx_draw_vec)_mm512_mul_epu32((__m512i)(x), _mm512_set1_epi64(k)))
#elif defined(__AVX2__)
#define CX_DRAW_BYTES 32
#define CX_DRAW_MUL(x, k) ((cx_draw_vec)_mm256_mul_epu32((__m256i)(x), _mm256_set1_epi64x(k)))
#else
#define CX_DRAW_BYTES 16
#define CX_DRAW_MUL(x, k) ((cx_draw_vec)_mm_mul_epu32((__m128i)(x), _mm_set1_epi64x(k)))
#endif
#endif

#if CX_DRAW_BYTES
typedef uint64_t cx_draw_vec __attribute__((vector_size(CX_DRAW_BYTES)));
enum { CX_DRAW_LANES = CX_DRAW_BYTES / 8 };

/* Philox 4x32-10 (base/rng.c) of CX_DRAW_LANES counters from `index` on. A word is the lower
 * half of a lane; what is above does not count. */
static inline void cx_draw_blocks(const cx_rng *rng, uint32_t index,
                                  uint32_t out[4 * CX_DRAW_LANES]) {
    const cx_draw_vec zero = {0}, low = zero + 0xffffffffu;
    cx_draw_vec a = zero + index, b = zero + rng->stream, ab, cd, even, odd, first, second;
    cx_draw_vec c = zero + rng->episode, d = c >> 32;
    uint32_t key0 = (uint32_t)rng->seed, key1 = (uint32_t)(rng->seed >> 32);
    for (int l = 0; l < CX_DRAW_LANES; l++)
        a[l] += (uint64_t)l;
    for (int round = 0; round < 10; round++) {
        cx_draw_vec p = CX_DRAW_MUL(a, 0xD2511F53), q = CX_DRAW_MUL(c, 0xCD9E8D57);
        a = (q >> 32) ^ b ^ key0;
        c = (p >> 32) ^ d ^ key1;
        b = q;
        d = p;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    ab = (a & low) | (b << 32); /* words 0 and 1 of each block */
    cd = (c & low) | (d << 32);
    for (int l = 0; l < CX_DRAW_LANES; l++) {
        even[l] = (uint64_t)(l / 2 + (l % 2 ? CX_DRAW_LANES : 0));
        odd[l] = even[l] + CX_DRAW_LANES / 2;
    }
    first = __builtin_shuffle(ab, cd, even);
    second = __builtin_shuffle(ab, cd, odd);
    memcpy(out, &first, sizeof first);
    memcpy(out + 2 * CX_DRAW_LANES, &second, sizeof second);
}
#endif

/* out[n]: what n calls of cx_rng_u32 return; leaves the stream where they do. */
static inline void cx_draw(cx_rng *rng, uint32_t *out, size_t n) {
    size_t i = 0;
#if CX_DRAW_BYTES
    while (i < n && rng->used < 4)
        out[i++] = rng->block[rng->used++];
    /* two at a time: they do not wait for each other */
    for (; i + 8 * CX_DRAW_LANES <= n; i += 8 * CX_DRAW_LANES) {
        cx_draw_blocks(rng, rng->index, out + i);
        cx_draw_blocks(rng, rng->index + CX_DRAW_LANES, out + i + 4 * CX_DRAW_LANES);
        rng->index += 2 * CX_DRAW_LANES;
    }
#endif
    while (i < n)
        out[i++] = cx_rng_u32(rng);
}

#endif
