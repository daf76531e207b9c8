#include "workers/baseline.h"

#include "base/clock.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS_WITHIN = 14, POINTS_BEYOND = 6 };

typedef struct {
    const cx_config *config;
    cx_task *task;
    cx_split split;
    int examples;
    const cx_interrupt *interrupt;
    bool stopped; /* by it */
    cx_inner_run *inner;
    cx_hyper hyper;
} sweeper;

/* Loss above the task's optimum; +INFINITY when it is not finite. */
static double excess_loss(sweeper *s) {
    double loss = cx_inner_run_evaluate(s->inner, s->split, s->examples, true, NULL) -
                  cx_task_optimum(s->task);
    return isfinite(loss) ? fmax(loss, 1e-12) : INFINITY;
}

/* Goes on to log-spaced points in (from, to] and appends them to the curve. */
static bool continue_run(sweeper *s, cx_curve *curve, double from, double to, int points) {
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
        if (curve->n < CX_BASELINE_POINTS_MAX) {
            curve->t[curve->n] = at;
            curve->loss[curve->n] = loss;
            curve->n++;
        }
    }
    return true;
}

static void set_lr(sweeper *s, double lr) {
    s->hyper.value[CX_HYPER_LR] = lr;
    cx_optimizer_set_hyper(s->inner->optimizer, &s->hyper);
}

/* From the initial weights to N. False: diverged, or stopped. */
static bool run_within(sweeper *s, const cx_sweep_run *run, cx_sweep_outcome *out) {
    int n = s->task->inner_steps;
    out->curve.n = 0;
    out->final_loss = INFINITY;
    cx_inner_run_restart(s->inner);
    if (run->number == 0)
        out->initial_loss = excess_loss(s);
    set_lr(s, run->lr);
    if (!continue_run(s, &out->curve, fmax(1, n / 64.0), n, POINTS_WITHIN))
        return false;
    out->final_loss = out->curve.n ? out->curve.loss[out->curve.n - 1] : INFINITY;
    return isfinite(out->final_loss);
}

/* From N on. */
static void run_beyond(sweeper *s, cx_sweep_outcome *out) {
    double n = s->task->inner_steps;
    (void)continue_run(s, &out->curve, n, n * s->config->reward.length_factor, POINTS_BEYOND);
}

static int interrupted(const sweeper *s, cx_error *err) {
    return s->stopped ? cx_fail(err, CX_ESTOPPED, "a baseline sweep was interrupted") : CX_OK;
}

/* `state` [CX_SWEEP_RUNS_MAX]: what runs to N ended with, so that the best ones can be continued
 * without being run again. */
static int do_run(sweeper *s, const cx_sweep *sweep, const cx_sweep_run *run, cx_snapshot *state,
                  cx_sweep_outcome *out, cx_error *err) {
    double start = cx_clock_now();
    if (run->beyond) {
        *out = *cx_sweep_outcome_of(sweep, run->continues);
        cx_snapshot_load(&state[run->continues], s->inner, true);
        set_lr(s, run->lr);
        run_beyond(s, out);
    } else {
        cx_snapshot *saved = &state[run->number];
        int rc = cx_snapshot_create(s->inner, saved, err);
        if (rc)
            return rc;
        if (run_within(s, run, out))
            cx_snapshot_save(saved, s->inner);
    }
    out->seconds = cx_clock_now() - start;
    return interrupted(s, err);
}

static int run_all(sweeper *s, cx_sweep *sweep, cx_error *err) {
    cx_snapshot state[CX_SWEEP_RUNS_MAX];
    cx_sweep_run run;
    int rc = CX_OK;
    memset(state, 0, sizeof state);
    while (!rc && cx_sweep_next(sweep, &run)) {
        cx_sweep_outcome outcome;
        memset(&outcome, 0, sizeof outcome);
        rc = do_run(s, sweep, &run, state, &outcome, err);
        if (!rc)
            cx_sweep_answer(sweep, run.number, &outcome);
    }
    for (int i = 0; i < CX_SWEEP_RUNS_MAX; i++)
        cx_snapshot_destroy(&state[i]);
    return rc;
}

static int prepare(sweeper *s, cx_error *err) {
    cx_rule_config rule;
    int rc = cx_rule_named("adam", &rule, &s->hyper, err);
    return rc ? rc : cx_inner_run_create(s->config, s->task, &rule, &s->inner, err);
}

int cx_baseline_run(const cx_config *config, cx_task *task, cx_split split, int examples,
                    const cx_interrupt *interrupt, cx_baseline *out, cx_error *err) {
    double start = cx_clock_now();
    sweeper s = {config, task, split, examples, interrupt, false, NULL, {{0}}};
    cx_sweep *sweep;
    memset(out, 0, sizeof *out);
    int rc = cx_sweep_create(config, &sweep, err);
    if (!rc)
        rc = prepare(&s, err);
    if (!rc)
        rc = run_all(&s, sweep, err);
    if (!rc) {
        cx_sweep_baseline(sweep, cx_task_hash(&task->spec, config), task->inner_steps, out);
        out->seconds = cx_clock_now() - start;
    }
    cx_inner_run_destroy(s.inner);
    cx_sweep_destroy(sweep);
    return rc;
}

int cx_baseline_run_one(const cx_config *config, cx_task *task, cx_split split, int examples,
                        const cx_sweep_run *run, const cx_interrupt *interrupt,
                        cx_sweep_outcome *out, cx_error *err) {
    double start = cx_clock_now();
    sweeper s = {config, task, split, examples, interrupt, false, NULL, {{0}}};
    memset(out, 0, sizeof *out);
    int rc = prepare(&s, err);
    if (rc)
        return rc;
    if (run_within(&s, run, out) && run->beyond)
        run_beyond(&s, out);
    cx_inner_run_destroy(s.inner);
    out->seconds = cx_clock_now() - start;
    return interrupted(&s, err);
}
