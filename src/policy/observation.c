#include "policy/observation.h"
#include "policy/cdf.h"
#include "tasks/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything a group's functions may look at. */
typedef struct {
    const cx_config *config;
    const cx_heads *heads;
    const cx_run_state *run; /* NULL where only sizes and names are wanted */
    double reward, reward_raw;
} context;

static const double least_loss = 1e-12; /* before the logarithm */
static const double loss_bound = 30;    /* of log losses and rewards, for the value function */
static const double plain_bound = 1000; /* of anything that is passed on as it is */

/* --- values: item i of a group; may be anything, also NAN --- */

/* NAN stays, an infinite loss of either sign is infinite */
static double log_loss(double loss) {
    return isfinite(loss) ? log(fmax(loss, least_loss)) : isnan(loss) ? (double)NAN : INFINITY;
}

static double progress(const context *c, int i) {
    (void)i;
    return c->run->outer_steps > 0 ? (double)c->run->outer_step / c->run->outer_steps : 0;
}

static double feature(const context *c, int i) {
    double x = c->run->features ? c->run->features[i] : (double)NAN;
    double clip = c->config->episode.feature_clip;
    return isnan(x) ? x : fmin(fmax(x, -clip), clip);
}

/* The head that logit `i` belongs to; *choice: which of its choices it is. */
static int head_of(const cx_heads *heads, int i, int *choice) {
    int h = 0;
    while (h + 1 < heads->n_heads && heads->offset[h + 1] <= i)
        h++;
    *choice = i - heads->offset[h];
    return h;
}

static double last_action(const context *c, int i) {
    int choice, h = head_of(c->heads, i, &choice);
    return c->run->last_action && c->run->last_action[h] == choice;
}

static double train_loss(const context *c, int i) {
    (void)i;
    return log_loss(c->run->train_loss);
}

static double valid_loss(const context *c, int i) {
    (void)i;
    return log_loss(c->run->valid_loss);
}

static double loss_ratio(const context *c, int i) {
    return valid_loss(c, i) - train_loss(c, i);
}

static double log_ratio(double x, double y) {
    return log(fmax(x, least_loss)) - log(fmax(y, least_loss));
}

static double update_ratio(const context *c, int i) {
    (void)i;
    double x = c->run->update_norm, y = c->run->previous_param_norm;
    return isnan(x) || isnan(y) ? (double)NAN : log_ratio(x, y); /* fmax would drop a NAN */
}

static double norm_ratio(const context *c, int i) {
    (void)i;
    double x = c->run->param_norm, y = c->run->previous_param_norm;
    return isnan(x) || isnan(y) ? (double)NAN : log_ratio(x, y);
}

static double register_ratio(const context *c, int i) {
    if (!c->run->reg[i].full)
        return 0;
    double saved = log_loss(c->run->reg[i].valid_loss), now = log_loss(c->run->valid_loss);
    /* a run that went to NAN is as far behind its register as one that went to infinity */
    return (isnan(saved) ? INFINITY : saved) - (isnan(now) ? INFINITY : now);
}

static double register_progress(const context *c, int i) {
    return c->run->reg[i].full ? c->run->reg[i].progress : 0;
}

static double hyper_ratio(const context *c, int i) {
    double h = c->run->hyper.value[i], h0 = c->run->hyper_start.value[i];
    if (h == h0) /* also 0 and 0 */
        return 0;
    double ratio = log(h) - log(h0);
    return c->config->heads[i].logit ? ratio - log1p(-h) + log1p(-h0) : ratio;
}

static double log_steps(const context *c, int i) {
    double n = c->run->inner_steps;
    return log10(i == 0 ? n : n / c->run->outer_steps) / 4; /* about 0 .. 1 */
}

static double task_vector(const context *c, int i) {
    return c->run->task_vector && i < c->run->n_task_vector ? c->run->task_vector[i] : 0;
}

static double start_noise(const context *c, int i) {
    return c->run->start_noise ? c->run->start_noise[i] : 0;
}

static double within(double x, double bound) {
    return isnan(x) ? bound : fmin(fmax(x, -bound), bound);
}

static double train_value(const context *c, int i) {
    return within(train_loss(c, i), loss_bound);
}

static double valid_value(const context *c, int i) {
    return within(valid_loss(c, i), loss_bound);
}

static double reward_raw(const context *c, int i) {
    (void)i;
    return c->reward_raw;
}

static double reward_clipped(const context *c, int i) {
    (void)i;
    return c->reward;
}

static double sweep(const context *c, int i) {
    const cx_baseline *b = c->run->baseline;
    return !b ? 0 : i == 0 ? b->best_reward : i == 1 ? b->median_reward : b->mean_reward;
}

static double power_alpha(const context *c, int i) {
    (void)i;
    return c->run->baseline ? tanh(log(c->run->baseline->alpha) / 10) : 0;
}

