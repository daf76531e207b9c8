#include "tests/test.h"

#include "tests/data/bpe_reference.h"

static cx_bpe *learn(const void *text, size_t size, int entries) {
    cx_bpe *b;
    cx_error err = {0};
    assert_ok(cx_bpe_learn(text, size, entries, &b, &err));
    return b;
}

static size_t round_trip(const cx_bpe *b, const void *text, size_t size) {
    uint16_t *tokens;
    unsigned char *back;
    size_t n, got;
    cx_error err = {0};
    assert_ok(cx_bpe_encode(b, text, size, &tokens, &n, &err));
    assert_ok(cx_bpe_decode(b, tokens, n, &back, &got, &err));
    assert_int_equal(got, size);
    assert_int_equal(back[got], 0);
    if (size > 0)
        assert_memory_equal(back, text, size);
    free(tokens);
    free(back);
    return n;
}

/* The pieces of a text, with | between them. */
static void assert_pieces(const char *text, const char *want) {
    char got[512];
    size_t n = 0;
    ref_text t = ref_pieces((const unsigned char *)text, strlen(text));
    for (size_t i = 0; i < t.n; i++)
        if (t.token[i] >= 0)
            got[n++] = (char)t.token[i];
        else if (i + 1 < t.n)
            got[n++] = '|';
    got[n] = 0;
    assert_string_equal(got, want);
    free(t.token);
}

static void test_pieces(void **state) {
    (void)state;
    assert_pieces("", "");
    assert_pieces("Hello world", "Hello| world");
    assert_pieces("it's we'll they'd 'tis", "it|'s| we|'ll| they|'d| '|tis");
    assert_pieces("IT'S", "IT|'|S"); /* contractions in small letters only, as GPT-2 has it */
    assert_pieces("in 1984, 2nd!?", "in| 1984|,| 2|nd|!?");
    assert_pieces("a  b   c", "a| | b|  | c"); /* the last space goes with the word */
    assert_pieces("a \n\n b\n", "a| \n\n| b|\n");
    assert_pieces("a\n\nb  ", "a|\n|\n|b|  ");
    assert_pieces("a\r\nb\tc", "a|\r|\n|b|\t|c");
    assert_pieces("x_y ---", "x|_|y| ---");
    assert_pieces("\xC3\xA9t\xC3\xA9 \xD9\xA3\xD9\xA4", "\xC3\xA9t\xC3\xA9| \xD9\xA3\xD9\xA4");
    assert_pieces("a\xC2\xA0\xE3\x80\x80z", "a|\xC2\xA0|\xE3\x80\x80|z");
    assert_pieces("hi\xF0\x9F\x98\x80\xF0\x9F\x98\x80", "hi|\xF0\x9F\x98\x80\xF0\x9F\x98\x80");
    /* no valid character: bytes by themselves, and a word is cut there */
    assert_pieces("caf\xE9 b", "caf|\xE9| b");
    assert_pieces("\xFF\xFE", "\xFF|\xFE");
    assert_pieces("a \xFF", "a| |\xFF");
    assert_pieces("\xE2\x82", "\xE2|\x82");
}

/* PCRE2 sees a text piece by piece: letters, spaces and a word of every length around what
 * it sees at a time, in characters of 1 to 4 bytes. */
static void test_pieces_of_any_length(void **state) {
    (void)state;
    static const char *const letter[] = {"a", "\xC3\xA9", "\xE4\xB8\x80", "\xF0\x90\x8C\xB0"};
    static const char *const space[] = {" ", "\xC2\xA0", "\xE3\x80\x80", "\n"};
    unsigned char text[2048];
    for (size_t k = 0; k < 4; k++)
        for (size_t letters = 1; letters < 300; letters += letters < 40 ? 13 : 1) {
            size_t around = letters % 3 == 0 ? 256 / strlen(space[k]) - 10 : 0;
            size_t spaces = letters % 14 + around, n = 0, at = 0;
            size_t pieces = 0, want[8] = {0};
            for (size_t i = 0; i < letters; i++, n += strlen(letter[k]))
                memcpy(text + n, letter[k], strlen(letter[k]));
            want[pieces++] = n;
            for (size_t i = 0; i < spaces; i++, n += strlen(space[k]))
                memcpy(text + n, space[k], strlen(space[k]));
            if (spaces > 1)
                want[pieces++] = (spaces - 1) * strlen(space[k]);
            if (spaces > 0 && k > 0) /* only a plain space goes with the word */
                want[pieces++] = strlen(space[k]);
            else if (spaces == 0)
                pieces--;
            want[pieces] += spaces > 0 && k == 0;
            for (size_t i = 0; i < 3; i++, n += strlen(letter[k]))
                memcpy(text + n, letter[k], strlen(letter[k]));
            want[pieces++] += 3 * strlen(letter[k]);
            ref_text t = ref_pieces(text, n);
            assert_int_equal(t.n, n + pieces);
            for (size_t i = 0; i < pieces; i++) {
                at += want[i];
                assert_int_equal(t.token[at++], -1);
            }
            free(t.token);
        }
}

