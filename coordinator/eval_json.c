#include "coordinator/eval_json.h"

#include "base/file.h"
#include "policy/action.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const cx_evaluation *e;
    const cx_suite *suite;
    const cx_figures *f;
    bool complete, bulk; /* bulk: curves, hyperparameters over progress, trials */
    bool failed;         /* out of memory somewhere */
} writer;

static const char *const split_names[CX_SPLITS] = {"train", "validation", "test"};

static void put(writer *w, json_t *o, const char *key, json_t *value) {
    w->failed |= json_object_set_new(o, key, value) != 0;
}

static void append(writer *w, json_t *list, json_t *value) {
    w->failed |= json_array_append_new(list, value) != 0;
}

/* null where there is no finite value */
static json_t *number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *numbers(writer *w, const double *x, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        append(w, list, number(x[i]));
    return list;
}

/* [value, low, high] */
static json_t *interval(writer *w, cx_interval i) {
    const double x[] = {i.mean, i.low, i.high};
    return numbers(w, x, 3);
}

/* The same of logarithms, as factors. */
static json_t *factors(writer *w, cx_interval i) {
    const double x[] = {exp(i.mean), exp(i.low), exp(i.high)};
    return numbers(w, x, 3);
}

static json_t *bounded(writer *w, cx_interval log, cx_bound bound) {
    char text[48];
    json_t *o = json_object();
    cx_speedup_text(log.mean, bound, cx_suite_lengths[0], cx_suite_lengths[CX_SUITE_LENGTHS - 1],
                    text, sizeof text);
    put(w, o, "value", factors(w, log));
    put(w, o, "bound", json_string(cx_bound_name(bound)));
    put(w, o, "text", json_string(text));
    return o;
}

/* --- a contestant on a task --- */

static json_t *seed_run(writer *w, const cx_entrant *e, const cx_entrant_figures *f, int s) {
    const cx_trial_result *r = e->run[s];
    char key[64];
    json_t *o = json_object();
    put(w, o, "seed", json_integer(s));
    put(w, o, "diverged", json_boolean(r->diverged));
    put(w, o, "steps", json_integer(r->steps));
    put(w, o, "seconds", number(r->seconds));
    put(w, o, "optimum", number(r->optimum));
    for (int k = 0; k < CX_SPLITS; k++) {
        (void)snprintf(key, sizeof key, "%s_loss", split_names[k]);
        put(w, o, key, number(r->loss[e->params][k] - r->optimum));
        (void)snprintf(key, sizeof key, "%s_metric", split_names[k]);
        put(w, o, key, number(r->metric[e->params][k][0]));
    }
    put(w, o, "newest_test_loss", number(r->loss[CX_PARAMS_NEWEST][CX_SPLIT_TEST] - r->optimum));
    double x = f->reached[s];
    put(w, o, "speedup", number(x));
    if (isinf(x))
        put(w, o, "outside", json_string(x > 0 ? "above" : "below"));
    return o;
}

static json_t *curve(writer *w, const cx_entrant *e) {
    const cx_trial_result *longest = NULL;
    json_t *o = json_object(), *train = json_array(), *valid = json_array();
    for (int s = 0; s < w->suite->seeds; s++) {
        const cx_trial_result *r = e->run[s];
        if (!r)
            continue;
        if (!longest || r->n_curve > longest->n_curve)
            longest = r;
        append(w, train, numbers(w, r->train, r->n_curve));
        append(w, valid, numbers(w, r->valid, r->n_curve));
    }
    put(w, o, "progress", longest ? numbers(w, longest->progress, longest->n_curve) : json_array());
    put(w, o, "train_loss", train);
    put(w, o, "validation_loss", valid);
    return o;
}

/* The points of a run that are there: of outer steps that it has done. */
static int points_done(const cx_suite_task *t, const cx_trial_result *r) {
    int points = t->outer_steps < CX_OPEN_LOOP_POINTS ? t->outer_steps : CX_OPEN_LOOP_POINTS;
    return (int)ceil((double)points * r->steps / t->inner_steps - 1e-9);
}

/* Number of the i-th distinct point. */
static int point_at(const cx_suite_task *t, int i) {
    int first = i, last;
    if (t->outer_steps < CX_OPEN_LOOP_POINTS)
        cx_open_loop_span(i, t->outer_steps, &first, &last);
    return first;
}

