#include "report/eval_page.h"

#include "base/file.h"
#include "report/about.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 30 /* of one drawing */, NAME = 96, CONTESTANTS = 64, PROFILE = 25 };

void cx_eval_task_name(const json_t *task, char *out, size_t size) {
    double number = cx_eval_number(task, "number");
    (void)snprintf(out, size, "%.0f %.80s", isfinite(number) ? number : -1,
                   cx_eval_text(task, "entry"));
}

void cx_eval_task_anchor(const json_t *task, char *out, size_t size) {
    double number = cx_eval_number(task, "number");
    (void)snprintf(out, size, "task-%.0f", isfinite(number) ? number : -1);
}

/* The interval in time is that in steps, scaled: the seconds per step are taken as known. */
void cx_eval_marks(const json_t *entrant, cx_mark *mark, char (*text)[96]) {
    cx_eval_speedup s = cx_eval_speedup_of(entrant, "speedup");
    double time = cx_eval_number(json_object_get(entrant, "speedup"), "in_time");
    double ratio = time / s.value.mean;
    cx_interval in_time = {time, s.value.low * ratio, s.value.high * ratio};
    char factor[64];
    (void)snprintf(text[0], sizeof text[0], "%s", s.text);
    cx_eval_factor_text(in_time, factor, sizeof factor);
    (void)snprintf(text[1], sizeof text[1], "%s%s",
                   !isfinite(time)      ? ""
                   : s.below && s.above ? "~ "
                   : s.below            ? "<= "
                   : s.above            ? ">= "
                                        : "",
                   factor);
    mark[0] = (cx_mark){s.value.mean, s.value.low, s.value.high, s.below, s.above, text[0]};
    mark[1] = (cx_mark){in_time.mean, in_time.low, in_time.high, s.below, s.above, text[1]};
}

/* --- speedup per task --- */

typedef struct {
    char name[ROWS_MAX][NAME], anchor[ROWS_MAX][32], text[ROWS_MAX][CX_MARKS][96];
    cx_row row[ROWS_MAX];
    int n;
} rows;

/* Makes drawings of up to ROWS_MAX complete tasks each; `fill` makes the marks of a row
 * and says whether there is one. */
typedef bool (*fill_row)(const cx_eval_data *d, const json_t *task, cx_row *row, char (*text)[96]);

/* Part number `part` of `parts`, which the title says where there are more than one. */
static void draw_rows(cx_page *page, const rows *r, cx_forest f, const char *title,
                      const char *explanation, int part, int parts) {
    char text[300];
    (void)snprintf(text, sizeof text, "%.200s, part %d of %d", title, part, parts);
    f.title = parts > 1 ? text : title;
    f.row = r->row;
    f.n_rows = r->n;
    cx_page_forest(page, &f, explanation, NULL);
}

static int forest_of_tasks(const cx_eval_data *d, cx_page *page, fill_row fill, const cx_forest *f,
                           const char *title, const char *explanation, int *drawn, cx_error *err) {
    rows *r = malloc(sizeof *r);
    if (!r)
        return cx_fail(err, CX_ENOMEM, "no memory for the rows of a plot");
    const json_t *task;
    size_t i;
    int all = 0, part = 0;
    r->n = *drawn = 0;
    json_array_foreach(d->tasks, i, task) all +=
        cx_eval_is_complete(task) && fill(d, task, &r->row[0], r->text[0]);
    json_array_foreach(d->tasks, i, task) {
        if (!cx_eval_is_complete(task))
            continue;
        cx_eval_task_name(task, r->name[r->n], NAME);
        cx_eval_task_anchor(task, r->anchor[r->n], sizeof r->anchor[0]);
        r->row[r->n] = (cx_row){.label = r->name[r->n], .anchor = r->anchor[r->n]};
        if (!fill(d, task, &r->row[r->n], r->text[r->n]))
            continue;
        r->n++;
        ++*drawn;
        if (r->n < ROWS_MAX && *drawn < all)
            continue;
        draw_rows(page, r, *f, title, part ? NULL : explanation, part + 1,
                  (all + ROWS_MAX - 1) / ROWS_MAX);
        part++;
        r->n = 0;
    }
    free(r);
    return CX_OK;
}

static bool fill_speedup(const cx_eval_data *d, const json_t *task, cx_row *row, char (*text)[96]) {
    (void)d;
    cx_eval_marks(cx_eval_entrant(task, "policy"), row->mark, text);
    return true;
}

