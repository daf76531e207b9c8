#include "tests/test.h"

#include "base/rng.h"
#include "ppo/trajectory.h"
#include <math.h>
#include <string.h>

enum { OBS = 7, HEADS = 3, LOGITS = 9, STEPS = 11, HEADER = 32 };

static cx_trajectory *made(int capacity) {
    cx_error err;
    cx_trajectory *t;
    assert_ok(cx_trajectory_create(OBS, HEADS, LOGITS, capacity, &t, &err));
    return t;
}

static cx_trajectory *filled(void) {
    cx_trajectory *t = made(STEPS);
    cx_rng rng = cx_rng_make(1, 0, CX_STREAM_TEST);
    cx_rng_fill_normal(&rng, t->obs, STEPS * OBS);
    for (int i = 0; i < STEPS; i++)
        t->log_prob[i] = -(float)cx_rng_uniform(&rng);
    for (int i = 0; i < STEPS * HEADS; i++)
        t->choice[i] = (int32_t)cx_rng_below(&rng, 3);
    for (int i = 0; i < STEPS * LOGITS; i++)
        t->mask[i] = (unsigned char)cx_rng_below(&rng, 2);
    t->result.steps = STEPS;
    return t;
}

static void assert_same(const cx_trajectory *a, const cx_trajectory *b, int steps) {
    size_t n = (size_t)steps;
    assert_int_equal(b->result.steps, steps);
    assert_memory_equal(a->obs, b->obs, n * OBS * sizeof(float));
    assert_memory_equal(a->log_prob, b->log_prob, n * sizeof(float));
    assert_memory_equal(a->choice, b->choice, n * HEADS * sizeof(int32_t));
    assert_memory_equal(a->mask, b->mask, n * LOGITS);
}

/* A piece in a block of exactly its size, so that a read past its end is seen. */
static unsigned char *packed(const cx_trajectory *t, int first, int n, size_t *size) {
    *size = cx_trajectory_piece_bytes(t, n);
    unsigned char *data = malloc(*size);
    assert_non_null(data);
    cx_trajectory_pack(t, first, n, data);
    return data;
}

static void test_round_trip_in_pieces(void **state) {
    (void)state;
    cx_error err;
    cx_trajectory *a = filled();
    for (int chunk = 1; chunk <= STEPS; chunk++) {
        cx_trajectory *b = made(STEPS + 2);
        for (int first = 0; first < STEPS; first += chunk) {
            size_t size;
            int n = first + chunk < STEPS ? chunk : STEPS - first;
            unsigned char *data = packed(a, first, n, &size);
            assert_ok(cx_trajectory_unpack(b, data, size, &err));
            free(data);
        }
        assert_same(a, b, STEPS);
        cx_trajectory_destroy(b);
    }
    cx_trajectory_destroy(a);
}

static void test_not_aligned(void **state) {
    (void)state;
    cx_error err;
    cx_trajectory *a = filled(), *b = made(STEPS);
    size_t size;
    unsigned char *data = packed(a, 0, STEPS, &size), *moved = malloc(size + 1);
    assert_non_null(moved);
    memcpy(moved + 1, data, size);
    assert_ok(cx_trajectory_unpack(b, moved + 1, size, &err));
    assert_same(a, b, STEPS);
    free(moved);
    free(data);
    cx_trajectory_destroy(a);
    cx_trajectory_destroy(b);
}

static void test_order(void **state) {
    (void)state;
    cx_error err;
    cx_trajectory *a = filled(), *b = made(STEPS);
    size_t size;
    unsigned char *data = packed(a, 4, 3, &size);
    assert_int_equal(cx_trajectory_unpack(b, data, size, &err), CX_EFORMAT);
    assert_int_equal(b->result.steps, 0);
    free(data);
    data = packed(a, 0, 4, &size);
    assert_ok(cx_trajectory_unpack(b, data, size, &err));
    assert_int_equal(cx_trajectory_unpack(b, data, size, &err), CX_EFORMAT); /* twice */
    free(data);
    assert_same(a, b, 4);
    data = packed(a, 4, 0, &size);
    assert_ok(cx_trajectory_unpack(b, data, size, &err)); /* of no steps */
    free(data);
    assert_same(a, b, 4);
    cx_trajectory_destroy(a);
    cx_trajectory_destroy(b);
}

