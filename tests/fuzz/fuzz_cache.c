/* What stands in the cache of data and has been damaged behind its header, which is right:
 * 'v' a vocabulary, 't' tokens, 's' speech features, 'n' natural images, then the payload.
 * The data themselves are small sound files. */
#include "tests/fuzz/fuzz.h"

#include "base/file.h"
#include "data/corpus.h"
#include "data/natural_images.h"
#include "data/speech.h"
#include "tests/data/recordings.h"
#include <dirent.h>
#include <string.h>

enum { HEADER = 64, VOCABULARY = 260, SIDE = 2 };

static void put_data(void) {
    char text[1024], bytes[3 * 3074] = "";
    float x[160];
    for (int i = 0; i < 160; i++)
        x[i] = (float)(i * 37 % 101) / 101 - 0.5F;
    for (int i = 0; i < 1024; i++)
        text[i] = "the cat ab \n"[i % 12];
    fuzz_put("text.txt", text, sizeof text);
    fuzz_put("images/train.bin", bytes, sizeof bytes);
    fuzz_put("images/test.bin", bytes, 3074);
    for (int i = 0; i < 3; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "speech/1_s%d_0.wav", i);
        fuzz_put(name, "", 0);
        write_audio(fuzz_path(name), SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 1, x, 160);
    }
}

static int use_text(cx_error *err) {
    cx_corpus *c;
    int rc = cx_corpus_open(fuzz_path("text.txt"), VOCABULARY, "", fuzz_path("cache"), &c, err);
    for (int s = 0; !rc && s < 3; s++)
        for (size_t i = 0; i < cx_corpus_tokens(c, s); i++) {
            int32_t token;
            cx_corpus_copy(c, s, i, 1, &token);
            fuzz_must(token >= 0 && token < cx_corpus_entries(c));
        }
    if (!rc)
        cx_corpus_close(c);
    return rc;
}

static int use_speech(cx_error *err) {
    cx_speech *s;
    cx_speech_cut *cut = NULL;
    int rc = cx_speech_open(fuzz_path("speech"), fuzz_path("cache"), 4, &s, err), sum = 0;
    if (rc)
        return rc;
    for (uint32_t u = 0; u < cx_speech_count(s); u++)
        for (uint32_t i = 0; i < 4 * cx_speech_frames(s, u); i++)
            sum += cx_speech_features(s, u)[i] & 1;
    rc = cx_speech_cut_make(s, 0, &cut, err);
    fuzz_must(sum >= 0);
    cx_speech_cut_free(cut);
    cx_speech_close(s);
    return rc;
}

static int use_images(cx_error *err) {
    cx_natural_images *im;
    float out[3 * SIDE * SIDE];
    int rc = cx_natural_images_open(fuzz_path("images"), fuzz_path("cache"), 1, SIDE, &im, err);
    if (rc)
        return rc;
    for (int s = 0; s < 3; s++)
        for (uint32_t i = 0; i < cx_natural_images_count(im, s); i++) {
            uint32_t example = cx_natural_images_first(im, s) + i;
            int label = cx_natural_images_label(im, example);
            fuzz_must(label >= 0 && label < cx_natural_images_classes(im));
            cx_natural_images_copy(im, example, SIDE, 0, 0, false, out);
        }
    cx_natural_images_close(im);
    return rc;
}

static const struct {
    char letter;
    const char *prefix;
    int (*use)(cx_error *err);
} kinds[] = {{'v', "vocabulary-", use_text},
             {'t', "tokens-", use_text},
             {'s', "speech-", use_speech},
             {'n', "natural-images-", use_images}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static struct {
    char name[64];
    unsigned char bytes[1 << 14];
    size_t size;
} sound[KINDS]; /* as they were made */

static void prepare(void) {
    cx_error err;
    if (cx_file_exists(fuzz_path("cache"))) /* not removed with the folder since */
        return;
    put_data();
    for (int k = 0; k < KINDS; k++) {

        fuzz_must(kinds[k].use(&err) == CX_OK);
        DIR *d = opendir(fuzz_path("cache"));
        fuzz_must(d);
        for (struct dirent *e; (e = readdir(d));) {
            if (strncmp(e->d_name, kinds[k].prefix, strlen(kinds[k].prefix)) != 0 ||
                strstr(e->d_name, ".lock"))
                continue;
            (void)snprintf(sound[k].name, sizeof sound[k].name, "cache/%.50s", e->d_name);
            FILE *f = fopen(fuzz_path(sound[k].name), "rb");
            fuzz_must(f);
            sound[k].size = fread(sound[k].bytes, 1, sizeof sound[k].bytes, f);
            (void)fclose(f);
        }
        (void)closedir(d);
        fuzz_must(sound[k].size > HEADER && sound[k].size < sizeof sound[k].bytes);
    }
}

static bool run(const uint8_t *data, size_t size) {
    unsigned char bytes[1 << 14];
    cx_error err;
    int k = 0;
    prepare();
    while (size && k < KINDS && kinds[k].letter != (char)data[0])
        k++;
    uint64_t payload = size - 1;
    if (!size || k == KINDS || payload > sizeof bytes - HEADER)
        return false;
    memcpy(bytes, sound[k].bytes, HEADER);
    memcpy(bytes + 16, &payload, sizeof payload);
    memcpy(bytes + HEADER, data + 1, payload);
    fuzz_put(sound[k].name, bytes, HEADER + payload);
    bool taken = fuzz_taken(kinds[k].use(&err), &err);
    fuzz_put(sound[k].name, sound[k].bytes, sound[k].size);
    return taken;
}

static void seeds(const fuzz_sink *sink) {
    prepare();
    for (int k = 0; k < KINDS; k++) {
        unsigned char bytes[1 << 14];
        bytes[0] = (unsigned char)kinds[k].letter;
        memcpy(bytes + 1, sound[k].bytes + HEADER, sound[k].size - HEADER);
        fuzz_seed(sink, bytes, 1 + sound[k].size - HEADER);
    }
}

const fuzz_target fuzz_target_cache = {"cache", run, seeds};
