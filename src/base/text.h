/* Small helpers for words that people type. */
#ifndef CX_BASE_TEXT_H
#define CX_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* The name nearest to `word` by edit distance, or NULL when none is near (more
 * than half of the word's letters would have to change). */
const char *cx_text_nearest(const char *word, const char *const *names, size_t count);
/* Whole-string numbers: false when anything is left over or out of range. */
bool cx_text_double(const char *text, double *value);
bool cx_text_int(const char *text, long long *value);
/* Writes the shortest decimal form that reads back as the same double. */
void cx_text_from_double(char *out, size_t size, double value);

#endif
