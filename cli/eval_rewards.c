/* coxswain eval --rewards: mean rewards of a policy and of who else might choose, on fresh
 * tasks of a training distribution. */
#include "cli/eval.h"

#include "base/file.h"
#include "coordinator/rewards.h"
#include "report/stats.h"
#include "store/store.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name;
    int k_low, k_high; /* outer steps, both included */
    int entry;         /* -1: all */
} group;

static bool in_group(const cx_rewarded_task *t, const group *g) {
    return t->outer_steps >= g->k_low && t->outer_steps <= g->k_high &&
           (g->entry < 0 || t->spec.entry == (uint32_t)g->entry);
}

/* reward of `by`, or its difference to the policy's likeliest choice, over a group */
static int collect(const cx_rewarded_task *tasks, int n, const group *g, int by, bool difference,
                   double *out) {
    int m = 0;
    for (int i = 0; i < n; i++)
        if (in_group(&tasks[i], g))
            out[m++] = difference ? tasks[i].reward[CX_BY_LIKELIEST] - tasks[i].reward[by]
                                  : tasks[i].reward[by];
    return m;
}

static void add_row(json_t *rows, const group *g, int by, const char *kind, int n, cx_interval x) {
    json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:f}", "group", g->name, "by",
                          cx_chooser_name((cx_chooser)by), "value", kind, "tasks", n, "mean",
                          x.mean, "low", x.low, "high", x.high);
    (void)json_array_append_new(rows, o);
}

static void print_group(const cx_rewarded_task *tasks, int n, const group *g, uint64_t seed,
                        json_t *rows) {
    double *x = calloc((size_t)n + 1, sizeof *x);
    if (!x)
        return;
    int m = collect(tasks, n, g, CX_BY_LIKELIEST, false, x);
    if (m > 0)
        (void)printf("\n%s (%d tasks)\n  %-30s %-26s %s\n", g->name, m, "", "mean reward [95 %]",
                     "policy minus it [95 %]");
    for (int by = 0; m > 0 && by < CX_CHOOSER_COUNT; by++) {
        (void)collect(tasks, n, g, by, false, x);
        cx_interval a = cx_bootstrap_mean(x, m, seed);
        (void)collect(tasks, n, g, by, true, x);
        cx_interval d = cx_bootstrap_mean(x, m, seed);
        char left[64], right[64] = "";
        (void)snprintf(left, sizeof left, "%+.3f [%+.3f, %+.3f]", a.mean, a.low, a.high);
        if (by != CX_BY_LIKELIEST)
            (void)snprintf(right, sizeof right, "%+.3f [%+.3f, %+.3f]", d.mean, d.low, d.high);
        (void)printf("  %-30s %-26s %s\n", cx_chooser_name((cx_chooser)by), left, right);
        add_row(rows, g, by, "reward", m, a);
        if (by != CX_BY_LIKELIEST)
            add_row(rows, g, by, "policy minus it", m, d);
    }
    free(x);
}

static int write_tasks(const char *dir, const cx_config *config, const cx_rewarded_task *tasks,
                       int n, cx_error *err) {
    char path[600], text[512];
    cx_lines *lines;
    int rc = cx_path(path, sizeof path, err, "%s/eval.jsonl", dir);
    if (!rc)
        rc = cx_lines_open(path, &lines, err);
    if (rc)
        return rc;
    for (int i = 0; !rc && i < n; i++) {
        const cx_rewarded_task *t = &tasks[i];
        cx_task_describe(&t->spec, config, text, sizeof text);
        json_t *o = json_pack("{s:i, s:s, s:s, s:i, s:i, s:f, s:{}}", "task", i, "family",
                              config->tasks[t->spec.entry].name, "text", text, "outer_steps",
                              t->outer_steps, "inner_steps", t->inner_steps, "adam_lr",
                              t->baseline.best_lr, "reward");
        for (int by = 0; o && by < CX_CHOOSER_COUNT; by++)
            (void)json_object_set_new(json_object_get(o, "reward"), cx_chooser_name((cx_chooser)by),
                                      json_real(t->reward[by]));
        char *line = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
        rc = line ? cx_lines_append(lines, line, err)
                  : cx_fail(err, CX_ENOMEM, "no memory for a line of the evaluation");
        free(line);
        json_decref(o);
    }
    cx_lines_close(lines);
    return rc;
}

