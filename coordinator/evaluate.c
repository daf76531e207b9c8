#include "coordinator/evaluate.h"

#include "base/clock.h"
#include "base/file.h"
#include "coordinator/eval_json.h"
#include "store/records.h"
#include "store/store.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t trial_magic = 0x54584343; /* "CCXT" */
static const double write_seconds = 60;         /* at least between two partial results */

_Static_assert(offsetof(cx_trial_result, key) == 0, "a record begins with its key");

typedef struct {
    uint64_t key;
    cx_trial_job job;
    const cx_open_loop *replay;
    double cost; /* for the time that is left */
} wanted;

typedef struct {
    uint64_t key; /* 0: none */
    double cost;
} flying;

struct cx_evaluation_state {
    const cx_evaluation *e;
    cx_suite *suite;
    cx_figures *figures;
    cx_records *own, *shared; /* shared: NULL: none */
    int lock;
    cx_farm *farm;
    bool *has_policy; /* by rank */
    flying *flight;   /* jobs that were sent; room for all that can be */
    int n_flight;
    wanted *queue;
    size_t n_queue, room, next;
    bool whole, changed; /* changed: results came since the last plan */
    int rc;              /* of `want`, which cannot return one */
    cx_error *err;
    cx_evaluation_summary summary;
    double started, said, written, cost_done, cost_left;
    int tasks_written;
};

/* --- results --- */

static const cx_trial_result *find(void *context, uint64_t key) {
    cx_evaluation_state *s = context;
    size_t size;
    const void *r = cx_records_find(s->own, key, &size);
    if (r || !s->shared)
        return r;
    r = cx_records_find(s->shared, key, &size);
    if (r && !s->rc) { /* the folder is to be complete by itself */
        s->rc = cx_records_add(s->own, r, size, s->err);
        s->summary.found++;
        r = cx_records_find(s->own, key, NULL);
    }
    return r;
}

static int keep(cx_evaluation_state *s, const cx_trial_result *r, cx_error *err) {
    size_t size = cx_trial_result_size(r);
    int rc = cx_records_add(s->own, r, size, err);
    if (!rc && s->shared)
        rc = cx_records_add(s->shared, r, size, err);
    return rc;
}

/* --- the queue --- */

static bool under_way(const cx_evaluation_state *s, uint64_t key) {
    for (int i = 0; i < s->n_flight; i++)
        if (s->flight[i].key == key)
            return true;
    return false;
}

/* One trial may be wanted twice, as two contestants' (rarely: the tail of the queue is
 * where its twin is). */
static bool queued(const cx_evaluation_state *s, uint64_t key) {
    for (size_t i = s->n_queue; i-- > 0;)
        if (s->queue[i].key == key)
            return true;
    return false;
}

static void want(void *context, uint64_t key, const cx_trial_job *job, const cx_open_loop *replay) {
    cx_evaluation_state *s = context;
    if (s->rc || under_way(s, key) || queued(s, key))
        return;
    if (s->n_queue == s->room) {
        size_t room = s->room ? 2 * s->room : 256;
        wanted *more = realloc(s->queue, room * sizeof *more);
        if (!more) {
            s->rc = cx_fail(s->err, CX_ENOMEM, "no memory for a queue of %zu trials", room);
            return;
        }
        s->queue = more;
        s->room = room;
    }
    double cost = fmax(cx_task_gflop(&job->spec, s->e->config) * job->length, 1e-6);
    s->queue[s->n_queue++] = (wanted){key, *job, replay, cost};
    s->cost_left += cost;
}

/* Plans again with what has come since. */
static int plan(cx_evaluation_state *s, cx_error *err) {
    const cx_plan_io io = {find, want, s};
    s->n_queue = s->next = 0;
    s->changed = false;
    s->cost_left = 0;
    s->rc = CX_OK;
    s->err = err;
    for (int i = 0; i < s->n_flight; i++)
        s->cost_left += s->flight[i].cost;
    s->whole = cx_suite_plan(s->suite, &io);
    s->err = NULL;
    return s->rc;
}

/* One that was done again may have come by then. */
static void pass_over_known(cx_evaluation_state *s) {
    while (s->next < s->n_queue && cx_records_find(s->own, s->queue[s->next].key, NULL))
        s->cost_left -= s->queue[s->next++].cost;
}

/* --- the work --- */

static bool done(void *context) {
    return ((cx_evaluation_state *)context)->whole;
}

static int next_trial(void *context, bool *ready, cx_farm_job *job, cx_error *err) {
    cx_evaluation_state *s = context;
    pass_over_known(s);
    if (s->next == s->n_queue && s->changed) {
        int rc = plan(s, err);
        if (rc)
            return rc;
    }
    *ready = s->next < s->n_queue;
    if (!*ready)
        return CX_OK;
    const wanted *w = &s->queue[s->next++];
    s->flight[s->n_flight++] = (flying){w->key, w->cost};
    *job = (cx_farm_job){w->key, cx_crew_load(&w->job.spec, s->e->config)};
    job->load.gflop = w->cost;
    job->load.steps = fmax(job->load.steps * w->job.length, 1);
    return CX_OK;
}

