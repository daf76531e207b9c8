#include "tests/ppo/toy.h"

#include "base/hash.h"

static cx_error err;
static const int sizes[] = {3, 2};

static toy problem(void) {
    return (toy){.kind = TOY_CONTEXT,
                 .heads = toy_heads(2, sizes),
                 .min_steps = 1,
                 .max_steps = 4,
                 .sign = 1,
                 .masked = true};
}

static cx_config small(void) {
    cx_config c = toy_config();
    c.policy.hidden = c.policy.lstm = 8;
    c.ppo.episodes_per_update = 24;
    c.ppo.minibatch_episodes = 10;
    c.ppo.minibatches = 7;
    c.ppo.buffer_episodes = 40;
    return c;
}

static void *saved(const cx_learner *l, size_t *size) {
    void *data;
    assert_ok(cx_learner_save(l, &data, size, &err));
    return data;
}

static void assert_same_state(const cx_learner *a, const cx_learner *b) {
    size_t n, m;
    void *x = saved(a, &n), *y = saved(b, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

/* The same episodes in the same order give the same weights, bit for bit; and so they
 * do through a save and a load at any point between updates. */
static void test_same_bits(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = small();
    cx_learner *a = toy_learner(&c, &p), *b = toy_learner(&c, &p), *other = toy_learner(&c, &p);
    (void)toy_train(other, &p, 1); /* what it held must not matter */
    toy_add(other, &p, 900, 3);
    for (int u = 0; u < 5; u++) {
        toy_add(a, &p, (uint64_t)u * 30, 17);
        toy_add(b, &p, (uint64_t)u * 30, 17);
        size_t size;
        void *data = saved(b, &size); /* with new episodes and half-used ones */
        assert_ok(cx_learner_load(other, data, size, &err));
        free(data);
        assert_same_state(b, other);
        cx_learner *swap = b;
        b = other;
        other = swap;
        toy_add(a, &p, (uint64_t)u * 30 + 17, 7);
        toy_add(b, &p, (uint64_t)u * 30 + 17, 7);
        assert_true(cx_learner_ready(b));
        (void)toy_update(a);
        (void)toy_update(b);
        assert_same_state(a, b);
    }
    assert_int_equal(cx_learner_version(b), 5);
    assert_memory_equal(cx_learner_policy(a), cx_learner_policy(b),
                        cx_learner_policy_count(a) * sizeof(float));
    cx_learner_destroy(a);
    cx_learner_destroy(b);
    cx_learner_destroy(other);
}

/* Another seed gives other weights (the test above could not fail otherwise). */
static void test_other_seed(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = small();
    cx_learner *a = toy_learner(&c, &p);
    c.seed++;
    cx_learner *b = toy_learner(&c, &p);
    assert_memory_not_equal(cx_learner_policy(a), cx_learner_policy(b),
                            cx_learner_policy_count(a) * sizeof(float));
    cx_learner_destroy(a);
    cx_learner_destroy(b);
}

static void test_not_in_an_update(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = small();
    cx_learner *l = toy_learner(&c, &p);
    size_t size;
    void *data = saved(l, &size), *none;
    toy_add(l, &p, 0, 24);
    assert_ok(cx_learner_begin(l, &err));
    assert_int_equal(cx_learner_save(l, &none, &size, &err), CX_ESTATE);
    assert_null(none);
    assert_int_equal(cx_learner_load(l, data, size, &err), CX_ESTATE);
    free(data);
    cx_learner_destroy(l);
}

static void test_other_configuration(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = small();
    cx_learner *a = toy_learner(&c, &p);
    size_t size;
    void *data = saved(a, &size);
    const int wider[] = {3, 3}, swapped[] = {2, 3};
    for (int i = 0; i < 3; i++) {
        toy q = p;
        cx_config d = c;
        if (i < 2)
            q.heads = toy_heads(2, i ? swapped : wider);
        else
            d.policy.lstm = 12;
        cx_learner *b = toy_learner(&d, &q);
        assert_int_equal(cx_learner_load(b, data, size, &err), CX_EFORMAT);
        cx_learner_destroy(b);
    }
    c.ppo.episodes_per_update = c.ppo.buffer_episodes = 5; /* this one may change */
    toy_add(a, &p, 0, 24);
    free(data);
    data = saved(a, &size);
    cx_learner *b = toy_learner(&c, &p);
    assert_ok(cx_learner_load(b, data, size, &err));
    assert_int_equal(b->buffer.n, 5);
    assert_int_equal(b->buffer.item[4]->result.episode, 23);
    free(data);
    cx_learner_destroy(a);
    cx_learner_destroy(b);
}

/* Loads from a block of exactly `size` bytes, so that a read past its end is seen. */
static int load_copy(cx_learner *l, const void *data, size_t size) {
    void *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    int rc = cx_learner_load(l, copy, size, &err);
    free(copy);
    return rc;
}

/* Cut off or altered bytes are refused, and the learner stays what it was. */
static void test_corrupt(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = small();
    cx_learner *a = toy_learner(&c, &p), *b = toy_learner(&c, &p), *b2 = toy_learner(&c, &p);
    (void)toy_train(a, &p, 1);
    toy_add(a, &p, 100, 4);
    toy_add(b, &p, 200, 2);
    toy_add(b2, &p, 200, 2);
    size_t size;
    unsigned char *data = saved(a, &size);
    for (size_t cut = 0; cut < size; cut += cut < 300 ? 1 : 97)
        assert_int_equal(load_copy(b, data, cut), CX_EFORMAT);
    cx_rng rng = cx_rng_make(6, 0, CX_STREAM_TEST);
    for (int i = 0; i < 2000; i++) {
        size_t bit = i < 256 ? (size_t)i : cx_rng_below(&rng, (uint32_t)(8 * size));
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        int rc = cx_learner_load(b, data, size, &err);
        assert_true(rc == CX_EFORMAT || rc == CX_EVERSION);
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_same_state(b, b2);
    assert_ok(cx_learner_load(b, data, size, &err));
    assert_same_state(a, b);
    free(data);
    cx_learner_destroy(a);
    cx_learner_destroy(b);
    cx_learner_destroy(b2);
}

/* Altered bytes with a check sum to match, to get at the checks behind it: nothing
 * may be read or written out of bounds, and a weight that is not finite is refused. */
static void test_corrupt_behind_the_check_sum(void **state) {
    (void)state;
    toy p = problem();
    cx_config c = small();
    cx_learner *a = toy_learner(&c, &p), *b = toy_learner(&c, &p);
    (void)toy_train(a, &p, 1);
    toy_add(a, &p, 100, 4);
    size_t size;
    unsigned char *data = saved(a, &size), *bad = malloc(size);
    assert_non_null(bad);
    cx_rng rng = cx_rng_make(7, 0, CX_STREAM_TEST);
    const size_t sizes_end = 32 + 144, counters_end = sizes_end + 72;
    int refused[4] = {0};
    for (int i = 0; i < 4000; i++) {
        size_t end = size, at = 0;
        memcpy(bad, data, size);
        switch (i % 4) {
        case 0: /* cut off, with a header that agrees */
            end = 32 + cx_rng_below(&rng, (uint32_t)(size - 32));
            break;
        case 1:
            at = 32 + cx_rng_below(&rng, (uint32_t)(sizes_end - 32));
            break;
        case 2:
            at = sizes_end + cx_rng_below(&rng, (uint32_t)(counters_end - sizes_end));
            break;
        default: /* mostly in the episodes */
            at = i % 8 == 7 ? size - 1 - cx_rng_below(&rng, 2000)
                            : counters_end + cx_rng_below(&rng, (uint32_t)(size - counters_end));
        }
        bad[at] ^= (unsigned char)(at ? 1 << cx_rng_below(&rng, 8) : 0);
        uint64_t rest = end - 32, hash = cx_hash(bad + 32, rest, 0);
        memcpy(bad + 8, &rest, sizeof rest);
        memcpy(bad + 16, &hash, sizeof hash);
        refused[i % 4] += load_copy(b, bad, end) != CX_OK;
        for (size_t w = 0; w < cx_learner_policy_count(b); w++)
            assert_true(isfinite(cx_learner_policy(b)[w]));
    }
    assert_int_equal(refused[0], 1000);
    assert_int_equal(refused[1], 1000);
    assert_true(refused[2] > 100 && refused[3] > 50);
    assert_ok(cx_learner_load(b, data, size, &err));
    assert_same_state(a, b);
    free(data);
    free(bad);
    cx_learner_destroy(a);
    cx_learner_destroy(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_other_seed),
        cmocka_unit_test(test_not_in_an_update),
        cmocka_unit_test(test_other_configuration),
        cmocka_unit_test(test_corrupt),
        cmocka_unit_test(test_corrupt_behind_the_check_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
