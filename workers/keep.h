/* An inner training on disk: its state, from which it goes on as if it had never stopped,
 * and the weights that it ends with. */
#ifndef CX_WORKERS_KEEP_H
#define CX_WORKERS_KEEP_H

#include "workers/inner_run.h"

/* What else a loop needs to go on: its own numbers, as bytes. */
typedef struct {
    void *data;
    size_t size;
} cx_keep_extra;

/* Parameters, their average, the optimizer's state, the number of steps and `extra`.
 * `identity`: see cx_state_file_write. */
int cx_keep_write(const char *path, const char *identity, const cx_inner_run *run,
                  cx_keep_extra extra, cx_error *err);
/* Into run and extra where there is such a file (*found), which must be of this identity;
 * on failure they may be half filled. */
int cx_keep_read(const char *path, const char *identity, cx_inner_run *run, cx_keep_extra extra,
                 bool *found, cx_error *err);
/* The averaged parameters and untrained state as safetensors, under the tensors' names. */
int cx_keep_save_weights(const char *path, const cx_inner_run *run, cx_error *err);

#endif
