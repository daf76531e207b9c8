#include "tests/test.h"

#include "data/corpus.h"
#include "tests/data/text_files.h"
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *cache(void) {
    return text_path("cache");
}

static cx_corpus *open_bytes(const char *path) {
    cx_corpus *c;
    cx_error err = {0};
    assert_ok(cx_corpus_open(path, 256, "", cache(), &c, &err));
    return c;
}

/* The bytes of a split; owned by the caller. */
static char *bytes_of(const cx_corpus *c, int split) {
    size_t n = cx_corpus_tokens(c, split);
    assert_int_equal(n, cx_corpus_bytes(c, split));
    int32_t *tokens = malloc(n * sizeof *tokens);
    char *text = malloc(n + 1);
    assert_true(tokens && text);
    cx_corpus_copy(c, split, 0, (int)n, tokens);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)tokens[i];
    text[n] = 0;
    free(tokens);
    return text;
}

static void assert_split(const cx_corpus *c, int split, const char *want) {
    char *text = bytes_of(c, split);
    assert_string_equal(text, want);
    free(text);
}

static void assert_fails(const char *path, const char *pattern) {
    cx_corpus *c;
    cx_error err = {0};
    assert_int_equal(cx_corpus_open(path, 256, "", cache(), &c, &err), CX_EDATA);
    assert_null(c);
    if (!strstr(err.message, pattern))
        fail_msg("no '%s' in: %s", pattern, err.message);
}

/* 90, 5, 5 %: nothing lost, nothing twice, cut at line ends. */
static void test_one_file(void **state) {
    (void)state;
    size_t size;
    char *text = text_lines("line", 1000, &size);
    cx_corpus *c = open_bytes(text_write("one.txt", text, size));
    char *part[3];
    for (int s = 0; s < 3; s++) {
        part[s] = bytes_of(c, s);
        double share = (double)cx_corpus_bytes(c, s) / (double)size;
        assert_true(fabs(share - (s == 0 ? 0.9 : 0.05)) < 0.01);
        assert_int_equal(part[s][strlen(part[s]) - 1], '\n');
    }
    assert_memory_equal(part[0], text, strlen(part[0]));
    assert_memory_equal(part[1], text + strlen(part[0]), strlen(part[1]));
    assert_string_equal(part[2], text + strlen(part[0]) + strlen(part[1]));
    assert_int_equal(cx_corpus_entries(c), 256);
    assert_null(cx_corpus_bpe(c));
    int32_t some[4];
    cx_corpus_copy(c, 1, 3, 4, some);
    for (int i = 0; i < 4; i++)
        assert_int_equal(some[i], part[1][3 + i]);
    for (int s = 0; s < 3; s++)
        free(part[s]);
    cx_corpus_close(c);
    free(text);
}

/* Where no line ends, between bytes, but not within a character. */
static void test_one_line(void **state) {
    (void)state;
    char text[3 * 700];
    for (int i = 0; i < 700; i++)
        memcpy(text + 3 * i, "\xE2\x82\xAC", 3);
    cx_corpus *c = open_bytes(text_write("line.txt", text, sizeof text));
    size_t total = 0;
    for (int s = 0; s < 3; s++) {
        assert_int_equal(cx_corpus_bytes(c, s) % 3, 0);
        total += cx_corpus_bytes(c, s);
    }
    assert_int_equal(total, sizeof text);
    cx_corpus_close(c);
    unsigned char any[256];
    for (int i = 0; i < 256; i++)
        any[i] = (unsigned char)(i < 128 ? 0xBF : i == '\n' ? 'x' : i); /* no character at all */
    c = open_bytes(text_write("any.txt", any, sizeof any));
    assert_int_equal(cx_corpus_bytes(c, 0) + cx_corpus_bytes(c, 1) + cx_corpus_bytes(c, 2), 256);
    cx_corpus_close(c);
}

static void test_folder(void **state) {
    (void)state;
    assert_int_equal(mkdir(text_path("wiki"), 0755), 0);
    assert_int_equal(mkdir(text_path("wiki/test"), 0755), 0); /* a folder is no file */
    (void)text_write("wiki/wiki.train.tokens", "= A =\nb <unk>\n", 14);
    (void)text_write("wiki/wiki.valid.tokens", "valid\n", 6);
    (void)text_write("wiki/wiki.test.tokens", "test\n", 5);
    (void)text_write("wiki/latest.txt", "not the test\n", 13);
    (void)text_write("wiki/.train.swp", "hidden\n", 7);
    cx_corpus *c = open_bytes(text_path("wiki"));
    assert_split(c, 0, "= A =\nb <unk>\n");
    assert_split(c, 1, "valid\n");
    assert_split(c, 2, "test\n");
    cx_corpus_close(c);
    /* the same file packed beside the plain one is no second one */
    (void)text_write_gz("wiki/wiki.test.tokens.gz", "other\n", 6);
    c = open_bytes(text_path("wiki"));
    assert_split(c, 2, "test\n");
    cx_corpus_close(c);
    (void)text_write("wiki/wiki.test.raw", "raw\n", 4);
    assert_fails(text_path("wiki"), "both look like the test file");
    assert_int_equal(unlink(text_path("wiki/wiki.test.raw")), 0);
    (void)text_write("wiki/Train-Dev.txt", "raw\n", 4);
    assert_fails(text_path("wiki"), "more than one split");
}

