#include "config/distribution.h"

#include <math.h>

static double clamp(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

double cx_dist_sample(const cx_dist *dist, cx_rng *rng) {
    double low = dist->low, high = dist->high;
    switch (dist->kind) {
    case CX_DIST_CONSTANT:
        return low;
    case CX_DIST_CHOICE:
        return dist->choice[cx_rng_below(rng, (uint32_t)dist->n_choices)];
    case CX_DIST_UNIFORM:
        return clamp(low + (high - low) * cx_rng_uniform(rng), low, high);
    case CX_DIST_LOG:
    case CX_DIST_LOG_INT: {
        double x = exp(log(low) + (log(high) - log(low)) * cx_rng_uniform(rng));
        return clamp(dist->kind == CX_DIST_LOG_INT ? round(x) : x, low, high);
    }
    case CX_DIST_INT:
        return low + cx_rng_below(rng, (uint32_t)(high - low) + 1);
    }
    return low;
}

/* By rank among the distinct choices: words have no scale, and listed numbers are
 * as often a geometric series as not. */
static double choice_position(const cx_dist *dist, double value) {
    int below = 0, distinct = 0;
    for (int i = 0; i < dist->n_choices; i++) {
        bool first = true;
        for (int j = 0; j < i; j++)
            first = first && dist->choice[j] != dist->choice[i];
        distinct += first;
        below += first && dist->choice[i] < value;
    }
    return distinct > 1 ? clamp(2.0 * below / (distinct - 1) - 1, -1, 1) : 0;
}

double cx_dist_position(const cx_dist *dist, double value) {
    double low = dist->low, high = dist->high;
    if (dist->kind == CX_DIST_CONSTANT || isnan(value))
        return 0;
    if (dist->kind == CX_DIST_CHOICE)
        return choice_position(dist, value);
    if (low >= high)
        return 0;
    value = clamp(value, low, high);
    if (dist->kind == CX_DIST_LOG || dist->kind == CX_DIST_LOG_INT)
        return 2 * (log(value) - log(low)) / (log(high) - log(low)) - 1;
    return 2 * (value - low) / (high - low) - 1;
}

int cx_dist_values(const cx_dist *dist, double out[CX_CHOICES_MAX]) {
    double low = dist->low, n = dist->high - low + 1;
    if (dist->kind == CX_DIST_CONSTANT)
        n = 1;
    else if (dist->kind == CX_DIST_CHOICE)
        n = dist->n_choices;
    else if (dist->kind != CX_DIST_INT && dist->kind != CX_DIST_LOG_INT)
        return 0;
    if (!(n >= 1 && n <= CX_CHOICES_MAX))
        return 0;
    for (int i = 0; i < (int)n; i++)
        out[i] = dist->kind == CX_DIST_CHOICE ? dist->choice[i] : low + i;
    return (int)n;
}

double cx_dist_end(const cx_dist *dist, bool largest) {
    return largest ? dist->high : dist->low;
}
