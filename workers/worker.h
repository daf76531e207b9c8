/* What every rank but 0 does: receive an assignment, run it, report. */
#ifndef CX_WORKERS_WORKER_H
#define CX_WORKERS_WORKER_H

#include "tasks/task.h"
#include "wire/transport.h"

typedef struct cx_worker cx_worker;

/* config, store and transport must outlive the worker. The coordinator knows of this rank
 * by a HELLO (cx_message_send_hello) that went before; now it hears that it may give jobs. */
int cx_worker_create(const cx_config *config, const cx_data_store *store, cx_transport *transport,
                     cx_worker **out, cx_error *err);
void cx_worker_destroy(cx_worker *w);
/* Does at most one assignment, if one has arrived. *worked tells whether; *stopped
 * becomes true after the coordinator's STOP. A job that cannot be done is reported to
 * the coordinator and is no error here. */
int cx_worker_poll(cx_worker *w, bool *worked, bool *stopped, cx_error *err);
/* Polls until STOP, sleeping while there is nothing to do. `told` (NULL: never) says
 * whether a signal has asked this rank to stop: the coordinator is told, once. Amid a job
 * that is looked at, and for a STOP, between outer steps or so: a STOP ends the job. CX_EMPI
 * when the coordinator is gone: its process has ended, or nothing has come from it for
 * workers.silence_seconds while there was nothing to do. */
int cx_worker_run(cx_worker *w, bool (*told)(void *context), void *context, cx_error *err);

#endif
