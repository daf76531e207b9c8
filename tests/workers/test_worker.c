/* A worker and the letters that it gets: jobs that nobody waits for any more. */
#include "tests/workers/fixture.h"

#include "wire/message.h"
#include "workers/worker.h"

static const char yaml[] = "seed: 3\n"
                           "episode: {outer_examples: 16, final_examples: 16}\n"
                           "policy: {hidden: 8, lstm: 8}\n"
                           "tasks:\n"
                           "  - {family: nqm, outer_steps: 3, inner_per_outer: 2, dimension: 10}\n"
                           "  - {family: nqm, name: long, outer_steps: 500, inner_per_outer: "
                           "100000, dimension: 10}\n";

/* Letters that wait for the worker, and gaps (no data) at which there is nothing more for it
 * at that look; and what it has sent. */
typedef struct {
    cx_transport base;
    struct {
        void *data;
        size_t size;
    } letter[8];
    int n, next;
    int answers;
    cx_msg_type answer;
    uint64_t number;
} post;

static int post_send(cx_transport *t, int to, void *data, size_t size, cx_error *unused) {
    post *p = (post *)t;
    cx_error err;
    (void)unused;
    const void *body, *extra;
    size_t extra_size;
    cx_msg_type type;
    assert_int_equal(to, 0);
    assert_ok(cx_message_unpack(data, size, &type, &body, &extra, &extra_size, &err));
    if (type == CX_MSG_FAILED)
        fail_msg("%s", ((const cx_msg_failed *)body)->text);
    if (type != CX_MSG_READY) {
        p->answers++;
        p->answer = type;
        p->number = type == CX_MSG_TRIED       ? ((const cx_msg_tried *)body)->result.key
                    : type == CX_MSG_EVALUATED ? ((const cx_msg_evaluated *)body)->number
                                               : ((const cx_msg_sweep *)body)->instance;
    }
    free(data);
    return CX_OK;
}

static int post_receive(cx_transport *t, int *from, void **data, size_t *size, cx_error *unused) {
    post *p = (post *)t;
    (void)unused;
    bool any = p->next < p->n;
    *from = 0;
    *data = any ? p->letter[p->next].data : NULL;
    *size = any ? p->letter[p->next].size : 0;
    p->next += any;
    return CX_OK;
}

static void put(post *p, cx_msg_type type, const void *body, const float *weights, size_t n) {
    cx_error err;
    assert_in_range(p->n, 0, 7);
    assert_ok(cx_message_pack(type, body, cx_message_body_size(type), weights, n * sizeof(float),
                              &p->letter[p->n].data, &p->letter[p->n].size, &err));
    p->n++;
}

static void put_gap(post *p) {
    p->letter[p->n++].data = NULL;
}

/* Entry 0 takes no time, entry 1 hours. */
static void put_job(post *p, const fixture *f, cx_msg_type type, uint64_t number, uint32_t entry,
                    bool with_weights) {
    size_t n = with_weights ? cx_net_count(cx_episode_runner_net(f->runner)) : 0;
    cx_msg_trial t;
    cx_msg_evaluation e;
    cx_msg_baseline_job b;
    memset(&t, 0, sizeof t);
    memset(&e, 0, sizeof e);
    memset(&b, 0, sizeof b);
    cx_task_sample_entry(&f->config, entry, number, &t.job.spec);
    e.spec = b.spec = t.job.spec;
    t.key = e.number = b.instance = number;
    t.job.trainer = CX_TRAINER_POLICY;
    t.job.length = 1;
    e.acting = CX_ACT_LIKELIEST;
    e.test_examples = b.examples = 16;
    t.n_weights = e.n_weights = n;
    const void *body = type == CX_MSG_TRIAL        ? (const void *)&t
                       : type == CX_MSG_EVALUATION ? (const void *)&e
                                                   : (const void *)&b;
    put(p, type, body, f->policy, n);
}

static void put_drop(post *p, cx_msg_type type, uint64_t number) {
    cx_msg_drop m;
    memset(&m, 0, sizeof m);
    m.type = type;
    m.number = number;
    put(p, CX_MSG_DROP, &m, NULL, 0);
}

/* A worker does all that was put; `answers` then says how much that was. */
static void work(const fixture *f, post *p) {
    cx_worker *w;
    cx_error err;
    bool worked = true, stopped = false;
    p->base = (cx_transport){.rank = 1, .ranks = 2, .send = post_send, .receive = post_receive};
    assert_ok(cx_worker_create(&f->config, f->store, &p->base, &w, &err));
    while (worked || p->next < p->n)
        assert_ok(cx_worker_poll(w, &worked, &stopped, &err));
    cx_worker_destroy(w);
}

static const struct {
    cx_msg_type job, answer;
    bool weights;
} kinds[] = {{CX_MSG_TRIAL, CX_MSG_TRIED, true},
             {CX_MSG_EVALUATION, CX_MSG_EVALUATED, true},
             {CX_MSG_BASELINE, CX_MSG_SWEEP, false}};

/* One that waits for its turn is not done; but the weights that came with it are taken: the
 * next job comes without. */
static void test_drop_waiting(void **state) {
    (void)state;
    fixture *f = make_fixture("", yaml);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        post p = {.n = 0};
        put_job(&p, f, kinds[i].job, 5, 1, kinds[i].weights);
        put_job(&p, f, kinds[i].job, 6, 0, false);
        put_drop(&p, kinds[i].job, 5);
        put_drop(&p, kinds[i].job, 7); /* which it does not have */
        work(f, &p);
        assert_int_equal(p.answers, 1);
        assert_int_equal(p.answer, kinds[i].answer);
        assert_int_equal(p.number, 6);
    }
    tear_down(f);
}

/* One that it is at is left; the next one is done. */
static void test_drop_amid(void **state) {
    (void)state;
    fixture *f = make_fixture("", yaml);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        post p = {.n = 0};
        put_job(&p, f, kinds[i].job, 5, 1, kinds[i].weights);
        put_gap(&p);
        put_drop(&p, kinds[i].job, 5);
        put_job(&p, f, kinds[i].job, 6, 0, false);
        work(f, &p);
        assert_int_equal(p.answers, 1);
        assert_int_equal(p.answer, kinds[i].answer);
        assert_int_equal(p.number, 6);
    }
    tear_down(f);
}

/* Numbers of two types of jobs are two things. */
static void test_drop_of_another_type(void **state) {
    (void)state;
    fixture *f = make_fixture("", yaml);
    post p = {.n = 0};
    put_job(&p, f, CX_MSG_TRIAL, 5, 0, true);
    put_drop(&p, CX_MSG_EVALUATION, 5);
    put_drop(&p, CX_MSG_BASELINE, 5);
    work(f, &p);
    assert_int_equal(p.answers, 1);
    assert_int_equal(p.number, 5);
    tear_down(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drop_waiting),
        cmocka_unit_test(test_drop_amid),
        cmocka_unit_test(test_drop_of_another_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
