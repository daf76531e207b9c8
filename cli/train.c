/* coxswain train CONFIG --out DIR: a meta-training. */
#include "cli/command.h"

#include "base/clock.h"
#include "base/file.h"
#include "cli/session.h"
#include "coordinator/coordinator.h"
#include "coordinator/evaluate.h"
#include <math.h>
#include <stdio.h>

static const cx_option options[] = {
    {"--out", "DIR", "the run's folder; must be new, or --resume given"},
    {"--resume", NULL, "go on from the newest whole checkpoint in DIR"},
    {"--set", "KEY=VALUE", "override a key of the configuration; may be repeated"},
    {"-j", "N", "ranks to start (default: Slurm's tasks, else the cores); 1: one process"},
    {"--launcher", "NAME", "what starts ranks: mpirun (default), or srun inside a Slurm job"},
    {"--time-left", "SECONDS", "stop in good order before so many seconds have passed"},
    {"--json", NULL, "the closing summary as one JSON object"},
    {NULL, NULL, NULL}};
static const cx_syntax syntax = {
    "train",
    "CONFIG --out DIR [--resume] [--set KEY=VALUE]... [-j N] [--time-left SECONDS]",
    "Meta-trains a policy on the task distribution of CONFIG (YAML). Exit: 0 done, 1 failed,\n"
    "2 wrong use, configuration or data, 75 stopped in good order (resume with --resume).",
    options,
    1,
    1};

static void print_summary(const cx_run_summary *r, const char *dir, bool json) {
    double diverged = r->episodes ? 100.0 * (double)r->diverged / (double)r->episodes : 0.0;
    char reward[32];
    (void)snprintf(reward, sizeof reward, "%.6g", r->last_reward);
    if (!isfinite(r->last_reward)) /* a finished run that was resumed */
        (void)snprintf(reward, sizeof reward, json ? "null" : "-");
    if (json)
        (void)printf(
            "{\"updates\": %llu, \"episodes\": %llu, \"diverged\": %llu, \"seconds\": %.3f, "
            "\"reward\": %s, \"workers_busy\": %.4f, \"workers_policy\": %.4f, "
            "\"workers_waiting\": %.4f, "
            "\"coordinator_cpu\": %.4f, \"learner_seconds\": %.3f}\n",
            (unsigned long long)r->updates, (unsigned long long)r->episodes,
            (unsigned long long)r->diverged, r->seconds, reward, r->share.busy, r->share.policy,
            r->share.waiting, r->coordinator_cpu, r->learner_seconds);
    else
        (void)printf(
            "%llu updates, %llu episodes (%.1f %% diverged) in %.0f s; mean reward of the "
            "last update %s\nworkers %.1f %% of the time inside inner runs, %.1f %% in the "
            "policy, %.1f %% waiting; coordinator %.0f %% of a core, learning for %.0f s"
            "\npolicy: %s/policy.safetensors\n",
            (unsigned long long)r->updates, (unsigned long long)r->episodes, diverged, r->seconds,
            reward, 100 * r->share.busy, 100 * r->share.policy, 100 * r->share.waiting,
            100 * r->coordinator_cpu, r->learner_seconds, dir);
}

static int coordinate(cx_session *s, const cx_args *args, cx_error *err) {
    char command[2048];
    cx_args_command(args, command, sizeof command);
    cx_coordinator_options o = {.config = &s->config,
                                .config_yaml = s->yaml,
                                .dir = cx_args_value(args, "--out"),
                                .command = command,
                                .resume = cx_args_has(args, "--resume"),
                                .transport = s->transport,
                                .idle = s->idle,
                                .idle_context = s,
                                .should_stop = cx_launch_stop_asked,
                                .restarts = cx_launch_restarts(),
                                .lost = cx_session_lost,
                                .say = cx_session_say,
                                .say_context = s,
                                .say_interval = s->terminal ? 0.5 : 10};
    double left = cx_launch_time_left();
    if (isfinite(left)) /* passed already: the next moment */
        o.deadline = cx_clock_now() + fmax(left, 1e-3);
    cx_run_summary summary;
    int rc = cx_coordinate(&o, &summary, err);
    if (!rc)
        print_summary(&summary, o.dir, cx_args_has(args, "--json"));
    return rc;
}

static int check(cx_session *s, const cx_args *args, cx_error *err) {
    char path[600];
    const char *out = cx_args_value(args, "--out");
    long long ranks = s->transport ? s->transport->ranks : 1;
    int rc = cx_task_refuse_held_out(&s->config, err);
    if (!rc && !s->transport)
        rc = cx_args_int(args, "-j", 1, 1000000, cx_launch_default_ranks(), &ranks, err);
    if (!rc)
        rc = cx_coordinator_check_ranks(&s->config, (int)ranks, err);
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/" CX_EVALUATION_TRIALS, out);
    if (!rc && cx_file_exists(path))
        rc = cx_fail(err, CX_EUSAGE, "%s is the folder of an evaluation; give another --out", out);
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/config.yaml", out);
    if (!rc && cx_file_exists(path) && !cx_args_has(args, "--resume"))
        rc = cx_fail(err, CX_EUSAGE,
                     "%s: exists already; give --resume to go on with it, or another --out", out);
    return rc;
}

int cx_cmd_train(int argc, char **argv) {
    static const cx_session_plan plan = {
        .syntax = &syntax, .check = check, .coordinate = coordinate, .progress = "checkpoints"};
    return cx_session_main(&plan, argc, argv);
}
