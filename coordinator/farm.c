#include "coordinator/farm.h"

#include "base/clock.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* patience with workers at the end, and where somebody waits for us to stop */
static const double end_seconds = 30, stop_seconds = 5, ask_seconds = 0.1;

/* A job that was handed out again. */
typedef struct {
    uint64_t number;
    int tries;
} repeated;

struct cx_farm {
    cx_farm_options o;
    cx_farm_work work;
    cx_crew *crew;
    repeated *again; /* those that nobody has answered yet: few */
    int n_again, room;
    int rc; /* of `again`, which cannot return one */
    double asked;
    bool told; /* by a worker, that a signal asked for a stop */
    bool stopping;
};

static repeated *find_repeated(const cx_farm *f, uint64_t number) {
    for (int i = 0; i < f->n_again; i++)
        if (f->again[i].number == number)
            return &f->again[i];
    return NULL;
}

static cx_job job_of(const cx_farm *f, uint64_t number) {
    const repeated *r = find_repeated(f, number);
    return (cx_job){.kind = CX_JOB_EPISODE, .episode = number, .tries = r ? r->tries : 0};
}

static void again(void *context, const cx_job *job) {
    cx_farm *f = context;
    repeated *r = find_repeated(f, job->episode);
    if (!f->work.again)
        return;
    if (!r && f->n_again == f->room) {
        int room = f->room ? 2 * f->room : 16;
        repeated *more = realloc(f->again, (size_t)room * sizeof *more);
        if (!more) {
            f->rc = CX_ENOMEM;
            return;
        }
        f->again = more;
        f->room = room;
    }
    if (!r)
        *(r = &f->again[f->n_again++]) = (repeated){job->episode, 0};
    r->tries++;
    f->work.again(f->work.context, job->episode);
}

int cx_farm_create(const cx_farm_options *options, cx_farm **out, cx_error *err) {
    *out = NULL;
    cx_farm *f = calloc(1, sizeof *f);
    if (!f)
        return cx_fail(err, CX_ENOMEM, "no memory for the workers' queues");
    f->o = *options;
    const cx_crew_options crew = {
        .transport = options->transport,
        .config_hash = options->config_hash,
        .rules = cx_crew_rules(options->config, options->transport->ranks - 1, CX_FARM_QUEUED),
        .silence_seconds = options->config->workers.silence_seconds,
        .again = again,
        .again_context = f,
        .lost = options->lost,
        .lost_context = options->lost_context,
        .say = options->say,
        .say_context = options->say_context};
    int rc = cx_crew_create(&crew, &f->crew, err);
    if (rc)
        free(f);
    else
        *out = f;
    return rc;
}

/* The job that an answer is for, as DROP names it. */
static cx_msg_type asked_by(cx_msg_type answer) {
    return answer == CX_MSG_TRIED       ? CX_MSG_TRIAL
           : answer == CX_MSG_EVALUATED ? CX_MSG_EVALUATION
                                        : CX_MSG_BASELINE;
}

/* Nobody needs to go on with a job that somebody else has done. */
static int drop_elsewhere(cx_farm *f, cx_msg_type type, const cx_job *job, cx_error *err) {
    repeated *r = find_repeated(f, job->episode);
    if (!r)
        return CX_OK;
    *r = f->again[--f->n_again];
    cx_msg_drop m;
    memset(&m, 0, sizeof m);
    m.type = type;
    m.number = job->episode;
    return cx_crew_drop(f->crew, job, &m, err);
}

static int on_answer(cx_farm *f, int rank, cx_msg_type type, const void *body, cx_error *err) {
    uint64_t number;
    if (!f->work.number)
        return CX_OK; /* nothing was ever asked */
    int rc = f->work.number(f->work.context, type, body, &number, err);
    if (rc)
        return cx_fail_in(err, "a message of rank %d", rank);
    cx_job job = job_of(f, number);
    if (!cx_watch_answered(f->crew->watch, rank, &job, NULL, f->crew->time))
        return CX_OK; /* of one that was given up */
    rc = drop_elsewhere(f, asked_by(type), &job, err);
    return rc ? rc : f->work.take(f->work.context, rank, type, body, err);
}

static int handle(cx_farm *f, int from, const void *data, size_t size, cx_error *err) {
    cx_msg_type type;
    const void *body, *extra;
    size_t extra_size;
    bool done;
    int rc = cx_message_unpack(data, size, &type, &body, &extra, &extra_size, err);
    if (rc || from < 1 || from > f->crew->n)
        return rc ? rc : cx_fail(err, CX_ESTATE, "a message came from rank %d", from);
    rc = cx_crew_heard(f->crew, from, type, body, &done, err);
    if (rc || done)
        return rc;
    if (type == CX_MSG_FAILED)
        return cx_crew_failed(f->crew, from, body, err);
    f->told |= type == CX_MSG_SIGNAL;
    return type == CX_MSG_SIGNAL ? CX_OK : on_answer(f, from, type, body, err);
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
    cx_watch *watch = f->crew->watch;
    for (int depth = 0; depth < CX_FARM_QUEUED; depth++)
        for (int rank = 1; rank <= f->crew->n; rank++) {
            bool ready = false;
            cx_farm_job next;
            if (!cx_watch_may_take(watch, rank, depth, f->crew->time))
                continue;
            int rc = f->work.next(f->work.context, &ready, &next, err);
            if (rc || !ready)
                return rc;
            cx_job job = job_of(f, next.number);
            *did = true;
            /* else it was late with it, and goes on with it */
            if (cx_watch_give(watch, rank, &job, &next.load, f->crew->time))
                rc = f->work.send(f->work.context, rank, next.number, err);
            if (rc)
                return rc;
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
        if (!rc)
            rc = cx_crew_look_after(f->crew, err);
        if (!rc && f->rc)
            rc = cx_fail(err, (cx_code)f->rc, "no memory for %d jobs that are done again",
                         2 * f->room);
        if (!rc && !work->done(work->context))
            rc = send_jobs(f, &did, err);
        if (!rc && cx_crew_hopeless(f->crew))
            rc = cx_crew_lost_error(f->crew, err);
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
    double began = cx_clock_now(), patience = f->stopping ? stop_seconds : end_seconds;
    double pause = 50e-6;
    cx_crew_dismiss(f->crew);
    f->work.again = NULL; /* nobody is there for it */
    for (;;) {
        bool did = false;
        if (receive_all(f, &did, &ignored) ||
            cx_crew_staying(f->crew, cx_clock_now() - began, patience) == 0 ||
            (!did && idle(f, &pause, &ignored)))
            return;
    }
}

void cx_farm_destroy(cx_farm *f) {
    if (!f)
        return;
    stop_workers(f);
    cx_crew_destroy(f->crew);
    free(f->again);
    free(f);
}
