/* coxswain status DIR: where a run stands, from its files alone. */
#include "cli/command.h"

#include "base/clock.h"
#include "base/file.h"
#include "cli/load.h"
#include "coordinator/progress.h"
#include "report/run_data.h"
#include "store/store.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const cx_option options[] = {
    {"--follow", NULL, "go on until the run ends (Ctrl-C leaves; the run does not notice)"},
    {"--json", NULL, "one JSON object (with --follow: a line each time)"},
    {NULL, NULL, NULL}};
static const cx_syntax syntax = {
    "status",
    "DIR [--follow] [--json]",
    "Tells where the run in DIR stands, while it runs or after it died.",
    options,
    1,
    1};

typedef struct {
    char config_path[600];
    cx_config config;
    cx_progress progress;
    uint64_t updates, episodes, baselines, reissued;
    double seconds, rate, busy, age;
    int workers, lost, late, learners;
    bool running; /* somebody holds the run's lock */
    char holder[256];
} standing;

/* The newest value of a metric; NAN: no update yet. */
static double newest(const cx_run_data *data, cx_metric m) {
    return data->n > 0 ? data->metric[m][data->n - 1] : NAN;
}

static uint64_t whole(double x) {
    return x > 0 ? (uint64_t)x : 0;
}

static int read_lines(const char *dir, standing *s, cx_error *err) {
    cx_run_data data;
    int rc = cx_run_data_read(dir, &data, err);
    if (rc)
        return rc;
    s->updates = whole(newest(&data, CX_METRIC_update));
    s->baselines = whole(newest(&data, CX_METRIC_baselines));
    s->workers = (int)whole(newest(&data, CX_METRIC_workers));
    s->lost = (int)whole(newest(&data, CX_METRIC_workers_lost));
    s->late = (int)whole(newest(&data, CX_METRIC_workers_late));
    s->learners = (int)whole(newest(&data, CX_METRIC_learner_ranks));
    s->reissued = whole(newest(&data, CX_METRIC_reissued));
    s->seconds = newest(&data, CX_METRIC_seconds);
    s->rate = newest(&data, CX_METRIC_episodes_per_second);
    s->busy = newest(&data, CX_METRIC_workers_busy);
    s->episodes = (uint64_t)data.n_episodes;
    for (int i = 0; i < data.n_episodes; i++)
        cx_progress_add(&s->progress, data.episode[i].reward, data.episode[i].diverged);
    cx_run_data_free(&data);
    return CX_OK;
}

static int read_run(const char *dir, standing *s, cx_error *err) {
    char path[600];
    int n;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    int rc = cx_path(s->config_path, sizeof s->config_path, err, "%s/config.yaml", dir);
    if (!rc)
        rc = cx_config_read(s->config_path, NULL, 0, schemas, n, &s->config, NULL, err);
    if (rc)
        return cx_fail_in(err, "%s is not the folder of a run", dir);
    rc = read_lines(dir, s, err);
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/episodes.jsonl", dir);
    struct stat st;
    if (!rc && stat(path, &st) == 0)
        s->age = difftime(time(NULL), st.st_mtime);
    char who[200] = "";
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/lock", dir);
    if (!rc)
        rc = cx_lock_query(path, &s->running, who, sizeof who, err);
    (void)snprintf(s->holder, sizeof s->holder, "running: %s", who);
    s->holder[strcspn(s->holder, "\n")] = 0;
    return rc;
}

static bool finished(const standing *s) {
    return s->updates >= (uint64_t)s->config.updates;
}

static void print_standing(const standing *s, const char *dir, bool json) {
    char line[512];
    double newer, older, diverged;
    cx_progress_means(&s->progress, &newer, &older, &diverged);
    bool whole_run = finished(s);
    if (json) {
        json_t *o =
            json_pack("{s:s, s:I, s:i, s:I, s:I, s:i, s:i, s:i, s:i, s:I, s:b, s:b}", "dir", dir,
                      "update", (json_int_t)s->updates, "updates", s->config.updates, "episodes",
                      (json_int_t)s->episodes, "baselines", (json_int_t)s->baselines, "workers",
                      s->workers, "workers_lost", s->lost, "workers_late", s->late, "learner_ranks",
                      s->learners, "reissued", (json_int_t)s->reissued, "finished", (int)whole_run,
                      "running", (int)s->running);
        const struct {
            const char *key;
            double value;
        } numbers[] = {{"seconds", s->seconds},          {"episodes_per_second", s->rate},
                       {"workers_busy", s->busy},        {"reward", newer},
                       {"reward_before", older},         {"diverged", diverged},
                       {"seconds_since_episode", s->age}};
        for (size_t i = 0; o && i < sizeof numbers / sizeof numbers[0]; i++)
            (void)json_object_set_new(o, numbers[i].key,
                                      isfinite(numbers[i].value) ? json_real(numbers[i].value)
                                                                 : json_null());
        char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
        (void)printf("%s\n", text ? text : "{}");
        free(text);
        json_decref(o);
        return;
    }
    cx_progress_view v = {.updates = s->updates,
                          .total_updates = (uint64_t)s->config.updates,
                          .episodes = s->episodes,
                          .episodes_per_second = s->rate,
                          .seconds = s->seconds,
                          .workers = s->workers,
                          .lost = s->lost,
                          .late = s->late,
                          .learners = s->learners,
                          .reissued = s->reissued,
                          .workers_busy = s->busy};
    cx_progress_line(&s->progress, &v, line, sizeof line);
    (void)printf("%s\n%s; %llu baselines; last episode finished %.0f s ago\n", line,
                 whole_run    ? "finished"
                 : s->running ? s->holder
                              : "not running, not finished; --resume goes on",
                 (unsigned long long)s->baselines, s->age);
}

enum { LINES = 2 }; /* of print_standing */

/* Every two seconds, until nobody runs it: on a terminal in place, else a line each time
 * that something has changed. */
static int follow(standing *s, const char *dir, bool json, cx_error *err) {
    bool terminal = isatty(STDOUT_FILENO) && !json;
    uint64_t shown = UINT64_MAX;
    for (;;) {
        memset(s, 0, sizeof *s);
        int rc = read_run(dir, s, err);
        if (rc)
            return rc;
        bool over = finished(s) || !s->running;
        if (terminal && shown != UINT64_MAX)
            (void)printf("\033[%dA\033[J", LINES);
        if (terminal || over || s->episodes != shown)
            print_standing(s, dir, json);
        shown = s->episodes;
        if (fflush(stdout) != 0)
            return cx_fail(err, CX_EIO, "cannot write the output");
        if (over)
            return CX_OK;
        cx_clock_sleep(2);
    }
}

int cx_cmd_status(int argc, char **argv) {
    cx_error err = {0};
    cx_args args;
    bool done;
    standing *s = calloc(1, sizeof *s);
    int rc = s ? cx_args_parse(&syntax, argc, argv, &args, &done, &err)
               : cx_fail(&err, CX_ENOMEM, "out of memory");
    if (!rc && !done) {
        const char *dir = args.word[0];
        bool json = cx_args_has(&args, "--json");
        rc = cx_args_has(&args, "--follow") ? follow(s, dir, json, &err) : read_run(dir, s, &err);
        if (!rc && !cx_args_has(&args, "--follow"))
            print_standing(s, dir, json);
    }
    free(s);
    return rc ? cx_cli_fail("status", &err) : 0;
}
