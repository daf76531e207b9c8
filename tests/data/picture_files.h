/* Pictures and CIFAR files for the tests. */
#ifndef CX_TESTS_DATA_PICTURE_FILES_H
#define CX_TESTS_DATA_PICTURE_FILES_H

#include "base/file.h"
#include <png.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

/* rows[h][w * bytes of a pixel], of libpng's color type and bit depth (16 bits: high byte
 * first). `palette` (256 colors) for PNG_COLOR_TYPE_PALETTE. */
static inline void put_png(const char *path, int w, int h, int type, int depth, const uint8_t *rows,
                           const png_color *palette) {
    FILE *f = fopen(path, "wb");
    if (!f)
        fail_msg("cannot write %s", path);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    if (setjmp(png_jmpbuf(png)))
        fail_msg("cannot write %s", path);
    png_init_io(png, f);
    png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, depth, type, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (palette)
        png_set_PLTE(png, info, palette, 256);
    png_write_info(png, info);
    for (int y = 0; y < h; y++)
        png_write_row(png, rows + (size_t)y * png_get_rowbytes(png, info));
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    assert_int_equal(fclose(f), 0);
}

/* rows[h][w][components]: 1 gray, 3 RGB, 4 CMYK as it is to stand in the file. Without
 * color subsampling, at the best quality. */
static inline void put_jpeg(const char *path, int w, int h, int components, bool progressive,
                            const uint8_t *rows) {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    FILE *f = fopen(path, "wb");
    if (!f)
        fail_msg("cannot write %s", path);
    info.err = jpeg_std_error(&errors); /* exits on an error, which fails the test */
    jpeg_create_compress(&info);
    jpeg_stdio_dest(&info, f);
    info.image_width = (JDIMENSION)w;
    info.image_height = (JDIMENSION)h;
    info.input_components = components;
    info.in_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, 100, TRUE);
    for (int i = 0; i < info.num_components; i++)
        info.comp_info[i].h_samp_factor = info.comp_info[i].v_samp_factor = 1;
    if (progressive)
        jpeg_simple_progression(&info);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        uint8_t line[4 * 4096];
        JSAMPROW row[1] = {line};
        memcpy(line, rows + (size_t)info.next_scanline * (size_t)(w * components),
               (size_t)(w * components));
        (void)jpeg_write_scanlines(&info, row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    assert_int_equal(fclose(f), 0);
}

static inline void put_bytes(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    if (!f)
        fail_msg("cannot write %s", path);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* A PNG of side x side at FOLDER/PART/CLASS/NAME, noise of its own for each id. Its first
 * pixel is (id / 256, id % 256, 77). */
static inline void put_tagged(const char *folder, const char *part, const char *class,
                              const char *name, int side, unsigned id) {
    char path[512];
    uint8_t *rgb = malloc((size_t)side * (size_t)side * 3);
    uint32_t x = id * 2654435761u + 12345;
    assert_non_null(rgb);
    for (int i = 0; i < side * side * 3; i++) {
        x = x * 1664525u + 1013904223u;
        rgb[i] = (uint8_t)(x >> 24);
    }
    rgb[0] = (uint8_t)(id >> 8);
    rgb[1] = (uint8_t)id;
    rgb[2] = 77;
    (void)snprintf(path, sizeof path, "%s/%s/%s", folder, part, class);
    assert_int_equal(cx_file_make_dirs(path, NULL), 0);
    (void)snprintf(path, sizeof path, "%s/%s/%s/%s", folder, part, class, name);
    put_png(path, side, side, PNG_COLOR_TYPE_RGB, 8, rgb, NULL);
    free(rgb);
}

#endif
