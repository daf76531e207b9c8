/* Our own vocabulary files. */
#include "tests/fuzz/fuzz.h"

#include "data/bpe_parts.h"
#include <stdlib.h>
#include <string.h>

static bool run(const uint8_t *data, size_t size) {
    static const unsigned char text[] = "the cat ab ab\n\xff\xc3 in";
    cx_bpe *bpe;
    cx_error err;
    char *again;
    uint16_t *tokens;
    unsigned char *back;
    size_t n, length;
    if (!fuzz_taken(cx_bpe_parse("fuzz", data, size, &bpe, &err), &err)) {
        fuzz_must(!bpe);
        return false;
    }
    fuzz_must(cx_bpe_encode(bpe, text, sizeof text, &tokens, &n, &err) == CX_OK);
    fuzz_must(cx_bpe_decode(bpe, tokens, n, &back, &length, &err) == CX_OK);
    fuzz_must(length == sizeof text && memcmp(back, text, length) == 0);
    free(tokens);
    free(back);
    cx_bpe *other; /* what is written is read as the same */
    fuzz_must(cx_bpe_print(bpe, &again, &length, &err) == CX_OK);
    fuzz_must(cx_bpe_parse("again", (unsigned char *)again, length, &other, &err) == CX_OK);
    fuzz_must(cx_bpe_hash(other) == cx_bpe_hash(bpe));
    free(again);
    cx_bpe_free(other);
    cx_bpe_free(bpe);
    return true;
}

static void seeds(const fuzz_sink *sink) {
    static const char text[] = "the cat and the dog and the cattle that ate the hat; ab ab ab";
    cx_bpe *bpe;
    char *lines;
    size_t n;
    fuzz_must(cx_bpe_learn((const unsigned char *)text, sizeof text, 280, &bpe, NULL) == CX_OK);
    fuzz_must(cx_bpe_print(bpe, &lines, &n, NULL) == CX_OK);
    fuzz_seed(sink, lines, n);
    fuzz_seed_text(sink, "coxswain-bpe-1 256\n");
    free(lines);
    cx_bpe_free(bpe);
}

const fuzz_target fuzz_target_bpe = {"bpe", run, seeds};
