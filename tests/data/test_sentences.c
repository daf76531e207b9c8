/* Labeled sentences: the three formats and their faults, splits, labels, vocabulary. */
#include "tests/test.h"

#include "data/interner.h"
#include "data/sentence_file.h"
#include "data/sentences.h"
#include "tests/data/text_files.h"
#include <stdbool.h>
#include <sys/stat.h>

/* --- files: all sentences as one text, "LABEL@LINE word|word|word;" --- */

typedef struct {
    char text[4096];
    int n;
} seen;

static int note(void *context, const cx_sentence *s, cx_error *err) {
    seen *to = context;
    size_t at = strlen(to->text);
    (void)err;
    at += (size_t)sprintf(to->text + at, "%.*s@%zu ", (int)s->label.size, s->label.at, s->line);
    for (size_t i = 0; i < s->n_words && at + s->words[i].size + 8 < sizeof to->text; i++)
        at += (size_t)sprintf(to->text + at, "%s%.*s", i ? "|" : "", (int)s->words[i].size,
                              s->words[i].at);
    (void)strcpy(to->text + at, ";");
    to->n++;
    return CX_OK;
}

/* A copy of exactly that size, so that the sanitizer sees a byte too many being read. */
static int read_bytes(const char *text, size_t size, cx_sentence_columns *columns, seen *to,
                      cx_error *err) {
    unsigned char *copy = malloc(size ? size : 1);
    memcpy(copy, text, size);
    *to = (seen){0};
    *err = (cx_error){0};
    int rc = cx_sentence_file_read("FILE", copy, size, columns, note, to, err);
    free(copy);
    return rc;
}

static void expect(const char *text, const char *want) {
    static seen to;
    cx_error err;
    cx_sentence_columns columns = {0};
    if (read_bytes(text, strlen(text), &columns, &to, &err))
        fail_msg("%s: %s", text, err.message);
    assert_string_equal(to.text, want);
}

static void expect_fault(const char *text, const char *what) {
    static seen to;
    cx_error err;
    cx_sentence_columns columns = {0};
    assert_int_equal(read_bytes(text, strlen(text), &columns, &to, &err), CX_EDATA);
    if (strncmp(err.message, "FILE", 4) != 0 || !strstr(err.message, what))
        fail_msg("'%s': '%s' does not say '%s'", text, err.message, what);
}

static void test_trees(void **state) {
    (void)state;
    expect("(3 (2 The) (4 (3 lovely) (2 film)))\n", "3@1 The|lovely|film;");
    expect("\n  (0 no)  \r\n\n(12(1 -LRB-)(1 's))\n(2 (2 a,\"b\t) (1 \xC3\xA9))",
           "0@2 no;12@4 -LRB-|'s;2@5 a,\"b|\xC3\xA9;");
    expect("\xEF\xBB\xBF(1 (2 \\/) (2 x))", "1@1 \\/|x;");
    expect_fault("(3 (2 a) (2 b)\n", "FILE:1: column 15: the line ends within a tree");
    expect_fault("(3 a)\n(2 b))\n", "FILE:2: column 6: a closing parenthesis too many");
    expect_fault("(3 a)\n(2 b) (1 c)", "FILE:2: column 7: something follows");
    expect_fault("(3 a) x", "something follows");
    expect_fault("(3 a b)", "column 6: a word beside");
    expect_fault("(3 a (2 b))", "a parenthesis where");
    expect_fault("(3 (2 b) a)", "a word beside");
    expect_fault("(3)", "without word");
    expect_fault("(3 ())", "without word");
    expect_fault("()", "without word");
    expect_fault("(3 (x a) (2 b))", "FILE:1: column 5: a node's number");
    expect_fault("(-1 a)", "a node's number");
    expect_fault("(1234567890 a)", "a node's number");
    expect_fault("((2 a) (2 b))", "where a node's number");
    expect_fault("(3 a)\nplain text\n", "FILE:2: column 1: not a tree");
    expect_fault("(3 a)\n)\n", "FILE:2");
}

