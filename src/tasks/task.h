/* Inner tasks: a whole neural-network training run, one file per family, all
 * behind one table of functions. A task holds its graphs and batches; it does not
 * hold parameters: those are flat blocks of the caller's.
 *
 * Three splits are kept apart: training batches come from the training split;
 * rewards, features and registers read CX_SPLIT_VALIDATION only; CX_SPLIT_TEST
 * is read by reports alone. */
#ifndef CX_TASKS_TASK_H
#define CX_TASKS_TASK_H

#include "base/error.h"
#include "config/config.h"
#include "nn/graph.h"

typedef enum { CX_SPLIT_TRAIN, CX_SPLIT_VALIDATION, CX_SPLIT_TEST, CX_SPLITS } cx_split;

/* Data sets that are opened once per process and shared by its tasks, read only. */
typedef struct cx_data_store cx_data_store;
/* Opens what config's task entries name (all choices of their `data` parameter), and
 * prepares every view of it (resolution, whitening) that they can draw. CX_EDATA with
 * the file and the fault; CX_ECONFIG for a view that there is not. */
int cx_data_store_open(const cx_config *config, cx_data_store **store, cx_error *err);
void cx_data_store_close(cx_data_store *store);

typedef struct cx_task cx_task;

/* What a family measures besides the loss. */
enum { CX_TASK_METRICS = 2 };
typedef struct {
    const char *name; /* "accuracy"; NULL: no such metric */
    bool share;       /* of 0 .. 1, shown in per cent */
} cx_task_metric;

typedef struct {
    const cx_family_schema *schema;
    /* Kept for evaluation: a training configuration may not name it unless
     * `allow_held_out` says so. */
    bool held_out;
    /* All splits are one: losses are the expectation itself, and none can be overfitted. */
    bool one_split;
    cx_task_metric metric[CX_TASK_METRICS];
    /* A predictor that learns next to nothing, to compare metrics with: its name, and what
     * it reaches on all of a split. NULL: none. */
    const char *reference;
    void (*measure_reference)(const cx_task *task, cx_split split, double metric[CX_TASK_METRICS]);
    /* Checks all entries of this family in the configuration and puts into the store
     * every data set that they can draw. NULL: the family needs none. Called once per
     * store, where there is at least one such entry. */
    int (*open)(const cx_config *config, cx_data_store *store, cx_error *err);
    /* Appends to `out` which data such a task is trained on (paths, sizes of splits): a
     * part of its identity. NULL: the spec says it all. */
    void (*identity)(const cx_task_spec *spec, const cx_config *config, char *out, size_t size);
    /* Builds graphs and buffers for `spec`. store may be shared by many tasks. */
    int (*create)(const cx_task_spec *spec, const cx_config *config, const cx_data_store *store,
                  cx_task *task, cx_error *err);
    void (*destroy)(cx_task *task);
    /* Forward and backward on training batch number `step` (0, 1, ...): which
     * examples, masks and noise depend on (spec.seed, step) alone. Writes the
     * gradient to grads[param_count], updates untrained state in block, returns the
     * mean training loss of that batch (before the step; may be non-finite). */
    double (*step)(cx_task *task, float *block, float *grads, uint32_t step);
    /* The beginning of `step` alone, for measurements: puts the batch into the network. NULL:
     * there is no such part, or it is not told apart. */
    void (*assemble)(cx_task *task, uint32_t step);
    /* Mean loss of the first `examples` examples of a split (a fixed order per task; at
     * most what there is; 0: all of the split), and into metric[] what the family's
     * `metric` names; the others hold NAN already. metric is not NULL. `block` is not
     * changed. */
    double (*evaluate)(cx_task *task, float *block, cx_split split, int examples,
                       double metric[CX_TASK_METRICS]);
    /* Loss below which nothing can go (noisy quadratics: at the optimum), subtracted
     * by the reward. 0 where unknown. */
    double (*optimum)(const cx_task *task);
    /* Rough cost of one training step in floating-point operations, from the spec alone:
     * forward, backward, and an Adam-like update. Every operator counts 0.1 MFLOP besides
     * (its call, its memory), so that tiny networks do not pass for free. */
    double (*flops_per_step)(const cx_task_spec *spec, const cx_config *config);
    /* Inner steps of one outer step, from the spec alone (data sets are taken to have
     * their full size). NULL: the parameter inner_per_outer. */
    int (*inner_per_outer)(const cx_task_spec *spec, const cx_config *config);
} cx_task_family;

