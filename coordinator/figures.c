#include "coordinator/figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- one run --- */

/* Loss above the optimum. */
static double loss_of(const cx_trial_result *r, cx_params params, cx_split split) {
    return r ? r->loss[params][split] - r->optimum : NAN;
}

static double gap_of(const cx_trial_result *r, cx_params params) {
    return loss_of(r, params, CX_SPLIT_TEST) - loss_of(r, params, CX_SPLIT_VALIDATION);
}

/* --- lists without what has no value --- */

typedef struct {
    double x[CX_SUITE_SEEDS];
    int n;
} list;

static void put(list *l, double x) {
    if (isfinite(x))
        l->x[l->n++] = x;
}

static cx_interval interval(const list *l, uint64_t seed) {
    return cx_bootstrap_mean(l->x, l->n, seed);
}

static double median(const list *l) {
    double x[CX_SUITE_SEEDS];
    memcpy(x, l->x, sizeof x);
    return cx_statistic_median(NULL, x, l->n);
}

/* --- a contestant on a task --- */

typedef struct {
    const cx_suite *suite;
    const cx_suite_task *task;
    const cx_entrant *baseline;
    cx_task_figures *out;
    uint64_t seed; /* of the bootstraps */
} context;

static void losses(const context *c, const cx_entrant *e, cx_entrant_figures *f) {
    list seconds = {.n = 0}, training = {.n = 0};
    for (int s = 0; s < c->suite->seeds; s++) {
        const cx_trial_result *r = e->run[s];
        if (!r)
            continue;
        f->seeds++;
        f->diverged += !isfinite(loss_of(r, e->params, CX_SPLIT_TEST));
        if (r->steps > 0) {
            put(&seconds, r->seconds / r->steps);
            put(&training, r->training_seconds / r->steps);
        }
    }
    f->seconds_per_step = median(&seconds);
    f->training_per_step = median(&training);
    for (int split = 0; split < CX_SPLITS; split++) {
        list loss = {.n = 0}, metric = {.n = 0};
        for (int s = 0; s < c->suite->seeds; s++)
            if (e->run[s]) {
                put(&loss, loss_of(e->run[s], e->params, (cx_split)split));
                put(&metric, e->run[s]->metric[e->params][split][0]);
            }
        f->loss[split] = interval(&loss, c->seed);
        f->metric[split] = interval(&metric, c->seed);
    }
}

/* Steps of the baseline to the same test loss, seed by seed. */
static int speedups(const context *c, const cx_entrant *e, cx_entrant_figures *f, cx_error *err) {
    int n = 0;
    double reached[CX_SUITE_SEEDS], logs[CX_SUITE_SEEDS];
    for (int s = 0; s < CX_SUITE_SEEDS; s++)
        f->reached[s] = f->logs[s] = NAN;
    for (int s = 0; s < c->suite->seeds; s++) {
        double loss[CX_SUITE_LENGTHS];
        if (!e->run[s])
            continue;
        for (int l = 0; l < CX_SUITE_LENGTHS; l++)
            loss[l] = loss_of(c->task->length[l][s], c->baseline->params, CX_SPLIT_TEST);
        f->reached[s] = reached[n++] = cx_length_to_reach(
            cx_suite_lengths, loss, CX_SUITE_LENGTHS, loss_of(e->run[s], e->params, CX_SPLIT_TEST));
    }
    int rc = cx_speedup_of(reached, n, cx_suite_lengths[0], cx_suite_lengths[CX_SUITE_LENGTHS - 1],
                           c->seed, logs, &f->speedup, err);
    for (int s = 0, i = 0; s < c->suite->seeds && !rc; s++)
        if (e->run[s])
            f->logs[s] = logs[i++];
    return rc;
}

static void against_baseline(const context *c, const cx_entrant *e, cx_entrant_figures *f) {
    list difference = {.n = 0}, ratio = {.n = 0}, gap = {.n = 0}, gaps = {.n = 0};
    const cx_entrant *b = c->baseline;
    double won = 0;
    int pairs = 0;
    bool one_split = cx_task_family_at((int)c->task->spec.family)->one_split;
    for (int s = 0; s < c->suite->seeds; s++) {
        if (!e->run[s] || !b->run[s])
            continue;
        double x = loss_of(e->run[s], e->params, CX_SPLIT_TEST);
        double y = loss_of(b->run[s], b->params, CX_SPLIT_TEST);
        put(&difference, x - y);
        put(&ratio, log(fmax(x, 1e-12)) - log(fmax(y, 1e-12)));
        x = isfinite(x) ? x : INFINITY;
        y = isfinite(y) ? y : INFINITY;
        won += x < y ? 1 : x == y ? 0.5 : 0;
        pairs++;
        if (!one_split) {
            put(&gap, gap_of(e->run[s], e->params));
            put(&gaps, gap_of(e->run[s], e->params) - gap_of(b->run[s], b->params));
        }
    }
    f->difference = interval(&difference, c->seed);
    f->log_ratio = interval(&ratio, c->seed);
    f->won = pairs ? won / pairs : NAN;
    f->gap = interval(&gap, c->seed);
    f->gap_difference = interval(&gaps, c->seed);
}

static int entrant_figures(const context *c, int i, cx_error *err) {
    const cx_entrant *e = &c->task->entrant[i];
    cx_entrant_figures *f = &c->out->entrant[i];
    memset(f, 0, sizeof *f);
    f->present = e->present;
    if (!e->present)
        return CX_OK;
    losses(c, e, f);
    against_baseline(c, e, f);
    return speedups(c, e, f, err);
}

