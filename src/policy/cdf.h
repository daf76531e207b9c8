/* CDF features: where a value stands among its own past, on five time scales.
 * For weight w the newest sample enters running mean and variance with weight
 * w/(t+w-1) at the t-th sample (limiting density over relative age: w x^(w-1)); the
 * feature is Phi((x - mean)/std), the sample included; 0.5 while the variance is 0
 * or x is not finite. A value that is not finite leaves the statistics alone. */
#ifndef CX_POLICY_CDF_H
#define CX_POLICY_CDF_H

#define CX_CDF_COUNT 5
extern const double cx_cdf_weights[CX_CDF_COUNT]; /* 1.25, 2.5, 5, 10, 20 */

typedef struct {
    double t;
    double mean[CX_CDF_COUNT], variance[CX_CDF_COUNT];
} cx_cdf;

void cx_cdf_update(cx_cdf *cdf, double x, float out[CX_CDF_COUNT]);

#endif
