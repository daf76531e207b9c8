/* Small data sets in IDX files, made by the tests themselves. */
#ifndef CX_TESTS_IDX_FILES_H
#define CX_TESTS_IDX_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Writes bytes to FOLDER/NAME, through gzip where the name ends in .gz. */
static inline void put_file(const char *folder, const char *name, const void *bytes, size_t size) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    size_t n = strlen(name);
    if (n > 3 && strcmp(name + n - 3, ".gz") == 0) {
        gzFile f = gzopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(gzwrite(f, bytes, (unsigned)size), (int)size);
        assert_int_equal(gzclose(f), Z_OK);
    } else {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, size, f), size);
        assert_int_equal(fclose(f), 0);
    }
}

static inline void put_big_endian(unsigned char *p, uint32_t x) {
    p[0] = (unsigned char)(x >> 24);
    p[1] = (unsigned char)(x >> 16);
    p[2] = (unsigned char)(x >> 8);
    p[3] = (unsigned char)x;
}

/* n images whose class can be learned: class k is bright in a block of its own, with
 * noise; the first four pixels carry the example's number. `set` makes splits
 * differ. Labels go round 0 .. 9. */
static inline void put_half(const char *folder, const char *part, uint32_t n, unsigned set,
                            const char *suffix) {
    size_t size = 16 + (size_t)n * 784;
    unsigned char *images = calloc(size, 1), *labels = calloc(8 + (size_t)n, 1);
    char name[64];
    uint32_t state = 12345 + set;
    put_big_endian(images, 0x803);
    put_big_endian(images + 4, n);
    put_big_endian(images + 8, 28);
    put_big_endian(images + 12, 28);
    put_big_endian(labels, 0x801);
    put_big_endian(labels + 4, n);
    for (uint32_t i = 0; i < n; i++) {
        unsigned char *p = images + 16 + (size_t)i * 784;
        uint32_t k = i % 10;
        labels[8 + i] = (unsigned char)k;
        for (uint32_t j = 0; j < 784; j++) {
            state = state * 1664525u + 1013904223u;
            uint32_t y = j / 28, x = j % 28;
            int on = y / 6 == k / 4 + 1 && x / 7 == k % 4;
            p[j] = (unsigned char)((on ? 150 : 20) + (state >> 24) % 100);
        }
        put_big_endian(p, i * 2 + set);
    }
    (void)snprintf(name, sizeof name, "%s-images-idx3-ubyte%s", part, suffix);
    put_file(folder, name, images, size);
    (void)snprintf(name, sizeof name, "%s-labels-idx1-ubyte%s", part, suffix);
    put_file(folder, name, labels, 8 + (size_t)n);
    free(images);
    free(labels);
}

static inline void put_set(const char *folder, uint32_t n_train, uint32_t n_test,
                           const char *suffix) {
    put_half(folder, "train", n_train, 0, suffix);
    put_half(folder, "t10k", n_test, 1, suffix);
}

#endif
