/* The layer-normalized LSTM of the policy (design/lhopt.md, section 4):
 *     a = LN(W_ih x; g1,b1) + LN(W_hh h; g2,b2)     over the whole gate vector of 4H
 *     i,f,g,o = split(a);  c' = s(f) c + s(i) tanh(g);  h' = s(o) tanh(LN(c'; g3,b3))
 * x [T,B,I]; y [T,B,H], final h and c [B,H]. h0, c0 absent: zero. The carried c' is not
 * normalized. Time goes in chunks, as in nn/recurrent.c: W_ih x of a chunk is one product,
 * and so are its shares of the gradients of both matrices. */
#include "nn/gemm.h"
#include "nn/ops.h"
#include "nn/simd.h"
#include "nn/vmath.h"

#include <string.h>

enum { X, H0, C0, W_IH, W_HH, G1, B1, G2, B2, G3, B3 };
enum { Y, H, C };

/* rows of a chunk's products */
enum { CHUNK_ROWS = 256 };

typedef struct {
    int T, B, I, H;
    int chunk; /* time steps of a chunk */
    cx_real eps;
    /* kept from forward: normalized values, 1/deviation, gates, cell, tanh(LN(c)) */
    cx_real *xh1, *xh2, *xh3, *r1, *r2, *r3, *gate, *cell, *out;
} state;

static state layout(const cx_call *c) {
    const cx_shape *x = &c->in[X].shape;
    state s = {.T = x->dim[0],
               .B = x->dim[1],
               .I = x->dim[2],
               .H = c->in[W_HH].shape.dim[1],
               .eps = (cx_real)c->attr[0]};
    size_t rows = (size_t)s.T * (size_t)s.B, h = (size_t)s.H;
    s.chunk = (CHUNK_ROWS + s.B - 1) / s.B;
    s.chunk = s.chunk < s.T ? s.chunk : s.T;
    cx_real *p = c->save;
    if (!p)
        return s;
    s.xh1 = p, p += rows * 4 * h;
    s.xh2 = p, p += rows * 4 * h;
    s.gate = p, p += rows * 4 * h;
    s.xh3 = p, p += rows * h;
    s.cell = p, p += rows * h;
    s.out = p, p += rows * h;
    s.r1 = p, p += rows;
    s.r2 = p, p += rows;
    s.r3 = p;
    return s;
}

/* In c->temp: packed matrices, and for backward one chunk's gradients of W_ih x and of
 * W_hh h, that of both biases, and those of h and c. */
typedef struct {
    cx_real *w_ih, *w_hh;
    cx_real *dgx, *dgh, *sum, *dh, *dc; /* [chunk,B,4H] twice, [4H], [B,H] twice */
    size_t used;
} scratch;

static scratch layout_temp(const state *s, bool backward, cx_real *temp) {
    size_t h = (size_t)s->H, step = (size_t)s->B * h, rows = (size_t)s->chunk * (size_t)s->B;
    size_t ih = backward ? cx_packed_size(s->I, 4 * s->H) : cx_packed_size(4 * s->H, s->I);
    size_t hh = backward ? cx_packed_size(s->H, 4 * s->H) : cx_packed_size(4 * s->H, s->H);
    size_t size[] = {ih, hh, rows * 4 * h, rows * 4 * h, 4 * h, step, step};
    cx_real **to[7];
    scratch t = {0};
    to[0] = &t.w_ih, to[1] = &t.w_hh, to[2] = &t.dgx, to[3] = &t.dgh;
    to[4] = &t.sum, to[5] = &t.dh, to[6] = &t.dc;
    for (int i = 0; i < (backward ? 7 : 2); i++) {
        if (temp)
            *to[i] = temp + t.used;
        t.used += (size[i] + 15) / 16 * 16;
    }
    return t;
}

