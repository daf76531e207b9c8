/* A set of labeled 28 x 28 images in the four files of MNIST (Fashion-MNIST and
 * KMNIST have the same), cut into three splits and prepared in several views.
 *
 * Splits: the training files without `validation_examples` of them are the
 * training split, those the validation split, chosen by a shuffle that is the same
 * for every run and data set; the test files are the test split. Examples are
 * numbered through: training, then validation, then test. */
#ifndef CX_DATA_IMAGES_H
#define CX_DATA_IMAGES_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CX_IMAGE_SIDE 28
#define CX_IMAGE_CLASSES 10

typedef struct cx_images cx_images;

/* A view: side x side pixels (28; 14 and 7 by averaging squares), normalized with
 * the one mean and deviation of all pixels of the training split at that
 * resolution, or whitened with the training split's covariance (data/whiten.h;
 * sides of 14 and 7 only, 28 x 28 would need a matrix of 784 x 784). */
typedef struct {
    int side;
    bool whiten;
} cx_image_want;

/* Why such a view cannot be had, or NULL. */
const char *cx_image_want_fault(cx_image_want want);

typedef enum { CX_PIXELS_U8, CX_PIXELS_U16, CX_PIXELS_FLOAT } cx_pixel_kind;

/* Pixels are kept as the sums of whole grey values (exact, and a quarter or half of
 * the memory traffic of floats), or as floats where whitened; a pixel's number is
 * gain * kept + bias. */
typedef struct {
    cx_image_want want;
    cx_pixel_kind kind;
    int n_pixels; /* side * side */
    float gain, bias;
    void *pixels; /* [examples, n_pixels] of that kind */
} cx_image_view;

/* Reads FOLDER's four files and makes the `n_wants` views. CX_EDATA with the file
 * and the fault, CX_ECONFIG for a view that cannot be had. */
int cx_images_open(const char *folder, int validation_examples, const cx_image_want *wants,
                   int n_wants, cx_images **out, cx_error *err);
void cx_images_close(cx_images *images);

/* Examples of the training (0), validation (1) and test (2) split, and the number
 * of the first one. */
uint32_t cx_images_count(const cx_images *images, int split);
uint32_t cx_images_first(const cx_images *images, int split);
/* Class 0 .. 9 of an example. */
int cx_images_label(const cx_images *images, uint32_t example);
/* NULL where the view was not asked for at opening. */
const cx_image_view *cx_images_view(const cx_images *images, cx_image_want want);
/* out[n_pixels] = scale * the example's pixels. */
void cx_image_view_copy(const cx_image_view *view, uint32_t example, float scale, float *out);
/* Says that the example will be copied soon: examples come in random order, and each would
 * be waited for. */
void cx_image_view_prefetch(const cx_image_view *view, uint32_t example);

#endif
