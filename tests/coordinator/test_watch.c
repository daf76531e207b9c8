#include "tests/test.h"

#include "coordinator/watch.h"

/* What was handed out again, in order. */
typedef struct {
    int n;
    cx_job job[64];
} heap;

static void collect(void *context, const cx_job *job) {
    heap *h = context;
    assert_true(h->n < 64);
    h->job[h->n++] = *job;
}

static const cx_load small = {.entry = 0, .gflop = 1, .steps = 100, .piece = 1};

static cx_job episode(uint64_t e) {
    return (cx_job){.kind = CX_JOB_EPISODE, .episode = e, .instance = e / 4};
}

static cx_watch *make(int workers) {
    cx_error err;
    cx_watch *w;
    cx_watch_rules rules = {workers, 4, 2, 5, 10, 0};
    assert_ok(cx_watch_create(&rules, &w, &err));
    for (int rank = 1; rank <= workers; rank++)
        cx_watch_ready(w, rank, 0);
    return w;
}

static void give(cx_watch *w, int rank, uint64_t e, const cx_load *load, double now) {
    cx_job job = episode(e);
    assert_true(cx_watch_give(w, rank, &job, load, now));
}

static void answer(cx_watch *w, int rank, uint64_t e, double now) {
    cx_job job = episode(e);
    cx_watch_heard(w, rank, now);
    assert_true(cx_watch_answered(w, rank, &job, NULL, now));
}

/* Jobs of 10 s for 1 GFLOP and 100 steps are known. */
static void teach(cx_watch *w, int rank) {
    for (uint64_t e = 1000; e < 1003; e++) {
        give(w, rank, e, &small, 0);
        answer(w, rank, e, 10);
    }
}

static bool late_at(cx_watch *w, double now) {
    heap h = {0};
    return cx_watch_check(w, now, collect, &h);
}

static void test_queues(void **state) {
    (void)state;
    cx_error err;
    cx_watch *w;
    cx_watch_rules rules = {2, 2, 1, 5, 10, 0};
    assert_ok(cx_watch_create(&rules, &w, &err));
    assert_int_equal(cx_watch_state(w, 1), CX_CREW_AWAITED);
    assert_false(cx_watch_may_take(w, 1, 0, 0));
    cx_watch_ready(w, 1, 0);
    assert_true(cx_watch_may_take(w, 1, 0, 0));
    assert_null(cx_watch_first(w, 1));
    give(w, 1, 7, &small, 0);
    assert_false(cx_watch_may_take(w, 1, 0, 0));
    assert_true(cx_watch_may_take(w, 1, 1, 0));
    give(w, 1, 9, &small, 0);
    assert_false(cx_watch_may_take(w, 1, 2, 0)); /* no more than it may hold */
    assert_int_equal(cx_watch_held(w, 1), 2);
    assert_int_equal(cx_watch_first(w, 1)->episode, 7);
    assert_non_null(cx_watch_trajectory(w, 1, 9));
    assert_null(cx_watch_trajectory(w, 2, 9));
    cx_trajectory *t;
    assert_ok(cx_trajectory_create(1, 1, 1, 1, cx_watch_trajectory(w, 1, 9), &err));
    cx_job nine = episode(9), stranger = episode(8);
    assert_false(cx_watch_answered(w, 1, &stranger, NULL, 1));
    assert_true(cx_watch_answered(w, 1, &nine, &t, 1));
    assert_non_null(t); /* ours now */
    cx_trajectory_destroy(t);
    assert_false(cx_watch_answered(w, 1, &nine, NULL, 1)); /* once */
    cx_watch_left(w, 1);
    assert_int_equal(cx_watch_state(w, 1), CX_CREW_LEFT);
    cx_watch_destroy(w);
}

/* Late by the time that such tasks took, in proportion to their size. */
static void test_expected_time(void **state) {
    (void)state;
    cx_watch *w = make(2);
    give(w, 1, 0, &small, 0);
    assert_false(late_at(w, 1e6)); /* nothing is known of such tasks */
    answer(w, 1, 0, 1e6);
    cx_watch_destroy(w);

    w = make(2);
    teach(w, 1);
    give(w, 1, 1, &small, 100);
    assert_false(late_at(w, 149));
    assert_true(late_at(w, 151));
    assert_int_equal(cx_watch_state(w, 1), CX_CREW_LATE);
    cx_load big = {.entry = 0, .gflop = 8, .steps = 100, .piece = 1};
    give(w, 2, 2, &big, 100);
    assert_false(late_at(w, 499));
    assert_true(late_at(w, 501));
    cx_watch_destroy(w);

    /* by steps, where these are more; of an unknown entry as of all; never before late_seconds */
    const cx_load load[] = {{0, 1, 300, 1}, {1, 3, 100, 1}, {0, 1e-3, 1, 1}};
    const double bound[] = {150, 150, 10};
    for (int i = 0; i < 3; i++) {
        w = make(1);
        teach(w, 1);
        give(w, 1, 1, &load[i], 100);
        assert_false(late_at(w, 100 + bound[i] - 0.5));
        assert_true(late_at(w, 100 + bound[i] + 0.5));
        cx_watch_destroy(w);
    }
}

