/* batchnorm over the channels (dimension 1) of [N,C] or [N,C,...], and groupnorm.
 * Train: statistics of the batch (biased variance), and
 *     running = (1 - momentum) running + momentum batch    (unbiased variance)
 * in place; eval: the running statistics.
 *
 * Channels of many positions are gone over plane by plane, each read from memory once for
 * mean and variance; planes shorter than some vectors side by side, as columns of [N][C
 * positions], with the channels' numbers spread over them. With relu behind it (cx_call.
 * relu), backward computes the sign of the result once more from x. */
#include "nn/ops.h"
#include "nn/simd.h"

#include <math.h>

enum { EPS, MOMENTUM };
enum { X, W, B, MEAN, VAR };
enum { NARROW = 4 * CX_VEC_BYTES / sizeof(cx_real) };

/* --- numbers of a channel, and where they lie in `temp` --- */

typedef struct {
    int n, c, p; /* images, channels, positions */
    int columns; /* 0: planes; else c * p */
    bool relu;
    const cx_real *x;
    cx_real *mean, *rstd; /* [c], saved */
    /* [c], or [columns] once spread: y = (x - shift) * a + b, dx = a (dy - sum - (x -
     * shift) dot) */
    cx_real *shift, *a, *b, *sum, *dot;
} norm;
enum { ROWS_OF_TEMP = 5 };

static size_t wide(const cx_shape *x) {
    size_t p = cx_shape_size(x) / ((size_t)x->dim[0] * (size_t)x->dim[1]);
    return (size_t)x->dim[1] * (p < NARROW ? p : 1);
}

int cx_batchnorm_shape(cx_call *c, cx_error *err) {
    const cx_shape *x = &c->in[X].shape;
    if (x->rank < 2)
        return cx_op_fault(c, err, "x must be [N,C] or [N,C,...]");
    for (int k = W; k <= VAR; k++)
        if (c->in[k].ref >= 0 && (c->in[k].shape.rank != 1 || c->in[k].shape.dim[0] != x->dim[1]))
            return cx_op_fault(c, err, "%s must be [%d]", c->op->inputs[k].name, x->dim[1]);
    c->save_size = 2 * (size_t)x->dim[1]; /* mean, 1/deviation */
    c->temp_size = ROWS_OF_TEMP * wide(x);
    return cx_shape_same(c, err);
}

static norm read_norm(const cx_call *c) {
    const cx_shape *x = &c->in[X].shape;
    size_t row = wide(x);
    norm g = {.n = x->dim[0],
              .c = x->dim[1],
              .p = c->in[X].size / (x->dim[0] * x->dim[1]),
              .relu = c->relu,
              .x = c->in[X].value,
              .mean = c->save,
              .rstd = c->save + x->dim[1],
              .shift = c->temp,
              .a = c->temp + row,
              .b = c->temp + 2 * row,
              .sum = c->temp + 3 * row,
              .dot = c->temp + 4 * row};
    g.columns = g.p < NARROW ? g.c * g.p : 0;
    return g;
}

/* [c] -> [c][p] in place */
static void spread(const norm *g, cx_real *v) {
    for (int k = g->c - 1; g->columns && k >= 0; k--) {
        cx_real x = v[k];
        for (int i = 0; i < g->p; i++)
            v[k * g->p + i] = x;
    }
}

/* [c][p] -> [c], sums, in place */
static void gather(const norm *g, cx_real *v) {
    for (int k = 0; g->columns && k < g->c; k++) {
        cx_real s = 0;
        for (int i = 0; i < g->p; i++)
            s += v[k * g->p + i];
        v[k] = s;
    }
}

/* a, b and shift from mean, rstd and the parameters */
static void make_affine(const cx_call *c, const norm *g) {
    const cx_real *w = c->in[W].value, *b = c->in[B].value;
    for (int k = 0; k < g->c; k++) {
        g->shift[k] = g->mean[k];
        g->a[k] = g->rstd[k] * (w ? w[k] : 1);
        g->b[k] = b ? b[k] : 0;
    }
    spread(g, g->shift);
    spread(g, g->a);
    spread(g, g->b);
}

/* --- forward --- */

