/* A whole run in simulated time, under SimGrid's SMPI: rank 0 is the real coordinator,
 * the others are real workers (their message side), over the real transport; inner runs and
 * learner are modeled (model.h), and rank 0 pays for every message what the real coordinator
 * was measured to need (cost.c).
 *   smpirun ... sim CONFIG TIMES COSTS DIR [KEY=VALUE]...
 * docs/scaling.md says what is in the files and what the figures mean.
 *
 * Three liberties, so that thousands of ranks fit into one process:
 * - Policies are tiny; where weights go along, as many bytes as the configuration's policy
 *   has travel beside the message, from and to one buffer, and are waited for.
 * - A rank that has nothing to do waits for a message and then for the rest of the pause that
 *   it would have slept, instead of polling.
 * - Ranks share the process's memory, for bookkeeping. */
#include "bench/scale/model.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/process.h"
#include "coordinator/coordinator.h"
#include "policy/observation.h"
#include "wire/message.h"
#include "workers/worker.h"
#include <math.h>
#include <mpi.h>
#include <simgrid/host.h>
#include <simgrid/semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHTS_TAG = 68 /* another than wire/mpi.c's */ };

/* Seconds that a message costs rank 0: fixed, and by byte. */
typedef struct {
    double assign, piece, result, sweep, other, byte, weights_byte, mpi, mpi_byte;
    double shard_byte, gradient_byte; /* to and from learner ranks */
} costs;

/* Times at which a rank's messages to rank 0 were sent, oldest first. */
typedef struct {
    double *at;
    int first, n, room;
} stamps;

/* Weights under way, oldest first. */
typedef struct {
    MPI_Request *item;
    int first, n, room;
} requests;

typedef struct {
    cx_transport base; /* first */
    cx_transport *under;
    uint64_t got;
} toll;

typedef struct {
    const cx_config *config;
    int workers, learners;
    cx_shard row; /* what a row of a shard really holds */
    costs cost;
    size_t weights;    /* bytes */
    uint64_t *sent_to; /* [ranks] messages */
    sg_sem_t *bell;    /* [ranks] rung for a rank that sleeps */
    bool *sleeps;      /* [ranks] */
    stamps *stamp;     /* [ranks] */
    requests way;
    unsigned char *big; /* [weights] what stands for weights */
    double busy;        /* of workers, seconds so far */
    double coordinator; /* of rank 0, messages alone */
    double *delay;      /* of results, within the window */
    int n_delay;
    bool window;
    struct {
        double at, busy, coordinator, learner;
        uint64_t episodes, sweep_runs;
    } begin, end;
} world;
static world the;

enum { DELAYS = 1 << 20 };

static void worker_pause(double seconds) {
    cx_clock_sleep(seconds);
    the.busy += seconds;
}

/* --- processes: ranks have the names of their nodes, and do not die (base/process.h) --- */

void cx_process_host(char *name, size_t size) {
    (void)snprintf(name, size, "%s", sg_host_get_name(sg_host_self()));
}

bool cx_process_ended(int64_t pid) {
    (void)pid;
    return false;
}

bool cx_process_ended_on(const char *host, int64_t pid) {
    (void)host;
    return cx_process_ended(pid);
}

/* --- transports --- */

/* Bytes of a shard as large as the configuration's. */
static size_t real_bytes(cx_shard s) {
    bool policy = s.kind == CX_SHARD_POLICY;
    s.inputs = policy ? the.row.inputs : the.row.rows;
    s.heads = policy ? the.row.heads : 0;
    s.logits = policy ? the.row.logits : 0;
    return cx_shard_bytes(&s);
}

/* Bytes that travel beside a message: what it would really hold. Gradients are as large as
 * weights. */
