/* Files that are made once from others (decoded images, tokenized text) and then mapped
 * by every process that wants them. A cache file is a header of 64 bytes (magic "CXCA",
 * version, key, size of the payload, all little-endian, the rest 0) and the payload. It
 * is written under another name and renamed when it is whole; of several processes that
 * want the same file one makes it and the others wait (where the folder's file system
 * cannot lock, each makes its own, and the last rename stays). */
#ifndef CX_DATA_CACHE_H
#define CX_DATA_CACHE_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A mapped file, or the payload of a cache file; read only. */
typedef struct {
    const unsigned char *bytes; /* the payload starts at a multiple of 64 */
    size_t size;
    void *base; /* of the mapping; NULL: nothing is mapped */
    size_t mapped;
} cx_mapped;

/* Maps a whole file. CX_EDATA: missing or unreadable. An empty one: size 0. */
int cx_mapped_open(const char *path, cx_mapped *out, cx_error *err);
void cx_mapped_close(cx_mapped *m);

/* Part of a key: path, size and time of last change of a file. CX_EDATA: missing. */
int cx_cache_key_file(const char *path, uint64_t *key, cx_error *err);

/* Maps the payload of FOLDER/NAME-KEY; where that is not there, or is not whole, it is
 * made: `make` writes the payload to `file`, and a failure of it is passed on. An empty
 * `folder` stands for $XDG_CACHE_HOME/coxswain, else $HOME/.cache/coxswain, else
 * /tmp/coxswain-UID. CX_EIO: the folder cannot be written (full disk, permission). */
typedef int (*cx_cache_make)(void *context, FILE *file, cx_error *err);
int cx_cache_open(const char *folder, const char *name, uint64_t key, cx_cache_make make,
                  void *context, cx_mapped *out, cx_error *err);

/* fwrite that reports (CX_EIO). */
int cx_cache_write(FILE *file, const void *data, size_t size, cx_error *err);

#endif
