/* The update's loops at every level of the instruction set: the same bits as at the plain
 * level, whatever the sizes, as docs/developer.md promises. */
#include "tests/test.h"

#include "tests/levels.h"

#include "base/arena.h"
#include "base/rng.h"
#include "optim/optimizer.h"
#include <math.h>
#include <string.h>

enum { TENSORS = 8, COUNT = 3200, STEPS = 12 };
static const size_t sizes[TENSORS] = {1, 7, 16, 31, 127, 511, 513, 1031};

typedef struct {
    float params[COUNT], average[COUNT];
    double features[CX_FEATURE_COUNT], norm;
} outcome;

static void run(cx_level level, const char *rule_name, outcome *out) {
    cx_error err;
    cx_optim_tensor layout[TENSORS];
    cx_rule_config rule;
    cx_hyper hyper;
    cx_optimizer *o;
    static float grads[COUNT];
    size_t at = 0;
    for (int t = 0; t < TENSORS; t++) {
        layout[t] =
            (cx_optim_tensor){.offset = at, .size = sizes[t], .rank = 1 + t % 2, .group = t % 3};
        at += (sizes[t] + 15) / 16 * 16;
    }
    assert_true(at <= COUNT);
    cx_level_choose(level);
    memset(out, 0, sizeof *out);
    assert_ok(cx_rule_named(rule_name, &rule, &hyper, &err));
    rule.feature_interval = 2;
    hyper.value[CX_HYPER_WEIGHT_DECAY] = 0.02;
    assert_ok(cx_optimizer_create(&rule, layout, TENSORS, 3, COUNT, &o, &err));
    cx_optimizer_set_hyper(o, &hyper);
    cx_rng rng = cx_rng_make(4, 0, CX_STREAM_TEST);
    cx_rng_fill_normal(&rng, out->params, COUNT);
    memcpy(out->average, out->params, sizeof out->average);
    for (int s = 0; s < STEPS; s++) {
        cx_rng_fill_normal(&rng, grads, COUNT);
        out->norm += cx_optimizer_step(o, out->params, grads, NULL, out->average, 0.9f);
    }
    cx_optimizer_outer_step(o, out->features);
    cx_optimizer_destroy(o);
}

static void test_same_bits(void **state) {
    (void)state;
    static const char *const names[] = {"ciao", "adam", "adamw", "nesterov", "rmsprop", "lamb"};
    static outcome plain, other;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        run(CX_LEVEL_plain, names[i], &plain);
        assert_true(isfinite(plain.norm) && plain.norm > 0);
        FOR_EACH_LEVEL(level) {
            run(level, names[i], &other);
            if (memcmp(&plain, &other, sizeof plain) != 0)
                fail_msg("%s at %s: other bits than at the plain level", names[i],
                         cx_level_name(level));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
