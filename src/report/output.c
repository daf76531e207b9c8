#include "report/output.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(cx_output *b, size_t more) {
    if (b->failed)
        return false;
    if (b->size + more < b->room)
        return true;
    size_t room = b->room ? b->room : 256;
    while (room <= b->size + more)
        room *= 2;
    char *text = realloc(b->text, room);
    if (!text) {
        b->failed = true;
        return false;
    }
    b->text = text;
    b->room = room;
    return true;
}

static void append(cx_output *b, const char *text, size_t n) {
    if (!reserve(b, n + 1))
        return;
    memcpy(b->text + b->size, text, n);
    b->size += n;
    b->text[b->size] = 0;
}

void cx_output_add(cx_output *b, const char *text) {
    append(b, text, strlen(text));
}

void cx_output_format(cx_output *b, const char *format, ...) {
    char small[512];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    if (n < 0)
        b->failed = true;
    else if ((size_t)n < sizeof small)
        append(b, small, (size_t)n);
    else if (reserve(b, (size_t)n + 1)) {
        (void)vsnprintf(b->text + b->size, (size_t)n + 1, format, again);
        b->size += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

/* Bytes of the UTF-8 character at s, 0 when it is none. */
static size_t character(const unsigned char *s) {
    size_t n = s[0] < 0x80                   ? 1
               : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
               : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
               : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0; /* overlong, surrogate, too large */
    return n;
}

void cx_output_escape(cx_output *b, const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        size_t n = character(s);
        const char *as = NULL;
        switch (*s) {
        case '&':
            as = "&amp;";
            break;
        case '<':
            as = "&lt;";
            break;
        case '>':
            as = "&gt;";
            break;
        case '"':
            as = "&quot;";
            break;
        case '\'':
            as = "&#39;";
            break;
        case '\n':
        case '\t':
            break;
        default:
            if (n == 0)
                as = "?";
            else if (*s < ' ' || *s == 0x7f)
                as = " ";
        }
        if (as)
            cx_output_add(b, as);
        else
            append(b, (const char *)s, n);
        s += n ? n : 1;
    }
}

int cx_output_take(cx_output *b, char **text, cx_error *err) {
    append(b, "", 0); /* an empty text is one, too */
    size_t size = b->size;
    *text = NULL;
    if (b->failed) {
        cx_output_free(b);
        return cx_fail(err, CX_ENOMEM, "no memory for a text of more than %zu bytes", size);
    }
    *text = b->text;
    *b = (cx_output){.text = NULL};
    return CX_OK;
}

void cx_output_free(cx_output *b) {
    free(b->text);
    *b = (cx_output){.text = NULL};
}
