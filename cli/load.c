#include "cli/load.h"

#include "policy/network.h"
#include "policy/observation.h"
#include "store/store.h"
#include <stdlib.h>
#include <string.h>

int cx_load_config(const cx_args *args, cx_config *config, cx_faults *faults, cx_error *err) {
    const char *sets[CX_ARGS_MAX];
    int n_sets = cx_args_values(args, "--set", sets), n;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    return cx_config_read(args->word[0], sets, n_sets, schemas, n, config, faults, err);
}

static bool same_actions(const cx_config *a, const cx_config *b) {
    if (a->registers != b->registers)
        return false;
    for (int h = 0; h < CX_HYPER_COUNT; h++) {
        const cx_head_config *x = &a->heads[h], *y = &b->heads[h];
        if (x->present != y->present)
            return false;
        if (!x->present)
            continue;
        if (x->logit != y->logit || x->n != y->n ||
            memcmp(x->step, y->step, (size_t)x->n * sizeof x->step[0]) != 0)
            return false;
    }
    return true;
}

static bool same_rule(const cx_optimizer_config *a, const cx_optimizer_config *b) {
    return a->denominator_norm == b->denominator_norm &&
           a->scale_by_rolling_max == b->scale_by_rolling_max &&
           a->decay_in_update == b->decay_in_update &&
           a->lamb_ignore_vectors == b->lamb_ignore_vectors && a->lamb_power == b->lamb_power &&
           a->lamb_min_trust == b->lamb_min_trust && a->lamb_max_trust == b->lamb_max_trust;
}

static int check_fit(const char *path, const cx_config *trained, const cx_config *config,
                     cx_error *err) {
    if (!same_actions(trained, config))
        return cx_fail(err, CX_ECONFIG,
                       "%s: the policy was trained with other actions than the configuration's",
                       path);
    if (trained->observations.log_steps != config->observations.log_steps ||
        trained->observations.cdf != config->observations.cdf)
        return cx_fail(
            err, CX_ECONFIG,
            "%s: the policy was trained with other observations than the configuration's", path);
    if (trained->policy.input_clip != config->policy.input_clip ||
        trained->episode.feature_interval != config->episode.feature_interval ||
        trained->episode.feature_clip != config->episode.feature_clip ||
        trained->episode.parameter_average != config->episode.parameter_average ||
        !same_rule(&trained->optimizer, &config->optimizer))
        return cx_fail(err, CX_ECONFIG,
                       "%s: the policy was trained with another update rule (optimizer.*), other "
                       "features or another average (episode.feature_*, parameter_average, "
                       "policy.input_clip) than the configuration's",
                       path);
    if (trained->policy.hidden != config->policy.hidden ||
        trained->policy.lstm != config->policy.lstm ||
        trained->policy.residual != config->policy.residual)
        return cx_fail(err, CX_ECONFIG,
                       "%s: the policy has hidden %d, lstm %d; the configuration says %d, %d", path,
                       trained->policy.hidden, trained->policy.lstm, config->policy.hidden,
                       config->policy.lstm);
    return CX_OK;
}

/* The configuration that a policy was trained with; *trained is the caller's (free()). */
static int read_trained(const char *path, cx_config **trained, cx_error *err) {
    char *yaml;
    uint64_t version;
    int n, rc = cx_policy_read_config(path, &yaml, &version, err);
    *trained = NULL;
    if (rc)
        return rc;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    cx_config *c = calloc(1, sizeof *c);
    rc = c ? cx_config_parse(path, yaml, strlen(yaml), NULL, 0, schemas, n, c, NULL, err)
           : cx_fail(err, CX_ENOMEM, "no memory for a configuration");
    free(yaml);
    if (rc)
        free(c);
    else
        *trained = c;
    return rc;
}

int cx_adopt_policy(const char *path, cx_config *config, cx_error *err) {
    cx_config *trained;
    int rc = read_trained(path, &trained, err);
    if (rc)
        return rc;
    config->registers = trained->registers;
    memcpy(config->heads, trained->heads, sizeof config->heads);
    config->optimizer = trained->optimizer;
    config->observations = trained->observations;
    config->policy = trained->policy;
    config->episode.feature_interval = trained->episode.feature_interval;
    config->episode.feature_clip = trained->episode.feature_clip;
    config->episode.outer_examples = trained->episode.outer_examples;
    config->episode.parameter_average = trained->episode.parameter_average;
    free(trained);
    return CX_OK;
}

int cx_load_policy(const char *path, const cx_config *config, float **block, cx_error *err) {
    cx_config *trained;
    int rc = read_trained(path, &trained, err);
    if (rc)
        return rc;
    rc = check_fit(path, trained, config, err);
    free(trained);
    cx_net *net = NULL;
    if (!rc) {
        cx_net_shape shape = cx_policy_shape(config);
        rc = cx_net_create(&shape, &net, err);
    }
    if (!rc)
        rc = cx_policy_read(path, net, block, err);
    cx_net_destroy(net);
    return rc;
}
