/* Text corpora: training, validation and test file; the first byte: how the vocabulary is
 * made, and whether there are several files. */
#include "tests/fuzz/fuzz.h"

#include "data/corpus.h"

static void use(const cx_corpus *c) {
    int32_t token;
    for (int s = 0; s < 3; s++) {
        size_t n = cx_corpus_tokens(c, s);
        fuzz_must(n >= 2 && cx_corpus_bytes(c, s) >= 2);
        for (size_t i = 0; i < n; i++) {
            cx_corpus_copy(c, s, i, 1, &token);
            fuzz_must(token >= 0 && token < cx_corpus_entries(c));
        }
    }
}

static bool run(const uint8_t *data, size_t size) {
    static const char *const names[] = {"text/train.txt", "text/valid.txt", "text/test.txt"};
    cx_slice file[3];
    cx_corpus *c;
    cx_error err;
    if (size < 1)
        return false;
    bool folder = data[0] & 1;
    fuzz_clear(NULL);
    fuzz_cut(data + 1, size - 1, file, folder ? 3 : 1);
    for (int i = 0; i < (folder ? 3 : 1); i++)
        if (i == 0 || file[i].size)
            fuzz_put(names[i], file[i].data, file[i].size);
    int rc = cx_corpus_open(fuzz_path(folder ? "text" : names[0]), data[0] & 2 ? 300 : 256, "",
                            fuzz_path("cache"), &c, &err);
    if (!fuzz_taken(rc, &err)) {
        fuzz_must(!c);
        return false;
    }
    use(c);
    cx_corpus_close(c);
    return true;
}

static void seeds(const fuzz_sink *sink) {
#define LINE "a line of some words, and a line of other words\n"
    fuzz_seed_text(sink, "0" LINE LINE LINE LINE);
    fuzz_seed_text(sink, "2" LINE LINE LINE LINE);
    fuzz_seed_text(sink, "3" LINE LINE FUZZ_CUT LINE FUZZ_CUT LINE);
    fuzz_seed_text(sink, "1" LINE LINE LINE FUZZ_CUT FUZZ_CUT);
}

const fuzz_target fuzz_target_corpus = {"corpus", run, seeds};
