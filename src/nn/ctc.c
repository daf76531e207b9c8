/* Connectionist temporal classification (Graves et al. 2006). x [T,B,C] are logits, the
 * log-softmax over C is part of it; targets [B,S] padded; input_lengths, target_lengths
 * [B]. Outputs: loss and nll [B], the negative log-likelihood of each sequence.
 * reduction 0: mean over b of nll_b / max(target length, 1); 1: sum.
 *
 * The recursions run in logarithms over the labels with blanks between, and every time
 * step is shifted by its largest value: only differences within a step matter to the
 * gradient, p - posterior, because the posteriors of a step sum to 1. Sequences whose
 * lengths or labels are out of range give NaN. */
#include "nn/ops.h"
#include "nn/vmath.h"

#include <math.h>
#include <string.h>

enum { X, TARGETS, INPUT_LENGTHS, TARGET_LENGTHS };
enum { LOSS, NLL };
enum { REDUCTION, BLANK, ZERO_INFINITY };
enum { PAD = 2 }; /* -inf beside each row: the neighbors of the first and last label */

typedef struct {
    int T, B, C, S, blank;
    size_t row;            /* room of one row of labels with blanks */
    cx_real *prob, *alpha; /* [T,B,C] softmax, then log-softmax behind it; [B][T][row] */
} sizes;

static sizes read_sizes(const cx_call *c) {
    const cx_shape *x = &c->in[X].shape;
    sizes s = {.T = x->dim[0],
               .B = x->dim[1],
               .C = x->dim[2],
               .S = c->in[TARGETS].shape.dim[1],
               .blank = (int)c->attr[BLANK]};
    s.row = (size_t)(2 * s.S + 1 + 2 * PAD);
    s.prob = c->save;
    if (s.prob)
        s.alpha = s.prob + 2 * (size_t)c->in[X].size;
    return s;
}

int cx_ctc_shape(cx_call *c, cx_error *err) {
    const cx_shape *x = &c->in[X].shape, *t = &c->in[TARGETS].shape;
    if (x->rank != 3 || t->rank != 2 || t->dim[0] != x->dim[1])
        return cx_op_fault(c, err, "x must be [T,B,C], targets [B,S]");
    for (int k = INPUT_LENGTHS; k <= TARGET_LENGTHS; k++)
        if (c->in[k].shape.rank != 1 || c->in[k].shape.dim[0] != x->dim[1])
            return cx_op_fault(c, err, "%s must be [%d]", c->op->inputs[k].name, x->dim[1]);
    if (c->attr[BLANK] >= x->dim[2])
        return cx_op_fault(c, err, "blank %g is no class", c->attr[BLANK]);
    sizes s = read_sizes(c);
    c->out[LOSS].shape = CX_SCALAR;
    c->out[NLL].shape = CX_SHAPE(s.B);
    c->save_size = 2 * (size_t)c->in[X].size + (size_t)(s.B * s.T) * s.row;
    c->temp_size = 4 * s.row;
    return CX_OK;
}

/* NULL, or what is wrong with sequence b */
static const char *fault_of(const cx_call *c, const sizes *s, int b) {
    int32_t frames = c->in[INPUT_LENGTHS].index[b], n = c->in[TARGET_LENGTHS].index[b];
    if (frames < 0 || frames > s->T)
        return "input_lengths is outside 0..T";
    if (n < 0 || n > s->S)
        return "target_lengths is outside 0..S";
    for (int i = 0; i < n; i++) {
        int32_t t = c->in[TARGETS].index[b * s->S + i];
        if (t < 0 || t >= s->C || t == s->blank)
            return "a target is no class, or the blank";
    }
    return NULL;
}

int cx_ctc_check(const cx_call *c, cx_error *err) {
    sizes s = read_sizes(c);
    for (int b = 0; b < s.B; b++)
        if (fault_of(c, &s, b))
            return cx_fail(err, CX_EDATA, "ctc: sequence %d: %s", b, fault_of(c, &s, b));
    return CX_OK;
}

static inline cx_real log_sum(cx_real a, cx_real b, cx_real c) {
    cx_real m = a > b ? a : b;
    m = m > c ? m : c;
    cx_real shift = m == -INFINITY ? 0 : m;
    return shift + cx_log(cx_exp(a - shift) + cx_exp(b - shift) + cx_exp(c - shift));
}

/* Label k of the sequence with blanks. */
static int label(const cx_call *c, const sizes *s, int b, int k) {
    return k % 2 ? c->in[TARGETS].index[b * s->S + k / 2] : s->blank;
}

static void fill_infinite(cx_real *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = -INFINITY;
}

/* skip[k]: 0 where label k may follow label k-2 directly, else -inf */
static void fill_skips(const cx_call *c, const sizes *s, int b, int n, cx_real *skip) {
    fill_infinite(skip, s->row);
    for (int k = 3; k < n; k += 2)
        if (label(c, s, b, k) != label(c, s, b, k - 2))
            skip[k] = 0;
}

static const cx_real *log_prob(const cx_call *c, const sizes *s, int t, int b) {
    return s->prob + (size_t)c->in[X].size + ((size_t)t * (size_t)s->B + (size_t)b) * (size_t)s->C;
}