int cx_lstm_layernorm_shape(cx_call *c, cx_error *err) {
    const cx_shape *x = &c->in[X].shape, *hh = &c->in[W_HH].shape, *ih = &c->in[W_IH].shape;
    if (x->rank != 3 || hh->rank != 2 || ih->rank != 2 || hh->dim[0] != 4 * hh->dim[1])
        return cx_op_fault(c, err, "x must be [T,B,I], w_ih [4H,I], w_hh [4H,H]");
    int h = hh->dim[1], b = x->dim[1];
    const struct {
        int slot;
        cx_shape want;
    } rows[] = {{W_IH, CX_SHAPE(4 * h, x->dim[2])},
                {H0, CX_SHAPE(b, h)},
                {C0, CX_SHAPE(b, h)},
                {G1, CX_SHAPE(4 * h)},
                {B1, CX_SHAPE(4 * h)},
                {G2, CX_SHAPE(4 * h)},
                {B2, CX_SHAPE(4 * h)},
                {G3, CX_SHAPE(h)},
                {B3, CX_SHAPE(h)}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (c->in[rows[i].slot].ref >= 0 &&
            !cx_shape_equal(&c->in[rows[i].slot].shape, &rows[i].want)) {
            char text[64];
            return cx_op_fault(c, err, "%s must be %s", c->op->inputs[rows[i].slot].name,
                               cx_shape_text(&rows[i].want, text, sizeof text));
        }
    c->out[Y].shape = CX_SHAPE(x->dim[0], b, h);
    c->out[H].shape = c->out[C].shape = CX_SHAPE(b, h);
    size_t n = (size_t)x->dim[0] * (size_t)b;
    c->save_size = n * (15 * (size_t)h + 3);
    state s = layout(c);
    size_t forward = layout_temp(&s, false, NULL).used, backward = layout_temp(&s, true, NULL).used;
    c->temp_size = forward > backward ? forward : backward;
    c->flops = 8.0 * (double)n * h * (x->dim[2] + h);
    return CX_OK;
}

/* Row in place: (x - mean) / deviation; returns 1 / deviation. */
static cx_real normalize(cx_real *x, int n, cx_real eps) {
    cx_real mean = cx_sum(x, n) / (cx_real)n;
    cx_real rstd = 1 / CX_REAL(sqrt)(cx_sum_squares(x, mean, n) / (cx_real)n + eps);
    for (int i = 0; i < n; i++)
        x[i] = (x[i] - mean) * rstd;
    return rstd;
}

/* dx of one row from dy, the normalized row and the gain; dx may be dy. */
static void normalize_backward(const cx_real *xh, const cx_real *dy, const cx_real *gain,
                               cx_real rstd, int n, cx_real *dx) {
    cx_vec s1 = {0}, s2 = {0};
    int i = 0;
    for (; i + CX_LANES <= n; i += CX_LANES) {
        cx_vec v = cx_vload(dy + i) * cx_vload(gain + i);
        s1 += v;
        s2 = CX_VFMA(v, cx_vload(xh + i), s2);
    }
    cx_real sum = cx_vsum(s1), dot = cx_vsum(s2);
    for (; i < n; i++) {
        cx_real v = dy[i] * gain[i];
        sum += v;
        dot += v * xh[i];
    }
    sum /= (cx_real)n;
    dot /= (cx_real)n;
    CX_IVDEP for (i = 0; i < n; i++) dx[i] = rstd * (dy[i] * gain[i] - sum - xh[i] * dot);
}

/* What da, the gradient of the gates' sum, becomes behind each of the two normalizations of a row:
 * dx1, which may be da, and dx2; and its shares of the gradients of gains and biases (NULL: not
 * wanted). Everything is read once while it is near. */
typedef struct {
    const cx_real *xh, *gain;
    cx_real rstd, *dgain, *dx;
} half;

static void halves_backward(const half p, const half q, cx_real *dbias, int n, const cx_real *da) {
    cx_vec p1 = {0}, p2 = {0}, q1 = {0}, q2 = {0};
    int i = 0;
    for (; i + CX_LANES <= n; i += CX_LANES) {
        cx_vec d = cx_vload(da + i), px = cx_vload(p.xh + i), qx = cx_vload(q.xh + i);
        cx_vec pv = d * cx_vload(p.gain + i), qv = d * cx_vload(q.gain + i);
        p1 += pv;
        q1 += qv;
        p2 = CX_VFMA(pv, px, p2);
        q2 = CX_VFMA(qv, qx, q2);
        cx_vstore(dbias + i, cx_vload(dbias + i) + d);
        if (p.dgain)
            cx_vstore(p.dgain + i, CX_VFMA(d, px, cx_vload(p.dgain + i)));
        if (q.dgain)
            cx_vstore(q.dgain + i, CX_VFMA(d, qx, cx_vload(q.dgain + i)));
    }
    cx_real psum = cx_vsum(p1), pdot = cx_vsum(p2), qsum = cx_vsum(q1), qdot = cx_vsum(q2);
    for (; i < n; i++) {
        cx_real pv = da[i] * p.gain[i], qv = da[i] * q.gain[i];
        psum += pv;
        qsum += qv;
        pdot += pv * p.xh[i];
        qdot += qv * q.xh[i];
        dbias[i] += da[i];
        if (p.dgain)
            p.dgain[i] += da[i] * p.xh[i];
        if (q.dgain)
            q.dgain[i] += da[i] * q.xh[i];
    }
    psum /= (cx_real)n, pdot /= (cx_real)n, qsum /= (cx_real)n, qdot /= (cx_real)n;
    CX_IVDEP for (i = 0; i < n; i++) {
        cx_real d = da[i];
        p.dx[i] = p.rstd * (d * p.gain[i] - psum - p.xh[i] * pdot);
        q.dx[i] = q.rstd * (d * q.gain[i] - qsum - q.xh[i] * qdot);
    }
}

/* One row of one time step, from the normalized halves to h. */
static void cell_forward(const cx_call *c, const state *s, size_t row,
                         const cx_real *restrict c_prev, cx_real *restrict h) {
    int n = s->H;
    const cx_real *restrict x1 = s->xh1 + row * 4 * (size_t)n;
    const cx_real *restrict x2 = s->xh2 + row * 4 * (size_t)n;
    const cx_real *g1 = c->in[G1].value, *g2 = c->in[G2].value;
    const cx_real *b1 = c->in[B1].value, *b2 = c->in[B2].value;
    cx_real *restrict gate = s->gate + row * 4 * (size_t)n;
    cx_real *restrict cell = s->cell + row * (size_t)n, *restrict xh3 = s->xh3 + row * (size_t)n;
    cx_real *restrict out = s->out + row * (size_t)n;
    for (int i = 0; i < 4 * n; i++)
        gate[i] = x1[i] * g1[i] + b1[i] + x2[i] * g2[i] + b2[i];
    for (int i = 0; i < 2 * n; i++)
        gate[i] = cx_sigmoid(gate[i]);
    for (int i = 2 * n; i < 3 * n; i++)
        gate[i] = cx_tanh(gate[i]);
    for (int i = 3 * n; i < 4 * n; i++)
        gate[i] = cx_sigmoid(gate[i]);
    for (int i = 0; i < n; i++)
        cell[i] = gate[i + n] * (c_prev ? c_prev[i] : 0) + gate[i] * gate[i + 2 * n];
    memcpy(xh3, cell, (size_t)n * sizeof *xh3);
    s->r3[row] = normalize(xh3, n, s->eps);
    const cx_real *g3 = c->in[G3].value, *b3 = c->in[B3].value;
    for (int i = 0; i < n; i++) {
        out[i] = cx_tanh(xh3[i] * g3[i] + b3[i]);
        h[i] = gate[i + 3 * n] * out[i];
    }
}

static void step_forward(cx_call *c, const state *s, const scratch *tmp, int t) {
    int h = s->H;
    size_t step = (size_t)s->B * (size_t)h, wide = 4 * (size_t)h;
    const cx_real *h_prev = t ? c->out[Y].value + (size_t)(t - 1) * step : c->in[H0].value;
    const cx_real *c_prev = t ? s->cell + (size_t)(t - 1) * step : c->in[C0].value;
    cx_real *xh2 = s->xh2 + (size_t)t * 4 * step;
    if (h_prev)
        cx_gemm_packed(s->B, 4 * h, h, h_prev, h, tmp->w_hh, false, xh2, 4 * h);
    else
        cx_zero(xh2, 4 * step);
    for (int b = 0; b < s->B; b++) {
        size_t row = (size_t)t * (size_t)s->B + (size_t)b;
        s->r1[row] = normalize(s->xh1 + row * wide, 4 * h, s->eps);
        s->r2[row] = normalize(s->xh2 + row * wide, 4 * h, s->eps);
        cell_forward(c, s, row, c_prev ? c_prev + (size_t)b * (size_t)h : NULL,
                     c->out[Y].value + row * (size_t)h);
    }
}

void cx_lstm_layernorm_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    state s = layout(c);
    scratch tmp = layout_temp(&s, false, c->temp);
    int h = s.H;
    size_t step = (size_t)s.B * (size_t)h;
    cx_pack(true, 4 * h, s.I, c->in[W_IH].value, s.I, tmp.w_ih);
    cx_pack(true, 4 * h, h, c->in[W_HH].value, h, tmp.w_hh);
    for (int t = 0; t < s.T; t++) {
        if (t % s.chunk == 0)
            cx_gemm_packed((s.T - t < s.chunk ? s.T - t : s.chunk) * s.B, 4 * h, s.I,
                           c->in[X].value + (size_t)t * (size_t)(s.B * s.I), s.I, tmp.w_ih, false,
                           s.xh1 + (size_t)t * 4 * step, 4 * h);
        step_forward(c, &s, &tmp, t);
    }
    cx_give(c->out[H].value, c->out[Y].value + (size_t)(s.T - 1) * step, (int)step, false);
    cx_give(c->out[C].value, s.cell + (size_t)(s.T - 1) * step, (int)step, false);
}