static json_t *over_progress(writer *w, const cx_suite_task *t, const cx_entrant *e, int hyper) {
    static const char *const ops[] = {[CX_REGISTER_NOTHING] = "",
                                      [CX_REGISTER_SAVE] = "save",
                                      [CX_REGISTER_LOAD] = "load",
                                      [CX_REGISTER_SWAP] = "swap"};
    json_t *by_seed = json_array();
    for (int s = 0; s < w->suite->seeds; s++) {
        const cx_trial_result *r = e->run[s];
        json_t *list = json_array();
        for (int i = 0; r && i < points_done(t, r); i++) {
            int at = point_at(t, i);
            append(w, list,
                   hyper >= 0    ? number(r->taken.point[at].value[hyper])
                   : hyper == -1 ? number((double)r->update[at])
                                 : json_string(ops[r->registers[at] % 4]));
        }
        append(w, by_seed, list);
    }
    return by_seed;
}

static json_t *hyperparameters(writer *w, const cx_suite_task *t, const cx_entrant *e) {
    json_t *o = json_object(), *progress = json_array();
    int points = t->outer_steps < CX_OPEN_LOOP_POINTS ? t->outer_steps : CX_OPEN_LOOP_POINTS;
    for (int i = 0; i < points; i++)
        append(w, progress, json_real((double)i / points));
    put(w, o, "progress", progress);
    for (int h = 0; h < CX_HYPER_COUNT; h++)
        put(w, o, cx_hyper_name((cx_hyper_id)h), over_progress(w, t, e, h));
    put(w, o, "relative_update", over_progress(w, t, e, -1));
    if (w->e->config->registers > 0)
        put(w, o, "registers", over_progress(w, t, e, -2));
    return o;
}

static void put_how(writer *w, json_t *o, const cx_entrant *e) {
    char text[128];
    put(w, o, "params", json_string(e->params == CX_PARAMS_AVERAGED ? "averaged" : "newest"));
    if (e->as)
        put(w, o, "as", json_string(e->as->id));
    if (e->exponent != 0)
        put(w, o, "lr_exponent", json_real(e->exponent));
    put(w, o, "tuning_trials", json_integer(e->tuning_trials));
    put(w, o, "tuning_steps", json_real(e->tuning_steps));
    put(w, o, "tuning_seconds", json_real(e->tuning_seconds));
    if (e->job.trainer != CX_TRAINER_RULE)
        return;
    cx_trial_describe(&e->job, text, sizeof text);
    put(w, o, "how", json_string(text));
    put(w, o, "rule", json_string(e->job.rule));
    put(w, o, "schedule", json_string(cx_schedule_name((cx_schedule)e->job.schedule)));
    for (int h = 0; h < CX_HYPER_COUNT; h++)
        put(w, o, cx_hyper_name((cx_hyper_id)h), number(e->job.hyper.value[h]));
}

static json_t *entrant(writer *w, int task, int c) {
    const cx_suite_task *t = &w->suite->task[task];
    const cx_entrant *e = &t->entrant[c];
    const cx_entrant_figures *f = &w->f->task[task].entrant[c];
    char key[64];
    json_t *o = json_object(), *seeds = json_array();
    put(w, o, "id", json_string(w->suite->contestant[c].id));
    put_how(w, o, e);
    put(w, o, "runs", json_integer(f->seeds));
    put(w, o, "diverged", json_integer(f->diverged));
    for (int k = 0; k < CX_SPLITS; k++) {
        (void)snprintf(key, sizeof key, "%s_loss", split_names[k]);
        put(w, o, key, interval(w, f->loss[k]));
        (void)snprintf(key, sizeof key, "%s_metric", split_names[k]);
        put(w, o, key, interval(w, f->metric[k]));
    }
    put(w, o, "seconds_per_step", number(f->seconds_per_step));
    put(w, o, "training_seconds_per_step", number(f->training_per_step));
    json_t *speedup = bounded(w, f->speedup.log, f->speedup.bound);
    put(w, speedup, "median", number(exp(f->speedup.median)));
    put(w, speedup, "in_time", number(exp(f->speedup.log.mean + f->log_time)));
    put(w, o, "speedup", speedup);
    put(w, o, "difference", interval(w, f->difference));
    put(w, o, "loss_ratio", factors(w, f->log_ratio));
    put(w, o, "won", number(f->won));
    put(w, o, "gap", interval(w, f->gap));
    put(w, o, "gap_difference", interval(w, f->gap_difference));
    for (int s = 0; s < w->suite->seeds; s++)
        if (e->run[s])
            append(w, seeds, seed_run(w, e, f, s));
    put(w, o, "seeds", seeds);
    if (w->bulk && w->suite->contestant[c].kind != CX_CONTESTANT_SEARCH)
        put(w, o, "curve", curve(w, e));
    if (w->bulk && e->job.trainer != CX_TRAINER_RULE)
        put(w, o, "hyperparameters", hyperparameters(w, t, e));
    return o;
}

