/* The loops of the update, each over one block of at most CX_BLOCK numbers that
 * stays in the first-level cache from loop to loop, so that the memory is read
 * and written once however many loops there are. Nothing here branches on data.
 *
 * Sums run in eight float lanes over a block and in eight doubles over a tensor:
 * within about 1e-7 of exact, and independent of anything but the data. */
#ifndef CX_OPTIM_KERNELS_H
#define CX_OPTIM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#define CX_BLOCK 512
#define CX_LANES 8

typedef struct {
    double lane[CX_LANES];
} cx_lanes;
static inline double cx_lanes_sum(const cx_lanes *x) {
    const double *l = x->lane;
    return ((l[0] + l[4]) + (l[1] + l[5])) + ((l[2] + l[6]) + (l[3] + l[7]));
}

/* What a tensor's features and trust ratio are made from; g after clipping, p
 * before the update, mhat = m/c1. */
typedef struct {
    cx_lanes pp, uu;             /* with LAMB, and for features */
    cx_lanes mm, dd, gm, gp, gu; /* features; m uncorrected, dd = |mhat - g|^2 */
    cx_lanes log_u;              /* sum of log(|u| + 1e-8) */
    size_t above;                /* entries with s > epsilon */
} cx_update_sums;

typedef struct {
    /* The sum of squares of a whole array. */
    double (*square_sum)(const float *x, size_t n);
    /* The same in double, for values whose squares overflow a float. */
    double (*square_sum_wide)(const float *x, size_t n);

    void (*scale)(float *g, size_t n, float factor);
    /* g += weight * p */
    void (*add)(float *restrict g, const float *restrict p, size_t n, float weight);

    /* Averages move by ombeta times the difference: with beta = 1 - ombeta rounded to
     * float, an ombeta of 1e-5 would be wrong by 0.3 %, and disagree with c1 and c2.
     *
     * Denominators: update v and leave s.
     * v <- max(v - ombeta2 v, |g| + inside); v is s */
    void (*max)(const float *restrict g, float *restrict v, size_t n, float ombeta2, float inside);
    /* s = sqrt(v) * scale */
    void (*square)(const float *restrict g, float *restrict v, float *restrict s, size_t n,
                   float ombeta2, float scale);
    /* s = (v * scale)^(1/q) */
    void (*power)(const float *restrict g, float *restrict v, float *restrict s, size_t n,
                  float ombeta2, float scale, float q);

    /* m += ombeta1 (g - m); u = m * inverse_c1 / (s + epsilon) + decay * p. u may be
     * the array g. */
    void (*direction)(const float *g, float *restrict m, const float *restrict s,
                      const float *restrict p, float *u, size_t n, float ombeta1, float inverse_c1,
                      float epsilon, float decay);
    /* u = g / (s + epsilon) */
    void (*ratio)(const float *restrict g, const float *restrict s, float *restrict u, size_t n,
                  float epsilon);
    /* m <- momentum m + g */
    void (*momentum)(const float *restrict g, float *restrict m, size_t n, float momentum);

    void (*norms)(const float *p, const float *u, size_t n, cx_update_sums *sums);
    void (*features)(const float *p, const float *g, const float *m, const float *u, const float *s,
                     size_t n, float inverse_c1, float epsilon, cx_update_sums *sums);

    /* p <- p - lr u - shrink p, and the average of the parameters where `average`. */
    void (*apply)(float *restrict p, const float *restrict u, float *restrict average, size_t n,
                  float lr, float shrink, float weight);
    void (*average)(const float *restrict p, float *restrict average, size_t n, float weight);
} cx_update_kernels;
/* Those of cx_level_now(). */
const cx_update_kernels *cx_update_kernels_now(void);

#endif
