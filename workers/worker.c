#include "workers/worker.h"

#include "base/clock.h"
#include "base/process.h"
#include "wire/message.h"
#include "workers/baseline.h"
#include "workers/episode.h"
#include "workers/shards.h"
#include "workers/trial.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { INBOX = 128 }; /* more than workers.prefetch can be */
static const double look_seconds = 0.02, coordinator_seconds = 1, sending_seconds = 5;
typedef struct {
    void *data;
    size_t size;
    bool dropped; /* nobody waits for that job; its weights count all the same */
} letter;

struct cx_worker {
    const cx_config *config;
    cx_transport *transport;
    cx_episode_runner *runner;
    cx_shard_runner *shards; /* of a learner rank: made with the first weights */
    float *policy;           /* newest block that was sent */
    uint64_t version;
    double born, inner, baseline, sending; /* seconds; sending: of pieces, amid an episode */
    void *buffer;                          /* of a packed piece */
    size_t buffer_size;
    uint64_t episode;            /* the one that runs */
    cx_msg_drop running;         /* the job, as a DROP would name it */
    cx_msg_hello coordinator;    /* its newest HELLO */
    double silent, looked_after; /* since the coordinator was heard; whether it lives */
    int n_inbox;
    letter inbox[INBOX];
    bool (*told)(void *context); /* by a signal to stop the run; may be NULL */
    void *told_context;
    double looked;  /* at messages and `told`, amid a job */
    bool passed_on; /* ... to the coordinator */
    bool cut_short; /* the job that runs: by a STOP, a DROP, or by `fault` */
    cx_error fault; /* of the transport amid a job */
};

/* As DROP names it; type CX_MSG_COUNT for letters that are no job. */
static cx_msg_drop name_of(const letter *l) {
    cx_msg_drop name = {.type = CX_MSG_COUNT};
    cx_msg_type type;
    const void *body, *extra;
    size_t extra_size;
    if (cx_message_unpack(l->data, l->size, &type, &body, &extra, &extra_size, NULL))
        return name;
    if (type == CX_MSG_EPISODE)
        name = (cx_msg_drop){.type = type, .number = ((const cx_msg_episode *)body)->episode};
    if (type == CX_MSG_BASELINE) {
        const cx_msg_baseline_job *m = body;
        name = (cx_msg_drop){type, m->apart ? m->run.number + 1 : 0, m->instance};
    }
    if (type == CX_MSG_EVALUATION)
        name = (cx_msg_drop){.type = type, .number = ((const cx_msg_evaluation *)body)->number};
    if (type == CX_MSG_TRIAL)
        name = (cx_msg_drop){.type = type, .number = ((const cx_msg_trial *)body)->key};
    return name;
}

static bool same_job(cx_msg_drop a, cx_msg_drop b) {
    return a.type == b.type && a.number == b.number && a.run == b.run;
}

static void drop(cx_worker *w, cx_msg_drop name) {
    w->cut_short |= same_job(w->running, name);
    for (int i = 0; i < w->n_inbox; i++)
        w->inbox[i].dropped |= same_job(name_of(&w->inbox[i]), name);
}

/* What is not left for its turn. */
static int take_at_once(cx_worker *w, const letter *l, cx_error *err) {
    cx_msg_type type;
    const void *body, *extra;
    size_t extra_size;
    int rc = cx_message_unpack(l->data, l->size, &type, &body, &extra, &extra_size, err);
    if (!rc && type == CX_MSG_HELLO) {
        w->coordinator = *(const cx_msg_hello *)body;
        /* who has just written, and is not there, is of another world of process numbers */
        if (cx_process_ended_on(w->coordinator.host, w->coordinator.pid))
            w->coordinator.pid = 0;
    }
    if (!rc && type == CX_MSG_DROP)
        drop(w, *(const cx_msg_drop *)body);
    return rc;
}

/* Takes everything that has arrived into the inbox. A STOP makes the assignments before
 * it void: whoever sent it does not wait for them. */