/* One row of one time step: dh in; da out; dc goes from d/dc' to d/dc. lnc: what
 * reaches LN(c'), kept in `dlnc` for the gradients of g3 and b3. */
static void cell_backward(const cx_call *c, const state *s, size_t row,
                          const cx_real *restrict c_prev, const cx_real *restrict dh,
                          cx_real *restrict dc, cx_real *restrict da) {
    int n = s->H;
    const cx_real *restrict gate = s->gate + row * 4 * (size_t)n;
    const cx_real *restrict out = s->out + row * (size_t)n, *xh3 = s->xh3 + row * (size_t)n;
    cx_real *dlnc = da; /* its place is taken by di afterwards */
    CX_IVDEP for (int i = 0; i < n; i++) dlnc[i] = dh[i] * gate[i + 3 * n] * (1 - out[i] * out[i]);
    cx_real *dg3 = c->in[G3].grad, *db3 = c->in[B3].grad;
    for (int i = 0; dg3 && i < n; i++)
        dg3[i] += dlnc[i] * xh3[i];
    for (int i = 0; db3 && i < n; i++)
        db3[i] += dlnc[i];
    normalize_backward(xh3, dlnc, c->in[G3].value, s->r3[row], n, dlnc);
    CX_IVDEP for (int i = 0; i < n; i++) {
        cx_real gi = gate[i], gf = gate[i + n], gg = gate[i + 2 * n], go = gate[i + 3 * n];
        cx_real d = dc[i] + dlnc[i];
        da[i] = d * gg * gi * (1 - gi);
        da[i + n] = d * gf * (1 - gf);
        da[i + 2 * n] = d * gi * (1 - gg * gg);
        da[i + 3 * n] = dh[i] * out[i] * go * (1 - go);
        dc[i] = d * gf;
    }
    for (int i = 0; i < n; i++)
        da[i + n] *= c_prev ? c_prev[i] : 0;
}