/* mean[c] and var[c] = sum of (x - mean)^2, by columns: x is small */
static void column_moments(const norm *g, cx_real *var) {
    cx_real *restrict s = g->sum, *restrict m = g->shift;
    cx_real count = (cx_real)g->n * (cx_real)g->p;
    cx_zero(s, (size_t)g->columns);
    for (int n = 0; n < g->n; n++) {
        const cx_real *restrict x = g->x + (size_t)n * (size_t)g->columns;
        for (int i = 0; i < g->columns; i++)
            s[i] += x[i];
    }
    gather(g, s);
    for (int k = 0; k < g->c; k++)
        m[k] = g->mean[k] = s[k] / count;
    spread(g, m);
    cx_zero(s, (size_t)g->columns);
    for (int n = 0; n < g->n; n++) {
        const cx_real *restrict x = g->x + (size_t)n * (size_t)g->columns;
        for (int i = 0; i < g->columns; i++)
            s[i] += (x[i] - m[i]) * (x[i] - m[i]);
    }
    gather(g, s);
    for (int k = 0; k < g->c; k++)
        var[k] = s[k];
}

/* The same, planes merged one after the other (Chan, Golub and LeVeque 1979). */
static void plane_moments(const norm *g, cx_real *var) {
    const cx_real *x = g->x;
    cx_zero(g->mean, (size_t)g->c);
    cx_zero(var, (size_t)g->c);
    for (int n = 0; n < g->n; n++) {
        cx_real seen = (cx_real)n, weight = (cx_real)g->p * seen / (seen + 1);
        for (int k = 0; k < g->c; k++, x += g->p) {
            cx_real m = cx_sum(x, g->p) / (cx_real)g->p, d = m - g->mean[k];
            g->mean[k] += d / (seen + 1);
            var[k] += cx_sum_squares(x, m, g->p) + d * d * weight;
        }
    }
}

static void batch_statistics(cx_call *c, const norm *g) {
    cx_real count = (cx_real)g->n * (cx_real)g->p, *var = g->dot;
    cx_real momentum = (cx_real)c->attr[MOMENTUM];
    if (g->columns)
        column_moments(g, var);
    else
        plane_moments(g, var);
    cx_real *rm = c->in[MEAN].value, *rv = c->in[VAR].value;
    for (int k = 0; k < g->c; k++) {
        cx_real v = var[k] / count;
        g->rstd[k] = 1 / CX_REAL(sqrt)(v + (cx_real)c->attr[EPS]);
        rm[k] += momentum * (g->mean[k] - rm[k]);
        rv[k] += momentum * (var[k] / (count > 1 ? count - 1 : 1) - rv[k]);
    }
}

static inline cx_real affine(cx_real x, cx_real shift, cx_real a, cx_real b) {
    return (x - shift) * a + b;
}

static void normalize_columns(const norm *g, cx_real *y) {
    const cx_real *restrict m = g->shift, *restrict a = g->a, *restrict b = g->b;
    for (int n = 0; n < g->n; n++) {
        const cx_real *restrict x = g->x + (size_t)n * (size_t)g->columns;
        cx_real *restrict to = y + (size_t)n * (size_t)g->columns;
        if (g->relu)
            for (int i = 0; i < g->columns; i++) {
                cx_real v = affine(x[i], m[i], a[i], b[i]);
                to[i] = v < 0 ? 0 : v;
            }
        else
            for (int i = 0; i < g->columns; i++)
                to[i] = affine(x[i], m[i], a[i], b[i]);
    }
}

static void normalize_plane(const norm *g, int k, const cx_real *restrict x, cx_real *restrict y) {
    cx_real m = g->shift[k], a = g->a[k], b = g->b[k];
    if (g->relu)
        for (int i = 0; i < g->p; i++) {
            cx_real v = affine(x[i], m, a, b);
            y[i] = v < 0 ? 0 : v;
        }
    else
        for (int i = 0; i < g->p; i++)
            y[i] = affine(x[i], m, a, b);
}

void cx_batchnorm_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    norm g = read_norm(c);
    if (c->mode == CX_TRAIN)
        batch_statistics(c, &g);
    else
        for (int k = 0; k < g.c; k++) {
            g.mean[k] = c->in[MEAN].value[k];
            g.rstd[k] = 1 / CX_REAL(sqrt)(c->in[VAR].value[k] + (cx_real)c->attr[EPS]);
        }
    make_affine(c, &g);
    if (g.columns) {
        normalize_columns(&g, c->out[0].value);
        return;
    }
    for (size_t i = 0, at = 0; i < (size_t)g.n * (size_t)g.c; i++, at += (size_t)g.p)
        normalize_plane(&g, (int)(i % (size_t)g.c), g.x + at, c->out[0].value + at);
}

/* --- backward --- */

/* what relu lets through */
static inline cx_real through(const norm *g, cx_real dy, cx_real x, cx_real shift, cx_real a,
                              cx_real b) {
    return g->relu && affine(x, shift, a, b) <= 0 ? 0 : dy;
}

