#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static cx_log_level current_level = CX_LOG_INFO;

void cx_log_set_level(cx_log_level level) {
    current_level = level;
}

void cx_log(cx_log_level level, const char *format, ...) {
    if (level > current_level)
        return;
    static const char *const names[] = {"error: ", "warning: ", "", "debug: "};
    char line[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    (void)fprintf(stderr, "%s%s\n", names[level], line); /* one call: lines of ranks do not mix */
}
