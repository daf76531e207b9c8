/* What an operator is: one row of the table in nn/ops.c. Private to nn/; users of
 * graphs name operators by string. Adding one: its functions in the file of its
 * family, one row in the table, one case in tests/nn/double_gradients.c. All files of nn/
 * but graph.c, run.c, replay.c and op_lookup.c are compiled once for each level of the
 * instruction set (base/level.h). */
#ifndef CX_NN_OPS_H
#define CX_NN_OPS_H

#include "nn/graph.h"
#include <string.h>

/* Before a loop over arrays that are the same or apart but never shifted, so that no
 * iteration depends on another: in-place operators are vectorized, too. */
#define CX_IVDEP _Pragma("GCC ivdep")

#define CX_OP_INPUTS 12
#define CX_OP_OUTPUTS 4
#define CX_OP_ATTRS 8

typedef enum {
    CX_IN_NONE, /* end of the list */
    CX_IN_REAL, /* differentiable */
    CX_IN_DATA, /* numbers whose gradient is never computed (targets) */
    CX_IN_INT,  /* int32 class numbers and indices */
    CX_IN_STATE /* running statistics: a state, written in train mode */
} cx_in_kind;

typedef struct {
    const char *name;
    cx_in_kind kind;
    bool optional; /* may be -1 or, at the end, left away */
} cx_op_input;

typedef struct {
    const char *name;
    double value, low, high; /* default, range */
    bool integer;
} cx_op_attr;

/* One array as one operator sees it. */
typedef struct {
    cx_ref ref; /* -1: an optional input that is absent */
    cx_shape shape;
    int size;       /* numbers */
    cx_real *value; /* NULL: absent, or of integers */
    int32_t *index; /* of an integer input */
    /* Input: where the gradient goes, NULL when nobody wants it; `add`: it already
     * holds another consumer's part (else it is to be overwritten).
     * Output: the gradient that comes in; NULL stands for zero. A single output
     * has one whenever backward is called. */
    cx_real *grad;
    bool add;
} cx_slot;

typedef struct cx_call cx_call;

typedef struct {
    const char *name;
    cx_op_input inputs[CX_OP_INPUTS];
    const char *outputs[CX_OP_OUTPUTS];
    cx_op_attr attrs[CX_OP_ATTRS];
    /* Checks the inputs' shapes; sets out[].shape, save_size, temp_size, flops. */
    int (*shape)(cx_call *c, cx_error *err);
    void (*forward)(cx_call *c, cx_rng *rng);
    void (*backward)(cx_call *c); /* NULL: no input is differentiable */
    /* Are the values of the integer inputs within range? NULL: there are none. */
    int (*check)(const cx_call *c, cx_error *err);
    /* May the first output lie in the memory of the first input (same shape, backward
     * reads only outputs and `save`)? */
    bool in_place;
    bool reads_output; /* backward reads the value of an output */
    bool draws;        /* draws random numbers in train mode */
    /* May this call compute the relu of its result, too (cx_call.relu)? NULL: never. */
    bool (*takes_relu)(const cx_call *c);
    bool relu_first; /* it is all the same whether relu comes before or after it */
} cx_op;

struct cx_call {
    const cx_op *op;
    cx_slot in[CX_OP_INPUTS], out[CX_OP_OUTPUTS];
    double attr[CX_OP_ATTRS];
    bool given[CX_OP_ATTRS];     /* set by the user, not by default */
    size_t save_size, temp_size; /* numbers */
    cx_real *save;               /* kept from forward to backward */
    cx_real *temp;               /* shared by all operators, valid within one call */
    double flops;                /* of the matrix products of one forward pass */
    cx_mode mode;                /* of the last forward pass */
    bool relu; /* the result goes through relu; backward gets the gradient of that */
    bool idle; /* a relu that another call computes */
};

/* The operators, with the kernels of cx_level_now(); ends with a row without a name. */
const cx_op *cx_op_table(void);
const cx_op *cx_op_find(const char *name); /* NULL: there is none */

