/* Losses: one number, the mean over all rows or elements. Sums run in double, the
 * number of terms being large and the cost small beside the network. */
#include "nn/ops.h"
#include "nn/vmath.h"

/* --- cross_entropy: x [..., classes] logits, target [...] class numbers.
 * label_smoothing e: the target is (1-e) onehot + e/classes. A row whose target is
 * ignore_index does not count; a target outside 0..classes-1 makes the loss NaN. --- */

enum { LABEL_SMOOTHING, IGNORE_INDEX };

int cx_cross_entropy_shape(cx_call *c, cx_error *err) {
    cx_shape rows = c->in[0].shape;
    if (rows.rank < 1)
        return cx_op_fault(c, err, "x must have a last dimension of classes");
    rows.dim[--rows.rank] = 0;
    if (!cx_shape_equal(&rows, &c->in[1].shape))
        return cx_op_fault(c, err, "target must have the shape of x without its last dimension");
    c->out[0].shape = CX_SCALAR;
    c->save_size = (size_t)c->in[0].size + 1; /* softmax; number of rows that count */
    return CX_OK;
}

int cx_cross_entropy_check(const cx_call *c, cx_error *err) {
    return cx_index_check(c, 1, 0, cx_last_dim(&c->in[0].shape) - 1, c->attr[IGNORE_INDEX], err);
}

/* softmax of one row into p; returns log sum exp */
static cx_real row_softmax(cx_real *restrict p, const cx_real *restrict x, int n) {
    cx_real m = x[0];
    for (int i = 1; i < n; i++)
        m = x[i] > m ? x[i] : m;
    cx_real shift = isinf(m) && m < 0 ? 0 : m;
    for (int i = 0; i < n; i++)
        p[i] = cx_exp(x[i] - shift);
    cx_real s = 0;
    for (int i = 0; i < n; i++)
        s += p[i];
    cx_real f = 1 / s;
    for (int i = 0; i < n; i++)
        p[i] *= f;
    return shift + cx_log(s);
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
        double lse = row_softmax(c->save + (size_t)r * (size_t)n, x, n);
        if (t < 0 || t >= n) {
            sum = NAN;
            continue;
        }
        double loss = (1 - smooth) * (lse - x[t]);
        for (int i = 0; smooth > 0 && i < n; i++)
            loss += smooth / n * (lse - x[i]);
        sum += loss;
    }
    c->save[(size_t)rows * (size_t)n] = (cx_real)counted;
    c->out[0].value[0] = (cx_real)(sum / counted);
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

/* LOSS in terms of d = x - target, SLOPE its derivative; p: the first number below */
#define PAIR_LOSS(f, P, SCALE, LOSS, SLOPE)                                                        \
    int f##_shape(cx_call *c, cx_error *err) {                                                     \
        return pair_shape(c, err);                                                                 \
    }                                                                                              \
    void f##_forward(cx_call *c, cx_rng *rng) {                                                    \
        (void)rng;                                                                                 \
        const cx_real *x = c->in[0].value, *t = c->in[1].value, p = (P);                           \
        (void)p;                                                                                   \
        double sum = 0;                                                                            \
        for (int i = 0; i < c->in[0].size; i++) {                                                  \
            cx_real d = x[i] - t[i];                                                               \
            sum += (LOSS);                                                                         \
        }                                                                                          \
        c->out[0].value[0] = (cx_real)(sum / c->in[0].size * (SCALE));                             \
    }                                                                                              \
    void f##_backward(cx_call *c) {                                                                \
        const cx_real *x = c->in[0].value, *t = c->in[1].value, p = (P);                           \
        (void)p;                                                                                   \
        cx_real g = c->out[0].grad[0] / (cx_real)c->in[0].size * (cx_real)(SCALE);                 \
        cx_real *dx = c->in[0].grad;                                                               \
        bool add = c->in[0].add;                                                                   \
        for (int i = 0; i < c->in[0].size; i++) {                                                  \
            cx_real d = x[i] - t[i];                                                               \
            dx[i] = (add ? dx[i] : 0) + g * (SLOPE);                                               \
        }                                                                                          \
    }

enum { DELTA, BETA }; /* smooth_l1(beta) = huber(delta = beta) / beta */
static cx_real huber_delta(const cx_call *c) {
    return (cx_real)(c->given[BETA] ? c->attr[BETA] : c->attr[DELTA]);
}

static inline cx_real absolute(cx_real d) {
    return d < 0 ? -d : d;
}

PAIR_LOSS(cx_mse, 0, 1, d *d, 2 * d)
PAIR_LOSS(cx_mae, 0, 1, absolute(d), d > 0 ? 1 : (d < 0 ? -1 : d)) /* d: 0, or NaN */
PAIR_LOSS(cx_huber, huber_delta(c), (c->given[BETA] ? 1 / c->attr[BETA] : 1),
          absolute(d) > p ? p * (absolute(d) - (cx_real)0.5 * p) : (cx_real)0.5 * d * d,
          d > p ? p : (d < -p ? -p : d))
