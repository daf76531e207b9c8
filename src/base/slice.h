/* A piece of memory that is read: what is written or hashed in several pieces, as if they
 * lay one after another. */
#ifndef CX_BASE_SLICE_H
#define CX_BASE_SLICE_H

#include <stddef.h>

typedef struct {
    const void *data;
    size_t size; /* bytes */
} cx_slice;

#endif
