#include "tests/test.h"

#include "base/draw.h"
#include "base/rng.h"
#include <math.h>

/* Known answer of Philox 4x32-10 for key 0, counter 0 (Random123's kat_vectors). */
static void test_known_answer(void **state) {
    (void)state;
    cx_rng rng = cx_rng_make(0, 0, (cx_stream)0);
    const uint32_t want[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    for (int i = 0; i < 4; i++)
        assert_int_equal(cx_rng_u32(&rng), want[i]);
}

static void test_streams_differ(void **state) {
    (void)state;
    cx_rng a = cx_rng_make(1, 2, CX_STREAM_TASK), b = cx_rng_make(1, 2, CX_STREAM_INIT);
    cx_rng c = cx_rng_make(1, 3, CX_STREAM_TASK), d = cx_rng_make_sub(1, 2, CX_STREAM_TASK, 1);
    cx_rng e = cx_rng_make(1, 2, CX_STREAM_TASK);
    uint32_t x = cx_rng_u32(&a);
    assert_int_not_equal(x, cx_rng_u32(&b));
    assert_int_not_equal(x, cx_rng_u32(&c));
    assert_int_not_equal(x, cx_rng_u32(&d));
    assert_int_equal(x, cx_rng_u32(&e));
}

static void test_moments(void **state) {
    (void)state;
    enum { N = 200000 };
    cx_rng rng = cx_rng_make(7, 0, CX_STREAM_TEST);
    double s = 0, s2 = 0, u = 0;
    for (int i = 0; i < N; i++) {
        double x = cx_rng_normal(&rng);
        s += x;
        s2 += x * x;
        u += cx_rng_uniform(&rng);
    }
    assert_true(fabs(s / N) < 0.01);
    assert_true(fabs(s2 / N - 1) < 0.02);
    assert_true(fabs(u / N - 0.5) < 0.005);
    static float f[N];
    cx_rng_fill_normal(&rng, f, N);
    s = s2 = 0;
    for (int i = 0; i < N; i++) {
        assert_true(isfinite(f[i]));
        s += f[i];
        s2 += f[i] * f[i];
    }
    assert_true(fabs(s / N) < 0.01);
    assert_true(fabs(s2 / N - 1) < 0.02);
}

static void test_below_and_shuffle(void **state) {
    (void)state;
    cx_rng rng = cx_rng_make(9, 0, CX_STREAM_TEST);
    int count[3] = {0};
    for (int i = 0; i < 30000; i++)
        count[cx_rng_below(&rng, 3)]++;
    for (int i = 0; i < 3; i++)
        assert_true(abs(count[i] - 10000) < 500);
    uint32_t x[10], seen = 0;
    for (uint32_t i = 0; i < 10; i++)
        x[i] = i;
    cx_rng_shuffle(&rng, x, 10);
    for (int i = 0; i < 10; i++)
        seen |= 1u << x[i];
    assert_int_equal(seen, 0x3ff);
}

/* Any number of draws at once are those of as many calls, from anywhere in a block of four,
 * and where the index of blocks begins anew. */
static void test_draw(void **state) {
    (void)state;
    static const size_t counts[] = {1, 3, 64, 65, 200, 1000, 7, 129, 63, 4, 2, 512};
    static uint32_t many[1000];
    cx_rng a = cx_rng_make_sub(0x123456789abcdef0, 0xfedcba9876543210, CX_STREAM_TEST, 77), b;
    for (int again = 0; again < 2; again++) {
        b = a;
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
            cx_draw(&a, many, counts[k]);
            for (size_t i = 0; i < counts[k]; i++)
                assert_int_equal(many[i], cx_rng_u32(&b));
        }
        assert_true(a.index == b.index && a.used == b.used);
        a.index = UINT32_MAX - 37;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answer), cmocka_unit_test(test_streams_differ),
        cmocka_unit_test(test_moments),      cmocka_unit_test(test_below_and_shuffle),
        cmocka_unit_test(test_draw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
