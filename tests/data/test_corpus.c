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

/* ---- vocabularies other than the bytes */

/* The text of a split, by its tokens and the vocabulary. */
static char *text_of(const cx_corpus *c, int split) {
    size_t n = cx_corpus_tokens(c, split), size;
    int32_t *wide = malloc(n * sizeof *wide);
    uint16_t *tokens = malloc(n * sizeof *tokens);
    unsigned char *text;
    cx_error err = {0};
    assert_true(wide && tokens);
    cx_corpus_copy(c, split, 0, (int)n, wide);
    for (size_t i = 0; i < n; i++)
        tokens[i] = (uint16_t)wide[i];
    assert_ok(cx_bpe_decode(cx_corpus_bpe(c), tokens, n, &text, &size, &err));
    assert_int_equal(size, cx_corpus_bytes(c, split));
    if (n > 20) { /* any range is that range of the whole */
        int32_t some[7];
        cx_corpus_copy(c, split, 11, 7, some);
        assert_memory_equal(some, wide + 11, sizeof some);
    }
    free(wide);
    free(tokens);
    return (char *)text;
}

static int cache_files(const char *stem) {
    char command[700];
    int n = -1;
    (void)snprintf(command, sizeof command, "ls %s | grep -c '^%s-[0-9a-f]*$'", cache(), stem);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%d", &n), 1);
    (void)pclose(p);
    return n;
}

static cx_corpus *open_with(const char *path, int entries, const char *tokenizer) {
    cx_corpus *c;
    cx_error err = {0};
    assert_ok(cx_corpus_open(path, entries, tokenizer, cache(), &c, &err));
    return c;
}

/* The vocabulary is that of the training text alone, whatever the others say. */
static void test_learned_from_training_alone(void **state) {
    (void)state;
    static const char train[] = "one two three one two three one two one\n";
    cx_error err = {0};
    cx_bpe *want;
    uint64_t hash = 0;
    assert_ok(cx_bpe_learn((const unsigned char *)train, sizeof train - 1, 300, &want, &err));
    assert_int_equal(mkdir(text_path("v"), 0755), 0);
    (void)text_write("v/train.txt", train, sizeof train - 1);
    for (int i = 0; i < 2; i++) {
        const char *valid = i ? "zebra zebra zebra zebra\n" : "one two\n";
        const char *test = i ? "quick quick quick quick\n" : "three\n";
        (void)text_write("v/valid.txt", valid, strlen(valid));
        (void)text_write("v/test.txt", test, strlen(test));
        cx_corpus *c = open_with(text_path("v"), 300, "");
        hash = cx_bpe_hash(cx_corpus_bpe(c));
        assert_int_equal(hash, cx_bpe_hash(want));
        assert_int_equal(cx_corpus_entries(c), cx_bpe_entries(want));
        assert_true(cx_corpus_entries(c) < 300);
        const char *text[] = {train, valid, test};
        for (int s = 0; s < 3; s++) {
            char *got = text_of(c, s);
            assert_string_equal(got, text[s]);
            free(got);
        }
        assert_true(cx_corpus_tokens(c, 0) < cx_corpus_bytes(c, 0) / 2);
        cx_corpus_close(c);
    }
    (void)text_write("v/train.txt", "other other words\n",
                     18); /* seen, though the name is the same */
    cx_corpus *c = open_with(text_path("v"), 300, "");
    assert_int_not_equal(cx_bpe_hash(cx_corpus_bpe(c)), hash);
    cx_corpus_close(c);
    cx_bpe_free(want);
}

/* Made once; the same for one file that is cut, plain or packed. */
static void test_cached_tokens(void **state) {
    (void)state;
    size_t size;
    char *text = text_lines("some words that come again", 4000, &size);
    char path[2][64]; /* text_path keeps only the last few */
    (void)snprintf(path[0], sizeof path[0], "%s", text_write("big.txt", text, size));
    (void)snprintf(path[1], sizeof path[1], "%s", text_write_gz("big.txt.gz", text, size));
    int tokens = cache_files("tokens"), vocabularies = cache_files("vocabulary");
    size_t n[3] = {0};
    for (int i = 0; i < 4; i++) {
        cx_corpus *c = open_with(path[i / 2], 400, "");
        size_t at = 0;
        for (int s = 0; s < 3; s++) {
            char *got = text_of(c, s);
            assert_memory_equal(got, text + at, cx_corpus_bytes(c, s));
            at += cx_corpus_bytes(c, s);
            assert_true(i == 0 || n[s] == cx_corpus_tokens(c, s));
            n[s] = cx_corpus_tokens(c, s);
            free(got);
        }
        assert_int_equal(at, size);
        cx_corpus_close(c);
        assert_int_equal(cache_files("tokens"), tokens + 3 * (i / 2 + 1));
        assert_int_equal(cache_files("vocabulary"), vocabularies + i / 2 + 1);
    }
    /* another vocabulary has tokens of its own */
    cx_corpus *c = open_with(path[0], 300, "");
    assert_true(cx_corpus_tokens(c, 0) > n[0]);
    assert_int_equal(cache_files("tokens"), tokens + 9);
    cx_corpus_close(c);
    free(text);
}

