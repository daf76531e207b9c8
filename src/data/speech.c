#include "data/speech.h"

#include "base/arena.h"
#include "base/hash.h"
#include "data/audio.h"
#include "data/cache.h"
#include "data/speech_list.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Goes up whenever the same recordings come to mean other features. */
static const uint64_t features_version = 1;

/* The cache's payload: features [frames, mels] of all utterances, zeros up to a multiple
 * of 8 bytes, then the index: first frame of each utterance and the end [n + 1]; for each
 * group sums and squares [mels] each, and its number of frames; then this. */
typedef struct {
    uint64_t utterances, groups, mels, rate, frames;
} tail;

struct cx_speech {
    cx_speech_list list;
    cx_mapped file;
    tail tail;
    const int16_t *features;
    const uint64_t *first;
    const int64_t *sums; /* [groups][2 mels + 1] */
};

/* --- making the cache file --- */

typedef struct {
    const cx_speech_list *list;
    cx_logmel *plan; /* made for the first recording's rate */
    tail tail;
    uint64_t *first;
    int64_t *sums;
    int16_t *row; /* one recording's features */
    size_t row_room;
} maker;

static int16_t rounded(float x) {
    float y = rintf(x / CX_SPEECH_UNIT);
    return (int16_t)(y > 32767 ? 32767 : y < -32768 ? -32768 : y);
}

static int check_rate(maker *m, const char *path, int rate, cx_error *err) {
    if (m->plan && m->plan->rate != rate)
        return cx_fail(err, CX_EDATA,
                       "%s: %d samples a second, but %s has %d; one sample rate in all files is "
                       "right",
                       path, rate, m->list->item[0].path, m->plan->rate);
    m->tail.rate = (uint64_t)rate;
    return m->plan ? CX_OK : cx_logmel_create(rate, (int)m->tail.mels, &m->plan, err);
}

static int make_frames(maker *m, const cx_audio *audio, uint32_t group, FILE *file, cx_error *err) {
    size_t mels = (size_t)m->tail.mels, n = cx_logmel_frames(m->plan, audio->count);
    float frame[CX_SPEECH_MELS_MAX];
    int64_t *sum = m->sums + (size_t)group * (2 * mels + 1), *squares = sum + mels;
    if (n > m->row_room) {
        free(m->row);
        m->row = cx_calloc(n * mels, sizeof *m->row);
        m->row_room = m->row ? n : 0;
        if (!m->row)
            return cx_fail(err, CX_ENOMEM, "no memory for %zu frames", n);
    }
    int16_t *to = m->row;
    for (size_t t = 0; t < n; t++) {
        cx_logmel_frame(m->plan, audio->samples, audio->count, t, frame);
        for (size_t k = 0; k < mels; k++) {
            int64_t x = *to++ = rounded(frame[k]);
            sum[k] += x;
            squares[k] += x * x;
        }
    }
    sum[2 * mels] += (int64_t)n;
    m->tail.frames += n;
    return cx_cache_write(file, m->row, n * mels * sizeof *m->row, err);
}

static int make_utterances(maker *m, FILE *file, cx_error *err) {
    int rc = CX_OK;
    for (uint32_t i = 0; i < m->list->n_items && !rc; i++) {
        const cx_speech_item *item = &m->list->item[i];
        cx_audio audio;
        rc = cx_audio_read(item->path, &audio, err);
        if (rc)
            return rc;
        rc = check_rate(m, item->path, audio.rate, err);
        m->first[i] = m->tail.frames;
        cx_audio_level(&audio);
        if (!rc)
            rc = make_frames(m, &audio, item->group, file, err);
        cx_audio_free(&audio);
    }
    m->first[m->list->n_items] = m->tail.frames;
    return rc;
}

static size_t sums_count(const tail *t) {
    return (size_t)t->groups * (2 * (size_t)t->mels + 1);
}

static int make(void *context, FILE *file, cx_error *err) {
    static const char zeros[8] = {0};
    maker *m = context;
    m->first = cx_calloc((size_t)m->tail.utterances + 1, sizeof *m->first);
    m->sums = cx_calloc(sums_count(&m->tail), sizeof *m->sums);
    if (!m->first || !m->sums)
        return cx_fail(err, CX_ENOMEM, "no memory for an index of recordings");
    int rc = make_utterances(m, file, err);
    size_t size = (size_t)m->tail.frames * (size_t)m->tail.mels * sizeof *m->row;
    if (!rc)
        rc = cx_cache_write(file, zeros, (8 - size % 8) % 8, err);
    if (!rc)
        rc = cx_cache_write(file, m->first, (m->tail.utterances + 1) * sizeof *m->first, err);
    if (!rc)
        rc = cx_cache_write(file, m->sums, sums_count(&m->tail) * sizeof *m->sums, err);
    return rc ? rc : cx_cache_write(file, &m->tail, sizeof m->tail, err);
}

/* --- opening --- */

