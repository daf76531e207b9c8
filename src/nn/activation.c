/* Elementwise functions of one array. Each is one line of forward and one of backward;
 * where the derivative follows from y alone the operator may work in place. A NaN
 * passes through: comparisons are written so that it takes the branch that keeps it. */
#include "nn/ops.h"
#include "nn/vmath.h"

/* FORWARD in terms of x, BACKWARD (the derivative times dy) in terms of x, y and dy;
 * p and q are the first two attributes. x, y and the gradients may be the same memory. */
#define ACTIVATION(f, FORWARD, BACKWARD)                                                           \
    void f##_forward(cx_call *c, cx_rng *rng) {                                                    \
        (void)rng;                                                                                 \
        const cx_real p = (cx_real)c->attr[0];                                                     \
        (void)p;                                                                                   \
        const cx_real *xs = c->in[0].value;                                                        \
        cx_real *ys = c->out[0].value;                                                             \
        CX_IVDEP for (int i = 0, n = c->in[0].size; i < n; i++) {                                  \
            cx_real x = xs[i];                                                                     \
            ys[i] = (FORWARD);                                                                     \
        }                                                                                          \
    }                                                                                              \
    void f##_backward(cx_call *c) {                                                                \
        const cx_real p = (cx_real)c->attr[0];                                                     \
        (void)p;                                                                                   \
        const cx_real *xs = c->in[0].value, *ys = c->out[0].value, *dys = c->out[0].grad;          \
        cx_real *dx = c->in[0].grad;                                                               \
        int n = c->in[0].size;                                                                     \
        if (c->in[0].add) {                                                                        \
            CX_IVDEP for (int i = 0; i < n; i++) {                                                 \
                cx_real x = xs[i], y = ys[i], dy = dys[i];                                         \
                (void)x, (void)y;                                                                  \
                dx[i] += (BACKWARD);                                                               \
            }                                                                                      \
        } else {                                                                                   \
            CX_IVDEP for (int i = 0; i < n; i++) {                                                 \
                cx_real x = xs[i], y = ys[i], dy = dys[i];                                         \
                (void)x, (void)y;                                                                  \
                dx[i] = (BACKWARD);                                                                \
            }                                                                                      \
        }                                                                                          \
    }
static inline cx_real gelu_density(cx_real x) {
    return (cx_real)0.3989422804014327 * cx_exp((cx_real)-0.5 * x * x);
}
static inline cx_real gelu_cdf(cx_real x) {
    return (cx_real)0.5 * (1 + cx_erf(x * (cx_real)0.7071067811865476));
}
/* x * 0 where x is infinite: the limit */
static inline cx_real times_tail(cx_real x, cx_real tail) {
    return tail == 0 ? 0 : x * tail;
}
/* (1 + tanh u) / 2 = s(2u); the slope needs s (1 - s) without cancellation */
static inline cx_real gelu_u2(cx_real x) {
    return (cx_real)1.5957691216057308 * (x + (cx_real)0.044715 * x * x * x);
}
static inline cx_real gelu_tanh_slope(cx_real x) {
    cx_real u = gelu_u2(x), e = cx_exp(u > 0 ? -u : u), f = 1 / (1 + e);
    cx_real du = (cx_real)1.5957691216057308 * (1 + (cx_real)0.134145 * x * x);
    return (u > 0 ? f : e * f) + times_tail(x * du, e * f * f);
}
static inline cx_real silu_slope(cx_real x) {
    cx_real s = cx_sigmoid(x);
    return s + times_tail(x, s) * (1 - s);
}

ACTIVATION(cx_relu, x < 0 ? 0 : x, y <= 0 ? 0 : dy)
/* the sign of y tells the sign of x, the slope being non-negative */
ACTIVATION(cx_leaky_relu, x > 0 ? x : x * p, y > 0 ? dy : dy * p)
ACTIVATION(cx_elu, x > 0 ? x : p * cx_expm1(x), y > 0 ? dy : dy * (y + p))
ACTIVATION(cx_celu, x > 0 ? x : p * cx_expm1(x / p), y > 0 ? dy : dy * (y / p + 1))
ACTIVATION(cx_tanh_act, cx_tanh(x), dy *(1 - y * y))
ACTIVATION(cx_sigmoid_act, cx_sigmoid(x), dy *(y *(1 - y)))
ACTIVATION(cx_silu, times_tail(x, cx_sigmoid(x)), dy *silu_slope(x))
ACTIVATION(cx_gelu_erf, times_tail(x, gelu_cdf(x)),
           dy *(gelu_cdf(x) + times_tail(x, gelu_density(x))))
