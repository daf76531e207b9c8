#include "data/natural_images.h"

#include "base/hash.h"
#include "base/rng.h"
#include "data/cache.h"
#include "data/natural_source.h"
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CHANNELS = 3, FORMAT = 1, ALIGN = 64 };

/* The choice of the split belongs to the data, not to a run. */
static const uint64_t split_seed = 0x636f787377616e; /* "coxswan" */

/* Payload of the cache file, each array at a multiple of 64 bytes:
 *   head; labels uint16 [n]; pixels uint8 [n][3][side][side]; moments [n][3]
 * Sums are kept for each image, so that the statistics of any training split are known
 * without reading the pixels. Numbers are little-endian. */
typedef struct {
    uint32_t format, side, classes, count[CX_PARTS];
    uint32_t rest[10];
} head;
_Static_assert(sizeof(head) == ALIGN, "the arrays must stay aligned");

typedef struct {
    uint64_t sum, squares; /* of the bytes of one channel */
} moments;

struct cx_natural_images {
    cx_mapped map;
    const uint16_t *labels;
    const uint8_t *pixels;
    const moments *moments;
    int side, classes;
    uint32_t n_train; /* images of the training files, which `order` shuffles */
    uint32_t *order;  /* NULL: as they are */
    uint32_t count[3], first[3];
    double mean[CHANNELS], deviation[CHANNELS];
};

/* --- sources --- */

