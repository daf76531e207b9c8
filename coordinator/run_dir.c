#include "coordinator/run_dir.h"

#include "base/file.h"
#include "base/level.h"
#include "tasks/task.h"
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Nothing in it but what a start that was killed at once leaves behind. */
static bool folder_is_empty(const char *path) {
    DIR *d = opendir(path);
    if (!d)
        return false;
    int n = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
             strcmp(e->d_name, "lock") != 0 && strcmp(e->d_name, "config.yaml.tmp") != 0 &&
             strncmp(e->d_name, "coxswain-exit-", 14) != 0; /* the launcher's */
    (void)closedir(d);
    return n == 0;
}

/* Lines of the resolved configuration that may differ when a run is resumed: none of
 * them changes what an update computes from its episodes. */
static bool may_differ(const char *line, size_t length, bool *in_free_section) {
    static const char *const keys[] = {
        "updates:", "checkpoint:", "workers:", "data:", "evaluation:", "baseline_cache:"};
    bool top = length > 0 && line[0] != ' ';
    if (top) {
        *in_free_section = false;
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            if (strncmp(line, keys[i], strlen(keys[i])) == 0)
                *in_free_section = true;
    }
    /* the paths of the data may change, but not what is split off */
    return *in_free_section && strncmp(line, "  validation_examples:", 22) != 0;
}

/* The next line that must agree; NULL at the end. */
static const char *next_line(const char **at, size_t *length, bool *in_free_section) {
    while (**at) {
        const char *line = *at, *end = strchr(line, '\n');
        *length = end ? (size_t)(end - line) : strlen(line);
        *at = end ? end + 1 : line + *length;
        if (!may_differ(line, *length, in_free_section))
            return line;
    }
    return NULL;
}

static int compare_configs(const char *path, const char *old, const char *now, cx_error *err) {
    bool free_old = false, free_now = false;
    for (;;) {
        size_t n = 0, m = 0;
        const char *a = next_line(&old, &n, &free_old), *b = next_line(&now, &m, &free_now);
        if (!a && !b)
            return CX_OK;
        if (!a || !b || n != m || memcmp(a, b, n) != 0)
            return cx_fail(
                err, CX_ECONFIG,
                "%s/config.yaml: the run was started with \"%.*s\", the configuration now "
                "says \"%.*s\"; only updates, data, checkpoint, workers and baseline_cache "
                "may change on --resume",
                path, a ? (int)n : 0, a ? a : "", b ? (int)m : 0, b ? b : "");
    }
}

static int open_old(cx_run_dir *dir, const char *config_yaml, cx_error *err) {
    char file[600];
    unsigned char *old;
    size_t size;
    int rc = cx_path(file, sizeof file, err, "%s/config.yaml", dir->path);
    if (!rc)
        rc = cx_file_read(file, 1u << 24, &old, &size, err);
    if (rc)
        return cx_fail_in(err, "%s is not the folder of a run", dir->path);
    rc = compare_configs(dir->path, (const char *)old, config_yaml, err);
    free(old);
    return rc;
}

static int write_config(const cx_run_dir *dir, cx_error *err) {
    char file[600];
    int rc = cx_path(file, sizeof file, err, "%s/config.yaml", dir->path);
    return rc ? rc : cx_file_replace(file, dir->config_yaml, strlen(dir->config_yaml), err);
}

int cx_run_dir_open(cx_run_dir *dir, const char *path, bool resume, const char *config_yaml,
                    cx_error *err) {
    char file[600];
    memset(dir, 0, sizeof *dir);
    dir->lock = -1;
    int rc = cx_path(dir->path, sizeof dir->path, err, "%s", path);
    if (rc)
        return rc;
    bool exists = cx_file_exists(path) && !folder_is_empty(path);
    if (exists && !resume)
        return cx_fail(err, CX_EUSAGE,
                       "%s: exists already; give --resume to go on with it, or another --out",
                       path);
    rc = cx_file_make_dirs(path, err);
    if (!rc)
        rc = cx_path(file, sizeof file, err, "%s/lock", path);
    /* an old folder is looked at before a lock file is put there */
    if (!rc && exists)
        rc = open_old(dir, config_yaml, err);
    if (!rc)
        rc = cx_lock_take(file, &dir->lock, err);
    dir->config_yaml = config_yaml;
    dir->resumed = exists;
    if (!rc && !exists)
        rc = write_config(dir, err);
    if (rc)
        cx_run_dir_close(dir);
    return rc;
}

