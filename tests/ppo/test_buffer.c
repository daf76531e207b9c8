#include "tests/test.h"

#include "ppo/buffer.h"
#include <string.h>

static cx_error err;

static void add(cx_buffer *b, int steps, uint64_t version, int uses) {
    cx_trajectory *t;
    assert_ok(cx_trajectory_create(1, 1, 1, steps, &t, &err));
    t->result.steps = steps;
    t->result.version = version;
    t->result.episode = (uint64_t)b->n;
    t->uses = uses;
    assert_ok(cx_buffer_add(b, t, &err));
}

static cx_plan planned(const cx_buffer *b, uint64_t version, int max_uses, int batches, int size) {
    cx_rng rng = cx_rng_make(5, version, CX_STREAM_LEARNER);
    cx_plan plan;
    assert_ok(cx_plan_make(b, version, max_uses, 4, batches, size, &rng, &plan, &err));
    return plan;
}

/* What every plan must obey; counts how often each episode of the buffer is in it. */
static void check_plan(const cx_buffer *b, const cx_plan *plan, int batches, int size, int *uses) {
    memset(uses, 0, (size_t)b->n * sizeof *uses);
    assert_true(plan->n_batches <= batches);
    assert_int_equal(plan->start[0], 0);
    for (int i = 0; i < plan->n_batches; i++) {
        int n = plan->start[i + 1] - plan->start[i];
        assert_true(n >= 1 && n <= size);
        for (int j = plan->start[i]; j < plan->start[i + 1]; j++) {
            assert_true(plan->item[j] >= 0 && plan->item[j] < plan->n_episodes);
            for (int k = plan->start[i]; k < j; k++)
                assert_int_not_equal(plan->item[j], plan->item[k]); /* different ones */
            uses[plan->episode[plan->item[j]]->result.episode]++;
        }
    }
    int distinct = 0;
    for (int i = 0; i < b->n; i++)
        distinct += uses[i] > 0;
    assert_int_equal(distinct, plan->n_episodes);
    for (int e = 1; e < plan->n_episodes; e++)
        assert_true(plan->episode[e - 1]->result.steps <= plan->episode[e]->result.steps);
}

/* The preset desk: 256 episodes, 12 minibatches of 64, each at most 3 times. */
static void test_desk(void **state) {
    (void)state;
    cx_buffer b = {0};
    int uses[256], mixed = 0;
    const int lengths[] = {8, 16, 32, 24};
    for (int i = 0; i < 256; i++)
        add(&b, lengths[i % 4], 9, 0);
    cx_plan plan = planned(&b, 9, 3, 12, 64);
    check_plan(&b, &plan, 12, 64, uses);
    assert_int_equal(plan.n_batches, 12);
    assert_int_equal(plan.last_pass, 8);
    for (int i = 0; i < 256; i++)
        assert_int_equal(uses[i], 3);
    for (int i = 0; i < 12; i++) /* here every batch can have one length */
        for (int j = plan.start[i]; j < plan.start[i + 1]; j++)
            mixed += plan.episode[plan.item[j]]->result.steps !=
                     plan.episode[plan.item[plan.start[i]]]->result.steps;
    assert_int_equal(mixed, 0);
    /* a pass comes to an end before the next one begins */
    for (int pass = 0; pass < 3; pass++) {
        int seen[256] = {0};
        for (int j = plan.start[4 * pass]; j < plan.start[4 * pass + 4]; j++)
            seen[plan.item[j]]++;
        for (int i = 0; i < 256; i++)
            assert_int_equal(seen[i], 1);
    }
    cx_plan_free(&plan);
    cx_buffer_free(&b);
}

/* The batches of two passes differ, and those of two updates; the same key gives the
 * same plan. */
static void test_order(void **state) {
    (void)state;
    cx_buffer b = {0};
    for (int i = 0; i < 64; i++)
        add(&b, 8, 0, 0);
    cx_plan p = planned(&b, 0, 3, 12, 16), q = planned(&b, 0, 3, 12, 16);
    cx_plan r = planned(&b, 1, 3, 12, 16);
    size_t bytes = 192 * sizeof(int);
    assert_int_equal(p.start[12], 192);
    assert_memory_equal(p.item, q.item, bytes);
    assert_memory_not_equal(p.item, r.item, bytes);
    assert_memory_not_equal(p.item, p.item + 64, 64 * sizeof(int));
    cx_plan_free(&p);
    cx_plan_free(&q);
    cx_plan_free(&r);
    cx_buffer_free(&b);
}

