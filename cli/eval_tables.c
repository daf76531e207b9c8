/* The tables of `coxswain eval`. */
#include "cli/eval.h"

#include "report/table.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const cx_evaluation *e;
    const cx_suite *suite;
    const cx_figures *f;
} view;

static int show(cx_table *t, cx_error *err) {
    char *text = NULL;
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a table");
    int rc = cx_table_to_text(t, &text, err);
    if (!rc)
        (void)printf("\n%s", text);
    free(text);
    cx_table_destroy(t);
    return rc;
}

static void columns(cx_table *t, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        cx_table_column(t, names[i], i == 0 ? CX_COLUMN_TEXT : CX_COLUMN_FIXED, 2);
}

/* --- cells --- */

static void loss_cell(cx_table *t, cx_interval i) {
    if (isfinite(i.mean))
        cx_table_format(t, "%.4g", i.mean);
    else
        cx_table_text(t, "-");
}

static void interval_cell(cx_table *t, cx_interval i) {
    if (isfinite(i.mean) && i.low == i.high)
        cx_table_format(t, "%.4g", i.mean);
    else if (isfinite(i.mean))
        cx_table_format(t, "%.4g [%.4g, %.4g]", i.mean, i.low, i.high);
    else
        cx_table_text(t, "-");
}

/* Of logarithms. */
static void factor_cell(cx_table *t, cx_interval i) {
    if (isfinite(i.mean))
        cx_table_format(t, "%.2f [%.2f, %.2f]", exp(i.mean), exp(i.low), exp(i.high));
    else
        cx_table_text(t, "-");
}

static void speedup_cell(cx_table *t, cx_interval log, cx_bound bound, bool with_interval) {
    char text[48];
    cx_speedup_text(log.mean, bound, cx_suite_lengths[0], cx_suite_lengths[CX_SUITE_LENGTHS - 1],
                    text, sizeof text);
    bool wide =
        with_interval && isfinite(log.mean) && bound != CX_BOUND_ABOVE && bound != CX_BOUND_BELOW;
    if (wide)
        cx_table_format(t, "%s [%.2f, %.2f]", text, exp(log.low), exp(log.high));
    else
        cx_table_text(t, text);
}

static void share_cell(cx_table *t, cx_interval i) {
    if (isfinite(i.mean))
        cx_table_format(t, "%.0f %% [%.0f, %.0f]", 100 * i.mean, 100 * i.low, 100 * i.high);
    else
        cx_table_text(t, "-");
}

static void metric_cell(cx_table *t, const cx_task_metric *m, double x) {
    if (!isfinite(x))
        cx_table_text(t, "-");
    else if (m->share)
        cx_table_format(t, "%.2f %%", 100 * x);
    else
        cx_table_format(t, "%.4g", x);
}

/* The single replays are in the results' file; here the best of them stands for all. */
static bool shown(const view *v, int c) {
    cx_contestant_kind kind = v->suite->contestant[c].kind;
    return kind < CX_CONTESTANT_REPLAY || kind > CX_CONTESTANT_REPLAY_BOTH;
}

/* --- one task --- */

static void describe(const cx_entrant *e, char *out, size_t size) {
    char text[96];
    out[0] = 0;
    if (e->as)
        (void)snprintf(out, size, "is: %s", e->as->name);
    else if (e->job.trainer == CX_TRAINER_REPLAY && e->exponent != 0)
        (void)snprintf(out, size, "lr ~ N^%.2f", e->exponent);
    if (e->job.trainer != CX_TRAINER_RULE)
        return;
    cx_trial_describe(&e->job, text, sizeof text);
    (void)snprintf(out, size, "%s%s", text, e->params == CX_PARAMS_NEWEST ? ", no average" : "");
}

static void entrant_row(cx_table *t, const view *v, int task, int c) {
    const cx_suite_task *st = &v->suite->task[task];
    const cx_entrant *e = &st->entrant[c];
    const cx_entrant_figures *f = &v->f->task[task].entrant[c];
    const cx_task_metric *m = &cx_task_family_at((int)st->spec.family)->metric[0];
    char how[128];
    describe(e, how, sizeof how);
    cx_table_text(t, v->suite->contestant[c].name);
    cx_table_text(t, how);
    loss_cell(t, f->loss[CX_SPLIT_TRAIN]);
    loss_cell(t, f->loss[CX_SPLIT_VALIDATION]);
    interval_cell(t, f->loss[CX_SPLIT_TEST]);
    if (m->name)
        metric_cell(t, m, f->metric[CX_SPLIT_TEST].mean);
    speedup_cell(t, f->speedup.log, f->speedup.bound, true);
    cx_table_format(t, "%.2f x", exp(f->speedup.log.mean + f->log_time));
    cx_table_format(t, "%.3g", 1e6 * f->seconds_per_step);
    cx_table_format(t, "%.0f %%", 100 * f->won);
    cx_table_format(t, "%d", f->diverged);
}

