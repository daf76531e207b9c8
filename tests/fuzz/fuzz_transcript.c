/* A LibriSpeech-style folder: the transcripts of train-a, dev-b and test-c, where the
 * recordings 1, 2 and 3 lie beside each. */
#include "tests/fuzz/fuzz.h"

#include "base/file.h"
#include "data/speech.h"
#include "tests/data/recordings.h"
#include <string.h>

static const char *const folders[] = {"train-a", "dev-b", "test-c"};

static void put_recordings(void) {
    char name[64];
    float x[160];
    for (int i = 0; i < 160; i++)
        x[i] = (float)(i * 37 % 101) / 101 - 0.5F;
    for (int s = 0; s < 3; s++)
        for (int i = 1; i <= 2; i++) {
            (void)snprintf(name, sizeof name, "set/%s/%d.wav", folders[s], i);
            fuzz_put(name, "", 0);
            write_audio(fuzz_path(name), SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 1, x, 160);
        }
}

static bool run(const uint8_t *data, size_t size) {
    cx_slice file[3];
    char name[64];
    cx_speech *s;
    cx_speech_cut *cut = NULL;
    cx_error err;
    if (!cx_file_exists(fuzz_path("set"))) /* new, or removed with the folder */
        put_recordings();
    fuzz_cut(data, size, file, 3);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "set/%s/x.trans.txt", folders[i]);
        fuzz_put(name, file[i].data, file[i].size);
    }
    if (!fuzz_taken(cx_speech_open(fuzz_path("set"), fuzz_path("cache"), 4, &s, &err), &err)) {
        fuzz_must(!s);
        return false;
    }
    for (uint32_t u = 0; u < cx_speech_count(s); u++)
        fuzz_must(cx_speech_text(s, u)[0] && cx_speech_frames(s, u) > 0);
    if (fuzz_taken(cx_speech_cut_make(s, 0, &cut, &err), &err))
        for (uint32_t u = 0; u < cx_speech_count(s); u++) {
            fuzz_must(cx_speech_length(cut, u) > 0);
            for (size_t i = cut->first[u]; i < cut->first[u + 1]; i++)
                fuzz_must(cut->labels[i] > 0 && cut->labels[i] < cut->n_symbols);
            fuzz_must(cx_speech_needed(cut, u) >= cx_speech_length(cut, u));
        }
    bool taken = cut != NULL;
    cx_speech_cut_free(cut);
    cx_speech_close(s);
    return taken;
}

static void seeds(const fuzz_sink *sink) {
    fuzz_seed_text(sink,
                   "1 THE CAT\n2 a  hat\n" FUZZ_CUT "1 that\n2 a\n" FUZZ_CUT "1 chat\n2 heat\n");
    fuzz_seed_text(sink, "1 \xc3\xa9t\xc3\xa9\r\n2 t\r\n" FUZZ_CUT "2 \xc3\xa9\r\n1 t" FUZZ_CUT
                         "1 t\n2 t\n");
}

const fuzz_target fuzz_target_transcript = {"transcript", run, seeds};
