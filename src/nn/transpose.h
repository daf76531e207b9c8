/* Square transposes in registers. Private to nn/. */
#ifndef CX_NN_TRANSPOSE_H
#define CX_NN_TRANSPOSE_H

#include "nn/simd.h"
#include <stdint.h>

#ifdef CX_REAL_DOUBLE
typedef int64_t cx_lane_number;
typedef int64_t cx_lane_index __attribute__((vector_size(CX_VEC_BYTES)));
#else
typedef int32_t cx_lane_number;
typedef int32_t cx_lane_index __attribute__((vector_size(CX_VEC_BYTES)));
#endif

/* Lane l of the two results of exchanging blocks at distance d, among the lanes of both. */
#define CX_LOW(l, d) ((l) & (d) ? CX_LANES + (l) - (d) : (l))
#define CX_HIGH(l, d) ((l) & (d) ? CX_LANES + (l) : (l) + (d))
#define CX_LANE_ROW(f, d)                                                                          \
    {                                                                                              \
        f(0, d), f(1, d), f(2, d), f(3, d), f(4, d), f(5, d), f(6, d), f(7, d), f(8, d), f(9, d),  \
            f(10, d), f(11, d), f(12, d), f(13, d), f(14, d), f(15, d)                             \
    }
#define CX_LANE_ROWS(f)                                                                            \
    { CX_LANE_ROW(f, 1), CX_LANE_ROW(f, 2), CX_LANE_ROW(f, 4), CX_LANE_ROW(f, 8) }

/* One exchange, at distance 1 << s. The lanes are tables in memory: built from numbers
 * they would cost more than the exchange. */
static inline __attribute__((always_inline)) void
cx_exchange(cx_vec r[CX_VEC_BYTES / sizeof(cx_real)], const int s) {
    static const cx_lane_number lows[4][16] = CX_LANE_ROWS(CX_LOW);
    static const cx_lane_number highs[4][16] = CX_LANE_ROWS(CX_HIGH);
    cx_lane_index low, high;
    memcpy(&low, lows[s], sizeof low);
    memcpy(&high, highs[s], sizeof high);
#pragma GCC unroll 16
    for (int i = 0; i < CX_LANES; i++) {
        if (i & 1 << s)
            continue;
        cx_vec x = r[i], y = r[i + (1 << s)];
        r[i] = __builtin_shuffle(x, y, low);
        r[i + (1 << s)] = __builtin_shuffle(x, y, high);
    }
}

/* Transposes r[CX_LANES][CX_LANES]: at distance d the blocks off the diagonal are
 * exchanged, for d = 1, 2, 4, ..., written out so that r stays in registers. */
static inline __attribute__((always_inline)) void
cx_transpose(cx_vec r[CX_VEC_BYTES / sizeof(cx_real)]) {
    if (CX_LANES > 1)
        cx_exchange(r, 0);
    if (CX_LANES > 2)
        cx_exchange(r, 1);
    if (CX_LANES > 4)
        cx_exchange(r, 2);
    if (CX_LANES > 8)
        cx_exchange(r, 3);
}

#endif
