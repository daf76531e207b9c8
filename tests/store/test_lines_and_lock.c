#include "tests/test.h"

#include "base/file.h"
#include "store/store.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/cx-test-lines-XXXXXX";
static char path[256];

static int set_up(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return cx_file_remove_all(folder, NULL);
}

static void assert_content(const char *expected) {
    cx_error err;
    unsigned char *data;
    size_t size;
    assert_ok(cx_file_read(path, 1 << 20, &data, &size, &err));
    assert_string_equal((char *)data, expected);
    free(data);
}

static void test_append(void **state) {
    (void)state;
    cx_error err;
    cx_lines *l;
    (void)snprintf(path, sizeof path, "%s/a.jsonl", folder);
    assert_ok(cx_lines_open(path, &l, &err));
    assert_int_equal(cx_lines_size(l), 0);
    assert_ok(cx_lines_append(l, "{\"a\":1}", &err));
    assert_ok(cx_lines_append(l, "", &err));
    assert_int_equal(cx_lines_append(l, "two\nlines", &err), CX_ESTATE);
    assert_ok(cx_lines_sync(l, &err));
    assert_int_equal(cx_lines_size(l), 9);
    cx_lines_close(l);
    assert_ok(cx_lines_open(path, &l, &err));
    assert_int_equal(cx_lines_size(l), 9);
    assert_ok(cx_lines_append(l, "b", &err));
    cx_lines_close(l);
    assert_content("{\"a\":1}\n\nb\n");
}

static void test_torn_line_is_cut_off(void **state) {
    (void)state;
    cx_error err;
    cx_lines *l;
    (void)snprintf(path, sizeof path, "%s/torn.jsonl", folder);
    assert_ok(cx_file_replace(path, "whole\n{\"tor", 11, &err));
    assert_ok(cx_lines_open(path, &l, &err));
    assert_int_equal(cx_lines_size(l), 6);
    assert_ok(cx_lines_append(l, "next", &err));
    cx_lines_close(l);
    assert_content("whole\nnext\n");
    static char large[10000]; /* longer than the block that is searched at a time */
    memset(large, 'x', sizeof large);
    memcpy(large, "first\n", 6);
    assert_ok(cx_file_replace(path, large, sizeof large, &err));
    assert_ok(cx_lines_open(path, &l, &err));
    assert_int_equal(cx_lines_size(l), 6);
    cx_lines_close(l);
    assert_content("first\n");
    assert_int_equal(cx_lines_open("/nonexistent/x", &l, &err), CX_EIO);
}

/* A limit on the size of files stands for a full disk: writes come back short. */
static void test_full_disk_leaves_whole_lines(void **state) {
    (void)state;
    cx_error err;
    cx_lines *l;
    struct rlimit before, small;
    (void)snprintf(path, sizeof path, "%s/full.jsonl", folder);
    assert_ok(cx_lines_open(path, &l, &err));
    assert_ok(cx_lines_append(l, "12345", &err));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 10;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = cx_lines_append(l, "1234567890", &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, CX_EIO);
    assert_content("12345\n");
    assert_ok(cx_lines_append(l, "678", &err));
    cx_lines_close(l);
    assert_content("12345\n678\n");
}

/* --- the lock --- */

static void test_lock_names_its_holder(void **state) {
    (void)state;
    cx_error err;
    int fd, ready[2], stop[2];
    char byte, holder[32], text[256];
    bool held;
    (void)snprintf(path, sizeof path, "%s/lock", folder);
    assert_ok(cx_lock_query(path, &held, text, sizeof text, &err));
    assert_false(held);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(stop), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int own = -1;
        byte = cx_lock_take(path, &own, NULL) == CX_OK ? 'y' : 'n';
        (void)!write(ready[1], &byte, 1);
        (void)!read(stop[0], &byte, 1); /* never comes: the parent kills */
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    (void)snprintf(holder, sizeof holder, "process %ld@", (long)child);
    assert_int_equal(cx_lock_take(path, &fd, &err), CX_EUSAGE);
    assert_int_equal(fd, -1);
    if (!strstr(err.message, holder) || !strstr(err.message, path) ||
        !strstr(err.message, " since 20"))
        fail_msg("%s", err.message);
    assert_ok(cx_lock_query(path, &held, text, sizeof text, &err));
    assert_true(held);
    assert_non_null(strstr(text, holder));
    /* killed without a word: the lock is free again, the stale text harms nobody */
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_ok(cx_lock_query(path, &held, text, sizeof text, &err));
    assert_false(held);
    assert_ok(cx_lock_take(path, &fd, &err));
    /* an open file description lock: also refused to the process that has it */
    int again;
    assert_int_equal(cx_lock_take(path, &again, &err), CX_EUSAGE);
    cx_lock_release(path, fd);
    assert_ok(cx_lock_take(path, &fd, &err));
    cx_lock_release(path, fd);
    for (int i = 0; i < 2; i++) {
        (void)close(ready[i]);
        (void)close(stop[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_torn_line_is_cut_off),
        cmocka_unit_test(test_full_disk_leaves_whole_lines),
        cmocka_unit_test(test_lock_names_its_holder),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
