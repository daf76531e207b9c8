/* rnn_tanh, rnn_relu, gru, lstm: one layer over a whole sequence, PyTorch's definitions.
 *     rnn   h' = f(W_ih x + b_ih + W_hh h + b_hh)
 *     gru   r, z = s(..); n = tanh(W_ih x + b_ih + r (W_hh h + b_hh)); h' = (1-z) n + z h
 *     lstm  i, f, g, o; c' = f c + i g; h' = o tanh(c')
 * x [T,B,I], w_ih [GH,I], w_hh [GH,H], biases [GH]; y [T,B,H], final h (and c) [B,H].
 * h0, c0 absent: zero. W_ih x of all time steps is one product, and so are the gradients
 * of both matrices. */
#include "nn/ops.h"
#include "nn/vmath.h"

#include <string.h>

enum { X, H0, W_IH, W_HH, B_IH, B_HH, C0 };
enum { Y, H, C };
enum { RNN_TANH, RNN_RELU, GRU, LSTM };

typedef struct {
    int kind, T, B, I, H, G; /* G gates */
    size_t step, wide;       /* numbers of one time step: B H, B G H */
    /* kept from forward. gate: after their functions; hidden (gru): W_hh h + b_hh;
     * cell, tc (lstm): c' and tanh(c') */
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
    l.gate = c->save;
    if (l.gate && l.kind == GRU)
        l.hidden = l.gate + (size_t)l.T * l.wide;
    if (l.gate && l.kind == LSTM) {
        l.cell = l.gate + (size_t)l.T * l.wide;
        l.tc = l.cell + (size_t)l.T * l.step;
    }
    return l;
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
    size_t t = (size_t)l.T;
    c->save_size = t * (l.wide + (l.kind == GRU ? l.wide : 0) + (l.kind == LSTM ? 2 * l.step : 0));
    c->temp_size = t * l.wide * (l.kind == GRU ? 2 : 1) + 2 * l.step;
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

static void gru_row(int n, cx_real *restrict gate, const cx_real *restrict hidden,
                    const cx_real *h_prev, cx_real *restrict h) {
    for (int i = 0; i < 2 * n; i++)
        gate[i] = cx_sigmoid(gate[i] + hidden[i]);
    for (int i = 0; i < n; i++) {
        cx_real r = gate[i], z = gate[i + n];
        cx_real m = cx_tanh(gate[i + 2 * n] + r * hidden[i + 2 * n]);
        gate[i + 2 * n] = m;
        h[i] = (1 - z) * m + z * (h_prev ? h_prev[i] : 0);
    }
}

static void lstm_row(int n, cx_real *restrict gate, const cx_real *c_prev, cx_real *restrict cell,
                     cx_real *restrict tc, cx_real *restrict h) {
    for (int i = 0; i < 2 * n; i++)
        gate[i] = cx_sigmoid(gate[i]);
    for (int i = 2 * n; i < 3 * n; i++)
        gate[i] = cx_tanh(gate[i]);
    for (int i = 3 * n; i < 4 * n; i++)
        gate[i] = cx_sigmoid(gate[i]);
    for (int i = 0; i < n; i++) {
        cell[i] = gate[i + n] * (c_prev ? c_prev[i] : 0) + gate[i] * gate[i + 2 * n];
        tc[i] = cx_tanh(cell[i]);
        h[i] = gate[i + 3 * n] * tc[i];
    }
}

/* Both biases go into the gates at once, but the gru's b_hh, which r multiplies. */
static void start_gates(const cx_call *c, const layer *l) {
    int rows = l->T * l->B, wide = l->G * l->H;
    const cx_real *bi = c->in[B_IH].value, *bh = l->kind == GRU ? NULL : c->in[B_HH].value;
    if (bi || bh)
        cx_rows_fill(l->gate, bi ? bi : bh, rows, wide);
    for (int r = 0; bi && bh && r < rows; r++)
        cx_give(l->gate + (size_t)r * (size_t)wide, bh, wide, true);
    cx_gemm(false, true, rows, wide, l->I, c->in[X].value, l->I, c->in[W_IH].value, l->I, bi || bh,
            l->gate, wide);
}

void cx_recurrent_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    layer l = read_layer(c);
    int wide = l.G * l.H;
    start_gates(c, &l);
    for (int t = 0; t < l.T; t++) {
        size_t at = (size_t)t * l.step;
        const cx_real *h_prev = t ? c->out[Y].value + at - l.step : c->in[H0].value;
        const cx_real *c_prev = t ? l.cell + at - l.step : c->in[C0].value;
        cx_real *gate = l.gate + (size_t)t * l.wide, *y = c->out[Y].value + at, *to = gate;
        if (l.kind == GRU) {
            to = l.hidden + (size_t)t * l.wide;
            if (c->in[B_HH].value)
                cx_rows_fill(to, c->in[B_HH].value, l.B, wide);
            else
                cx_zero(to, l.wide);
        }
        if (h_prev)
            cx_gemm(false, true, l.B, wide, l.H, h_prev, l.H, c->in[W_HH].value, l.H, true, to,
                    wide);
        for (int b = 0; b < l.B; b++) {
            size_t row = (size_t)b * (size_t)l.H, g = (size_t)b * (size_t)wide;
            if (l.kind == LSTM)
                lstm_row(l.H, gate + g, c_prev ? c_prev + row : NULL, l.cell + at + row,
                         l.tc + at + row, y + row);
            else if (l.kind == GRU)
                gru_row(l.H, gate + g, to + g, h_prev ? h_prev + row : NULL, y + row);
            else
                rnn_row(l.kind == RNN_RELU, l.H, gate + g, y + row);
        }
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

/* dhid: the gradient of W_hh h + b_hh; dh becomes the direct part of d/dh */
static void gru_row_backward(int n, const cx_real *restrict gate, const cx_real *restrict hidden,
                             const cx_real *h_prev, cx_real *restrict dh, cx_real *restrict da,
                             cx_real *restrict dhid) {
    for (int i = 0; i < n; i++) {
        cx_real r = gate[i], z = gate[i + n], m = gate[i + 2 * n];
        cx_real dn = dh[i] * (1 - z) * (1 - m * m);
        da[i] = dhid[i] = dn * hidden[i + 2 * n] * r * (1 - r);
        da[i + n] = dhid[i + n] = dh[i] * ((h_prev ? h_prev[i] : 0) - m) * z * (1 - z);
        da[i + 2 * n] = dn;
        dhid[i + 2 * n] = dn * r;
        dh[i] *= z;
    }
}

static void lstm_row_backward(int n, const cx_real *restrict gate, const cx_real *c_prev,
                              const cx_real *restrict tc, const cx_real *restrict dh,
                              cx_real *restrict dc, cx_real *restrict da) {
    for (int i = 0; i < n; i++) {
        cx_real gi = gate[i], gf = gate[i + n], gg = gate[i + 2 * n], go = gate[i + 3 * n];
        cx_real d = dc[i] + dh[i] * go * (1 - tc[i] * tc[i]);
        da[i] = d * gg * gi * (1 - gi);
        da[i + n] = d * (c_prev ? c_prev[i] : 0) * gf * (1 - gf);
        da[i + 2 * n] = d * gi * (1 - gg * gg);
        da[i + 3 * n] = dh[i] * tc[i] * go * (1 - go);
        dc[i] = d * gf;
    }
}

static void step_backward(cx_call *c, const layer *l, int t, cx_real *dh, cx_real *dc, cx_real *da,
                          cx_real *dhid) {
    size_t at = (size_t)t * l->step, wide = (size_t)(l->G * l->H);
    const cx_real *h_prev = t ? c->out[Y].value + at - l->step : c->in[H0].value;
    const cx_real *c_prev = t ? l->cell + at - l->step : c->in[C0].value;
    const cx_real *gate = l->gate + (size_t)t * l->wide;
    for (int b = 0; b < l->B; b++) {
        size_t row = (size_t)b * (size_t)l->H, g = (size_t)b * wide;
        if (l->kind == LSTM)
            lstm_row_backward(l->H, gate + g, c_prev ? c_prev + row : NULL, l->tc + at + row,
                              dh + row, dc + row, da + g);
        else if (l->kind == GRU)
            gru_row_backward(l->H, gate + g, l->hidden + (size_t)t * l->wide + g,
                             h_prev ? h_prev + row : NULL, dh + row, da + g, dhid + g);
        else
            rnn_row_backward(l->kind == RNN_RELU, l->H, c->out[Y].value + at + row, dh + row,
                             da + g);
    }
    if (t || c->in[H0].grad)
        cx_gemm(false, false, l->B, l->H, (int)wide, dhid, (int)wide, c->in[W_HH].value, l->H,
                l->kind == GRU, dh, l->H);
}

static void matrices_backward(cx_call *c, const layer *l, const cx_real *da, const cx_real *dhid) {
    int rows = l->T * l->B, wide = l->G * l->H, h = l->H;
    if (c->in[B_IH].grad)
        cx_rows_sum(c->in[B_IH].grad, da, rows, wide, c->in[B_IH].add);
    if (c->in[B_HH].grad)
        cx_rows_sum(c->in[B_HH].grad, dhid, rows, wide, c->in[B_HH].add);
    if (c->in[W_IH].grad)
        cx_gemm(true, false, wide, l->I, rows, da, wide, c->in[X].value, l->I, c->in[W_IH].add,
                c->in[W_IH].grad, l->I);
    if (c->in[X].grad)
        cx_gemm(false, false, rows, l->I, wide, da, wide, c->in[W_IH].value, l->I, c->in[X].add,
                c->in[X].grad, l->I);
    cx_real *dw = c->in[W_HH].grad;
    bool add = c->in[W_HH].add;
    if (!dw)
        return;
    if (c->in[H0].value)
        cx_gemm(true, false, wide, h, l->B, dhid, wide, c->in[H0].value, h, add, dw, h);
    else if (!add)
        cx_zero(dw, (size_t)wide * (size_t)h);
    if (l->T > 1) /* the earlier states of steps 1.. are the outputs of steps 0.. */
        cx_gemm(true, false, wide, h, rows - l->B, dhid + l->wide, wide, c->out[Y].value, h, true,
                dw, h);
}

void cx_recurrent_backward(cx_call *c) {
    layer l = read_layer(c);
    size_t all = (size_t)l.T * l.wide;
    cx_real *da = c->temp, *dhid = l.kind == GRU ? da + all : da;
    cx_real *dh = dhid + all, *dc = dh + l.step;
    cx_zero(dh, 2 * l.step);
    if (c->out[H].grad)
        cx_give(dh, c->out[H].grad, (int)l.step, false);
    if (l.kind == LSTM && c->out[C].grad)
        cx_give(dc, c->out[C].grad, (int)l.step, false);
    for (int t = l.T - 1; t >= 0; t--) {
        if (c->out[Y].grad)
            cx_give(dh, c->out[Y].grad + (size_t)t * l.step, (int)l.step, true);
        step_backward(c, &l, t, dh, dc, da + (size_t)t * l.wide, dhid + (size_t)t * l.wide);
    }
    if (c->in[H0].grad)
        cx_give(c->in[H0].grad, dh, (int)l.step, c->in[H0].add);
    if (l.kind == LSTM && c->in[C0].grad)
        cx_give(c->in[C0].grad, dc, (int)l.step, c->in[C0].add);
    matrices_backward(c, &l, da, dhid);
}
