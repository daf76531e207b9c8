/* The part of an evaluation's page about single tasks: learning curves, every contestant's
 * speedup and figures, and what the policy chose. */
#include "report/eval_page.h"

#include "optim/schedule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CURVES = 3, CONTESTANTS = 40, EVENTS_MAX = 4096, SEEDS_MAX = 64, OPEN_TASKS = 4 };

static const char *const curve_ids[] = {"policy", "baseline", "open_loop"};

/* --- learning curves --- */

/* The optimum of each seed's run, which the curves do not have subtracted. */
static void optima(const json_t *entrant, double *out) {
    const json_t *seeds = json_object_get(entrant, "seeds");
    for (int s = 0; s < SEEDS_MAX; s++) {
        double x = cx_eval_number(json_array_get(seeds, (size_t)s), "optimum");
        out[s] = isfinite(x) ? x : 0;
    }
}

/* Logarithmic where all values are above 0 and spread over more than a factor of 4. */
static bool wants_log(const cx_series *s, int n) {
    double least = INFINITY, most = 0;
    for (int k = 0; k < n; k++)
        for (int i = 0; i < s[k].n; i++)
            for (int edge = 0; edge < 2; edge++) {
                double v = edge ? s[k].high[i] : s[k].low[i];
                if (!isfinite(v))
                    continue;
                if (v <= 0)
                    return false;
                least = fmin(least, v);
                most = fmax(most, v);
            }
    return most > 4 * least;
}

typedef struct {
    cx_eval_band band[CURVES];
    cx_series series[2 * CURVES];
    cx_interval test[CURVES];
    char test_name[CURVES][96];
    int n, n_series;
} curves;

static int read_curves(const cx_eval_data *d, const json_t *task, const char *list, curves *c,
                       cx_error *err) {
    double steps = cx_eval_number(task, "inner_steps"), less[SEEDS_MAX];
    int rc = CX_OK;
    memset(c, 0, sizeof *c);
    for (int k = 0; k < CURVES && !rc && isfinite(steps); k++) {
        const json_t *e = cx_eval_entrant(task, curve_ids[k]), *curve = json_object_get(e, "curve");
        if (!curve)
            continue;
        optima(e, less);
        cx_eval_band *b = &c->band[c->n];
        const json_t *by_seed = json_object_get(curve, list);
        rc = cx_eval_band_of(json_object_get(curve, "progress"), by_seed,
                             json_array_size(by_seed) <= SEEDS_MAX ? less : NULL, steps, false, b,
                             err);
        if (rc || b->n == 0) {
            cx_eval_band_free(b);
            continue;
        }
        c->series[c->n_series++] = (cx_series){.name = cx_eval_name(d, curve_ids[k]),
                                               .n = b->n,
                                               .x = b->x,
                                               .y = b->median,
                                               .low = b->low,
                                               .high = b->high,
                                               .color = cx_eval_color(curve_ids[k])};
        c->n++;
    }
    return rc;
}

/* The test losses at the end, as dots in the margin. */
static void add_ends(const cx_eval_data *d, const json_t *task, curves *c) {
    static const double end = 1;
    for (int k = 0; k < CURVES; k++) {
        const json_t *e = cx_eval_entrant(task, curve_ids[k]);
        c->test[k] = cx_eval_interval(e, "test_loss");
        if (!e || !isfinite(c->test[k].mean) || c->n == 0)
            continue;
        (void)snprintf(c->test_name[k], sizeof c->test_name[k], "Final test loss, %.60s",
                       cx_eval_name(d, curve_ids[k]));
        const cx_series *first = &c->series[0];
        c->series[c->n_series++] = (cx_series){.name = c->test_name[k],
                                               .n = 1,
                                               .x = first->n ? first->x + first->n - 1 : &end,
                                               .y = &c->test[k].mean,
                                               .low = &c->test[k].low,
                                               .high = &c->test[k].high,
                                               .kind = CX_SERIES_ENDS,
                                               .color = cx_eval_color(curve_ids[k])};
    }
}