/* --- how many items a group has --- */

static int one(const context *c) {
    (void)c;
    return 1;
}

static int n_features(const context *c) {
    (void)c;
    return CX_FEATURE_COUNT;
}

static int n_logits(const context *c) {
    return c->heads->n_logits;
}

static int n_registers(const context *c) {
    return c->config->registers;
}

static int n_hypers(const context *c) {
    (void)c;
    return CX_HYPER_COUNT;
}

static int n_log_steps(const context *c) {
    return c->config->observations.log_steps ? 2 : 0;
}

static int n_task_vector(const context *c) {
    (void)c;
    return cx_task_vector_size();
}

static int n_sweep(const context *c) {
    (void)c;
    return 3;
}

/* --- what an item is called --- */

static void name_feature(const context *c, int i, char *out, size_t size) {
    (void)c;
    (void)snprintf(out, size, "%s", cx_feature_name((cx_feature)i));
}

static void name_action(const context *c, int i, char *out, size_t size) {
    int choice, h = head_of(c->heads, i, &choice), id = c->heads->hyper[h], index;
    const char *head = cx_action_head_name(c->heads, h);
    if (id < 0) {
        static const char *const op[] = {"nothing", "save", "load", "swap"};
        cx_register_op what = cx_action_register(c->config->registers, choice, &index);
        if (what == CX_REGISTER_NOTHING)
            (void)snprintf(out, size, "last action %s nothing", head);
        else
            (void)snprintf(out, size, "last action %s %s %d", head, op[what], index);
    } else {
        const cx_head_config *config = &c->config->heads[id];
        (void)snprintf(out, size, config->logit ? "last action %s %+g" : "last action %s x %g",
                       head, config->step[choice]);
    }
}

static void name_hyper(const context *c, int i, char *out, size_t size) {
    (void)snprintf(out, size, "%s(%s / start)", c->config->heads[i].logit ? "logit" : "log",
                   cx_hyper_name((cx_hyper_id)i));
}

static void name_noise(const context *c, int i, char *out, size_t size) {
    (void)c;
    (void)snprintf(out, size, "start noise of %s", cx_hyper_name((cx_hyper_id)i));
}

static void name_sweep(const context *c, int i, char *out, size_t size) {
    static const char *const which[] = {"best", "median", "mean"};
    (void)c;
    (void)snprintf(out, size, "%s reward of the baselines", which[i]);
}

/* --- the layout --- */

enum { IS_NAN = 1, IS_INF = 2, PLAIN = 4, TANH = 8, CDF = 16 };

/* A group has count() items, and each item the parts that are named, in the order of
 * the enum above. A group without a name function is called `label`, and its items
 * are numbered where there may be several. */
typedef struct {
    const char *label;
    int parts;
    int (*count)(const context *c);
    double (*value)(const context *c, int i);
    void (*name)(const context *c, int i, char *out, size_t size);
} group;

/* clang-format off */
static const group groups[] = {
    {"progress",                      PLAIN,                 one,           progress,          NULL},
    {NULL,                            PLAIN | CDF,           n_features,    feature,           name_feature},
    {NULL,                            PLAIN,                 n_logits,      last_action,       name_action},
    {"log(valid / train loss)",       IS_NAN | TANH | CDF,   one,           loss_ratio,        NULL},
    {"log(update / parameter norm)",  TANH | CDF,            one,           update_ratio,      NULL},
    {"log(parameter norm / last)",    TANH | CDF,            one,           norm_ratio,        NULL},
    {"log train loss",                IS_NAN | IS_INF | CDF, one,           train_loss,        NULL},
    {"log valid loss",                IS_NAN | IS_INF | CDF, one,           valid_loss,        NULL},
    {"log(register / current loss)",  TANH,                  n_registers,   register_ratio,    NULL},
    {"progress of register",          PLAIN,                 n_registers,   register_progress, NULL},
    {NULL,                            PLAIN,                 n_hypers,      hyper_ratio,       name_hyper},
    {"log steps",                     PLAIN,                 n_log_steps,   log_steps,         NULL},
#define POLICY_GROUPS 12
    {"task",                          PLAIN,                 n_task_vector, task_vector,       NULL},
    {NULL,                            PLAIN,                 n_hypers,      start_noise,       name_noise},
    {"value of log train loss",       PLAIN,                 one,           train_value,       NULL},
    {"value of log valid loss",       PLAIN,                 one,           valid_value,       NULL},
    {"reward now, not clipped above", PLAIN | CDF,           one,           reward_raw,        NULL},
    {"reward now",                    PLAIN | CDF,           one,           reward_clipped,    NULL},
    {NULL,                            PLAIN,                 n_sweep,       sweep,             name_sweep},
    {"tanh(log(alpha) / 10)",         PLAIN,                 one,           power_alpha,       NULL},
};
/* clang-format on */
enum { GROUPS = sizeof groups / sizeof *groups };

