#include "policy/trial.h"

#include "base/hash.h"
#include "policy/observation.h"
#include <math.h>
#include <stddef.h>
#include <string.h>

_Static_assert(offsetof(cx_trial_job, hyper) ==
                   sizeof(cx_task_spec) + 6 * sizeof(uint32_t) + CX_TRIAL_RULE_SIZE,
               "a job has no padding: its bytes are hashed");

size_t cx_trial_result_size(const cx_trial_result *result) {
    return result->has_taken ? sizeof *result : offsetof(cx_trial_result, taken);
}

bool cx_trial_result_ok(const void *data, size_t size) {
    cx_trial_result r;
    if (size != sizeof r && size != offsetof(cx_trial_result, taken))
        return false;
    memcpy(&r, data, size);
    return r.diverged <= 1 && r.steps >= 0 && r.n_curve >= 0 && r.n_curve <= CX_TRIAL_CURVE &&
           (r.has_taken == 0 || r.has_taken == 1) && cx_trial_result_size(&r) == size;
}

/* What the learned optimizer's runs depend on, besides the task. */
static uint64_t learned_hash(const cx_config *c, uint64_t h) {
    const uint32_t semantics = CX_SEMANTICS_VERSION;
    h = cx_hash(&semantics, sizeof semantics, h);
    h = cx_hash(&c->optimizer, sizeof c->optimizer, h);
    h = cx_hash(&c->registers, sizeof c->registers, h);
    h = cx_hash(c->heads, sizeof c->heads, h);
    h = cx_hash(&c->observations, sizeof c->observations, h);
    h = cx_hash(&c->policy, sizeof c->policy, h);
    h = cx_hash(&c->episode.feature_interval, sizeof c->episode.feature_interval, h);
    return cx_hash(&c->episode.feature_clip, sizeof c->episode.feature_clip, h);
}

uint64_t cx_trial_key(const cx_config *config, const cx_trial_job *job) {
    const uint32_t version = CX_TRIAL_VERSION;
    cx_trial_job j = *job;
    memset(&j.spec, 0, sizeof j.spec); /* the task's hash stands for it */
    uint64_t h = cx_hash(&version, sizeof version, cx_task_training_hash(&job->spec, config));
    h = cx_hash(&config->evaluation.validation_examples,
                sizeof config->evaluation.validation_examples, h);
    if (job->measure & CX_MEASURE_SPLITS)
        h = cx_hash(&config->evaluation.test_examples, sizeof config->evaluation.test_examples, h);
    if (job->trainer != CX_TRAINER_RULE || strcmp(job->rule, CX_RULE_LEARNED) == 0)
        h = learned_hash(config, h);
    if (job->trainer == CX_TRAINER_POLICY && job->sampled)
        h = cx_hash(&config->seed, sizeof config->seed, h);
    return cx_hash(&j, sizeof j, h);
}

int cx_trial_check(const cx_trial_job *job, cx_error *err) {
    cx_rule_config rule;
    cx_hyper hyper;
    if (job->trainer >= CX_TRAINER_COUNT || job->schedule >= CX_SCHEDULE_COUNT ||
        job->measure > (CX_MEASURE_SPLITS | CX_MEASURE_CURVE) || job->sampled > 1 ||
        job->skip > 1000 || !(job->length > 0 && job->length <= 64) ||
        !(job->start_lr >= 0 && job->start_lr <= 1e9) ||
        (job->trainer != CX_TRAINER_RULE && job->length != 1) ||
        !memchr(job->rule, 0, sizeof job->rule))
        return cx_fail(err, CX_EFORMAT, "a trial that cannot be");
    if (job->trainer != CX_TRAINER_RULE || strcmp(job->rule, CX_RULE_LEARNED) == 0)
        return CX_OK;
    return cx_rule_named(job->rule, &rule, &hyper, err);
}

int cx_trial_steps(const cx_config *config, const cx_trial_job *job) {
    return (int)fmax(1, round(cx_task_inner_steps(&job->spec, config) * job->length));
}

void cx_trial_seed(cx_task_spec *spec, int s) {
    const uint64_t pair[2] = {spec->seed, (uint64_t)s};
    if (s > 0)
        spec->seed = cx_hash(pair, sizeof pair, 0x73656564); /* "seed" */
}
