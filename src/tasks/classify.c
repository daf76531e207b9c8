#include "tasks/classify.h"

#include "base/rng.h"
#include <math.h>

bool cx_row_in_top(const float *logits, int classes, int label, int k) {
    int before = isnan(logits[label]) ? k : 0;
    for (int i = 0; i < classes && before < k; i++)
        if (i != label && !(i < label ? logits[i] < logits[label] : logits[i] <= logits[label]))
            before++;
    return before < k;
}

bool cx_row_is_right(const float *logits, int classes, int label) {
    return cx_row_in_top(logits, classes, label, 1);
}

double cx_row_cross_entropy(const float *logits, int classes, int label) {
    double sum = 0;
    float most = logits[0];
    for (int i = 1; i < classes; i++)
        most = logits[i] > most ? logits[i] : most;
    for (int i = 0; i < classes; i++)
        sum += expf(logits[i] - most);
    double value = log(sum) + most - logits[label];
    return value < 0 ? 0 : value; /* rounding; a NaN stays */
}

int cx_noisy_label(int label, int classes, double share, uint64_t seed, uint32_t example) {
    if (!(share > 0))
        return label;
    cx_rng rng = cx_rng_make(seed, 1 + (uint64_t)example, CX_STREAM_DATA);
    return cx_rng_uniform(&rng) < share ? (int)cx_rng_below(&rng, (uint32_t)classes) : label;
}
