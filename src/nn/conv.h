/* The numbers of one convolution, between the two ways of computing it. Private to nn/. */
#ifndef CX_NN_CONV_H
#define CX_NN_CONV_H

#include "nn/ops.h"

enum { CX_CONV_X, CX_CONV_W, CX_CONV_B };

typedef struct {
    int n, c, h, w;  /* input */
    int out, oh, ow; /* output */
    int kh, kw, stride, padding, dilation, groups;
    int gc, go;    /* channels of one group: in, out */
    int k, p;      /* products in one output; output positions */
    bool unfolded; /* a 1x1 kernel at stride 1: the image is its own unfolding */
    int lanes;     /* images that go through vectors of images; the rest does not */
    bool winograd; /* of those: y and dx by conv_winograd.c */
    bool direct;   /* conv_direct.c computes the rest */
} cx_conv;

cx_conv cx_conv_read(const cx_call *c);

/* conv_lanes.c: the first g->lanes images, many at a time. weight_gradient adds their part
 * to db, too, where that is wanted; fit: the strips are not too large for it. */
enum { CX_CONV_STRIDE_MAX = 8 };
bool cx_conv_lanes_fit(const cx_conv *g);
size_t cx_conv_lanes_temp(const cx_conv *g);
void cx_conv_lanes_forward(cx_call *c, const cx_conv *g);
void cx_conv_lanes_input_gradient(cx_call *c, const cx_conv *g);
void cx_conv_lanes_weight_gradient(cx_call *c, const cx_conv *g);

/* conv_winograd.c: the same images, where the kernel is 3x3 and its transforms pay. */
bool cx_conv_winograd_fits(const cx_conv *g);
size_t cx_conv_winograd_temp(const cx_conv *g);
void cx_conv_winograd_forward(cx_call *c, const cx_conv *g);
void cx_conv_winograd_input_gradient(cx_call *c, const cx_conv *g);

/* conv_direct.c: the images from g->lanes on, one at a time. Stride 1, padding at most what
 * keeps the gradient's padding non-negative. */
size_t cx_conv_direct_temp(const cx_conv *g);
void cx_conv_direct_forward(cx_call *c, const cx_conv *g);
/* Gradients of x and w (not of b). */
void cx_conv_direct_backward(cx_call *c, const cx_conv *g);

#endif
