/* Small kernels that several families share. */
#include "nn/ops.h"
#include "nn/simd.h"

#include <string.h>

void cx_rows_fill(cx_real *y, const cx_real *b, int rows, int cols) {
    for (int r = 0; r < rows; r++)
        memcpy(y + (size_t)r * (size_t)cols, b, (size_t)cols * sizeof *y);
}

void cx_rows_sum(cx_real *restrict db, const cx_real *restrict y, int rows, int cols, bool add) {
    int r = 0;
    if (!add) {
        memcpy(db, y, (size_t)cols * sizeof *db);
        r = 1;
    }
    for (; r + 4 <= rows; r += 4) {
        const cx_real *p = y + (size_t)r * (size_t)cols;
        for (int i = 0; i < cols; i++)
            db[i] += (p[i] + p[i + cols]) + (p[i + 2 * cols] + p[i + 3 * cols]);
    }
    for (; r < rows; r++) {
        const cx_real *p = y + (size_t)r * (size_t)cols;
        for (int i = 0; i < cols; i++)
            db[i] += p[i];
    }
}

void cx_give(cx_real *dx, const cx_real *v, int n, bool add) {
    if (!add) {
        if (dx != v)
            memcpy(dx, v, (size_t)n * sizeof *dx);
        return;
    }
    for (int i = 0; i < n; i++)
        dx[i] += v[i];
}

cx_real cx_total(const cx_real *x, int n) {
    return cx_sum(x, n);
}
