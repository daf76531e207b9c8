#include "base/hash.h"
#include "base/text.h"
#include "tasks/family.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Goes up whenever the same spec comes to mean another training, so that cached
 * baselines of the old one are not taken for it. */
static const uint32_t task_version = 3;

static const cx_task_family *const families[] = {
#define X(family) &family,
    CX_FAMILY_TABLE(X)
#undef X
};
enum { N_FAMILIES = sizeof families / sizeof families[0], ATTEMPTS = 1000 };

int cx_task_family_count(void) {
    return N_FAMILIES;
}

const cx_task_family *cx_task_family_at(int i) {
    return i >= 0 && i < N_FAMILIES ? families[i] : NULL;
}

const cx_family_schema *const *cx_task_schemas(int *n) {
    static const cx_family_schema *const schemas[] = {
#define X(family) &family##_schema,
        CX_FAMILY_TABLE(X)
#undef X
    };
    *n = N_FAMILIES;
    return schemas;
}

static const cx_family_schema *schema_of(const cx_task_spec *spec) {
    return spec->family < N_FAMILIES ? families[spec->family]->schema : NULL;
}

int cx_task_refuse_held_out(const cx_config *config, cx_error *err) {
    for (int i = 0; i < config->n_tasks && !config->allow_held_out; i++) {
        const cx_task_family *f = cx_task_family_at((int)config->tasks[i].family);
        if (f && f->held_out)
            return cx_fail(err, CX_ECONFIG,
                           "tasks.%d (%s): family %s is held out for evaluation, and a policy that "
                           "was trained on it cannot be judged by it; another family is right, or "
                           "allow_held_out: true",
                           i, config->tasks[i].name, f->schema->name);
    }
    return CX_OK;
}

/* --- sampling --- */

int cx_epochs_per_outer(const cx_task_spec *spec, double epochs, double examples, double batch) {
    const double *v = spec->value;
    if (!(epochs > 0))
        return (int)v[CX_PARAM_INNER_PER_OUTER];
    return (int)fmax(1, round(epochs * examples / batch / v[CX_PARAM_OUTER_STEPS]));
}

int cx_task_inner_steps(const cx_task_spec *spec, const cx_config *config) {
    const cx_task_family *f = cx_task_family_at((int)spec->family);
    if (!f)
        return 0;
    int outer = (int)spec->value[CX_PARAM_OUTER_STEPS];
    double total = spec->value[CX_PARAM_INNER_STEPS];
    int inner = (int)spec->value[CX_PARAM_INNER_PER_OUTER];
    if (total > 0)
        inner = (int)fmax(1, round(total / outer));
    else if (f->inner_per_outer)
        inner = f->inner_per_outer(spec, config);
    return outer * inner;
}

double cx_task_gflop(const cx_task_spec *spec, const cx_config *config) {
    const cx_task_family *f = cx_task_family_at((int)spec->family);
    return f ? 1e-9 * f->flops_per_step(spec, config) * cx_task_inner_steps(spec, config) : NAN;
}

/* Draws until the bound holds; only of the given entry, where it is not negative. */
static void sample(const cx_config *config, int entry, uint64_t instance, cx_task_spec *spec) {
    int n;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    double bound = config->episode.max_gflop, least = INFINITY;
    for (uint32_t attempt = 0; attempt < ATTEMPTS; attempt++) {
        cx_task_spec drawn;
        if (entry < 0)
            cx_config_sample_task(config, schemas, instance, attempt, &drawn);
        else
            cx_config_sample_entry(config, schemas, (uint32_t)entry, instance, attempt, &drawn);
        if (attempt > 0 && drawn.entry != spec->entry)
            continue; /* the bound is not to change how often an entry is drawn */
        double cost = bound > 0 ? cx_task_gflop(&drawn, config) : 0;
        if (attempt == 0 || cost < least) {
            *spec = drawn;
            least = cost;
        }
        if (!(cost > bound)) {
            *spec = drawn;
            return;
        }
    }
}

void cx_task_sample(const cx_config *config, uint64_t instance, cx_task_spec *spec) {
    sample(config, -1, instance, spec);
}

