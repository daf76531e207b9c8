/* Files: read whole, replace atomically, append. All paths are UTF-8 strings. */
#ifndef CX_BASE_FILE_H
#define CX_BASE_FILE_H

#include "base/error.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads a whole file into *data (owned by the caller, free()); one zero byte
 * follows it that *size does not count. CX_EDATA when it is missing, unreadable
 * or larger than `limit` bytes. */
int cx_file_read(const char *path, size_t limit, unsigned char **data, size_t *size, cx_error *err);
/* Writes path.tmp, fsyncs it, renames it to path, fsyncs the folder. What stood
 * at path stays whole whatever happens. A link stays one. What is no regular file (a device,
 * a pipe) is written to as it stands. CX_EIO. */
int cx_file_replace(const char *path, const void *data, size_t size, cx_error *err);
/* The same of n pieces, one after another. */
int cx_file_replace_slices(const char *path, const cx_slice *slices, int n, cx_error *err);
/* fsync of a folder, so that the names in it are on disk. */
int cx_file_sync_dir(const char *path, cx_error *err);
/* mkdir -p. */
int cx_file_make_dirs(const char *path, cx_error *err);
/* Removes a file or a whole folder; missing is no error. */
int cx_file_remove_all(const char *path, cx_error *err);
bool cx_file_exists(const char *path);
/* Cuts a file to `size` bytes and fsyncs it. */
int cx_file_truncate(const char *path, uint64_t size, cx_error *err);
/* snprintf of a path that does not fit is an error, not a wrong path. */
int cx_path(char *out, size_t size, cx_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
