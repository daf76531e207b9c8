#include "wire/message.h"

#include "base/hash.h"
#include "base/process.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint32_t message_magic = 0x4d575843; /* "CXWM" */

_Static_assert(sizeof(cx_msg_header) == 32, "the body that follows is aligned for doubles");

#define X(code, name) +1
enum { END_COUNT = CX_END_TABLE(X), ACTING_COUNT = CX_ACTING_TABLE(X) };
#undef X

/* --- what each type must hold besides its size --- */

static bool text_ends(const char *text, size_t size) {
    return memchr(text, 0, size) != NULL;
}

static bool baseline_ok(const cx_baseline *b) {
    return b->n_runs >= 0 && b->n_runs <= CX_BASELINE_RUNS_MAX && b->n_points >= 0 &&
           b->n_points <= CX_BASELINE_POINTS_MAX;
}

static bool hello_ok(const void *body, size_t extra) {
    const cx_msg_hello *m = body;
    return extra == 0 && text_ends(m->host, sizeof m->host);
}

static bool episode_ok(const void *body, size_t extra) {
    const cx_msg_episode *m = body;
    return m->n_weights <= CX_MESSAGE_MAX && extra == m->n_weights * sizeof(float) &&
           baseline_ok(&m->baseline);
}

static bool drop_ok(const void *body, size_t extra) {
    const cx_msg_drop *m = body;
    return extra == 0 && (m->type == CX_MSG_EPISODE || m->type == CX_MSG_BASELINE ||
                          m->type == CX_MSG_EVALUATION || m->type == CX_MSG_TRIAL);
}

static bool piece_ok(const void *body, size_t extra) {
    return extra == ((const cx_msg_piece *)body)->bytes;
}

static bool evaluation_ok(const void *body, size_t extra) {
    const cx_msg_evaluation *m = body;
    return m->n_weights <= CX_MESSAGE_MAX && extra == m->n_weights * sizeof(float) &&
           baseline_ok(&m->baseline) && m->acting < ACTING_COUNT && m->test_examples <= 1u << 24 &&
           m->default_start <= 1;
}

static bool trial_ok(const void *body, size_t extra) {
    const cx_msg_trial *m = body;
    return m->n_weights <= CX_MESSAGE_MAX && extra == m->n_weights * sizeof(float) &&
           cx_trial_check(&m->job, NULL) == CX_OK;
}

static bool tried_ok(const void *body, size_t extra) {
    const cx_trial_result *r = &((const cx_msg_tried *)body)->result;
    return extra == 0 && cx_trial_result_ok(r, cx_trial_result_size(r));
}

static bool weights_ok(const void *body, size_t extra) {
    const cx_msg_weights *m = body;
    return m->net < CX_LEARNED_NETS && m->reserved == 0 && m->n > 0 && m->n <= CX_MESSAGE_MAX &&
           extra == m->n * sizeof(float);
}

static bool gradient_ok(const void *body, size_t extra) {
    return extra > 0 && extra == cx_shard_bytes(&((const cx_msg_gradient *)body)->shard);
}

static bool graded_ok(const void *body, size_t extra) {
    const cx_msg_graded *m = body;
    return m->n > 0 && m->n <= CX_MESSAGE_MAX && extra == m->n * sizeof(float);
}

static bool outcome_ok(const cx_episode_result *r) {
    return r->end < END_COUNT && r->steps >= 0 && r->steps <= r->outer_steps &&
           r->inner_steps_done >= 0 && r->inner_steps_done <= r->inner_steps;
}

static bool result_ok(const void *body, size_t extra) {
    return extra == 0 && outcome_ok(&((const cx_msg_result *)body)->result);
}

static bool evaluated_ok(const void *body, size_t extra) {
    return extra == 0 && outcome_ok(&((const cx_msg_evaluated *)body)->result);
}

static bool sweep_ok(const void *body, size_t extra) {
    return extra == 0 && baseline_ok(&((const cx_msg_sweep *)body)->baseline);
}

static bool baseline_job_ok(const void *body, size_t extra) {
    const cx_msg_baseline_job *m = body;
    return extra == 0 && m->apart <= 1 && m->run.beyond <= 1 && m->run.number < CX_SWEEP_RUNS_MAX &&
           m->run.continues < CX_SWEEP_RUNS_MAX;
}

