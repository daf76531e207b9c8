/* exp, expm1, tanh, sigmoid, log, log1p and erf for loops that gcc vectorizes: no
 * branches, no calls, explicit fma. Float: relative error below about 1e-6 (tested in
 * tests/nn/test_vmath.c); NaN in gives NaN out; results below 2^-126 become 0. Double:
 * libm. Polynomials: Cephes (exp, log), N. Juffa (erf). */
#ifndef CX_NN_VMATH_H
#define CX_NN_VMATH_H

#include "nn/real.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef CX_REAL_DOUBLE

static inline double cx_exp(double x) {
    return exp(x);
}
static inline double cx_expm1(double x) {
    return expm1(x);
}
static inline double cx_tanh(double x) {
    return tanh(x);
}
static inline double cx_log(double x) {
    return log(x);
}
static inline double cx_log1p(double x) {
    return log1p(x);
}
static inline double cx_erf(double x) {
    return erf(x);
}

#else

/* a b + c, in one rounding where the processor can: a call of libm would not be vectorized */
static inline float cx_fma(float a, float b, float c) {
#if defined(__x86_64__) && !defined(__FMA__)
    return a * b + c;
#else
    return fmaf(a, b, c);
#endif
}
static inline float cx_from_bits(int32_t i) {
    float f;
    memcpy(&f, &i, sizeof f);
    return f;
}
static inline int32_t cx_bits(float f) {
    int32_t i;
    memcpy(&i, &f, sizeof i);
    return i;
}

/* x = n ln 2 + r: returns r, and 2^(n-1) in *half_scale. Adding 1.5 * 2^23 rounds to
 * the nearest integer and leaves it in the low bits. */
static inline float cx_exp_split(float x, float *half_scale) {
    const float magic = 12582912.0f;
    float t = cx_fma(x, 1.44269504088896341f, magic);
    float n = t - magic;
    float r = cx_fma(n, -0.693359375f, x);
    r = cx_fma(n, 2.12194440e-4f, r);
    *half_scale = cx_from_bits((int32_t)((uint32_t)(cx_bits(t) - 0x4B400000 + 126) << 23));
    return r;
}
/* exp(r) - 1 for |r| <= ln 2 / 2 */
static inline float cx_expm1_core(float r) {
    float p = cx_fma(r, 1.9875691500e-4f, 1.3981999507e-3f);
    p = cx_fma(p, r, 8.3334519073e-3f);
    p = cx_fma(p, r, 4.1665795894e-2f);
    p = cx_fma(p, r, 1.6666665459e-1f);
    p = cx_fma(p, r, 5.0000001201e-1f);
    return cx_fma(p * r, r, r);
}
static inline float cx_exp(float x) {
    float c = x > 89.0f ? 89.0f : x, h;
    c = c < -88.0f ? -88.0f : c;
    float p = cx_expm1_core(cx_exp_split(c, &h));
    float y = (p * h + h) * 2.0f; /* in two steps: 2^128 would not fit */
    return x < -86.9f ? 0.0f : y;
}
static inline float cx_expm1(float x) {
    float c = x > 89.0f ? 89.0f : x, h;
    c = c < -30.0f ? -30.0f : c;
    float p = cx_expm1_core(cx_exp_split(c, &h));
    return cx_fma(p, h, h - 0.5f) * 2.0f;
}
/* expm1(2|x|) / (expm1(2|x|) + 2): exact to rounding near 0, exactly 1 from 10 on */
static inline float cx_tanh(float x) {
    float t = fabsf(x);
    float e = cx_expm1(2.0f * (t > 10.0f ? 10.0f : t));
    return copysignf(e / (e + 2.0f), x);
}
/* log of a normal number; 0 gives -inf, negative numbers NaN, infinity itself */
static inline float cx_log(float x) {
    int32_t i = cx_bits(x);
    int32_t e = (int32_t)((uint32_t)(i - 0x3f3504f3) & 0xff800000u); /* m in [sqrt(1/2), sqrt(2)) */
    float n = (float)(e >> 23), m = cx_from_bits(i - e) - 1.0f, z = m * m;
    float p = cx_fma(m, 7.0376836292e-2f, -1.1514610310e-1f);
    p = cx_fma(p, m, 1.1676998740e-1f);
    p = cx_fma(p, m, -1.2420140846e-1f);
    p = cx_fma(p, m, 1.4249322787e-1f);
    p = cx_fma(p, m, -1.6668057665e-1f);
    p = cx_fma(p, m, 2.0000714765e-1f);
    p = cx_fma(p, m, -2.4999993993e-1f);
    p = cx_fma(p, m, 3.3333331174e-1f);
    float y = cx_fma(p * m, z, n * -2.12194440e-4f);
    y = cx_fma(z, -0.5f, y) + m;
    y = cx_fma(n, 0.693359375f, y);
    y = x < 1.17549435e-38f ? -INFINITY : y; /* denormals count as 0 */
    y = x > 3.40282347e38f ? x : y;
    return x < 0.0f ? NAN : (x == x ? y : x);
}
static inline float cx_log1p(float x) {
    float u = 1.0f + x;
    /* the rounding of 1 + x is put back to first order */
    return x < 1e30f ? cx_log(u) + (x - (u - 1.0f)) / u : cx_log(u);
}
static inline float cx_erf(float x) {
    float t = fabsf(x), s = x * x;
    float r = cx_fma(-1.72853470e-5f, t, 3.83197126e-4f);
    float u = cx_fma(-3.88396438e-3f, t, 2.42546219e-2f);
    r = cx_fma(r, s, u);
    r = cx_fma(r, t, -1.06777877e-1f);
    r = cx_fma(r, t, -6.34846687e-1f);
    r = cx_fma(r, t, -1.28717512e-1f);
    r = cx_fma(r, t, -t);
    float large = copysignf(1.0f - cx_exp(r), x);
    float p = cx_fma(-5.96761703e-4f, s, 4.99119423e-3f);
    p = cx_fma(p, s, -2.67681349e-2f);
    p = cx_fma(p, s, 1.12819925e-1f);
    p = cx_fma(p, s, -3.76125336e-1f);
    p = cx_fma(p, s, 1.28379166e-1f);
    return t > 0.921875f ? large : cx_fma(p, x, x);
}

#endif

static inline cx_real cx_sigmoid(cx_real x) {
    return 1 / (1 + cx_exp(-x));
}

#endif
