#include "tasks/classify.h"

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