static void test_too_long(void **state) {
    (void)state;
    cx_error err;
    cx_trajectory *a = filled(), *b = made(STEPS - 1);
    size_t size;
    unsigned char *data = packed(a, 0, STEPS, &size);
    assert_int_equal(cx_trajectory_unpack(b, data, size, &err), CX_EFORMAT);
    assert_int_equal(b->result.steps, 0);
    /* counts that would overflow a size */
    const int32_t counts[] = {INT32_MAX, INT32_MIN, -1, STEPS - 1};
    for (size_t i = 0; i < 4; i++) {
        memcpy(data + 24, &counts[i], sizeof counts[i]);
        assert_int_equal(cx_trajectory_unpack(b, data, size, &err), CX_EFORMAT);
    }
    free(data);
    cx_trajectory_destroy(a);
    cx_trajectory_destroy(b);
}

static void test_bad_numbers(void **state) {
    (void)state;
    cx_error err;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    size_t size;
    for (int i = 0; i < 10; i++) {
        cx_trajectory *b = made(STEPS), *c = filled();
        if (i < 3)
            c->obs[5 * OBS + 2] = bad[i];
        else if (i < 6)
            c->log_prob[STEPS - 1] = bad[i - 3];
        else if (i == 6)
            c->log_prob[0] = 0.5f;
        else if (i == 7)
            c->choice[4] = -1;
        else if (i == 8)
            c->choice[4] = LOGITS;
        else
            c->mask[STEPS * LOGITS - 1] = 2;
        unsigned char *data = packed(c, 0, STEPS, &size);
        assert_int_equal(cx_trajectory_unpack(b, data, size, &err), CX_EFORMAT);
        assert_int_equal(b->result.steps, 0);
        free(data);
        cx_trajectory_destroy(b);
        cx_trajectory_destroy(c);
    }
}

/* No truncated or altered piece may do harm; a changed header is always refused. */
static void test_fuzz(void **state) {
    (void)state;
    cx_error err;
    cx_trajectory *a = filled();
    size_t size;
    unsigned char *data = packed(a, 0, STEPS, &size);
    for (size_t cut = 0; cut < size; cut++) {
        cx_trajectory *b = made(STEPS);
        unsigned char *part = malloc(cut ? cut : 1);
        assert_non_null(part);
        memcpy(part, data, cut);
        assert_int_equal(cx_trajectory_unpack(b, part, cut, &err), CX_EFORMAT);
        free(part);
        cx_trajectory_destroy(b);
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        cx_trajectory *b = made(STEPS);
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        int rc = cx_trajectory_unpack(b, data, size, &err);
        if (bit < 8 * (HEADER - 4)) /* the last word is reserved */
            assert_true(rc == CX_EFORMAT || rc == CX_EVERSION);
        assert_int_equal(b->result.steps, rc ? 0 : STEPS);
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        cx_trajectory_destroy(b);
    }
    free(data);
    cx_trajectory_destroy(a);
}

static void test_sizes(void **state) {
    (void)state;
    cx_error err;
    cx_trajectory *t;
    assert_int_equal(cx_trajectory_create(0, 1, 1, 1, &t, &err), CX_ESTATE);
    assert_null(t);
    assert_int_equal(cx_trajectory_create(1, CX_HEADS_MAX + 1, 99, 1, &t, &err), CX_ESTATE);
    assert_int_equal(cx_trajectory_create(1, 3, 2, 1, &t, &err), CX_ESTATE);
    assert_int_equal(cx_trajectory_create(1, 1, 1, 0, &t, &err), CX_ESTATE);
    cx_trajectory_destroy(NULL);
    assert_string_equal(cx_end_name(CX_END_DIVERGED), "diverged");
    assert_string_equal(cx_end_name((cx_end)77), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_in_pieces),
        cmocka_unit_test(test_not_aligned),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_bad_numbers),
        cmocka_unit_test(test_fuzz),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
