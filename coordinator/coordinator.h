/* What rank 0 does: the event loop between workers, learner and disk. */
#ifndef CX_COORDINATOR_COORDINATOR_H
#define CX_COORDINATOR_COORDINATOR_H

#include "coordinator/run_dir.h"
#include "wire/transport.h"

typedef struct {
    const cx_config *config;
    const char *config_yaml; /* resolved; its hash must agree with the workers' */
    const char *dir;
    const char *command; /* for DIR/made.json; NULL: none */
    bool resume;
    cx_transport *transport; /* ranks - 1 workers */
    /* Called when there is nothing to do, instead of sleeping, where not NULL: with one
     * rank it lets the worker of the same process do one assignment. */
    int (*idle)(void *context, bool *worked, cx_error *err);
    void *idle_context;
    /* Asked often: should the run stop in good order? */
    bool (*should_stop)(void *context);
    void *stop_context;
    /* cx_clock_now() at which all must be on disk, 0: none. The run stops in good order as
     * long before it as one more update and a checkpoint may take, by what they took. */
    double deadline;
    /* Somebody starts the run again when it ends with CX_ELOST: it does, too, when more
     * than half of the workers are lost. */
    bool restarts;
    /* Called for every worker that was found dead, or that does not answer at the end,
     * with its machine; may be NULL. */
    void (*lost)(void *context, const char *host);
    void *lost_context;
    /* Text for people, where not NULL: live lines replace each other. */
    void (*say)(void *context, bool live, const char *line);
    void *say_context;
    double say_interval; /* seconds between live lines */
} cx_coordinator_options;

typedef struct {
    uint64_t updates, episodes, diverged;
    double seconds;
    double last_reward;     /* mean of the last update's episodes; NAN: no update was made */
    cx_worker_shares share; /* of all workers' wall time */
    double coordinator_cpu; /* share of a core, learning included */
    double learner_seconds; /* computing updates, of all ranks that did */
} cx_run_summary;

/* Can a run of so many ranks have the configuration's learner ranks? CX_ECONFIG. */
int cx_coordinator_check_ranks(const cx_config *config, int ranks, cx_error *err);
/* Runs to the configured number of updates. CX_OK: done; CX_ESTOPPED: a checkpoint is
 * written and the run may be resumed; CX_ELOST: the same, as there are no workers left; else
 * an error. Workers are told to stop in every case in which they can still be reached;
 * where one cannot, the transport is `broken` afterwards. */
int cx_coordinate(const cx_coordinator_options *options, cx_run_summary *summary, cx_error *err);

#endif
