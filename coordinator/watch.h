/* Which worker holds which jobs, how long they may take, and who is late: a state machine
 * without messages or a clock of its own, so that it can be tested alone.
 *
 * A worker does its jobs in the order in which it got them. The first one is expected to
 * take as long as jobs of its entry of the configuration took so far, in proportion to its
 * arithmetic or to its inner steps, whichever is more. It is late when it takes
 * `late_factor` times that long, and at least `late_seconds`; also when its worker has been
 * silent that much longer than one piece of it should take. Twice the time for a job that
 * was handed out before, four times for the third one, and so on: a wrong guess costs a
 * few jobs done twice, no more. Then all jobs of the worker are handed out again, and it
 * gets no new ones until it is heard from; and for some time after that, doubled with
 * every job in a row that it was late with, so that a slow worker is not waited for again
 * and again. Whichever answer comes first counts. */
#ifndef CX_COORDINATOR_WATCH_H
#define CX_COORDINATOR_WATCH_H

#include "coordinator/dispatch.h"

typedef enum {
    CX_CREW_AWAITED, /* not ready yet */
    CX_CREW_WELL,
    CX_CREW_LATE, /* not heard from since it was found late; may come back */
    CX_CREW_LOST, /* its process is gone */
    CX_CREW_LEFT  /* said BYE */
} cx_crew_state;

typedef struct cx_watch cx_watch;

typedef struct {
    int workers;  /* ranks 1 .. workers */
    int prefetch; /* jobs that one holds at most */
    int entries;  /* of the configuration's tasks */
    double late_factor, late_seconds;
    int learners; /* so many of the workers, the last ones, only compute gradients */
} cx_watch_rules;

/* What a job's time depends on. */
typedef struct {
    int entry;
    double gflop, steps; /* of the task's inner training, > 0 */
    double piece;        /* share of the job after which a sign of life is due, 0..1 */
} cx_load;

typedef struct {
    int well, late, lost; /* lost: also late ones, when they were silent for four times as long */
    uint64_t reissued;    /* episodes that were handed out again */
    int learners;         /* learner ranks that are well; they are in none of the first three */
    int learners_gone;    /* that are late or lost */
} cx_watch_counts;

int cx_watch_create(const cx_watch_rules *rules, cx_watch **out, cx_error *err);
void cx_watch_destroy(cx_watch *w);

/* `now`, everywhere: seconds that never run backwards, and stand still while nobody
 * listens to the workers. */
void cx_watch_ready(cx_watch *w, int rank, double now);
void cx_watch_left(cx_watch *w, int rank);
cx_crew_state cx_watch_state(const cx_watch *w, int rank);
cx_watch_counts cx_watch_count(const cx_watch *w);
/* Learner ranks that have a shard or may have one: one that was late gets none for a time. */
int cx_watch_learners(const cx_watch *w, double now);
/* Jobs that it holds. */
int cx_watch_held(const cx_watch *w, int rank);
/* Seconds that all of these may take, by what such jobs took; INFINITY: nothing is known. */
double cx_watch_expected(const cx_watch *w, int rank);
/* May it get one more job, as its number `depth` + 1? */
bool cx_watch_may_take(const cx_watch *w, int rank, int depth, double now);
/* The first rank from `from` on that may get a job now, or might in a moment; 0: none. Whoever is
 * passed over is no such rank again before something of it changes: who holds enough is not
 * looked at in every round. */
int cx_watch_open(const cx_watch *w, int from);
void cx_watch_pass_over(cx_watch *w, int rank);
/* It will not get one before it has been heard from, or has done one: no use in asking again. */
bool cx_watch_taken_up(const cx_watch *w, int rank);
/* False where it holds that job already, as one that it was late with: nothing is to be sent. */
bool cx_watch_give(cx_watch *w, int rank, const cx_job *job, const cx_load *load, double now);
/* The job that it is at, NULL: none. */
const cx_job *cx_watch_first(const cx_watch *w, int rank);
/* Any message of it is a sign of life. */
void cx_watch_heard(cx_watch *w, int rank, double now);
/* The growing trajectory of an episode that it holds (owned by the watch), or NULL. */
cx_trajectory **cx_watch_trajectory(cx_watch *w, int rank, uint64_t episode);
/* It has answered: the job is taken off. False where it does not hold it. *trajectory
 * (may be NULL) becomes the caller's. */
bool cx_watch_answered(cx_watch *w, int rank, const cx_job *job, cx_trajectory **trajectory,
                       double now);
/* Takes a job off that somebody else has done; false where `rank` does not hold it. */
bool cx_watch_drop(cx_watch *w, int rank, const cx_job *job, double now);

/* Calls `again` for every job that is to be handed out again: those of a worker that is
 * lost (its process has ended), and of those that are late by now. */
typedef void (*cx_watch_again)(void *context, const cx_job *job);
void cx_watch_lost(cx_watch *w, int rank, cx_watch_again again, void *context);
/* True when somebody has become late. */
bool cx_watch_check(cx_watch *w, double now, cx_watch_again again, void *context);
/* Nobody is left, nor has been heard from for so long that nobody will be. */
bool cx_watch_hopeless(const cx_watch *w, double now);

#endif
