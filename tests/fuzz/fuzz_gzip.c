/* Gzipped text, unpacked into the cache. */
#include "tests/fuzz/fuzz.h"

#include "data/textfile.h"
#include <zlib.h>

static bool run(const uint8_t *data, size_t size) {
    cx_mapped text;
    cx_error err;
    unsigned sum = 0;
    fuzz_clear(NULL);
    fuzz_put("x.gz", data, size);
    uint64_t before = fuzz_disk(fuzz_folder());
    int rc = cx_textfile_open(fuzz_path("x.gz"), fuzz_folder(), &text, &err);
    if (!fuzz_taken(rc, &err)) {
        fuzz_must(!text.base && fuzz_disk(fuzz_folder()) == before);
        return false;
    }
    for (size_t i = 0; i < text.size; i++)
        sum += text.bytes[i];
    fuzz_must(sum || !sum);
    cx_mapped_close(&text);
    return true;
}

static void seeds(const fuzz_sink *sink) {
    static const char text[] = "one line\nanother line, another line, another line\n";
    for (int level = 0; level < 10; level += 9) {
        gzFile f = gzopen(fuzz_path("seed"), level ? "wb9" : "wb0");
        fuzz_must(f && gzwrite(f, text, sizeof text - 1) == sizeof text - 1);
        fuzz_must(gzclose(f) == Z_OK);
        fuzz_seed_file(sink, "seed", NULL, 0);
    }
}

const fuzz_target fuzz_target_gzip = {"gzip", run, seeds};
