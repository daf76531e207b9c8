#include "tests/test.h"

#include "optim/schedule.h"
#include <math.h>
#include <string.h>

static void test_values(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double at[5]; /* progress 0, 1/4, 1/2, 3/4, 1 */
    } rows[] = {
        {"constant", {1, 1, 1, 1, 1}},
        {"multi_step", {1, 1, 0.1, 0.01, 0.01}},
        {"linear", {1, 0.75, 0.5, 0.25, 0}},
        {"quadratic", {1, 0.5625, 0.25, 0.0625, 0}},
        {"exponential", {1, 0.316227766016838, 0.1, 0.0316227766016838, 0.01}},
        {"cosine", {1, 0.853553390593274, 0.5, 0.146446609406726, 0}},
        {"cosine_10", {1, 0.868198051533946, 0.55, 0.231801948466054, 0.1}},
    };
    assert_int_equal(sizeof rows / sizeof *rows, CX_SCHEDULE_COUNT);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cx_error err;
        cx_schedule s;
        assert_ok(cx_schedule_named(rows[i].name, &s, &err));
        assert_string_equal(cx_schedule_name(s), rows[i].name);
        for (int k = 0; k < 5; k++)
            if (fabs(cx_schedule_factor(s, k / 4.0) - rows[i].at[k]) > 1e-12)
                fail_msg("%s at %d/4: %.15g", rows[i].name, k, cx_schedule_factor(s, k / 4.0));
    }
}

static void test_never_grows_nor_leaves_its_range(void **state) {
    (void)state;
    for (int s = 0; s < CX_SCHEDULE_COUNT; s++) {
        double last = 1;
        for (int k = 0; k <= 1000; k++) {
            double x = cx_schedule_factor((cx_schedule)s, k / 1000.0);
            assert_true(x <= last && x >= 0);
            last = x;
        }
        assert_true(cx_schedule_factor((cx_schedule)s, 1.5) == last);
        assert_true(cx_schedule_factor((cx_schedule)s, -1) == 1);
        assert_true(cx_schedule_factor((cx_schedule)s, NAN) == 1);
        assert_true(strlen(cx_schedule_help((cx_schedule)s)) > 0);
    }
}

static void test_unknown(void **state) {
    (void)state;
    cx_error err;
    cx_schedule s;
    assert_int_equal(cx_schedule_named("sine", &s, &err), CX_EUSAGE);
    assert_non_null(strstr(err.message, "sine"));
    assert_non_null(strstr(err.message, "cosine_10"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_never_grows_nor_leaves_its_range),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
