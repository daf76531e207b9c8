/* coxswain run CONFIG: one inner training, by a policy with every decision shown, or by
 * a named optimizer; with --compare the closing table of a policy beside its controls. */
#include "cli/command.h"

#include "base/file.h"
#include "base/text.h"
#include "cli/kernels.h"
#include "cli/launch.h"
#include "cli/load.h"
#include "cli/trace.h"
#include "report/speedup.h"
#include "workers/baseline.h"
#include "workers/control.h"
#include "workers/episode.h"
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cx_option options[] = {
    {"--policy", "FILE", "let this policy choose (policy.safetensors of a run)"},
    {"--optimizer", "NAME", "adam, adamw, adamax, lamb, sgd, nesterov, rmsprop or ciao"},
    {"--lr", "X", "learning rate of the named optimizer"},
    {"--weight-decay", "X", "weight decay of the named optimizer (default: its own)"},
    {"--schedule", "NAME", "its schedule: constant, linear, cosine, ... (default constant)"},
    {"--instance", "N", "which task of the distribution (default 0; see `sample`)"},
    {"--entry", "NAME", "the first task from there on whose family or name is NAME"},
    {"--sample", NULL, "sample the actions instead of taking the likeliest"},
    {"--compare", NULL, "a table: the policy, tuned Adam and AdamW, the static control"},
    {"--checkpoint", "FILE",
     "with --optimizer: keep the run's state in FILE and go on from it where it is there"},
    {"--every", "SECONDS", "from one --checkpoint to the next (default checkpoint.every_seconds)"},
    {"--save", "FILE", "with --optimizer: write the averaged weights as safetensors"},
    {"--trace", "FILE", "with --policy: write what it saw and did as JSON lines"},
    {"--out", "DIR", "with --compare: also write DIR/closing.json for `report`"},
    {"--set", "KEY=VALUE", "override a key of the configuration; may be repeated"},
    {"--json", NULL, "one JSON object a line"},
    {NULL, NULL, NULL}};
static const cx_syntax syntax = {
    "run",
    "CONFIG (--policy FILE [--compare] | --optimizer NAME --lr X [--schedule NAME])",
    "One inner training. Losses are of the averaged parameters; the test split is read once,\n"
    "at the end. Exit 75: stopped in good order; with --checkpoint the same command goes on.",
    options,
    1,
    1};

typedef struct {
    cx_config config;
    cx_data_store *store;
    cx_episode_runner *runner;
    cx_task *task;
    float *policy;
    cx_baseline baseline;
    uint64_t instance;
    bool json;
    FILE *trace;
    cx_error trace_fault; /* the first one */
} run;

static void print_value(double x, bool last) {
    char text[32];
    cx_text_from_double(text, sizeof text, x);
    (void)printf("%s%s", isfinite(x) ? text : "null", last ? "" : ", ");
}

static void print_number(const char *name, double x, bool last) {
    (void)printf("\"%s\": ", name);
    print_value(x, last);
}

static void print_decision(void *context, const cx_outer_step_view *v) {
    run *r = context;
    if (r->trace && !r->trace_fault.code)
        (void)cx_trace_write(r->trace, &r->config, v, &r->trace_fault);
    if (r->json) {
        (void)printf("{\"outer_step\": %d, ", v->outer_step);
        for (int h = 0; h < CX_HYPER_COUNT; h++)
            print_number(cx_hyper_name((cx_hyper_id)h), v->hyper->value[h], false);
        (void)printf("\"choice\": [");
        for (int h = 0; h < v->heads->n_heads; h++)
            (void)printf("%s%d", h ? ", " : "", v->choice[h]);
        (void)printf("], ");
        print_number("train_loss", v->train_loss, false);
        print_number("valid_loss", v->valid_loss, true);
        (void)printf("}\n");
        return;
    }
    if (v->outer_step == 0) {
        (void)printf("%5s %10s %10s", "outer", "train", "valid");
        for (int h = 0; h < CX_HYPER_COUNT; h++)
            (void)printf(" %10.10s", cx_hyper_name((cx_hyper_id)h));
        (void)printf("\n");
    }
    (void)printf("%5d %10.4g %10.4g", v->outer_step + 1, v->train_loss, v->valid_loss);
    for (int h = 0; h < CX_HYPER_COUNT; h++)
        (void)printf(" %10.3g", v->hyper->value[h]);
    (void)printf("\n");
}

