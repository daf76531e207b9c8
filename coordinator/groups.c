/* Figures over groups of tasks. */
#include "coordinator/figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double cx_profile_at(int i) {
    double low = log2(cx_suite_lengths[0]), high = log2(cx_suite_lengths[CX_SUITE_LENGTHS - 1]);
    return exp2(low + (high - low) * i / (CX_PROFILE_POINTS - 1));
}

typedef struct {
    const cx_suite *suite;
    const cx_figures *f;
    cx_group_figures *out;
    int n;     /* tasks of the group */
    int *task; /* their numbers */
    /* work space: a list of numbers for some of them */
    int m;
    double (*value)[CX_SUITE_SEEDS];
    const double **row;
    int *count, *owner;
} group;

/* --- lists of numbers by task --- */

/* A task's numbers, those that have no value left out; a task without any, too. */
static void put(group *g, int task, const double *x, int count) {
    int kept = 0;
    for (int s = 0; s < count; s++)
        if (isfinite(x[s]))
            g->value[g->m][kept++] = x[s];
    if (kept == 0)
        return;
    g->row[g->m] = g->value[g->m];
    g->count[g->m] = kept;
    g->owner[g->m++] = task;
}

static int bootstrap(const group *g, cx_statistic f, cx_interval *out, cx_error *err) {
    return cx_bootstrap_groups(g->row, g->count, g->m, f, NULL, g->suite->o.config->seed, out, err);
}

/* Mean over the group's tasks of one number each, where it has a value. */
static int mean_of(group *g, double (*number)(const cx_task_figures *t), cx_interval *out,
                   cx_error *err) {
    g->m = 0;
    for (int i = 0; i < g->n; i++) {
        double x = number(&g->f->task[g->task[i]]);
        put(g, g->task[i], &x, 1);
    }
    return bootstrap(g, cx_statistic_mean, out, err);
}

/* --- speedups, and how they are cut --- */

typedef struct {
    double value;
    int task;
} ranked;

