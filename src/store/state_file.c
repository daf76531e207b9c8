/* State files: see store.h. */
#include "base/file.h"
#include "base/hash.h"
#include "store/store.h"
#include <inttypes.h>
#include <string.h>

enum { STATE_VERSION = 1 };
static const char state_magic[4] = {'C', 'X', 'S', 'T'};

typedef struct {
    char magic[4];
    uint32_t version;
    uint64_t identity_size; /* of the text that follows, its zero byte included */
    uint64_t size, hash;    /* of all that follows: the text, then the pieces */
} state_header;

int cx_state_file_write(const char *path, const char *identity, const cx_slice *pieces, int n,
                        cx_error *err) {
    cx_slice all[CX_STATE_PIECES_MAX + 2];
    state_header h = {.version = STATE_VERSION, .identity_size = strlen(identity) + 1};
    if (n > CX_STATE_PIECES_MAX)
        return cx_fail(err, CX_ESTATE, "%s: not written: %d pieces; at most %d", path, n,
                       CX_STATE_PIECES_MAX);
    memcpy(h.magic, state_magic, sizeof h.magic);
    all[0] = (cx_slice){&h, sizeof h};
    all[1] = (cx_slice){identity, (size_t)h.identity_size};
    h.size = h.identity_size;
    for (int i = 0; i < n; i++) {
        all[i + 2] = pieces[i];
        h.size += pieces[i].size;
    }
    h.hash = cx_hash_slices(all + 1, n + 1, 0);
    return cx_file_replace_slices(path, all, n + 2, err);
}

/* The first line in which two texts differ; CX_ECONFIG. */
static int tell_difference(const char *path, const char *theirs, const char *ours, cx_error *err) {
    for (;;) {
        size_t a = strcspn(theirs, "\n"), b = strcspn(ours, "\n");
        if (a != b || memcmp(theirs, ours, a) != 0 || !theirs[a] || !ours[b])
            return cx_fail(err, CX_ECONFIG,
                           "%s: is of another run: it has \"%.*s\", this one \"%.*s\"; the same "
                           "options, or another file, are right",
                           path, (int)(a < 400 ? a : 400), theirs, (int)(b < 400 ? b : 400), ours);
        theirs += a + 1;
        ours += b + 1;
    }
}

static int check(const char *path, const char *identity, const cx_mapped *file, size_t pieces,
                 cx_error *err) {
    state_header h = {.version = 0};
    if (file->size >= sizeof h)
        memcpy(&h, file->bytes, sizeof h);
    if (memcmp(h.magic, state_magic, sizeof h.magic) != 0)
        return cx_fail(err, CX_EFORMAT, "%s: not a file of a run's state", path);
    if (h.version != STATE_VERSION)
        return cx_fail(err, CX_EVERSION,
                       "%s: a state of version %" PRIu32 ", this program reads %d", path, h.version,
                       STATE_VERSION);
    const char *text = (const char *)file->bytes + sizeof h;
    if (h.size != file->size - sizeof h || h.identity_size < 1 || h.identity_size > h.size ||
        cx_hash(text, (size_t)h.size, 0) != h.hash || text[h.identity_size - 1] != 0)
        return cx_fail(err, CX_EFORMAT, "%s: cut short or corrupt", path);
    if (strcmp(text, identity) != 0)
        return tell_difference(path, text, identity, err);
    if (h.size - h.identity_size != pieces)
        return cx_fail(err, CX_EFORMAT, "%s: %" PRIu64 " bytes of state; %zu are right", path,
                       h.size - h.identity_size, pieces);
    return CX_OK;
}

int cx_state_file_open(const char *path, const char *identity, const size_t *sizes, int n,
                       cx_state_file *out, cx_error *err) {
    memset(out, 0, sizeof *out);
    if (n > CX_STATE_PIECES_MAX)
        return cx_fail(err, CX_ESTATE, "%s: %d pieces; at most %d", path, n, CX_STATE_PIECES_MAX);
    if (!cx_file_exists(path))
        return CX_OK;
    size_t total = 0;
    for (int i = 0; i < n; i++)
        total += sizes[i];
    int rc = cx_mapped_open(path, &out->file, err);
    if (!rc)
        rc = check(path, identity, &out->file, total, err);
    if (rc) {
        cx_state_file_close(out);
        return rc;
    }
    const unsigned char *at = out->file.bytes + out->file.size - total;
    for (int i = 0; i < n; at += sizes[i++])
        out->piece[i] = at;
    out->found = true;
    return CX_OK;
}

void cx_state_file_close(cx_state_file *file) {
    cx_mapped_close(&file->file);
    memset(file, 0, sizeof *file);
}
