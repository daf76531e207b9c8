/* What the coordinator costs: its real code between in-process workers whose inner runs
 * take no time, with a learner that takes none. Prints CPU microseconds by kind of work.
 *   cost CONFIG TIMES WORKERS UPDATES DIR [KEY=VALUE]...
 * DIR must be new. assign: choosing a job, packing and sending it; the others: from a
 * message's arrival until the next look for one. */
#include "bench/scale/model.h"

#include "base/clock.h"
#include "base/hash.h"
#include "coordinator/coordinator.h"
#include "wire/message.h"
#include "wire/transport.h"
#include "workers/worker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A transport around another that counts the time between its calls. */
typedef struct {
    cx_transport base; /* first */
    cx_transport *under;
    double left; /* when the last call returned */
    int kind;    /* what has been done since: a cx_msg_type, or CX_MSG_COUNT: assigning */
    double seconds[CX_MSG_COUNT + 1];
    uint64_t count[CX_MSG_COUNT + 1], bytes[CX_MSG_COUNT + 1], jobs;
} meter;

typedef struct {
    meter *meter;
    int n;
    cx_worker **worker;
    bool *stopped;
} crew;

static void enter(meter *m) {
    m->seconds[m->kind] += cx_clock_cpu() - m->left;
}

static void leave(meter *m, int kind) {
    m->kind = kind;
    m->left = cx_clock_cpu();
}

static int meter_send(cx_transport *t, int to, void *data, size_t size, cx_error *err) {
    meter *m = (meter *)t;
    enter(m);
    cx_msg_type type = cx_message_type(data, size);
    m->jobs += type == CX_MSG_EPISODE || type == CX_MSG_BASELINE;
    m->bytes[CX_MSG_COUNT] += size;
    m->count[CX_MSG_COUNT]++;
    int rc = m->under->send(m->under, to, data, size, err);
    leave(m, CX_MSG_COUNT);
    return rc;
}

static int meter_receive(cx_transport *t, int *from, void **data, size_t *size, cx_error *err) {
    meter *m = (meter *)t;
    enter(m);
    int rc = m->under->receive(m->under, from, data, size, err), kind = CX_MSG_COUNT;
    if (!rc && *data) {
        kind = cx_message_type(*data, *size);
        m->count[kind]++;
        m->bytes[kind] += *size;
    }
    leave(m, kind);
    return rc;
}

static int meter_pending(cx_transport *t) {
    return ((meter *)t)->under->pending(((meter *)t)->under);
}

static void no_time(double seconds) {
    (void)seconds;
}

/* Every worker does one job. */
static int work(void *context, bool *worked, cx_error *err) {
    crew *c = context;
    enter(c->meter);
    int rc = CX_OK;
    for (int i = 0; !rc && i < c->n; i++) {
        bool did = false;
        if (!c->stopped[i])
            rc = cx_worker_poll(c->worker[i], &did, &c->stopped[i], err);
        *worked |= did;
    }
    leave(c->meter, CX_MSG_COUNT);
    return rc;
}

static void print(const meter *m, int workers) {
    static const cx_msg_type shown[] = {CX_MSG_PIECE, CX_MSG_RESULT, CX_MSG_SWEEP};
    double all = m->seconds[CX_MSG_COUNT], episodes = (double)m->count[CX_MSG_RESULT];
    (void)printf("%7d %9.0f %12.2f", workers, episodes, 1e6 * all / (double)m->jobs);
    for (int i = 0; i < 3; i++) {
        double n = (double)m->count[shown[i]];
        (void)printf(" %9.2f", n ? 1e6 * m->seconds[shown[i]] / n : 0.0);
        all += m->seconds[shown[i]];
    }
    (void)printf(" %11.0f %9.2f %12.1f %14.0f\n",
                 (double)m->bytes[CX_MSG_PIECE] / (double)m->count[CX_MSG_PIECE],
                 (double)m->count[CX_MSG_PIECE] / episodes, 1e6 * all / episodes, episodes / all);
}

static int run(const cx_config *config, const char *yaml, int workers, const char *dir,
               cx_error *err) {
    cx_transport **ends = calloc((size_t)workers + 1, sizeof *ends);
    crew c = {.n = workers,
              .worker = calloc((size_t)workers, sizeof(cx_worker *)),
              .stopped = calloc((size_t)workers, sizeof(bool))};
    if (!ends || !c.worker || !c.stopped)
        return cx_fail(err, CX_ENOMEM, "no memory for %d workers", workers);
    int rc = cx_loopback_create(workers + 1, ends, err);
    if (rc)
        return rc;
    meter m = {.base = {.ranks = workers + 1,
                        .send = meter_send,
                        .receive = meter_receive,
                        .pending = meter_pending},
               .under = ends[0]};
    c.meter = &m;
    uint64_t hash = cx_hash(yaml, strlen(yaml), 0);
    for (int i = 0; !rc && i < workers; i++)
        if (!(rc = cx_message_send_hello(ends[i + 1], 0, hash, err)))
            rc = cx_worker_create(config, NULL, ends[i + 1], &c.worker[i], err);
    cx_coordinator_options o = {.config = config,
                                .config_yaml = yaml,
                                .dir = dir,
                                .transport = &m.base,
                                .idle = work,
                                .idle_context = &c};
    cx_run_summary summary;
    leave(&m, CX_MSG_HELLO); /* what comes before the first message is nobody's */
    if (!rc)
        rc = cx_coordinate(&o, &summary, err);
    if (!rc)
        print(&m, workers);
    for (int i = 0; i < workers; i++)
        cx_worker_destroy(c.worker[i]);
    for (int i = 0; i <= workers; i++)
        ends[i]->close(ends[i]);
    free(ends);
    free(c.worker);
    free(c.stopped);
    return rc;
}

int main(int argc, char **argv) {
    static cx_config config;
    cx_error err = {0};
    if (argc < 6) {
        (void)fprintf(stderr, "usage: cost CONFIG TIMES WORKERS UPDATES DIR [KEY=VALUE]...\n");
        return 2;
    }
    int n, workers = atoi(argv[3]);
    const char *sets[64];
    char updates[64];
    int n_sets = 0;
    (void)snprintf(updates, sizeof updates, "updates=%s", argv[4]);
    sets[n_sets++] = updates;
    for (int i = 6; i < argc && n_sets < 64; i++)
        sets[n_sets++] = argv[i];
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    char *yaml = NULL;
    cx_the_model.pause = cx_the_model.learner_pause = no_time;
    cx_the_model.real_size = getenv("REAL_SIZE") != NULL;
    int rc = cx_config_read(argv[1], sets, n_sets, schemas, n, &config, NULL, &err);
    if (!rc)
        rc = cx_times_read(argv[2], &cx_the_model.times, &err);
    if (!rc)
        rc = cx_config_write(&config, schemas, n, &yaml, &err);
    if (!rc)
        rc = run(&config, yaml, workers > 0 ? workers : 1, argv[5], &err);
    if (rc)
        (void)fprintf(stderr, "cost: %s\n", err.message);
    free(yaml);
    return rc ? 1 : 0;
}
