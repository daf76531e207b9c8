/* The farm among workers that the test plays: what one holds that dies, stands still or has no
 * memory is done by others, once; who goes on with it in vain is told. */
#include "tests/test.h"

#include "coordinator/farm.h"
#include "tasks/task.h"
#include <string.h>

enum { WORKERS = 3, JOBS = 12 };

static const char yaml[] = "workers: {late_seconds: 0.3, late_factor: 2, silence_seconds: 3600}\n"
                           "tasks: [{family: nqm, outer_steps: 3, inner_per_outer: 2}]\n";

typedef struct {
    cx_config config;
    cx_transport *end[WORKERS + 1];
    cx_farm *farm;
    /* the caller of the farm */
    cx_msg_type asks;
    int sent, n_redo, given[JOBS], answers[JOBS], done;
    uint64_t redo[JOBS], next;
    /* the workers: jobs that each of them holds, and what they were told to leave */
    uint64_t held[WORKERS + 1][2 * JOBS];
    int n_held[WORKERS + 1];
    int dropped[JOBS];
    int (*play)(void *fixture, int rank); /* what a worker does when it is its turn */
    const char *lost;
} fixture;

/* --- the work --- */

static bool all_done(void *context) {
    return ((fixture *)context)->done == JOBS;
}

static int next_job(void *context, bool *ready, cx_farm_job *job, cx_error *err) {
    fixture *f = context;
    (void)err;
    *ready = f->n_redo > 0 || f->sent < JOBS;
    if (*ready)
        f->next = f->n_redo > 0 ? f->redo[--f->n_redo] : (uint64_t)f->sent++;
    *job = (cx_farm_job){f->next, {.entry = 0, .gflop = 1, .steps = 1, .piece = 1}};
    return CX_OK;
}

static int send_job(void *context, int rank, uint64_t number, cx_error *err) {
    fixture *f = context;
    union {
        cx_msg_baseline_job baseline;
        cx_msg_evaluation evaluation;
        cx_msg_trial trial;
    } m;
    assert_int_equal(number, f->next);
    f->given[number]++;
    memset(&m, 0, sizeof m);
    if (f->asks == CX_MSG_BASELINE) {
        m.baseline.instance = number;
    } else if (f->asks == CX_MSG_EVALUATION) {
        m.evaluation.number = number;
    } else {
        m.trial.key = number;
        m.trial.job.trainer = CX_TRAINER_POLICY;
        m.trial.job.length = 1;
    }
    return cx_message_send(f->end[0], rank, f->asks, &m, cx_message_body_size(f->asks), NULL, 0,
                           err);
}

static int number_of(void *context, cx_msg_type type, const void *body, uint64_t *number,
                     cx_error *err) {
    (void)context;
    (void)err;
    *number = type == CX_MSG_TRIED       ? ((const cx_msg_tried *)body)->result.key
              : type == CX_MSG_EVALUATED ? ((const cx_msg_evaluated *)body)->number
                                         : ((const cx_msg_sweep *)body)->instance;
    return CX_OK;
}

static int take(void *context, int rank, cx_msg_type type, const void *body, cx_error *err) {
    fixture *f = context;
    uint64_t number;
    assert_int_equal(number_of(f, type, body, &number, err), CX_OK);
    assert_in_range(rank, 1, WORKERS);
    f->done += f->answers[number]++ == 0;
    return CX_OK;
}

static void again(void *context, uint64_t number) {
    fixture *f = context;
    assert_true(f->n_redo < JOBS);
    f->redo[f->n_redo++] = number;
}

/* --- the workers --- */

static void say(fixture *f, int rank, cx_msg_type type, const void *body) {
    cx_error err;
    assert_ok(
        cx_message_send(f->end[rank], 0, type, body, cx_message_body_size(type), NULL, 0, &err));
}

