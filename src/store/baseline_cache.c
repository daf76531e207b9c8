/* The baseline cache. Reading goes record by record; where one does not fit (bits that
 * changed, a torn write of a killed process) the reader looks for the next place at
 * which a whole record with the right hash stands. */
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    uint32_t magic, size; /* size: bytes of the baseline that follows */
    uint64_t hash;        /* of these bytes, seeded with the size */
} record_header;

enum { RECORD_MAX = 1 << 20 }; /* bytes; ours is 2 KB: no version of it will be larger */
static const uint32_t record_magic = 0x42584343; /* "CCXB" */
static const double lock_seconds = 10; /* additions take microseconds: then somebody hangs */

struct cx_baseline_cache {
    int fd;
    bool writable;
    uint64_t read_to; /* bytes of the file that are taken in */
    size_t count, skipped, room;
    cx_baseline **entry; /* each allocated alone: pointers stay valid while the table grows */
    size_t *slot;        /* open addressing: index of an entry + 1; 0: free */
    size_t slots;        /* a power of two, at least 2 * room */
    char path[PATH_MAX];
};

/* --- the table --- */

static size_t *find_slot(const cx_baseline_cache *c, uint64_t task_hash) {
    size_t i = (size_t)task_hash & (c->slots - 1);
    while (c->slot[i] && c->entry[c->slot[i] - 1]->task_hash != task_hash)
        i = (i + 1) & (c->slots - 1);
    return &c->slot[i];
}

static int grow(cx_baseline_cache *c, cx_error *err) {
    size_t room = c->room ? 2 * c->room : 64;
    cx_baseline **entry = realloc(c->entry, room * sizeof *entry);
    if (entry)
        c->entry = entry;
    size_t *slot = calloc(4 * room, sizeof *slot);
    if (!entry || !slot) {
        free(slot);
        return cx_fail(err, CX_ENOMEM, "%s: no memory for %zu baselines", c->path, room);
    }
    free(c->slot);
    c->slot = slot;
    c->slots = 4 * room;
    c->room = room;
    for (size_t i = 0; i < c->count; i++)
        *find_slot(c, c->entry[i]->task_hash) = i + 1;
    return CX_OK;
}

/* The first of two baselines of one task stays: they are equal, and pointers to it
 * may be held. */
static int take_in(cx_baseline_cache *c, const cx_baseline *b, cx_error *err) {
    if (c->count == c->room) {
        int rc = grow(c, err);
        if (rc)
            return rc;
    }
    size_t *slot = find_slot(c, b->task_hash);
    if (*slot)
        return CX_OK;
    cx_baseline *own = malloc(sizeof *own);
    if (!own)
        return cx_fail(err, CX_ENOMEM, "%s: no memory for a baseline", c->path);
    *own = *b;
    c->entry[c->count] = own;
    *slot = ++c->count;
    return CX_OK;
}

const cx_baseline *cx_baseline_cache_find(const cx_baseline_cache *c, uint64_t task_hash) {
    size_t at = c->slots ? *find_slot(c, task_hash) : 0;
    return at ? c->entry[at - 1] : NULL;
}

size_t cx_baseline_cache_count(const cx_baseline_cache *c) {
    return c->count;
}

size_t cx_baseline_cache_skipped(const cx_baseline_cache *c) {
    return c->skipped;
}

/* --- the file --- */

static bool usable(const cx_baseline *b) {
    return b->n_runs >= 0 && b->n_runs <= CX_BASELINE_RUNS_MAX && b->n_points >= 0 &&
           b->n_points <= CX_BASELINE_POINTS_MAX;
}

/* Bytes of the whole record at p (n bytes are there), or 0. */
static size_t record_at(const unsigned char *p, size_t n) {
    record_header h;
    if (n < sizeof h)
        return 0;
    memcpy(&h, p, sizeof h);
    if (h.magic != record_magic || h.size > RECORD_MAX || h.size > n - sizeof h ||
        h.hash != cx_hash(p + sizeof h, h.size, h.size))
        return 0;
    return sizeof h + h.size;
}

/* What is at the end of the file: the beginning of one of our records, cut off. Other
 * bytes are not ours to remove. */
static bool torn(const unsigned char *p, size_t n) {
    record_header h;
    if (n < sizeof h)
        return memcmp(p, &record_magic, n < sizeof record_magic ? n : sizeof record_magic) == 0;
    memcpy(&h, p, sizeof h);
    return h.magic == record_magic && h.size <= RECORD_MAX && h.size > n - sizeof h;
}

/* Takes in the records of data[n], the file's bytes from read_to on. *end is what
 * the file is to be cut to, from there: n, or where a torn record starts. */
static int scan(cx_baseline_cache *c, const unsigned char *data, size_t n, size_t *end,
                cx_error *err) {
    size_t at = 0;
    while (at < n) {
        size_t size = record_at(data + at, n - at);
        if (!size) { /* look for the next whole one */
            size_t next = at + 1;
            while (next < n && !record_at(data + next, n - next))
                next++;
            if (next == n && torn(data + at, n - at))
                break;
            c->skipped += next - at;
            at = next;
            continue;
        }
        if (size == sizeof(record_header) + sizeof(cx_baseline)) {
            cx_baseline b;
            memcpy(&b, data + at + sizeof(record_header), sizeof b);
            int rc = usable(&b) ? take_in(c, &b, err) : CX_OK;
            if (rc)
                return rc;
        }
        at += size;
    }
    *end = at;
    return CX_OK;
}