/* tmp: the chunk that begins with time step t */
static void matrices_backward(cx_call *c, const state *s, const scratch *tmp, int t) {
    int steps = s->T - t < s->chunk ? s->T - t : s->chunk, rows = steps * s->B, h = s->H;
    bool first = t + steps == s->T;
    const cx_real *dgx = tmp->dgx;
    size_t step = (size_t)s->B * (size_t)h, x_at = (size_t)t * (size_t)(s->B * s->I);
    if (c->in[W_IH].grad)
        cx_gemm(true, false, 4 * h, s->I, rows, dgx, 4 * h, c->in[X].value + x_at, s->I,
                c->in[W_IH].add || !first, c->in[W_IH].grad, s->I);
    if (c->in[X].grad)
        cx_gemm_packed(rows, s->I, 4 * h, dgx, 4 * h, tmp->w_ih, c->in[X].add, c->in[X].grad + x_at,
                       s->I);
    cx_real *dw = c->in[W_HH].grad;
    if (!dw)
        return;
    if (first && !c->in[W_HH].add)
        cx_zero(dw, 4 * (size_t)h * (size_t)h);
    /* the earlier states of steps 1.. are the outputs of steps 0.. */
    if (t > 0)
        cx_gemm(true, false, 4 * h, h, rows, tmp->dgh, 4 * h,
                c->out[Y].value + (size_t)(t - 1) * step, h, true, dw, h);
    else if (c->in[H0].value)
        cx_gemm(true, false, 4 * h, h, s->B, tmp->dgh, 4 * h, c->in[H0].value, h, true, dw, h);
    if (t == 0 && rows > s->B)
        cx_gemm(true, false, 4 * h, h, rows - s->B, tmp->dgh + 4 * step, 4 * h, c->out[Y].value, h,
                true, dw, h);
}

