#include "tests/policy/sample.h"
#include "tests/test.h"

#include "base/rng.h"
#include "policy/sweep.h"
#include <math.h>

/* A training whose loss is least at `best`, and falls with time. */
static cx_sweep_outcome outcome_of(const cx_sweep_run *run, double best) {
    cx_sweep_outcome o = {.initial_loss = run->number ? NAN : 3, .seconds = 2};
    double steps = run->beyond ? 4096 : 1024;
    double distance = fabs(log10(run->lr / best));
    o.final_loss = distance > 3 ? INFINITY : 0.1 + distance;
    for (double t = 16; t <= steps; t *= 2) {
        o.curve.t[o.curve.n] = t;
        o.curve.loss[o.curve.n++] = (0.1 + distance) * sqrt(1024 / t);
    }
    return o;
}

static cx_config config_with(int form, int extensions) {
    cx_config c;
    sample_config(&c);
    c.reward.form = form;
    c.reward.max_extensions = extensions;
    c.reward.length_factor = 4;
    c.reward.learning_rates = (cx_reals){3, {1e-3, 1e-2, 1e-1}};
    return c;
}

/* All that may begin is under way; it ends in the order of `rng` (NULL: as it began). The
 * learning rates in the order in which they were asked for. */
static int run(const cx_config *c, double best, cx_rng *rng, cx_sweep_run *asked,
               cx_baseline *out) {
    cx_sweep *s;
    cx_error err;
    cx_sweep_run open[CX_SWEEP_RUNS_MAX];
    int n = 0, n_asked = 0;
    assert_ok(cx_sweep_create(c, &s, &err));
    while (!cx_sweep_done(s)) {
        while (cx_sweep_next(s, &open[n])) {
            assert_int_equal(open[n].number, n_asked);
            assert_true(cx_sweep_wants(s, open[n].number));
            asked[n_asked++] = open[n++];
        }
        assert_true(n > 0);
        int i = rng ? (int)cx_rng_below(rng, (uint32_t)n) : 0;
        cx_sweep_run it = open[i];
        memmove(&open[i], &open[i + 1], (size_t)(--n - i) * sizeof it);
        cx_sweep_outcome o = outcome_of(&it, best);
        cx_sweep_answer(s, it.number, &o);
        assert_false(cx_sweep_wants(s, it.number));
    }
    assert_int_equal(n, 0);
    assert_false(cx_sweep_has_next(s));
    cx_sweep_baseline(s, 7, 1024, out);
    cx_sweep_destroy(s);
    return n_asked;
}

static void test_which_runs(void **state) {
    (void)state;
    cx_sweep_run asked[CX_SWEEP_RUNS_MAX];
    cx_baseline b;
    cx_config c = config_with(CX_REWARD_ENVELOPE, 6);
    /* the best within: no more learning rates; it and the next lower one are continued */
    assert_int_equal(run(&c, 1e-2, NULL, asked, &b), 5);
    assert_true(asked[3].beyond && asked[3].lr == 1e-2 && asked[3].continues == 1);
    assert_true(asked[4].beyond && asked[4].lr == 1e-3 && asked[4].continues == 0);
    assert_int_equal(b.n_runs, 3);
    assert_true(b.best_lr == 1e-2 && b.best_loss == 0.1 && b.initial_loss == 3);
    assert_true(b.task_hash == 7 && b.steps == 1024 && b.seconds == 10);
    assert_true(b.t[b.n_points - 1] == 4096);
    /* half a decade above the highest one: that one, and one beyond it */
    assert_int_equal(run(&c, 0.1 * sqrt(10), NULL, asked, &b), 7);
    assert_true(fabs(asked[3].lr - 0.1 * sqrt(10)) < 1e-12 && fabs(asked[4].lr - 1) < 1e-12);
    assert_true(b.n_runs == 5 && b.best_lr == asked[3].lr);
    /* below the lowest one, but no further than allowed; nothing is lower than the best */
    c.reward.max_extensions = 2;
    assert_int_equal(run(&c, 1e-5, NULL, asked, &b), 6);
    assert_true(fabs(asked[4].lr - 1e-4) < 1e-12 && asked[5].beyond && asked[5].continues == 4);
    assert_true(b.n_runs == 5 && b.lr[0] == asked[4].lr && b.lr[1] == asked[3].lr);
    /* what diverged is not continued */
    assert_int_equal(run(&c, 1e-12, NULL, asked, &b), 5);
    assert_true(b.best_loss == INFINITY);
    c = config_with(CX_REWARD_POWER_FIT, 6);
    assert_int_equal(run(&c, 1e-2, NULL, asked, &b), 3);
}

/* The baseline does not depend on which run ends first. */
static void test_any_order(void **state) {
    (void)state;
    cx_rng rng = cx_rng_make(4, 0, CX_STREAM_TEST);
    const int forms[] = {CX_REWARD_ENVELOPE, CX_REWARD_POWER_FIT};
    for (int i = 0; i < 200; i++) {
        cx_sweep_run asked[CX_SWEEP_RUNS_MAX];
        cx_baseline first, b;
        cx_config c = config_with(forms[i % 2], (int)cx_rng_below(&rng, 7));
        c.reward.learning_rates.n = 1 + (int)cx_rng_below(&rng, 3);
        double best = pow(10, -6 + 7 * cx_rng_uniform(&rng));
        int n = run(&c, best, NULL, asked, &first);
        assert_int_equal(run(&c, best, &rng, asked, &b), n);
        assert_memory_equal(&first, &b, sizeof b);
    }
}

static void test_costs(void **state) {
    (void)state;
    cx_config c = config_with(CX_REWARD_ENVELOPE, 6);
    cx_sweep_run run = {.beyond = 1};
    assert_true(cx_sweep_cost(&c, false) == 3 + 2 * 3 && cx_sweep_cost(&c, true) == 3 + 2 * 4);
    assert_true(cx_sweep_run_cost(&c, &run) == 4 && cx_sweep_critical(&c) == 5);
    c.reward.form = CX_REWARD_POWER_FIT;
    assert_true(cx_sweep_cost(&c, false) == 3 && cx_sweep_critical(&c) == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_runs),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
