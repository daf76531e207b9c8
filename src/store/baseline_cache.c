/* The baseline cache: a file of records (store/records.h). */
#include "base/file.h"
#include "store/records.h"
#include "store/store.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

static const uint32_t baseline_magic = 0x42584343; /* "CCXB" */

_Static_assert(offsetof(cx_baseline, task_hash) == 0, "a record begins with its key");

static bool usable(const void *data, size_t size) {
    cx_baseline b;
    if (size != sizeof b) /* of another version */
        return false;
    memcpy(&b, data, sizeof b);
    return b.n_runs >= 0 && b.n_runs <= CX_BASELINE_RUNS_MAX && b.n_points >= 0 &&
           b.n_points <= CX_BASELINE_POINTS_MAX;
}

/* cx_baseline_cache is never defined: it is the records, under a name of its own. */
static cx_records *records(cx_baseline_cache *c) {
    return (cx_records *)c;
}

static const cx_records *const_records(const cx_baseline_cache *c) {
    return (const cx_records *)c;
}

int cx_baseline_cache_open(const char *folder, cx_baseline_cache **out, cx_error *err) {
    char path[PATH_MAX];
    cx_records *r = NULL;
    int rc = cx_path(path, sizeof path, err, "%s/baselines.bin", folder);
    if (!rc)
        rc = cx_records_open(path, baseline_magic, usable, &r, err);
    *out = (cx_baseline_cache *)r;
    return rc;
}

const cx_baseline *cx_baseline_cache_find(const cx_baseline_cache *c, uint64_t task_hash) {
    return cx_records_find(const_records(c), task_hash, NULL);
}

int cx_baseline_cache_add(cx_baseline_cache *c, const cx_baseline *b, cx_error *err) {
    return cx_records_add(records(c), b, sizeof *b, err);
}

size_t cx_baseline_cache_count(const cx_baseline_cache *c) {
    return cx_records_count(const_records(c));
}

size_t cx_baseline_cache_skipped(const cx_baseline_cache *c) {
    return cx_records_skipped(const_records(c));
}

void cx_baseline_cache_close(cx_baseline_cache *c) {
    cx_records_close(records(c));
}
