/* The list of faults: how one reads. */
#include "config/yaml.h"

#include "base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What a message quotes comes from a file: nothing of it may steer a terminal. */
static void make_printable(char *text) {
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
}

static void add(cx_report *report, const cx_yaml *at, const char *path, const char *what) {
    char text[sizeof report->faults->text[0]];
    char where[192], key[200] = "";
    if (!at)
        (void)snprintf(where, sizeof where, "%.180s", report->name);
    else if (at->line)
        (void)snprintf(where, sizeof where, "%.170s:%d", at->origin, at->line);
    else
        (void)snprintf(where, sizeof where, "--set %.60s", at->origin);
    if (path && *path)
        (void)snprintf(key, sizeof key, ": %.190s", path);
    (void)snprintf(text, sizeof text, "%s%s: %.*s", where, key,
                   (int)(sizeof text - strlen(where) - strlen(key) - 3), what);
    make_printable(text);
    if (report->count == 0)
        (void)cx_fail(report->err, CX_ECONFIG, "%s", text);
    report->count++;
    if (!report->faults)
        return;
    if (report->faults->count < CX_FAULTS_MAX)
        memcpy(report->faults->text[report->faults->count], text, sizeof text);
    report->faults->count++;
}

void cx_report_fault(cx_report *report, const cx_yaml *at, const char *path, const char *format,
                     ...) {
    char what[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    add(report, at, path, what);
}

void cx_report_value(cx_report *report, const cx_yaml *at, const char *path, const char *format,
                     ...) {
    char right[400], what[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(right, sizeof right, format, args);
    va_end(args);
    switch (at->kind) {
    case CX_YAML_SCALAR:
        (void)snprintf(what, sizeof what, "found %s%.60s%s; must be %s", at->plain ? "'" : "\"",
                       at->text, at->plain ? "'" : "\"", right);
        break;
    case CX_YAML_NOTHING:
    case CX_YAML_LIST:
    case CX_YAML_MAP:
        (void)snprintf(what, sizeof what, "found %s; must be %s",
                       at->kind == CX_YAML_LIST  ? "a list"
                       : at->kind == CX_YAML_MAP ? "keys with values"
                                                 : "no value",
                       right);
        break;
    }
    add(report, at, path, what);
}

void cx_report_unknown(cx_report *report, const cx_yaml *at, const char *path, const char *what,
                       const char *found, const char *prefix, const char *const *names,
                       size_t count) {
    const char *near = cx_text_nearest(found, names, count);
    if (near) {
        cx_report_fault(report, at, path, "unknown %s '%.60s'; did you mean '%s%s'?", what, found,
                        prefix, near);
        return;
    }
    char list[320] = "";
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    cx_report_fault(report, at, path, "unknown %s '%.60s'; there are: %s", what, found,
                    count ? list : "none");
}