/* Counted by hand. */
static void test_learned_merges(void **state) {
    (void)state;
    ref_pair m[8];
    size_t size;
    cx_bpe *b = learn("ab ab ab abc", 12, 300);
    /* a b: 4; then space ab: 3; then nothing twice */
    assert_int_equal(cx_bpe_entries(b), 258);
    assert_int_equal(ref_merges_of(b, m), 2);
    assert_true(m[0].a == 'a' && m[0].b == 'b' && m[1].a == ' ' && m[1].b == 256);
    assert_memory_equal(cx_bpe_bytes(b, 257, &size), " ab", 3);
    assert_int_equal(size, 3);
    assert_memory_equal(cx_bpe_bytes(b, 65, &size), "A", 1);
    assert_int_equal(size, 1);
    assert_null(cx_bpe_bytes(b, 258, &size));
    assert_null(cx_bpe_bytes(b, -1, &size));
    assert_int_equal(round_trip(b, "ab abc", 6), 3); /* ab, space ab, c */
    assert_int_equal(round_trip(b, "a b", 3), 3);    /* no merge reaches over pieces */
    cx_bpe_free(b);
    /* equals: lower left number, then lower right one */
    b = learn("yx\nyx\nba\nba\nbc\nbc", 17, 300);
    assert_int_equal(ref_merges_of(b, m), 3);
    assert_true(m[0].a == 'b' && m[0].b == 'a');
    assert_true(m[1].a == 'b' && m[1].b == 'c');
    assert_true(m[2].a == 'y' && m[2].b == 'x');
    cx_bpe_free(b);
    b = learn("yx\nyx\nba\nba\nbc\nbc", 17, 257); /* no more than wanted */
    assert_int_equal(ref_merges_of(b, m), 1);
    cx_bpe_free(b);
    /* pairs that overlap: aaaa has three, of which two are merged */
    b = learn("aaaa", 4, 300);
    assert_int_equal(ref_merges_of(b, m), 1);
    assert_int_equal(round_trip(b, "aaaaa", 5), 3);
    cx_bpe_free(b);
}

static void test_learning_agrees_with_the_book(void **state) {
    (void)state;
    unsigned char text[4096];
    ref_pair want[60], got[60];
    for (uint64_t seed = 0; seed < 12; seed++) {
        size_t size = ref_random_text(seed, 60 + 30 * seed, text);
        int n = ref_learn(text, size, 60, want);
        cx_bpe *b = learn(text, size, 256 + 60);
        assert_int_equal(ref_merges_of(b, got), n);
        assert_memory_equal(got, want, (size_t)n * sizeof *got);
        cx_bpe_free(b);
    }
}

