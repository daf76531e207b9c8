#include "tests/ppo/toy.h"

static toy made(toy_kind kind, int n, const int *size, int min_steps, int max_steps) {
    return (toy){.kind = kind,
                 .heads = toy_heads(n, size),
                 .min_steps = min_steps,
                 .max_steps = max_steps,
                 .sign = 1};
}

/* Least probability of a best choice after training. */
static double solved(const toy *p, int updates, cx_update_stats *stats) {
    cx_config config = toy_config();
    config.updates = updates;
    if (p->kind == TOY_MEMORY) /* few choices count: smaller steps, and keep trying */
        config.ppo.learning_rate = config.ppo.entropy = 2e-3;
    cx_learner *l = toy_learner(&config, p);
    assert_true(toy_least_best(l, p) < 0.6);
    *stats = toy_train(l, p, updates);
    double best = toy_least_best(l, p);
    printf("least probability of a best choice %.3f, reward %.3f, kl %.4f, entropy %.3f, "
           "%.1f ms an update\n",
           best, stats->reward, stats->kl, stats->entropy, 1e3 * stats->seconds);
    cx_learner_destroy(l);
    return best;
}

static void test_one_step(void **state) {
    (void)state;
    const int size[] = {2, 5, 7};
    cx_update_stats stats;
    toy p = made(TOY_BANDIT, 3, size, 1, 1);
    assert_true(solved(&p, 30, &stats) > 0.95);
    assert_true(stats.reward > 0.95);
}

static void test_few_steps(void **state) {
    (void)state;
    const int size[] = {3, 2, 9};
    cx_update_stats stats;
    toy p = made(TOY_BANDIT, 3, size, 1, 4);
    p.masked = true;
    assert_true(solved(&p, 30, &stats) > 0.95);
}

static void test_context(void **state) {
    (void)state;
    const int size[] = {3, 5};
    cx_update_stats stats;
    toy p = made(TOY_CONTEXT, 2, size, 1, 3);
    assert_true(solved(&p, 50, &stats) > 0.95);
}

/* What was shown at the first step decides what is right at the last. */
static void test_memory(void **state) {
    (void)state;
    const int size[] = {3};
    cx_update_stats stats;
    toy p = made(TOY_MEMORY, 1, size, 3, 4);
    assert_true(solved(&p, 110, &stats) > 0.95);
}

/* With the reward's sign turned round, the very same run learns to avoid the best
 * choice: the tests above do depend on the sign. */
static void test_sign(void **state) {
    (void)state;
    const int size[] = {2, 4};
    cx_update_stats stats;
    toy p = made(TOY_BANDIT, 2, size, 1, 2);
    assert_true(solved(&p, 30, &stats) > 0.95);
    p.sign = -1;
    assert_true(solved(&p, 30, &stats) < 0.02);
    assert_true(stats.reward > -0.05); /* it does maximize what it is given */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_step), cmocka_unit_test(test_few_steps),
        cmocka_unit_test(test_context),  cmocka_unit_test(test_memory),
        cmocka_unit_test(test_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
