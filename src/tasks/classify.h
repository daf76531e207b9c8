/* What the families that predict classes measure on one row of logits. */
#ifndef CX_TASKS_CLASSIFY_H
#define CX_TASKS_CLASSIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Is the label's logit the largest? The first of equals counts; a NaN is wrong. */
bool cx_row_is_right(const float *logits, int classes, int label);
/* Is it among the k largest? For k = 1 the same. */
bool cx_row_in_top(const float *logits, int classes, int label, int k);
/* Cross-entropy of softmax(logits): log sum exp(logits) - logits[label], in nats. */
double cx_row_cross_entropy(const float *logits, int classes, int label);
/* The label that training sees: with probability `share` one drawn uniformly from all
 * classes, a function of the task's seed and the example alone. */
int cx_noisy_label(int label, int classes, double share, uint64_t seed, uint32_t example);

#endif
