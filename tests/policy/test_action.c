#include "tests/policy/sample.h"
#include "tests/test.h"

#include "policy/action.h"

enum { LOGITS = 10 + 7 + 2 * 4 + 4 + 3 + 3 };

static void random_logits(cx_rng *rng, const cx_heads *heads, float *logits, unsigned char *mask) {
    for (int i = 0; i < heads->n_logits; i++) {
        logits[i] = (float)(2 * cx_rng_normal(rng));
        mask[i] = cx_rng_below(rng, 3) > 0;
    }
    for (int h = 0; h < heads->n_heads; h++)
        mask[heads->offset[h]] = 1; /* something is always allowed */
}

static void test_heads(void **state) {
    (void)state;
    cx_config config;
    cx_heads heads;
    sample_config(&config);
    cx_action_heads(&config, &heads);
    assert_int_equal(heads.n_heads, 9);
    assert_int_equal(heads.n_logits, LOGITS);
    assert_int_equal(heads.size[0], 10);
    assert_int_equal(heads.hyper[0], -1);
    assert_int_equal(heads.offset[2], 17);
    assert_string_equal(cx_action_head_name(&heads, 0), "registers");
    assert_string_equal(cx_action_head_name(&heads, 1), "lr");
    config.registers = 0;
    config.heads[CX_HYPER_EPSILON].present = false;
    cx_action_heads(&config, &heads);
    assert_int_equal(heads.n_heads, 7);
    assert_int_equal(heads.n_logits, LOGITS - 12);
    assert_int_equal(heads.hyper[0], CX_HYPER_LR);
    assert_int_equal(heads.hyper[2], CX_HYPER_OMBETA2);
}

static void test_registers(void **state) {
    (void)state;
    const cx_register_op want[] = {CX_REGISTER_SAVE, CX_REGISTER_LOAD, CX_REGISTER_SWAP};
    int index;
    assert_int_equal(cx_action_register(3, 0, &index), CX_REGISTER_NOTHING);
    for (int choice = 1; choice <= 9; choice++) {
        assert_int_equal(cx_action_register(3, choice, &index), want[(choice - 1) / 3]);
        assert_int_equal(index, (choice - 1) % 3);
    }
    assert_int_equal(cx_action_register(3, 10, &index), CX_REGISTER_NOTHING);
}

static void test_apply(void **state) {
    (void)state;
    cx_config config;
    cx_heads heads;
    sample_config(&config);
    cx_action_heads(&config, &heads);
    cx_hyper h = config.optimizer.start;
    const int choice[] = {0, 6, 0, 1, 0, 1, 0, 1, 2};
    cx_action_apply(&config, &heads, choice, &h);
    assert_true(h.value[CX_HYPER_LR] == 2e-3);
    assert_true(h.value[CX_HYPER_WEIGHT_DECAY] == 5e-3);
    assert_true(h.value[CX_HYPER_EPSILON] == 2e-6);
    assert_true(h.value[CX_HYPER_CLIP_OMBETA] == 1e-2); /* x 1: to the last bit */
    double odds = 0.8 / 0.2 * exp(-1);
    assert_true(fabs(h.value[CX_HYPER_GROUP_CLIP] - odds / (1 + odds)) < 1e-12);
    /* bounds, both ways; from outside, too */
    for (int i = 0; i < 200; i++)
        cx_action_apply(&config, &heads, choice, &h);
    assert_true(h.value[CX_HYPER_LR] == 1);
    assert_true(h.value[CX_HYPER_WEIGHT_DECAY] == 1e-8);
    assert_true(h.value[CX_HYPER_GROUP_CLIP] == 1e-10);
    h.value[CX_HYPER_LR] = 50;
    h.value[CX_HYPER_GROUP_CLIP] = 3;
    cx_action_apply(&config, &heads, (const int[]){0, 3, 0, 0, 0, 0, 3, 0, 0}, &h);
    assert_true(h.value[CX_HYPER_LR] == 1);
    assert_true(h.value[CX_HYPER_GROUP_CLIP] == 1 - 1e-10);
    /* a hyperparameter without a head stays */
    config.heads[CX_HYPER_OMBETA1].present = false;
    cx_action_heads(&config, &heads);
    h = config.optimizer.start;
    cx_action_apply(&config, &heads, (const int[]){0, 6, 1, 1, 1, 3, 2, 2}, &h);
    assert_true(h.value[CX_HYPER_OMBETA1] == 0.1);
    assert_true(h.value[CX_HYPER_LAMB_OMBETA] == 0.05 * 1.5);
}

