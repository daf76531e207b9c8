#include "data/whiten.h"

#include "base/arena.h"
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 512 }; /* examples that are taken at once */

/* LAPACK, which OpenBLAS contains: eigenvalues (ascending) and eigenvectors (in the
 * columns of a, column-major) of a symmetric matrix. The last two arguments are
 * Fortran's lengths of the two strings. */
extern void dsyev_(const char *job, const char *part, const int *n, double *a, const int *lda,
                   double *w, double *work, const int *lwork, int *info, size_t, size_t);

static void mean_of(const float *x, size_t count, int n, double *mean) {
    memset(mean, 0, (size_t)n * sizeof *mean);
    for (size_t i = 0; i < count; i++)
        for (int j = 0; j < n; j++)
            mean[j] += x[i * (size_t)n + (size_t)j];
    for (int j = 0; j < n; j++)
        mean[j] /= (double)count;
}

/* cov[n, n], the lower triangle (row-major); chunk[CHUNK, n] is scratch. */
static void covariance(const float *x, size_t count, int n, const double *mean, double *chunk,
                       double *cov) {
    for (size_t start = 0; start < count; start += CHUNK) {
        size_t rows = count - start < CHUNK ? count - start : CHUNK;
        const float *from = x + start * (size_t)n;
        for (size_t i = 0; i < rows; i++)
            for (int j = 0; j < n; j++)
                chunk[i * (size_t)n + (size_t)j] = from[i * (size_t)n + (size_t)j] - mean[j];
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, n, (int)rows, 1.0 / (double)count, chunk,
                    n, start ? 1.0 : 0.0, cov, n);
    }
}

/* matrix = E (D + floor)^(-1/2) E^T; cov is used up, scratch is [n, n]. */
static int inverse_root(double *cov, int n, double floor_share, double *scratch, float *matrix,
                        cx_error *err) {
    int info = 0, lwork = -1;
    double wanted = 0, *w = cx_calloc((size_t)n, sizeof *w);
    /* row-major lower is column-major upper */
    dsyev_("V", "U", &n, cov, &n, w, &wanted, &lwork, &info, 1, 1);
    lwork = info == 0 && wanted >= 3.0 * n ? (int)wanted : 3 * n;
    double *work = cx_calloc((size_t)lwork, sizeof *work);
    if (!w || !work) {
        free(w);
        free(work);
        return cx_fail(err, CX_ENOMEM, "no memory for a decomposition of %d x %d", n, n);
    }
    dsyev_("V", "U", &n, cov, &n, w, work, &lwork, &info, 1, 1);
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += w[i];
    free(work);
    if (info != 0 || !isfinite(sum) || sum <= 0) {
        free(w);
        return cx_fail(err, CX_EDATA,
                       info != 0 ? "the decomposition of the covariance failed"
                                 : "the examples do not vary");
    }
    double floor = floor_share * sum / n;
    /* row k of the row-major view is eigenvector k; matrix = S^T S of the scaled rows */
    for (int k = 0; k < n; k++) {
        double scale = pow(fmax(w[k], 0) + floor, -0.25);
        for (int j = 0; j < n; j++)
            cov[k * n + j] *= scale;
    }
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, n, n, 1, cov, n, cov, n, 0, scratch, n);
    for (int i = 0; i < n * n; i++)
        matrix[i] = (float)scratch[i];
    free(w);
    return CX_OK;
}

int cx_whiten_fit(const float *x, size_t count, int n, double floor, cx_whiten *w, cx_error *err) {
    *w = (cx_whiten){.n = n};
    if (n < 1 || n > 1024 || count < 1)
        return cx_fail(err, CX_ESTATE, "whitening %zu examples of %d numbers", count, n);
    size_t square = (size_t)n * (size_t)n;
    double *cov = cx_calloc(square, sizeof *cov), *scratch = cx_calloc(square, sizeof *scratch);
    double *chunk = cx_calloc((size_t)n * CHUNK, sizeof *chunk);
    w->mean = cx_calloc((size_t)n, sizeof *w->mean);
    w->matrix = cx_calloc(square, sizeof *w->matrix);
    int rc;
    if (!cov || !scratch || !chunk || !w->mean || !w->matrix) {
        rc = cx_fail(err, CX_ENOMEM, "no memory to whiten examples of %d numbers", n);
    } else {
        mean_of(x, count, n, w->mean);
        covariance(x, count, n, w->mean, chunk, cov);
        rc = inverse_root(cov, n, floor, scratch, w->matrix, err);
    }
    free(cov);
    free(scratch);
    free(chunk);
    if (rc)
        cx_whiten_free(w);
    return rc;
}

int cx_whiten_apply(const cx_whiten *w, float *x, size_t count, cx_error *err) {
    int n = w->n;
    float *chunk = cx_calloc((size_t)n * CHUNK, sizeof *chunk);
    if (!chunk)
        return cx_fail(err, CX_ENOMEM, "no memory to whiten examples of %d numbers", n);
    for (size_t start = 0; start < count; start += CHUNK) {
        size_t rows = count - start < CHUNK ? count - start : CHUNK;
        float *at = x + start * (size_t)n;
        for (size_t i = 0; i < rows; i++)
            for (int j = 0; j < n; j++) {
                size_t k = i * (size_t)n + (size_t)j;
                chunk[k] = (float)(at[k] - w->mean[j]);
            }
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, n, n, 1, chunk, n,
                    w->matrix, n, 0, at, n);
    }
    free(chunk);
    return CX_OK;
}

void cx_whiten_free(cx_whiten *w) {
    free(w->mean);
    free(w->matrix);
    *w = (cx_whiten){0};
}
