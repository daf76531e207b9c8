/* One vector of cx_real, as wide as the machine has it, with explicit fused
 * multiply-add: -std=c17 turns contraction off, and a sum over a vector's lanes may
 * not be reordered by the compiler, so both are written out. */
#ifndef CX_NN_SIMD_H
#define CX_NN_SIMD_H

#include "nn/real.h"
#include <string.h>

#if defined(CX_PLAIN) && defined(CX_REAL_DOUBLE)
#define CX_VEC_BYTES 8
#elif defined(CX_PLAIN)
#define CX_VEC_BYTES 4
#elif defined(__AVX512F__)
#define CX_VEC_BYTES 64
#elif defined(__AVX2__) && defined(__FMA__)
#define CX_VEC_BYTES 32
#else
#define CX_VEC_BYTES 16
#endif

#define CX_LANES ((int)(CX_VEC_BYTES / sizeof(cx_real)))
typedef cx_real cx_vec __attribute__((vector_size(CX_VEC_BYTES)));

static inline cx_vec cx_vload(const cx_real *p) {
    cx_vec v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void cx_vstore(cx_real *p, cx_vec v) {
    memcpy(p, &v, sizeof v);
}
static inline cx_vec cx_vset(cx_real x) {
    return x - (cx_vec){0}; /* x - 0 is x for every x, so no subtraction remains */
}

#if CX_VEC_BYTES > 16
#include <immintrin.h>
#endif
#if CX_VEC_BYTES == 64 && !defined(CX_REAL_DOUBLE)
#define CX_VFMA(a, b, c) ((cx_vec)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#elif CX_VEC_BYTES == 64
#define CX_VFMA(a, b, c) ((cx_vec)_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c)))
#elif CX_VEC_BYTES == 32 && !defined(CX_REAL_DOUBLE)
#define CX_VFMA(a, b, c) ((cx_vec)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#elif CX_VEC_BYTES == 32
#define CX_VFMA(a, b, c) ((cx_vec)_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c)))
#else
#define CX_VFMA(a, b, c) ((a) * (b) + (c))
#endif

/* The first n < CX_LANES numbers, then zeros; nothing behind them is read. */
static inline cx_vec cx_vload_part(const cx_real *p, int n) {
#if CX_VEC_BYTES == 64 && !defined(CX_REAL_DOUBLE)
    return (cx_vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    cx_vec v = {0};
    for (int i = 0; i < n; i++)
        v[i] = p[i];
    return v;
#endif
}

/* Sum of the lanes, always in the same order. */
static inline cx_real cx_vsum(cx_vec v) {
#if CX_VEC_BYTES == 64 && !defined(CX_REAL_DOUBLE)
    return _mm512_reduce_add_ps((__m512)v);
#elif CX_VEC_BYTES == 64
    return _mm512_reduce_add_pd((__m512d)v);
#else
    cx_real x[CX_VEC_BYTES / sizeof(cx_real)];
    memcpy(x, &v, sizeof v);
    for (int half = CX_LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            x[i] += x[i + half];
    return x[0];
#endif
}

/* mask ? a : b, lane by lane; mask: what a comparison of vectors gives */
#define CX_VPICK(mask, a, b)                                                                       \
    ((cx_vec)(((mask) & (__typeof__(mask))(a)) | (~(mask) & (__typeof__(mask))(b))))

/* the largest; NaN are passed over where they can be */
static inline cx_real cx_largest(const cx_real *a, int n) {
    cx_real r = a[0];
    int i = 0;
    if (n >= CX_LANES) {
        cx_vec m = cx_vload(a);
        for (i = CX_LANES; i + CX_LANES <= n; i += CX_LANES) {
            cx_vec v = cx_vload(a + i);
            m = CX_VPICK(v > m, v, m);
        }
        cx_real x[CX_VEC_BYTES / sizeof(cx_real)];
        memcpy(x, &m, sizeof m);
        for (int k = 0; k < CX_LANES; k++)
            r = x[k] > r ? x[k] : r;
    }
    for (; i < n; i++)
        r = a[i] > r ? a[i] : r;
    return r;
}

static inline cx_real cx_sum(const cx_real *a, int n) {
    cx_vec s = {0};
    int i = 0;
    for (; i + CX_LANES <= n; i += CX_LANES)
        s += cx_vload(a + i);
    cx_real r = cx_vsum(s);
    for (; i < n; i++)
        r += a[i];
    return r;
}

static inline cx_real cx_dot(const cx_real *a, const cx_real *b, int n) {
    cx_vec s = {0};
    int i = 0;
    for (; i + CX_LANES <= n; i += CX_LANES)
        s = CX_VFMA(cx_vload(a + i), cx_vload(b + i), s);
    cx_real r = cx_vsum(s);
    for (; i < n; i++)
        r += a[i] * b[i];
    return r;
}

/* sum of a (b - m) */
static inline cx_real cx_dot_shifted(const cx_real *a, const cx_real *b, cx_real m, int n) {
    cx_vec s = {0}, mv = cx_vset(m);
    int i = 0;
    for (; i + CX_LANES <= n; i += CX_LANES)
        s = CX_VFMA(cx_vload(a + i), cx_vload(b + i) - mv, s);
    cx_real r = cx_vsum(s);
    for (; i < n; i++)
        r += a[i] * (b[i] - m);
    return r;
}

/* sum of (a - m)^2 */
static inline cx_real cx_sum_squares(const cx_real *a, cx_real m, int n) {
    cx_vec s = {0}, mv = cx_vset(m);
    int i = 0;
    for (; i + CX_LANES <= n; i += CX_LANES) {
        cx_vec d = cx_vload(a + i) - mv;
        s = CX_VFMA(d, d, s);
    }
    cx_real r = cx_vsum(s);
    for (; i < n; i++)
        r += (a[i] - m) * (a[i] - m);
    return r;
}

#endif
