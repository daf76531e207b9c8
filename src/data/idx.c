#include "data/idx.h"

#include "base/file.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const size_t file_limit = (size_t)1 << 30; /* bytes of a file, and of its contents */
/* The best that deflate can do is 1032:1; an announced size beyond that is a lie. */
static const size_t deflate_ratio_max = 1040;

/* A file that is read from front to back, plain or through zlib. */
typedef struct {
    const char *path;
    const unsigned char *bytes; /* the file */
    size_t size, used;
    z_stream z;
    int gz;
} source;

static int source_read(source *s, unsigned char *out, size_t want, const char *what,
                       cx_error *err) {
    size_t got = 0;
    if (!s->gz) {
        size_t left = s->size - s->used;
        got = left < want ? left : want;
        memcpy(out, s->bytes + s->used, got);
        s->used += got;
    } else {
        s->z.next_out = out;
        s->z.avail_out = (uInt)want;
        while (s->z.avail_out > 0) {
            int rc = inflate(&s->z, Z_NO_FLUSH);
            if (rc == Z_STREAM_END || rc == Z_BUF_ERROR)
                break;
            if (rc != Z_OK)
                return cx_fail(err, rc == Z_MEM_ERROR ? CX_ENOMEM : CX_EDATA,
                               "%s: not a sound gzip file: %s", s->path,
                               s->z.msg ? s->z.msg : zError(rc));
        }
        got = want - s->z.avail_out;
    }
    if (got < want)
        return cx_fail(err, CX_EDATA, "%s: cut short: %zu of the %zu bytes of its %s", s->path, got,
                       want, what);
    return CX_OK;
}

/* The whole file must have been used up, gzip's check sum included. */
static int source_end(source *s, cx_error *err) {
    if (!s->gz) {
        if (s->used < s->size)
            return cx_fail(err, CX_EDATA, "%s: %zu bytes follow the data that its header announces",
                           s->path, s->size - s->used);
        return CX_OK;
    }
    unsigned char extra;
    s->z.next_out = &extra;
    s->z.avail_out = 1;
    int rc = inflate(&s->z, Z_FINISH);
    if (s->z.avail_out == 0)
        return cx_fail(err, CX_EDATA, "%s: more bytes than its header announces", s->path);
    if (rc != Z_STREAM_END)
        return cx_fail(err, CX_EDATA, "%s: the end of the gzip stream is missing or wrong: %s",
                       s->path, s->z.msg ? s->z.msg : zError(rc));
    if (s->z.avail_in > 0)
        return cx_fail(err, CX_EDATA, "%s: %u bytes follow the end of the gzip stream", s->path,
                       s->z.avail_in);
    return CX_OK;
}

static uint32_t big_endian(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static int parse_header(source *s, int rank, cx_idx *idx, cx_error *err) {
    unsigned char head[4 + 4 * CX_IDX_RANK_MAX];
    int rc = source_read(s, head, 4, "magic number", err);
    if (rc)
        return rc;
    uint32_t magic = big_endian(head), want = 0x800u | (uint32_t)rank;
    if (magic != want)
        return cx_fail(err, CX_EDATA,
                       "%s: magic number 0x%08x; 0x%08x (unsigned bytes, %d dimension%s) is right",
                       s->path, (unsigned)magic, (unsigned)want, rank, rank == 1 ? "" : "s");
    rc = source_read(s, head + 4, 4 * (size_t)rank, "header", err);
    if (rc)
        return rc;
    size_t limit = s->gz ? s->size * deflate_ratio_max : s->size, size = 1;
    if (limit > file_limit)
        limit = file_limit;
    for (int i = 0; i < rank; i++) {
        uint32_t d = big_endian(head + 4 + 4 * i);
        if (d == 0)
            return cx_fail(err, CX_EDATA, "%s: dimension %d is 0", s->path, i);
        if (d > limit / size)
            return cx_fail(err, CX_EDATA,
                           "%s: dimension %d is %u: more data than a file of %zu bytes can hold",
                           s->path, i, (unsigned)d, s->size);
        idx->dim[i] = d;
        size *= d;
    }
    idx->rank = rank;
    idx->size = size;
    return CX_OK;
}

static int parse(source *s, int rank, cx_idx *idx, cx_error *err) {
    int rc = parse_header(s, rank, idx, err);
    if (rc)
        return rc;
    idx->data = malloc(idx->size);
    if (!idx->data)
        return cx_fail(err, CX_ENOMEM, "%s: no memory for %zu bytes", s->path, idx->size);
    rc = source_read(s, idx->data, idx->size, "data", err);
    if (rc)
        return rc;
    return source_end(s, err);
}

static int find(const char *folder, const char *stem, char *path, size_t size, int *gz,
                cx_error *err) {
    static const char *const suffix[] = {"", ".gz"};
    for (int i = 0; i < 2; i++) {
        int rc = cx_path(path, size, err, "%s/%s%s", folder, stem, suffix[i]);
        if (rc)
            return rc;
        *gz = i;
        if (cx_file_exists(path))
            return CX_OK;
    }
    return cx_fail(err, CX_EDATA, "%s/%s: not there, and neither is %s.gz", folder, stem, stem);
}

int cx_idx_read(const char *folder, const char *stem, int rank, cx_idx *idx, char *path,
                size_t path_size, cx_error *err) {
    char name[PATH_MAX];
    unsigned char *bytes;
    source s = {.path = name};
    *idx = (cx_idx){0};
    if (rank < 1 || rank > CX_IDX_RANK_MAX)
        return cx_fail(err, CX_ESTATE, "IDX files of %d dimensions are not read", rank);
    int rc = find(folder, stem, name, sizeof name, &s.gz, err);
    if (rc)
        return rc;
    if (path)
        (void)snprintf(path, path_size, "%s", name);
    rc = cx_file_read(name, file_limit, &bytes, &s.size, err);
    if (rc)
        return rc;
    s.bytes = bytes;
    if (s.gz) {
        s.z.next_in = bytes;
        s.z.avail_in = (uInt)s.size;
        if (inflateInit2(&s.z, 16 + MAX_WBITS) != Z_OK) { /* 16: a gzip header, no other */
            free(bytes);
            return cx_fail(err, CX_ENOMEM, "%s: no memory to unpack it", name);
        }
    }
    rc = parse(&s, rank, idx, err);
    if (s.gz)
        (void)inflateEnd(&s.z);
    free(bytes);
    if (rc)
        cx_idx_free(idx);
    return rc;
}

void cx_idx_free(cx_idx *idx) {
    free(idx->data);
    *idx = (cx_idx){0};
}
