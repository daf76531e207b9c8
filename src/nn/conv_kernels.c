/* The tiles under convolutions that have an image in each lane. */
#include "nn/conv_lanes.h"

#define INLINE static inline __attribute__((always_inline))

/* With rows and vectors known to the compiler everything is unrolled into registers. */
INLINE void multiply(const cx_conv_tile *t, const int rows, const int vectors) {
    cx_vec acc[CX_CONV_ROWS][CX_CONV_VECTORS];
    const cx_real *a = t->a;
    ptrdiff_t a_row = t->a_row, step = t->b_step;
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            acc[i][v] = cx_vset(t->bias ? t->bias[i] : 0);
    for (int p = 0; p < t->k; p++) {
        const cx_real *b = t->b + t->offset[p];
        cx_vec bv[CX_CONV_VECTORS];
        for (int v = 0; v < vectors; v++)
            bv[v] = cx_vload(b + v * step);
        for (int i = 0; i < rows; i++) {
            cx_vec av = cx_vset(a[i * a_row + p]);
            for (int v = 0; v < vectors; v++)
                acc[i][v] = CX_VFMA(av, bv[v], acc[i][v]);
        }
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            cx_vstore(t->c + i * t->c_row + v * t->c_step, acc[i][v]);
}

/* one function for each number of rows and vectors */
#define KERNEL(R, V)                                                                               \
    static __attribute__((noinline)) void multiply_##R##_##V(const cx_conv_tile *t) {              \
        multiply(t, R, V);                                                                         \
    }
#if CX_CONV_VECTORS == 3
#define KERNELS(R) KERNEL(R, 1) KERNEL(R, 2) KERNEL(R, 3)
#define ROW(R)                                                                                     \
    { multiply_##R##_1, multiply_##R##_2, multiply_##R##_3 }
#else
#define KERNELS(R) KERNEL(R, 1) KERNEL(R, 2)
#define ROW(R)                                                                                     \
    { multiply_##R##_1, multiply_##R##_2 }
#endif
KERNELS(1)
KERNELS(2)
KERNELS(3)
KERNELS(4)
#if CX_VEC_BYTES == 64
KERNELS(5)
KERNELS(6)
KERNELS(7)
KERNELS(8)
#define EACH ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6), ROW(7), ROW(8)
#else
#define EACH ROW(1), ROW(2), ROW(3), ROW(4)
#endif
static void (*const kernels[CX_CONV_ROWS][CX_CONV_VECTORS])(const cx_conv_tile *) = {EACH};

void cx_conv_correlate(const cx_conv_grid *g, cx_conv_tile t, int out, ptrdiff_t c_channel) {
    const cx_real *b = t.b, *a = t.a, *bias = t.bias;
    cx_real *c = t.c;
    t.b_step = g->in_col;
    t.c_step = g->out_col;
    t.c_row = c_channel;
    for (int o = 0; o < out; o += CX_CONV_ROWS) {
        int rows = out - o < CX_CONV_ROWS ? out - o : CX_CONV_ROWS;
        t.a = a + o * t.a_row;
        t.bias = bias ? bias + o : NULL;
        for (int y = 0; y < g->rows; y++)
            for (int x = 0, n; x < g->cols; x += n) {
                int left = g->cols - x;
                n = left < CX_CONV_VECTORS ? left : CX_CONV_VECTORS;
                n = left == CX_CONV_VECTORS + 1 ? (left + 1) / 2 : n; /* 2 + 2, not 3 + 1 */
                t.b = b + y * g->in_row + x * g->in_col;
                t.c = c + o * c_channel + y * g->out_row + x * g->out_col;
                kernels[rows - 1][n - 1](&t);
            }
    }
}

INLINE void dots(const cx_conv_dot *d, const int n_b) {
    cx_vec acc[CX_DOT_A][CX_DOT_B];
    for (int i = 0; i < CX_DOT_A; i++)
        for (int j = 0; j < n_b; j++)
            acc[i][j] = (cx_vec){0};
    for (int y = 0; y < d->rows; y++) {
        const cx_real *a[CX_DOT_A], *b[CX_DOT_B];
        for (int i = 0; i < CX_DOT_A; i++)
            a[i] = d->a[i] + y * d->a_line;
        for (int j = 0; j < n_b; j++)
            b[j] = d->b[j] + y * d->b_line;
        for (int x = 0; x < d->cols; x++) {
            ptrdiff_t at = (ptrdiff_t)x * CX_LANES, bt = x * d->b_step;
            cx_vec av[CX_DOT_A];
            for (int i = 0; i < CX_DOT_A; i++)
                av[i] = cx_vload(a[i] + at);
            for (int j = 0; j < n_b; j++) {
                cx_vec bv = cx_vload(b[j] + bt);
                for (int i = 0; i < CX_DOT_A; i++)
                    acc[i][j] = CX_VFMA(av[i], bv, acc[i][j]);
            }
        }
    }
    for (int i = 0; i < d->n_a; i++)
        for (int j = 0; j < n_b && j < d->n_b; j++) {
            cx_real *to = d->c + i * d->c_row + j, sum = cx_vsum(acc[i][j]);
            *to = d->add ? *to + sum : sum;
        }
}

void cx_conv_dots(const cx_conv_dot *d) {
    if (d->n_b > CX_DOT_B / 2)
        dots(d, CX_DOT_B);
    else
        dots(d, CX_DOT_B / 2);
}
