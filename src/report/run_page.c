#include "report/run_page.h"

#include "base/file.h"
#include "report/about.h"
#include "report/page.h"
#include "report/run_data.h"
#include "report/stats.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TABLE_ROWS = 20,     /* figures below a plot */
    CURVES = 3,          /* metrics of one plot, at most */
    BOOTSTRAP_MAX = 5000 /* numbers; above, the normal interval is as good and quick */
};

static const double bytes_per_mib = 1048576;

/* One plot of metrics. */
typedef struct {
    const char *title, *y_label, *explanation;
    struct {
        cx_metric metric;
        const char *name; /* NULL: the only one */
    } curve[CURVES];
    int n_curves;
    bool over_time; /* x: time, else episodes */
    bool log_y;
    double low, high; /* fixed ends; NAN: from the values */
    double scale;     /* values are divided by it; 0: 1 */
} figure;

/* clang-format off */
static const figure policy_figures[] = {
    {"Approximate KL divergence", "KL (nats)",
     "How far the policy moved in one update, (r - 1) - log r over the last pass; about 0.01 is right.",
     {{CX_METRIC_kl, NULL}}, 1, false, false, 0, NAN, 0},
    {"Clip fraction", "share of actions",
     "Share of the outer steps whose probability ratio was clipped.",
     {{CX_METRIC_clip_fraction, NULL}}, 1, false, false, 0, NAN, 0},
    {"Explained variance of the value function", "explained variance",
     "1: it foretells the return exactly; 0: no better than the mean; below 0: worse.",
     {{CX_METRIC_explained_variance, NULL}}, 1, false, false, NAN, 1, 0},
    {"Policy loss", "clipped surrogate",
     "The clipped surrogate, without the entropy bonus.",
     {{CX_METRIC_policy_loss, NULL}}, 1, false, false, NAN, NAN, 0},
    {"Value loss", "half the squared error",
     "Half the mean squared error, of targets of unit variance.",
     {{CX_METRIC_value_loss, NULL}}, 1, false, false, 0, NAN, 0},
    {"Gradient norms", "norm before clipping",
     "Mean over the gradient steps of an update.",
     {{CX_METRIC_gradient_norm, "policy"}, {CX_METRIC_value_gradient_norm, "value function"}},
     2, false, true, NAN, NAN, 0},
    {"Gradient steps left out", "steps per update",
     "Steps whose gradient was not finite.",
     {{CX_METRIC_skipped, NULL}}, 1, false, false, 0, NAN, 0},
    {"Staleness", "versions",
     "Policy versions between acting and learning.",
     {{CX_METRIC_staleness, "mean"}, {CX_METRIC_max_staleness, "largest in the buffer"}},
     2, false, false, 0, NAN, 0},
    {"Learning rate", "learning rate", NULL,
     {{CX_METRIC_learning_rate, NULL}}, 1, false, false, 0, NAN, 0},
    {"Entropy coefficient", "coefficient", NULL,
     {{CX_METRIC_entropy_coefficient, NULL}}, 1, false, false, 0, NAN, 0},
};

static const figure machine_figures[] = {
    {"Episodes per second", "episodes/s", "All workers together.",
     {{CX_METRIC_episodes_per_second, NULL}}, 1, true, false, 0, NAN, 0},
    {"Occupancy of the workers", "share of their time",
     "Busy: in inner trainings and sweeps; policy: observing and choosing; waiting: without work, or for messages.",
     {{CX_METRIC_workers_busy, "busy"}, {CX_METRIC_workers_policy, "policy"}, {CX_METRIC_workers_waiting, "waiting"}},
     3, true, false, 0, 1, 0},
    {"Workers", "workers", NULL,
     {{CX_METRIC_workers, NULL}}, 1, true, false, 0, NAN, 0},
    {"Baselines", "sweeps", "Adam sweeps that are known, from this run or the cache.",
     {{CX_METRIC_baselines, NULL}}, 1, true, false, 0, NAN, 0},
    {"Computing time of an update", "seconds", "Of the learner, on rank 0.",
     {{CX_METRIC_learner_seconds, NULL}}, 1, true, false, 0, NAN, 0},
    {"Peak memory", "resident memory (MiB)", NULL,
     {{CX_METRIC_peak_bytes_coordinator, "coordinator"}, {CX_METRIC_peak_bytes_worker, "largest worker"}},
     2, true, false, 0, NAN, bytes_per_mib},
};
/* clang-format on */