static void print_step(void *context, int step, double lr, double train_loss, double valid_loss) {
    const run *r = context;
    if (r->json)
        (void)printf("{\"step\": %d, \"lr\": %.9g, \"train_loss\": %.9g, \"valid_loss\": %.9g}\n",
                     step, lr, train_loss, valid_loss);
    else
        (void)printf("step %7d  lr %9.3g  train %10.4g  valid %10.4g\n", step, lr, train_loss,
                     valid_loss);
    (void)fflush(stdout); /* a long run is looked at while it goes on */
}

/* Name and value, after `before` in JSON. */
static void print_metric(const run *r, const char *before, const cx_task_metric *m, double value) {
    if (r->json)
        (void)printf("\"%s_%s\": ", before, m->name), print_value(value, false);
    else if (m->share)
        (void)printf("  %s %.2f %%", m->name, 100 * value);
    else
        (void)printf("  %s %.5g", m->name, value);
}

/* What a predictor that learns next to nothing reaches on the test split. */
static void print_reference(const run *r) {
    const cx_task_family *f = r->task->family;
    double metric[CX_TASK_METRICS];
    if (!f->reference)
        return;
    f->measure_reference(r->task, CX_SPLIT_TEST, metric);
    if (!r->json)
        (void)printf("%-10s  (of the test split)", f->reference);
    for (int i = 0; i < CX_TASK_METRICS && f->metric[i].name; i++)
        print_metric(r, f->reference, &f->metric[i], metric[i]);
    if (!r->json)
        (void)printf("\n");
}

/* Losses and the family's metrics, by split. */
static void print_end(const run *r, const double loss[CX_SPLITS],
                      double metric[CX_SPLITS][CX_TASK_METRICS], double seconds) {
    static const char *const key[CX_SPLITS] = {"train", "valid", "test"};
    static const char *const word[CX_SPLITS] = {"train", "validation", "test"};
    const cx_task_metric *m = r->task->family->metric;
    if (r->json)
        (void)printf("{");
    for (int s = 0; s < CX_SPLITS; s++) {
        if (r->json)
            (void)printf("\"%s_loss\": ", key[s]), print_value(loss[s], false);
        else
            (void)printf("%-10s  loss %.5g", word[s], loss[s]);
        for (int i = 0; i < CX_TASK_METRICS && m[i].name; i++)
            print_metric(r, key[s], &m[i], metric[s][i]);
        if (!r->json)
            (void)printf("\n");
    }
    print_reference(r);
    if (r->json)
        (void)printf("\"seconds\": %.3f}\n", seconds);
    else
        (void)printf("%.3f s\n", seconds);
}

static int run_policy(run *r, bool sample, cx_watch_function watch, cx_episode_result *result,
                      cx_episode_extra *extra, cx_error *err) {
    cx_episode_job job = {.episode = r->instance,
                          .instance = r->instance,
                          .spec = r->task->spec,
                          .baseline = r->baseline.steps > 0 ? &r->baseline : NULL,
                          .acting = sample ? CX_ACT_SAMPLE : CX_ACT_LIKELIEST,
                          .default_start = true, /* noise is for training */
                          .test = true};
    cx_episode_runner_watch(r->runner, watch, r);
    return cx_episode_run(r->runner, &job, r->policy, NULL, NULL, result, extra, err);
}

static int show_policy(run *r, const cx_args *args, cx_error *err) {
    cx_episode_result result;
    cx_episode_extra extra;
    const char *path = cx_args_value(args, "--trace");
    r->trace = path ? fopen(path, "w") : NULL;
    if (path && !r->trace)
        return cx_fail(err, CX_EIO, "--trace %s: cannot create: %s", path, strerror(errno));
    int rc = run_policy(r, cx_args_has(args, "--sample"), print_decision, &result, &extra, err);
    if (r->trace && fclose(r->trace) != 0 && !r->trace_fault.code)
        (void)cx_fail(&r->trace_fault, CX_EIO, "cannot write: %s", strerror(errno));
    if (!rc && r->trace_fault.code)
        rc = cx_fail(err, r->trace_fault.code, "--trace %s: %s", path, r->trace_fault.message);
    if (rc)
        return rc;
    if (result.end == CX_END_DIVERGED)
        (void)fprintf(stderr, "the run diverged after %d of %d inner steps\n",
                      result.inner_steps_done, result.inner_steps);
    print_end(r, extra.loss, extra.metric, result.seconds);
    return CX_OK;
}

