/* A configuration with the heads of the published table, made by hand. */
#ifndef CX_TESTS_POLICY_SAMPLE_H
#define CX_TESTS_POLICY_SAMPLE_H

#include "config/config.h"
#include <math.h>
#include <string.h>

static inline cx_head_config sample_head(bool logit, int n, const double *step, double low,
                                         double high, double noise_low, double noise_high) {
    cx_head_config h = {.present = true,
                        .logit = logit,
                        .n = n,
                        .low = low,
                        .high = high,
                        .noise_low = noise_low,
                        .noise_high = noise_high};
    memcpy(h.step, step, (size_t)n * sizeof *step);
    return h;
}

static inline void sample_config(cx_config *c) {
    static const double start[CX_HYPER_COUNT] = {1e-3, 1e-2, 1e-6, 1e-2, 0.1, 0.8, 1e-2, 0.05};
    static const double lr[] = {0.5, 0.707, 0.9, 1, 1.1, 1.414, 2}, half[] = {0.5, 2};
    static const double shift[] = {-1, -0.3, 0.3, 1}, three[] = {0.5, 1, 2};
    static const double small[] = {1 / 1.5, 1, 1.5};
    memset(c, 0, sizeof *c);
    memcpy(c->optimizer.start.value, start, sizeof start);
    c->registers = 3;
    c->heads[CX_HYPER_LR] = sample_head(false, 7, lr, 1e-8, 1, 1e-2, 1e2);
    c->heads[CX_HYPER_WEIGHT_DECAY] = sample_head(false, 2, half, 1e-8, 1, 0.1, 10);
    c->heads[CX_HYPER_EPSILON] = sample_head(false, 2, half, 1e-8, 1, 0.1, 10);
    c->heads[CX_HYPER_OMBETA2] = sample_head(false, 2, half, 1e-5, 0.1, 0.1, 10);
    c->heads[CX_HYPER_OMBETA1] = sample_head(false, 2, half, 1e-5, 1, 0.1, 10);
    c->heads[CX_HYPER_GROUP_CLIP] = sample_head(true, 4, shift, 1e-10, 1 - 1e-10, -1, 1);
    c->heads[CX_HYPER_CLIP_OMBETA] = sample_head(false, 3, three, 1e-5, 1, 0.5, 2);
    c->heads[CX_HYPER_LAMB_OMBETA] = sample_head(false, 3, small, 1e-5, 1, 0.5, 2);
    c->episode.feature_clip = 20;
    c->episode.noise_full_at = 32;
    c->reward.form = CX_REWARD_ENVELOPE;
    c->reward.floor = -3;
    c->reward.length_factor = 4;
    c->observations.cdf = 1;
    c->policy.hidden = 16;
    c->policy.lstm = 12;
    c->policy.residual = 1;
    c->policy.input_clip = 2;
    c->policy.input_beta = 0.999;
}

#endif
