/* What is read off the outputs of a network that was trained by connectionist temporal
 * classification, and how far it is from what was said. */
#ifndef CX_TASKS_TRANSCRIPT_H
#define CX_TASKS_TRANSCRIPT_H

#include <stddef.h>
#include <stdint.h>

/* Greedy decoding (Graves et al. 2006, "best path"): the likeliest symbol of each time
 * step, repetitions joined, blanks (symbol 0) taken out. Step t's scores [symbols] stand at
 * scores + t * stride; the first of equals counts, and a step with a NaN is a blank.
 * Writes at most `steps` symbols (256 at most) and returns how many. */
int cx_transcript_greedy(const float *scores, size_t stride, int steps, int symbols, uint8_t *out);

/* Levenshtein's distance: the fewest insertions, deletions and substitutions that turn
 * a[n] into b[m]. row: scratch [m + 1]. */
int cx_transcript_distance(const uint8_t *a, int n, const uint8_t *b, int m, int *row);

#endif
