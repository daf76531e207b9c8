/* `bench episodes`: a fixed list of a distribution's episodes, one after another, with a
 * policy of initial weights; CPU time, and what it goes into. */
#include "cli/bench.h"

#include "base/arena.h"
#include "base/clock.h"
#include "workers/episode.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EPISODES = 256, BATCHES = 16 };

/* CPU seconds. inner: inner steps without their batches; rest: building networks, norms,
 * registers, rewards. */
enum { INNER, BATCH, EVALUATION, POLICY, REST, SHARES };
static const char *const share_names[SHARES] = {"inner", "batches", "evaluation", "policy", "rest"};

typedef struct {
    int episodes;
    double steps, cpu, share[SHARES];
} account;

typedef struct {
    cx_config *config;
    cx_data_store *store;
    cx_episode_runner *runner;
    float *policy;
    account entry[CX_ENTRIES_MAX], all;
} bench;

static void destroy(bench *b) {
    cx_episode_runner_destroy(b->runner);
    cx_data_store_close(b->store);
    free(b->config);
    free(b->policy);
}

static int make(bench *b, const char *path, cx_error *err) {
    int n;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    b->config = calloc(1, sizeof *b->config);
    if (!b->config)
        return cx_fail(err, CX_ENOMEM, "no memory for a configuration");
    int rc = cx_config_read(path, NULL, 0, schemas, n, b->config, NULL, err);
    if (!rc)
        rc = cx_data_store_open(b->config, &b->store, err);
    if (!rc)
        rc = cx_episode_runner_create(b->config, b->store, &b->runner, err);
    if (rc)
        return rc;
    const cx_net *net = cx_episode_runner_net(b->runner);
    b->policy = cx_calloc(cx_net_count(net), sizeof *b->policy);
    if (!b->policy)
        return cx_fail(err, CX_ENOMEM, "no memory for a policy");
    cx_rng rng = cx_rng_make(b->config->seed, 0, CX_STREAM_POLICY);
    cx_net_init(net, b->policy, &rng);
    return CX_OK;
}

/* CPU seconds that one batch takes to be put into the network; 0 where that is not known. */
static int batch_seconds(bench *b, const cx_task_spec *spec, double *seconds, cx_error *err) {
    cx_task *task;
    *seconds = 0;
    int rc = cx_episode_runner_task(b->runner, spec, &task, err);
    if (rc || !task->family->assemble)
        return rc;
    double start = cx_clock_cpu();
    for (uint32_t i = 0; i < BATCHES; i++)
        task->family->assemble(task, i);
    *seconds = (cx_clock_cpu() - start) / BATCHES;
    return CX_OK;
}

static void add(account *a, const cx_episode_result *r, const double share[SHARES]) {
    a->episodes++;
    a->steps += (double)r->inner_steps_done;
    a->cpu += r->cpu_seconds;
    for (int i = 0; i < SHARES; i++)
        a->share[i] += share[i];
}

static int run_one(bench *b, uint64_t number, cx_error *err) {
    cx_episode_job job = {.episode = number, .instance = number, .acting = CX_ACT_SAMPLE};
    cx_episode_result result;
    cx_episode_extra extra;
    double share[SHARES], batch;
    cx_task_sample(b->config, number, &job.spec);
    int rc = cx_episode_run(b->runner, &job, b->policy, NULL, NULL, &result, &extra, err);
    if (!rc)
        rc = batch_seconds(b, &job.spec, &batch, err);
    if (rc)
        return rc;
    share[BATCH] = batch * (double)result.inner_steps_done;
    share[INNER] = extra.training_seconds - share[BATCH];
    share[EVALUATION] = extra.evaluation_seconds;
    share[POLICY] = extra.policy_seconds;
    share[REST] = result.cpu_seconds - extra.training_seconds - share[EVALUATION] - share[POLICY];
    add(&b->entry[job.spec.entry], &result, share);
    add(&b->all, &result, share);
    return CX_OK;
}

static void row(cx_table *t, const char *name, const account *a) {
    if (a->episodes == 0)
        return;
    cx_table_text(t, name);
    cx_table_number(t, a->episodes);
    cx_table_number(t, a->cpu);
    cx_table_number(t, 3600 * a->episodes / a->cpu);
    cx_table_number(t, a->steps / a->cpu);
    for (int i = 0; i < SHARES; i++) /* measured apart from each other: none below 0 */
        cx_table_number(t, a->share[i] > 0 ? a->share[i] / a->cpu : 0);
}

int cx_bench_episodes(const cx_bench_options *o, cx_error *err) {
    bench b = {0};
    cx_table *t = cx_table_create("episodes of a distribution, an untrained policy");
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a table");
    cx_table_column(t, "tasks", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "episodes", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "cpu_s", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "episodes_per_core_hour", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "inner_steps_per_s", CX_COLUMN_FIXED, 0);
    for (int i = 0; i < SHARES; i++)
        cx_table_column(t, share_names[i], CX_COLUMN_SHARE, 1);
    cx_table_note(t, "rest: building networks, norms, registers. Sweeps of Adam are not in it; "
                     "batches of tasks that draw their data amid the step count as inner");
    int rc = make(&b, o->config ? o->config : "configs/desk.yaml", err);
    uint64_t n = o->steps > 0 ? (uint64_t)o->steps : EPISODES;
    for (uint64_t i = 0; !rc && i < n; i++)
        rc = run_one(&b, i, err);
    for (int i = 0; !rc && i < b.config->n_tasks; i++)
        row(t, b.config->tasks[i].name, &b.entry[i]);
    if (!rc)
        row(t, "all", &b.all);
    destroy(&b);
    if (!rc)
        return cx_bench_print(t, o->json, err);
    cx_table_destroy(t);
    return rc;
}
