#include "data/textfile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

static const unsigned block = 1 << 18; /* bytes that are unpacked at a time */

static int inflate_to(gzFile gz, const char *path, unsigned char *buffer, FILE *file,
                      cx_error *err) {
    for (;;) {
        int n = gzread(gz, buffer, block), code;
        if (n > 0) {
            int rc = cx_cache_write(file, buffer, (size_t)n, err);
            if (rc)
                return rc;
        }
        if (n == (int)block)
            continue;
        const char *why = gzerror(gz, &code);
        if (n >= 0 && (code == Z_OK || code == Z_STREAM_END))
            return CX_OK;
        if (code == Z_MEM_ERROR)
            return cx_fail(err, CX_ENOMEM, "%s: no memory to unpack it", path);
        if (code == Z_BUF_ERROR)
            return cx_fail(err, CX_EDATA, "%s: the gzip stream is cut short", path);
        return cx_fail(err, CX_EDATA, "%s: not a sound gzip file: %s", path,
                       code == Z_ERRNO ? strerror(errno) : why);
    }
}

static int unpack(void *context, FILE *file, cx_error *err) {
    const char *path = context;
    gzFile gz = gzopen(path, "rbe");
    unsigned char *buffer = malloc(block);
    int rc = CX_OK;
    if (!gz)
        rc = cx_fail(err, CX_EDATA, "%s: cannot open: %s", path, strerror(errno));
    else if (!buffer || gzbuffer(gz, block) != 0)
        rc = cx_fail(err, CX_ENOMEM, "%s: no memory to unpack it", path);
    else if (gzdirect(gz)) /* zlib would pass the bytes on as they are */
        rc = cx_fail(err, CX_EDATA, "%s: not a gzip file, as its name says", path);
    else
        rc = inflate_to(gz, path, buffer, file, err);
    if (gz && gzclose(gz) != Z_OK && !rc)
        rc = cx_fail(err, CX_EDATA, "%s: the gzip stream is cut short", path);
    free(buffer);
    return rc;
}

static bool is_gz(const char *path) {
    size_t n = strlen(path);
    return n > 3 && strcasecmp(path + n - 3, ".gz") == 0;
}

int cx_textfile_open(const char *path, const char *cache, cx_mapped *out, cx_error *err) {
    uint64_t key;
    memset(out, 0, sizeof *out);
    if (!is_gz(path))
        return cx_mapped_open(path, out, err);
    int rc = cx_mapped_open(path, out, err); /* for its messages: a folder, no permission */
    bool empty = !rc && out->size == 0;
    cx_mapped_close(out);
    if (rc)
        return rc;
    if (empty)
        return cx_fail(err, CX_EDATA, "%s: empty; a gzip file is right", path);
    rc = cx_cache_key_file(path, &key, err);
    return rc ? rc : cx_cache_open(cache, "text", key, unpack, (void *)path, out, err);
}
