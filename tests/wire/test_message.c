#include "tests/test.h"

#include "base/rng.h"
#include "wire/message.h"
#include <string.h>

typedef struct {
    cx_msg_type type;
    void *data;
    size_t size;
} packed;

/* One valid message of each type. */
static packed sample(cx_msg_type type) {
    cx_error err;
    union {
        cx_msg_hello hello;
        cx_msg_episode episode;
        cx_msg_drop drop;
        cx_msg_piece piece;
        cx_msg_result result;
        cx_msg_failed failed;
        cx_msg_evaluation evaluation;
        cx_msg_trial trial;
        cx_msg_weights weights;
        cx_msg_gradient gradient;
        cx_msg_graded graded;
        unsigned char bytes[65536];
    } body;
    float weights[5] = {1, 2, 3, 4, 5};
    size_t extra = 0;
    packed p = {.type = type};
    memset(&body, 0, sizeof body);
    if (type == CX_MSG_HELLO) {
        (void)snprintf(body.hello.host, sizeof body.hello.host, "node1");
        body.hello.pid = 4711;
    }
    if (type == CX_MSG_EPISODE) {
        body.episode.episode = 12;
        body.episode.n_weights = 5;
        body.episode.baseline.n_points = 3;
        extra = 5 * sizeof(float);
    }
    if (type == CX_MSG_DROP)
        body.drop.type = CX_MSG_BASELINE;
    if (type == CX_MSG_EVALUATION) {
        body.evaluation.acting = CX_ACT_REPLAY;
        body.evaluation.n_weights = 5;
        extra = 5 * sizeof(float);
    }
    if (type == CX_MSG_TRIAL) {
        memcpy(body.trial.job.rule, "adamw", 6);
        body.trial.job.length = 0.5;
        body.trial.n_weights = 5;
        extra = 5 * sizeof(float);
    }
    if (type == CX_MSG_WEIGHTS) {
        body.weights.net = CX_LEARNED_VALUE;
        body.weights.n = 5;
        extra = 5 * sizeof(float);
    }
    if (type == CX_MSG_GRADIENT) { /* steps, 2 rows of 1 input, 2 targets */
        body.gradient.shard =
            (cx_shard){.kind = CX_SHARD_VALUE, .episodes = 1, .longest = 2, .rows = 2, .inputs = 1};
        extra = 5 * sizeof(float);
    }
    if (type == CX_MSG_GRADED) {
        body.graded.n = 5;
        extra = 5 * sizeof(float);
    }
    if (type == CX_MSG_PIECE) {
        body.piece.bytes = 7;
        extra = 7;
    }
    if (type == CX_MSG_RESULT) {
        body.result.result.steps = 2;
        body.result.result.outer_steps = 8;
    }
    if (type == CX_MSG_FAILED)
        body.failed.code = CX_EDATA;
    assert_true(cx_message_body_size(type) <= sizeof body);
    assert_ok(cx_message_pack(type, &body, cx_message_body_size(type), weights, extra, &p.data,
                              &p.size, &err));
    return p;
}

static void test_round_trip(void **state) {
    (void)state;
    cx_error err;
    for (int t = 0; t < CX_MSG_COUNT; t++) {
        packed p = sample((cx_msg_type)t);
        cx_msg_type type;
        const void *body, *extra;
        size_t n;
        assert_ok(cx_message_unpack(p.data, p.size, &type, &body, &extra, &n, &err));
        assert_int_equal(type, t);
        if (t == CX_MSG_EPISODE) {
            const cx_msg_episode *m = body;
            assert_int_equal(m->episode, 12);
            assert_int_equal(n, 5 * sizeof(float));
            float last;
            memcpy(&last, (const float *)extra + 4, sizeof last);
            assert_true(last == 5);
        }
        if (t == CX_MSG_HELLO) {
            assert_string_equal(((const cx_msg_hello *)body)->host, "node1");
            assert_null(extra);
        }
        free(p.data);
    }
    assert_string_equal(cx_message_name(CX_MSG_PIECE), "PIECE");
    assert_string_equal(cx_message_name((cx_msg_type)99), "unknown message");
}

/* A copy of exactly `size` bytes, so that the address sanitizer sees reads beyond. */
static int unpack_copy(const void *data, size_t size) {
    cx_error err;
    cx_msg_type type;
    const void *body, *extra;
    size_t n;
    unsigned char *p = malloc(size ? size : 1);
    assert_non_null(p);
    memcpy(p, data, size);
    int rc = cx_message_unpack(p, size, &type, &body, &extra, &n, &err);
    free(p);
    return rc;
}

static void test_truncations_are_refused(void **state) {
    (void)state;
    for (int t = 0; t < CX_MSG_COUNT; t++) {
        packed p = sample((cx_msg_type)t);
        for (size_t n = 0; n < p.size; n++)
            assert_int_equal(unpack_copy(p.data, n), CX_EFORMAT);
        free(p.data);
    }
}

