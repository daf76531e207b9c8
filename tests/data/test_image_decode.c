/* Pictures to RGB: exactly where the format is exact, every fault named, and no file,
 * however mangled, does harm. */
#include "tests/test.h"

#include "base/rng.h"
#include "data/image_decode.h"
#include "tests/data/picture_files.h"
#include <math.h>

static char folder[] = "/tmp/cx-test-decode-XXXXXX";
static char path[128]; /* of the picture at hand */
static cx_error err;

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/picture", folder); /* the name tells nothing */
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return cx_file_remove_all(folder, NULL);
}

static void fill_random(uint8_t *x, size_t n) {
    cx_rng rng = cx_rng_make(1, 0, CX_STREAM_TEST);
    for (size_t i = 0; i < n; i++)
        x[i] = (uint8_t)cx_rng_u32(&rng);
}

/* --- formats --- */

enum { W = 13, H = 9, N = W * H };

static cx_picture read_back(int least) {
    cx_picture p;
    assert_ok(cx_picture_read(path, least, &p, &err));
    return p;
}

static void test_png_rgb(void **state) {
    (void)state;
    uint8_t in[N * 3];
    fill_random(in, sizeof in);
    put_png(path, W, H, PNG_COLOR_TYPE_RGB, 8, in, NULL);
    cx_picture p = read_back(4);
    assert_int_equal(p.width, W);
    assert_int_equal(p.height, H);
    assert_memory_equal(p.rgb, in, sizeof in);
    cx_picture_free(&p);
}

static void test_png_gray(void **state) {
    (void)state;
    uint8_t in[N], wide[2 * N];
    fill_random(in, sizeof in);
    for (int depth = 8; depth <= 16; depth += 8) {
        for (int i = 0; i < N; i++)
            wide[2 * i] = wide[2 * i + 1] = in[i];
        put_png(path, W, H, PNG_COLOR_TYPE_GRAY, depth, depth == 8 ? in : wide, NULL);
        cx_picture p = read_back(0);
        for (int i = 0; i < 3 * N; i++)
            assert_int_equal(p.rgb[i], in[i / 3]);
        cx_picture_free(&p);
    }
}

static void test_png_palette(void **state) {
    (void)state;
    png_color palette[256];
    uint8_t in[N];
    fill_random(in, sizeof in);
    fill_random((uint8_t *)palette, sizeof palette);
    put_png(path, W, H, PNG_COLOR_TYPE_PALETTE, 8, in, palette);
    cx_picture p = read_back(0);
    for (int i = 0; i < N; i++) {
        assert_int_equal(p.rgb[3 * i], palette[in[i]].red);
        assert_int_equal(p.rgb[3 * i + 1], palette[in[i]].green);
        assert_int_equal(p.rgb[3 * i + 2], palette[in[i]].blue);
    }
    cx_picture_free(&p);
}

static void test_png_alpha(void **state) {
    (void)state;
    uint8_t in[N * 4], gray[N * 2];
    fill_random(in, sizeof in);
    fill_random(gray, sizeof gray);
    for (int i = 0; i < N; i++) /* opaque, transparent, between */
        in[4 * i + 3] = gray[2 * i + 1] = i % 3 == 0 ? 255 : i % 3 == 1 ? 0 : 128;
    put_png(path, W, H, PNG_COLOR_TYPE_RGBA, 8, in, NULL);
    cx_picture p = read_back(0);
    for (int i = 0; i < 3 * N; i++) {
        int v = in[i / 3 * 4 + i % 3];
        if (i / 3 % 3 == 2)
            assert_true(p.rgb[i] >= v && p.rgb[i] >= 128 / 2); /* lighter than it was */
        else
            assert_int_equal(p.rgb[i], i / 3 % 3 ? 255 : v);
    }
    cx_picture_free(&p);
    put_png(path, W, H, PNG_COLOR_TYPE_GRAY_ALPHA, 8, gray, NULL);
    p = read_back(0);
    for (int i = 0; i < 3 * N; i++)
        if (i / 3 % 3 < 2)
            assert_int_equal(p.rgb[i], i / 3 % 3 ? 255 : gray[i / 3 * 2]);
    cx_picture_free(&p);
}

