/* Normalizations. Backward recomputes the normalized value from x, mean and rstd, which
 * costs less than keeping it in memory. */
#include "nn/ops.h"
#include "nn/simd.h"

#include <math.h>

/* --- layernorm: over the last `dims` dimensions; w, b have their shape --- */

enum { EPS, DIMS };
enum { X, W, B };

int cx_layernorm_shape(cx_call *c, cx_error *err) {
    const cx_shape *x = &c->in[X].shape;
    int dims = (int)c->attr[DIMS];
    if (x->rank < dims)
        return cx_op_fault(c, err, "x needs at least dims = %d dimensions", dims);
    cx_shape tail = {.rank = dims};
    for (int i = 0; i < dims; i++)
        tail.dim[i] = x->dim[x->rank - dims + i];
    for (int k = W; k <= B; k++)
        if (c->in[k].ref >= 0 && !cx_shape_equal(&tail, &c->in[k].shape)) {
            char text[64];
            return cx_op_fault(c, err, "w and b must be %s",
                               cx_shape_text(&tail, text, sizeof text));
        }
    c->save_size = 2 * (size_t)c->in[X].size / cx_shape_size(&tail); /* mean, rstd of each row */
    return cx_shape_same(c, err);
}

static int norm_cols(const cx_call *c) {
    int cols = 1;
    for (int i = 0; i < (int)c->attr[DIMS]; i++)
        cols *= c->in[X].shape.dim[c->in[X].shape.rank - 1 - i];
    return cols;
}

void cx_layernorm_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    int cols = norm_cols(c), rows = c->in[X].size / cols;
    const cx_real *w = c->in[W].value, *b = c->in[B].value;
    for (int r = 0; r < rows; r++) {
        const cx_real *restrict x = c->in[X].value + (size_t)r * (size_t)cols;
        cx_real *restrict y = c->out[0].value + (size_t)r * (size_t)cols;
        cx_real mean = cx_sum(x, cols) / (cx_real)cols;
        cx_real var = cx_sum_squares(x, mean, cols) / (cx_real)cols;
        cx_real rstd = 1 / CX_REAL(sqrt)(var + (cx_real)c->attr[EPS]);
        c->save[2 * r] = mean, c->save[2 * r + 1] = rstd;
        if (w && b)
            for (int i = 0; i < cols; i++)
                y[i] = (x[i] - mean) * rstd * w[i] + b[i];
        else
            for (int i = 0; i < cols; i++)
                y[i] = (x[i] - mean) * rstd * (w ? w[i] : 1) + (b ? b[i] : 0);
    }
}

/* dx of one row: rstd (g - mean(g) - xhat mean(g xhat)), g = dy w */
static void norm_row_backward(const cx_real *restrict x, const cx_real *restrict dy,
                              const cx_real *restrict w, cx_real mean, cx_real rstd, int cols,
                              cx_real *restrict dx, bool add) {
    cx_vec s1 = {0}, s2 = {0}, mv = cx_vset(mean);
    int i = 0;
    for (; i + CX_LANES <= cols; i += CX_LANES) {
        cx_vec g = cx_vload(dy + i) * (w ? cx_vload(w + i) : cx_vset(1));
        s1 += g;
        s2 = CX_VFMA(g, cx_vload(x + i) - mv, s2);
    }
    cx_real sum = cx_vsum(s1), dot = cx_vsum(s2);
    for (; i < cols; i++) {
        cx_real g = dy[i] * (w ? w[i] : 1);
        sum += g;
        dot += g * (x[i] - mean);
    }
    sum /= (cx_real)cols;
    dot *= rstd * rstd / (cx_real)cols;
    for (i = 0; i < cols; i++) {
        cx_real v = rstd * (dy[i] * (w ? w[i] : 1) - sum - (x[i] - mean) * dot);
        dx[i] = (add ? dx[i] : 0) + v;
    }
}

void cx_layernorm_backward(cx_call *c) {
    int cols = norm_cols(c), rows = c->in[X].size / cols;
    cx_real *dw = c->in[W].grad, *dx = c->in[X].grad;
    if (dw && !c->in[W].add)
        cx_zero(dw, (size_t)cols);
    if (c->in[B].grad)
        cx_rows_sum(c->in[B].grad, c->out[0].grad, rows, cols, c->in[B].add);
    for (int r = 0; r < rows; r++) {
        size_t at = (size_t)r * (size_t)cols;
        const cx_real *x = c->in[X].value + at, *dy = c->out[0].grad + at;
        cx_real mean = c->save[2 * r], rstd = c->save[2 * r + 1];
        for (int i = 0; dw && i < cols; i++)
            dw[i] += dy[i] * (x[i] - mean) * rstd;
        if (dx)
            norm_row_backward(x, dy, c->in[W].value, mean, rstd, cols, dx + at, c->in[X].add);
    }
}
