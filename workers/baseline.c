#include "workers/baseline.h"

#include "base/clock.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS_WITHIN = 14, POINTS_BEYOND = 6 };

/* One learning rate of the sweep: its curve, and the state after N steps, so that the
 * best ones can be continued without being run again. */
typedef struct {
    double lr;
    cx_curve curve;
    double final_loss;
    cx_snapshot state;
} sweep_run;

typedef struct {
    const cx_config *config;
    cx_task *task;
    cx_split split;
    int examples;
    const cx_interrupt *interrupt;
    bool stopped; /* by it */
    cx_inner_run *inner;
    cx_hyper hyper;
    int n;
    sweep_run run[CX_BASELINE_RUNS_MAX];
} sweep;

/* Loss above the task's optimum; +INFINITY when it is not finite. */
static double excess_loss(sweep *s) {
    double loss = cx_inner_run_evaluate(s->inner, s->split, s->examples, true, NULL) -
                  cx_task_optimum(s->task);
    return isfinite(loss) ? fmax(loss, 1e-12) : INFINITY;
}

/* Goes on to log-spaced points in (from, to] and appends them to the curve. */
static bool continue_run(sweep *s, sweep_run *r, double from, double to, int points) {
    double first = fmax(from, 1);
    for (int i = 1; i <= points; i++) {
        int at = (int)lround(first * pow(to / first, (double)i / points));
        if (at <= s->inner->steps_done)
            continue;
        s->stopped |= s->interrupt && s->interrupt->asked(s->interrupt->context);
        if (s->stopped)
            return false;
        if (!cx_inner_run_advance(s->inner, at - s->inner->steps_done))
            return false;
        double loss = excess_loss(s);
        if (!isfinite(loss))
            return false;
        if (r->curve.n < CX_BASELINE_POINTS_MAX) {
            r->curve.t[r->curve.n] = at;
            r->curve.loss[r->curve.n] = loss;
            r->curve.n++;
        }
    }
    return true;
}

static void set_lr(sweep *s, double lr) {
    s->hyper.value[CX_HYPER_LR] = lr;
    cx_optimizer_set_hyper(s->inner->optimizer, &s->hyper);
}

/* Runs one lr and inserts it into the list, which is ascending in lr. */
static int run_lr(sweep *s, double lr, cx_error *err) {
    int at = 0;
    while (at < s->n && s->run[at].lr < lr)
        at++;
    memmove(&s->run[at + 1], &s->run[at], (size_t)(s->n - at) * sizeof s->run[0]);
    s->n++;
    sweep_run *r = &s->run[at];
    memset(r, 0, sizeof *r);
    r->lr = lr;
    r->final_loss = INFINITY;
    int rc = cx_snapshot_create(s->inner, &r->state, err);
    if (rc)
        return rc;
    cx_inner_run_restart(s->inner);
    set_lr(s, lr);
    int n = s->task->inner_steps;
    if (continue_run(s, r, fmax(1, n / 64.0), n, POINTS_WITHIN)) {
        r->final_loss = r->curve.n ? r->curve.loss[r->curve.n - 1] : INFINITY;
        cx_snapshot_save(&r->state, s->inner);
    }
    return s->stopped ? cx_fail(err, CX_ESTOPPED, "a baseline sweep was interrupted") : CX_OK;
}

static int best_index(const sweep *s) {
    int best = 0;
    for (int i = 1; i < s->n; i++)
        if (s->run[i].final_loss < s->run[best].final_loss)
            best = i;
    return best;
}

/* Half decades beyond the edge, as long as the best is there. */
static int bracket(sweep *s, cx_error *err) {
    const double half_decade = sqrt(10.0);
    for (int i = 0; i < s->config->reward.max_extensions && s->n < CX_BASELINE_RUNS_MAX; i++) {
        int best = best_index(s), rc;
        if (best == 0)
            rc = run_lr(s, s->run[0].lr / half_decade, err);
        else if (best == s->n - 1)
            rc = run_lr(s, s->run[s->n - 1].lr * half_decade, err);
        else
            break;
        if (rc)
            return rc;
    }
    return CX_OK;
}

static void continue_best(sweep *s, int i) {
    sweep_run *r = &s->run[i];
    if (!r->state.full)
        return;
    double n = s->task->inner_steps;
    cx_snapshot_load(&r->state, s->inner, true);
    set_lr(s, r->lr);
    (void)continue_run(s, r, n, n * s->config->reward.length_factor, POINTS_BEYOND);
}

static int sweep_all(sweep *s, cx_baseline *out, cx_error *err) {
    const cx_reals *grid = &s->config->reward.learning_rates;
    out->initial_loss = excess_loss(s);
    for (int i = 0; i < grid->n && s->n < CX_BASELINE_RUNS_MAX; i++) {
        int rc = run_lr(s, grid->value[i], err);
        if (rc)
            return rc;
    }
    int rc = bracket(s, err);
    if (rc)
        return rc;
    int best = best_index(s), curves = 0;
    cx_curve curve[2];
    bool envelope = s->config->reward.form == CX_REWARD_ENVELOPE;
    for (int i = best; i >= 0 && i >= best - (envelope ? 1 : 0); i--) {
        if (envelope)
            continue_best(s, i);
        curve[curves++] = s->run[i].curve;
    }
    if (s->stopped)
        return cx_fail(err, CX_ESTOPPED, "a baseline sweep was interrupted");
    out->steps = s->task->inner_steps;
    out->n_runs = s->n;
    for (int i = 0; i < s->n; i++) {
        out->lr[i] = s->run[i].lr;
        out->final_loss[i] = s->run[i].final_loss;
    }
    cx_baseline_fit(s->config, out, curve, curves);
    return CX_OK;
}

int cx_baseline_run(const cx_config *config, cx_task *task, cx_split split, int examples,
                    const cx_interrupt *interrupt, cx_baseline *out, cx_error *err) {
    double start = cx_clock_now();
    memset(out, 0, sizeof *out);
    sweep *s = calloc(1, sizeof *s);
    if (!s)
        return cx_fail(err, CX_ENOMEM, "no memory for a baseline sweep");
    s->config = config;
    s->task = task;
    s->split = split;
    s->examples = examples;
    s->interrupt = interrupt;
    cx_rule_config rule;
    int rc = cx_rule_named("adam", &rule, &s->hyper, err);
    if (!rc)
        rc = cx_inner_run_create(config, task, &rule, &s->inner, err);
    if (!rc)
        rc = sweep_all(s, out, err);
    out->task_hash = cx_task_hash(&task->spec, config);
    out->seconds = cx_clock_now() - start;
    for (int i = 0; i < s->n; i++)
        cx_snapshot_destroy(&s->run[i].state);
    cx_inner_run_destroy(s->inner);
    free(s);
    return rc;
}
