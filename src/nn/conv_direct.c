/* Convolution at stride 1 as a matrix product whose second operand is never formed: in
 * an image with its padding, stored row after row, the input of one kernel element for
 * all output positions is the image itself shifted by a constant. So row k of the
 * unfolded matrix is padded + offset[k], and positions run over whole padded rows; the
 * few positions between the rows (kernel width - 1) are computed and dropped.
 *
 *   forward    y = w x              rows: output channels
 *   d/dx       the same correlation of the padded dy with the flipped, transposed w
 *   d/dw       <dy, shifted x> for every output channel and kernel element, over GROUP
 *              images at a time, dy being zero between its rows */
#include "nn/conv.h"
#include "nn/gemm.h"

#include <string.h>

enum { GROUP = 8 };

/* one image with padding, and the correlation's output on it */
typedef struct {
    int channels, h, w, pad_h, pad_w; /* image */
    int wp;                           /* padded width */
    int oh, ow;
    int span;     /* positions from the first to the last output, in padded rows */
    size_t plane; /* numbers of one padded channel */
    size_t size;  /* of the padded image, with what whole vectors may read beyond it */
} padded;

static size_t round_up(size_t n) {
    return (n + 15) / 16 * 16;
}

static padded make_padded(const cx_conv *g, int channels, int h, int w, int pad_h, int pad_w) {
    padded p = {.channels = channels, .h = h, .w = w, .pad_h = pad_h, .pad_w = pad_w};
    p.wp = w + 2 * pad_w;
    p.oh = h + 2 * pad_h - g->dilation * (g->kh - 1);
    p.ow = w + 2 * pad_w - g->dilation * (g->kw - 1);
    p.span = (p.oh - 1) * p.wp + p.ow;
    p.plane = (size_t)(h + 2 * pad_h) * (size_t)p.wp;
    p.size = round_up((size_t)channels * p.plane + CX_TILE_COLS);
    return p;
}

static padded of_input(const cx_conv *g) {
    return make_padded(g, g->c, g->h, g->w, g->padding, g->padding);
}
static padded of_gradient(const cx_conv *g) {
    return make_padded(g, g->out, g->oh, g->ow, g->dilation * (g->kh - 1) - g->padding,
                       g->dilation * (g->kw - 1) - g->padding);
}

/* numbers of cx_real that n offsets take */
static size_t offset_room(size_t n) {
    return round_up(n * sizeof(ptrdiff_t) / sizeof(cx_real));
}
/* positions of one row of a result tile, or of one channel of the spread dy */
static size_t row_room(const padded *p) {
    return round_up((size_t)p->oh * (size_t)p->wp);
}

size_t cx_conv_direct_temp(const cx_conv *g) {
    padded x = of_input(g), d = of_gradient(g);
    size_t k = (size_t)g->k, kt = (size_t)(g->go * g->kh * g->kw);
    size_t forward = offset_room(k) + x.size + CX_TILE_ROWS * row_room(&x);
    size_t dw = offset_room(k) + GROUP * (x.size + (size_t)g->out * row_room(&x));
    size_t dx = offset_room(kt) + d.size + CX_TILE_ROWS * row_room(&d) + (size_t)g->c * kt;
    size_t most = forward > dw ? forward : dw;
    return most > dx ? most : dx;
}

static void fill_offsets(const cx_conv *g, const padded *p, int channels, ptrdiff_t *offset) {
    for (int c = 0; c < channels; c++)
        for (int ky = 0; ky < g->kh; ky++)
            for (int kx = 0; kx < g->kw; kx++)
                *offset++ = (ptrdiff_t)((size_t)c * p->plane) +
                            (ptrdiff_t)ky * g->dilation * p->wp + (ptrdiff_t)kx * g->dilation;
}

/* Copies an image into the middle of its (zeroed) padded form. */
static void put(const padded *p, const cx_real *x, cx_real *to) {
    to += (size_t)p->pad_h * (size_t)p->wp + (size_t)p->pad_w;
    for (int c = 0; c < p->channels; c++, to += p->plane)
        for (int y = 0; y < p->h; y++, x += p->w)
            memcpy(to + (size_t)y * (size_t)p->wp, x, (size_t)p->w * sizeof *x);
}

/* `rows` results of one group of one image: y[rows][oh][ow] (+)= w[rows][k] * image. */
static void correlate(const padded *p, const cx_real *image, const ptrdiff_t *offset, int k,
                      const cx_real *w, const cx_real *bias, int rows, cx_real *tile, cx_real *y,
                      bool add) {
    size_t room = row_room(p);
    for (int r = 0; r < rows; r += CX_TILE_ROWS) {
        int part = rows - r < CX_TILE_ROWS ? rows - r : CX_TILE_ROWS;
        for (int j = 0; j < p->span; j += CX_TILE_COLS) {
            int cols = p->span - j < CX_TILE_COLS ? p->span - j : CX_TILE_COLS;
            cx_tile_indexed(part, cols, k, w + (size_t)r * (size_t)k, k, 1, image + j, offset,
                            tile + j, (ptrdiff_t)room, false);
        }
        for (int i = 0; i < part; i++) {
            cx_real b = bias ? bias[r + i] : 0;
            for (int yy = 0; yy < p->oh; yy++, y += p->ow) {
                const cx_real *restrict from = tile + (size_t)i * room + (size_t)yy * (size_t)p->wp;
                cx_real *restrict to = y;
                if (add)
                    for (int xx = 0; xx < p->ow; xx++)
                        to[xx] += from[xx];
                else
                    for (int xx = 0; xx < p->ow; xx++)
                        to[xx] = from[xx] + b;
            }
        }
    }
}