static int add_curve(const cx_eval_data *d, const json_t *task, const char *list, const char *title,
                     bool with_test, cx_page *page, cx_error *err) {
    curves c;
    char text[400];
    int rc = read_curves(d, task, list, &c, err);
    bool log = wants_log(c.series, c.n_series);
    if (with_test)
        add_ends(d, task, &c);
    const cx_plot p = {.title = title,
                       .x_label = "inner steps",
                       .y_label = with_test ? "validation loss" : "training loss",
                       .log_y = log,
                       .y_low = NAN,
                       .y_high = NAN,
                       .line = NAN,
                       .series = c.series,
                       .n_series = c.n_series};
    (void)snprintf(text, sizeof text, "Median; band: %s.%s", cx_eval_band_name(d->seeds),
                   with_test ? " Dots at the end: test loss, mean and 95 % interval." : "");
    if (!rc && c.n > 0)
        cx_page_plot(page, &p, text, CX_EVAL_POINTS);
    for (int k = 0; k < CURVES; k++)
        cx_eval_band_free(&c.band[k]);
    return rc;
}

static bool has_curves(const json_t *task) {
    return json_object_get(cx_eval_entrant(task, "policy"), "curve") != NULL;
}

/* --- every contestant --- */

static void loss_cell(cx_table *t, const json_t *e, const char *key, bool spread) {
    cx_interval i = cx_eval_interval(e, key);
    if (spread && isfinite(i.mean) && isfinite(i.low) && isfinite(i.high) && i.low != i.high)
        cx_table_format(t, "%.4g [%.3g, %.3g]", i.mean, i.low, i.high);
    else
        cx_table_number(t, i.mean);
}

static void how_cell(cx_table *t, const cx_eval_data *d, const json_t *e) {
    const char *how = cx_eval_text(e, "how"), *as = cx_eval_text(e, "as");
    if (as[0])
        cx_table_format(t, "is: %.60s", cx_eval_name(d, as));
    else
        cx_table_format(t, "%.100s%s", how,
                        how[0] && strcmp(cx_eval_text(e, "params"), "newest") == 0 ? ", no average"
                                                                                   : "");
}

static cx_table *entrants_table(const cx_eval_data *d, const json_t *task) {
    const json_t *metric = json_object_get(task, "metric");
    bool share = cx_eval_true(metric, "share");
    cx_table *t = cx_table_create("");
    if (!t)
        return NULL;
    cx_table_column(t, "contestant", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "how", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "speedup [95\xc2\xa0%]", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "in CPU time", CX_COLUMN_FIXED, 2);
    cx_table_column(t, "train loss", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "validation loss", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "test loss [95\xc2\xa0%]", CX_COLUMN_SIGNIFICANT, 4);
    if (metric)
        cx_table_column(t, cx_eval_text(metric, "name"),
                        share ? CX_COLUMN_FIXED : CX_COLUMN_SIGNIFICANT, share ? 2 : 4);
    cx_table_column(t, "won (%)", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "diverged runs", CX_COLUMN_FIXED, 0);
    const json_t *list = json_object_get(task, "contestants"), *e;
    size_t i;
    cx_mark mark[CX_MARKS];
    char said[CX_MARKS][96];
    json_array_foreach(list, i, e) {
        const char *id = cx_eval_text(e, "id");
        if (!cx_eval_shown(id))
            continue;
        cx_table_text(t, cx_eval_name(d, id));
        how_cell(t, d, e);
        cx_table_text(t, cx_eval_speedup_of(e, "speedup").text);
        cx_eval_marks(e, mark, said);
        cx_table_text(t, said[1]);
        loss_cell(t, e, "train_loss", false);
        loss_cell(t, e, "validation_loss", false);
        loss_cell(t, e, "test_loss", true);
        double m = cx_eval_interval(e, "test_metric").mean;
        if (metric && share && m >= 0 && m <= 1)
            cx_table_format(t, "%.2f %%", 100 * m);
        else if (metric)
            cx_table_number(t, m);
        cx_table_number(t, 100 * cx_eval_number(e, "won"));
        cx_table_format(t, "%.0f of %.0f", fmin(fmax(cx_eval_number(e, "diverged"), 0), 1e6),
                        fmin(fmax(cx_eval_number(e, "runs"), 0), 1e6));
    }
    return t;
}

