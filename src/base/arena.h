/* One block of memory, handed out from the front. Used where many arrays of
 * one life span are planned once and then used without further allocation. */
#ifndef CX_BASE_ARENA_H
#define CX_BASE_ARENA_H

#include "base/error.h"
#include <stddef.h>

#define CX_ALIGN 64 /* bytes: one cache line, one AVX-512 register */

typedef struct {
    unsigned char *base;
    size_t size; /* bytes */
    size_t used; /* bytes */
} cx_arena;

/* Allocates `size` zeroed bytes. */
int cx_arena_init(cx_arena *arena, size_t size, cx_error *err);
/* The next `bytes` bytes, aligned to CX_ALIGN; NULL when the arena is full. */
void *cx_arena_take(cx_arena *arena, size_t bytes);
/* `bytes` rounded up to what cx_arena_take uses, for planning. */
size_t cx_arena_round(size_t bytes);
void cx_arena_free(cx_arena *arena);

/* Zeroed memory aligned to CX_ALIGN, of count * size bytes, overflow checked;
 * NULL on failure or when the product is 0. Released with free(). */
void *cx_calloc(size_t count, size_t size);

#endif
