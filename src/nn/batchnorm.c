/* batchnorm over the channels (dimension 1) of [N,C] or [N,C,...], and groupnorm.
 * Train: statistics of the batch (biased variance), and
 *     running = (1 - momentum) running + momentum batch    (unbiased variance)
 * in place; eval: the running statistics. Sums over a channel are taken image by image. */
#include "nn/ops.h"
#include "nn/simd.h"

#include <math.h>

enum { EPS, MOMENTUM };
enum { X, W, B, MEAN, VAR };

int cx_batchnorm_shape(cx_call *c, cx_error *err) {
    const cx_shape *x = &c->in[X].shape;
    if (x->rank < 2)
        return cx_op_fault(c, err, "x must be [N,C] or [N,C,...]");
    for (int k = W; k <= VAR; k++)
        if (c->in[k].ref >= 0 && (c->in[k].shape.rank != 1 || c->in[k].shape.dim[0] != x->dim[1]))
            return cx_op_fault(c, err, "%s must be [%d]", c->op->inputs[k].name, x->dim[1]);
    c->save_size = 2 * (size_t)x->dim[1]; /* mean, 1/deviation */
    c->temp_size = 4 * (size_t)x->dim[1];
    return cx_shape_same(c, err);
}

typedef struct {
    int n, c, p; /* images, channels, positions */
    const cx_real *x;
    cx_real *mean, *rstd;
} norm;

static norm read_norm(const cx_call *c) {
    const cx_shape *x = &c->in[X].shape;
    return (norm){.n = x->dim[0],
                  .c = x->dim[1],
                  .p = c->in[X].size / (x->dim[0] * x->dim[1]),
                  .x = c->in[X].value,
                  .mean = c->save,
                  .rstd = c->save + x->dim[1]};
}

/* out[c] = sum of x, or of (x - shift[c])^2 with shift, over images and positions */
static void channel_sums(const norm *g, const cx_real *shift, cx_real *out) {
    cx_zero(out, (size_t)g->c);
    const cx_real *x = g->x;
    for (int n = 0; n < g->n; n++) {
        if (g->p == 1) {
            if (shift)
                for (int k = 0; k < g->c; k++)
                    out[k] += (x[k] - shift[k]) * (x[k] - shift[k]);
            else
                for (int k = 0; k < g->c; k++)
                    out[k] += x[k];
            x += g->c;
            continue;
        }
        for (int k = 0; k < g->c; k++, x += g->p)
            out[k] += shift ? cx_sum_squares(x, shift[k], g->p) : cx_sum(x, g->p);
    }
}

static void batch_statistics(cx_call *c, const norm *g) {
    cx_real count = (cx_real)g->n * (cx_real)g->p, *var = c->temp;
    cx_real momentum = (cx_real)c->attr[MOMENTUM];
    channel_sums(g, NULL, g->mean);
    for (int k = 0; k < g->c; k++)
        g->mean[k] /= count;
    channel_sums(g, g->mean, var);
    cx_real *rm = c->in[MEAN].value, *rv = c->in[VAR].value;
    for (int k = 0; k < g->c; k++) {
        cx_real v = var[k] / count;
        g->rstd[k] = 1 / CX_REAL(sqrt)(v + (cx_real)c->attr[EPS]);
        rm[k] += momentum * (g->mean[k] - rm[k]);
        rv[k] += momentum * (var[k] / (count > 1 ? count - 1 : 1) - rv[k]);
    }
}

