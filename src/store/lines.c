/* Append-only files of lines. */
#include "base/file.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct cx_lines {
    int fd;
    uint64_t size;
    char path[];
};

/* Size of the file up to its last newline. */
static int whole_size(int fd, const char *path, uint64_t size, uint64_t *whole, cx_error *err) {
    char block[4096];
    while (size > 0) {
        size_t n = size < sizeof block ? (size_t)size : sizeof block;
        ssize_t got = pread(fd, block, n, (off_t)(size - n));
        if (got < 0 && errno == EINTR)
            continue;
        if (got != (ssize_t)n)
            return cx_fail(err, CX_EIO, "%s: cannot read its end: %s", path,
                           got < 0 ? strerror(errno) : "it got shorter");
        const char *newline = memrchr(block, '\n', n);
        if (newline) {
            *whole = size - n + (uint64_t)(newline - block) + 1;
            return CX_OK;
        }
        size -= n;
    }
    *whole = 0;
    return CX_OK;
}

int cx_lines_open(const char *path, cx_lines **out, cx_error *err) {
    *out = NULL;
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return cx_fail(err, CX_EIO, "%s: cannot open for appending: %s", path, strerror(errno));
    struct stat st;
    int rc = CX_OK;
    uint64_t whole = 0;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        rc = cx_fail(err, CX_EIO, "%s: not a regular file", path);
    if (!rc)
        rc = whole_size(fd, path, (uint64_t)st.st_size, &whole, err);
    if (!rc && whole < (uint64_t)st.st_size && ftruncate(fd, (off_t)whole) != 0)
        rc = cx_fail(err, CX_EIO, "%s: cannot cut off its torn last line: %s", path,
                     strerror(errno));
    cx_lines *l = rc ? NULL : malloc(sizeof *l + strlen(path) + 1);
    if (!l) {
        (void)close(fd);
        return rc ? rc : cx_fail(err, CX_ENOMEM, "%s: out of memory", path);
    }
    l->fd = fd;
    l->size = whole;
    memcpy(l->path, path, strlen(path) + 1);
    *out = l;
    return CX_OK;
}

int cx_lines_append(cx_lines *l, const char *text, cx_error *err) {
    size_t n = strlen(text);
    if (memchr(text, '\n', n))
        return cx_fail(err, CX_ESTATE, "%s: a line with a newline in it: %.60s", l->path, text);
    struct iovec parts[2] = {{(void *)(uintptr_t)text, n}, {(void *)(uintptr_t) "\n", 1}};
    ssize_t done;
    do
        done = writev(l->fd, parts, 2);
    while (done < 0 && errno == EINTR);
    if (done != (ssize_t)(n + 1)) {
        int cause = errno;
        if (done > 0) /* half a line: the disk is full */
            (void)!ftruncate(l->fd, (off_t)l->size);
        return cx_fail(err, CX_EIO, "%s: cannot append %zu bytes: %s", l->path, n + 1,
                       done < 0 ? strerror(cause) : "the disk is full");
    }
    l->size += n + 1;
    return CX_OK;
}

int cx_lines_sync(cx_lines *l, cx_error *err) {
    if (fsync(l->fd) != 0)
        return cx_fail(err, CX_EIO, "%s: fsync: %s", l->path, strerror(errno));
    return CX_OK;
}

uint64_t cx_lines_size(const cx_lines *l) {
    return l->size;
}

void cx_lines_close(cx_lines *l) {
    if (!l)
        return;
    (void)close(l->fd);
    free(l);
}
