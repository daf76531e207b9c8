/* coxswain train CONFIG --out DIR: the coordinator, the workers, or the launcher that
 * starts both, depending on how the program was started. */
#include "cli/command.h"

#include "base/file.h"
#include "base/hash.h"
#include "cli/launch.h"
#include "cli/load.h"
#include "coordinator/coordinator.h"
#include "workers/worker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cx_option options[] = {
    {"--out", "DIR", "the run's folder; must be new, or --resume given"},
    {"--resume", NULL, "go on from the newest whole checkpoint in DIR"},
    {"--set", "KEY=VALUE", "override a key of the configuration; may be repeated"},
    {"-j", "N", "ranks to start (default: Slurm's tasks, else the cores); 1: one process"},
    {"--json", NULL, "the closing summary as one JSON object"},
    {NULL, NULL, NULL}};
static const cx_syntax syntax = {
    "train", "CONFIG --out DIR [--resume] [--set KEY=VALUE]... [-j N]",
    "Meta-trains a policy on the task distribution of CONFIG (YAML). Exit: 0 done, 1 failed,\n"
    "2 wrong use, configuration or data, 75 stopped in good order (resume with --resume).",
    options, 1, 1};

typedef struct {
    cx_config config;
    char *yaml;
    cx_data_store *store;
    cx_transport *transport;
    cx_transport *ends[2]; /* of the loopback */
    cx_worker *worker;
    bool terminal, line_open;
} session;

static void print_line(void *context, bool live, const char *line) {
    session *s = context;
    if (live && s->terminal) {
        (void)fprintf(stderr, "\r%s\033[K", line);
        s->line_open = true;
    } else {
        (void)fprintf(stderr, "%s%s\n", s->line_open ? "\n" : "", line);
        s->line_open = false;
    }
    (void)fflush(stderr);
}

static int let_worker_work(void *context, bool *worked, cx_error *err) {
    session *s = context;
    bool stopped = false;
    return cx_worker_poll(s->worker, worked, &stopped, err);
}

static void print_summary(const cx_run_summary *r, const char *dir, bool json) {
    if (json)
        (void)printf("{\"updates\": %llu, \"episodes\": %llu, \"diverged\": %llu, \"seconds\": %.3f, "
                     "\"reward\": %.6g, \"workers_busy\": %.4f, \"coordinator_cpu\": %.4f}\n",
                     (unsigned long long)r->updates, (unsigned long long)r->episodes,
                     (unsigned long long)r->diverged, r->seconds, r->last_reward, r->workers_busy,
                     r->coordinator_cpu);
    else
        (void)printf("%llu updates, %llu episodes (%.1f %% diverged) in %.0f s; mean reward of the "
                     "last update %.3f\nworkers %.1f %% of the time inside inner runs; coordinator "
                     "%.0f %% of a core\npolicy: %s/policy.safetensors\n",
                     (unsigned long long)r->updates, (unsigned long long)r->episodes,
                     r->episodes ? 100.0 * (double)r->diverged / (double)r->episodes : 0.0,
                     r->seconds, r->last_reward, 100 * r->workers_busy, 100 * r->coordinator_cpu,
                     dir);
}

static int coordinate(session *s, const cx_args *args, cx_error *err) {
    bool alone = s->worker != NULL;
    cx_coordinator_options o = {.config = &s->config,
                                .config_yaml = s->yaml,
                                .dir = cx_args_value(args, "--out"),
                                .resume = cx_args_has(args, "--resume"),
                                .transport = s->transport,
                                .idle = alone ? let_worker_work : NULL,
                                .idle_context = s,
                                .should_stop = cx_launch_stop_asked,
                                .say = print_line,
                                .say_context = s,
                                .say_interval = s->terminal ? 0.5 : 10};
    cx_run_summary summary;
    int rc = cx_coordinate(&o, &summary, err);
    if (s->line_open)
        (void)fputc('\n', stderr);
    if (!rc)
        print_summary(&summary, o.dir, cx_args_has(args, "--json"));
    return rc;
}

