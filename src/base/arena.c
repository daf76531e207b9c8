#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t cx_arena_round(size_t bytes) {
    return (bytes + (CX_ALIGN - 1)) / CX_ALIGN * CX_ALIGN;
}

void *cx_calloc(size_t count, size_t size) {
    if (count == 0 || size == 0 || count > (SIZE_MAX - CX_ALIGN) / size)
        return NULL;
    size_t bytes = cx_arena_round(count * size);
    void *p = aligned_alloc(CX_ALIGN, bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

int cx_arena_init(cx_arena *arena, size_t size, cx_error *err) {
    arena->size = cx_arena_round(size ? size : 1);
    arena->used = 0;
    arena->base = cx_calloc(1, arena->size);
    if (!arena->base)
        return cx_fail(err, CX_ENOMEM, "no memory for an arena of %zu bytes", size);
    return CX_OK;
}

void *cx_arena_take(cx_arena *arena, size_t bytes) {
    size_t need = cx_arena_round(bytes);
    if (need < bytes || need > arena->size - arena->used)
        return NULL;
    void *p = arena->base + arena->used;
    arena->used += need;
    return p;
}

void cx_arena_free(cx_arena *arena) {
    free(arena->base);
    arena->base = NULL;
    arena->size = arena->used = 0;
}