static void answer(fixture *f, int rank, uint64_t number) {
    static cx_msg_tried tried;
    cx_msg_evaluated evaluated;
    cx_msg_sweep sweep;
    memset(&tried, 0, sizeof tried);
    memset(&evaluated, 0, sizeof evaluated);
    memset(&sweep, 0, sizeof sweep);
    tried.result.key = evaluated.number = sweep.instance = number;
    if (f->asks == CX_MSG_TRIAL)
        say(f, rank, CX_MSG_TRIED, &tried);
    else if (f->asks == CX_MSG_EVALUATION)
        say(f, rank, CX_MSG_EVALUATED, &evaluated);
    else
        say(f, rank, CX_MSG_SWEEP, &sweep);
}

static void fail_for_memory(fixture *f, int rank, uint64_t number) {
    cx_msg_failed m;
    memset(&m, 0, sizeof m);
    m.number = number;
    m.code = CX_ENOMEM;
    say(f, rank, CX_MSG_FAILED, &m);
}

/* False where it does not hold it. */
static bool put_away(fixture *f, int rank, uint64_t number) {
    for (int i = 0; i < f->n_held[rank]; i++)
        if (f->held[rank][i] == number) {
            f->n_held[rank]--;
            memmove(&f->held[rank][i], &f->held[rank][i + 1],
                    (size_t)(f->n_held[rank] - i) * sizeof(uint64_t));
            return true;
        }
    return false;
}

static void hear(fixture *f, int rank, const void *data, size_t size) {
    cx_error err;
    cx_msg_type type;
    const void *body, *extra;
    size_t extra_size;
    assert_ok(cx_message_unpack(data, size, &type, &body, &extra, &extra_size, &err));
    if (type == CX_MSG_DROP) {
        const cx_msg_drop *m = body;
        assert_int_equal(m->type, f->asks);
        f->dropped[m->number] += put_away(f, rank, m->number); /* else its answer is on its way */
    } else if (type == CX_MSG_STOP) {
        cx_msg_bye bye;
        memset(&bye, 0, sizeof bye);
        say(f, rank, CX_MSG_BYE, &bye);
    } else if (type == f->asks) {
        uint64_t number = type == CX_MSG_TRIAL ? ((const cx_msg_trial *)body)->key
                          : type == CX_MSG_EVALUATION
                              ? ((const cx_msg_evaluation *)body)->number
                              : ((const cx_msg_baseline_job *)body)->instance;
        for (int i = 0; i < f->n_held[rank]; i++)
            assert_int_not_equal(f->held[rank][i], number); /* nor given a job twice */
        assert_true(f->n_held[rank] < CX_FARM_QUEUED);
        f->held[rank][f->n_held[rank]++] = number;
    }
}

/* The farm has nothing to do: the workers' turn. */
static int play_all(void *context, bool *worked, cx_error *unused) {
    fixture *f = context;
    cx_error err;
    (void)unused;
    *worked = false;
    for (int rank = 1; rank <= WORKERS; rank++) {
        void *data;
        size_t size;
        int from;
        for (;;) {
            assert_ok(f->end[rank]->receive(f->end[rank], &from, &data, &size, &err));
            if (!data)
                break;
            hear(f, rank, data, size);
            free(data);
        }
        if (f->n_held[rank] > 0 && f->play(f, rank))
            *worked = true;
    }
    return CX_OK;
}

static int at_once(void *context, int rank) {
    fixture *f = context;
    uint64_t number = f->held[rank][0];
    (void)put_away(f, rank, number);
    answer(f, rank, number);
    return 1;
}

static void note_lost(void *context, const char *host) {
    ((fixture *)context)->lost = host;
}

static fixture *set_up(cx_msg_type asks, int (*play)(void *, int)) {
    cx_error err;
    int n;
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    assert_ok(
        cx_config_parse("test", yaml, strlen(yaml), NULL, 0, schemas, n, &f->config, NULL, &err));
    assert_ok(cx_loopback_create(WORKERS + 1, f->end, &err));
    f->asks = asks;
    f->play = play;
    const cx_farm_options o = {.config = &f->config,
                               .transport = f->end[0],
                               .idle = play_all,
                               .idle_context = f,
                               .lost = note_lost,
                               .lost_context = f};
    assert_ok(cx_farm_create(&o, &f->farm, &err));
    for (int rank = 1; rank <= WORKERS; rank++)
        say(f, rank, CX_MSG_READY, NULL);
    return f;
}