/* Deeper than any stack, and a line of megabytes: no recursion, no fixed buffers. */
static void test_gigantic_tree(void **state) {
    (void)state;
    enum { DEPTH = 1000000 };
    static seen to;
    cx_error err;
    cx_sentence_columns columns = {0};
    char *text = malloc(4 * DEPTH + 8);
    size_t n = 0;
    for (int i = 0; i < DEPTH; i++, n += 3)
        memcpy(text + n, "(1 ", 3);
    text[n++] = 'x';
    memset(text + n, ')', DEPTH);
    n += DEPTH;
    assert_ok(read_bytes(text, n, &columns, &to, &err));
    assert_string_equal(to.text, "1@1 x;");
    assert_int_equal(read_bytes(text, n - 1, &columns, &to, &err), CX_EDATA);
    assert_non_null(strstr(err.message, "FILE:1: column 4000001: the line ends"));
    free(text);
}

static void test_tabs(void **state) {
    (void)state;
    expect("1\tgood film\n0\tbad, bad film\n", "1@1 good|film;0@2 bad|,|bad|film;");
    expect("pos\tno line end", "pos@1 no|line|end;");
    expect("\n 1 \t \"it's\" (great!!) \r\n\n0\ta\tb, c\n",
           "1@2 \"|it's|\"|(|great|!!|);0@4 a|b|,|c;");
    expect("a\t'tis n't -LRB- well-made U.S. ... $5 100% x...!\n",
           "a@1 'tis|n't|-LRB-|well-made|U.S|.|...|$|5|100|%|x|...|!;");
    expect("sentence\tlabel\nA film\t1\n", "1@2 A|film;"); /* a header, in any order */
    expect("label\ttext\n1\tx\n", "1@2 x;");
    expect_fault("1\tx\njust text\n", "FILE:2: 1 column");
    expect_fault("1\tx\n\ty\n", "FILE:2: the label is empty");
    expect_fault("1\tx\n2\t \n", "FILE:2: a sentence without words");
    expect_fault("sentence\tlabel\nA film\t1\tz\n", "FILE:2: 3 columns; 2 are right");
    char many[400] = "1\ta"; /* more tabs than columns are kept */
    for (int i = 0; i < 100; i++)
        (void)strcat(many, "\tb");
    (void)strcat(many, "\tlast");
    static seen to;
    cx_error err;
    cx_sentence_columns columns = {0};
    assert_ok(read_bytes(many, strlen(many), &columns, &to, &err));
    assert_non_null(strstr(to.text, "b|b|last;"));
}

static void test_csv(void **state) {
    (void)state;
    expect("1,good film\n0,bad film\n1,fine\n", "1@1 good|film;0@2 bad|film;1@3 fine;");
    expect("\xEF\xBB\xBF\"1\",\"a \"\"b\"\" c,\nd\"\r\n\"0\",\"e\"\r\n\"1\",\"\"\"f\"\"\"\r\n",
           "1@1 a|\"|b|\"|c|,|d;0@3 e;1@4 \"|f|\";");
    expect("good film,1\nbad film,0\nfine,1\n", "1@1 good|film;0@2 bad|film;1@3 fine;");
    expect("a,1\nb,2\n", "a@1 1;b@2 2;"); /* as many different ones: the first */
    expect("1,business,He said\n2,sports,x\n1,world,y\n", "1@1 He|said;2@2 x;1@3 y;");
    expect("id,Review,Sentiment\n7,\"Great, really\",positive\n8,no,negative\n",
           "positive@2 Great|,|really;negative@3 no;");
    expect("text,class\n\"say \"\"\"\"hi\",a b\n", "a b@2 say|\"\"|hi;");
    expect("x \"y\" z,1\nb,1\n", "1@1 x|\"|y|\"|z;1@2 b;"); /* quotes within a plain field */
    expect("1,a\n\n  \n0,b", "1@1 a;0@4 b;");
    expect_fault("1,a\n0,b,c\n", "FILE:2: 3 columns; 2 are right");
    expect_fault("1,a\n0\n", "FILE:2: 1 column; 2 are right");
    expect_fault("1,a\n0,\"b\n1,c\n", "FILE:2: a quote begins in the row");
    expect_fault("1,\"a\" b\n", "FILE:1: something follows a closing quote");
    expect_fault("1,\"a\n\nb\"\n,x\n", "FILE:4: the label is empty");
    expect_fault("1,\"a\n\nb\"\n0,\" \"\n", "FILE:4: a sentence without words");
    expect_fault("\"1\"\n", "FILE:1: 1 column; 2 or more");
    expect_fault("sentiment,comment\n1,a\n", "FILE:1: looks like a header");
    expect_fault("id,text\n1,a\n", "FILE:1: looks like a header");
    expect_fault(
        "text,label\n1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
        "FILE:2: a label of 70 bytes");
    char wide[300] = "1";
    for (int i = 0; i < 100; i++)
        (void)strcat(wide, ",x");
    expect_fault(wide, "FILE:1: more than 64 columns");
}