/* sum[c] = sum dy, dot[c] = sum dy (x - mean), by columns */
static void column_sums(const norm *g, const cx_real *dy) {
    const cx_real *restrict m = g->shift, *restrict a = g->a, *restrict b = g->b;
    cx_real *restrict sum = g->sum, *restrict dot = g->dot;
    cx_zero(sum, (size_t)g->columns);
    cx_zero(dot, (size_t)g->columns);
    for (int n = 0; n < g->n; n++) {
        const cx_real *restrict x = g->x + (size_t)n * (size_t)g->columns;
        const cx_real *restrict d = dy + (size_t)n * (size_t)g->columns;
        for (int i = 0; i < g->columns; i++) {
            cx_real v = through(g, d[i], x[i], m[i], a[i], b[i]);
            sum[i] += v;
            dot[i] += v * (x[i] - m[i]);
        }
    }
    gather(g, sum);
    gather(g, dot);
}

/* the same of one plane, added up */
static void plane_sums(const norm *g, int k, const cx_real *x, const cx_real *dy) {
    cx_real m = g->shift[k], a = g->a[k], b = g->b[k], s = 0, t = 0;
    cx_vec mv = cx_vset(m), av = cx_vset(a), bv = cx_vset(b), zero = {0}, sv = zero, tv = zero;
    int i = 0;
    for (; i + CX_LANES <= g->p; i += CX_LANES) {
        cx_vec d = cx_vload(dy + i), off = cx_vload(x + i) - mv;
        if (g->relu)
            d = CX_VPICK(off * av + bv <= zero, zero, d);
        sv += d;
        tv = CX_VFMA(d, off, tv);
    }
    for (; i < g->p; i++) {
        cx_real d = through(g, dy[i], x[i], m, a, b);
        s += d;
        t += d * (x[i] - m);
    }
    g->sum[k] += cx_vsum(sv) + s;
    g->dot[k] += cx_vsum(tv) + t;
}

static void gradient_sums(const norm *g, const cx_real *dy) {
    if (g->columns) {
        column_sums(g, dy);
        return;
    }
    cx_zero(g->sum, (size_t)g->c);
    cx_zero(g->dot, (size_t)g->c);
    for (size_t i = 0, at = 0; i < (size_t)g->n * (size_t)g->c; i++, at += (size_t)g->p)
        plane_sums(g, (int)(i % (size_t)g->c), g->x + at, dy + at);
}

static void columns_backward(const norm *g, const cx_real *dy, cx_real *dx, bool add) {
    const cx_real *restrict m = g->shift, *restrict a = g->a, *restrict b = g->b;
    const cx_real *restrict sum = g->sum, *restrict dot = g->dot;
    for (int n = 0; n < g->n; n++) {
        const cx_real *restrict x = g->x + (size_t)n * (size_t)g->columns;
        const cx_real *restrict d = dy + (size_t)n * (size_t)g->columns;
        cx_real *restrict to = dx + (size_t)n * (size_t)g->columns;
        for (int i = 0; i < g->columns; i++) {
            cx_real v = through(g, d[i], x[i], m[i], a[i], b[i]);
            to[i] = (add ? to[i] : 0) + a[i] * (v - sum[i] - (x[i] - m[i]) * dot[i]);
        }
    }
}

static void plane_backward(const norm *g, int k, const cx_real *restrict x,
                           const cx_real *restrict dy, cx_real *restrict dx, bool add) {
    cx_real m = g->shift[k], a = g->a[k], b = g->b[k], sum = g->sum[k], dot = g->dot[k];
    for (int i = 0; i < g->p; i++) {
        cx_real v = through(g, dy[i], x[i], m, a, b);
        dx[i] = (add ? dx[i] : 0) + a * (v - sum - (x[i] - m) * dot);
    }
}

void cx_batchnorm_backward(cx_call *c) {
    norm g = read_norm(c);
    cx_real count = (cx_real)g.n * (cx_real)g.p, *dx = c->in[X].grad;
    const cx_real *dy = c->out[0].grad;
    bool train = c->mode == CX_TRAIN, add = c->in[X].add;
    make_affine(c, &g);
    gradient_sums(&g, dy);
    for (int k = 0; k < g.c; k++)
        g.dot[k] *= g.rstd[k];
    if (c->in[W].grad)
        cx_give(c->in[W].grad, g.dot, g.c, c->in[W].add);
    if (c->in[B].grad)
        cx_give(c->in[B].grad, g.sum, g.c, c->in[B].add);
    if (!dx)
        return;
    for (int k = 0; k < g.c; k++) {
        g.sum[k] = train ? g.sum[k] / count : 0;
        g.dot[k] = train ? g.dot[k] * g.rstd[k] / count : 0;
    }
    spread(&g, g.sum);
    spread(&g, g.dot);
    if (g.columns) {
        columns_backward(&g, dy, dx, add);
        return;
    }
    for (size_t i = 0, at = 0; i < (size_t)g.n * (size_t)g.c; i++, at += (size_t)g.p)
        plane_backward(&g, (int)(i % (size_t)g.c), g.x + at, dy + at, dx + at, add);
}

