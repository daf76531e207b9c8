/* rnn_tanh, rnn_relu, gru, lstm: one layer over a whole sequence, PyTorch's definitions.
 *     rnn   h' = f(W_ih x + b_ih + W_hh h + b_hh)
 *     gru   r, z = s(..); n = tanh(W_ih x + b_ih + r (W_hh h + b_hh)); h' = (1-z) n + z h
 *     lstm  i, f, g, o; c' = f c + i g; h' = o tanh(c')
 * x [T,B,I], w_ih [GH,I], w_hh [GH,H], biases [GH]; y [T,B,H], final h (and c) [B,H].
 * h0, c0 absent: zero.
 *
 * Time goes in chunks of so many steps that their products have a hundred rows or more: W_ih
 * x of a chunk is one product, and so are its shares of the gradients of both matrices, while
 * the gates are still in the cache. Matrices that meet one time step after another are packed
 * once. */
#include "nn/gemm.h"
#include "nn/ops.h"
#include "nn/vmath.h"

#include <string.h>

enum { X, H0, W_IH, W_HH, B_IH, B_HH, C0 };
enum { Y, H, C };
enum { RNN_TANH, RNN_RELU, GRU, LSTM };

/* rows of a chunk's products: enough to make up for loading the matrix */
enum { CHUNK_ROWS = 128 };

typedef struct {
    int kind, T, B, I, H, G; /* G gates */
    int chunk;               /* time steps of a chunk */
    size_t step, wide;       /* numbers of one time step: B H, B G H */
    /* kept from forward. gate: after their functions; hidden (gru): the candidate's W_hh h +
     * b_hh; cell, tc (lstm): c' and tanh(c') */
    cx_real *gate, *hidden, *cell, *tc;
} layer;

static int kind_of(const cx_call *c) {
    if (strcmp(c->op->name, "lstm") == 0)
        return LSTM;
    if (strcmp(c->op->name, "gru") == 0)
        return GRU;
    return strcmp(c->op->name, "rnn_relu") == 0 ? RNN_RELU : RNN_TANH;
}

static layer read_layer(const cx_call *c) {
    static const int gates[] = {1, 1, 3, 4};
    const cx_shape *x = &c->in[X].shape;
    layer l = {.kind = kind_of(c),
               .T = x->dim[0],
               .B = x->dim[1],
               .I = x->dim[2],
               .H = c->in[W_HH].shape.dim[1]};
    l.G = gates[l.kind];
    l.step = (size_t)l.B * (size_t)l.H;
    l.wide = l.step * (size_t)l.G;
    l.chunk = (CHUNK_ROWS + l.B - 1) / l.B;
    l.chunk = l.chunk < l.T ? l.chunk : l.T;
    l.gate = c->save;
    if (l.gate && l.kind == GRU)
        l.hidden = l.gate + (size_t)l.T * l.wide;
    if (l.gate && l.kind == LSTM) {
        l.cell = l.gate + (size_t)l.T * l.wide;
        l.tc = l.cell + (size_t)l.T * l.step;
    }
    return l;
}

/* --- where things are in c->temp --- */

typedef struct {
    cx_real *zero, *bias; /* [H], [G H] */
    cx_real *w_ih, *w_hh; /* packed */
    cx_real *w_hn;        /* packed, gru: the candidate's rows of w_hh */
} forward_temp;

typedef struct {
    cx_real *zero, *sum;         /* [H], [G H] */
    cx_real *w_ih, *w_hh, *w_hn; /* packed, as above but not transposed */
    cx_real *da, *dhn;           /* [chunk,B,G H]; gru: of the candidate's W_hh h, [chunk,B,H] */
    cx_real *dh, *dc;            /* [B,H] */
} backward_temp;

/* Takes n numbers from *at, which may be NULL: then only *used grows. */
static cx_real *take(cx_real **at, size_t *used, size_t n) {
    cx_real *p = *at;
    n = (n + 15) / 16 * 16; /* whole cache lines */
    *used += n;
    if (p)
        *at += n;
    return p;
}

/* rows of w_hh that meet h in one product: all, or for the gru those of r and z */
static int joint_rows(const layer *l) {
    return l->kind == GRU ? 2 * l->H : l->G * l->H;
}

