#include "data/audio.h"

#include "base/arena.h"
#include <kissfft/kiss_fftr.h>
#include <math.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS_MAX = 64, BLOCK = 4096, MELS_MAX = 1024 };
/* What integers beyond -1 .. 1 in a float file may reach; its square stays far from
 * overflow in all that follows. */
static const float sample_max = 1e5f;
static const double least_deviation = 1e-6; /* -120 dB; one step of 24 bits is 1e-7 */

/* --- reading --- */

static int check_info(const char *path, const SF_INFO *info, cx_error *err) {
    if (info->samplerate < CX_AUDIO_RATE_MIN || info->samplerate > CX_AUDIO_RATE_MAX)
        return cx_fail(err, CX_EDATA, "%s: %d samples a second; %d to %d is right", path,
                       info->samplerate, CX_AUDIO_RATE_MIN, CX_AUDIO_RATE_MAX);
    if (info->channels < 1 || info->channels > CHANNELS_MAX)
        return cx_fail(err, CX_EDATA, "%s: %d channels; 1 to %d is right", path, info->channels,
                       CHANNELS_MAX);
    return CX_OK;
}

/* Room for `count` samples, doubling: the length that a header tells is not believed. */
static int make_room(cx_audio *a, size_t count, size_t *room, cx_error *err) {
    if (count <= *room)
        return CX_OK;
    size_t more = *room ? 2 * *room : BLOCK;
    float *p = realloc(a->samples, (more > count ? more : count) * sizeof *p);
    if (!p)
        return cx_fail(err, CX_ENOMEM, "no memory for %zu samples", count);
    a->samples = p;
    *room = more > count ? more : count;
    return CX_OK;
}

/* Averages a block's channels and puts them behind what is there. */
static int append(const char *path, const float *block, size_t frames, int channels, cx_audio *a,
                  cx_error *err) {
    for (size_t i = 0; i < frames; i++, block += channels) {
        float sum = 0;
        for (int c = 0; c < channels; c++)
            sum += block[c];
        sum /= (float)channels;
        if (!(fabsf(sum) <= sample_max))
            return cx_fail(err, CX_EDATA, "%s: sample %zu is %g; -1 to 1 is right", path, a->count,
                           (double)sum);
        a->samples[a->count++] = sum;
    }
    return CX_OK;
}

static int read_blocks(const char *path, SNDFILE *file, const SF_INFO *info, float *block,
                       cx_audio *a, cx_error *err) {
    size_t room = 0, limit = (size_t)CX_AUDIO_SECONDS_MAX * (size_t)info->samplerate;
    for (;;) {
        sf_count_t got = sf_readf_float(file, block, BLOCK);
        if (got <= 0)
            break;
        if (got > BLOCK || a->count + (size_t)got > limit)
            return cx_fail(err, CX_EDATA, "%s: longer than %d seconds", path, CX_AUDIO_SECONDS_MAX);
        int rc = make_room(a, a->count + (size_t)got, &room, err);
        if (!rc)
            rc = append(path, block, (size_t)got, info->channels, a, err);
        if (rc)
            return rc;
    }
    if (sf_error(file) != SF_ERR_NO_ERROR)
        return cx_fail(err, CX_EDATA, "%s: faulty after %zu samples: %s", path, a->count,
                       sf_strerror(file));
    if (a->count == 0)
        return cx_fail(err, CX_EDATA, "%s: no samples", path);
    /* formats that cannot tell their length say the largest number */
    if (info->frames < SF_COUNT_MAX && (sf_count_t)a->count < info->frames)
        return cx_fail(err, CX_EDATA, "%s: ends after %zu of %lld samples", path, a->count,
                       (long long)info->frames);
    return CX_OK;
}

int cx_audio_read(const char *path, cx_audio *out, cx_error *err) {
    SF_INFO info = {0};
    memset(out, 0, sizeof *out);
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (!file)
        return cx_fail(err, CX_EDATA, "%s: no recording that can be read: %s", path,
                       sf_strerror(NULL));
    int rc = check_info(path, &info, err);
    float *block = rc ? NULL : cx_calloc((size_t)BLOCK * (size_t)info.channels, sizeof *block);
    if (!rc && !block)
        rc = cx_fail(err, CX_ENOMEM, "no memory for a block of samples");
    out->rate = info.samplerate;
    if (!rc)
        rc = read_blocks(path, file, &info, block, out, err);
    free(block);
    (void)sf_close(file);
    if (rc)
        cx_audio_free(out);
    return rc;
}

void cx_audio_free(cx_audio *a) {
    free(a->samples);
    memset(a, 0, sizeof *a);
}

void cx_audio_level(cx_audio *a) {
    double sum = 0, power = 0;
    for (size_t i = 0; i < a->count; i++)
        sum += a->samples[i];
    double mean = sum / (double)a->count;
    for (size_t i = 0; i < a->count; i++)
        power += (a->samples[i] - mean) * (a->samples[i] - mean);
    double scale = power > 0 ? sqrt((double)a->count / power) : 0;
    /* what rounding leaves of a constant is no sound */
    if (!(scale * least_deviation <= 1))
        scale = 0;
    for (size_t i = 0; i < a->count; i++)
        a->samples[i] = (float)(scale * (a->samples[i] - mean));
}

/* --- features --- */

static double mel_of(double hz) {
    return 2595 * log10(1 + hz / 700);
}