/* Blocks of one color each, which JPEG keeps to a step or two. */
static void put_blocks(int w, int h, int components, bool progressive) {
    uint8_t *in = malloc((size_t)(w * h * components));
    assert_non_null(in);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < components; c++)
                in[(y * w + x) * components + c] =
                    (uint8_t)(40 * (x / 8 % 3) + 30 * (y / 8 % 2) + 50 * c + 20);
    put_jpeg(path, w, h, components, progressive, in);
    free(in);
}

static void test_jpeg(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) { /* gray and RGB, baseline and progressive */
        int components = k % 2 ? 3 : 1;
        put_blocks(24, 16, components, k / 2);
        cx_picture p = read_back(0);
        assert_int_equal(p.width, 24);
        assert_int_equal(p.height, 16);
        for (int i = 0; i < 24 * 16 * 3; i++) {
            int x = i / 3 % 24, y = i / 3 / 24, c = components == 3 ? i % 3 : 0;
            int want = 40 * (x / 8 % 3) + 30 * (y / 8 % 2) + 50 * c + 20;
            if (abs(p.rgb[i] - want) > 2)
                fail_msg("%d components: %d at (%d, %d), %d was written", components, p.rgb[i], x,
                         y, want);
        }
        cx_picture_free(&p);
    }
}

/* libjpeg writes Adobe's marker with CMYK, which means inverted inks: 255 is none. */
static void test_jpeg_cmyk(void **state) {
    (void)state;
    uint8_t in[16 * 16 * 4];
    for (int i = 0; i < 16 * 16; i++) {
        in[4 * i] = 200;
        in[4 * i + 1] = 100;
        in[4 * i + 2] = 0;
        in[4 * i + 3] = 128;
    }
    put_jpeg(path, 16, 16, 4, false, in);
    cx_picture p = read_back(0);
    for (int i = 0; i < 16 * 16; i++) {
        assert_in_range(p.rgb[3 * i], 97, 103);
        assert_in_range(p.rgb[3 * i + 1], 47, 53);
        assert_in_range(p.rgb[3 * i + 2], 0, 3);
    }
    cx_picture_free(&p);
}

static void test_jpeg_scales(void **state) {
    (void)state;
    static const int wants[][3] = {/* least, width, height */
                                   {0, 512, 300},   {300, 512, 300}, {151, 512, 300},
                                   {150, 256, 150}, {76, 256, 150},  {75, 128, 75},
                                   {39, 128, 75},   {38, 64, 38},    {1, 64, 38}};
    put_blocks(512, 300, 3, false);
    for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++) {
        cx_picture p = read_back(wants[i][0]);
        assert_int_equal(p.width, wants[i][1]);
        assert_int_equal(p.height, wants[i][2]);
        cx_picture_free(&p);
    }
}

/* --- resizing --- */

static void test_square_is_exact(void **state) {
    (void)state;
    static const int sizes[][2] = {{32, 32}, {47, 32}, {32, 46}, {33, 32}};
    uint8_t rgb[47 * 46 * 3], planes[3 * 32 * 32];
    fill_random(rgb, sizeof rgb);
    for (int k = 0; k < 4; k++) {
        cx_picture p = {sizes[k][0], sizes[k][1], rgb};
        int x0 = (p.width - 32) / 2, y0 = (p.height - 32) / 2;
        assert_ok(cx_picture_square(&p, 32, planes, &err));
        for (int i = 0; i < 3 * 32 * 32; i++) {
            int c = i / 1024, y = i / 32 % 32, x = i % 32;
            assert_int_equal(planes[i], rgb[((y + y0) * p.width + x + x0) * 3 + c]);
        }
    }
}