static forward_temp layout_forward(const layer *l, cx_real *temp, size_t *used) {
    forward_temp f;
    int wide = l->G * l->H;
    *used = 0;
    f.zero = take(&temp, used, (size_t)l->H);
    f.bias = take(&temp, used, (size_t)wide);
    f.w_ih = take(&temp, used, cx_packed_size(wide, l->I));
    f.w_hh = take(&temp, used, cx_packed_size(joint_rows(l), l->H));
    f.w_hn = l->kind == GRU ? take(&temp, used, cx_packed_size(l->H, l->H)) : NULL;
    return f;
}

static backward_temp layout_backward(const layer *l, cx_real *temp, size_t *used) {
    backward_temp b;
    int wide = l->G * l->H;
    size_t steps = (size_t)l->chunk;
    *used = 0;
    b.zero = take(&temp, used, (size_t)l->H);
    b.sum = take(&temp, used, (size_t)wide);
    b.w_ih = take(&temp, used, cx_packed_size(l->I, wide));
    b.w_hh = take(&temp, used, cx_packed_size(l->H, joint_rows(l)));
    b.w_hn = l->kind == GRU ? take(&temp, used, cx_packed_size(l->H, l->H)) : NULL;
    b.da = take(&temp, used, steps * l->wide);
    b.dhn = l->kind == GRU ? take(&temp, used, steps * l->step) : NULL;
    b.dh = take(&temp, used, l->step);
    b.dc = take(&temp, used, l->step);
    return b;
}

int cx_recurrent_shape(cx_call *c, cx_error *err) {
    if (c->in[X].shape.rank != 3 || c->in[W_HH].shape.rank != 2)
        return cx_op_fault(c, err, "x must be [T,B,I], w_hh [gates*H,H]");
    layer l = read_layer(c);
    const struct {
        int slot;
        cx_shape want;
    } rows[] = {{W_IH, CX_SHAPE(l.G * l.H, l.I)}, {W_HH, CX_SHAPE(l.G * l.H, l.H)},
                {H0, CX_SHAPE(l.B, l.H)},         {C0, CX_SHAPE(l.B, l.H)},
                {B_IH, CX_SHAPE(l.G * l.H)},      {B_HH, CX_SHAPE(l.G * l.H)}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const cx_slot *s = &c->in[rows[i].slot];
        char text[64];
        if (c->op->inputs[rows[i].slot].name && s->ref >= 0 &&
            !cx_shape_equal(&s->shape, &rows[i].want))
            return cx_op_fault(c, err, "%s must be %s", c->op->inputs[rows[i].slot].name,
                               cx_shape_text(&rows[i].want, text, sizeof text));
    }
    c->out[Y].shape = CX_SHAPE(l.T, l.B, l.H);
    c->out[H].shape = CX_SHAPE(l.B, l.H);
    if (l.kind == LSTM)
        c->out[C].shape = CX_SHAPE(l.B, l.H);
    size_t t = (size_t)l.T, forward, backward;
    c->save_size = t * (l.wide + (l.kind == GRU ? l.step : 0) + (l.kind == LSTM ? 2 * l.step : 0));
    (void)layout_forward(&l, NULL, &forward);
    (void)layout_backward(&l, NULL, &backward);
    c->temp_size = forward > backward ? forward : backward;
    c->flops = 2.0 * (double)(t * l.wide) * (l.I + l.H);
    return CX_OK;
}

/* --- forward: one row (one sequence at one time step) --- */

static void rnn_row(int relu, int n, const cx_real *restrict gate, cx_real *restrict h) {
    if (relu)
        for (int i = 0; i < n; i++)
            h[i] = gate[i] < 0 ? 0 : gate[i];
    else
        for (int i = 0; i < n; i++)
            h[i] = cx_tanh(gate[i]);
}

/* gate comes with W_hh h in r and z, hidden is the candidate's */
static void gru_row(int n, cx_real *restrict gate, const cx_real *restrict hidden,
                    const cx_real *restrict h_prev, cx_real *restrict h) {
    for (int i = 0; i < 2 * n; i++)
        gate[i] = cx_sigmoid(gate[i]);
    for (int i = 0; i < n; i++) {
        cx_real r = gate[i], z = gate[i + n];
        cx_real m = cx_tanh(gate[i + 2 * n] + r * hidden[i]);
        gate[i + 2 * n] = m;
        h[i] = (1 - z) * m + z * h_prev[i];
    }
}