static int drain(cx_worker *w, cx_error *err) {
    for (;;) {
        letter l = {0};
        int from, rc = w->transport->receive(w->transport, &from, &l.data, &l.size, err);
        if (rc || !l.data)
            return rc;
        w->silent = 0;
        cx_msg_type type = cx_message_type(l.data, l.size);
        if (type == CX_MSG_HELLO || type == CX_MSG_DROP) {
            rc = take_at_once(w, &l, err);
            free(l.data);
            if (rc)
                return rc;
            continue;
        }
        if (type == CX_MSG_STOP) {
            for (; w->n_inbox > 0; w->n_inbox--)
                free(w->inbox[w->n_inbox - 1].data);
        } else if (w->n_inbox == INBOX) {
            free(l.data);
            return cx_fail(err, CX_EFORMAT, "more than %d assignments at once", INBOX);
        }
        w->inbox[w->n_inbox++] = l;
    }
}

static int pass_signal_on(cx_worker *w, cx_error *err) {
    if (w->passed_on || !w->told || !w->told(w->told_context))
        return CX_OK;
    w->passed_on = true;
    return cx_message_send(w->transport, 0, CX_MSG_SIGNAL, NULL, 0, NULL, 0, err);
}

/* A cx_interrupt: long jobs must not keep a whole run from stopping. */
static bool amid_a_job(void *context) {
    cx_worker *w = context;
    double now = cx_clock_now();
    if (!w->cut_short && now - w->looked < look_seconds)
        return false;
    w->looked = now;
    int rc = drain(w, &w->fault);
    if (!rc)
        rc = pass_signal_on(w, &w->fault);
    bool stop =
        w->n_inbox > 0 && cx_message_type(w->inbox[0].data, w->inbox[0].size) == CX_MSG_STOP;
    w->cut_short |= rc || stop;
    return w->cut_short;
}

int cx_worker_create(const cx_config *config, const cx_data_store *store, cx_transport *transport,
                     cx_worker **out, cx_error *err) {
    *out = NULL;
    cx_worker *w = calloc(1, sizeof *w);
    if (!w)
        return cx_fail(err, CX_ENOMEM, "no memory for a worker");
    w->config = config;
    w->transport = transport;
    w->version = UINT64_MAX;
    w->born = w->looked_after = cx_clock_now();
    w->running.type = CX_MSG_COUNT;
    int rc = cx_episode_runner_create(config, store, &w->runner, err);
    if (!rc) {
        cx_episode_runner_interrupt(w->runner, (cx_interrupt){amid_a_job, w});
        w->policy = calloc(cx_net_count(cx_episode_runner_net(w->runner)), sizeof(float));
        if (!w->policy)
            rc = cx_fail(err, CX_ENOMEM, "no memory for the policy");
    }
    if (!rc)
        rc = cx_message_send(transport, 0, CX_MSG_READY, NULL, 0, NULL, 0, err);
    if (rc) {
        cx_worker_destroy(w);
        return rc;
    }
    *out = w;
    return CX_OK;
}

void cx_worker_destroy(cx_worker *w) {
    if (!w)
        return;
    for (int i = 0; i < w->n_inbox; i++)
        free(w->inbox[i].data);
    cx_episode_runner_destroy(w->runner);
    cx_shard_runner_destroy(w->shards);
    free(w->policy);
    free(w->buffer);
    free(w);
}

static cx_worker_time worker_time(const cx_worker *w) {
    cx_worker_time t;
    memset(&t, 0, sizeof t);
    t.alive = cx_clock_now() - w->born;
    t.policy = cx_episode_runner_policy_seconds(w->runner);
    t.inner = w->inner;
    t.baseline = w->baseline;
    t.gradient = w->shards ? cx_shard_runner_seconds(w->shards) : 0;
    t.waiting = t.alive - t.inner - t.baseline - t.policy - t.gradient;
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        t.peak_bytes = (uint64_t)usage.ru_maxrss * 1024;
    return t;
}

/* A job that cannot be done: the coordinator hears why. One that was cut short is nothing
 * that anybody waits for. */
static int report_failure(cx_worker *w, uint64_t number, const cx_error *why, cx_error *err) {
    if (w->cut_short)
        return CX_OK;
    cx_msg_failed failed;
    memset(&failed, 0, sizeof failed);
    failed.number = number;
    failed.code = (int32_t)why->code;
    memcpy(failed.text, why->message, sizeof failed.text);
    failed.text[sizeof failed.text - 1] = 0;
    return cx_message_send(w->transport, 0, CX_MSG_FAILED, &failed, sizeof failed, NULL, 0, err);
}

