/* Vocabulary files: ours and GPT-2's. */
#include "tests/test.h"

#include "base/rng.h"
#include "data/bpe.h"
#include "tests/data/text_files.h"
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

static cx_bpe *read_ok(const char *path) {
    cx_bpe *b;
    cx_error err = {0};
    assert_ok(cx_bpe_read(path, &b, &err));
    return b;
}

static void assert_fails(const char *path, const char *pattern) {
    cx_bpe *b;
    cx_error err = {0};
    int rc = cx_bpe_read(path, &b, &err);
    cx_bpe_free(b);
    if (rc != CX_EDATA)
        fail_msg("%d instead of CX_EDATA for '%s': %s", rc, pattern, err.message);
    assert_null(b);
    if (!strstr(err.message, pattern))
        fail_msg("no '%s' in: %s", pattern, err.message);
}

static void assert_tokens(const cx_bpe *b, const char *text, const int *want, size_t n) {
    uint16_t *tokens;
    unsigned char *back;
    size_t got, size;
    cx_error err = {0};
    assert_ok(cx_bpe_encode(b, (const unsigned char *)text, strlen(text), &tokens, &got, &err));
    assert_int_equal(got, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(tokens[i], want[i]);
    assert_ok(cx_bpe_decode(b, tokens, got, &back, &size, &err));
    assert_string_equal((char *)back, text);
    free(tokens);
    free(back);
}

#define TOKENS(b, text, ...)                                                                       \
    assert_tokens(b, text, (const int[]){__VA_ARGS__},                                             \
                  sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* ---- our own */

static void test_written_and_read(void **state) {
    (void)state;
    cx_error err = {0};
    cx_bpe *a, *b;
    struct stat st;
    assert_ok(cx_bpe_learn((const unsigned char *)"ab ab ab abc", 12, 300, &a, &err));
    assert_ok(cx_bpe_write(a, text_path("own"), &err));
    FILE *f = fopen(text_path("own"), "rb");
    char text[64] = "";
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    assert_int_equal(fclose(f), 0);
    assert_string_equal(text, "coxswain-bpe-1 258\n97 98\n32 256\n");
    b = read_ok(text_path("own"));
    assert_int_equal(cx_bpe_entries(b), 258);
    assert_int_equal(cx_bpe_hash(a), cx_bpe_hash(b));
    TOKENS(b, "ab ab\n", 256, 257, '\n');
    cx_bpe_free(a);
    assert_int_equal(cx_bpe_write(b, "/nowhere/x", &err), CX_EIO);
    assert_int_equal(stat(text_path("own.tmp"), &st), -1);
    cx_bpe_free(b);
}

static void own_fails(const char *text, const char *pattern) {
    assert_fails(text_write("bad", text, strlen(text)), pattern);
}

static void test_faulty_own_files(void **state) {
    (void)state;
    assert_fails("/nowhere/x", "/nowhere/x");
    own_fails("", "coxswain tokenize");
    own_fails("coxswain-bpe-2 258\n", "coxswain tokenize");
    own_fails("coxswain-bpe-1 255\n", "256 .. 65536");
    own_fails("coxswain-bpe-1 65537\n", "256 .. 65536");
    own_fails("coxswain-bpe-1 99999999999\n", "256 .. 65536");
    own_fails("coxswain-bpe-1 -300\n", "256 .. 65536");
    own_fails("coxswain-bpe-1 258", "256 .. 65536");
    own_fails("coxswain-bpe-1 258\n97 98\n", "bad:3: cut short: 1 merges");
    own_fails("coxswain-bpe-1 258\n97 98\n97 99", "bad:3: two token numbers");
    own_fails("coxswain-bpe-1 258\n97 98\n97\n", "bad:3: two token numbers");
    own_fails("coxswain-bpe-1 258\n97 98\n97 -1\n", "bad:3: two token numbers");
    own_fails("coxswain-bpe-1 258\n97 98\n97 257\n", "bad:3: token 257 is not there yet");
    own_fails("coxswain-bpe-1 258\n97 98\n97 98\n", "bad:3: the pair 97 98");
    own_fails("coxswain-bpe-1 257\n97 98\n97 99\n", "bad:3: more lines");
    /* each merge doubles the token: 65536 of them would not fit anywhere */
    char text[2048] = "coxswain-bpe-1 300\n97 97\n";
    for (int i = 0; i < 43; i++)
        (void)snprintf(text + strlen(text), 32, "%d %d\n", 256 + i, 256 + i);
    own_fails(text, "bad:12: a token of 2048 bytes");
}

/* ---- GPT-2's: the published numbers of the bytes and of the first merges */

static const char *const first_merges[] = {"\xC4\xA0 t", "\xC4\xA0 a", "h e",         "i n",
                                           "r e",        "o n",        "\xC4\xA0t he"};

/* The character that stands for a byte; Radford et al.'s bytes_to_unicode. */
static size_t put_byte(int byte, char *out) {
    int code = byte;
    if (byte <= 0x20)
        code = 256 + byte;
    else if (byte >= 0x7F && byte <= 0xA0)
        code = 256 + 33 + (byte - 0x7F);
    else if (byte == 0xAD)
        code = 256 + 67;
    if (code < 0x80) {
        size_t n = 0;
        if (code == '"' || code == '\\')
            out[n++] = '\\';
        out[n++] = (char)code;
        return n;
    }
    out[0] = (char)(0xC0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3F));
    return 2;
}

/* Numbers of the published vocabulary: the printable bytes first, then the others. */
static size_t make_vocab(char *out) {
    size_t n = (size_t)sprintf(out, "{");
    int number = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < 256; i++) {
            bool printable = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
            if (printable != (pass == 0))
                continue;
            out[n++] = '"';
            n += put_byte(i, out + n);
            n += (size_t)sprintf(out + n, "\": %d, ", number++);
        }
    for (int i = 0; i < 7; i++) {
        char both[16] = "";
        const char *space = strchr(first_merges[i], ' ');
        (void)snprintf(both, sizeof both, "%.*s%s", (int)(space - first_merges[i]), first_merges[i],
                       space + 1);
        n += (size_t)sprintf(out + n, "\"%s\": %d, ", both, number++);
    }
    return n + (size_t)sprintf(out + n, "\"<|endoftext|>\": %d}", number);
}

