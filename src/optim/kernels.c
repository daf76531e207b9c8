#include "optim/kernels.h"
#include "base/level.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Vector extensions rather than hope: a sum of floats is not vectorized by itself
 * without -ffast-math. The compiler splits them where the machine has less. */
typedef float vf __attribute__((vector_size(4 * CX_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * CX_LANES)));
typedef double vd __attribute__((vector_size(8 * CX_LANES)));

#define LOAD(to, from) memcpy(&(to), (from), sizeof(to))
/* Float lanes of one block into the doubles of the tensor. */
#define FLUSH(lanes, sum)                                                                          \
    do {                                                                                           \
        vd wide_;                                                                                  \
        LOAD(wide_, (lanes).lane);                                                                 \
        wide_ += __builtin_convertvector(sum, vd);                                                 \
        memcpy((lanes).lane, &wide_, sizeof wide_);                                                \
    } while (0)

static void square_block(const float *x, size_t n, cx_lanes *sum) {
    vf a = {0}, b = {0}, c = {0}, d = {0}, p, q, r, s;
    size_t i = 0;
    for (; i + 4 * CX_LANES <= n; i += 4 * CX_LANES) {
        LOAD(p, x + i);
        LOAD(q, x + i + CX_LANES);
        LOAD(r, x + i + 2 * CX_LANES);
        LOAD(s, x + i + 3 * CX_LANES);
        a += p * p;
        b += q * q;
        c += r * r;
        d += s * s;
    }
    for (; i < n; i += CX_LANES) {
        vf rest = {0};
        memcpy(&rest, x + i, (n - i < CX_LANES ? n - i : CX_LANES) * sizeof(float));
        a += rest * rest;
    }
    a = (a + b) + (c + d);
    FLUSH(*sum, a);
}

static double kernel_square_sum(const float *x, size_t n) {
    cx_lanes sum = {{0}};
    for (size_t i = 0; i < n; i += CX_BLOCK)
        square_block(x + i, n - i < CX_BLOCK ? n - i : CX_BLOCK, &sum);
    return cx_lanes_sum(&sum);
}

