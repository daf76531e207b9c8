/* The learner's bytes. Unless the last magic byte is 'R', length and hash of the header are
 * put right first. */
#include "tests/fuzz/fuzz.h"

#include "tests/ppo/toy.h"

static const toy *problem(void) {
    static toy p;
    static const int sizes[] = {3, 2};
    p = (toy){.kind = TOY_CONTEXT, .min_steps = 1, .max_steps = 2, .sign = 1, .masked = true};
    p.heads = toy_heads(2, sizes);
    return &p;
}

static cx_learner *create(void) {
    cx_config c = toy_config();
    c.policy.hidden = c.policy.lstm = 4;
    c.ppo.episodes_per_update = c.ppo.minibatch_episodes = 3;
    c.ppo.minibatches = 2;
    c.ppo.buffer_episodes = 6;
    return toy_learner(&c, problem());
}

/* What was loaded can be saved, loaded again as the same, and gone on from. */
static void use(cx_learner *l) {
    void *data, *again;
    size_t size, n;
    cx_error err;
    cx_learner *other = create();
    fuzz_must(cx_learner_save(l, &data, &size, &err) == CX_OK);
    fuzz_must(cx_learner_load(other, data, size, &err) == CX_OK);
    fuzz_must(cx_learner_save(other, &again, &n, &err) == CX_OK);
    fuzz_must(n == size && memcmp(data, again, n) == 0);
    if (cx_learner_ready(l)) {
        bool done = false;
        int rc = cx_learner_begin(l, &err);
        while (!rc && !done)
            rc = cx_learner_advance(l, &done, NULL, &err);
        (void)fuzz_taken(rc, &err);
    }
    free(data);
    free(again);
    cx_learner_destroy(other);
}

static bool run(const uint8_t *data, size_t size) {
    cx_error err;
    cx_learner *l = create();
    unsigned char *bytes = malloc(size + 1);
    fuzz_must(bytes);
    if (size)
        memcpy(bytes, data, size);
    fuzz_mend(bytes, size, 'R', 8, 16);
    bool taken = fuzz_taken(cx_learner_load(l, bytes, size, &err), &err);
    if (taken)
        use(l);
    free(bytes);
    cx_learner_destroy(l);
    return taken;
}

static void seeds(const fuzz_sink *sink) {
    for (int n = 0; n <= 3; n += 3) {
        unsigned char *data;
        size_t size;
        cx_learner *l = create();
        if (n)
            (void)toy_train(l, problem(), 1);
        toy_add(l, problem(), 100, n);
        fuzz_must(cx_learner_save(l, (void **)&data, &size, NULL) == CX_OK);
        data[3] = '?';
        fuzz_seed(sink, data, size);
        free(data);
        cx_learner_destroy(l);
    }
}

const fuzz_target fuzz_target_learner = {"learner", run, seeds};
