/* A neural network as a graph of operators. Built once, planned once (shapes,
 * one arena), then run without allocation:
 *
 *     cx_graph *g = cx_graph_create();
 *     cx_ref x = cx_graph_input(g, "x", CX_SHAPE(128, 784));
 *     cx_ref w = cx_graph_param(g, "w", CX_SHAPE(10, 784), CX_INIT_FAN_IN, 784);
 *     cx_ref y = cx_graph_op(g, "linear", (cx_ref[]){x, w}, 2, NULL);
 *     if (cx_graph_plan(g, 0, &err)) ...
 *     cx_graph_bind(g, params, grads);
 *     cx_graph_forward(g, CX_TRAIN, &rng);
 *
 * Building calls keep the first fault inside the graph and return -1 from then
 * on; cx_graph_plan reports it. All arrays are row-major. */
#ifndef CX_NN_GRAPH_H
#define CX_NN_GRAPH_H

#include "base/error.h"
#include "base/rng.h"
#include "nn/real.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CX_RANK_MAX 4
#define CX_PARAM_ALIGN 16 /* numbers: every tensor of a flat block starts at a multiple */

typedef int cx_ref; /* one array of the graph; -1: none */
typedef struct cx_graph cx_graph;

typedef struct {
    int rank; /* 0: a scalar */
    int dim[CX_RANK_MAX];
} cx_shape;

#define CX_SHAPE(...)                                                                              \
    ((cx_shape){.rank = (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), .dim = {__VA_ARGS__}})
#define CX_SCALAR ((cx_shape){.rank = 0})
size_t cx_shape_size(const cx_shape *shape);

/* How a parameter starts. FAN_IN: uniform in +-1/sqrt(fan_in) (PyTorch's default
 * for linear, convolution and recurrent layers). */
typedef enum {
    CX_INIT_ZERO,
    CX_INIT_ONE,
    CX_INIT_FAN_IN,
    CX_INIT_NORMAL,
    CX_INIT_CONSTANT
} cx_init;

/* One tensor of the flat block. Trainable tensors come first, in the order in
 * which they were declared; then the untrained state (running statistics). */
typedef struct {
    char name[32];
    cx_shape shape;
    size_t offset, size; /* numbers, not bytes */
    bool trainable;
    cx_init init;
    double init_value; /* FAN_IN: fan_in; NORMAL: deviation; CONSTANT: the value */
} cx_param;

/* Numbers that configure an operator, by name: NULL, or an array that ends with
 * a row of name NULL. Absent ones have the operator's default. */
typedef struct {
    const char *name;
    double value;
} cx_attr;

typedef enum { CX_TRAIN, CX_EVAL } cx_mode;

cx_graph *cx_graph_create(void); /* NULL: out of memory */
void cx_graph_destroy(cx_graph *g);

/* An array that the caller fills before each forward pass. With `with_grad`
 * backward also leaves its gradient (cx_graph_grad). */
cx_ref cx_graph_input(cx_graph *g, const char *name, cx_shape shape, bool with_grad);
/* The same for int32 class numbers and indices. */
cx_ref cx_graph_input_int(cx_graph *g, const char *name, cx_shape shape);
cx_ref cx_graph_param(cx_graph *g, const char *name, cx_shape shape, cx_init init,
                      double init_value);
/* Untrained state that belongs to the block (running mean, running variance). */
cx_ref cx_graph_state(cx_graph *g, const char *name, cx_shape shape, double value);
/* Adds an operator found by name (the table in nn/ops.h says which exist, with
 * their inputs, outputs and attributes) and returns its first output. */
cx_ref cx_graph_op(cx_graph *g, const char *op, const cx_ref *inputs, int n_inputs,
                   const cx_attr *attrs);
/* Output k of the operator whose first output is `first`. */
cx_ref cx_graph_output(const cx_graph *g, cx_ref first, int k);

