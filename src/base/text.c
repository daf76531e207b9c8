#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = 64 };

static size_t edit_distance(const char *a, const char *b) {
    size_t la = strlen(a), lb = strlen(b);
    if (la > WORD_MAX || lb > WORD_MAX)
        return WORD_MAX * 2;
    size_t row[WORD_MAX + 1];
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t above = row[j];
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[lb];
}

const char *cx_text_nearest(const char *word, const char *const *names, size_t count) {
    const char *best = NULL;
    size_t least = strlen(word) / 2 + 1;
    for (size_t i = 0; i < count; i++) {
        size_t d = edit_distance(word, names[i]);
        if (d < least) {
            least = d;
            best = names[i];
        }
    }
    return best;
}

bool cx_text_double(const char *text, double *value) {
    char *end;
    if (!*text || *text == ' ')
        return false;
    errno = 0;
    double v = strtod(text, &end);
    if (*end || (errno == ERANGE && (v > 1 || v < -1)))
        return false;
    *value = v;
    return true;
}

bool cx_text_int(const char *text, long long *value) {
    char *end;
    if (!*text || *text == ' ')
        return false;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (*end || errno)
        return false;
    *value = v;
    return true;
}

void cx_text_from_double(char *out, size_t size, double value) {
    if (value > -1e15 && value < 1e15 && value == (double)(long long)value) {
        (void)snprintf(out, size, "%lld", (long long)value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(out, size, "%.*g", digits, value);
        if (strtod(out, NULL) == value || value != value)
            return;
    }
}
