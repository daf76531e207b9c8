#include "tests/ppo/toy.h"

static cx_error err;
static const int sizes[] = {3, 2, 4};

static toy problem(void) {
    return (toy){.kind = TOY_CONTEXT,
                 .heads = toy_heads(3, sizes),
                 .min_steps = 1,
                 .max_steps = 7,
                 .sign = 1,
                 .masked = true};
}

/* One minibatch holds all episodes; a step so small that weights hardly move. */
static cx_config one_batch(void) {
    cx_config c = toy_config();
    c.ppo.episodes_per_update = c.ppo.buffer_episodes = c.ppo.minibatch_episodes = 20;
    c.ppo.minibatches = 1;
    c.ppo.max_uses = 1;
    c.ppo.learning_rate = 1e-8;
    return c;
}

/* --- by brute force: one episode, one step at a time --- */

/* The policy's figures over `n` episodes, as defined in ppo.h. */
typedef struct {
    double surrogate, entropy, kl, clipped;
} figures;

static figures brute_force(cx_learner *l, const toy *p, cx_trajectory *const *e, int n,
                           const float *const *advantage) {
    figures f = {0};
    int count = 0;
    for (int i = 0; i < n; i++) {
        float state[2 * 64] = {0}, logits[64];
        for (int k = 0; k < e[i]->result.steps; k++, count++) {
            assert_ok(cx_net_step(l->policy.net, l->policy.block, e[i]->obs + k * TOY_PRIVILEGED,
                                  state, logits, &err));
            double log_p = 0;
            for (int h = 0; h < p->heads.n_heads; h++) {
                const float *z = logits + p->heads.offset[h];
                const unsigned char *mask = e[i]->mask + k * p->heads.n_logits + p->heads.offset[h];
                double sum = 0, entropy = 0;
                for (int c = 0; c < p->heads.size[h]; c++)
                    sum += mask[c] ? exp(z[c]) : 0;
                for (int c = 0; c < p->heads.size[h]; c++)
                    if (mask[c])
                        entropy -= exp(z[c]) / sum * log(exp(z[c]) / sum);
                log_p += log(exp(z[e[i]->choice[k * p->heads.n_heads + h]]) / sum);
                f.entropy += entropy;
            }
            double r = exp(log_p - e[i]->log_prob[k]), a = advantage[i][k];
            double held = fmin(fmax(r, 0.8), 1.2);
            f.surrogate -= fmin(r * a, held * a);
            f.kl += r - 1 - log(r);
            f.clipped += r < 0.8 || r > 1.2;
        }
    }
    f.surrogate /= count;
    f.entropy /= count;
    f.kl /= count;
    f.clipped /= count;
    return f;
}

/* Advances until the gradient steps are due. */
static void to_steps(cx_learner *l) {
    bool done = false;
    while (l->phase != CX_PHASE_STEPS) {
        assert_ok(cx_learner_advance(l, &done, NULL, &err));
        assert_false(done);
    }
}

/* Copies of the planned episodes' advantages. */
static const float **advantages(const cx_learner *l) {
    const float **a = calloc((size_t)l->plan.n_episodes, sizeof *a);
    assert_non_null(a);
    for (int i = 0; i < l->plan.n_episodes; i++)
        a[i] = l->advantage + l->at[i];
    return a;
}

/* --- tests --- */

/* With unchanged weights, what the learner computes from whole padded batches is what
 * acted: every ratio is 1. The statistics of the inputs are kept from moving. */
static void test_ratio_is_one(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = one_batch();
    c.policy.input_beta = 0.999999; /* the second update's inputs hardly move the statistics */
    c.policy.input_clip = 100;
    for (int wrong = 0; wrong < 2; wrong++) {
        cx_learner *l = toy_learner(&c, &p);
        toy_train(l, &p, 1);
        /* far from uniform, so that wrong log probabilities are seen */
        for (size_t i = 0; i < cx_net_trainable(l->policy.net); i++)
            l->policy.block[i] *= 3;
        float *kept = malloc(cx_net_count(l->policy.net) * sizeof *kept);
        assert_non_null(kept);
        toy_add(l, &p, 100, 20);
        if (wrong)
            for (int i = 0; i < 20; i++)
                l->buffer.item[i]->log_prob[0] += 0.05f * (i % 2 ? 1 : -1);
        memcpy(kept, l->policy.block, cx_net_count(l->policy.net) * sizeof *kept);
        assert_ok(cx_learner_begin(l, &err));
        memcpy(l->policy.block, kept, cx_net_count(l->policy.net) * sizeof *kept);
        to_steps(l);
        const float **a = advantages(l);
        figures f = brute_force(l, &p, l->plan.episode, l->plan.n_episodes, a);
        free(a);
        free(kept);
        cx_update_stats s = toy_finish_update(l);
        assert_true(fabs(s.kl - f.kl) < 1e-6);
        if (wrong)
            assert_true(s.kl > 1e-4);
        else
            assert_true(s.kl < 0.5e-8 && s.clip_fraction == 0); /* |log ratio| < 1e-4 */
        cx_learner_destroy(l);
    }
}