/* --- groupnorm: each image's channels in `groups` groups, normalized over a group --- */

enum { G_EPS, GROUPS };

int cx_groupnorm_shape(cx_call *c, cx_error *err) {
    const cx_shape *x = &c->in[X].shape;
    if (x->rank < 2 || x->dim[1] % (int)c->attr[GROUPS])
        return cx_op_fault(c, err, "x must be [N,C,...] with C a multiple of groups = %g",
                           c->attr[GROUPS]);
    for (int k = W; k <= B; k++)
        if (c->in[k].ref >= 0 && (c->in[k].shape.rank != 1 || c->in[k].shape.dim[0] != x->dim[1]))
            return cx_op_fault(c, err, "%s must be [%d]", c->op->inputs[k].name, x->dim[1]);
    c->save_size = 2 * (size_t)x->dim[0] * (size_t)c->attr[GROUPS];
    return cx_shape_same(c, err);
}

void cx_groupnorm_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    int groups = (int)c->attr[GROUPS], ch = c->in[X].shape.dim[1] / groups;
    int rows = c->in[X].shape.dim[0] * groups, n = c->in[X].size / rows, p = n / ch;
    const cx_real *w = c->in[W].value, *b = c->in[B].value;
    for (int r = 0; r < rows; r++) {
        const cx_real *x = c->in[X].value + (size_t)r * (size_t)n;
        cx_real *y = c->out[0].value + (size_t)r * (size_t)n;
        cx_real mean = cx_sum(x, n) / (cx_real)n;
        cx_real rstd =
            1 / CX_REAL(sqrt)(cx_sum_squares(x, mean, n) / (cx_real)n + (cx_real)c->attr[G_EPS]);
        c->save[2 * r] = mean;
        c->save[2 * r + 1] = rstd;
        for (int k = 0; k < ch; k++) {
            int at = r % groups * ch + k;
            cx_real a = rstd * (w ? w[at] : 1), s = b ? b[at] : 0;
            for (int i = k * p; i < (k + 1) * p; i++)
                y[i] = (x[i] - mean) * a + s;
        }
    }
}

void cx_groupnorm_backward(cx_call *c) {
    int groups = (int)c->attr[GROUPS], ch = c->in[X].shape.dim[1] / groups;
    int rows = c->in[X].shape.dim[0] * groups, n = c->in[X].size / rows, p = n / ch;
    const cx_real *w = c->in[W].value;
    cx_real *dw = c->in[W].grad, *db = c->in[B].grad;
    bool add = c->in[X].add;
    if (dw && !c->in[W].add)
        cx_zero(dw, (size_t)c->in[W].size);
    if (db && !c->in[B].add)
        cx_zero(db, (size_t)c->in[B].size);
    for (int r = 0; r < rows; r++) {
        size_t start = (size_t)r * (size_t)n;
        const cx_real *x = c->in[X].value + start, *dy = c->out[0].grad + start;
        cx_real mean = c->save[2 * r], rstd = c->save[2 * r + 1], sum = 0, dot = 0;
        for (int k = 0; k < ch; k++) {
            int at = r % groups * ch + k;
            cx_real s = cx_sum(dy + k * p, p);
            cx_real d = cx_dot_shifted(dy + k * p, x + k * p, mean, p) * rstd;
            if (dw)
                dw[at] += d;
            if (db)
                db[at] += s;
            sum += s * (w ? w[at] : 1);
            dot += d * (w ? w[at] : 1);
        }
        sum /= (cx_real)n;
        dot *= rstd / (cx_real)n;
        cx_real *dx = c->in[X].grad ? c->in[X].grad + start : NULL;
        for (int k = 0; dx && k < ch; k++) {
            cx_real a = w ? w[r % groups * ch + k] : 1;
            for (int i = k * p; i < (k + 1) * p; i++)
                dx[i] = (add ? dx[i] : 0) + rstd * (dy[i] * a - sum - (x[i] - mean) * dot);
        }
    }
}