static bool sweep_run_ok(const void *body, size_t extra) {
    const cx_msg_sweep_run *m = body;
    return extra == 0 && m->run < CX_SWEEP_RUNS_MAX && m->outcome.curve.n >= 0 &&
           m->outcome.curve.n <= CX_BASELINE_POINTS_MAX;
}

static bool failed_ok(const void *body, size_t extra) {
    const cx_msg_failed *m = body;
    return extra == 0 && m->code > CX_OK && m->code < CX_ERROR_COUNT &&
           text_ends(m->text, sizeof m->text);
}

static bool no_extra(const void *body, size_t extra) {
    (void)body;
    return extra == 0;
}

static const struct {
    const char *name;
    size_t body;
    bool (*ok)(const void *body, size_t extra);
} type_table[CX_MSG_COUNT] = {
    [CX_MSG_HELLO] = {"HELLO", sizeof(cx_msg_hello), hello_ok},
    [CX_MSG_EPISODE] = {"EPISODE", sizeof(cx_msg_episode), episode_ok},
    [CX_MSG_BASELINE] = {"BASELINE", sizeof(cx_msg_baseline_job), baseline_job_ok},
    [CX_MSG_EVALUATION] = {"EVALUATION", sizeof(cx_msg_evaluation), evaluation_ok},
    [CX_MSG_TRIAL] = {"TRIAL", sizeof(cx_msg_trial), trial_ok},
    [CX_MSG_WEIGHTS] = {"WEIGHTS", sizeof(cx_msg_weights), weights_ok},
    [CX_MSG_GRADIENT] = {"GRADIENT", sizeof(cx_msg_gradient), gradient_ok},
    [CX_MSG_GRADED] = {"GRADED", sizeof(cx_msg_graded), graded_ok},
    [CX_MSG_READY] = {"READY", 0, no_extra},
    [CX_MSG_DROP] = {"DROP", sizeof(cx_msg_drop), drop_ok},
    [CX_MSG_STOP] = {"STOP", sizeof(cx_msg_stop), no_extra},
    [CX_MSG_PIECE] = {"PIECE", sizeof(cx_msg_piece), piece_ok},
    [CX_MSG_RESULT] = {"RESULT", sizeof(cx_msg_result), result_ok},
    [CX_MSG_SWEEP] = {"SWEEP", sizeof(cx_msg_sweep), sweep_ok},
    [CX_MSG_SWEEP_RUN] = {"SWEEP_RUN", sizeof(cx_msg_sweep_run), sweep_run_ok},
    [CX_MSG_EVALUATED] = {"EVALUATED", sizeof(cx_msg_evaluated), evaluated_ok},
    [CX_MSG_TRIED] = {"TRIED", sizeof(cx_msg_tried), tried_ok},
    [CX_MSG_FAILED] = {"FAILED", sizeof(cx_msg_failed), failed_ok},
    [CX_MSG_BYE] = {"BYE", sizeof(cx_msg_bye), no_extra},
    [CX_MSG_SIGNAL] = {"SIGNAL", 0, no_extra},
};

const char *cx_message_name(cx_msg_type type) {
    return (unsigned)type < CX_MSG_COUNT ? type_table[type].name : "unknown message";
}

size_t cx_message_body_size(cx_msg_type type) {
    return (unsigned)type < CX_MSG_COUNT ? type_table[type].body : 0;
}