static void say(void *context, const char *text) {
    (void)context;
    (void)fprintf(stderr, "%s\n", text);
}

/* What the arguments say about files. Signals are caught only where there is a state to
 * be kept. */
static int plan_keeping(const run *r, const cx_args *args, cx_control_keep *keep, cx_error *err) {
    *keep = (cx_control_keep){.checkpoint = cx_args_value(args, "--checkpoint"),
                              .save = cx_args_value(args, "--save"),
                              .name = cx_args_value(args, "--optimizer"),
                              .say = say};
    if (cx_args_has(args, "--every") && !keep->checkpoint)
        return cx_fail(err, CX_EUSAGE, "--every wants --checkpoint FILE");
    if (keep->checkpoint) {
        cx_launch_catch_signals();
        keep->should_stop = cx_launch_stop_asked;
    }
    return cx_args_real(args, "--every", 0, 1e6, r->config.checkpoint.every_seconds, &keep->every,
                        err);
}

static int show_optimizer(run *r, const cx_args *args, cx_error *err) {
    cx_rule_config rule;
    cx_hyper hyper;
    cx_control_result result;
    cx_control_plan plan = {.config = &r->config,
                            .task = r->task,
                            .rule = &rule,
                            .hyper = &hyper,
                            .schedule = CX_SCHEDULE_constant,
                            .steps = r->task->inner_steps,
                            .view = print_step,
                            .view_context = r,
                            .views = 20};
    const char *name = cx_args_value(args, "--schedule");
    int rc = cx_rule_named(cx_args_value(args, "--optimizer"), &rule, &hyper, err);
    if (!rc && name)
        rc = cx_schedule_named(name, &plan.schedule, err);
    if (!rc)
        rc = cx_args_real(args, "--lr", 0, 1e6, hyper.value[CX_HYPER_LR], &hyper.value[CX_HYPER_LR],
                          err);
    double *decay = &hyper.value[CX_HYPER_WEIGHT_DECAY];
    if (!rc)
        rc = cx_args_real(args, "--weight-decay", 0, 1e6, *decay, decay, err);
    if (!rc)
        rc = plan_keeping(r, args, &plan.keep, err);
    if (!rc)
        rc = cx_control_run(&plan, &result, err);
    if (rc)
        return rc;
    if (result.diverged)
        (void)fprintf(stderr, "the run diverged\n");
    print_end(r, result.loss, result.metric, result.seconds);
    return CX_OK;
}

/* --- the closing table --- */

enum { LENGTHS = 4 };
/* at which the best constant-lr Adam is retrained */
static const double lengths[LENGTHS] = {0.5, 1, 2, 4};

typedef struct {
    const char *name;
    char how[64];
    double test_loss, test_metric, speedup;
    int runs;
} closing_row;

static void format_speedup(double x, char *out, size_t size) {
    cx_bound bound = cx_bound_of(1, x<lengths[0], x> lengths[LENGTHS - 1]);
    cx_speedup_text(log(fmin(fmax(x, lengths[0]), lengths[LENGTHS - 1])), bound, lengths[0],
                    lengths[LENGTHS - 1], out, size);
}

