#include "coordinator/evaluate.h"

#include "base/clock.h"
#include "tasks/task.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* assignments that a worker holds; examples of the test split that losses are means of */
enum { QUEUED = 2, TEST_EXAMPLES = 2000 };

static const struct {
    const char *name;
    cx_acting acting;
} contestants[] = {
#define X(code, name, acting) {name, acting},
    CX_CONTESTANT_TABLE(X)
#undef X
};

const char *cx_contestant_name(cx_contestant c) {
    return contestants[c].name;
}

typedef struct {
    bool ready, has_policy, gone;
    int assignments;
} eval_worker;

/* What the runs of one half (and perhaps one entry) did on average. */
typedef struct {
    cx_open_loop mean;
    double exponent, mean_log_steps; /* of lr over the number of inner steps */
} mean_run;

/* Jobs of one stage: number n is (contestant n / n_tasks, task n % n_tasks); stage 0 is
 * the baselines. */
typedef struct {
    const cx_evaluation *e;
    cx_evaluated_task *tasks;
    eval_worker *worker;
    int n_workers;
    bool baselines, told; /* told: by a worker, that a signal asked for a stop */
    int first, last;      /* contestants of this stage */
    int sent, done, total;
    mean_run overall[2], *family; /* [half]; [entry][half] */
} stage;

/* The replay for task i is made of the runs of the other half. */
static cx_open_loop make_replay(const stage *s, int i, cx_contestant by) {
    int half = 1 - i % 2;
    const cx_evaluated_task *t = &s->tasks[i];
    bool family = by == CX_BY_REPLAY_FAMILY || by == CX_BY_REPLAY_BOTH;
    bool steps = by == CX_BY_REPLAY_STEPS || by == CX_BY_REPLAY_BOTH;
    const mean_run *m = family ? &s->family[2 * t->spec.entry + (uint32_t)half] : &s->overall[half];
    cx_open_loop r = m->mean;
    if (steps)
        cx_open_loop_scale_lr(s->e->config, &r,
                              exp(m->exponent * (log(t->inner_steps) - m->mean_log_steps)));
    return r;
}

static int send_job(stage *s, int rank, int number, cx_error *err) {
    const cx_evaluation *e = s->e;
    int i = number % e->n_tasks;
    if (s->baselines) {
        cx_msg_baseline_job m;
        memset(&m, 0, sizeof m);
        m.instance = (uint64_t)i;
        m.spec = s->tasks[i].spec;
        m.test = 1;
        m.examples = TEST_EXAMPLES;
        return cx_message_send(s->e->transport, rank, CX_MSG_BASELINE, &m, sizeof m, NULL, 0, err);
    }
    cx_contestant by = (cx_contestant)(s->first + number / e->n_tasks);
    cx_msg_evaluation m;
    memset(&m, 0, sizeof m);
    m.number = (uint64_t)number;
    m.instance = e->first_instance + (uint64_t)i;
    m.episode = m.instance; /* start noise and sampling: the same for all contestants */
    m.spec = s->tasks[i].spec;
    m.baseline = s->tasks[i].baseline;
    m.acting = (uint32_t)contestants[by].acting;
    m.test_examples = TEST_EXAMPLES;
    m.default_start = by == CX_BY_DEFAULT;
    if (contestants[by].acting == CX_ACT_REPLAY)
        m.replay = make_replay(s, i, by);
    eval_worker *w = &s->worker[rank - 1];
    bool weights = !w->has_policy && (contestants[by].acting == CX_ACT_LIKELIEST ||
                                      contestants[by].acting == CX_ACT_SAMPLE);
    if (weights)
        m.n_weights = e->policy_count;
    w->has_policy |= weights;
    return cx_message_send(s->e->transport, rank, CX_MSG_EVALUATION, &m, sizeof m,
                           weights ? e->policy : NULL, (size_t)m.n_weights * sizeof(float), err);
}

