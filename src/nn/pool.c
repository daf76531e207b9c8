/* Pooling over windows of [N,C,H,W]. Attributes: kernel, stride (0: the kernel),
 * padding; `global` (average only) makes the whole image one window. */
#include "nn/ops.h"
#include "nn/simd.h"

#include <string.h>

enum { LARGEST = 1 << 20 };
enum { KERNEL, STRIDE, PADDING, GLOBAL, COUNT_INCLUDE_PAD };

typedef struct {
    int planes, h, w, oh, ow, kh, kw, stride, padding;
} window;

static window read_window(const cx_call *c) {
    const cx_shape *x = &c->in[0].shape;
    window g = {.planes = x->dim[0] * x->dim[1], .h = x->dim[2], .w = x->dim[3]};
    g.kh = g.kw = (int)c->attr[KERNEL];
    g.stride = c->attr[STRIDE] > 0 ? (int)c->attr[STRIDE] : g.kh;
    g.padding = (int)c->attr[PADDING];
    if (c->op->attrs[GLOBAL].name && c->attr[GLOBAL] != 0) {
        g.kh = g.h;
        g.kw = g.w;
        g.stride = 1;
        g.padding = 0;
    }
    g.oh = (g.h + 2 * g.padding - g.kh) / g.stride + 1;
    g.ow = (g.w + 2 * g.padding - g.kw) / g.stride + 1;
    return g;
}

static int window_shape(cx_call *c, cx_error *err) {
    if (c->in[0].shape.rank != 4)
        return cx_op_fault(c, err, "x must be [N,C,H,W]");
    if (c->in[0].shape.dim[2] > LARGEST || c->in[0].shape.dim[3] > LARGEST)
        return cx_op_fault(c, err, "images of more than %d rows or columns", LARGEST);
    window g = read_window(c);
    if (g.kh > g.h + 2 * g.padding || g.kw > g.w + 2 * g.padding)
        return cx_op_fault(c, err, "kernel %d is larger than the padded image", g.kh);
    if (2 * g.padding > g.kh)
        return cx_op_fault(c, err, "padding %d is more than half of kernel %d", g.padding, g.kh);
    c->out[0].shape = CX_SHAPE(c->in[0].shape.dim[0], c->in[0].shape.dim[1], g.oh, g.ow);
    return CX_OK;
}

/* Rows (or columns) of the window at output position o that lie inside the image. */
static inline void clip(int o, int kernel, int stride, int padding, int size, int *lo, int *hi) {
    int start = o * stride - padding, end = start + kernel;
    *lo = start < 0 ? 0 : start;
    *hi = end > size ? size : end;
}

/* --- maxpool2d: padding is -inf; a tie goes to the first element; NaN wins --- */

int cx_maxpool2d_shape(cx_call *c, cx_error *err) {
    int rc = window_shape(c, err);
    if (rc == CX_OK)
        c->save_size = cx_shape_size(&c->out[0].shape); /* where each maximum was, in its plane */
    return rc;
}

/* save holds integers as wide as cx_real, so that masks of both fit in one vector */
#ifdef CX_REAL_DOUBLE
typedef int64_t place;
#else
typedef int32_t place;
#endif
typedef place place_vec __attribute__((vector_size(CX_VEC_BYTES)));
enum { LANES = CX_VEC_BYTES / sizeof(cx_real) };

static place *places(const cx_call *c) {
    return (place *)(void *)c->save;
}

static bool is_two_by_two(const window *g) {
    return g->kh == 2 && g->stride == 2 && g->padding == 0;
}

/* a NaN counts as larger than all else, and no later number replaces it */
#define MORE(v, m) (((v) > (m)) | ((v) != (v)))

static inline place_vec pick_place(place_vec mask, int a, place_vec b) {
    return (mask & ((place_vec){0} + a)) | (~mask & b);
}

/* lane i of the even (odd) ones of two vectors; and the ways back */
static inline void lane_masks(place_vec *even, place_vec *odd, place_vec *low, place_vec *high) {
    for (int i = 0; i < LANES; i++) {
        (*even)[i] = 2 * i;
        (*odd)[i] = 2 * i + 1;
        (*low)[i] = i / 2 + (i % 2 ? LANES : 0);
        (*high)[i] = LANES / 2 + i / 2 + (i % 2 ? LANES : 0);
    }
}

/* One row of 2x2 windows. Rows of 7 or 14 are shorter than a vector: results are stored
 * in whole vectors as long as they stay inside the array (x_end, y_end), what lies
 * beyond the row being written afterwards. The position is 0..3 inside the window. */
