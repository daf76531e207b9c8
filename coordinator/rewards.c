#include "coordinator/rewards.h"

#include "base/clock.h"
#include "tasks/task.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEST_EXAMPLES = 2000 }; /* of the test split, that losses are means of */

static const struct {
    const char *name;
    cx_acting acting;
} choosers[] = {
#define X(code, name, acting) {name, acting},
    CX_CHOOSER_TABLE(X)
#undef X
};

const char *cx_chooser_name(cx_chooser c) {
    return choosers[c].name;
}

/* What the runs of one half (and perhaps one entry) did on average. */
typedef struct {
    cx_open_loop mean;
    double exponent, mean_log_steps; /* of lr over the number of inner steps */
} mean_run;

/* Jobs of one stage: number n is (chooser n / n_tasks, task n % n_tasks); stage 0 is
 * the baselines. */
typedef struct {
    const cx_rewards_options *e;
    cx_rewarded_task *tasks;
    cx_farm *farm;
    bool *has_policy; /* by rank */
    const char *name;
    double said;
    bool baselines;
    int first, last; /* choosers of this stage */
    int sent, done, total;
    mean_run overall[2], *family; /* [half]; [entry][half] */
} stage;

/* The replay for task i is made of the runs of the other half. */
static cx_open_loop make_replay(const stage *s, int i, cx_chooser by) {
    int half = 1 - i % 2;
    const cx_rewarded_task *t = &s->tasks[i];
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
    const cx_rewards_options *e = s->e;
    int i = number % e->n_tasks;
    if (s->baselines) {
        cx_msg_baseline_job m;
        memset(&m, 0, sizeof m);
        m.instance = (uint64_t)i;
        m.spec = s->tasks[i].spec;
        m.test = 1;
        m.examples = TEST_EXAMPLES;
        return cx_message_send(s->e->farm.transport, rank, CX_MSG_BASELINE, &m, sizeof m, NULL, 0,
                               err);
    }
    cx_chooser by = (cx_chooser)(s->first + number / e->n_tasks);
    cx_msg_evaluation m;
    memset(&m, 0, sizeof m);
    m.number = (uint64_t)number;
    m.instance = e->first_instance + (uint64_t)i;
    m.episode = m.instance; /* start noise and sampling: the same for all contestants */
    m.spec = s->tasks[i].spec;
    m.baseline = s->tasks[i].baseline;
    m.acting = (uint32_t)choosers[by].acting;
    m.test_examples = TEST_EXAMPLES;
    m.default_start = by == CX_BY_DEFAULT;
    if (choosers[by].acting == CX_ACT_REPLAY)
        m.replay = make_replay(s, i, by);
    bool weights = !s->has_policy[rank] && (choosers[by].acting == CX_ACT_LIKELIEST ||
                                            choosers[by].acting == CX_ACT_SAMPLE);
    if (weights)
        m.n_weights = e->policy_count;
    s->has_policy[rank] |= weights;
    return cx_message_send(s->e->farm.transport, rank, CX_MSG_EVALUATION, &m, sizeof m,
                           weights ? e->policy : NULL, (size_t)m.n_weights * sizeof(float), err);
}

static int on_evaluated(stage *s, const cx_msg_evaluated *m, cx_error *err) {
    if (m->number >= (uint64_t)s->total)
        return cx_fail(err, CX_EFORMAT, "a result came for job %llu, which does not exist",
                       (unsigned long long)m->number);
    int number = (int)m->number;
    cx_chooser by = (cx_chooser)(s->first + number / s->e->n_tasks);
    cx_rewarded_task *t = &s->tasks[number % s->e->n_tasks];
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

static int take(void *context, int rank, cx_msg_type type, const void *body, cx_error *err) {
    stage *s = context;
    s->done++;
    if (type == CX_MSG_EVALUATED)
        return on_evaluated(s, body, err);
    if (type != CX_MSG_SWEEP)
        return cx_fail(err, CX_EFORMAT, "rank %d sent a message of type %s", rank,
                       cx_message_name(type));
    const cx_msg_sweep *m = body;
    if (m->instance >= (uint64_t)s->e->n_tasks)
        return cx_fail(err, CX_EFORMAT, "a baseline came for a task that does not exist");
    s->tasks[m->instance].baseline = m->baseline;
    return CX_OK;
}

static int send_next(void *context, int rank, bool *sent, cx_error *err) {
    stage *s = context;
    *sent = s->sent < s->total;
    return *sent ? send_job(s, rank, s->sent++, err) : CX_OK;
}

static bool all_done(void *context) {
    const stage *s = context;
    return s->done >= s->total;
}

static void tick(void *context) {
    stage *s = context;
    char line[128];
    if (!s->e->say || cx_clock_now() - s->said < 2)
        return;
    s->said = cx_clock_now();
    (void)snprintf(line, sizeof line, "%s: %d of %d", s->name, s->done, s->total);
    s->e->say(s->e->say_context, true, line);
}

static int run_stage(stage *s, const char *name, cx_error *err) {
    s->said = cx_clock_now();
    s->name = name;
    s->sent = s->done = 0;
    s->total = s->baselines ? s->e->n_tasks : (s->last - s->first + 1) * s->e->n_tasks;
    const cx_farm_work work = {s, all_done, send_next, take, tick};
    int rc = cx_farm_run(s->farm, &work, err);
    return rc == CX_ESTOPPED ? cx_fail(err, CX_ESTOPPED, "stopped; it begins anew next time") : rc;
}

/* Means over the runs of one half (and one entry; -1: all) that did not diverge. False
 * where there is none. */
static bool mean_of(const stage *s, int half, int entry, const cx_open_loop **list, double *steps,
                    mean_run *out) {
    int n = 0;
    for (int i = half; i < s->e->n_tasks; i += 2) {
        const cx_rewarded_task *t = &s->tasks[i];
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
    s->last = CX_CHOOSER_COUNT - 1;
    return run_stage(s, "replays", err);
}

int cx_rewards_measure(const cx_rewards_options *e, cx_rewarded_task *tasks, double exponent[2],
                       cx_error *err) {
    stage s = {.e = e, .tasks = tasks};
    s.has_policy = calloc((size_t)e->farm.transport->ranks, sizeof *s.has_policy);
    if (!s.has_policy)
        return cx_fail(err, CX_ENOMEM, "no memory for %d ranks", e->farm.transport->ranks);
    for (int i = 0; i < e->n_tasks; i++) {
        memset(&tasks[i], 0, sizeof tasks[i]);
        cx_task_sample(e->config, e->first_instance + (uint64_t)i, &tasks[i].spec);
        int K = (int)cx_task_value(&tasks[i].spec, "outer_steps");
        tasks[i].outer_steps = K;
        tasks[i].inner_steps = cx_task_inner_steps(&tasks[i].spec, e->config);
    }
    int rc = cx_farm_create(&e->farm, &s.farm, err);
    if (!rc)
        rc = run_stages(&s, err);
    exponent[0] = s.overall[0].exponent;
    exponent[1] = s.overall[1].exponent;
    cx_farm_destroy(s.farm);
    free(s.has_policy);
    free(s.family);
    return rc;
}
