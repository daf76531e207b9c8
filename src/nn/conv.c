/* 2-d cross-correlation, NCHW: x [N,C,H,W], w [out, C/groups, kh, kw], b [out].
 * The plain way, below, and the one of the level without vectors: each image is unfolded into
 * columns [C/groups kh kw][positions] that stay in cache, followed by one matrix product per group.
 * Faster ones: blocks of images (nn/conv_lanes.h), and at stride 1 the images that do not fill a
 * block without unfolding (nn/conv_direct.c). */
#include "nn/conv.h"
#include "nn/simd.h"

#include <limits.h>
#include <string.h>

enum { STRIDE, PADDING, GROUPS, DILATION };
enum { LARGEST = 1 << 20, KERNEL = 4096 };
enum { X = CX_CONV_X, W = CX_CONV_W, B = CX_CONV_B };

cx_conv cx_conv_read(const cx_call *c) {
    const cx_shape *x = &c->in[X].shape, *w = &c->in[W].shape;
    cx_conv g = {.n = x->dim[0],
                 .c = x->dim[1],
                 .h = x->dim[2],
                 .w = x->dim[3],
                 .out = w->dim[0],
                 .kh = w->dim[2],
                 .kw = w->dim[3],
                 .stride = (int)c->attr[STRIDE],
                 .padding = (int)c->attr[PADDING],
                 .dilation = (int)c->attr[DILATION],
                 .groups = (int)c->attr[GROUPS]};
    g.oh = (g.h + 2 * g.padding - g.dilation * (g.kh - 1) - 1) / g.stride + 1;
    g.ow = (g.w + 2 * g.padding - g.dilation * (g.kw - 1) - 1) / g.stride + 1;
    g.gc = g.c / g.groups;
    g.go = g.out / g.groups;
    g.k = g.gc * g.kh * g.kw;
    g.p = g.oh * g.ow;
    g.unfolded = g.kh == 1 && g.kw == 1 && g.stride == 1 && g.padding == 0;
    if (CX_LANES == 1) /* the level that defines the others */
        return g;
    g.direct = g.stride == 1 && !g.unfolded && g.padding <= g.dilation * (g.kh - 1) &&
               g.padding <= g.dilation * (g.kw - 1);
    /* a block of images that is at least half full is as fast as its images one by one */
    if (g.kh * g.kw > 1 && cx_conv_lanes_fit(&g))
        g.lanes = g.n % CX_LANES > CX_LANES / 2 ? g.n : g.n - g.n % CX_LANES;
    g.winograd = g.lanes && cx_conv_winograd_fits(&g);
    return g;
}

int cx_conv2d_shape(cx_call *c, cx_error *err) {
    const cx_shape *x = &c->in[X].shape, *w = &c->in[W].shape;
    int groups = (int)c->attr[GROUPS];
    if (x->rank != 4 || w->rank != 4)
        return cx_op_fault(c, err, "x must be [N,C,H,W], w [out,C/groups,kh,kw]");
    if (x->dim[1] % groups || w->dim[0] % groups || w->dim[1] != x->dim[1] / groups)
        return cx_op_fault(c, err, "channels do not fit groups = %d", groups);
    if (c->in[B].ref >= 0 && (c->in[B].shape.rank != 1 || c->in[B].shape.dim[0] != w->dim[0]))
        return cx_op_fault(c, err, "b must be [%d]", w->dim[0]);
    double ph = x->dim[2] + 2 * c->attr[PADDING], pw = x->dim[3] + 2 * c->attr[PADDING];
    int channels = x->dim[1] > w->dim[0] ? x->dim[1] : w->dim[0];
    if (ph > LARGEST || pw > LARGEST || ph * pw * channels > INT_MAX / 8 || w->dim[2] > KERNEL ||
        w->dim[3] > KERNEL) /* beyond it the products below would overflow an int */
        return cx_op_fault(c, err, "one padded image or its kernel is too large");
    cx_conv g = cx_conv_read(c);
    if (g.h + 2 * g.padding < g.dilation * (g.kh - 1) + 1 ||
        g.w + 2 * g.padding < g.dilation * (g.kw - 1) + 1)
        return cx_op_fault(c, err, "the kernel is larger than the padded image");
    c->out[0].shape = CX_SHAPE(g.n, g.out, g.oh, g.ow);
    size_t many = g.lanes ? cx_conv_lanes_temp(&g) : 0, rest = 0;
    if (g.lanes < g.n)
        rest = g.direct ? cx_conv_direct_temp(&g) : 2 * (size_t)g.k * (size_t)g.p;
    c->temp_size = many > rest ? many : rest;
    size_t tiles = g.winograd ? cx_conv_winograd_temp(&g) : 0;
    c->temp_size = tiles > c->temp_size ? tiles : c->temp_size;
    c->flops = 2.0 * g.n * g.out * (double)g.k * g.p;
    return CX_OK;
}