/* Shifts a row by its largest value, which is returned (0 where all are -inf). */
static cx_real shift_row(cx_real *x, int n) {
    cx_real m = x[0];
    for (int k = 1; k < n; k++)
        m = x[k] > m || m != m ? x[k] : m;
    if (m == -INFINITY)
        return 0;
    for (int k = 0; k < n; k++)
        x[k] -= m;
    return m;
}

/* alpha of all frames of sequence b; returns the log-likelihood. */
static double forward_pass(const cx_call *c, const sizes *s, int b, cx_real *temp) {
    int frames = c->in[INPUT_LENGTHS].index[b], n = 2 * c->in[TARGET_LENGTHS].index[b] + 1;
    if (frames == 0)
        return n == 1 ? 0 : -INFINITY;
    cx_real *skip = temp, *emit = temp + s->row;
    fill_skips(c, s, b, n, skip);
    double total = 0;
    const cx_real *before = NULL;
    cx_real *a = NULL;
    for (int t = 0; t < frames; t++, before = a) {
        a = s->alpha + ((size_t)b * (size_t)s->T + (size_t)t) * s->row + PAD;
        fill_infinite(a - PAD, s->row);
        const cx_real *lp = log_prob(c, s, t, b);
        for (int k = 0; k < n; k++)
            emit[k] = lp[label(c, s, b, k)];
        if (!before)
            for (int k = 0; k < n && k < 2; k++)
                a[k] = emit[k];
        else
            for (int k = 0; k < n; k++)
                a[k] = emit[k] + log_sum(before[k], before[k - 1], before[k - 2] + skip[k]);
        total += shift_row(a, n);
    }
    return total + log_sum(a[n - 1], n > 1 ? a[n - 2] : -INFINITY, -INFINITY);
}

void cx_ctc_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    sizes s = read_sizes(c);
    size_t x_size = (size_t)c->in[X].size, width = (size_t)s.C;
    for (size_t at = 0; at < x_size; at += width) {
        const cx_real *x = c->in[X].value + at;
        cx_real lse = cx_softmax_row(s.prob + at, x, s.C);
        for (size_t k = 0; k < width; k++)
            s.prob[x_size + at + k] = x[k] - lse;
    }
    double loss = 0;
    for (int b = 0; b < s.B; b++) {
        int32_t n = c->in[TARGET_LENGTHS].index[b];
        double nll = fault_of(c, &s, b) ? NAN : -forward_pass(c, &s, b, c->temp);
        if (isinf(nll) && nll > 0 && c->attr[ZERO_INFINITY] != 0)
            nll = 0;
        c->out[NLL].value[b] = (cx_real)nll;
        loss += c->attr[REDUCTION] == 0 ? nll / (n > 1 ? n : 1) / s.B : nll;
    }
    c->out[LOSS].value[0] = (cx_real)loss;
}

/* dx of all frames of sequence b: weight (softmax - posterior of each class) */
static void backward_pass(cx_call *c, const sizes *s, int b, cx_real weight) {
    int frames = c->in[INPUT_LENGTHS].index[b], n = 2 * c->in[TARGET_LENGTHS].index[b] + 1;
    cx_real *skip = c->temp, *next = skip + s->row, *beta = next + s->row, *post = beta + s->row;
    fill_skips(c, s, b, n, skip);
    fill_infinite(next, s->row); /* beta + emission of the later frame */
    for (int t = frames - 1; t >= 0; t--) {
        for (int k = 0; k < n; k++)
            beta[k] = t == frames - 1 ? (k >= n - 2 ? 0 : -INFINITY)
                                      : log_sum(next[k], next[k + 1], next[k + 2] + skip[k + 2]);
        (void)shift_row(beta, n);
        const cx_real *a = s->alpha + ((size_t)b * (size_t)s->T + (size_t)t) * s->row + PAD;
        for (int k = 0; k < n; k++)
            post[k] = a[k] + beta[k];
        (void)cx_softmax_row(post, post, n);
        size_t at = ((size_t)t * (size_t)s->B + (size_t)b) * (size_t)s->C;
        cx_real *dx = c->in[X].grad + at;
        for (int k = 0; k < s->C; k++)
            dx[k] += weight * s->prob[at + (size_t)k];
        const cx_real *lp = log_prob(c, s, t, b);
        for (int k = 0; k < n; k++) {
            dx[label(c, s, b, k)] -= weight * post[k];
            next[k] = beta[k] + lp[label(c, s, b, k)];
        }
    }
}

void cx_ctc_backward(cx_call *c) {
    sizes s = read_sizes(c);
    cx_real g = c->out[LOSS].grad ? c->out[LOSS].grad[0] : 0;
    if (!c->in[X].add)
        cx_zero(c->in[X].grad, (size_t)c->in[X].size);
    for (int b = 0; b < s.B; b++) {
        int32_t n = c->in[TARGET_LENGTHS].index[b];
        cx_real w = c->attr[REDUCTION] == 0 ? g / (cx_real)(n > 1 ? n : 1) / (cx_real)s.B : g;
        if (c->out[NLL].grad)
            w += c->out[NLL].grad[b];
        if (fault_of(c, &s, b))
            continue;
        /* an nll of 0 was infinite before, or is that of a certain sequence, whose gradient is 0 */
        if (c->attr[ZERO_INFINITY] == 0 || c->out[NLL].value[b] != 0)
            backward_pass(c, &s, b, w);
    }
}