static void lstm_row(int n, cx_real *restrict gate, const cx_real *restrict c_prev,
                     cx_real *restrict cell, cx_real *restrict tc, cx_real *restrict h) {
    for (int i = 0; i < 2 * n; i++)
        gate[i] = cx_sigmoid(gate[i]);
    for (int i = 2 * n; i < 3 * n; i++)
        gate[i] = cx_tanh(gate[i]);
    for (int i = 3 * n; i < 4 * n; i++)
        gate[i] = cx_sigmoid(gate[i]);
    for (int i = 0; i < n; i++) {
        cell[i] = gate[i + n] * c_prev[i] + gate[i] * gate[i + 2 * n];
        tc[i] = cx_tanh(cell[i]);
        h[i] = gate[i + 3 * n] * tc[i];
    }
}

/* What every time step starts its gates with: both biases, but the one that the gru's r
 * multiplies. False: there are none. */
static bool join_biases(const cx_call *c, const layer *l, cx_real *bias) {
    const cx_real *bi = c->in[B_IH].value, *bh = c->in[B_HH].value;
    if (!bi && !bh)
        return false;
    for (int i = 0; i < l->G * l->H; i++)
        bias[i] = (bi ? bi[i] : 0) + (bh && i < joint_rows(l) ? bh[i] : 0);
    return true;
}

static void step_forward(cx_call *c, const layer *l, const forward_temp *f, int t) {
    int wide = l->G * l->H, h = l->H;
    size_t at = (size_t)t * l->step;
    const cx_real *h_prev = t ? c->out[Y].value + at - l->step : c->in[H0].value;
    const cx_real *c_prev = t ? l->cell + at - l->step : c->in[C0].value;
    cx_real *gate = l->gate + (size_t)t * l->wide, *y = c->out[Y].value + at;
    cx_real *hidden = l->kind == GRU ? l->hidden + at : NULL;
    if (h_prev)
        cx_gemm_packed(l->B, joint_rows(l), h, h_prev, h, f->w_hh, true, gate, wide);
    if (hidden && c->in[B_HH].value)
        cx_rows_fill(hidden, c->in[B_HH].value + 2 * h, l->B, h);
    else if (hidden && !h_prev)
        cx_zero(hidden, l->step);
    if (hidden && h_prev)
        cx_gemm_packed(l->B, h, h, h_prev, h, f->w_hn, c->in[B_HH].value != NULL, hidden, h);
    for (int b = 0; b < l->B; b++) {
        size_t row = (size_t)b * (size_t)h, g = (size_t)b * (size_t)wide;
        if (l->kind == LSTM)
            lstm_row(h, gate + g, c_prev ? c_prev + row : f->zero, l->cell + at + row,
                     l->tc + at + row, y + row);
        else if (l->kind == GRU)
            gru_row(h, gate + g, hidden + row, h_prev ? h_prev + row : f->zero, y + row);
        else
            rnn_row(l->kind == RNN_RELU, h, gate + g, y + row);
    }
}

void cx_recurrent_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    layer l = read_layer(c);
    int wide = l.G * l.H, joint = joint_rows(&l);
    size_t used;
    forward_temp f = layout_forward(&l, c->temp, &used);
    bool biased = join_biases(c, &l, f.bias);
    cx_zero(f.zero, (size_t)l.H);
    cx_pack(true, wide, l.I, c->in[W_IH].value, l.I, f.w_ih);
    cx_pack(true, joint, l.H, c->in[W_HH].value, l.H, f.w_hh);
    if (f.w_hn)
        cx_pack(true, l.H, l.H, c->in[W_HH].value + (size_t)joint * (size_t)l.H, l.H, f.w_hn);
    for (int t = 0; t < l.T; t++) {
        if (t % l.chunk == 0) {
            int rows = (l.T - t < l.chunk ? l.T - t : l.chunk) * l.B;
            cx_real *gate = l.gate + (size_t)t * l.wide;
            if (biased)
                cx_rows_fill(gate, f.bias, rows, wide);
            cx_gemm_packed(rows, wide, l.I, c->in[X].value + (size_t)t * (size_t)(l.B * l.I), l.I,
                           f.w_ih, biased, gate, wide);
        }
        step_forward(c, &l, &f, t);
    }
    size_t last = (size_t)(l.T - 1) * l.step;
    cx_give(c->out[H].value, c->out[Y].value + last, (int)l.step, false);
    if (l.kind == LSTM)
        cx_give(c->out[C].value, l.cell + last, (int)l.step, false);
}

/* --- backward: one row. dh: d/dh' in; da: d/d(pre-activations) out --- */

