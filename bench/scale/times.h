/* How long a task's training takes, for the simulation: quantiles, by entry of a
 * configuration, of measured seconds per GFLOP of the task's nominal cost (tasks/task.h,
 * cx_task_gflop). Written by bench/scale/times.c, read by bench/scale/model.c. */
#ifndef CX_BENCH_SCALE_TIMES_H
#define CX_BENCH_SCALE_TIMES_H

#include "tasks/task.h"

enum { CX_TIMES_QUANTILES = 41 }; /* 0, 1/40, ..., 1 */

typedef struct {
    int n[CX_ENTRIES_MAX]; /* tasks measured; 0: none of this entry */
    double quantile[CX_ENTRIES_MAX][CX_TIMES_QUANTILES];
} cx_times;

/* A text file: lines "entry tasks q0 q1 ..."; '#' begins a comment. */
int cx_times_read(const char *path, cx_times *t, cx_error *err);
/* Seconds of an episode of this task: its nominal cost by the quantile that its seed
 * draws. */
double cx_times_episode(const cx_times *t, const cx_config *config, const cx_task_spec *spec);

#endif