static void max_row(const cx_real *a, const cx_real *b, const cx_real *x_end, cx_real *y, place *at,
                    const cx_real *y_end, int ow) {
    place_vec even, odd, low, high;
    lane_masks(&even, &odd, &low, &high);
    int j = 0;
    for (; LANES > 1 && j < ow && x_end - (b + 2 * j) >= 2 * LANES && y_end - (y + j) >= LANES;
         j += LANES) {
        cx_vec a0 = cx_vload(a + 2 * j), a1 = cx_vload(a + 2 * j + LANES);
        cx_vec b0 = cx_vload(b + 2 * j), b1 = cx_vload(b + 2 * j + LANES);
        cx_vec m = __builtin_shuffle(a0, a1, even), v = __builtin_shuffle(a0, a1, odd);
        place_vec p = {0}, more = MORE(v, m);
        p = more & 1;
        m = CX_VPICK(more, v, m);
        v = __builtin_shuffle(b0, b1, even);
        more = MORE(v, m);
        p = pick_place(more, 2, p);
        m = CX_VPICK(more, v, m);
        v = __builtin_shuffle(b0, b1, odd);
        more = MORE(v, m);
        p = pick_place(more, 3, p);
        m = CX_VPICK(more, v, m);
        cx_vstore(y + j, m);
        memcpy(at + j, &p, sizeof p);
    }
    for (; j < ow; j++) {
        const cx_real v[4] = {a[2 * j], a[2 * j + 1], b[2 * j], b[2 * j + 1]};
        int p = 0;
        for (int k = 1; k < 4; k++)
            p = MORE(v[k], v[p]) ? k : p;
        y[j] = v[p];
        at[j] = p;
    }
}

static void max_two(const cx_call *c, const window *g) {
    const cx_real *x = c->in[0].value, *x_end = x + c->in[0].size;
    cx_real *y = c->out[0].value, *y_end = y + c->out[0].size;
    place *at = places(c);
    for (int p = 0; p < g->planes; p++, x += g->h * g->w)
        for (int i = 0; i < g->oh; i++, y += g->ow, at += g->ow)
            max_row(x + 2 * i * g->w, x + (2 * i + 1) * g->w, x_end, y, at, y_end, g->ow);
}

/* The same way back, where the windows cover the image without a rest: one row of the image,
 * that of the positions `first` and `first` + 1. What is stored beyond it is the beginning of
 * the next row, which is written afterwards. */
static void max_row_backward(const cx_real *dy, const place *at, cx_real *dx, int first,
                             const cx_real *dy_end, const cx_real *dx_end, int ow, bool add) {
    place_vec even, odd, low, high;
    lane_masks(&even, &odd, &low, &high);
    const cx_vec zero = {0};
    int j = 0;
    for (; LANES > 1 && !add && j < ow && dx_end - (dx + 2 * j) >= 2 * LANES &&
           dy_end - (dy + j) >= LANES;
         j += LANES) {
        cx_vec d = cx_vload(dy + j);
        place_vec p;
        memcpy(&p, at + j, sizeof p);
        cx_vec v0 = CX_VPICK(p == first, d, zero), v1 = CX_VPICK(p == first + 1, d, zero);
        cx_vstore(dx + 2 * j, __builtin_shuffle(v0, v1, low));
        if (2 * (ow - j) > LANES)
            cx_vstore(dx + 2 * j + LANES, __builtin_shuffle(v0, v1, high));
    }
    for (; j < ow; j++)
        for (int k = 0; k < 2; k++)
            dx[2 * j + k] = (add ? dx[2 * j + k] : 0) + (at[j] == first + k ? dy[j] : 0);
}

static void max_two_backward(const cx_call *c, const window *g) {
    const cx_real *dy = c->out[0].grad, *dy_end = dy + c->out[0].size;
    cx_real *dx = c->in[0].grad, *dx_end = dx + c->in[0].size;
    const place *at = places(c);
    bool rest = g->h % 2 || g->w % 2, add = c->in[0].add || rest;
    if (!c->in[0].add && rest)
        cx_zero(dx, (size_t)c->in[0].size);
    for (int p = 0; p < g->planes; p++, dx += g->h * g->w)
        for (int i = 0; i < g->oh; i++, dy += g->ow, at += g->ow)
            for (int k = 0; k < 2; k++) /* in this order */
                max_row_backward(dy, at, dx + (2 * i + k) * g->w, 2 * k, dy_end, dx_end, g->ow,
                                 add);
}