/* --- a task --- */

/* Every run of every contestant has the same loss on both splits, up to the order of the
 * additions. */
static bool same_splits(const context *c) {
    int runs = 0;
    if (cx_task_family_at((int)c->task->spec.family)->one_split)
        return false;
    for (int i = 0; i < c->suite->n_contestants; i++)
        for (int s = 0; s < c->suite->seeds; s++) {
            const cx_entrant *e = &c->task->entrant[i];
            double gap = gap_of(e->run[s], e->params);
            if (!e->present || !isfinite(gap))
                continue;
            if (fabs(gap) > 1e-9 * fabs(e->run[s]->loss[e->params][CX_SPLIT_TEST]))
                return false;
            runs++;
        }
    return runs > 0;
}

/* Logarithms of the policy's speedups minus another's, paired by seed. */
static cx_interval beyond(const context *c, cx_contestant_kind kind) {
    int policy = cx_suite_find(c->suite, CX_CONTESTANT_POLICY);
    int other = cx_suite_find(c->suite, kind);
    list l = {.n = 0};
    for (int s = 0; other >= 0 && s < c->suite->seeds; s++)
        if (c->out->entrant[other].present)
            put(&l, c->out->entrant[policy].logs[s] - c->out->entrant[other].logs[s]);
    return interval(&l, c->seed);
}

static int worth(const context *c, cx_error *err) {
    double valid[CX_SUITE_TRIALS], test[CX_SUITE_TRIALS];
    const cx_entrant *policy = &c->task->entrant[cx_suite_find(c->suite, CX_CONTESTANT_POLICY)];
    int n = cx_suite_find(c->suite, CX_CONTESTANT_SEARCH) < 0
                ? 0
                : c->suite->o.config->evaluation.trials;
    for (int i = 0; i < n; i++) {
        const cx_trial_result *r = c->task->trial[i];
        double a = loss_of(r, CX_PARAMS_AVERAGED, CX_SPLIT_VALIDATION);
        double b = loss_of(r, CX_PARAMS_NEWEST, CX_SPLIT_VALIDATION);
        cx_params best = b < a || !isfinite(a) ? CX_PARAMS_NEWEST : CX_PARAMS_AVERAGED;
        valid[i] = loss_of(r, best, CX_SPLIT_VALIDATION);
        test[i] = loss_of(r, best, CX_SPLIT_TEST);
    }
    double target = loss_of(policy->run[0], policy->params, CX_SPLIT_TEST);
    c->out->trials = n;
    return cx_trials_worth(valid, test, n, isfinite(target) ? target : -INFINITY, c->out->expected,
                           &c->out->worth, err);
}

static void tuning(const context *c) {
    const cx_entrant *policy = &c->task->entrant[cx_suite_find(c->suite, CX_CONTESTANT_POLICY)];
    const cx_entrant_figures *f = &c->out->entrant[policy - c->task->entrant];
    c->out->tuning_steps = c->out->tuning_seconds = NAN;
    if (c->suite->o.baseline.given)
        return;
    c->out->tuning_steps = c->baseline->tuning_steps / c->task->inner_steps;
    c->out->tuning_seconds =
        c->baseline->tuning_seconds / (f->seconds_per_step * c->task->inner_steps);
}

static int task_figures(const cx_suite *suite, int i, cx_task_figures *out, cx_error *err) {
    const cx_suite_task *t = &suite->task[i];
    context c = {.suite = suite, .task = t, .out = out, .seed = t->spec.seed};
    c.baseline = &t->entrant[cx_suite_find(suite, CX_CONTESTANT_BASELINE)];
    out->complete = t->complete;
    if (!t->complete)
        return CX_OK;
    int rc = CX_OK, base = cx_suite_find(suite, CX_CONTESTANT_BASELINE);
    for (int k = 0; k < suite->n_contestants && !rc; k++)
        rc = entrant_figures(&c, k, err);
    for (int k = 0; k < suite->n_contestants && !rc; k++)
        if (out->entrant[k].present)
            out->entrant[k].log_time =
                log(out->entrant[base].seconds_per_step / out->entrant[k].seconds_per_step);
    out->same_splits = same_splits(&c);
    out->adapting = beyond(&c, CX_CONTESTANT_OPEN_LOOP);
    out->over_static = beyond(&c, CX_CONTESTANT_STATIC);
    tuning(&c);
    return rc ? rc : worth(&c, err);
}

int cx_figures_create(const cx_suite *suite, cx_figures **out, cx_error *err) {
    *out = NULL;
    cx_figures *f = calloc(1, sizeof *f);
    if (f)
        f->task = calloc((size_t)suite->n_tasks + 1, sizeof *f->task);
    if (!f || !f->task) {
        cx_figures_destroy(f);
        return cx_fail(err, CX_ENOMEM, "no memory for the figures of %d tasks", suite->n_tasks);
    }
    f->n_tasks = suite->n_tasks;
    int rc = CX_OK;
    for (int i = 0; i < f->n_tasks && !rc; i++)
        rc = task_figures(suite, i, &f->task[i], err);
    if (!rc)
        rc = cx_figures_groups(suite, f, err);
    if (rc)
        cx_figures_destroy(f);
    else
        *out = f;
    return rc;
}

void cx_figures_destroy(cx_figures *f) {
    if (!f)
        return;
    free(f->task);
    free(f);
}
