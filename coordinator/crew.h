/* The workers as rank 0 sees them: who they are, who has died, who is late, and what they
 * hold (coordinator/watch.h). For trainings and evaluations alike: what the jobs are is the
 * caller's affair. */
#ifndef CX_COORDINATOR_CREW_H
#define CX_COORDINATOR_CREW_H

#include "coordinator/watch.h"
#include "wire/message.h"

typedef struct {
    cx_transport *transport;
    uint64_t config_hash; /* workers must have the same */
    cx_watch_rules rules;
    double silence_seconds; /* that workers bear: they hear from rank 0 far more often */
    /* A job is to be handed out again. */
    cx_watch_again again;
    void *again_context;
    /* A worker has died, or does not answer at the end; may be NULL. */
    void (*lost)(void *context, const char *host);
    void *lost_context;
    /* For people; may be NULL. */
    void (*say)(void *context, bool live, const char *line);
    void *say_context;
} cx_crew_options;

typedef struct {
    char host[64]; /* "": has not said HELLO */
    int64_t pid;   /* 0: not of this machine */
    bool was_well; /* when it was last looked after */
    bool ended;    /* at the end: seen once, and its BYE may still be to be read */
} cx_crew_member;

typedef struct {
    cx_crew_options o;
    int n; /* workers, learner ranks among them: ranks 1 .. n */
    cx_crew_member *member;
    cx_watch *watch;
    /* The watch's time. It stands still while rank 0 computes, but for a moment: what workers
     * sent meanwhile has not been read. */
    double time;
    double last_pass, last_look, last_hello; /* of cx_clock_now */
} cx_crew;

/* From `workers` of the configuration; no learner ranks. */
cx_watch_rules cx_crew_rules(const cx_config *config, int workers, int queue);
/* Of a whole inner training. */
cx_load cx_crew_load(const cx_task_spec *spec, const cx_config *config);
int cx_crew_create(const cx_crew_options *options, cx_crew **out, cx_error *err);
void cx_crew_destroy(cx_crew *crew);

/* Every message goes through here first: a sign of life. *mine: it was about the worker
 * itself, and that is all (HELLO, READY, BYE). */
int cx_crew_heard(cx_crew *crew, int rank, cx_msg_type type, const void *body, bool *mine,
                  cx_error *err);
/* CX_OK: the worker, not the run, has failed (its machine has no memory left), and others
 * take over; else the error of the message. */
int cx_crew_failed(cx_crew *crew, int rank, const cx_msg_failed *m, cx_error *err);
/* To be called often: finds those that died or are late; tells all now and then that
 * rank 0 lives. */
int cx_crew_look_after(cx_crew *crew, cx_error *err);
/* Tells all that hold this job, named in *m, that nobody waits for it any more. */
int cx_crew_drop(cx_crew *crew, const cx_job *job, const cx_msg_drop *m, cx_error *err);
/* Nobody is left that could do a job. */
bool cx_crew_hopeless(const cx_crew *crew);
/* CX_ELOST, with numbers. */
int cx_crew_lost_error(const cx_crew *crew, cx_error *err);

/* Sends STOP to all that live. The transport is `broken` where one does not. */
void cx_crew_dismiss(cx_crew *crew);
/* How many are still to be waited for, so many seconds after that. Those with jobs are for
 * `patience` seconds (they look for a STOP between outer steps, and these may be long),
 * others for less. To be called when there is nothing to receive. */
int cx_crew_staying(cx_crew *crew, double seconds, double patience);

#endif
