#include "workers/control.h"

#include "base/clock.h"
#include "workers/inner_run.h"
#include <math.h>
#include <string.h>

static void evaluate(cx_inner_run *run, cx_control_result *out) {
    for (int s = 0; s < CX_SPLITS; s++)
        out->loss[s] = cx_inner_run_evaluate(
            run, (cx_split)s, s == CX_SPLIT_TEST ? 0 : run->config->episode.final_examples, true,
            out->metric[s]);
    out->diverged = !isfinite(out->loss[CX_SPLIT_VALIDATION]);
}

int cx_control_run(const cx_config *config, cx_task *task, const cx_rule_config *rule,
                   const cx_hyper *hyper, cx_schedule schedule, int steps, cx_control_view view,
                   void *context, int views, cx_control_result *out, cx_error *err) {
    cx_inner_run *run;
    cx_hyper now = *hyper;
    double start = cx_clock_now(), sum = 0;
    int shown = 0, counted = 0;
    memset(out, 0, sizeof *out);
    int rc = cx_inner_run_create(config, task, rule, &run, err);
    if (rc)
        return rc;
    for (int k = 0; k < CX_SPLITS; k++) {
        out->loss[k] = NAN;
        for (int m = 0; m < CX_TASK_METRICS; m++)
            out->metric[k][m] = NAN;
    }
    for (int i = 0; i < steps && !out->diverged; i++) {
        now.value[CX_HYPER_LR] =
            hyper->value[CX_HYPER_LR] * cx_schedule_factor(schedule, (double)i / steps);
        cx_optimizer_set_hyper(run->optimizer, &now);
        out->diverged = !cx_inner_run_advance(run, 1);
        sum += run->train_loss;
        counted++;
        if (view && (double)(i + 1) * views / steps >= shown + 1) {
            double valid = cx_inner_run_evaluate(run, CX_SPLIT_VALIDATION,
                                                 config->episode.outer_examples, true, NULL);
            view(context, i + 1, now.value[CX_HYPER_LR], sum / counted, valid);
            shown++;
            sum = counted = 0;
        }
    }
    if (!out->diverged)
        evaluate(run, out);
    out->seconds = cx_clock_now() - start;
    cx_inner_run_destroy(run);
    return CX_OK;
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
        int rc =
            cx_control_run(config, task, rule, &h, schedules[i], steps, NULL, NULL, 0, &r, err);
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
