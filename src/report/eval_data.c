#include "report/eval_data.h"

#include "base/file.h"
#include "report/about.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS_MAX = 1024 };

double cx_eval_number(const json_t *object, const char *key) {
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *cx_eval_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

bool cx_eval_true(const json_t *object, const char *key) {
    return json_is_true(json_object_get(object, key));
}

static double element(const json_t *list, size_t i) {
    const json_t *v = json_array_get(list, i);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

cx_interval cx_eval_interval(const json_t *object, const char *key) {
    const json_t *list = json_object_get(object, key);
    cx_interval i = {element(list, 0), element(list, 1), element(list, 2)};
    if (!isfinite(i.mean) || !isfinite(i.low) || !isfinite(i.high))
        i.mean = i.low = i.high = NAN;
    return i;
}

/* --- the file --- */

static json_t *load(const char *dir, const char *name, cx_error *err) {
    char path[PATH_MAX];
    json_error_t why;
    if (cx_path(path, sizeof path, err, "%s/%s", dir, name))
        return NULL;
    json_t *root = json_load_file(path, 0, &why);
    if (!root)
        (void)cx_fail(err, CX_EDATA, "%s:%d: %s", path, why.line, why.text);
    return root;
}

static int check(const char *dir, const json_t *root, cx_error *err) {
    if (strcmp(cx_eval_text(root, "format"), "coxswain-evaluation") != 0)
        return cx_fail(err, CX_EDATA, "%s/" CX_EVAL_FILE ": not an evaluation's results (format)",
                       dir);
    if (cx_eval_number(root, "version") != 1)
        return cx_fail(err, CX_EVERSION, "%s/" CX_EVAL_FILE ": version %g; this program reads 1",
                       dir, cx_eval_number(root, "version"));
    return CX_OK;
}

int cx_eval_data_read(const char *dir, cx_eval_data *d, cx_error *err) {
    memset(d, 0, sizeof *d);
    d->root = load(dir, CX_EVAL_FILE, err);
    if (!d->root)
        return err ? (int)err->code : CX_EDATA;
    int rc = check(dir, d->root, err);
    if (rc) {
        cx_eval_data_free(d);
        return rc;
    }
    const json_t *who = json_object_get(d->root, "contestants"), *item;
    size_t i;
    d->made = cx_about_read(dir);
    d->tasks = json_object_get(d->root, "tasks");
    d->n_tasks = (int)json_array_size(d->tasks);
    json_array_foreach(d->tasks, i, item) d->complete += cx_eval_is_complete(item);
    const json_t *all = json_array_get(json_object_get(d->root, "groups"), 0);
    d->all = cx_eval_number(all, "tasks") > 0 ? all : NULL;
    double seeds = cx_eval_number(d->root, "seeds");
    d->seeds = seeds >= 1 && seeds <= SEEDS_MAX ? (int)seeds : 0;
    d->baseline = cx_eval_name(d, "baseline");
    d->contestant = cx_eval_text(json_array_get(who, 0), "name");
    return CX_OK;
}

void cx_eval_data_free(cx_eval_data *d) {
    json_decref(d->root);
    json_decref(d->made);
    memset(d, 0, sizeof *d);
}

/* --- contestants --- */

bool cx_eval_is_complete(const json_t *task) {
    return cx_eval_true(task, "complete");
}

const json_t *cx_eval_entrant(const json_t *task_or_group, const char *id) {
    const json_t *list = json_object_get(task_or_group, "contestants"), *item;
    size_t i;
    json_array_foreach(list, i, item) if (strcmp(cx_eval_text(item, "id"), id) == 0) return item;
    return NULL;
}

const char *cx_eval_name(const cx_eval_data *d, const char *id) {
    const json_t *who = json_object_get(d->root, "contestants"), *item;
    size_t i;
    json_array_foreach(who, i, item) if (strcmp(cx_eval_text(item, "id"), id) ==
                                         0) return cx_eval_text(item, "name");
    return strcmp(id, "baseline") == 0 ? "the baseline" : id;
}

bool cx_eval_shown(const char *id) {
    return strncmp(id, "replay", 6) != 0;
}

int cx_eval_color(const char *id) {
    static const char *const order[] = {"policy",       "baseline",     "open_loop",
                                        "static",       "sgd",          "policy_sampled",
                                        "policy_start", "random_search"};
    enum { N = sizeof order / sizeof *order };
    for (int i = 0; i < N; i++)
        if (strcmp(id, order[i]) == 0)
            return i;
    return strncmp(id, "policy_start", 12) == 0 ? 6 : N - 1;
}

/* --- speedups --- */

void cx_eval_factor_text(cx_interval i, char *out, size_t size) {
    bool large = fmax(fabs(i.mean), fmax(fabs(i.low), fabs(i.high))) >= 1e4;
    if (!isfinite(i.mean))
        (void)snprintf(out, size, "-");
    else if (isfinite(i.low) && isfinite(i.high) && i.low != i.high)
        (void)snprintf(out, size, large ? "%.3g x [%.3g, %.3g]" : "%.2f x [%.2f, %.2f]", i.mean,
                       i.low, i.high);
    else
        (void)snprintf(out, size, large ? "%.3g x" : "%.2f x", i.mean);
}

void cx_eval_share_text(cx_interval s, char *out, size_t size) {
    if (s.mean >= 0 && s.mean <= 1 && s.low >= 0 && s.high <= 1)
        (void)snprintf(out, size, "%.0f %% [%.0f, %.0f]", 100 * s.mean, 100 * s.low, 100 * s.high);
    else
        (void)snprintf(out, size, "-");
}

cx_eval_speedup cx_eval_speedup_of(const json_t *object, const char *key) {
    const json_t *o = json_object_get(object, key);
    const char *bound = cx_eval_text(o, "bound"), *text = cx_eval_text(o, "text");
    cx_eval_speedup s = {.value = cx_eval_interval(o, "value")};
    bool outside = strcmp(bound, "above") == 0 || strcmp(bound, "below") == 0;
    bool about = strcmp(bound, "about") == 0;
    s.below = about || strcmp(bound, "below") == 0 || strcmp(bound, "at most") == 0;
    s.above = about || strcmp(bound, "above") == 0 || strcmp(bound, "at least") == 0;
    if (!isfinite(s.value.mean) || !text[0])
        (void)snprintf(s.text, sizeof s.text, "-");
    else if (outside || !isfinite(s.value.low) || s.value.low == s.value.high)
        (void)snprintf(s.text, sizeof s.text, "%.40s", text);
    else
        (void)snprintf(s.text, sizeof s.text,
                       fmax(fabs(s.value.low), fabs(s.value.high)) < 1e4 ? "%.40s [%.2f, %.2f]"
                                                                         : "%.40s [%.3g, %.3g]",
                       text, s.value.low, s.value.high);
    if (outside)
        s.value.low = s.value.high = NAN;
    return s;
}

/* --- over seeds --- */

static int spread(double *x, int m, double *median, double *low, double *high, cx_error *err) {
    *median = *low = *high = NAN;
    if (m == 0)
        return CX_OK;
    bool few = m <= CX_EVAL_FEW;
    int rc = cx_stats_percentile(x, m, 50, median, err);
    if (!rc)
        rc = cx_stats_percentile(x, m, few ? 0 : 25, low, err);
    return rc ? rc : cx_stats_percentile(x, m, few ? 100 : 75, high, err);
}

int cx_eval_band_of(const json_t *progress, const json_t *by_seed, const double *less, double scale,
                    bool hold, cx_eval_band *b, cx_error *err) {
    size_t points = json_array_size(progress), seeds = json_array_size(by_seed);
    int rc = CX_OK;
    memset(b, 0, sizeof *b);
    points = points < CX_EVAL_POINTS ? points : CX_EVAL_POINTS;
    seeds = seeds < SEEDS_MAX ? seeds : SEEDS_MAX;
    size_t room = points + 1;
    double *x = malloc((4 * room + seeds + 1) * sizeof *x), *value = x + 4 * room;
    if (!x)
        return cx_fail(err, CX_ENOMEM, "no memory for a curve of %zu points", points);
    b->x = x;
    b->median = x + room;
    b->low = x + 2 * room;
    b->high = x + 3 * room;
    for (size_t i = 0; i < points && !rc; i++) {
        int m = 0;
        double at = element(progress, i);
        for (size_t s = 0; s < seeds; s++) {
            double v = element(json_array_get(by_seed, s), i) - (less ? less[s] : 0);
            if (isfinite(v))
                value[m++] = v;
        }
        if (!isfinite(at) || (b->n > 0 && !(at * scale > b->x[b->n - 1])))
            continue;
        b->x[b->n] = at * scale;
        rc = spread(value, m, &b->median[b->n], &b->low[b->n], &b->high[b->n], err);
        b->n++;
    }
    if (hold && b->n > 0 && b->x[b->n - 1] < scale) {
        int i = b->n++;
        b->x[i] = scale;
        b->median[i] = b->median[i - 1];
        b->low[i] = b->low[i - 1];
        b->high[i] = b->high[i - 1];
    }
    if (rc)
        cx_eval_band_free(b);
    return rc;
}

void cx_eval_band_free(cx_eval_band *b) {
    free(b->x);
    memset(b, 0, sizeof *b);
}

const char *cx_eval_band_name(int seeds) {
    return seeds <= CX_EVAL_FEW ? "from the least to the greatest of the seeds"
                                : "the middle half of the seeds (25 to 75 %)";
}
