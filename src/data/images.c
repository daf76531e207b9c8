#include "data/images.h"
#include "base/level.h"
#include "data/image_kernels.h"

#include "base/arena.h"
#include "base/rng.h"
#include "data/idx.h"
#include "data/whiten.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VIEWS_MAX = 5, PIXELS = CX_IMAGE_SIDE * CX_IMAGE_SIDE };

/* The choice of the validation split belongs to the data, not to a run. */
static const uint64_t split_seed = 0x636f787377616e; /* "coxswan" */
/* In units of the mean eigenvalue. At 14 x 14 the smallest eigenvalues of MNIST are 0
 * (pixels that are always black); this bounds their gain at 30 times the average one's. */
static const double whiten_floor = 1e-3;

struct cx_images {
    uint32_t count[3], first[3];
    uint8_t *labels; /* of all examples */
    int n_views;
    cx_image_view view[VIEWS_MAX];
};

const char *cx_image_want_fault(cx_image_want want) {
    if (want.side != 28 && want.side != 14 && want.side != 7)
        return "resolution must be 28, 14 or 7";
    if (want.whiten && want.side > 14)
        return "whitening is offered for resolution 14 and 7, not 28";
    return NULL;
}

/* One pair of files. */
typedef struct {
    cx_idx images, labels;
} half;

static void half_free(half *h) {
    cx_idx_free(&h->images);
    cx_idx_free(&h->labels);
}

static int half_read(const char *folder, const char *part, half *h, cx_error *err) {
    char images[PATH_MAX], labels[PATH_MAX], stem[64];
    *h = (half){0};
    (void)snprintf(stem, sizeof stem, "%s-images-idx3-ubyte", part);
    int rc = cx_idx_read(folder, stem, 3, &h->images, images, sizeof images, err);
    if (rc)
        return rc;
    (void)snprintf(stem, sizeof stem, "%s-labels-idx1-ubyte", part);
    rc = cx_idx_read(folder, stem, 1, &h->labels, labels, sizeof labels, err);
    if (rc)
        return rc;
    const uint32_t *d = h->images.dim;
    if (d[1] != CX_IMAGE_SIDE || d[2] != CX_IMAGE_SIDE)
        return cx_fail(err, CX_EDATA, "%s: images of %u x %u; 28 x 28 is right", images,
                       (unsigned)d[1], (unsigned)d[2]);
    if (d[0] != h->labels.dim[0])
        return cx_fail(err, CX_EDATA, "%s: %u labels, but %s has %u images", labels,
                       (unsigned)h->labels.dim[0], images, (unsigned)d[0]);
    for (uint32_t i = 0; i < d[0]; i++)
        if (h->labels.data[i] >= CX_IMAGE_CLASSES)
            return cx_fail(err, CX_EDATA, "%s: label %d of example %u; 0 to 9 is right", labels,
                           h->labels.data[i], (unsigned)i);
    return CX_OK;
}

/* Puts both halves, shuffled apart, behind one another. */
static int arrange(const half *train, const half *test, cx_images *im, uint8_t **grey,
                   cx_error *err) {
    uint32_t n = train->images.dim[0], m = test->images.dim[0];
    uint32_t *order = cx_calloc(n, sizeof *order);
    *grey = cx_calloc((size_t)n + m, PIXELS);
    im->labels = cx_calloc((size_t)n + m, 1);
    if (!order || !*grey || !im->labels) {
        free(order);
        return cx_fail(err, CX_ENOMEM, "no memory for %u images", (unsigned)(n + m));
    }
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    cx_rng rng = cx_rng_make(split_seed, 0, CX_STREAM_DATA);
    cx_rng_shuffle(&rng, order, n);
    for (uint32_t i = 0; i < n; i++) {
        memcpy(*grey + (size_t)i * PIXELS, train->images.data + (size_t)order[i] * PIXELS, PIXELS);
        im->labels[i] = train->labels.data[order[i]];
    }
    free(order);
    memcpy(*grey + (size_t)n * PIXELS, test->images.data, (size_t)m * PIXELS);
    memcpy(im->labels + n, test->labels.data, m);
    return CX_OK;
}

