/* Messages as the coordinator of a new run gets them from its one worker. */
#include "tests/fuzz/fuzz.h"

#include "coordinator/coordinator.h"
#include "tests/fuzz/messages.h"
#include <string.h>

enum { MESSAGES = 9, SEEDS = 12 };

static int busy(void *context, bool *worked, cx_error *err) {
    (void)context;
    (void)err;
    *worked = true; /* no sleep */
    return CX_OK;
}

static bool run(const uint8_t *data, size_t size) {
    cx_slice message[MESSAGES];
    fuzz_transport t;
    cx_run_summary summary;
    cx_error err = {0};
    fuzz_cut(data, size, message, MESSAGES);
    fuzz_transport_make(&t, 0, message, MESSAGES, 1);
    while (t.n > 1 && !message[t.n - 1].size)
        t.n--;
    t.end_fails = true;
    fuzz_clear("run");
    cx_coordinator_options o = {.dir = fuzz_path("run"), .transport = &t.base, .idle = busy};
    o.config = fuzz_run_config(&o.config_yaml);
    int rc = cx_coordinate(&o, &summary, &err);
    fuzz_must(rc != CX_OK);
    if ((rc == CX_EMPI && t.next == t.n) || rc == CX_ESTOPPED)
        return true;
    /* ours is the rank that said FAILED: its code is its own */
    bool passed_on = strncmp(err.message, "rank 1: job ", 12) == 0;
    return passed_on || (rc != CX_ESTATE && fuzz_taken(rc, &err));
}

typedef struct {
    cx_slice piece[SEEDS];
    unsigned char bytes[SEEDS][1 << 15];
    int n;
} collection;

static void collect(void *context, const void *data, size_t size) {
    collection *c = context;
    if (c->n == SEEDS)
        return;
    fuzz_must(size <= sizeof c->bytes[0]);
    memcpy(c->bytes[c->n], data, size);
    c->piece[c->n] = (cx_slice){c->bytes[c->n], size};
    c->n++;
}

/* HELLO, READY, the baseline's SWEEP, PIECE and RESULT of episode 0, in this order. */
static void seeds(const fuzz_sink *sink) {
    static collection c;
    c.n = 0;
    const fuzz_sink into = {collect, &c};
    fuzz_messages(&into, false);
    fuzz_seed_pieces(sink, c.piece, 5);
    fuzz_seed_pieces(sink, c.piece, 6);
    fuzz_seed_pieces(sink, (const cx_slice[]){c.piece[0], c.piece[8]}, 2);
    fuzz_seed_pieces(sink, (const cx_slice[]){c.piece[0], c.piece[1], c.piece[11]}, 3);
    /* a gradient that nobody asked for */
    fuzz_seed_pieces(sink, (const cx_slice[]){c.piece[0], c.piece[1], c.piece[9]}, 3);
}

const fuzz_target fuzz_target_coordinator = {"coordinator", run, seeds};