int cx_natural_key_add(uint64_t *key, const char *path, const char *name, cx_error *err) {
    struct stat st;
    if (stat(path, &st) != 0)
        return cx_fail(err, CX_EDATA, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return cx_fail(err, CX_EDATA, "%s: not a plain file", path);
    const int64_t facts[] = {(int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec,
                             (int64_t)st.st_mtim.tv_nsec};
    *key = cx_hash(facts, sizeof facts, cx_hash(name, strlen(name) + 1, *key));
    return CX_OK;
}

void cx_natural_source_close(cx_natural_source *s) {
    if (s->close_own)
        s->close_own(s);
    free(s->labels);
    memset(s, 0, sizeof *s);
}

static int open_source(const char *path, cx_natural_source *s, cx_error *err) {
    memset(s, 0, sizeof *s);
    if (cx_image_folder_is(path))
        return cx_image_folder_open(path, s, err);
    if (cx_cifar_is(path))
        return cx_cifar_open(path, s, err);
    return cx_fail(err, CX_EDATA,
                   "%s: no natural images; a folder with train/CLASS/*.jpg or *.png (and val/, "
                   "test/), or with CIFAR's data_batch_1.bin .. test_batch.bin, or train.bin and "
                   "test.bin, is right",
                   path);
}

static size_t total_of(const uint32_t count[CX_PARTS]) {
    return (size_t)count[0] + count[1] + count[2];
}

static size_t up(size_t bytes) {
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t image_bytes(int side) {
    return (size_t)CHANNELS * (size_t)side * (size_t)side;
}

/* --- packing --- */

typedef struct {
    cx_natural_source *source;
    int side;
    uint8_t *planes; /* of one image */
    moments *moments;
    uint32_t faults;
    char text[600]; /* the first few of them */
} packer;

static int pad(FILE *file, size_t written, cx_error *err) {
    static const char zeros[ALIGN] = {0};
    return cx_cache_write(file, zeros, up(written) - written, err);
}

static void measure(const uint8_t *planes, int side, moments *m) {
    size_t plane = (size_t)side * (size_t)side;
    for (int c = 0; c < CHANNELS; c++, planes += plane) {
        m[c] = (moments){0, 0};
        for (size_t i = 0; i < plane; i++) {
            m[c].sum += planes[i];
            m[c].squares += (uint64_t)planes[i] * planes[i];
        }
    }
}

/* A broken picture does not stop the search for others: the user hears of them at once. */
static void note_fault(packer *p, const cx_error *err) {
    size_t used = strlen(p->text);
    if (p->faults++ < 3)
        (void)snprintf(p->text + used, sizeof p->text - used, "%s%.190s", used ? "; " : "",
                       err->message);
}

static int pack_pixels(packer *p, FILE *file, size_t n, cx_error *err) {
    size_t bytes = image_bytes(p->side);
    for (size_t i = 0; i < n; i++) {
        int rc = p->source->read(p->source, (uint32_t)i, p->side, p->planes, err);
        if (rc == CX_EDATA) {
            note_fault(p, err);
            continue;
        }
        if (!rc && p->faults == 0) {
            measure(p->planes, p->side, p->moments + CHANNELS * i);
            rc = cx_cache_write(file, p->planes, bytes, err);
        }
        if (rc)
            return rc;
    }
    if (p->faults == 1)
        return cx_fail(err, CX_EDATA, "%s", p->text);
    if (p->faults > 1)
        return cx_fail(err, CX_EDATA, "%u of %zu pictures cannot be used: %s%s",
                       (unsigned)p->faults, n, p->text, p->faults > 3 ? "; ..." : "");
    return pad(file, n * bytes, err);
}

static int pack(void *context, FILE *file, cx_error *err) {
    packer *p = context;
    const cx_natural_source *s = p->source;
    size_t n = total_of(s->count);
    head h = {.format = FORMAT, .side = (uint32_t)p->side, .classes = (uint32_t)s->classes};
    memcpy(h.count, s->count, sizeof h.count);
    p->planes = malloc(image_bytes(p->side));
    p->moments = calloc(CHANNELS * n, sizeof *p->moments);
    int rc = p->planes && p->moments
                 ? CX_OK
                 : cx_fail(err, CX_ENOMEM, "no memory for packing %zu images", n);
    if (!rc)
        rc = cx_cache_write(file, &h, sizeof h, err);
    if (!rc)
        rc = cx_cache_write(file, s->labels, n * sizeof *s->labels, err);
    if (!rc)
        rc = pad(file, n * sizeof *s->labels, err);
    if (!rc)
        rc = pack_pixels(p, file, n, err);
    if (!rc)
        rc = cx_cache_write(file, p->moments, CHANNELS * n * sizeof *p->moments, err);
    free(p->planes);
    free(p->moments);
    return rc;
}

/* --- opening --- */

/* Finds the arrays in the mapped payload; nothing in it is believed. */
static int find_arrays(cx_natural_images *im, const cx_natural_source *s, cx_error *err) {
    size_t n = total_of(s->count), labels = up(n * sizeof *im->labels),
           pixels = up(n * image_bytes(im->side)), sums = CHANNELS * n * sizeof *im->moments;
    const head *h = (const void *)im->map.bytes;
    if (im->map.size != sizeof *h + labels + pixels + sums || h->format != FORMAT ||
        h->side != (uint32_t)im->side || h->classes != (uint32_t)s->classes ||
        memcmp(h->count, s->count, sizeof h->count) != 0)
        return cx_fail(err, CX_EFORMAT,
                       "data.cache: the packed images do not fit the files that they were made "
                       "of; remove the cache's natural-images-*");
    im->classes = s->classes;
    im->labels = (const void *)(im->map.bytes + sizeof *h);
    im->pixels = im->map.bytes + sizeof *h + labels;
    im->moments = (const void *)(im->map.bytes + sizeof *h + labels + pixels);
    for (size_t i = 0; i < n; i++)
        if (im->labels[i] >= im->classes)
            return cx_fail(err, CX_EFORMAT, "data.cache: packed image %zu has label %d", i,
                           im->labels[i]);
    return CX_OK;
}

static int cut_splits(cx_natural_images *im, const char *path, const uint32_t part[CX_PARTS],
                      int validation_examples, cx_error *err) {
    bool has_test = part[CX_PART_TEST] || part[CX_PART_VAL];
    bool has_valid = part[CX_PART_TEST] && part[CX_PART_VAL];
    uint32_t n = part[CX_PART_TRAIN], cut = n / 10;
    if ((uint32_t)validation_examples < cut)
        cut = (uint32_t)validation_examples;
    cut = cut ? cut : 1;
    uint32_t off = cut * (uint32_t)(!has_valid + !has_test);
    if (n <= off)
        return cx_fail(err, CX_EDATA,
                       "%s: %u training images, of which %u are wanted for validation and test; "
                       "more images are right",
                       path, (unsigned)n, (unsigned)off);
    im->n_train = n;
    im->count[0] = n - off;
    im->count[1] = has_valid ? part[CX_PART_VAL] : cut;
    im->count[2] = part[CX_PART_TEST] ? part[CX_PART_TEST] : has_test ? part[CX_PART_VAL] : cut;
    im->first[1] = im->count[0];
    im->first[2] = im->count[0] + im->count[1];
    if (off == 0)
        return CX_OK;
    im->order = malloc(n * sizeof *im->order);
    if (!im->order)
        return cx_fail(err, CX_ENOMEM, "no memory for the order of %u images", (unsigned)n);
    for (uint32_t i = 0; i < n; i++)
        im->order[i] = i;
    cx_rng rng = cx_rng_make(split_seed, 0, CX_STREAM_DATA);
    cx_rng_shuffle(&rng, im->order, n);
    return CX_OK;
}

/* Where an example lies among the packed images. */
static size_t place(const cx_natural_images *im, uint32_t example) {
    return im->order && example < im->n_train ? im->order[example] : example;
}

static void take_statistics(cx_natural_images *im) {
    double n = (double)im->count[0] * im->side * im->side;
    for (int c = 0; c < CHANNELS; c++) {
        uint64_t sum = 0, squares = 0; /* whole numbers: exact whatever the order */
        for (uint32_t i = 0; i < im->count[0]; i++) {
            const moments *m = &im->moments[CHANNELS * place(im, i) + (size_t)c];
            sum += m->sum;
            squares += m->squares;
        }
        double mean = (double)sum / n, variance = (double)squares / n - mean * mean;
        im->mean[c] = mean;
        im->deviation[c] = variance > 1e-6 ? sqrt(variance) : 1;
    }
}

static int open_packed(cx_natural_images *im, cx_natural_source *s, const char *path,
                       const char *cache, int validation_examples, cx_error *err) {
    packer p = {.source = s, .side = im->side};
    const uint32_t kind[2] = {FORMAT, (uint32_t)im->side};
    uint64_t key = cx_hash(kind, sizeof kind, s->key);
    int rc = cut_splits(im, path, s->count, validation_examples, err);
    if (!rc)
        rc = cx_cache_open(cache, "natural-images", key, pack, &p, &im->map, err);
    if (!rc)
        rc = find_arrays(im, s, err);
    if (!rc)
        take_statistics(im);
    return rc;
}

int cx_natural_images_open(const char *path, const char *cache, int validation_examples, int side,
                           cx_natural_images **out, cx_error *err) {
    cx_natural_source s;
    *out = NULL;
    if (side < 1 || side > CX_NATURAL_SIDE_MAX || validation_examples < 1)
        return cx_fail(err, CX_ECONFIG,
                       "images of side %d with %d for validation; sides of 1 to %d, and 1 or more "
                       "are right",
                       side, validation_examples, CX_NATURAL_SIDE_MAX);
    cx_natural_images *im = calloc(1, sizeof *im);
    if (!im)
        return cx_fail(err, CX_ENOMEM, "no memory for a data set");
    im->side = side;
    int rc = open_source(path, &s, err);
    if (!rc)
        rc = open_packed(im, &s, path, cache, validation_examples, err);
    cx_natural_source_close(&s);
    if (rc) {
        cx_natural_images_close(im);
        return rc;
    }
    *out = im;
    return CX_OK;
}

void cx_natural_images_close(cx_natural_images *im) {
    if (!im)
        return;
    cx_mapped_close(&im->map);
    free(im->order);
    free(im);
}

/* --- reading --- */

int cx_natural_images_side(const cx_natural_images *im) {
    return im->side;
}

int cx_natural_images_classes(const cx_natural_images *im) {
    return im->classes;
}

uint32_t cx_natural_images_count(const cx_natural_images *im, int split) {
    return im->count[split];
}

uint32_t cx_natural_images_first(const cx_natural_images *im, int split) {
    return im->first[split];
}

int cx_natural_images_label(const cx_natural_images *im, uint32_t example) {
    return im->labels[place(im, example)];
}

const uint8_t *cx_natural_images_pixels(const cx_natural_images *im, uint32_t example) {
    return im->pixels + place(im, example) * image_bytes(im->side);
}

void cx_natural_images_statistics(const cx_natural_images *im, double mean[3],
                                  double deviation[3]) {
    memcpy(mean, im->mean, sizeof im->mean);
    memcpy(deviation, im->deviation, sizeof im->deviation);
}

void cx_natural_images_copy(const cx_natural_images *im, uint32_t example, int side, int x, int y,
                            bool flip, float *out) {
    const uint8_t *plane = cx_natural_images_pixels(im, example);
    int stored = im->side, lo = x < 0 ? -x : 0, hi = stored - x < side ? stored - x : side;
    hi = hi > lo ? hi : lo;
    for (int c = 0; c < CHANNELS; c++, plane += stored * stored) {
        float gain = (float)(1 / im->deviation[c]), bias = (float)(-im->mean[c] / im->deviation[c]);
        for (int r = 0; r < side; r++, out += side) {
            if (lo > 0 || hi < side || y + r < 0 || y + r >= stored)
                memset(out, 0, (size_t)side * sizeof *out);
            if (y + r < 0 || y + r >= stored)
                continue;
            const uint8_t *row = plane + (y + r) * stored;
            if (flip)
                for (int i = lo; i < hi; i++)
                    out[side - 1 - i] = gain * (float)row[x + i] + bias;
            else
                for (int i = lo; i < hi; i++)
                    out[i] = gain * (float)row[x + i] + bias;
        }
    }
}
