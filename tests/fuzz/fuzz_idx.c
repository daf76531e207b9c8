/* IDX files. The first byte: 1 to 3 dimensions; 4: packed by gzip here; 8: the bytes are
 * those of a .gz file themselves. */
#include "tests/fuzz/fuzz.h"

#include "data/idx.h"
#include <zlib.h>

static void put_packed(const char *name, const uint8_t *data, size_t size) {
    gzFile f = gzopen(fuzz_path(name), "wb1");
    fuzz_must(f);
    fuzz_must(!size || gzwrite(f, data, (unsigned)size) == (int)size);
    fuzz_must(gzclose(f) == Z_OK);
}

static bool run(const uint8_t *data, size_t size) {
    cx_idx idx;
    cx_error err;
    char path[512];
    if (size < 1)
        return false;
    int rank = 1 + (data[0] & 3) % 3;
    fuzz_clear(NULL);
    if (data[0] & 4)
        put_packed("x.gz", data + 1, size - 1);
    else
        fuzz_put(data[0] & 8 ? "x.gz" : "x", data + 1, size - 1);
    uint64_t before = fuzz_disk(fuzz_folder());
    int rc = cx_idx_read(fuzz_folder(), "x", rank, &idx, path, sizeof path, &err);
    bool taken = fuzz_taken(rc, &err);
    fuzz_must(fuzz_disk(fuzz_folder()) == before);
    fuzz_must(taken == (idx.data != NULL));
    size_t product = 1;
    unsigned sum = 0;
    for (int i = 0; taken && i < rank; i++)
        product *= idx.dim[i];
    for (size_t i = 0; taken && i < product; i++)
        sum += idx.data[i];
    fuzz_must(!taken || (product == idx.size && sum <= 255 * product));
    cx_idx_free(&idx);
    return taken;
}

static void seeds(const fuzz_sink *sink) {
    static const uint8_t labels[] = {0, 0, 0, 8, 1, 0, 0, 0, 4, 7, 2, 1, 0};
    static const uint8_t images[] = {6, 0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0,
                                     2, 0, 0, 0, 3, 9, 8, 7, 6, 5, 4};
    static const uint8_t raw[] = {8};
    fuzz_seed(sink, labels, sizeof labels);
    fuzz_seed(sink, images, sizeof images);
    put_packed("seed", labels + 1, sizeof labels - 1);
    fuzz_seed_file(sink, "seed", raw, 1);
}

const fuzz_target fuzz_target_idx = {"idx", run, seeds};
