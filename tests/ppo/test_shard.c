/* Shards: what they add up to, and that nobody sees who computed them. */
#include "tests/ppo/toy.h"

#include "base/hash.h"
#include <stdlib.h>

static cx_error err;
static const int sizes[] = {3, 2, 4};

static toy problem(void) {
    return (toy){.kind = TOY_CONTEXT,
                 .heads = toy_heads(3, sizes),
                 .min_steps = 1,
                 .max_steps = 24,
                 .sign = 1,
                 .masked = true};
}

/* Several shards to a minibatch, some smaller than others. */
static cx_config config_of(int minibatch) {
    cx_config c = toy_config();
    c.ppo.episodes_per_update = c.ppo.buffer_episodes = 64;
    c.ppo.minibatch_episodes = minibatch;
    c.ppo.minibatches = 3;
    c.ppo.max_uses = 3;
    return c;
}

/* A rank that computes shards: networks, and the weights that it has. */
typedef struct {
    cx_net *net[2];
    cx_shard_scratch scratch;
} helper;

static helper helper_make(const cx_learner *l) {
    helper h = {0};
    assert_ok(cx_net_create(cx_net_shape_of(l->policy.net), &h.net[0], &err));
    assert_ok(cx_net_create(cx_net_shape_of(l->value.net), &h.net[1], &err));
    return h;
}

static void helper_free(helper *h) {
    cx_net_destroy(h->net[0]);
    cx_net_destroy(h->net[1]);
    cx_shard_scratch_free(&h->scratch);
}

/* A shard as it travels, and its answer. */
typedef struct {
    cx_work work;
    void *data;
    float *weights, *out;
    size_t n;
    cx_shard_sums sums;
} errand;

static bool take(cx_learner *l, errand *e) {
    bool any;
    assert_ok(cx_learner_offer(l, &e->work, &any, &err));
    if (!any)
        return false;
    e->data = malloc(e->work.size);
    e->weights = malloc(e->work.n_weights * sizeof(float));
    assert_true(e->data && e->weights);
    memcpy(e->data, e->work.data, e->work.size);
    memcpy(e->weights, e->work.weights, e->work.n_weights * sizeof(float));
    e->out = NULL;
    return true;
}

static void compute(const cx_learner *l, helper *h, errand *e) {
    cx_net *net = h->net[e->work.shard.kind != CX_SHARD_POLICY];
    e->n = cx_shard_results(&e->work.shard, net);
    e->out = malloc(e->n * sizeof(float));
    assert_non_null(e->out);
    assert_ok(cx_shard_check(&e->work.shard, e->data, e->work.size, cx_net_shape_of(net), &l->heads,
                             &err));
    const float *out;
    assert_ok(cx_shard_compute(&e->work.shard, e->data, net, e->weights, &l->heads, &h->scratch,
                               &out, &e->sums, &err));
    memcpy(e->out, out, e->n * sizeof *out);
}

static void errand_free(errand *e) {
    free(e->data);
    free(e->weights);
    free(e->out);
}

enum { ERRANDS = 64, HELPERS = 3 };

/* An update by helpers that answer in random order, some twice, some never; rank 0 may compute
 * some, too. */
static void update_by_helpers(cx_learner *l, uint64_t seed, bool here) {
    helper h[HELPERS];
    errand e[ERRANDS];
    bool done = false;
    cx_update_stats stats;
    cx_rng rng = cx_rng_make(seed, 0, CX_STREAM_TEST);
    for (int i = 0; i < HELPERS; i++)
        h[i] = helper_make(l);
    assert_ok(cx_learner_begin(l, &err));
    for (int guard = 0; !done && guard < 1000; guard++) {
        int n = 0;
        uint32_t most = 1 + cx_rng_below(&rng, 12);
        while (n < (int)most && take(l, &e[n]))
            n++;
        for (int left = n; left > 0; left--) {
            int i = (int)cx_rng_below(&rng, (uint32_t)left);
            bool lost = cx_rng_below(&rng, 5) == 0;
            compute(l, &h[cx_rng_below(&rng, HELPERS)], &e[i]);
            for (uint32_t k = 0; !lost && k < 1 + cx_rng_below(&rng, 2); k++)
                assert_ok(
                    cx_learner_answer(l, e[i].work.number, e[i].out, e[i].n, &e[i].sums, &err));
            if (lost)
                cx_learner_reopen(l, e[i].work.number);
            errand_free(&e[i]);
            e[i] = e[left - 1];
        }
        if (here)
            assert_ok(cx_learner_advance(l, &done, &stats, &err));
        else
            assert_ok(cx_learner_end(l, &done, &stats, &err));
    }
    assert_true(done);
    for (int i = 0; i < HELPERS; i++)
        helper_free(&h[i]);
}

static uint64_t state_hash(cx_learner *l) {
    void *data;
    size_t size;
    assert_ok(cx_learner_save(l, &data, &size, &err));
    uint64_t hash = cx_hash(data, size, 0);
    free(data);
    return hash;
}

/* Weights, moments and statistics: all that a checkpoint holds, bit for bit. */
static void test_same_bits_whoever_computes(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = config_of(40);
    uint64_t want = 0;
    for (int who = 0; who < 4; who++) {
        cx_learner *l = toy_learner(&c, &p);
        for (int u = 0; u < 2; u++) {
            toy_add(l, &p, 64 * (uint64_t)u, 64);
            if (who == 0)
                (void)toy_update(l);
            else
                update_by_helpers(l, (uint64_t)who, who == 3);
        }
        uint64_t hash = state_hash(l);
        if (who == 0)
            want = hash;
        assert_true(hash == want);
        cx_learner_destroy(l);
    }
}

