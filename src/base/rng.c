#include "base/rng.h"

#include <Random123/philox.h>
#include <math.h>

static const double two_pi = 6.283185307179586;

cx_rng cx_rng_make_sub(uint64_t seed, uint64_t episode, cx_stream stream, uint32_t sub) {
    /* the counter's second word is the stream in its low 8 bits and the sub-stream above */
    cx_rng rng = {.seed = seed,
                  .episode = episode,
                  .stream = (uint32_t)stream | (sub << 8),
                  .index = 0,
                  .used = 4};
    return rng;
}

cx_rng cx_rng_make(uint64_t seed, uint64_t episode, cx_stream stream) {
    return cx_rng_make_sub(seed, episode, stream, 0);
}

static void refill(cx_rng *rng) {
    philox4x32_ctr_t counter = {
        {rng->index, rng->stream, (uint32_t)rng->episode, (uint32_t)(rng->episode >> 32)}};
    philox4x32_key_t key = {{(uint32_t)rng->seed, (uint32_t)(rng->seed >> 32)}};
    philox4x32_ctr_t out = philox4x32(counter, key);
    for (int i = 0; i < 4; i++)
        rng->block[i] = out.v[i];
    rng->index++;
    rng->used = 0;
}

uint32_t cx_rng_u32(cx_rng *rng) {
    if (rng->used == 4)
        refill(rng);
    return rng->block[rng->used++];
}

double cx_rng_uniform(cx_rng *rng) {
    return cx_rng_u32(rng) * (1.0 / 4294967296.0);
}

double cx_rng_normal(cx_rng *rng) {
    double u = (cx_rng_u32(rng) + 1.0) * (1.0 / 4294967296.0); /* (0, 1]: the log is finite */
    double v = cx_rng_uniform(rng);
    return sqrt(-2.0 * log(u)) * cos(two_pi * v);
}

uint32_t cx_rng_below(cx_rng *rng, uint32_t n) {
    uint32_t limit = (uint32_t)(0x100000000ULL % n); /* numbers below it would bias the rest */
    uint32_t x;
    do
        x = cx_rng_u32(rng);
    while (x < limit);
    return x % n;
}

void cx_rng_fill_normal(cx_rng *rng, float *x, size_t n) {
    for (size_t i = 0; i < n; i += 2) {
        float u = ((float)(cx_rng_u32(rng) >> 8) + 1.0f) * (1.0f / 16777216.0f);
        float v = (float)(cx_rng_u32(rng) >> 8) * (1.0f / 16777216.0f);
        float r = sqrtf(-2.0f * logf(u)), a = (float)two_pi * v;
        x[i] = r * cosf(a);
        if (i + 1 < n)
            x[i + 1] = r * sinf(a);
    }
}

void cx_rng_fill_uniform(cx_rng *rng, float *x, size_t n, float low, float high) {
    for (size_t i = 0; i < n; i++)
        x[i] = low + (high - low) * ((float)(cx_rng_u32(rng) >> 8) * (1.0f / 16777216.0f));
}

void cx_rng_shuffle(cx_rng *rng, uint32_t *x, size_t n) {
    for (size_t i = n; i > 1; i--) {
        size_t j = cx_rng_below(rng, (uint32_t)i);
        uint32_t t = x[i - 1];
        x[i - 1] = x[j];
        x[j] = t;
    }
}