static int run_rank(session *s, const cx_args *args, cx_error *err) {
    cx_launch_catch_signals(s->transport->rank == 0);
    s->terminal = cx_launch_terminal();
    if (s->transport->rank == 0)
        return coordinate(s, args, err);
    int rc = cx_data_store_open(&s->config, &s->store, err);
    if (!rc)
        rc = cx_worker_create(&s->config, cx_hash(s->yaml, strlen(s->yaml), 0), s->store,
                              s->transport, &s->worker, err);
    return rc ? rc : cx_worker_run(s->worker, err);
}

static int run_alone(session *s, const cx_args *args, cx_error *err) {
    int rc = cx_loopback_create(s->ends, err);
    if (rc)
        return rc;
    s->transport = s->ends[0];
    cx_launch_catch_signals(true);
    s->terminal = cx_launch_terminal();
    rc = cx_data_store_open(&s->config, &s->store, err);
    if (!rc)
        rc = cx_worker_create(&s->config, cx_hash(s->yaml, strlen(s->yaml), 0), s->store,
                              s->ends[1], &s->worker, err);
    return rc ? rc : coordinate(s, args, err);
}

static void close_session(session *s) {
    cx_worker_destroy(s->worker);
    cx_data_store_close(s->store);
    for (int i = 0; i < 2; i++)
        if (s->ends[i])
            s->ends[i]->close(s->ends[i]);
    if (s->transport && !s->ends[0])
        s->transport->close(s->transport);
    free(s->yaml);
}

/* A run that cannot work is refused before ranks are started. */
static int check_first(const session *s, const cx_args *args, cx_error *err) {
    char path[600];
    const char *out = cx_args_value(args, "--out");
    cx_data_store *store;
    if (!out)
        return cx_fail(err, CX_EUSAGE, "--out DIR is missing");
    int rc = cx_path(path, sizeof path, err, "%s/config.yaml", out);
    if (!rc && cx_file_exists(path) && !cx_args_has(args, "--resume"))
        rc = cx_fail(err, CX_EUSAGE,
                     "%s: exists already; give --resume to go on with it, or another --out", out);
    if (!rc)
        rc = cx_data_store_open(&s->config, &store, err);
    if (!rc)
        cx_data_store_close(store);
    return rc;
}

int cx_cmd_train(int argc, char **argv) {
    cx_error err = {0};
    cx_args args;
    bool done;
    long long ranks = 1;
    session *s = calloc(1, sizeof *s);
    if (!s)
        return 1;
    bool is_rank = cx_launch_is_rank();
    int rc = cx_args_parse(&syntax, argc, argv, &args, &done, &err);
    if (rc || done)
        goto end;
    rc = cx_args_int(&args, "-j", 1, 1000000, cx_launch_default_ranks(), &ranks, &err);
    if (!rc)
        rc = cx_load_resolved(&args, &s->config, &s->yaml, &err);
    if (!rc && !is_rank)
        rc = check_first(s, &args, &err);
    if (rc)
        goto end;
    if (!is_rank && ranks > 1) {
        char checkpoints[600];
        rc = cx_path(checkpoints, sizeof checkpoints, &err, "%s/checkpoints",
                     cx_args_value(&args, "--out"));
        if (rc)
            goto end;
        close_session(s);
        free(s);
        return cx_launch((int)ranks, argc, argv, checkpoints);
    }
    if (is_rank)
        rc = cx_mpi_open(&argc, &argv, &s->transport, &err);
    if (!rc && is_rank && s->transport->ranks > 1)
        rc = run_rank(s, &args, &err);
    else if (!rc)
        rc = run_alone(s, &args, &err);
end:;
    int status = rc ? cx_cli_fail("train", &err) : 0;
    bool first = !s->transport || s->transport->rank == 0;
    if (first)
        cx_launch_report(status);
    close_session(s);
    free(s);
    /* under mpirun the status travels through the report: a rank that exits with another
     * status than 0 would make mpirun speak of an abnormal end */
    return is_rank && getenv("CX_EXIT_FILE") && first ? 0 : status;
}
