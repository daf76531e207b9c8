#include "tests/test.h"

#include "base/file.h"
#include "report/export.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

static const char lines[] =
    "{\"update\":1,\"episodes\":10,\"seconds\":2.5,\"reward\":-2,\"head_entropy\":{\"lr\":1.5}}\n"
    "{\"update\":2,\"episodes\":20,\"seconds\":4.5,\"reward\":null,"
    "\"head_entropy\":{\"lr\":1.25,\"a,\\\"b\":0.5}}\n";

static void read_back(const char *path, char *out, size_t room) {
    unsigned char *text;
    size_t size;
    cx_error err;
    assert_ok(cx_file_read(path, room - 1, &text, &size, &err));
    memcpy(out, text, size + 1);
    free(text);
}

static void test_csv(void **state) {
    (void)state;
    char dir[] = "/tmp/cx_export_XXXXXX", path[64], text[4096];
    cx_error err;
    cx_run_data data;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
    assert_ok(cx_file_replace(path, lines, sizeof lines - 1, &err));
    assert_ok(cx_run_data_read(dir, &data, &err));
    (void)snprintf(path, sizeof path, "%s/metrics.csv", dir);
    assert_ok(cx_export_csv(&data, path, &err));
    read_back(path, text, sizeof text);
    char *second = strstr(text, "\r\n") + 2, *third = strstr(second, "\r\n") + 2;
    assert_non_null(strstr(text, ",entropy_lr,\"entropy_a,\"\"b\"\r\n"));
    int commas[2] = {0}; /* beside the one in quotes */
    for (char *c = text; c < second; c++)
        commas[0] += *c == ',';
    for (char *c = second; c < third; c++)
        commas[1] += *c == ',';
    assert_int_equal(commas[0], commas[1] + 1);
    assert_int_equal(commas[1], CX_METRIC_COUNT + 2 - 1);
    assert_non_null(strstr(second, ",1.5,\r\n")); /* no such head in the first update */
    assert_non_null(strstr(third, ",1.25,0.5\r\n"));
    assert_null(strstr(third, "nan"));
    assert_int_equal(cx_export_csv(&data, "/nonexistent/x.csv", &err), CX_EIO);
    cx_run_data_free(&data);
    assert_ok(cx_file_remove_all(dir, &err));
}

static void test_crc(void **state) {
    (void)state;
    assert_int_equal(cx_crc32c("123456789", 9), 0xe3069283u); /* the catalogue's check value */
    assert_int_equal(cx_crc32c("", 0), 0);
    unsigned char zeros[32] = {0};
    assert_int_equal(cx_crc32c(zeros, 32), 0x8a9136aau); /* RFC 3720, B.4 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_crc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