static int add_speedups(const cx_eval_data *d, cx_page *page, cx_error *err) {
    char title[200];
    int drawn = 0;
    const cx_forest f = {.x_label = "speedup (factor; right of 1: faster than the baseline)",
                         .factors = true,
                         .low = 0.5,
                         .high = 4,
                         .line = 1,
                         .n_marks = 2,
                         .mark_name = {"in inner steps", "in CPU time"},
                         .row_name = "task"};
    (void)snprintf(title, sizeof title, "Speedup of %.60s over %.60s, by task", d->contestant,
                   d->baseline);
    return forest_of_tasks(
        d, page, fill_speedup, &f, title,
        "Geometric mean over seeds with its 95 % interval. \"> 4 x\" and \"< 1/2 x\": all seeds "
        "lie beyond the lengths at which the baseline was retrained; with <= and >= some do, and "
        "the arrow says that the true value may lie further out. The interval in time is that in "
        "steps, scaled by the seconds per step.",
        &drawn, err);
}

/* --- contestants --- */

static cx_table *contestants_table(const cx_eval_data *d) {
    static const char *const names[] = {"tasks",    "median [95\xc2\xa0%]", "interquartile mean",
                                        "worst",    "median in time",       "test loss, ratio",
                                        "tasks won"};
    cx_table *t = cx_table_create("");
    if (!t)
        return NULL;
    cx_table_column(t, "contestant", CX_COLUMN_TEXT, 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cx_table_column(t, names[i], CX_COLUMN_FIXED, 0);
    const json_t *list = json_object_get(d->all, "contestants"), *c;
    size_t i;
    json_array_foreach(list, i, c) {
        char text[NAME];
        if (!cx_eval_shown(cx_eval_text(c, "id")))
            continue;
        cx_table_text(t, cx_eval_name(d, cx_eval_text(c, "id")));
        cx_table_number(t, cx_eval_number(c, "tasks"));
        cx_table_text(t, cx_eval_speedup_of(c, "median").text);
        cx_table_text(t, cx_eval_speedup_of(c, "interquartile_mean").text);
        cx_table_text(t, cx_eval_text(json_object_get(c, "worst"), "text"));
        cx_eval_factor_text(cx_eval_interval(c, "median_in_time"), text, sizeof text);
        cx_table_text(t, text);
        cx_eval_factor_text(cx_eval_interval(c, "loss_ratio"), text, sizeof text);
        cx_table_text(t, text);
        cx_eval_share_text(cx_eval_interval(c, "tasks_won"), text, sizeof text);
        cx_table_text(t, text);
    }
    return t;
}

static int add_contestants(const cx_eval_data *d, cx_page *page, cx_error *err) {
    cx_row row[CONTESTANTS];
    cx_eval_speedup s[CONTESTANTS];
    cx_table *t = contestants_table(d);
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for the table of contestants");
    const json_t *list = json_object_get(d->all, "contestants"), *c;
    size_t i;
    int n = 0;
    json_array_foreach(list, i, c) {
        const char *id = cx_eval_text(c, "id");
        if (!cx_eval_shown(id) || n == CONTESTANTS)
            continue;
        s[n] = cx_eval_speedup_of(c, "median");
        row[n] = (cx_row){.label = cx_eval_name(d, id),
                          .color = cx_eval_color(id),
                          .mark = {{s[n].value.mean, s[n].value.low, s[n].value.high, s[n].below,
                                    s[n].above, s[n].text}}};
        n++;
    }
    const cx_forest f = {.title = "Everybody who could have been used instead: median speedup",
                         .x_label = "median speedup over the tasks, in inner steps (factor)",
                         .factors = true,
                         .low = 0.5,
                         .high = 2,
                         .line = 1,
                         .n_marks = 1,
                         .row_name = "contestant",
                         .row = row,
                         .n_rows = n};
    cx_page_forest(page, &f,
                   "Median over tasks of the speedup over the baseline, with its 95 % interval "
                   "over tasks and seeds. Who is who stands at the end of the page.",
                   t);
    cx_table_destroy(t);
    return CX_OK;
}

/* --- the performance profile --- */

typedef struct {
    double y[CONTESTANTS][PROFILE], low[CONTESTANTS][PROFILE], high[CONTESTANTS][PROFILE];
} profiles;

static int add_profile(const cx_eval_data *d, cx_page *page, cx_error *err) {
    static const char *const shown[] = {"policy", "open_loop", "static", "sgd"};
    const json_t *at = json_object_get(d->root, "profile_at"), *v;
    double x[PROFILE];
    cx_series series[4];
    size_t i;
    int n = 0, points = 0;
    profiles *p = malloc(sizeof *p);
    if (!p)
        return cx_fail(err, CX_ENOMEM, "no memory for the performance profile");
    json_array_foreach(at, i, v) if (points < PROFILE && json_is_number(v)) x[points++] =
        json_number_value(v);
    for (size_t k = 0; k < sizeof shown / sizeof *shown; k++) {
        const json_t *c = cx_eval_entrant(d->all, shown[k]), *list = json_object_get(c, "profile");
        if (json_array_size(list) == 0)
            continue;
        for (int j = 0; j < points; j++) {
            const json_t *share = json_array_get(list, (size_t)j);
            const double scale = 100; /* percent */
            p->y[n][j] = scale * json_number_value(json_array_get(share, 0));
            p->low[n][j] = scale * json_number_value(json_array_get(share, 1));
            p->high[n][j] = scale * json_number_value(json_array_get(share, 2));
        }
        series[n] = (cx_series){.name = cx_eval_name(d, shown[k]),
                                .n = points,
                                .x = x,
                                .y = p->y[n],
                                .low = k == 0 ? p->low[n] : NULL,
                                .high = k == 0 ? p->high[n] : NULL,
                                .kind = CX_SERIES_STEPS,
                                .color = cx_eval_color(shown[k])};
        n++;
    }
    const cx_plot plot = {.title = "Performance profile",
                          .x_label = "speedup in inner steps, at least (factor)",
                          .y_label = "share of tasks (%)",
                          .wide = true,
                          .factors_x = true,
                          .percent = true,
                          .y_low = 0,
                          .y_high = 100,
                          .line = NAN,
                          .series = series,
                          .n_series = n};
    if (n > 0 && points > 1)
        cx_page_plot(page, &plot,
                     "On how many of the tasks a contestant has at least that speedup over the "
                     "baseline: higher is better, and the baseline itself falls from 100 % to 0 "
                     "at 1. Band: Wilson's 95 % interval of the first; those of the others are as "
                     "wide.",
                     PROFILE);
    free(p);
    return CX_OK;
}

/* --- groups --- */

static void group_row(cx_table *t, const json_t *g) {
    const json_t *c = cx_eval_entrant(g, "policy");
    char text[NAME];
    cx_table_text(t, cx_eval_text(g, "name"));
    cx_table_number(t, cx_eval_number(g, "tasks"));
    cx_table_text(t, cx_eval_speedup_of(c, "median").text);
    cx_table_text(t, cx_eval_text(json_object_get(c, "worst"), "text"));
    cx_eval_factor_text(cx_eval_interval(c, "median_in_time"), text, sizeof text);
    cx_table_text(t, text);
    cx_eval_share_text(cx_eval_interval(c, "tasks_won"), text, sizeof text);
    cx_table_text(t, text);
    cx_eval_factor_text(cx_eval_interval(g, "adapting"), text, sizeof text);
    cx_table_text(t, text);
    cx_eval_factor_text(cx_eval_interval(g, "over_static"), text, sizeof text);
    cx_table_text(t, text);
    double worth = cx_eval_number(g, "worth_trials_median");
    if (isfinite(worth) && cx_eval_true(g, "worth_trials_is_bound"))
        cx_table_format(t, "> %.0f", worth - 1);
    else
        cx_table_number(t, worth);
}

static int add_groups(const cx_eval_data *d, cx_page *page, cx_error *err) {
    static const char *const names[] = {"tasks",
                                        "median speedup [95\xc2\xa0%]",
                                        "worst",
                                        "in time",
                                        "tasks won",
                                        "over open loop",
                                        "over static control",
                                        "worth random trials"};
    const json_t *groups = json_object_get(d->root, "groups"), *g;
    size_t i;
    cx_table *t = cx_table_create("The same by group of tasks");
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for the table of groups");
    cx_table_column(t, "group", CX_COLUMN_TEXT, 0);
    for (i = 0; i < sizeof names / sizeof *names; i++)
        cx_table_column(t, names[i], CX_COLUMN_FIXED, 0);
    json_array_foreach(groups, i, g) group_row(t, g);
    cx_table_note(t, "Over open loop: the speedup over that of the best replay of the policy's own "
                     "runs on other tasks, so what adapting is worth. Over static control: over "
                     "the same update rule with tuned constants. Worth random trials: how many "
                     "random trials of AdamW with a cosine schedule one run is worth (median).");
    cx_page_table(page, t);
    cx_table_destroy(t);
    return CX_OK;
}

/* --- validation and test --- */

static bool fill_gap(const cx_eval_data *d, const json_t *task, cx_row *row, char (*text)[96]) {
    (void)d;
    cx_interval gap = cx_eval_interval(cx_eval_entrant(task, "policy"), "gap_difference");
    double loss = cx_eval_interval(cx_eval_entrant(task, "baseline"), "test_loss").mean;
    double scale = 100 / fabs(loss);
    if (!isfinite(gap.mean) || !isfinite(scale))
        return false;
    (void)snprintf(text[0], sizeof text[0], "%+.2f %% [%+.2f, %+.2f]", scale * gap.mean,
                   scale * gap.low, scale * gap.high);
    row->mark[0] = (cx_mark){.value = scale * gap.mean,
                             .low = scale * gap.low,
                             .high = scale * gap.high,
                             .text = text[0]};
    return true;
}

static int add_gap(const cx_eval_data *d, cx_page *page, cx_error *err) {
    int drawn = 0;
    char text[400];
    cx_interval all = cx_eval_interval(d->all, "relative_gap_difference");
    const cx_forest f = {.x_label = "gap minus the baseline's gap (% of the baseline's test loss)",
                         .low = NAN,
                         .high = NAN,
                         .line = 0,
                         .n_marks = 1,
                         .row_name = "task"};
    cx_page_section(page, "From validation to test");
    int rc = forest_of_tasks(
        d, page, fill_gap, &f, "Gap between validation and test loss, against the baseline's",
        "The policy reads the validation loss while it trains, so it could overfit that split. "
        "Gap: test minus validation loss; its difference to the baseline's gap is paired by "
        "seed. Right of 0: more overfitting to validation than the baseline has.",
        &drawn, err);
    if (!rc && drawn == 0)
        cx_page_text(page, "Every split of these tasks is the same expectation (noisy quadratics): "
                           "there is no gap to measure.");
    else if (!rc && isfinite(all.mean)) {
        (void)snprintf(text, sizeof text,
                       "Mean over tasks: %+.2f %% [%+.2f, %+.2f] of the test loss.", 100 * all.mean,
                       100 * all.low, 100 * all.high);
        cx_page_text(page, text);
    }
    return rc;
}

/* --- cost --- */

static void cost_row(cx_table *t, const json_t *task) {
    const json_t *p = cx_eval_entrant(task, "policy"), *b = cx_eval_entrant(task, "baseline");
    double policy = cx_eval_number(p, "seconds_per_step");
    double base = cx_eval_number(b, "seconds_per_step"),
           worth = cx_eval_number(task, "worth_trials");
    double trials = cx_eval_number(json_object_get(task, "random_search"), "trials");
    char name[NAME];
    cx_eval_task_name(task, name, sizeof name);
    cx_table_text(t, name);
    cx_table_number(t, cx_eval_number(task, "inner_steps"));
    cx_table_number(t, 1e6 * policy);
    cx_table_number(t, 1e6 * base);
    cx_table_number(t, policy / base);
    cx_table_number(t, cx_eval_number(b, "tuning_trials"));
    cx_table_number(t, cx_eval_number(task, "tuning_steps"));
    cx_table_number(t, cx_eval_number(task, "tuning_seconds"));
    if (isfinite(worth))
        cx_table_format(t, "%.0f of %.0f", worth, trials);
    else if (trials > 0)
        cx_table_format(t, "more than %.0f", trials);
    else
        cx_table_number(t, NAN);
}

static int add_cost(const cx_eval_data *d, cx_page *page, cx_error *err) {
    static const char *const names[] = {"inner steps",
                                        "us per step, policy",
                                        "us per step, baseline",
                                        "ratio",
                                        "tuning trials",
                                        "tuning: steps, of one run",
                                        "tuning: time, of one run",
                                        "one run is worth random trials"};
    cx_table *t = cx_table_create("");
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for the table of costs");
    cx_table_column(t, "task", CX_COLUMN_TEXT, 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cx_table_column(t, names[i], CX_COLUMN_SIGNIFICANT, i == 0 ? 8 : 3);
    const json_t *task;
    size_t i;
    json_array_foreach(d->tasks, i, task) if (cx_eval_is_complete(task)) cost_row(t, task);
    cx_page_section(page, "Cost");
    cx_page_text(page, "CPU time of one core, median over seeds. That of a policy's step contains "
                       "observing, deciding, and the validation losses that it reads. Tuning: what "
                       "choosing the baseline's hyperparameters took, in units of one run of the "
                       "policy, which needs no tuning.");
    cx_page_table(page, t);
    cx_table_destroy(t);
    return CX_OK;
}

/* --- who is who, and where it comes from --- */

static void add_method(const cx_eval_data *d, const char *dir, cx_page *page) {
    const json_t *who = json_object_get(d->root, "contestants"), *c;
    static const char *const what[][2] = {
        {"policy", "one run per seed, default start, the likeliest choice at every outer step; "
                   "nothing is tuned (or the optimizer that was named in its place)"},
        {"policy_sampled", "the same with sampled choices"},
        {"baseline", "learning rate, schedule, weight decay and parameter averaging chosen by the "
                     "validation loss of seed 0, then trained on all seeds"},
        {"static", "the policy's own update rule with constant hyperparameters, tuned alike"},
        {"open_loop", "the policy's mean hyperparameters on the other tasks, replayed without "
                      "looking; the best of four ways by validation loss"},
        {"sgd", "learning rate tuned by the same rule"},
        {"random_search", "the best of the random trials by validation loss, seed 0 only"}};
    size_t i;
    cx_table *t = cx_table_create("");
    if (!t)
        return;
    cx_table_column(t, "contestant", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "what it is", CX_COLUMN_TEXT, 0);
    json_array_foreach(who, i, c) for (size_t k = 0; k < sizeof what / sizeof *what; k++) {
        if (strcmp(cx_eval_text(c, "id"), what[k][0]) != 0)
            continue;
        cx_table_text(t, cx_eval_text(c, "name"));
        cx_table_text(t, what[k][1]);
    }
    cx_page_section(page, "How it was measured");
    cx_page_text(page, "Every contestant starts, per seed, from the same initial weights and sees "
                       "the same batches. Nothing that was chosen has looked at the test split. "
                       "Losses are less the task's optimum where it is known.");
    cx_page_table(page, t);
    cx_table_destroy(t);
    cx_about_reproduce(page, dir, "eval", d->made);
}

/* --- the page --- */

static int add_overview(const cx_eval_data *d, cx_page *page, cx_error *err) {
    cx_page_section(page, "Speedup");
    int rc = add_speedups(d, page, err);
    if (!rc)
        rc = add_contestants(d, page, err);
    if (!rc)
        rc = add_profile(d, page, err);
    if (!rc)
        rc = add_groups(d, page, err);
    if (!rc)
        rc = add_gap(d, page, err);
    if (!rc)
        rc = add_cost(d, page, err);
    return rc;
}

int cx_report_evaluation(const char *dir, const char *out_path, cx_error *err) {
    cx_eval_data d;
    char title[300], subtitle[400], name[PATH_MAX];
    int rc = cx_eval_data_read(dir, &d, err);
    if (rc)
        return rc;
    (void)snprintf(title, sizeof title, "Evaluation: %.200s",
                   cx_about_name(dir, name, sizeof name));
    cx_about_line(dir, CX_EVAL_FILE, d.made, subtitle, sizeof subtitle);
    cx_page *page = cx_page_create(title, subtitle);
    if (!page) {
        cx_eval_data_free(&d);
        return cx_fail(err, CX_ENOMEM, "%s: no memory for a page", out_path);
    }
    cx_eval_top(&d, page);
    if (d.all)
        rc = add_overview(&d, page, err);
    if (!rc && d.complete > 0)
        rc = cx_eval_tasks(&d, page, err);
    add_method(&d, dir, page);
    cx_about_config(page, dir);
    if (!rc)
        rc = cx_page_write(page, out_path, err);
    cx_page_destroy(page);
    cx_eval_data_free(&d);
    return rc;
}
