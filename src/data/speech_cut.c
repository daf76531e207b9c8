/* Splits, alphabet and normalization of a set of recordings. */
#include "data/speech.h"

#include "base/arena.h"
#include "data/speech_list.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const split_words[] = {"training", "validation", "test"};
static const double least_deviation = 1e-3; /* of a band that is always alike */

/* --- splits --- */

/* A rule from the header: split of group number i of n. */
static int split_by_speaker(uint32_t i, uint32_t n, uint32_t held_out) {
    uint32_t part = n / 10 > 1 ? n / 10 : 1, place = (i + held_out) % n;
    return place >= n - part ? 2 : place >= n - 2 * part ? 1 : 0;
}

static int choose_splits(const cx_speech *s, int held_out, uint8_t *split, cx_error *err) {
    uint32_t n = cx_speech_groups(s);
    bool named = n > 0 && cx_speech_sums(s, 0).split >= 0;
    if (named && held_out != 0)
        return cx_fail(err, CX_ECONFIG,
                       "held_out is %d, but the folders' names say which split is which: 0 is "
                       "right",
                       held_out);
    if (!named && n < 3)
        return cx_fail(err, CX_EDATA,
                       "%u speaker%s; three or more are right, or folders named train.., dev.. and "
                       "test..",
                       (unsigned)n, n == 1 ? "" : "s");
    if (!named && (held_out < 0 || (uint32_t)held_out >= n))
        return cx_fail(err, CX_ECONFIG,
                       "held_out is %d, but there are %u speakers: 0 to %u is right", held_out,
                       (unsigned)n, (unsigned)(n - 1));
    for (uint32_t i = 0; i < n; i++)
        split[i] = (uint8_t)(named ? cx_speech_sums(s, i).split
                                   : split_by_speaker(i, n, (uint32_t)held_out));
    return CX_OK;
}

static int fill_members(const cx_speech *s, const uint8_t *split, cx_speech_cut *cut,
                        cx_error *err) {
    uint32_t n = cx_speech_count(s);
    for (uint32_t u = 0; u < n; u++)
        cut->count[split[cx_speech_group_number(s, u)]]++;
    for (int k = 0; k < 3; k++) {
        if (cut->count[k] == 0)
            return cx_fail(err, CX_EDATA,
                           "no recordings for the %s split; folders named train.., dev.. (or "
                           "valid..) and test.. are right, or by speaker",
                           split_words[k]);
        cut->member[k] = cx_calloc(cut->count[k], sizeof *cut->member[k]);
        if (!cut->member[k])
            return cx_fail(err, CX_ENOMEM, "no memory for %u recordings", (unsigned)n);
    }
    uint32_t at[3] = {0};
    for (uint32_t u = 0; u < n; u++) {
        int k = split[cx_speech_group_number(s, u)];
        cut->member[k][at[k]++] = u;
    }
    return CX_OK;
}

/* --- alphabet and labels --- */

