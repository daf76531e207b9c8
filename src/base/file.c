#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int cx_path(char *out, size_t size, cx_error *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out, size, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= size)
        return cx_fail(err, CX_EUSAGE, "a path is longer than %zu bytes: %.200s...", size - 1, out);
    return CX_OK;
}

int cx_file_read(const char *path, size_t limit, unsigned char **data, size_t *size,
                 cx_error *err) {
    *data = NULL;
    *size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cx_fail(err, CX_EDATA, "%s: cannot open: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return cx_fail(err, CX_EDATA, "%s: not a regular file", path);
    }
    if ((uint64_t)st.st_size > limit) {
        (void)close(fd);
        return cx_fail(err, CX_EDATA, "%s: %lld bytes, more than the limit of %zu", path,
                       (long long)st.st_size, limit);
    }
    size_t want = (size_t)st.st_size, got = 0;
    unsigned char *p = malloc(want + 1);
    if (!p) {
        (void)close(fd);
        return cx_fail(err, CX_ENOMEM, "%s: no memory for %zu bytes", path, want);
    }
    while (got < want) {
        ssize_t n = read(fd, p + got, want - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int cause = errno;
            free(p);
            (void)close(fd);
            return cx_fail(err, CX_EDATA, "%s: read %zu of %zu bytes: %s", path, got, want,
                           n < 0 ? strerror(cause) : "the file got shorter");
        }
        got += (size_t)n;
    }
    (void)close(fd);
    p[want] = 0;
    *data = p;
    *size = want;
    return CX_OK;
}

int cx_file_sync_dir(const char *path, cx_error *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return cx_fail(err, CX_EIO, "%s: cannot open the folder: %s", path, strerror(errno));
    int rc = fsync(fd), cause = errno;
    (void)close(fd);
    if (rc != 0)
        return cx_fail(err, CX_EIO, "%s: fsync: %s", path, strerror(cause));
    return CX_OK;
}

/* What could be written of a piece; errno says why it is not all. */
static size_t write_slice(int fd, const cx_slice *slice) {
    size_t done = 0;
    while (done < slice->size) {
        ssize_t n = write(fd, (const unsigned char *)slice->data + done, slice->size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        done += (size_t)n;
    }
    return done;
}

/* sync: as a device or a pipe cannot be. */
static int write_all(const char *path, const cx_slice *slices, int n, bool sync, cx_error *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return cx_fail(err, CX_EIO, "%s: cannot create: %s", path, strerror(errno));
    size_t done = 0, size = 0;
    for (int i = 0; i < n; i++) {
        size += slices[i].size;
        done += write_slice(fd, &slices[i]);
        if (done < size) {
            int cause = errno;
            (void)close(fd);
            return cx_fail(err, CX_EIO, "%s: wrote %zu bytes, and no more: %s", path, done,
                           strerror(cause));
        }
    }
    int bad = sync ? fsync(fd) : 0, cause = errno;
    if (close(fd) != 0 && !bad) {
        bad = 1;
        cause = errno;
    }
    if (bad)
        return cx_fail(err, CX_EIO, "%s: %s", path, strerror(cause));
    return CX_OK;
}

int cx_file_replace(const char *path, const void *data, size_t size, cx_error *err) {
    return cx_file_replace_slices(path, &(cx_slice){data, size}, 1, err);
}

int cx_file_replace_slices(const char *path, const cx_slice *slices, int n, cx_error *err) {
    char tmp[PATH_MAX], dir[PATH_MAX], target[PATH_MAX];
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && realpath(path, target))
        path = target; /* the link stays */
    bool there = stat(path, &st) == 0;
    if (there && S_ISDIR(st.st_mode))
        return cx_fail(err, CX_EIO, "%s: is a folder, not a file", path);
    if (there && !S_ISREG(st.st_mode)) /* a file in the place of /dev/stdout would be a loss */
        return write_all(path, slices, n, false, err);
    int rc = cx_path(tmp, sizeof tmp, err, "%s.tmp", path);
    if (rc)
        return rc;
    rc = write_all(tmp, slices, n, true, err);
    if (rc) {
        (void)unlink(tmp);
        return rc;
    }
    if (rename(tmp, path) != 0) {
        int cause = errno;
        (void)unlink(tmp);
        return cx_fail(err, CX_EIO, "%s: cannot rename from %s: %s", path, tmp, strerror(cause));
    }
    rc = cx_path(dir, sizeof dir, err, "%s", path);
    if (rc)
        return rc;
    char *slash = strrchr(dir, '/');
    if (slash == dir)
        slash[1] = 0;
    else if (slash)
        *slash = 0;
    return cx_file_sync_dir(slash ? dir : ".", err);
}

int cx_file_make_dirs(const char *path, cx_error *err) {
    char p[PATH_MAX];
    int rc = cx_path(p, sizeof p, err, "%s", path);
    if (rc)
        return rc;
    for (char *c = p + 1;; c++) {
        if (*c != '/' && *c != 0)
            continue;
        char was = *c;
        *c = 0;
        if (mkdir(p, 0777) != 0 && errno != EEXIST)
            return cx_fail(err, CX_EIO, "%s: cannot create the folder: %s", p, strerror(errno));
        *c = was;
        if (was == 0)
            break;
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return cx_fail(err, CX_EIO, "%s: exists and is not a folder", path);
    return CX_OK;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

int cx_file_remove_all(const char *path, cx_error *err) {
    struct stat st;
    if (lstat(path, &st) != 0 && errno == ENOENT)
        return CX_OK;
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return cx_fail(err, CX_EIO, "%s: cannot remove: %s", path, strerror(errno));
    return CX_OK;
}

bool cx_file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

int cx_file_truncate(const char *path, uint64_t size, cx_error *err) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return cx_fail(err, CX_EIO, "%s: cannot open: %s", path, strerror(errno));
    int bad = ftruncate(fd, (off_t)size) != 0 || fsync(fd) != 0;
    int cause = errno;
    (void)close(fd);
    if (bad)
        return cx_fail(err, CX_EIO, "%s: cannot cut to %llu bytes: %s", path,
                       (unsigned long long)size, strerror(cause));
    return CX_OK;
}
