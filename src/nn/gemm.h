/* The multiply-add kernels under matrix products and convolutions. They exist because
 * the products of inner tasks are small (a few hundred a side, often 16 or 32 rows) and
 * because OpenBLAS of 2022 does not know newer processors and falls back to its SSE3
 * kernels on them, at a quarter of the speed. Private to nn/. */
#ifndef CX_NN_GEMM_H
#define CX_NN_GEMM_H

#include "nn/simd.h"
#include <stdbool.h>
#include <stddef.h>

/* accumulators of one tile: CX_TILE_ROWS times CX_TILE_VECTORS registers */
#define CX_TILE_ROWS (CX_VEC_BYTES == 64 ? 8 : 4)
#define CX_TILE_VECTORS 2
#define CX_TILE_COLS (CX_TILE_VECTORS * CX_LANES)

/* c[rows][cols] (+)= sum over k of a[i * a_row + k * a_col] * b[k * b_row .. ]; rows <=
 * CX_TILE_ROWS, cols <= CX_TILE_COLS; rows of b are read in whole vectors. */
void cx_tile(int rows, int cols, int k, const cx_real *a, ptrdiff_t a_row, ptrdiff_t a_col,
             const cx_real *b, ptrdiff_t b_row, cx_real *c, ptrdiff_t c_row, bool add);
/* The same with row k of b at b + offset[k]. */
void cx_tile_indexed(int rows, int cols, int k, const cx_real *a, ptrdiff_t a_row, ptrdiff_t a_col,
                     const cx_real *b, const ptrdiff_t *offset, cx_real *c, ptrdiff_t c_row,
                     bool add);
/* c[i * c_row + j] (+)= the sum over s < segments of <a[i] + s * a_segment, b[j] + s *
 * b_segment>, each of n numbers (a multiple of CX_LANES where segments > 1), for 4 rows
 * a and 4 rows b (pointers may repeat; only rows x cols results are stored). */
void cx_dot_tile(const cx_real *const a[4], const cx_real *const b[4], int n, int segments,
                 ptrdiff_t a_segment, ptrdiff_t b_segment, int rows, int cols, cx_real *c,
                 ptrdiff_t c_row, bool add);

/* A matrix b that is the right one of many products is packed once: packed[
 * cx_packed_size(n, k)] from b [k,n], or from b [n,k] where tb. */
size_t cx_packed_size(int n, int k);
void cx_pack(bool tb, int n, int k, const cx_real *b, int ldb, cx_real *packed);
/* c[m,n] (+)= a[m,k] b */
void cx_gemm_packed(int m, int n, int k, const cx_real *a, int lda, const cx_real *packed, bool add,
                    cx_real *c, int ldc);

/* What cx_gemm (nn/ops.h) computes, by its definition. */
void cx_gemm_plain(bool ta, bool tb, int m, int n, int k, const cx_real *a, int lda,
                   const cx_real *b, int ldb, bool add, cx_real *c, int ldc);

#endif
