/* What an evaluation needs, as a function of what it has (coordinator/suite.h). */
#include "base/hash.h"
#include "coordinator/suite.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    cx_suite *suite;
    const cx_config *config;
    const cx_plan_io *io;
    cx_suite_task *task; /* the one that is planned */
    bool missing;        /* something was asked for */
} planner;

static const cx_schedule all_schedules[] = {
#define X(name, factor, help) CX_SCHEDULE_##name,
    CX_SCHEDULE_TABLE(X)
#undef X
};
enum { SCHEDULES = sizeof all_schedules / sizeof all_schedules[0] };
static const cx_schedule cosine[] = {CX_SCHEDULE_cosine};

static const double weight_decays[] = {0, 1e-4, 1e-3, 1e-2, 1e-1};
enum { WEIGHT_DECAYS = sizeof weight_decays / sizeof weight_decays[0] };

/* The result of a trial on the task's seed s; NULL: it was asked for. */
static const cx_trial_result *need(planner *p, const cx_trial_job *job, int s,
                                   const cx_open_loop *replay) {
    cx_trial_job j = *job;
    j.spec = p->task->spec;
    cx_trial_seed(&j.spec, s);
    uint64_t key = cx_trial_key(p->config, &j);
    const cx_trial_result *r = p->io->find(p->io->context, key);
    if (!r) {
        p->missing = true;
        p->io->want(p->io->context, key, &j, replay);
    }
    return r;
}

static cx_trial_job rule_job(const char *rule, const cx_hyper *hyper, cx_schedule schedule) {
    cx_trial_job j;
    memset(&j, 0, sizeof j);
    j.trainer = CX_TRAINER_RULE;
    memcpy(j.rule, rule, strlen(rule));
    j.hyper = *hyper;
    j.schedule = (uint32_t)schedule;
    j.length = 1;
    return j;
}

static cx_trial_job named_job(const char *rule, cx_schedule schedule) {
    cx_rule_config ignored;
    cx_hyper hyper;
    memset(&hyper, 0, sizeof hyper);
    (void)cx_rule_named(rule, &ignored, &hyper, NULL); /* the names here are ours */
    return rule_job(rule, &hyper, schedule);
}

/* --- choosing by validation loss, on seed 0 --- */

typedef struct {
    cx_trial_job job;
    cx_params params;
    double loss; /* INFINITY: nothing that was finite */
    int trials;
    double steps, seconds;
    bool any;
} choice;

static double validation_loss(const cx_trial_result *r, cx_params params) {
    double loss = r->loss[params][CX_SPLIT_VALIDATION];
    return isfinite(loss) ? loss : INFINITY;
}

static void consider(choice *c, const cx_trial_job *job, const cx_trial_result *r) {
    c->trials++;
    c->steps += r->steps;
    c->seconds += r->seconds;
    for (int params = 0; params < CX_PARAMS_COUNT; params++) {
        double loss = validation_loss(r, (cx_params)params);
        if (!c->any || loss < c->loss) {
            c->any = true;
            c->job = *job;
            c->params = (cx_params)params;
            c->loss = loss;
        }
    }
}

/* Asks for one candidate and considers it. False: not there yet. */
static bool try_job(planner *p, choice *c, const cx_trial_job *job) {
    const cx_trial_result *r = need(p, job, 0, NULL);
    if (r)
        consider(c, job, r);
    return r != NULL;
}

static bool try_lr(planner *p, choice *c, const cx_trial_job *base, double lr,
                   const cx_schedule *schedules, int n) {
    bool whole = true;
    for (int i = 0; i < n; i++) {
        cx_trial_job j = *base;
        j.hyper.value[CX_HYPER_LR] = lr;
        j.schedule = (uint32_t)schedules[i];
        whole &= try_job(p, c, &j);
    }
    return whole;
}

/* Every lr with every schedule; half decades more while the best is at an edge. */
static bool sweep(planner *p, choice *c, const cx_trial_job *base, const cx_reals *grid,
                  const cx_schedule *schedules, int n) {
    double low = grid->value[0], high = grid->value[grid->n - 1];
    bool whole = true;
    for (int i = 0; i < grid->n; i++)
        whole &= try_lr(p, c, base, grid->value[i], schedules, n);
    for (int i = 0; whole && i < p->config->evaluation.max_extensions; i++) {
        double best = c->job.hyper.value[CX_HYPER_LR], lr;
        if (best == low)
            lr = low /= sqrt(10.0);
        else if (best == high)
            lr = high *= sqrt(10.0);
        else
            break;
        whole = try_lr(p, c, base, lr, schedules, n);
    }
    return whole;
}