void cx_batchnorm_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    norm g = read_norm(c);
    const cx_real *w = c->in[W].value, *b = c->in[B].value;
    if (c->mode == CX_TRAIN)
        batch_statistics(c, &g);
    else
        for (int k = 0; k < g.c; k++) {
            g.mean[k] = c->in[MEAN].value[k];
            g.rstd[k] = 1 / CX_REAL(sqrt)(c->in[VAR].value[k] + (cx_real)c->attr[EPS]);
        }
    cx_real *a = c->temp;
    for (int k = 0; k < g.c; k++)
        a[k] = g.rstd[k] * (w ? w[k] : 1);
    const cx_real *x = g.x;
    cx_real *y = c->out[0].value;
    for (int n = 0; n < g.n; n++) {
        for (int k = 0; g.p == 1 && k < g.c; k++)
            y[k] = (x[k] - g.mean[k]) * a[k] + (b ? b[k] : 0);
        for (int k = 0; g.p > 1 && k < g.c; k++) {
            const cx_real *restrict xk = x + (size_t)k * (size_t)g.p;
            cx_real *restrict yk = y + (size_t)k * (size_t)g.p;
            cx_real ak = a[k], mk = g.mean[k], bk = b ? b[k] : 0;
            for (int i = 0; i < g.p; i++)
                yk[i] = (xk[i] - mk) * ak + bk;
        }
        x += (size_t)g.c * (size_t)g.p;
        y += (size_t)g.c * (size_t)g.p;
    }
}

/* sum[c] = sum dy, dot[c] = sum dy xhat */
static void gradient_sums(const norm *g, const cx_real *dy, cx_real *sum, cx_real *dot) {
    cx_zero(sum, (size_t)g->c);
    cx_zero(dot, (size_t)g->c);
    const cx_real *x = g->x;
    for (int n = 0; n < g->n; n++) {
        for (int k = 0; g->p == 1 && k < g->c; k++) {
            sum[k] += dy[k];
            dot[k] += dy[k] * (x[k] - g->mean[k]);
        }
        for (int k = 0; g->p > 1 && k < g->c; k++) {
            const cx_real *xk = x + (size_t)k * (size_t)g->p, *dk = dy + (size_t)k * (size_t)g->p;
            sum[k] += cx_sum(dk, g->p);
            dot[k] += cx_dot_shifted(dk, xk, g->mean[k], g->p);
        }
        x += (size_t)g->c * (size_t)g->p;
        dy += (size_t)g->c * (size_t)g->p;
    }
    for (int k = 0; k < g->c; k++)
        dot[k] *= g->rstd[k];
}

void cx_batchnorm_backward(cx_call *c) {
    norm g = read_norm(c);
    cx_real *sum = c->temp, *dot = sum + g.c, count = (cx_real)g.n * (cx_real)g.p;
    const cx_real *w = c->in[W].value, *dy = c->out[0].grad, *x = g.x;
    bool train = c->mode == CX_TRAIN, add = c->in[X].add;
    gradient_sums(&g, dy, sum, dot);
    if (c->in[W].grad)
        cx_give(c->in[W].grad, dot, g.c, c->in[W].add);
    if (c->in[B].grad)
        cx_give(c->in[B].grad, sum, g.c, c->in[B].add);
    cx_real *dx = c->in[X].grad, *a = dot + g.c;
    if (!dx)
        return;
    for (int k = 0; k < g.c; k++) { /* dx = a (dy - sum - (x - mean) dot) */
        a[k] = g.rstd[k] * (w ? w[k] : 1);
        sum[k] = train ? sum[k] / count : 0;
        dot[k] = train ? dot[k] * g.rstd[k] / count : 0;
    }
    for (int n = 0; n < g.n; n++) {
        for (int k = 0; g.p == 1 && k < g.c; k++)
            dx[k] = (add ? dx[k] : 0) + a[k] * (dy[k] - sum[k] - (x[k] - g.mean[k]) * dot[k]);
        for (int k = 0; g.p > 1 && k < g.c; k++) {
            size_t at = (size_t)k * (size_t)g.p;
            const cx_real *restrict xk = x + at, *restrict dk = dy + at;
            cx_real *restrict to = dx + at, ak = a[k], sk = sum[k], mk = g.mean[k], tk = dot[k];
            for (int i = 0; i < g.p; i++)
                to[i] = (add ? to[i] : 0) + ak * (dk[i] - sk - (xk[i] - mk) * tk);
        }
        x += (size_t)g.c * (size_t)g.p;
        dy += (size_t)g.c * (size_t)g.p;
        dx += (size_t)g.c * (size_t)g.p;
    }
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
