#include "workers/control.h"

#include "base/clock.h"
#include "base/file.h"
#include "store/store.h"
#include "workers/inner_run.h"
#include "workers/keep.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { IDENTITY_MAX = 4096 };

/* What goes on with a run besides its state; kept with it. */
typedef struct {
    double sum;     /* of training losses since the last view */
    double seconds; /* of earlier processes */
    int64_t counted, shown;
} loop;

static void evaluate(cx_inner_run *run, cx_control_result *out) {
    for (int s = 0; s < CX_SPLITS; s++)
        out->loss[s] = cx_inner_run_evaluate(
            run, (cx_split)s, s == CX_SPLIT_TEST ? 0 : run->config->episode.final_examples, true,
            out->metric[s]);
    out->diverged = !isfinite(out->loss[CX_SPLIT_VALIDATION]);
}

/* --- identity: a line for everything that a state depends on --- */

static void __attribute__((format(printf, 2, 3))) add(char *text, const char *format, ...) {
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text + used, IDENTITY_MAX - used, format, args);
    va_end(args);
}

static void identify(const cx_control_plan *p, const cx_inner_run *run, char text[IDENTITY_MAX]) {
    const cx_rule_config *r = p->rule;
    char task[1024];
    text[0] = 0;
    add(text, "optimizer %s\n", p->keep.name ? p->keep.name : "");
    for (int h = 0; h < CX_HYPER_COUNT; h++)
        add(text, "%s %.17g\n", cx_hyper_name((cx_hyper_id)h), p->hyper->value[h]);
    add(text, "schedule %s\nsteps %d\n", cx_schedule_name(p->schedule), p->steps);
    add(text, "rule %d denominator_norm %.17g clip %d rolling_max %d decay_in_update %d\n",
        (int)r->rule, r->denominator_norm, r->clip, r->scale_by_rolling_max, r->decay_in_update);
    add(text, "lamb %.17g %.17g %.17g %d momentum %.17g %d decay_in_gradient %d %d\n",
        r->lamb_power, r->lamb_min_trust, r->lamb_max_trust, r->lamb_ignore_vectors, r->momentum,
        r->nesterov, r->decay_in_gradient, r->epsilon_in_maximum);
    cx_task_describe(&p->task->spec, p->config, task, sizeof task);
    add(text, "task %s\nseed %" PRIu64 "\nparameters %zu, state of the optimizer %zu\n", task,
        p->task->spec.seed, p->task->state_count, cx_optimizer_state_bytes(run->optimizer));
    /* last, for what no other line shows: data, average */
    add(text, "hash of the task %016" PRIx64 "\n", cx_task_hash(&p->task->spec, p->config));
}

/* --- the loop --- */

typedef struct {
    const cx_control_plan *plan;
    cx_inner_run *run;
    loop loop;
    double start, kept; /* times: of this process's begin, of the last state on disk */
    char lock_path[600];
    int lock;
    char identity[IDENTITY_MAX];
} control;

static cx_keep_extra extra_of(loop *l) {
    return (cx_keep_extra){l, sizeof *l};
}

static int keep(control *c, cx_error *err) {
    const char *path = c->plan->keep.checkpoint;
    if (!path)
        return CX_OK;
    loop l = c->loop;
    l.seconds += cx_clock_now() - c->start;
    int rc = cx_keep_write(path, c->identity, c->run, extra_of(&l), err);
    c->kept = cx_clock_now();
    return rc;
}

/* Goes on from the state on disk; where there is none, one is written, so that a place
 * that cannot be written is found out now. */
static int begin(control *c, cx_error *err) {
    const cx_control_keep *k = &c->plan->keep;
    bool found;
    c->start = c->kept = cx_clock_now();
    if (!k->checkpoint)
        return CX_OK;
    identify(c->plan, c->run, c->identity);
    int rc = cx_path(c->lock_path, sizeof c->lock_path, err, "%s.lock", k->checkpoint);
    if (!rc)
        rc = cx_lock_take(c->lock_path, &c->lock, err);
    if (!rc)
        rc = cx_keep_read(k->checkpoint, c->identity, c->run, extra_of(&c->loop), &found, err);
    if (!rc && !found)
        rc = keep(c, err);
    if (!rc && found && k->say) {
        char text[600];
        (void)snprintf(text, sizeof text, "going on after step %d of %d from %s",
                       c->run->steps_done, c->plan->steps, k->checkpoint);
        k->say(k->context, text);
    }
    return rc;
}

static void show(control *c, double lr) {
    const cx_control_plan *p = c->plan;
    int done = c->run->steps_done;
    if (!p->view || (double)done * p->views / p->steps < (double)(c->loop.shown + 1))
        return;
    double valid = cx_inner_run_evaluate(c->run, CX_SPLIT_VALIDATION,
                                         p->config->episode.outer_examples, true, NULL);
    p->view(p->view_context, done, lr, c->loop.sum / (double)c->loop.counted, valid);
    c->loop.shown++;
    c->loop.sum = 0;
    c->loop.counted = 0;
}

