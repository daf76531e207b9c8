#include "coordinator/watch.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const double forget = 0.98;       /* weight of what is known when a job is done */
static const double least_piece = 0.125; /* share of a job: beginnings and ends take time, too */
static const double hopeless_factor = 4; /* times the time after which a worker was late */
static const double patience = 1800;     /* seconds with workers that are not ready yet */
enum { DOUBLINGS_MAX = 20, BENCH_DOUBLINGS_MAX = 6 };

typedef struct {
    cx_job job;
    cx_load load;
    bool again; /* handed out again meanwhile */
    cx_trajectory *growing;
} holding;

typedef struct {
    cx_crew_state state;
    bool given_up;    /* LATE, and silent for long */
    int n, n_late;    /* late: jobs in a row */
    holding *job;     /* [prefetch], the first one is being done */
    double began;     /* of the first job */
    double heard;     /* newest sign of life, or beginning */
    double allowed;   /* LATE: what it was late by */
    double no_sooner; /* gets no job before */
} member;

/* Sums over jobs, the older ones fading. */
typedef struct {
    double seconds, gflop, steps;
} tally;

struct cx_watch {
    cx_watch_rules rules;
    member *member;
    holding *holdings;
    tally *took;    /* [kinds][entries + 1]; the last one: of all entries */
    uint64_t *open; /* a bit for each rank that is not passed over */
    uint64_t reissued;
    double well_seen; /* when somebody was well */
};

int cx_watch_create(const cx_watch_rules *rules, cx_watch **out, cx_error *err) {
    *out = NULL;
    cx_watch *w = calloc(1, sizeof *w);
    size_t n = (size_t)rules->workers, prefetch = (size_t)rules->prefetch;
    if (w) {
        w->rules = *rules;
        w->member = calloc(n + 1, sizeof *w->member);
        w->holdings = calloc(n * prefetch + 1, sizeof *w->holdings);
        w->open = calloc(n / 64 + 1, sizeof *w->open);
        w->took = calloc(CX_JOB_KINDS * ((size_t)rules->entries + 1), sizeof *w->took);
    }
    if (!w || !w->member || !w->holdings || !w->open || !w->took) {
        cx_watch_destroy(w);
        return cx_fail(err, CX_ENOMEM, "no memory for the jobs of %d workers", rules->workers);
    }
    for (size_t i = 0; i < n; i++)
        w->member[i].job = &w->holdings[i * prefetch];
    *out = w;
    return CX_OK;
}

void cx_watch_destroy(cx_watch *w) {
    if (!w)
        return;
    for (int i = 0; w->holdings && i < w->rules.workers * w->rules.prefetch; i++)
        cx_trajectory_destroy(w->holdings[i].growing);
    free(w->member);
    free(w->holdings);
    free(w->open);
    free(w->took);
    free(w);
}

static member *of(const cx_watch *w, int rank) {
    return &w->member[rank - 1];
}

static bool is_learner(const cx_watch *w, int i) {
    return i >= w->rules.workers - w->rules.learners;
}

/* --- who may get a job --- */

static void set_open(cx_watch *w, const member *m) {
    ptrdiff_t i = m - w->member;
    w->open[i / 64] |= (uint64_t)1 << i % 64;
}

void cx_watch_pass_over(cx_watch *w, int rank) {
    int i = rank - 1;
    w->open[i / 64] &= ~((uint64_t)1 << i % 64);
}

int cx_watch_open(const cx_watch *w, int from) {
    int i = from - 1;
    if (i >= w->rules.workers)
        return 0;
    uint64_t word = w->open[i / 64] & ~(uint64_t)0 << i % 64;
    for (i /= 64; !word; word = w->open[i])
        if (++i > (w->rules.workers - 1) / 64)
            return 0;
    return 64 * i + __builtin_ctzll(word) + 1;
}

/* --- how long things take --- */

static tally *tally_of(const cx_watch *w, cx_job_kind kind, int entry) {
    return &w->took[(int)kind * (w->rules.entries + 1) + entry];
}

/* INFINITY while nothing of the kind was done. */
static double expected(const cx_watch *w, const holding *h) {
    const tally *t = tally_of(w, h->job.kind, h->load.entry);
    if (t->seconds <= 0)
        t = tally_of(w, h->job.kind, w->rules.entries);
    if (t->seconds <= 0)
        return INFINITY;
    return t->seconds * fmax(h->load.gflop / t->gflop, h->load.steps / t->steps);
}