static bool tune_adamw(planner *p, choice *c) {
    cx_trial_job base = named_job("adamw", CX_SCHEDULE_constant);
    if (!sweep(p, c, &base, &p->config->evaluation.learning_rates, all_schedules, SCHEDULES))
        return false;
    cx_trial_job best = c->job;
    bool whole = true;
    for (int i = 0; i < WEIGHT_DECAYS; i++) {
        cx_trial_job j = best;
        j.hyper.value[CX_HYPER_WEIGHT_DECAY] = weight_decays[i];
        if (weight_decays[i] != best.hyper.value[CX_HYPER_WEIGHT_DECAY])
            whole &= try_job(p, c, &j);
    }
    return whole;
}

static bool tune_sgd(planner *p, choice *c) {
    cx_trial_job base = named_job("nesterov", CX_SCHEDULE_cosine);
    return sweep(p, c, &base, &p->config->evaluation.sgd_learning_rates, cosine, 1);
}

/* A hyperparameter a factor of 4 up or down (a logit 1.4), within its bounds; false
 * where it does not act, or stands at a bound already. */
static bool neighbor(const cx_config *config, cx_hyper_id h, bool up, cx_hyper *hyper) {
    const cx_optimizer_config *o = &config->optimizer;
    const cx_head_config *head = &config->heads[h];
    double x = hyper->value[h], y, low = 1e-12, high = 1;
    if ((h == CX_HYPER_LAMB_OMBETA && !(o->lamb_power > 0)) ||
        (h == CX_HYPER_CLIP_OMBETA && !o->scale_by_rolling_max))
        return false;
    if (head->present) {
        low = head->low;
        high = head->high;
    }
    if (h == CX_HYPER_GROUP_CLIP && x < 1)
        y = 1 / (1 + exp(-(log(x / (1 - x)) + (up ? 1.4 : -1.4))));
    else
        y = up ? x * 4 : x / 4;
    y = fmin(fmax(y, low), high);
    hyper->value[h] = y;
    return y != x;
}

/* The learned rule with constant hyperparameters: lr and schedule, then the others one
 * after another, each from the best so far. */
static bool tune_static(planner *p, choice *c) {
    static const cx_hyper_id order[] = {
        CX_HYPER_WEIGHT_DECAY, CX_HYPER_OMBETA1,     CX_HYPER_OMBETA2,    CX_HYPER_GROUP_CLIP,
        CX_HYPER_EPSILON,      CX_HYPER_CLIP_OMBETA, CX_HYPER_LAMB_OMBETA};
    cx_trial_job base =
        rule_job(CX_RULE_LEARNED, &p->config->optimizer.start, CX_SCHEDULE_constant);
    bool whole =
        sweep(p, c, &base, &p->config->evaluation.static_learning_rates, all_schedules, SCHEDULES);
    for (size_t i = 0; whole && i < sizeof order / sizeof order[0]; i++) {
        cx_trial_job best = c->job;
        for (int up = 0; up < 2; up++) {
            cx_trial_job j = best;
            if (neighbor(p->config, order[i], up, &j.hyper))
                whole &= try_job(p, c, &j);
        }
    }
    return whole;
}

/* --- entrants --- */

static cx_entrant *entrant(planner *p, cx_contestant_kind kind) {
    int i = cx_suite_find(p->suite, kind);
    return i < 0 ? NULL : &p->task->entrant[i];
}

/* All seeds of an entrant's job, with everything measured. */
static void need_seeds(planner *p, cx_entrant *e) {
    e->present = e->complete = true;
    e->job.measure = CX_MEASURE_SPLITS | CX_MEASURE_CURVE;
    for (int s = 0; s < p->suite->seeds; s++) {
        e->run[s] = need(p, &e->job, s, e->replay);
        e->complete &= e->run[s] != NULL;
    }
}

static void take_choice(cx_entrant *e, const choice *c) {
    e->job = c->job;
    e->params = c->params;
    e->tuning_trials = c->trials;
    e->tuning_steps = c->steps;
    e->tuning_seconds = c->seconds;
}

static void plan_tuned(planner *p, cx_contestant_kind kind, bool (*tune)(planner *, choice *)) {
    cx_entrant *e = entrant(p, kind);
    choice c = {.loss = INFINITY};
    if (!e)
        return;
    e->present = true;
    if (!tune(p, &c))
        return;
    take_choice(e, &c);
    need_seeds(p, e);
}