static size_t make_merges(char *out) {
    size_t n = (size_t)sprintf(out, "#version: 0.2\n");
    for (int i = 0; i < 7; i++)
        n += (size_t)sprintf(out + n, "%s\n", first_merges[i]);
    return n;
}

static char vocab[8192], merges[256];
static size_t vocab_size, merges_size;

static const char *write_pair(void) {
    vocab_size = make_vocab(vocab);
    merges_size = make_merges(merges);
    (void)mkdir(text_path("gpt2"), 0755);
    (void)text_write("gpt2/vocab.json", vocab, vocab_size);
    (void)text_write("gpt2/merges.txt", merges, merges_size);
    return text_path("gpt2");
}

static void test_gpt2_files(void **state) {
    (void)state;
    cx_error err = {0};
    size_t size;
    cx_bpe *b = read_ok(write_pair());
    assert_int_equal(cx_bpe_entries(b), 264);
    TOKENS(b, "!", 0);
    TOKENS(b, "A", 32);
    TOKENS(b, "a", 64);
    TOKENS(b, "\n", 198);
    TOKENS(b, " ", 220);
    TOKENS(b, " t", 256);
    TOKENS(b, " the in", 262, 220, 259);
    TOKENS(b, "the then", 83, 258, 262, 77); /* he by rank before the e n that is no pair */
    TOKENS(b, " there", 262, 260);
    TOKENS(b, " te", 256, 68);
    TOKENS(b, "\xC3\xA9", 127, 102); /* bytes C3 and A9 */
    assert_memory_equal(cx_bpe_bytes(b, 262, &size), " the", 4);
    assert_int_equal(size, 4);
    assert_memory_equal(cx_bpe_bytes(b, 263, &size), "<|endoftext|>", 13);
    /* the name of the end mark in a text is text */
    TOKENS(b, "<|endoftext|>", 27, 91, 68, 77, 67, 78, 69, 83, 68, 87, 83, 91, 29);
    assert_int_equal(cx_bpe_write(b, text_path("own"), &err), CX_EUNSUPPORTED);
    uint64_t hash = cx_bpe_hash(b);
    cx_bpe_free(b);
    /* OpenAI's names, and lines that end as on Windows */
    assert_int_equal(rename(text_path("gpt2/vocab.json"), text_path("gpt2/encoder.json")), 0);
    assert_int_equal(unlink(text_path("gpt2/merges.txt")), 0);
    size_t n = 0;
    char dos[512];
    for (size_t i = 0; i < merges_size; i++) {
        if (merges[i] == '\n')
            dos[n++] = '\r';
        dos[n++] = merges[i];
    }
    (void)text_write("gpt2/vocab.bpe", dos, n);
    b = read_ok(text_path("gpt2"));
    assert_int_equal(cx_bpe_hash(b), hash);
    cx_bpe_free(b);
    assert_int_equal(unlink(text_path("gpt2/vocab.bpe")), 0);
    assert_fails(text_path("gpt2"), "neither merges.txt nor vocab.bpe");
    assert_int_equal(unlink(text_path("gpt2/encoder.json")), 0);
    assert_fails(text_path("gpt2"), "neither vocab.json nor encoder.json");
}

