/* From the hyperparameters of a recorded run to a rule: one table. */
#include "optim/replay.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

typedef enum {
    HYPER,    /* a number of cx_hyper */
    BETAS,    /* [beta1, beta2] */
    ALPHA,    /* 1 - ombeta2 */
    FLAG,     /* a bool of the rule */
    NUMBER,   /* a double of the rule */
    INTERVAL, /* feature_interval */
    OFF,      /* known, not implemented: only its off value is accepted */
    PARAMETER /* of an OFF switch or of the class's speed: without effect of its own */
} entry_kind;

#define CIAO 1u
#define ADAM 2u /* Adam, AdamW, Adamax */
#define SGD 4u
#define RMSPROP 8u
#define TORCH (ADAM | SGD | RMSPROP)

typedef struct {
    const char *name;
    unsigned classes;
    entry_kind kind;
    size_t where; /* HYPER: cx_hyper_id; FLAG, NUMBER: offset in cx_rule_config */
    double
        absent; /* what null means; NAN: null is a fault. OFF: the off value besides 0 and null */
} entry;

#define RULE(member) offsetof(cx_rule_config, member)
/* clang-format off */
static const entry entries[] = {
    {"lr", CIAO | TORCH, HYPER, CX_HYPER_LR, NAN},
    {"weight_decay", CIAO | TORCH, HYPER, CX_HYPER_WEIGHT_DECAY, 0},
    {"epsilon", CIAO, HYPER, CX_HYPER_EPSILON, NAN},
    {"ombeta1", CIAO, HYPER, CX_HYPER_OMBETA1, NAN},
    {"ombeta2", CIAO, HYPER, CX_HYPER_OMBETA2, NAN},
    {"group_clip_grad_norm", CIAO, HYPER, CX_HYPER_GROUP_CLIP, INFINITY},
    {"grad_clip_ombeta", CIAO, HYPER, CX_HYPER_CLIP_OMBETA, 0},
    {"lamb_update_norm_ombeta", CIAO, HYPER, CX_HYPER_LAMB_OMBETA, 1},
    {"scale_grad_norm_by_rolling_max", CIAO, FLAG, RULE(scale_by_rolling_max), 0},
    {"adam_update_include_weight_decay", CIAO, FLAG, RULE(decay_in_update), 0},
    {"lamb_ignore_vectors", CIAO, FLAG, RULE(lamb_ignore_vectors), 0},
    {"lamb_power", CIAO, NUMBER, RULE(lamb_power), 0},
    {"lamb_min_trust", CIAO, NUMBER, RULE(lamb_min_trust), 0},
    {"lamb_max_trust", CIAO, NUMBER, RULE(lamb_max_trust), INFINITY},
    {"denominator_norm", CIAO, NUMBER, RULE(denominator_norm), 2},
    {"inner_feature_frequency", CIAO, INTERVAL, 0, 1},
    {"approximate_radam_warmup", CIAO, OFF, 0, 0},
    {"gradient_centralization", CIAO, OFF, 0, 0},
    {"lookahead_alpha", CIAO, OFF, 0, 0},
    {"lookahead_k", CIAO, PARAMETER, 0, 0},
    {"qhadam_nu1", CIAO, OFF, 0, 1},
    {"group_clip_grad_z_score", CIAO, OFF, 0, INFINITY},
    {"lr_vector_multiplier", CIAO, OFF, 0, 1},
    {"weight_decay_vector_multiplier", CIAO, OFF, 0, 1},
    {"betas", ADAM, BETAS, 0, NAN},
    {"eps", ADAM | RMSPROP, HYPER, CX_HYPER_EPSILON, NAN},
    {"alpha", RMSPROP, ALPHA, 0, NAN},
    {"momentum", SGD | RMSPROP, NUMBER, RULE(momentum), 0},
    {"nesterov", SGD, FLAG, RULE(nesterov), 0},
    {"dampening", SGD, OFF, 0, 0},
    {"centered", RMSPROP, OFF, 0, 0},
    {"amsgrad", ADAM, OFF, 0, 0},
    {"maximize", TORCH, OFF, 0, 0},
    {"foreach", TORCH, PARAMETER, 0, 0},
    {"capturable", TORCH, PARAMETER, 0, 0},
    {"differentiable", TORCH, PARAMETER, 0, 0},
    {"fused", TORCH, PARAMETER, 0, 0},
};