static int run(fixture *f, cx_error *err) {
    const cx_farm_work work = {f, all_done, next_job, send_job, number_of, take, again, NULL};
    return cx_farm_run(f->farm, &work, err);
}

static void tear_down(fixture *f) {
    cx_farm_destroy(f->farm);
    for (int i = 0; i <= WORKERS; i++)
        f->end[i]->close(f->end[i]);
    free(f);
}

/* --- tests --- */

static void test_all_are_done_once(void **state) {
    (void)state;
    cx_error err;
    fixture *f = set_up(CX_MSG_TRIAL, at_once);
    assert_ok(run(f, &err));
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(f->given[i], 1);
        assert_int_equal(f->answers[i], 1);
        assert_int_equal(f->dropped[i], 0);
    }
    tear_down(f);
}

/* Worker 1 stands still until the others have done all. */
static int first_stands_still(void *context, int rank) {
    return rank == 1 ? 0 : at_once(context, rank);
}

static void stands_still(cx_msg_type asks) {
    cx_error err;
    fixture *f = set_up(asks, first_stands_still);
    assert_ok(run(f, &err));
    int twice = 0, dropped = 0;
    bool worked;
    assert_ok(play_all(f, &worked, &err)); /* what it was told meanwhile */
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(f->answers[i], 1);
        assert_int_equal(f->dropped[i], f->given[i] - 1);
        twice += f->given[i] == 2;
        dropped += f->dropped[i];
    }
    assert_int_equal(twice, CX_FARM_QUEUED);
    assert_int_equal(dropped, CX_FARM_QUEUED);
    assert_int_equal(f->n_held[1], 0);
    f->play = at_once;
    tear_down(f);
}

static void test_one_that_stands_still(void **state) {
    (void)state;
    stands_still(CX_MSG_TRIAL);
    stands_still(CX_MSG_EVALUATION);
    stands_still(CX_MSG_BASELINE);
}

/* Worker 1 is late, and answers when its jobs have been given to others, which do not get on
 * with them: its answer counts, and they are told. */
static int first_is_slow(void *context, int rank) {
    fixture *f = context;
    bool given_again = f->given[f->held[rank][0]] == 2;
    return given_again == (rank == 1) ? at_once(f, rank) : 0;
}

static void test_the_first_answer_counts(void **state) {
    (void)state;
    cx_error err;
    fixture *f = set_up(CX_MSG_TRIAL, first_is_slow);
    assert_ok(run(f, &err));
    bool worked;
    assert_ok(play_all(f, &worked, &err));
    int dropped = 0;
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(f->answers[i], 1);
        dropped += f->dropped[i];
    }
    assert_int_equal(dropped, CX_FARM_QUEUED);
    f->play = at_once;
    tear_down(f);
}

static int first_has_no_memory(void *context, int rank) {
    fixture *f = context;
    if (rank != 1)
        return at_once(f, rank);
    fail_for_memory(f, rank, f->held[rank][0]);
    f->n_held[rank] = 0;
    return 1;
}

static void test_a_worker_without_memory(void **state) {
    (void)state;
    cx_error err;
    fixture *f = set_up(CX_MSG_EVALUATION, first_has_no_memory);
    assert_ok(run(f, &err));
    assert_non_null(f->lost);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(f->answers[i], 1);
    tear_down(f);
}

/* Job 0 needs more than any worker has: the second one that says so ends the run. */
static int none_has_memory(void *context, int rank) {
    fixture *f = context;
    if (f->held[rank][0] != 0)
        return at_once(f, rank);
    fail_for_memory(f, rank, 0);
    (void)put_away(f, rank, 0);
    return 1;
}

static void test_a_job_without_memory(void **state) {
    (void)state;
    cx_error err;
    fixture *f = set_up(CX_MSG_TRIAL, none_has_memory);
    assert_int_equal(run(f, &err), CX_ENOMEM);
    assert_int_equal(f->given[0], 2);
    tear_down(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_are_done_once),
        cmocka_unit_test(test_one_that_stands_still),
        cmocka_unit_test(test_the_first_answer_counts),
        cmocka_unit_test(test_a_worker_without_memory),
        cmocka_unit_test(test_a_job_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