/* dgx, dgh: of this time step */
static void step_backward(cx_call *c, const state *s, const scratch *tmp, int t, cx_real *dgx,
                          cx_real *dgh) {
    int h = s->H;
    size_t step = (size_t)s->B * (size_t)h, wide = 4 * (size_t)h;
    const cx_real *c_prev = t ? s->cell + (size_t)(t - 1) * step : c->in[C0].value;
    if (c->out[Y].grad)
        cx_give(tmp->dh, c->out[Y].grad + (size_t)t * step, (int)step, true);
    for (size_t b = 0; b < (size_t)s->B; b++) {
        size_t row = (size_t)t * (size_t)s->B + b, at = b * (size_t)h;
        cx_real *da = dgx + b * wide;
        cell_backward(c, s, row, c_prev ? c_prev + at : NULL, tmp->dh + at, tmp->dc + at, da);
        half x = {s->xh1 + row * wide, c->in[G1].value, s->r1[row], c->in[G1].grad, da};
        half u = {s->xh2 + row * wide, c->in[G2].value, s->r2[row], c->in[G2].grad, dgh + b * wide};
        halves_backward(x, u, tmp->sum, 4 * h, da);
    }
    if (t || c->in[H0].grad)
        cx_gemm_packed(s->B, h, 4 * h, dgh, 4 * h, tmp->w_hh, false, tmp->dh, h);
}

void cx_lstm_layernorm_backward(cx_call *c) {
    state s = layout(c);
    scratch tmp = layout_temp(&s, true, c->temp);
    int h = s.H;
    size_t step = (size_t)s.B * (size_t)h;
    cx_pack(false, h, 4 * h, c->in[W_HH].value, h, tmp.w_hh);
    if (c->in[X].grad)
        cx_pack(false, s.I, 4 * h, c->in[W_IH].value, s.I, tmp.w_ih);
    for (int k = G1; k <= B3; k++)
        if (c->in[k].grad && !c->in[k].add)
            cx_zero(c->in[k].grad, (size_t)c->in[k].size);
    cx_zero(tmp.sum, 4 * (size_t)h);
    if (c->out[H].grad)
        cx_give(tmp.dh, c->out[H].grad, (int)step, false);
    else
        cx_zero(tmp.dh, step);
    if (c->out[C].grad)
        cx_give(tmp.dc, c->out[C].grad, (int)step, false);
    else
        cx_zero(tmp.dc, step);
    for (int t = s.T - 1; t >= 0; t--) {
        size_t at = (size_t)(t % s.chunk) * 4 * step;
        step_backward(c, &s, &tmp, t, tmp.dgx + at, tmp.dgh + at);
        if (at == 0)
            matrices_backward(c, &s, &tmp, t);
    }
    for (int k = B1; k <= B2; k += B2 - B1) /* both have the same gradient */
        if (c->in[k].grad)
            cx_give(c->in[k].grad, tmp.sum, 4 * h, true);
    if (c->in[H0].grad)
        cx_give(c->in[H0].grad, tmp.dh, (int)step, c->in[H0].add);
    if (c->in[C0].grad)
        cx_give(c->in[C0].grad, tmp.dc, (int)step, c->in[C0].add);
}