/* The place of c among symbols 1 .. n_symbols - 1: where it is, or where it belongs. */
static int place_of(const cx_speech_cut *cut, int32_t c) {
    int low = 1, high = cut->n_symbols;
    while (low < high) {
        int middle = (low + high) / 2;
        if (cut->symbol[middle] < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int add_symbols(const cx_speech *s, uint32_t u, cx_speech_cut *cut, cx_error *err) {
    const char *text = cx_speech_text(s, u);
    int32_t c;
    while ((c = cx_speech_character(&text)) > 0) {
        int k = place_of(cut, c);
        if (k < cut->n_symbols && cut->symbol[k] == c)
            continue;
        if (cut->n_symbols == CX_SPEECH_SYMBOLS_MAX)
            return cx_fail(err, CX_EDATA,
                           "%s: the training transcripts have more than %d different characters",
                           cx_speech_path(s, u), CX_SPEECH_SYMBOLS_MAX - 1);
        memmove(cut->symbol + k + 1, cut->symbol + k,
                (size_t)(cut->n_symbols - k) * sizeof *cut->symbol);
        cut->symbol[k] = c;
        cut->n_symbols++;
    }
    return CX_OK;
}

/* An utterance's labels; to NULL they are counted only. */
static int write_labels(const cx_speech *s, uint32_t u, const cx_speech_cut *cut, uint8_t *to,
                        size_t *count, cx_error *err) {
    const char *text = cx_speech_text(s, u);
    int32_t c;
    for (*count = 0; (c = cx_speech_character(&text)) > 0; ++*count) {
        int k = place_of(cut, c);
        if (k == cut->n_symbols || cut->symbol[k] != c)
            return cx_fail(err, CX_EDATA,
                           "%s: a character (U+%04X) that no training transcript has: \"%.60s\"",
                           cx_speech_path(s, u), (unsigned)c, cx_speech_text(s, u));
        if (to)
            *to++ = (uint8_t)k;
    }
    return CX_OK;
}

static int fill_labels(const cx_speech *s, const uint8_t *split, cx_speech_cut *cut,
                       cx_error *err) {
    uint32_t n = cx_speech_count(s);
    size_t count, all = 0;
    int rc = CX_OK;
    cut->n_symbols = 1; /* the blank */
    for (uint32_t i = 0; i < cut->count[0] && !rc; i++)
        rc = add_symbols(s, cut->member[0][i], cut, err);
    cut->first = cx_calloc((size_t)n + 1, sizeof *cut->first);
    if (!rc && !cut->first)
        rc = cx_fail(err, CX_ENOMEM, "no memory for %u transcripts", (unsigned)n);
    for (uint32_t u = 0; u < n && !rc; u++) {
        rc = write_labels(s, u, cut, NULL, &count, err);
        if (rc)
            return cx_fail_in(err, "%s split", split_words[split[cx_speech_group_number(s, u)]]);
        all += count;
        cut->first[u + 1] = all;
    }
    if (rc)
        return rc;
    cut->labels = cx_calloc(all, sizeof *cut->labels);
    if (!cut->labels)
        return cx_fail(err, CX_ENOMEM, "no memory for %u transcripts", (unsigned)n);
    for (uint32_t u = 0; u < n && !rc; u++)
        rc = write_labels(s, u, cut, cut->labels + cut->first[u], &count, err);
    return rc;
}

int cx_speech_needed(const cx_speech_cut *cut, uint32_t u) {
    const uint8_t *p = cut->labels + cut->first[u];
    int n = cx_speech_length(cut, u), needed = n;
    for (int i = 1; i < n; i++)
        needed += p[i] == p[i - 1];
    return needed;
}

/* --- normalization --- */

static int fill_normalization(const cx_speech *s, const uint8_t *split, cx_speech_cut *cut,
                              cx_error *err) {
    int mels = cx_speech_mels(s);
    cut->mean = cx_calloc((size_t)mels, sizeof *cut->mean);
    cut->gain = cx_calloc((size_t)mels, sizeof *cut->gain);
    if (!cut->mean || !cut->gain)
        return cx_fail(err, CX_ENOMEM, "no memory for %d mel bands", mels);
    for (int k = 0; k < mels; k++) {
        double n = 0, sum = 0, squares = 0;
        for (uint32_t g = 0; g < cx_speech_groups(s); g++)
            if (split[g] == 0) {
                cx_speech_group_sums part = cx_speech_sums(s, g);
                n += (double)part.frames;
                sum += (double)part.sum[k];
                squares += (double)part.squares[k];
            }
        double mean = sum / n, variance = squares / n - mean * mean;
        double deviation = CX_SPEECH_UNIT * sqrt(variance > 0 ? variance : 0);
        cut->mean[k] = (float)(CX_SPEECH_UNIT * mean);
        cut->gain[k] = (float)(1 / fmax(deviation, least_deviation));
    }
    return CX_OK;
}

int cx_speech_cut_make(const cx_speech *s, int held_out, cx_speech_cut **out, cx_error *err) {
    *out = NULL;
    cx_speech_cut *cut = calloc(1, sizeof *cut);
    uint8_t *split = cx_calloc(cx_speech_groups(s), sizeof *split);
    int rc = CX_OK;
    if (!cut || !split)
        rc = cx_fail(err, CX_ENOMEM, "no memory for the splits of recordings");
    if (!rc)
        rc = choose_splits(s, held_out, split, err);
    if (!rc)
        rc = fill_members(s, split, cut, err);
    if (!rc)
        rc = fill_labels(s, split, cut, err);
    if (!rc)
        rc = fill_normalization(s, split, cut, err);
    free(split);
    if (rc)
        cx_speech_cut_free(cut);
    else
        *out = cut;
    return rc;
}

void cx_speech_cut_free(cx_speech_cut *cut) {
    if (!cut)
        return;
    for (int k = 0; k < 3; k++)
        free(cut->member[k]);
    free(cut->labels);
    free(cut->first);
    free(cut->mean);
    free(cut->gain);
    free(cut);
}