static int send_piece(void *context, const cx_trajectory *t, int first, int n, cx_error *err) {
    cx_worker *w = context;
    double start = cx_clock_now();
    size_t bytes = cx_trajectory_piece_bytes(t, n);
    if (bytes > w->buffer_size) {
        void *bigger = realloc(w->buffer, bytes);
        if (!bigger)
            return cx_fail(err, CX_ENOMEM, "no memory for a trajectory piece of %zu bytes", bytes);
        w->buffer = bigger;
        w->buffer_size = bytes;
    }
    cx_trajectory_pack(t, first, n, w->buffer);
    cx_msg_piece piece;
    memset(&piece, 0, sizeof piece);
    piece.episode = w->episode;
    piece.bytes = bytes;
    int rc =
        cx_message_send(w->transport, 0, CX_MSG_PIECE, &piece, sizeof piece, w->buffer, bytes, err);
    w->sending += cx_clock_now() - start;
    return rc;
}

static int take_weights(cx_worker *w, uint64_t version, uint64_t n, const void *extra,
                        size_t extra_size, cx_error *err) {
    if (n > 0) {
        size_t want = cx_net_count(cx_episode_runner_net(w->runner));
        if (n != want || extra_size != n * sizeof(float))
            return cx_fail(err, CX_EFORMAT, "%llu policy weights came with an assignment, not %zu",
                           (unsigned long long)n, want);
        memcpy(w->policy, extra, extra_size);
        w->version = version;
    }
    if (w->version != version)
        return cx_fail(err, CX_ESTATE,
                       "an assignment is for policy version %llu, this worker has another",
                       (unsigned long long)version);
    return CX_OK;
}

static int do_episode(cx_worker *w, const void *body, const void *extra, size_t extra_size,
                      cx_error *err) {
    cx_msg_episode m;
    memcpy(&m, body, sizeof m);
    cx_error why;
    cx_msg_result out;
    memset(&out, 0, sizeof out);
    w->episode = m.episode;
    double start = cx_clock_now();
    double others = cx_episode_runner_policy_seconds(w->runner) + w->sending;
    int rc = take_weights(w, m.version, m.n_weights, extra, extra_size, &why);
    if (!rc) {
        cx_episode_job job = {.episode = m.episode,
                              .instance = m.instance,
                              .version = m.version,
                              .spec = m.spec,
                              .baseline = &m.baseline,
                              .acting = CX_ACT_SAMPLE};
        rc = cx_episode_run(w->runner, &job, w->policy, send_piece, w, &out.result, NULL, &why);
    }
    if (rc)
        return report_failure(w, m.episode, &why, err);
    others = cx_episode_runner_policy_seconds(w->runner) + w->sending - others;
    w->inner += cx_clock_now() - start - others;
    out.result.rank = w->transport->rank;
    out.time = worker_time(w);
    return cx_message_send(w->transport, 0, CX_MSG_RESULT, &out, sizeof out, NULL, 0, err);
}

/* A whole sweep, or one of its runs. */
static int do_baseline(cx_worker *w, const void *body, cx_error *err) {
    cx_msg_baseline_job m;
    memcpy(&m, body, sizeof m);
    cx_error why;
    cx_msg_sweep whole;
    cx_msg_sweep_run one;
    memset(&whole, 0, sizeof whole);
    memset(&one, 0, sizeof one);
    whole.instance = one.instance = m.instance;
    one.run = m.run.number;
    double start = cx_clock_now();
    cx_task *task;
    cx_split split = m.test ? CX_SPLIT_TEST : CX_SPLIT_VALIDATION;
    cx_interrupt interrupt = {amid_a_job, w};
    int rc = cx_episode_runner_task(w->runner, &m.spec, &task, &why);
    if (!rc && m.apart)
        rc = cx_baseline_run_one(w->config, task, split, (int)m.examples, &m.run, &interrupt,
                                 &one.outcome, &why);
    else if (!rc)
        rc = cx_baseline_run(w->config, task, split, (int)m.examples, &interrupt, &whole.baseline,
                             &why);
    if (rc)
        return report_failure(w, m.instance, &why, err);
    w->baseline += cx_clock_now() - start;
    whole.time = one.time = worker_time(w);
    return m.apart
               ? cx_message_send(w->transport, 0, CX_MSG_SWEEP_RUN, &one, sizeof one, NULL, 0, err)
               : cx_message_send(w->transport, 0, CX_MSG_SWEEP, &whole, sizeof whole, NULL, 0, err);
}

