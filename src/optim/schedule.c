#include "optim/schedule.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CX_PI 3.14159265358979323846

static const struct {
    const char *name, *help;
} rows[] = {
#define X(name, factor, help) {#name, help},
    CX_SCHEDULE_TABLE(X)
#undef X
};

const char *cx_schedule_name(cx_schedule s) {
    return (unsigned)s < CX_SCHEDULE_COUNT ? rows[s].name : "?";
}

const char *cx_schedule_help(cx_schedule s) {
    return (unsigned)s < CX_SCHEDULE_COUNT ? rows[s].help : "?";
}

int cx_schedule_named(const char *name, cx_schedule *out, cx_error *err) {
    char all[256];
    size_t used = 0;
    for (int i = 0; i < CX_SCHEDULE_COUNT; i++) {
        if (strcmp(name, rows[i].name) == 0) {
            *out = (cx_schedule)i;
            return CX_OK;
        }
        int n = snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", rows[i].name);
        if (n > 0 && (size_t)n < sizeof all - used)
            used += (size_t)n;
    }
    return cx_fail(err, CX_EUSAGE, "no schedule is called '%s'; there are %s", name, all);
}

double cx_schedule_factor(cx_schedule s, double progress) {
    const double x = progress > 0 ? fmin(progress, 1) : 0;
    switch (s) {
#define X(name, factor, help)                                                                      \
    case CX_SCHEDULE_##name:                                                                       \
        return factor;
        CX_SCHEDULE_TABLE(X)
#undef X
    case CX_SCHEDULE_COUNT:
        break;
    }
    return 1;
}