static void test_encoding_agrees_with_the_book(void **state) {
    (void)state;
    unsigned char text[20000];
    ref_pair merge[200];
    cx_error err = {0};
    size_t size = ref_random_text(100, 5000, text);
    cx_bpe *b = learn(text, size, 456);
    int merges = ref_merges_of(b, merge);
    assert_true(merges > 150);
    for (uint64_t seed = 0; seed < 40; seed++) {
        uint16_t *tokens;
        size_t n;
        size = ref_random_text(200 + seed, 50, text);
        ref_text want = ref_encode(text, size, merge, merges);
        assert_ok(cx_bpe_encode(b, text, size, &tokens, &n, &err));
        assert_int_equal(n, want.n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(tokens[i], want.token[i]);
        free(tokens);
        free(want.token);
    }
    cx_bpe_free(b);
}

/* Merges in an order that no learning gives: a later token in an earlier rule, and rules
 * that compete for the same letters. */
static void test_any_order_of_merges(void **state) {
    (void)state;
    cx_error err = {0};
    for (uint64_t seed = 0; seed < 60; seed++) {
        enum { MERGES = 40 };
        ref_pair merge[MERGES];
        char file[1024];
        unsigned char text[64];
        cx_rng rng = cx_rng_make(seed, 1, CX_STREAM_TEST);
        size_t size = (size_t)snprintf(file, sizeof file, "coxswain-bpe-1 %d\n", 256 + MERGES);
        for (int i = 0; i < MERGES; i++) {
            for (bool again = true; again;) {
                uint32_t a = cx_rng_below(&rng, 3 + (uint32_t)i),
                         b = cx_rng_below(&rng, 3 + (uint32_t)i);
                merge[i].a = a < 3 ? 'a' + (int)a : 253 + (int)a;
                merge[i].b = b < 3 ? 'a' + (int)b : 253 + (int)b;
                again = false;
                for (int k = 0; k < i; k++)
                    again = again || (merge[k].a == merge[i].a && merge[k].b == merge[i].b);
            }
            size += (size_t)snprintf(file + size, sizeof file - size, "%d %d\n", merge[i].a,
                                     merge[i].b);
        }
        cx_bpe *b;
        assert_ok(cx_bpe_parse("file", (unsigned char *)file, size, &b, &err));
        for (int k = 0; k < 20; k++) {
            uint16_t *tokens;
            size_t n;
            for (size_t i = 0; i < sizeof text; i++)
                text[i] = (unsigned char)('a' + cx_rng_below(&rng, 3));
            ref_text want = ref_encode(text, sizeof text, merge, MERGES);
            assert_ok(cx_bpe_encode(b, text, sizeof text, &tokens, &n, &err));
            assert_int_equal(n, want.n);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(tokens[i], want.token[i]);
            free(tokens);
            free(want.token);
        }
        cx_bpe_free(b);
    }
}

static void test_exact_round_trips(void **state) {
    (void)state;
    static const char some[] = "The caf\xC3\xA9's \xF0\x9F\x98\x80\xF0\x9F\x91\x8D costs 42.\r\n"
                               "\r\nBroken: \xC3( \xE2\x82 \xFF\xFE \xED\xA0\x80\r\n";
    unsigned char bytes[8192];
    cx_bpe *plain = learn("", 0, 2048), *b = learn(some, sizeof some - 1, 300);
    assert_int_equal(cx_bpe_entries(plain), 256);
    for (int k = 0; k < 2; k++) {
        const cx_bpe *v = k ? b : plain;
        assert_int_equal(round_trip(v, "", 0), 0);
        for (int i = 0; i < 256; i++) {
            bytes[0] = (unsigned char)i;
            assert_int_equal(round_trip(v, bytes, 1), 1);
        }
        (void)round_trip(v, some, sizeof some);
        for (size_t cut = 0; cut < sizeof some; cut++)
            (void)round_trip(v, some + cut, sizeof some - cut);
        cx_rng rng = cx_rng_make(1, 0, CX_STREAM_TEST);
        for (int seed = 0; seed < 10; seed++) {
            for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (unsigned char)cx_rng_u32(&rng);
            (void)round_trip(v, bytes, sizeof bytes);
            (void)round_trip(v, bytes, ref_random_text((uint64_t)seed, 1500, bytes));
        }
    }
    assert_int_equal(round_trip(plain, bytes, 100), 100); /* bytes are their own tokens */
    cx_bpe_free(plain);
    cx_bpe_free(b);
}

static void test_very_long_pieces(void **state) {
    (void)state;
    size_t size = 1 << 20, length;
    unsigned char *text = malloc(size);
    assert_non_null(text);
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < size; i++)
            text[i] = (unsigned char)(kind == 0 ? 'a' : kind == 1 ? ' ' : 0x80 + i % 0x40);
        cx_bpe *b = learn(text, size, 400);
        size_t n = round_trip(b, text, size);
        if (kind < 2) { /* tokens double up to the parts in which long pieces are counted */
            assert_int_equal(cx_bpe_entries(b), 266);
            (void)cx_bpe_bytes(b, 265, &length);
            assert_int_equal(length, 1024);
            assert_int_equal(n, size / 1024);
        } else { /* no characters: bytes by themselves */
            assert_int_equal(cx_bpe_entries(b), 256);
            assert_int_equal(n, size);
        }
        cx_bpe_free(b);
    }
    free(text);
}