int cx_message_pack(cx_msg_type type, const void *body, size_t body_size, const void *extra,
                    size_t extra_size, void **out, size_t *size, cx_error *err) {
    *out = NULL;
    *size = 0;
    if ((unsigned)type >= CX_MSG_COUNT || body_size != type_table[type].body)
        return cx_fail(err, CX_ESTATE, "%s message with a body of %zu bytes instead of %zu",
                       cx_message_name(type), body_size, cx_message_body_size(type));
    if (extra_size > CX_MESSAGE_MAX - sizeof(cx_msg_header) - body_size)
        return cx_fail(err, CX_ESTATE,
                       "%s message with %zu bytes: at most 2 GiB can be sent at a time",
                       cx_message_name(type), extra_size);
    if (!type_table[type].ok(body, extra_size))
        return cx_fail(err, CX_ESTATE,
                       "%s message that is inconsistent or does not fit its %zu extra bytes",
                       cx_message_name(type), extra_size);
    size_t total = sizeof(cx_msg_header) + body_size + extra_size;
    unsigned char *p = malloc(total);
    if (!p)
        return cx_fail(err, CX_ENOMEM, "%s message: no memory for %zu bytes", cx_message_name(type),
                       total);
    if (body_size)
        memcpy(p + sizeof(cx_msg_header), body, body_size);
    if (extra_size)
        memcpy(p + sizeof(cx_msg_header) + body_size, extra, extra_size);
    cx_msg_header h = {.magic = message_magic,
                       .version = CX_WIRE_VERSION,
                       .type = (uint32_t)type,
                       .body = body_size + extra_size,
                       .hash = cx_hash(p + sizeof h, body_size + extra_size, (uint64_t)type)};
    memcpy(p, &h, sizeof h);
    *out = p;
    *size = total;
    return CX_OK;
}

cx_msg_type cx_message_type(const void *data, size_t size) {
    cx_msg_header header;
    if (size < sizeof header)
        return CX_MSG_COUNT;
    memcpy(&header, data, sizeof header);
    return header.type < CX_MSG_COUNT ? (cx_msg_type)header.type : CX_MSG_COUNT;
}

int cx_message_send(cx_transport *t, int to, cx_msg_type type, const void *body, size_t body_size,
                    const void *extra, size_t extra_size, cx_error *err) {
    void *data;
    size_t size;
    int rc = cx_message_pack(type, body, body_size, extra, extra_size, &data, &size, err);
    return rc ? rc : t->send(t, to, data, size, err);
}

int cx_message_send_hello(cx_transport *t, int to, uint64_t config_hash, cx_error *err) {
    cx_msg_hello hello;
    memset(&hello, 0, sizeof hello);
    hello.config_hash = config_hash;
    hello.pid = getpid();
    cx_process_host(hello.host, sizeof hello.host);
    return cx_message_send(t, to, CX_MSG_HELLO, &hello, sizeof hello, NULL, 0, err);
}

void cx_message_send_stop(cx_transport *t, int to, bool finalize) {
    cx_msg_stop stop = {finalize};
    (void)cx_message_send(t, to, CX_MSG_STOP, &stop, sizeof stop, NULL, 0, NULL);
}

int cx_message_unpack(const void *data, size_t size, cx_msg_type *type, const void **body,
                      const void **extra, size_t *extra_size, cx_error *err) {
    cx_msg_header h;
    if (!data || size < sizeof h)
        return cx_fail(err, CX_EFORMAT, "a message of %zu bytes, shorter than its header", size);
    memcpy(&h, data, sizeof h);
    const unsigned char *rest = (const unsigned char *)data + sizeof h;
    if (h.magic != message_magic)
        return cx_fail(err, CX_EFORMAT, "a message that does not begin as ours do: %08x", h.magic);
    if (h.version != CX_WIRE_VERSION)
        return cx_fail(
            err, CX_EVERSION,
            "a message of version %u, this program speaks %d: all ranks must run the same "
            "program",
            h.version, CX_WIRE_VERSION);
    if (h.type >= CX_MSG_COUNT || h.reserved != 0)
        return cx_fail(err, CX_EFORMAT, "a message of unknown type %u", h.type);
    if (h.body != size - sizeof h || h.body < type_table[h.type].body)
        return cx_fail(err, CX_EFORMAT,
                       "%s message of %zu bytes, its header says %llu, the least is %zu",
                       type_table[h.type].name, size - sizeof h, (unsigned long long)h.body,
                       type_table[h.type].body);
    if (h.hash != cx_hash(rest, size - sizeof h, h.type))
        return cx_fail(err, CX_EFORMAT, "%s message whose hash differs: corrupt",
                       type_table[h.type].name);
    size_t more = size - sizeof h - type_table[h.type].body;
    if (!type_table[h.type].ok(rest, more))
        return cx_fail(err, CX_EFORMAT,
                       "%s message that is inconsistent or does not fit its %zu extra bytes",
                       type_table[h.type].name, more);
    *type = (cx_msg_type)h.type;
    *body = rest;
    *extra = more ? rest + type_table[h.type].body : NULL;
    *extra_size = more;
    return CX_OK;
}
