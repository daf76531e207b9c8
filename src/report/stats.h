/* Means, spreads and intervals of a handful of numbers. All take x[n] as it is: callers
 * leave out what has no value. Empty input gives NAN. */
#ifndef CX_REPORT_STATS_H
#define CX_REPORT_STATS_H

#include "base/error.h"
#include <stdint.h>

double cx_stats_mean(const double *x, int n);
double cx_stats_deviation(const double *x, int n); /* of the sample (n - 1); NAN for n < 2 */
double cx_stats_error(const double *x, int n);     /* standard error of the mean */
/* Percentile p in [0, 100], interpolated linearly between the order statistics (type 7
 * of Hyndman and Fan 1996, NumPy's default); p = 50: the median. CX_ENOMEM. */
int cx_stats_percentile(const double *x, int n, double p, double *out, cx_error *err);

/* Statistics that may reorder x, for cx_bootstrap_groups. */
typedef double (*cx_statistic)(const void *context, double *x, int n);
double cx_statistic_mean(const void *unused, double *x, int n);
double cx_statistic_median(const void *unused, double *x, int n);
/* Interquartile mean: of what lies between the quarters n/4 and 3n/4 of the sorted numbers;
 * those on the edge count with the share of them that lies within. */
double cx_statistic_iqm(const void *unused, double *x, int n);
double cx_statistic_least(const void *unused, double *x, int n);

typedef struct {
    double mean, low, high;
} cx_interval;

/* 95 % of the mean: +-1.96 standard errors. Too narrow below about 30 numbers. */
cx_interval cx_normal_mean(const double *x, int n);
/* 95 % of the mean by the percentile bootstrap (Efron 1979): the 2.5 and 97.5 percentiles
 * of the means of CX_RESAMPLES draws of n with replacement; a function of x and seed
 * alone. One number: both ends are it. */
enum { CX_RESAMPLES = 2000 };
cx_interval cx_bootstrap_mean(const double *x, int n, uint64_t seed);

/* 95 % of f over groups (tasks) of numbers (seeds): f of the groups' means, and the
 * percentiles of the same after drawing groups and, within each drawn one, numbers, with
 * replacement (CX_RESAMPLES times). x[g][0 .. n[g]-1], n[g] >= 1. CX_ENOMEM. */
int cx_bootstrap_groups(const double *const *x, const int *n, int groups, cx_statistic f,
                        const void *context, uint64_t seed, cx_interval *out, cx_error *err);
/* A share hits / n with Wilson's 95 % score interval (Wilson 1927), which is honest for few
 * and for all or none; ties may count one half. */
cx_interval cx_share_interval(double hits, int n);

/* Paired comparison: bootstrap interval of the mean of a[i] - b[i] (pairs are drawn
 * together), and the share of pairs with a < b, where a tie counts one half. CX_ENOMEM. */
typedef struct {
    cx_interval difference;
    double error; /* standard error of the mean difference */
    double share_less;
} cx_paired;
int cx_stats_paired(const double *a, const double *b, int n, uint64_t seed, cx_paired *out,
                    cx_error *err);

#endif
