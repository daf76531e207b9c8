#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* From here on memory is asked for in pages of this size, where the system has such: a matrix's
 * rows are pages apart otherwise, and each new page costs a fault. */
static const size_t large_page = (size_t)2 << 20;

size_t cx_arena_round(size_t bytes) {
    return (bytes + (CX_ALIGN - 1)) / CX_ALIGN * CX_ALIGN;
}

void *cx_calloc(size_t count, size_t size) {
    if (count == 0 || size == 0 || count > (SIZE_MAX - CX_ALIGN) / size)
        return NULL;
    size_t bytes = cx_arena_round(count * size);
    bool large = bytes >= large_page;
    void *p = NULL;
    if (posix_memalign(&p, large ? large_page : CX_ALIGN, bytes))
        return NULL;
    if (large)
        (void)madvise(p, bytes, MADV_HUGEPAGE); /* refused: small pages do, too */
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
