/* softmax and log_softmax over the last dimension; embedding. */
#include "nn/ops.h"
#include "nn/simd.h"
#include "nn/vmath.h"

#include <math.h>
#include <string.h>

static cx_real row_max(const cx_real *x, int n) {
    cx_real m = cx_largest(x, n);
    return isinf(m) && m < 0 ? 0 : m; /* a row of -inf: exp gives zeros, the result is NaN */
}

static int last_shape(cx_call *c, cx_error *err) {
    if (c->in[0].shape.rank < 1)
        return cx_op_fault(c, err, "x must have a last dimension");
    return cx_shape_same(c, err);
}

int cx_softmax_shape(cx_call *c, cx_error *err) {
    return last_shape(c, err);
}

void cx_softmax_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    int n = cx_last_dim(&c->in[0].shape), rows = c->in[0].size / n;
    for (int r = 0; r < rows; r++)
        cx_softmax_row(c->out[0].value + (size_t)r * (size_t)n,
                       c->in[0].value + (size_t)r * (size_t)n, n);
}

cx_real cx_softmax_row(cx_real *y, const cx_real *x, int n) {
    cx_real m = row_max(x, n);
    CX_IVDEP for (int i = 0; i < n; i++) y[i] = cx_exp(x[i] - m);
    cx_real s = cx_sum(y, n), f = 1 / s;
    for (int i = 0; i < n; i++)
        y[i] *= f;
    return m + cx_log(s);
}

void cx_softmax_backward(cx_call *c) {
    int n = cx_last_dim(&c->in[0].shape), rows = c->in[0].size / n;
    bool add = c->in[0].add;
    for (int r = 0; r < rows; r++) {
        size_t at = (size_t)r * (size_t)n;
        const cx_real *y = c->out[0].value + at, *dy = c->out[0].grad + at;
        cx_real *dx = c->in[0].grad + at, dot = cx_dot(y, dy, n);
        CX_IVDEP for (int i = 0; i < n; i++) dx[i] = (add ? dx[i] : 0) + y[i] * (dy[i] - dot);
    }
}

int cx_log_softmax_shape(cx_call *c, cx_error *err) {
    return last_shape(c, err);
}

void cx_log_softmax_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    int n = cx_last_dim(&c->in[0].shape), rows = c->in[0].size / n;
    for (int r = 0; r < rows; r++) {
        const cx_real *x = c->in[0].value + (size_t)r * (size_t)n;
        cx_real *y = c->out[0].value + (size_t)r * (size_t)n, m = row_max(x, n);
        cx_real lane[16] = {0}, s = 0; /* independent sums, so that the loop can be vectorized */
        for (int i = 0; i < n; i += 16)
            for (int k = 0, e = n - i < 16 ? n - i : 16; k < e; k++)
                lane[k] += cx_exp(x[i + k] - m);
        for (int k = 0; k < 16; k++)
            s += lane[k];
        cx_real shift = m + cx_log(s);
        CX_IVDEP for (int i = 0; i < n; i++) y[i] = x[i] - shift;
    }
}

void cx_log_softmax_backward(cx_call *c) {
    int n = cx_last_dim(&c->in[0].shape), rows = c->in[0].size / n;
    bool add = c->in[0].add;
    for (int r = 0; r < rows; r++) {
        size_t at = (size_t)r * (size_t)n;
        const cx_real *y = c->out[0].value + at, *dy = c->out[0].grad + at;
        cx_real *dx = c->in[0].grad + at, sum = cx_sum(dy, n);
        CX_IVDEP for (int i = 0; i < n; i++) dx[i] = (add ? dx[i] : 0) + dy[i] - cx_exp(y[i]) * sum;
    }
}

/* --- embedding: idx [...] of row numbers of w [rows, width] -> [..., width] --- */

enum { IDX, W };

int cx_embedding_shape(cx_call *c, cx_error *err) {
    const cx_shape *w = &c->in[W].shape, *idx = &c->in[IDX].shape;
    if (w->rank != 2 || idx->rank >= CX_RANK_MAX)
        return cx_op_fault(c, err, "w must be [rows,width], idx of at most %d dimensions",
                           CX_RANK_MAX - 1);
    c->out[0].shape = *idx;
    c->out[0].shape.dim[c->out[0].shape.rank++] = w->dim[1];
    return CX_OK;
}

int cx_embedding_check(const cx_call *c, cx_error *err) {
    return cx_index_check(c, IDX, 0, c->in[W].shape.dim[0] - 1, 0, err);
}

void cx_embedding_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    int rows = c->in[W].shape.dim[0], n = c->in[W].shape.dim[1];
    for (int i = 0; i < c->in[IDX].size; i++) {
        cx_real *y = c->out[0].value + (size_t)i * (size_t)n;
        int32_t r = c->in[IDX].index[i];
        if (r >= 0 && r < rows)
            memcpy(y, c->in[W].value + (size_t)r * (size_t)n, (size_t)n * sizeof *y);
        else
            for (int k = 0; k < n; k++)
                y[k] = NAN;
    }
}

void cx_embedding_backward(cx_call *c) {
    int rows = c->in[W].shape.dim[0], n = c->in[W].shape.dim[1];
    cx_real *dw = c->in[W].grad;
    if (!c->in[W].add)
        cx_zero(dw, (size_t)c->in[W].size);
    for (int i = 0; i < c->in[IDX].size; i++) {
        int32_t r = c->in[IDX].index[i];
        if (r >= 0 && r < rows)
            cx_give(dw + (size_t)r * (size_t)n, c->out[0].grad + (size_t)i * (size_t)n, n, true);
    }
}
