#include "policy/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    cx_sweep_run run;
    bool answered;
    cx_sweep_outcome outcome;
} member;

struct cx_sweep {
    const cx_config *config;
    int planned, begun, answered; /* runs */
    int extensions;
    int n;                             /* learning rates */
    uint32_t by_lr[CX_SWEEP_RUNS_MAX]; /* [n] numbers of their runs, ascending in lr */
    bool grid, last;                   /* planned: the grid; all */
    member member[CX_SWEEP_RUNS_MAX];
};

static bool envelope(const cx_config *config) {
    return config->reward.form == CX_REWARD_ENVELOPE && config->reward.length_factor > 1;
}

static void plan(cx_sweep *s, double lr, const cx_sweep_run *continued) {
    member *m = &s->member[s->planned];
    m->run = (cx_sweep_run){.lr = lr, .number = (uint32_t)s->planned};
    if (continued) {
        m->run.beyond = 1;
        m->run.continues = continued->number;
    } else {
        int at = s->n++;
        for (; at > 0 && s->member[s->by_lr[at - 1]].run.lr >= lr; at--)
            s->by_lr[at] = s->by_lr[at - 1];
        s->by_lr[at] = m->run.number;
    }
    s->planned++;
}

static const member *nth(const cx_sweep *s, int i) {
    return &s->member[s->by_lr[i]];
}

static int best_index(const cx_sweep *s) {
    int best = 0;
    for (int i = 1; i < s->n; i++)
        if (nth(s, i)->outcome.final_loss < nth(s, best)->outcome.final_loss)
            best = i;
    return best;
}

static void plan_grid(cx_sweep *s) {
    const cx_reals *grid = &s->config->reward.learning_rates;
    for (int i = 0; i < grid->n && s->n < CX_BASELINE_RUNS_MAX; i++)
        plan(s, grid->value[i], NULL);
    s->grid = true;
}

/* Half a decade beyond the edge, if the best is there. */
static bool plan_extension(cx_sweep *s) {
    const double half_decade = sqrt(10.0);
    int best = best_index(s);
    if (s->extensions >= s->config->reward.max_extensions || s->n >= CX_BASELINE_RUNS_MAX ||
        (best > 0 && best < s->n - 1))
        return false;
    s->extensions++;
    plan(s, best == 0 ? nth(s, 0)->run.lr / half_decade : nth(s, best)->run.lr * half_decade, NULL);
    return true;
}

/* One that has diverged before N is not continued. */
static void plan_beyond(cx_sweep *s) {
    int best = best_index(s);
    for (int i = best; envelope(s->config) && i >= 0 && i >= best - 1; i--)
        if (isfinite(nth(s, i)->outcome.final_loss))
            plan(s, nth(s, i)->run.lr, &nth(s, i)->run);
    s->last = true;
}

static void plan_more(cx_sweep *s) {
    if (!s->grid)
        plan_grid(s);
    if (s->answered == s->planned && !s->last && !plan_extension(s))
        plan_beyond(s);
}

int cx_sweep_create(const cx_config *config, cx_sweep **out, cx_error *err) {
    cx_sweep *s = *out = calloc(1, sizeof *s);
    if (!s)
        return cx_fail(err, CX_ENOMEM, "no memory for a baseline sweep");
    s->config = config;
    plan_more(s);
    return CX_OK;
}

void cx_sweep_destroy(cx_sweep *s) {
    free(s);
}

bool cx_sweep_has_next(const cx_sweep *s) {
    return s->begun < s->planned;
}

bool cx_sweep_next(cx_sweep *s, cx_sweep_run *run) {
    if (!cx_sweep_has_next(s))
        return false;
    *run = s->member[s->begun++].run;
    return true;
}

cx_sweep_run cx_sweep_get(const cx_sweep *s, uint32_t number) {
    return s->member[number].run;
}

bool cx_sweep_wants(const cx_sweep *s, uint32_t number) {
    return number < (uint32_t)s->begun && !s->member[number].answered;
}

void cx_sweep_answer(cx_sweep *s, uint32_t number, const cx_sweep_outcome *outcome) {
    s->member[number].outcome = *outcome;
    s->member[number].answered = true;
    s->answered++;
    plan_more(s);
}

const cx_sweep_outcome *cx_sweep_outcome_of(const cx_sweep *s, uint32_t number) {
    return &s->member[number].outcome;
}

bool cx_sweep_done(const cx_sweep *s) {
    return s->last && s->answered == s->planned;
}

/* Of the n-th learning rate: the longer run, where there is one. */
static const cx_curve *curve_of(const cx_sweep *s, int n) {
    const member *m = nth(s, n);
    for (int i = 0; i < s->planned; i++)
        if (s->member[i].run.beyond && s->member[i].run.continues == m->run.number)
            m = &s->member[i];
    return &m->outcome.curve;
}

void cx_sweep_baseline(const cx_sweep *s, uint64_t task_hash, int steps, cx_baseline *out) {
    int best = best_index(s), curves = 0;
    cx_curve curve[2];
    memset(out, 0, sizeof *out);
    bool two = s->config->reward.form == CX_REWARD_ENVELOPE;
    for (int i = best; i >= 0 && i >= best - (two ? 1 : 0); i--)
        curve[curves++] = *curve_of(s, i);
    out->task_hash = task_hash;
    out->steps = steps;
    out->initial_loss = s->member[0].outcome.initial_loss;
    out->n_runs = s->n;
    for (int i = 0; i < s->n; i++) {
        out->lr[i] = nth(s, i)->run.lr;
        out->final_loss[i] = nth(s, i)->outcome.final_loss;
    }
    for (int i = 0; i < s->planned; i++)
        out->seconds += s->member[i].outcome.seconds;
    cx_baseline_fit(s->config, out, curve, curves);
}

double cx_sweep_run_cost(const cx_config *config, const cx_sweep_run *run) {
    return run->beyond ? config->reward.length_factor : 1;
}

double cx_sweep_cost(const cx_config *config, bool apart) {
    double more = envelope(config) ? config->reward.length_factor - (apart ? 0 : 1) : 0;
    return config->reward.learning_rates.n + 2 * more;
}

double cx_sweep_critical(const cx_config *config) {
    return 1 + (envelope(config) ? config->reward.length_factor : 0);
}