static void note(cx_table *t, const char *what, cx_interval log) {
    char text[160];
    if (!isfinite(log.mean))
        return;
    (void)snprintf(text, sizeof text, "  %s: x %.2f [%.2f, %.2f]", what, exp(log.mean),
                   exp(log.low), exp(log.high));
    cx_table_note(t, text);
}

static void task_notes(cx_table *t, const view *v, int task) {
    const cx_task_figures *f = &v->f->task[task];
    const cx_entrant_figures *p = &f->entrant[0];
    char text[240];
    if (isfinite(p->gap.mean)) {
        (void)snprintf(text, sizeof text,
                       "  test minus validation loss: policy %.3g [%.3g, %.3g], minus that of the "
                       "baseline %.3g [%.3g, %.3g]",
                       p->gap.mean, p->gap.low, p->gap.high, p->gap_difference.mean,
                       p->gap_difference.low, p->gap_difference.high);
        cx_table_note(t, text);
    }
    note(t, "what adapting is worth (speedup over the open loop's)", f->adapting);
    note(t, "over the static control", f->over_static);
    if (f->trials > 0) {
        (void)snprintf(text, sizeof text, "  its one run is worth %s%d of %d random trials",
                       f->worth ? "" : "more than ", f->worth ? f->worth : f->trials, f->trials);
        cx_table_note(t, text);
    }
    if (isfinite(f->tuning_steps)) {
        (void)snprintf(text, sizeof text,
                       "  tuning the baseline took %.0f x the steps and %.0f x the time of the "
                       "policy's run",
                       f->tuning_steps, f->tuning_seconds);
        cx_table_note(t, text);
    }
    if (f->same_splits)
        cx_table_note(t, "  WARNING: " CX_WARNING_SAME_SPLITS);
}

static int task_table(const view *v, int task, cx_error *err) {
    const cx_suite_task *st = &v->suite->task[task];
    const cx_task_metric *m = &cx_task_family_at((int)st->spec.family)->metric[0];
    char title[600];
    (void)snprintf(title, sizeof title, "task %d: ", task);
    cx_task_describe(&st->spec, v->e->config, title + strlen(title), sizeof title - strlen(title));
    cx_table *t = cx_table_create(title);
    if (!t)
        return show(t, err);
    cx_table_column(t, "contestant", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "how", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "train", CX_COLUMN_FIXED, 4);
    cx_table_column(t, "validation", CX_COLUMN_FIXED, 4);
    cx_table_column(t, "test loss [95 %]", CX_COLUMN_FIXED, 4);
    if (m->name)
        cx_table_column(t, m->name, CX_COLUMN_FIXED, 4);
    cx_table_column(t, "speedup [95 %]", CX_COLUMN_FIXED, 2);
    cx_table_column(t, "in time", CX_COLUMN_FIXED, 2);
    cx_table_column(t, "us/step", CX_COLUMN_FIXED, 2);
    cx_table_column(t, "won", CX_COLUMN_FIXED, 2);
    cx_table_column(t, "diverged", CX_COLUMN_FIXED, 2);
    for (int c = 0; c < v->suite->n_contestants; c++)
        if (shown(v, c) && v->f->task[task].entrant[c].present)
            entrant_row(t, v, task, c);
    task_notes(t, v, task);
    return show(t, err);
}

/* --- over tasks --- */

static int contestants_table(const view *v, cx_error *err) {
    static const char *const names[] = {
        "contestant", "tasks",          "median [95 %]",    "interquartile mean", "mean",
        "worst",      "median in time", "test loss, ratio", "tasks won"};
    const cx_group_figures *g = &v->f->group[0];
    char title[160];
    (void)snprintf(title, sizeof title,
                   "%s (%d): speedup in steps over the baseline, on the test loss", g->name,
                   g->tasks);
    cx_table *t = cx_table_create(title);
    if (!t)
        return show(t, err);
    columns(t, names, sizeof names / sizeof names[0]);
    for (int c = 0; c < v->suite->n_contestants; c++) {
        const cx_contestant_figures *f = &g->contestant[c];
        if (f->tasks == 0 || !shown(v, c))
            continue;
        cx_table_text(t, v->suite->contestant[c].name);
        cx_table_format(t, "%d", f->tasks);
        speedup_cell(t, f->median.log, f->median.bound, true);
        speedup_cell(t, f->iqm.log, f->iqm.bound, true);
        speedup_cell(t, f->mean.log, f->mean.bound, true);
        speedup_cell(t, f->worst.log, f->worst.bound, false);
        cx_table_format(t, "%.2f x", exp(f->time_median.mean));
        factor_cell(t, f->log_ratio);
        share_cell(t, f->won);
    }
    cx_table_note(t, "Speedup: steps at which the baseline, retrained at 1/2, 1, 2 and 4 times the "
                     "length, has the same test loss, over");
    cx_table_note(t, "the run's steps; bootstrap 95 % intervals over tasks and seeds (shares: "
                     "Wilson's). >= and <=: cut at these lengths.");
    return show(t, err);
}

