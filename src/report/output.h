/* Text that grows. Appending never fails visibly: the first lack of memory is kept,
 * and told at the end by cx_output_take. */
#ifndef CX_REPORT_OUTPUT_H
#define CX_REPORT_OUTPUT_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    char *text; /* NULL while empty */
    size_t size, room;
    bool failed;
} cx_output;

void cx_output_add(cx_output *b, const char *text);
void cx_output_format(cx_output *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Escaped for HTML, text and attributes alike: & < > " '. Control characters other than
 * newline and tab become spaces, bytes that are not UTF-8 question marks. */
void cx_output_escape(cx_output *b, const char *text);
/* The text becomes the caller's (free()), never NULL on success; the output is empty then. */
int cx_output_take(cx_output *b, char **text, cx_error *err);
void cx_output_free(cx_output *b);

#endif
