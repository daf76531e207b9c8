/* What a run says about itself while it works: one live line on a terminal, plain
 * lines elsewhere. It fills a line; the caller prints it. */
#ifndef CX_COORDINATOR_PROGRESS_H
#define CX_COORDINATOR_PROGRESS_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The newest rewards, for a mean and its trend. */
enum { CX_PROGRESS_WINDOW = 512 };
typedef struct {
    double reward[CX_PROGRESS_WINDOW];
    unsigned char diverged[CX_PROGRESS_WINDOW];
    uint64_t count;
} cx_progress;

void cx_progress_add(cx_progress *p, double reward, bool diverged);
/* Means over the newer half and the older half of what is kept; NAN when empty. */
void cx_progress_means(const cx_progress *p, double *newer, double *older, double *diverged);

typedef struct {
    uint64_t updates, total_updates, episodes, baselines;
    double episodes_per_second, seconds, workers_busy; /* busy: 0..1 */
    double update_share;     /* how much of the next update's episodes is there, 0..1 */
    int workers, lost, late; /* lost: dead; late: not heard from */
    int learners;            /* learner ranks */
    uint64_t reissued;       /* episodes that were handed out again */
} cx_progress_view;

/* "update 12/100  episodes 3,072  85/s  reward -1.92 (+0.31)  diverged 2.1 %  workers 2,
 * 97 % busy  left 4 min"; after "busy", where it is so: ", 1 lost, 2 late, 9 episodes
 * done again, 2 learner ranks". */
void cx_progress_line(const cx_progress *p, const cx_progress_view *view, char *out, size_t size);

#endif
