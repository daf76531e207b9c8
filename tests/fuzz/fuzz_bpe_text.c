/* Any bytes as text: learning a vocabulary from them, encoding, decoding, cutting. */
#include "tests/fuzz/fuzz.h"

#include "data/bpe.h"
#include <stdlib.h>
#include <string.h>

static size_t encode(const cx_bpe *bpe, const uint8_t *text, size_t size, uint16_t **tokens) {
    size_t n;
    fuzz_must(cx_bpe_encode(bpe, text, size, tokens, &n, NULL) == CX_OK);
    return n;
}

/* A text may be cut where cx_bpe_chunk says: the tokens are the same. */
static void check_cut(const cx_bpe *bpe, const uint8_t *text, size_t size, const uint16_t *whole,
                      size_t n) {
    size_t at = cx_bpe_chunk(text, size, size / 2 + 1);
    uint16_t *left, *right;
    fuzz_must(at <= size);
    size_t a = encode(bpe, text, at, &left), b = encode(bpe, text + at, size - at, &right);
    fuzz_must(a + b == n && (!a || memcmp(left, whole, a * sizeof *left) == 0) &&
              (!b || memcmp(right, whole + a, b * sizeof *right) == 0));
    free(left);
    free(right);
}

static bool run(const uint8_t *data, size_t size) {
    cx_bpe *bpe;
    cx_error err;
    uint16_t *tokens;
    unsigned char *back;
    size_t length;
    if (size < 2)
        return false;
    fuzz_must(cx_bpe_learn(data + 1, size - 1, 256 + data[0], &bpe, &err) == CX_OK);
    size_t n = encode(bpe, data, size, &tokens);
    fuzz_must(cx_bpe_decode(bpe, tokens, n, &back, &length, &err) == CX_OK);
    fuzz_must(length == size && memcmp(back, data, size) == 0);
    check_cut(bpe, data, size, tokens, n);
    free(back);
    free(tokens);
    cx_bpe_free(bpe);
    return true;
}

static void seeds(const fuzz_sink *sink) {
    fuzz_seed_text(sink, "2the cat, the dog's and 12 cattle\r\n\r\n  ate\tthe hat !!  \n");
    fuzz_seed_text(sink,
                   "\x10\xc3\xa9t\xc3\xa9 \xe2\x80\xa6 \xf0\x9f\x98\x80\xf0\x9f\x98\x80 \xff\xfe"
                   " \xed\xa0\x80 na\xc3\xafve");
}

const fuzz_target fuzz_target_bpe_text = {"bpe_text", run, seeds};
