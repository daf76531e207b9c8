#include "tasks/nqm_kernels.h"
#include "base/draw.h"
#include "base/level.h"
#include "nn/vmath.h"

#include <string.h>

/* Lanes of the sums: each adds in an order of its own, so that the compiler may
 * vectorize them and the result is still the same everywhere. */
enum { LANES = 16 };

/* sin(2 pi t) for |t| <= 1/4: Taylor's series up to the 11th power, 6e-8 at the ends. */
static inline float sine(float t) {
    float y = 6.28318530718f * t, z = y * y;
    float p = cx_fma(z, -2.50521084e-8f, 2.75573192e-6f);
    p = cx_fma(z, p, -1.98412698e-4f);
    p = cx_fma(z, p, 8.33333333e-3f);
    p = cx_fma(z, p, -1.66666667e-1f);
    return cx_fma(y * z, p, y);
}

/* Box and Muller's transform of whole arrays: the noise is most of a step's work, and
 * this is what the compiler can vectorize. In pieces of 2 HALF. */
enum { HALF = 128 };
static void draw_normals(cx_rng *rng, float *x, size_t n) {
    uint32_t bits[2 * HALF];
    for (size_t start = 0; start < n; start += 2 * HALF) {
        size_t left = n - start < 2 * HALF ? n - start : 2 * HALF, pairs = (left + 1) / 2;
        float first[HALF], second[HALF];
        cx_draw(rng, bits, 2 * pairs);
        for (size_t i = 0; i < pairs; i++) {
            float u = ((float)(bits[i] >> 8) + 1) * (1.0f / 16777216); /* (0, 1] */
            float t = (float)(bits[pairs + i] >> 8) * (1.0f / 16777216) - 0.5f, a = fabsf(t);
            float r = sqrtf(-2 * cx_log(u)), s = sine(a > 0.25f ? 0.5f - a : a);
            first[i] = r * sine(0.25f - a); /* cosine */
            second[i] = t < 0 ? -r * s : r * s;
        }
        memcpy(x + start, first, pairs * sizeof *x);
        memcpy(x + start + pairs, second, (left - pairs) * sizeof *x);
    }
}

static double gradient(const float *root, const float *center, const float *draw, float scale,
                       const float *x, size_t n, float *g) {
    double sum[LANES] = {0}, total = 0;
    size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            float r = root[i + k] * (x[i + k] - center[i + k]) - scale * draw[i + k];
            g[i + k] = root[i + k] * r;
            sum[k] += (double)r * r;
        }
    for (size_t i = whole; i < n; i++) {
        float r = root[i] * (x[i] - center[i]) - scale * draw[i];
        g[i] = root[i] * r;
        total += (double)r * r;
    }
    for (int k = 0; k < LANES; k++)
        total += sum[k];
    return total;
}

static double excess(const float *root, const float *center, const float *x, size_t n) {
    double sum[LANES] = {0}, total = 0;
    size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            double r = (double)root[i + k] * ((double)x[i + k] - center[i + k]);
            sum[k] += r * r;
        }
    for (size_t i = whole; i < n; i++) {
        double r = (double)root[i] * ((double)x[i] - center[i]);
        total += r * r;
    }
    for (int k = 0; k < LANES; k++)
        total += sum[k];
    return total;
}

CX_TABLE_AT_LEVEL(cx_nqm_kernels, cx_nqm_kernels) = {
    {.draw_normals = draw_normals, .gradient = gradient, .excess = excess}};