/* The value of this array will be read (or must not be overwritten): without it, an
 * operator that is the array's only reader may put its result into the same memory
 * (activations do), after which cx_graph_value of both shows the result, and
 * cx_graph_grad of the first is NULL; and a relu that only a pooling reads may be left to
 * that, after which its value is its input and its gradient NULL. An operator's second and further
 * outputs (attention weights, last states) have a gradient only where an operator reads them or
 * this was called. Before planning. */
void cx_graph_keep(cx_graph *g, cx_ref r);

/* Numbers of the trainable parameters declared so far, without padding. Before planning,
 * too: how large a network would be. */
size_t cx_graph_declared_count(const cx_graph *g);

/* Computes all offsets and allocates one arena. `forward_only`: no memory for
 * gradients (cx_graph_backward is then an error). */
int cx_graph_plan(cx_graph *g, bool forward_only, cx_error *err);
/* The same without memory: cx_graph_place gives it some, of cx_graph_arena_bytes, aligned to
 * CX_ALIGN, zero or not. Several graphs may have the same, of which one is run at a time, from
 * its inputs to the last look at its values and gradients. It stays the caller's, and may be
 * another at any time. */
int cx_graph_plan_only(cx_graph *g, bool forward_only, cx_error *err);
void cx_graph_place(cx_graph *g, void *memory);

/* --- after planning --- */
int cx_graph_param_tensors(const cx_graph *g); /* trainable tensors */
int cx_graph_all_tensors(const cx_graph *g);   /* with untrained state */
const cx_param *cx_graph_param_info(const cx_graph *g, int i);
size_t cx_graph_param_count(const cx_graph *g); /* numbers, trainable part, padded */
size_t cx_graph_state_count(const cx_graph *g); /* numbers, whole block, padded */
size_t cx_graph_arena_bytes(const cx_graph *g);
double cx_graph_flops(const cx_graph *g); /* of matrix products, one forward pass */

/* Fills a block of cx_graph_state_count numbers with initial values. */
void cx_graph_init(const cx_graph *g, cx_real *block, cx_rng *rng);
/* The block to work on (state_count numbers; train mode updates running
 * statistics in it) and the gradients (param_count numbers; may be NULL when
 * forward only). Neither is owned. May be called again at any time. */
void cx_graph_bind(cx_graph *g, cx_real *block, cx_real *grads);

cx_shape cx_graph_shape(const cx_graph *g, cx_ref r);
cx_real *cx_graph_value(const cx_graph *g, cx_ref r);     /* owned by the graph (params: bound) */
int32_t *cx_graph_value_int(const cx_graph *g, cx_ref r); /* of an integer input */
cx_real *cx_graph_grad(const cx_graph *g, cx_ref r);      /* NULL where none is kept */

/* Checks the values of all integer inputs as they stand: class numbers and indices
 * within range, lengths that fit. CX_EDATA names operator, input, position and value.
 * cx_graph_forward itself does not fail: an index out of range makes the loss NaN (a
 * row of an embedding NaN) and touches no other memory. */
int cx_graph_check_indices(const cx_graph *g, cx_error *err);

/* rng may be NULL where no operator draws (dropout and rrelu in train mode do). */
void cx_graph_forward(cx_graph *g, cx_mode mode, cx_rng *rng);
/* Starts a gradient: what cx_graph_grad has given out for outputs is set to zero. The
 * caller then writes d(objective)/d(output) into cx_graph_grad of one or more outputs
 * (a loss: 1) and calls cx_graph_backward, which overwrites the bound gradients and those
 * of inputs (parameters that no seeded output depends on get zeros, and so does the
 * padding). A further cx_graph_backward without cx_graph_zero_grads before it adds to
 * the bound gradients. */
void cx_graph_zero_grads(cx_graph *g);
void cx_graph_backward(cx_graph *g);
/* zero_grads, grad(loss) = 1, backward. */
void cx_graph_backward_loss(cx_graph *g, cx_ref loss);

#endif