static int add_entrants(const cx_eval_data *d, const json_t *task, cx_page *page, cx_error *err) {
    cx_row row[CONTESTANTS];
    char text[CONTESTANTS][CX_MARKS][96];
    cx_table *t = entrants_table(d, task);
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a table of contestants");
    const json_t *list = json_object_get(task, "contestants"), *e;
    size_t i;
    int n = 0;
    json_array_foreach(list, i, e) {
        const char *id = cx_eval_text(e, "id");
        if (!cx_eval_shown(id) || strcmp(id, "baseline") == 0 || n == CONTESTANTS)
            continue;
        row[n] = (cx_row){.label = cx_eval_name(d, id), .color = cx_eval_color(id)};
        cx_eval_marks(e, row[n].mark, text[n]);
        n++;
    }
    const cx_forest f = {.title = "Speedup over the baseline on this task",
                         .x_label = "speedup (factor)",
                         .factors = true,
                         .low = 0.5,
                         .high = 4,
                         .line = 1,
                         .n_marks = 2,
                         .mark_name = {"in inner steps", "in CPU time"},
                         .row_name = "contestant",
                         .row = row,
                         .n_rows = n};
    cx_page_forest(page, &f, NULL, t);
    cx_table_destroy(t);
    return CX_OK;
}

/* --- what the policy chose --- */