/* A file without a header takes the columns of the one before it. */
static void test_columns_are_kept(void **state) {
    (void)state;
    static seen to;
    cx_error err;
    cx_sentence_columns columns = {0};
    const char first[] = "a,1\nb,1\nc,0\n", second[] = "d,0\n";
    assert_ok(read_bytes(first, strlen(first), &columns, &to, &err));
    assert_ok(read_bytes(second, strlen(second), &columns, &to, &err));
    assert_string_equal(to.text, "0@1 d;");
}

static void test_no_format(void **state) {
    (void)state;
    expect_fault("", "FILE: empty");
    expect_fault(" \n\t\n", "FILE: empty");
    expect_fault("\xEF\xBB\xBF", "FILE: empty");
    expect_fault("\n\nonly text\n", "FILE:3: neither");
    static seen to;
    cx_error err;
    cx_sentence_columns columns = {0};
    assert_int_equal(read_bytes("1\ta\n0\tb\0c\n", 11, &columns, &to, &err), CX_EDATA);
    assert_non_null(strstr(err.message, "FILE:2: a zero byte"));
}

/* Every beginning of a file is read or refused; nothing beyond it is touched. */
static void test_truncated(void **state) {
    (void)state;
    static const char *const files[] = {
        "\xEF\xBB\xBF\n(3 (2 The) (4 (3 lovely) (2 film)))\r\n(1 x)\n",
        "label\ttext\r\n1\tgood, \"film\"\n\n0\tbad\tone...\n",
        "\"1\",\"a \"\"b\"\" c,\r\nd\"\r\n\"0\",\"e\",\n1,\"\"\"f\"\"\"\r\n",
        "text,class\r\n\"say \"\"\"\"hi\",a b\r\nplain,c\r\n"};
    for (size_t f = 0; f < sizeof files / sizeof *files; f++)
        for (size_t n = 0; n <= strlen(files[f]); n++) {
            static seen to;
            cx_error err;
            cx_sentence_columns columns = {0};
            int rc = read_bytes(files[f], n, &columns, &to, &err);
            assert_true(rc == CX_OK || (rc == CX_EDATA && strncmp(err.message, "FILE", 4) == 0));
        }
}

/* Bytes at random, of those that mean something. */
static void test_any_bytes(void **state) {
    (void)state;
    static const char letters[] = "(()) 12\t\t,,\"\"\n\r\nab'.";
    unsigned x = 1;
    for (int i = 0; i < 20000; i++) {
        char text[40];
        static seen to;
        cx_error err;
        cx_sentence_columns columns = {0};
        size_t n = (x >> 8) % sizeof text;
        for (size_t k = 0; k < n; k++) {
            x = x * 1664525u + 1013904223u;
            text[k] = letters[(x >> 16) % (sizeof letters - 1)];
        }
        x = x * 1664525u + 1013904223u;
        int rc = read_bytes(text, n, &columns, &to, &err);
        assert_true(rc == CX_OK || rc == CX_EDATA);
    }
}

