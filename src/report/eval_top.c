/* What stands at the top of an evaluation's page: what was compared, and the headline figure. */
#include "report/eval_page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TEXT = 96 };

static const char *verdict(const cx_eval_speedup *s) {
    if (isfinite(s->value.high) && s->value.high < 1)
        return ": it needed more steps than the baseline";
    if (isfinite(s->value.low) && s->value.low > 1)
        return ": it needed fewer steps than the baseline";
    if (isfinite(s->value.low) && isfinite(s->value.high))
        return ": the interval holds 1, so neither is shown to be faster";
    if (s->below && !s->above)
        return ": it needed more steps than the baseline, beyond what was measured";
    if (s->above && !s->below)
        return ": it needed fewer steps than the baseline, beyond what was measured";
    return "";
}

static void tuning_range(const cx_eval_data *d, char *out, size_t size) {
    double least = INFINITY, most = 0;
    const json_t *task;
    size_t i;
    json_array_foreach(d->tasks, i, task) {
        double n = cx_eval_number(cx_eval_entrant(task, "baseline"), "tuning_trials");
        if (n > 0) {
            least = fmin(least, n);
            most = fmax(most, n);
        }
    }
    if (most == 0)
        (void)snprintf(out, size, ", fixed");
    else if (least == most)
        (void)snprintf(out, size, ", chosen on each task from %.0f trainings by validation loss",
                       most);
    else
        (void)snprintf(out, size,
                       ", chosen on each task from %.0f to %.0f trainings by validation loss",
                       least, most);
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static double won_tasks(const cx_eval_data *d) {
    double share = cx_eval_interval(cx_eval_entrant(d->all, "policy"), "tasks_won").mean;
    return share >= 0 && share <= 1 ? share * d->complete : 0;
}

static void add_lead(const cx_eval_data *d, cx_page *page) {
    const json_t *policy = cx_eval_entrant(d->all, "policy");
    cx_eval_speedup median = cx_eval_speedup_of(policy, "median");
    const char *source = cx_eval_text(d->root, "policy");
    char text[1600], tuning[128], time[TEXT];
    tuning_range(d, tuning, sizeof tuning);
    cx_eval_factor_text(cx_eval_interval(policy, "median_in_time"), time, sizeof time);
    (void)snprintf(
        text, sizeof text,
        "%s%.200s%s was run on %d %s with %d %s each and compared, on the test split, with the "
        "baseline %.60s%s. In the median over the tasks its speedup in inner steps is %s%s. "
        "In CPU time it is %s. Its mean test loss is the lower one on %.0f of the %d tasks.",
        source[0] ? "The policy in " : "", source[0] ? file_name(source) : d->contestant,
        source[0] ? " (likeliest choices, nothing tuned)" : "", d->complete,
        d->complete == 1 ? "task" : "tasks", d->seeds, d->seeds == 1 ? "seed" : "seeds",
        d->baseline, tuning, median.text, verdict(&median), time, won_tasks(d), d->complete);
    cx_page_lead(page, text);
    cx_page_note(page, "Speedup: the number of steps at which the baseline, retrained at 1/2, 1, 2 "
                       "and 4 times the length, has the run's final test loss, over the run's "
                       "steps; 1 x is level, 2 x twice as fast. Brackets are 95 % intervals, "
                       "bootstrapped over tasks and seeds; those of shares are Wilson's.");
}

static void add_facts(const cx_eval_data *d, cx_page *page) {
    const json_t *policy = cx_eval_entrant(d->all, "policy");
    cx_eval_speedup median = cx_eval_speedup_of(policy, "median");
    double tuning = cx_eval_number(d->all, "tuning_steps_median");
    char text[TEXT], what[TEXT + 64];
    cx_page_fact(page, median.text, "median speedup in steps");
    cx_eval_factor_text(cx_eval_interval(policy, "median_in_time"), text, sizeof text);
    cx_page_fact(page, text, "median speedup in CPU time");
    (void)snprintf(text, sizeof text, "%.0f of %d", won_tasks(d), d->complete);
    char share[64];
    cx_eval_share_text(cx_eval_interval(policy, "tasks_won"), share, sizeof share);
    (void)snprintf(what, sizeof what, "tasks won: %s; %d %s each", share, d->seeds,
                   d->seeds == 1 ? "seed" : "seeds");
    cx_page_fact(page, text, what);
    if (isfinite(tuning) && tuning > 0) {
        (void)snprintf(text, sizeof text, "%.0f to 1", tuning);
        cx_page_fact(page, text, "steps of tuning the baseline, to one run");
    }
}

void cx_eval_top(const cx_eval_data *d, cx_page *page) {
    char text[200];
    if (d->all && cx_eval_entrant(d->all, "policy")) {
        add_lead(d, page);
        add_facts(d, page);
    } else {
        cx_page_lead(page, "No task of this evaluation is complete yet: there is nothing to "
                           "compare. The same command goes on with it.");
    }
    if (d->all && d->complete < d->n_tasks) {
        (void)snprintf(text, sizeof text,
                       "Not finished: %d of %d tasks are complete, and only they are shown.",
                       d->complete, d->n_tasks);
        cx_page_warn(page, text);
    }
    const json_t *list = json_object_get(d->root, "warnings"), *item;
    size_t i;
    json_array_foreach(list, i, item) if (json_is_string(item))
        cx_page_warn(page, json_string_value(item));
}