/* What the plots of one page share. */
typedef struct {
    const cx_run_data *data;
    const char *dir;
    cx_page *page;
    double *time; /* [n] in time_unit */
    const char *time_label;
} context;

static bool any_finite(const double *x, int n) {
    for (int i = 0; i < n; i++)
        if (isfinite(x[i]))
            return true;
    return false;
}

static double last_finite(const double *x, int n) {
    for (int i = n - 1; i >= 0; i--)
        if (isfinite(x[i]))
            return x[i];
    return NAN;
}

static cx_plot new_plot(const context *c, const char *title, const char *y_label, bool over_time,
                        const cx_series *series, int n) {
    return (cx_plot){.title = title,
                     .x_label = over_time ? c->time_label : "episodes finished",
                     .y_label = y_label,
                     .y_low = NAN,
                     .y_high = NAN,
                     .line = NAN,
                     .series = series,
                     .n_series = n};
}

static int add_figure(const context *c, const figure *f, cx_error *err) {
    const cx_run_data *d = c->data;
    cx_series series[CURVES];
    double *scaled[CURVES] = {NULL};
    int n = 0, rc = CX_OK;
    for (int k = 0; k < f->n_curves && !rc; k++) {
        const double *y = d->metric[f->curve[k].metric];
        if (!any_finite(y, d->n))
            continue;
        if (f->scale > 0) {
            scaled[k] = malloc((size_t)d->n * sizeof *scaled[k]);
            if (!scaled[k])
                rc = cx_fail(err, CX_ENOMEM, "no memory for a plot of %d points", d->n);
            for (int i = 0; i < d->n && !rc; i++)
                scaled[k][i] = y[i] / f->scale;
            y = scaled[k];
        }
        series[n++] = (cx_series){.name = f->curve[k].name,
                                  .n = d->n,
                                  .x = f->over_time ? c->time : d->metric[CX_METRIC_episodes],
                                  .y = y,
                                  .color = k};
    }
    if (n > 0 && !rc) {
        cx_plot p = new_plot(c, f->title, f->y_label, f->over_time, series, n);
        p.log_y = f->log_y;
        p.y_low = f->low;
        p.y_high = f->high;
        cx_page_plot(c->page, &p, f->explanation, TABLE_ROWS);
    }
    for (int k = 0; k < CURVES; k++)
        free(scaled[k]);
    return rc;
}

static int add_figures(const context *c, const figure *list, size_t n, cx_error *err) {
    for (size_t i = 0; i < n; i++) {
        int rc = add_figure(c, &list[i], err);
        if (rc)
            return rc;
    }
    return CX_OK;
}

/* --- reward --- */

static int moving_window(int n) {
    int w = n / 20;
    return w < 5 ? 5 : w > 200 ? 200 : w;
}

/* The mean of the last `window` finite values up to each point, with its 95 % interval. */
static void moving_mean(const double *y, int n, int window, double *mean, double *low, double *high,
                        double *room) {
    for (int i = 0; i < n; i++) {
        int m = 0;
        for (int k = i; k >= 0 && k > i - window; k--)
            if (isfinite(y[k]))
                room[m++] = y[k];
        cx_interval x = cx_normal_mean(room, m);
        mean[i] = x.mean;
        low[i] = m >= 5 ? x.low : NAN; /* of fewer the deviation says nothing */
        high[i] = m >= 5 ? x.high : NAN;
    }
}

