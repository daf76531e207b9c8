#include "report/stats.h"

#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double cx_stats_mean(const double *x, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    return n > 0 ? sum / n : NAN;
}

double cx_stats_deviation(const double *x, int n) {
    if (n < 2)
        return NAN;
    double mean = cx_stats_mean(x, n), sum = 0;
    for (int i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sqrt(sum / (n - 1));
}

double cx_stats_error(const double *x, int n) {
    return n > 0 ? cx_stats_deviation(x, n) / sqrt(n) : NAN;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double of_sorted(const double *x, int n, double p) {
    double at = p / 100 * (n - 1);
    int i = at <= 0 ? 0 : (int)at;
    if (i >= n - 1)
        return x[n - 1];
    return x[i] + (at - i) * (x[i + 1] - x[i]);
}

int cx_stats_percentile(const double *x, int n, double p, double *out, cx_error *err) {
    *out = NAN;
    if (n < 1)
        return CX_OK;
    double *sorted = calloc((size_t)n, sizeof *sorted);
    if (!sorted)
        return cx_fail(err, CX_ENOMEM, "no memory for %d numbers", n);
    memcpy(sorted, x, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    *out = of_sorted(sorted, n, p);
    free(sorted);
    return CX_OK;
}

double cx_statistic_mean(const void *unused, double *x, int n) {
    (void)unused;
    return cx_stats_mean(x, n);
}

double cx_statistic_median(const void *unused, double *x, int n) {
    (void)unused;
    if (n < 1)
        return NAN;
    qsort(x, (size_t)n, sizeof *x, ascending);
    return of_sorted(x, n, 50);
}

double cx_statistic_iqm(const void *unused, double *x, int n) {
    (void)unused;
    double sum = 0, low = n / 4.0, high = 3 * n / 4.0;
    if (n < 1)
        return NAN;
    qsort(x, (size_t)n, sizeof *x, ascending);
    for (int i = 0; i < n; i++) {
        double within = fmin(i + 1, high) - fmax(i, low);
        if (within > 0)
            sum += within * x[i];
    }
    return sum / (high - low);
}

double cx_statistic_least(const void *unused, double *x, int n) {
    (void)unused;
    double least = n > 0 ? x[0] : NAN;
    for (int i = 1; i < n; i++)
        least = fmin(least, x[i]);
    return least;
}

cx_interval cx_normal_mean(const double *x, int n) {
    double mean = cx_stats_mean(x, n), half = 1.959963984540054 * cx_stats_error(x, n);
    return (cx_interval){mean, mean - half, mean + half};
}

cx_interval cx_bootstrap_mean(const double *x, int n, uint64_t seed) {
    if (n < 1)
        return (cx_interval){NAN, NAN, NAN};
    double means[CX_RESAMPLES];
    for (uint32_t r = 0; r < CX_RESAMPLES; r++) {
        cx_rng rng = cx_rng_make_sub(seed, 0, CX_STREAM_EVAL, r);
        double sum = 0;
        for (int i = 0; i < n; i++)
            sum += x[cx_rng_below(&rng, (uint32_t)n)];
        means[r] = sum / n;
    }
    qsort(means, CX_RESAMPLES, sizeof *means, ascending);
    return (cx_interval){cx_stats_mean(x, n), of_sorted(means, CX_RESAMPLES, 2.5),
                         of_sorted(means, CX_RESAMPLES, 97.5)};
}

/* The mean of a draw, with replacement, of as many of the group's numbers as there are. */
static double draw_mean(const double *x, int n, cx_rng *rng) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[cx_rng_below(rng, (uint32_t)n)];
    return sum / n;
}

int cx_bootstrap_groups(const double *const *x, const int *n, int groups, cx_statistic f,
                        const void *context, uint64_t seed, cx_interval *out, cx_error *err) {
    *out = (cx_interval){NAN, NAN, NAN};
    if (groups < 1)
        return CX_OK;
    double values[CX_RESAMPLES], *drawn = calloc((size_t)groups, sizeof *drawn);
    if (!drawn)
        return cx_fail(err, CX_ENOMEM, "no memory for %d groups", groups);
    for (int g = 0; g < groups; g++)
        drawn[g] = cx_stats_mean(x[g], n[g]);
    out->mean = f(context, drawn, groups);
    for (uint32_t r = 0; r < CX_RESAMPLES; r++) {
        cx_rng rng = cx_rng_make_sub(seed, 1, CX_STREAM_EVAL, r);
        for (int g = 0; g < groups; g++) {
            uint32_t from = cx_rng_below(&rng, (uint32_t)groups);
            drawn[g] = draw_mean(x[from], n[from], &rng);
        }
        values[r] = f(context, drawn, groups);
    }
    free(drawn);
    qsort(values, CX_RESAMPLES, sizeof *values, ascending);
    out->low = of_sorted(values, CX_RESAMPLES, 2.5);
    out->high = of_sorted(values, CX_RESAMPLES, 97.5);
    return CX_OK;
}

cx_interval cx_share_interval(double hits, int n) {
    if (n < 1)
        return (cx_interval){NAN, NAN, NAN};
    const double z = 1.959963984540054;
    double p = hits / n, scale = 1 + z * z / n, center = (p + z * z / (2 * n)) / scale;
    double half = z / scale * sqrt(p * (1 - p) / n + z * z / (4.0 * n * n));
    return (cx_interval){p, fmax(center - half, 0), fmin(center + half, 1)};
}

int cx_stats_paired(const double *a, const double *b, int n, uint64_t seed, cx_paired *out,
                    cx_error *err) {
    *out = (cx_paired){{NAN, NAN, NAN}, NAN, NAN};
    if (n < 1)
        return CX_OK;
    double *d = calloc((size_t)n, sizeof *d), less = 0;
    if (!d)
        return cx_fail(err, CX_ENOMEM, "no memory for %d pairs", n);
    for (int i = 0; i < n; i++) {
        d[i] = a[i] - b[i];
        less += a[i] < b[i] ? 1 : a[i] == b[i] ? 0.5 : 0;
    }
    out->difference = cx_bootstrap_mean(d, n, seed);
    out->error = cx_stats_error(d, n);
    out->share_less = less / n;
    free(d);
    return CX_OK;
}