static void test_start(void **state) {
    (void)state;
    cx_config config;
    sample_config(&config);
    cx_rng rng = cx_rng_make(3, 0, CX_STREAM_START), again = rng;
    double least[CX_HYPER_COUNT], most[CX_HYPER_COUNT], sum[CX_HYPER_COUNT] = {0};
    enum { N = 4000 };
    for (int n = 0; n < N; n++) {
        cx_hyper h;
        float noise[CX_HYPER_COUNT];
        cx_action_start(&config, 64, &rng, &h, noise);
        for (int i = 0; i < CX_HYPER_COUNT; i++) {
            const cx_head_config *head = &config.heads[i];
            double h0 = config.optimizer.start.value[i], v = h.value[i];
            double x = log(v / h0), edge = log(head->noise_high);
            if (head->logit) {
                x = log(v / (1 - v)) - log(h0 / (1 - h0));
                edge = 1;
            }
            assert_true(fabs(x - noise[i] * edge) < 1e-5);
            least[i] = n && least[i] < x / edge ? least[i] : x / edge;
            most[i] = n && most[i] > x / edge ? most[i] : x / edge;
            sum[i] += x / edge;
        }
    }
    for (int i = 0; i < CX_HYPER_COUNT; i++) { /* uniform on [-1, 1] */
        assert_true(least[i] < -0.99 && least[i] >= -1 - 1e-12);
        assert_true(most[i] > 0.99 && most[i] <= 1 + 1e-12);
        assert_true(fabs(sum[i] / N) < 0.04);
    }
    /* few outer steps: a quarter of the lr's range, all of the others' */
    cx_hyper full, quarter;
    float noise[CX_HYPER_COUNT], less[CX_HYPER_COUNT];
    cx_rng a = again, b = again;
    cx_action_start(&config, 32, &a, &full, noise);
    cx_action_start(&config, 8, &b, &quarter, less);
    assert_true(fabs(log(quarter.value[0] / 1e-3) - 0.25 * log(full.value[0] / 1e-3)) < 1e-12);
    assert_true(fabsf(less[0] - 0.25f * noise[0]) < 1e-6f);
    for (int i = 1; i < CX_HYPER_COUNT; i++)
        assert_true(quarter.value[i] == full.value[i] && less[i] == noise[i]);
    config.episode.noise_full_at = 0;
    a = again;
    cx_action_start(&config, 8, &a, &quarter, less);
    assert_true(quarter.value[0] == full.value[0]);
    /* no head, or no width: no noise */
    config.heads[CX_HYPER_LR].present = false;
    config.heads[CX_HYPER_EPSILON].noise_low = config.heads[CX_HYPER_EPSILON].noise_high = 1;
    a = again;
    cx_action_start(&config, 32, &a, &quarter, less);
    assert_true(quarter.value[CX_HYPER_LR] == 1e-3 && less[CX_HYPER_LR] == 0);
    assert_true(quarter.value[CX_HYPER_EPSILON] == 1e-6 && less[CX_HYPER_EPSILON] == 0);
    assert_true(quarter.value[CX_HYPER_OMBETA1] == full.value[CX_HYPER_OMBETA1]);
}

static void test_neutral(void **state) {
    (void)state;
    cx_config config;
    cx_heads heads;
    int choice[CX_HEADS_MAX];
    sample_config(&config);
    cx_action_heads(&config, &heads);
    cx_action_neutral(&config, &heads, choice);
    const int want[] = {0, 3, 0, 0, 0, 0, 1, 1, 1};
    for (int h = 0; h < 9; h++)
        assert_int_equal(choice[h], want[h]);
}

