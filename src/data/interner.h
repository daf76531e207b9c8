/* Strings of bytes, numbered 0, 1, .. as they first come. */
#ifndef CX_DATA_INTERNER_H
#define CX_DATA_INTERNER_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *bytes;        /* all strings, each followed by a zero byte */
    size_t used, room;  /* bytes */
    size_t *start;      /* [n]: where each begins */
    uint32_t n, n_room; /* strings */
    uint32_t *slot;     /* [1 << bits]: number + 1; 0: free */
    int bits;
} cx_interner;

/* A zeroed struct is an empty one; free also after a failure. */
void cx_interner_free(cx_interner *in);
/* The string's number, which is in->n before the call where it is new. CX_ENOMEM. */
int cx_interner_add(cx_interner *in, const char *text, size_t size, uint32_t *number,
                    cx_error *err);
const char *cx_interner_text(const cx_interner *in, uint32_t number);

#endif
