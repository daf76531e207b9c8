/* Messages as a worker gets them: assignments that it does. */
#include "tests/fuzz/fuzz.h"

#include "tasks/task.h"
#include "tests/fuzz/messages.h"
#include "workers/worker.h"
#include <string.h>

enum { MESSAGES = 4, STEPS_MAX = 64 };

/* Others are refused. */
static bool in_schema(const cx_task_spec *spec) {
    int n;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    if (spec->family >= (uint32_t)n)
        return false;
    const cx_family_schema *s = schemas[spec->family];
    for (int i = 0; i < s->n_params; i++)
        if (!s->params[i].words &&
            !(spec->value[i] >= s->params[i].low && spec->value[i] <= s->params[i].high))
            return false;
    return true;
}

/* Whether doing a job is cheap: its size is the sender's business, not a fault. */
static bool cheap(const cx_slice *m) {
    static const struct {
        cx_msg_type type;
        size_t spec;
    } at[] = {{CX_MSG_EPISODE, offsetof(cx_msg_episode, spec)},
              {CX_MSG_BASELINE, offsetof(cx_msg_baseline_job, spec)},
              {CX_MSG_EVALUATION, offsetof(cx_msg_evaluation, spec)},
              {CX_MSG_TRIAL, offsetof(cx_msg_trial, job)}};
    const cx_config *config = fuzz_run_config(NULL);
    const unsigned char *body = (const unsigned char *)m->data + sizeof(cx_msg_header);
    if (m->size < sizeof(cx_msg_header))
        return true;
    cx_msg_type type = cx_message_type(m->data, m->size);
    size_t left = m->size - sizeof(cx_msg_header);
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        cx_trial_job job = {.length = 1};
        if (type != at[i].type || left < cx_message_body_size(type))
            continue;
        memcpy(&job, body + at[i].spec, type == CX_MSG_TRIAL ? sizeof job : sizeof job.spec);
        if (in_schema(&job.spec) && job.length > 0 && job.length <= 64)
            return cx_trial_steps(config, &job) <= STEPS_MAX &&
                   cx_task_gflop(&job.spec, config) < 0.01;
    }
    return true;
}

static bool run(const uint8_t *data, size_t size) {
    cx_slice message[MESSAGES];
    fuzz_transport t;
    cx_worker *w;
    cx_error err;
    cx_data_store *store;
    const char *yaml;
    const cx_config *config = fuzz_run_config(&yaml);
    fuzz_cut(data, size, message, MESSAGES);
    for (int i = 0; i < MESSAGES; i++)
        if (!cheap(&message[i]))
            return false;
    fuzz_transport_make(&t, 1, message, MESSAGES, 0);
    while (t.n > 1 && !message[t.n - 1].size)
        t.n--;
    fuzz_must(cx_data_store_open(config, &store, &err) == CX_OK);
    fuzz_must(cx_worker_create(config, store, &t.base, &w, &err) == CX_OK);
    int rc = CX_OK;
    bool worked = true, stopped = false;
    while (!rc && worked && !stopped)
        rc = cx_worker_poll(w, &worked, &stopped, &err);
    bool taken = fuzz_taken(rc, &err) && t.sent > 0;
    cx_worker_destroy(w);
    cx_data_store_close(store);
    return taken;
}

/* A shard is of use with the weights that come before it. */
typedef struct {
    const fuzz_sink *to;
    unsigned char weights[1 << 16];
    size_t size;
} pairs;

static void pair_up(void *context, const void *data, size_t size) {
    pairs *p = context;
    cx_msg_type type = cx_message_type(data, size);
    if (type == CX_MSG_WEIGHTS) {
        fuzz_must(size <= sizeof p->weights);
        memcpy(p->weights, data, size);
        p->size = size;
    } else if (type == CX_MSG_GRADIENT) {
        fuzz_seed_pieces(p->to, (const cx_slice[]){{p->weights, p->size}, {data, size}}, 2);
    }
}

static void seeds(const fuzz_sink *sink) {
    static pairs p;
    p.to = sink;
    const fuzz_sink into = {pair_up, &p};
    fuzz_messages(sink, true);
    fuzz_messages(&into, true);
}

const fuzz_target fuzz_target_worker = {"worker", run, seeds};
