/* The arithmetic of the losses: small enough to be tested by itself. */
#include "ppo/learner.h"

#include <math.h>

#define LOG_RATIO_BOUND 20.0
#define DEVIATION_EPSILON 1e-8

void cx_ewma_add(cx_ewma *e, double mean, double variance, double share) {
    e->weight += share * (1 - e->weight);
    double now = e->weight > 0 ? share / e->weight : 0, delta = mean - e->mean;
    e->mean += now * delta;
    e->variance = (1 - now) * e->variance + now * variance + now * (1 - now) * delta * delta;
}

double cx_ewma_deviation(const cx_ewma *e) {
    return e->weight > 0 ? sqrt(e->variance + DEVIATION_EPSILON) : 1;
}

cx_surrogate cx_surrogate_at(double log_prob, double old_log_prob, double advantage, double clip) {
    double x = log_prob - old_log_prob;
    if (x > LOG_RATIO_BOUND)
        x = LOG_RATIO_BOUND;
    if (x < -LOG_RATIO_BOUND)
        x = -LOG_RATIO_BOUND;
    double r = exp(x), low = 1 - clip, high = 1 + clip;
    double held = r < low ? low : r > high ? high : r;
    cx_surrogate s = {.log_ratio = x, .clipped = r < low || r > high};
    if (!(r * advantage > held * advantage)) { /* also where a NaN must go on to be seen */
        s.loss = -r * advantage;
        s.d_log_prob = -r * advantage; /* dr / d log p = r */
    } else {
        s.loss = -held * advantage; /* does not depend on the policy any more */
    }
    return s;
}