/* What all families share; families extend it (see tasks/family.h). A task is used by
 * one thread at a time. cx_task_step and cx_task_evaluate allocate nothing. */
struct cx_task {
    const cx_task_family *family;
    cx_task_spec spec;
    int outer_steps;                 /* K */
    int inner_steps;                 /* inner steps of the whole run, a multiple of K */
    cx_graph *graph;                 /* training graph; its tensors define the flat block */
    size_t param_count, state_count; /* numbers: trainable part; whole block */
    void *own;                       /* the family's */
};

/* The table of families, in the order of cx_task_spec.family. */
int cx_task_family_count(void);
const cx_task_family *cx_task_family_at(int i);
const cx_family_schema *const *cx_task_schemas(int *n);

/* CX_ECONFIG, with the entry, where the configuration names a held-out family and does
 * not allow it. */
int cx_task_refuse_held_out(const cx_config *config, cx_error *err);

/* Draws until the bound episode.max_gflop holds (at most 1,000 attempts, then the
 * cheapest). Depends on (config.seed, instance) alone. */
void cx_task_sample(const cx_config *config, uint64_t instance, cx_task_spec *spec);
/* The same of one entry of the configuration, for suites of tasks. */
void cx_task_sample_entry(const cx_config *config, uint32_t entry, uint64_t instance,
                          cx_task_spec *spec);
/* What episode.max_gflop bounds: 1e-9 * flops_per_step * inner steps of the whole run. */
double cx_task_gflop(const cx_task_spec *spec, const cx_config *config);
int cx_task_inner_steps(const cx_task_spec *spec, const cx_config *config);
/* `store` must outlive the task. CX_ECONFIG for a spec outside its schema. */
int cx_task_create(const cx_task_spec *spec, const cx_config *config, const cx_data_store *store,
                   cx_task **task, cx_error *err);
void cx_task_destroy(cx_task *task);
/* Initial weights and state: block[state_count], from spec.seed. */
void cx_task_init(const cx_task *task, float *block);
double cx_task_step(cx_task *task, float *block, float *grads, uint32_t step);
/* metric [CX_TASK_METRICS] may be NULL; NAN where the family has none. */
double cx_task_evaluate(cx_task *task, float *block, cx_split split, int examples, double *metric);
double cx_task_optimum(const cx_task *task);
/* Identity of everything that a baseline depends on: the spec, and the parts of
 * the configuration that act on inner runs (not policy or PPO). */
uint64_t cx_task_hash(const cx_task_spec *spec, const cx_config *config);
/* Identity of the training alone: cx_task_hash without what only the sweep depends on. */
uint64_t cx_task_training_hash(const cx_task_spec *spec, const cx_config *config);
/* "images fashion_mnist mlp layers=2 width=64 ..." for people; parameters left at a
 * default of 0, 1 or "none" are not named. config may be NULL. */
void cx_task_describe(const cx_task_spec *spec, const cx_config *config, char *out, size_t size);
/* Value of a parameter by name; NAN where the family has none so named. */
double cx_task_value(const cx_task_spec *spec, const char *name);
/* The privileged task vector of the value function (lhopt "privileged"): one-hot
 * of the configuration's entry, then each parameter's position in its distribution.
 * Length cx_task_vector_size(). */
int cx_task_vector_size(void);
void cx_task_vector(const cx_task_spec *spec, const cx_config *config, float *out);

#endif
