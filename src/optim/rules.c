#include "optim/optimizer.h"

#include <math.h>
#include <string.h>

cx_rule_config cx_rule_learned(const cx_optimizer_config *config, int feature_interval) {
    return (cx_rule_config){
        .rule = CX_RULE_CIAO,
        .denominator_norm = config->denominator_norm,
        .clip = true,
        .scale_by_rolling_max = config->scale_by_rolling_max != 0,
        .decay_in_update = config->decay_in_update != 0,
        .lamb_power = config->lamb_power,
        .lamb_min_trust = config->lamb_min_trust,
        .lamb_max_trust = config->lamb_max_trust,
        .lamb_ignore_vectors = config->lamb_ignore_vectors != 0,
        .feature_interval = feature_interval,
    };
}

typedef struct {
    const char *name;
    double lr, weight_decay, epsilon, ombeta2, ombeta1;
    cx_rule_config rule;
} named_rule;

/* clang-format off */
static const named_rule named[] = {
    {"adam", 1e-3, 0, 1e-8, 1e-3, 0.1,
     {.rule = CX_RULE_CIAO, .denominator_norm = 2, .decay_in_gradient = true}},
    {"adamw", 1e-3, 1e-2, 1e-8, 1e-3, 0.1,
     {.rule = CX_RULE_CIAO, .denominator_norm = 2}},
    {"adamax", 2e-3, 0, 1e-8, 1e-3, 0.1,
     {.rule = CX_RULE_CIAO, .denominator_norm = INFINITY, .decay_in_gradient = true,
      .epsilon_in_maximum = true}},
    {"lamb", 1e-3, 1e-2, 1e-6, 1e-3, 0.1,
     {.rule = CX_RULE_CIAO, .denominator_norm = 2, .decay_in_update = true, .lamb_power = 1,
      .lamb_max_trust = 10, .lamb_ignore_vectors = true}},
    {"sgd", 1e-3, 0, 0, 1, 1, {.rule = CX_RULE_SGD}},
    {"momentum", 1e-3, 0, 0, 1, 1, {.rule = CX_RULE_SGD, .momentum = 0.9}},
    {"nesterov", 1e-3, 0, 0, 1, 1, {.rule = CX_RULE_SGD, .momentum = 0.9, .nesterov = true}},
    {"rmsprop", 1e-2, 0, 1e-8, 1e-2, 1, {.rule = CX_RULE_RMSPROP}},
    {"ciao", 1e-3, 1e-2, 1e-6, 1e-2, 0.1,
     {.rule = CX_RULE_CIAO, .denominator_norm = INFINITY, .clip = true,
      .scale_by_rolling_max = true, .decay_in_update = true, .lamb_power = 1,
      .lamb_min_trust = 1e-3, .lamb_max_trust = 10, .lamb_ignore_vectors = true,
      .feature_interval = 4}},
};
/* clang-format on */

int cx_rule_named(const char *name, cx_rule_config *rule, cx_hyper *hyper, cx_error *err) {
    char all[256] = "";
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        const named_rule *n = &named[i];
        if (strcmp(name, n->name) == 0) {
            bool learned = n->rule.clip;
            *rule = n->rule;
            *hyper = (cx_hyper){{
                [CX_HYPER_LR] = n->lr,
                [CX_HYPER_WEIGHT_DECAY] = n->weight_decay,
                [CX_HYPER_EPSILON] = n->epsilon,
                [CX_HYPER_OMBETA2] = n->ombeta2,
                [CX_HYPER_OMBETA1] = n->ombeta1,
                [CX_HYPER_GROUP_CLIP] = learned ? 0.8 : 1,
                [CX_HYPER_CLIP_OMBETA] = 1e-2,
                [CX_HYPER_LAMB_OMBETA] = learned ? 0.05 : 1,
            }};
            return CX_OK;
        }
        strncat(all, i ? ", " : "", sizeof all - strlen(all) - 1);
        strncat(all, n->name, sizeof all - strlen(all) - 1);
    }
    return cx_fail(err, CX_EUSAGE, "no optimizer is called '%s'; there are %s", name, all);
}