static int add_moving(const context *c, cx_metric metric, const char *title, const char *y_label,
                      const char *explanation, double line, const char *line_name, double low,
                      double high, cx_error *err) {
    const cx_run_data *d = c->data;
    const double *y = d->metric[metric];
    if (!any_finite(y, d->n))
        return CX_OK;
    int window = moving_window(d->n);
    size_t n = (size_t)d->n;
    double *block = malloc((3 * n + (size_t)window) * sizeof *block);
    if (!block)
        return cx_fail(err, CX_ENOMEM, "no memory for a plot of %d points", d->n);
    moving_mean(y, d->n, window, block, block + n, block + 2 * n, block + 3 * n);
    char name[64];
    (void)snprintf(name, sizeof name, "mean of %d updates, 95 %%", window);
    const double *x = d->metric[CX_METRIC_episodes];
    const cx_series series[] = {
        {.name = "each update", .n = d->n, .x = x, .y = y, .faint = true},
        {.name = name, .n = d->n, .x = x, .y = block, .low = block + n, .high = block + 2 * n}};
    cx_plot p = new_plot(c, title, y_label, false, series, 2);
    p.wide = metric == CX_METRIC_reward;
    p.line = line;
    p.line_name = line_name;
    p.y_low = low;
    p.y_high = high;
    cx_page_plot(c->page, &p, explanation, TABLE_ROWS);
    free(block);
    return CX_OK;
}

/* --- entropy --- */

static void add_entropy(const context *c) {
    const cx_run_data *d = c->data;
    cx_series series[CX_HEADS_MAX];
    int n = 0;
    const double *x = d->metric[CX_METRIC_episodes], *total = d->metric[CX_METRIC_entropy];
    if (any_finite(total, d->n)) {
        series[0] = (cx_series){.n = d->n, .x = x, .y = total};
        cx_plot p = new_plot(c, "Entropy", "entropy (nats)", false, series, 1);
        p.y_low = 0;
        cx_page_plot(c->page, &p, "Of the whole choice: the sum over the heads.", TABLE_ROWS);
    }
    for (int h = 0; h < d->n_heads; h++)
        if (any_finite(d->head_entropy[h], d->n)) {
            series[n] = (cx_series){
                .name = d->head[h], .n = d->n, .x = x, .y = d->head_entropy[h], .color = n};
            n++;
        }
    if (n > 0) {
        cx_plot p = new_plot(c, "Entropy per head", "entropy (nats)", false, series, n);
        p.wide = n > 4;
        p.y_low = 0;
        cx_page_plot(c->page, &p, "A head at 0 always takes the same choice.", TABLE_ROWS);
    }
}

/* --- final rewards by family and K --- */

typedef struct {
    const char *name;
    int low, high; /* outer steps, both included */
} steps_group;

static const steps_group steps_groups[] = {{"all", 0, INT_MAX},  {"below 8", 0, 7},
                                           {"8 to 15", 8, 15},   {"16 to 31", 16, 31},
                                           {"32 to 63", 32, 63}, {"64 and more", 64, INT_MAX}};

/* Bins of the reward: at most `high`. */
static const struct {
    const char *name;
    double high;
} bins[] = {{"at the floor, -3", -2.999},
            {"to -1", -1},
            {"to -0.25", -0.25},
            {"to 0", 0},
            {"to 0.25", 0.25},
            {"to log 2", 0.69314718},
            {"above", INFINITY}};
enum { BINS = sizeof bins / sizeof *bins };

static int reward_row(cx_table *t, const cx_run_data *d, int first, int family,
                      const steps_group *g, double *x, cx_error *err) {
    int n = 0, diverged = 0, count[BINS] = {0};
    for (int i = first; i < d->n_episodes; i++) {
        const cx_report_episode *e = &d->episode[i];
        if ((family >= 0 && e->family != family) || e->outer_steps < g->low ||
            e->outer_steps > g->high || !isfinite(e->reward))
            continue;
        x[n++] = e->reward;
        diverged += e->diverged;
        int b = 0;
        while (e->reward > bins[b].high)
            b++;
        count[b]++;
    }
    if (n == 0)
        return CX_OK;
    double median;
    int rc = cx_stats_percentile(x, n, 50, &median, err);
    cx_interval m = n <= BOOTSTRAP_MAX ? cx_bootstrap_mean(x, n, 0) : cx_normal_mean(x, n);
    cx_table_text(t, family >= 0 ? d->family[family] : "all");
    cx_table_text(t, g->name);
    cx_table_number(t, n);
    cx_table_format(t, "%.3f [%.3f, %.3f]", m.mean, m.low, m.high);
    cx_table_number(t, median);
    cx_table_number(t, (double)diverged / n);
    for (int b = 0; b < BINS; b++)
        cx_table_number(t, (double)count[b] / n);
    return rc;
}