/* Every figure of an update, from log probabilities that differ from the policy's:
 * in one minibatch, and as the mean over several of episodes of several lengths. */
static void test_figures_by_brute_force(void **state) {
    (void)state;
    toy p = problem();
    for (int several = 0; several < 2; several++) {
        cx_config c = one_batch();
        if (several) {
            c.ppo.minibatch_episodes = 6;
            c.ppo.minibatches = 4;
        }
        cx_learner *l = toy_learner(&c, &p);
        cx_rng rng = cx_rng_make(8, 0, CX_STREAM_TEST);
        toy_add(l, &p, 0, 20);
        for (int i = 0; i < 20; i++)
            for (int k = 0; k < l->buffer.item[i]->result.steps; k++)
                l->buffer.item[i]->log_prob[k] += (float)(-0.3 * fabs(cx_rng_normal(&rng)));
        assert_ok(cx_learner_begin(l, &err));
        to_steps(l);
        assert_int_equal(l->plan.n_episodes, 20);
        int n = l->plan.n_batches;
        assert_int_equal(n, several ? 4 : 1);
        const float **a = advantages(l);
        figures mean = {0};
        for (int b = 0; b < n; b++) {
            cx_trajectory *e[20];
            const float *of[20];
            int size = l->plan.start[b + 1] - l->plan.start[b];
            for (int i = 0; i < size; i++) {
                int item = l->plan.item[l->plan.start[b] + i];
                e[i] = l->plan.episode[item];
                of[i] = a[item];
            }
            figures f = brute_force(l, &p, e, size, of);
            mean.surrogate += f.surrogate / n;
            mean.entropy += f.entropy / n;
            mean.kl += f.kl / n;
            mean.clipped += f.clipped / n;
        }
        free(a);
        cx_update_stats s = toy_finish_update(l);
        double heads = s.head_entropy[0] + s.head_entropy[1] + s.head_entropy[2];
        assert_true(mean.clipped > 0.1 && mean.kl > 0.01 && fabs(mean.surrogate) > 1e-3);
        assert_true(fabs(s.policy_loss - mean.surrogate) < 1e-5);
        assert_true(fabs(s.entropy - mean.entropy) < 1e-5);
        assert_true(fabs(heads - s.entropy) < 1e-9);
        assert_true(fabs(s.kl - mean.kl) < 1e-5);
        assert_true(fabs(s.clip_fraction - mean.clipped) < 1e-9);
        cx_learner_destroy(l);
    }
}

/* A gradient step goes downhill: loss by brute force before and after, for the
 * surrogate alone and for the entropy bonus alone. */
static void test_step_goes_downhill(void **state) {
    (void)state;
    toy p = problem();
    for (int bonus = 0; bonus < 2; bonus++) {
        cx_config c = one_batch();
        c.ppo.learning_rate = 1e-4;
        c.ppo.entropy = bonus ? 1e3 : 0;
        cx_learner *l = toy_learner(&c, &p);
        cx_rng rng = cx_rng_make(9, 0, CX_STREAM_TEST);
        for (size_t i = 0; i < cx_net_trainable(l->policy.net); i++)
            l->policy.block[i] += (float)(0.3 * cx_rng_normal(&rng)); /* far from uniform */
        toy_add(l, &p, 0, 20);
        assert_ok(cx_learner_begin(l, &err));
        to_steps(l);
        cx_trajectory *episode[20];
        memcpy(episode, l->plan.episode, sizeof episode);
        const float **a = advantages(l);
        figures before = brute_force(l, &p, episode, 20, a);
        bool done = false;
        while (l->chain[0].batch == 0) /* a step of the policy */
            assert_ok(cx_learner_advance(l, &done, NULL, &err));
        assert_false(done);
        figures after = brute_force(l, &p, episode, 20, a);
        if (bonus)
            assert_true(after.entropy > before.entropy + 1e-5);
        else
            assert_true(after.surrogate < before.surrogate - 1e-4);
        free(a);
        cx_learner_destroy(l);
    }
}