void cx_run_dir_close(cx_run_dir *dir) {
    cx_lines_close(dir->metrics);
    cx_lines_close(dir->episodes);
    dir->metrics = dir->episodes = NULL;
    if (dir->lock >= 0) {
        char file[600];
        if (cx_path(file, sizeof file, NULL, "%s/lock", dir->path) == CX_OK)
            cx_lock_release(file, dir->lock);
    }
    dir->lock = -1;
}

/* A file of lines must be as long as the checkpoint knows it. */
static int check_size(const char *dir, const char *name, uint64_t size, cx_error *err) {
    char file[600];
    struct stat st;
    int rc = cx_path(file, sizeof file, err, "%s/%s", dir, name);
    if (rc)
        return rc;
    uint64_t have = stat(file, &st) == 0 ? (uint64_t)st.st_size : 0;
    if (have < size)
        return cx_fail(err, CX_EFORMAT, "%s: %llu bytes, but the checkpoint knows of %llu", file,
                       (unsigned long long)have, (unsigned long long)size);
    return CX_OK;
}

static int open_cut(const char *dir, const char *name, uint64_t size, cx_lines **out,
                    cx_error *err) {
    char file[600];
    int rc = cx_path(file, sizeof file, err, "%s/%s", dir, name);
    if (!rc && cx_file_exists(file))
        rc = cx_file_truncate(file, size, err);
    return rc ? rc : cx_lines_open(file, out, err);
}

/* The level of the instruction set that the last line of metrics names; "": none. */
static int last_kernels(const char *dir, char *name, size_t room, cx_error *err) {
    char file[600];
    unsigned char *text = NULL;
    size_t size = 0;
    name[0] = 0;
    int rc = cx_path(file, sizeof file, err, "%s/metrics.jsonl", dir);
    if (!rc && cx_file_exists(file))
        rc = cx_file_read(file, (size_t)1 << 30, &text, &size, err);
    size_t end = size > 0 ? size - 1 : 0, at = end; /* the line's end, its beginning */
    while (at > 0 && text[at - 1] != '\n')
        at--;
    json_t *line = text ? json_loadb((const char *)text + at, end - at, 0, NULL) : NULL;
    const char *found = json_string_value(json_object_get(line, "kernels"));
    if (found)
        (void)snprintf(name, room, "%s", found);
    json_decref(line);
    free(text);
    return rc;
}

/* A resume on another kind of machine. */
static int note_kernels(cx_run_dir *dir, cx_error *err) {
    char before[32];
    const char *now = cx_level_name(cx_level_now());
    int rc = last_kernels(dir->path, before, sizeof before, err);
    size_t at = strlen(dir->note);
    if (!rc && before[0] && strcmp(before, now) != 0)
        (void)snprintf(dir->note + at, sizeof dir->note - at,
                       "%skernels: %s from here on, the run so far had %s; what follows differs "
                       "in its last bits from what would have followed",
                       at ? "; " : "", now, before);
    return rc;
}

int cx_run_dir_open_lines(cx_run_dir *dir, const cx_run_counters *counters, cx_error *err) {
    /* everything is looked at before anything is changed */
    int rc = check_size(dir->path, "metrics.jsonl", counters->metrics_bytes, err);
    if (!rc)
        rc = check_size(dir->path, "episodes.jsonl", counters->episodes_bytes, err);
    if (!rc && dir->resumed)
        rc = write_config(dir, err);
    if (!rc)
        rc = open_cut(dir->path, "metrics.jsonl", counters->metrics_bytes, &dir->metrics, err);
    if (!rc)
        rc = note_kernels(dir, err);
    if (!rc)
        rc = open_cut(dir->path, "episodes.jsonl", counters->episodes_bytes, &dir->episodes, err);
    return rc;
}