static int by_value(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* How a statistic of the tasks of ranks [from, to) is cut: by them, and by those beyond
 * whose true value may be on its other side. */
static cx_bound bound(const group *g, int c, const ranked *r, int n, int from, int to) {
    int below = 0, above = 0, whole_below = 0, whole_above = 0;
    for (int i = 0; i < n; i++) {
        const cx_speedup *s = &g->f->task[r[i].task].entrant[c].speedup;
        bool within = i >= from && i < to;
        above += i < to && s->above > 0;
        below += i >= from && s->below > 0;
        whole_below += within && s->below == s->n;
        whole_above += within && s->above == s->n;
    }
    if (whole_below == to - from || whole_above == to - from)
        return cx_bound_of(to - from, whole_below, whole_above);
    return cx_bound_of(INT32_MAX, below, above);
}

static int speedups(group *g, int c, cx_contestant_figures *out, cx_error *err) {
    g->m = 0;
    for (int i = 0; i < g->n; i++) {
        const cx_entrant_figures *e = &g->f->task[g->task[i]].entrant[c];
        if (e->present)
            put(g, g->task[i], e->logs, g->suite->seeds);
    }
    int rc = bootstrap(g, cx_statistic_mean, &out->mean.log, err), n = g->m;
    if (!rc)
        rc = bootstrap(g, cx_statistic_median, &out->median.log, err);
    if (!rc)
        rc = bootstrap(g, cx_statistic_iqm, &out->iqm.log, err);
    if (!rc)
        rc = bootstrap(g, cx_statistic_least, &out->worst.log, err);
    ranked *r = rc ? NULL : calloc((size_t)n + 1, sizeof *r);
    if (!r)
        return rc ? rc : cx_fail(err, CX_ENOMEM, "no memory for %d tasks", n);
    for (int i = 0; i < n; i++)
        r[i] = (ranked){cx_stats_mean(g->row[i], g->count[i]), g->owner[i]};
    qsort(r, (size_t)n, sizeof *r, by_value);
    out->mean.bound = bound(g, c, r, n, 0, n);
    out->median.bound = bound(g, c, r, n, (n - 1) / 2, n / 2 + 1);
    out->iqm.bound = bound(g, c, r, n, n / 4, n - n / 4);
    out->worst.bound = bound(g, c, r, n, 0, 1);
    out->worst_task = n > 0 ? r[0].task : -1;
    for (int p = 0; p < CX_PROFILE_POINTS; p++) {
        int hits = 0;
        for (int i = 0; i < n; i++) {
            const cx_speedup *s = &g->f->task[r[i].task].entrant[c].speedup;
            /* what is below the least length does not reach it */
            hits += r[i].value >= log(cx_profile_at(p)) - 1e-12 && s->below < s->n;
        }
        out->profile[p] = cx_share_interval(hits, n);
    }
    free(r);
    return CX_OK;
}

/* --- a contestant over the group's tasks --- */

static int compare(group *g, int c, cx_contestant_figures *out, cx_error *err) {
    double won = 0;
    int n = 0;
    g->m = 0;
    for (int i = 0; i < g->n; i++) {
        const cx_entrant_figures *e = &g->f->task[g->task[i]].entrant[c];
        if (!e->present)
            continue;
        n++;
        /* a task with diverged runs is lost, whatever the others did */
        double d = e->difference.mean;
        won += e->diverged > 0 ? 0 : d < 0 ? 1 : d == 0 ? 0.5 : 0;
        put(g, g->task[i], &e->log_ratio.mean, 1);
    }
    out->tasks = n;
    out->won = cx_share_interval(won, n);
    return bootstrap(g, cx_statistic_mean, &out->log_ratio, err);
}

static int in_time(group *g, int c, cx_contestant_figures *out, cx_error *err) {
    g->m = 0;
    for (int i = 0; i < g->n; i++) {
        const cx_entrant_figures *e = &g->f->task[g->task[i]].entrant[c];
        double x[CX_SUITE_SEEDS];
        if (!e->present)
            continue;
        for (int s = 0; s < g->suite->seeds; s++)
            x[s] = e->logs[s] + e->log_time;
        put(g, g->task[i], x, g->suite->seeds);
    }
    return bootstrap(g, cx_statistic_median, &out->time_median, err);
}

/* --- the group --- */

static double adapting(const cx_task_figures *t) {
    return t->adapting.mean;
}
static double over_static(const cx_task_figures *t) {
    return t->over_static.mean;
}

/* The policy is contestant 0 of every suite. */
static double relative_gap(const cx_task_figures *t) {
    const cx_entrant_figures *e = &t->entrant[0];
    return e->gap_difference.mean / e->loss[CX_SPLIT_TEST].mean;
}

static double median_of(group *g, double (*number)(const cx_task_figures *t)) {
    double *x = g->value[0];
    int n = 0;
    for (int i = 0; i < g->n; i++) { /* rows are longer than one number each: there is room */
        double v = number(&g->f->task[g->task[i]]);
        if (isfinite(v))
            x[n++] = v;
    }
    return cx_statistic_median(NULL, x, n);
}

static double worth(const cx_task_figures *t) {
    if (t->trials == 0)
        return NAN;
    return t->worth > 0 ? t->worth : t->trials + 1;
}
static double tuning(const cx_task_figures *t) {
    return t->tuning_steps;
}

static int group_figures(group *g, cx_error *err) {
    int rc = CX_OK;
    g->out->tasks = g->n;
    for (int c = 0; c < g->suite->n_contestants && !rc; c++) {
        rc = speedups(g, c, &g->out->contestant[c], err);
        if (!rc)
            rc = compare(g, c, &g->out->contestant[c], err);
        if (!rc)
            rc = in_time(g, c, &g->out->contestant[c], err);
    }
    if (!rc)
        rc = mean_of(g, adapting, &g->out->adapting, err);
    if (!rc)
        rc = mean_of(g, over_static, &g->out->over_static, err);
    if (!rc)
        rc = mean_of(g, relative_gap, &g->out->gap_difference, err);
    g->out->worth_median = median_of(g, worth);
    g->out->tuning_median = median_of(g, tuning);
    g->out->worth_is_bound = g->out->worth_median > g->suite->o.config->evaluation.trials;
    return rc;
}

/* --- which groups there are --- */

typedef struct {
    const char *name;
    int family, entry; /* -1: any */
    int k_low, k_high; /* outer steps, both included */
} selection;

static int add_group(group *g, cx_figures *f, const selection *s, cx_error *err) {
    int complete = 0;
    g->n = 0;
    for (int i = 0; i < f->n_tasks; i++) {
        const cx_suite_task *t = &g->suite->task[i];
        if (!f->task[i].complete)
            continue;
        complete++;
        if ((s->family < 0 || t->spec.family == (uint32_t)s->family) &&
            (s->entry < 0 || t->spec.entry == (uint32_t)s->entry) && t->outer_steps >= s->k_low &&
            t->outer_steps <= s->k_high)
            g->task[g->n++] = i;
    }
    /* a group that is all tasks says nothing new, and an empty one nothing */
    if (f->n_groups == CX_GROUPS_MAX || g->n == 0 || (f->n_groups > 0 && g->n == complete))
        return CX_OK;
    g->out = &f->group[f->n_groups++];
    (void)snprintf(g->out->name, sizeof g->out->name, "%s", s->name);
    return group_figures(g, err);
}

static int add_groups(group *g, cx_figures *f, cx_error *err) {
    enum { ANY = 1 << 30 };
    static const selection by_steps[] = {{"all tasks", -1, -1, 0, ANY},
                                         {"K < 16", -1, -1, 0, 15},
                                         {"K 16 to 31", -1, -1, 16, 31},
                                         {"K 32 to 63", -1, -1, 32, 63},
                                         {"K 64 and more", -1, -1, 64, ANY}};
    const cx_config *config = g->suite->o.config;
    int rc = add_group(g, f, &by_steps[0], err);
    for (int k = 0; k < cx_task_family_count() && !rc; k++) {
        const selection s = {cx_task_family_at(k)->schema->name, k, -1, 0, ANY};
        rc = add_group(g, f, &s, err);
    }
    for (int e = 0; e < config->n_tasks && !rc && config->evaluation.tasks_per_entry > 1; e++) {
        const selection s = {config->tasks[e].name, -1, e, 0, ANY};
        bool family_alone = true; /* the family's group is the same tasks */
        for (int other = 0; other < config->n_tasks; other++)
            family_alone &= other == e || config->tasks[other].family != config->tasks[e].family;
        if (!family_alone)
            rc = add_group(g, f, &s, err);
    }
    for (size_t i = 1; i < sizeof by_steps / sizeof by_steps[0] && !rc; i++)
        rc = add_group(g, f, &by_steps[i], err);
    return rc;
}

int cx_figures_groups(const cx_suite *suite, cx_figures *f, cx_error *err) {
    size_t n = (size_t)f->n_tasks + 1;
    group g = {.suite = suite, .f = f};
    g.task = calloc(n, sizeof *g.task);
    g.value = calloc(n, sizeof *g.value);
    g.row = calloc(n, sizeof *g.row);
    g.count = calloc(n, sizeof *g.count);
    g.owner = calloc(n, sizeof *g.owner);
    int rc = g.task && g.value && g.row && g.count && g.owner
                 ? add_groups(&g, f, err)
                 : cx_fail(err, CX_ENOMEM, "no memory for groups of %d tasks", f->n_tasks);
    free(g.task);
    free(g.value);
    free(g.row);
    free(g.count);
    free(g.owner);
    return rc;
}