static int read_files(const char *folder, int validation_examples, cx_images *im, uint8_t **grey,
                      cx_error *err) {
    half train, test = {0};
    int rc = half_read(folder, "train", &train, err);
    if (!rc)
        rc = half_read(folder, "t10k", &test, err);
    if (!rc) {
        uint32_t n = train.images.dim[0], v = (uint32_t)validation_examples;
        if (validation_examples < 1 || v >= n) {
            rc = cx_fail(err, CX_ECONFIG,
                         "data.validation_examples is %d, but %s has only %u training examples: 1 "
                         "to %u is right",
                         validation_examples, folder, (unsigned)n, (unsigned)(n - 1));
        } else {
            im->count[0] = im->first[1] = n - v;
            im->count[1] = v;
            im->first[2] = n;
            im->count[2] = test.images.dim[0];
            rc = arrange(&train, &test, im, grey, err);
        }
    }
    half_free(&train);
    half_free(&test);
    return rc;
}

static uint32_t total(const cx_images *im) {
    return im->first[2] + im->count[2];
}

/* Sums of square x square pixels; out[n, side * side]. */
static void pool(const uint8_t *grey, uint32_t n, int side, uint16_t *out) {
    int square = CX_IMAGE_SIDE / side;
    for (uint32_t e = 0; e < n; e++, grey += PIXELS, out += side * side) {
        memset(out, 0, (size_t)(side * side) * sizeof *out);
        for (int y = 0; y < CX_IMAGE_SIDE; y++)
            for (int x = 0; x < side; x++) {
                unsigned sum = 0;
                for (int i = 0; i < square; i++)
                    sum += grey[y * CX_IMAGE_SIDE + x * square + i];
                uint16_t *o = &out[y / square * side + x];
                *o = (uint16_t)(*o + sum);
            }
    }
}

static uint32_t kept(const cx_image_view *v, size_t i) {
    return v->kind == CX_PIXELS_U8 ? ((const uint8_t *)v->pixels)[i]
                                   : ((const uint16_t *)v->pixels)[i];
}

/* gain and bias that give the training split mean 0 and deviation 1. */
static int normalize(cx_image_view *v, uint32_t n_train, cx_error *err) {
    uint64_t sum = 0, squares = 0; /* whole numbers: exact whatever the order */
    size_t n = (size_t)n_train * (size_t)v->n_pixels;
    for (size_t i = 0; i < n; i++) {
        uint64_t p = kept(v, i);
        sum += p;
        squares += p * p;
    }
    double mean = (double)sum / (double)n;
    double variance = (double)squares / (double)n - mean * mean;
    if (!(variance > 1e-9))
        return cx_fail(err, CX_EDATA, "all pixels of the training images are equal");
    v->gain = (float)(1 / sqrt(variance));
    v->bias = (float)(-mean / sqrt(variance));
    return CX_OK;
}

/* Replaces the sums by whitened floats. */
static int whiten(cx_image_view *v, uint32_t n_train, uint32_t n_all, cx_error *err) {
    size_t n = (size_t)n_all * (size_t)v->n_pixels;
    float *x = cx_calloc(n, sizeof *x);
    if (!x)
        return cx_fail(err, CX_ENOMEM, "no memory for %u whitened images", (unsigned)n_all);
    for (size_t i = 0; i < n; i++)
        x[i] = v->gain * (float)kept(v, i) + v->bias;
    cx_whiten w;
    int rc = cx_whiten_fit(x, n_train, v->n_pixels, whiten_floor, &w, err);
    if (!rc) {
        rc = cx_whiten_apply(&w, x, n_all, err);
        cx_whiten_free(&w);
    }
    if (rc) {
        free(x);
        return rc;
    }
    free(v->pixels);
    *v = (cx_image_view){
        .want = v->want, .kind = CX_PIXELS_FLOAT, .n_pixels = v->n_pixels, .gain = 1, .pixels = x};
    return CX_OK;
}

