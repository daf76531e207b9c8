#include "policy/reward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double least_loss = 1e-12; /* of a loss, so that its logarithm is finite */
static const double distinct = 1e-9;    /* relative fall that makes a point a knot */
static const double raw_limit = 30;     /* of the reward before clipping: it stays finite */
/* of the slope of log t over -log L; the same as 0.01 .. 20 for the exponent alpha */
static const double slope_least = 0.05, slope_largest = 100, slope_unknown = 2;

static double floored(double loss) {
    return loss > least_loss ? loss : least_loss;
}

/* log t at which the baseline's curve has the loss `loss` */
static double curve_log_t(const cx_baseline *b, double loss) {
    int last = b->n_points - 1;
    double x = -log(loss);
    if (loss >= b->loss[0])
        return log(b->t[0]) + b->slope * (x + log(b->loss[0]));
    if (loss <= b->loss[last])
        return log(b->t[last]) + b->slope * (x + log(b->loss[last]));
    int i = 1;
    while (b->loss[i] > loss)
        i++;
    double x0 = -log(b->loss[i - 1]), x1 = -log(b->loss[i]);
    double y0 = log(b->t[i - 1]), y1 = log(b->t[i]);
    /* from the nearer end, so that each knot is met exactly */
    return x - x0 < x1 - x ? y0 + (y1 - y0) * ((x - x0) / (x1 - x0))
                           : y1 - (y1 - y0) * ((x1 - x) / (x1 - x0));
}

/* log(t/N) at which the power fit, anchored at L_N, has a loss below L_N */
static double fit_log_ratio(const cx_baseline *b, double loss) {
    double anchor = b->loss[b->n_points - 1];
    if (loss <= b->asymptote)
        return raw_limit;
    return -log((loss - b->asymptote) / (anchor - b->asymptote)) / b->alpha;
}

double cx_reward(const cx_config *config, const cx_baseline *baseline, double loss, double *raw) {
    const cx_baseline *b = baseline;
    double value = config->reward.floor, top;
    /* power fit: t_reach is at most 2 N, for the fit says little about what comes later */
    top = config->reward.form == CX_REWARD_POWER_FIT ? log(2) : log(8);
    if (isfinite(loss)) {
        loss = floored(loss);
        if (b->n_points < 1) /* nothing of the sweep was finite: every end is as good */
            value = 0;
        else if (config->reward.form == CX_REWARD_POWER_FIT && loss < b->loss[b->n_points - 1])
            value = fit_log_ratio(b, loss);
        else
            value = curve_log_t(b, loss) - log(b->steps);
    }
    value = fmin(fmax(value, config->reward.floor), raw_limit);
    if (raw)
        *raw = value;
    return fmin(value, top);
}

/* --- fitting --- */

typedef struct {
    double t, loss;
} point;

#define POINTS_MAX (2 * CX_BASELINE_POINTS_MAX + 2)

static int by_time(const void *a, const void *b) {
    const point *x = a, *y = b;
    if (x->t != y->t)
        return x->t < y->t ? -1 : 1;
    return (x->loss > y->loss) - (x->loss < y->loss);
}

/* The usable points of some curves up to time `end`, and the initial loss at t = 1,
 * by time and, at one time, by loss. */
static int gather(const cx_baseline *b, const cx_curve *curves, int n_curves, double end,
                  point *p) {
    int n = 0;
    if (isfinite(b->initial_loss))
        p[n++] = (point){1, floored(b->initial_loss)};
    for (int c = 0; c < n_curves; c++)
        for (int i = 0; i < curves[c].n && i < CX_BASELINE_POINTS_MAX; i++)
            if (isfinite(curves[c].loss[i]) && curves[c].t[i] >= 1 && curves[c].t[i] <= end &&
                n < POINTS_MAX)
                p[n++] = (point){curves[c].t[i], floored(curves[c].loss[i])};
    qsort(p, (size_t)n, sizeof *p, by_time);
    return n;
}

/* Keeps the points at which the running minimum falls. The curve is made to pass
 * through `anchor` = (N, best loss): an earlier dip below it was not held until N, and
 * a run is measured against what an Adam run of N steps ends with. Returns the number
 * of knots and the anchor's index in *at. */
static int lower_envelope(const point *p, int n, point anchor, point *knot, int *at) {
    int m = 0;
    double low = INFINITY;
    for (int i = 0; i < n && p[i].t < anchor.t; i++) {
        if (p[i].loss > anchor.loss * (1 + distinct) && p[i].loss < low * (1 - distinct)) {
            knot[m++] = p[i];
            low = p[i].loss;
        }
    }
    *at = m;
    knot[m++] = anchor;
    low = anchor.loss;
    for (int i = 0; i < n; i++)
        if (p[i].t > anchor.t && p[i].loss < low * (1 - distinct)) {
            knot[m++] = p[i];
            low = p[i].loss;
        }
    return m;
}

/* Stores the knots; where they are too many, those go whose neighbors are closest in
 * log t, but never an end or the anchor. */
static void store(cx_baseline *b, point *knot, int n, int anchor) {
    while (n > CX_BASELINE_POINTS_MAX) {
        int drop = -1;
        for (int i = 1; i + 1 < n; i++)
            if (i != anchor &&
                (drop < 0 || knot[i + 1].t / knot[i - 1].t < knot[drop + 1].t / knot[drop - 1].t))
                drop = i;
        memmove(knot + drop, knot + drop + 1, (size_t)(n - drop - 1) * sizeof *knot);
        anchor -= drop < anchor;
        n--;
    }
    for (int i = 0; i < n; i++) {
        b->t[i] = knot[i].t;
        b->loss[i] = knot[i].loss;
    }
    b->n_points = n;
}

