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
 * the baselines. For others they are counted through all stages (`base` + n), as an answer
 * that was given up may come in a later one. */
typedef struct {
    const cx_rewards_options *e;
    cx_rewarded_task *tasks;
    cx_farm *farm;
    bool *has_policy; /* by rank */
    const char *name;
    double said;
    bool baselines;
    int first, last; /* choosers of this stage */
    uint64_t base;
    int sent, done, total;
    int *redo; /* jobs that are to be sent once more */
    int n_redo;
    bool *answered;               /* by number */
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

static int send_job(void *context, int rank, uint64_t job, cx_error *err) {
    stage *s = context;
    const cx_rewards_options *e = s->e;
    int number = (int)(job - s->base);
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
    m.number = job;
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

static void on_evaluated(stage *s, const cx_msg_evaluated *m) {
    int number = (int)(m->number - s->base);
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
}

static int number_of(void *context, cx_msg_type type, const void *body, uint64_t *number,
                     cx_error *err) {
    (void)context;
    if (type == CX_MSG_SWEEP)
        *number = ((const cx_msg_sweep *)body)->instance; /* the first stage's */
    else if (type == CX_MSG_EVALUATED)
        *number = ((const cx_msg_evaluated *)body)->number;
    else
        return cx_fail(err, CX_EFORMAT, "of type %s", cx_message_name(type));
    return CX_OK;
}

/* Of this stage, and nobody has answered it. */
static bool is_open(const stage *s, uint64_t number) {
    return number >= s->base && number - s->base < (uint64_t)s->total &&
           !s->answered[number - s->base];
}

static int take(void *context, int rank, cx_msg_type type, const void *body, cx_error *err) {
    (void)rank;
    stage *s = context;
    uint64_t number = 0;
    int rc = number_of(s, type, body, &number, err);
    if (rc || !is_open(s, number))
        return rc;
    s->answered[number - s->base] = true;
    s->done++;
    if (type == CX_MSG_EVALUATED)
        on_evaluated(s, body);
    else
        s->tasks[number].baseline = ((const cx_msg_sweep *)body)->baseline;
    return CX_OK;
}

static void again(void *context, uint64_t number) {
    stage *s = context;
    if (is_open(s, number) && s->n_redo < s->total)
        s->redo[s->n_redo++] = (int)(number - s->base);
}

static int next_job(void *context, bool *ready, cx_farm_job *job, cx_error *err) {
    (void)err;
    stage *s = context;
    while (s->n_redo > 0 && s->answered[s->redo[s->n_redo - 1]])
        s->n_redo--;
    *ready = s->n_redo > 0 || s->sent < s->total;
    if (!*ready)
        return CX_OK;
    int number = s->n_redo > 0 ? s->redo[--s->n_redo] : s->sent++;
    job->number = s->base + (uint64_t)number;
    job->load = cx_crew_load(&s->tasks[number % s->e->n_tasks].spec, s->e->config);
    return CX_OK;
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
    uint64_t next_base = s->base + (uint64_t)s->total;
    s->sent = s->done = 0;
    s->total = s->baselines ? s->e->n_tasks : (s->last - s->first + 1) * s->e->n_tasks;
    s->base = next_base;
    s->n_redo = 0;
    memset(s->answered, 0, (size_t)s->total * sizeof *s->answered);
    const cx_farm_work work = {s, all_done, next_job, send_job, number_of, take, again, tick};
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
    size_t jobs = (size_t)e->n_tasks * CX_CHOOSER_COUNT;
    s.redo = calloc(jobs, sizeof *s.redo);
    s.answered = calloc(jobs, sizeof *s.answered);
    if (!s.has_policy || !s.redo || !s.answered) {
        free(s.has_policy);
        free(s.redo);
        free(s.answered);
        return cx_fail(err, CX_ENOMEM, "no memory for %d ranks and %zu jobs",
                       e->farm.transport->ranks, jobs);
    }
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
    free(s.redo);
    free(s.answered);
    free(s.family);
    return rc;
}