static int do_evaluation(cx_worker *w, const void *body, const void *extra, size_t extra_size,
                         cx_error *err) {
    cx_msg_evaluation m;
    memcpy(&m, body, sizeof m);
    cx_error why;
    cx_msg_evaluated out;
    memset(&out, 0, sizeof out);
    out.number = m.number;
    double start = cx_clock_now();
    int rc = CX_OK;
    bool acts = m.acting == CX_ACT_SAMPLE || m.acting == CX_ACT_LIKELIEST;
    if (acts)
        rc = take_weights(w, m.version, m.n_weights, extra, extra_size, &why);
    if (!rc) {
        cx_episode_job job = {.episode = m.episode,
                              .instance = m.instance,
                              .version = m.version,
                              .spec = m.spec,
                              .baseline = &m.baseline,
                              .acting = (cx_acting)m.acting,
                              .replay = &m.replay,
                              .default_start = m.default_start != 0,
                              .test = true,
                              .test_examples = (int)m.test_examples};
        cx_episode_extra seen;
        rc = cx_episode_run(w->runner, &job, w->policy, NULL, NULL, &out.result, &seen, &why);
        out.test_loss = seen.loss[CX_SPLIT_TEST];
        out.test_metric = seen.metric[CX_SPLIT_TEST][0];
        out.optimum = seen.optimum;
        out.taken = seen.taken;
    }
    if (rc)
        return report_failure(w, m.number, &why, err);
    w->inner += cx_clock_now() - start;
    out.result.rank = w->transport->rank;
    return cx_message_send(w->transport, 0, CX_MSG_EVALUATED, &out, sizeof out, NULL, 0, err);
}

static int do_trial(cx_worker *w, const void *body, const void *extra, size_t extra_size,
                    cx_error *err) {
    cx_msg_trial m;
    memcpy(&m, body, sizeof m);
    cx_error why;
    cx_msg_tried out;
    memset(&out, 0, sizeof out);
    double start = cx_clock_now();
    int rc = CX_OK;
    if (m.job.trainer == CX_TRAINER_POLICY)
        rc = take_weights(w, 0, m.n_weights, extra, extra_size, &why);
    if (!rc)
        rc = cx_trial_run(w->config, w->runner, &m.job, &m.replay, w->policy, &out.result, &why);
    if (rc)
        return report_failure(w, m.key, &why, err);
    w->inner += cx_clock_now() - start;
    out.result.key = m.key;
    return cx_message_send(w->transport, 0, CX_MSG_TRIED, &out, sizeof out, NULL, 0, err);
}

/* Weights that cannot be used: no shard can be computed, which ends the run. */
static int do_weights(cx_worker *w, const void *body, const void *extra, cx_error *err) {
    cx_error why;
    int rc = w->shards ? CX_OK : cx_shard_runner_create(w->config, &w->shards, &why);
    if (!rc)
        rc = cx_shard_runner_weights(w->shards, body, extra, &why);
    return rc ? report_failure(w, CX_NO_JOB, &why, err) : CX_OK;
}

/* A gradient moves only while somebody looks after its sending, and rank 0 waits for it: the next
 * shard waits for that. */
static int see_off(cx_worker *w, cx_error *err) {
    double until = cx_clock_now() + sending_seconds;
    while (w->transport->pending(w->transport) > 0 && cx_clock_now() < until) {
        int rc = drain(w, err);
        if (rc)
            return rc;
        cx_clock_sleep(50e-6);
    }
    return CX_OK;
}

static int do_gradient(cx_worker *w, const void *body, const void *extra, size_t extra_size,
                       cx_error *err) {
    const cx_msg_gradient *m = body;
    const float *gradient = NULL;
    cx_error why;
    cx_msg_graded out;
    memset(&out, 0, sizeof out);
    int rc = w->shards
                 ? cx_shard_runner_compute(w->shards, m, extra, extra_size, &out, &gradient, &why)
                 : cx_fail(&why, CX_ESTATE, "a shard came before any weights");
    if (rc)
        return report_failure(w, m->number, &why, err);
    out.time = worker_time(w);
    rc = cx_message_send(w->transport, 0, CX_MSG_GRADED, &out, sizeof out, gradient,
                         (size_t)out.n * sizeof(float), err);
    return rc ? rc : see_off(w, err);
}

static int say_bye(cx_worker *w, cx_error *err) {
    cx_msg_bye bye;
    memset(&bye, 0, sizeof bye);
    bye.time = worker_time(w);
    return cx_message_send(w->transport, 0, CX_MSG_BYE, &bye, sizeof bye, NULL, 0, err);
}

