#include "policy/acting.h"
#include "base/level.h"
#include "nn/simd.h"
#include "nn/vmath.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const float layernorm_eps = 1e-5f; /* as in the graphs of learning */

/* Rows that are gone over together: their pointers and sums stay in registers. */
enum { LANES = CX_VEC_BYTES / sizeof(float), ROWS = LANES < 8 ? LANES : 8 };
typedef float row_vec __attribute__((vector_size(ROWS * sizeof(float))));

#define INLINE static inline __attribute__((always_inline))

#if CX_VEC_BYTES > 16 || (CX_VEC_BYTES == 16 && defined(__SSE2__))
#include <immintrin.h>
#if CX_VEC_BYTES == 64
#define OF_WIDTH(name) _mm512_##name
typedef __m512 vec_s;
typedef __m512d vec_d;
#elif CX_VEC_BYTES == 32
#define OF_WIDTH(name) _mm256_##name
typedef __m256 vec_s;
typedef __m256d vec_d;
#else
#define OF_WIDTH(name) _mm_##name
typedef __m128 vec_s;
typedef __m128d vec_d;
#endif

/* In each 128 bits: the sums of a's, b's, c's and d's four numbers there. */
INLINE vec_s sums_of_four(cx_vec a, cx_vec b, cx_vec c, cx_vec d) {
    vec_s ab = (vec_s)OF_WIDTH(unpacklo_ps)((vec_s)a, (vec_s)b) +
               (vec_s)OF_WIDTH(unpackhi_ps)((vec_s)a, (vec_s)b);
    vec_s cd = (vec_s)OF_WIDTH(unpacklo_ps)((vec_s)c, (vec_s)d) +
               (vec_s)OF_WIDTH(unpackhi_ps)((vec_s)c, (vec_s)d);
    return (vec_s)OF_WIDTH(unpacklo_pd)((vec_d)ab, (vec_d)cd) +
           (vec_s)OF_WIDTH(unpackhi_pd)((vec_d)ab, (vec_d)cd);
}

/* Lane i: the sum of the lanes of r[i]. One by one such sums would cost more than short rows'
 * products do. */
INLINE row_vec sums_of(const cx_vec r[ROWS]) {
    vec_s low = sums_of_four(r[0], r[1], r[2], r[3]);
#if CX_VEC_BYTES == 16
    return (row_vec)low;
#else
    vec_s high = sums_of_four(r[4], r[5], r[6], r[7]);
#if CX_VEC_BYTES == 64
    __m256 x = _mm512_castps512_ps256(low) + _mm512_extractf32x8_ps(low, 1);
    __m256 y = _mm512_castps512_ps256(high) + _mm512_extractf32x8_ps(high, 1);
#else
    __m256 x = low, y = high;
#endif
    return (row_vec)(_mm256_permute2f128_ps(x, y, 0x20) + _mm256_permute2f128_ps(x, y, 0x31));
#endif
}
#else
INLINE row_vec sums_of(const cx_vec r[ROWS]) {
    row_vec sum;
    for (int k = 0; k < ROWS; k++)
        sum[k] = cx_vsum(r[k]);
    return sum;
}
#endif

/* y of ROWS rows; `ahead`: the rows that come next, asked for line by line: between levels of the
 * cache, that brings them sooner than the processor's own guess. */
INLINE void dot_rows(const float *w, const float *ahead, const float *b, const float *x, int n,
                     bool add, float *y) {
    cx_vec s[ROWS];
#pragma GCC unroll 8
    for (int k = 0; k < ROWS; k++)
        s[k] = (cx_vec){0};
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        cx_vec v = cx_vload(x + i);
#pragma GCC unroll 8
        for (int k = 0; k < ROWS; k++) {
            __builtin_prefetch(ahead + (ptrdiff_t)k * n + i);
            s[k] = CX_VFMA(cx_vload(w + (ptrdiff_t)k * n + i), v, s[k]);
        }
    }
    if (i < n) {
        cx_vec v = cx_vload_part(x + i, n - i);
#pragma GCC unroll 8
        for (int k = 0; k < ROWS; k++)
            s[k] = CX_VFMA(cx_vload_part(w + (ptrdiff_t)k * n + i, n - i), v, s[k]);
    }
    row_vec sum = sums_of(s), more;
    if (b) {
        memcpy(&more, b, sizeof more);
        sum += more;
    }
    if (add) {
        memcpy(&more, y, sizeof more);
        sum += more;
    }
    memcpy(y, &sum, sizeof sum);
}

static void matvec(const float *w, const float *b, const float *x, int rows, int n, bool add,
                   bool upward, float *y) {
    int groups = rows / ROWS, way = upward ? -ROWS : ROWS;
    for (int q = 0, r = upward ? (groups - 1) * ROWS : 0; q < groups; q++, r += way) {
        int next = q + 1 < groups ? r + way : r;
        dot_rows(w + (ptrdiff_t)r * n, w + (ptrdiff_t)next * n, b ? b + r : NULL, x, n, add, y + r);
    }
    for (int r = groups * ROWS; r < rows; r++)
        y[r] = cx_dot(w + (ptrdiff_t)r * n, x, n) + (b ? b[r] : 0) + (add ? y[r] : 0);
}

static void apply_tanh(float *x, int n) {
    for (int i = 0; i < n; i++)
        x[i] = cx_tanh(x[i]);
}

static void layernorm(float *x, int n) {
    float mean = cx_sum(x, n) / (float)n;
    float scale = 1 / sqrtf(cx_sum_squares(x, mean, n) / (float)n + layernorm_eps);
    for (int i = 0; i < n; i++)
        x[i] = (x[i] - mean) * scale;
}

static void cell(const cx_acting_norms *w, int n, float *restrict gate, float *restrict other,
                 float *restrict h, float *restrict c) {
    const float *g1 = w->gain1, *b1 = w->bias1, *g2 = w->gain2, *b2 = w->bias2;
    const float *g3 = w->gain3, *b3 = w->bias3;
    layernorm(gate, 4 * n);
    layernorm(other, 4 * n);
    for (int i = 0; i < 4 * n; i++)
        gate[i] = gate[i] * g1[i] + b1[i] + other[i] * g2[i] + b2[i];
    for (int i = 0; i < 2 * n; i++)
        gate[i] = cx_sigmoid(gate[i]);
    apply_tanh(gate + 2 * n, n);
    for (int i = 3 * n; i < 4 * n; i++)
        gate[i] = cx_sigmoid(gate[i]);
    for (int i = 0; i < n; i++)
        other[i] = c[i] = gate[n + i] * c[i] + gate[i] * gate[2 * n + i];
    layernorm(other, n);
    for (int i = 0; i < n; i++)
        h[i] = gate[3 * n + i] * cx_tanh(other[i] * g3[i] + b3[i]);
}

CX_TABLE_AT_LEVEL(cx_acting_kernels,
                  cx_acting_kernels) = {{.matvec = matvec, .apply_tanh = apply_tanh, .cell = cell}};
