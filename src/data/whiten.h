/* Decorrelation of examples: x_w = W (x - mean) with W = E (D + floor)^(-1/2) E^T,
 * where E D E^T is the covariance of the examples (a PCA). Of all matrices that
 * decorrelate, this symmetric one ("ZCA"; Bell and Sejnowski, 1997) changes the
 * examples least: pixels stay where they were, so that a convolution still
 * makes sense, and the arbitrary signs of the eigenvectors cancel out. */
#ifndef CX_DATA_WHITEN_H
#define CX_DATA_WHITEN_H

#include "base/error.h"
#include <stddef.h>

typedef struct {
    int n;         /* numbers of one example */
    double *mean;  /* [n] */
    float *matrix; /* [n, n], symmetric */
} cx_whiten;

/* Fits to `count` examples, x[count, n] row-major, n up to 1024. Directions of
 * hardly any variance (borders that are always black) would be blown up to unit
 * variance: `floor`, in units of the mean eigenvalue, is added to every eigenvalue.
 * CX_EDATA where the examples do not vary at all. */
int cx_whiten_fit(const float *x, size_t count, int n, double floor, cx_whiten *w, cx_error *err);
/* In place, x[count, n]. */
int cx_whiten_apply(const cx_whiten *w, float *x, size_t count, cx_error *err);
void cx_whiten_free(cx_whiten *w);

#endif
