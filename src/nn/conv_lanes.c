/* Direct convolution with an image in each lane. A kernel element's input for all output
 * positions is the strip itself, shifted by a constant:
 *
 *   forward    y[o] = b[o] + sum of w[o][k] * strip[offset[k]]
 *   d/dx       the same sum over dy; at stride s the positions of dx fall into s x s
 *              phases, each of which meets its own part of the kernel's elements
 *   d/dw       <dy[o], strip[offset[k]]>, over positions and lanes */
#include "nn/conv_lanes.h"

enum { LANES = CX_VEC_BYTES / sizeof(cx_real) };
enum {
    STRIP = 5 << 18,    /* bytes of the strips that are worked on: they stay in the second level */
    LARGEST = 1 << 22,  /* beyond it (of one row) the images are not for lanes */
    DOT_POSITIONS = 128 /* of CX_DOT_A rows of dy: they stay in the first level */
};

static size_t round_up(size_t n) {
    return (n + 15) / 16 * 16;
}

/* numbers of cx_real that n offsets take */
static size_t offset_room(size_t n) {
    return round_up(n * sizeof(ptrdiff_t) / sizeof(cx_real) + 1);
}

static int floor_div(int a, int b) {
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/* --- strips --- */

/* What is read, and what is written (or, for dw, read too). */
typedef struct {
    cx_strip in, out;
} strips;

static strips of_forward(const cx_conv *g, int rows) {
    return (strips){
        .in = {.channels = g->c,
               .h = g->h,
               .w = g->w,
               .first = -g->padding,
               .rows = (rows - 1) * g->stride + g->dilation * (g->kh - 1) + 1,
               .left = g->padding,
               .width = g->w + 2 * g->padding},
        .out = {.channels = g->out, .h = g->oh, .w = g->ow, .rows = rows, .width = g->ow}};
}

static strips of_input_gradient(const cx_conv *g, int rows) {
    int s = g->stride, deep = g->dilation * (g->kh - 1), wide = g->dilation * (g->kw - 1);
    int q = floor_div(g->padding - wide, s), left = q < 0 ? -q : 0;
    int reach = (g->w - 1 + g->padding) / s + 1;
    return (strips){.in = {.channels = g->out,
                           .h = g->oh,
                           .w = g->ow,
                           .first = floor_div(g->padding - deep, s),
                           .rows = (rows - 1 + deep) / s + 2,
                           .left = left,
                           .width = left + (reach > g->ow ? reach : g->ow)},
                    .out = {.channels = g->c, .h = g->h, .w = g->w, .rows = rows, .width = g->w}};
}

static size_t strips_size(const strips *s) {
    return cx_strip_size(&s->in) + cx_strip_size(&s->out);
}

/* As many rows of `out` as fit, a multiple of `step` unless it is all of them. */
static strips cut(const cx_conv *g, strips (*make)(const cx_conv *, int), int h, int step) {
    strips s = make(g, h);
    if (strips_size(&s) * sizeof(cx_real) <= STRIP)
        return s;
    int rows = step;
    for (;;) {
        strips more = make(g, rows + step);
        if (rows + step > h || strips_size(&more) * sizeof(cx_real) > STRIP)
            break;
        rows += step;
    }
    int parts = (h + rows - 1) / rows; /* as even as can be */
    rows = ((h + parts - 1) / parts + step - 1) / step * step;
    return make(g, rows < h ? rows : h);
}

/* The strips at `row` of `out`: rows past the image's end are left out. */
static strips at_row(strips s, int row, int stride_in, int stride_out) {
    s.in.first += row / stride_out * stride_in;
    s.out.first = row;
    if (s.out.rows > s.out.h - row)
        s.out.rows = s.out.h - row;
    return s;
}

bool cx_conv_lanes_fit(const cx_conv *g) {
    if (g->stride > CX_CONV_STRIDE_MAX)
        return false;
    strips f = of_forward(g, 1), d = of_input_gradient(g, g->stride < g->h ? g->stride : g->h);
    return strips_size(&f) * sizeof(cx_real) <= LARGEST &&
           strips_size(&d) * sizeof(cx_real) <= LARGEST;
}

size_t cx_conv_lanes_temp(const cx_conv *g) {
    strips f = cut(g, of_forward, g->oh, 1), d = cut(g, of_input_gradient, g->h, g->stride);
    size_t taps = (size_t)(g->kh * g->kw), kt = (size_t)g->go * taps;
    size_t forward = offset_room((size_t)g->k) + strips_size(&f);
    size_t dx = offset_room(kt) + round_up((size_t)g->c * kt) + round_up(taps) + strips_size(&d);
    return forward > dx ? forward : dx;
}

/* --- sums of products --- */

static void fill_offsets(const cx_conv *g, const cx_strip *in, ptrdiff_t *offset) {
    for (int c = 0; c < g->gc; c++)
        for (int ky = 0; ky < g->kh; ky++)
            for (int kx = 0; kx < g->kw; kx++)
                *offset++ = (((ptrdiff_t)c * in->rows + (ptrdiff_t)ky * g->dilation) * in->width +
                             (ptrdiff_t)kx * g->dilation) *
                            LANES;
}

void cx_conv_lanes_forward(cx_call *c, const cx_conv *g) {
    strips s = cut(g, of_forward, g->oh, 1);
    const cx_real *x = c->in[CX_CONV_X].value, *end = x + c->in[CX_CONV_X].size;
    const cx_real *w = c->in[CX_CONV_W].value, *bias = c->in[CX_CONV_B].value;
    ptrdiff_t *offset = (ptrdiff_t *)(void *)c->temp;
    cx_real *in = c->temp + offset_room((size_t)g->k), *out = in + cx_strip_size(&s.in);
    fill_offsets(g, &s.in, offset);
    cx_zero(in, cx_strip_size(&s.in));
    for (int n = 0; n < g->lanes; n += LANES) {
        int images = g->lanes - n < LANES ? g->lanes - n : LANES;
        for (int row = 0; row < g->oh; row += s.out.rows) {
            strips now = at_row(s, row, g->stride, 1);
            ptrdiff_t line = (ptrdiff_t)s.in.width * LANES, plane = line * s.in.rows;
            ptrdiff_t result = (ptrdiff_t)now.out.rows * g->ow * LANES;
            cx_conv_grid gr = {.rows = now.out.rows,
                               .cols = g->ow,
                               .in_row = g->stride * line,
                               .in_col = (ptrdiff_t)g->stride * LANES,
                               .out_row = (ptrdiff_t)g->ow * LANES,
                               .out_col = LANES};
            cx_strip_pack(&now.in, x + (size_t)n * (size_t)(g->c * g->h * g->w), end, images, in);
            for (int q = 0; q < g->groups; q++)
                cx_conv_correlate(&gr,
                                  (cx_conv_tile){.a = w + (ptrdiff_t)(q * g->go) * g->k,
                                                 .a_row = g->k,
                                                 .k = g->k,
                                                 .bias = bias ? bias + q * g->go : NULL,
                                                 .b = in + q * g->gc * plane,
                                                 .offset = offset,
                                                 .c = out + q * g->go * result},
                                  g->go, result);
            cx_strip_unpack(&now.out, out, images,
                            c->out[0].value + (size_t)n * (size_t)(g->out * g->p), false);
        }
    }
}

/* --- the gradient of x --- */

/* The kernel's elements that positions (y + padding) % stride = fy, ... x ... fx meet. */
typedef struct {
    int y, x;         /* first position in a strip */
    int k;            /* products of one result */
    ptrdiff_t offset; /* first of its offsets */
    size_t weight;    /* first of its weights, [c of all groups][k] */
} phase;

/* the first position >= 0 of a phase */
static int first_of(int f, int padding, int s) {
    return ((f - padding) % s + s) % s;
}

/* The kernel's elements of a phase: tap[] (of kh * kw) and their offsets in one channel. */
static int phase_taps(const cx_conv *g, const cx_strip *in, const phase *p, int *tap,
                      ptrdiff_t *at) {
    int s = g->stride, n = 0;
    for (int ky = 0; ky < g->kh; ky++)
        for (int kx = 0; kx < g->kw; kx++) {
            int y = p->y + g->padding - ky * g->dilation, x = p->x + g->padding - kx * g->dilation;
            if (y % s || x % s)
                continue;
            tap[n] = ky * g->kw + kx;
            at[n++] = ((ptrdiff_t)(y / s - in->first) * in->width + x / s + in->left) * LANES;
        }
    return n;
}

/* Fills p, its offsets and its weights [c][k]; tap: room for kh * kw. */
static void make_phase(const cx_conv *g, const cx_strip *in, const cx_real *w, ptrdiff_t *offset,
                       cx_real *wt, int *tap, phase *p) {
    int n = phase_taps(g, in, p, tap, offset);
    ptrdiff_t plane = (ptrdiff_t)in->rows * in->width * LANES, taps = (ptrdiff_t)g->kh * g->kw;
    p->k = g->go * n;
    for (int o = 1; o < g->go; o++)
        for (int i = 0; i < n; i++)
            offset[o * n + i] = offset[i] + o * plane;
    for (int q = 0; q < g->groups; q++)
        for (int c = 0; c < g->gc; c++)
            for (int o = 0; o < g->go; o++) {
                const cx_real *from = w + ((ptrdiff_t)(q * g->go + o) * g->gc + c) * taps;
                for (int i = 0; i < n; i++)
                    *wt++ = from[tap[i]];
            }
}

static int make_phases(const cx_conv *g, const cx_strip *in, const cx_real *w, ptrdiff_t *offset,
                       cx_real *wt, int *tap, phase *p) {
    int n = 0;
    ptrdiff_t at = 0;
    size_t weight = 0;
    for (int fy = 0; fy < g->stride; fy++)
        for (int fx = 0; fx < g->stride; fx++) {
            p[n] = (phase){.y = first_of(fy, g->padding, g->stride),
                           .x = first_of(fx, g->padding, g->stride),
                           .offset = at,
                           .weight = weight};
            make_phase(g, in, w, offset + at, wt + weight, tap, &p[n]);
            at += p[n].k;
            weight += (size_t)g->c * (size_t)p[n].k;
            n++;
        }
    return n;
}

static void phase_gradient(const cx_conv *g, const strips *s, const phase *p,
                           const ptrdiff_t *offset, const cx_real *wt, const cx_real *in,
                           cx_real *out) {
    int stride = g->stride;
    ptrdiff_t plane = (ptrdiff_t)s->in.rows * s->in.width * LANES;
    ptrdiff_t result = (ptrdiff_t)s->out.rows * g->w * LANES;
    cx_conv_grid gr = {.rows = (s->out.rows - p->y + stride - 1) / stride,
                       .cols = (g->w - p->x + stride - 1) / stride,
                       .in_row = (ptrdiff_t)s->in.width * LANES,
                       .in_col = LANES,
                       .out_row = (ptrdiff_t)stride * g->w * LANES,
                       .out_col = (ptrdiff_t)stride * LANES};
    for (int q = 0; q < g->groups; q++)
        cx_conv_correlate(
            &gr,
            (cx_conv_tile){.a = wt + p->weight + (ptrdiff_t)(q * g->gc) * p->k,
                           .a_row = p->k,
                           .k = p->k,
                           .b = in + q * g->go * plane,
                           .offset = offset + p->offset,
                           .c = out + q * g->gc * result + ((ptrdiff_t)p->y * g->w + p->x) * LANES},
            g->gc, result);
}

void cx_conv_lanes_input_gradient(cx_call *c, const cx_conv *g) {
    strips s = cut(g, of_input_gradient, g->h, g->stride);
    const cx_real *dy = c->out[0].grad, *end = dy + c->out[0].size;
    size_t kt = (size_t)(g->go * g->kh * g->kw);
    ptrdiff_t *offset = (ptrdiff_t *)(void *)c->temp;
    cx_real *wt = c->temp + offset_room(kt);
    int *tap = (int *)(void *)(wt + round_up((size_t)g->c * kt));
    cx_real *in = wt + round_up((size_t)g->c * kt) + round_up((size_t)(g->kh * g->kw));
    cx_real *out = in + cx_strip_size(&s.in);
    phase p[CX_CONV_STRIDE_MAX * CX_CONV_STRIDE_MAX];
    int n_phases = make_phases(g, &s.in, c->in[CX_CONV_W].value, offset, wt, tap, p);
    cx_zero(in, cx_strip_size(&s.in));
    for (int n = 0; n < g->lanes; n += LANES) {
        int images = g->lanes - n < LANES ? g->lanes - n : LANES;
        for (int row = 0; row < g->h; row += s.out.rows) {
            strips now = at_row(s, row, 1, g->stride);
            cx_strip_pack(&now.in, dy + (size_t)n * (size_t)(g->out * g->p), end, images, in);
            for (int i = 0; i < n_phases; i++)
                phase_gradient(g, &now, &p[i], offset, wt, in, out);
            cx_strip_unpack(&now.out, out, images,
                            c->in[CX_CONV_X].grad + (size_t)n * (size_t)(g->c * g->h * g->w),
                            c->in[CX_CONV_X].add);
        }
    }
}

/* --- the gradient of w --- */

/* dw of one group from rows y0 .. y0 + rows - 1 of the strips */
static void weight_products(const cx_conv *g, const strips *s, const cx_real *x, const cx_real *dy,
                            const ptrdiff_t *offset, int y0, int rows, cx_real *dw, bool add) {
    ptrdiff_t result = (ptrdiff_t)s->out.rows * g->ow * LANES;
    cx_conv_dot d = {.rows = rows,
                     .cols = g->ow,
                     .a_line = (ptrdiff_t)g->ow * LANES,
                     .b_line = (ptrdiff_t)g->stride * s->in.width * LANES,
                     .b_step = (ptrdiff_t)g->stride * LANES,
                     .c_row = g->k,
                     .add = add};
    for (int o = 0; o < g->go; o += CX_DOT_A) {
        d.n_a = g->go - o < CX_DOT_A ? g->go - o : CX_DOT_A;
        for (int i = 0; i < CX_DOT_A; i++)
            d.a[i] = dy + (o + (i < d.n_a ? i : 0)) * result + y0 * d.a_line;
        for (int k = 0; k < g->k; k += CX_DOT_B) {
            d.n_b = g->k - k < CX_DOT_B ? g->k - k : CX_DOT_B;
            for (int j = 0; j < CX_DOT_B; j++)
                d.b[j] = x + offset[k + (j < d.n_b ? j : 0)] + y0 * d.b_line;
            d.c = dw + (ptrdiff_t)o * g->k + k;
            cx_conv_dots(&d);
        }
    }
}

/* db += the sums over each channel of the packed dy */
static void bias_sums(const cx_strip *dy, const cx_real *from, cx_real *db) {
    ptrdiff_t n = (ptrdiff_t)dy->rows * dy->width;
    for (int o = 0; o < dy->channels; o++) {
        cx_vec s[4] = {{0}};
        ptrdiff_t i = 0;
        for (; i + 4 <= n; i += 4, from += 4 * LANES)
            for (int k = 0; k < 4; k++)
                s[k] += cx_vload(from + k * LANES);
        for (; i < n; i++, from += LANES)
            s[0] += cx_vload(from);
        db[o] += cx_vsum((s[0] + s[1]) + (s[2] + s[3]));
    }
}

void cx_conv_lanes_weight_gradient(cx_call *c, const cx_conv *g) {
    strips s = cut(g, of_forward, g->oh, 1);
    const cx_real *x = c->in[CX_CONV_X].value, *x_end = x + c->in[CX_CONV_X].size;
    const cx_real *dy = c->out[0].grad, *dy_end = dy + c->out[0].size;
    ptrdiff_t *offset = (ptrdiff_t *)(void *)c->temp;
    cx_real *in = c->temp + offset_room((size_t)g->k), *out = in + cx_strip_size(&s.in);
    int most = DOT_POSITIONS / g->ow > 1 ? DOT_POSITIONS / g->ow : 1;
    bool add = c->in[CX_CONV_W].add;
    fill_offsets(g, &s.in, offset);
    cx_zero(in, cx_strip_size(&s.in));
    for (int n = 0; n < g->lanes; n += LANES) {
        int images = g->lanes - n < LANES ? g->lanes - n : LANES;
        for (int row = 0; row < g->oh; row += s.out.rows) {
            strips now = at_row(s, row, g->stride, 1);
            ptrdiff_t plane = (ptrdiff_t)s.in.rows * s.in.width * LANES;
            ptrdiff_t result = (ptrdiff_t)now.out.rows * g->ow * LANES;
            cx_strip_pack(&now.in, x + (size_t)n * (size_t)(g->c * g->h * g->w), x_end, images, in);
            cx_strip_pack(&now.out, dy + (size_t)n * (size_t)(g->out * g->p), dy_end, images, out);
            if (c->in[CX_CONV_B].grad)
                bias_sums(&now.out, out, c->in[CX_CONV_B].grad);
            for (int y = 0; y < now.out.rows; y += most) {
                int rows = now.out.rows - y < most ? now.out.rows - y : most;
                for (int q = 0; q < g->groups; q++)
                    weight_products(g, &now, in + q * g->gc * plane, out + q * g->go * result,
                                    offset, y, rows,
                                    c->in[CX_CONV_W].grad + (ptrdiff_t)(q * g->go) * g->k, add);
                add = true;
            }
        }
    }
}
