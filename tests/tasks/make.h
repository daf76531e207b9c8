/* Tasks for the tests: a configuration from YAML, a spec by parameter names. */
#ifndef CX_TESTS_TASKS_MAKE_H
#define CX_TESTS_TASKS_MAKE_H

#include "tasks/task.h"
#include "tests/data/idx_files.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A configuration of `tasks` (YAML rows under "tasks:"), with `more` keys before it. */
static inline void make_config(cx_config *config, const char *more, const char *tasks) {
    char yaml[4096];
    cx_error err = {0};
    int n;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    (void)snprintf(yaml, sizeof yaml, "%s\ntasks:\n%s", more, tasks);
    if (cx_config_parse("test.yaml", yaml, strlen(yaml), NULL, 0, schemas, n, config, NULL, &err))
        fail_msg("%s", err.message);
}

/* The defaults of a family, outer_steps 2. */
static inline cx_task_spec make_spec(const char *family, uint64_t seed) {
    cx_task_spec spec = {.seed = seed};
    int n;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    while ((int)spec.family < n && strcmp(schemas[spec.family]->name, family) != 0)
        spec.family++;
    assert_true((int)spec.family < n);
    const cx_family_schema *s = schemas[spec.family];
    for (int i = 0; i < s->n_params; i++)
        spec.value[i] = isnan(s->params[i].fallback) ? 2 : s->params[i].fallback;
    return spec;
}

static inline double *param_of(cx_task_spec *spec, const char *name) {
    int n;
    const cx_family_schema *s = cx_task_schemas(&n)[spec->family];
    for (int i = 0; i < s->n_params; i++)
        if (strcmp(s->params[i].name, name) == 0)
            return &spec->value[i];
    fail_msg("no parameter %s", name);
    return NULL;
}

static inline void set(cx_task_spec *spec, const char *name, double value) {
    *param_of(spec, name) = value;
}

static inline void set_word(cx_task_spec *spec, const char *name, const char *word) {
    int n;
    const cx_family_schema *s = cx_task_schemas(&n)[spec->family];
    double *value = param_of(spec, name);
    const char *const *words = s->params[value - spec->value].words;
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0) {
            *value = i;
            return;
        }
    fail_msg("no word %s of %s", word, name);
}

/* A task with its block and gradients. */
typedef struct {
    cx_task *task;
    float *block, *grads;
} live;

static inline live make_live(const cx_task_spec *spec, const cx_config *config,
                             const cx_data_store *store) {
    live l;
    cx_error err = {0};
    if (cx_task_create(spec, config, store, &l.task, &err))
        fail_msg("%s", err.message);
    l.block = calloc(l.task->state_count, sizeof(float));
    l.grads = calloc(l.task->param_count, sizeof(float));
    assert_non_null(l.block);
    assert_non_null(l.grads);
    cx_task_init(l.task, l.block);
    return l;
}

static inline void drop_live(live *l) {
    cx_task_destroy(l->task);
    free(l->block);
    free(l->grads);
}

/* Steps 0.. of Adam (beta2 0.99, for short runs), from zero moments. */
static inline void adam(live *l, int steps, double lr) {
    size_t n = l->task->param_count;
    double *m = calloc(2 * n, sizeof *m), *v = m + n;
    assert_non_null(m);
    for (int s = 0; s < steps; s++) {
        double loss = cx_task_step(l->task, l->block, l->grads, (uint32_t)s);
        assert_true(isfinite(loss) && loss >= 0);
        for (size_t i = 0; i < n; i++) {
            double g = l->grads[i];
            m[i] += 0.1 * (g - m[i]);
            v[i] += 0.01 * (g * g - v[i]);
            double mean = m[i] / (1 - pow(0.9, s + 1)), square = v[i] / (1 - pow(0.99, s + 1));
            l->block[i] -= (float)(lr * mean / (sqrt(square) + 1e-8));
        }
    }
    free(m);
}

/* The same spec gives the same bits, whatever else was stepped and evaluated before; another
 * seed gives other weights and other batches. `step` lies beyond the first epoch. */
static inline void check_same_bits(const cx_task_spec *spec, const cx_config *config,
                                   const cx_data_store *store, uint32_t step) {
    live a = make_live(spec, config, store), b = make_live(spec, config, store);
    size_t bytes = a.task->param_count * sizeof(float);
    assert_memory_equal(a.block, b.block, a.task->state_count * sizeof(float));
    double first = cx_task_step(a.task, a.block, a.grads, step);
    for (uint32_t s = 0; s < step + 20; s += 7) /* over epochs, to and fro */
        (void)cx_task_step(b.task, b.block, b.grads, s);
    for (int s = 0; s < 3; s++)
        (void)cx_task_evaluate(b.task, b.block, (cx_split)s, 0, NULL);
    assert_memory_not_equal(a.grads, b.grads, bytes);
    assert_true(cx_task_step(b.task, b.block, b.grads, step) == first);
    assert_memory_equal(a.grads, b.grads, bytes);
    cx_task_spec other = *spec;
    other.seed++;
    live c = make_live(&other, config, store);
    assert_memory_not_equal(a.block, c.block, bytes);
    memcpy(c.block, a.block, bytes);
    assert_true(cx_task_step(c.task, c.block, c.grads, step) != first); /* other batches */
    drop_live(&a);
    drop_live(&b);
    drop_live(&c);
}

/* The task has so many inner steps. */
static inline void check_inner_steps(const cx_task_spec *spec, const cx_config *config,
                                     const cx_data_store *store, int steps) {
    live l = make_live(spec, config, store);
    assert_int_equal(l.task->inner_steps, steps);
    drop_live(&l);
}

/* Creating this task fails so, and the message has this word in it. */
static inline void check_task_fault(const cx_task_spec *spec, const cx_config *config,
                                    const cx_data_store *store, int code, const char *word) {
    cx_error err = {0};
    cx_task *task;
    int rc = cx_task_create(spec, config, store, &task, &err);
    if (rc != code || !strstr(err.message, word))
        fail_msg("%d '%s', not %d with '%s'", rc, err.message, code, word);
    assert_null(task);
}

/* Opening the data of a configuration (make_config) fails so. */
static inline void check_store_fault(const char *more, const char *tasks, int code,
                                     const char *word) {
    cx_config config;
    cx_data_store *store;
    cx_error err = {0};
    make_config(&config, more, tasks);
    int rc = cx_data_store_open(&config, &store, &err);
    if (rc != code || !strstr(err.message, word))
        fail_msg("%d '%s', not %d with '%s'", rc, err.message, code, word);
    assert_null(store);
}

#endif
