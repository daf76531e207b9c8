/* Convolution of as many images at a time as a vector has lanes: image i of a block lies
 * in lane i, so that an image of any size, stride and padding fills whole vectors, and
 * the kernel's numbers are broadcast where PyTorch's layout has them. Blocks are cut into
 * strips of rows that fit the second-level cache. Private to nn/.
 *
 *   conv_pack.c       images <-> strips
 *   conv_kernels.c    the multiply-add tiles
 *   conv_lanes.c      direct sums: any kernel, stride, padding, dilation, groups
 *   conv_winograd.c   3x3 at stride 1: a quarter of the products */
#ifndef CX_NN_CONV_LANES_H
#define CX_NN_CONV_LANES_H

#include "nn/conv.h"
#include "nn/simd.h"

/* Rows of up to CX_LANES images, [channels][rows][width][lanes]. The strip's row 0 and
 * column `left` are row `first` and column 0 of the image; what lies outside the image is
 * zero. */
typedef struct {
    int channels, h, w; /* of an image in memory, [channels][h][w] */
    int first, rows;
    int left, width;
} cx_strip;

static inline size_t cx_strip_size(const cx_strip *s) { /* numbers */
    return (size_t)s->channels * (size_t)s->rows * (size_t)s->width * (size_t)CX_LANES;
}
/* `images` images at x (lanes beyond them become zero); `end`: the end of the array that
 * x lies in. The caller has zeroed the strip once, and every later call of the same width
 * and left leaves the columns outside the image alone. */
void cx_strip_pack(const cx_strip *s, const cx_real *x, const cx_real *end, int images,
                   cx_real *to);
/* The way back, of a strip without borders (left 0, width w); y (+)= strip. */
void cx_strip_unpack(const cx_strip *s, const cx_real *from, int images, cx_real *y, bool add);

/* accumulators: CX_CONV_ROWS times CX_CONV_VECTORS */
#define CX_CONV_ROWS (CX_VEC_BYTES == 64 ? 8 : 4)
#define CX_CONV_VECTORS (CX_VEC_BYTES == 16 ? 2 : 3)
/* c[i * c_row + v * c_step] = bias[i] + sum over p < k of a[i * a_row + p] * b[offset[p] +
 * v * b_step], a vector each; bias may be NULL. */
typedef struct {
    const cx_real *a, *b, *bias;
    const ptrdiff_t *offset;
    cx_real *c;
    ptrdiff_t a_row, b_step, c_row, c_step;
    int k;
} cx_conv_tile;
/* Positions of one result, and the steps between them in numbers. */
typedef struct {
    int rows, cols;
    ptrdiff_t in_row, in_col, out_row, out_col;
} cx_conv_grid;
/* The tile at all positions for `out` rows of a, results at c_channel; the tile's steps
 * (b_step, c_row, c_step) are set here. */
void cx_conv_correlate(const cx_conv_grid *g, cx_conv_tile t, int out, ptrdiff_t c_channel);

/* Sums of products of whole vectors over a grid of positions: c[i * c_row + j] (+)= the
 * sum over y < rows, x < cols and the lanes of a[i][y * a_line + x * CX_LANES] *
 * b[j][y * b_line + x * b_step]; i < n_a <= CX_DOT_A, j < n_b <= CX_DOT_B. */
#define CX_DOT_A (CX_VEC_BYTES == 64 ? 4 : 2)
#define CX_DOT_B 6
typedef struct {
    const cx_real *a[CX_DOT_A], *b[CX_DOT_B]; /* all set; some may repeat */
    int n_a, n_b, rows, cols;
    ptrdiff_t a_line, b_line, b_step;
    cx_real *c;
    ptrdiff_t c_row;
    bool add;
} cx_conv_dot;
void cx_conv_dots(const cx_conv_dot *d);

#endif