static int make_view(cx_images *im, const uint8_t *grey, cx_image_want want, cx_error *err) {
    const char *fault = cx_image_want_fault(want);
    if (fault)
        return cx_fail(err, CX_ECONFIG, "resolution %d%s: %s", want.side,
                       want.whiten ? ", whitened" : "", fault);
    if (cx_images_view(im, want))
        return CX_OK;
    cx_image_view *v = &im->view[im->n_views];
    *v = (cx_image_view){.want = want, .n_pixels = want.side * want.side};
    uint32_t n = total(im);
    v->kind = want.side == CX_IMAGE_SIDE ? CX_PIXELS_U8 : CX_PIXELS_U16;
    size_t size = v->kind == CX_PIXELS_U8 ? 1 : 2;
    v->pixels = cx_calloc((size_t)n * (size_t)v->n_pixels, size);
    if (!v->pixels)
        return cx_fail(err, CX_ENOMEM, "no memory for %u images", (unsigned)n);
    im->n_views++;
    if (v->kind == CX_PIXELS_U8)
        memcpy(v->pixels, grey, (size_t)n * PIXELS);
    else
        pool(grey, n, want.side, v->pixels);
    int rc = normalize(v, im->count[0], err);
    return rc || !want.whiten ? rc : whiten(v, im->count[0], n, err);
}

int cx_images_open(const char *folder, int validation_examples, const cx_image_want *wants,
                   int n_wants, cx_images **out, cx_error *err) {
    *out = NULL;
    cx_images *im = calloc(1, sizeof *im);
    if (!im)
        return cx_fail(err, CX_ENOMEM, "no memory for a data set");
    uint8_t *grey = NULL;
    int rc = read_files(folder, validation_examples, im, &grey, err);
    for (int i = 0; i < n_wants && !rc; i++)
        rc = make_view(im, grey, wants[i], err);
    free(grey);
    if (rc) {
        cx_images_close(im);
        return rc;
    }
    *out = im;
    return CX_OK;
}

void cx_images_close(cx_images *images) {
    if (!images)
        return;
    for (int i = 0; i < images->n_views; i++)
        free(images->view[i].pixels);
    free(images->labels);
    free(images);
}

uint32_t cx_images_count(const cx_images *images, int split) {
    return images->count[split];
}

uint32_t cx_images_first(const cx_images *images, int split) {
    return images->first[split];
}

int cx_images_label(const cx_images *images, uint32_t example) {
    return images->labels[example];
}

const cx_image_view *cx_images_view(const cx_images *images, cx_image_want want) {
    for (int i = 0; i < images->n_views; i++) {
        const cx_image_view *v = &images->view[i];
        if (v->want.side == want.side && v->want.whiten == want.whiten)
            return v;
    }
    return NULL;
}

CX_LEVEL_LOOKUP(cx_image_kernels_now, cx_image_kernels, cx_image_kernels)

void cx_image_view_copy(const cx_image_view *view, uint32_t example, float scale, float *out) {
    cx_image_kernels_now()->copy(view->kind, view->pixels, (size_t)example * (size_t)view->n_pixels,
                                 view->n_pixels, scale * view->gain, scale * view->bias, out);
}

void cx_image_view_prefetch(const cx_image_view *view, uint32_t example) {
    static const size_t bytes[] = {[CX_PIXELS_U8] = 1, [CX_PIXELS_U16] = 2, [CX_PIXELS_FLOAT] = 4};
    size_t size = bytes[view->kind] * (size_t)view->n_pixels, line = 64;
    const char *p = (const char *)view->pixels + (size_t)example * size;
    for (size_t at = 0; at < size; at += line)
        __builtin_prefetch(p + at);
}