/* --- sets --- */

static int failing(const char *path, const char *what) {
    cx_error err = {0};
    cx_sentences *s;
    int rc = cx_sentences_open(path, text_folder, &s, &err);
    assert_null(s);
    if (rc == CX_OK || !strstr(err.message, what))
        fail_msg("%s: '%s' does not say '%s'", path, err.message, what);
    return rc;
}

static cx_sentences *opened(const char *path) {
    cx_error err = {0};
    cx_sentences *s;
    assert_ok(cx_sentences_open(path, text_folder, &s, &err));
    return s;
}

static void write_all(const char *folder, const char *train, const char *dev, const char *test) {
    char name[64];
    (void)mkdir(text_path(folder), 0777);
    (void)snprintf(name, sizeof name, "%s/x.train.txt", folder);
    (void)text_write(name, train, strlen(train));
    (void)snprintf(name, sizeof name, "%s/x-DEV.txt.gz", folder);
    (void)text_write_gz(name, dev, strlen(dev));
    (void)snprintf(name, sizeof name, "%s/test.csv", folder);
    (void)text_write(name, test, strlen(test));
}

/* What the validation and test splits have changes nothing of words and classes. */
static void test_vocabulary_is_of_training(void **state) {
    (void)state;
    write_all("a", "(1 (2 b) (2 (2 a) (2 b)))\n(0 (2 c) (2 a))\n(10 b)\n", "10\tz z z z a\n0\tb\n",
              "text,label\n\"y y y, c\",1\n");
    cx_sentences *s = opened(text_path("a"));
    assert_int_equal(cx_sentences_count(s, 0), 3);
    assert_int_equal(cx_sentences_count(s, 1), 2);
    assert_int_equal(cx_sentences_count(s, 2), 1);
    assert_int_equal(cx_sentences_vocabulary(s), 3);
    static const char *const words[] = {"b", "a", "c"}; /* 3, 2, 1 times */
    for (uint32_t i = 0; i < 3; i++)
        assert_string_equal(cx_sentences_word(s, i), words[i]);
    assert_int_equal(cx_sentences_known(s, 100, 1), 3);
    assert_int_equal(cx_sentences_known(s, 2, 1), 2);
    assert_int_equal(cx_sentences_known(s, 100, 2), 2);
    assert_int_equal(cx_sentences_known(s, 100, 3), 1);
    assert_int_equal(cx_sentences_known(s, 100, 4), 0);
    assert_int_equal(cx_sentences_classes(s), 3); /* numbers, not letters: 0, 1, 10 */
    assert_string_equal(cx_sentences_class_name(s, 1), "1");
    assert_string_equal(cx_sentences_class_name(s, 2), "10");
    assert_int_equal(cx_sentences_label(s, 0, 0), 1);
    assert_int_equal(cx_sentences_label(s, 1, 0), 2);
    assert_int_equal(cx_sentences_label(s, 2, 0), 1);
    size_t n;
    const uint32_t *w = cx_sentences_words(s, 0, 0, &n);
    assert_int_equal(n, 3);
    assert_true(w[0] == 0 && w[1] == 1 && w[2] == 0);
    w = cx_sentences_words(s, 1, 0, &n);
    assert_int_equal(n, 5);
    assert_true(w[0] == CX_SENTENCES_UNKNOWN && w[3] == CX_SENTENCES_UNKNOWN && w[4] == 1);
    w = cx_sentences_words(s, 2, 0, &n);
    assert_true(n == 5 && w[3] == CX_SENTENCES_UNKNOWN && w[4] == 2);
    cx_sentences_close(s);
}