static void test_stale_and_used_up(void **state) {
    (void)state;
    cx_buffer b = {0};
    int uses[6];
    add(&b, 4, 5, 0);  /* five versions old: too stale */
    add(&b, 4, 6, 0);  /* four: just not */
    add(&b, 4, 10, 3); /* used up */
    add(&b, 4, 10, 2);
    add(&b, 4, 10, 0);
    assert_true(cx_staleness(b.item[0], 10) == 5 && cx_staleness(b.item[2], 3) == 0);
    cx_plan plan = planned(&b, 10, 3, 100, 2);
    check_plan(&b, &plan, 100, 2, uses);
    const int want[] = {0, 3, 0, 1, 3};
    for (int i = 0; i < 5; i++)
        assert_int_equal(uses[i], want[i]);
    cx_plan_free(&plan);
    b.n_new = 0;
    add(&b, 4, 0, 0); /* stale, but new: it still counts for the next update */
    cx_buffer_drop_spent(&b, 10, 3, 4);
    assert_int_equal(b.n, 4);
    assert_int_equal(b.n_new, 1);
    assert_int_equal(b.item[0]->result.episode, 1);
    assert_int_equal(b.item[3]->result.episode, 5);
    cx_buffer_free(&b);
}

/* The least used go first, and are filled up by the next least used. */
static void test_least_used_first(void **state) {
    (void)state;
    cx_buffer b = {0};
    int uses[40];
    for (int i = 0; i < 40; i++)
        add(&b, 4 + i % 5, 0, i < 4 ? 0 : i < 30 ? 1 : 2);
    cx_plan plan = planned(&b, 0, 3, 1, 8);
    check_plan(&b, &plan, 1, 8, uses);
    assert_int_equal(plan.start[1], 8);
    for (int i = 0; i < 40; i++)
        assert_true(i < 4 ? uses[i] == 1 : i < 30 ? uses[i] <= 1 : uses[i] == 0);
    cx_plan_free(&plan);
    plan = planned(&b, 0, 3, 1000, 8); /* all that there is */
    check_plan(&b, &plan, 1000, 8, uses);
    for (int i = 0; i < 40; i++)
        assert_int_equal(uses[i], i < 4 ? 3 : i < 30 ? 2 : 1);
    cx_plan_free(&plan);
    cx_buffer_free(&b);
}

/* A pass that is no multiple of the batch size is cut evenly. */
static void test_even_batches(void **state) {
    (void)state;
    cx_buffer b = {0};
    int uses[65];
    for (int i = 0; i < 65; i++)
        add(&b, 2 + i, 0, 0);
    cx_plan plan = planned(&b, 0, 1, 5, 64);
    check_plan(&b, &plan, 5, 64, uses);
    assert_int_equal(plan.n_batches, 2);
    int n = plan.start[1];
    assert_true(n == 32 || n == 33);
    cx_plan_free(&plan);
    cx_buffer_free(&b);
}

static void test_nothing(void **state) {
    (void)state;
    cx_buffer b = {0};
    cx_plan plan = planned(&b, 0, 3, 12, 64);
    assert_int_equal(plan.n_batches, 0);
    cx_plan_free(&plan);
    add(&b, 3, 0, 0);
    plan = planned(&b, 9, 3, 12, 64);
    assert_int_equal(plan.n_batches, 0);
    assert_int_equal(plan.n_episodes, 0);
    cx_plan_free(&plan);
    cx_buffer_free(&b);
}

static void test_evict(void **state) {
    (void)state;
    cx_buffer b = {0};
    for (int i = 0; i < 100; i++)
        add(&b, 2, 0, 0);
    b.n_new = 70;
    cx_buffer_evict(&b, 80);
    assert_int_equal(b.n, 80);
    assert_int_equal(b.n_new, 70);
    assert_int_equal(b.item[0]->result.episode, 20);
    cx_buffer_evict(&b, 50);
    assert_int_equal(b.n_new, 50);
    assert_int_equal(b.item[49]->result.episode, 99);
    cx_buffer_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_desk),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_stale_and_used_up),
        cmocka_unit_test(test_least_used_first),
        cmocka_unit_test(test_even_batches),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_evict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