static void plan_baseline(planner *p) {
    cx_entrant *e = entrant(p, CX_CONTESTANT_BASELINE);
    if (p->suite->o.baseline.given) {
        e->job = p->suite->o.baseline.job;
        e->params = CX_PARAMS_AVERAGED;
        need_seeds(p, e);
    } else {
        plan_tuned(p, CX_CONTESTANT_BASELINE, tune_adamw);
    }
    if (e->job.length == 0) /* not chosen yet */
        return;
    for (int l = 0; l < CX_SUITE_LENGTHS; l++)
        for (int s = 0; s < p->suite->seeds; s++) {
            cx_trial_job j = e->job;
            j.length = cx_suite_lengths[l];
            j.measure = CX_MEASURE_SPLITS;
            const cx_trial_result *r = l == CX_SUITE_LENGTH_ONE ? e->run[s] : need(p, &j, s, NULL);
            p->task->length[l][s] = r;
            e->complete &= r != NULL;
        }
}

static void plan_policy(planner *p) {
    for (int i = 0; i < p->suite->n_contestants; i++) {
        const cx_contestant *c = &p->suite->contestant[i];
        cx_entrant *e = &p->task->entrant[i];
        if (c->kind > CX_CONTESTANT_START)
            continue;
        e->params = CX_PARAMS_AVERAGED;
        if (p->suite->o.contestant.given) {
            e->job = p->suite->o.contestant.job;
        } else {
            memset(&e->job, 0, sizeof e->job);
            e->job.trainer = CX_TRAINER_POLICY;
            e->job.source = p->suite->o.policy_hash;
            e->job.sampled = c->kind == CX_CONTESTANT_SAMPLED;
            e->job.start_lr = c->kind == CX_CONTESTANT_START ? c->start_lr : 0;
            e->job.length = 1;
        }
        need_seeds(p, e);
    }
}

/* --- random search --- */

/* Log-uniform: lr in [1e-4, 0.3], weight decay in [1e-4, 1], 1 - beta1 in [0.01, 0.5],
 * 1 - beta2 in [1e-4, 0.1]; a function of the task and the trial's number. */
static cx_trial_job random_job(const cx_task_spec *spec, int number) {
    static const struct {
        cx_hyper_id h;
        double low, high;
    } ranges[] = {{CX_HYPER_LR, 1e-4, 0.3},
                  {CX_HYPER_WEIGHT_DECAY, 1e-4, 1},
                  {CX_HYPER_OMBETA1, 1e-2, 0.5},
                  {CX_HYPER_OMBETA2, 1e-4, 1e-1}};
    cx_trial_job j = named_job("adamw", CX_SCHEDULE_cosine);
    cx_rng rng = cx_rng_make_sub(spec->seed, 2, CX_STREAM_EVAL, (uint32_t)number);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        j.hyper.value[ranges[i].h] =
            ranges[i].low * pow(ranges[i].high / ranges[i].low, cx_rng_uniform(&rng));
    return j;
}

static void plan_search(planner *p) {
    cx_entrant *e = entrant(p, CX_CONTESTANT_SEARCH);
    choice c = {.loss = INFINITY};
    if (!e)
        return;
    e->present = e->complete = true;
    for (int i = 0; i < p->config->evaluation.trials; i++) {
        cx_trial_job j = random_job(&p->task->spec, i);
        j.measure = CX_MEASURE_SPLITS;
        const cx_trial_result *r = need(p, &j, 0, NULL);
        p->task->trial[i] = r;
        e->complete &= r != NULL;
        if (r) {
            double before = c.loss;
            bool any = c.any;
            consider(&c, &j, r);
            if (!any || c.loss < before)
                e->run[0] = r;
        }
    }
    take_choice(e, &c);
}

/* --- open loop --- */

/* Mean of the policy's runs on the other tasks (of the same family), of those that did not
 * diverge; false where there are none. */
static bool mean_of_others(planner *p, bool family, cx_open_loop *mean, double *exponent,
                           double *mean_log_steps) {
    enum { MOST = 4096 }; /* runs that enter a mean; more change nothing that can be seen */
    const cx_open_loop *list[MOST];
    double steps[MOST];
    int n = 0, which = cx_suite_find(p->suite, CX_CONTESTANT_POLICY);
    for (int i = 0; i < p->suite->n_tasks; i++) {
        const cx_suite_task *t = &p->suite->task[i];
        if (t == p->task || (family && t->spec.family != p->task->spec.family))
            continue;
        for (int s = 0; s < p->suite->seeds && n < MOST; s++) {
            const cx_trial_result *r = t->entrant[which].run[s];
            if (r->diverged || !r->has_taken)
                continue;
            steps[n] = t->inner_steps;
            list[n++] = &r->taken;
        }
    }
    if (n == 0)
        return false;
    cx_open_loop_mean(p->config, list, n, mean);
    *exponent = cx_open_loop_exponent(list, steps, n, mean_log_steps);
    return true;
}

