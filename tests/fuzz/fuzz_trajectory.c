/* Trajectory pieces: several in one input, one after another into one episode. */
#include "tests/fuzz/fuzz.h"

#include "ppo/trajectory.h"
#include <math.h>
#include <string.h>

enum { OBS = 3, HEADS = 2, LOGITS = 5, STEPS = 6, PIECES = 4 };

static cx_trajectory *create(void) {
    cx_trajectory *t;
    fuzz_must(cx_trajectory_create(OBS, HEADS, LOGITS, STEPS, &t, NULL) == CX_OK);
    return t;
}

static bool run(const uint8_t *data, size_t size) {
    cx_slice piece[PIECES];
    cx_error err;
    cx_trajectory *t = create();
    bool taken = true;
    fuzz_cut(data, size, piece, PIECES);
    for (int i = 0; i < PIECES && (i == 0 || piece[i].size); i++) {
        int before = t->result.steps;
        bool fits = fuzz_taken(cx_trajectory_unpack(t, piece[i].data, piece[i].size, &err), &err);
        fuzz_must(fits ? t->result.steps >= before : t->result.steps == before);
        taken &= fits;
    }
    fuzz_must(t->result.steps <= STEPS);
    for (int i = 0; i < t->result.steps; i++) {
        for (int k = 0; k < OBS; k++)
            fuzz_must(isfinite(t->obs[i * OBS + k]));
        for (int h = 0; h < HEADS; h++)
            fuzz_must(t->choice[i * HEADS + h] >= 0 && t->choice[i * HEADS + h] < LOGITS);
    }
    cx_trajectory_destroy(t);
    return taken;
}

static void seeds(const fuzz_sink *sink) {
    unsigned char bytes[2][512];
    cx_slice piece[2];
    cx_trajectory *t = create();
    for (int i = 0; i < STEPS; i++) {
        t->obs[i * OBS] = (float)i;
        t->log_prob[i] = -1;
        t->choice[i * HEADS] = i % LOGITS;
        t->mask[i * LOGITS + i % LOGITS] = 1;
    }
    t->result.steps = STEPS;
    for (int i = 0; i < 2; i++) {
        piece[i] = (cx_slice){bytes[i], cx_trajectory_piece_bytes(t, i ? 4 : 2)};
        cx_trajectory_pack(t, i ? 2 : 0, i ? 4 : 2, bytes[i]);
    }
    fuzz_seed_pieces(sink, piece, 2);
    fuzz_seed_pieces(sink, piece, 1);
    cx_trajectory_destroy(t);
}

const fuzz_target fuzz_target_trajectory = {"trajectory", run, seeds};