static double allowed(const cx_watch *w, const holding *h, double share) {
    double more = ldexp(1, h->job.tries < DOUBLINGS_MAX ? h->job.tries : DOUBLINGS_MAX);
    return fmax(w->rules.late_seconds, w->rules.late_factor * expected(w, h) * share) * more;
}

static void learn(cx_watch *w, const holding *h, double seconds) {
    /* what stood still for an hour says little about its kind */
    seconds = fmin(seconds, 2 * w->rules.late_factor * expected(w, h));
    int entry[] = {h->load.entry, w->rules.entries};
    for (int i = 0; i < 2; i++) {
        tally *t = tally_of(w, h->job.kind, entry[i]);
        t->seconds = forget * t->seconds + seconds;
        t->gflop = forget * t->gflop + h->load.gflop;
        t->steps = forget * t->steps + h->load.steps;
    }
}

/* --- who is there --- */

void cx_watch_ready(cx_watch *w, int rank, double now) {
    if (of(w, rank)->state == CX_CREW_AWAITED) {
        of(w, rank)->state = CX_CREW_WELL;
        set_open(w, of(w, rank));
    }
    of(w, rank)->heard = now;
}

void cx_watch_left(cx_watch *w, int rank) {
    of(w, rank)->state = CX_CREW_LEFT;
}

cx_crew_state cx_watch_state(const cx_watch *w, int rank) {
    return of(w, rank)->state;
}

cx_watch_counts cx_watch_count(const cx_watch *w) {
    cx_watch_counts c = {.reissued = w->reissued};
    for (int i = 0; i < w->rules.workers; i++) {
        bool well = w->member[i].state == CX_CREW_WELL, given_up = w->member[i].given_up;
        bool late = w->member[i].state == CX_CREW_LATE && !given_up;
        bool lost = w->member[i].state == CX_CREW_LOST || given_up;
        if (is_learner(w, i)) {
            c.learners += well;
            c.learners_gone += late || lost;
            continue;
        }
        c.well += well;
        c.late += late;
        c.lost += lost;
    }
    return c;
}

int cx_watch_held(const cx_watch *w, int rank) {
    return of(w, rank)->n;
}

void cx_watch_heard(cx_watch *w, int rank, double now) {
    member *m = of(w, rank);
    m->heard = now;
    if (m->state != CX_CREW_LATE)
        return;
    m->state = CX_CREW_WELL;
    set_open(w, m);
    m->given_up = false;
    int doublings = m->n_late <= BENCH_DOUBLINGS_MAX ? m->n_late - 1 : BENCH_DOUBLINGS_MAX;
    m->no_sooner = now + ldexp(w->rules.late_seconds, doublings);
}

/* --- jobs --- */

double cx_watch_expected(const cx_watch *w, int rank) {
    const member *m = of(w, rank);
    double sum = 0;
    for (int i = 0; i < m->n; i++)
        sum += expected(w, &m->job[i]);
    return sum;
}

bool cx_watch_may_take(const cx_watch *w, int rank, int depth, double now) {
    const member *m = of(w, rank);
    /* one that was late has to prove itself with single jobs */
    return m->state == CX_CREW_WELL && m->n == depth && depth < w->rules.prefetch &&
           (m->n_late == 0 || (depth == 0 && now >= m->no_sooner));
}

bool cx_watch_taken_up(const cx_watch *w, int rank) {
    const member *m = of(w, rank);
    return m->state != CX_CREW_WELL || m->n >= w->rules.prefetch || (m->n > 0 && m->n_late > 0);
}

int cx_watch_learners(const cx_watch *w, double now) {
    int n = 0;
    for (int i = w->rules.workers - w->rules.learners; i < w->rules.workers; i++)
        n += w->member[i].state == CX_CREW_WELL &&
             (w->member[i].n > 0 || cx_watch_may_take(w, i + 1, 0, now));
    return n;
}

const cx_job *cx_watch_first(const cx_watch *w, int rank) {
    const member *m = of(w, rank);
    return m->n ? &m->job[0].job : NULL;
}

static holding *find(const member *m, const cx_job *job) {
    for (int i = 0; i < m->n; i++) {
        const cx_job *j = &m->job[i].job;
        bool same = j->kind == job->kind && j->instance == job->instance && j->run == job->run &&
                    (j->kind == CX_JOB_BASELINE || j->episode == job->episode);
        if (same)
            return &m->job[i];
    }
    return NULL;
}