ACTIVATION(cx_gelu_tanh, times_tail(x, cx_sigmoid(gelu_u2(x))), dy *gelu_tanh_slope(x))
ACTIVATION(cx_scale, x *p, dy *p)

/* --- prelu: a [1], or [channels] along dimension 1 of x --- */

int cx_prelu_shape(cx_call *c, cx_error *err) {
    const cx_shape *x = &c->in[0].shape, *a = &c->in[1].shape;
    if (a->rank != 1 || (a->dim[0] != 1 && (x->rank < 2 || a->dim[0] != x->dim[1])))
        return cx_op_fault(c, err, "a must be [1] or [channels], channels = dimension 1 of x");
    return cx_shape_same(c, err);
}

/* runs of `inner` numbers share one slope */
static int prelu_inner(const cx_call *c) {
    const cx_shape *x = &c->in[0].shape;
    if (c->in[1].size == 1)
        return c->in[0].size;
    return c->in[0].size / (x->dim[0] * x->dim[1]);
}

void cx_prelu_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    int inner = prelu_inner(c), runs = c->in[0].size / inner, channels = c->in[1].size;
    if (inner == 1) { /* slopes run along the row */
        for (int r = 0; r < runs / channels; r++) {
            const cx_real *x = c->in[0].value + r * channels, *a = c->in[1].value;
            cx_real *y = c->out[0].value + r * channels;
            for (int i = 0; i < channels; i++)
                y[i] = x[i] > 0 ? x[i] : x[i] * a[i];
        }
        return;
    }
    for (int r = 0; r < runs; r++) {
        const cx_real *x = c->in[0].value + (size_t)r * (size_t)inner;
        cx_real *y = c->out[0].value + (size_t)r * (size_t)inner, a = c->in[1].value[r % channels];
        for (int i = 0; i < inner; i++)
            y[i] = x[i] > 0 ? x[i] : x[i] * a;
    }
}

static void prelu_backward_rows(cx_call *c, cx_real *da) {
    int channels = c->in[1].size, rows = c->in[0].size / channels;
    const cx_real *a = c->in[1].value;
    for (int r = 0; r < rows; r++) {
        const cx_real *x = c->in[0].value + r * channels, *dy = c->out[0].grad + r * channels;
        cx_real *dx = c->in[0].grad ? c->in[0].grad + r * channels : NULL;
        bool add = c->in[0].add;
        for (int i = 0; dx && i < channels; i++)
            dx[i] = (add ? dx[i] : 0) + (x[i] > 0 ? dy[i] : dy[i] * a[i]);
        for (int i = 0; da && i < channels; i++)
            da[i] += x[i] > 0 ? 0 : x[i] * dy[i];
    }
}

void cx_prelu_backward(cx_call *c) {
    int inner = prelu_inner(c), runs = c->in[0].size / inner, channels = c->in[1].size;
    cx_real *da = c->in[1].grad;
    if (da && !c->in[1].add)
        cx_zero(da, (size_t)channels);
    if (inner == 1) {
        prelu_backward_rows(c, da);
        return;
    }
    bool add = c->in[0].add;
    for (int r = 0; r < runs; r++) {
        size_t at = (size_t)r * (size_t)inner;
        const cx_real *x = c->in[0].value + at, *dy = c->out[0].grad + at;
        cx_real *dx = c->in[0].grad ? c->in[0].grad + at : NULL, a = c->in[1].value[r % channels];
        for (int i = 0; dx && i < inner; i++)
            dx[i] = (add ? dx[i] : 0) + (x[i] > 0 ? dy[i] : dy[i] * a);
        cx_real lane[16] = {0}; /* independent sums, so that the loop can be vectorized */
        for (int i = 0; da && i < inner; i += 16) {
            int n = inner - i < 16 ? inner - i : 16;
            for (int k = 0; k < n; k++)
                lane[k] += x[i + k] > 0 ? 0 : x[i + k] * dy[i + k];
        }
        for (int k = 0; da && k < 16; k++)
            da[r % channels] += lane[k];
    }
}