static void max_any(const window *g, const cx_real *x, cx_real *y, place *at) {
    for (int i = 0; i < g->oh; i++)
        for (int j = 0; j < g->ow; j++, y++, at++) {
            int y0, y1, x0, x1;
            clip(i, g->kh, g->stride, g->padding, g->h, &y0, &y1);
            clip(j, g->kw, g->stride, g->padding, g->w, &x0, &x1);
            int best = y0 * g->w + x0;
            for (int r = y0; r < y1; r++)
                for (int q = x0; q < x1; q++)
                    if (MORE(x[r * g->w + q], x[best]))
                        best = r * g->w + q;
            *at = best;
            *y = x[best];
        }
}

/* relu of the maxima: what does not pass has no place */
static void drop_negative(cx_real *restrict y, place *restrict at, int n) {
    for (int i = 0; i < n; i++) {
        at[i] = y[i] <= 0 ? -1 : at[i];
        y[i] = y[i] < 0 ? 0 : y[i];
    }
}

void cx_maxpool2d_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    window g = read_window(c);
    size_t in = (size_t)(g.h * g.w), out = (size_t)(g.oh * g.ow);
    if (is_two_by_two(&g))
        max_two(c, &g);
    else
        for (size_t p = 0; p < (size_t)g.planes; p++)
            max_any(&g, c->in[0].value + p * in, c->out[0].value + p * out, places(c) + p * out);
    if (c->relu)
        drop_negative(c->out[0].value, places(c), c->out[0].size);
}

void cx_maxpool2d_backward(cx_call *c) {
    window g = read_window(c);

    size_t in = (size_t)(g.h * g.w), out = (size_t)(g.oh * g.ow);
    if (is_two_by_two(&g)) {
        max_two_backward(c, &g);
        return;
    }
    for (size_t p = 0; p < (size_t)g.planes; p++) {
        const cx_real *dy = c->out[0].grad + p * out;
        const place *at = places(c) + p * out;
        cx_real *dx = c->in[0].grad + p * in;
        if (!c->in[0].add)
            cx_zero(dx, in);
        for (size_t i = 0; i < out; i++)
            if (at[i] >= 0)
                dx[at[i]] += dy[i];
    }
}

/* --- avgpool2d: the padding counts in the mean unless count_include_pad is 0 --- */

int cx_avgpool2d_shape(cx_call *c, cx_error *err) {
    return window_shape(c, err);
}

static cx_real share(const cx_call *c, const window *g, int inside) {
    return 1 / (cx_real)(c->attr[COUNT_INCLUDE_PAD] != 0 ? g->kh * g->kw : inside);
}

void cx_avgpool2d_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    window g = read_window(c);
    cx_real *y = c->out[0].value;
    for (int p = 0; p < g.planes; p++) {
        const cx_real *x = c->in[0].value + (size_t)p * (size_t)(g.h * g.w);
        for (int i = 0; i < g.oh; i++)
            for (int j = 0; j < g.ow; j++) {
                int y0, y1, x0, x1;
                clip(i, g.kh, g.stride, g.padding, g.h, &y0, &y1);
                clip(j, g.kw, g.stride, g.padding, g.w, &x0, &x1);
                cx_real s = 0;
                for (int r = y0; r < y1; r++)
                    for (int q = x0; q < x1; q++)
                        s += x[r * g.w + q];
                *y++ = s * share(c, &g, (y1 - y0) * (x1 - x0));
            }
    }
}

void cx_avgpool2d_backward(cx_call *c) {
    window g = read_window(c);
    const cx_real *dy = c->out[0].grad;
    if (!c->in[0].add)
        cx_zero(c->in[0].grad, (size_t)c->in[0].size);
    for (int p = 0; p < g.planes; p++) {
        cx_real *dx = c->in[0].grad + (size_t)p * (size_t)(g.h * g.w);
        for (int i = 0; i < g.oh; i++)
            for (int j = 0; j < g.ow; j++, dy++) {
                int y0, y1, x0, x1;
                clip(i, g.kh, g.stride, g.padding, g.h, &y0, &y1);
                clip(j, g.kw, g.stride, g.padding, g.w, &x0, &x1);
                cx_real v = *dy * share(c, &g, (y1 - y0) * (x1 - x0));
                for (int r = y0; r < y1; r++)
                    for (int q = x0; q < x1; q++)
                        dx[r * g.w + q] += v;
            }
    }
}
