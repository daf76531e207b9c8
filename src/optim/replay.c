#include "optim/replay.h"

#include "base/arena.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS_MAX ((size_t)1 << 26)
#define TENSORS_MAX 100000

typedef struct {
    const char *name;
    cx_error *err;
    const json_t *root;
    const char *optimizer;
    int n_tensors, n_groups;
    size_t count;
    cx_optim_tensor *tensors;
    int *order; /* tensors group by group, as the features are listed */
    int n_order;
    float *params, *grads;
    bool *has_grad;
    cx_rule_config rule;
    cx_hyper hyper;
    cx_optimizer *o;
    double *features;   /* ours, per tensor, of the newest feature step */
    bool noise_in_mean; /* the outer step under way contains a first step */
    cx_optimizer_replay *out;
} replay;

#define BAD(r, ...) cx_fail((r)->err, CX_EDATA, __VA_ARGS__)

/* Enters one comparison; `what` and its context are kept for the first miss. */
static void compare(replay *r, double ours, double theirs, double tolerance, double *largest,
                    const char *what, const char *of, int step) {
    double error = fabs(ours - theirs) / fmax(1, fabs(theirs));
    if (!isfinite(error))
        error = ours == theirs ? 0 : INFINITY;
    if (!(error <= *largest)) /* NAN: nothing was compared before */
        *largest = error;
    if (error > tolerance && r->out->passed) {
        r->out->passed = false;
        (void)snprintf(r->out->worst, sizeof r->out->worst, "step %d, %.50s, %.60s: %.9g, not %.9g",
                       step, of, what, ours, theirs);
    }
}

static int read_floats(replay *r, const json_t *array, float *to, size_t n, const char *what) {
    if (json_array_size(array) != n)
        return BAD(r, "%s: %s: %zu numbers where %zu are expected", r->name, what,
                   json_array_size(array), n);
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(array, i);
        if (!json_is_number(x))
            return BAD(r, "%s: %s: entry %zu is no number", r->name, what, i);
        to[i] = (float)json_number_value(x);
    }
    return CX_OK;
}

static int read_tensors(replay *r) {
    const json_t *list = json_object_get(r->root, "tensors");
    if (json_array_size(list) < 1 || json_array_size(list) > TENSORS_MAX)
        return BAD(r, "%s: tensors: a list of 1 to %d is expected", r->name, TENSORS_MAX);
    r->n_tensors = (int)json_array_size(list);
    r->tensors = cx_calloc((size_t)r->n_tensors, sizeof *r->tensors);
    r->order = cx_calloc((size_t)r->n_tensors, sizeof *r->order);
    r->has_grad = cx_calloc((size_t)r->n_tensors, sizeof *r->has_grad);
    r->features = cx_calloc((size_t)r->n_tensors * CX_FEATURE_COUNT, sizeof *r->features);
    if (!r->tensors || !r->order || !r->has_grad || !r->features)
        return cx_fail(r->err, CX_ENOMEM, "%s: no memory", r->name);
    for (int t = 0; t < r->n_tensors; t++) {
        const json_t *shape = json_object_get(json_array_get(list, (size_t)t), "shape");
        size_t size = 1;
        if (!json_is_array(shape))
            return BAD(r, "%s: tensor %d: shape is missing", r->name, t);
        for (size_t i = 0; i < json_array_size(shape); i++) {
            const json_t *dim = json_array_get(shape, i);
            json_int_t d = json_is_integer(dim) ? json_integer_value(dim) : 0;
            if (d < 1 || (size_t)d > NUMBERS_MAX / size)
                return BAD(r,
                           "%s: tensor %d: a shape of positive integers, %zu numbers at most, "
                           "is expected",
                           r->name, t, NUMBERS_MAX);
            size *= (size_t)d;
        }
        r->tensors[t] = (cx_optim_tensor){
            .offset = r->count, .size = size, .rank = (int)json_array_size(shape), .group = -1};
        r->count += size;
        if (r->count > NUMBERS_MAX)
            return BAD(r, "%s: more than %zu numbers", r->name, NUMBERS_MAX);
    }
    r->params = cx_calloc(r->count, sizeof *r->params);
    r->grads = cx_calloc(r->count, sizeof *r->grads);
    if (!r->params || !r->grads)
        return cx_fail(r->err, CX_ENOMEM, "%s: no memory for %zu numbers", r->name, r->count);
    for (int t = 0; t < r->n_tensors; t++) {
        const json_t *init = json_object_get(json_array_get(list, (size_t)t), "init");
        int code = read_floats(r, init, r->params + r->tensors[t].offset, r->tensors[t].size,
                               "init of a tensor");
        if (code)
            return code;
    }
    return CX_OK;
}