static size_t beside(const void *data, size_t size) {
    const char *body = (const char *)data + sizeof(cx_msg_header);
    cx_msg_episode episode;
    cx_msg_gradient gradient;
    switch (cx_message_type(data, size)) {
    case CX_MSG_EPISODE:
        memcpy(&episode, body, sizeof episode);
        return episode.n_weights > 0 ? the.weights : 0;
    case CX_MSG_GRADIENT:
        memcpy(&gradient, body, sizeof gradient);
        return real_bytes(gradient.shard);
    case CX_MSG_WEIGHTS:
    case CX_MSG_GRADED:
        return the.weights;
    default:
        return 0;
    }
}

static void charge(double seconds) {
    the.coordinator += seconds;
    cx_clock_sleep(seconds);
}

static double cost_of(cx_msg_type type, size_t size) {
    const costs *c = &the.cost;
    if (type == CX_MSG_GRADED)
        return c->mpi + (c->gradient_byte + c->mpi_byte) * (double)the.weights;
    double own = type == CX_MSG_PIECE    ? c->piece + c->byte * (double)size
                 : type == CX_MSG_RESULT ? c->result
                 : type == CX_MSG_SWEEP  ? c->sweep
                                         : c->other;
    return own + c->mpi + c->mpi_byte * (double)size;
}

static int announced(toll *t, int to, void *data, size_t size, cx_error *err) {
    int rc = t->under->send(t->under, to, data, size, err);
    the.sent_to[to]++;
    if (the.sleeps[to]) {
        the.sleeps[to] = false;
        sg_sem_release(the.bell[to]);
    }
    return rc;
}

static int send_beside(int to, size_t bytes, cx_error *err) {
    requests *r = &the.way;
    int done = 1;
    while (r->first < r->n && done)
        if (MPI_Test(&r->item[r->first], &done, MPI_STATUS_IGNORE) != MPI_SUCCESS)
            return cx_fail(err, CX_EMPI, "weights cannot be sent");
        else
            r->first += done;
    if (r->n == r->room) {
        memmove(r->item, r->item + r->first, (size_t)(r->n - r->first) * sizeof *r->item);
        r->n -= r->first;
        r->first = 0;
        r->room = 2 * r->n + 1024;
        r->item = realloc(r->item, (size_t)r->room * sizeof *r->item);
        if (!r->item)
            return cx_fail(err, CX_ENOMEM, "no memory for requests");
    }
    if (MPI_Isend(the.big, (int)bytes, MPI_BYTE, to, WEIGHTS_TAG, MPI_COMM_WORLD,
                  &r->item[r->n++]) != MPI_SUCCESS)
        return cx_fail(err, CX_EMPI, "weights cannot be sent");
    return CX_OK;
}

static int coordinator_send(cx_transport *t, int to, void *data, size_t size, cx_error *err) {
    toll *own = (toll *)t;
    size_t bytes = beside(data, size);
    cx_msg_type type = cx_message_type(data, size);
    bool learns = type == CX_MSG_WEIGHTS || type == CX_MSG_GRADIENT;
    double by_byte = type == CX_MSG_GRADIENT ? the.cost.shard_byte : the.cost.weights_byte;
    int rc = bytes ? send_beside(to, bytes, err) : CX_OK;
    if (rc)
        return rc;
    charge((learns ? 0 : the.cost.assign) + the.cost.mpi + by_byte * (double)bytes);
    return announced(own, to, data, size, err);
}

static int worker_send(cx_transport *t, int to, void *data, size_t size, cx_error *err) {
    toll *own = (toll *)t;
    stamps *s = &the.stamp[t->rank];
    if (s->first + s->n == s->room) {
        memmove(s->at, s->at + s->first, (size_t)s->n * sizeof *s->at);
        s->first = 0;
    }
    if (s->n == s->room) {
        s->room = s->room ? 2 * s->room : 16;
        s->at = realloc(s->at, (size_t)s->room * sizeof *s->at);
        if (!s->at)
            return cx_fail(err, CX_ENOMEM, "no memory");
    }
    s->at[s->first + s->n++] = cx_clock_now();
    size_t bytes = beside(data, size);
    int rc = announced(own, to, data, size, err);
    if (!rc && bytes && /* until it is taken, as a learner rank waits (workers/worker.c) */
        MPI_Send(the.big, (int)bytes, MPI_BYTE, to, WEIGHTS_TAG, MPI_COMM_WORLD) != MPI_SUCCESS)
        rc = cx_fail(err, CX_EMPI, "a gradient cannot be sent");
    return rc;
}

