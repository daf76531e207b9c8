#include "coordinator/crew.h"

#include "base/clock.h"
#include "base/process.h"
#include "tasks/task.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double look_seconds = 0.5, pass_seconds = 0.25;
static const double idle_patience = 5; /* at the end: who has nothing to do answers at once */

cx_watch_rules cx_crew_rules(const cx_config *config, int workers, int queue) {
    return (cx_watch_rules){.workers = workers,
                            .prefetch = queue,
                            .entries = config->n_tasks,
                            .late_factor = config->workers.late_factor,
                            .late_seconds = config->workers.late_seconds};
}

cx_load cx_crew_load(const cx_task_spec *spec, const cx_config *config) {
    return (cx_load){.entry = (int)spec->entry,
                     .gflop = fmax(cx_task_gflop(spec, config), 1e-9),
                     .steps = fmax(cx_task_inner_steps(spec, config), 1),
                     .piece = 1};
}

int cx_crew_create(const cx_crew_options *options, cx_crew **out, cx_error *err) {
    *out = NULL;
    cx_crew *crew = calloc(1, sizeof *crew);
    if (!crew)
        return cx_fail(err, CX_ENOMEM, "no memory for the workers' list");
    crew->o = *options;
    crew->n = options->rules.workers;
    crew->last_pass = cx_clock_now();
    crew->member = calloc((size_t)crew->n + 1, sizeof *crew->member);
    int rc = crew->member ? cx_watch_create(&options->rules, &crew->watch, err)
                          : cx_fail(err, CX_ENOMEM, "no memory for %d workers", crew->n);
    if (rc)
        cx_crew_destroy(crew);
    else
        *out = crew;
    return rc;
}

void cx_crew_destroy(cx_crew *crew) {
    if (!crew)
        return;
    cx_watch_destroy(crew->watch);
    free(crew->member);
    free(crew);
}

static cx_crew_member *of(const cx_crew *crew, int rank) {
    return &crew->member[rank - 1];
}

static int on_hello(cx_crew *crew, int rank, const cx_msg_hello *m, cx_error *err) {
    if (m->config_hash != crew->o.config_hash)
        return cx_fail(err, CX_ECONFIG,
                       "rank %d on %.63s has read another configuration than rank 0", rank,
                       m->host);
    cx_crew_member *w = of(crew, rank);
    char here[sizeof w->host];
    cx_process_host(here, sizeof here);
    memcpy(w->host, m->host, sizeof w->host);
    /* who has just written, and is not there, is of another world of process numbers */
    bool ours = strcmp(w->host, here) == 0 && !cx_process_ended(m->pid);
    w->pid = ours ? m->pid : 0;
    return cx_message_send_hello(crew->o.transport, rank, crew->o.config_hash, err);
}

int cx_crew_heard(cx_crew *crew, int rank, cx_msg_type type, const void *body, bool *mine,
                  cx_error *err) {
    cx_watch_heard(crew->watch, rank, crew->time);
    *mine = true;
    if (type == CX_MSG_HELLO)
        return on_hello(crew, rank, body, err);
    if (type == CX_MSG_READY)
        cx_watch_ready(crew->watch, rank, crew->time);
    else if (type == CX_MSG_BYE)
        cx_watch_left(crew->watch, rank);
    else
        *mine = false;
    return CX_OK;
}

static void tell_of(const cx_crew *crew, int rank, const char *what) {
    char line[256];
    int jobs = cx_watch_held(crew->watch, rank);
    bool learner = rank > crew->n - crew->o.rules.learners;
    (void)snprintf(line, sizeof line, "%s %d on %s %s%s", learner ? "learner rank" : "worker", rank,
                   of(crew, rank)->host, what, jobs ? "; others do what it held" : "");
    if (crew->o.say)
        crew->o.say(crew->o.say_context, false, line);
}

static void lose(cx_crew *crew, int rank, const char *what) {
    tell_of(crew, rank, what);
    cx_watch_lost(crew->watch, rank, crew->o.again, crew->o.again_context);
    if (crew->o.lost)
        crew->o.lost(crew->o.lost_context, of(crew, rank)->host);
}

/* A job that fails for a second one, too, is the run's fault. */
int cx_crew_failed(cx_crew *crew, int rank, const cx_msg_failed *m, cx_error *err) {
    bool leaves = m->number == CX_NO_JOB;
    const cx_job *job = cx_watch_first(crew->watch, rank);
    /* rank 0 itself can do what a learner rank does */
    bool learner = rank > crew->n - crew->o.rules.learners;
    bool others = learner || cx_watch_count(crew->watch).well > 1;
    bool theirs = m->code == CX_ENOMEM || (leaves && m->code == CX_EMPI);
    if (theirs && others && (leaves || (job && job->tries == 0))) {
        lose(crew, rank, "has no memory left, or has lost its connection");
        cx_message_send_stop(crew->o.transport, rank, false);
        return CX_OK;
    }
    if (leaves)
        cx_watch_left(crew->watch, rank);
    return cx_fail(err, (cx_code)m->code, "rank %d: job %llu: %.900s", rank,
                   (unsigned long long)m->number, m->text);
}