static int train(control *c, bool *diverged, cx_error *err) {
    const cx_control_plan *p = c->plan;
    const cx_control_keep *k = &p->keep;
    cx_hyper now = *p->hyper;
    *diverged = false;
    while (c->run->steps_done < p->steps && !*diverged) {
        double progress = (double)c->run->steps_done / p->steps;
        now.value[CX_HYPER_LR] =
            p->hyper->value[CX_HYPER_LR] * cx_schedule_factor(p->schedule, progress);
        cx_optimizer_set_hyper(c->run->optimizer, &now);
        *diverged = !cx_inner_run_advance(c->run, 1);
        if (*diverged)
            break;
        c->loop.sum += c->run->train_loss;
        c->loop.counted++;
        show(c, now.value[CX_HYPER_LR]);
        bool last = c->run->steps_done == p->steps;
        bool stop = !last && k->should_stop && k->should_stop(k->context);
        bool due = k->every > 0 && cx_clock_now() - c->kept >= k->every;
        int rc = last || stop || due ? keep(c, err) : CX_OK;
        if (!rc && stop)
            rc = cx_fail(err, CX_ESTOPPED, "stopped after step %d of %d; the same command goes on",
                         c->run->steps_done, p->steps);
        if (rc)
            return rc;
    }
    return CX_OK;
}

int cx_control_run(const cx_control_plan *plan, cx_control_result *out, cx_error *err) {
    control c = {.plan = plan, .lock = -1};
    memset(out, 0, sizeof *out);
    for (int k = 0; k < CX_SPLITS; k++) {
        out->loss[k] = NAN;
        for (int m = 0; m < CX_TASK_METRICS; m++)
            out->metric[k][m] = NAN;
    }
    /* nobody reads features here; and when they are taken depends on where a run was
     * interrupted, which a last bit of LAMB's norms would show */
    cx_rule_config rule = *plan->rule;
    rule.feature_interval = 0;
    int rc = cx_inner_run_create(plan->config, plan->task, &rule, &c.run, err);
    if (!rc)
        rc = begin(&c, err);
    if (!rc)
        rc = train(&c, &out->diverged, err);
    if (!rc && !out->diverged)
        evaluate(c.run, out);
    out->seconds = c.loop.seconds + cx_clock_now() - c.start;
    if (!rc && plan->keep.save && !out->diverged)
        rc = cx_keep_save_weights(plan->keep.save, c.run, err);
    cx_lock_release(c.lock_path, c.lock);
    cx_inner_run_destroy(c.run);
    return rc;
}

static bool better(const cx_control_result *a, const cx_control_result *b) {
    if (a->diverged || b->diverged)
        return !a->diverged && b->diverged;
    return a->loss[CX_SPLIT_VALIDATION] < b->loss[CX_SPLIT_VALIDATION];
}

/* The best schedule at one lr. */
static int tune_lr(const cx_config *config, cx_task *task, const cx_rule_config *rule,
                   const cx_hyper *hyper, double lr, const cx_schedule *schedules, int n_schedules,
                   int steps, cx_control_best *best, cx_error *err) {
    cx_hyper h = *hyper;
    h.value[CX_HYPER_LR] = lr;
    for (int i = 0; i < n_schedules; i++) {
        cx_control_result r;
        const cx_control_plan plan = {.config = config,
                                      .task = task,
                                      .rule = rule,
                                      .hyper = &h,
                                      .schedule = schedules[i],
                                      .steps = steps};
        int rc = cx_control_run(&plan, &r, err);
        if (rc)
            return rc;
        best->runs++;
        if (best->lr == 0 || better(&r, &best->result)) {
            best->lr = lr;
            best->schedule = schedules[i];
            best->result = r;
        }
    }
    return CX_OK;
}

int cx_control_tune(const cx_config *config, cx_task *task, const cx_rule_config *rule,
                    const cx_hyper *hyper, const cx_schedule *schedules, int n_schedules, int steps,
                    cx_control_best *out, cx_error *err) {
    const cx_reals *grid = &config->reward.learning_rates;
    double low = grid->value[0], high = grid->value[grid->n - 1];
    memset(out, 0, sizeof *out);
    for (int i = 0; i < grid->n; i++) {
        int rc = tune_lr(config, task, rule, hyper, grid->value[i], schedules, n_schedules, steps,
                         out, err);
        if (rc)
            return rc;
    }
    for (int i = 0; i < config->reward.max_extensions; i++) {
        double lr;
        if (out->lr == low)
            lr = low /= sqrt(10.0);
        else if (out->lr == high)
            lr = high *= sqrt(10.0);
        else
            break;
        int rc = tune_lr(config, task, rule, hyper, lr, schedules, n_schedules, steps, out, err);
        if (rc)
            return rc;
    }
    return CX_OK;
}
