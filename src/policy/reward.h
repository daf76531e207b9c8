/* The reward of an episode: log(t_reach / N), where t_reach is the number of inner steps at
 * which the Adam baseline reaches the run's final validation loss. 0 is "as fast as
 * the best Adam of the sweep", log 2 "twice as fast". */
#ifndef CX_POLICY_REWARD_H
#define CX_POLICY_REWARD_H

#include "config/config.h"
#include <stdint.h>

#define CX_BASELINE_RUNS_MAX 32
#define CX_BASELINE_POINTS_MAX 64

/* What the Adam sweep of one task instance left behind; flat, versioned by its
 * size on disk and on the wire. Losses are validation losses of the averaged
 * parameters, less the task's optimum, floored at 1e-12. */
typedef struct {
    uint64_t task_hash;
    double steps;        /* N */
    double initial_loss; /* at the initial weights */
    int32_t n_runs;      /* learning rates of the sweep, ascending */
    int32_t n_points;
    double lr[CX_BASELINE_RUNS_MAX];
    double final_loss[CX_BASELINE_RUNS_MAX]; /* after N steps; +INFINITY: diverged */
    double best_lr, best_loss;               /* least final loss */
    /* envelope: monotone lower envelope of the best and next lower lr, continued to
     * length_factor * N: loss[i] strictly falls, at t[i] inner steps (ascending).
     * power_fit: the best run's curve in [0, N], made monotone. */
    double t[CX_BASELINE_POINTS_MAX];
    double loss[CX_BASELINE_POINTS_MAX];
    double slope;                   /* of log t over -log L for extrapolation; 0.05 .. 100 */
    double alpha, asymptote, scale; /* power fit L(t) = asymptote + scale * t^-alpha */
    double mean_reward, median_reward, best_reward; /* of the sweep's own runs */
    double seconds;                                 /* what it cost */
} cx_baseline;

/* Least is reward.floor, largest log 8 (envelope) or log 2 (power_fit, which is
 * extrapolated to 2 N at most). Between the first point and the initial loss at t = 1 the
 * curve is interpolated, above that it goes on with `slope`. Where nothing of the sweep was
 * finite every finite loss is worth 0.
 * Reward of final loss `loss` (optimum already taken off; any double, also NAN,
 * INFINITY, 0). `raw` (may be NULL) is the value before clipping above, finite (at most 30). */
double cx_reward(const cx_config *config, const cx_baseline *baseline, double loss, double *raw);

/* Fills best_lr, best_loss, curve, slope, fit and the sweep's own rewards from raw points of the
 * continued runs. points are (t, loss) of one or two runs, each ascending in t;
 * t >= 1. n_runs, lr, final_loss, steps, initial_loss must be set. */
typedef struct {
    int n;
    double t[CX_BASELINE_POINTS_MAX], loss[CX_BASELINE_POINTS_MAX];
} cx_curve;
void cx_baseline_fit(const cx_config *config, cx_baseline *baseline, const cx_curve *curves,
                     int n_curves);

#endif