static void note_delay(int from, cx_msg_type type) {
    stamps *s = &the.stamp[from];
    double sent = s->at[s->first];
    s->first++;
    s->n--;
    if (type == CX_MSG_RESULT && the.window && the.n_delay < DELAYS)
        the.delay[the.n_delay++] = cx_clock_now() - sent;
}

static int toll_receive(cx_transport *t, int *from, void **data, size_t *size, cx_error *err) {
    toll *own = (toll *)t;
    int rc = own->under->receive(own->under, from, data, size, err);
    if (rc || !*data)
        return rc;
    own->got++;
    if (t->rank == 0) {
        cx_msg_type type = cx_message_type(*data, *size);
        note_delay(*from, type);
        charge(cost_of(type, *size));
    }
    MPI_Status status;
    size_t bytes = beside(*data, *size);
    if (bytes && MPI_Recv(the.big, (int)bytes, MPI_BYTE, *from, WEIGHTS_TAG, MPI_COMM_WORLD,
                          &status) != MPI_SUCCESS)
        return cx_fail(err, CX_EMPI, "weights do not come");
    return CX_OK;
}

static int toll_pending(cx_transport *t) {
    return ((toll *)t)->under->pending(((toll *)t)->under);
}

/* Until a message is there, and as much longer as a rank that polls notices it later: pauses
 * grow by half from 50 us to 1 ms, so the one under way is a third of the time since. */
static void wait_for_message(toll *t) {
    if (the.sent_to[t->base.rank] > t->got) { /* it is under way */
        cx_clock_sleep(50e-6);
        return;
    }
    double since = cx_clock_now();
    the.sleeps[t->base.rank] = true;
    sg_sem_acquire(the.bell[t->base.rank]);
    double pause = fmin(1e-3, fmax(50e-6, (cx_clock_now() - since) / 3));
    cx_clock_sleep(pause * fmod((cx_clock_now() - since) / pause, 1));
}

static int coordinator_idle(void *context, bool *worked, cx_error *err) {
    (void)err;
    wait_for_message(context);
    *worked = true;
    return CX_OK;
}

/* --- the window that is measured: past the start, before the last episodes begin --- */

static void snapshot(bool first) {
    __typeof__(the.begin) now = {cx_clock_now(),        the.busy,
                                 the.coordinator,       cx_the_model.learner_seconds,
                                 cx_the_model.episodes, cx_the_model.sweep_runs};
    if (first)
        the.begin = now;
    else
        memcpy(&the.end, &now, sizeof now);
}

/* The window: past the start, and before baselines or episodes run out. */
static void on_update(uint64_t version) {
    const cx_config *c = the.config;
    double ahead = (2048.0 + 16.0 * the.workers) * c->episode.environment_reuse;
    double end = c->updates - c->ppo.max_staleness - 1;
    if (end - ahead / c->ppo.episodes_per_update >= 6) /* else the run is too short for that */
        end -= ahead / c->ppo.episodes_per_update;
    uint64_t last = end > 2 ? (uint64_t)end : 2, first = last > 5 ? last / 3 : 1;
    if (version == first)
        snapshot(true);
    if (version == last)
        snapshot(false);
    the.window = version >= first && version < last;
}

