/* Which recordings a folder holds, and what is said in them. Private to data/speech.c.
 *
 * FSDD: the folder (or its subfolder `recordings`) holds WAV files named
 * {digit}_{speaker}_{index}.wav; what is said is the digit's English word.
 * LibriSpeech: folders of any depth hold *.trans.txt files, each line "ID what is said",
 * and ID.flac or ID.wav beside them. Every recording must have its line and every line
 * its recording. Names that begin with a dot are passed over. */
#ifndef CX_DATA_SPEECH_LIST_H
#define CX_DATA_SPEECH_LIST_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

/* Texts are lower case (ASCII letters), without control characters, words apart by one
 * space, valid UTF-8, not empty. */
typedef struct {
    const char *path, *text;
    uint32_t group;
} cx_speech_item;

/* A group's recordings go into one split: an FSDD speaker, or a folder at the top. */
typedef struct {
    const char *name;
    int split; /* 0 .. 2 by the folder's name (train; dev, valid; test), -1: by speaker */
} cx_speech_group;

typedef struct {
    cx_speech_item *item;   /* sorted by path */
    cx_speech_group *group; /* sorted by name */
    uint32_t n_items, n_groups;
    uint32_t item_room, group_room;
    void *texts; /* the memory of all strings */
} cx_speech_list;

/* CX_EDATA with file, line and fault. */
int cx_speech_list_read(const char *folder, cx_speech_list *out, cx_error *err);
void cx_speech_list_free(cx_speech_list *list);

/* One character of a text: its code point, and *text moved behind it; 0 at the end, -1:
 * no UTF-8. */
int32_t cx_speech_character(const char **text);

#endif