/* Values by the value network one step at a time; advantages from the definition. */
static void test_advantages(void **state) {
    (void)state;
    toy p = problem();
    for (int normalize = 0; normalize < 2; normalize++) {
        cx_config c = one_batch();
        c.ppo.minibatch_episodes = 6; /* values come in several slices */
        c.ppo.minibatches = 4;
        c.ppo.normalize_reward = normalize;
        c.ppo.learning_rate = 1e-3;
        cx_learner *l = toy_learner(&c, &p);
        toy_train(l, &p, 2);
        toy_add(l, &p, 500, 20);
        double reward_mean = 0, reward_square = 0;
        cx_ewma target = l->target;
        assert_ok(cx_learner_begin(l, &err));
        to_steps(l);
        size_t steps = l->at[20], at = 0;
        float *want = calloc(2 * steps, sizeof *want), *returns = want + steps;
        assert_non_null(want);
        for (int i = 0; i < 20; i++) {
            const cx_trajectory *e = l->plan.episode[i];
            float h[2 * 64] = {0}, value[8], y;
            double reward = e->result.reward;
            if (normalize)
                reward = (reward - l->reward.mean) / sqrt(l->reward.variance + 1e-8);
            reward_mean += reward / 20;
            reward_square += reward * reward / 20;
            for (int k = 0; k < e->result.steps; k++) {
                assert_ok(cx_net_step(l->value.net, l->value.block, e->obs + k * TOY_PRIVILEGED, h,
                                      &y, &err));
                value[k] = (float)(target.mean + sqrt(target.variance + 1e-8) * y);
                assert_true(fabsf(value[k] - l->values[l->at[i] + (size_t)k]) < 1e-4f);
            }
            double next = 0, a = 0; /* the recursion, from the end */
            for (int k = e->result.steps - 1; k >= 0; k--) {
                a = (k == e->result.steps - 1 ? reward : 0) + next - value[k] + 0.95 * a;
                next = value[k];
                want[l->at[i] + (size_t)k] = (float)a;
                returns[l->at[i] + (size_t)k] = (float)(a + value[k]);
            }
            at += (size_t)e->result.steps;
        }
        assert_int_equal(at, steps);
        double mean = 0, square = 0;
        for (size_t i = 0; i < steps; i++)
            mean += want[i] / (double)steps;
        for (size_t i = 0; i < steps; i++)
            square += (want[i] - mean) * (want[i] - mean) / (double)steps;
        for (size_t i = 0; i < steps; i++) {
            assert_true(fabs(l->advantage[i] - (want[i] - mean) / sqrt(square)) < 1e-3);
            double y = (returns[i] - l->target.mean) / sqrt(l->target.variance + 1e-8);
            assert_true(fabs(l->value_target[i] - y) < 1e-3);
        }
        if (normalize) /* of the whole past, so nearly but not quite */
            assert_true(fabs(reward_mean) < 0.5 && fabs(reward_square - 1) < 0.6);
        free(want);
        cx_learner_destroy(l);
    }
}

/* Episodes with the better reward get the larger advantages. */
static void test_advantage_sign(void **state) {
    (void)state;
    toy p = problem();
    p.min_steps = p.max_steps = 3;
    cx_config c = one_batch();
    cx_learner *l = toy_learner(&c, &p);
    toy_add(l, &p, 0, 20);
    for (int i = 0; i < 20; i++)
        l->buffer.item[i]->result.reward = i % 2 ? 5 : -5;
    assert_ok(cx_learner_begin(l, &err));
    to_steps(l);
    double good = 0, bad = 0;
    for (int i = 0; i < 20; i++)
        for (size_t k = l->at[i]; k < l->at[i + 1]; k++)
            *(l->plan.episode[i]->result.reward > 0 ? &good : &bad) += l->advantage[k] / 30;
    assert_true(good > 0.5 && bad < -0.5);
    cx_learner_destroy(l);
}

static void test_value_function_learns(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = toy_config();
    cx_learner *l = toy_learner(&c, &p);
    for (int u = 0; u < 12; u++) {
        toy_add(l, &p, (uint64_t)u * 64, 64);
        for (int i = 0; i < 64; i++) { /* the privileged context says it all */
            cx_trajectory *t = l->buffer.item[l->buffer.n - 64 + i];
            t->result.reward = t->obs[6];
        }
        cx_update_stats s = toy_update(l);
        if (u == 11)
            assert_true(s.explained_variance > 0.9 && s.value_loss < 0.05);
    }
    cx_learner_destroy(l);
}