static const char *tensor_name(const replay *r, int t) {
    const json_t *x = json_array_get(json_object_get(r->root, "tensors"), (size_t)t);
    const char *name = json_string_value(json_object_get(x, "name"));
    return name ? name : "a tensor";
}

static int read_groups(replay *r) {
    const json_t *groups = json_object_get(r->root, "groups");
    if (json_array_size(groups) < 1 || json_array_size(groups) > TENSORS_MAX)
        return BAD(r, "%s: groups: a list of lists of tensors is expected", r->name);
    r->n_groups = (int)json_array_size(groups);
    for (int g = 0; g < r->n_groups; g++) {
        const json_t *group = json_array_get(groups, (size_t)g);
        if (!json_is_array(group))
            return BAD(r, "%s: group %d: a list of tensors is expected", r->name, g);
        for (size_t i = 0; i < json_array_size(group); i++) {
            const json_t *x = json_array_get(group, i);
            json_int_t t = json_is_integer(x) ? json_integer_value(x) : -1;
            if (t < 0 || t >= r->n_tensors)
                return BAD(r, "%s: group %d: there are tensors 0 to %d", r->name, g,
                           r->n_tensors - 1);
            if (r->tensors[t].group >= 0)
                return BAD(r, "%s: tensor %d is in two groups", r->name, (int)t);
            r->tensors[t].group = g;
            r->order[r->n_order++] = (int)t;
        }
    }
    if (r->n_order != r->n_tensors)
        return BAD(r, "%s: only %d of %d tensors are in a group", r->name, r->n_order,
                   r->n_tensors);
    return CX_OK;
}

static int read_rule(replay *r) {
    const json_t *schedule = json_object_get(r->root, "schedule"), *x;
    size_t i;
    bool clips = false;
    r->optimizer = json_string_value(json_object_get(r->root, "optimizer"));
    if (!r->optimizer)
        return BAD(r, "%s: optimizer: a name is expected", r->name);
    if (schedule && !json_is_null(schedule) && !json_is_array(schedule))
        return BAD(r, "%s: schedule: a list is expected", r->name);
    json_array_foreach((json_t *)schedule, i, x) {
        if (!json_is_integer(json_object_get(x, "before_step")) ||
            !json_is_object(json_object_get(x, "set")))
            return BAD(r, "%s: schedule: entry %zu needs before_step and set", r->name, i);
        clips = clips ||
                json_is_number(json_object_get(json_object_get(x, "set"), "group_clip_grad_norm"));
    }
    return cx_replay_rule(r->name, r->optimizer, json_object_get(r->root, "hyperparameters"), clips,
                          &r->rule, &r->hyper, r->err);
}

static int apply_schedule(replay *r, json_int_t step) {
    const json_t *x;
    size_t i;
    json_array_foreach(json_object_get(r->root, "schedule"), i, x) {
        if (json_integer_value(json_object_get(x, "before_step")) != step)
            continue;
        int code = cx_replay_set(r->name, r->optimizer, json_object_get(x, "set"), &r->rule,
                                 &r->hyper, r->err);
        if (code)
            return code;
    }
    cx_optimizer_set_hyper(r->o, &r->hyper);
    return CX_OK;
}