/* Those of a job that is not to be done: later ones come without. */
static int take_weights_alone(cx_worker *w, cx_msg_type type, const void *body, const void *extra,
                              size_t extra_size, cx_error *err) {
    uint64_t version = 0, n = 0;
    if (type == CX_MSG_EPISODE) {
        version = ((const cx_msg_episode *)body)->version;
        n = ((const cx_msg_episode *)body)->n_weights;
    } else if (type == CX_MSG_EVALUATION) {
        version = ((const cx_msg_evaluation *)body)->version;
        n = ((const cx_msg_evaluation *)body)->n_weights;
    } else if (type == CX_MSG_TRIAL) {
        n = ((const cx_msg_trial *)body)->n_weights;
    }
    return n ? take_weights(w, version, n, extra, extra_size, err) : CX_OK;
}

static int handle(cx_worker *w, const letter *l, bool *stopped, cx_error *err) {
    cx_msg_type type;
    const void *body, *extra;
    size_t extra_size;
    int rc = cx_message_unpack(l->data, l->size, &type, &body, &extra, &extra_size, err);
    if (rc)
        return rc;
    if (l->dropped)
        return take_weights_alone(w, type, body, extra, extra_size, err);
    switch (type) {
    case CX_MSG_EPISODE:
        return do_episode(w, body, extra, extra_size, err);
    case CX_MSG_BASELINE:
        return do_baseline(w, body, err);
    case CX_MSG_EVALUATION:
        return do_evaluation(w, body, extra, extra_size, err);
    case CX_MSG_TRIAL:
        return do_trial(w, body, extra, extra_size, err);
    case CX_MSG_WEIGHTS:
        return do_weights(w, body, extra, err);
    case CX_MSG_GRADIENT:
        return do_gradient(w, body, extra, extra_size, err);
    case CX_MSG_STOP:
        *stopped = true;
        w->transport->broken |= ((const cx_msg_stop *)body)->finalize == 0;
        return say_bye(w, err);
    default:
        return cx_fail(err, CX_EFORMAT, "a worker got a message of type %s", cx_message_name(type));
    }
}

int cx_worker_poll(cx_worker *w, bool *worked, bool *stopped, cx_error *err) {
    int rc = drain(w, err);
    *worked = !rc && w->n_inbox > 0;
    if (!*worked)
        return rc;
    letter first = w->inbox[0];
    w->n_inbox--;
    memmove(&w->inbox[0], &w->inbox[1], (size_t)w->n_inbox * sizeof first);
    w->cut_short = false;
    w->running = name_of(&first);
    rc = handle(w, &first, stopped, err);
    w->running.type = CX_MSG_COUNT;
    free(first.data);
    if (!rc && w->fault.code != CX_OK) {
        rc = w->fault.code;
        if (err)
            *err = w->fault;
    }
    return rc;
}

/* For a rank that has nothing to do. */
static int look_for_coordinator(cx_worker *w, cx_error *err) {
    double now = cx_clock_now(), silence = w->config->workers.silence_seconds;
    if (now - w->looked_after < coordinator_seconds)
        return CX_OK;
    /* whoever was stopped for a time has not listened meanwhile */
    w->silent += fmin(now - w->looked_after, 2 * coordinator_seconds);
    w->looked_after = now;
    bool ended = cx_process_ended_on(w->coordinator.host, w->coordinator.pid);
    if (!ended && w->silent < silence)
        return CX_OK;
    w->transport->broken = true;
    return ended ? cx_fail(err, CX_EMPI, "rank 0 has died")
                 : cx_fail(err, CX_EMPI, "rank 0 has been silent for %.0f s", w->silent);
}

int cx_worker_run(cx_worker *w, bool (*told)(void *context), void *context, cx_error *err) {
    bool stopped = false;
    double pause = 50e-6;
    w->told = told;
    w->told_context = context;
    while (!stopped) {
        bool worked;
        int rc = cx_worker_poll(w, &worked, &stopped, err);
        if (!rc && !stopped)
            rc = pass_signal_on(w, err);
        if (!rc && !worked)
            rc = look_for_coordinator(w, err);
        if (rc)
            return rc;
        pause = worked ? 50e-6 : pause * 1.5;
        if (pause > 1e-3)
            pause = 1e-3;
        if (!worked)
            cx_clock_sleep(pause);
    }
    return CX_OK;
}
