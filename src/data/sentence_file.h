/* Files of labeled sentences in three formats, told apart by the first line that is not
 * blank. Bytes are taken as they are (UTF-8, no case folding); a byte order mark and
 * carriage returns at line ends are passed over; a zero byte is a fault.
 *
 * Trees (the line begins with a parenthesis): one bracketed tree a line, as the Stanford
 * Sentiment Treebank has them: `(3 (2 The) (4 (3 lovely) (2 film)))`. Every node has a
 * whole number, the root's is the label; the leaves are the words, as they stand.
 *
 * LABEL<TAB>TEXT (a tab comes before any comma or quote), and CSV (RFC 4180: quoted
 * fields, in which "" is a quote and line ends are allowed). A first line in which one
 * column is named label, sentiment, class or polarity and another text, sentence or review
 * is a header and says which they are. Without one: in the tabbed form the first is
 * the label and all the rest the text; in CSV the label is the first or the last column,
 * whichever has fewer different values (the first, if as many), and the other the text.
 *
 * Texts are cut into words at blanks; then punctuation at both ends of a word is cut off,
 * runs of the same character staying together, but ' and - stay where they are: (`great!!`,
 * "it) is `great` `!!` `,` `"` `it`; `'s`, `n't` and `-LRB-` stay whole. */
#ifndef CX_DATA_SENTENCE_FILE_H
#define CX_DATA_SENTENCE_FILE_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *at;
    size_t size;
} cx_span;

/* Valid until the function that it is given to returns. */
typedef struct {
    cx_span label; /* not empty, without blanks around it */
    const cx_span *words;
    size_t n_words; /* at least 1 */
    size_t line;    /* on which it begins, from 1 */
} cx_sentence;
typedef int (*cx_sentence_take)(void *context, const cx_sentence *s, cx_error *err);

/* Which columns of a CSV file without a header are what: found in the first such file,
 * and used for the others that have as many columns. Zeroed: not found yet. */
typedef struct {
    int columns, label, text;
} cx_sentence_columns;

/* Gives all sentences of a file to `take`, whose failure ends it. CX_EDATA, with path and
 * line: no such format, unbalanced parentheses, a node without number or content, a quote
 * that does not end, a row with another number of columns, no label, no words. */
int cx_sentence_file_read(const char *path, const unsigned char *bytes, size_t size,
                          cx_sentence_columns *columns, cx_sentence_take take, void *context,
                          cx_error *err);

#endif