/* Takes in what was appended since. With `cut`, a torn end is removed (the lock is
 * held, so nobody is writing it). */
static int refresh(cx_baseline_cache *c, bool cut, cx_error *err) {
    struct stat st;
    if (fstat(c->fd, &st) != 0)
        return cx_fail(err, CX_EIO, "%s: %s", c->path, strerror(errno));
    if ((uint64_t)st.st_size <= c->read_to)
        return CX_OK;
    size_t n = (size_t)((uint64_t)st.st_size - c->read_to), got = 0, end = 0;
    unsigned char *data = malloc(n);
    if (!data)
        return cx_fail(err, CX_ENOMEM, "%s: no memory for its %zu bytes", c->path, n);
    while (got < n) {
        ssize_t k = pread(c->fd, data + got, n - got, (off_t)(c->read_to + got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0) {
            free(data);
            return cx_fail(err, CX_EIO, "%s: cannot read: %s", c->path, strerror(errno));
        }
        if (k == 0)
            break;
        got += (size_t)k;
    }
    int rc = scan(c, data, got, &end, err);
    free(data);
    if (rc)
        return rc;
    c->read_to += end;
    if (cut && end < got && ftruncate(c->fd, (off_t)c->read_to) != 0)
        return cx_fail(err, CX_EIO, "%s: cannot cut off a torn record: %s", c->path,
                       strerror(errno));
    return CX_OK;
}

static int set_lock(cx_baseline_cache *c, short type, cx_error *err) {
    struct flock whole = {.l_type = type, .l_whence = SEEK_SET};
    double until = cx_clock_now() + lock_seconds;
    while (fcntl(c->fd, F_OFD_SETLK, &whole) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return cx_fail(err, CX_EIO, "%s: the file system gives no lock: %s", c->path,
                           strerror(errno));
        if (cx_clock_now() > until)
            return cx_fail(err, CX_EIO, "%s: another process holds its lock for %.0f s", c->path,
                           lock_seconds);
        cx_clock_sleep(1e-3);
    }
    return CX_OK;
}

int cx_baseline_cache_open(const char *folder, cx_baseline_cache **out, cx_error *err) {
    *out = NULL;
    cx_baseline_cache *c = calloc(1, sizeof *c);
    if (!c)
        return cx_fail(err, CX_ENOMEM, "%s: out of memory", folder);
    c->fd = -1;
    int rc = cx_path(c->path, sizeof c->path, err, "%s/baselines.bin", folder);
    if (!rc && !cx_file_exists(folder))
        rc = cx_file_make_dirs(folder, err);
    if (!rc) {
        c->writable = true;
        c->fd = open(c->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
        if (c->fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM)) {
            c->writable = false;
            c->fd = open(c->path, O_RDONLY | O_CLOEXEC);
        }
        if (c->fd < 0)
            rc = cx_fail(err, CX_EIO, "%s: cannot open: %s", c->path, strerror(errno));
    }
    if (!rc && c->writable)
        rc = set_lock(c, F_WRLCK, err);
    if (!rc)
        rc = refresh(c, c->writable, err);
    if (!rc && c->writable)
        rc = set_lock(c, F_UNLCK, err);
    if (rc)
        cx_baseline_cache_close(c);
    else
        *out = c;
    return rc;
}

static int append(cx_baseline_cache *c, const cx_baseline *b, cx_error *err) {
    struct {
        record_header header;
        cx_baseline baseline;
    } record;
    memset(&record, 0, sizeof record);
    record.baseline = *b;
    record.header =
        (record_header){record_magic, sizeof *b, cx_hash(&record.baseline, sizeof *b, sizeof *b)};
    ssize_t n;
    do
        n = write(c->fd, &record, sizeof record);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof record) {
        int cause = errno;
        if (n > 0)
            (void)!ftruncate(c->fd, (off_t)c->read_to);
        return cx_fail(err, CX_EIO, "%s: cannot append: %s", c->path,
                       n < 0 ? strerror(cause) : "the disk is full");
    }
    c->read_to += sizeof record;
    return CX_OK;
}

int cx_baseline_cache_add(cx_baseline_cache *c, const cx_baseline *b, cx_error *err) {
    if (!usable(b))
        return cx_fail(err, CX_ESTATE, "%s: a baseline of %d runs and %d points; at most %d and %d",
                       c->path, b->n_runs, b->n_points, CX_BASELINE_RUNS_MAX,
                       CX_BASELINE_POINTS_MAX);
    bool known = cx_baseline_cache_find(c, b->task_hash) != NULL;
    int rc = take_in(c, b, err);
    if (rc || known)
        return rc;
    if (!c->writable) /* a shared cache that others own: good for what it holds */
        return CX_OK;
    rc = set_lock(c, F_WRLCK, err);
    if (rc)
        return rc;
    rc = refresh(c, true, err);
    if (!rc)
        rc = append(c, b, err);
    int unlocked = set_lock(c, F_UNLCK, rc ? NULL : err);
    return rc ? rc : unlocked;
}

void cx_baseline_cache_close(cx_baseline_cache *c) {
    if (!c)
        return;
    if (c->fd >= 0)
        (void)close(c->fd);
    for (size_t i = 0; i < c->count; i++)
        free(c->entry[i]);
    free(c->entry);
    free(c->slot);
    free(c);
}
