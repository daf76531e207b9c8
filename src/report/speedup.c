#include "report/speedup.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double least_loss = 1e-12;

static double log_loss(double loss) {
    return log(fmax(loss, least_loss));
}

/* Between (x0, y0) and (x1, y1) at y, all logarithms; from the nearer end, so that both
 * are met exactly. */
static double between(double x0, double y0, double x1, double y1, double y) {
    double share = (y0 - y) / (y0 - y1);
    return share < 0.5 ? x0 + share * (x1 - x0) : x1 - (1 - share) * (x1 - x0);
}

double cx_length_to_reach(const double *length, const double *loss, int n, double target) {
    if (!isfinite(target) || n < 1)
        return -INFINITY;
    double before = isfinite(loss[0]) ? loss[0] : INFINITY;
    if (target > before)
        return -INFINITY;
    if (target == before)
        return length[0];
    for (int i = 1; i < n; i++) {
        if (!isfinite(loss[i]) || loss[i] >= before)
            continue;
        if (target == loss[i] || (target > loss[i] && !isfinite(before)))
            return length[i];
        if (target > loss[i]) {
            /* where the running minimum has stood still, it is left at the last moment */
            return exp(between(log(length[i - 1]), log_loss(before), log(length[i]),
                               log_loss(loss[i]), log_loss(target)));
        }
        before = loss[i];
    }
    return INFINITY;
}

cx_bound cx_bound_of(int n, int below, int above) {
    if (n > 0 && (below == n || above == n))
        return below == n ? CX_BOUND_BELOW : CX_BOUND_ABOVE;
    if (below > 0 && above > 0)
        return CX_BOUND_EITHER;
    return below > 0 ? CX_BOUND_MOST : above > 0 ? CX_BOUND_LEAST : CX_BOUND_NONE;
}

const char *cx_bound_name(cx_bound b) {
    static const char *const names[] = {"exact", "at least", "at most", "about", "above", "below"};
    return (unsigned)b < sizeof names / sizeof names[0] ? names[b] : "?";
}

int cx_speedup_of(const double *reached, int n, double least, double largest, uint64_t seed,
                  double *logs, cx_speedup *out, cx_error *err) {
    *out = (cx_speedup){.log = {NAN, NAN, NAN}, .median = NAN, .n = n};
    for (int i = 0; i < n; i++) {
        out->below += reached[i] < least;
        out->above += reached[i] > largest;
        logs[i] = log(fmin(fmax(reached[i], least), largest));
    }
    out->log = cx_bootstrap_mean(logs, n, seed);
    out->bound = cx_bound_of(n, out->below, out->above);
    return cx_stats_percentile(logs, n, 50, &out->median, err);
}

/* "1/2" for 0.5, and so on; else as a number. */
static void show_bound(double x, char *out, size_t size) {
    double inverse = 1 / x;
    if (x < 1 && fabs(inverse - round(inverse)) < 1e-9)
        (void)snprintf(out, size, "1/%.0f", inverse);
    else
        (void)snprintf(out, size, "%g", x);
}

void cx_speedup_text(double log, cx_bound bound, double least, double largest, char *out,
                     size_t size) {
    static const char *const signs[] = {[CX_BOUND_NONE] = "",
                                        [CX_BOUND_LEAST] = ">= ",
                                        [CX_BOUND_MOST] = "<= ",
                                        [CX_BOUND_EITHER] = "~ "};
    char end[32];
    if (!isfinite(log)) {
        (void)snprintf(out, size, "-");
    } else if (bound == CX_BOUND_ABOVE || bound == CX_BOUND_BELOW) {
        show_bound(bound == CX_BOUND_ABOVE ? largest : least, end, sizeof end);
        (void)snprintf(out, size, "%c %s x", bound == CX_BOUND_ABOVE ? '>' : '<', end);
    } else {
        (void)snprintf(out, size, "%s%.2f x", signs[bound], exp(log));
    }
}

/* --- trials --- */

typedef struct {
    double valid, test;
} trial;

static int by_validation(const void *a, const void *b) {
    const trial *x = a, *y = b;
    if (x->valid != y->valid)
        return x->valid < y->valid ? -1 : 1;
    return (x->test > y->test) - (x->test < y->test);
}

/* Expected test loss of the best of N, of n sorted trials. */
static double expectation(const trial *t, int n, int N) {
    double p = (double)N / n, sum = 0;
    for (int i = 0; i + N <= n; i++) {
        sum += p * t[i].test;
        if (i + 1 < n)
            p *= (double)(n - i - N) / (n - 1 - i);
    }
    return sum;
}

int cx_trials_worth(const double *valid, const double *test, int n, double target, double *expected,
                    int *worth, cx_error *err) {
    double largest = -INFINITY;
    *worth = 0;
    if (n < 1)
        return CX_OK;
    trial *t = calloc((size_t)n, sizeof *t);
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for %d trials", n);
    for (int i = 0; i < n; i++)
        if (isfinite(test[i]))
            largest = fmax(largest, test[i]);
    for (int i = 0; i < n; i++) {
        t[i].valid = isfinite(valid[i]) ? valid[i] : INFINITY;
        t[i].test = isfinite(test[i]) ? test[i] : largest > -INFINITY ? largest : INFINITY;
    }
    qsort(t, (size_t)n, sizeof *t, by_validation);
    for (int N = 1; N <= n; N++) {
        expected[N - 1] = expectation(t, n, N);
        if (!*worth && expected[N - 1] <= target)
            *worth = N;
    }
    free(t);
    return CX_OK;
}