/* Wherever cx_bpe_chunk allows a cut, both sides together are the whole. */
static void test_chunks(void **state) {
    (void)state;
    unsigned char text[4096];
    cx_error err = {0};
    size_t size = ref_random_text(7, 700, text), cuts = 0;
    cx_bpe *b = learn(text, size, 500);
    for (uint64_t seed = 0; seed < 20; seed++) {
        uint16_t *whole, *left, *right;
        size_t n, n_left, n_right, last = 0;
        size = ref_random_text(300 + seed, 120, text);
        assert_ok(cx_bpe_encode(b, text, size, &whole, &n, &err));
        for (size_t want = 0; want <= size; want++) {
            size_t cut = cx_bpe_chunk(text, size, want);
            assert_true(cut > 0 && cut >= want && cut <= size);
            if (cut == last)
                continue;
            last = cut;
            cuts++;
            assert_ok(cx_bpe_encode(b, text, cut, &left, &n_left, &err));
            assert_ok(cx_bpe_encode(b, text + cut, size - cut, &right, &n_right, &err));
            assert_int_equal(n_left + n_right, n);
            assert_memory_equal(left, whole, n_left * sizeof *left);
            if (n_right > 0)
                assert_memory_equal(right, whole + n_left, n_right * sizeof *right);
            free(left);
            free(right);
        }
        free(whole);
    }
    assert_true(cuts > 80);
    assert_int_equal(cx_bpe_chunk((const unsigned char *)"ab cd\nef", 8, 1), 2);
    assert_int_equal(cx_bpe_chunk((const unsigned char *)"ab cd\nef", 8, 3), 5);
    assert_int_equal(cx_bpe_chunk((const unsigned char *)"ab cd\nef", 8, 6), 8);
    assert_int_equal(cx_bpe_chunk((const unsigned char *)"a  b", 4, 2), 4);
    assert_int_equal(cx_bpe_chunk((const unsigned char *)" a", 2, 0), 2);
    cx_bpe_free(b);
}

/* Several texts: the same as one where no piece spans them. */
static void test_learning_from_several_texts(void **state) {
    (void)state;
    cx_error err = {0};
    cx_bpe_learner *l;
    unsigned char text[8192];
    size_t size = ref_random_text(3, 1000, text), cut = cx_bpe_chunk(text, size, size / 3);
    cx_bpe *whole = learn(text, size, 400), *parts, *again, *other;
    assert_ok(cx_bpe_learner_create(&l, &err));
    assert_ok(cx_bpe_learner_add(l, text, cut, &err));
    assert_ok(cx_bpe_learner_add(l, text + cut, size - cut, &err));
    assert_ok(cx_bpe_learner_finish(l, 400, &parts, &err));
    assert_ok(cx_bpe_learner_finish(l, 400, &again, &err)); /* it may go on */
    assert_int_equal(cx_bpe_hash(parts), cx_bpe_hash(whole));
    assert_int_equal(cx_bpe_hash(again), cx_bpe_hash(whole));
    assert_ok(cx_bpe_learner_add(l, (const unsigned char *)"zq zq zq zq", 11, &err));
    assert_ok(cx_bpe_learner_finish(l, 400, &other, &err));
    assert_int_not_equal(cx_bpe_hash(other), cx_bpe_hash(whole));
    cx_bpe_free(other);
    assert_int_equal(cx_bpe_learner_finish(l, 255, &other, &err), CX_EUSAGE);
    assert_int_equal(cx_bpe_learner_finish(l, 65537, &other, &err), CX_EUSAGE);
    assert_null(other);
    cx_bpe_learner_free(l);
    cx_bpe_learner_free(NULL);
    cx_bpe_free(whole);
    cx_bpe_free(parts);
    cx_bpe_free(again);
    cx_bpe_free(NULL);
}

static void test_decoding_refuses_other_tokens(void **state) {
    (void)state;
    cx_error err = {0};
    unsigned char *text;
    size_t size;
    cx_bpe *b = learn("ab ab", 5, 257);
    const uint16_t bad[] = {1, 256, 257}, good[] = {256, 10};
    assert_int_equal(cx_bpe_decode(b, bad, 3, &text, &size, &err), CX_EDATA);
    assert_null(text);
    assert_non_null(strstr(err.message, "token 2 is 257"));
    assert_ok(cx_bpe_decode(b, good, 2, &text, &size, &err));
    assert_string_equal((char *)text, "ab\n");
    free(text);
    cx_bpe_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_pieces_of_any_length),
        cmocka_unit_test(test_learned_merges),
        cmocka_unit_test(test_learning_agrees_with_the_book),
        cmocka_unit_test(test_encoding_agrees_with_the_book),
        cmocka_unit_test(test_any_order_of_merges),
        cmocka_unit_test(test_exact_round_trips),
        cmocka_unit_test(test_very_long_pieces),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_learning_from_several_texts),
        cmocka_unit_test(test_decoding_refuses_other_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