/* Over all choices of all heads (registers and lr alone, so that they can be listed). */
static void test_sum_to_one(void **state) {
    (void)state;
    cx_config config;
    cx_heads heads;
    sample_config(&config);
    for (int i = 1; i < 6; i++)
        config.heads[i].present = false;
    cx_action_heads(&config, &heads);
    cx_rng rng = cx_rng_make(4, 0, CX_STREAM_TEST);
    float logits[LOGITS];
    unsigned char mask[LOGITS];
    for (int round = 0; round < 20; round++) {
        random_logits(&rng, &heads, logits, mask);
        if (round == 0)
            for (int i = 0; i < heads.n_logits; i++)
                logits[i] *= 1e4f; /* must not overflow */
        double sum = 0, entropy = 0;
        int c[4];
        for (c[0] = 0; c[0] < 10; c[0]++)
            for (c[1] = 0; c[1] < 7; c[1]++)
                for (c[2] = 0; c[2] < 3; c[2]++)
                    for (c[3] = 0; c[3] < 3; c[3]++) {
                        double per_head[4];
                        double lp = cx_action_evaluate(&heads, logits, round % 2 ? mask : NULL, c,
                                                       per_head, 0, 0, NULL);
                        sum += exp(lp);
                        if (lp > -INFINITY)
                            entropy -= exp(lp) * lp;
                        if (c[0] + c[1] + c[2] + c[3] == 9 + 6 + 2 + 2) { /* the last one */
                            double total = per_head[0] + per_head[1] + per_head[2] + per_head[3];
                            assert_true(fabs(total - entropy) < 1e-9);
                        }
                    }
        assert_true(fabs(sum - 1) < 1e-9);
    }
}

/* Largest difference between dlogits and central differences of
 * `coef_logp * log p + coef_entropy * entropy`, with its sign. */
static double gradient_error(const cx_heads *heads, const float *logits, const unsigned char *mask,
                             const int *choice, double coef_logp, double coef_entropy,
                             const float *dlogits) {
    double worst = 0;
    for (int i = 0; i < heads->n_logits; i++) {
        float x[LOGITS];
        double value[2], at[2];
        for (int side = 0; side < 2; side++) {
            double entropy[CX_HEADS_MAX];
            memcpy(x, logits, sizeof x);
            x[i] += side ? 1e-2f : -1e-2f;
            at[side] = x[i];
            value[side] =
                coef_logp * cx_action_evaluate(heads, x, mask, choice, entropy, 0, 0, NULL);
            for (int h = 0; h < heads->n_heads; h++)
                value[side] += coef_entropy * entropy[h];
        }
        double numeric = (value[1] - value[0]) / (at[1] - at[0]);
        worst = fmax(worst, fabs(numeric - dlogits[i]));
    }
    return worst;
}

static void test_probabilities(void **state) {
    (void)state;
    cx_config config;
    cx_heads heads;
    sample_config(&config);
    cx_action_heads(&config, &heads);
    cx_rng rng = cx_rng_make(6, 0, CX_STREAM_TEST);
    float logits[LOGITS];
    unsigned char mask[LOGITS];
    double p[LOGITS];
    for (int round = 0; round < 20; round++) {
        random_logits(&rng, &heads, logits, mask);
        int choice[CX_HEADS_MAX];
        double lp = cx_action_choose(&heads, logits, mask, &rng, choice), product = 0;
        cx_action_probabilities(&heads, logits, mask, p);
        for (int h = 0; h < heads.n_heads; h++) {
            double sum = 0;
            for (int i = heads.offset[h]; i < heads.offset[h] + heads.size[h]; i++) {
                assert_true(mask[i] ? p[i] > 0 : p[i] == 0);
                sum += p[i];
            }
            assert_true(fabs(sum - 1) < 1e-12);
            product += log(p[heads.offset[h] + choice[h]]);
        }
        assert_true(fabs(product - lp) < 1e-9);
    }
}

