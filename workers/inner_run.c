#include "workers/inner_run.h"

#include "base/arena.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int create_optimizer(cx_inner_run *run, const cx_rule_config *rule, cx_error *err) {
    const cx_graph *g = run->task->graph;
    int n = cx_graph_param_tensors(g);
    cx_optim_tensor *tensors = calloc((size_t)n + 1, sizeof *tensors);
    if (!tensors)
        return cx_fail(err, CX_ENOMEM, "no memory for the list of %d tensors", n);
    for (int i = 0; i < n; i++) {
        const cx_param *p = cx_graph_param_info(g, i);
        tensors[i] = (cx_optim_tensor){
            .offset = p->offset, .size = p->size, .rank = p->shape.rank, .group = 0};
    }
    int rc = cx_optimizer_create(rule, tensors, n, 1, run->task->param_count, &run->optimizer, err);
    free(tensors);
    return rc;
}

int cx_inner_run_create(const cx_config *config, cx_task *task, const cx_rule_config *rule,
                        cx_inner_run **out, cx_error *err) {
    *out = NULL;
    cx_inner_run *run = calloc(1, sizeof *run);
    if (!run)
        return cx_fail(err, CX_ENOMEM, "no memory for an inner run");
    run->config = config;
    run->task = task;
    run->block = cx_calloc(task->state_count, sizeof(float));
    run->grads = cx_calloc(task->param_count, sizeof(float));
    run->average = cx_calloc(task->state_count, sizeof(float));
    if (!run->block || !run->grads || !run->average) {
        cx_inner_run_destroy(run);
        return cx_fail(err, CX_ENOMEM, "no memory for the %zu parameters of an inner run",
                       task->state_count);
    }
    int rc = create_optimizer(run, rule, err);
    if (rc) {
        cx_inner_run_destroy(run);
        return rc;
    }
    cx_inner_run_restart(run);
    *out = run;
    return CX_OK;
}

void cx_inner_run_destroy(cx_inner_run *run) {
    if (!run)
        return;
    cx_optimizer_destroy(run->optimizer);
    free(run->block);
    free(run->grads);
    free(run->average);
    free(run->previous);
    free(run);
}

void cx_inner_run_restart(cx_inner_run *run) {
    cx_task_init(run->task, run->block);
    memcpy(run->average, run->block, run->task->state_count * sizeof(float));
    memset(run->grads, 0, run->task->param_count * sizeof(float));
    cx_optimizer_reset(run->optimizer);
    run->steps_done = 0;
    run->train_loss = NAN;
    run->gradient_norm = NAN;
}

/* Weight of the old average after n steps (lhopt, "reward"): it starts small, so that
 * the random initial weights are soon forgotten. */
static float average_weight(const cx_inner_run *run) {
    double n = run->steps_done;
    return (float)fmin(run->config->episode.parameter_average, (1 + n) / (10 + n));
}

/* Running statistics are not touched by the optimizer: they are averaged here. */
static void average_state(cx_inner_run *run, float weight) {
    for (size_t i = run->task->param_count; i < run->task->state_count; i++)
        run->average[i] = weight * run->average[i] + (1 - weight) * run->block[i];
}

bool cx_inner_run_advance(cx_inner_run *run, int steps) {
    double sum = 0;
    for (int i = 0; i < steps; i++) {
        double loss = cx_task_step(run->task, run->block, run->grads, (uint32_t)run->steps_done);
        if (isfinite(loss)) {
            run->steps_done++;
            float weight = average_weight(run);
            run->gradient_norm = cx_optimizer_step(run->optimizer, run->block, run->grads, NULL,
                                                   run->average, weight);
            if (isfinite(run->gradient_norm))
                average_state(run, weight);
        }
        if (!isfinite(loss) || !isfinite(run->gradient_norm)) {
            run->train_loss = NAN;
            return false;
        }
        sum += loss;
    }
    run->train_loss = steps > 0 ? sum / steps : NAN;
    return true;
}

double cx_inner_run_evaluate(cx_inner_run *run, cx_split split, int examples, bool averaged,
                             double *metric) {
    return cx_task_evaluate(run->task, averaged ? run->average : run->block, split, examples,
                            metric);
}

double cx_inner_run_norm(const cx_inner_run *run) {
    double sum = 0;
    for (size_t i = 0; i < run->task->param_count; i++)
        sum += (double)run->block[i] * run->block[i];
    return sqrt(sum);
}

double cx_inner_run_update_norm(const cx_inner_run *run) {
    double sum = 0;
    if (!run->previous)
        return NAN;
    for (size_t i = 0; i < run->task->param_count; i++) {
        double d = (double)run->block[i] - run->previous[i];
        sum += d * d;
    }
    return sqrt(sum);
}

int cx_inner_run_mark(cx_inner_run *run, cx_error *err) {
    size_t n = run->task->param_count;
    if (!run->previous)
        run->previous = cx_calloc(n, sizeof(float));
    if (!run->previous)
        return cx_fail(err, CX_ENOMEM, "no memory for %zu parameters of the last outer step", n);
    memcpy(run->previous, run->block, n * sizeof(float));
    return CX_OK;
}

int cx_snapshot_create(const cx_inner_run *run, cx_snapshot *s, cx_error *err) {
    memset(s, 0, sizeof *s);
    s->block = cx_calloc(run->task->state_count, sizeof(float));
    s->average = cx_calloc(run->task->state_count, sizeof(float));
    s->optimizer = cx_calloc(1, cx_optimizer_state_bytes(run->optimizer));
    if (!s->block || !s->average || !s->optimizer) {
        cx_snapshot_destroy(s);
        return cx_fail(err, CX_ENOMEM, "no memory for a saved state of an inner run");
    }
    return CX_OK;
}

void cx_snapshot_destroy(cx_snapshot *s) {
    free(s->block);
    free(s->average);
    free(s->optimizer);
    memset(s, 0, sizeof *s);
}

void cx_snapshot_save(cx_snapshot *s, const cx_inner_run *run) {
    size_t bytes = run->task->state_count * sizeof(float);
    memcpy(s->block, run->block, bytes);
    memcpy(s->average, run->average, bytes);
    cx_optimizer_save(run->optimizer, s->optimizer);
    s->steps_done = run->steps_done;
    s->full = true;
}

void cx_snapshot_load(const cx_snapshot *s, cx_inner_run *run, bool with_steps) {
    size_t bytes = run->task->state_count * sizeof(float);
    memcpy(run->block, s->block, bytes);
    memcpy(run->average, s->average, bytes);
    cx_optimizer_load(run->optimizer, s->optimizer);
    if (with_steps)
        run->steps_done = s->steps_done;
}

void cx_snapshot_swap(cx_snapshot *s, cx_inner_run *run) {
    float *block = run->block, *average = run->average;
    cx_optimizer_exchange(run->optimizer, &s->optimizer);
    run->block = s->block;
    run->average = s->average;
    s->block = block;
    s->average = average;
}