static int read_grads(replay *r, const json_t *step) {
    const json_t *grads = json_object_get(step, "grads");
    if (json_array_size(grads) != (size_t)r->n_tensors)
        return BAD(r, "%s: grads: one entry per tensor is expected", r->name);
    for (int t = 0; t < r->n_tensors; t++) {
        const json_t *g = json_array_get(grads, (size_t)t);
        r->has_grad[t] = !json_is_null(g);
        int code = r->has_grad[t] ? read_floats(r, g, r->grads + r->tensors[t].offset,
                                                r->tensors[t].size, "a gradient")
                                  : CX_OK;
        if (code)
            return code;
    }
    return CX_OK;
}

static int compare_params(replay *r, const json_t *step, int number) {
    const json_t *all = json_object_get(step, "params");
    if (json_array_size(all) != (size_t)r->n_tensors)
        return BAD(r, "%s: params: one entry per tensor is expected", r->name);
    for (int t = 0; t < r->n_tensors; t++) {
        const cx_optim_tensor *x = &r->tensors[t];
        const json_t *list = json_array_get(all, (size_t)t);
        if (json_array_size(list) != x->size)
            return BAD(r, "%s: params of tensor %d: %zu numbers are expected", r->name, t, x->size);
        for (size_t i = 0; i < x->size; i++) {
            const json_t *value = json_array_get(list, i);
            if (!json_is_number(value))
                return BAD(r, "%s: params of tensor %d: entry %zu is no number", r->name, t, i);
            compare(r, (double)r->params[x->offset + i], json_number_value(value),
                    CX_REPLAY_PARAM_TOLERANCE, &r->out->param_error, "parameter", tensor_name(r, t),
                    number);
        }
    }
    return CX_OK;
}

/* One object of features against ours; null and absent ones had no value. `noise`:
 * log_noise_scale is rounding noise here. */
static void compare_features(replay *r, const json_t *theirs, const double *ours, bool noise,
                             bool noise_mean, const char *of, int number) {
    for (int f = 0; f < CX_FEATURE_COUNT; f++) {
        const char *name = cx_feature_name((cx_feature)f);
        const json_t *x = json_object_get(theirs, name);
        if (!json_is_number(x))
            continue;
        double value = json_number_value(x), own = ours[f];
        if (f == CX_FEATURE_log_noise_scale && noise_mean)
            continue;
        if (f == CX_FEATURE_log_noise_scale && noise && value > 10 && own > 10)
            continue;
        compare(r, own, value, CX_REPLAY_FEATURE_TOLERANCE, &r->out->feature_error, name, of,
                number);
    }
}

static int compare_step_features(replay *r, const json_t *step, int number) {
    const json_t *list = json_object_get(step, "param_features");
    const json_t *clipped = json_object_get(step, "did_grad_clip");
    if (!list)
        return CX_OK;
    const bool taken = cx_optimizer_last_features(r->o, r->features);
    if (!taken)
        for (int i = 0; i < r->n_tensors * CX_FEATURE_COUNT; i++)
            r->features[i] = NAN;
    size_t at = 0;
    for (int i = 0; i < r->n_order; i++) {
        const int t = r->order[i];
        const double *ours = r->features + t * CX_FEATURE_COUNT;
        cx_optim_inspection state;
        if (!r->has_grad[t])
            continue;
        cx_optimizer_inspect(r->o, t, &state);
        r->noise_in_mean = r->noise_in_mean || state.steps == 1;
        const json_t *theirs = json_array_get(list, at++);
        if (!json_is_object(theirs))
            return BAD(r, "%s: step %d: param_features: one object per gradient is expected",
                       r->name, number);
        compare_features(r, theirs, ours, state.steps == 1, false, tensor_name(r, t), number);
        const json_t *clip = json_array_get(clipped, (size_t)r->tensors[t].group);
        if (json_is_boolean(clip) && json_array_size(clipped) == (size_t)r->n_groups)
            compare(r, ours[CX_FEATURE_did_grad_clip], json_is_true(clip), 0,
                    &r->out->feature_error, "did_grad_clip", tensor_name(r, t), number);
    }
    if (at != json_array_size(list))
        return BAD(r, "%s: step %d: %zu sets of features for %zu gradients", r->name, number,
                   json_array_size(list), at);
    return CX_OK;
}