static int add_final_rewards(const context *c, cx_error *err) {
    const cx_run_data *d = c->data;
    int last = d->n_episodes / 4 > 500 ? d->n_episodes / 4 : 500;
    if (last > d->n_episodes)
        last = d->n_episodes;
    if (last == 0)
        return CX_OK;
    char title[120];
    (void)snprintf(title, sizeof title, "Reward of the last %d episodes, and how it is spread",
                   last);
    cx_table *t = cx_table_create(title);
    double *room = malloc((size_t)last * sizeof *room);
    if (!t || !room) {
        cx_table_destroy(t);
        free(room);
        return cx_fail(err, CX_ENOMEM, "no memory for the table of rewards");
    }
    cx_table_column(t, "family", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "outer steps", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "episodes", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "mean [95\xc2\xa0%]", CX_COLUMN_FIXED, 3);
    cx_table_column(t, "median", CX_COLUMN_FIXED, 3);
    cx_table_column(t, "diverged", CX_COLUMN_SHARE, 1);
    for (int b = 0; b < BINS; b++)
        cx_table_column(t, bins[b].name, CX_COLUMN_SHARE, 0);
    int rc = CX_OK;
    for (int f = -1; f < d->n_families && !rc; f++)
        for (size_t g = 0; g < sizeof steps_groups / sizeof *steps_groups && !rc; g++)
            rc = reward_row(t, d, d->n_episodes - last, f, &steps_groups[g], room, err);
    cx_table_note(t,
                  "Sampled actions, tasks as they came; 0: as fast as the best Adam of the task's "
                  "sweep, log 2 = 0.69: twice as fast.");
    if (!rc)
        cx_page_table(c->page, t);
    cx_table_destroy(t);
    free(room);
    return rc;
}

/* --- the summary --- */

static void time_text(double seconds, char *out, size_t size) {
    if (seconds >= 7200)
        (void)snprintf(out, size, "%.1f hours", seconds / 3600);
    else if (seconds >= 120)
        (void)snprintf(out, size, "%.1f minutes", seconds / 60);
    else
        (void)snprintf(out, size, "%.0f seconds", seconds);
}

/* Mean reward of the last updates, bootstrapped over them; *n: how many. CX_ENOMEM. */
static int last_reward(const cx_run_data *d, int *n, cx_interval *out, cx_error *err) {
    int window = moving_window(d->n);
    double *rewards = malloc((size_t)window * sizeof *rewards);
    if (!rewards)
        return cx_fail(err, CX_ENOMEM, "no memory for the summary");
    *n = 0;
    for (int i = d->n - 1; i >= 0 && i >= d->n - window; i--)
        if (isfinite(d->metric[CX_METRIC_reward][i]))
            rewards[(*n)++] = d->metric[CX_METRIC_reward][i];
    *out = cx_bootstrap_mean(rewards, *n, 0);
    free(rewards);
    return CX_OK;
}

static void add_fact(cx_page *page, const char *what, double value, bool share) {
    char text[48];
    if (!isfinite(value))
        return;
    (void)snprintf(text, sizeof text, share ? "%.1f %%" : "%.10g", share ? 100 * value : value);
    cx_page_fact(page, text, what);
}