void cx_conv_direct_forward(cx_call *c, const cx_conv *g) {
    padded p = of_input(g);
    ptrdiff_t *offset = (ptrdiff_t *)(void *)c->temp;
    cx_real *image = c->temp + offset_room((size_t)g->k), *tile = image + p.size;
    const cx_real *bias = c->in[CX_CONV_B].value;
    fill_offsets(g, &p, g->gc, offset);
    cx_zero(image, p.size);
    for (int n = g->lanes; n < g->n; n++) {
        put(&p, c->in[CX_CONV_X].value + (size_t)n * (size_t)(g->c * g->h * g->w), image);
        cx_real *y = c->out[0].value + (size_t)n * (size_t)(g->out * g->p);
        for (int q = 0; q < g->groups; q++)
            correlate(&p, image + (size_t)(q * g->gc) * p.plane, offset, g->k,
                      c->in[CX_CONV_W].value + (size_t)(q * g->go) * (size_t)g->k,
                      bias ? bias + q * g->go : NULL, g->go, tile,
                      y + (size_t)(q * g->go) * (size_t)g->p, false);
    }
}

/* wt[c][o kh kw] = w[o][c][kh-1-..][kw-1-..] within each group */
static void flip(const cx_conv *g, const cx_real *w, cx_real *wt) {
    int area = g->kh * g->kw;
    for (int q = 0; q < g->groups; q++)
        for (int c = 0; c < g->gc; c++)
            for (int o = 0; o < g->go; o++) {
                const cx_real *from =
                    w + ((size_t)(q * g->go + o) * (size_t)g->gc + (size_t)c) * (size_t)area;
                for (int i = 0; i < area; i++)
                    *wt++ = from[area - 1 - i];
            }
}

static void input_gradient(cx_call *c, const cx_conv *g) {
    padded p = of_gradient(g);
    int k = g->go * g->kh * g->kw;
    ptrdiff_t *offset = (ptrdiff_t *)(void *)c->temp;
    cx_real *image = c->temp + offset_room((size_t)k), *tile = image + p.size;
    cx_real *wt = tile + CX_TILE_ROWS * row_room(&p);
    fill_offsets(g, &p, g->go, offset);
    flip(g, c->in[CX_CONV_W].value, wt);
    cx_zero(image, p.size);
    for (int n = g->lanes; n < g->n; n++) {
        put(&p, c->out[0].grad + (size_t)n * (size_t)(g->out * g->p), image);
        cx_real *dx = c->in[CX_CONV_X].grad + (size_t)n * (size_t)(g->c * g->h * g->w);
        for (int q = 0; q < g->groups; q++)
            correlate(&p, image + (size_t)(q * g->go) * p.plane, offset, k,
                      wt + (size_t)(q * g->gc) * (size_t)k, NULL, g->gc, tile,
                      dx + (size_t)(q * g->gc) * (size_t)(g->h * g->w), c->in[CX_CONV_X].add);
    }
}

/* dw of one group from `images` images: every output channel with every kernel element */
static void weight_products(const cx_conv *g, const padded *p, const cx_real *x, const cx_real *dy,
                            const ptrdiff_t *offset, int images, cx_real *dw, bool add) {
    size_t room = row_room(p);
    int n = (p->span + CX_LANES - 1) / CX_LANES * CX_LANES;
    for (int o = 0; o < g->go; o += 4)
        for (int k = 0; k < g->k; k += 4) {
            const cx_real *a[4], *b[4];
            for (int i = 0; i < 4; i++) {
                a[i] = dy + (size_t)(o + i < g->go ? o + i : o) * room;
                b[i] = x + offset[k + i < g->k ? k + i : k];
            }
            cx_dot_tile(a, b, n, images, (ptrdiff_t)((size_t)g->out * room), (ptrdiff_t)p->size,
                        g->go - o < 4 ? g->go - o : 4, g->k - k < 4 ? g->k - k : 4,
                        dw + (size_t)o * (size_t)g->k + k, g->k, add);
        }
}

static void weight_gradient(cx_call *c, const cx_conv *g) {
    padded p = of_input(g);
    size_t room = row_room(&p);
    ptrdiff_t *offset = (ptrdiff_t *)(void *)c->temp;
    cx_real *x = c->temp + offset_room((size_t)g->k), *dy = x + GROUP * p.size;
    fill_offsets(g, &p, g->gc, offset);
    /* the zeros between the rows stay; only the rows are written below */
    cx_zero(x, GROUP * (p.size + (size_t)g->out * room));
    for (int n = g->lanes; n < g->n; n += GROUP) {
        int images = g->n - n < GROUP ? g->n - n : GROUP;
        for (int i = 0; i < images; i++) {
            put(&p, c->in[CX_CONV_X].value + (size_t)(n + i) * (size_t)(g->c * g->h * g->w),
                x + (size_t)i * p.size);
            const cx_real *from = c->out[0].grad + (size_t)(n + i) * (size_t)(g->out * g->p);
            cx_real *to = dy + (size_t)i * (size_t)g->out * room;
            for (int o = 0; o < g->out; o++, to += room)
                for (int y = 0; y < g->oh; y++, from += g->ow)
                    memcpy(to + (size_t)y * (size_t)p.wp, from, (size_t)g->ow * sizeof *to);
        }
        for (int q = 0; q < g->groups; q++)
            weight_products(g, &p, x + (size_t)(q * g->gc) * p.plane,
                            dy + (size_t)(q * g->go) * room, offset, images,
                            c->in[CX_CONV_W].grad + (size_t)(q * g->go) * (size_t)g->k,
                            n || c->in[CX_CONV_W].add);
    }
}

void cx_conv_direct_backward(cx_call *c, const cx_conv *g) {
    if (c->in[CX_CONV_W].grad)
        weight_gradient(c, g);
    if (c->in[CX_CONV_X].grad)
        input_gradient(c, g);
}
