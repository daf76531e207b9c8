/* What the families that predict classes measure on one row of logits. */
#ifndef CX_TASKS_CLASSIFY_H
#define CX_TASKS_CLASSIFY_H

#include <stdbool.h>

/* Is the label's logit the largest? The first of equals counts; a NaN is wrong. */
bool cx_row_is_right(const float *logits, int classes, int label);
/* Is it among the k largest? For k = 1 the same. */
bool cx_row_in_top(const float *logits, int classes, int label, int k);
/* Cross-entropy of softmax(logits): log sum exp(logits) - logits[label], in nats. */
double cx_row_cross_entropy(const float *logits, int classes, int label);

#endif
