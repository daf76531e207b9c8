/* y = x w^T + b over the last dimension: x [..., in], w [out, in], b [out]. */
#include "nn/ops.h"

enum { X, W, B };

int cx_linear_shape(cx_call *c, cx_error *err) {
    const cx_shape *x = &c->in[X].shape, *w = &c->in[W].shape;
    if (x->rank < 1 || w->rank != 2 || w->dim[1] != cx_last_dim(x))
        return cx_op_fault(c, err, "w must be [out,in] with in = the last dimension of x");
    if (c->in[B].ref >= 0 && (c->in[B].shape.rank != 1 || c->in[B].shape.dim[0] != w->dim[0]))
        return cx_op_fault(c, err, "b must be [%d]", w->dim[0]);
    c->out[0].shape = *x;
    c->out[0].shape.dim[x->rank - 1] = w->dim[0];
    c->flops = 2.0 * c->in[X].size * w->dim[0];
    return CX_OK;
}

void cx_linear_forward(cx_call *c, cx_rng *rng) {
    (void)rng;
    int in = c->in[W].shape.dim[1], out = c->in[W].shape.dim[0], rows = c->in[X].size / in;
    if (c->in[B].value)
        cx_rows_fill(c->out[0].value, c->in[B].value, rows, out);
    cx_gemm(false, true, rows, out, in, c->in[X].value, in, c->in[W].value, in,
            c->in[B].value != NULL, c->out[0].value, out);
}

void cx_linear_backward(cx_call *c) {
    int in = c->in[W].shape.dim[1], out = c->in[W].shape.dim[0], rows = c->in[X].size / in;
    const cx_real *dy = c->out[0].grad;
    if (c->in[W].grad)
        cx_gemm(true, false, out, in, rows, dy, out, c->in[X].value, in, c->in[W].add,
                c->in[W].grad, in);
    if (c->in[B].grad)
        cx_rows_sum(c->in[B].grad, dy, rows, out, c->in[B].add);
    if (c->in[X].grad)
        cx_gemm(false, false, rows, in, out, dy, out, c->in[W].value, in, c->in[X].add,
                c->in[X].grad, in);
}