/* -log L of the stored curve at time t, between its ends */
static double curve_at(const cx_baseline *b, double t) {
    int last = b->n_points - 1, i = 1;
    if (t <= b->t[0])
        return -log(b->loss[0]);
    if (t >= b->t[last])
        return -log(b->loss[last]);
    while (b->t[i] < t)
        i++;
    double share = log(t / b->t[i - 1]) / log(b->t[i] / b->t[i - 1]);
    return -log(b->loss[i - 1]) * (1 - share) - log(b->loss[i]) * share;
}

/* Slope of log t over -log L between [N/4, end], where `end` is where the data ends. */
static double envelope_slope(const cx_baseline *b, double end) {
    double start = fmax(b->steps / 4, b->t[0]);
    double rise = log(end / start), run = curve_at(b, end) - curve_at(b, start);
    if (!(rise > 0))
        return slope_unknown;
    return run > 0 ? fmin(fmax(rise / run, slope_least), slope_largest) : slope_largest;
}

/* Least-squares slope of log(L - c) over log t, from t >= N/4; alpha is its negative. */
static double power_exponent(const cx_baseline *b, const cx_curve *best, double asymptote) {
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (int i = 0; best && i < best->n && i < CX_BASELINE_POINTS_MAX; i++) {
        double t = best->t[i], y = best->loss[i] - asymptote;
        if (t < b->steps / 4 || t < 1 || t > b->steps || !isfinite(y) || !(y > 0))
            continue;
        double x = log(t / b->steps);
        y = log(y);
        n += 1;
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
    }
    double spread = n * sxx - sx * sx;
    if (n < 2 || !(spread > 1e-12 * n * n))
        return 1 / slope_unknown;
    double alpha = -(n * sxy - sx * sy) / spread;
    return fmin(fmax(alpha, 1 / slope_largest), 1 / slope_least);
}

/* The curve of the sweep's best run: the one that is lowest at N. */
static const cx_curve *best_curve(const cx_baseline *b, const cx_curve *curves, int n_curves) {
    const cx_curve *best = NULL;
    double least = INFINITY;
    for (int c = 0; c < n_curves; c++) {
        double loss = INFINITY;
        for (int i = 0; i < curves[c].n && i < CX_BASELINE_POINTS_MAX; i++)
            if (curves[c].t[i] <= b->steps)
                loss = curves[c].loss[i];
        if (!best || loss < least) {
            best = &curves[c];
            least = loss;
        }
    }
    return best;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What the sweep's own runs get: how good a wild guess of the learning rate is. */
static void own_rewards(const cx_config *config, cx_baseline *b) {
    double r[CX_BASELINE_RUNS_MAX], sum = 0;
    int n = b->n_runs < CX_BASELINE_RUNS_MAX ? b->n_runs : CX_BASELINE_RUNS_MAX;
    b->mean_reward = b->median_reward = b->best_reward = 0;
    if (n < 1)
        return;
    for (int i = 0; i < n; i++) {
        r[i] = cx_reward(config, b, b->final_loss[i], NULL);
        sum += r[i];
    }
    qsort(r, (size_t)n, sizeof *r, by_value);
    b->mean_reward = sum / n;
    b->median_reward = 0.5 * (r[n / 2] + r[(n - 1) / 2]);
    b->best_reward = r[n - 1];
}

static void find_best(cx_baseline *b) {
    b->best_lr = 0;
    b->best_loss = INFINITY;
    for (int i = 0; i < b->n_runs && i < CX_BASELINE_RUNS_MAX; i++)
        if (isfinite(b->final_loss[i]) && floored(b->final_loss[i]) < b->best_loss) {
            b->best_lr = b->lr[i];
            b->best_loss = floored(b->final_loss[i]);
        }
}

void cx_baseline_fit(const cx_config *config, cx_baseline *baseline, const cx_curve *curves,
                     int n_curves) {
    cx_baseline *b = baseline;
    bool power = config->reward.form == CX_REWARD_POWER_FIT;
    find_best(b);
    b->n_points = 0;
    memset(b->t, 0, sizeof b->t);
    memset(b->loss, 0, sizeof b->loss);
    b->slope = slope_unknown;
    b->alpha = 1 / slope_unknown;
    b->asymptote = b->scale = 0;
    /* where the whole sweep diverged, standing still is the best that Adam does */
    point anchor = {b->steps, isfinite(b->best_loss) ? b->best_loss : floored(b->initial_loss)};
    if (isfinite(b->best_loss) || isfinite(b->initial_loss)) {
        const cx_curve *best = best_curve(b, curves, n_curves);
        double end = power ? b->steps : b->steps * fmax(config->reward.length_factor, 1);
        point p[POINTS_MAX], knot[POINTS_MAX + 1];
        int at, n = power ? gather(b, best, best ? 1 : 0, end, p)
                          : gather(b, curves, n_curves < 2 ? n_curves : 2, end, p);
        int m = lower_envelope(p, n, anchor, knot, &at);
        store(b, knot, m, at);
        /* the data's end: the curve may have stood still after its last knot */
        b->slope = envelope_slope(b, n && p[n - 1].t > b->steps ? p[n - 1].t : b->steps);
        b->asymptote = anchor.loss / 2;
        b->alpha = power_exponent(b, best, b->asymptote);
        b->scale = (anchor.loss - b->asymptote) * pow(b->steps, b->alpha);
    }
    own_rewards(config, b);
}
