#include "tests/fuzz/fuzz.h"

#include "base/file.h"
#include "base/hash.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void fuzz_broken(const char *file, int line, const char *what) {
    (void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

bool fuzz_taken(int rc, const cx_error *err) {
    if (rc == CX_OK)
        return true;
    if (rc == CX_ENOMEM || rc == CX_ESTATE)
        (void)fprintf(stderr, "code %d: %.1000s\n", rc, err->message);
    fuzz_must(rc != CX_ENOMEM && rc != CX_ESTATE);
    fuzz_must((int)err->code == rc);
    fuzz_must(err->message[0] && memchr(err->message, 0, sizeof err->message));
    return false;
}

/* --- files --- */

static char folder[64];

static void remove_folder(void) {
    (void)cx_file_remove_all(folder, NULL);
}

const char *fuzz_folder(void) {
    if (!folder[0]) {
        const char *tmp = getenv("TMPDIR");
        if (!tmp || strlen(tmp) > 40)
            tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        (void)snprintf(folder, sizeof folder, "%s/cx-fuzz-XXXXXX", tmp);
        fuzz_must(mkdtemp(folder));
        fuzz_must(atexit(remove_folder) == 0);
    }
    return folder;
}

const char *fuzz_path(const char *name) {
    static char path[5][PATH_MAX];
    static int turn;
    turn = (turn + 1) % 5;
    (void)snprintf(path[turn], PATH_MAX, "%s/%s", fuzz_folder(), name);
    return path[turn];
}

void fuzz_put(const char *name, const void *data, size_t size) {
    char above[PATH_MAX];
    const char *path = fuzz_path(name);
    (void)snprintf(above, sizeof above, "%s", path);
    *strrchr(above, '/') = 0;
    fuzz_must(cx_file_make_dirs(above, NULL) == CX_OK);
    (void)unlink(path); /* what still maps the old one keeps it */
    FILE *f = fopen(path, "wb");
    fuzz_must(f);
    fuzz_must(!size || fwrite(data, 1, size, f) == size);
    fuzz_must(fclose(f) == 0);
}

static uint64_t file_hash(const char *path, const char *name) {
    unsigned char *data;
    size_t size;
    uint64_t hash = cx_hash(name, strlen(name), 1);
    fuzz_must(cx_file_read(path, (size_t)1 << 30, &data, &size, NULL) == CX_OK);
    hash = cx_hash(data, size, hash);
    free(data);
    return hash;
}

uint64_t fuzz_disk(const char *at) {
    uint64_t sum = 0;
    DIR *d = opendir(at);
    fuzz_must(d);
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        char path[PATH_MAX];
        const char *dot = strrchr(e->d_name, '.');
        bool lock = strcmp(e->d_name, "lock") == 0 || (dot && strcmp(dot, ".lock") == 0);
        if (lock || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        fuzz_must(cx_path(path, sizeof path, NULL, "%s/%s", at, e->d_name) == CX_OK);
        fuzz_must(lstat(path, &st) == 0);
        if (S_ISDIR(st.st_mode)) /* sums: the order of readdir means nothing */
            sum += cx_hash(e->d_name, strlen(e->d_name), fuzz_disk(path));
        else
            sum += file_hash(path, e->d_name);
    }
    (void)closedir(d);
    return sum;
}

void fuzz_clear(const char *name) {
    if (name) {
        fuzz_must(cx_file_remove_all(fuzz_path(name), NULL) == CX_OK);
        return;
    }
    DIR *d = opendir(fuzz_folder());
    fuzz_must(d);
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            fuzz_clear(e->d_name);
    (void)closedir(d);
}

/* --- pieces and seeds --- */

void fuzz_mend(unsigned char *bytes, size_t size, char letter, size_t size_at, size_t hash_at) {
    enum { HEADER = 32, MAGIC_END = 3 };
    if (size < HEADER || bytes[MAGIC_END] == (unsigned char)letter)
        return;
    uint64_t n = size - HEADER, hash = cx_hash(bytes + HEADER, n, 0);
    bytes[MAGIC_END] = (unsigned char)letter;
    memcpy(bytes + size_at, &n, sizeof n);
    memcpy(bytes + hash_at, &hash, sizeof hash);
}

enum { CUT = sizeof FUZZ_CUT - 1 };

void fuzz_cut(const uint8_t *data, size_t size, cx_slice *piece, int n) {
    for (int i = 0; i < n; i++) {
        const uint8_t *end = i + 1 < n && size ? memmem(data, size, FUZZ_CUT, CUT) : NULL;
        size_t length = end ? (size_t)(end - data) : size;
        piece[i] = (cx_slice){data, length};
        data += length + (end ? CUT : 0);
        size -= length + (end ? CUT : 0);
    }
}

void fuzz_seed(const fuzz_sink *sink, const void *data, size_t size) {
    sink->give(sink->context, data, size);
}

void fuzz_seed_text(const fuzz_sink *sink, const char *text) {
    fuzz_seed(sink, text, strlen(text));
}

void fuzz_seed_pieces(const fuzz_sink *sink, const cx_slice *piece, int n) {
    size_t size = 0, at = 0;
    for (int i = 0; i < n; i++)
        size += piece[i].size + CUT;
    unsigned char *all = malloc(size);
    fuzz_must(all);
    for (int i = 0; i < n; i++) {
        if (i)
            memcpy(all + at, FUZZ_CUT, CUT);
        at += i ? CUT : 0;
        if (piece[i].size)
            memcpy(all + at, piece[i].data, piece[i].size);
        at += piece[i].size;
    }
    fuzz_seed(sink, all, at);
    free(all);
}

void fuzz_seed_file(const fuzz_sink *sink, const char *name, const void *front, size_t size) {
    unsigned char *data;
    size_t length;
    fuzz_must(cx_file_read(fuzz_path(name), (size_t)1 << 24, &data, &length, NULL) == CX_OK);
    unsigned char *all = malloc(size + length + 1);
    fuzz_must(all);
    if (size)
        memcpy(all, front, size);
    memcpy(all + size, data, length);
    fuzz_seed(sink, all, size + length);
    free(all);
    free(data);
}