static json_t *number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static int append(cx_lines *lines, json_t *object, cx_error *err) {
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (!text)
        return cx_fail(err, CX_ENOMEM, "no memory for a line of JSON");
    int rc = cx_lines_append(lines, text, err);
    free(text);
    return rc;
}

int cx_run_dir_episode(cx_run_dir *dir, const cx_config *config, const cx_episode_result *r,
                       cx_error *err) {
    char task[512];
    cx_task_describe(&r->spec, config, task, sizeof task);
    json_t *o =
        json_pack("{s:I, s:I, s:s, s:s, s:I, s:i, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, "
                  "s:i, s:i, s:o, "
                  "s:o, s:s}",
                  "episode", (json_int_t)r->episode, "instance", (json_int_t)r->instance, "task",
                  task, "family", config->tasks[r->spec.entry].name, "seed",
                  (json_int_t)r->spec.seed, "rank", (int)r->rank, "version", (json_int_t)r->version,
                  "reward", number(r->reward), "reward_raw", number(r->reward_raw),
                  "initial_valid_loss", number(r->initial_valid_loss), "final_train_loss",
                  number(r->final_train_loss), "final_valid_loss", number(r->final_valid_loss),
                  "final_valid_loss_raw", number(r->final_valid_loss_raw), "outer_steps",
                  (int)r->outer_steps, "steps", (int)r->steps, "inner_steps", (int)r->inner_steps,
                  "inner_steps_done", (int)r->inner_steps_done, "seconds", number(r->seconds),
                  "cpu_seconds", number(r->cpu_seconds), "end", cx_end_name((cx_end)r->end));
    return append(dir->episodes, o, err);
}

static int set_number(json_t *o, const char *key, double x) {
    return json_object_set_new(o, key, number(x));
}

int cx_run_dir_update(cx_run_dir *dir, const cx_run_counters *counters, const cx_heads *heads,
                      const cx_update_stats *stats, const cx_run_rates *rates, cx_error *err) {
    json_t *o = json_pack(
        "{s:I, s:I, s:o, s:o, s:i, s:i, s:i, s:I, s:o, s:o, s:o, s:i, s:o, s:I, s:I, s:I}",
        "update", (json_int_t)counters->version, "episodes", (json_int_t)counters->episodes,
        "seconds", number(rates->seconds), "episodes_per_second",
        number(rates->episodes_per_second), "workers", rates->workers, "workers_lost",
        rates->crew.lost, "workers_late", rates->crew.late, "reissued",
        (json_int_t)rates->crew.reissued, "workers_busy", number(rates->share.busy),
        "workers_policy", number(rates->share.policy), "workers_waiting",
        number(rates->share.waiting), "learner_ranks", rates->crew.learners, "learner_ranks_busy",
        number(rates->learners_busy), "baselines", (json_int_t)rates->baselines,
        "peak_bytes_coordinator", (json_int_t)rates->peak_bytes_coordinator, "peak_bytes_worker",
        (json_int_t)rates->peak_bytes_worker);
    json_t *entropy = json_object();
    int bad = !o || !entropy;
    if (!bad) {
#define X(name) bad |= set_number(o, #name, stats->name);
        CX_UPDATE_TABLE(X)
#undef X
        /* the table's `seconds` is the learner's computing time; the run's own stays */
        bad |= set_number(o, "learner_seconds", stats->seconds);
        bad |= set_number(o, "seconds", rates->seconds);
        for (int h = 0; h < heads->n_heads; h++)
            bad |= set_number(entropy, cx_action_head_name(heads, h), stats->head_entropy[h]);
        bad |= json_object_set(o, "head_entropy", entropy);
        bad |= json_object_set_new(o, "kernels", json_string(cx_level_name(cx_level_now())));
    }
    json_decref(entropy);
    if (bad) {
        json_decref(o);
        return cx_fail(err, CX_ENOMEM, "no memory for a line of metrics");
    }
    int rc = append(dir->metrics, o, err);
    return rc ? rc : cx_lines_sync(dir->metrics, err);
}
