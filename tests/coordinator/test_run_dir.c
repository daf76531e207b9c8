/* A run's folder when it is opened again. */
#include "tests/test.h"

#include "base/file.h"
#include "coordinator/run_dir.h"
#include <string.h>

static char root[] = "/tmp/cx-test-run-dir-XXXXXX";
static char run[256];
static const char old_config[] = "seed: 1\nupdates: 2\n", new_config[] = "seed: 1\nupdates: 3\n";

static int set_up(void **state) {
    (void)state;
    cx_error err;
    cx_run_dir dir;
    cx_run_counters none = {0};
    if (!mkdtemp(root))
        return -1;
    (void)snprintf(run, sizeof run, "%s/run", root);
    assert_ok(cx_run_dir_open(&dir, run, false, old_config, &err));
    assert_ok(cx_run_dir_open_lines(&dir, &none, &err));
    for (int i = 0; i < 2; i++) {
        assert_ok(cx_lines_append(dir.metrics, "{\"m\":1}", &err));
        assert_ok(cx_lines_append(dir.episodes, "{\"e\":1}", &err));
    }
    cx_run_dir_close(&dir);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return cx_file_remove_all(root, NULL);
}

static void assert_file(const char *name, const char *text) {
    cx_error err;
    char path[300];
    unsigned char *data;
    size_t size;
    (void)snprintf(path, sizeof path, "%s/%s", run, name);
    assert_ok(cx_file_read(path, 1 << 16, &data, &size, &err));
    assert_string_equal((char *)data, text);
    free(data);
}

#define LINE(c) "{\"" #c "\":1}\n"

/* A checkpoint that knows of more than is there is refused, and all stays as it was. */
static void test_short_lines(void **state) {
    (void)state;
    static const cx_run_counters too_many[] = {{.metrics_bytes = 17, .episodes_bytes = 8},
                                               {.metrics_bytes = 8, .episodes_bytes = 17}};
    for (int i = 0; i < 2; i++) {
        cx_error err;
        cx_run_dir dir;
        assert_ok(cx_run_dir_open(&dir, run, true, new_config, &err));
        assert_int_equal(cx_run_dir_open_lines(&dir, &too_many[i], &err), CX_EFORMAT);
        assert_non_null(strstr(err.message, i ? "episodes.jsonl" : "metrics.jsonl"));
        assert_non_null(strstr(err.message, "17"));
        cx_run_dir_close(&dir);
        assert_file("config.yaml", old_config);
        assert_file("metrics.jsonl", LINE(m) LINE(m));
        assert_file("episodes.jsonl", LINE(e) LINE(e));
    }
}

/* A sound one cuts both files and brings the new configuration. */
static void test_going_on(void **state) {
    (void)state;
    cx_error err;
    cx_run_dir dir;
    const cx_run_counters one = {.metrics_bytes = 8, .episodes_bytes = 8};
    assert_ok(cx_run_dir_open(&dir, run, true, new_config, &err));
    assert_true(dir.resumed);
    assert_file("config.yaml", old_config);
    assert_ok(cx_run_dir_open_lines(&dir, &one, &err));
    cx_run_dir_close(&dir);
    assert_file("config.yaml", new_config);
    assert_file("metrics.jsonl", LINE(m));
    assert_file("episodes.jsonl", LINE(e));
}

/* A file that is gone is a short one. */
static void test_missing_lines(void **state) {
    (void)state;
    cx_error err;
    cx_run_dir dir;
    char path[300];
    const cx_run_counters one = {.metrics_bytes = 8, .episodes_bytes = 8};
    (void)snprintf(path, sizeof path, "%s/episodes.jsonl", run);
    assert_int_equal(remove(path), 0);
    assert_ok(cx_run_dir_open(&dir, run, true, new_config, &err));
    assert_int_equal(cx_run_dir_open_lines(&dir, &one, &err), CX_EFORMAT);
    assert_non_null(strstr(err.message, "episodes.jsonl: 0 bytes"));
    cx_run_dir_close(&dir);
    assert_false(cx_file_exists(path));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_lines),
        cmocka_unit_test(test_going_on),
        cmocka_unit_test(test_missing_lines),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