/* The first and one past the last output position whose input lies inside the image. */
static void inside(int size, int out, int offset, int stride, int *first, int *last) {
    int lo = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    int hi = size - offset <= 0 ? 0 : (size - offset + stride - 1) / stride;
    *last = hi < out ? hi : out;
    *first = lo < *last ? lo : *last;
}

/* col[gc kh kw][oh ow] from one group of one image */
static void unfold(const cx_conv *g, const cx_real *x, cx_real *col) {
    for (int c = 0; c < g->gc; c++)
        for (int ky = 0; ky < g->kh; ky++)
            for (int kx = 0; kx < g->kw; kx++, col += g->p) {
                int oy = ky * g->dilation - g->padding, ox = kx * g->dilation - g->padding;
                int y0, y1, x0, x1, s = g->stride;
                inside(g->h, g->oh, oy, s, &y0, &y1);
                inside(g->w, g->ow, ox, s, &x0, &x1);
                cx_zero(col, (size_t)(y0 * g->ow));
                for (int y = y0; y < y1; y++) {
                    const cx_real *row =
                        x + ((size_t)c * (size_t)g->h + (size_t)(y * s + oy)) * (size_t)g->w;
                    cx_real *to = col + y * g->ow;
                    for (int i = 0; i < x0; i++)
                        to[i] = 0;
                    if (s == 1)
                        for (int i = x0; i < x1; i++)
                            to[i] = row[i + ox];
                    else
                        for (int i = x0; i < x1; i++)
                            to[i] = row[i * s + ox];
                    for (int i = x1; i < g->ow; i++)
                        to[i] = 0;
                }
                cx_zero(col + y1 * g->ow, (size_t)((g->oh - y1) * g->ow));
            }
}

/* dx += fold(col), the transpose of unfold */
static void fold(const cx_conv *g, const cx_real *col, cx_real *dx) {
    for (int c = 0; c < g->gc; c++)
        for (int ky = 0; ky < g->kh; ky++)
            for (int kx = 0; kx < g->kw; kx++, col += g->p) {
                int oy = ky * g->dilation - g->padding, ox = kx * g->dilation - g->padding;
                int y0, y1, x0, x1, s = g->stride;
                inside(g->h, g->oh, oy, s, &y0, &y1);
                inside(g->w, g->ow, ox, s, &x0, &x1);
                for (int y = y0; y < y1; y++) {
                    cx_real *row =
                        dx + ((size_t)c * (size_t)g->h + (size_t)(y * s + oy)) * (size_t)g->w;
                    const cx_real *from = col + y * g->ow;
                    for (int i = x0; i < x1; i++)
                        row[i * s + ox] += from[i];
                }
            }
}

static void add_bias(const cx_conv *g, const cx_real *b, cx_real *y) {
    for (int o = 0; o < g->out; o++)
        for (int i = 0; i < g->p; i++)
            y[o * g->p + i] = b[o];
}