static void rnn_row_backward(int relu, int n, const cx_real *restrict y, const cx_real *restrict dh,
                             cx_real *restrict da) {
    if (relu)
        for (int i = 0; i < n; i++)
            da[i] = y[i] <= 0 ? 0 : dh[i];
    else
        for (int i = 0; i < n; i++)
            da[i] = dh[i] * (1 - y[i] * y[i]);
}

/* dhn: the gradient of the candidate's W_hh h + b_hh, which for r and z is da; dh becomes the
 * direct part of d/dh */
static void gru_row_backward(int n, const cx_real *restrict gate, const cx_real *restrict hidden,
                             const cx_real *restrict h_prev, cx_real *restrict dh,
                             cx_real *restrict da, cx_real *restrict dhn) {
    for (int i = 0; i < n; i++) {
        cx_real r = gate[i], z = gate[i + n], m = gate[i + 2 * n];
        cx_real dn = dh[i] * (1 - z) * (1 - m * m);
        da[i] = dn * hidden[i] * r * (1 - r);
        da[i + n] = dh[i] * (h_prev[i] - m) * z * (1 - z);
        da[i + 2 * n] = dn;
        dhn[i] = dn * r;
        dh[i] *= z;
    }
}

static void lstm_row_backward(int n, const cx_real *restrict gate, const cx_real *restrict c_prev,
                              const cx_real *restrict tc, const cx_real *restrict dh,
                              cx_real *restrict dc, cx_real *restrict da) {
    for (int i = 0; i < n; i++) {
        cx_real gi = gate[i], gf = gate[i + n], gg = gate[i + 2 * n], go = gate[i + 3 * n];
        cx_real d = dc[i] + dh[i] * go * (1 - tc[i] * tc[i]);
        da[i] = d * gg * gi * (1 - gi);
        da[i + n] = d * c_prev[i] * gf * (1 - gf);
        da[i + 2 * n] = d * gi * (1 - gg * gg);
        da[i + 3 * n] = dh[i] * tc[i] * go * (1 - go);
        dc[i] = d * gf;
    }
}

/* da, dhn: of this time step */
static void step_backward(cx_call *c, const layer *l, const backward_temp *tmp, int t, cx_real *da,
                          cx_real *dhn) {
    int wide = l->G * l->H, h = l->H, joint = joint_rows(l);
    size_t at = (size_t)t * l->step;
    const cx_real *h_prev = t ? c->out[Y].value + at - l->step : c->in[H0].value;
    const cx_real *c_prev = t ? l->cell + at - l->step : c->in[C0].value;
    const cx_real *gate = l->gate + (size_t)t * l->wide;
    for (int b = 0; b < l->B; b++) {
        size_t row = (size_t)b * (size_t)h, g = (size_t)b * (size_t)wide;
        if (l->kind == LSTM)
            lstm_row_backward(h, gate + g, c_prev ? c_prev + row : tmp->zero, l->tc + at + row,
                              tmp->dh + row, tmp->dc + row, da + g);
        else if (l->kind == GRU)
            gru_row_backward(h, gate + g, l->hidden + at + row, h_prev ? h_prev + row : tmp->zero,
                             tmp->dh + row, da + g, dhn + row);
        else
            rnn_row_backward(l->kind == RNN_RELU, h, c->out[Y].value + at + row, tmp->dh + row,
                             da + g);
    }
    if (t == 0 && !c->in[H0].grad)
        return;
    cx_gemm_packed(l->B, h, joint, da, wide, tmp->w_hh, l->kind == GRU, tmp->dh, h);
    if (dhn)
        cx_gemm_packed(l->B, h, h, dhn, h, tmp->w_hn, true, tmp->dh, h);
}

/* dw_hh += what `rows` rows of the earlier states h_prev have to do with it */
static void hidden_gradient(cx_call *c, const layer *l, int rows, const cx_real *da,
                            const cx_real *dhn, const cx_real *h_prev) {
    cx_real *dw = c->in[W_HH].grad;
    int h = l->H, joint = joint_rows(l);
    if (!dw || rows == 0)
        return;
    cx_gemm(true, false, joint, h, rows, da, l->G * h, h_prev, h, true, dw, h);
    if (dhn)
        cx_gemm(true, false, h, h, rows, dhn, h, h_prev, h, true, dw + (size_t)joint * (size_t)h,
                h);
}