/* A triangle filter leaves a slope as it is, whatever the factor; a cut that is off by a
 * pixel, or weights that are not symmetric, move it. */
static void test_square_keeps_slopes(void **state) {
    (void)state;
    static const int sizes[][3] = {{100, 80, 20}, {61, 61, 32},  {90, 200, 64},
                                   {20, 16, 32},  {25, 40, 100}, {300, 257, 256}};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        int w = sizes[k][0], h = sizes[k][1], side = sizes[k][2];
        uint8_t *rgb = malloc((size_t)(w * h * 3)), *out = malloc((size_t)(side * side * 3));
        assert_non_null(rgb);
        assert_non_null(out);
        double sx = 200.0 / w, sy = 200.0 / h, scale = (double)(w < h ? w : h) / side;
        for (int i = 0; i < w * h; i++) {
            rgb[3 * i] = (uint8_t)lround(20 + sx * (i % w));
            rgb[3 * i + 1] = (uint8_t)lround(20 + sy * (i / w));
            rgb[3 * i + 2] = 99;
        }
        cx_picture p = {w, h, rgb};
        assert_ok(cx_picture_square(&p, side, out, &err));
        double x0 = floor((w / scale - side) / 2 + 1e-6) * scale;
        double y0 = floor((h / scale - side) / 2 + 1e-6) * scale;
        int rim = (int)ceil(scale > 1 ? 1 : 1 / scale), far = 0;
        for (int y = rim; y < side - rim; y++)
            for (int x = rim; x < side - rim; x++) {
                double wx = 20 + sx * (x0 + (x + 0.5) * scale - 0.5);
                double wy = 20 + sy * (y0 + (y + 0.5) * scale - 0.5);
                far += fabs(out[y * side + x] - wx) > 1.1;
                far += fabs(out[(side + y) * side + x] - wy) > 1.1;
                assert_int_equal(out[(2 * side + y) * side + x], 99);
            }
        if (far)
            fail_msg("%d x %d to %d: %d numbers are off", w, h, side, far);
        free(rgb);
        free(out);
    }
}

/* --- faults --- */

static void expect_fault(const char *word) {
    cx_picture p;
    assert_int_equal(cx_picture_read(path, 0, &p, &err), CX_EDATA);
    assert_null(p.rgb);
    if (!strstr(err.message, word) || !strstr(err.message, path))
        fail_msg("'%s' does not name '%s' and the file", err.message, word);
}