static double hz_of(double mel) {
    return 700 * (pow(10, mel / 2595) - 1);
}

static double triangle(double low, double peak, double high, double f) {
    double w = f < peak ? (f - low) / (peak - low) : (high - f) / (high - peak);
    return w > 0 ? w : 0;
}

static int fill_filters(cx_logmel *m, cx_error *err) {
    double low = mel_of(CX_LOGMEL_LOW_HZ), step = (mel_of(m->rate / 2.0) - low) / (m->mels + 1);
    float *at = m->weights;
    for (int k = 0; k < m->mels; k++) {
        cx_mel_filter *filter = &m->filter[k];
        double corner[3];
        for (int i = 0; i < 3; i++)
            corner[i] = hz_of(low + (k + i) * step);
        filter->weight = at;
        for (int b = 0; b < m->bins; b++) {
            double w = triangle(corner[0], corner[1], corner[2], (double)b * m->rate / m->size);
            if (!(w > 0))
                continue;
            if (filter->count == 0)
                filter->first = b;
            filter->count++;
            *at++ = (float)w;
        }
        if (filter->count == 0)
            return cx_fail(err, CX_ECONFIG,
                           "%d mel filters are too many for recordings of %d samples a second: "
                           "number %d lies between two frequencies of the transform",
                           m->mels, m->rate, k);
    }
    return CX_OK;
}

static int fill(cx_logmel *m, cx_error *err) {
    size_t bins = (size_t)m->bins;
    m->filter = cx_calloc((size_t)m->mels, sizeof *m->filter);
    m->weights = cx_calloc(2 * bins, sizeof *m->weights); /* a bin lies in two filters at most */
    m->hann = cx_calloc((size_t)m->window, sizeof *m->hann);
    m->frame = cx_calloc((size_t)m->size, sizeof *m->frame);
    m->power = cx_calloc(bins, sizeof *m->power);
    m->spectrum = cx_calloc(bins, sizeof(kiss_fft_cpx));
    m->fft = kiss_fftr_alloc(m->size, 0, NULL, NULL);
    if (!m->filter || !m->weights || !m->hann || !m->frame || !m->power || !m->spectrum || !m->fft)
        return cx_fail(err, CX_ENOMEM, "no memory for mel filters");
    for (int i = 0; i < m->window; i++) {
        m->hann[i] = (float)(0.5 - 0.5 * cos(2 * M_PI * i / m->window));
        m->window_energy += (double)m->hann[i] * m->hann[i];
    }
    return fill_filters(m, err);
}

int cx_logmel_create(int rate, int mels, cx_logmel **out, cx_error *err) {
    *out = NULL;
    if (rate < CX_AUDIO_RATE_MIN || rate > CX_AUDIO_RATE_MAX)
        return cx_fail(err, CX_EDATA, "%d samples a second; %d to %d is right", rate,
                       CX_AUDIO_RATE_MIN, CX_AUDIO_RATE_MAX);
    if (mels < 1 || mels > MELS_MAX)
        return cx_fail(err, CX_ECONFIG, "%d mel filters; 1 to %d is right", mels, MELS_MAX);
    cx_logmel *m = calloc(1, sizeof *m);
    if (!m)
        return cx_fail(err, CX_ENOMEM, "no memory for mel filters");
    *m = (cx_logmel){.rate = rate,
                     .mels = mels,
                     .window = (rate * CX_LOGMEL_WINDOW_MS + 500) / 1000,
                     .hop = (rate * CX_LOGMEL_HOP_MS + 500) / 1000,
                     .size = 2};
    while (m->size < 2 * m->window)
        m->size *= 2;
    m->bins = m->size / 2 + 1;
    int rc = fill(m, err);
    if (rc)
        cx_logmel_destroy(m);
    else
        *out = m;
    return rc;
}

void cx_logmel_destroy(cx_logmel *m) {
    if (!m)
        return;
    free(m->filter);
    free(m->weights);
    free(m->hann);
    free(m->frame);
    free(m->power);
    free(m->spectrum);
    kiss_fftr_free(m->fft);
    free(m);
}

size_t cx_logmel_frames(const cx_logmel *m, size_t samples) {
    size_t window = (size_t)m->window, hop = (size_t)m->hop;
    return samples <= window ? 1 : 1 + (samples - window + hop - 1) / hop;
}

void cx_logmel_frame(cx_logmel *m, const float *samples, size_t count, size_t frame, float *out) {
    size_t start = frame * (size_t)m->hop, n = start < count ? count - start : 0;
    kiss_fft_cpx *spectrum = m->spectrum;
    n = n < (size_t)m->window ? n : (size_t)m->window;
    memset(m->frame, 0, (size_t)m->size * sizeof *m->frame);
    for (size_t i = 0; i < n; i++)
        m->frame[i] = samples[start + i] * m->hann[i];
    kiss_fftr(m->fft, m->frame, spectrum);
    float scale = (float)(1 / m->window_energy);
    for (int b = 0; b < m->bins; b++)
        m->power[b] = scale * (spectrum[b].r * spectrum[b].r + spectrum[b].i * spectrum[b].i);
    for (int k = 0; k < m->mels; k++) {
        const cx_mel_filter *filter = &m->filter[k];
        double sum = CX_LOGMEL_FLOOR;
        for (int i = 0; i < filter->count; i++)
            sum += (double)filter->weight[i] * m->power[filter->first + i];
        out[k] = (float)log(sum);
    }
}
