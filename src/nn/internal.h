/* The inside of a graph, shared by the files of nn/ that build, plan and run it. */
#ifndef CX_NN_INTERNAL_H
#define CX_NN_INTERNAL_H

#include "base/arena.h"
#include "nn/ops.h"

typedef enum {
    CX_ARRAY_INPUT,
    CX_ARRAY_INT,
    CX_ARRAY_PARAM,
    CX_ARRAY_STATE,
    CX_ARRAY_OUTPUT
} cx_array_kind;

typedef struct {
    char name[32];
    cx_array_kind kind;
    cx_shape shape;
    int size;
    cx_init init; /* of parameters and states */
    double init_value;
    int producer, output; /* outputs: the call and which of its outputs */
    int consumers;        /* input slots that read it */
    bool needs_grad;      /* a parameter or an input with gradient lies behind it */
    bool kept;            /* cx_graph_keep: nothing may overwrite it */
    int param;            /* row of the params table, -1: none */
    int alias;            /* the array whose memory it uses, -1: its own */
    bool overwritten;     /* another array works in its memory: it has no gradient of its own */
    cx_real *value, *grad;
    int32_t *index;
} cx_array;

/* What changes while running; apart from the rest so that accessors on a const graph
 * can note what they gave away. */
typedef struct {
    bool exposed; /* the caller was given its gradient and may write to it */
    bool filled;  /* its gradient holds something in this backward pass */
} cx_array_run;

struct cx_graph {
    cx_error fault; /* the first fault of building */
    cx_array *arrays;
    int n_arrays, max_arrays;
    cx_call *calls;
    int n_calls, max_calls;
    bool planned, forward_only;
    cx_arena own;   /* of cx_graph_plan */
    cx_arena arena; /* what arrays are placed in */
    size_t bytes;   /* of all of them */
    cx_array_run *run;
    cx_param *params;
    int n_params, n_trainable;
    size_t param_count, state_count;
    cx_real *block, *grads;
    bool fresh; /* zero_grads was called since the last backward pass */
    double flops;
};

#endif
