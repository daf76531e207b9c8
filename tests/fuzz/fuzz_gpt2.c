/* GPT-2's vocabulary files: vocab.json, a cut, merges.txt. */
#include "tests/fuzz/fuzz.h"

#include "data/bpe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool run(const uint8_t *data, size_t size) {
    static const unsigned char text[] = "the cat ab ab\n\xff\xc3 in";
    cx_slice file[2];
    cx_bpe *bpe;
    cx_error err;
    uint16_t *tokens;
    unsigned char *back;
    size_t n, length;
    fuzz_cut(data, size, file, 2);
    fuzz_put("gpt2/vocab.json", file[0].data, file[0].size);
    fuzz_put("gpt2/merges.txt", file[1].data, file[1].size);
    if (!fuzz_taken(cx_bpe_read(fuzz_path("gpt2"), &bpe, &err), &err)) {
        fuzz_must(!bpe);
        return false;
    }
    fuzz_must(cx_bpe_encode(bpe, text, sizeof text, &tokens, &n, &err) == CX_OK);
    for (size_t i = 0; i < n; i++)
        fuzz_must(tokens[i] < cx_bpe_entries(bpe));
    fuzz_must(cx_bpe_decode(bpe, tokens, n, &back, &length, &err) == CX_OK);
    free(tokens);
    free(back);
    for (int i = 0; i < cx_bpe_entries(bpe); i++)
        fuzz_must(cx_bpe_bytes(bpe, i, &length) && length > 0);
    cx_bpe_free(bpe);
    return true;
}

/* The 256 characters that stand for bytes, in the order of their code points. */
static size_t put_bytes_json(char *out) {
    size_t n = 0;
    for (unsigned code = '!', token = 0; token < 256; code++) {
        if ((code > '~' && code < 0xA1) || code == 0xAD)
            continue;
        n += (size_t)sprintf(out + n, "%s\"%s", token ? ", " : "{",
                             code == '"' || code == '\\' ? "\\" : "");
        if (code < 0x80)
            out[n++] = (char)code;
        else
            n += (size_t)sprintf(out + n, "%c%c", 0xC0 | code >> 6, 0x80 | (code & 0x3F));
        n += (size_t)sprintf(out + n, "\": %u", token++);
    }
    return n;
}

static void seeds(const fuzz_sink *sink) {
    static const char merges[] = "#version: 0.2\nt h\nth e\na b\n\xc4\xa0 c\n";
    char json[8192];
    size_t n = put_bytes_json(json);
    n += (size_t)sprintf(json + n, ", \"th\": 256, \"the\": 257, \"ab\": 258, \"\xc4\xa0"
                                   "c\": 259, \"<|endoftext|>\": 260}");
    fuzz_seed_pieces(sink, (const cx_slice[]){{json, n}, {merges, sizeof merges - 1}}, 2);
}

const fuzz_target fuzz_target_gpt2 = {"gpt2", run, seeds};