static void test_bit_flips_are_refused(void **state) {
    (void)state;
    for (int t = 0; t < CX_MSG_COUNT; t++) {
        packed p = sample((cx_msg_type)t);
        unsigned char *bytes = p.data;
        for (size_t bit = 0; bit < 8 * p.size; bit++) {
            /* every bit of the header, every eleventh of the rest */
            if (bit > 8 * sizeof(cx_msg_header) && bit % 11)
                continue;
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            int rc = unpack_copy(p.data, p.size);
            if (rc != CX_EFORMAT && rc != CX_EVERSION)
                fail_msg("%s: bit %zu flipped: %d", cx_message_name(p.type), bit, rc);
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        assert_int_equal(unpack_copy(p.data, p.size), CX_OK);
        free(p.data);
    }
}

static void test_noise_is_refused(void **state) {
    (void)state;
    cx_rng rng = cx_rng_make(1, 0, CX_STREAM_TEST);
    unsigned char noise[300];
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (unsigned char)cx_rng_u32(&rng);
        assert_int_not_equal(unpack_copy(noise, cx_rng_below(&rng, sizeof noise)), CX_OK);
    }
}

static void test_inconsistent_messages_are_not_packed(void **state) {
    (void)state;
    cx_error err;
    void *data;
    size_t size;
    cx_msg_piece piece = {.episode = 1, .bytes = 8};
    assert_int_equal(
        cx_message_pack(CX_MSG_PIECE, &piece, sizeof piece, "abc", 3, &data, &size, &err),
        CX_ESTATE);
    assert_null(data);
    assert_int_equal(cx_message_pack(CX_MSG_PIECE, &piece, 3, NULL, 0, &data, &size, &err),
                     CX_ESTATE);
    piece.bytes = (uint64_t)3 << 30;
    assert_int_equal(cx_message_pack(CX_MSG_PIECE, &piece, sizeof piece, "", (size_t)3 << 30, &data,
                                     &size, &err),
                     CX_ESTATE);
    assert_non_null(strstr(err.message, "2 GiB"));
    cx_msg_hello hello;
    memset(&hello, 'x', sizeof hello); /* a text that does not end */
    assert_int_equal(
        cx_message_pack(CX_MSG_HELLO, &hello, sizeof hello, NULL, 0, &data, &size, &err),
        CX_ESTATE);
    static cx_msg_trial trial; /* of no rule and no length */
    assert_int_equal(
        cx_message_pack(CX_MSG_TRIAL, &trial, sizeof trial, NULL, 0, &data, &size, &err),
        CX_ESTATE);
    cx_msg_sweep_run run = {.outcome.curve.n = CX_BASELINE_POINTS_MAX + 1};
    assert_int_equal(
        cx_message_pack(CX_MSG_SWEEP_RUN, &run, sizeof run, NULL, 0, &data, &size, &err),
        CX_ESTATE);
    run = (cx_msg_sweep_run){.run = CX_SWEEP_RUNS_MAX};
    assert_int_equal(
        cx_message_pack(CX_MSG_SWEEP_RUN, &run, sizeof run, NULL, 0, &data, &size, &err),
        CX_ESTATE);
    cx_msg_baseline_job job = {.apart = 1, .run.continues = CX_SWEEP_RUNS_MAX};
    assert_int_equal(
        cx_message_pack(CX_MSG_BASELINE, &job, sizeof job, NULL, 0, &data, &size, &err), CX_ESTATE);
    const float numbers[4] = {0};
    cx_msg_weights weights = {.net = CX_LEARNED_NETS, .n = 4};
    assert_int_equal(cx_message_pack(CX_MSG_WEIGHTS, &weights, sizeof weights, numbers,
                                     sizeof numbers, &data, &size, &err),
                     CX_ESTATE);
    cx_msg_gradient gradient = {.shard = {.kind = CX_SHARD_VALUE, .episodes = 1, .inputs = 1}};
    for (int rows = 0; rows < 3; rows++) { /* 1: as many bytes as there are */
        gradient.shard.longest = gradient.shard.rows = rows;
        int rc = cx_message_pack(CX_MSG_GRADIENT, &gradient, sizeof gradient, numbers,
                                 3 * sizeof numbers[0], &data, &size, &err);
        assert_int_equal(rc, rows == 1 ? CX_OK : CX_ESTATE);
        free(data);
    }
    cx_msg_graded graded = {.n = 0};
    assert_int_equal(
        cx_message_pack(CX_MSG_GRADED, &graded, sizeof graded, NULL, 0, &data, &size, &err),
        CX_ESTATE);
    cx_msg_sweep sweep = {.instance = 1};
    sweep.baseline.n_points = CX_BASELINE_POINTS_MAX + 1;
    assert_int_equal(
        cx_message_pack(CX_MSG_SWEEP, &sweep, sizeof sweep, NULL, 0, &data, &size, &err),
        CX_ESTATE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_truncations_are_refused),
        cmocka_unit_test(test_bit_flips_are_refused),
        cmocka_unit_test(test_noise_is_refused),
        cmocka_unit_test(test_inconsistent_messages_are_not_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
