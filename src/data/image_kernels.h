/* The loop that puts an image into a batch (cx_image_view_copy), for each level of the
 * instruction set. */
#ifndef CX_DATA_IMAGE_KERNELS_H
#define CX_DATA_IMAGE_KERNELS_H

#include "data/images.h"

typedef struct {
    /* out[n] = gain * pixels[first ..] + bias */
    void (*copy)(cx_pixel_kind kind, const void *pixels, size_t first, int n, float gain,
                 float bias, float *out);
} cx_image_kernels;
/* Those of cx_level_now(). */
const cx_image_kernels *cx_image_kernels_now(void);

#endif
