/* Policy files (safetensors). */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "store/store.h"
#include <math.h>
#include <stdlib.h>

static cx_net *network(void) {
    static const cx_net_shape shape = {.inputs = 2,
                                       .hidden = 2,
                                       .lstm = 2,
                                       .outputs = 1,
                                       .residual = true,
                                       .output_scale = 1,
                                       .input_clip = 2};
    cx_net *net;
    fuzz_must(cx_net_create(&shape, &net, NULL) == CX_OK);
    return net;
}

static bool run(const uint8_t *data, size_t size) {
    cx_error err;
    float *block;
    char *yaml;
    uint64_t version;
    cx_net *net = network();
    fuzz_put("policy", data, size);
    bool config =
        fuzz_taken(cx_policy_read_config(fuzz_path("policy"), &yaml, &version, &err), &err);
    fuzz_must(config == (yaml != NULL));
    free(yaml);
    bool taken = fuzz_taken(cx_policy_read(fuzz_path("policy"), net, &block, &err), &err);
    fuzz_must(taken == (block != NULL) && (config || !taken));
    for (size_t i = 0; taken && i < cx_net_count(net); i++)
        fuzz_must(isfinite(block[i]));
    if (taken) { /* it acts */
        const float in[2] = {1, -1};
        float state[4] = {0}, out[1];
        fuzz_must(cx_net_step(net, block, in, state, out, &err) == CX_OK);
    }
    free(block);
    cx_net_destroy(net);
    return taken;
}

static void seeds(const fuzz_sink *sink) {
    cx_net *net = network();
    cx_rng rng = cx_rng_make(1, 0, CX_STREAM_TEST);
    float *block = cx_calloc(cx_net_count(net), sizeof *block);
    fuzz_must(block);
    cx_net_init(net, block, &rng);
    fuzz_must(cx_policy_write(fuzz_path("seed"), net, block, "seed: 1\n", 7, NULL) == CX_OK);
    fuzz_seed_file(sink, "seed", NULL, 0);
    free(block);
    cx_net_destroy(net);
}

const fuzz_target fuzz_target_policy = {"policy", run, seeds};
