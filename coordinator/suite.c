#include "coordinator/suite.h"

#include "base/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const double cx_suite_lengths[CX_SUITE_LENGTHS] = {0.5, 1, 2, 4};

static const struct {
    const char *id, *name;
} kinds[] = {
#define X(code, id, name) {id, name},
    CX_CONTESTANT_TABLE(X)
#undef X
};

/* Entries' instances are this far apart: as many tasks can be drawn of each. */
enum { ENTRY_STRIDE = 1 << 15 };
_Static_assert(CX_ENTRIES_MAX *ENTRY_STRIDE <= 1 << 20, "seeds' instances are 2^20 apart");

/* --- who takes part --- */

static cx_contestant *add(cx_suite *s, cx_contestant_kind kind) {
    cx_contestant *c = &s->contestant[s->n_contestants++];
    c->kind = kind;
    (void)snprintf(c->id, sizeof c->id, "%s", kinds[kind].id);
    (void)snprintf(c->name, sizeof c->name, "%s", kinds[kind].name);
    return c;
}

static void add_starts(cx_suite *s) {
    const cx_reals *factors = &s->o.config->evaluation.start_lr;
    for (int i = 0; i < factors->n && i < CX_STARTS_MAX; i++) {
        if (factors->value[i] == 1)
            continue;
        cx_contestant *c = add(s, CX_CONTESTANT_START);
        c->start_lr = factors->value[i];
        (void)snprintf(c->id, sizeof c->id, "policy_start_x%g", c->start_lr);
        (void)snprintf(c->name, sizeof c->name, "policy, started at lr x %g", c->start_lr);
    }
}

static void list_contestants(cx_suite *s) {
    bool policy = !s->o.contestant.given;
    const cx_config *c = s->o.config;
    cx_contestant *first = add(s, CX_CONTESTANT_POLICY);
    if (!policy)
        cx_trial_describe(&s->o.contestant.job, first->name, sizeof first->name);
    if (policy && c->evaluation.sampled)
        (void)add(s, CX_CONTESTANT_SAMPLED);
    if (policy)
        add_starts(s);
    cx_contestant *baseline = add(s, CX_CONTESTANT_BASELINE);
    if (s->o.baseline.given)
        cx_trial_describe(&s->o.baseline.job, baseline->name, sizeof baseline->name);
    if (c->evaluation.static_control)
        (void)add(s, CX_CONTESTANT_STATIC);
    if (policy && c->evaluation.open_loop && s->n_tasks > 1)
        for (int k = CX_CONTESTANT_OPEN_LOOP; k <= CX_CONTESTANT_REPLAY_BOTH; k++)
            (void)add(s, (cx_contestant_kind)k);
    if (c->evaluation.sgd)
        (void)add(s, CX_CONTESTANT_SGD);
    if (c->evaluation.trials > 0)
        (void)add(s, CX_CONTESTANT_SEARCH);
}

int cx_suite_find(const cx_suite *s, cx_contestant_kind kind) {
    for (int i = 0; i < s->n_contestants; i++)
        if (s->contestant[i].kind == kind)
            return i;
    return -1;
}

/* --- creation --- */

static void draw_tasks(cx_suite *s) {
    const cx_config *c = s->o.config;
    int each = c->evaluation.tasks_per_entry;
    for (int i = 0; i < s->n_tasks; i++) {
        cx_suite_task *t = &s->task[i];
        uint64_t entry = (uint64_t)(i / each), number = (uint64_t)(i % each);
        cx_task_sample_entry(c, (uint32_t)entry,
                             s->o.first_instance + entry * ENTRY_STRIDE + number, &t->spec);
        t->outer_steps = (int)cx_task_value(&t->spec, "outer_steps");
        t->inner_steps = cx_task_inner_steps(&t->spec, c);
    }
}