static bool is_dead(const cx_crew *crew, int rank) {
    cx_crew_state state = cx_watch_state(crew->watch, rank);
    int64_t pid = of(crew, rank)->pid;
    return pid && state != CX_CREW_LOST && state != CX_CREW_LEFT && cx_process_ended(pid);
}

static void find_dead(cx_crew *crew) {
    for (int rank = 1; rank <= crew->n; rank++)
        if (is_dead(crew, rank))
            lose(crew, rank, "has died");
}

static void find_late(cx_crew *crew) {
    for (int rank = 1; rank <= crew->n; rank++)
        of(crew, rank)->was_well = cx_watch_state(crew->watch, rank) == CX_CREW_WELL;
    if (!cx_watch_check(crew->watch, crew->time, crew->o.again, crew->o.again_context))
        return;
    for (int rank = 1; rank <= crew->n; rank++)
        if (of(crew, rank)->was_well && cx_watch_state(crew->watch, rank) == CX_CREW_LATE)
            tell_of(crew, rank, "is late");
}

static int say_hello(cx_crew *crew, cx_error *err) {
    int rc = CX_OK;
    for (int rank = 1; rank <= crew->n && !rc; rank++) {
        cx_crew_state state = cx_watch_state(crew->watch, rank);
        if (state == CX_CREW_WELL || state == CX_CREW_AWAITED)
            rc = cx_message_send_hello(crew->o.transport, rank, crew->o.config_hash, err);
    }
    return rc;
}

int cx_crew_look_after(cx_crew *crew, cx_error *err) {
    double now = cx_clock_now();
    crew->time += fmin(now - crew->last_pass, pass_seconds);
    crew->last_pass = now;
    if (now - crew->last_look < look_seconds)
        return CX_OK;
    crew->last_look = now;
    find_dead(crew);
    find_late(crew);
    if (now - crew->last_hello < crew->o.silence_seconds / 20)
        return CX_OK;
    crew->last_hello = now;
    return say_hello(crew, err);
}

int cx_crew_drop(cx_crew *crew, const cx_job *job, const cx_msg_drop *m, cx_error *err) {
    int rc = CX_OK;
    for (int rank = 1; rank <= crew->n && !rc; rank++)
        if (cx_watch_drop(crew->watch, rank, job, crew->time))
            rc = cx_message_send(crew->o.transport, rank, CX_MSG_DROP, m, sizeof *m, NULL, 0, err);
    return rc;
}

bool cx_crew_hopeless(const cx_crew *crew) {
    return crew->n > 0 && cx_watch_hopeless(crew->watch, crew->time);
}

int cx_crew_lost_error(const cx_crew *crew, cx_error *err) {
    cx_watch_counts n = cx_watch_count(crew->watch);
    return cx_fail(err, CX_ELOST, "%d of %d workers died, %d do not answer", n.lost, crew->n,
                   n.late);
}

void cx_crew_dismiss(cx_crew *crew) {
    find_dead(crew);
    cx_watch_counts n = cx_watch_count(crew->watch);
    bool whole = n.lost == 0 && n.late == 0 && n.learners_gone == 0;
    crew->o.transport->broken |= !whole;
    for (int rank = 1; rank <= crew->n; rank++) {
        cx_crew_state state = cx_watch_state(crew->watch, rank);
        if (state == CX_CREW_LATE && crew->o.lost)
            crew->o.lost(crew->o.lost_context, of(crew, rank)->host);
        if (state != CX_CREW_LOST && state != CX_CREW_LEFT)
            cx_message_send_stop(crew->o.transport, rank, whole);
    }
}

int cx_crew_staying(cx_crew *crew, double seconds, double patience) {
    int n = 0;
    for (int rank = 1; rank <= crew->n; rank++) {
        cx_crew_state state = cx_watch_state(crew->watch, rank);
        if (state != CX_CREW_WELL && state != CX_CREW_AWAITED)
            continue;
        bool loads = state == CX_CREW_AWAITED && of(crew, rank)->host[0];
        bool busy = loads || cx_watch_held(crew->watch, rank) > 0;
        double bound = busy ? patience : fmin(patience, idle_patience);
        bool ended = is_dead(crew, rank), waits = !ended || !of(crew, rank)->ended;
        of(crew, rank)->ended = ended;
        if (seconds < bound && waits) {
            n++;
            continue;
        }
        crew->o.transport->broken = true;
        lose(crew, rank, "does not answer any more");
    }
    return n;
}
