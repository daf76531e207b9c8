#include "tests/test.h"

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "tests/folder.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_replace_and_read(void **state) {
    (void)state;
    cx_error err;
    char path[256];
    unsigned char *data;
    size_t size;
    (void)snprintf(path, sizeof path, "%s/a/b", folder);
    assert_ok(cx_file_make_dirs(path, &err));
    (void)snprintf(path, sizeof path, "%s/a/b/f", folder);
    assert_ok(cx_file_replace(path, "hello", 5, &err));
    assert_ok(cx_file_replace(path, "other", 5, &err));
    assert_ok(cx_file_read(path, 100, &data, &size, &err));
    assert_int_equal(size, 5);
    assert_string_equal((char *)data, "other");
    free(data);
    assert_int_equal(cx_file_read(path, 4, &data, &size, &err), CX_EDATA);
    assert_ok(cx_file_truncate(path, 2, &err));
    assert_ok(cx_file_read(path, 100, &data, &size, &err));
    assert_int_equal(size, 2);
    free(data);
}

/* Neither a link nor a pipe nor a folder becomes a file. */
static void test_replace_what_is_no_file(void **state) {
    (void)state;
    cx_error err;
    char link[256], target[256], pipe[256], text[8] = "";
    struct stat st;
    (void)snprintf(target, sizeof target, "%s/target", folder);
    (void)snprintf(link, sizeof link, "%s/link", folder);
    (void)snprintf(pipe, sizeof pipe, "%s/pipe", folder);
    assert_ok(cx_file_replace(target, "old", 3, &err));
    assert_int_equal(symlink("target", link), 0);
    assert_ok(cx_file_replace(link, "newer", 5, &err));
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(target, &st), 0);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    int fd = open(pipe, O_RDWR); /* so that the writer need not wait */
    assert_true(fd >= 0);
    assert_ok(cx_file_replace(pipe, "word", 4, &err));
    assert_int_equal(read(fd, text, sizeof text), 4);
    assert_string_equal(text, "word");
    assert_int_equal(close(fd), 0);
    assert_int_equal(stat(pipe, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(cx_file_replace(folder, "x", 1, &err), CX_EIO);
    assert_non_null(strstr(err.message, "is a folder"));
    assert_int_equal(cx_file_replace("/dev/full", "x", 1, &err), CX_EIO);
    assert_int_equal(stat("/dev/full", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static void test_faults_name_the_path(void **state) {
    (void)state;
    cx_error err;
    unsigned char *data;
    size_t size;
    assert_int_equal(cx_file_read("/nonexistent/x", 10, &data, &size, &err), CX_EDATA);
    assert_non_null(strstr(err.message, "/nonexistent/x"));
    assert_int_equal(cx_file_replace("/nonexistent/x", "a", 1, &err), CX_EIO);
    char p[8];
    assert_int_equal(cx_path(p, sizeof p, &err, "%s", "longer than eight"), CX_EUSAGE);
    assert_int_equal(cx_file_read("/tmp", 10, &data, &size, &err), CX_EDATA);
}

static void test_nearest_word(void **state) {
    (void)state;
    const char *const names[] = {"learning_rate", "entropy", "updates"};
    assert_string_equal(cx_text_nearest("learing_rate", names, 3), "learning_rate");
    assert_string_equal(cx_text_nearest("update", names, 3), "updates");
    assert_null(cx_text_nearest("zzzz", names, 3));
}

static void test_numbers(void **state) {
    (void)state;
    double d;
    long long i;
    char text[32];
    assert_true(cx_text_double("1e-3", &d) && d == 1e-3);
    assert_false(cx_text_double("1e-3x", &d));
    assert_false(cx_text_double("", &d));
    assert_true(cx_text_int("-12", &i) && i == -12);
    assert_false(cx_text_int("1.5", &i));
    cx_text_from_double(text, sizeof text, 0.1);
    assert_string_equal(text, "0.1");
}

static void test_error_prefix(void **state) {
    (void)state;
    cx_error err;
    (void)cx_fail(&err, CX_EDATA, "bad %d", 3);
    assert_int_equal(cx_fail_in(&err, "file %s", "f"), CX_EDATA);
    assert_string_equal(err.message, "file f: bad 3");
    assert_int_equal(cx_code_exit_status(CX_EDATA), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace_and_read),
        cmocka_unit_test(test_replace_what_is_no_file),
        cmocka_unit_test(test_faults_name_the_path),
        cmocka_unit_test(test_nearest_word),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_error_prefix),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