/* The fault of a shape function: "linear(x [4,6], w [3,5]): ...". */
int cx_op_fault(const cx_call *c, cx_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* CX_EDATA unless all numbers of integer input k are within low..high (or `also`). */
int cx_index_check(const cx_call *c, int k, int low, int high, double also, cx_error *err);
int cx_cross_entropy_check(const cx_call *c, cx_error *err);
int cx_embedding_check(const cx_call *c, cx_error *err);
int cx_ctc_check(const cx_call *c, cx_error *err);
/* "[4,6]" into out; returns out. */
const char *cx_shape_text(const cx_shape *shape, char *out, size_t size);
bool cx_shape_equal(const cx_shape *a, const cx_shape *b);
static inline int cx_last_dim(const cx_shape *s) {
    return s->rank ? s->dim[s->rank - 1] : 1;
}
/* out[0] has the shape of in[0]: the shape function of elementwise operators */
int cx_shape_same(cx_call *c, cx_error *err);

/* for cx_op.takes_relu */
bool cx_takes_relu(const cx_call *c);
bool cx_add_takes_relu(const cx_call *c);

/* c[m,n] (+)= op(a) op(b), row-major, leading dimensions given. */
void cx_gemm(bool ta, bool tb, int m, int n, int k, const cx_real *a, int lda, const cx_real *b,
             int ldb, bool add, cx_real *c, int ldc);
/* y[rows,cols]: every row becomes b. */
void cx_rows_fill(cx_real *y, const cx_real *b, int rows, int cols);
/* db[cols] (+)= sum of the rows of y. */
void cx_rows_sum(cx_real *db, const cx_real *y, int rows, int cols, bool add);
/* dx (+)= v */
void cx_give(cx_real *dx, const cx_real *v, int n, bool add);
static inline void cx_zero(cx_real *x, size_t n) {
    memset(x, 0, n * sizeof *x);
}
/* sum of n numbers */
cx_real cx_total(const cx_real *x, int n);
/* y = softmax(x) of one row (y may be x); returns log sum exp x. */
cx_real cx_softmax_row(cx_real *y, const cx_real *x, int n);

/* --- the families: X(function prefix) declares shape, forward and backward --- */
#define CX_DECLARE_OP(f)                                                                           \
    int f##_shape(cx_call *c, cx_error *err);                                                      \
    void f##_forward(cx_call *c, cx_rng *rng);                                                     \
    void f##_backward(cx_call *c);

#define CX_DECLARE_ACT(f)                                                                          \
    void f##_forward(cx_call *c, cx_rng *rng);                                                     \
    void f##_backward(cx_call *c);

CX_DECLARE_OP(cx_linear)
CX_DECLARE_ACT(cx_relu)
CX_DECLARE_ACT(cx_leaky_relu)
CX_DECLARE_ACT(cx_elu)
CX_DECLARE_ACT(cx_celu)
CX_DECLARE_ACT(cx_tanh_act)
CX_DECLARE_ACT(cx_sigmoid_act)
CX_DECLARE_ACT(cx_silu)
CX_DECLARE_ACT(cx_gelu_erf)
CX_DECLARE_ACT(cx_gelu_tanh)
CX_DECLARE_OP(cx_prelu)
CX_DECLARE_OP(cx_rrelu)
CX_DECLARE_OP(cx_dropout)
CX_DECLARE_OP(cx_add)
CX_DECLARE_OP(cx_mul)
CX_DECLARE_ACT(cx_scale)
CX_DECLARE_OP(cx_reshape)
CX_DECLARE_OP(cx_flatten)
CX_DECLARE_OP(cx_concat)
void cx_stop_gradient_forward(cx_call *c, cx_rng *rng);
CX_DECLARE_OP(cx_layernorm)
CX_DECLARE_OP(cx_lstm_layernorm)
CX_DECLARE_OP(cx_cross_entropy)
CX_DECLARE_OP(cx_mse)
CX_DECLARE_OP(cx_mae)
CX_DECLARE_OP(cx_huber)
CX_DECLARE_OP(cx_bce_with_logits)
CX_DECLARE_OP(cx_conv2d)
CX_DECLARE_OP(cx_maxpool2d)
CX_DECLARE_OP(cx_avgpool2d)
CX_DECLARE_OP(cx_batchnorm)
CX_DECLARE_OP(cx_groupnorm)
CX_DECLARE_OP(cx_softmax)
CX_DECLARE_OP(cx_log_softmax)
CX_DECLARE_OP(cx_embedding)
CX_DECLARE_OP(cx_recurrent)
CX_DECLARE_OP(cx_causal_attention)
CX_DECLARE_OP(cx_ctc)

#endif
