#include "data/interner.h"

#include "base/hash.h"
#include <stdlib.h>
#include <string.h>

static const size_t first_bytes = 4096;
enum { FIRST_STRINGS = 256, FIRST_BITS = 10, BITS_MAX = 31 };

void cx_interner_free(cx_interner *in) {
    free(in->bytes);
    free(in->start);
    free(in->slot);
    memset(in, 0, sizeof *in);
}

const char *cx_interner_text(const cx_interner *in, uint32_t number) {
    return in->bytes + in->start[number];
}

static size_t size_of(const cx_interner *in, uint32_t number) {
    size_t end = number + 1 < in->n ? in->start[number + 1] : in->used;
    return end - in->start[number] - 1;
}

static uint64_t place(const cx_interner *in, const char *text, size_t size) {
    return cx_hash(text, size, 0) >> (64 - in->bits);
}

/* Twice the slots, at least: never more than half of them are taken. */
static int more_slots(cx_interner *in, cx_error *err) {
    int bits = in->bits ? in->bits + 1 : FIRST_BITS;
    uint32_t *slot = bits <= BITS_MAX ? calloc((size_t)1 << bits, sizeof *slot) : NULL;
    if (!slot)
        return cx_fail(err, CX_ENOMEM, "no memory for %u different strings", (unsigned)in->n);
    free(in->slot);
    in->slot = slot;
    in->bits = bits;
    uint64_t mask = ((uint64_t)1 << bits) - 1;
    for (uint32_t i = 0; i < in->n; i++) {
        uint64_t at = place(in, cx_interner_text(in, i), size_of(in, i));
        while (slot[at])
            at = (at + 1) & mask;
        slot[at] = i + 1;
    }
    return CX_OK;
}

static int more_room(cx_interner *in, size_t size, cx_error *err) {
    if (in->n == in->n_room) {
        uint32_t room = in->n_room ? 2 * in->n_room : FIRST_STRINGS;
        size_t *start = realloc(in->start, room * sizeof *start);
        if (!start)
            return cx_fail(err, CX_ENOMEM, "no memory for %u different strings", (unsigned)room);
        in->start = start;
        in->n_room = room;
    }
    if (size >= in->room - in->used) {
        size_t room = 2 * in->room + size + first_bytes;
        char *bytes = realloc(in->bytes, room);
        if (!bytes)
            return cx_fail(err, CX_ENOMEM, "no memory for %zu bytes of strings", room);
        in->bytes = bytes;
        in->room = room;
    }
    return CX_OK;
}

int cx_interner_add(cx_interner *in, const char *text, size_t size, uint32_t *number,
                    cx_error *err) {
    int rc = CX_OK;
    if (!in->slot || in->n >= (uint32_t)1 << (in->bits - 1))
        rc = more_slots(in, err);
    if (rc)
        return rc;
    uint64_t mask = ((uint64_t)1 << in->bits) - 1, at = place(in, text, size);
    for (; in->slot[at]; at = (at + 1) & mask) {
        uint32_t i = in->slot[at] - 1;
        if (size_of(in, i) == size && memcmp(cx_interner_text(in, i), text, size) == 0) {
            *number = i;
            return CX_OK;
        }
    }
    rc = more_room(in, size, err);
    if (rc)
        return rc;
    memcpy(in->bytes + in->used, text, size);
    in->bytes[in->used + size] = 0;
    in->start[in->n] = in->used;
    in->used += size + 1;
    in->slot[at] = in->n + 1;
    *number = in->n++;
    return CX_OK;
}