/* --- ranks --- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double q) {
    return the.n_delay ? the.delay[(int)(q * (the.n_delay - 1))] : 0;
}

static void print(int workers) {
    double seconds = the.end.at - the.begin.at;
    qsort(the.delay, (size_t)the.n_delay, sizeof *the.delay, ascending);
    (void)printf(
        "{\"workers\": %d, \"window_seconds\": %.1f, \"busy\": %.4f, "
        "\"episodes_per_second\": %.2f, \"messages\": %.4f, \"learner\": %.4f, "
        "\"delay_median_ms\": %.3f, \"delay_99_ms\": %.3f, \"sweep_runs_per_episode\": %.3f, "
        "\"episodes\": %llu, \"sweep_runs\": %llu, \"seconds\": %.1f, \"total_busy\": %.4f}\n",
        workers, seconds, (the.end.busy - the.begin.busy) / (seconds * workers),
        (double)(the.end.episodes - the.begin.episodes) / seconds,
        (the.end.coordinator - the.begin.coordinator) / seconds,
        (the.end.learner - the.begin.learner) / (seconds * (the.learners ? the.learners : 1)),
        1e3 * quantile(0.5), 1e3 * quantile(0.99),
        (double)(the.end.sweep_runs - the.begin.sweep_runs) /
            (double)(the.end.episodes - the.begin.episodes),
        (unsigned long long)cx_the_model.episodes, (unsigned long long)cx_the_model.sweep_runs,
        cx_clock_now(), the.busy / (cx_clock_now() * workers));
}

static int coordinate(toll *t, const char *yaml, const char *dir, cx_error *err) {
    cx_coordinator_options o = {.config = the.config,
                                .config_yaml = yaml,
                                .dir = dir,
                                .transport = &t->base,
                                .idle = coordinator_idle,
                                .idle_context = t};
    cx_run_summary summary;
    int rc = cx_coordinate(&o, &summary, err);
    if (!rc)
        print(the.workers);
    return rc;
}

static int work(toll *t, const char *yaml, cx_error *err) {
    cx_worker *w = NULL;
    bool stopped = false;
    int rc = cx_message_send_hello(&t->base, 0, cx_hash(yaml, strlen(yaml), 0), err);
    if (!rc)
        rc = cx_worker_create(the.config, NULL, &t->base, &w, err);
    while (!rc && !stopped) {
        bool worked;
        rc = cx_worker_poll(w, &worked, &stopped, err);
        if (!rc && !worked)
            wait_for_message(t);
    }
    cx_worker_destroy(w);
    return rc;
}

static int read_costs(const char *path, cx_error *err) {
    FILE *f = fopen(path, "r");
    char name[64], line[512];
    double value;
    costs *c = &the.cost;
    struct {
        const char *name;
        double *to, unit;
    } const key[] = {{"assign_us", &c->assign, 1e-6},
                     {"piece_us", &c->piece, 1e-6},
                     {"result_us", &c->result, 1e-6},
                     {"sweep_us", &c->sweep, 1e-6},
                     {"other_us", &c->other, 1e-6},
                     {"piece_ns_per_byte", &c->byte, 1e-9},
                     {"weights_ns_per_byte", &c->weights_byte, 1e-9},
                     {"mpi_us", &c->mpi, 1e-6},
                     {"mpi_ns_per_byte", &c->mpi_byte, 1e-9},
                     {"learner_policy_us", &cx_the_model.learner.policy, 1e-6},
                     {"learner_value_us", &cx_the_model.learner.value, 1e-6},
                     {"learner_forward_us", &cx_the_model.learner.forward, 1e-6},
                     {"learner_step_us", &cx_the_model.learner.step, 1e-6},
                     {"shard_ns_per_byte", &c->shard_byte, 1e-9},
                     {"gradient_ns_per_byte", &c->gradient_byte, 1e-9}};
    if (!f)
        return cx_fail(err, CX_EDATA, "%s: cannot be read", path);
    int rc = CX_OK;
    while (!rc && fgets(line, sizeof line, f)) {
        bool known = line[0] == '#' || line[0] == '\n';
        if (!known && sscanf(line, "%63s %lf", name, &value) == 2)
            for (size_t i = 0; i < sizeof key / sizeof *key; i++)
                if (strcmp(name, key[i].name) == 0) {
                    *key[i].to = value * key[i].unit;
                    known = true;
                }
        if (!known)
            rc = cx_fail(err, CX_EDATA, "%s: not a cost: %s", path, line);
    }
    (void)fclose(f);
    return rc;
}

static int prepare(int ranks, cx_error *err) {
    cx_net_shape shape = cx_policy_shape(the.config);
    cx_net *net;
    int rc = cx_net_create(&shape, &net, err);
    if (rc)
        return rc;
    cx_heads heads;
    cx_action_heads(the.config, &heads);
    the.learners = the.config->workers.learner_ranks;
    the.workers = ranks - 1 - the.learners;
    the.row = (cx_shard){.inputs = shape.inputs,
                         .rows = cx_privileged_size(the.config),
                         .heads = heads.n_heads,
                         .logits = heads.n_logits};
    the.weights = cx_net_count(net) * sizeof(float);
    cx_net_destroy(net);
    size_t shard = CX_SHARD_EPISODES * 4096 * sizeof(float) * (size_t)the.row.rows;
    the.big = SMPI_SHARED_MALLOC(shard > the.weights ? shard : the.weights); /* never copied */
    the.sent_to = calloc((size_t)ranks, sizeof *the.sent_to);
    the.stamp = calloc((size_t)ranks, sizeof *the.stamp);
    the.delay = calloc(DELAYS, sizeof *the.delay);
    the.bell = calloc((size_t)ranks, sizeof *the.bell);
    the.sleeps = calloc((size_t)ranks, sizeof *the.sleeps);
    for (int i = 0; i < ranks && the.bell; i++)
        the.bell[i] = sg_sem_init(0);
    if (!the.big || !the.bell || !the.sleeps || !the.sent_to || !the.stamp || !the.delay)
        return cx_fail(err, CX_ENOMEM, "no memory for %d ranks", ranks);
    cx_the_model.pause = worker_pause;
    cx_the_model.learner_pause = cx_clock_sleep;
    cx_the_model.charge = the.learners ? charge : NULL;
    cx_the_model.on_update = on_update;
    return CX_OK;
}

