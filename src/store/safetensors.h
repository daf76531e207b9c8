/* Weights as safetensors files, written from where they lie, without a copy. */
#ifndef CX_STORE_SAFETENSORS_H
#define CX_STORE_SAFETENSORS_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

enum { CX_SAFETENSORS_RANK_MAX = 4, CX_SAFETENSORS_HEADER_MAX = 16 << 20 };

typedef struct {
    char name[64];
    int rank;
    int64_t dim[CX_SAFETENSORS_RANK_MAX];
    const float *data;
    size_t size; /* numbers */
} cx_tensor;
/* A row of the metadata. */
typedef struct {
    const char *name, *text;
} cx_tensor_note;

/* The tensors in this order, without gaps; a hash of the data ("data_xxh3") is added to the
 * metadata. Atomically. CX_ESTATE: a number that is not finite; CX_EFORMAT: a text that is
 * not UTF-8; CX_EIO. */
int cx_safetensors_write(const char *path, const cx_tensor *tensors, int n_tensors,
                         const cx_tensor_note *notes, int n_notes, cx_error *err);

#endif
