/* Learning-rate schedules of the baselines: a factor of the base rate as a function
 * of progress = (step - 1) / steps, in [0, 1). All start at 1. */
#ifndef CX_OPTIM_SCHEDULE_H
#define CX_OPTIM_SCHEDULE_H

#include "base/error.h"

/* X(name, factor as a function of x in [0, 1], what it is) */
/* clang-format off */
#define CX_SCHEDULE_TABLE(X) \
X(constant, 1.0, "1") \
X(multi_step, x < 0.5 ? 1.0 : x < 0.75 ? 0.1 : 0.01, "1; from half of the run 0.1; from three quarters 0.01") \
X(linear, 1 - x, "straight to 0") \
X(quadratic, (1 - x) * (1 - x), "(1 - x)^2") \
X(exponential, pow(0.01, x), "by equal ratios, to 0.01") \
X(cosine, 0.5 * (1 + cos(CX_PI * x)), "half a cosine, to 0") \
X(cosine_10, 0.1 + 0.45 * (1 + cos(CX_PI * x)), "half a cosine, to 0.1")
/* clang-format on */

typedef enum {
#define X(name, factor, help) CX_SCHEDULE_##name,
    CX_SCHEDULE_TABLE(X)
#undef X
        CX_SCHEDULE_COUNT
} cx_schedule;

const char *cx_schedule_name(cx_schedule s);
const char *cx_schedule_help(cx_schedule s);
/* By name; CX_EUSAGE with the names that there are. */
int cx_schedule_named(const char *name, cx_schedule *out, cx_error *err);
/* progress is taken as the nearest of [0, 1]; NaN as 0. */
double cx_schedule_factor(cx_schedule s, double progress);

#endif