/* Missing files are taken off the training file: tenths that have nothing in common. */
static void test_missing_files(void **state) {
    (void)state;
    size_t size;
    char *text = text_lines("w", 1000, &size), *part[3];
    assert_int_equal(mkdir(text_path("m"), 0755), 0);
    assert_fails(text_path("m"), "no training file");
    (void)text_write_gz("m/TRAIN.txt.gz", text, size);
    cx_corpus *c = open_bytes(text_path("m"));
    for (int s = 0; s < 3; s++) {
        part[s] = bytes_of(c, s);
        assert_int_equal(part[s][strlen(part[s]) - 1], '\n');
    }
    assert_true(fabs((double)strlen(part[2]) / (double)size - 0.1) < 0.01);
    assert_true(fabs((double)strlen(part[1]) / (double)size - 0.09) < 0.01);
    assert_memory_equal(part[0], text, strlen(part[0]));
    assert_memory_equal(part[1], text + strlen(part[0]), strlen(part[1]));
    assert_string_equal(part[2], text + strlen(part[0]) + strlen(part[1]));
    for (int s = 0; s < 3; s++)
        free(part[s]);
    cx_corpus_close(c);
    (void)text_write("m/dev_1.txt", "validation\n", 11);
    c = open_bytes(text_path("m"));
    assert_split(c, 1, "validation\n");
    assert_int_equal(cx_corpus_bytes(c, 0) + cx_corpus_bytes(c, 2), size);
    cx_corpus_close(c);
    assert_int_equal(unlink(text_path("m/dev_1.txt")), 0);
    (void)text_write("m/test.txt", "test\n", 5);
    c = open_bytes(text_path("m"));
    assert_split(c, 2, "test\n");
    assert_int_equal(cx_corpus_bytes(c, 0) + cx_corpus_bytes(c, 1), size);
    cx_corpus_close(c);
    free(text);
}

static void test_faults(void **state) {
    (void)state;
    size_t size;
    char *text = text_lines("line", 3000, &size);
    cx_corpus *c;
    cx_error err;
    assert_fails("", "no path");
    assert_fails("/nowhere/text", "/nowhere/text");
    assert_fails("/dev/null", "not a plain file");
    assert_fails(text_write("empty.txt", "", 0), "empty");
    assert_fails(text_write("empty.txt.gz", "", 0), "empty");
    assert_fails(text_write("short.txt", "ab", 2), "too short");
    assert_fails(text_write("not.txt.gz", text, size), "not a gzip file");
    (void)text_write_gz("whole.txt.gz", text, size);
    struct stat st;
    assert_int_equal(stat(text_path("whole.txt.gz"), &st), 0);
    for (off_t cut = 3; cut < st.st_size; cut += st.st_size / 7) {
        char command[600];
        (void)snprintf(command, sizeof command, "head -c %ld %s/whole.txt.gz >%s/cut.txt.gz",
                       (long)cut, text_folder, text_folder);
        assert_int_equal(system(command), 0);
        assert_int_equal(cx_corpus_open(text_path("cut.txt.gz"), 256, "", cache(), &c, &err),
                         CX_EDATA);
        assert_non_null(strstr(err.message, "cut.txt.gz"));
    }
    FILE *f = fopen(text_path("whole.txt.gz"), "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, st.st_size / 2, SEEK_SET), 0);
    assert_int_equal(fwrite("\xFF\xFF\xFF\xFF", 1, 4, f), 4);
    assert_int_equal(fclose(f), 0);
    assert_fails(text_path("whole.txt.gz"), "not a sound gzip file");
    assert_int_equal(cx_corpus_open(text_write("a.txt", text, size), 255, "", cache(), &c, &err),
                     CX_ECONFIG);
    assert_int_equal(cx_corpus_open(text_path("a.txt"), 65537, "", cache(), &c, &err), CX_ECONFIG);
    cx_corpus_close(NULL);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_file), cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_folder),   cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, text_set_up, text_tear_down);
}
