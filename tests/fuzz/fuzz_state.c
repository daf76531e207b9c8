/* State files. Unless the magic's last byte is 'T', the sizes and the hash of the header are
 * put right first. */
#include "tests/fuzz/fuzz.h"

#include "store/store.h"
#include <stdlib.h>
#include <string.h>

static const char identity[] = "task a\nseed 1\n";
static const size_t sizes[] = {8, 0, 12};
static bool run(const uint8_t *data, size_t size) {
    cx_state_file file;
    cx_error err;
    unsigned char *bytes = malloc(size + 1);
    fuzz_must(bytes);
    if (size)
        memcpy(bytes, data, size);
    fuzz_mend(bytes, size, 'T', 16, 24);
    fuzz_put("state", bytes, size);
    free(bytes);
    int rc = cx_state_file_open(fuzz_path("state"), identity, sizes, 3, &file, &err);
    if (!fuzz_taken(rc, &err)) {
        fuzz_must(!file.file.base);
        return false;
    }
    unsigned char copy[12];
    fuzz_must(file.found);
    for (int i = 0; i < 3; i++)
        memcpy(copy, file.piece[i], sizes[i]);
    cx_state_file_close(&file);
    return true;
}

static void seeds(const fuzz_sink *sink) {
    const cx_slice pieces[] = {{"12345678", 8}, {"", 0}, {"abcdefghijkl", 12}};
    unsigned char bytes[256];
    fuzz_must(cx_state_file_write(fuzz_path("seed"), identity, pieces, 3, NULL) == CX_OK);
    fuzz_seed_file(sink, "seed", NULL, 0);
    FILE *f = fopen(fuzz_path("seed"), "rb");
    fuzz_must(f);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    bytes[3] = '?';
    fuzz_seed(sink, bytes, n);
}

const fuzz_target fuzz_target_state = {"state", run, seeds};