static json_t *json_number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static int write_closing(const char *dir, const char *title, const cx_task_metric *metric,
                         const closing_row *rows, int n, cx_error *err) {
    char path[600], column[64];
    (void)snprintf(column, sizeof column, "test %s", metric->name ? metric->name : "metric");
    json_t *list = json_array();
    for (int i = 0; i < n && list; i++) {
        char speedup[32];
        format_speedup(rows[i].speedup, speedup, sizeof speedup);
        json_t *row = json_pack("[s, s, o, o, s, i]", rows[i].name, rows[i].how,
                                json_number(rows[i].test_loss), json_number(rows[i].test_metric),
                                speedup, rows[i].runs);
        if (json_array_append_new(list, row) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    json_t *o =
        json_pack("{s:s, s:[s,s,s,s,s,s], s:o, s:[s,s]}", "title", title, "columns", "optimizer",
                  "hyperparameters", "test loss", column, "speedup in steps over Adam",
                  "trainings that it took", "rows", list, "notes",
                  "Adam: constant lr, best of a bracketed sweep by validation loss, retrained at "
                  "1/2, 1, 2 and "
                  "4 times the length.",
                  "Static control: the learned optimizer's own update rule with its best lr and "
                  "schedule, other hyperparameters as at the start of an episode. One task, one "
                  "seed.");
    char *text = o ? json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(o);
    int rc = text ? cx_path(path, sizeof path, err, "%s/closing.json", dir)
                  : cx_fail(err, CX_ENOMEM, "no memory for the closing table");
    if (!rc)
        rc = cx_file_make_dirs(dir, err);
    if (!rc)
        rc = cx_file_replace(path, text, strlen(text), err);
    free(text);
    return rc;
}

static int tune_row(run *r, const char *rule_name, const cx_schedule *schedules, int n_schedules,
                    double length, closing_row *row, cx_error *err) {
    cx_rule_config rule;
    cx_hyper hyper;
    cx_control_best best;
    int rc = CX_OK;
    if (strcmp(rule_name, "learned") == 0) {
        rule = cx_rule_learned(&r->config.optimizer, 0);
        hyper = r->config.optimizer.start;
    } else {
        rc = cx_rule_named(rule_name, &rule, &hyper, err);
    }
    int steps = (int)lround(r->task->inner_steps * length);
    if (!rc)
        rc = cx_control_tune(&r->config, r->task, &rule, &hyper, schedules, n_schedules, steps,
                             &best, err);
    if (rc)
        return rc;
    row->test_loss = best.result.loss[CX_SPLIT_TEST];
    row->test_metric = best.result.metric[CX_SPLIT_TEST][0];
    row->runs = best.runs;
    (void)snprintf(row->how, sizeof row->how, "lr %.3g, %s", best.lr,
                   cx_schedule_name(best.schedule));
    return CX_OK;
}

static int compare(run *r, const cx_args *args, cx_error *err) {
    static const cx_schedule constant[] = {CX_SCHEDULE_constant};
    cx_schedule all[CX_SCHEDULE_COUNT];
    for (int i = 0; i < CX_SCHEDULE_COUNT; i++)
        all[i] = (cx_schedule)i;
    closing_row row[4] = {{.name = "policy (one untuned run)", .runs = 1},
                          {.name = "Adam, constant lr"},
                          {.name = "AdamW, best schedule"},
                          {.name = "static control"}};
    double adam[LENGTHS];
    const cx_task_metric *metric = &r->task->family->metric[0];
    cx_episode_result result;
    cx_episode_extra extra;
    char title[600];
    int rc = run_policy(r, cx_args_has(args, "--sample"), NULL, &result, &extra, err);
    row[0].test_loss = extra.loss[CX_SPLIT_TEST];
    row[0].test_metric = extra.metric[CX_SPLIT_TEST][0];
    (void)snprintf(row[0].how, sizeof row[0].how, "%d outer steps", result.outer_steps);
    for (int i = 0; i < LENGTHS && !rc; i++) {
        closing_row one = row[1];
        rc = tune_row(r, "adam", constant, 1, lengths[i], &one, err);
        adam[i] = one.test_loss - cx_task_optimum(r->task);
        if (lengths[i] == 1)
            row[1] = one;
    }
    if (!rc)
        rc = tune_row(r, "adamw", all, CX_SCHEDULE_COUNT, 1, &row[2], err);
    if (!rc)
        rc = tune_row(r, "learned", all, CX_SCHEDULE_COUNT, 1, &row[3], err);
    if (rc)
        return rc;
    (void)snprintf(title, sizeof title, "One task: ");
    cx_task_describe(&r->task->spec, &r->config, title + strlen(title),
                     sizeof title - strlen(title));
    (void)printf("\n%s\n%-26s %-26s %10s %10s %9s %10s\n", title, "optimizer", "hyperparameters",
                 "test loss", metric->name ? metric->name : "-", "speedup", "trainings");
    for (int i = 0; i < 4; i++) {
        char speedup[32];
        row[i].speedup =
            cx_length_to_reach(lengths, adam, LENGTHS, row[i].test_loss - cx_task_optimum(r->task));
        format_speedup(row[i].speedup, speedup, sizeof speedup);
        char shown[32] = "-";
        if (metric->name)
            (void)snprintf(shown, sizeof shown, metric->share ? "%.2f %%" : "%.4g",
                           (metric->share ? 100 : 1) * row[i].test_metric);
        (void)printf("%-26s %-26s %10.4f %10s %9s %10d\n", row[i].name, row[i].how,
                     row[i].test_loss, shown, speedup, row[i].runs);
    }
    (void)printf("speedup: steps that the best constant-lr Adam needs for the same test loss, over "
                 "the run's steps\n");
    const char *dir = cx_args_value(args, "--out");
    return dir ? write_closing(dir, title, metric, row, 4, err) : CX_OK;
}

/* The task: instance N, or the first from there on of an entry or family so named. */
static int pick_task(run *r, const cx_args *args, cx_task_spec *spec, cx_error *err) {
    long long instance;
    const char *entry = cx_args_value(args, "--entry");
    int rc = cx_args_int(args, "--instance", 0, 1LL << 62, 0, &instance, err);
    if (rc)
        return rc;
    r->instance = (uint64_t)instance;
    for (int tries = 0; tries < 10000; tries++, r->instance++) {
        cx_task_sample(&r->config, r->instance, spec);
        if (!entry || strcmp(r->config.tasks[spec->entry].name, entry) == 0 ||
            strcmp(cx_task_family_at((int)spec->family)->schema->name, entry) == 0)
            return CX_OK;
    }
    return cx_fail(err, CX_EUSAGE, "--entry %s: no task of that name in the distribution", entry);
}

static int prepare(run *r, const cx_args *args, cx_error *err) {
    cx_task_spec spec;
    const char *policy = cx_args_value(args, "--policy");
    if (!policy == !cx_args_value(args, "--optimizer"))
        return cx_fail(err, CX_EUSAGE, "give either --policy FILE or --optimizer NAME");
    if (cx_args_has(args, "--compare") && !policy)
        return cx_fail(err, CX_EUSAGE, "--compare wants --policy FILE");
    if (cx_args_has(args, "--trace") && (!policy || cx_args_has(args, "--compare")))
        return cx_fail(err, CX_EUSAGE, "--trace wants --policy FILE, without --compare");
    if (policy && (cx_args_has(args, "--checkpoint") || cx_args_has(args, "--save")))
        return cx_fail(err, CX_EUSAGE,
                       "--checkpoint and --save want --optimizer NAME: a policy's run is one "
                       "episode, and is not kept");
    r->json = cx_args_has(args, "--json");
    int rc = cx_load_config(args, &r->config, NULL, err);
    if (!rc)
        rc = cx_kernels_choose(&r->config, err);
    if (!rc && policy)
        rc = cx_load_policy(policy, &r->config, &r->policy, err);
    if (!rc)
        rc = cx_data_store_open(&r->config, &r->store, err);
    if (!rc)
        rc = cx_episode_runner_create(&r->config, r->store, &r->runner, err);
    if (!rc)
        rc = pick_task(r, args, &spec, err);
    if (!rc)
        rc = cx_episode_runner_task(r->runner, &spec, &r->task, err);
    if (!rc) {
        char text[512];
        cx_task_describe(&spec, &r->config, text, sizeof text);
        (void)fprintf(stderr, "task %llu: %s\n", (unsigned long long)r->instance, text);
    }
    return rc;
}

int cx_cmd_run(int argc, char **argv) {
    cx_error err = {0};
    cx_args args;
    bool done;
    run *r = calloc(1, sizeof *r);
    int rc = r ? cx_args_parse(&syntax, argc, argv, &args, &done, &err)
               : cx_fail(&err, CX_ENOMEM, "out of memory");
    if (!rc && !done) {
        rc = prepare(r, &args, &err);
        if (!rc && cx_args_has(&args, "--compare"))
            rc = compare(r, &args, &err);
        else if (!rc && r->policy)
            rc = show_policy(r, &args, &err);
        else if (!rc)
            rc = show_optimizer(r, &args, &err);
    }
    if (r) {
        cx_episode_runner_destroy(r->runner);
        cx_data_store_close(r->store);
        free(r->policy);
    }
    free(r);
    return rc ? cx_cli_fail("run", &err) : 0;
}
