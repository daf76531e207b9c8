/* Recordings: libsndfile behind data/audio.h, and the features of what it gives. */
#include "tests/fuzz/fuzz.h"

#include "data/audio.h"
#include "tests/data/recordings.h"
#include <math.h>

static void features(cx_audio *a) {
    cx_error err;
    cx_logmel *m;
    float frame[8];
    cx_audio_level(a);
    fuzz_must(cx_logmel_create(a->rate, 8, &m, &err) == CX_OK);
    size_t n = cx_logmel_frames(m, a->count);
    for (size_t i = 0; i < 2; i++) { /* the first and the last */
        cx_logmel_frame(m, a->samples, a->count, i ? n - 1 : 0, frame);
        for (int k = 0; k < 8; k++)
            fuzz_must(isfinite(frame[k]));
    }
    cx_logmel_destroy(m);
}

static bool run(const uint8_t *data, size_t size) {
    cx_audio audio;
    cx_error err;
    fuzz_put("recording", data, size);
    bool taken = fuzz_taken(cx_audio_read(fuzz_path("recording"), &audio, &err), &err);
    fuzz_must(taken == (audio.samples != NULL));
    if (taken) {
        fuzz_must(audio.count > 0 && audio.rate >= CX_AUDIO_RATE_MIN);
        features(&audio);
    }
    cx_audio_free(&audio);
    return taken;
}

static void seeds(const fuzz_sink *sink) {
    static const int form[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_WAV | SF_FORMAT_FLOAT,
                               SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM,
                               SF_FORMAT_FLAC | SF_FORMAT_PCM_16, SF_FORMAT_AIFF | SF_FORMAT_ULAW};
    float x[600];
    for (int i = 0; i < 600; i++)
        x[i] = (float)(i * 37 % 101) / 101 - 0.5F;
    for (int i = 0; i < 5; i++) {
        write_audio(fuzz_path("seed"), form[i], 8000, 1 + i % 2, x, 300);
        fuzz_seed_file(sink, "seed", NULL, 0);
    }
}

const fuzz_target fuzz_target_audio = {"audio", run, seeds};
