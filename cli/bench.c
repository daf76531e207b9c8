/* coxswain bench: the inner step's time for fixed tasks, and the parts alone.
 *
 * The optimizers that are compared take turns, block by block, so that what else the
 * machine does hits all alike; every figure is a median over blocks. */
#include "cli/bench.h"
#include "cli/args.h"
#include "cli/command.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/text.h"
#include "report/stats.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* OpenBLAS's own; its header clashes with -Wpedantic */
int openblas_get_num_threads(void);

static const cx_option options[] = {
    {"--optimizer", "adam|ciao", "only this update (default: both, in turns)"},
    {"--steps", "N", "timed steps of each (default: as many as take a second, at least 48)"},
    {"--config", "FILE", "whose episodes (default: configs/desk.yaml)"},
    {"--json", NULL, "one JSON object a line"},
    {NULL, NULL, NULL}};
static const cx_syntax syntax = {
    "bench",
    "[TASK ...] [update] [policy] [learner] [episodes]",
    "Time of an inner training step for fixed tasks (default: all of them), on one thread,\n"
    "and the shares of it that go into data, forward, backward, update and features. data: a\n"
    "batch is copied into the network. nqm draws its noise and computes loss and gradient in\n"
    "one pass, which counts as forward. features: what a feature step (every 4th) costs more\n"
    "than another. update, policy and learner time the optimizer alone on blocks of 10k, 100k\n"
    "and 1M parameters, the policy at one outer step, and one PPO update. episodes runs the\n"
    "first 256 (--steps) tasks of a configuration with a policy that has learned nothing, and\n"
    "tells CPU time and what it goes into.",
    options,
    0,
    16};

/* --- helpers --- */

int cx_bench_config(const char *yaml, cx_config **out, cx_error *err) {
    int n;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    *out = calloc(1, sizeof **out);
    if (!*out)
        return cx_fail(err, CX_ENOMEM, "no memory for a configuration");
    return cx_config_parse("bench", yaml, strlen(yaml), NULL, 0, schemas, n, *out, NULL, err);
}

int cx_bench_optimizer(const char *rule, int feature_interval, const cx_optim_tensor *tensors,
                       int n_tensors, size_t count, cx_optimizer **out, cx_error *err) {
    cx_rule_config config;
    cx_hyper hyper;
    int rc = cx_rule_named(rule, &config, &hyper, err);
    if (rc)
        return rc;
    config.feature_interval = feature_interval;
    rc = cx_optimizer_create(&config, tensors, n_tensors, 1, count, out, err);
    if (rc)
        return rc;
    hyper.value[CX_HYPER_LR] = 1e-4; /* a bench need not learn, but it must not diverge */
    cx_optimizer_set_hyper(*out, &hyper);
    return CX_OK;
}

double cx_bench_median(const double *x, int n) {
    double m;
    return cx_stats_percentile(x, n, 50, &m, NULL) ? NAN : m;
}

double cx_bench_least(const double *x, int n) {
    double m = INFINITY;
    for (int i = 0; i < n; i++)
        m = x[i] < m ? x[i] : m;
    return m;
}

int cx_bench_print(cx_table *t, bool json, cx_error *err) {
    char *text = NULL;
    int rc = json ? cx_table_to_json(t, &text, err) : cx_table_to_text(t, &text, err);
    if (!rc)
        (void)printf("%s%s", text, json ? "" : "\n");
    (void)fflush(stdout);
    free(text);
    cx_table_destroy(t);
    return rc;
}

int cx_bench_blocks(const cx_bench_options *o, double block_seconds, double seconds, int least) {
    if (o->steps > 0)
        return (int)((o->steps + CX_BENCH_BLOCK - 1) / CX_BENCH_BLOCK);
    double n = block_seconds > 0 ? seconds / block_seconds : 1e9;
    return n < least ? least : n > 20000 ? 20000 : (int)n;
}

