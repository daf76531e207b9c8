#include "workers/keep.h"

#include "store/safetensors.h"
#include "store/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS, EXTRA, BLOCK, AVERAGE, OPTIMIZER, PIECES };

static void measure(const cx_inner_run *run, cx_keep_extra extra, size_t size[PIECES]) {
    size[STEPS] = sizeof(int64_t);
    size[EXTRA] = extra.size;
    size[BLOCK] = size[AVERAGE] = run->task->state_count * sizeof(float);
    size[OPTIMIZER] = cx_optimizer_state_bytes(run->optimizer);
}

int cx_keep_write(const char *path, const char *identity, const cx_inner_run *run,
                  cx_keep_extra extra, cx_error *err) {
    const int64_t steps = run->steps_done;
    size_t size[PIECES];
    measure(run, extra, size);
    const cx_slice pieces[PIECES] = {
        [STEPS] = {&steps, size[STEPS]},
        [EXTRA] = {extra.data, size[EXTRA]},
        [BLOCK] = {run->block, size[BLOCK]},
        [AVERAGE] = {run->average, size[AVERAGE]},
        [OPTIMIZER] = {cx_optimizer_state(run->optimizer), size[OPTIMIZER]}};
    return cx_state_file_write(path, identity, pieces, PIECES, err);
}

int cx_keep_read(const char *path, const char *identity, cx_inner_run *run, cx_keep_extra extra,
                 bool *found, cx_error *err) {
    size_t size[PIECES];
    cx_state_file file;
    int64_t steps;
    *found = false;
    measure(run, extra, size);
    int rc = cx_state_file_open(path, identity, size, PIECES, &file, err);
    if (rc || !file.found)
        return rc;
    memcpy(&steps, file.piece[STEPS], size[STEPS]);
    if (steps < 0 || steps > INT32_MAX) {
        cx_state_file_close(&file);
        return cx_fail(err, CX_EFORMAT, "%s: %lld steps done; 0 or more are right", path,
                       (long long)steps);
    }
    memcpy(extra.data, file.piece[EXTRA], size[EXTRA]);
    memcpy(run->block, file.piece[BLOCK], size[BLOCK]);
    memcpy(run->average, file.piece[AVERAGE], size[AVERAGE]);
    cx_optimizer_load(run->optimizer, file.piece[OPTIMIZER]);
    cx_state_file_close(&file);
    run->steps_done = (int)steps;
    *found = true;
    return CX_OK;
}

int cx_keep_save_weights(const char *path, const cx_inner_run *run, cx_error *err) {
    const cx_graph *g = run->task->graph;
    int n = cx_graph_all_tensors(g);
    char task[512], steps[32];
    const cx_tensor_note notes[] = {
        {"format", "coxswain-weights"}, {"task", task}, {"steps", steps}};
    cx_tensor *tensors = calloc((size_t)n + 1, sizeof *tensors);
    if (!tensors)
        return cx_fail(err, CX_ENOMEM, "%s: no memory for a list of %d tensors", path, n);
    cx_task_describe(&run->task->spec, run->config, task, sizeof task);
    (void)snprintf(steps, sizeof steps, "%d", run->steps_done);
    for (int i = 0; i < n; i++) {
        const cx_param *p = cx_graph_param_info(g, i);
        cx_tensor *t = &tensors[i];
        (void)snprintf(t->name, sizeof t->name, "%s", p->name);
        t->rank = p->shape.rank;
        for (int d = 0; d < t->rank; d++)
            t->dim[d] = p->shape.dim[d];
        t->data = run->average + p->offset;
        t->size = p->size;
    }
    int rc = cx_safetensors_write(path, tensors, n, notes, 3, err);
    free(tensors);
    return rc;
}
