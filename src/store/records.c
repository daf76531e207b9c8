/* Files of keyed records. Reading goes record by record; where one does not fit (bits
 * that changed, a torn write of a killed process) the reader looks for the next place at
 * which a whole record with the right hash stands. */
#include "store/records.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    uint32_t magic, size; /* size: bytes that follow */
    uint64_t hash;        /* of these bytes, seeded with the size */
} record_header;

static const double lock_seconds = 10; /* additions take microseconds: then somebody hangs */

typedef struct {
    size_t size;
    uint64_t data[]; /* the key first; aligned for doubles */
} entry;

struct cx_records {
    int fd;
    uint32_t magic;
    bool (*usable)(const void *data, size_t size);
    bool writable;
    uint64_t read_to; /* bytes of the file that are taken in */
    size_t count, skipped, room;
    entry **entry; /* each allocated alone: pointers stay valid while the table grows */
    size_t *slot;  /* open addressing: index of an entry + 1; 0: free */
    size_t slots;  /* a power of two, at least 2 * room */
    char path[PATH_MAX];
};

/* --- the table --- */

static size_t *find_slot(const cx_records *c, uint64_t key) {
    size_t i = (size_t)key & (c->slots - 1);
    while (c->slot[i] && c->entry[c->slot[i] - 1]->data[0] != key)
        i = (i + 1) & (c->slots - 1);
    return &c->slot[i];
}

static int grow(cx_records *c, cx_error *err) {
    size_t room = c->room ? 2 * c->room : 64;
    entry **more = realloc(c->entry, room * sizeof *more);
    if (more)
        c->entry = more;
    size_t *slot = calloc(4 * room, sizeof *slot);
    if (!more || !slot) {
        free(slot);
        return cx_fail(err, CX_ENOMEM, "%s: no memory for %zu records", c->path, room);
    }
    free(c->slot);
    c->slot = slot;
    c->slots = 4 * room;
    c->room = room;
    for (size_t i = 0; i < c->count; i++)
        *find_slot(c, c->entry[i]->data[0]) = i + 1;
    return CX_OK;
}

/* The first of two records of one key stays: they are equal, and pointers to it may be
 * held. */
static int take_in(cx_records *c, const void *data, size_t size, cx_error *err) {
    uint64_t key;
    memcpy(&key, data, sizeof key);
    if (c->count == c->room) {
        int rc = grow(c, err);
        if (rc)
            return rc;
    }
    size_t *slot = find_slot(c, key);
    if (*slot)
        return CX_OK;
    entry *own = malloc(sizeof *own + (size + 7) / 8 * 8);
    if (!own)
        return cx_fail(err, CX_ENOMEM, "%s: no memory for a record of %zu bytes", c->path, size);
    own->size = size;
    memcpy(own->data, data, size);
    c->entry[c->count] = own;
    *slot = ++c->count;
    return CX_OK;
}

const void *cx_records_find(const cx_records *c, uint64_t key, size_t *size) {
    size_t at = c->slots ? *find_slot(c, key) : 0;
    if (size)
        *size = at ? c->entry[at - 1]->size : 0;
    return at ? c->entry[at - 1]->data : NULL;
}

size_t cx_records_count(const cx_records *c) {
    return c->count;
}

size_t cx_records_skipped(const cx_records *c) {
    return c->skipped;
}

/* --- the file --- */

/* Bytes of the whole record at p (n bytes are there), or 0. */
static size_t record_at(const cx_records *c, const unsigned char *p, size_t n) {
    record_header h;
    if (n < sizeof h)
        return 0;
    memcpy(&h, p, sizeof h);
    if (h.magic != c->magic || h.size > CX_RECORD_MAX || h.size > n - sizeof h ||
        h.size < sizeof(uint64_t) || h.hash != cx_hash(p + sizeof h, h.size, h.size))
        return 0;
    return sizeof h + h.size;
}

/* What is at the end of the file: the beginning of one of our records, cut off. Other
 * bytes are not ours to remove. */
static bool torn(const cx_records *c, const unsigned char *p, size_t n) {
    record_header h;
    if (n < sizeof h)
        return memcmp(p, &c->magic, n < sizeof c->magic ? n : sizeof c->magic) == 0;
    memcpy(&h, p, sizeof h);
    return h.magic == c->magic && h.size <= CX_RECORD_MAX && h.size > n - sizeof h;
}

/* Takes in the records of data[n], the file's bytes from read_to on. *end is what
 * the file is to be cut to, from there: n, or where a torn record starts. */
static int scan(cx_records *c, const unsigned char *data, size_t n, size_t *end, cx_error *err) {
    size_t at = 0;
    while (at < n) {
        size_t size = record_at(c, data + at, n - at);
        if (!size) { /* look for the next whole one */
            size_t next = at + 1;
            while (next < n && !record_at(c, data + next, n - next))
                next++;
            if (next == n && torn(c, data + at, n - at))
                break;
            c->skipped += next - at;
            at = next;
            continue;
        }
        const unsigned char *bytes = data + at + sizeof(record_header);
        if (c->usable(bytes, size - sizeof(record_header))) {
            int rc = take_in(c, bytes, size - sizeof(record_header), err);
            if (rc)
                return rc;
        }
        at += size;
    }
    *end = at;
    return CX_OK;
}

