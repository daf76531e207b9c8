#include "tests/test.h"

#include "base/file.h"
#include "data/idx.h"
#include "tests/data/idx_files.h"
#include "tests/folder.h"

/* A good file of 2 x 3 x 4 bytes. */
enum { GOOD = 16 + 24 };
static void good(unsigned char *b) {
    put_big_endian(b, 0x803);
    put_big_endian(b + 4, 2);
    put_big_endian(b + 8, 3);
    put_big_endian(b + 12, 4);
    for (int i = 0; i < 24; i++)
        b[16 + i] = (unsigned char)(200 + i);
}

static void expect_fault(const char *stem, int rank, const char *word) {
    cx_error err = {0};
    cx_idx idx;
    assert_int_equal(cx_idx_read(folder, stem, rank, &idx, NULL, 0, &err), CX_EDATA);
    assert_null(idx.data);
    if (!strstr(err.message, stem) || !strstr(err.message, word))
        fail_msg("'%s' names not both '%s' and '%s'", err.message, stem, word);
}

static void test_plain_and_gzipped(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b.gz"};
    for (int i = 0; i < 2; i++) {
        unsigned char b[GOOD];
        char path[256];
        cx_error err;
        cx_idx idx;
        good(b);
        put_file(folder, names[i], b, sizeof b);
        assert_ok(cx_idx_read(folder, i ? "b" : "a", 3, &idx, path, sizeof path, &err));
        assert_non_null(strstr(path, names[i]));
        assert_int_equal(idx.size, 24);
        assert_int_equal(idx.dim[0], 2);
        assert_int_equal(idx.dim[1], 3);
        assert_int_equal(idx.dim[2], 4);
        assert_memory_equal(idx.data, b + 16, 24);
        cx_idx_free(&idx);
    }
}

static void test_missing(void **state) {
    (void)state;
    expect_fault("nothing", 3, "not there");
}

/* Whatever number of bytes is missing, it is said, and nothing is read past the end. */
static void test_truncated_at_every_byte(void **state) {
    (void)state;
    unsigned char b[GOOD], z[4096];
    good(b);
    for (size_t n = 0; n < GOOD; n++) {
        put_file(folder, "cut", b, n);
        expect_fault("cut", 3, n < 8 ? "cut short" : "");
    }
    put_file(folder, "whole.gz", b, GOOD);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/whole.gz", folder);
    FILE *f = fopen(path, "rb");
    size_t size = fread(z, 1, sizeof z, f);
    (void)fclose(f);
    assert_true(size > 20 && size < sizeof z);
    for (size_t n = 0; n < size; n++) {
        (void)snprintf(path, sizeof path, "%s/zcut.gz", folder);
        f = fopen(path, "wb");
        assert_int_equal(fwrite(z, 1, n, f), n);
        (void)fclose(f);
        expect_fault("zcut", 3, "");
    }
    /* every single byte turned over, but for those of gzip's header that mean nothing */
    for (size_t n = 0; n < size; n++) {
        unsigned char was = z[n];
        if (n >= 4 && n <= 9)
            continue;
        z[n] ^= 0xff;
        (void)snprintf(path, sizeof path, "%s/zbad.gz", folder);
        f = fopen(path, "wb");
        assert_int_equal(fwrite(z, 1, size, f), size);
        (void)fclose(f);
        expect_fault("zbad", 3, "");
        z[n] = was;
    }
}

static void test_wrong_magic(void **state) {
    (void)state;
    unsigned char b[GOOD];
    good(b);
    put_file(folder, "magic", b, sizeof b);
    expect_fault("magic", 1, "0x00000801");
    b[2] = 0x0d; /* floats */
    put_file(folder, "magic", b, sizeof b);
    expect_fault("magic", 3, "0x00000d03");
}

static void test_trailing(void **state) {
    (void)state;
    unsigned char b[GOOD + 2] = {0};
    good(b);
    put_file(folder, "long", b, GOOD + 1);
    expect_fault("long", 3, "follow");
    put_file(folder, "zlong.gz", b, GOOD + 2);
    expect_fault("zlong", 3, "more bytes");
    put_file(folder, "zjunk.gz", b, GOOD);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/zjunk.gz", folder);
    FILE *f = fopen(path, "ab");
    (void)fputs("junk", f);
    (void)fclose(f);
    expect_fault("zjunk", 3, "follow the end");
}

static void test_absurd_dimensions(void **state) {
    (void)state;
    unsigned char b[GOOD];
    for (int i = 0; i < 3; i++) {
        good(b);
        put_big_endian(b + 4 + 4 * i, 0xffffffff);
        put_file(folder, "absurd", b, sizeof b);
        expect_fault("absurd", 3, "more data");
        put_file(folder, "zabsurd.gz", b, sizeof b);
        expect_fault("zabsurd", 3, "more data");
        put_big_endian(b + 4 + 4 * i, 0);
        put_file(folder, "absurd", b, sizeof b);
        expect_fault("absurd", 3, "is 0");
    }
    good(b); /* a product that overflows 32 and 64 bits */
    for (int i = 0; i < 3; i++)
        put_big_endian(b + 4 + 4 * i, 0x80000000);
    put_file(folder, "absurd", b, sizeof b);
    expect_fault("absurd", 3, "more data");
}

static void test_a_folder_in_its_place(void **state) {
    (void)state;
    char path[256];
    cx_error err;
    (void)snprintf(path, sizeof path, "%s/dir", folder);
    assert_ok(cx_file_make_dirs(path, &err));
    expect_fault("dir", 3, "not a regular file");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_and_gzipped),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_truncated_at_every_byte),
        cmocka_unit_test(test_wrong_magic),
        cmocka_unit_test(test_trailing),
        cmocka_unit_test(test_absurd_dimensions),
        cmocka_unit_test(test_a_folder_in_its_place),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