static double kernel_square_sum_wide(const float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static void kernel_scale(float *g, size_t n, float factor) {
    for (size_t i = 0; i < n; i++)
        g[i] *= factor;
}

static void kernel_add(float *restrict g, const float *restrict p, size_t n, float weight) {
    for (size_t i = 0; i < n; i++)
        g[i] += weight * p[i];
}

static void kernel_max(const float *restrict g, float *restrict v, size_t n, float ombeta2,
                       float inside) {
    for (size_t i = 0; i < n; i++) {
        float old = v[i] - ombeta2 * v[i], new = fabsf(g[i]) + inside;
        v[i] = old > new ? old : new;
    }
}

static void kernel_square(const float *restrict g, float *restrict v, float *restrict s, size_t n,
                          float ombeta2, float scale) {
    for (size_t i = 0; i < n; i++) {
        v[i] += ombeta2 * (g[i] * g[i] - v[i]);
        s[i] = sqrtf(v[i]) * scale;
    }
}

static void kernel_power(const float *restrict g, float *restrict v, float *restrict s, size_t n,
                         float ombeta2, float scale, float q) {
    const float root = 1.0f / q;
    for (size_t i = 0; i < n; i++) {
        v[i] += ombeta2 * (powf(fabsf(g[i]), q) - v[i]);
        s[i] = powf(v[i] * scale, root);
    }
}

static void kernel_direction(const float *g, float *restrict m, const float *restrict s,
                             const float *restrict p, float *u, size_t n, float ombeta1,
                             float inverse_c1, float epsilon, float decay) {
    for (size_t i = 0; i < n; i++)
        m[i] += ombeta1 * (g[i] - m[i]);
    /* a second loop, because u may be g: without aliasing it is vectorized */
    if (decay == 0) {
        for (size_t i = 0; i < n; i++)
            u[i] = m[i] * inverse_c1 / (s[i] + epsilon);
        return;
    }
    for (size_t i = 0; i < n; i++)
        u[i] = m[i] * inverse_c1 / (s[i] + epsilon) + decay * p[i];
}

static void kernel_ratio(const float *restrict g, const float *restrict s, float *restrict u,
                         size_t n, float epsilon) {
    for (size_t i = 0; i < n; i++)
        u[i] = g[i] / (s[i] + epsilon);
}

static void kernel_momentum(const float *restrict g, float *restrict m, size_t n, float momentum) {
    for (size_t i = 0; i < n; i++)
        m[i] = momentum * m[i] + g[i];
}

static void kernel_norms(const float *p, const float *u, size_t n, cx_update_sums *sums) {
    vf pp[2] = {{0}, {0}}, uu[2] = {{0}, {0}}, a, b;
    size_t i = 0;
    for (; i + 2 * CX_LANES <= n; i += 2 * CX_LANES)
        for (size_t k = 0; k < 2; k++) {
            LOAD(a, p + i + k * CX_LANES);
            LOAD(b, u + i + k * CX_LANES);
            pp[k] += a * a;
            uu[k] += b * b;
        }
    for (; i < n; i += CX_LANES) {
        size_t bytes = (n - i < CX_LANES ? n - i : CX_LANES) * sizeof(float);
        vf ra = {0}, rb = {0};
        memcpy(&ra, p + i, bytes);
        memcpy(&rb, u + i, bytes);
        pp[0] += ra * ra;
        uu[0] += rb * rb;
    }
    pp[0] += pp[1];
    uu[0] += uu[1];
    FLUSH(sums->pp, pp[0]);
    FLUSH(sums->uu, uu[0]);
}

/* x > 0, normal, becomes x / 2^k in [sqrt(1/2), sqrt(2)). */
static inline void split(vf *x, vi *k) {
    const int32_t half = 0x3f3504f3; /* sqrt(1/2) */
    vi bits;
    LOAD(bits, x);
    *k = bits - half;
    bits -= *k & ~0x7fffff;
    *k >>= 23;
    LOAD(*x, &bits);
}

/* Natural logarithm of x > 0, normal: Cephes' minimax polynomial for log(1 + f)
 * after the split; within 2e-7 relative. */
static inline void log_lanes(vf *x) {
    vi k;
    vf f = *x;
    split(&f, &k);
    vf kf = __builtin_convertvector(k, vf);
    f -= 1.0f;
    vf z = f * f;
    vf y = 7.0376836292e-2f * f - 1.1514610310e-1f;
    y = y * f + 1.1676998740e-1f;
    y = y * f - 1.2420140846e-1f;
    y = y * f + 1.4249322787e-1f;
    y = y * f - 1.6668057665e-1f;
    y = y * f + 2.0000714765e-1f;
    y = y * f - 2.4999993993e-1f;
    y = y * f + 3.3333331174e-1f;
    y = y * f * z - 2.12194440e-4f * kf - 0.5f * z;
    *x = (f + y) + 0.693359375f * kf;
}

typedef struct {
    vf pp, uu, mm, dd, gm, gp, gu;
    vf mantissas; /* product of |u| + 1e-8, each as 2^k times a number in [sqrt(1/2), sqrt(2)): */
    vi exponents; /* over a block it stays below 2^(CX_BLOCK / CX_LANES / 2), in range of a float */
} feature_lanes;
_Static_assert(CX_BLOCK / CX_LANES / 2 <= 100, "the product of a block's mantissas overflows");

static inline void feature_step(feature_lanes *a, const float *p, const float *g, const float *m,
                                const float *u, float inverse_c1) {
    vf vp, vg, vm, vu;
    vi bits;
    LOAD(vp, p);
    LOAD(vg, g);
    LOAD(vm, m);
    LOAD(vu, u);
    vf d = vm * inverse_c1 - vg;
    a->pp += vp * vp;
    a->uu += vu * vu;
    a->mm += vm * vm;
    a->dd += d * d;
    a->gm += vg * vm;
    a->gp += vg * vp;
    a->gu += vg * vu;
    LOAD(bits, &vu);
    bits &= 0x7fffffff;
    LOAD(vu, &bits);
    vu += 1e-8f;
    split(&vu, &bits);
    a->mantissas *= vu;
    a->exponents += bits;
}

static void kernel_features(const float *p, const float *g, const float *m, const float *u,
                            const float *s, size_t n, float inverse_c1, float epsilon,
                            cx_update_sums *sums) {
    feature_lanes a;
    memset(&a, 0, sizeof a);
    a.mantissas += 1.0f;
    size_t i = 0;
    for (; i + CX_LANES <= n; i += CX_LANES)
        feature_step(&a, p + i, g + i, m + i, u + i, inverse_c1);
    if (i < n) {
        float rest[4][CX_LANES] = {{0}};
        const float *from[4] = {p + i, g + i, m + i, u + i};
        for (size_t k = 0; k < 4; k++)
            memcpy(rest[k], from[k], (n - i) * sizeof(float));
        vf mantissas = a.mantissas; /* absent entries are zeroes, whose logarithm may not count */
        vi exponents = a.exponents;
        feature_step(&a, rest[0], rest[1], rest[2], rest[3], inverse_c1);
        a.mantissas = mantissas;
        a.exponents = exponents;
        for (; i < n; i++)
            sums->log_u.lane[0] += log(fabs((double)u[i]) + 1e-8);
    }
    FLUSH(sums->pp, a.pp);
    FLUSH(sums->uu, a.uu);
    FLUSH(sums->mm, a.mm);
    FLUSH(sums->dd, a.dd);
    FLUSH(sums->gm, a.gm);
    FLUSH(sums->gp, a.gp);
    FLUSH(sums->gu, a.gu);
    log_lanes(&a.mantissas);
    a.mantissas += (float)M_LN2 * __builtin_convertvector(a.exponents, vf);
    FLUSH(sums->log_u, a.mantissas);
    int above = 0;
    for (size_t k = 0; k < n; k++)
        above += s[k] > epsilon;
    sums->above += (size_t)above;
}

static void kernel_apply(float *restrict p, const float *restrict u, float *restrict average,
                         size_t n, float lr, float shrink, float weight) {
    if (!average) {
        for (size_t i = 0; i < n; i++)
            p[i] -= lr * u[i] + shrink * p[i];
        return;
    }
    const float new = 1.0f - weight;
    for (size_t i = 0; i < n; i++) {
        p[i] -= lr * u[i] + shrink * p[i];
        average[i] = weight * average[i] + new *p[i];
    }
}

static void kernel_average(const float *restrict p, float *restrict average, size_t n,
                           float weight) {
    const float new = 1.0f - weight;
    for (size_t i = 0; i < n; i++)
        average[i] = weight * average[i] + new *p[i];
}

CX_TABLE_AT_LEVEL(cx_update_kernels, cx_update_kernels) = {{
    .square_sum = kernel_square_sum,
    .square_sum_wide = kernel_square_sum_wide,
    .scale = kernel_scale,
    .add = kernel_add,
    .max = kernel_max,
    .square = kernel_square,
    .power = kernel_power,
    .direction = kernel_direction,
    .ratio = kernel_ratio,
    .momentum = kernel_momentum,
    .norms = kernel_norms,
    .features = kernel_features,
    .apply = kernel_apply,
    .average = kernel_average,
}};