static int parts_size(int parts) {
    int n = 0;
    for (int p = IS_NAN; p <= TANH; p *= 2)
        n += (parts & p) != 0;
    return parts & CDF ? n + CX_CDF_COUNT : n;
}

static int layout_size(const cx_config *config, int n_groups) {
    cx_heads heads;
    cx_action_heads(config, &heads);
    context c = {.config = config, .heads = &heads};
    int n = 0;
    for (int g = 0; g < n_groups; g++)
        n += groups[g].count(&c) * parts_size(groups[g].parts);
    return n;
}

int cx_observation_size(const cx_config *config) {
    return layout_size(config, POLICY_GROUPS);
}

int cx_privileged_size(const cx_config *config) {
    return layout_size(config, GROUPS);
}

/* Name of part number `part` (0, 1, ... of those that the group has) of `item`. */
static void name_part(int parts, int part, const char *item, char *out, size_t size) {
    static const char *const form[] = {"is nan: %s", "is inf: %s", "%s", "tanh %s"};
    for (int i = 0; i < 4; i++)
        if (parts & (1 << i) && part-- == 0) {
            const char *at = strchr(form[i], '%');
            (void)snprintf(out, size, "%.*s%s", (int)(at - form[i]), form[i], item);
            return;
        }
    (void)snprintf(out, size, "cdf %g of %s", cx_cdf_weights[part], item);
}

const char *cx_observation_name(const cx_config *config, int i, char *buffer, size_t size) {
    cx_heads heads;
    cx_action_heads(config, &heads);
    context c = {.config = config, .heads = &heads};
    if (size)
        buffer[0] = 0;
    for (int g = 0; g < GROUPS && i >= 0; g++) {
        int width = parts_size(groups[g].parts), count = groups[g].count(&c);
        if (i >= width * count) {
            i -= width * count;
            continue;
        }
        char item[128];
        if (groups[g].name)
            groups[g].name(&c, i / width, item, sizeof item);
        else if (groups[g].count == one)
            (void)snprintf(item, sizeof item, "%s", groups[g].label);
        else
            (void)snprintf(item, sizeof item, "%s %d", groups[g].label, i / width);
        name_part(groups[g].parts, i % width, item, buffer, size);
        break;
    }
    return buffer;
}

struct cx_observer {
    const cx_config *config;
    cx_heads heads;
    int n_cdf;
    cx_cdf cdf[]; /* in the order of the layout */
};

int cx_observer_create(const cx_config *config, cx_observer **out, cx_error *err) {
    context c = {.config = config};
    int n = 0;
    for (int g = 0; g < GROUPS; g++)
        if (groups[g].parts & CDF)
            n += groups[g].count(&c);
    cx_observer *o = calloc(1, sizeof *o + (size_t)n * sizeof o->cdf[0]);
    *out = o;
    if (!o)
        return cx_fail(err, CX_ENOMEM, "no memory for the statistics of %d observations", n);
    o->config = config;
    o->n_cdf = n;
    cx_action_heads(config, &o->heads);
    return CX_OK;
}

void cx_observer_destroy(cx_observer *o) {
    free(o);
}

/* Writes the parts of one value; returns the end. */
static float *write_parts(const cx_config *config, int parts, double x, cx_cdf *cdf, float *out) {
    if (parts & IS_NAN)
        *out++ = isnan(x) ? 1.0f : 0.0f;
    if (parts & IS_INF)
        *out++ = isinf(x) ? 1.0f : 0.0f;
    if (parts & PLAIN)
        *out++ = isnan(x) ? 0 : (float)within(x, plain_bound);
    if (parts & TANH)
        *out++ = isnan(x) ? 0 : (float)tanh(x);
    if (parts & CDF) {
        cx_cdf_update(cdf, x, out);
        for (int i = 0; i < CX_CDF_COUNT; i++, out++)
            if (!config->observations.cdf)
                *out = 0.5f;
    }
    return out;
}

void cx_observe(cx_observer *o, const cx_run_state *state, float *out) {
    context c = {.config = o->config, .heads = &o->heads, .run = state};
    if (state->baseline) {
        double loss = state->valid_loss - state->optimum;
        c.reward = cx_reward(o->config, state->baseline, loss, &c.reward_raw);
        c.reward = within(c.reward, loss_bound);
        c.reward_raw = within(c.reward_raw, loss_bound);
    }
    cx_cdf *cdf = o->cdf;
    for (int g = 0; g < GROUPS; g++) {
        int n = groups[g].count(&c);
        for (int i = 0; i < n; i++) {
            double x = groups[g].value(&c, i);
            out = write_parts(o->config, groups[g].parts, x, cdf, out);
            if (groups[g].parts & CDF)
                cdf++;
        }
    }
}
