/* coxswain eval CONFIG --policy FILE --out DIR: a policy against tuned optimizers on a suite
 * of tasks. */
#include "cli/command.h"

#include "base/hash.h"
#include "cli/eval.h"
#include "coordinator/eval_json.h"
#include "policy/network.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cx_option options[] = {
    {"--policy", "FILE", "the policy (policy.safetensors of a run)"},
    {"--out", "DIR", "folder of the results; what is finished in it is not done again"},
    {"--seeds", "S", "runs of each contestant on each task (evaluation.seeds, 5)"},
    {"--seed", "S", "seed of the tasks (default 1000: the same tasks for every policy)"},
    {"--contestant", "RULE:LR[:SCHEDULE]", "a named optimizer in the place of the policy"},
    {"--baseline", "RULE:LR[:SCHEDULE][:skip=N]",
     "a fixed baseline instead of tuned AdamW; skip=2: every second step is none"},
    {"--rewards", NULL, "instead: mean rewards on fresh tasks of a training distribution"},
    {"--tasks", "N", "with --rewards: fresh tasks (default 128)"},
    {"--set", "KEY=VALUE", "override a key of the configuration; may be repeated"},
    {"--json", NULL, "the results as one JSON object"},
    {"--resume", NULL, "go on with DIR (it always does)"},
    {"-j", "N", "ranks to start (default: Slurm's tasks, else the cores)"},
    {"--launcher", "NAME", "what starts ranks: mpirun (default), or srun inside a Slurm job"},
    {"--time-left", "SECONDS", "stop in good order before so many seconds have passed"},
    {NULL, NULL, NULL}};
const cx_syntax cx_eval_syntax = {
    "eval",
    "CONFIG --policy FILE --out DIR [--seeds S] [-j N]",
    "Compares a policy with tuned AdamW, with its own update rule without a policy, with\n"
    "open-loop replays, SGD and a random search, on every task of CONFIG (configs/eval/*), on the\n"
    "test split: losses, speedups in steps and in time, all with 95 % intervals. A stopped\n"
    "evaluation (exit 75) goes on with the same command.\n"
    "--rewards: mean log t/N against the best Adam of a sweep (0 is level, above is better; here "
    "of\ntest losses) of the policy, random actions, no change and replays, on fresh tasks.",
    options,
    1,
    1};

int cx_eval_first_instance(const cx_args *args, uint64_t *first, cx_error *err) {
    long long seed;
    int rc = cx_args_int(args, "--seed", 0, 1LL << 40, 1000, &seed, err);
    *first = ((uint64_t)1 << 40) + ((uint64_t)seed << 20);
    return rc;
}

/* Results are on disk as they come: seconds are enough for what is left to do. */
static bool stop_asked(void *unused) {
    return cx_launch_stop_asked(unused) || cx_launch_time_left() < 3;
}

cx_farm_options cx_eval_farm(cx_session *s) {
    return (cx_farm_options){.config = &s->config,
                             .transport = s->transport,
                             .config_hash = s->config_hash,
                             .idle = s->idle,
                             .idle_context = s,
                             .should_stop = stop_asked,
                             .lost = cx_session_lost,
                             .say = cx_session_say,
                             .say_context = s};
}

int cx_eval_policy_count(const cx_config *config, size_t *count, cx_error *err) {
    cx_net *net;
    cx_net_shape shape = cx_policy_shape(config);
    int rc = cx_net_create(&shape, &net, err);
    *count = rc ? 0 : cx_net_count(net);
    cx_net_destroy(net);
    return rc;
}

/* --- the comparison --- */

static int parse_fixed(const cx_args *args, cx_suite_options *o, cx_error *err) {
    const char *contestant = cx_args_value(args, "--contestant");
    const char *baseline = cx_args_value(args, "--baseline");
    int rc = contestant ? cx_fixed_optimizer_parse(contestant, &o->contestant, err) : CX_OK;
    if (!rc && baseline)
        rc = cx_fixed_optimizer_parse(baseline, &o->baseline, err);
    return rc;
}