/* The gradient of a whole minibatch as one shard is the sum of its shards' but for rounding. */
static void test_shards_add_up(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = config_of(64);
    cx_learner *l = toy_learner(&c, &p);
    helper h = helper_make(l);
    toy_add(l, &p, 0, 64);
    bool done = false;
    assert_ok(cx_learner_begin(l, &err));
    while (l->phase != CX_PHASE_STEPS)
        assert_ok(cx_learner_advance(l, &done, NULL, &err));
    for (int kind = 0; kind < 2; kind++) {
        const cx_chain *chain = &l->chain[kind];
        size_t n = cx_net_trainable(h.net[kind]);
        assert_true(chain->n_parts == 64 / CX_SHARD_EPISODES);
        float *sum = calloc(n, sizeof *sum);
        const float *whole;
        assert_non_null(sum);
        cx_shard all = {.kind = (uint32_t)kind, .episodes = 64};
        cx_shard_sums sums = {0}, one;
        for (int i = 0; i < chain->n_parts; i++) {
            errand e;
            assert_true(take(l, &e));
            assert_int_equal(e.work.shard.kind, kind);
            compute(l, &h, &e);
            for (size_t k = 0; k < n; k++)
                sum[k] += e.out[k];
            cx_shard_sums_add(&sums, &e.sums);
            int rows = all.rows + e.work.shard.rows, longest = e.work.shard.longest;
            longest = longest > all.longest ? longest : all.longest;
            all = e.work.shard;
            all.rows = rows;
            all.longest = longest;
            errand_free(&e);
        }
        all.episodes = 64;
        void *data = malloc(cx_shard_bytes(&all));
        assert_non_null(data);
        const float *extra = kind == CX_SHARD_POLICY ? l->advantage : l->value_target;
        for (int i = 0, at = 0; i < 64; i++) {
            const cx_trajectory *t = l->plan.episode[chain->item[i]];
            cx_shard_put(&all, data, i, at, t, extra + l->at[chain->item[i]]);
            at += t->result.steps;
        }
        const float *block = kind == CX_SHARD_POLICY ? l->policy.block : l->value.block;
        assert_ok(cx_shard_compute(&all, data, h.net[kind], block, &l->heads, &h.scratch, &whole,
                                   &one, &err));
        double norm = 0, difference = 0;
        for (size_t k = 0; k < n; k++) {
            norm += (double)whole[k] * whole[k];
            difference += ((double)sum[k] - whole[k]) * ((double)sum[k] - whole[k]);
        }
        assert_true(norm > 1e-8 && difference < 1e-9 * norm);
        assert_true(fabs(sums.loss - one.loss) < 1e-6 && fabs(sums.kl - one.kl) < 1e-6);
        free(data);
        free(sum);
    }
    helper_free(&h);
    cx_learner_destroy(l);
}

/* Bytes of a shard that do not fit are refused, whatever is wrong with them. */
static void test_checks(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = config_of(40);
    cx_learner *l = toy_learner(&c, &p);
    toy_add(l, &p, 0, 64);
    bool done = false;
    assert_ok(cx_learner_begin(l, &err));
    while (l->phase != CX_PHASE_STEPS)
        assert_ok(cx_learner_advance(l, &done, NULL, &err));
    errand e;
    assert_true(take(l, &e));
    const cx_net_shape *shape = cx_net_shape_of(l->policy.net);
    const cx_shard good = e.work.shard;
    size_t size = e.work.size;
#define REFUSED(s, n)                                                                              \
    assert_int_equal(cx_shard_check(&(s), e.data, n, shape, &l->heads, &err), CX_EFORMAT)
    assert_ok(cx_shard_check(&good, e.data, size, shape, &l->heads, &err));
    REFUSED(good, size - 1);
    cx_shard s = good;
    s.kind = CX_SHARD_KINDS;
    REFUSED(s, size);
    s = good;
    s.rows--;
    REFUSED(s, cx_shard_bytes(&s));
    s = good;
    s.longest++;
    REFUSED(s, size);
    s = good;
    s.episodes = -1;
    assert_true(cx_shard_bytes(&s) == 0);
    s = good;
    s.inputs = 1 << 30;
    assert_true(cx_shard_bytes(&s) == 0);
    s = good;
    s.logits++;
    REFUSED(s, cx_shard_bytes(&s));
    int32_t *steps = e.data;
    steps[0] = 0;
    REFUSED(good, size);
    memcpy(e.data, e.work.data, size);
    size_t choices = (size_t)good.episodes + (size_t)good.rows * ((size_t)good.inputs + 2);
    ((int32_t *)e.data)[choices] = 3;
    REFUSED(good, size);
    ((int32_t *)e.data)[choices] = -1;
    REFUSED(good, size);
    memcpy(e.data, e.work.data, size);
    memset((unsigned char *)e.data + size - (size_t)good.logits, 0, (size_t)good.logits);
    REFUSED(good, size); /* a choice that its mask forbids */
    /* an answer of another size */
    float none[1] = {0};
    cx_shard_sums sums = {0};
    assert_int_equal(cx_learner_answer(l, e.work.number, none, 1, &sums, &err), CX_EFORMAT);
    assert_ok(cx_learner_answer(l, e.work.number + 1000, none, 1, &sums, &err)); /* of nobody */
    errand_free(&e);
    cx_learner_destroy(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits_whoever_computes),
        cmocka_unit_test(test_shards_add_up),
        cmocka_unit_test(test_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