/* A long episode whose worker is silent for several pieces is found before its end. */
static void test_silence(void **state) {
    (void)state;
    cx_watch *w = make(1);
    teach(w, 1);
    cx_load pieces = {.entry = 0, .gflop = 10, .steps = 1000, .piece = 0.25};
    give(w, 1, 1, &pieces, 100); /* 100 s, a piece every 25 s */
    for (double now = 125; now <= 200; now += 25) {
        cx_watch_heard(w, 1, now);
        assert_false(late_at(w, now + 24));
    }
    assert_false(late_at(w, 200 + 124));
    assert_true(late_at(w, 200 + 126));
    cx_watch_destroy(w);
}

/* The clock of a queued job begins when the one before it is done. */
static void test_queued_jobs_wait(void **state) {
    (void)state;
    cx_watch *w = make(1);
    teach(w, 1);
    give(w, 1, 1, &small, 100);
    give(w, 1, 2, &small, 100);
    answer(w, 1, 1, 110);
    assert_false(late_at(w, 155)); /* of the second one's 10 s, not of the first one's */
    assert_true(late_at(w, 161));
    cx_watch_destroy(w);
}

/* All jobs of a late worker are handed out again; it gets none until it is heard from, and
 * for a time after that, and then one at a time until it has been in time. */
