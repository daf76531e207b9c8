/* Configurations: the file, a cut, and overrides, one a line. */
#include "tests/fuzz/fuzz.h"

#include "base/file.h"
#include "tasks/task.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OVERRIDES = 4 };

/* What is written reads back as the same, and what is drawn lies within the schema. */
static void check_config(const cx_config *config) {
    int n;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    char *yaml, line[512];
    cx_error err;
    cx_config *again = malloc(sizeof *again);
    fuzz_must(again && cx_config_write(config, schemas, n, &yaml, &err) == CX_OK);
    int rc = cx_config_parse("again", yaml, strlen(yaml), NULL, 0, schemas, n, again, NULL, &err);
    if (rc)
        (void)fprintf(stderr, "%s\n%s\n", err.message, yaml);
    fuzz_must(rc == CX_OK && memcmp(again, config, sizeof *again) == 0);
    free(yaml);
    free(again);
    for (uint64_t i = 0; i < 4 && config->n_tasks > 0; i++) {
        cx_task_spec spec;
        cx_config_sample_task(config, schemas, i, 0, &spec);
        fuzz_must(spec.family < (uint32_t)n && spec.entry < (uint32_t)config->n_tasks);
        const cx_family_schema *s = schemas[spec.family];
        for (int p = 0; p < s->n_params; p++)
            fuzz_must(s->params[p].words ||
                      (spec.value[p] >= s->params[p].low && spec.value[p] <= s->params[p].high));
        cx_task_describe(&spec, config, line, sizeof line);
    }
}

static bool run(const uint8_t *data, size_t size) {
    cx_slice piece[2];
    char text[256], *override[OVERRIDES];
    int n, n_overrides = 0;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    cx_error err;
    cx_config *config = malloc(sizeof *config);
    cx_faults *faults = malloc(sizeof *faults);
    fuzz_must(config && faults);
    fuzz_cut(data, size, piece, 2);
    size_t length = piece[1].size < sizeof text ? piece[1].size : sizeof text - 1;
    memcpy(text, piece[1].size ? piece[1].data : "", length);
    text[length] = 0;
    for (char *p = strtok(text, "\n"); p && n_overrides < OVERRIDES; p = strtok(NULL, "\n"))
        override[n_overrides++] = p;
    int rc =
        cx_config_parse("fuzz.yaml", piece[0].data, piece[0].size, (const char *const *) override,
                        n_overrides, schemas, n, config, faults, &err);
    bool taken = fuzz_taken(rc, &err);
    fuzz_must(taken == (faults->count == 0));
    for (int i = 0; i < faults->count && i < CX_FAULTS_MAX; i++)
        fuzz_must(memchr(faults->text[i], 0, sizeof faults->text[i]));
    if (taken)
        check_config(config);
    free(config);
    free(faults);
    return taken;
}

/* The project's own configurations. */
static void seeds(const fuzz_sink *sink) {
    DIR *d = opendir("configs");
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[512];
        unsigned char *data;
        size_t size;
        if (!strstr(e->d_name, ".yaml"))
            continue;
        (void)snprintf(path, sizeof path, "configs/%.300s", e->d_name);
        fuzz_must(cx_file_read(path, 1 << 20, &data, &size, NULL) == CX_OK);
        fuzz_seed(sink, data, size);
        free(data);
    }
    if (d)
        (void)closedir(d);
    fuzz_seed_text(sink, "seed: 1\ntasks:\n  - {family: nqm, outer_steps: [4, 8], noise: {log: "
                         "[0.1, 3]}}\n" FUZZ_CUT
                         "ppo.clip=0.1\ntasks.0.weight=2\nactions.lr.factors=[1, 2]");
}

const fuzz_target fuzz_target_config = {"config", run, seeds};