/* --- a task's step --- */

typedef struct {
    const char *optimizer; /* "adam" or "ciao" */
    bool features;
    cx_optimizer *o;
    float *block, *grads;
    uint32_t step;
    double norm; /* of the newest gradient */
    /* seconds of a block, each [blocks] */
    double *whole, *data, *forward, *backward, *update, *extra; /* extra: features */
} runner;

static void runner_free(runner *r) {
    cx_optimizer_destroy(r->o);
    free(r->block);
    free(r->grads);
    free(r->whole);
}

static int runner_make(runner *r, const char *optimizer, const cx_bench_task *t, cx_error *err) {
    r->optimizer = optimizer;
    r->features = strcmp(optimizer, "ciao") == 0;
    r->block = cx_calloc(t->state_count, sizeof *r->block);
    r->grads = cx_calloc(t->param_count, sizeof *r->grads);
    if (!r->block || !r->grads)
        return cx_fail(err, CX_ENOMEM, "no memory for the parameters of %s", t->name);
    cx_bench_task_init(t, r->block);
    return cx_bench_optimizer(optimizer, r->features ? CX_BENCH_BLOCK : 0, t->tensors, t->n_tensors,
                              t->param_count, &r->o, err);
}

static int runner_room(runner *r, int blocks, cx_error *err) {
    size_t n = (size_t)blocks;
    r->whole = calloc(6 * n, sizeof *r->whole);
    if (!r->whole)
        return cx_fail(err, CX_ENOMEM, "no memory for %d blocks", blocks);
    r->forward = r->whole + n;
    r->backward = r->whole + 2 * n;
    r->update = r->whole + 3 * n;
    r->extra = r->whole + 4 * n;
    r->data = r->whole + 5 * n;
    return CX_OK;
}

/* times[PHASES]: data, forward, backward, update; NULL: no clock is read */
enum { DATA, FORWARD, BACKWARD, UPDATE, PHASES };
static void one_step(cx_bench_task *t, runner *r, double *times) {
    double at[PHASES + 1] = {0};
    if (times)
        at[DATA] = cx_clock_now();
    cx_bench_task_data(t, r->block, r->grads, r->step);
    if (times)
        at[FORWARD] = cx_clock_now();
    cx_bench_task_forward(t, r->block, r->grads, r->step++);
    if (times)
        at[BACKWARD] = cx_clock_now();
    cx_bench_task_backward(t);
    if (times)
        at[UPDATE] = cx_clock_now();
    r->norm = cx_optimizer_step(r->o, r->block, r->grads, NULL, NULL, 0);
    if (!times)
        return;
    at[PHASES] = cx_clock_now();
    for (int i = 0; i < PHASES; i++)
        times[i] = at[i + 1] - at[i];
}

/* The first step of a block is its feature step. */
static void begin_block(runner *r) {
    double features[CX_FEATURE_COUNT];
    cx_optimizer_outer_step(r->o, features);
}

static void time_block(cx_bench_task *t, runner *r, int b) {
    double times[CX_BENCH_BLOCK][PHASES], plain = 0;
    one_step(t, r, NULL); /* the caches become this runner's again */
    begin_block(r);
    double start = cx_clock_now();
    for (int i = 0; i < CX_BENCH_BLOCK; i++)
        one_step(t, r, NULL);
    r->whole[b] = cx_clock_now() - start;
    begin_block(r);
    for (int i = 0; i < CX_BENCH_BLOCK; i++) {
        one_step(t, r, times[i]);
        r->data[b] += times[i][DATA];
        r->forward[b] += times[i][FORWARD];
        r->backward[b] += times[i][BACKWARD];
        if (i > 0)
            plain += times[i][UPDATE] / (CX_BENCH_BLOCK - 1);
    }
    if (r->features) {
        r->update[b] = CX_BENCH_BLOCK * plain;
        r->extra[b] = times[0][UPDATE] - plain;
    } else
        r->update[b] = times[0][UPDATE] + (CX_BENCH_BLOCK - 1) * plain;
}

