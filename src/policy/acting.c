#include "policy/acting.h"
#include "base/level.h"
#include "nn/simd.h"
#include "nn/vmath.h"

#include <math.h>
#include <stddef.h>

static const float layernorm_eps = 1e-5f; /* as in the graphs of learning */

/* y of `count` rows, four at most */
static inline void dot_rows(const float *w, const float *b, const float *x, int count, int n,
                            bool add, float *y) {
    cx_vec s[4] = {{0}};
    int i = 0;
    for (; i + CX_LANES <= n; i += CX_LANES) {
        cx_vec v = cx_vload(x + i);
        for (int k = 0; k < count; k++)
            s[k] = CX_VFMA(cx_vload(w + (size_t)k * (size_t)n + i), v, s[k]);
    }
    for (int k = 0; k < count; k++) {
        float sum = cx_vsum(s[k]);
        for (int j = i; j < n; j++)
            sum += w[(size_t)k * (size_t)n + (size_t)j] * x[j];
        y[k] = sum + (b ? b[k] : 0) + (add ? y[k] : 0);
    }
}

static void matvec(const float *w, const float *b, const float *x, int rows, int n, bool add,
                   bool upward, float *y) {
    int fours = rows / 4, rest = rows % 4;
    for (int q = 0; q < fours; q++) {
        int r = 4 * (upward ? fours - 1 - q : q);
        dot_rows(w + (size_t)r * (size_t)n, b ? b + r : NULL, x, 4, n, add, y + r);
    }
    int r = 4 * fours;
    if (rest)
        dot_rows(w + (size_t)r * (size_t)n, b ? b + r : NULL, x, rest, n, add, y + r);
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