static const struct {
    const char *name;
    unsigned class;
    const char *rule;
} classes[] = {
    {"ciao", CIAO, "ciao"},       {"Adam", ADAM, "adam"},       {"AdamW", ADAM, "adamw"},
    {"Adamax", ADAM, "adamax"},   {"SGD", SGD, "sgd"},          {"RMSprop", RMSPROP, "rmsprop"},
};
/* clang-format on */

static int find_class(const char *name, const char *optimizer, unsigned *class, const char **rule,
                      cx_error *err) {
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strcmp(classes[i].name, optimizer) == 0) {
            *class = classes[i].class;
            *rule = classes[i].rule;
            return CX_OK;
        }
    return cx_fail(err, CX_EUNSUPPORTED,
                   "%s: optimizer '%.60s' is not implemented; ciao, Adam, AdamW, Adamax, SGD and "
                   "RMSprop are",
                   name, optimizer);
}

static bool is_off(const json_t *value, double off) {
    return json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) &&
            (json_number_value(value) == 0 || json_number_value(value) == off));
}

/* A number, a bool, null (-> absent), or "inf". */
static int read_number(const char *name, const char *key, const json_t *value, double absent,
                       double *out, cx_error *err) {
    if (json_is_number(value))
        *out = json_number_value(value);
    else if (json_is_boolean(value))
        *out = json_is_true(value);
    else if (json_is_string(value) && strcmp(json_string_value(value), "inf") == 0)
        *out = INFINITY;
    else if (json_is_null(value) && !isnan(absent))
        *out = absent;
    else
        return cx_fail(err, CX_EDATA, "%s: hyperparameter %s: a number is expected", name, key);
    return CX_OK;
}

static int read_betas(const char *name, const json_t *value, cx_hyper *hyper, cx_error *err) {
    const json_t *first = json_array_get(value, 0), *second = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_number(first) || !json_is_number(second))
        return cx_fail(err, CX_EDATA, "%s: hyperparameter betas: two numbers are expected", name);
    hyper->value[CX_HYPER_OMBETA1] = 1 - json_number_value(first);
    hyper->value[CX_HYPER_OMBETA2] = 1 - json_number_value(second);
    return CX_OK;
}

static int read_entry(const char *name, const entry *e, const json_t *value, cx_rule_config *rule,
                      cx_hyper *hyper, cx_error *err) {
    double x = 0;
    if (e->kind == PARAMETER)
        return CX_OK;
    if (e->kind == OFF) {
        if (is_off(value, e->absent))
            return CX_OK;
        return cx_fail(err, CX_EUNSUPPORTED, "%s: %s is not implemented", name, e->name);
    }
    if (e->kind == BETAS)
        return read_betas(name, value, hyper, err);
    int code = read_number(name, e->name, value, e->absent, &x, err);
    if (code)
        return code;
    switch (e->kind) {
    case HYPER:
        hyper->value[e->where] = x;
        break;
    case ALPHA:
        hyper->value[CX_HYPER_OMBETA2] = 1 - x;
        break;
    case FLAG: {
        bool flag = x != 0;
        memcpy((char *)rule + e->where, &flag, sizeof flag);
        break;
    }
    case NUMBER:
        memcpy((char *)rule + e->where, &x, sizeof x);
        break;
    default: /* INTERVAL */
        if (!(x >= 1 && x <= 1e9))
            return cx_fail(err, CX_EDATA, "%s: %s is %g: 1 or more is right", name, e->name, x);
        rule->feature_interval = (int)x;
    }
    return CX_OK;
}