static int send_trial(void *context, int rank, uint64_t number, cx_error *err) {
    cx_evaluation_state *s = context;
    const wanted *w = &s->queue[s->next - 1];
    cx_msg_trial m;
    memset(&m, 0, sizeof m);
    m.key = number;
    m.job = w->job;
    if (w->replay)
        m.replay = *w->replay;
    bool weights = w->job.trainer == CX_TRAINER_POLICY && !s->has_policy[rank];
    if (weights)
        m.n_weights = s->e->policy_count;
    s->has_policy[rank] |= weights;
    return cx_message_send(s->e->farm.transport, rank, CX_MSG_TRIAL, &m, sizeof m,
                           weights ? s->e->policy : NULL, (size_t)m.n_weights * sizeof(float), err);
}

static int write_results(cx_evaluation_state *s, cx_error *err) {
    cx_figures_destroy(s->figures);
    s->figures = NULL;
    s->written = cx_clock_now();
    int rc = cx_figures_create(s->suite, &s->figures, err);
    return rc ? rc : cx_evaluation_write_json(s->e, s->suite, s->figures, s->whole, err);
}

static int complete_tasks(const cx_suite *suite) {
    int n = 0;
    for (int i = 0; i < suite->n_tasks; i++)
        n += suite->task[i].complete;
    return n;
}

static int number_of(void *context, cx_msg_type type, const void *body, uint64_t *number,
                     cx_error *err) {
    (void)context;
    if (type != CX_MSG_TRIED)
        return cx_fail(err, CX_EFORMAT, "of type %s", cx_message_name(type));
    *number = ((const cx_msg_tried *)body)->result.key;
    return CX_OK;
}

/* False where it is not under way: it was given up, and has been or will be done again. */
static bool landed(cx_evaluation_state *s, uint64_t key, bool done) {
    int i = 0;
    while (i < s->n_flight && s->flight[i].key != key)
        i++;
    if (i == s->n_flight)
        return false;
    if (done) {
        s->cost_done += s->flight[i].cost;
        s->cost_left -= s->flight[i].cost;
    }
    s->flight[i] = s->flight[--s->n_flight];
    return true;
}

/* The next plan wants it again. */
static void again(void *context, uint64_t key) {
    cx_evaluation_state *s = context;
    if (landed(s, key, false))
        s->changed = true;
}

static int take(void *context, int rank, cx_msg_type type, const void *body, cx_error *err) {
    (void)rank;
    (void)type;
    cx_evaluation_state *s = context;
    const cx_trial_result *r = &((const cx_msg_tried *)body)->result;
    (void)landed(s, r->key, true);
    if (cx_records_find(s->own, r->key, NULL))
        return CX_OK;
    s->summary.done++;
    s->changed = true;
    int rc = keep(s, r, err);
    pass_over_known(s);
    if (!rc && s->next == s->n_queue)
        rc = plan(s, err);
    int complete = complete_tasks(s->suite);
    if (!rc && !s->whole && complete > s->tasks_written &&
        cx_clock_now() - s->written > write_seconds) {
        s->tasks_written = complete;
        rc = write_results(s, err);
    }
    return rc;
}

static void tick(void *context) {
    cx_evaluation_state *s = context;
    char line[160], left[48] = "";
    double now = cx_clock_now();
    if (!s->e->say || now - s->said < s->e->say_interval)
        return;
    s->said = now;
    double seconds = s->cost_left * (now - s->started) / fmax(s->cost_done, 1e-9);
    if (s->summary.done >= 8)
        (void)snprintf(left, sizeof left, ", left at least %.0f %s",
                       seconds < 100 ? seconds : seconds / 60, seconds < 100 ? "s" : "min");
    (void)snprintf(line, sizeof line, "%d of %d tasks complete, %d trials done, %zu waiting%s",
                   complete_tasks(s->suite), s->suite->n_tasks, s->summary.done,
                   s->n_queue - s->next + (size_t)s->n_flight, left);
    s->e->say(s->e->say_context, true, line);
}

/* --- beginning and end --- */

static int open_records(const char *folder, cx_records **out, cx_error *err) {
    char path[600];
    int rc = cx_path(path, sizeof path, err, "%s/" CX_EVALUATION_TRIALS, folder);
    return rc ? rc : cx_records_open(path, trial_magic, cx_trial_result_ok, out, err);
}

/* A training's folder has a config.yaml of its own, which must stay. */
static int refuse_run(const char *dir, cx_error *err) {
    char path[600];
    int rc = cx_path(path, sizeof path, err, "%s/metrics.jsonl", dir);
    if (!rc && cx_file_exists(path))
        rc = cx_fail(err, CX_EUSAGE, "%s is the folder of a training; give another --out", dir);
    return rc;
}