void cx_task_sample_entry(const cx_config *config, uint32_t entry, uint64_t instance,
                          cx_task_spec *spec) {
    sample(config, (int)entry, instance, spec);
}

/* --- a task's life --- */

/* A spec may come from a file or from another rank: nothing in it is believed. */
static int check_spec(const cx_task_spec *spec, cx_error *err) {
    const cx_family_schema *s = schema_of(spec);
    if (!s)
        return cx_fail(err, CX_ECONFIG, "task family number %u; there are %d",
                       (unsigned)spec->family, N_FAMILIES);
    for (int i = 0; i < s->n_params; i++) {
        const cx_param_schema *p = &s->params[i];
        double v = spec->value[i], low = p->low, high = p->high;
        if (p->words)
            for (low = high = 0; p->words[(int)high + 1];)
                high++;
        if (!(v >= low && v <= high))
            return cx_fail(err, CX_ECONFIG, "%s: %s is %g; %g to %g is right", s->name, p->name, v,
                           low, high);
        if ((p->whole || p->words) && v != floor(v))
            return cx_fail(err, CX_ECONFIG, "%s: %s is %g; a whole number is right", s->name,
                           p->name, v);
    }
    return CX_OK;
}

int cx_task_create(const cx_task_spec *spec, const cx_config *config, const cx_data_store *store,
                   cx_task **out, cx_error *err) {
    *out = NULL;
    int rc = check_spec(spec, err);
    if (rc)
        return rc;
    cx_task *task = calloc(1, sizeof *task);
    if (!task)
        return cx_fail(err, CX_ENOMEM, "no memory for a task");
    task->family = families[spec->family];
    task->spec = *spec;
    task->outer_steps = (int)spec->value[CX_PARAM_OUTER_STEPS];
    task->inner_steps = cx_task_inner_steps(spec, config);
    rc = task->family->create(spec, config, store, task, err);
    if (rc) {
        cx_task_destroy(task);
        return rc;
    }
    task->param_count = cx_graph_param_count(task->graph);
    task->state_count = cx_graph_state_count(task->graph);
    *out = task;
    return CX_OK;
}

void cx_task_destroy(cx_task *task) {
    if (!task)
        return;
    task->family->destroy(task);
    cx_graph_destroy(task->graph);
    free(task);
}

void cx_task_init(const cx_task *task, float *block) {
    cx_rng rng = cx_rng_make(task->spec.seed, 0, CX_STREAM_INIT);
    cx_graph_init(task->graph, block, &rng);
}

double cx_task_step(cx_task *task, float *block, float *grads, uint32_t step) {
    return task->family->step(task, block, grads, step);
}

double cx_task_evaluate(cx_task *task, float *block, cx_split split, int examples, double *metric) {
    double unused[CX_TASK_METRICS];
    if (!metric)
        metric = unused;
    for (int i = 0; i < CX_TASK_METRICS; i++)
        metric[i] = NAN;
    return task->family->evaluate(task, block, split, examples, metric);
}

double cx_task_optimum(const cx_task *task) {
    return task->family->optimum ? task->family->optimum(task) : 0;
}

/* --- identity --- */

typedef struct {
    unsigned char bytes[4096];
    size_t used;
} key;

static void put(key *k, const void *data, size_t size) {
    if (size > sizeof k->bytes - k->used)
        size = sizeof k->bytes - k->used;
    memcpy(k->bytes + k->used, data, size);
    k->used += size;
}

static void put_text(key *k, const char *text) {
    put(k, text, strlen(text) + 1);
}

static void put_number(key *k, double x) {
    put(k, &x, sizeof x);
}