int cx_suite_create(const cx_suite_options *options, cx_suite **out, cx_error *err) {
    *out = NULL;
    cx_suite *s = calloc(1, sizeof *s);
    if (!s)
        return cx_fail(err, CX_ENOMEM, "no memory for a suite");
    s->o = *options;
    s->seeds = options->config->evaluation.seeds;
    s->n_tasks = options->config->n_tasks * options->config->evaluation.tasks_per_entry;
    s->task = calloc((size_t)s->n_tasks + 1, sizeof *s->task);
    list_contestants(s);
    for (int i = 0; s->task && i < s->n_tasks; i++)
        for (int c = 0; c < s->n_contestants; c++) {
            cx_contestant_kind kind = s->contestant[c].kind;
            if (kind < CX_CONTESTANT_REPLAY || kind > CX_CONTESTANT_REPLAY_BOTH)
                continue;
            s->task[i].entrant[c].replay = calloc(1, sizeof(cx_open_loop));
            if (!s->task[i].entrant[c].replay) {
                cx_suite_destroy(s);
                return cx_fail(err, CX_ENOMEM, "no memory for the replays");
            }
        }
    if (!s->task) {
        cx_suite_destroy(s);
        return cx_fail(err, CX_ENOMEM, "no memory for %d tasks",
                       options->config->n_tasks * options->config->evaluation.tasks_per_entry);
    }
    draw_tasks(s);
    *out = s;
    return CX_OK;
}

void cx_suite_destroy(cx_suite *s) {
    if (!s)
        return;
    for (int i = 0; s->task && i < s->n_tasks; i++)
        for (int c = 0; c < CX_CONTESTANTS_MAX; c++)
            free(s->task[i].entrant[c].replay);
    free(s->task);
    free(s);
}

/* --- optimizers by name --- */

int cx_fixed_optimizer_parse(const char *text, cx_fixed_optimizer *out, cx_error *err) {
    char copy[256], *rest = copy, *part;
    cx_rule_config rule;
    double lr;
    int rc = CX_OK;
    memset(out, 0, sizeof *out);
    cx_trial_job *j = &out->job;
    (void)snprintf(copy, sizeof copy, "%s", text);
    const char *name = strsep(&rest, ":");
    if (strlen(name) >= sizeof j->rule)
        return cx_fail(err, CX_EUSAGE, "%s: no optimizer is called so", text);
    rc = cx_rule_named(name, &rule, &j->hyper, err);
    if (rc)
        return rc;
    part = strsep(&rest, ":");
    if (!part || !cx_text_double(part, &lr) || !(lr > 0 && lr <= 1e6))
        return cx_fail(err, CX_EUSAGE, "%s: wants RULE:LR[:SCHEDULE][:skip=N], such as adamw:0.003",
                       text);
    while ((part = strsep(&rest, ":")) != NULL) {
        cx_schedule schedule;
        long long skip;
        if (strncmp(part, "skip=", 5) == 0) {
            if (!cx_text_int(part + 5, &skip) || skip < 1 || skip > 1000)
                return cx_fail(err, CX_EUSAGE, "%s: skip=N with N from 1 to 1000 is right", text);
            j->skip = skip > 1 ? (uint32_t)skip : 0;
        } else {
            rc = cx_schedule_named(part, &schedule, err);
            if (rc)
                return rc;
            j->schedule = (uint32_t)schedule;
        }
    }
    memcpy(j->rule, name, strlen(name));
    j->hyper.value[CX_HYPER_LR] = lr;
    j->length = 1;
    out->given = true;
    return CX_OK;
}

void cx_trial_describe(const cx_trial_job *job, char *out, size_t size) {
    char more[64] = "";
    if (job->skip > 1)
        (void)snprintf(more, sizeof more, ", every %u-th step only", job->skip);
    (void)snprintf(out, size, "%s lr %.3g %s%s", job->rule, job->hyper.value[CX_HYPER_LR],
                   cx_schedule_name((cx_schedule)job->schedule), more);
}