static int read_from(cx_records *c, unsigned char *data, size_t n, size_t *got, cx_error *err) {
    *got = 0;
    while (*got < n) {
        ssize_t k = pread(c->fd, data + *got, n - *got, (off_t)(c->read_to + *got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return cx_fail(err, CX_EIO, "%s: cannot read: %s", c->path, strerror(errno));
        if (k == 0)
            break;
        *got += (size_t)k;
    }
    return CX_OK;
}

/* Takes in what was appended since. With `cut`, a torn end is removed (the lock is
 * held, so nobody is writing it). */
static int refresh(cx_records *c, bool cut, cx_error *err) {
    struct stat st;
    if (fstat(c->fd, &st) != 0)
        return cx_fail(err, CX_EIO, "%s: %s", c->path, strerror(errno));
    if ((uint64_t)st.st_size <= c->read_to)
        return CX_OK;
    size_t n = (size_t)((uint64_t)st.st_size - c->read_to), got = 0, end = 0;
    unsigned char *data = malloc(n);
    if (!data)
        return cx_fail(err, CX_ENOMEM, "%s: no memory for its %zu bytes", c->path, n);
    int rc = read_from(c, data, n, &got, err);
    if (!rc)
        rc = scan(c, data, got, &end, err);
    free(data);
    if (rc)
        return rc;
    c->read_to += end;
    if (cut && end < got && ftruncate(c->fd, (off_t)c->read_to) != 0)
        return cx_fail(err, CX_EIO, "%s: cannot cut off a torn record: %s", c->path,
                       strerror(errno));
    return CX_OK;
}

static int set_lock(cx_records *c, short type, cx_error *err) {
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

static int make_folder(const char *path, cx_error *err) {
    char folder[PATH_MAX];
    int rc = cx_path(folder, sizeof folder, err, "%s", path);
    char *slash = rc ? NULL : strrchr(folder, '/');
    if (!slash || slash == folder)
        return rc;
    *slash = 0;
    return cx_file_exists(folder) ? CX_OK : cx_file_make_dirs(folder, err);
}

static int open_file(cx_records *c, cx_error *err) {
    c->writable = true;
    c->fd = open(c->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (c->fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM)) {
        c->writable = false;
        c->fd = open(c->path, O_RDONLY | O_CLOEXEC);
    }
    return c->fd < 0 ? cx_fail(err, CX_EIO, "%s: cannot open: %s", c->path, strerror(errno))
                     : CX_OK;
}

int cx_records_open(const char *path, uint32_t magic, bool (*usable)(const void *data, size_t size),
                    cx_records **out, cx_error *err) {
    *out = NULL;
    cx_records *c = calloc(1, sizeof *c);
    if (!c)
        return cx_fail(err, CX_ENOMEM, "%s: out of memory", path);
    c->fd = -1;
    c->magic = magic;
    c->usable = usable;
    int rc = cx_path(c->path, sizeof c->path, err, "%s", path);
    if (!rc)
        rc = make_folder(path, err);
    if (!rc)
        rc = open_file(c, err);
    if (!rc && c->writable)
        rc = set_lock(c, F_WRLCK, err);
    if (!rc)
        rc = refresh(c, c->writable, err);
    if (!rc && c->writable)
        rc = set_lock(c, F_UNLCK, err);
    if (rc)
        cx_records_close(c);
    else
        *out = c;
    return rc;
}

static int append(cx_records *c, const void *data, size_t size, cx_error *err) {
    size_t total = sizeof(record_header) + size;
    record_header header = {c->magic, (uint32_t)size, cx_hash(data, size, size)};
    unsigned char *record = malloc(total);
    if (!record)
        return cx_fail(err, CX_ENOMEM, "%s: no memory for a record of %zu bytes", c->path, size);
    memcpy(record, &header, sizeof header);
    memcpy(record + sizeof header, data, size);
    ssize_t n;
    do
        n = write(c->fd, record, total);
    while (n < 0 && errno == EINTR);
    int cause = errno;
    free(record);
    if (n != (ssize_t)total) {
        if (n > 0)
            (void)!ftruncate(c->fd, (off_t)c->read_to);
        return cx_fail(err, CX_EIO, "%s: cannot append: %s", c->path,
                       n < 0 ? strerror(cause) : "the disk is full");
    }
    c->read_to += total;
    return CX_OK;
}

int cx_records_add(cx_records *c, const void *data, size_t size, cx_error *err) {
    uint64_t key;
    if (size < sizeof key || size > CX_RECORD_MAX || !c->usable(data, size))
        return cx_fail(err, CX_ESTATE, "%s: a record of %zu bytes that would not be read again",
                       c->path, size);
    memcpy(&key, data, sizeof key);
    bool known = cx_records_find(c, key, NULL) != NULL;
    int rc = take_in(c, data, size, err);
    if (rc || known)
        return rc;
    if (!c->writable) /* a shared cache that others own: good for what it holds */
        return CX_OK;
    rc = set_lock(c, F_WRLCK, err);
    if (rc)
        return rc;
    rc = refresh(c, true, err);
    if (!rc)
        rc = append(c, data, size, err);
    int unlocked = set_lock(c, F_UNLCK, rc ? NULL : err);
    return rc ? rc : unlocked;
}

void cx_records_close(cx_records *c) {
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
