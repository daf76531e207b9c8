/* causal_attention (GPT's): qkv = x Wqkv^T + bqkv, split into q, k, v of width D; head h
 * takes columns h D/heads ..; scores q k^T / sqrt(D/heads), position i sees j <= i;
 * y = concat(heads) Wo^T + bo. x [B,T,D], wqkv [3D,D], wo [D,D]; second output: the
 * attention weights [B,heads,T,T], zero above the diagonal. */
#include "nn/ops.h"

#include <math.h>
#include <string.h>

enum { X, W_QKV, B_QKV, W_O, B_O };
enum { Y, ATTN };

typedef struct {
    int B, T, D, heads, d;
    cx_real scale;
    cx_real *qkv, *mix; /* [B,T,3D]; concat(heads) [B,T,D] */
} geometry;

static geometry read_geometry(const cx_call *c) {
    const cx_shape *x = &c->in[X].shape;
    geometry g = {.B = x->dim[0], .T = x->dim[1], .D = x->dim[2], .heads = (int)c->attr[0]};
    g.d = g.D / g.heads;
    g.scale = (cx_real)(1 / sqrt((double)g.d));
    g.qkv = c->save;
    if (g.qkv)
        g.mix = g.qkv + 3 * (size_t)c->in[X].size;
    return g;
}

int cx_causal_attention_shape(cx_call *c, cx_error *err) {
    const cx_shape *x = &c->in[X].shape;
    if (x->rank != 3 || x->dim[2] % (int)c->attr[0])
        return cx_op_fault(c, err, "x must be [B,T,D] with D a multiple of heads = %g", c->attr[0]);
    int d = x->dim[2];
    const cx_shape want[] = {CX_SHAPE(3 * d, d), CX_SHAPE(3 * d), CX_SHAPE(d, d), CX_SHAPE(d)};
    for (int k = W_QKV; k <= B_O; k++)
        if (c->in[k].ref >= 0 && !cx_shape_equal(&c->in[k].shape, &want[k - W_QKV])) {
            char text[64];
            return cx_op_fault(c, err, "%s must be %s", c->op->inputs[k].name,
                               cx_shape_text(&want[k - W_QKV], text, sizeof text));
        }
    c->out[Y].shape = *x;
    c->out[ATTN].shape = CX_SHAPE(x->dim[0], (int)c->attr[0], x->dim[1], x->dim[1]);
    size_t n = (size_t)c->in[X].size, t = (size_t)x->dim[1];
    c->save_size = 4 * n;
    c->temp_size = 4 * n + t * t;
    c->flops = 8.0 * (double)n * d + 4.0 * (double)n * x->dim[1];
    return CX_OK;
}

static void affine(int rows, int in, int out, const cx_real *x, const cx_slot *w, const cx_slot *b,
                   cx_real *y) {
    if (b->value)
        cx_rows_fill(y, b->value, rows, out);
    cx_gemm(false, true, rows, out, in, x, in, w->value, in, b->value != NULL, y, out);
}

static void affine_backward(int rows, int in, int out, const cx_real *x, const cx_real *dy,
                            const cx_slot *w, const cx_slot *b, cx_real *dx, bool add) {
    if (w->grad)
        cx_gemm(true, false, out, in, rows, dy, out, x, in, w->add, w->grad, in);
    if (b->grad)
        cx_rows_sum(b->grad, dy, rows, out, b->add);
    if (dx)
        cx_gemm(false, false, rows, in, out, dy, out, w->value, in, add, dx, in);
}

void cx_causal_attention_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    geometry g = read_geometry(c);
    int D = g.D, T = g.T, rows = g.B * T;
    affine(rows, D, 3 * D, c->in[X].value, &c->in[W_QKV], &c->in[B_QKV], g.qkv);
    for (int b = 0; b < g.B; b++)
        for (int h = 0; h < g.heads; h++) {
            cx_real *q = g.qkv + (size_t)b * (size_t)(3 * T * D) + h * g.d, *k = q + D, *v = k + D;
            cx_real *p = c->out[ATTN].value + (size_t)(b * g.heads + h) * (size_t)T * (size_t)T;
            cx_gemm(false, true, T, T, g.d, q, 3 * D, k, 3 * D, false, p, T);
            for (int i = 0; i < T; i++) {
                cx_real *row = p + (size_t)i * (size_t)T;
                for (int j = 0; j <= i; j++)
                    row[j] *= g.scale;
                cx_softmax_row(row, row, i + 1);
                cx_zero(row + i + 1, (size_t)(T - i - 1));
            }
            cx_gemm(false, false, T, g.d, T, p, T, v, 3 * D, false,
                    g.mix + (size_t)b * (size_t)(T * D) + h * g.d, D);
        }
    affine(rows, D, D, g.mix, &c->in[W_O], &c->in[B_O], c->out[Y].value);
}

/* dp -> d(scores before scaling), in place: scale p (dp - <p, dp>) */
static void softmax_backward(const geometry *g, const cx_real *p, cx_real *dp) {
    for (int i = 0; i < g->T; i++, p += g->T, dp += g->T) {
        cx_real dot = 0;
        for (int j = 0; j <= i; j++)
            dot += p[j] * dp[j];
        for (int j = 0; j <= i; j++)
            dp[j] = g->scale * p[j] * (dp[j] - dot);
        cx_zero(dp + i + 1, (size_t)(g->T - i - 1));
    }
}

void cx_causal_attention_backward(cx_call *c) {
    geometry g = read_geometry(c);
    int D = g.D, T = g.T, rows = g.B * T;
    const cx_real *dattn = c->out[ATTN].grad, *dy = c->out[Y].grad;
    cx_real *dmix = c->temp, *dqkv = dmix + (size_t)rows * (size_t)D;
    cx_real *dp = dqkv + 3 * (size_t)rows * (size_t)D;
    if (!dy) { /* only the weights were asked about */
        dy = dqkv;
        cx_zero(dqkv, (size_t)rows * (size_t)D);
    }
    affine_backward(rows, D, D, g.mix, dy, &c->in[W_O], &c->in[B_O], dmix, false);
    for (int b = 0; b < g.B; b++)
        for (int h = 0; h < g.heads; h++) {
            size_t at = (size_t)b * (size_t)(3 * T * D) + (size_t)(h * g.d);
            const cx_real *q = g.qkv + at, *k = q + D, *v = k + D;
            cx_real *dq = dqkv + at, *dk = dq + D, *dv = dk + D;
            const cx_real *p =
                c->out[ATTN].value + (size_t)(b * g.heads + h) * (size_t)T * (size_t)T;
            const cx_real *dm = dmix + (size_t)b * (size_t)(T * D) + h * g.d;
            cx_gemm(true, false, T, g.d, T, p, T, dm, D, false, dv, 3 * D);
            cx_gemm(false, true, T, T, g.d, dm, D, v, 3 * D, false, dp, T);
            if (dattn)
                cx_give(dp, dattn + (p - c->out[ATTN].value), T * T, true);
            softmax_backward(&g, p, dp);
            cx_gemm(false, false, T, g.d, T, dp, T, k, 3 * D, false, dq, 3 * D);
            cx_gemm(true, false, T, g.d, T, dp, T, q, 3 * D, false, dk, 3 * D);
        }
    affine_backward(rows, D, 3 * D, c->in[X].value, dqkv, &c->in[W_QKV], &c->in[B_QKV],
                    c->in[X].grad, c->in[X].add);
}