static void test_late_worker(void **state) {
    (void)state;
    heap h = {0};
    cx_watch *w = make(2);
    teach(w, 1);
    for (uint64_t e = 1; e <= 3; e++)
        give(w, 1, e, &small, 100);
    assert_true(cx_watch_check(w, 151, collect, &h));
    assert_int_equal(h.n, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(h.job[i].episode, i + 1);
    assert_false(cx_watch_check(w, 152, collect, &h)); /* once */
    assert_int_equal(h.n, 3);
    assert_false(cx_watch_may_take(w, 1, 3, 152));
    assert_int_equal(cx_watch_count(w).late, 1);
    assert_int_equal(cx_watch_count(w).well, 1);
    cx_job again = {.kind = CX_JOB_EPISODE, .episode = 1, .instance = 0, .tries = 1};
    assert_true(cx_watch_give(w, 2, &again, &small, 152));
    assert_int_equal(cx_watch_count(w).reissued, 1);
    assert_false(late_at(w, 152 + 99)); /* twice the time */
    /* the other one is first: the late one need not go on */
    answer(w, 2, 1, 162);
    cx_job one = episode(1), two = episode(2);
    assert_true(cx_watch_drop(w, 1, &one, 162));
    assert_false(cx_watch_drop(w, 1, &one, 162));
    assert_int_equal(cx_watch_state(w, 1), CX_CREW_LATE);
    cx_watch_heard(w, 1, 170);
    assert_int_equal(cx_watch_state(w, 1), CX_CREW_WELL);
    /* what it still holds it may go on with: no second message */
    assert_false(cx_watch_give(w, 1, &two, &small, 170));
    answer(w, 1, 2, 175);
    answer(w, 1, 3, 176);
    assert_int_equal(cx_watch_held(w, 1), 0);
    assert_true(cx_watch_may_take(w, 1, 0, 181));
    give(w, 1, 4, &small, 181);
    answer(w, 1, 4, 190);
    give(w, 1, 5, &small, 190);
    assert_true(cx_watch_may_take(w, 1, 1, 190)); /* in time: as all others */
    cx_watch_destroy(w);
}

static void test_slow_worker_waits_longer_each_time(void **state) {
    (void)state;
    cx_watch *w = make(2);
    teach(w, 1);
    double now = 1000, waits[3];
    for (int i = 0; i < 3; i++) {
        cx_job job = episode((uint64_t)i);
        give(w, 1, (uint64_t)i, &small, now);
        now += 1000;
        assert_true(late_at(w, now));
        cx_watch_heard(w, 1, now);
        assert_false(cx_watch_may_take(w, 1, 1, now + 1e6)); /* single jobs */
        assert_true(cx_watch_drop(w, 1, &job, now));
        waits[i] = 0;
        while (!cx_watch_may_take(w, 1, 0, now))
            now += 0.25, waits[i] += 0.25;
    }
    assert_true(waits[0] == 10 && waits[1] == 20 && waits[2] == 40);
    cx_watch_destroy(w);
}

static void test_lost_worker(void **state) {
    (void)state;
    cx_error err;
    heap h = {0};
    cx_watch *w = make(3);
    give(w, 2, 1, &small, 0);
    give(w, 2, 2, &small, 0);
    assert_ok(cx_trajectory_create(1, 1, 1, 1, cx_watch_trajectory(w, 2, 1), &err));
    cx_watch_lost(w, 2, collect, &h);
    assert_int_equal(h.n, 2);
    assert_int_equal(cx_watch_held(w, 2), 0);
    cx_watch_heard(w, 2, 5); /* what it sent before it died */
    assert_int_equal(cx_watch_state(w, 2), CX_CREW_LOST);
    assert_false(cx_watch_may_take(w, 2, 0, 1e6));
    assert_int_equal(cx_watch_count(w).lost, 1);
    cx_watch_destroy(w);
}

/* The one that took over dies: the one that was late goes on, if it is heard from. */
static void test_two_hold_a_job(void **state) {
    (void)state;
    heap h = {0};
    cx_watch *w = make(2);
    teach(w, 1);
    give(w, 1, 1, &small, 100);
    assert_true(late_at(w, 151));
    give(w, 2, 1, &small, 151);
    cx_watch_heard(w, 1, 160);
    cx_watch_lost(w, 2, collect, &h);
    assert_int_equal(h.n, 0);
    assert_true(late_at(w, 1000)); /* it is answerable for it again */
    cx_watch_destroy(w);

    w = make(2);
    teach(w, 1);
    give(w, 1, 1, &small, 100);
    assert_true(late_at(w, 151));
    give(w, 2, 1, &small, 151);
    cx_watch_lost(w, 2, collect, &h); /* nobody is left for it */
    assert_int_equal(h.n, 1);
    cx_watch_destroy(w);
}

/* Whoever is passed over is asked again when something of it has changed, and not before. */
static void test_passed_over(void **state) {
    (void)state;
    enum { N = 130 }; /* more than two words of bits */
    cx_error err;
    cx_watch *w;
    cx_watch_rules rules = {
        .workers = N, .prefetch = 1, .entries = 1, .late_factor = 5, .late_seconds = 10};
    assert_ok(cx_watch_create(&rules, &w, &err));
    assert_int_equal(cx_watch_open(w, 1), 0); /* nobody is ready */
    for (int rank = 1; rank <= N; rank += 3)
        cx_watch_ready(w, rank, 0);
    int n = 0, last = 0;
    for (int rank = cx_watch_open(w, 1); rank; rank = cx_watch_open(w, rank + 1), n++) {
        assert_int_equal(rank % 3, 1);
        last = rank;
    }
    assert_int_equal(n, 44);
    assert_int_equal(last, N);
    for (int rank = 1; rank <= N; rank += 3) {
        assert_false(cx_watch_taken_up(w, rank));
        give(w, rank, (uint64_t)rank, &small, 0);
        assert_true(cx_watch_taken_up(w, rank));
        cx_watch_pass_over(w, rank);
    }
    assert_int_equal(cx_watch_open(w, 1), 0);
    answer(w, 64, 64, 1);
    answer(w, 127, 127, 1);
    assert_int_equal(cx_watch_open(w, 1), 64);
    assert_int_equal(cx_watch_open(w, 65), 127);
    assert_int_equal(cx_watch_open(w, 128), 0);
    cx_watch_pass_over(w, 64);
    cx_watch_pass_over(w, 127);
    cx_job job = episode(4); /* another one has done it */
    assert_true(cx_watch_drop(w, 4, &job, 1));
    assert_int_equal(cx_watch_open(w, 1), 4);
    cx_watch_pass_over(w, 4);
    assert_true(late_at(w, 1e4)); /* those with a job; they are heard from again */
    assert_true(cx_watch_taken_up(w, 7));
    assert_int_equal(cx_watch_open(w, 1), 0);
    cx_watch_heard(w, 7, 1e4);
    assert_int_equal(cx_watch_open(w, 1), 7);
    assert_true(cx_watch_taken_up(w, 7)); /* it goes on with what it held */
    cx_watch_destroy(w);
}

static void test_hopeless(void **state) {
    (void)state;
    heap h = {0};
    cx_watch *w = make(2);
    teach(w, 1);
    assert_false(cx_watch_hopeless(w, 1e9)); /* idle ones are well */
    give(w, 1, 1, &small, 100);
    cx_watch_lost(w, 2, collect, &h);
    assert_true(late_at(w, 151)); /* 50 s late; silent since 100 */
    assert_false(cx_watch_hopeless(w, 299));
    assert_true(cx_watch_hopeless(w, 301));
    assert_int_equal(cx_watch_count(w).late, 1);
    assert_false(late_at(w, 301));
    assert_int_equal(cx_watch_count(w).late, 0); /* given up: as good as dead */
    assert_int_equal(cx_watch_count(w).lost, 2);
    cx_watch_heard(w, 1, 302);
    assert_int_equal(cx_watch_count(w).lost, 1);
    assert_false(cx_watch_hopeless(w, 303));
    cx_watch_lost(w, 1, collect, &h);
    assert_true(cx_watch_hopeless(w, 303)); /* all dead: at once */
    cx_watch_destroy(w);

    cx_error err;
    cx_watch_rules rules = {2, 2, 1, 5, 10, 0};
    assert_ok(cx_watch_create(&rules, &w, &err)); /* they may be loading data */
    assert_false(cx_watch_hopeless(w, 1000));
    cx_watch_lost(w, 1, collect, &h);
    assert_false(cx_watch_hopeless(w, 1000));
    assert_true(cx_watch_hopeless(w, 10000));
    cx_watch_lost(w, 2, collect, &h);
    assert_true(cx_watch_hopeless(w, 1000));
    cx_watch_destroy(w);
}

/* Learner ranks: their jobs go back as others do, their times are their own, they are counted
 * apart, and without workers they are no hope. */
static void test_learner_ranks(void **state) {
    (void)state;
    cx_error err;
    cx_watch *w;
    heap h = {0};
    const cx_watch_rules rules = {3, 4, 2, 5, 10, 1};
    assert_ok(cx_watch_create(&rules, &w, &err));
    for (int rank = 1; rank <= 3; rank++)
        cx_watch_ready(w, rank, 0);
    cx_watch_counts n = cx_watch_count(w);
    assert_true(n.well == 2 && n.learners == 1 && n.learners_gone == 0);
    assert_int_equal(cx_watch_learners(w, 0), 1);
    teach(w, 1);
    const cx_job shard = {.kind = CX_JOB_GRADIENT, .episode = 7};
    const cx_load load = {.gflop = 100, .steps = 100, .piece = 1};
    for (int i = 0; i < 3; i++) { /* 0.1 s each; episodes of such steps take 10 */
        assert_true(cx_watch_give(w, 3, &shard, &load, 10 + i));
        assert_true(cx_watch_answered(w, 3, &shard, NULL, 10.1 + i));
    }
    give(w, 1, 7, &small, 20);
    assert_true(cx_watch_give(w, 3, &shard, &load, 20));
    assert_true(cx_watch_expected(w, 3) < 0.2 && cx_watch_expected(w, 1) > 5);
    answer(w, 1, 7, 29); /* not the shard of that number */
    assert_int_equal(cx_watch_held(w, 3), 1);
    assert_true(cx_watch_check(w, 31, collect, &h)); /* after late_seconds */
    assert_true(h.n == 1 && h.job[0].kind == CX_JOB_GRADIENT && h.job[0].episode == 7);
    n = cx_watch_count(w);
    assert_true(n.well == 2 && n.late == 0 && n.learners == 0 && n.learners_gone == 1);
    assert_int_equal(cx_watch_learners(w, 31), 0);
    assert_true(cx_watch_answered(w, 3, &shard, NULL, 32)); /* late, and counts */
    cx_watch_heard(w, 3, 32);
    assert_true(cx_watch_count(w).learners == 1 && cx_watch_learners(w, 33) == 0); /* not yet */
    assert_int_equal(cx_watch_learners(w, 43), 1);
    cx_watch_lost(w, 1, collect, &h);
    assert_false(cx_watch_hopeless(w, 33));
    cx_watch_lost(w, 2, collect, &h);
    n = cx_watch_count(w);
    assert_true(n.lost == 2 && n.learners == 1 && n.learners_gone == 0);
    assert_true(cx_watch_hopeless(w, 33));
    cx_watch_destroy(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queues),
        cmocka_unit_test(test_expected_time),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_queued_jobs_wait),
        cmocka_unit_test(test_late_worker),
        cmocka_unit_test(test_slow_worker_waits_longer_each_time),
        cmocka_unit_test(test_lost_worker),
        cmocka_unit_test(test_two_hold_a_job),
        cmocka_unit_test(test_passed_over),
        cmocka_unit_test(test_hopeless),
        cmocka_unit_test(test_learner_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
