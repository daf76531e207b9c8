#include "tests/test.h"

#include "base/rng.h"
#include "ppo/ppo.h"
#include <math.h>

/* By hand: gamma 0.9, lambda 0.5, values 1 2 3, reward 10 at the end.
 * delta_2 = 10 - 3 = 7; delta_1 = 0.9*3 - 2 = 0.7; delta_0 = 0.9*2 - 1 = 0.8.
 * A_2 = 7; A_1 = 0.7 + 0.45*7 = 3.85; A_0 = 0.8 + 0.45*3.85 = 2.5325. */
static void test_by_hand(void **state) {
    (void)state;
    const float value[] = {1, 2, 3};
    const double want[] = {2.5325, 3.85, 7};
    float advantage[3], target[3];
    cx_gae(value, 3, 10, 0.9, 0.5, advantage, target);
    for (int t = 0; t < 3; t++) {
        assert_true(fabs(advantage[t] - want[t]) < 1e-6);
        assert_true(fabs(target[t] - (want[t] + value[t])) < 1e-6);
    }
}

static double reward_at(int t, int steps, double final_reward) {
    return t == steps - 1 ? final_reward : 0;
}

/* The definition: the mean, with weights (1 - lambda) lambda^(n-1), of the n-step
 * advantages; all n that reach the end are the same and share the rest of the weight. */
static double by_definition(const double *value, int steps, double final_reward, double gamma,
                            double lambda, int t) {
    double sum = 0, rest = 1;
    for (int n = 1; n <= steps - t; n++) {
        double ret = 0;
        for (int i = 0; i < n; i++)
            ret += pow(gamma, i) * reward_at(t + i, steps, final_reward);
        bool over = t + n == steps;
        if (!over)
            ret += pow(gamma, n) * value[t + n];
        double weight = over ? rest : (1 - lambda) * pow(lambda, n - 1);
        sum += weight * (ret - value[t]);
        rest -= weight;
    }
    return sum;
}

static void test_against_definition(void **state) {
    (void)state;
    const double settings[][2] = {{1, 0.95}, {0.9, 0.5}, {1, 1}, {0.7, 0}, {0.99, 0.97}};
    cx_rng rng = cx_rng_make(3, 0, CX_STREAM_TEST);
    for (int steps = 1; steps <= 40; steps += 3)
        for (size_t s = 0; s < 5; s++) {
            float value[40], advantage[40], target[40];
            double v[40], reward = cx_rng_normal(&rng);
            for (int t = 0; t < steps; t++)
                v[t] = value[t] = (float)cx_rng_normal(&rng);
            cx_gae(value, steps, reward, settings[s][0], settings[s][1], advantage, target);
            for (int t = 0; t < steps; t++) {
                double want = by_definition(v, steps, reward, settings[s][0], settings[s][1], t);
                assert_true(fabs(advantage[t] - want) < 2e-6);
                assert_true(fabs(target[t] - (want + v[t])) < 2e-6);
            }
        }
}

/* lambda 1, gamma 1: the reward less the value, at every step. */
static void test_sign(void **state) {
    (void)state;
    const float value[] = {0.5f, 0.25f};
    float advantage[2], target[2];
    cx_gae(value, 2, 1, 1, 1, advantage, target);
    assert_true(fabs(advantage[0] - 0.5) < 1e-6 && fabs(advantage[1] - 0.75) < 1e-6);
    cx_gae(value, 2, -1, 1, 1, advantage, target);
    assert_true(fabs(advantage[0] + 1.5) < 1e-6 && fabs(advantage[1] + 1.25) < 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_against_definition),
        cmocka_unit_test(test_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
