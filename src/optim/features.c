#include "optim/features.h"

#include <math.h>
#include <string.h>

const char *cx_feature_name(cx_feature f) {
    static const char *const names[] = {
#define X(name) #name,
        CX_FEATURE_TABLE(X)
#undef X
    };
    return (unsigned)f < CX_FEATURE_COUNT ? names[f] : "?";
}

static double log_safe(double x) {
    return log(x + 1e-8);
}

/* The standard normal distribution function; erfc keeps the far tail. */
static double phi(double x) {
    return 0.5 * erfc(-x * M_SQRT1_2);
}

static double logit_phi(double x) {
    double p = phi(x);
    p = p < 1e-8 ? 1e-8 : p > 1 - 1e-8 ? 1 - 1e-8 : p;
    return log(p / (1 - p));
}

static double cosine(double dot, double a, double b) {
    double norms = a * b;
    return dot / (norms > 1e-8 ? norms : 1e-8);
}

void cx_features_of_tensor(const cx_update_sums *sums, const cx_feature_input *in,
                           double features[CX_FEATURE_COUNT]) {
    const double size = (double)in->size, root = sqrt(size);
    const double p = sqrt(cx_lanes_sum(&sums->pp)), u = sqrt(cx_lanes_sum(&sums->uu));
    const double m = sqrt(cx_lanes_sum(&sums->mm)) / in->c1, g = in->g_norm;
    const double gm = cx_lanes_sum(&sums->gm) / in->c1, gu = cx_lanes_sum(&sums->gu);
    /* g.p takes p after the update, which is p - lr u - shrink p: no pass of its own */
    const double gp = (1 - in->shrink) * cx_lanes_sum(&sums->gp) - in->lr * gu;
    const double with_m = cosine(gm, g, m), with_p = cosine(gp, g, p), with_u = cosine(gu, g, u);

    features[CX_FEATURE_did_grad_clip] = in->clipped;
    features[CX_FEATURE_sqrt_v_hat_gt_epsilon] = (double)sums->above / size;
    features[CX_FEATURE_mean_log_abs_adam_pre_lr_update] =
        isnan(u) ? NAN : cx_lanes_sum(&sums->log_u) / size;
    features[CX_FEATURE_log_two_regimes_scale] = log_safe(m) - log_safe(g);
    features[CX_FEATURE_log_adam_update_norm_over_param_norm] = log_safe(in->lr * u) - log_safe(p);
    features[CX_FEATURE_log_noise_scale] = log_safe(m) - log_safe(sqrt(cx_lanes_sum(&sums->dd)));
    features[CX_FEATURE_log_lamb] = log_safe(p) - log_safe(u);
    features[CX_FEATURE_cosine_similarity_grad_momentum] = with_m;
    features[CX_FEATURE_cosine_similarity_grad_param] = with_p;
    features[CX_FEATURE_cosine_similarity_grad_update] = with_u;
    features[CX_FEATURE_logit_cdf_cosine_similarity_grad_momentum] = logit_phi(with_m * root);
    features[CX_FEATURE_logit_cdf_cosine_similarity_grad_update] = logit_phi(with_u * root);
    features[CX_FEATURE_cdf_cosine_similarity_grad_param] = phi(with_p * root);
}

void cx_features_add(cx_feature_means *means, const double *features,
                     const cx_optim_tensor *tensors, int n_tensors, int n_groups, double *scratch) {
    double *sum = scratch, *count = scratch + n_groups;
    for (int f = 0; f < CX_FEATURE_COUNT; f++) {
        memset(scratch, 0, 2 * (size_t)n_groups * sizeof *scratch);
        for (int t = 0; t < n_tensors; t++) {
            double x = features[t * CX_FEATURE_COUNT + f];
            if (isnan(x))
                continue;
            sum[tensors[t].group] += x;
            count[tensors[t].group] += 1;
        }
        double step = 0, groups = 0;
        for (int g = 0; g < n_groups; g++)
            if (count[g] > 0) {
                step += sum[g] / count[g];
                groups += 1;
            }
        if (groups > 0) {
            means->sum[f] += step / groups;
            means->count[f] += 1;
        }
    }
}