bool cx_watch_give(cx_watch *w, int rank, const cx_job *job, const cx_load *load, double now) {
    member *m = of(w, rank);
    holding *h = find(m, job);
    if (h) {
        h->again = false;
        return false;
    }
    if (m->n == 0)
        m->began = m->heard = now;
    m->job[m->n++] = (holding){.job = *job, .load = *load};
    w->reissued += job->tries > 0 && job->kind == CX_JOB_EPISODE;
    return true;
}

static void take_off(cx_watch *w, member *m, holding *h, double now) {
    set_open(w, m);
    cx_trajectory_destroy(h->growing);
    if (h == m->job)
        m->began = m->heard = now;
    m->n--;
    memmove(h, h + 1, (size_t)(&m->job[m->n] - h) * sizeof *h);
    memset(&m->job[m->n], 0, sizeof *h);
}

cx_trajectory **cx_watch_trajectory(cx_watch *w, int rank, uint64_t episode) {
    member *m = of(w, rank);
    for (int i = 0; i < m->n; i++)
        if (m->job[i].job.kind == CX_JOB_EPISODE && m->job[i].job.episode == episode)
            return &m->job[i].growing;
    return NULL;
}

bool cx_watch_answered(cx_watch *w, int rank, const cx_job *job, cx_trajectory **trajectory,
                       double now) {
    member *m = of(w, rank);
    holding *h = find(m, job);
    if (!h)
        return false;
    learn(w, h, now - m->began);
    if (!h->again)
        m->n_late = 0;
    if (trajectory) {
        *trajectory = h->growing;
        h->growing = NULL;
    }
    take_off(w, m, h, now);
    return true;
}

bool cx_watch_drop(cx_watch *w, int rank, const cx_job *job, double now) {
    member *m = of(w, rank);
    holding *h = find(m, job);
    if (h)
        take_off(w, m, h, now);
    return h != NULL;
}

/* --- who is not --- */

/* Somebody who was late with this job, but is heard from again, goes on with it. */
static bool done_elsewhere(cx_watch *w, const member *except, const cx_job *job) {
    for (int i = 0; i < w->rules.workers; i++) {
        member *m = &w->member[i];
        holding *h = m != except && m->state == CX_CREW_WELL ? find(m, job) : NULL;
        if (h) {
            h->again = false;
            return true;
        }
    }
    return false;
}

static void hand_out_again(cx_watch *w, member *m, cx_watch_again again, void *context) {
    for (int i = 0; i < m->n; i++)
        if (!m->job[i].again) {
            m->job[i].again = true;
            if (!done_elsewhere(w, m, &m->job[i].job))
                again(context, &m->job[i].job);
        }
}

void cx_watch_lost(cx_watch *w, int rank, cx_watch_again again, void *context) {
    member *m = of(w, rank);
    hand_out_again(w, m, again, context);
    while (m->n > 0)
        take_off(w, m, &m->job[m->n - 1], 0);
    m->state = CX_CREW_LOST;
}

/* The time that it had, where that is over; else 0. */
static double late_by(const cx_watch *w, const member *m, double now) {
    const holding *h = m->job;
    if (m->state != CX_CREW_WELL || m->n == 0)
        return 0;
    double whole = allowed(w, h, 1), piece = allowed(w, h, fmax(h->load.piece, least_piece));
    /* a job that was handed out again is late already: only silence tells more */
    if (!h->again && now - m->began > whole)
        return whole;
    return now - m->heard > piece ? piece : 0;
}

bool cx_watch_check(cx_watch *w, double now, cx_watch_again again, void *context) {
    bool any = false;
    for (int i = 0; i < w->rules.workers; i++) {
        member *m = &w->member[i];
        double late = late_by(w, m, now);
        if (late > 0) {
            m->state = CX_CREW_LATE;
            m->allowed = late;
            m->n_late++;
            hand_out_again(w, m, again, context);
            any = true;
        }
        if (m->state == CX_CREW_LATE && now - m->heard > hopeless_factor * m->allowed)
            m->given_up = true;
        if (m->state == CX_CREW_WELL && !is_learner(w, i))
            w->well_seen = now;
    }
    return any;
}

bool cx_watch_hopeless(const cx_watch *w, double now) {
    bool awaited = false;
    for (int i = 0; i < w->rules.workers - w->rules.learners; i++) {
        const member *m = &w->member[i];
        if (m->state == CX_CREW_WELL ||
            (m->state == CX_CREW_LATE && now - m->heard <= hopeless_factor * m->allowed))
            return false;
        awaited |= m->state == CX_CREW_AWAITED;
    }
    return !awaited || now - w->well_seen > patience;
}