/* The trajectory of one kind of replay for the task; once, it does not change. */
static void make_replay(planner *p, cx_contestant_kind kind, cx_entrant *e) {
    bool family = kind == CX_CONTESTANT_REPLAY_FAMILY || kind == CX_CONTESTANT_REPLAY_BOTH;
    bool scale = kind == CX_CONTESTANT_REPLAY_STEPS || kind == CX_CONTESTANT_REPLAY_BOTH;
    double exponent, mean_log_steps;
    e->replay_made = true;
    e->present = mean_of_others(p, family, e->replay, &exponent, &mean_log_steps) &&
                 !(scale && exponent == 0); /* tasks of one length: nothing to scale by */
    if (!e->present)
        return;
    if (scale)
        cx_open_loop_scale_lr(p->config, e->replay,
                              exp(exponent * (log(p->task->inner_steps) - mean_log_steps)));
    e->exponent = scale ? exponent : 0;
    e->params = CX_PARAMS_AVERAGED;
    memset(&e->job, 0, sizeof e->job);
    e->job.trainer = CX_TRAINER_REPLAY;
    e->job.length = 1;
    e->job.source = cx_hash(e->replay, sizeof *e->replay, 0);
}

static void plan_replay(planner *p, cx_contestant_kind kind) {
    cx_entrant *e = entrant(p, kind);
    if (!e->replay_made)
        make_replay(p, kind, e);
    if (e->present)
        need_seeds(p, e);
    else
        e->complete = true; /* without it */
}

static double mean_validation_loss(const cx_entrant *e, int seeds) {
    double sum = 0;
    for (int s = 0; s < seeds; s++)
        sum += validation_loss(e->run[s], e->params);
    return sum / seeds;
}

/* The best of the replays, by mean validation loss. */
static void choose_open_loop(planner *p) {
    cx_entrant *best = entrant(p, CX_CONTESTANT_OPEN_LOOP);
    double least = INFINITY;
    best->present = false;
    best->complete = true;
    for (int i = 0; i < p->suite->n_contestants; i++) {
        const cx_contestant *c = &p->suite->contestant[i];
        cx_entrant *e = &p->task->entrant[i];
        if (c->kind < CX_CONTESTANT_REPLAY || c->kind > CX_CONTESTANT_REPLAY_BOTH)
            continue;
        best->complete &= e->complete;
        if (!e->present || !e->complete)
            continue;
        double loss = mean_validation_loss(e, p->suite->seeds);
        if (!best->present || loss < least) {
            least = loss;
            best->present = true;
            best->as = c;
            best->params = e->params;
            best->job = e->job;
            best->exponent = e->exponent;
            memcpy(best->run, e->run, sizeof best->run);
        }
    }
}

/* --- all of it --- */

/* Has every other task all of the policy's runs? */
static bool policy_is_known(const cx_suite *s) {
    int which = cx_suite_find(s, CX_CONTESTANT_POLICY);
    for (int i = 0; i < s->n_tasks; i++)
        if (!s->task[i].entrant[which].complete)
            return false;
    return true;
}

static void plan_replays(planner *p) {
    if (cx_suite_find(p->suite, CX_CONTESTANT_OPEN_LOOP) < 0)
        return;
    for (int k = CX_CONTESTANT_REPLAY; k <= CX_CONTESTANT_REPLAY_BOTH; k++)
        plan_replay(p, (cx_contestant_kind)k);
    choose_open_loop(p);
}

bool cx_suite_plan(cx_suite *suite, const cx_plan_io *io) {
    planner p = {.suite = suite, .config = suite->o.config, .io = io};
    bool whole = true;
    for (int i = 0; i < suite->n_tasks; i++) { /* first: the replays wait for them */
        p.task = &suite->task[i];
        if (!p.task->complete)
            plan_policy(&p);
    }
    bool replays = policy_is_known(suite);
    for (int i = 0; i < suite->n_tasks; i++) {
        p.task = &suite->task[i];
        if (p.task->complete)
            continue;
        if (replays)
            plan_replays(&p);
        plan_baseline(&p);
        plan_tuned(&p, CX_CONTESTANT_STATIC, tune_static);
        plan_tuned(&p, CX_CONTESTANT_SGD, tune_sgd);
        plan_search(&p);
        p.task->complete = replays;
        for (int c = 0; c < suite->n_contestants; c++)
            p.task->complete &= p.task->entrant[c].complete;
        whole &= p.task->complete;
    }
    return whole;
}