/* What belongs to the policy comes from its file; --seeds is a key of the configuration. */
static int adapt(cx_config *config, const cx_args *args, cx_error *err) {
    long long seeds;
    const char *file = cx_args_value(args, "--policy");
    int rc = cx_args_int(args, "--seeds", 1, CX_SUITE_SEEDS, config->evaluation.seeds, &seeds, err);
    if (rc)
        return rc;
    config->evaluation.seeds = (int)seeds;
    return file ? cx_adopt_policy(file, config, err) : CX_OK;
}

static int check(cx_session *s, const cx_args *args, cx_error *err) {
    cx_suite_options o = {.config = &s->config};
    float *policy;
    const char *file = cx_args_value(args, "--policy");
    if (cx_args_value(args, "--tasks"))
        return cx_fail(err, CX_EUSAGE,
                       "--tasks goes with --rewards; here the configuration's "
                       "entries and evaluation.tasks_per_entry say which tasks");
    if (!file == !cx_args_value(args, "--contestant"))
        return cx_fail(err, CX_EUSAGE, "give either --policy FILE or --contestant RULE:LR");
    int rc = parse_fixed(args, &o, err);
    if (!rc)
        rc = cx_eval_first_instance(args, &o.first_instance, err);
    if (!rc && file) {
        rc = cx_load_policy(file, &s->config, &policy, err);
        if (!rc)
            free(policy);
    }
    return rc;
}

static int print_results(const cx_evaluation *e, const cx_evaluation_state *state, bool json,
                         cx_error *err) {
    char *text;
    const cx_suite *suite = cx_evaluation_suite(state);
    const cx_figures *figures = cx_evaluation_figures(state);
    if (!json)
        return cx_eval_print(e, suite, figures, err);
    int rc = cx_evaluation_summary_json(e, suite, figures, &text, err);
    if (!rc)
        (void)printf("%s\n", text);
    free(text);
    return rc;
}

static void say_summary(const cx_evaluation_state *state, const char *dir) {
    cx_evaluation_summary s = cx_evaluation_summarize(state);
    (void)fflush(stdout); /* both may go to one file */
    (void)fprintf(stderr, "%d trials in %.0f s, %d known before; results: %s/%s\n", s.done,
                  s.seconds, s.found, dir, CX_EVALUATION_JSON);
}

static int coordinate(cx_session *s, const cx_args *args, cx_error *err) {
    float *policy = NULL;
    char command[2048];
    const char *file = cx_args_value(args, "--policy");
    cx_args_command(args, command, sizeof command);
    cx_evaluation e = {.config = &s->config,
                       .config_yaml = s->yaml,
                       .dir = cx_args_value(args, "--out"),
                       .command = command,
                       .source = file,
                       .suite = {.config = &s->config},
                       .farm = cx_eval_farm(s),
                       .say = cx_session_say,
                       .say_context = s,
                       .say_interval = s->terminal ? 0.5 : 10};
    int rc = parse_fixed(args, &e.suite, err);
    if (!rc)
        rc = cx_eval_first_instance(args, &e.suite.first_instance, err);
    if (!rc && file)
        rc = cx_load_policy(file, &s->config, &policy, err);
    if (!rc && file)
        rc = cx_eval_policy_count(&s->config, &e.policy_count, err);
    if (rc) {
        free(policy);
        cx_session_dismiss(s);
        return rc;
    }
    e.policy = policy;
    e.suite.policy_hash = policy ? cx_hash(policy, e.policy_count * sizeof *policy, 0) : 0;
    cx_evaluation_state *state;
    rc = cx_evaluate(&e, &state, err);
    if (!rc)
        rc = print_results(&e, state, cx_args_has(args, "--json"), err);
    if (!rc)
        say_summary(state, e.dir);
    cx_evaluation_close(state);
    free(policy);
    return rc;
}

int cx_cmd_eval(int argc, char **argv) {
    static const cx_session_plan plan = {.syntax = &cx_eval_syntax,
                                         .adapt = adapt,
                                         .check = check,
                                         .coordinate = coordinate,
                                         .progress = CX_EVALUATION_TRIALS};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--rewards") == 0)
            return cx_session_main(&cx_eval_rewards_plan, argc, argv);
    return cx_session_main(&plan, argc, argv);
}