static void unfolded_forward(cx_call *c, const cx_conv *g) {
    size_t image = (size_t)(g->c * g->h) * (size_t)g->w, result = (size_t)g->out * (size_t)g->p;
    for (int n = g->lanes; n < g->n; n++) {
        cx_real *y = c->out[0].value + (size_t)n * result;
        if (c->in[B].value)
            add_bias(g, c->in[B].value, y);
        for (int q = 0; q < g->groups; q++) {
            const cx_real *x = c->in[X].value + (size_t)n * image +
                               (size_t)q * (size_t)(g->gc * g->h) * (size_t)g->w;
            if (!g->unfolded)
                unfold(g, x, c->temp);
            cx_gemm(false, false, g->go, g->p, g->k,
                    c->in[W].value + (size_t)(q * g->go) * (size_t)g->k, g->k,
                    g->unfolded ? x : c->temp, g->p, c->in[B].value != NULL,
                    y + (size_t)(q * g->go) * (size_t)g->p, g->p);
        }
    }
}

void cx_conv2d_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    cx_conv g = cx_conv_read(c);
    if (g.winograd)
        cx_conv_winograd_forward(c, &g);
    else if (g.lanes)
        cx_conv_lanes_forward(c, &g);
    if (g.direct && g.lanes < g.n)
        cx_conv_direct_forward(c, &g);
    else
        unfolded_forward(c, &g);
}

/* of the images from `first` on; db holds something already where add */
static void bias_backward(const cx_conv *g, int first, const cx_real *dy, cx_real *db, bool add) {
    if (!add)
        cx_zero(db, (size_t)g->out);
    dy += (size_t)first * (size_t)g->out * (size_t)g->p;
    for (int n = first; n < g->n; n++)
        for (int o = 0; o < g->out; o++, dy += g->p)
            db[o] += cx_total(dy, g->p);
}

static void unfolded_backward(cx_call *c, const cx_conv *g) {
    size_t image = (size_t)(g->c * g->h) * (size_t)g->w, result = (size_t)g->out * (size_t)g->p;
    cx_real *dw = c->in[W].grad, *col = c->temp, *dcol = col + (size_t)g->k * (size_t)g->p;
    if (c->in[X].grad && !c->in[X].add && !g->unfolded)
        cx_zero(c->in[X].grad + (size_t)g->lanes * image, (size_t)(g->n - g->lanes) * image);
    for (int n = g->lanes; n < g->n; n++)
        for (int q = 0; q < g->groups; q++) {
            size_t at = (size_t)n * image + (size_t)q * (size_t)(g->gc * g->h) * (size_t)g->w;
            const cx_real *x = c->in[X].value + at;
            const cx_real *dy =
                c->out[0].grad + (size_t)n * result + (size_t)(q * g->go) * (size_t)g->p;
            size_t wq = (size_t)(q * g->go) * (size_t)g->k;
            if (dw) {
                if (!g->unfolded)
                    unfold(g, x, col);
                cx_gemm(false, true, g->go, g->k, g->p, dy, g->p, g->unfolded ? x : col, g->p,
                        n || c->in[W].add, dw + wq, g->k);
            }
            if (!c->in[X].grad)
                continue;
            if (g->unfolded) {
                cx_gemm(true, false, g->k, g->p, g->go, c->in[W].value + wq, g->k, dy, g->p,
                        c->in[X].add, c->in[X].grad + at, g->p);
                continue;
            }
            cx_gemm(true, false, g->k, g->p, g->go, c->in[W].value + wq, g->k, dy, g->p, 0, dcol,
                    g->p);
            fold(g, dcol, c->in[X].grad + at);
        }
}

void cx_conv2d_backward(cx_call *c) {
    cx_conv g = cx_conv_read(c);
    bool with_w = g.lanes && c->in[W].grad; /* the bias on the way to dw */
    if (c->in[B].grad)
        bias_backward(&g, with_w ? g.lanes : 0, c->out[0].grad, c->in[B].grad, c->in[B].add);
    if (g.winograd && c->in[X].grad)
        cx_conv_winograd_input_gradient(c, &g);
    else if (g.lanes && c->in[X].grad)
        cx_conv_lanes_input_gradient(c, &g);
    if (with_w)
        cx_conv_lanes_weight_gradient(c, &g);
    if (g.direct && g.lanes < g.n)
        cx_conv_direct_backward(c, &g);
    else
        unfolded_backward(c, &g);
}