static void test_gradient(void **state) {
    (void)state;
    cx_config config;
    cx_heads heads;
    sample_config(&config);
    cx_action_heads(&config, &heads);
    cx_rng rng = cx_rng_make(5, 0, CX_STREAM_TEST);
    float logits[LOGITS], d[LOGITS];
    unsigned char mask[LOGITS];
    const double coef[][2] = {{1, 0}, {0, 1}, {-0.7, 0.3}};
    for (int round = 0; round < 30; round++) {
        random_logits(&rng, &heads, logits, mask);
        const unsigned char *m = round % 2 ? mask : NULL;
        int choice[CX_HEADS_MAX];
        double lp = cx_action_choose(&heads, logits, m, &rng, choice);
        double a = coef[round % 3][0], b = coef[round % 3][1];
        memset(d, 0, sizeof d);
        assert_true(lp == cx_action_evaluate(&heads, logits, m, choice, NULL, a, b, d));
        assert_true(gradient_error(&heads, logits, m, choice, a, b, d) < 2e-4);
        for (int i = 0; i < heads.n_logits; i++)
            assert_true(!m || m[i] || d[i] == 0);
        /* the check sees a planted fault: a flipped sign, another weight of the entropy */
        assert_true(gradient_error(&heads, logits, m, choice, -a, -b, d) > 1e-2);
        assert_true(gradient_error(&heads, logits, m, choice, a, b + 0.5, d) > 1e-2);
        /* it is added to what is there */
        float twice[LOGITS];
        memcpy(twice, d, sizeof d);
        (void)cx_action_evaluate(&heads, logits, m, choice, NULL, a, b, twice);
        for (int i = 0; i < heads.n_logits; i++)
            assert_true(fabsf(twice[i] - 2 * d[i]) < 1e-6f);
    }
}

static void test_sampling(void **state) {
    (void)state;
    cx_config config;
    cx_heads heads;
    sample_config(&config);
    cx_action_heads(&config, &heads);
    cx_rng rng = cx_rng_make(6, 0, CX_STREAM_TEST);
    float logits[LOGITS];
    unsigned char mask[LOGITS];
    random_logits(&rng, &heads, logits, mask);
    enum { N = 20000 };
    int count[LOGITS] = {0}, choice[CX_HEADS_MAX];
    for (int n = 0; n < N; n++) {
        double lp = cx_action_choose(&heads, logits, mask, &rng, choice);
        assert_true(lp == cx_action_evaluate(&heads, logits, mask, choice, NULL, 0, 0, NULL));
        for (int h = 0; h < heads.n_heads; h++)
            count[heads.offset[h] + choice[h]]++;
    }
    (void)cx_action_choose(&heads, logits, mask, NULL, choice);
    for (int h = 0; h < heads.n_heads; h++) {
        double sum = 0;
        for (int i = 0; i < heads.size[h]; i++)
            sum += mask[heads.offset[h] + i] ? exp(logits[heads.offset[h] + i]) : 0;
        for (int i = 0; i < heads.size[h]; i++) {
            int at = heads.offset[h] + i;
            double p = mask[at] ? exp(logits[at]) / sum : 0;
            if (!mask[at])
                assert_int_equal(count[at], 0);
            assert_true(fabs(count[at] / (double)N - p) < 5 * sqrt(p * (1 - p) / N) + 1e-9);
            if (mask[at])
                assert_true(logits[at] <= logits[heads.offset[h] + choice[h]]);
        }
        assert_true(mask[heads.offset[h] + choice[h]]);
    }
}

/* A broken policy must not lead to a choice that does not exist. */
static void test_broken_logits(void **state) {
    (void)state;
    cx_config config;
    cx_heads heads;
    sample_config(&config);
    cx_action_heads(&config, &heads);
    cx_rng rng = cx_rng_make(7, 0, CX_STREAM_TEST);
    const float bad[] = {NAN, INFINITY, -INFINITY, 0, 3e38f};
    for (int round = 0; round < 500; round++) {
        float logits[LOGITS];
        unsigned char mask[LOGITS];
        int choice[CX_HEADS_MAX];
        random_logits(&rng, &heads, logits, mask);
        for (int i = 0; i < LOGITS; i++)
            if (cx_rng_below(&rng, 3) == 0)
                logits[i] = bad[cx_rng_below(&rng, 5)];
        (void)cx_action_choose(&heads, logits, mask, round % 2 ? &rng : NULL, choice);
        for (int h = 0; h < heads.n_heads; h++)
            assert_true(choice[h] >= 0 && choice[h] < heads.size[h]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),         cmocka_unit_test(test_registers),
        cmocka_unit_test(test_apply),         cmocka_unit_test(test_start),
        cmocka_unit_test(test_neutral),       cmocka_unit_test(test_sum_to_one),
        cmocka_unit_test(test_probabilities), cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_sampling),      cmocka_unit_test(test_broken_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