/* --- a task --- */

static json_t *lengths(writer *w, const cx_suite_task *t) {
    const cx_entrant *b = &t->entrant[cx_suite_find(w->suite, CX_CONTESTANT_BASELINE)];
    json_t *o = json_object(), *losses = json_array();
    for (int l = 0; l < CX_SUITE_LENGTHS; l++) {
        double x[CX_SUITE_SEEDS];
        for (int s = 0; s < w->suite->seeds; s++) {
            const cx_trial_result *r = t->length[l][s];
            x[s] = r->loss[b->params][CX_SPLIT_TEST] - r->optimum;
        }
        append(w, losses, numbers(w, x, w->suite->seeds));
    }
    put(w, o, "length", numbers(w, cx_suite_lengths, CX_SUITE_LENGTHS));
    put(w, o, "test_loss", losses);
    return o;
}

static json_t *search(writer *w, const cx_suite_task *t, const cx_task_figures *f) {
    json_t *o = json_object(), *trials = json_array();
    put(w, o, "trials", json_integer(f->trials));
    put(w, o, "worth", f->worth ? json_integer(f->worth) : json_null());
    put(w, o, "expected_test_loss", numbers(w, f->expected, f->trials));
    for (int i = 0; i < f->trials; i++) {
        json_t *one = json_object();
        for (int k = CX_SPLIT_VALIDATION; k <= CX_SPLIT_TEST; k++)
            for (int p = 0; p < CX_PARAMS_COUNT; p++) {
                char key[64];
                (void)snprintf(key, sizeof key, "%s_loss_%s", split_names[k],
                               p == CX_PARAMS_AVERAGED ? "averaged" : "newest");
                put(w, one, key, number(t->trial[i]->loss[p][k] - t->trial[i]->optimum));
            }
        append(w, trials, one);
    }
    put(w, o, "all", trials);
    return o;
}

static void put_figures(writer *w, json_t *o, int i) {
    const cx_suite_task *t = &w->suite->task[i];
    const cx_task_figures *f = &w->f->task[i];
    json_t *list = json_array();
    for (int c = 0; c < w->suite->n_contestants; c++)
        if (f->entrant[c].present)
            append(w, list, entrant(w, i, c));
    put(w, o, "same_splits", json_boolean(f->same_splits));
    put(w, o, "contestants", list);
    put(w, o, "lengths", lengths(w, t));
    put(w, o, "adapting", factors(w, f->adapting));
    put(w, o, "over_static", factors(w, f->over_static));
    put(w, o, "worth_trials", f->worth ? json_integer(f->worth) : json_null());
    put(w, o, "tuning_steps", number(f->tuning_steps));
    put(w, o, "tuning_seconds", number(f->tuning_seconds));
    if (w->bulk && f->trials > 0)
        put(w, o, "random_search", search(w, t, f));
}

static json_t *task(writer *w, int i) {
    const cx_suite_task *t = &w->suite->task[i];
    const cx_task_family *family = cx_task_family_at((int)t->spec.family);
    char text[512];
    json_t *o = json_object();
    put(w, o, "number", json_integer(i));
    put(w, o, "entry", json_string(w->e->config->tasks[t->spec.entry].name));
    put(w, o, "family", json_string(family->schema->name));
    cx_task_describe(&t->spec, w->e->config, text, sizeof text);
    put(w, o, "text", json_string(text));
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)t->spec.seed);
    put(w, o, "seed", json_string(text)); /* 64 bits: too long for a number of JSON */
    put(w, o, "outer_steps", json_integer(t->outer_steps));
    put(w, o, "inner_steps", json_integer(t->inner_steps));
    if (family->metric[0].name)
        put(w, o, "metric",
            json_pack("{s:s, s:b}", "name", family->metric[0].name, "share",
                      (int)family->metric[0].share));
    put(w, o, "one_split", json_boolean(family->one_split));
    put(w, o, "complete", json_boolean(t->complete));
    if (t->complete)
        put_figures(w, o, i);
    return o;
}

/* --- groups --- */