/* Keys of `hyperparameters`, in the order of the page; what is not here comes after. */
static const struct {
    const char *key, *title, *label, *text;
    bool log, constant; /* constant: the baseline has one to compare with */
} kinds[] = {
    {"lr", "Learning rate", "learning rate", NULL, true, false},
    {"relative_update", "Effective learning rate", "||update|| / ||parameters|| per step",
     "Relative length of a step, mean over an outer step.", true, false},
    {"ombeta1", "Momentum: 1 - beta1", "1 - beta1", NULL, true, true},
    {"ombeta2", "Second moment: 1 - beta2", "1 - beta2", NULL, true, true},
    {"group_clip_grad_norm", "Clipping of the gradient's norm", "limit",
     "Limit, in units of the norm's running maximum where the rule scales by it.", false, false},
    {"grad_clip_ombeta", "Clipping: 1 - beta of the running maximum", "1 - beta", NULL, true,
     false},
    {"weight_decay", "Weight decay", "weight decay", NULL, true, true},
    {"epsilon", "Epsilon", "epsilon", NULL, true, false},
    {"lamb_update_norm_ombeta", "LAMB: 1 - beta of the update's norm", "1 - beta", NULL, true,
     false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Steps at which a register was loaded into the parameters, or swapped with them. */
typedef struct {
    double at[EVENTS_MAX];
    int n, saves, runs;
    char name[96];
} restarts;

static void find_restarts(const json_t *hyper, double steps, restarts *r) {
    const json_t *by_seed = json_object_get(hyper, "registers"), *one, *op;
    const json_t *progress = json_object_get(hyper, "progress");
    size_t s, i;
    memset(r, 0, sizeof *r);
    r->runs = (int)json_array_size(by_seed);
    json_array_foreach(by_seed, s, one) json_array_foreach(one, i, op) {
        const char *text = json_string_value(op);
        const json_t *at = json_array_get(progress, i);
        if (!text || !json_is_number(at))
            continue;
        r->saves += strcmp(text, "save") == 0;
        if ((strcmp(text, "load") == 0 || strcmp(text, "swap") == 0) && r->n < EVENTS_MAX)
            r->at[r->n++] = steps * json_number_value(at);
    }
    (void)snprintf(r->name, sizeof r->name, "restart from saved weights (%d in %d runs)", r->n,
                   r->runs);
}

/* The baseline's learning rate over its schedule; a constant for the others. */
typedef struct {
    double x[65], y[65];
    int n;
} reference;

static void make_reference(const json_t *baseline, const char *key, double steps, reference *r) {
    enum { POINTS = 64 };
    double base = cx_eval_number(baseline, key);
    cx_schedule schedule = CX_SCHEDULE_constant;
    r->n = 0;
    if (!(base > 0) ||
        (strcmp(key, "lr") == 0 &&
         cx_schedule_named(cx_eval_text(baseline, "schedule"), &schedule, NULL) != CX_OK))
        return;
    for (int i = 0; i <= POINTS; i++) {
        double progress = fmin((double)i / POINTS, 0.999);
        r->x[i] = steps * i / POINTS;
        r->y[i] = base * (strcmp(key, "lr") == 0 ? cx_schedule_factor(schedule, progress) : 1);
    }
    r->n = POINTS + 1;
}

static int add_hyper(const cx_eval_data *d, const json_t *task, const json_t *hyper,
                     const char *key, int kind, const restarts *events, cx_page *page,
                     cx_error *err) {
    double steps = cx_eval_number(task, "inner_steps");
    bool is_lr = strcmp(key, "lr") == 0, step = strcmp(key, "relative_update") == 0;
    cx_series series[2];
    cx_eval_band b;
    reference ref = {.n = 0};
    int n = 0, rc = cx_eval_band_of(json_object_get(hyper, "progress"), json_object_get(hyper, key),
                                    NULL, steps, true, &b, err);
    if (rc)
        return rc;
    series[n++] = (cx_series){.name = d->contestant,
                              .n = b.n,
                              .x = b.x,
                              .y = b.median,
                              .low = b.low,
                              .high = b.high,
                              .kind = CX_SERIES_STEPS,
                              .color = cx_eval_color("policy")};
    if (is_lr || (kind >= 0 && kinds[kind].constant))
        make_reference(cx_eval_entrant(task, "baseline"), key, steps, &ref);
    if (ref.n > 0)
        series[n++] = (cx_series){.name = d->baseline,
                                  .n = ref.n,
                                  .x = ref.x,
                                  .y = ref.y,
                                  .color = cx_eval_color("baseline")};
    bool marked = (is_lr || step) && events->n > 0;
    const cx_plot p = {.title = kind >= 0 ? kinds[kind].title : key,
                       .x_label = "inner steps",
                       .y_label = kind >= 0 ? kinds[kind].label : key,
                       .log_y = kind >= 0 ? kinds[kind].log : wants_log(series, 1),
                       .y_low = NAN,
                       .y_high = NAN,
                       .line = NAN,
                       .event = marked ? events->at : NULL,
                       .n_events = marked ? events->n : 0,
                       .event_name = marked ? events->name : NULL,
                       .series = series,
                       .n_series = n};
    if (b.n > 0)
        cx_page_plot(page, &p, kind >= 0 ? kinds[kind].text : NULL, CX_EVAL_POINTS);
    cx_eval_band_free(&b);
    return CX_OK;
}

static int kind_of(const char *key) {
    for (int k = 0; k < KINDS; k++)
        if (strcmp(kinds[k].key, key) == 0)
            return k;
    return -1;
}

static int add_hypers(const cx_eval_data *d, const json_t *task, cx_page *page, cx_error *err) {
    const json_t *hyper = json_object_get(cx_eval_entrant(task, "policy"), "hyperparameters");
    double steps = cx_eval_number(task, "inner_steps");
    const char *key;
    json_t *value;
    char text[300];
    int rc = CX_OK;
    if (!json_is_object(hyper) || !isfinite(steps))
        return CX_OK;
    restarts *events = malloc(sizeof *events);
    if (!events)
        return cx_fail(err, CX_ENOMEM, "no memory for the restarts of a run");
    find_restarts(hyper, steps, events);
    cx_page_fold(page, "What the policy chose over the run", d->complete <= OPEN_TASKS);
    (void)snprintf(text, sizeof text, "Median; band: %s.%s", cx_eval_band_name(d->seeds),
                   events->runs == 0 ? " This policy has no registers, so there are no restarts."
                   : events->n == 0  ? " It never went back to saved weights."
                                     : "");
    cx_page_note(page, text);
    for (int k = 0; k < KINDS && !rc; k++)
        if (json_object_get(hyper, kinds[k].key))
            rc = add_hyper(d, task, hyper, kinds[k].key, k, events, page, err);
    json_object_foreach((json_t *)hyper, key, value) if (!rc && kind_of(key) < 0 &&
                                                         strcmp(key, "progress") != 0 &&
                                                         strcmp(key, "registers") != 0) rc =
        add_hyper(d, task, hyper, key, -1, events, page, err);
    cx_page_fold_end(page);
    free(events);
    return rc;
}

/* --- a task --- */

static void add_remarks(const json_t *task, cx_page *page) {
    const json_t *p = cx_eval_entrant(task, "policy");
    cx_interval gap = cx_eval_interval(p, "gap"), more = cx_eval_interval(p, "gap_difference");
    cx_interval adapting = cx_eval_interval(task, "adapting");
    char text[400];
    if (isfinite(adapting.mean)) {
        (void)snprintf(text, sizeof text,
                       "Adapting is worth a factor of %.2f [%.2f, %.2f] in speedup over the best "
                       "open-loop replay.",
                       adapting.mean, adapting.low, adapting.high);
        cx_page_text(page, text);
    }
    if (isfinite(gap.mean) && isfinite(more.mean)) {
        (void)snprintf(text, sizeof text,
                       "Test minus validation loss: %.3g [%.3g, %.3g]; minus that of the baseline: "
                       "%.3g [%.3g, %.3g].",
                       gap.mean, gap.low, gap.high, more.mean, more.low, more.high);
        cx_page_text(page, text);
    }
    if (cx_eval_true(task, "same_splits"))
        cx_page_warn(page, "Test and validation split seem to be the same data.");
}

static int add_task(const cx_eval_data *d, const json_t *task, cx_page *page, cx_error *err) {
    char name[128], anchor[32], title[160];
    cx_eval_task_name(task, name, sizeof name);
    cx_eval_task_anchor(task, anchor, sizeof anchor);
    (void)snprintf(title, sizeof title, "Task %s", name);
    cx_page_heading(page, title, anchor);
    cx_page_note(page, cx_eval_text(task, "text"));
    int rc = CX_OK;
    if (has_curves(task)) {
        rc = add_curve(d, task, "validation_loss", "Learning curves, validation", true, page, err);
        if (!rc)
            rc = add_curve(d, task, "train_loss", "Learning curves, training", false, page, err);
    } else {
        cx_page_note(page, "No learning curves are recorded (an older version made the folder).");
    }
    if (!rc)
        rc = add_entrants(d, task, page, err);
    add_remarks(task, page);
    if (!json_object_get(cx_eval_entrant(task, "policy"), "hyperparameters") &&
        json_is_string(json_object_get(d->root, "policy")))
        cx_page_note(page, "What the policy chose is not recorded (an older version made the "
                           "folder).");
    return rc ? rc : add_hypers(d, task, page, err);
}

int cx_eval_tasks(const cx_eval_data *d, cx_page *page, cx_error *err) {
    const json_t *task;
    size_t i;
    int rc = CX_OK;
    cx_page_section(page, "Task by task");
    cx_page_text(page, "Losses are less the optimum where it is known. The validation curves are "
                       "of the averaged parameters, on the first examples of the validation split; "
                       "final test losses are of the whole split.");
    json_array_foreach(d->tasks, i, task) if (!rc && cx_eval_is_complete(task)) rc =
        add_task(d, task, page, err);
    return rc;
}
