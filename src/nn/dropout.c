/* Operators that draw random numbers in train mode: dropout and randomized leaky relu.
 * Both keep one factor per element, so backward is a product. */
#include "base/draw.h"
#include "nn/ops.h"

enum { P };            /* dropout */
enum { LOWER, UPPER }; /* rrelu */

int cx_dropout_shape(cx_call *c, cx_error *err) {
    c->save_size = (size_t)c->in[0].size;
    return cx_shape_same(c, err);
}

enum { DRAWN = 512 }; /* numbers drawn at once */

/* Two elements per 32-bit number, its lower half first: p is honored to 1/65536. */
void cx_dropout_forward(cx_call *c, cx_rng *rng) {
    int n = c->in[0].size;
    const cx_real *x = c->in[0].value;
    cx_real *y = c->out[0].value, *mask = c->save;
    if (c->mode == CX_EVAL || c->attr[P] == 0) {
        cx_give(y, x, n, false);
        return;
    }
    uint32_t drawn[DRAWN], below = (uint32_t)(c->attr[P] * 65536.0 + 0.5);
    uint16_t half[2 * DRAWN]; /* the same bytes: machines are little-endian */
    const cx_real keep = (cx_real)(1 / (1 - c->attr[P]));
    for (int at = 0; at < n; at += 2 * DRAWN, x += 2 * DRAWN, y += 2 * DRAWN, mask += 2 * DRAWN) {
        int some = n - at < 2 * DRAWN ? n - at : 2 * DRAWN;
        cx_draw(rng, drawn, (size_t)(some + 1) / 2);
        memcpy(half, drawn, (size_t)(some + 1) / 2 * sizeof *drawn);
        for (int i = 0; i < some; i++)
            mask[i] = half[i] < below ? 0 : keep;
        CX_IVDEP for (int i = 0; i < some; i++) y[i] = x[i] * mask[i];
    }
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

/* in [0, 1] */
static inline cx_real unit(uint32_t drawn) {
    return (cx_real)drawn * (cx_real)(1.0 / 4294967296.0);
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
    uint32_t drawn[DRAWN];
    for (int at = 0; at < n; at += DRAWN) {
        int some = n - at < DRAWN ? n - at : DRAWN;
        if (c->mode == CX_TRAIN)
            cx_draw(rng, drawn, (size_t)some);
        for (int i = 0; i < some; i++)
            f[at + i] = c->mode == CX_EVAL ? mean : low + width * unit(drawn[i]);
    }
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
