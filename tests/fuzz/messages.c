#include "tests/fuzz/messages.h"

#include "base/hash.h"
#include "policy/network.h"
#include "policy/observation.h"
#include "tasks/task.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char text[] =
    "seed: 5\nupdates: 20\nmode: synchronous\n"
    "episode: {environment_reuse: 2, outer_examples: 16, final_examples: 16}\n"
    "reward: {length_factor: 1, max_extensions: 0, learning_rates: [1e-2]}\n"
    "policy: {hidden: 8, lstm: 8}\n"
    "ppo: {episodes_per_update: 3, buffer_episodes: 3, minibatch_episodes: 2, minibatches: 1}\n"
    "workers: {split_gflop: 0.0004}\n" /* the second task, instance 1, run by run */
    "tasks:\n"
    "  - {family: nqm, outer_steps: 3, inner_per_outer: 2, dimension: 10}\n"
    "  - {family: nqm, name: other, outer_steps: 2, inner_per_outer: 1, dimension: 12}\n";

const cx_config *fuzz_run_config(const char **yaml) {
    static cx_config config;
    static char resolved[1 << 14];
    int n;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    if (!resolved[0]) {
        char *written;
        cx_error err;
        int rc =
            cx_config_parse("fuzz", text, strlen(text), NULL, 0, schemas, n, &config, NULL, &err);
        fuzz_must(rc == CX_OK);
        fuzz_must(cx_config_write(&config, schemas, n, &written, &err) == CX_OK);
        fuzz_must(strlen(written) < sizeof resolved);
        memcpy(resolved, written, strlen(written) + 1);
        free(written);
    }
    if (yaml)
        *yaml = resolved;
    return &config;
}

void fuzz_mend_message(void *message, size_t size) {
    cx_msg_header h;
    unsigned char *bytes = message;
    if (size < sizeof h)
        return;
    memcpy(&h, bytes, sizeof h);
    memcpy((unsigned char *)&h.magic + 3, "M", 1);
    h.version = CX_WIRE_VERSION;
    h.body = size - sizeof h;
    h.hash = cx_hash(bytes + sizeof h, size - sizeof h, h.type);
    memcpy(bytes, &h, sizeof h);
}

/* --- sound messages --- */

static void give(const fuzz_sink *sink, cx_msg_type type, const void *body, const void *extra,
                 size_t extra_size) {
    unsigned char *message;
    size_t size;
    int rc = cx_message_pack(type, body, cx_message_body_size(type), extra, extra_size,
                             (void **)&message, &size, NULL);
    fuzz_must(rc == CX_OK);
    message[3] = '?'; /* to be mended */
    fuzz_seed(sink, message, size);
    free(message);
}

cx_trajectory *fuzz_episode(uint64_t number) {
    cx_heads heads;
    cx_trajectory *t;
    const cx_config *config = fuzz_run_config(NULL);
    cx_action_heads(config, &heads);
    fuzz_must(cx_trajectory_create(cx_privileged_size(config), heads.n_heads, heads.n_logits, 3, &t,
                                   NULL) == CX_OK);
    memset(t->mask, 1, 2 * (size_t)heads.n_logits);
    t->log_prob[0] = t->log_prob[1] = -1;
    t->result.episode = number;
    t->result.instance = number / (uint64_t)config->episode.environment_reuse;
    t->result.end = CX_END_DIVERGED;
    t->result.steps = 2;
    cx_task_sample(config, t->result.instance, &t->result.spec);
    t->result.outer_steps = (int)cx_task_value(&t->result.spec, "outer_steps");
    return t;
}

static void give_piece(const fuzz_sink *sink) {
    cx_trajectory *t = fuzz_episode(0);
    cx_msg_piece m = {.bytes = cx_trajectory_piece_bytes(t, 2)};
    void *bytes = malloc(m.bytes);
    fuzz_must(bytes);
    cx_trajectory_pack(t, 0, 2, bytes);
    give(sink, CX_MSG_PIECE, &m, bytes, m.bytes);
    free(bytes);
    cx_trajectory_destroy(t);
}

static void from_worker(const fuzz_sink *sink) {
    const char *yaml;
    (void)fuzz_run_config(&yaml);
    static cx_msg_hello hello;
    static cx_msg_result result;
    static cx_msg_sweep sweep;
    static cx_msg_sweep_run run = {.instance = 1,
                                   .outcome = {.final_loss = 1, .curve = {1, {6}, {1}}}};
    static cx_msg_failed failed = {.code = CX_EDATA, .text = "a fault"};
    static cx_msg_bye bye;
    static cx_msg_evaluated evaluated;
    static cx_msg_tried tried;
    hello.config_hash = cx_hash(yaml, strlen(yaml), 0);
    cx_trajectory *t = fuzz_episode(0);
    result.result = t->result;
    cx_trajectory_destroy(t);
    sweep.baseline.n_runs = 1;
    give(sink, CX_MSG_HELLO, &hello, NULL, 0);
    give(sink, CX_MSG_READY, NULL, NULL, 0);
    give(sink, CX_MSG_SWEEP, &sweep, NULL, 0);
    give_piece(sink);
    give(sink, CX_MSG_RESULT, &result, NULL, 0);
    give(sink, CX_MSG_FAILED, &failed, NULL, 0);
    give(sink, CX_MSG_EVALUATED, &evaluated, NULL, 0);
    give(sink, CX_MSG_TRIED, &tried, NULL, 0);
    give(sink, CX_MSG_SIGNAL, NULL, NULL, 0);
    const float numbers[4] = {1, -1, 0.5f, 0};
    const cx_msg_graded graded = {.n = 4};
    give(sink, CX_MSG_GRADED, &graded, numbers, sizeof numbers);
    give(sink, CX_MSG_BYE, &bye, NULL, 0);
    give(sink, CX_MSG_SWEEP_RUN, &run, NULL, 0);
}

