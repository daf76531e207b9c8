#include "policy/cdf.h"

#include <math.h>

const double cx_cdf_weights[CX_CDF_COUNT] = {1.25, 2.5, 5, 10, 20};

/* beyond it the square of a difference would overflow */
static const double largest = 1e100;

void cx_cdf_update(cx_cdf *cdf, double x, float out[CX_CDF_COUNT]) {
    for (int i = 0; i < CX_CDF_COUNT; i++)
        out[i] = 0.5f;
    if (!isfinite(x))
        return;
    x = fmin(fmax(x, -largest), largest);
    cdf->t += 1;
    for (int i = 0; i < CX_CDF_COUNT; i++) {
        /* mean and variance of the weighted sample, exactly: the first one has weight 1 */
        double w = cx_cdf_weights[i], a = w / (cdf->t + w - 1);
        double delta = x - cdf->mean[i];
        cdf->mean[i] += a * delta;
        cdf->variance[i] = (1 - a) * (cdf->variance[i] + a * delta * delta);
        if (cdf->variance[i] > 0) {
            double z = (x - cdf->mean[i]) / sqrt(cdf->variance[i]);
            out[i] = (float)(0.5 * erfc(-z * M_SQRT1_2));
        }
    }
}
