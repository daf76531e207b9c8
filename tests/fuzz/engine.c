/* One target under libFuzzer: compiled with -DFUZZ_TARGET=fuzz_target_NAME. With FUZZ_SEEDS
 * set it first writes the target's seeds into that folder. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    const char *folder;
    int n;
} writing;

static void write_seed(void *context, const void *data, size_t size) {
    writing *w = context;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/seed-%02d", w->folder, w->n++);
    FILE *f = fopen(path, "wb");
    fuzz_must(f && (!size || fwrite(data, 1, size, f) == size));
    fuzz_must(fclose(f) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    writing w = {getenv("FUZZ_SEEDS"), 0};
    const fuzz_sink sink = {write_seed, &w};
    if (w.folder)
        FUZZ_TARGET.seeds(&sink);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    (void)FUZZ_TARGET.run(data, size);
    return 0;
}
