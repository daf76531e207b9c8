/* Losses: one number, the mean over all rows or elements (reduction 0) or their sum (1). Sums run
 * in double, the number of terms being large and the cost small beside the network. */
#include "nn/ops.h"
#include "nn/vmath.h"

/* --- cross_entropy: x [..., classes] logits, target [...] class numbers.
 * label_smoothing e: the target is (1-e) onehot + e/classes. A row whose target is
 * ignore_index does not count; a target outside 0..classes-1 makes the loss NaN. --- */

enum { LABEL_SMOOTHING, IGNORE_INDEX, CE_REDUCTION };

int cx_cross_entropy_shape(cx_call *c, cx_error *err) {
    cx_shape rows = c->in[0].shape;
    if (rows.rank < 1)
        return cx_op_fault(c, err, "x must have a last dimension of classes");
    rows.dim[--rows.rank] = 0;
    if (!cx_shape_equal(&rows, &c->in[1].shape))
        return cx_op_fault(c, err, "target must have the shape of x without its last dimension");
    c->out[0].shape = CX_SCALAR;
    c->save_size = (size_t)c->in[0].size + 1; /* softmax; what the sum is divided by */
    return CX_OK;
}

int cx_cross_entropy_check(const cx_call *c, cx_error *err) {
    return cx_index_check(c, 1, 0, cx_last_dim(&c->in[0].shape) - 1, c->attr[IGNORE_INDEX], err);
}

void cx_cross_entropy_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    int n = cx_last_dim(&c->in[0].shape), rows = c->in[0].size / n, counted = 0;
    double smooth = c->attr[LABEL_SMOOTHING], sum = 0;
    for (int r = 0; r < rows; r++) {
        const cx_real *x = c->in[0].value + (size_t)r * (size_t)n;
        int32_t t = c->in[1].index[r];
        if ((double)t == c->attr[IGNORE_INDEX])
            continue;
        counted++;
        double lse = cx_softmax_row(c->save + (size_t)r * (size_t)n, x, n);
        if (t < 0 || t >= n) {
            sum = NAN;
            continue;
        }
        double loss = (1 - smooth) * (lse - x[t]);
        for (int i = 0; smooth > 0 && i < n; i++)
            loss += smooth / n * (lse - x[i]);
        sum += loss;
    }
    double terms = c->attr[CE_REDUCTION] == 0 ? counted : 1;
    c->save[(size_t)rows * (size_t)n] = (cx_real)terms;
    c->out[0].value[0] = (cx_real)(sum / terms);
}

void cx_cross_entropy_backward(cx_call *c) {
    int n = cx_last_dim(&c->in[0].shape), rows = c->in[0].size / n;
    cx_real g = c->out[0].grad[0] / c->save[(size_t)rows * (size_t)n];
    cx_real smooth = (cx_real)c->attr[LABEL_SMOOTHING], flat = smooth / (cx_real)n;
    bool add = c->in[0].add;
    for (int r = 0; r < rows; r++) {
        const cx_real *p = c->save + (size_t)r * (size_t)n;
        cx_real *dx = c->in[0].grad + (size_t)r * (size_t)n;
        int32_t t = c->in[1].index[r];
        if ((double)t == c->attr[IGNORE_INDEX]) {
            if (!add)
                cx_zero(dx, (size_t)n);
            continue;
        }
        for (int i = 0; i < n; i++)
            dx[i] = (add ? dx[i] : 0) + g * (p[i] - flat);
        if (t >= 0 && t < n)
            dx[t] -= g * (1 - smooth);
    }
}

/* --- mse, mae, huber: x and target of one shape, target without gradient --- */

static int pair_shape(cx_call *c, cx_error *err) {
    if (!cx_shape_equal(&c->in[0].shape, &c->in[1].shape))
        return cx_op_fault(c, err, "x and target must have the same shape");
    c->out[0].shape = CX_SCALAR;
    return CX_OK;
}

static double terms(const cx_call *c, int reduction) {
    return c->attr[reduction] == 0 ? c->in[0].size : 1;
}

/* LOSS and its derivative SLOPE in terms of x, target t and d = x - t; P: a parameter,
 * SCALE: a factor, REDUCTION: which attribute that is */
#define PAIR_LOSS(f, REDUCTION, P, SCALE, LOSS, SLOPE)                                             \
    int f##_shape(cx_call *c, cx_error *err) {                                                     \
        return pair_shape(c, err);                                                                 \
    }                                                                                              \
    void f##_forward(cx_call *c, cx_rng *rng) {                                                    \
        (void)rng;                                                                                 \
        const cx_real *xs = c->in[0].value, *ts = c->in[1].value, p = (P);                         \
        (void)p;                                                                                   \
        double sum = 0;                                                                            \
        for (int i = 0; i < c->in[0].size; i++) {                                                  \
            cx_real x = xs[i], t = ts[i], d = x - t;                                               \
            (void)d;                                                                               \
            sum += (LOSS);                                                                         \
        }                                                                                          \
        c->out[0].value[0] = (cx_real)(sum / terms(c, REDUCTION) * (SCALE));                       \
    }                                                                                              \
    void f##_backward(cx_call *c) {                                                                \
        const cx_real *xs = c->in[0].value, *ts = c->in[1].value, p = (P);                         \
        (void)p;                                                                                   \
        cx_real g = c->out[0].grad[0] * (cx_real)((SCALE) / terms(c, REDUCTION));                  \
        cx_real *dx = c->in[0].grad;                                                               \
        bool add = c->in[0].add;                                                                   \
        for (int i = 0; i < c->in[0].size; i++) {                                                  \
            cx_real x = xs[i], t = ts[i], d = x - t;                                               \
            (void)d;                                                                               \
            dx[i] = (add ? dx[i] : 0) + g * (SLOPE);                                               \
        }                                                                                          \
    }

enum { DELTA, BETA, HUBER_REDUCTION }; /* smooth_l1(beta) = huber(delta = beta) / beta */
static cx_real huber_delta(const cx_call *c) {
    return (cx_real)(c->given[BETA] ? c->attr[BETA] : c->attr[DELTA]);
}

static inline cx_real absolute(cx_real d) {
    return d < 0 ? -d : d;
}

PAIR_LOSS(cx_mse, 0, 0, 1.0, d *d, 2 * d)
PAIR_LOSS(cx_mae, 0, 0, 1.0, absolute(d), d > 0 ? 1 : (d < 0 ? -1 : d)) /* d: 0, or NaN */
PAIR_LOSS(cx_huber, HUBER_REDUCTION, huber_delta(c), (c->given[BETA] ? 1 / c->attr[BETA] : 1),
          absolute(d) > p ? p * (absolute(d) - (cx_real)0.5 * p) : (cx_real)0.5 * d * d,
          d > p ? p : (d < -p ? -p : d))

/* max(x, 0) - x t + log(1 + exp(-|x|)): no overflow, no log of zero */
PAIR_LOSS(cx_bce_with_logits, 0, 0, 1.0, (x < 0 ? 0 : x) - x * t + cx_log1p(cx_exp(x < 0 ? x : -x)),
          cx_sigmoid(x) - t)
