/* CIFAR-100's binary files: train.bin, a cut, test.bin. The first byte: the side. */
#include "tests/fuzz/fuzz.h"

#include "data/natural_images.h"
#include <stdlib.h>
#include <string.h>

static bool run(const uint8_t *data, size_t size) {
    cx_slice file[2];
    cx_natural_images *images;
    cx_error err;
    if (size < 1)
        return false;
    int side = data[0] & 1 ? 32 : 1 + data[0] / 2 % 40;
    fuzz_cut(data + 1, size - 1, file, 2);
    fuzz_clear(NULL);
    fuzz_put("set/train.bin", file[0].data, file[0].size);
    fuzz_put("set/test.bin", file[1].data, file[1].size);
    uint64_t before = fuzz_disk(fuzz_folder());
    int rc = cx_natural_images_open(fuzz_path("set"), fuzz_path("cache"), 1, side, &images, &err);
    if (!fuzz_taken(rc, &err)) {
        fuzz_must(!images && fuzz_disk(fuzz_folder()) == before);
        return false;
    }
    float *out = malloc(3 * sizeof *out * (size_t)(side * side));
    fuzz_must(out && cx_natural_images_side(images) == side);
    for (int s = 0; s < 3; s++)
        for (uint32_t i = 0; i < cx_natural_images_count(images, s); i++) {
            uint32_t example = cx_natural_images_first(images, s) + i;
            fuzz_must(cx_natural_images_label(images, example) < cx_natural_images_classes(images));
            cx_natural_images_copy(images, example, side, -1, 1, i & 1, out);
        }
    free(out);
    cx_natural_images_close(images);
    return true;
}

static void seeds(const fuzz_sink *sink) {
    enum { RECORD = 2 + 3 * 32 * 32 };
    uint8_t *bytes = calloc(1, 3 * RECORD + 1);
    fuzz_must(bytes);
    bytes[0] = 1;
    for (int i = 0; i < 3; i++)
        memset(bytes + 1 + i * RECORD + 2, 40 * i + 7, RECORD - 2);
    fuzz_seed_pieces(sink, (const cx_slice[]){{bytes, 1 + 2 * RECORD}, {bytes + 1, RECORD}}, 2);
    bytes[0] = 16;
    fuzz_seed_pieces(sink, (const cx_slice[]){{bytes, 1 + 2 * RECORD}, {bytes + 1, RECORD}}, 2);
    free(bytes);
}

const fuzz_target fuzz_target_cifar = {"cifar", run, seeds};
