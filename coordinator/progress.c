#include "coordinator/progress.h"

#include <math.h>
#include <stdio.h>

void cx_progress_add(cx_progress *p, double reward, bool diverged) {
    p->reward[p->count % CX_PROGRESS_WINDOW] = reward;
    p->diverged[p->count % CX_PROGRESS_WINDOW] = diverged;
    p->count++;
}

void cx_progress_means(const cx_progress *p, double *newer, double *older, double *diverged) {
    uint64_t n = p->count < CX_PROGRESS_WINDOW ? p->count : CX_PROGRESS_WINDOW;
    double sum[2] = {0, 0}, bad = 0;
    uint64_t half = n / 2, first = p->count - n;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = (first + i) % CX_PROGRESS_WINDOW;
        sum[i >= half] += p->reward[at];
        bad += p->diverged[at];
    }
    *older = half ? sum[0] / (double)half : NAN;
    *newer = n ? sum[1] / (double)(n - half) : NAN;
    *diverged = n ? bad / (double)n : NAN;
}

static void format_duration(double seconds, char *out, size_t size) {
    if (!isfinite(seconds) || seconds < 0)
        (void)snprintf(out, size, "?");
    else if (seconds < 100)
        (void)snprintf(out, size, "%.0f s", seconds);
    else if (seconds < 6000)
        (void)snprintf(out, size, "%.0f min", seconds / 60);
    else
        (void)snprintf(out, size, "%.1f h", seconds / 3600);
}

static void format_faults(const cx_progress_view *v, char *out, size_t size) {
    char lost[24] = "", late[24] = "", again[48] = "", learners[32] = "";
    if (v->lost > 0)
        (void)snprintf(lost, sizeof lost, ", %d lost", v->lost);
    if (v->late > 0)
        (void)snprintf(late, sizeof late, ", %d late", v->late);
    if (v->reissued > 0)
        (void)snprintf(again, sizeof again, ", %llu episodes done again",
                       (unsigned long long)v->reissued);
    if (v->learners > 0)
        (void)snprintf(learners, sizeof learners, ", %d learner rank%s", v->learners,
                       v->learners == 1 ? "" : "s");
    (void)snprintf(out, size, "%s%s%s%s", lost, late, again, learners);
}

void cx_progress_line(const cx_progress *p, const cx_progress_view *v, char *out, size_t size) {
    double newer, older, diverged;
    char faults[128], left[32], trend[32] = "", reward[32] = "-", share[32] = "-";
    cx_progress_means(p, &newer, &older, &diverged);
    if (isfinite(older))
        (void)snprintf(trend, sizeof trend, " (%+.2f)", newer - older);
    if (isfinite(newer)) {
        (void)snprintf(reward, sizeof reward, "%.2f", newer);
        (void)snprintf(share, sizeof share, "%.1f %%", 100 * diverged);
    }
    double done = ((double)v->updates + v->update_share) / (double)v->total_updates;
    format_duration(done > 0 ? v->seconds * (1 - done) / done : NAN, left, sizeof left);
    format_faults(v, faults, sizeof faults);
    (void)snprintf(out, size,
                   "update %llu/%llu  episodes %llu  %.1f/s  reward %s%s  diverged %s  "
                   "workers %d, %.0f %% busy%s  left %s",
                   (unsigned long long)v->updates, (unsigned long long)v->total_updates,
                   (unsigned long long)v->episodes, v->episodes_per_second, reward, trend, share,
                   v->workers, 100 * v->workers_busy, faults, left);
}