static void test_labels(void **state) {
    (void)state;
    write_all("b", "pos\ta\nneg\tb\n-1\tc\n", "neg\ta\n", "pos\tb\n");
    cx_sentences *s = opened(text_path("b")); /* words: by bytes */
    assert_int_equal(cx_sentences_classes(s), 3);
    assert_string_equal(cx_sentences_class_name(s, 0), "-1");
    assert_string_equal(cx_sentences_class_name(s, 1), "neg");
    assert_int_equal(cx_sentences_label(s, 1, 0), 1);
    cx_sentences_close(s);
    write_all("c", "3\ta\n-1\tb\n10\tc\n", "3\ta\n\n7\tb\n", "3\ta\n");
    assert_int_equal(failing(text_path("c"), "x-DEV.txt.gz:3: label 7 of the validation split"),
                     CX_EDATA);
    write_all("c", "3\ta\n-1\tb\n10\tc\n", "3\ta\n", "3\ta\n7\tb\n");
    (void)failing(text_path("c"), "test.csv:2: label 7 of the test split");
    write_all("c", "3\ta\n3\tb\n", "3\ta\n", "3\ta\n");
    (void)failing(text_path("c"), "have the label 3");
    static char many[40000];
    for (size_t i = 0, at = 0; i < 1500; i++)
        at += (size_t)sprintf(many + at, "%zu\tword\n", i);
    write_all("c", many, "3\ta\n", "3\ta\n");
    (void)failing(text_path("c"), "x.train.txt:1001: the label number 1001");
}

static void test_folders(void **state) {
    (void)state;
    (void)failing(text_path("nowhere"), "nowhere");
    (void)mkdir(text_path("d"), 0777);
    (void)failing(text_path("d"), "no training file");
    (void)text_write("d/train.txt", "1\ta\n0\tb\n", 8);
    (void)failing(text_path("d"), "no validation file");
    (void)text_write("d/dev.txt", "1\ta\n", 4);
    (void)failing(text_path("d"), "no test file");
    (void)text_write("d/test.txt", "", 0);
    (void)failing(text_path("d"), "test.txt: empty");
    (void)text_write("d/test.txt", "label,text\n", 11);
    (void)failing(text_path("d"), "test.txt: no sentence is left for the test split");
    (void)text_write("d/test.txt", "1\ta\n0\t\n", 7);
    (void)failing(text_path("d"), "test.txt:2: a sentence without words");
    (void)text_write("d/test.txt", "1\ta\n", 4);
    cx_sentences_close(opened(text_path("d")));
    (void)text_write("d/my.test.csv", "1\ta\n", 4);
    (void)failing(text_path("d"), "both look like the test file");
}

/* --- one file --- */

/* Which splits the sentence whose first word is w<number> is in, as bits. */
static void splits_of(const cx_sentences *s, int *bits, int n) {
    for (int i = 0; i < n; i++)
        bits[i] = 0;
    for (int split = 0; split < 3; split++)
        for (uint32_t i = 0; i < cx_sentences_count(s, split); i++) {
            size_t words;
            const uint32_t *w = cx_sentences_words(s, split, i, &words);
            /* training's words are known; of the others the second word says the number's
             * digits, which all splits share */
            int number = 0;
            for (size_t k = 0; k < words; k++)
                number = number * 10 + cx_sentences_word(s, w[k])[0] - '0';
            assert_true(number < n);
            bits[number] |= 1 << split;
        }
}

