/* Private to the bench command: the fixed tasks (bench_tasks.c), what is timed of them
 * (bench.c), and the parts measured alone (bench_parts.c, bench_learner.c). */
#ifndef CX_CLI_BENCH_H
#define CX_CLI_BENCH_H

#include "config/config.h"
#include "nn/graph.h"
#include "optim/optimizer.h"
#include "report/table.h"
#include "tasks/task.h"
#include <stdbool.h>

/* A block holds exactly one feature step, as an outer step of four inner steps does. */
enum { CX_BENCH_BLOCK = 4, CX_BENCH_BATCHES = 8, CX_BENCH_SEED = 1 };

typedef struct {
    long long steps; /* timed steps; 0: as many as give a steady median */
    bool json;
    const char *config; /* of the episodes; NULL: configs/desk.yaml */
} cx_bench_options;

/* An array of the network that each step fills, with whole numbers of low .. high (class
 * numbers, rows of an embedding, targets, lengths); a float one with a `high` of 0 with
 * numbers in [0, 1). */
typedef struct {
    cx_ref ref;
    bool integer; /* of the graph: int32, not float */
    int32_t low, high;
    size_t size;   /* numbers of a batch */
    void *batches; /* [CX_BENCH_BATCHES][size], of 4 bytes each */
} cx_bench_input;
enum { CX_BENCH_INPUTS = 4 };

/* A task with its batches, made beforehand. It holds no parameters. */
typedef struct {
    const char *name;
    cx_graph *graph; /* of the task, where that is not NULL (then not owned) */
    cx_ref loss;
    cx_bench_input input[CX_BENCH_INPUTS];
    int n_inputs;
    cx_config *config; /* of `task` */
    cx_task *task;     /* whose step computes loss and gradient in one pass; else NULL */
    cx_optim_tensor *tensors;
    int n_tensors;
    size_t param_count, state_count; /* numbers, padded */
    double params;                   /* numbers, without padding */
    double flops;                    /* of matrix products in one step, see interface */
    double loss_value;               /* of the newest step */
} cx_bench_task;

/* Name of task i of the table; NULL: past the end. */
const char *cx_bench_task_name(int i);
int cx_bench_task_create(int i, cx_bench_task *t, cx_error *err);
void cx_bench_task_destroy(cx_bench_task *t); /* also after a create that failed */
void cx_bench_task_init(const cx_bench_task *t, float *block);
/* Batch `step` is put into the network; then it goes through it. A task with a step of
 * its own does all at the second call, and has the gradient, too, afterwards. */
void cx_bench_task_data(cx_bench_task *t, float *block, float *grads, uint32_t step);
void cx_bench_task_forward(cx_bench_task *t, float *block, float *grads, uint32_t step);
void cx_bench_task_backward(cx_bench_task *t);

/* Parts: each adds its rows to a table of its own and prints it. */
int cx_bench_update(const cx_bench_options *options, cx_error *err);
int cx_bench_policy(const cx_bench_options *options, cx_error *err);
int cx_bench_learner(const cx_bench_options *options, cx_error *err);
int cx_bench_episodes(const cx_bench_options *options, cx_error *err);

/* --- helpers --- */
int cx_bench_config(const char *yaml, cx_config **out, cx_error *err); /* free() */
/* An optimizer of a rule by name, with an lr small enough for any task. */
int cx_bench_optimizer(const char *rule, int feature_interval, const cx_optim_tensor *tensors,
                       int n_tensors, size_t count, cx_optimizer **out, cx_error *err);
double cx_bench_median(const double *x, int n); /* NAN: empty, or no memory */
double cx_bench_least(const double *x, int n);
/* Prints the table (text, or a JSON object a line) and destroys it. */
int cx_bench_print(cx_table *t, bool json, cx_error *err);
/* Blocks to time: of `steps` where given, else for about `seconds` of blocks of
 * block_seconds, at least `least`. */
int cx_bench_blocks(const cx_bench_options *options, double block_seconds, double seconds,
                    int least);

/* The preset desk on nqm with a policy of these sizes; more: further lines of YAML. */
int cx_bench_net_config(int hidden, int lstm, int outer_steps, const char *more, cx_config **config,
                        cx_error *err);

#endif
