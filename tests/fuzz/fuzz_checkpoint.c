/* A checkpoint's DONE, a cut, and its one part "run". Unless DONE ends in "?" both are as
 * they stand; else DONE's hash is put right, and so is its line about the part. */
#include "tests/fuzz/fuzz.h"

#include "base/hash.h"
#include "store/store.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 4096 };

/* DONE's lines without the last one, with the hash that they have. */
static size_t mend(const cx_slice *done, char *out) {
    size_t n = done->size - 1 < ROOM - 64 ? done->size - 1 : ROOM - 64;
    memcpy(out, done->data, n);
    return n + (size_t)sprintf(out + n, "hash %016" PRIx64 "\n", cx_hash(out, n, 0));
}

static bool run(const uint8_t *data, size_t size) {
    cx_slice file[2];
    char text[ROOM], notes[200];
    cx_error err;
    uint64_t number;
    bool found;
    void *part = NULL;
    fuzz_cut(data, size, file, 2);
    if (file[0].size && ((const char *)file[0].data)[file[0].size - 1] == '?')
        file[0] = (cx_slice){text, mend(&file[0], text)};
    fuzz_put("c/00000003/DONE", file[0].data, file[0].size);
    fuzz_put("c/00000003/run", file[1].data, file[1].size);
    uint64_t before = fuzz_disk(fuzz_folder());
    const char *dir = fuzz_path("c");
    int rc = cx_checkpoint_newest(dir, &number, &found, notes, sizeof notes, &err);
    bool taken = fuzz_taken(rc, &err) && found;
    fuzz_must(!taken || number == 3);
    fuzz_must(taken || rc || notes[0]);
    rc = cx_checkpoint_read(dir, 3, "run", &part, &size, &err);
    bool read = fuzz_taken(rc, &err);
    fuzz_must(read || !part);
    fuzz_must(read || !taken || strstr(text, "run") == NULL || !read);
    free(part);
    fuzz_must(fuzz_disk(fuzz_folder()) == before);
    return taken && read;
}

static void seeds(const fuzz_sink *sink) {
    const cx_part part = {"run", "some bytes", 10};
    char bytes[2][512];
    cx_slice file[2];
    fuzz_must(cx_checkpoint_write(fuzz_path("seed"), 3, &part, 1, NULL) == CX_OK);
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen(fuzz_path(i ? "seed/00000003/run" : "seed/00000003/DONE"), "rb");
        fuzz_must(f);
        file[i] = (cx_slice){bytes[i], fread(bytes[i], 1, sizeof bytes[i], f)};
        (void)fclose(f);
    }
    fuzz_seed_pieces(sink, file, 2);
    bytes[0][file[0].size - 22] = '?'; /* in the place of "hash ...\n" */
    file[0].size -= 21;
    fuzz_seed_pieces(sink, file, 2);
}

const fuzz_target fuzz_target_checkpoint = {"checkpoint", run, seeds};
