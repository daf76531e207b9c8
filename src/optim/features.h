/* The inner features (LHOPT, section 1.1): from the sums of one tensor's update to
 * thirteen numbers, and their means over an outer step. */
#ifndef CX_OPTIM_FEATURES_H
#define CX_OPTIM_FEATURES_H

#include "optim/kernels.h"
#include "optim/optimizer.h"

typedef struct {
    size_t size;    /* of the tensor */
    double c1;      /* bias correction of m */
    double lr;      /* trust ratio included */
    double shrink;  /* lr * decoupled weight decay: p <- p - lr u - shrink p */
    double g_norm;  /* after clipping */
    double clipped; /* 1, 0, or NAN where nothing is ever clipped */
} cx_feature_input;

void cx_features_of_tensor(const cx_update_sums *sums, const cx_feature_input *in,
                           double features[CX_FEATURE_COUNT]);

/* Sums over the feature steps of an outer step. */
typedef struct {
    double sum[CX_FEATURE_COUNT];
    double count[CX_FEATURE_COUNT];
} cx_feature_means;

/* A step's features[n_tensors * CX_FEATURE_COUNT], NAN where there are none, enter
 * the means: over tensors of a group, then over groups. scratch: 2 * n_groups. */
void cx_features_add(cx_feature_means *means, const double *features,
                     const cx_optim_tensor *tensors, int n_tensors, int n_groups, double *scratch);

#endif