static void add_row(cx_table *table, const cx_bench_task *t, const runner *r, int blocks) {
    enum { SHARES = 5 };
    double part[SHARES] = {cx_bench_median(r->forward, blocks),
                           cx_bench_median(r->backward, blocks), cx_bench_median(r->update, blocks),
                           cx_bench_median(r->extra, blocks), cx_bench_median(r->data, blocks)};
    /* features may drown in the clock's noise next to a long step; a share is never below 0 */
    part[3] = part[3] > 0 ? part[3] : 0;
    double ms = 1e3 * cx_bench_median(r->whole, blocks) / CX_BENCH_BLOCK, sum = 0;
    for (int i = 0; i < SHARES; i++)
        sum += part[i];
    cx_table_text(table, t->name);
    cx_table_text(table, r->optimizer);
    cx_table_number(table, openblas_get_num_threads());
    cx_table_number(table, ms);
    cx_table_number(table, 1e3 * cx_bench_least(r->whole, blocks) / CX_BENCH_BLOCK);
    cx_table_number(table, 1e3 / ms);
    cx_table_number(table, t->params);
    cx_table_number(table, t->flops);
    cx_table_number(table, t->flops / (1e6 * ms));
    for (int i = 0; i < SHARES; i++)
        cx_table_number(table, part[i] / sum);
}

static int bench_runners(cx_bench_task *t, runner *r, int n, const cx_bench_options *o,
                         cx_table *table, cx_error *err) {
    double slowest = 0;
    for (int k = 0; k < n; k++) {
        double start = 0;
        for (int i = 0; i < 4 * CX_BENCH_BLOCK; i++) {
            if (i == 2 * CX_BENCH_BLOCK)
                start = cx_clock_now();
            one_step(t, &r[k], NULL);
        }
        double took = cx_clock_now() - start; /* two blocks: what time_block takes */
        slowest = took > slowest ? took : slowest;
    }
    int blocks = cx_bench_blocks(o, slowest, 2, 12);
    for (int k = 0; k < n; k++) {
        int rc = runner_room(&r[k], blocks, err);
        if (rc)
            return rc;
    }
    for (int b = 0; b < blocks; b++)
        for (int k = 0; k < n; k++)
            time_block(t, &r[k], b);
    for (int k = 0; k < n; k++) {
        /* a step whose gradient is not finite is left out, and would be too fast */
        if (!isfinite(r[k].norm) || !isfinite(t->loss_value))
            return cx_fail(err, CX_ESTATE, "%s with %s diverged (loss %g, gradient norm %g)",
                           t->name, r[k].optimizer, t->loss_value, r[k].norm);
        add_row(table, t, &r[k], blocks);
    }
    return CX_OK;
}

static int bench_task(int which, const char *only, const cx_bench_options *o, cx_table *table,
                      cx_error *err) {
    static const char *const optimizers[] = {"adam", "ciao"};
    cx_bench_task t;
    runner r[2] = {0};
    int n = 0, rc = cx_bench_task_create(which, &t, err);
    for (int k = 0; !rc && k < 2; k++)
        if (!only || strcmp(only, optimizers[k]) == 0)
            rc = runner_make(&r[n++], optimizers[k], &t, err);
    if (!rc)
        rc = bench_runners(&t, r, n, o, table, err);
    for (int k = 0; k < 2; k++)
        runner_free(&r[k]);
    cx_bench_task_destroy(&t);
    return rc;
}

