/* How much faster, and worth how many trials: the figures by which a run is compared with
 * a tuned baseline (lhopt, section "evaluation"). Losses are excesses over the optimum. */
#ifndef CX_REPORT_SPEEDUP_H
#define CX_REPORT_SPEEDUP_H

#include "base/error.h"
#include "report/stats.h"
#include <stdbool.h>
#include <stddef.h>

/* Length (in units of length[]) at which a baseline that was retrained at the n lengths
 * length[] (ascending), with final losses loss[], reaches the loss `target`: log-log
 * interpolation on the losses' running minimum, each of them met exactly. -INFINITY: the
 * shortest run has less already (or the target is no finite number: a diverged run);
 * INFINITY: none reaches it. A loss that is not finite counts as infinite: what
 * lies between it and a finite one is given the longer length. */
double cx_length_to_reach(const double *length, const double *loss, int n, double target);

/* How a mean or an order statistic of numbers that were cut at two ends is to be read. */
typedef enum {
    CX_BOUND_NONE,   /* as it is */
    CX_BOUND_LEAST,  /* it is at least this: some were cut from above */
    CX_BOUND_MOST,   /* at most: some were cut from below */
    CX_BOUND_EITHER, /* about: some were on either side */
    CX_BOUND_ABOVE,  /* all were above the upper end */
    CX_BOUND_BELOW   /* all were below the lower one */
} cx_bound;
/* Of n numbers, of which so many were below and above. */
cx_bound cx_bound_of(int n, int below, int above);
const char *cx_bound_name(cx_bound b); /* "exact", "at least", ... for files */

/* Speedups of several seeds. Logarithms of what is outside the lengths are cut to
 * the nearest of them, and counted: the mean is then a bound, not a value. */
typedef struct {
    cx_interval log;  /* of the mean of the logarithms; bootstrap over seeds */
    double median;    /* of the logarithms, cut alike */
    int below, above; /* seeds outside: true mean is lower, higher */
    int n;
    cx_bound bound; /* of the mean */
} cx_speedup;
/* reached[n]: from cx_length_to_reach. logs[n] receives the logarithms, cut. */
int cx_speedup_of(const double *reached, int n, double least, double largest, uint64_t seed,
                  double *logs, cx_speedup *out, cx_error *err);
/* "1.52 x" of a logarithm; "> 4 x" and "< 1/2 x" where all are outside; ">= 2.9 x", "<= 0.8 x"
 * and "~ 1.1 x" where some are. */
void cx_speedup_text(double log, cx_bound bound, double least, double largest, char *out,
                     size_t size);

/* Tuning by n trials, of which the one with the least validation loss is taken: the
 * expected test loss of the best of N random ones, exactly, over all subsets: the i-th best
 * (from 0) is the best of a subset with probability C(n-1-i, N-1) / C(n, N). A
 * trial without a finite validation loss is the last choice; where the test loss is
 * not finite the largest finite one stands for it. expected[N-1] for N = 1 .. n.
 * *worth: the least N whose expectation is at or below `target`; 0: none. CX_ENOMEM. */
int cx_trials_worth(const double *valid, const double *test, int n, double target, double *expected,
                    int *worth, cx_error *err);

#endif
