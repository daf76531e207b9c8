/* Prints a table of times (times.h), measured:
 *   times run CONFIG EPISODES.jsonl   from the episodes of a real run of that configuration
 *   times sample CONFIG N [KEY=VALUE]...  from N tasks of each entry, a few of whose inner
 *                                      steps and evaluations are timed (CPU time)
 * CPU time, so that other work on the machine does not count. */
#include "bench/scale/times.h"

#include "base/clock.h"
#include "workers/inner_run.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 100000 };
typedef struct {
    double *ratio[CX_ENTRIES_MAX];
    int n[CX_ENTRIES_MAX];
} samples;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void add(samples *s, uint32_t entry, double ratio) {
    if (!s->ratio[entry])
        s->ratio[entry] = calloc(MOST, sizeof(double));
    if (s->ratio[entry] && s->n[entry] < MOST && ratio > 0)
        s->ratio[entry][s->n[entry]++] = ratio;
}

static void print(const samples *s, const cx_config *config) {
    (void)printf("# entry, tasks measured, quantiles 0, 1/%d, ..., 1 of CPU seconds per nominal "
                 "GFLOP\n",
                 CX_TIMES_QUANTILES - 1);
    for (int e = 0; e < config->n_tasks; e++) {
        if (!s->n[e])
            continue;
        qsort(s->ratio[e], (size_t)s->n[e], sizeof(double), ascending);
        (void)printf("# %s\n%d %d", config->tasks[e].name, e, s->n[e]);
        for (int i = 0; i < CX_TIMES_QUANTILES; i++) {
            double at = (double)i / (CX_TIMES_QUANTILES - 1) * (s->n[e] - 1);
            int low = (int)at, high = low + 1 < s->n[e] ? low + 1 : low;
            double q = s->ratio[e][low] + (at - low) * (s->ratio[e][high] - s->ratio[e][low]);
            (void)printf(" %.4g", q);
        }
        (void)printf("\n");
    }
}

/* Episodes that went to their end: one that diverged early says nothing of the task. */
static int from_run(const cx_config *config, const char *path, samples *s, cx_error *err) {
    FILE *f = fopen(path, "r");
    if (!f)
        return cx_fail(err, CX_EDATA, "%s: cannot be read", path);
    json_error_t fault;
    json_t *o;
    while ((o = json_loadf(f, JSON_DISABLE_EOF_CHECK, &fault))) {
        const char *end = json_string_value(json_object_get(o, "end"));
        cx_task_spec spec;
        cx_task_sample(config, (uint64_t)json_integer_value(json_object_get(o, "instance")), &spec);
        if (end && strcmp(end, "finished") == 0)
            add(s, spec.entry,
                json_number_value(json_object_get(o, "cpu_seconds")) /
                    cx_task_gflop(&spec, config));
        json_decref(o);
    }
    (void)fclose(f);
    return CX_OK;
}

static double timed(const cx_config *config, cx_inner_run *run) {
    const cx_task *task = run->task;
    (void)cx_inner_run_advance(run, 1); /* warm caches first */
    double start = cx_clock_cpu();
    int steps = 0;
    while (steps + 4 <= task->inner_steps && (steps < 8 || cx_clock_cpu() - start < 0.1)) {
        if (!cx_inner_run_advance(run, 4))
            return NAN;
        steps += 4;
    }
    if (!steps)
        return NAN;
    double step = (cx_clock_cpu() - start) / steps;
    start = cx_clock_cpu();
    (void)cx_inner_run_evaluate(run, CX_SPLIT_VALIDATION, config->episode.outer_examples, true,
                                NULL);
    return step * task->inner_steps + (cx_clock_cpu() - start) * (task->outer_steps + 1);
}

static int sample_one(const cx_config *config, const cx_data_store *store, uint32_t entry,
                      uint64_t instance, samples *s, cx_error *err) {
    cx_rule_config rule = cx_rule_learned(&config->optimizer, config->episode.feature_interval);
    cx_task_spec spec;
    cx_task *task;
    cx_inner_run *run;
    cx_task_sample_entry(config, entry, instance, &spec);
    int rc = cx_task_create(&spec, config, store, &task, err);
    if (rc)
        return rc;
    rc = cx_inner_run_create(config, task, &rule, &run, err);
    if (!rc) {
        cx_optimizer_set_hyper(run->optimizer, &config->optimizer.start);
        double seconds = timed(config, run);
        if (isfinite(seconds))
            add(s, entry, seconds / cx_task_gflop(&spec, config));
        cx_inner_run_destroy(run);
    }
    cx_task_destroy(task);
    return rc;
}

static int from_sample(const cx_config *config, int n, samples *s, cx_error *err) {
    cx_data_store *store;
    int rc = cx_data_store_open(config, &store, err);
    if (rc)
        return rc;
    for (uint32_t e = 0; !rc && (int)e < config->n_tasks; e++)
        for (int i = 0; !rc && i < n; i++)
            rc = sample_one(config, store, e, (uint64_t)i, s, err);
    cx_data_store_close(store);
    return rc;
}

int main(int argc, char **argv) {
    static cx_config config;
    static samples s;
    cx_error err = {0};
    int n_families, n = argc == 4 || argc > 4 ? atoi(argv[3]) : 0;
    const cx_family_schema *const *schemas = cx_task_schemas(&n_families);
    if (argc < 4 || (strcmp(argv[1], "run") != 0 && (strcmp(argv[1], "sample") != 0 || n < 1))) {
        (void)fprintf(stderr, "usage: times run CONFIG EPISODES.jsonl | times sample CONFIG N "
                              "[KEY=VALUE]...\n");
        return 2;
    }
    int rc = cx_config_read(argv[2], (const char *const *)argv + 4, argc - 4, schemas, n_families,
                            &config, NULL, &err);
    if (!rc)
        rc = strcmp(argv[1], "run") == 0 ? from_run(&config, argv[3], &s, &err)
                                         : from_sample(&config, n, &s, &err);
    if (rc) {
        (void)fprintf(stderr, "times: %s\n", err.message);
        return 1;
    }
    print(&s, &config);
    for (int e = 0; e < CX_ENTRIES_MAX; e++)
        free(s.ratio[e]);
    return 0;
}
