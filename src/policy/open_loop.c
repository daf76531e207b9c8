#include "policy/open_loop.h"

#include <math.h>

const cx_hyper *cx_open_loop_at(const cx_open_loop *o, double progress) {
    int i = (int)(progress * CX_OPEN_LOOP_POINTS);
    if (i < 0)
        i = 0;
    if (i >= CX_OPEN_LOOP_POINTS)
        i = CX_OPEN_LOOP_POINTS - 1;
    return &o->point[i];
}

void cx_open_loop_span(int k, int K, int *first, int *last) {
    *first = (k * CX_OPEN_LOOP_POINTS + K - 1) / K;
    *last = ((k + 1) * CX_OPEN_LOOP_POINTS + K - 1) / K;
    if (*last > CX_OPEN_LOOP_POINTS)
        *last = CX_OPEN_LOOP_POINTS;
}

void cx_open_loop_record(cx_open_loop *o, int k, int K, const cx_hyper *hyper) {
    int first, last;
    cx_open_loop_span(k, K, &first, &last);
    for (int i = first; i < last; i++)
        o->point[i] = *hyper;
}

static double to_line(const cx_config *config, int h, double x) {
    if (config->heads[h].logit)
        return log(x / (1 - x));
    return log(fmax(x, 1e-300));
}

static double from_line(const cx_config *config, int h, double y) {
    return config->heads[h].logit ? 1 / (1 + exp(-y)) : exp(y);
}

void cx_open_loop_mean(const cx_config *config, const cx_open_loop *const *list, int n,
                       cx_open_loop *out) {
    for (int i = 0; i < CX_OPEN_LOOP_POINTS; i++)
        for (int h = 0; h < CX_HYPER_COUNT; h++) {
            double sum = 0;
            for (int j = 0; j < n; j++)
                sum += to_line(config, h, list[j]->point[i].value[h]);
            out->point[i].value[h] = from_line(config, h, sum / n);
        }
}

static double mean_log_lr(const cx_open_loop *o) {
    double sum = 0;
    for (int i = 0; i < CX_OPEN_LOOP_POINTS; i++)
        sum += log(fmax(o->point[i].value[CX_HYPER_LR], 1e-300));
    return sum / CX_OPEN_LOOP_POINTS;
}

double cx_open_loop_exponent(const cx_open_loop *const *list, const double *steps, int n,
                             double *mean_log_steps) {
    double mx = 0, my = 0, sxy = 0, sxx = 0;
    for (int j = 0; j < n; j++) {
        mx += log(steps[j]) / n;
        my += mean_log_lr(list[j]) / n;
    }
    for (int j = 0; j < n; j++) {
        double x = log(steps[j]) - mx;
        sxx += x * x;
        sxy += x * (mean_log_lr(list[j]) - my);
    }
    *mean_log_steps = mx;
    return sxx > 1e-9 * n ? sxy / sxx : 0;
}

void cx_open_loop_scale_lr(const cx_config *config, cx_open_loop *o, double factor) {
    const cx_head_config *head = &config->heads[CX_HYPER_LR];
    for (int i = 0; i < CX_OPEN_LOOP_POINTS; i++) {
        double lr = o->point[i].value[CX_HYPER_LR] * factor;
        if (head->present)
            lr = fmin(fmax(lr, head->low), head->high);
        o->point[i].value[CX_HYPER_LR] = lr;
    }
}