static int on_evaluated(stage *s, const cx_msg_evaluated *m, cx_error *err) {
    if (m->number >= (uint64_t)s->total)
        return cx_fail(err, CX_EFORMAT, "a result came for job %llu, which does not exist",
                       (unsigned long long)m->number);
    int number = (int)m->number;
    cx_contestant by = (cx_contestant)(s->first + number / s->e->n_tasks);
    cx_evaluated_task *t = &s->tasks[number % s->e->n_tasks];
    bool diverged = m->result.end == CX_END_DIVERGED;
    t->test_loss[by] = m->test_loss;
    t->valid_loss[by] = m->result.final_valid_loss;
    t->reward[by] = diverged
                        ? s->e->config->reward.floor
                        : cx_reward(s->e->config, &t->baseline, m->test_loss - m->optimum, NULL);
    if (by == CX_BY_LIKELIEST) {
        t->taken = m->taken;
        t->taken_whole = !diverged;
        t->inner_steps = m->result.inner_steps; /* what was really run */
    }
    return CX_OK;
}

static int handle(stage *s, int from, const void *data, size_t size, cx_error *err) {
    cx_msg_type type;
    const void *body, *extra;
    size_t extra_size;
    int rc = cx_message_unpack(data, size, &type, &body, &extra, &extra_size, err);
    if (rc || from < 1 || from > s->n_workers)
        return rc ? rc : cx_fail(err, CX_ESTATE, "a message came from rank %d", from);
    eval_worker *w = &s->worker[from - 1];
    if (type == CX_MSG_HELLO) {
        if (((const cx_msg_hello *)body)->config_hash != s->e->config_hash)
            return cx_fail(err, CX_ECONFIG, "rank %d has read another configuration", from);
        w->ready = true;
    } else if (type == CX_MSG_SWEEP) {
        const cx_msg_sweep *m = body;
        if (m->instance >= (uint64_t)s->e->n_tasks)
            return cx_fail(err, CX_EFORMAT, "a baseline came for a task that does not exist");
        s->tasks[m->instance].baseline = m->baseline;
        w->assignments--;
        s->done++;
    } else if (type == CX_MSG_EVALUATED) {
        w->assignments--;
        s->done++;
        return on_evaluated(s, body, err);
    } else if (type == CX_MSG_FAILED) {
        const cx_msg_failed *m = body;
        w->gone |= m->number == CX_NO_JOB;
        return cx_fail(err, (cx_code)m->code, "rank %d: %.900s", from, m->text);
    } else if (type == CX_MSG_SIGNAL) {
        s->told = true;
    } else if (type == CX_MSG_BYE) {
        w->gone = true;
    }
    return CX_OK;
}

static int poll_once(stage *s, bool *did, cx_error *err) {
    int from;
    void *data;
    size_t size;
    int rc = s->e->transport->receive(s->e->transport, &from, &data, &size, err);
    if (!rc && data) {
        *did = true;
        rc = handle(s, from, data, size, err);
        free(data);
    }
    return rc;
}

static int idle(stage *s, cx_error *err) {
    bool worked = false;
    if (s->e->idle) {
        int rc = s->e->idle(s->e->idle_context, &worked, err);
        if (rc)
            return rc;
    }
    if (!worked)
        cx_clock_sleep(500e-6);
    return CX_OK;
}

static int run_stage(stage *s, const char *name, cx_error *err) {
    double said = cx_clock_now();
    s->sent = s->done = 0;
    s->total = s->baselines ? s->e->n_tasks : (s->last - s->first + 1) * s->e->n_tasks;
    while (s->done < s->total) {
        bool did = false;
        int rc = poll_once(s, &did, err);
        for (int rank = 1; !rc && rank <= s->n_workers && s->sent < s->total; rank++) {
            eval_worker *w = &s->worker[rank - 1];
            if (w->ready && w->assignments < QUEUED) {
                rc = send_job(s, rank, s->sent++, err);
                w->assignments++;
                did = true;
            }
        }
        if (!rc && !did)
            rc = idle(s, err);
        if (!rc && (s->told || (s->e->should_stop && s->e->should_stop(s->e->stop_context))))
            rc = cx_fail(err, CX_ESTOPPED, "stopped; an evaluation begins anew");
        if (rc)
            return rc;
        if (s->e->say && cx_clock_now() - said > 2) {
            char line[128];
            said = cx_clock_now();
            (void)snprintf(line, sizeof line, "%s: %d of %d", name, s->done, s->total);
            s->e->say(s->e->say_context, true, line);
        }
    }
    return CX_OK;
}

