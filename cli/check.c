/* coxswain check CONFIG: everything that can be found out before a job is queued. All
 * faults are printed, not the first one. */
#include "cli/command.h"

#include "base/clock.h"
#include "cli/launch.h"
#include "cli/load.h"
#include "coordinator/coordinator.h"
#include "policy/observation.h"
#include "policy/sweep.h"
#include "ppo/ppo.h"
#include "workers/inner_run.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

static const cx_option options[] = {
    {"--ranks", "N", "ranks of the job (default: Slurm's tasks, else the cores)"},
    {"--set", "KEY=VALUE", "override a key of the configuration"},
    {"--out", "DIR", "also look at the space where DIR will be"},
    {NULL, NULL, NULL}};
static const cx_syntax syntax = {
    "check",
    "CONFIG [--ranks N] [--out DIR] [--set KEY=VALUE]...",
    "Reads and checks keys, ranges and data files; measures sampled tasks; tells memory per\n"
    "rank, expected time per episode and disk. Exit 2 and all faults where something is wrong.",
    options,
    1,
    1};

enum { TASKS_MEASURED = 12 };
static const double measuring_seconds = 30; /* then no further task is begun */

typedef struct {
    int tasks;
    double seconds_per_episode, largest_mib;
} measured;

/* A few steps and one evaluation, extrapolated to a whole episode. */
static double measure_run(const cx_config *config, cx_inner_run *run) {
    const cx_task *task = run->task;
    double start = cx_clock_now();
    (void)cx_inner_run_advance(run, 2); /* warm caches first */
    double most = fmin(task->inner_steps, 4 / (cx_clock_now() - start + 1e-9));
    int steps = most < 20 ? (int)fmax(1, most) : 20; /* about two seconds of large ones */
    start = cx_clock_now();
    (void)cx_inner_run_advance(run, steps);
    double step = (cx_clock_now() - start) / steps;
    start = cx_clock_now();
    (void)cx_inner_run_evaluate(run, CX_SPLIT_VALIDATION, config->episode.outer_examples, true,
                                NULL);
    return step * task->inner_steps + (cx_clock_now() - start) * (task->outer_steps + 1);
}

static int measure(const cx_config *config, const cx_data_store *store, measured *m,
                   cx_error *err) {
    cx_rule_config rule = cx_rule_learned(&config->optimizer, config->episode.feature_interval);
    double begin = cx_clock_now(), seconds = 0;
    while (m->tasks < TASKS_MEASURED && cx_clock_now() - begin < measuring_seconds) {
        cx_task_spec spec;
        cx_task *task;
        cx_inner_run *run;
        cx_task_sample(config, (uint64_t)m->tasks, &spec);
        int rc = cx_task_create(&spec, config, store, &task, err);
        if (rc)
            return rc;
        rc = cx_inner_run_create(config, task, &rule, &run, err);
        if (rc) {
            cx_task_destroy(task);
            return rc;
        }
        cx_optimizer_set_hyper(run->optimizer, &config->optimizer.start);
        seconds += measure_run(config, run);
        double mib =
            ((double)cx_graph_arena_bytes(task->graph) + 24.0 * (double)task->state_count) /
            1048576;
        m->largest_mib = fmax(m->largest_mib, mib);
        m->tasks++;
        cx_inner_run_destroy(run);
        cx_task_destroy(task);
    }
    m->seconds_per_episode = seconds / m->tasks;
    return CX_OK;
}

static void print_findings(const cx_config *config, const measured *m, long long ranks) {
    struct rusage usage;
    double resident = getrusage(RUSAGE_SELF, &usage) == 0 ? (double)usage.ru_maxrss / 1024 : NAN;
    double workers = ranks > 1 ? (double)(ranks - 1 - config->workers.learner_ranks) : 1;
    double episodes = (double)config->updates * config->ppo.episodes_per_update;
    double sweep = cx_sweep_cost(config, false);
    double per = m->seconds_per_episode * (1 + sweep / config->episode.environment_reuse);
    cx_error refused = {0};
    if (cx_task_refuse_held_out(config, &refused))
        (void)printf("not for training     %s\n", refused.message);
    (void)printf("observations         %d (value function %d)\n", cx_observation_size(config),
                 cx_privileged_size(config));
    (void)printf("episodes             %.0f (%d updates of %d)\n", episodes, config->updates,
                 config->ppo.episodes_per_update);
    (void)printf("time per episode     %.3f s measured on %d sampled tasks; with its share of the "
                 "baseline sweep about %.3f s\n",
                 m->seconds_per_episode, m->tasks, per);
    (void)printf("expected run time    about %.1f min on %lld ranks\n",
                 episodes * per / workers / 60, ranks);
    (void)printf("memory per rank      about %.0f MiB (largest sampled task %.1f MiB)\n", resident,
                 m->largest_mib);
    (void)printf("disk                 about %.0f MiB of episode lines\n",
                 episodes * 650 / 1048576);
}

static int check_disk(const cx_args *args, cx_error *err) {
    const char *out = cx_args_value(args, "--out");
    struct statvfs st;
    if (!out)
        return CX_OK;
    if (statvfs(out, &st) != 0 && statvfs(".", &st) != 0)
        return CX_OK;
    double mib = (double)st.f_bavail * (double)st.f_frsize / 1048576;
    (void)printf("free disk            %.0f MiB\n", mib);
    return mib < 200 ? cx_fail(err, CX_EUSAGE, "less than 200 MiB are free for %s", out) : CX_OK;
}

int cx_cmd_check(int argc, char **argv) {
    cx_error err = {0};
    cx_args args;
    bool done;
    long long ranks;
    measured m = {0, 0, 0};
    cx_data_store *store = NULL;
    cx_config *config = calloc(1, sizeof *config);
    cx_faults *faults = calloc(1, sizeof *faults);
    int rc = !config || !faults ? cx_fail(&err, CX_ENOMEM, "out of memory")
                                : cx_args_parse(&syntax, argc, argv, &args, &done, &err);
    if (rc || done)
        goto end;
    rc = cx_args_int(&args, "--ranks", 1, 1000000, cx_launch_default_ranks(), &ranks, &err);
    if (!rc)
        rc = cx_load_config(&args, config, faults, &err);
    if (!rc)
        rc = cx_coordinator_check_ranks(config, (int)ranks, &err);
    for (int i = 1; i < faults->count && i < CX_FAULTS_MAX; i++) /* the first is in err */
        (void)fprintf(stderr, "%s\n", faults->text[i]);
    if (!rc)
        rc = cx_data_store_open(config, &store, &err);
    if (!rc)
        rc = measure(config, store, &m, &err);
    if (!rc) {
        print_findings(config, &m, ranks);
        rc = check_disk(&args, &err);
    }
    if (!rc)
        (void)printf("ok\n");
end:
    cx_data_store_close(store);
    free(config);
    free(faults);
    return rc ? cx_cli_fail("check", &err) : 0;
}
