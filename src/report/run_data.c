#include "report/run_data.h"

#include "base/file.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t file_max = (size_t)1 << 36;

static const char *const metric_key[CX_METRIC_COUNT] = {
#define X(name) #name,
    CX_METRIC_TABLE(X)
#undef X
};

static double number(const json_t *object, const char *key) {
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* --- metrics --- */

static bool grow_column(double **column, int room, int used) {
    double *more = realloc(*column, (size_t)room * sizeof *more);
    if (!more)
        return false;
    for (int i = used; i < room; i++)
        more[i] = NAN;
    *column = more;
    return true;
}

static bool grow_metrics(cx_run_data *d) {
    int room = d->room ? 2 * d->room : 256;
    for (int m = 0; m < CX_METRIC_COUNT; m++)
        if (!grow_column(&d->metric[m], room, d->n))
            return false;
    for (int h = 0; h < d->n_heads; h++)
        if (!grow_column(&d->head_entropy[h], room, d->n))
            return false;
    d->room = room;
    return true;
}

/* Index of a head by its name, made where it is new; -1: no room. */
static int head_index(cx_run_data *d, const char *name) {
    for (int h = 0; h < d->n_heads; h++)
        if (strcmp(d->head[h], name) == 0)
            return h;
    if (d->n_heads == CX_HEADS_MAX || strlen(name) >= sizeof d->head[0])
        return -1;
    int h = d->n_heads;
    if (!grow_column(&d->head_entropy[h], d->room, 0))
        return -1;
    (void)snprintf(d->head[h], sizeof d->head[h], "%s", name);
    d->n_heads++;
    return h;
}

static bool take_update(cx_run_data *d, json_t *line) {
    if (d->n == d->room && !grow_metrics(d))
        return false;
    for (int m = 0; m < CX_METRIC_COUNT; m++)
        d->metric[m][d->n] = number(line, metric_key[m]);
    const char *name;
    json_t *heads = json_object_get(line, "head_entropy"), *value;
    json_object_foreach(heads, name, value) {
        int h = head_index(d, name);
        if (h >= 0)
            d->head_entropy[h][d->n] = json_is_number(value) ? json_number_value(value) : NAN;
    }
    d->n++;
    return true;
}

/* --- episodes --- */

static int family_index(cx_run_data *d, const char *name) {
    for (int f = 0; f < d->n_families; f++)
        if (strncmp(d->family[f], name, sizeof d->family[f] - 1) == 0)
            return f;
    if (d->n_families == CX_REPORT_FAMILIES)
        return CX_REPORT_FAMILIES - 1;
    const char *as = d->n_families == CX_REPORT_FAMILIES - 1 ? "others" : name;
    (void)snprintf(d->family[d->n_families], sizeof d->family[0], "%s", as);
    return d->n_families++;
}

static bool take_episode(cx_run_data *d, json_t *line) {
    if (d->n_episodes == d->episodes_room) {
        int room = d->episodes_room ? 2 * d->episodes_room : 1024;
        cx_report_episode *more = realloc(d->episode, (size_t)room * sizeof *more);
        if (!more)
            return false;
        d->episode = more;
        d->episodes_room = room;
    }
    const char *family = json_string_value(json_object_get(line, "family"));
    const char *end = json_string_value(json_object_get(line, "end"));
    double k = number(line, "outer_steps");
    d->episode[d->n_episodes++] =
        (cx_report_episode){.family = family_index(d, family ? family : "unnamed"),
                            .outer_steps = k > 0 && k < INT_MAX ? (int)k : 0,
                            .reward = number(line, "reward"),
                            .diverged = end && strcmp(end, "diverged") == 0};
    return true;
}

/* --- lines --- */

static int read_lines(const char *dir, const char *name, cx_run_data *d,
                      bool (*take)(cx_run_data *, json_t *), cx_error *err) {
    char path[PATH_MAX];
    unsigned char *text;
    size_t size;
    int rc = cx_path(path, sizeof path, err, "%s/%s", dir, name);
    if (rc || !cx_file_exists(path))
        return rc;
    rc = cx_file_read(path, file_max, &text, &size, err);
    if (rc)
        return rc;
    const char *at = (const char *)text, *end = at + size;
    while (at < end && !rc) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((newline ? newline : end) - at);
        json_t *line = length ? json_loadb(at, length, 0, NULL) : NULL;
        if (json_is_object(line)) {
            if (!take(d, line))
                rc = cx_fail(err, CX_ENOMEM, "%s: no memory for its lines", path);
        } else if (newline) {
            d->bad_lines++; /* without a newline: the run is writing it, or was killed then */
        }
        json_decref(line);
        at = newline ? newline + 1 : end;
    }
    free(text);
    return rc;
}

int cx_run_data_read(const char *dir, cx_run_data *data, cx_error *err) {
    memset(data, 0, sizeof *data);
    int rc = read_lines(dir, "metrics.jsonl", data, take_update, err);
    if (!rc)
        rc = read_lines(dir, "episodes.jsonl", data, take_episode, err);
    if (rc)
        cx_run_data_free(data);
    return rc;
}

void cx_run_data_free(cx_run_data *data) {
    for (int m = 0; m < CX_METRIC_COUNT; m++)
        free(data->metric[m]);
    for (int h = 0; h < data->n_heads; h++)
        free(data->head_entropy[h]);
    free(data->episode);
    memset(data, 0, sizeof *data);
}