static int write_summary(const char *dir, json_t *rows, const double exponent[2], cx_error *err) {
    char path[600];
    json_t *o = json_pack("{s:[f,f], s:O}", "lr_exponent_over_steps", exponent[0], exponent[1],
                          "rows", rows);
    char *text = o ? json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(o);
    int rc = text ? cx_path(path, sizeof path, err, "%s/summary.json", dir)
                  : cx_fail(err, CX_ENOMEM, "no memory for the summary");
    if (!rc)
        rc = cx_file_replace(path, text, strlen(text), err);
    free(text);
    return rc;
}

static int report(const cx_session *s, const char *dir, const cx_rewarded_task *tasks, int n,
                  const double exponent[2], cx_error *err) {
    const group all[] = {{"all tasks", 1, 1 << 20, -1},      {"K < 16", 1, 15, -1},
                         {"K 16 to 31", 16, 31, -1},         {"K 32 to 63", 32, 63, -1},
                         {"K 64 and more", 64, 1 << 20, -1}, {"K >= 16", 16, 1 << 20, -1}};
    json_t *rows = json_array();
    if (!rows)
        return cx_fail(err, CX_ENOMEM, "no memory for the summary");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        print_group(tasks, n, &all[i], s->config.seed, rows);
    for (int e = 0; e < s->config.n_tasks; e++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s, K >= 16", s->config.tasks[e].name);
        const group g = {name, 16, 1 << 20, e};
        print_group(tasks, n, &g, s->config.seed, rows);
    }
    (void)printf("\nlr ~ N^e over the policy's runs: e = %.2f and %.2f on the two halves\n",
                 exponent[0], exponent[1]);
    int rc = write_tasks(dir, &s->config, tasks, n, err);
    if (!rc)
        rc = write_summary(dir, rows, exponent, err);
    json_decref(rows);
    return rc;
}

static int arguments(const cx_args *args, uint64_t *first, int *tasks, cx_error *err) {
    long long n;
    int rc = cx_args_int(args, "--tasks", 2, 1000000, 128, &n, err);
    *tasks = rc ? 0 : (int)n;
    return rc ? rc : cx_eval_first_instance(args, first, err);
}

static int coordinate(cx_session *s, const cx_args *args, cx_error *err) {
    bool begun = false;
    float *policy = NULL;
    double exponent[2];
    const char *dir = cx_args_value(args, "--out");
    cx_rewards_options o = {
        .config = &s->config, .farm = cx_eval_farm(s), .say = cx_session_say, .say_context = s};
    int rc = arguments(args, &o.first_instance, &o.n_tasks, err);
    if (!rc)
        rc = cx_load_policy(cx_args_value(args, "--policy"), &s->config, &policy, err);
    if (!rc)
        rc = cx_eval_policy_count(&s->config, &o.policy_count, err);
    if (!rc)
        rc = cx_file_make_dirs(dir, err);
    o.policy = policy;
    cx_rewarded_task *tasks = rc ? NULL : calloc((size_t)o.n_tasks, sizeof *tasks);
    if (!rc && !tasks)
        rc = cx_fail(err, CX_ENOMEM, "no memory for %d tasks", o.n_tasks);
    if (!rc) {
        begun = true;
        rc = cx_rewards_measure(&o, tasks, exponent, err);
    }
    if (!rc)
        rc = report(s, dir, tasks, o.n_tasks, exponent, err);
    free(tasks);
    free(policy);
    if (rc && !begun)
        cx_session_dismiss(s);
    return rc;
}

static int check(cx_session *s, const cx_args *args, cx_error *err) {
    char path[600];
    float *policy;
    uint64_t first;
    int tasks;
    const char *file = cx_args_value(args, "--policy"), *out = cx_args_value(args, "--out");
    if (!file)
        return cx_fail(err, CX_EUSAGE, "--policy FILE is missing");
    int rc = arguments(args, &first, &tasks, err);
    if (!rc)
        rc = cx_file_make_dirs(out, err);
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/eval.jsonl", out);
    if (!rc && cx_file_exists(path))
        rc = cx_fail(err, CX_EUSAGE, "%s holds mean rewards already; give another --out", out);
    if (!rc)
        rc = cx_load_policy(file, &s->config, &policy, err);
    if (!rc)
        free(policy);
    return rc;
}

const cx_session_plan cx_eval_rewards_plan = {
    .syntax = &cx_eval_syntax, .check = check, .coordinate = coordinate};