static void put_training(key *k, const cx_task_spec *spec, const cx_config *config) {
    const cx_family_schema *s = schema_of(spec);
    put(k, &task_version, sizeof task_version);
    put(k, &spec->seed, sizeof spec->seed);
    /* by name: the same task of another configuration has another entry number */
    put_text(k, s ? s->name : "");
    for (int i = 0; s && i < s->n_params; i++) {
        put_text(k, s->params[i].name);
        put_number(k, spec->value[i]);
    }
    char data[1024] = "";
    if (s && families[spec->family]->identity)
        families[spec->family]->identity(spec, config, data, sizeof data);
    put_text(k, data);
    put_number(k, config->episode.outer_examples);
    put_number(k, config->episode.final_examples);
    put_number(k, config->episode.parameter_average);
}

uint64_t cx_task_training_hash(const cx_task_spec *spec, const cx_config *config) {
    key k = {.used = 0};
    put_training(&k, spec, config);
    return cx_hash(k.bytes, k.used, 0);
}

uint64_t cx_task_hash(const cx_task_spec *spec, const cx_config *config) {
    key k = {.used = 0};
    put_training(&k, spec, config);
    put_number(&k, config->reward.form);
    put_number(&k, config->reward.max_extensions);
    put_number(&k, config->reward.length_factor);
    put_number(&k, config->reward.floor);
    put_number(&k, config->reward.learning_rates.n);
    for (int i = 0; i < config->reward.learning_rates.n; i++)
        put_number(&k, config->reward.learning_rates.value[i]);
    return cx_hash(k.bytes, k.used, 0);
}

static void append(char *out, size_t size, const char *text) {
    size_t used = strlen(out);
    if (used + 1 < size)
        (void)snprintf(out + used, size - used, "%s", text);
}

/* NULL for a number. */
static const char *word_of(const cx_param_schema *p, double value) {
    int count = 0;
    if (!p->words)
        return NULL;
    while (p->words[count])
        count++;
    return value >= 0 && value < count ? p->words[(int)value] : "?";
}

void cx_task_describe(const cx_task_spec *spec, const cx_config *config, char *out, size_t size) {
    const cx_family_schema *s = schema_of(spec);
    char text[96];
    if (size == 0)
        return;
    (void)snprintf(out, size, "%s", s ? s->name : "unknown family");
    if (!s)
        return;
    if (config && spec->entry < (uint32_t)config->n_tasks &&
        strcmp(config->tasks[spec->entry].name, s->name) != 0) {
        (void)snprintf(text, sizeof text, " (%s)", config->tasks[spec->entry].name);
        append(out, size, text);
    }
    for (int i = 0; i < s->n_params; i++) {
        const char *word = word_of(&s->params[i], spec->value[i]);
        if (word && strcmp(word, "none") != 0) {
            append(out, size, " ");
            append(out, size, word);
        }
    }
    for (int i = 0; i < s->n_params; i++) {
        const cx_param_schema *p = &s->params[i];
        double v = spec->value[i];
        if (p->words || (config && i == CX_PARAM_INNER_PER_OUTER))
            continue;
        if (config && i == CX_PARAM_INNER_STEPS)
            v = cx_task_inner_steps(spec, config); /* what the three of them come to */
        if (v == p->fallback && (v == 0 || v == 1))
            continue;
        (void)snprintf(text, sizeof text, p->whole ? " %s=%.0f" : " %s=%.4g", p->name, v);
        append(out, size, text);
    }
}

double cx_task_value(const cx_task_spec *spec, const char *name) {
    const cx_family_schema *s = schema_of(spec);
    for (int i = 0; s && i < s->n_params; i++)
        if (strcmp(s->params[i].name, name) == 0)
            return spec->value[i];
    return NAN;
}

int cx_task_vector_size(void) {
    return CX_ENTRIES_MAX + CX_TASK_PARAMS_MAX;
}

void cx_task_vector(const cx_task_spec *spec, const cx_config *config, float *out) {
    const cx_family_schema *s = schema_of(spec);
    memset(out, 0, (size_t)cx_task_vector_size() * sizeof *out);
    if (!s || spec->entry >= (uint32_t)config->n_tasks)
        return;
    out[spec->entry] = 1;
    for (int i = 0; i < s->n_params; i++)
        out[CX_ENTRIES_MAX + i] =
            (float)cx_dist_position(&config->tasks[spec->entry].param[i], spec->value[i]);
}