static json_t *group_contestant(writer *w, const cx_group_figures *g, int c) {
    const cx_contestant_figures *f = &g->contestant[c];
    json_t *o = json_object(), *profile = json_array();
    put(w, o, "id", json_string(w->suite->contestant[c].id));
    put(w, o, "tasks", json_integer(f->tasks));
    put(w, o, "mean", bounded(w, f->mean.log, f->mean.bound));
    put(w, o, "median", bounded(w, f->median.log, f->median.bound));
    put(w, o, "interquartile_mean", bounded(w, f->iqm.log, f->iqm.bound));
    put(w, o, "worst", bounded(w, f->worst.log, f->worst.bound));
    put(w, o, "worst_task", json_integer(f->worst_task));
    put(w, o, "median_in_time", factors(w, f->time_median));
    put(w, o, "loss_ratio", factors(w, f->log_ratio));
    put(w, o, "tasks_won", interval(w, f->won));
    for (int i = 0; i < CX_PROFILE_POINTS; i++)
        append(w, profile, interval(w, f->profile[i]));
    put(w, o, "profile", profile);
    return o;
}

static json_t *group(writer *w, const cx_group_figures *g) {
    json_t *o = json_object(), *list = json_array();
    put(w, o, "name", json_string(g->name));
    put(w, o, "tasks", json_integer(g->tasks));
    put(w, o, "adapting", factors(w, g->adapting));
    put(w, o, "over_static", factors(w, g->over_static));
    put(w, o, "relative_gap_difference", interval(w, g->gap_difference));
    put(w, o, "worth_trials_median", number(g->worth_median));
    put(w, o, "worth_trials_is_bound", json_boolean(g->worth_is_bound));
    put(w, o, "tuning_steps_median", number(g->tuning_median));
    for (int c = 0; c < w->suite->n_contestants; c++)
        if (g->contestant[c].tasks > 0)
            append(w, list, group_contestant(w, g, c));
    put(w, o, "contestants", list);
    return o;
}

/* --- all of it --- */

static json_t *warnings(writer *w) {
    json_t *list = json_array();
    for (int i = 0; i < w->f->n_tasks; i++)
        if (w->f->task[i].same_splits) {
            char text[160];
            (void)snprintf(text, sizeof text, "task %d: " CX_WARNING_SAME_SPLITS, i);
            append(w, list, json_string(text));
        }
    return list;
}

static json_t *results(writer *w) {
    double at[CX_PROFILE_POINTS];
    json_t *o = json_object(), *contestants = json_array(), *tasks = json_array(),
           *groups = json_array();
    put(w, o, "format", json_string("coxswain-evaluation"));
    put(w, o, "version", json_integer(1));
    put(w, o, "complete", json_boolean(w->complete));
    put(w, o, "policy", w->e->source ? json_string(w->e->source) : json_null());
    put(w, o, "seeds", json_integer(w->suite->seeds));
    put(w, o, "warnings", warnings(w));
    for (int c = 0; c < w->suite->n_contestants; c++)
        append(w, contestants,
               json_pack("{s:s, s:s}", "id", w->suite->contestant[c].id, "name",
                         w->suite->contestant[c].name));
    put(w, o, "contestants", contestants);
    for (int i = 0; i < CX_PROFILE_POINTS; i++)
        at[i] = cx_profile_at(i);
    put(w, o, "profile_at", numbers(w, at, CX_PROFILE_POINTS));
    for (int i = 0; i < w->f->n_groups; i++)
        append(w, groups, group(w, &w->f->group[i]));
    put(w, o, "groups", groups);
    for (int i = 0; i < w->f->n_tasks; i++)
        append(w, tasks, task(w, i));
    put(w, o, "tasks", tasks);
    return o;
}

static int to_text(writer *w, size_t flags, char **text, cx_error *err) {
    json_t *o = results(w);
    *text = w->failed ? NULL : json_dumps(o, flags | JSON_REAL_PRECISION(9));
    json_decref(o);
    return *text ? CX_OK : cx_fail(err, CX_ENOMEM, "no memory for the evaluation's results");
}

int cx_evaluation_write_json(const cx_evaluation *e, const cx_suite *suite, const cx_figures *f,
                             bool complete, cx_error *err) {
    writer w = {.e = e, .suite = suite, .f = f, .complete = complete, .bulk = true};
    char path[600], *text;
    int rc = to_text(&w, JSON_INDENT(0) | JSON_COMPACT, &text, err);
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/" CX_EVALUATION_JSON, e->dir);
    if (!rc)
        rc = cx_file_replace(path, text, strlen(text), err);
    free(text);
    return rc;
}

int cx_evaluation_summary_json(const cx_evaluation *e, const cx_suite *suite, const cx_figures *f,
                               char **text, cx_error *err) {
    writer w = {.e = e, .suite = suite, .f = f, .complete = true};
    return to_text(&w, JSON_COMPACT, text, err);
}
