#include "data/cache.h"

#include "base/file.h"
#include "base/hash.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char magic[4];
    uint32_t version;
    uint64_t key, size;
    unsigned char rest[40];
} header;
_Static_assert(sizeof(header) == 64, "the payload must stay aligned");

static const uint32_t cache_version = 1;

int cx_mapped_open(const char *path, cx_mapped *out, cx_error *err) {
    struct stat st;
    memset(out, 0, sizeof *out);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cx_fail(err, CX_EDATA, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return cx_fail(err, CX_EDATA, "%s: not a plain file", path);
    }
    void *base = NULL;
    if (st.st_size > 0)
        base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    int cause = errno;
    (void)close(fd);
    if (base == MAP_FAILED)
        return cx_fail(err, CX_EDATA, "%s: cannot map: %s", path, strerror(cause));
    *out = (cx_mapped){base, (size_t)st.st_size, base, (size_t)st.st_size};
    return CX_OK;
}

void cx_mapped_close(cx_mapped *m) {
    if (m->base)
        (void)munmap(m->base, m->mapped);
    memset(m, 0, sizeof *m);
}

int cx_cache_key_file(const char *path, uint64_t *key, cx_error *err) {
    struct stat st;
    char whole[PATH_MAX];
    if (stat(path, &st) != 0 || !realpath(path, whole))
        return cx_fail(err, CX_EDATA, "%s: %s", path, strerror(errno));
    const int64_t facts[] = {(int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec,
                             (int64_t)st.st_mtim.tv_nsec};
    *key = cx_hash(whole, strlen(whole), cx_hash(facts, sizeof facts, 0));
    return CX_OK;
}

int cx_cache_write(FILE *file, const void *data, size_t size, cx_error *err) {
    if (size > 0 && fwrite(data, 1, size, file) != size)
        return cx_fail(err, CX_EIO, "cannot write to the cache: %s", strerror(errno));
    return CX_OK;
}

static int find_folder(const char *folder, char *out, size_t size, cx_error *err) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (folder[0])
        return cx_path(out, size, err, "%s", folder);
    if (xdg && xdg[0] == '/')
        return cx_path(out, size, err, "%s/coxswain", xdg);
    if (home && home[0] == '/')
        return cx_path(out, size, err, "%s/.cache/coxswain", home);
    return cx_path(out, size, err, "/tmp/coxswain-%ld", (long)getuid());
}

/* The payload of a whole cache file of that key; false: there is none. */
static bool map_whole(const char *path, uint64_t key, cx_mapped *out) {
    header h;
    if (!cx_file_exists(path) || cx_mapped_open(path, out, NULL) != CX_OK)
        return false;
    if (out->size >= sizeof h) {
        memcpy(&h, out->bytes, sizeof h);
        if (memcmp(h.magic, "CXCA", 4) == 0 && h.version == cache_version && h.key == key &&
            h.size == out->size - sizeof h) {
            out->bytes += sizeof h;
            out->size = (size_t)h.size;
            return true;
        }
    }
    cx_mapped_close(out);
    return false;
}

static int write_whole(FILE *file, const char *path, uint64_t key, cx_cache_make make,
                       void *context, cx_error *err) {
    header h = {.magic = "CXCA", .version = cache_version, .key = key};
    int rc = cx_cache_write(file, &h, sizeof h, err);
    if (!rc)
        rc = make(context, file, err);
    off_t end = rc ? 0 : ftello(file);
    if (rc)
        return rc;
    h.size = (uint64_t)end - sizeof h;
    if (end < 0 || fseeko(file, 0, SEEK_SET) != 0)
        return cx_fail(err, CX_EIO, "%s: %s", path, strerror(errno));
    rc = cx_cache_write(file, &h, sizeof h, err);
    if (!rc && (fflush(file) != 0 || fsync(fileno(file)) != 0))
        rc = cx_fail(err, CX_EIO, "%s: cannot write: %s", path, strerror(errno));
    return rc;
}

static int make_file(const char *path, uint64_t key, cx_cache_make make, void *context,
                     cx_error *err) {
    char tmp[PATH_MAX], host[64] = "";
    /* by machine, too: the folder may be shared where locks are not */
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    int rc = cx_path(tmp, sizeof tmp, err, "%s.%s.%ld.tmp", path, host, (long)getpid());
    if (rc)
        return rc;
    FILE *file = fopen(tmp, "wb");
    if (!file)
        return cx_fail(err, CX_EIO, "%s: cannot create: %s", tmp, strerror(errno));
    rc = write_whole(file, tmp, key, make, context, err);
    if (fclose(file) != 0 && !rc)
        rc = cx_fail(err, CX_EIO, "%s: cannot write: %s", tmp, strerror(errno));
    if (!rc && rename(tmp, path) != 0)
        rc = cx_fail(err, CX_EIO, "%s: cannot rename from %s: %s", path, tmp, strerror(errno));
    if (rc)
        (void)unlink(tmp);
    return rc;
}

int cx_cache_open(const char *folder, const char *name, uint64_t key, cx_cache_make make,
                  void *context, cx_mapped *out, cx_error *err) {
    char dir[PATH_MAX], path[PATH_MAX], lock[PATH_MAX];
    memset(out, 0, sizeof *out);
    int rc = find_folder(folder, dir, sizeof dir, err);
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/%s-%016llx", dir, name, (unsigned long long)key);
    if (!rc)
        rc = cx_path(lock, sizeof lock, err, "%s.lock", path);
    if (rc || map_whole(path, key, out))
        return rc;
    rc = cx_file_make_dirs(dir, err);
    if (rc)
        return cx_fail_in(err, "data.cache");
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return cx_fail(err, CX_EIO, "data.cache: %s: cannot create: %s", lock, strerror(errno));
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
        ; /* another error: no locks here, and the rename alone keeps it whole */
    if (!map_whole(path, key, out)) {
        rc = make_file(path, key, make, context, err);
        if (!rc && !map_whole(path, key, out))
            rc = cx_fail(err, CX_EIO, "%s: just written, and not whole", path);
    }
    (void)close(fd);
    return rc;
}
