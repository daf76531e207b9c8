/* Reference vectors: of operators and of optimizers (coxswain replay). */
#include "tests/fuzz/fuzz.h"

#include "nn/replay.h"
#include "optim/replay.h"

static bool run(const uint8_t *data, size_t size) {
    cx_error err = {0};
    double out, gradient;
    char detail[128];
    cx_optimizer_replay replay;
    json_t *root = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    int rc = cx_replay_operator(root, &out, &gradient, detail, sizeof detail, &err);
    bool taken = rc == CX_ESTATE || fuzz_taken(rc, &err); /* CX_ESTATE: past tolerance */
    rc = cx_replay_optimizer("fuzz", root, &replay, &err);
    taken |= fuzz_taken(rc, &err);
    json_decref(root);
    return taken;
}

static void seeds(const fuzz_sink *sink) {
    fuzz_seed_text(
        sink, "{\"op\":\"act_relu\",\"cases\":[{\"name\":\"c\",\"attrs\":{},\"inputs\":{\"x\":{"
              "\"shape\":[2],\"data\":[-1,3]}},\"outputs\":{\"y\":{\"shape\":[2],\"data\":[0,3]}},"
              "\"grad_outputs\":{\"y\":{\"shape\":[2],\"data\":[1,2]}},\"grads\":{\"x\":{"
              "\"shape\":[2],\"data\":[0,2]}}}]}");
    fuzz_seed_text(
        sink, "{\"op\":\"linear\",\"cases\":[{\"name\":\"c\",\"inputs\":{\"x\":{\"shape\":[1,2],"
              "\"data\":[1,2]},\"w\":{\"shape\":[1,2],\"data\":[3,4]}},\"outputs\":{\"y\":{"
              "\"shape\":[1,1],\"data\":[11]}}}]}");
    fuzz_seed_text(
        sink,
        "{\"optimizer\":\"Adam\",\"hyperparameters\":{\"lr\":0.001,\"betas\":[0.9,0.999],\"eps\":"
        "1e-08},\"tensors\":[{\"name\":\"w\",\"shape\":[2],\"init\":[1,2]}],\"groups\":[[0]],"
        "\"schedule\":[{\"before_step\":2,\"set\":{\"lr\":0.002}}],\"steps\":[{\"t\":1,\"grads\":"
        "[[1,-1]],\"params\":[[0.999,2.001]]},{\"t\":2,\"grads\":[null],\"params\":[[0.999,2.001]]}"
        "]}");
}

const fuzz_target fuzz_target_vectors = {"vectors", run, seeds};
