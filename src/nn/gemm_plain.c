/* The definition of cx_gemm: what the plain level runs (base/level.h). */
#include "nn/gemm.h"

void cx_gemm_plain(bool ta, bool tb, int m, int n, int k, const cx_real *a, int lda,
                   const cx_real *b, int ldb, bool add, cx_real *c, int ldc) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            cx_real sum = 0;
            for (int p = 0; p < k; p++)
                sum += a[ta ? p * lda + i : i * lda + p] * b[tb ? j * ldb + p : p * ldb + j];
            c[i * ldc + j] = add ? c[i * ldc + j] + sum : sum;
        }
}
