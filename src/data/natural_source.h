/* What the two forms of natural images have in common before they are packed: a list of
 * labeled images in up to three parts, each of which can be read. Private to
 * data/natural_images.c and the files of the forms. */
#ifndef CX_DATA_NATURAL_SOURCE_H
#define CX_DATA_NATURAL_SOURCE_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

enum { CX_NATURAL_CLASSES_MAX = 65535 };

/* As the files have them; data/natural_images.h says which split each becomes. */
typedef enum { CX_PART_TRAIN, CX_PART_VAL, CX_PART_TEST, CX_PARTS } cx_natural_part;

typedef struct cx_natural_source {
    uint32_t count[CX_PARTS]; /* images; 0: there is no such part */
    int classes;
    uint64_t key;     /* of names, sizes and times of change of all files */
    uint16_t *labels; /* of all images: train, val, test behind one another */
    void *own;        /* the form's */
    /* Image i (of that order) as planes[3][side][side]. CX_EDATA names the file. */
    int (*read)(struct cx_natural_source *s, uint32_t i, int side, uint8_t *planes, cx_error *err);
    void (*close_own)(struct cx_natural_source *s);
} cx_natural_source;

/* Is it a folder of that form? */
bool cx_image_folder_is(const char *path);
bool cx_cifar_is(const char *path);
/* Lists without decoding. `s` is closed by the caller, also after a failure. */
int cx_image_folder_open(const char *path, cx_natural_source *s, cx_error *err);
int cx_cifar_open(const char *path, cx_natural_source *s, cx_error *err);
/* Mixes a file's name (without the path to the set), size and time of change into a key.
 * CX_EDATA: missing, or not a plain file. */
int cx_natural_key_add(uint64_t *key, const char *path, const char *name, cx_error *err);
void cx_natural_source_close(cx_natural_source *s);

#endif