static void groups_row(cx_table *t, const cx_group_figures *g) {
    const cx_contestant_figures *f = &g->contestant[0];
    cx_table_text(t, g->name);
    cx_table_format(t, "%d", g->tasks);
    speedup_cell(t, f->median.log, f->median.bound, true);
    speedup_cell(t, f->iqm.log, f->iqm.bound, true);
    speedup_cell(t, f->worst.log, f->worst.bound, false);
    cx_table_format(t, "%.2f x", exp(f->time_median.mean));
    share_cell(t, f->won);
    factor_cell(t, g->adapting);
    factor_cell(t, g->over_static);
    if (!isfinite(g->worth_median))
        cx_table_text(t, "-");
    else if (g->worth_is_bound)
        cx_table_format(t, "> %.0f", g->worth_median - 1);
    else
        cx_table_format(t, "%.0f", g->worth_median);
    if (isfinite(g->gap_difference.mean))
        cx_table_format(t, "%+.1f %% [%+.1f, %+.1f]", 100 * g->gap_difference.mean,
                        100 * g->gap_difference.low, 100 * g->gap_difference.high);
    else
        cx_table_text(t, "-");
}

static int groups_table(const view *v, cx_error *err) {
    static const char *const names[] = {
        "group", "tasks",       "median [95 %]", "interquartile mean", "worst", "median in time",
        "won",   "x open loop", "x static",      "random trials",      "gap"};
    char title[160];
    (void)snprintf(title, sizeof title, "%s, by group of tasks", v->suite->contestant[0].name);
    cx_table *t = cx_table_create(title);
    if (!t)
        return show(t, err);
    columns(t, names, sizeof names / sizeof names[0]);
    for (int i = 0; i < v->f->n_groups; i++)
        groups_row(t, &v->f->group[i]);
    cx_table_note(t, "x open loop: what adapting is worth. random trials: of AdamW with cosine, "
                     "that one run is worth (median). gap: (test -");
    cx_table_note(t, "validation loss) minus the baseline's, in per cent of the test loss: above 0 "
                     "is more overfitting to validation.");
    return show(t, err);
}

static int profile_table(const view *v, cx_error *err) {
    enum { EVERY = 4 };
    cx_table *t = cx_table_create("Share of tasks with at least that speedup");
    if (!t)
        return show(t, err);
    cx_table_column(t, "contestant", CX_COLUMN_TEXT, 0);
    for (int i = 0; i < CX_PROFILE_POINTS; i += EVERY) {
        char name[32];
        (void)snprintf(name, sizeof name, "%.2f x", cx_profile_at(i));
        cx_table_column(t, name, CX_COLUMN_SHARE, 0);
    }
    for (int c = 0; c < v->suite->n_contestants; c++) {
        const cx_contestant_figures *f = &v->f->group[0].contestant[c];
        if (f->tasks == 0 || !shown(v, c))
            continue;
        cx_table_text(t, v->suite->contestant[c].name);
        for (int i = 0; i < CX_PROFILE_POINTS; i += EVERY)
            cx_table_number(t, f->profile[i].mean);
    }
    return show(t, err);
}

int cx_eval_print(const cx_evaluation *e, const cx_suite *suite, const cx_figures *f,
                  cx_error *err) {
    const view v = {e, suite, f};
    int rc = CX_OK;
    for (int i = 0; i < suite->n_tasks && !rc; i++)
        rc = task_table(&v, i, err);
    if (!rc && f->n_groups > 0)
        rc = contestants_table(&v, err);
    if (!rc && f->n_groups > 0 && suite->n_tasks > 1)
        rc = profile_table(&v, err);
    if (!rc && f->n_groups > 0)
        rc = groups_table(&v, err);
    for (int i = 0; i < suite->n_tasks && !rc; i++)
        if (f->task[i].same_splits)
            (void)printf("\nWARNING: task %d: %s\n", i, CX_WARNING_SAME_SPLITS);
    return rc;
}
