/* Recordings, and what speech recognition hears of them: log-mel features.
 *
 * Reading is libsndfile's: WAV, FLAC, and what else it knows, in any sample format;
 * several channels are averaged into one.
 *
 * Loudness is the microphone's: features are taken of recordings whose mean is 0 and whose
 * mean power is 1 (cx_audio_level).
 *
 * Features: windows of 25 ms every 10 ms, the last ones filled up with zeros, so that no
 * sample is lost and a single one gives a frame; periodic Hann window w; power
 * |DFT|^2 / sum(w^2) at the least power of two that is twice the window or more (white
 * noise of variance v has mean power v in every bin); triangular filters; natural log of
 * (filtered power + 1e-4). What lies 40 dB below a recording's mean power is silence.
 *
 * The filters' corners are equally spaced on HTK's mel scale, mel(f) =
 * 2595 log10(1 + f / 700), from 20 Hz to half the sample rate; the triangles are straight
 * over frequency in Hz, with peak 1 (librosa: htk=True, norm=None). */
#ifndef CX_DATA_AUDIO_H
#define CX_DATA_AUDIO_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

enum {
    CX_AUDIO_RATE_MIN = 4000,
    CX_AUDIO_RATE_MAX = 192000, /* samples a second */
    CX_AUDIO_SECONDS_MAX = 600,
    CX_LOGMEL_WINDOW_MS = 25,
    CX_LOGMEL_HOP_MS = 10
};
#define CX_LOGMEL_FLOOR 1e-4
#define CX_LOGMEL_LOW_HZ 20.0

typedef struct {
    float *samples; /* whole-number formats: in -1 .. 1 */
    size_t count;   /* at least 1 */
    int rate;       /* samples a second */
} cx_audio;

/* Reads a whole file. CX_EDATA, with the file: unreadable, no samples, a rate or length
 * out of bounds, cut short, or (float formats) a sample that is not finite or absurd. */
int cx_audio_read(const char *path, cx_audio *out, cx_error *err);
void cx_audio_free(cx_audio *a);
/* Takes off the mean and scales to a mean power of 1; silence stays silence. */
void cx_audio_level(cx_audio *a);

/* A filter: weight[0 .. count-1] of the bins from `first` on. */
typedef struct {
    int first, count;
    const float *weight;
} cx_mel_filter;

/* The features' plan. It holds scratch memory: one thread at a time. */
typedef struct {
    int rate, mels, window, hop, size, bins; /* samples; of the DFT; size / 2 + 1 */
    cx_mel_filter *filter;                   /* [mels] */
    float *weights, *hann;                   /* the filters' memory; [window] */
    float *frame, *power;                    /* [size], [bins] */
    double window_energy;                    /* sum of hann^2 */
    void *fft, *spectrum;                    /* kissfft's */
} cx_logmel;

/* CX_EDATA: a rate out of bounds; CX_ECONFIG: so many filters that one of them would hold
 * no frequency of the DFT. */
int cx_logmel_create(int rate, int mels, cx_logmel **out, cx_error *err);
void cx_logmel_destroy(cx_logmel *m);
/* Frames of a recording: 1, and as many more hops as are needed to reach its end. */
size_t cx_logmel_frames(const cx_logmel *m, size_t samples);
/* Frame number `frame` of a recording: out[mels]. */
void cx_logmel_frame(cx_logmel *m, const float *samples, size_t count, size_t frame, float *out);

#endif