static int read_all(const char *name, unsigned class, const json_t *object, cx_rule_config *rule,
                    cx_hyper *hyper, cx_error *err) {
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return cx_fail(err, CX_EDATA, "%s: hyperparameters: an object is expected", name);
    json_object_foreach((json_t *)object, key, value) {
        const entry *e = NULL;
        for (size_t i = 0; i < sizeof entries / sizeof *entries && !e; i++)
            if (entries[i].classes & class && strcmp(entries[i].name, key) == 0)
                e = &entries[i];
        if (!e && is_off(value, 0))
            continue; /* whatever it is, it is off */
        if (!e)
            return cx_fail(err, CX_EUNSUPPORTED, "%s: hyperparameter '%.60s' is not implemented",
                           name, key);
        int code = read_entry(name, e, value, rule, hyper, err);
        if (code)
            return code;
    }
    return CX_OK;
}

int cx_replay_rule(const char *name, const char *optimizer, const struct json_t *hyperparameters,
                   bool schedule_clips, cx_rule_config *rule, cx_hyper *hyper, cx_error *err) {
    unsigned class = 0;
    const char *base = NULL;
    int code = find_class(name, optimizer, &class, &base, err);
    if (!code)
        code = cx_rule_named(base, rule, hyper, err);
    if (code)
        return code;
    if (class == CIAO) {
        *rule = (cx_rule_config){.rule = CX_RULE_CIAO,
                                 .denominator_norm = 2,
                                 .lamb_max_trust = INFINITY,
                                 .feature_interval = 1};
        *hyper = (cx_hyper){{[CX_HYPER_LR] = 1e-3,
                             [CX_HYPER_WEIGHT_DECAY] = 1e-2,
                             [CX_HYPER_EPSILON] = 1e-8,
                             [CX_HYPER_OMBETA2] = 1e-3,
                             [CX_HYPER_OMBETA1] = 0.1,
                             [CX_HYPER_GROUP_CLIP] = INFINITY,
                             [CX_HYPER_LAMB_OMBETA] = 1}};
    }
    code = read_all(name, class, hyperparameters, rule, hyper, err);
    if (code)
        return code;
    rule->clip = class == CIAO && (schedule_clips || isfinite(hyper->value[CX_HYPER_GROUP_CLIP]));
    if (!(rule->denominator_norm > 0) && class != SGD && class != RMSPROP)
        return cx_fail(err, CX_EDATA, "%s: denominator_norm is %g: positive is right", name,
                       rule->denominator_norm);
    return CX_OK;
}

static bool same_rule(const cx_rule_config *a, const cx_rule_config *b) {
    return a->denominator_norm == b->denominator_norm &&
           a->scale_by_rolling_max == b->scale_by_rolling_max &&
           a->decay_in_update == b->decay_in_update && a->lamb_power == b->lamb_power &&
           a->lamb_min_trust == b->lamb_min_trust && a->lamb_max_trust == b->lamb_max_trust &&
           a->lamb_ignore_vectors == b->lamb_ignore_vectors && a->momentum == b->momentum &&
           a->nesterov == b->nesterov && a->feature_interval == b->feature_interval;
}

int cx_replay_set(const char *name, const char *optimizer, const struct json_t *set,
                  const cx_rule_config *rule, cx_hyper *hyper, cx_error *err) {
    unsigned class = 0;
    const char *base = NULL;
    cx_rule_config changed = *rule;
    int code = find_class(name, optimizer, &class, &base, err);
    if (!code)
        code = read_all(name, class, set, &changed, hyper, err);
    if (!code && !same_rule(rule, &changed))
        code = cx_fail(err, CX_EUNSUPPORTED,
                       "%s: a schedule that changes the rule itself (lamb_power, denominator_norm, "
                       "momentum and the like) is not implemented",
                       name);
    return code;
}