static void test_stale_episodes(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = toy_config();
    c.ppo.max_staleness = 1;
    c.ppo.buffer_episodes = 128;
    cx_learner *l = toy_learner(&c, &p);
    toy_train(l, &p, 3);
    assert_int_equal(cx_learner_version(l), 3);
    toy_add(l, &p, 200, 64);
    for (int i = 0; i < 30; i++)
        l->buffer.item[l->buffer.n - 64 + i]->result.version = 1;
    for (int i = 30; i < 40; i++)
        l->buffer.item[l->buffer.n - 64 + i]->result.version = 2;
    assert_true(cx_learner_ready(l)); /* they count as new all the same */
    assert_ok(cx_learner_begin(l, &err));
    assert_int_equal(l->plan.n_episodes, 34);
    for (int i = 0; i < 34; i++)
        assert_true(l->plan.episode[i]->result.version >= 2);
    cx_update_stats s = toy_finish_update(l);
    assert_true(s.max_staleness == 2);
    assert_true(fabs(s.staleness - 10.0 / 34) < 0.05);
    /* none usable: no gradient step, but an update */
    toy_add(l, &p, 300, 64);
    for (int i = 0; i < l->buffer.n; i++)
        l->buffer.item[i]->result.version = 0;
    float before = l->policy.block[0];
    s = toy_update(l);
    assert_int_equal(cx_learner_version(l), 5);
    assert_true(l->policy.block[0] == before && s.gradient_norm == 0 && s.kl == 0);
    cx_learner_destroy(l);
}

static void test_bad_episodes_are_refused(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = toy_config();
    cx_learner *l = toy_learner(&c, &p);
    for (int i = 0; i < 12; i++) {
        cx_trajectory *t = toy_play(l, &p, (uint64_t)i, NULL);
        switch (i) {
        case 0:
            t->obs[3] = NAN;
            break;
        case 1:
            t->obs[TOY_PRIVILEGED - 1] = INFINITY;
            break;
        case 2:
            t->obs[0] = 1e20f;
            break;
        case 3:
            t->log_prob[t->result.steps - 1] = NAN;
            break;
        case 4:
            t->log_prob[0] = -INFINITY;
            break;
        case 5:
            t->result.reward = NAN;
            break;
        case 6:
            t->choice[1] = p.heads.size[1];
            break;
        case 7:
            t->choice[0] = -1;
            break;
        case 8:
            t->mask[p.heads.offset[2] + t->choice[2]] = 0;
            break;
        case 9:
            t->result.steps = 0;
            break;
        case 10:
            t->result.steps = t->capacity + 1;
            break;
        default:
            t->result.version = 1;
            break;
        }
        assert_int_equal(cx_learner_add(l, t, &err), CX_EFORMAT);
    }
    cx_trajectory *other;
    assert_ok(cx_trajectory_create(TOY_PRIVILEGED + 1, 3, 9, 4, &other, &err));
    other->result.steps = 1;
    assert_int_equal(cx_learner_add(l, other, &err), CX_EFORMAT);
    assert_int_equal(l->buffer.n, 0);
    cx_learner_destroy(l);
}

/* A gradient that is not finite costs its step and nothing else. */
static void test_not_finite_is_skipped(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = toy_config();
    cx_learner *l = toy_learner(&c, &p);
    toy_train(l, &p, 1);
    toy_add(l, &p, 64, 64);
    assert_ok(cx_learner_begin(l, &err));
    to_steps(l);
    l->advantage[0] = NAN;
    l->value_target[l->at[64] - 1] = INFINITY;
    cx_update_stats s = toy_finish_update(l);
    assert_true(s.skipped == 6); /* three passes, one batch each for either network */
    assert_true(isfinite(s.policy_loss) && isfinite(s.value_loss) && isfinite(s.gradient_norm));
    for (size_t i = 0; i < cx_net_count(l->policy.net); i++)
        assert_true(isfinite(l->policy.block[i]) && isfinite(l->average[i]));
    for (size_t i = 0; i < cx_net_count(l->value.net); i++)
        assert_true(isfinite(l->value.block[i]));
    s = toy_train(l, &p, 1); /* and life goes on */
    assert_true(s.skipped == 0 && s.gradient_norm > 0);
    cx_learner_destroy(l);
}

