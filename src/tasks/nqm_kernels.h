/* The loops of the noisy quadratic (tasks/nqm.c), for each level of the instruction set. */
#ifndef CX_TASKS_NQM_KERNELS_H
#define CX_TASKS_NQM_KERNELS_H

#include "base/rng.h"
#include <stddef.h>

typedef struct {
    void (*draw_normals)(cx_rng *rng, float *x, size_t n); /* N(0, 1) */
    /* r = root (x - center) - scale draw; g = root r; returns the sum of r^2 */
    double (*gradient)(const float *root, const float *center, const float *draw, float scale,
                       const float *x, size_t n, float *g);
    /* the sum of (root (x - center))^2 */
    double (*excess)(const float *root, const float *center, const float *x, size_t n);
} cx_nqm_kernels;
/* Those of cx_level_now(). */
const cx_nqm_kernels *cx_nqm_kernels_now(void);

#endif
