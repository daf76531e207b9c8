/* Sets of recorded utterances with what is said in them: a folder of FSDD's WAV files, or
 * of LibriSpeech's FLAC (or WAV) files with transcripts (data/speech_list.h says how they
 * are told apart), as log-mel features (data/audio.h). All recordings have one sample rate.
 *
 * The features are computed once and kept in the cache as whole numbers of 1/1024 (the
 * log of a power lies within -32 .. 32, and half a step is 0.05 % of it), for all
 * utterances; which of them are for training is a matter of the cut. */
#ifndef CX_DATA_SPEECH_H
#define CX_DATA_SPEECH_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define CX_SPEECH_UNIT (1.0f / 1024)
enum { CX_SPEECH_MELS_MAX = 256, CX_SPEECH_SYMBOLS_MAX = 256, CX_SPEECH_BLANK = 0 };

typedef struct cx_speech cx_speech;

/* `cache`: as of cx_cache_open. CX_EDATA with file and fault, CX_ECONFIG for so many mel
 * bands that the sample rate does not give them, CX_EIO for the cache. */
int cx_speech_open(const char *folder, const char *cache, int mels, cx_speech **out, cx_error *err);
void cx_speech_close(cx_speech *s);

/* Utterances are numbered in the order of their paths. */
uint32_t cx_speech_count(const cx_speech *s);
int cx_speech_mels(const cx_speech *s);
int cx_speech_rate(const cx_speech *s);
uint32_t cx_speech_frames(const cx_speech *s, uint32_t utterance);
/* [frames, mels], in units of CX_SPEECH_UNIT. */
const int16_t *cx_speech_features(const cx_speech *s, uint32_t utterance);
const char *cx_speech_path(const cx_speech *s, uint32_t utterance);
const char *cx_speech_text(const cx_speech *s, uint32_t utterance);
/* The speaker (or the folder at the top that names a split). */
const char *cx_speech_speaker(const cx_speech *s, uint32_t utterance);

/* A cut into training, validation and test split, and what follows from the training
 * split alone: the alphabet, and the features' mean and deviation.
 *
 * Folders at the top that are named train.., dev.. (or valid..) and test.. are the
 * splits. Otherwise no speaker is in two splits: with the S speakers (FSDD: in the files'
 * names; else the folders at the top) sorted by name, the last S / 10 (at least one) are
 * the test split, as many before them the validation split, all others are for training.
 * `held_out` moves this along: with 1 the row of speakers ends one speaker earlier and
 * goes on from its beginning, and so on. */
typedef struct {
    uint32_t count[3], *member[3];         /* utterances of each split, ascending */
    int n_symbols;                         /* with the blank, symbol 0 */
    int32_t symbol[CX_SPEECH_SYMBOLS_MAX]; /* code points, ascending from 1 on */
    uint8_t *labels;                       /* symbols of all utterances, one after another */
    size_t *first;                         /* [utterances + 1] */
    float *mean, *gain;                    /* [mels]: a feature is (log power - mean) gain */
} cx_speech_cut;

/* CX_ECONFIG for a held_out that there is not; CX_EDATA for fewer than three speakers, an
 * empty split, a character in validation or test that training does not have (with the
 * file), or more characters than fit. */
int cx_speech_cut_make(const cx_speech *s, int held_out, cx_speech_cut **out, cx_error *err);
void cx_speech_cut_free(cx_speech_cut *cut);
/* Symbols of an utterance. */
static inline int cx_speech_length(const cx_speech_cut *cut, uint32_t utterance) {
    return (int)(cut->first[utterance + 1] - cut->first[utterance]);
}
/* The fewest time steps in which they can be written: one each, and a blank between equal
 * neighbors. */
int cx_speech_needed(const cx_speech_cut *cut, uint32_t utterance);

/* Sums over a group's frames of each band's features and of their squares (exact), for
 * the cut. */
typedef struct {
    const int64_t *sum, *squares; /* [mels] */
    int64_t frames;
    int split; /* 0 .. 2 by the folder's name, -1: by speaker */
} cx_speech_group_sums;
uint32_t cx_speech_groups(const cx_speech *s);
uint32_t cx_speech_group_number(const cx_speech *s, uint32_t utterance);
cx_speech_group_sums cx_speech_sums(const cx_speech *s, uint32_t group);

#endif