/* Means over the runs of one half (and one entry; -1: all) that did not diverge. False
 * where there is none. */
static bool mean_of(const stage *s, int half, int entry, const cx_open_loop **list, double *steps,
                    mean_run *out) {
    int n = 0;
    for (int i = half; i < s->e->n_tasks; i += 2) {
        const cx_evaluated_task *t = &s->tasks[i];
        if (t->taken_whole && (entry < 0 || t->spec.entry == (uint32_t)entry)) {
            steps[n] = t->inner_steps;
            list[n++] = &t->taken;
        }
    }
    if (n == 0)
        return false;
    cx_open_loop_mean(s->e->config, list, n, &out->mean);
    out->exponent = cx_open_loop_exponent(list, steps, n, &out->mean_log_steps);
    return true;
}

static int fit_replays(stage *s, cx_error *err) {
    int n_entries = s->e->config->n_tasks, rc = CX_OK;
    s->family = calloc((size_t)n_entries * 2, sizeof *s->family);
    const cx_open_loop **list = calloc((size_t)s->e->n_tasks, sizeof(cx_open_loop *));
    double *steps = calloc((size_t)s->e->n_tasks, sizeof *steps);
    if (!s->family || !list || !steps)
        rc = cx_fail(err, CX_ENOMEM, "no memory for the replays");
    for (int half = 0; half < 2 && !rc; half++) {
        if (!mean_of(s, half, -1, list, steps, &s->overall[half]))
            rc = cx_fail(err, CX_ESTATE, "every run of the policy diverged: nothing to replay");
        for (int entry = 0; entry < n_entries && !rc; entry++)
            if (!mean_of(s, half, entry, list, steps, &s->family[2 * entry + half]))
                s->family[2 * entry + half] = s->overall[half];
    }
    free(list);
    free(steps);
    return rc;
}

static void stop_workers(stage *s, double patience) {
    cx_error ignored;
    double end = cx_clock_now() + patience;
    for (int rank = 1; rank <= s->n_workers; rank++)
        (void)cx_message_send(s->e->transport, rank, CX_MSG_STOP, NULL, 0, NULL, 0, &ignored);
    for (;;) {
        int left = 0;
        bool did = false;
        for (int i = 0; i < s->n_workers; i++)
            left += !s->worker[i].gone;
        if (left == 0 || cx_clock_now() > end || poll_once(s, &did, &ignored) ||
            (!did && idle(s, &ignored)))
            return;
    }
}

static int run_stages(stage *s, cx_error *err) {
    s->baselines = true;
    int rc = run_stage(s, "baselines", err);
    if (rc)
        return rc;
    s->baselines = false;
    s->first = CX_BY_LIKELIEST;
    s->last = CX_BY_NEUTRAL;
    rc = run_stage(s, "policy and controls", err);
    if (!rc)
        rc = fit_replays(s, err);
    if (rc)
        return rc;
    s->first = CX_BY_REPLAY;
    s->last = CX_CONTESTANT_COUNT - 1;
    return run_stage(s, "replays", err);
}

int cx_evaluate(const cx_evaluation *e, cx_evaluated_task *tasks, double exponent[2],
                cx_error *err) {
    stage s = {.e = e, .tasks = tasks, .n_workers = e->transport->ranks - 1};
    s.worker = calloc((size_t)s.n_workers + 1, sizeof *s.worker);
    if (!s.worker)
        return cx_fail(err, CX_ENOMEM, "no memory for %d workers", s.n_workers);
    for (int i = 0; i < e->n_tasks; i++) {
        memset(&tasks[i], 0, sizeof tasks[i]);
        cx_task_sample(e->config, e->first_instance + (uint64_t)i, &tasks[i].spec);
        int K = (int)cx_task_value(&tasks[i].spec, "outer_steps");
        tasks[i].outer_steps = K;
        tasks[i].inner_steps = cx_task_inner_steps(&tasks[i].spec, e->config);
    }
    int rc = run_stages(&s, err);
    exponent[0] = s.overall[0].exponent;
    exponent[1] = s.overall[1].exponent;
    stop_workers(&s, rc == CX_ESTOPPED ? 5 : 30);
    free(s.worker);
    free(s.family);
    return rc;
}
