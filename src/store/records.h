/* A file of keyed records that several processes may read and append to at a time: caches
 * of what is dear to compute (baselines, an evaluation's runs). A record's bytes begin
 * with its 8-byte key. On disk: magic, size, hash of the bytes, the bytes. A torn last
 * record is cut off when the file is opened; bytes that are no whole record with the
 * right hash are skipped. Everything is kept in memory, too, in a hash table. */
#ifndef CX_STORE_RECORDS_H
#define CX_STORE_RECORDS_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CX_RECORD_MAX = 1 << 20 }; /* bytes of a record at most */

typedef struct cx_records cx_records;

/* Opens or makes the file; its folder is made where it is missing. Where it may not be
 * written it is read only. `magic` says whose records they are. `usable` judges the bytes
 * of a whole record that was read: one it refuses (of another version) is ignored. */
int cx_records_open(const char *path, uint32_t magic, bool (*usable)(const void *data, size_t size),
                    cx_records **out, cx_error *err);
/* NULL: not there. Owned by the store, valid until close. `size` may be NULL. */
const void *cx_records_find(const cx_records *r, uint64_t key, size_t *size);
/* Keeps a record and appends it (under a lock on the file); of two with one key the
 * first stays. Also takes in what other processes have added. Not fsynced: a lost record is
 * only computed again. On CX_EIO the record is found in this process all the same. */
int cx_records_add(cx_records *r, const void *data, size_t size, cx_error *err);
size_t cx_records_count(const cx_records *r);   /* different keys */
size_t cx_records_skipped(const cx_records *r); /* bytes that are no record */
void cx_records_close(cx_records *r);           /* NULL is fine */

#endif
