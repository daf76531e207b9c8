/* The run's lock: an open file description lock (fcntl F_OFD_SETLK). It belongs to
 * the opened file, so closing another descriptor of the same file does not drop it,
 * and the kernel drops it with its last holder.
 *
 * On NFS it is kept by the server's lock daemon and then holds between machines; a
 * mount with `nolock` or `local_lock` has it on each machine alone: two runs started
 * on one folder from two machines are then not told of each other. Lustre wants
 * `-o flock`. The file is never unlinked: a second process could then lock the
 * removed file and a third the new one. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void read_text(int fd, char *out, size_t size) {
    ssize_t n = pread(fd, out, size - 1, 0);
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\n")] = 0;
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = '?';
    if (!out[0])
        (void)snprintf(out, size, "a process that has not yet said who it is");
}

static int write_text(int fd) {
    char host[128] = "?", when[64], text[320];
    (void)gethostname(host, sizeof host - 1);
    time_t now = time(NULL);
    struct tm tm;
    if (!localtime_r(&now, &tm) || !strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %z", &tm))
        when[0] = 0;
    int n = snprintf(text, sizeof text, "process %ld@%s since %s\n", (long)getpid(), host, when);
    if (ftruncate(fd, 0) != 0)
        return -1;
    return pwrite(fd, text, (size_t)n, 0) == n ? 0 : -1;
}

int cx_lock_take(const char *path, int *fd, cx_error *err) {
    *fd = -1;
    int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f < 0)
        return cx_fail(err, CX_EIO, "%s: cannot open: %s", path, strerror(errno));
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(f, F_OFD_SETLK, &whole) != 0) {
        int cause = errno;
        char holder[256];
        read_text(f, holder, sizeof holder);
        (void)close(f);
        if (cause == EAGAIN || cause == EACCES)
            return cx_fail(err, CX_EUSAGE,
                           "%s: in use by %s; wait for it, stop it, or choose another place", path,
                           holder);
        return cx_fail(err, CX_EIO,
                       "%s: the file system gives no lock: %s; choose a folder elsewhere", path,
                       strerror(cause));
    }
    if (write_text(f) != 0) {
        int cause = errno;
        (void)close(f);
        return cx_fail(err, CX_EIO, "%s: cannot write: %s", path, strerror(cause));
    }
    *fd = f;
    return CX_OK;
}

void cx_lock_release(const char *path, int fd) {
    (void)path;
    if (fd < 0)
        return;
    (void)!ftruncate(fd, 0);
    (void)close(fd);
}

int cx_lock_query(const char *path, bool *held, char *text, size_t size, cx_error *err) {
    *held = false;
    if (text && size)
        text[0] = 0;
    int f = open(path, O_RDONLY | O_CLOEXEC);
    if (f < 0)
        return errno == ENOENT ? CX_OK
                               : cx_fail(err, CX_EIO, "%s: cannot open: %s", path, strerror(errno));
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc = CX_OK;
    if (fcntl(f, F_OFD_GETLK, &whole) != 0)
        rc = cx_fail(err, CX_EIO, "%s: the file system tells no locks: %s", path, strerror(errno));
    else
        *held = whole.l_type != F_UNLCK;
    if (*held && text && size)
        read_text(f, text, size);
    (void)close(f);
    return rc;
}
