/* Labeled sentences: trees, tabs, CSV. */
#include "tests/fuzz/fuzz.h"

#include "data/sentences.h"
#include <string.h>

static void use(const cx_sentences *s) {
    uint32_t known = cx_sentences_vocabulary(s);
    size_t n, bytes = 0;
    for (int split = 0; split < 3; split++)
        for (uint32_t i = 0; i < cx_sentences_count(s, split); i++) {
            const uint32_t *word = cx_sentences_words(s, split, i, &n);
            int label = cx_sentences_label(s, split, i);
            fuzz_must(n >= 1 && label >= 0 && label < cx_sentences_classes(s));
            for (size_t k = 0; k < n; k++)
                fuzz_must(word[k] < known || word[k] == CX_SENTENCES_UNKNOWN);
        }
    for (uint32_t w = 0; w < known; w++)
        bytes += strlen(cx_sentences_word(s, w));
    for (int c = 0; c < cx_sentences_classes(s); c++)
        bytes += strlen(cx_sentences_class_name(s, c));
    fuzz_must(bytes > 0 && cx_sentences_known(s, 3, 2) <= 3);
}

static bool run(const uint8_t *data, size_t size) {
    cx_sentences *s;
    cx_error err;
    fuzz_put("all.txt", data, size);
    int rc = cx_sentences_open(fuzz_path("all.txt"), fuzz_path("cache"), &s, &err);
    if (!fuzz_taken(rc, &err)) {
        fuzz_must(!s);
        return false;
    }
    use(s);
    cx_sentences_close(s);
    return true;
}

static void seeds(const fuzz_sink *sink) {
    fuzz_seed_text(sink,
                   "(3 (2 The) (4 (3 lovely) (2 film)))\n(1 (2 A) (0 bore))\n(3 (2 It) (3 "
                   "works))\n(1 (1 no))\n(3 yes)\n(1 (2 so) (1 (2 -LRB-) (1 n't)))\n(3 (2 x) (2 "
                   "y))\n(1 (2 z) (2 q))\n(3 (2 The) (2 end))\n(1 (2 a) (2 b))\n(3 c)\n(1 d)\n");
    fuzz_seed_text(sink, "label\ttext\n1\tgreat!! \"it\" is\n0\tnot so\n1\tgood\n0\tbad\n1\tyes, "
                         "really\n0\tno, never\n1\ta\n0\tb\n1\tc d\n0\te f\n1\tg\n0\th\n");
    fuzz_seed_text(sink,
                   "\xef\xbb\xbfreview,sentiment\r\n\"one, \"\"two\"\"\nthree\",pos\r\nfour,neg\r\n"
                   "\"five\",pos\r\nsix,neg\r\nseven,pos\r\neight,neg\r\nnine,pos\r\nten,neg\r\n"
                   "x,pos\r\ny,neg\r\nz,pos\r\nw,neg\r\n");
}

const fuzz_target fuzz_target_sentences = {"sentences", run, seeds};