static void bias_gradients(cx_call *c, const layer *l, const backward_temp *tmp, int rows,
                           bool first) {
    int wide = l->G * l->H, joint = joint_rows(l);
    cx_slot *bi = &c->in[B_IH], *bh = &c->in[B_HH];
    if (!bi->grad && !bh->grad)
        return;
    cx_rows_sum(tmp->sum, tmp->da, rows, wide, false);
    if (bi->grad)
        cx_give(bi->grad, tmp->sum, wide, bi->add || !first);
    if (bh->grad)
        cx_give(bh->grad, tmp->sum, joint, bh->add || !first);
    if (bh->grad && tmp->dhn)
        cx_rows_sum(bh->grad + joint, tmp->dhn, rows, l->H, bh->add || !first);
}

/* What the chunk of n time steps from t on adds to all gradients but h0's and c0's. */
static void chunk_backward(cx_call *c, const layer *l, const backward_temp *tmp, int t, int n) {
    int rows = n * l->B, wide = l->G * l->H;
    bool first = t + n == l->T;
    size_t x_at = (size_t)t * (size_t)(l->B * l->I);
    bias_gradients(c, l, tmp, rows, first);
    if (c->in[W_IH].grad)
        cx_gemm(true, false, wide, l->I, rows, tmp->da, wide, c->in[X].value + x_at, l->I,
                c->in[W_IH].add || !first, c->in[W_IH].grad, l->I);
    if (c->in[X].grad)
        cx_gemm_packed(rows, l->I, wide, tmp->da, wide, tmp->w_ih, c->in[X].add,
                       c->in[X].grad + x_at, l->I);
    if (first && c->in[W_HH].grad && !c->in[W_HH].add)
        cx_zero(c->in[W_HH].grad, (size_t)wide * (size_t)l->H);
    /* the earlier states of time steps 1.. are the outputs of 0.. */
    if (t > 0) {
        hidden_gradient(c, l, rows, tmp->da, tmp->dhn, c->out[Y].value + (size_t)(t - 1) * l->step);
        return;
    }
    if (c->in[H0].value)
        hidden_gradient(c, l, l->B, tmp->da, tmp->dhn, c->in[H0].value);
    hidden_gradient(c, l, rows - l->B, tmp->da + l->wide, tmp->dhn ? tmp->dhn + l->step : NULL,
                    c->out[Y].value);
}

static void pack_for_backward(const cx_call *c, const layer *l, const backward_temp *tmp) {
    int joint = joint_rows(l);
    const cx_real *w = c->in[W_HH].value;
    if (c->in[X].grad)
        cx_pack(false, l->I, l->G * l->H, c->in[W_IH].value, l->I, tmp->w_ih);
    cx_pack(false, l->H, joint, w, l->H, tmp->w_hh);
    if (tmp->w_hn)
        cx_pack(false, l->H, l->H, w + (size_t)joint * (size_t)l->H, l->H, tmp->w_hn);
}

void cx_recurrent_backward(cx_call *c) {
    layer l = read_layer(c);
    size_t used;
    backward_temp tmp = layout_backward(&l, c->temp, &used);
    cx_zero(tmp.zero, (size_t)l.H);
    pack_for_backward(c, &l, &tmp);
    if (c->out[H].grad)
        cx_give(tmp.dh, c->out[H].grad, (int)l.step, false);
    else
        cx_zero(tmp.dh, l.step);
    if (l.kind == LSTM && c->out[C].grad)
        cx_give(tmp.dc, c->out[C].grad, (int)l.step, false);
    else
        cx_zero(tmp.dc, l.step);
    for (int t = l.T - 1; t >= 0; t--) {
        size_t i = (size_t)(t % l.chunk);
        if (c->out[Y].grad)
            cx_give(tmp.dh, c->out[Y].grad + (size_t)t * l.step, (int)l.step, true);
        step_backward(c, &l, &tmp, t, tmp.da + i * l.wide, tmp.dhn ? tmp.dhn + i * l.step : NULL);
        if (i == 0)
            chunk_backward(c, &l, &tmp, t, l.T - t < l.chunk ? l.T - t : l.chunk);
    }
    if (c->in[H0].grad)
        cx_give(c->in[H0].grad, tmp.dh, (int)l.step, c->in[H0].add);
    if (l.kind == LSTM && c->in[C0].grad)
        cx_give(c->in[C0].grad, tmp.dc, (int)l.step, c->in[C0].add);
}
