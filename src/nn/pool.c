/* Pooling over windows of [N,C,H,W]. Attributes: kernel, stride (0: the kernel),
 * padding; `global` (average only) makes the whole image one window. */
#include "nn/ops.h"

#include <math.h>

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

/* save holds int32 positions: no larger than cx_real, and read only as int32 */
static int32_t *places(const cx_call *c) {
    return (int32_t *)(void *)c->save;
}

static bool is_two_by_two(const window *g) {
    return g->kh == 2 && g->stride == 2 && g->padding == 0;
}

/* The common window, without branches; the position is 0..3 inside the window. */
static void max_two(const window *g, const cx_real *restrict x, cx_real *restrict y,
                    int32_t *restrict at) {
    for (int i = 0; i < g->oh; i++, y += g->ow, at += g->ow) {
        const cx_real *a = x + 2 * i * g->w, *b = a + g->w;
        for (int j = 0; j < g->ow; j++) {
            cx_real m = a[2 * j], v = a[2 * j + 1];
            int32_t p = 0;
            p = !(v <= m) && m == m ? 1 : p;
            m = !(v <= m) && m == m ? v : m;
            v = b[2 * j];
            p = !(v <= m) && m == m ? 2 : p;
            m = !(v <= m) && m == m ? v : m;
            v = b[2 * j + 1];
            p = !(v <= m) && m == m ? 3 : p;
            m = !(v <= m) && m == m ? v : m;
            y[j] = m;
            at[j] = p;
        }
    }
}

static void max_two_backward(const window *g, const cx_real *restrict dy,
                             const int32_t *restrict at, cx_real *restrict dx, bool add) {
    if (!add && (g->h % 2 || g->w % 2))
        cx_zero(dx, (size_t)(g->h * g->w));
    for (int i = 0; i < g->oh; i++, dy += g->ow, at += g->ow) {
        cx_real *restrict a = dx + 2 * i * g->w, *restrict b = a + g->w;
        if (add)
            for (int j = 0; j < g->ow; j++) {
                a[2 * j] += at[j] == 0 ? dy[j] : 0;
                a[2 * j + 1] += at[j] == 1 ? dy[j] : 0;
                b[2 * j] += at[j] == 2 ? dy[j] : 0;
                b[2 * j + 1] += at[j] == 3 ? dy[j] : 0;
            }
        else
            for (int j = 0; j < g->ow; j++) {
                a[2 * j] = at[j] == 0 ? dy[j] : 0;
                a[2 * j + 1] = at[j] == 1 ? dy[j] : 0;
                b[2 * j] = at[j] == 2 ? dy[j] : 0;
                b[2 * j + 1] = at[j] == 3 ? dy[j] : 0;
            }
    }
}

static void max_any(const window *g, const cx_real *x, cx_real *y, int32_t *at) {
    for (int i = 0; i < g->oh; i++)
        for (int j = 0; j < g->ow; j++, y++, at++) {
            int y0, y1, x0, x1;
            clip(i, g->kh, g->stride, g->padding, g->h, &y0, &y1);
            clip(j, g->kw, g->stride, g->padding, g->w, &x0, &x1);
            int best = y0 * g->w + x0;
            for (int r = y0; r < y1; r++)
                for (int q = x0; q < x1; q++)
                    if (!(x[r * g->w + q] <= x[best]) && x[best] == x[best])
                        best = r * g->w + q;
            *at = best;
            *y = x[best];
        }
}

void cx_maxpool2d_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    window g = read_window(c);
    size_t in = (size_t)(g.h * g.w), out = (size_t)(g.oh * g.ow);
    for (size_t p = 0; p < (size_t)g.planes; p++)
        (is_two_by_two(&g) ? max_two : max_any)(&g, c->in[0].value + p * in,
                                                c->out[0].value + p * out, places(c) + p * out);
}

void cx_maxpool2d_backward(cx_call *c) {
    window g = read_window(c);
    size_t in = (size_t)(g.h * g.w), out = (size_t)(g.oh * g.ow);
    for (size_t p = 0; p < (size_t)g.planes; p++) {
        const cx_real *dy = c->out[0].grad + p * out;
        const int32_t *at = places(c) + p * out;
        cx_real *dx = c->in[0].grad + p * in;
        if (is_two_by_two(&g)) {
            max_two_backward(&g, dy, at, dx, c->in[0].add);
            continue;
        }
        if (!c->in[0].add)
            cx_zero(dx, in);
        for (size_t i = 0; i < out; i++)
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
