/* The loops of one step of the policy (cx_net_step), for each level of the instruction
 * set. At batch 1 the time is that of reading the weights once, which a library's
 * matrix-vector product does several times slower. A test holds them against the graphs of
 * learning. */
#ifndef CX_POLICY_ACTING_H
#define CX_POLICY_ACTING_H

#include <stdbool.h>

typedef struct {
    const float *gain1, *bias1, *gain2, *bias2, *gain3, *bias3; /* 4n, 4n, 4n, 4n, n, n */
} cx_acting_norms;

typedef struct {
    /* y[rows] = w[rows,n] x (+ b) (+ y where `add`); `upward`: from the last row to the first,
     * with the same result */
    void (*matvec)(const float *w, const float *b, const float *x, int rows, int n, bool add,
                   bool upward, float *y);
    void (*apply_tanh)(float *x, int n);
    /* gate[4n] = W x and other[4n] = U h come in; h and c are replaced. */
    void (*cell)(const cx_acting_norms *norms, int n, float *restrict gate, float *restrict other,
                 float *restrict h, float *restrict c);
} cx_acting_kernels;
/* Those of cx_level_now(). */
const cx_acting_kernels *cx_acting_kernels_now(void);

#endif
