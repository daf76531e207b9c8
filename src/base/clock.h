/* Time, in seconds. */
#ifndef CX_BASE_CLOCK_H
#define CX_BASE_CLOCK_H

#include <stddef.h>
#include <time.h>

double cx_clock_now(void); /* monotonic, for durations */
double cx_clock_cpu(void); /* CPU time of this process, all threads */
void cx_clock_sleep(double seconds);
/* "2026-01-31 12:00 UTC" of seconds since 1970; 0: now. */
void cx_clock_date(time_t at, char *out, size_t size);

#endif
