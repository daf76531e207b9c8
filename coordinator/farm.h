/* Jobs to workers and answers back, for evaluations: every worker holds a few jobs, and
 * whatever it answers makes room for the next. What the jobs are is the caller's affair.
 * The jobs of a worker that dies or is late are done by others (coordinator/crew.h). */
#ifndef CX_COORDINATOR_FARM_H
#define CX_COORDINATOR_FARM_H

#include "coordinator/crew.h"

enum { CX_FARM_QUEUED = 2 }; /* jobs that a worker holds */

typedef struct {
    const cx_config *config;
    cx_transport *transport;
    uint64_t config_hash;                                    /* workers must have the same */
    int (*idle)(void *context, bool *worked, cx_error *err); /* as in coordinator.h */
    void *idle_context;
    bool (*should_stop)(
        void *context); /* asked every tenth of a second: CX_ESTOPPED; may be NULL */
    void *stop_context;
    void (*lost)(void *context, const char *host); /* as in coordinator.h; may be NULL */
    void *lost_context;
    void (*say)(void *context, bool live, const char *line);
    void *say_context;
} cx_farm_options;

/* A job by its number, and what its time depends on. */
typedef struct {
    uint64_t number;
    cx_load load;
} cx_farm_job;

typedef struct {
    void *context;
    bool (*done)(void *context);
    /* Takes the next job off the caller's list, if one is ready: *ready, and which. */
    int (*next)(void *context, bool *ready, cx_farm_job *job, cx_error *err);
    /* Sends that job, the one that `next` gave last, to a worker. */
    int (*send)(void *context, int rank, uint64_t number, cx_error *err);
    /* The number of the job that a message of that type answers. CX_EFORMAT: it does not. */
    int (*number)(void *context, cx_msg_type type, const void *body, uint64_t *number,
                  cx_error *err);
    /* A worker's answer to a job. Where it was done again, others are told to leave it; one
     * that was done by then is answered twice. */
    int (*take)(void *context, int rank, cx_msg_type type, const void *body, cx_error *err);
    /* A job that was sent may not be answered: `next` is to give it once more. */
    void (*again)(void *context, uint64_t number);
    void (*tick)(void *context); /* called often; may be NULL */
} cx_farm_work;

typedef struct cx_farm cx_farm;
int cx_farm_create(const cx_farm_options *options, cx_farm **out, cx_error *err);
/* Until the work is done, or has failed, or is to stop (CX_ESTOPPED), or no worker is left
 * (CX_ELOST). */
int cx_farm_run(cx_farm *f, const cx_farm_work *work, cx_error *err);
/* Sends the workers home. Answers that still come in go to the work that ran last; gives up
 * after a while on those that do not come. NULL is fine. */
void cx_farm_destroy(cx_farm *f);

#endif
