#include "coordinator/farm.h"

#include "base/clock.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* patience with workers at the end, and where somebody waits for us to stop */
static const double end_seconds = 30, stop_seconds = 5, ask_seconds = 0.1;

typedef struct {
    bool ready, gone;
    int jobs; /* sent and not answered */
} farm_worker;

struct cx_farm {
    cx_farm_options o;
    cx_farm_work work;
    farm_worker *worker;
    int n_workers;
    double asked;
    bool told; /* by a worker, that a signal asked for a stop */
    bool stopping;
};

int cx_farm_create(const cx_farm_options *options, cx_farm **out, cx_error *err) {
    *out = NULL;
    cx_farm *f = calloc(1, sizeof *f);
    if (!f)
        return cx_fail(err, CX_ENOMEM, "no memory for the workers' queues");
    f->o = *options;
    f->n_workers = options->transport->ranks - 1;
    f->worker = calloc((size_t)f->n_workers + 1, sizeof *f->worker);
    if (!f->worker) {
        free(f);
        return cx_fail(err, CX_ENOMEM, "no memory for %d workers", options->transport->ranks - 1);
    }
    *out = f;
    return CX_OK;
}

static int handle(cx_farm *f, int from, const void *data, size_t size, cx_error *err) {
    cx_msg_type type;
    const void *body, *extra;
    size_t extra_size;
    int rc = cx_message_unpack(data, size, &type, &body, &extra, &extra_size, err);
    if (rc || from < 1 || from > f->n_workers)
        return rc ? rc : cx_fail(err, CX_ESTATE, "a message came from rank %d", from);
    farm_worker *w = &f->worker[from - 1];
    switch (type) {
    case CX_MSG_HELLO:
        if (((const cx_msg_hello *)body)->config_hash != f->o.config_hash)
            return cx_fail(err, CX_ECONFIG, "rank %d has read another configuration", from);
        w->ready = true;
        return CX_OK;
    case CX_MSG_SIGNAL:
        f->told = true;
        return CX_OK;
    case CX_MSG_BYE:
        w->gone = true;
        return CX_OK;
    case CX_MSG_FAILED: {
        const cx_msg_failed *m = body;
        w->gone |= m->number == CX_NO_JOB;
        return cx_fail(err, (cx_code)m->code, "rank %d: %.900s", from, m->text);
    }
    default:
        w->jobs--;
        return f->work.take ? f->work.take(f->work.context, from, type, body, err) : CX_OK;
    }
}

static int receive_all(cx_farm *f, bool *did, cx_error *err) {
    for (;;) {
        int from;
        void *data;
        size_t size;
        int rc = f->o.transport->receive(f->o.transport, &from, &data, &size, err);
        if (rc || !data)
            return rc;
        *did = true;
        rc = handle(f, from, data, size, err);
        free(data);
        if (rc)
            return rc;
    }
}

/* All workers get one job before any gets two. */
static int send_jobs(cx_farm *f, bool *did, cx_error *err) {
    for (int depth = 0; depth < CX_FARM_QUEUED; depth++)
        for (int rank = 1; rank <= f->n_workers; rank++) {
            farm_worker *w = &f->worker[rank - 1];
            bool sent = false;
            if (!w->ready || w->jobs != depth)
                continue;
            int rc = f->work.send(f->work.context, rank, &sent, err);
            if (rc || !sent)
                return rc;
            w->jobs++;
            *did = true;
        }
    return CX_OK;
}

static int idle(cx_farm *f, double *pause, cx_error *err) {
    bool worked = false;
    if (f->o.idle) {
        int rc = f->o.idle(f->o.idle_context, &worked, err);
        if (rc)
            return rc;
    }
    *pause = worked ? 50e-6 : fmin(*pause * 1.5, 1e-3);
    if (!worked)
        cx_clock_sleep(*pause);
    return CX_OK;
}

static int ask(cx_farm *f, cx_error *err) {
    double now = cx_clock_now();
    if (now - f->asked < ask_seconds)
        return CX_OK;
    f->asked = now;
    f->stopping = f->told || (f->o.should_stop && f->o.should_stop(f->o.stop_context));
    return f->stopping ? cx_fail(err, CX_ESTOPPED, "stopped") : CX_OK;
}

int cx_farm_run(cx_farm *f, const cx_farm_work *work, cx_error *err) {
    double pause = 50e-6;
    f->work = *work;
    while (!work->done(work->context)) {
        bool did = false;
        int rc = receive_all(f, &did, err);
        if (!rc && !work->done(work->context))
            rc = send_jobs(f, &did, err);
        if (!rc)
            rc = ask(f, err);
        if (!rc && work->tick)
            work->tick(work->context);
        if (!rc && did)
            pause = 50e-6;
        else if (!rc)
            rc = idle(f, &pause, err);
        if (rc)
            return rc;
    }
    return CX_OK;
}

static void stop_workers(cx_farm *f) {
    cx_error ignored;
    double end = cx_clock_now() + (f->stopping ? stop_seconds : end_seconds), pause = 50e-6;
    for (int rank = 1; rank <= f->n_workers; rank++)
        (void)cx_message_send(f->o.transport, rank, CX_MSG_STOP, NULL, 0, NULL, 0, &ignored);
    for (;;) {
        int left = 0;
        bool did = false;
        for (int i = 0; i < f->n_workers; i++)
            left += !f->worker[i].gone;
        if (left == 0 || cx_clock_now() > end || receive_all(f, &did, &ignored) ||
            (!did && idle(f, &pause, &ignored)))
            return;
    }
}

void cx_farm_destroy(cx_farm *f) {
    if (!f)
        return;
    stop_workers(f);
    free(f->worker);
    free(f);
}