static void test_one_file(void **state) {
    (void)state;
    enum { DIFFERENT = 1000, COPIES = 3 };
    static char text[80000];
    size_t at = 0;
    for (int i = 0; i < COPIES * DIFFERENT; i++) {
        int n = i * 7 % DIFFERENT; /* equal ones are far apart, with blanks of their own */
        at += (size_t)sprintf(text + at, "%d\t%d%s%d  %d\n", n % 2, n / 100, i % 2 ? " " : "  ",
                              n / 10 % 10, n % 10);
    }
    const char *path = text_write("one.tsv", text, at);
    cx_sentences *s = opened(path), *again = opened(path);
    int bits[DIFFERENT], kinds[8] = {0}, same[DIFFERENT];
    splits_of(s, bits, DIFFERENT);
    splits_of(again, same, DIFFERENT);
    assert_memory_equal(bits, same, sizeof bits); /* fixed */
    for (int i = 0; i < DIFFERENT; i++)
        kinds[bits[i]]++;
    /* each in one split, whichever of its copies */
    assert_int_equal(kinds[1] + kinds[2] + kinds[4], DIFFERENT);
    assert_true(kinds[1] >= 795 && kinds[1] <= 805 && kinds[2] >= 95 && kinds[2] <= 105);
    assert_true(cx_sentences_count(s, 0) == (uint32_t)(COPIES * kinds[1]));
    assert_true(cx_sentences_count(s, 2) == (uint32_t)(COPIES * kinds[4]));
    int low = 0;
    for (int i = 0; i < DIFFERENT / 2; i++)
        low += bits[i] == 1;
    assert_true(low > 350 && low < 450); /* a shuffle, not a cut at a line */
    cx_sentences_close(s);
    cx_sentences_close(again);
    (void)text_write("few.tsv", "1\ta\n0\tb\n1\tc\n", 12);
    (void)failing(text_path("few.tsv"), "no sentence is left");
    (void)text_write("same.tsv", "1\ta\n0\ta\n1\ta\n0\ta\n1\ta\n0\ta\n1\ta\n0\ta\n1\ta\n0\ta\n",
                     40);
    (void)failing(text_path("same.tsv"), "10 different ones");
}

static void test_sst(void **state) {
    (void)state;
    char path[512];
    CX_SHARED_OR_SKIP(path, "data/sst/train.txt.gz");
    *strrchr(path, '/') = 0;
    cx_sentences *s = opened(path);
    assert_int_equal(cx_sentences_count(s, 0), 8540);
    assert_int_equal(cx_sentences_count(s, 1), 1101);
    assert_int_equal(cx_sentences_count(s, 2), 2210);
    assert_int_equal(cx_sentences_classes(s), 5);
    assert_int_equal(cx_sentences_vocabulary(s), 18280);
    assert_string_equal(cx_sentences_word(s, 0), ".");
    size_t n;
    const uint32_t *w = cx_sentences_words(s, 1, 0, &n);
    static const char *const words[] = {"It", "'s", "a", "lovely", "film"};
    assert_int_equal(n, 13);
    for (int i = 0; i < 5; i++)
        assert_string_equal(cx_sentences_word(s, w[i]), words[i]);
    assert_int_equal(cx_sentences_label(s, 1, 0), 3);
    cx_sentences_close(s);
}

/* --- strings --- */

static void test_interner(void **state) {
    (void)state;
    cx_interner in = {0};
    cx_error err = {0};
    uint32_t number;
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 5000; i++) {
            char text[32];
            int n = snprintf(text, sizeof text, "%x", i * 7919u);
            assert_ok(cx_interner_add(&in, text, (size_t)n, &number, &err));
            assert_int_equal(number, i);
            assert_string_equal(cx_interner_text(&in, number), text);
        }
    assert_ok(cx_interner_add(&in, "abcdef", 3, &number, &err)); /* bytes, not strings */
    assert_string_equal(cx_interner_text(&in, number), "abc");
    assert_ok(cx_interner_add(&in, "", 0, &number, &err));
    assert_int_equal(number, 5001);
    cx_interner_free(&in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees),
        cmocka_unit_test(test_gigantic_tree),
        cmocka_unit_test(test_tabs),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_columns_are_kept),
        cmocka_unit_test(test_no_format),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_vocabulary_is_of_training),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_one_file),
        cmocka_unit_test(test_sst),
        cmocka_unit_test(test_interner),
    };
    return cmocka_run_group_tests(tests, text_set_up, text_tear_down);
}
