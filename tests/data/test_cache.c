#include "tests/test.h"

#include "data/cache.h"
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/cx_cache_XXXXXX";
static int made;

static int make_text(void *context, FILE *file, cx_error *err) {
    made++;
    return cx_cache_write(file, context, strlen(context), err);
}

static int make_fault(void *context, FILE *file, cx_error *err) {
    (void)cx_cache_write(file, context, 3, err);
    return cx_fail(err, CX_EDATA, "no such data");
}

static int set_up(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : 1;
}

static int tear_down(void **state) {
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void test_made_once(void **state) {
    (void)state;
    cx_mapped m;
    cx_error err;
    made = 0;
    for (int i = 0; i < 3; i++) {
        assert_ok(cx_cache_open(folder, "a", 7, make_text, "hello", &m, &err));
        assert_int_equal(m.size, 5);
        assert_memory_equal(m.bytes, "hello", 5);
        assert_int_equal((uintptr_t)m.bytes % 64, 0);
        cx_mapped_close(&m);
    }
    assert_int_equal(made, 1);
    assert_ok(cx_cache_open(folder, "a", 8, make_text, "other", &m, &err)); /* another key */
    assert_int_equal(made, 2);
    cx_mapped_close(&m);
    cx_mapped_close(&m); /* twice is no harm */
}

/* A file that was cut short or overwritten is made anew. */
static void test_damaged(void **state) {
    (void)state;
    cx_mapped m;
    cx_error err;
    char path[256];
    assert_ok(cx_cache_open(folder, "b", 1, make_text, "something", &m, &err));
    cx_mapped_close(&m);
    (void)snprintf(path, sizeof path, "%s/b-%016x", folder, 1);
    for (int size = 0; size < 73; size += 8) {
        assert_int_equal(truncate(path, size), 0);
        made = 0;
        assert_ok(cx_cache_open(folder, "b", 1, make_text, "something", &m, &err));
        assert_int_equal(made, 1);
        assert_memory_equal(m.bytes, "something", 9);
        cx_mapped_close(&m);
    }
}

static void test_failure_leaves_nothing(void **state) {
    (void)state;
    cx_mapped m;
    cx_error err;
    char command[300];
    assert_int_equal(cx_cache_open(folder, "c", 1, make_fault, "abc", &m, &err), CX_EDATA);
    assert_non_null(strstr(err.message, "no such data"));
    assert_null(m.base);
    (void)snprintf(command, sizeof command, "test -z \"$(ls %s/c-* | grep -v lock)\"", folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(cx_cache_open("/proc/none", "c", 1, make_text, "abc", &m, &err), CX_EIO);
    assert_non_null(strstr(err.message, "data.cache"));
}

static void test_processes_share_one_making(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++)
        if (fork() == 0) {
            cx_mapped m;
            cx_error err;
            made = 0;
            int rc = cx_cache_open(folder, "d", 1, make_text, "shared", &m, &err);
            _exit(rc || m.size != 6 ? 9 : made);
        }
    int total = 0, status;
    for (int i = 0; i < 4; i++) {
        assert_true(wait(&status) > 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 9);
        total += WEXITSTATUS(status);
    }
    assert_int_equal(total, 1);
}

static void test_mapped_files_and_keys(void **state) {
    (void)state;
    cx_mapped m;
    cx_error err;
    char path[256];
    uint64_t a, b;
    (void)snprintf(path, sizeof path, "%s/plain", folder);
    assert_int_equal(cx_mapped_open(path, &m, &err), CX_EDATA);
    assert_int_equal(cx_cache_key_file(path, &a, &err), CX_EDATA);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_ok(cx_mapped_open(path, &m, &err));
    assert_int_equal(m.size, 0);
    cx_mapped_close(&m);
    assert_ok(cx_cache_key_file(path, &a, &err));
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fputs("x", f) < 0, 0);
    assert_int_equal(fclose(f), 0);
    assert_ok(cx_cache_key_file(path, &b, &err));
    assert_true(a != b);
    assert_int_equal(cx_mapped_open(folder, &m, &err), CX_EDATA); /* a folder */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_once),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_failure_leaves_nothing),
        cmocka_unit_test(test_processes_share_one_making),
        cmocka_unit_test(test_mapped_files_and_keys),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
