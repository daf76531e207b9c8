#include "data/image_kernels.h"
#include "base/level.h"

#define COPY(type)                                                                                 \
    do {                                                                                           \
        const type *p = (const type *)pixels + first;                                              \
        for (int i = 0; i < n; i++)                                                                \
            out[i] = gain * (float)p[i] + bias;                                                    \
    } while (0)

static void copy(cx_pixel_kind kind, const void *pixels, size_t first, int n, float gain,
                 float bias, float *restrict out) {
    switch (kind) {
    case CX_PIXELS_U8:
        COPY(uint8_t);
        break;
    case CX_PIXELS_U16:
        COPY(uint16_t);
        break;
    case CX_PIXELS_FLOAT:
        COPY(float);
        break;
    }
}

CX_TABLE_AT_LEVEL(cx_image_kernels, cx_image_kernels) = {{.copy = copy}};