/* A shard of one episode, and the policy's weights for it. */
static void give_shard(const fuzz_sink *sink, const float *weights, size_t n, cx_shard_kind kind) {
    cx_heads heads;
    const cx_config *config = fuzz_run_config(NULL);
    cx_action_heads(config, &heads);
    cx_trajectory *t = fuzz_episode(0);
    bool policy = kind == CX_SHARD_POLICY;
    const cx_msg_weights with = {
        .net = policy ? CX_LEARNED_POLICY : CX_LEARNED_VALUE, .serial = 1, .n = n};
    cx_msg_gradient m = {
        .serial = 1,
        .shard = {.kind = kind,
                  .episodes = 1,
                  .longest = 2,
                  .rows = 2,
                  .inputs = policy ? cx_observation_size(config) : cx_privileged_size(config),
                  .heads = policy ? heads.n_heads : 0,
                  .logits = policy ? heads.n_logits : 0,
                  .share = 0.5,
                  .clip = 0.2,
                  .value_coefficient = 0.5}};
    const float extra[2] = {1, -1};
    size_t size = cx_shard_bytes(&m.shard);
    void *data = malloc(size + 1);
    fuzz_must(size && data);
    cx_shard_put(&m.shard, data, 0, 0, t, extra);
    give(sink, CX_MSG_WEIGHTS, &with, weights, n * sizeof *weights);
    give(sink, CX_MSG_GRADIENT, &m, data, size);
    free(data);
    cx_trajectory_destroy(t);
}

static size_t count_of(cx_net_shape shape) {
    cx_net *net;
    fuzz_must(cx_net_create(&shape, &net, NULL) == CX_OK);
    size_t n = cx_net_count(net);
    cx_net_destroy(net);
    return n;
}

static void to_worker(const fuzz_sink *sink) {
    static cx_msg_episode episode;
    static cx_msg_baseline_job baseline = {.examples = 16};
    static cx_msg_baseline_job run = {.examples = 16, .apart = 1, .run = {.lr = 0.01}};
    static cx_msg_evaluation evaluation = {.acting = CX_ACT_NEUTRAL, .test_examples = 16};
    static cx_msg_trial trial = {.job = {.length = 1, .rule = "adamw"}};
    static cx_msg_drop drop = {.type = CX_MSG_EPISODE, .number = 3};
    static cx_msg_stop stop;
    const cx_config *config = fuzz_run_config(NULL);
    size_t n = count_of(cx_policy_shape(config)), m = count_of(cx_value_shape(config));
    float *weights = calloc(n > m ? n : m, sizeof *weights);
    fuzz_must(weights);
    cx_task_sample(config, 0, &episode.spec);
    evaluation.spec = trial.job.spec = baseline.spec = run.spec = episode.spec;
    trial.job.hyper.value[CX_HYPER_LR] = 0.01;
    episode.n_weights = n;
    give(sink, CX_MSG_BASELINE, &baseline, NULL, 0);
    give(sink, CX_MSG_BASELINE, &run, NULL, 0);
    give(sink, CX_MSG_EPISODE, &episode, weights, n * sizeof *weights);
    give(sink, CX_MSG_EVALUATION, &evaluation, NULL, 0);
    give(sink, CX_MSG_TRIAL, &trial, NULL, 0);
    give_shard(sink, weights, n, CX_SHARD_POLICY);
    give_shard(sink, weights, m, CX_SHARD_VALUE);
    give_shard(sink, weights, m, CX_SHARD_OUTPUTS);
    give(sink, CX_MSG_DROP, &drop, NULL, 0);
    give(sink, CX_MSG_STOP, &stop, NULL, 0);
    drop.type = CX_MSG_TRIAL;
    give(sink, CX_MSG_DROP, &drop, NULL, 0);
    free(weights);
}

void fuzz_messages(const fuzz_sink *sink, bool towards_worker) {
    if (towards_worker)
        to_worker(sink);
    else
        from_worker(sink);
}

/* --- a transport --- */

static int swallow(cx_transport *base, int to, void *data, size_t size, cx_error *err) {
    cx_msg_type type;
    const void *body, *extra;
    size_t extra_size;
    (void)to;
    (void)err;
    /* nobody sends what would be refused */
    fuzz_must(cx_message_unpack(data, size, &type, &body, &extra, &extra_size, NULL) == CX_OK);
    ((fuzz_transport *)base)->sent++;
    free(data);
    return CX_OK;
}

static int next(cx_transport *base, int *from, void **data, size_t *size, cx_error *err) {
    fuzz_transport *t = (fuzz_transport *)base;
    *data = NULL;
    *size = 0;
    t->breath = !t->breath && t->next > 0;
    if (t->breath) /* what came is acted on before the next one comes */
        return CX_OK;
    if (t->next == t->n)
        return t->end_fails ? cx_fail(err, CX_EMPI, "no more messages") : CX_OK;
    cx_slice m = t->message[t->next++];
    unsigned char *bytes = malloc(m.size + 1);
    fuzz_must(bytes);
    if (m.size)
        memcpy(bytes, m.data, m.size);
    if (m.size > 3 && bytes[3] != 'M')
        fuzz_mend_message(bytes, m.size);
    *from = t->from;
    *data = bytes;
    *size = m.size;
    return CX_OK;
}

static int none(cx_transport *base) {
    (void)base;
    return 0;
}

void fuzz_transport_make(fuzz_transport *t, int rank, const cx_slice *message, int n, int from) {
    *t = (fuzz_transport){
        .base = {.rank = rank, .ranks = 2, .send = swallow, .receive = next, .pending = none},
        .message = message,
        .n = n,
        .from = from};
}