/* Larger than what is encoded at a time: the tokens are those of the whole. */
static void test_tokens_made_in_chunks(void **state) {
    (void)state;
    size_t size, n;
    cx_error err = {0};
    uint16_t *whole;
    char *text = text_lines("a  line,  with\tspaces \n\n and\xC2\xA0more", 160000, &size);
    assert_true(size > 5000000);
    cx_corpus *c = open_with(text_write("chunks.txt", text, size), 300, "");
    assert_ok(cx_bpe_encode(cx_corpus_bpe(c), (unsigned char *)text, cx_corpus_bytes(c, 0), &whole,
                            &n, &err));
    assert_int_equal(n, cx_corpus_tokens(c, 0));
    int32_t *got = malloc(n * sizeof *got);
    assert_non_null(got);
    cx_corpus_copy(c, 0, 0, (int)n, got);
    for (size_t i = 0; i < n; i++)
        if (got[i] != whole[i])
            fail_msg("token %zu", i);
    free(got);
    free(whole);
    free(text);
    cx_corpus_close(c);
}

static void test_given_tokenizer(void **state) {
    (void)state;
    cx_error err = {0};
    cx_bpe *bpe;
    cx_corpus *c;
    size_t size;
    char *text = text_lines("word", 500, &size);
    (void)text_write("given.txt", text, size);
    assert_ok(cx_bpe_learn((const unsigned char *)text, size, 270, &bpe, &err));
    assert_ok(cx_bpe_write(bpe, text_path("given.bpe"), &err));
    c = open_with(text_path("given.txt"), 256, text_path("given.bpe"));
    assert_int_equal(cx_corpus_entries(c), 270);
    assert_int_equal(cx_bpe_hash(cx_corpus_bpe(c)), cx_bpe_hash(bpe));
    char *got = text_of(c, 0);
    assert_memory_equal(got, text, cx_corpus_bytes(c, 0));
    free(got);
    cx_corpus_close(c);
    assert_int_equal(
        cx_corpus_open(text_path("given.txt"), 256, text_path("none.bpe"), cache(), &c, &err),
        CX_EDATA);
    assert_non_null(strstr(err.message, "none.bpe"));
    /* long enough in bytes, not in tokens */
    (void)text_write("same.txt", "word word word word word word word\n", 35);
    int rc = cx_corpus_open(text_path("same.txt"), 300, "", cache(), &c, &err);
    assert_int_equal(rc, CX_EDATA);
    assert_non_null(strstr(err.message, "too short"));
    cx_bpe_free(bpe);
    free(text);
}

/* Real text: State of the Union addresses, WikiText-2's validation and test parts. */
static void test_real_text(void **state) {
    (void)state;
    char path[512];
    CX_SHARED_OR_SKIP(path, "data/text/wikitext-2-valid.txt.gz");
    cx_corpus *c = open_with(path, 1024, "");
    assert_int_equal(cx_corpus_entries(c), 1024);
    assert_int_equal(cx_corpus_bytes(c, 0) + cx_corpus_bytes(c, 1) + cx_corpus_bytes(c, 2),
                     1121681);
    for (int s = 0; s < 3; s++) {
        double ratio = (double)cx_corpus_bytes(c, s) / (double)cx_corpus_tokens(c, s);
        assert_true(ratio > 2.5 && ratio < 4.5);
        free(text_of(c, s));
    }
    cx_corpus_close(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_file),        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_folder),          cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_faults),          cmocka_unit_test(test_learned_from_training_alone),
        cmocka_unit_test(test_cached_tokens),   cmocka_unit_test(test_tokens_made_in_chunks),
        cmocka_unit_test(test_given_tokenizer), cmocka_unit_test(test_real_text),
    };
    return cmocka_run_group_tests(tests, text_set_up, text_tear_down);
}