/* Rank decides, not place: "h e" comes before "r e" and "i n". */
static void test_gpt2_ranks(void **state) {
    (void)state;
    (void)write_pair();
    const char swapped[] = "#version: 0.2\nt h\nh e\n";
    char more[8300];
    size_t n =
        (size_t)snprintf(more, sizeof more, "%.*s, \"th\": 264}", (int)vocab_size - 1, vocab);
    (void)text_write("gpt2/vocab.json", more, n);
    (void)text_write("gpt2/merges.txt", swapped, strlen(swapped));
    cx_bpe *b = read_ok(text_path("gpt2"));
    TOKENS(b, "the", 264, 68);
    cx_bpe_free(b);
    const char other[] = "h e\nt h"; /* no version, no last line end */
    (void)text_write("gpt2/merges.txt", other, strlen(other));
    b = read_ok(text_path("gpt2"));
    TOKENS(b, "the", 83, 258);
    cx_bpe_free(b);
    /* a merge is made everywhere before the next, which here would undo the second "he" */
    const char early[] = "he h\nh e\n";
    n = (size_t)snprintf(more, sizeof more, "%.*s, \"heh\": 264}", (int)vocab_size - 1, vocab);
    (void)text_write("gpt2/vocab.json", more, n);
    (void)text_write("gpt2/merges.txt", early, strlen(early));
    b = read_ok(text_path("gpt2"));
    TOKENS(b, "hehe", 258, 258);
    TOKENS(b, "heh", 264);
    cx_bpe_free(b);
}

/* vocab.json with `from` replaced by `to` */
static void vocab_fails(const char *from, const char *to, const char *pattern) {
    char text[8500];
    (void)write_pair();
    char *at = strstr(vocab, from);
    assert_non_null(at);
    size_t n = (size_t)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - vocab), vocab, to,
                                at + strlen(from));
    assert_fails(text_write("gpt2/vocab.json", text, n) ? text_path("gpt2") : "", pattern);
}

static void merges_fail(const char *text, size_t size, const char *pattern) {
    (void)write_pair();
    (void)text_write("gpt2/merges.txt", text, size);
    assert_fails(text_path("gpt2"), pattern);
}

