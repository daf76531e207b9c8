/* State files: what was written comes back, and nothing else is taken for it. */
#include "tests/test.h"

#include "base/file.h"
#include "base/hash.h"
#include "store/store.h"
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/cx-test-state-XXXXXX";
static char path[256];
static const char identity[] = "lr 0.1\nsteps 5\n";
static const char first[] = "0123456789", second[] = "abc";
static const size_t sizes[3] = {10, 0, 3};

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/state", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return cx_file_remove_all(folder, NULL);
}

static void write_good(void) {
    cx_error err;
    const cx_slice pieces[] = {{first, 10}, {NULL, 0}, {second, 3}};
    assert_ok(cx_state_file_write(path, identity, pieces, 3, &err));
}

static void refuse(int code, const char *said, const char *who, const size_t *sizes_, int n) {
    cx_error err = {0};
    cx_state_file f;
    assert_int_equal(cx_state_file_open(path, who, sizes_, n, &f, &err), code);
    assert_false(f.found);
    assert_null(f.file.base);
    if (!strstr(err.message, said) || !strstr(err.message, path))
        fail_msg("no '%s' in '%s'", said, err.message);
}

static void test_round_trip(void **state) {
    (void)state;
    cx_error err;
    cx_state_file f;
    (void)unlink(path);
    assert_ok(cx_state_file_open(path, identity, sizes, 3, &f, &err));
    assert_false(f.found);
    write_good();
    write_good(); /* over the one that is there */
    assert_ok(cx_state_file_open(path, identity, sizes, 3, &f, &err));
    assert_true(f.found);
    assert_memory_equal(f.piece[0], first, 10);
    assert_memory_equal(f.piece[2], second, 3);
    cx_state_file_close(&f);
}

static void test_of_another_run(void **state) {
    (void)state;
    write_good();
    refuse(CX_ECONFIG, "it has \"lr 0.1\", this one \"lr 0.2\"", "lr 0.2\nsteps 5\n", sizes, 3);
    refuse(CX_ECONFIG, "it has \"steps 5\", this one \"steps 50\"", "lr 0.1\nsteps 50\n", sizes, 3);
    refuse(CX_ECONFIG, "it has \"steps 5\", this one \"\"", "lr 0.1\n", sizes, 3);
    refuse(CX_ECONFIG, "it has \"\", this one \"more\"", "lr 0.1\nsteps 5\nmore\n", sizes, 3);
    refuse(CX_EFORMAT, "13 bytes", identity, sizes, 2);
}

static void put(const unsigned char *data, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* Cut at every length, and with every byte changed. */
static void test_damage(void **state) {
    (void)state;
    cx_error err;
    unsigned char *data;
    size_t size;
    write_good();
    assert_ok(cx_file_read(path, 1 << 16, &data, &size, &err));
    for (size_t i = 0; i < size; i++) {
        cx_state_file f;
        put(data, i);
        int rc = cx_state_file_open(path, identity, sizes, 3, &f, &err);
        assert_true(rc == CX_EFORMAT);
        data[i] ^= 0x41;
        put(data, size);
        rc = cx_state_file_open(path, identity, sizes, 3, &f, &err);
        assert_true(rc == CX_EFORMAT || rc == CX_EVERSION);
        data[i] ^= 0x41;
    }
    put(data, size);
    refuse(CX_ECONFIG, "lr", "lr 1\n", sizes, 3);
    put((const unsigned char *)"text", 4);
    refuse(CX_EFORMAT, "not a file of a run's state", identity, sizes, 3);
    free(data);
    (void)unlink(path);
    assert_ok(cx_file_make_dirs(path, &err));
    cx_state_file f;
    assert_true(cx_state_file_open(path, identity, sizes, 3, &f, &err) != CX_OK);
    assert_int_equal(rmdir(path), 0);
}

static void test_cannot_write(void **state) {
    (void)state;
    cx_error err = {0};
    const cx_slice piece = {first, 10};
    assert_int_equal(cx_state_file_write("/nowhere/state", identity, &piece, 1, &err), CX_EIO);
    assert_non_null(strstr(err.message, "/nowhere/state"));
}

static void test_hash_of_pieces(void **state) {
    (void)state;
    unsigned char x[1000];
    for (size_t i = 0; i < sizeof x; i++)
        x[i] = (unsigned char)(i * i >> 3);
    for (size_t cut = 0; cut <= sizeof x; cut += 37) {
        const cx_slice pieces[] = {{x, cut}, {NULL, 0}, {x + cut, sizeof x - cut}};
        assert_true(cx_hash_slices(pieces, 3, 5) == cx_hash(x, sizeof x, 5));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_of_another_run),
        cmocka_unit_test(test_damage),         cmocka_unit_test(test_cannot_write),
        cmocka_unit_test(test_hash_of_pieces),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
