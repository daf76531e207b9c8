/* Record files: a baseline cache, and an evaluation's trials. The hashes of records whose
 * magic and size are in place are put right first, unless the first byte is odd. */
#include "tests/fuzz/fuzz.h"

#include "base/hash.h"
#include "policy/trial.h"
#include "store/records.h"
#include "store/store.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t trial_magic = 0x54525843;

typedef struct {
    uint32_t magic, size;
    uint64_t hash;
} header;

static void mend(unsigned char *p, size_t n) {
    header h;
    for (size_t at = 0; at + sizeof h <= n;) {
        memcpy(&h, p + at, sizeof h);
        if (h.size > n - at - sizeof h)
            return;
        h.hash = cx_hash(p + at + sizeof h, h.size, h.size);
        memcpy(p + at, &h, sizeof h);
        at += sizeof h + h.size;
    }
}

static size_t baselines(const unsigned char *data, size_t size) {
    cx_baseline_cache *c;
    cx_error err;
    uint64_t key = 0;
    static cx_config config; /* zeroes: a reward needs no more of it here */
    fuzz_put("b/baselines.bin", data, size);
    if (!fuzz_taken(cx_baseline_cache_open(fuzz_path("b"), &c, &err), &err))
        return 0;
    if (size >= sizeof(header) + sizeof key)
        memcpy(&key, data + sizeof(header), sizeof key);
    const cx_baseline *b = cx_baseline_cache_find(c, key);
    if (b)
        fuzz_must(b->task_hash == key && !isnan(cx_reward(&config, b, 0.5, NULL)));
    size_t n = cx_baseline_cache_count(c);
    cx_baseline fresh = {.task_hash = key + 1, .n_runs = 1};
    fuzz_must(cx_baseline_cache_add(c, &fresh, &err) == CX_OK);
    fuzz_must(cx_baseline_cache_find(c, key + 1));
    cx_baseline_cache_close(c);
    return n;
}

static size_t trials(const unsigned char *data, size_t size) {
    cx_records *r;
    cx_error err;
    size_t found, n = 0;
    uint64_t key = 0;
    fuzz_put("trials.bin", data, size);
    if (!fuzz_taken(
            cx_records_open(fuzz_path("trials.bin"), trial_magic, cx_trial_result_ok, &r, &err),
            &err))
        return 0;
    if (size >= sizeof(header) + sizeof key)
        memcpy(&key, data + sizeof(header), sizeof key);
    const cx_trial_result *t = cx_records_find(r, key, &found);
    if (t)
        fuzz_must(found == cx_trial_result_size(t) && t->n_curve <= CX_TRIAL_CURVE);
    n = cx_records_count(r);
    cx_records_close(r);
    return n;
}

static bool run(const uint8_t *data, size_t size) {
    if (size < 1)
        return false;
    unsigned char *bytes = malloc(size);
    fuzz_must(bytes);
    memcpy(bytes, data + 1, size - 1);
    if (!(data[0] & 1))
        mend(bytes, size - 1);
    size_t n = baselines(bytes, size - 1) + trials(bytes, size - 1);
    free(bytes);
    return n > 0;
}

static void seeds(const fuzz_sink *sink) {
    cx_baseline_cache *c;
    cx_records *r;
    cx_baseline b = {.task_hash = 3, .n_runs = 2, .n_points = 2, .t = {1, 2}, .loss = {2, 1}};
    static cx_trial_result t = {.key = 4};
    fuzz_must(cx_baseline_cache_open(fuzz_path("s"), &c, NULL) == CX_OK);
    fuzz_must(cx_baseline_cache_add(c, &b, NULL) == CX_OK);
    cx_baseline_cache_close(c);
    fuzz_seed_file(sink, "s/baselines.bin", "0", 1);
    fuzz_must(cx_records_open(fuzz_path("s/t"), trial_magic, cx_trial_result_ok, &r, NULL) ==
              CX_OK);
    fuzz_must(cx_records_add(r, &t, cx_trial_result_size(&t), NULL) == CX_OK);
    t.key++;
    t.has_taken = 1;
    fuzz_must(cx_records_add(r, &t, cx_trial_result_size(&t), NULL) == CX_OK);
    cx_records_close(r);
    fuzz_seed_file(sink, "s/t", "1", 1);
}

const fuzz_target fuzz_target_records = {"records", run, seeds};
