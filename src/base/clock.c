#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static double read_clock(clockid_t id) {
    struct timespec t;
    if (clock_gettime(id, &t) != 0)
        return 0;
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double cx_clock_now(void) {
    return read_clock(CLOCK_MONOTONIC);
}

double cx_clock_cpu(void) {
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void cx_clock_sleep(double seconds) {
    if (seconds <= 0)
        return;
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    (void)nanosleep(&t, NULL); /* cut short by a signal: the caller's loop looks again anyway */
}

void cx_clock_date(time_t at, char *out, size_t size) {
    struct tm tm;
    time_t when = at ? at : time(NULL);
    if (!gmtime_r(&when, &tm) || strftime(out, size, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        (void)snprintf(out, size, "-");
}