static void compare_state(replay *r, const json_t *step, int number) {
    const json_t *debug = json_object_get(step, "debug");
    for (int t = 0; t < r->n_tensors; t++) {
        cx_optim_inspection s;
        cx_optimizer_inspect(r->o, t, &s);
        const struct {
            const char *name;
            double ours;
        } rows[] = {
            {"exp_avg_norm", s.m_norm},
            {"exp_avg_sq_norm", s.v_norm},
            {"bias_correction1", s.c1},
            {"bias_correction2", s.c2},
            {"lamb_update_norm_ema", s.lamb},
            {"lamb_update_norm_ema_bias_correction", s.lamb_correction},
            {"grad_norm_as_left_in_p_grad", r->has_grad[t] ? s.grad_norm : 0},
        };
        const json_t *theirs = json_array_get(json_object_get(debug, "per_tensor"), (size_t)t);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            const json_t *x = json_object_get(theirs, rows[i].name);
            if (json_is_number(x))
                compare(r, rows[i].ours, json_number_value(x), CX_REPLAY_FEATURE_TOLERANCE,
                        &r->out->state_error, rows[i].name, tensor_name(r, t), number);
        }
    }
    for (int g = 0; g < r->n_groups; g++) {
        const json_t *x = json_array_get(json_object_get(debug, "grad_rolling_max"), (size_t)g);
        if (json_is_number(x))
            compare(r, cx_optimizer_rolling_max(r->o, g), json_number_value(x),
                    CX_REPLAY_FEATURE_TOLERANCE, &r->out->state_error, "rolling maximum", "a group",
                    number);
    }
}

/* Ends the outer step that ends after step `number`, if one does. */
static void end_outer_step(replay *r, json_int_t number) {
    const json_t *x;
    size_t i;
    json_array_foreach(json_object_get(r->root, "outer_steps"), i, x) {
        const json_t *last = json_array_get(json_object_get(x, "steps"), 1);
        if (!json_is_integer(last) || json_integer_value(last) != number)
            continue;
        double features[CX_FEATURE_COUNT];
        cx_optimizer_outer_step(r->o, features);
        compare_features(r, json_object_get(x, "features"), features, false, r->noise_in_mean,
                         "an outer step", (int)number);
        r->noise_in_mean = false;
    }
}

static int run(replay *r) {
    const json_t *steps = json_object_get(r->root, "steps"), *step;
    size_t i;
    if (json_array_size(steps) < 1)
        return BAD(r, "%s: steps: a list is expected", r->name);
    json_array_foreach(steps, i, step) {
        const json_t *t = json_object_get(step, "t");
        const int number = json_is_integer(t) ? (int)json_integer_value(t) : (int)i + 1;
        int code = apply_schedule(r, number);
        if (!code)
            code = read_grads(r, step);
        if (code)
            return code;
        double norm = cx_optimizer_step(r->o, r->params, r->grads, r->has_grad, NULL, 0);
        if (!isfinite(norm))
            return BAD(r, "%s: step %d: the gradient is not finite", r->name, number);
        code = compare_params(r, step, number);
        if (!code)
            code = compare_step_features(r, step, number);
        if (code)
            return code;
        compare_state(r, step, number);
        end_outer_step(r, number);
        r->out->steps++;
    }
    return CX_OK;
}

int cx_replay_optimizer(const char *name, const json_t *root, cx_optimizer_replay *out,
                        cx_error *err) {
    replay r = {.name = name, .err = err, .root = root, .out = out};
    *out = (cx_optimizer_replay){
        .passed = true, .param_error = NAN, .feature_error = NAN, .state_error = NAN};
    if (!json_is_object(root))
        return cx_fail(err, CX_EDATA, "%s: an object is expected", name);
    int code = read_rule(&r);
    if (!code)
        code = read_tensors(&r);
    if (!code)
        code = read_groups(&r);
    if (!code)
        code = cx_optimizer_create(&r.rule, r.tensors, r.n_tensors, r.n_groups, r.count, &r.o, err);
    if (!code)
        code = run(&r);
    cx_optimizer_destroy(r.o);
    void *const owned[] = {r.tensors, r.order, r.params, r.grads, r.has_grad, r.features};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    return code;
}
