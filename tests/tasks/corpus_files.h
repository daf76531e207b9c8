/* A small corpus on disk, and how to look into a language task. */
#ifndef CX_TESTS_TASKS_CORPUS_FILES_H
#define CX_TESTS_TASKS_CORPUS_FILES_H

#include "base/file.h"
#include "tests/tasks/make.h"

static inline void put_text(const char *folder, const char *name, const void *text, size_t size) {
    char path[512];
    cx_error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(cx_file_replace(path, text, size, &err));
}

/* Bytes low, low + 1, ...: each byte is its own position. */
static inline void put_row(const char *folder, const char *name, int low, int n) {
    unsigned char text[256];
    for (int i = 0; i < n; i++)
        text[i] = (unsigned char)(low + i);
    put_text(folder, name, text, (size_t)n);
}

static inline const cx_param *tensor_of(const live *l, const char *name) {
    for (int i = 0; i < cx_graph_param_tensors(l->task->graph); i++)
        if (strcmp(cx_graph_param_info(l->task->graph, i)->name, name) == 0)
            return cx_graph_param_info(l->task->graph, i);
    fail_msg("no tensor %s", name);
    return NULL;
}

static inline int largest_row(const float *x, const cx_param *p) {
    int best = 0;
    double most = -1;
    for (int r = 0; r < p->shape.dim[0]; r++) {
        double sum = 0;
        for (int i = 0; i < p->shape.dim[1]; i++)
            sum += fabs(x[p->offset + (size_t)(r * p->shape.dim[1] + i)]);
        if (sum > most) {
            most = sum;
            best = r;
        }
    }
    return best;
}

/* The one token that a step on one window of one token read, and the one it was to
 * predict: the rows of the embedding and of the head with the largest gradient. */
static inline int spy(live *l, uint32_t step, int *target) {
    (void)cx_task_step(l->task, l->block, l->grads, step);
    *target = largest_row(l->grads, tensor_of(l, "head.weight"));
    return largest_row(l->grads, tensor_of(l, "wte.weight"));
}

/* -log p(target | token at this place of its window) of a network without blocks. */
static inline double loss_by_hand(const live *l, int token, int place, int target) {
    const cx_param *wte = tensor_of(l, "wte.weight"), *wpe = tensor_of(l, "wpe.weight");
    const cx_param *head = tensor_of(l, "head.weight");
    int d = wte->shape.dim[1], v = wte->shape.dim[0];
    double x[64], mean = 0, square = 0, z[256], sum = 0;
    assert_true(d <= 64 && v <= 256);
    for (int i = 0; i < d; i++) {
        x[i] = (double)l->block[wte->offset + (size_t)(token * d + i)] +
               l->block[wpe->offset + (size_t)(place * d + i)];
        mean += x[i] / d;
    }
    for (int i = 0; i < d; i++)
        square += (x[i] - mean) * (x[i] - mean) / d;
    for (int k = 0; k < v; k++) {
        z[k] = 0;
        for (int i = 0; i < d; i++)
            z[k] +=
                (x[i] - mean) / sqrt(square + 1e-5) * l->block[head->offset + (size_t)(k * d + i)];
        sum += exp(z[k]);
    }
    return log(sum) - z[target];
}

#endif
