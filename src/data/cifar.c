/* The binary version of CIFAR-10 (data_batch_1.bin .. data_batch_5.bin, test_batch.bin:
 * records of a label and 3072 bytes) and CIFAR-100 (train.bin, test.bin: a coarse and a
 * fine label before them). The pixels of a record are planes[3][32][32]. */
#include "data/cache.h"
#include "data/image_decode.h"
#include "data/natural_source.h"

#include "base/file.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, PIXELS = 3 * PLANE, FILES_MAX = 6 };

static const char *const names10[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                      "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};
static const char *const names100[] = {"train.bin", "test.bin"};

typedef struct {
    const char *const *names;
    int n_files;
    size_t record; /* bytes; the label is the last one before the pixels */
    cx_mapped file[FILES_MAX];
    uint32_t first[FILES_MAX + 1]; /* number of the file's first image */
} cifar;

static bool has(const char *folder, const char *name) {
    char path[PATH_MAX];
    return cx_path(path, sizeof path, NULL, "%s/%s", folder, name) == CX_OK && cx_file_exists(path);
}

bool cx_cifar_is(const char *path) {
    return has(path, "data_batch_1.bin") || has(path, "train.bin");
}

static int add_file(const char *folder, cx_natural_part part, cx_natural_source *s, cx_error *err) {
    char path[PATH_MAX];
    cifar *c = s->own;
    const char *name = c->names[c->n_files];
    int rc = cx_path(path, sizeof path, err, "%s/%s", folder, name);
    if (!rc)
        rc = cx_mapped_open(path, &c->file[c->n_files], err);
    if (rc)
        return rc;
    const cx_mapped *m = &c->file[c->n_files++];
    size_t n = m->size / c->record;
    if (n == 0 || m->size % c->record)
        return cx_fail(err, CX_EDATA, "%s: %zu bytes; a multiple of %zu is right (CIFAR-%d)", path,
                       m->size, c->record, s->classes);
    if (n > INT_MAX / 8)
        return cx_fail(err, CX_EDATA, "%s: %zu images are more than %d", path, n, INT_MAX / 8);
    c->first[c->n_files] = c->first[c->n_files - 1] + (uint32_t)n;
    s->count[part] += (uint32_t)n;
    return cx_natural_key_add(&s->key, path, name, err);
}

static int read_labels(const char *folder, cx_natural_source *s, cx_error *err) {
    const cifar *c = s->own;
    uint32_t total = c->first[c->n_files];
    s->labels = calloc(total, sizeof *s->labels);
    if (!s->labels)
        return cx_fail(err, CX_ENOMEM, "no memory for %u labels", (unsigned)total);
    for (int f = 0; f < c->n_files; f++)
        for (uint32_t i = c->first[f]; i < c->first[f + 1]; i++) {
            size_t at = (i - c->first[f]) * c->record + c->record - PIXELS - 1;
            s->labels[i] = c->file[f].bytes[at];
            if (s->labels[i] >= s->classes)
                return cx_fail(err, CX_EDATA,
                               "%s/%s: label %d of image %u; 0 to %d is right (CIFAR-%d)", folder,
                               c->names[f], s->labels[i], (unsigned)(i - c->first[f]),
                               s->classes - 1, s->classes);
        }
    return CX_OK;
}

/* 32 x 32 as it is; another side through a picture of it. */
static int read_image(cx_natural_source *s, uint32_t i, int side, uint8_t *planes, cx_error *err) {
    const cifar *c = s->own;
    int f = 0;
    while (i >= c->first[f + 1])
        f++;
    const unsigned char *p =
        c->file[f].bytes + (i - c->first[f]) * c->record + (c->record - PIXELS);
    if (side == SIDE) {
        memcpy(planes, p, PIXELS);
        return CX_OK;
    }
    uint8_t rgb[PIXELS];
    for (int k = 0; k < PIXELS; k++)
        rgb[k % PLANE * 3 + k / PLANE] = p[k];
    const cx_picture picture = {SIDE, SIDE, rgb};
    return cx_picture_square(&picture, side, planes, err);
}

static void close_own(cx_natural_source *s) {
    cifar *c = s->own;
    for (int f = 0; c && f < c->n_files; f++)
        cx_mapped_close(&c->file[f]);
    free(c);
}

int cx_cifar_open(const char *path, cx_natural_source *s, cx_error *err) {
    bool ten = has(path, "data_batch_1.bin");
    int rc = CX_OK;
    *s = (cx_natural_source){.classes = ten ? 10 : 100, .read = read_image, .close_own = close_own};
    cifar *c = s->own = calloc(1, sizeof *c);
    if (!c)
        return cx_fail(err, CX_ENOMEM, "no memory for a data set");
    c->names = ten ? names10 : names100;
    c->record = (ten ? 1 : 2) + PIXELS;
    for (int i = 0; i < (ten ? 5 : 1) && !rc; i++)
        rc = add_file(path, CX_PART_TRAIN, s, err);
    if (!rc)
        rc = add_file(path, CX_PART_TEST, s, err);
    return rc ? rc : read_labels(path, s, err);
}
