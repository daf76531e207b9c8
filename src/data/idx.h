/* IDX files (the format of MNIST and its relatives): a big-endian magic number
 * 0x000008RR (08: unsigned bytes; RR: number of dimensions), one big-endian
 * 32-bit size per dimension, then the bytes, row-major. Read whole, plain or
 * gzipped, and trusted in nothing. */
#ifndef CX_DATA_IDX_H
#define CX_DATA_IDX_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define CX_IDX_RANK_MAX 3

typedef struct {
    int rank;
    uint32_t dim[CX_IDX_RANK_MAX];
    size_t size;         /* bytes: the product of dim, at least 1 */
    unsigned char *data; /* owned: cx_idx_free */
} cx_idx;

/* Reads FOLDER/STEM, or FOLDER/STEM.gz where that is not there, which must hold
 * `rank` dimensions (1 .. 3). `path` (may be NULL; path_size bytes) receives the
 * name of the file, for later messages. CX_EDATA with the path and what would be
 * right: missing, cut short, wrong magic, a dimension of 0, more bytes than the
 * header announces, a faulty gzip stream. Nothing larger than the file itself can
 * hold is ever allocated. On failure *idx is empty. */
int cx_idx_read(const char *folder, const char *stem, int rank, cx_idx *idx, char *path,
                size_t path_size, cx_error *err);
void cx_idx_free(cx_idx *idx);

#endif
