/* A text file, mapped: as it is, or where its name ends in .gz, unpacked into the cache
 * (data/cache.h) first, once for all processes. */
#ifndef CX_DATA_TEXTFILE_H
#define CX_DATA_TEXTFILE_H

#include "data/cache.h"

/* `cache`: a folder, or "" for the usual one. CX_EDATA: missing, not a plain file, not a
 * sound gzip file. Closed with cx_mapped_close. */
int cx_textfile_open(const char *path, const char *cache, cx_mapped *out, cx_error *err);

#endif
