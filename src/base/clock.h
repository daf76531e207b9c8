/* Time, in seconds. */
#ifndef CX_BASE_CLOCK_H
#define CX_BASE_CLOCK_H

double cx_clock_now(void); /* monotonic, for durations */
double cx_clock_cpu(void); /* CPU time of this process, all threads */
void cx_clock_sleep(double seconds);

#endif
