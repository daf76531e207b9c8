/* The four files of MNIST's relatives: images and labels for training, then for test. */
#include "tests/fuzz/fuzz.h"

#include "data/images.h"
#include "tests/test.h"

#include "tests/data/idx_files.h"

static const char *const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                    "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

static bool run(const uint8_t *data, size_t size) {
    static const cx_image_want wants[] = {{28, false}, {7, true}};
    cx_slice file[4];
    cx_images *images;
    cx_error err;
    fuzz_cut(data, size, file, 4);
    for (int i = 0; i < 4; i++)
        fuzz_put(names[i], file[i].data, file[i].size);
    if (!fuzz_taken(cx_images_open(fuzz_folder(), 2, wants, 2, &images, &err), &err)) {
        fuzz_must(!images);
        return false;
    }
    float pixels[28 * 28];
    for (int s = 0; s < 3; s++)
        for (uint32_t i = 0; i < cx_images_count(images, s); i++) {
            uint32_t example = cx_images_first(images, s) + i;
            int label = cx_images_label(images, example);
            fuzz_must(label >= 0 && label < CX_IMAGE_CLASSES);
            for (int w = 0; w < 2; w++)
                cx_image_view_copy(cx_images_view(images, wants[w]), example, 1, pixels);
        }
    cx_images_close(images);
    return true;
}

static void seeds(const fuzz_sink *sink) {
    cx_slice file[4];
    unsigned char bytes[4][16 + 10 * 784];
    fuzz_clear(NULL);
    put_set(fuzz_folder(), 8, 2, "");
    for (int i = 0; i < 4; i++) {
        FILE *f = fopen(fuzz_path(names[i]), "rb");
        fuzz_must(f);
        file[i] = (cx_slice){bytes[i], fread(bytes[i], 1, sizeof bytes[i], f)};
        (void)fclose(f);
    }
    fuzz_seed_pieces(sink, file, 4);
}

const fuzz_target fuzz_target_images = {"images", run, seeds};
