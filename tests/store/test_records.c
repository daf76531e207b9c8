/* What the baseline cache's tests do not reach: records of different sizes. */
#include "tests/test.h"

#include "base/file.h"
#include "store/records.h"
#include <string.h>
#include <unistd.h>

static char top[] = "/tmp/cx-test-records-XXXXXX";
static char path[512];

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(top))
        return -1;
    (void)snprintf(path, sizeof path, "%s/deep/er/file.bin", top);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return cx_file_remove_all(top, NULL);
}

static bool usable(const void *data, size_t size) {
    (void)data;
    return size != 48; /* "another version" */
}

static cx_records *open_file(void) {
    cx_error err;
    cx_records *r;
    assert_ok(cx_records_open(path, 0x31323334, usable, &r, &err));
    return r;
}

static size_t fill(unsigned char *data, uint64_t key) {
    size_t size = 8 + (size_t)(key * 37 % 500);
    memset(data, (int)key, size);
    memcpy(data, &key, sizeof key);
    return size;
}

static void test_sizes(void **state) {
    (void)state;
    cx_error err;
    unsigned char data[600];
    cx_records *r = open_file();
    for (uint64_t key = 1; key <= 200; key++) {
        size_t size = fill(data, key);
        if (size != 48)
            assert_ok(cx_records_add(r, data, size, &err));
        else
            assert_int_equal(cx_records_add(r, data, size, &err), CX_ESTATE);
    }
    assert_int_equal(cx_records_add(r, data, 4, &err), CX_ESTATE);
    size_t count = cx_records_count(r);
    cx_records_close(r);
    r = open_file();
    assert_int_equal(cx_records_count(r), count);
    for (uint64_t key = 1; key <= 200; key++) {
        size_t size = fill(data, key), found = 1;
        const void *there = cx_records_find(r, key, &found);
        assert_true(size == 48 ? !there && found == 0 : found == size);
        if (there)
            assert_memory_equal(there, data, size);
    }
    cx_records_close(r);
}

/* Cut at every byte of the last record: the others stay, and it can be added again. */
static void test_torn(void **state) {
    (void)state;
    cx_error err;
    unsigned char data[600], *whole;
    size_t whole_size, size;
    (void)unlink(path);
    cx_records *r = open_file();
    for (uint64_t key = 1; key <= 3; key++)
        assert_ok(cx_records_add(r, data, size = fill(data, key), &err));
    cx_records_close(r);
    assert_ok(cx_file_read(path, 1 << 20, &whole, &whole_size, &err));
    for (size_t cut = 1; cut <= size + 15; cut++) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(whole, 1, whole_size - cut, f), whole_size - cut);
        (void)fclose(f);
        r = open_file();
        assert_int_equal(cx_records_count(r), 2);
        assert_ok(cx_records_add(r, data, fill(data, 3), &err));
        cx_records_close(r);
        unsigned char *again;
        size_t again_size;
        assert_ok(cx_file_read(path, 1 << 20, &again, &again_size, &err));
        assert_int_equal(again_size, whole_size);
        assert_memory_equal(again, whole, whole_size);
        free(again);
    }
    free(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_torn),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