static void test_annealing_and_average(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = toy_config();
    c.updates = 5;
    cx_learner *l = toy_learner(&c, &p);
    size_t count = cx_learner_policy_count(l);
    float *average = malloc(count * sizeof *average);
    assert_non_null(average);
    memcpy(average, cx_learner_policy(l), count * sizeof *average);
    for (int u = 0; u < 7; u++) {
        cx_update_stats s = toy_train(l, &p, 1);
        double share = u < 4 ? 1 - 0.9 * u / 4 : 0.1, w = fmin(0.9, (1.0 + u) / (10 + u));
        assert_true(fabs(s.learning_rate - 1e-2 * share) < 1e-12);
        assert_true(fabs(s.entropy_coefficient - 1e-3 * share) < 1e-12);
        for (size_t i = 0; i < count; i++) {
            average[i] = (float)(w * average[i] + (1 - w) * cx_learner_policy(l)[i]);
            assert_true(fabsf(average[i] - cx_learner_average(l)[i]) <= 1e-6f);
        }
    }
    free(average);
    cx_learner_destroy(l);
    c.policy.polyak = 0;
    l = toy_learner(&c, &p);
    toy_train(l, &p, 2);
    assert_memory_equal(cx_learner_average(l), cx_learner_policy(l), count * sizeof(float));
    cx_learner_destroy(l);
}

/* Episodes that come while an update is under way wait for the next one, and do not
 * change this one by a bit, whatever the buffer's bound. */
static void test_added_during_update(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = toy_config();
    cx_learner *a = toy_learner(&c, &p), *b = toy_learner(&c, &p);
    toy_add(a, &p, 0, 64);
    toy_add(b, &p, 0, 64);
    cx_trajectory *late[100];
    for (int i = 0; i < 100; i++)
        late[i] = toy_play(b, &p, 1000 + (uint64_t)i, NULL);
    (void)toy_update(a);
    assert_ok(cx_learner_begin(b, &err));
    assert_int_equal(cx_learner_begin(b, &err), CX_ESTATE);
    bool done = false;
    for (int i = 0; !done; i++) {
        for (int j = 0; j < 10 && 10 * i + j < 100; j++)
            assert_ok(cx_learner_add(b, late[10 * i + j], &err));
        assert_false(cx_learner_ready(b));
        assert_ok(cx_learner_advance(b, &done, NULL, &err));
    }
    assert_memory_equal(cx_learner_policy(a), cx_learner_policy(b),
                        cx_learner_policy_count(a) * sizeof(float));
    assert_int_equal(b->buffer.n, 64);
    assert_int_equal(b->buffer.n_new, 64);
    assert_true(cx_learner_ready(b));
    assert_int_equal(cx_learner_advance(b, &done, NULL, &err), CX_ESTATE);
    /* one that is destroyed in the middle of an update leaks nothing */
    assert_ok(cx_learner_begin(b, &err));
    to_steps(b);
    cx_learner_destroy(a);
    cx_learner_destroy(b);
}

static void test_statistics_once(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = one_batch();
    c.ppo.max_uses = 3; /* the episodes stay, but are new only once */
    c.policy.input_beta = 0.9;
    cx_learner *l = toy_learner(&c, &p);
    toy_train(l, &p, 1);
    double weight = l->reward.weight;
    size_t count = cx_net_count(l->policy.net), trainable = cx_net_trainable(l->policy.net);
    float *before = malloc(count * sizeof *before);
    assert_non_null(before);
    memcpy(before, l->policy.block, count * sizeof *before);
    assert_true(fabs(weight - (1 - pow(0.999, 20))) < 1e-12);
    (void)toy_update(l); /* nothing new */
    assert_true(l->reward.weight == weight);
    assert_memory_equal(before + trainable, l->policy.block + trainable,
                        (count - trainable) * sizeof *before);
    (void)toy_train(l, &p, 1);
    assert_memory_not_equal(before + trainable, l->policy.block + trainable,
                            (count - trainable) * sizeof *before);
    free(before);
    cx_learner_destroy(l);
}

static void test_configuration(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = toy_config();
    cx_learner *l;
    c.ppo.buffer_episodes = 63;
    assert_int_equal(cx_learner_create_for(&c, &p.heads, 6, 8, &l, &err), CX_ECONFIG);
    assert_null(l);
    cx_learner_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ratio_is_one),
        cmocka_unit_test(test_figures_by_brute_force),
        cmocka_unit_test(test_step_goes_downhill),
        cmocka_unit_test(test_advantages),
        cmocka_unit_test(test_advantage_sign),
        cmocka_unit_test(test_value_function_learns),
        cmocka_unit_test(test_stale_episodes),
        cmocka_unit_test(test_bad_episodes_are_refused),
        cmocka_unit_test(test_not_finite_is_skipped),
        cmocka_unit_test(test_annealing_and_average),
        cmocka_unit_test(test_added_during_update),
        cmocka_unit_test(test_statistics_once),
        cmocka_unit_test(test_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
