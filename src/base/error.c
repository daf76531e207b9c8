#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *text;
} error_table[] = {
#define X(code, status, text) {status, text},
    CX_ERROR_TABLE(X)
#undef X
};

int cx_fail(cx_error *err, cx_code code, const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        err->code = code;
    }
    return (int)code;
}

int cx_fail_in(cx_error *err, const char *format, ...) {
    if (!err)
        return (int)CX_ESTATE;
    char old[sizeof err->message - 64]; /* a message that long loses its tail, not its head */
    memcpy(old, err->message, sizeof old);
    old[sizeof old - 1] = 0;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->message)
        (void)snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", old);
    return (int)err->code;
}

const char *cx_code_text(cx_code code) {
    return (unsigned)code < CX_ERROR_COUNT ? error_table[code].text : "unknown error code";
}

int cx_code_exit_status(cx_code code) {
    return (unsigned)code < CX_ERROR_COUNT ? error_table[code].status : 1;
}