int main(int argc, char **argv) {
    static cx_config config; /* of all ranks */
    static char *yaml;
    static bool ready;
    cx_error err = {0};
    cx_transport *mpi;
    int n, rc = cx_mpi_open(&argc, &argv, &mpi, &err);
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    if (!rc && argc < 5)
        rc = cx_fail(&err, CX_EUSAGE, "sim CONFIG TIMES COSTS DIR [KEY=VALUE]...");
    if (!rc && !ready) { /* ranks take turns: the first one does it for all */
        ready = true;
        the.config = &config;
        rc = cx_config_read(argv[1], (const char *const *)argv + 5, argc - 5, schemas, n, &config,
                            NULL, &err);
        if (!rc)
            rc = cx_times_read(argv[2], &cx_the_model.times, &err);
        if (!rc)
            rc = read_costs(argv[3], &err);
        if (!rc)
            rc = cx_config_write(&config, schemas, n, &yaml, &err);
        if (!rc)
            rc = prepare(mpi->ranks, &err);
    }
    if (!rc && !yaml) /* whoever prepared has failed, and says why */
        return 1;
    if (!rc) {
        toll t = {.base = {.rank = mpi->rank,
                           .ranks = mpi->ranks,
                           .send = mpi->rank ? worker_send : coordinator_send,
                           .receive = toll_receive,
                           .pending = toll_pending},
                  .under = mpi};
        rc = mpi->rank ? work(&t, yaml, &err) : coordinate(&t, yaml, argv[4], &err);
    }
    if (rc) {
        (void)fprintf(stderr, "sim: %s\n", err.message);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    mpi->close(mpi);
    return 0;
}