static int open_folder(cx_evaluation_state *s, cx_error *err) {
    const cx_evaluation *e = s->e;
    char path[600];
    int rc = refuse_run(e->dir, err);
    if (!rc)
        rc = cx_file_make_dirs(e->dir, err);
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/lock", e->dir);
    if (!rc)
        rc = cx_lock_take(path, &s->lock, err);
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/config.yaml", e->dir);
    if (!rc)
        rc = cx_file_replace(path, e->config_yaml, strlen(e->config_yaml), err);
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/" CX_EVALUATION_TRIALS, e->dir);
    if (!rc && !cx_file_exists(path)) /* not one that is gone on with */
        rc = cx_made_write(e->dir, e->command, err);
    if (!rc)
        rc = open_records(e->dir, &s->own, err);
    if (!rc && e->config->evaluation.cache[0])
        rc = open_records(e->config->evaluation.cache, &s->shared, err);
    return rc;
}

static bool asked_to_stop(void *context) {
    cx_evaluation_state *s = context;
    char path[600];
    if (s->e->farm.should_stop && s->e->farm.should_stop(s->e->farm.stop_context))
        return true;
    return cx_path(path, sizeof path, NULL, "%s/stop", s->e->dir) == CX_OK && cx_file_exists(path);
}

/* A stop file that was obeyed is taken away: the next call is to go on. */
static void remove_stop_file(const cx_evaluation_state *s) {
    char path[600];
    if (cx_path(path, sizeof path, NULL, "%s/stop", s->e->dir) == CX_OK)
        (void)cx_file_remove_all(path, NULL);
}

/* The farm first: whatever fails then, the workers are sent home with it. */
static int prepare(cx_evaluation_state *s, cx_error *err) {
    size_t ranks = (size_t)s->e->farm.transport->ranks;
    cx_farm_options farm = s->e->farm;
    farm.should_stop = asked_to_stop;
    farm.stop_context = s;
    int rc = cx_farm_create(&farm, &s->farm, err);
    if (rc)
        return rc;
    s->has_policy = calloc(ranks, sizeof *s->has_policy);
    s->flight = calloc(ranks * CX_FARM_QUEUED, sizeof *s->flight);
    if (!s->has_policy || !s->flight)
        return cx_fail(err, CX_ENOMEM, "no memory for %zu ranks", ranks);
    rc = open_folder(s, err);
    if (!rc)
        rc = cx_suite_create(&s->e->suite, &s->suite, err);
    s->summary.found = rc ? 0 : (int)cx_records_count(s->own);
    s->started = s->written = cx_clock_now();
    return rc ? rc : plan(s, err);
}

int cx_evaluate(const cx_evaluation *e, cx_evaluation_state **out, cx_error *err) {
    *out = NULL;
    cx_evaluation_state *s = calloc(1, sizeof *s);
    if (!s)
        return cx_fail(err, CX_ENOMEM, "no memory for an evaluation");
    s->e = e;
    s->lock = -1;
    const cx_farm_work work = {s, done, next_trial, send_trial, number_of, take, again, tick};
    int rc = prepare(s, err);
    if (!rc)
        rc = cx_farm_run(s->farm, &work, err);
    cx_error ignored;
    bool stopped = rc == CX_ESTOPPED;
    cx_farm_destroy(s->farm);
    s->farm = NULL;
    s->summary.seconds = cx_clock_now() - s->started;
    if (!rc)
        rc = write_results(s, err);
    else if (stopped)
        (void)write_results(s, &ignored);
    if (stopped) {
        remove_stop_file(s);
        rc = cx_fail(err, CX_ESTOPPED, "stopped; %d trials are kept, the same command goes on",
                     (int)cx_records_count(s->own));
    }
    if (rc)
        cx_evaluation_close(s);
    else
        *out = s;
    return rc;
}

const cx_suite *cx_evaluation_suite(const cx_evaluation_state *s) {
    return s->suite;
}

const cx_figures *cx_evaluation_figures(const cx_evaluation_state *s) {
    return s->figures;
}

cx_evaluation_summary cx_evaluation_summarize(const cx_evaluation_state *s) {
    return s->summary;
}

void cx_evaluation_close(cx_evaluation_state *s) {
    char path[600];
    if (!s)
        return;
    if (s->lock >= 0 && cx_path(path, sizeof path, NULL, "%s/lock", s->e->dir) == CX_OK)
        cx_lock_release(path, s->lock);
    cx_figures_destroy(s->figures);
    cx_suite_destroy(s->suite);
    cx_records_close(s->own);
    cx_records_close(s->shared);
    free(s->has_policy);
    free(s->flight);
    free(s->queue);
    free(s);
}
