/* Operators that draw random numbers in train mode: dropout and randomized leaky relu.
 * Both keep one factor per element, so backward is a product. */
#include "nn/ops.h"

enum { P };            /* dropout */
enum { LOWER, UPPER }; /* rrelu */

int cx_dropout_shape(cx_call *c, cx_error *err) {
    c->save_size = (size_t)c->in[0].size;
    return cx_shape_same(c, err);
}

/* Two elements per 32-bit number: p is honored to 1/65536. */
static void dropout_mask(cx_real *mask, int n, double p, cx_rng *rng) {
    uint32_t below = (uint32_t)(p * 65536.0 + 0.5);
    const cx_real keep[2] = {(cx_real)(1 / (1 - p)), 0};
    for (int i = 0; i < n; i += 2) {
        uint32_t u = cx_rng_u32(rng);
        mask[i] = keep[(u & 0xffff) < below];
        if (i + 1 < n)
            mask[i + 1] = keep[(u >> 16) < below];
    }
}

void cx_dropout_forward(cx_call *c, cx_rng *rng) {
    int n = c->in[0].size;
    const cx_real *x = c->in[0].value, *mask = c->save;
    cx_real *y = c->out[0].value;
    if (c->mode == CX_EVAL || c->attr[P] == 0) {
        cx_give(y, x, n, false);
        return;
    }
    dropout_mask(c->save, n, c->attr[P], rng);
    CX_IVDEP for (int i = 0; i < n; i++) y[i] = x[i] * mask[i];
}

void cx_dropout_backward(cx_call *c) {
    int n = c->in[0].size;
    const cx_real *dy = c->out[0].grad, *mask = c->save;
    cx_real *dx = c->in[0].grad;
    if (c->mode == CX_EVAL || c->attr[P] == 0)
        cx_give(dx, dy, n, c->in[0].add);
    else if (c->in[0].add)
        CX_IVDEP for (int i = 0; i < n; i++) dx[i] += dy[i] * mask[i];
    else
        CX_IVDEP for (int i = 0; i < n; i++) dx[i] = dy[i] * mask[i];
}

int cx_rrelu_shape(cx_call *c, cx_error *err) {
    if (c->attr[LOWER] > c->attr[UPPER])
        return cx_op_fault(c, err, "lower %g is above upper %g", c->attr[LOWER], c->attr[UPPER]);
    c->save_size = (size_t)c->in[0].size;
    return cx_shape_same(c, err);
}

/* Train: a fresh slope, uniform in [lower, upper), for every element that is not
 * positive; one number is drawn for every element, so that the stream's position does
 * not depend on the data. Eval: the mean slope. */
void cx_rrelu_forward(cx_call *c, cx_rng *rng) {
    int n = c->in[0].size;
    cx_real low = (cx_real)c->attr[LOWER], width = (cx_real)(c->attr[UPPER] - c->attr[LOWER]);
    cx_real mean = (cx_real)((c->attr[LOWER] + c->attr[UPPER]) / 2);
    const cx_real *x = c->in[0].value;
    cx_real *y = c->out[0].value, *f = c->save;
    for (int i = 0; i < n; i++)
        f[i] = c->mode == CX_EVAL ? mean : low + width * (cx_real)cx_rng_uniform(rng);
    CX_IVDEP for (int i = 0; i < n; i++) {
        f[i] = x[i] > 0 ? 1 : f[i];
        y[i] = x[i] * f[i];
    }
}

void cx_rrelu_backward(cx_call *c) {
    int n = c->in[0].size;
    const cx_real *dy = c->out[0].grad, *f = c->save;
    cx_real *dx = c->in[0].grad;
    bool add = c->in[0].add;
    CX_IVDEP for (int i = 0; i < n; i++) dx[i] = (add ? dx[i] : 0) + dy[i] * f[i];
}