static cx_table *task_table(void) {
    cx_table *t = cx_table_create("inner training steps");
    if (!t)
        return NULL;
    cx_table_column(t, "task", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "optimizer", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "threads", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "ms_per_step", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "min_ms_per_step", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "steps_per_s", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "params", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "flops_per_step", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "gflops", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "forward", CX_COLUMN_SHARE, 1);
    cx_table_column(t, "backward", CX_COLUMN_SHARE, 1);
    cx_table_column(t, "update", CX_COLUMN_SHARE, 1);
    cx_table_column(t, "features", CX_COLUMN_SHARE, 1);
    cx_table_column(t, "data", CX_COLUMN_SHARE, 1);
    return t;
}

/* --- the command --- */

enum { TASKS_MAX = 16, PARTS = 4 };
static const struct {
    const char *name;
    int (*run)(const cx_bench_options *options, cx_error *err);
} parts[PARTS] = {{"update", cx_bench_update},
                  {"policy", cx_bench_policy},
                  {"learner", cx_bench_learner},
                  {"episodes", cx_bench_episodes}};

typedef struct {
    int n_tasks, task[TASKS_MAX];
    bool part[PARTS];
} choice;

static int choose_word(const char *word, choice *c, cx_error *err) {
    const char *names[TASKS_MAX + PARTS], *name;
    size_t n = 0;
    for (int i = 0; (name = cx_bench_task_name(i)) != NULL; i++) {
        names[n++] = name;
        if (strcmp(name, word) != 0)
            continue;
        c->task[c->n_tasks++] = i;
        return CX_OK;
    }
    for (int i = 0; i < PARTS; i++) {
        names[n++] = parts[i].name;
        if (strcmp(parts[i].name, word) == 0) {
            c->part[i] = true;
            return CX_OK;
        }
    }
    char all[256] = "";
    for (size_t i = 0; i < n; i++) {
        size_t at = strlen(all);
        (void)snprintf(all + at, sizeof all - at, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = cx_text_nearest(word, names, n);
    return cx_fail(err, CX_EUSAGE, "unknown task %s%s%s%s; there are: %s", word,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "", all);
}

static void choose_all(choice *c) {
    while (cx_bench_task_name(c->n_tasks)) {
        c->task[c->n_tasks] = c->n_tasks;
        c->n_tasks++;
    }
}

static int run_choice(const choice *c, const char *optimizer, const cx_bench_options *o,
                      cx_error *err) {
    int rc = CX_OK;
    if (c->n_tasks) {
        cx_table *table = task_table();
        if (!table)
            return cx_fail(err, CX_ENOMEM, "no memory for a table");
        for (int i = 0; !rc && i < c->n_tasks; i++)
            rc = bench_task(c->task[i], optimizer, o, table, err);
        if (rc)
            cx_table_destroy(table);
        else
            rc = cx_bench_print(table, o->json, err);
    }
    for (int i = 0; !rc && i < PARTS; i++)
        if (c->part[i])
            rc = parts[i].run(o, err);
    return rc;
}

int cx_cmd_bench(int argc, char **argv) {
    cx_error err = {0};
    cx_args args;
    bool done;
    cx_bench_options o = {0};
    choice c = {0};
    int rc = cx_args_parse(&syntax, argc, argv, &args, &done, &err);
    if (rc || done)
        return rc ? cx_cli_fail("bench", &err) : 0;
    const char *optimizer = cx_args_value(&args, "--optimizer");
    if (optimizer && strcmp(optimizer, "adam") != 0 && strcmp(optimizer, "ciao") != 0)
        rc = cx_fail(&err, CX_EUSAGE, "--optimizer %s: want adam or ciao", optimizer);
    if (!rc)
        rc = cx_args_int(&args, "--steps", 1, 10000000, 0, &o.steps, &err);
    o.json = cx_args_has(&args, "--json");
    o.config = cx_args_value(&args, "--config");
    for (int i = 0; !rc && i < args.n_words; i++)
        rc = choose_word(args.word[i], &c, &err);
    if (!rc && args.n_words == 0)
        choose_all(&c);
    if (!rc)
        rc = run_choice(&c, optimizer, &o, &err);
    return rc ? cx_cli_fail("bench", &err) : 0;
}