static uint32_t crc_of(const uint8_t *x, size_t n) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < n; i++) {
        crc ^= x[i];
        for (int b = 0; b < 8; b++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void put32(uint8_t *to, uint32_t x) {
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(x >> (24 - 8 * i));
}

/* A PNG file whose header says another size, with the right check sum. */
static void put_png_of_size(uint32_t w, uint32_t h) {
    uint8_t in[N] = {0}, *data;
    size_t size;
    put_png(path, W, H, PNG_COLOR_TYPE_GRAY, 8, in, NULL);
    assert_ok(cx_file_read(path, 1 << 20, &data, &size, &err));
    put32(data + 16, w);
    put32(data + 20, h);
    put32(data + 29, crc_of(data + 12, 17));
    put_bytes(path, data, size);
    free(data);
}

/* Height and width in a JPEG file's frame header. */
static void put_jpeg_of_size(int w, int h) {
    uint8_t *data;
    size_t size, i = 2;
    put_blocks(24, 16, 3, false);
    assert_ok(cx_file_read(path, 1 << 20, &data, &size, &err));
    while (data[i + 1] != 0xc0)
        i += 2 + (size_t)(data[i + 2] << 8 | data[i + 3]);
    data[i + 5] = (uint8_t)(h >> 8);
    data[i + 6] = (uint8_t)h;
    data[i + 7] = (uint8_t)(w >> 8);
    data[i + 8] = (uint8_t)w;
    put_bytes(path, data, size);
    free(data);
}

static void test_faults(void **state) {
    (void)state;
    put_bytes(path, "", 0);
    expect_fault("empty");
    put_bytes(path, "GIF89a and so on", 16);
    expect_fault("neither a JPEG nor a PNG");
    put_bytes(path, "\xff\xd8\xff", 3);
    expect_fault("neither");
    put_bytes(path, "\xff\xd8\xff\xe0 and no more of it", 22);
    expect_fault("broken JPEG");
    put_bytes(path, "\x89PNG\r\n\x1a\n and no more of it", 26);
    expect_fault("broken PNG");
    put_png_of_size(0, 5);
    expect_fault("broken PNG");
    put_png_of_size(900000, 900000);
    expect_fault("900000 x 900000");
    put_png_of_size(60000, 60000); /* 10 GB of pixels */
    expect_fault("60000 x 60000");
    put_png_of_size(W, H + 1);
    expect_fault("broken PNG");
    put_jpeg_of_size(0, 16);
    expect_fault("broken JPEG");
    put_jpeg_of_size(65500, 65500);
    expect_fault("65500 x 65500");
    assert_int_equal(cx_picture_read(path, 8, &(cx_picture){0}, &err), CX_EDATA);
    assert_non_null(strstr(err.message, "65500 x 65500"));
    put_jpeg_of_size(24, 64); /* more rows than there are data */
    expect_fault("broken JPEG");
    assert_int_equal(remove(path), 0);
    expect_fault("cannot open");
    assert_int_equal(cx_picture_read(folder, 0, &(cx_picture){0}, &err), CX_EDATA);
}

/* Every prefix of a file is refused, where more than its closing marker of `end` bytes is
 * missing; every file with bytes changed is read or refused. */
static void mangle(const char *what, size_t end) {
    uint8_t *data, *copy;
    size_t size;
    cx_picture p;
    int refused = 0;
    assert_ok(cx_file_read(path, 1 << 20, &data, &size, &err));
    copy = malloc(size);
    assert_non_null(copy);
    for (size_t n = 0; n + end < size; n += n < 700 ? 1 : 7) {
        memcpy(copy, data, n);
        if (cx_picture_decode(what, copy, n, 0, &p, &err) == CX_OK)
            fail_msg("%s: %zu of %zu bytes are taken for a picture", what, n, size);
        assert_int_equal(err.code, CX_EDATA);
    }
    cx_rng rng = cx_rng_make(2, 0, CX_STREAM_TEST);
    for (int i = 0; i < 600; i++) {
        memcpy(copy, data, size);
        for (int k = 0; k < 1 + i % 5; k++)
            copy[cx_rng_below(&rng, (uint32_t)size)] = (uint8_t)cx_rng_u32(&rng);
        int rc = cx_picture_decode(what, copy, size, 8, &p, &err);
        assert_true(rc == CX_OK || rc == CX_EDATA || rc == CX_ENOMEM);
        refused += rc != CX_OK;
        if (rc == CX_OK)
            cx_picture_free(&p);
    }
    assert_true(refused > 20);
    free(copy);
    free(data);
}

static void test_mangled(void **state) {
    (void)state;
    uint8_t in[N * 4];
    fill_random(in, sizeof in);
    put_png(path, W, H, PNG_COLOR_TYPE_RGBA, 8, in, NULL);
    mangle("png", 12);
    put_jpeg(path, W, H, 3, false, in);
    mangle("jpeg", 2);
    put_jpeg(path, W, H, 4, false, in);
    mangle("cmyk", 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_rgb),
        cmocka_unit_test(test_png_gray),
        cmocka_unit_test(test_png_palette),
        cmocka_unit_test(test_png_alpha),
        cmocka_unit_test(test_jpeg),
        cmocka_unit_test(test_jpeg_cmyk),
        cmocka_unit_test(test_jpeg_scales),
        cmocka_unit_test(test_square_is_exact),
        cmocka_unit_test(test_square_keeps_slopes),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_mangled),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