static int make_key(const cx_speech_list *l, int mels, uint64_t *key, cx_error *err) {
    const double rules[] = {(double)features_version, mels,
                            CX_LOGMEL_WINDOW_MS,      CX_LOGMEL_HOP_MS,
                            CX_LOGMEL_FLOOR,          CX_LOGMEL_LOW_HZ};
    *key = cx_hash(rules, sizeof rules, 0);
    for (uint32_t i = 0; i < l->n_items; i++) {
        uint64_t part[2] = {0, l->item[i].group};
        int rc = cx_cache_key_file(l->item[i].path, &part[0], err);
        if (rc)
            return rc;
        *key = cx_hash(part, sizeof part, *key);
    }
    return CX_OK;
}

/* The cache is ours, but it may have been damaged: nothing in it leads outside of it. */
static int find_parts(cx_speech *s, const tail *want, cx_error *err) {
    tail *t = &s->tail;
    const unsigned char *end = s->file.bytes + s->file.size;
    size_t n = (size_t)want->utterances + 1, sums = sums_count(want);
    size_t index = n * sizeof *s->first + sums * sizeof *s->sums + sizeof *t;
    bool ok = s->file.size >= index && s->file.size % 8 == 0;
    if (ok) {
        memcpy(t, end - sizeof *t, sizeof *t);
        s->features = (const int16_t *)(const void *)s->file.bytes;
        s->first = (const uint64_t *)(const void *)(end - index);
        s->sums = (const int64_t *)(const void *)(end - sizeof *t - sums * sizeof *s->sums);
        ok = t->utterances == want->utterances && t->groups == want->groups &&
             t->mels == want->mels && t->rate <= CX_AUDIO_RATE_MAX && s->first[0] == 0 &&
             s->first[n - 1] == t->frames &&
             t->frames <= (s->file.size - index) / (t->mels * sizeof *s->features);
    }
    for (size_t i = 1; i < n && ok; i++)
        ok = s->first[i] > s->first[i - 1];
    return ok ? CX_OK
              : cx_fail(err, CX_EFORMAT,
                        "a damaged file of speech features in the cache (data.cache): "
                        "remove it, and it is made again");
}

static int open_features(cx_speech *s, const char *cache, int mels, cx_error *err) {
    maker m = {.list = &s->list, .tail = {s->list.n_items, s->list.n_groups, (uint64_t)mels, 0, 0}};
    tail want = m.tail;
    uint64_t key;
    int rc = make_key(&s->list, mels, &key, err);
    if (!rc)
        rc = cx_cache_open(cache, "speech", key, make, &m, &s->file, err);
    cx_logmel_destroy(m.plan);
    free(m.first);
    free(m.sums);
    free(m.row);
    return rc ? rc : find_parts(s, &want, err);
}

int cx_speech_open(const char *folder, const char *cache, int mels, cx_speech **out,
                   cx_error *err) {
    *out = NULL;
    if (mels < 1 || mels > CX_SPEECH_MELS_MAX)
        return cx_fail(err, CX_ECONFIG, "%d mel bands; 1 to %d is right", mels, CX_SPEECH_MELS_MAX);
    cx_speech *s = calloc(1, sizeof *s);
    if (!s)
        return cx_fail(err, CX_ENOMEM, "no memory for a set of recordings");
    int rc = cx_speech_list_read(folder, &s->list, err);
    if (!rc)
        rc = open_features(s, cache, mels, err);
    if (rc)
        cx_speech_close(s);
    else
        *out = s;
    return rc;
}

void cx_speech_close(cx_speech *s) {
    if (!s)
        return;
    cx_mapped_close(&s->file);
    cx_speech_list_free(&s->list);
    free(s);
}

/* --- reading --- */

uint32_t cx_speech_count(const cx_speech *s) {
    return s->list.n_items;
}

int cx_speech_mels(const cx_speech *s) {
    return (int)s->tail.mels;
}

int cx_speech_rate(const cx_speech *s) {
    return (int)s->tail.rate;
}

uint32_t cx_speech_frames(const cx_speech *s, uint32_t u) {
    return (uint32_t)(s->first[u + 1] - s->first[u]);
}

const int16_t *cx_speech_features(const cx_speech *s, uint32_t u) {
    return s->features + s->first[u] * s->tail.mels;
}

const char *cx_speech_path(const cx_speech *s, uint32_t u) {
    return s->list.item[u].path;
}

const char *cx_speech_text(const cx_speech *s, uint32_t u) {
    return s->list.item[u].text;
}

const char *cx_speech_speaker(const cx_speech *s, uint32_t u) {
    return s->list.group[s->list.item[u].group].name;
}

uint32_t cx_speech_groups(const cx_speech *s) {
    return s->list.n_groups;
}

uint32_t cx_speech_group_number(const cx_speech *s, uint32_t u) {
    return s->list.item[u].group;
}

cx_speech_group_sums cx_speech_sums(const cx_speech *s, uint32_t group) {
    size_t mels = (size_t)s->tail.mels;
    const int64_t *sum = s->sums + (size_t)group * (2 * mels + 1);
    return (cx_speech_group_sums){sum, sum + mels, sum[2 * mels], s->list.group[group].split};
}