static void test_faulty_gpt2_files(void **state) {
    (void)state;
    vocab_fails("\": 263}", "\": 262}", "token number 262 stands for");
    vocab_fails("\": 263}", "\": 264}", "whole number below the number of entries, 264");
    vocab_fails("\": 263}", "\": -1}", "whole number");
    vocab_fails("\": 263}", "\": 1.5}", "whole number");
    vocab_fails("\": 263}", "\": \"7\"}", "whole number");
    vocab_fails("\": 263}", "\": 99999999999999999999}", "vocab.json:1: ");
    vocab_fails("\": 263}", "\": 263, \"on\": 264}", "vocab.json:1: "); /* twice */
    vocab_fails("\": 263}", "\": 263", "vocab.json:1: ");               /* cut short */
    vocab_fails("<|endoftext|>", "\xFF", "vocab.json:1: ");             /* no UTF-8 */
    vocab_fails("<|endoftext|>", "", "0 bytes; 1 .. 1024");
    vocab_fails("\"A\"", "\"AB\"", "no entry \"A\", which stands for byte 0x41");
    vocab_fails("\"\xC4\x8A\"", "\"\\n\"", "stands for byte 0x0a"); /* not GPT-2's characters */
    (void)write_pair();
    (void)text_write("gpt2/vocab.json", "[1, 2]", 6);
    assert_fails(text_path("gpt2"), "one object");
    (void)text_write("gpt2/vocab.json", "{}", 2);
    assert_fails(text_path("gpt2"), "more merges");
    (void)text_write("gpt2/vocab.json", "", 0);
    assert_fails(text_path("gpt2"), "vocab.json:1: ");
    merges_fail("#version: 0.2\nh e\nx y\n", 22, "merges.txt:3: \"xy\" is not in");
    merges_fail("h e\nhe xx\n", 10, "merges.txt:2: \"xx\" is not in");
    merges_fail("h e\ni n\nh e\n", 12, "merges.txt:3: this pair is merged");
    merges_fail("h e\nin\n", 7, "merges.txt:2: two entries");
    merges_fail("h e\n i n\n", 9, "merges.txt:2: two entries");
    merges_fail("h e\ni n \n", 9, "merges.txt:2: two entries");
    merges_fail("h e\n\ni n\n", 9, "merges.txt:2: two entries");
    merges_fail("h e\ni \xFF\n", 8, "merges.txt:2: not valid UTF-8");
    merges_fail("h e\ni\0n\n", 8, "merges.txt:2: a zero byte");
    /* an entry that would not fit, between lines that do */
    char text[8192];
    memset(text, 'x', sizeof text);
    memcpy(text, "h e\nh ", 6);
    merges_fail(text, sizeof text, "merges.txt:2: ");
    size_t n = 0;
    for (int i = 0; i < 265; i++) /* they are counted before they are compared */
        n += (size_t)sprintf(text + n, "h e\n");
    merges_fail(text, n, "merges.txt:265: more merges");
}

/* Damaged files are refused with a message or read as the file that they have become. */
static void test_damaged_files(void **state) {
    (void)state;
    cx_error err = {0};
    cx_rng rng = cx_rng_make(1, 0, CX_STREAM_TEST);
    int read = 0;
    cx_bpe *b;
    static const char own[] = "coxswain-bpe-1 264\n97 98\n32 256\n256 99\n257 258\n99 99\n260 260\n"
                              "98 98\n261 10\n";
    static const char sample[] = " the abc ab abcc cccc\n <|endoftext|> \xC3\xA9";
    for (int i = 0; i < 900; i++) {
        char text[8192];
        const char *from = i % 3 == 0 ? own : i % 3 == 1 ? vocab : merges;
        const char *name = i % 3 == 0 ? "own" : i % 3 == 1 ? "gpt2/vocab.json" : "gpt2/merges.txt";
        (void)write_pair();
        size_t size = i % 3 == 0 ? sizeof own - 1 : i % 3 == 1 ? vocab_size : merges_size;
        memcpy(text, from, size);
        if (i % 5 == 0)
            size = cx_rng_below(&rng, (uint32_t)size);
        for (uint32_t k = cx_rng_below(&rng, 3); size > 0 && k < 3; k++) {
            uint32_t at = cx_rng_below(&rng, (uint32_t)size);
            text[at] = k == 1 ? (char)cx_rng_u32(&rng) : text[cx_rng_below(&rng, (uint32_t)size)];
        }
        (void)text_write(name, text, size);
        int rc = cx_bpe_read(text_path(i % 3 == 0 ? "own" : "gpt2"), &b, &err);
        if (rc) {
            assert_int_equal(rc, CX_EDATA);
            assert_non_null(strstr(err.message, i % 3 == 0 ? "own" : "gpt2"));
            continue;
        }
        uint16_t *tokens;
        unsigned char *back;
        size_t n, got;
        read++;
        assert_ok(
            cx_bpe_encode(b, (const unsigned char *)sample, sizeof sample, &tokens, &n, &err));
        assert_ok(cx_bpe_decode(b, tokens, n, &back, &got, &err));
        assert_int_equal(got, sizeof sample);
        assert_memory_equal(back, sample, sizeof sample);
        free(tokens);
        free(back);
        cx_bpe_free(b);
    }
    assert_true(read > 20 && read < 800); /* both kinds were seen */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_and_read),  cmocka_unit_test(test_faulty_own_files),
        cmocka_unit_test(test_gpt2_files),        cmocka_unit_test(test_gpt2_ranks),
        cmocka_unit_test(test_faulty_gpt2_files), cmocka_unit_test(test_damaged_files),
    };
    return cmocka_run_group_tests(tests, text_set_up, text_tear_down);
}
