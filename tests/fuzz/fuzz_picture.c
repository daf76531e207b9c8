/* JPEG and PNG. The first byte: the least side that is wanted. */
#include "tests/fuzz/fuzz.h"

#include "data/image_decode.h"
#include "tests/test.h"

#include "tests/data/picture_files.h"

static bool run(const uint8_t *data, size_t size) {
    cx_picture picture;
    cx_error err;
    uint8_t planes[3 * 8 * 8];
    if (size < 1)
        return false;
    int rc = cx_picture_decode("fuzz", data + 1, size - 1, data[0] % 64, &picture, &err);
    if (!fuzz_taken(rc, &err)) {
        fuzz_must(!picture.rgb);
        return false;
    }
    unsigned sum = 0;
    for (size_t i = 0; i < 3 * (size_t)picture.width * (size_t)picture.height; i++)
        sum += picture.rgb[i];
    fuzz_must(picture.width > 0 && picture.height > 0 && (sum || !sum));
    fuzz_must(cx_picture_square(&picture, 8, planes, &err) == CX_OK);
    cx_picture_free(&picture);
    return true;
}

static void seeds(const fuzz_sink *sink) {
    static const uint8_t front[] = {0, 5};
    uint8_t rows[16 * 16 * 4];
    png_color palette[256] = {{1, 2, 3}, {200, 100, 50}};
    for (size_t i = 0; i < sizeof rows; i++)
        rows[i] = (uint8_t)(i * 97 % 251);
    (void)fuzz_folder();
    put_jpeg(fuzz_path("0"), 16, 9, 3, false, rows);
    put_jpeg(fuzz_path("1"), 9, 16, 1, true, rows);
    put_jpeg(fuzz_path("2"), 8, 8, 4, false, rows);
    put_png(fuzz_path("3"), 7, 5, PNG_COLOR_TYPE_RGB, 8, rows, NULL);
    put_png(fuzz_path("4"), 5, 7, PNG_COLOR_TYPE_GRAY_ALPHA, 16, rows, NULL);
    put_png(fuzz_path("5"), 6, 6, PNG_COLOR_TYPE_PALETTE, 8, rows, palette);
    put_png(fuzz_path("6"), 9, 3, PNG_COLOR_TYPE_GRAY, 1, rows, NULL);
    for (int i = 0; i < 7; i++) {
        const char name[] = {(char)('0' + i), 0};
        fuzz_seed_file(sink, name, front + i % 2, 1);
    }
}

const fuzz_target fuzz_target_picture = {"picture", run, seeds};