static int add_summary(const context *c, cx_error *err) {
    const cx_run_data *d = c->data;
    cx_interval r = {NAN, NAN, NAN};
    char text[900], what[120], time[48] = "an unknown time";
    int n = 0, rc = last_reward(d, &n, &r, err);
    if (rc)
        return rc;
    double updates = last_finite(d->metric[CX_METRIC_update], d->n);
    double episodes = last_finite(d->metric[CX_METRIC_episodes], d->n);
    double seconds = last_finite(d->metric[CX_METRIC_seconds], d->n);
    if (isfinite(seconds))
        time_text(seconds, time, sizeof time);
    int used = snprintf(text, sizeof text,
                        "Meta-training: %.0f updates of the policy from %.0f whole trainings "
                        "(episodes), in %s.",
                        isfinite(updates) ? updates : d->n,
                        isfinite(episodes) ? episodes : d->n_episodes, time);
    if (n > 0)
        (void)snprintf(text + used, sizeof text - (size_t)used,
                       " In the last %d updates the mean reward is %.3f [%.3f, %.3f] (95 %% "
                       "interval over updates), which is the speed of the best constant-rate Adam "
                       "of each task's sweep times %.2f [%.2f, %.2f]. That is the measure of "
                       "training itself: sampled choices, training tasks, validation loss. How "
                       "the policy compares with tuned optimizers on the test split is what "
                       "\"coxswain eval\" measures.",
                       n, r.mean, r.low, r.high, exp(r.mean), exp(r.low), exp(r.high));
    cx_page_lead(c->page, text);
    if (n > 0) {
        (void)snprintf(text, sizeof text, "%.3f [%.3f, %.3f]", r.mean, r.low, r.high);
        (void)snprintf(what, sizeof what, "mean reward, last %d updates", n);
        cx_page_fact(c->page, text, what);
    }
    add_fact(c->page, "diverged, last update", last_finite(d->metric[CX_METRIC_diverged], d->n),
             true);
    add_fact(c->page, "workers", last_finite(d->metric[CX_METRIC_workers], d->n), false);
    add_fact(c->page, "workers busy, at the end",
             last_finite(d->metric[CX_METRIC_workers_busy], d->n), true);
    double lost = last_finite(d->metric[CX_METRIC_workers_lost], d->n);
    if (lost > 0)
        add_fact(c->page, "workers lost", lost, false);
    if (d->bad_lines) {
        (void)snprintf(text, sizeof text, "%d lines of the run's files could not be read.",
                       d->bad_lines);
        cx_page_warn(c->page, text);
    }
    return CX_OK;
}

/* --- the closing table --- */

static bool column_is_text(const json_t *rows, size_t column) {
    size_t r;
    json_t *row;
    json_array_foreach(rows, r, row) if (json_is_string(json_array_get(row, column))) return true;
    return false;
}

static cx_table *closing_table(const json_t *root) {
    const char *title = json_string_value(json_object_get(root, "title"));
    json_t *columns = json_object_get(root, "columns"), *rows = json_object_get(root, "rows");
    json_t *notes = json_object_get(root, "notes"), *item;
    size_t i, n = json_array_size(columns);
    cx_table *t = n > 0 && json_is_array(rows) ? cx_table_create(title ? title : "") : NULL;
    if (!t)
        return NULL;
    json_array_foreach(columns, i, item) {
        const char *name = json_string_value(item);
        cx_table_column(t, name ? name : "",
                        column_is_text(rows, i) ? CX_COLUMN_TEXT : CX_COLUMN_SIGNIFICANT, 5);
    }
    json_array_foreach(rows, i, item) if (json_array_size(item) != n) {
        cx_table_destroy(t);
        return NULL;
    }
    json_array_foreach(rows, i, item) for (size_t k = 0; k < n; k++) {
        const json_t *cell = json_array_get(item, k);
        if (json_is_string(cell))
            cx_table_text(t, json_string_value(cell));
        else
            cx_table_number(t, json_is_number(cell) ? json_number_value(cell) : NAN);
    }
    json_array_foreach(notes, i, item) if (json_is_string(item))
        cx_table_note(t, json_string_value(item));
    return t;
}

static void add_closing(cx_page *page, const char *dir) {
    char path[PATH_MAX], fault[256] = "";
    if (cx_path(path, sizeof path, NULL, "%s/closing.json", dir) || !cx_file_exists(path))
        return;
    json_error_t why;
    json_t *root = json_load_file(path, 0, &why);
    cx_table *t = root ? closing_table(root) : NULL;
    cx_page_section(page, "Result");
    if (t)
        cx_page_table(page, t);
    else
        (void)snprintf(fault, sizeof fault, "closing.json cannot be read: %s",
                       root ? "it has no columns, or rows of other lengths" : why.text);
    if (fault[0])
        cx_page_text(page, fault);
    cx_table_destroy(t);
    json_decref(root);
}

/* --- the page --- */

static int add_learning(const context *c, cx_error *err) {
    cx_page_section(c->page, "Learning");
    int rc =
        add_moving(c, CX_METRIC_reward, "Reward", "reward, log(t/N)",
                   "Of the episodes that each update took: 0 is as fast as the best Adam of the "
                   "task's sweep, log 2 = 0.69 twice as fast; -3 is the floor.",
                   0, "level with Adam", NAN, NAN, err);
    if (!rc)
        rc = add_moving(c, CX_METRIC_diverged, "Diverged episodes", "share of episodes",
                        "Loss or gradient was not finite.", NAN, NULL, 0, NAN, err);
    if (!rc)
        rc = add_final_rewards(c, err);
    return rc;
}

static int add_run(context *c, cx_error *err) {
    const cx_run_data *d = c->data;
    const double *seconds = d->metric[CX_METRIC_seconds];
    if (d->n == 0) {
        cx_page_lead(c->page, "No learner update is recorded yet.");
        add_closing(c->page, c->dir);
        return add_final_rewards(c, err);
    }
    c->time = malloc((size_t)d->n * sizeof *c->time);
    if (!c->time)
        return cx_fail(err, CX_ENOMEM, "no memory for %d updates", d->n);
    bool hours = last_finite(seconds, d->n) > 7200;
    c->time_label = hours ? "time since the start (h)" : "time since the start (min)";
    for (int i = 0; i < d->n; i++)
        c->time[i] = seconds[i] / (hours ? 3600 : 60);
    int rc = add_summary(c, err);
    add_closing(c->page, c->dir);
    if (!rc)
        rc = add_learning(c, err);
    if (!rc) {
        cx_page_section(c->page, "Policy optimization");
        add_entropy(c);
        rc = add_figures(c, policy_figures, sizeof policy_figures / sizeof *policy_figures, err);
    }
    if (!rc) {
        cx_page_section(c->page, "Machine");
        rc = add_figures(c, machine_figures, sizeof machine_figures / sizeof *machine_figures, err);
    }
    free(c->time);
    return rc;
}

static bool has_closing(const char *dir) {
    char path[PATH_MAX];
    return cx_path(path, sizeof path, NULL, "%s/closing.json", dir) == CX_OK &&
           cx_file_exists(path);
}

int cx_report_run(const char *dir, const char *out_path, cx_error *err) {
    char path[PATH_MAX], name[PATH_MAX], title[512], subtitle[400];
    cx_run_data data;
    int rc = out_path ? cx_path(path, sizeof path, err, "%s", out_path)
                      : cx_path(path, sizeof path, err, "%s/report.html", dir);
    if (!rc)
        rc = cx_run_data_read(dir, &data, err);
    if (rc)
        return rc;
    if (data.n == 0 && data.n_episodes == 0 && !has_closing(dir)) {
        cx_run_data_free(&data);
        return cx_fail(err, CX_EDATA,
                       "%s: nothing to report on: metrics.jsonl, episodes.jsonl, closing.json and "
                       "evaluation.json are missing or empty; is it the folder of train or eval?",
                       dir);
    }
    json_t *made = cx_about_read(dir);
    (void)snprintf(title, sizeof title, "Training run: %.400s",
                   cx_about_name(dir, name, sizeof name));
    cx_about_line(dir, "metrics.jsonl", made, subtitle, sizeof subtitle);
    cx_page *page = cx_page_create(title, subtitle);
    if (!page) {
        json_decref(made);
        cx_run_data_free(&data);
        return cx_fail(err, CX_ENOMEM, "%s: no memory for a page", path);
    }
    context c = {.data = &data, .dir = dir, .page = page};
    rc = data.n || data.n_episodes ? add_run(&c, err) : CX_OK;
    if (!data.n && !data.n_episodes)
        add_closing(page, dir);
    cx_page_section(page, "Making it again");
    cx_about_reproduce(page, dir, "train", made);
    cx_about_config(page, dir);
    json_decref(made);
    if (!rc)
        rc = cx_page_write(page, path, err);
    cx_page_destroy(page);
    cx_run_data_free(&data);
    return rc;
}
