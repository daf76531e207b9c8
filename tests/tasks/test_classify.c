#include "tests/test.h"

#include "tasks/classify.h"
#include <math.h>

static void test_right(void **state) {
    (void)state;
    const float row[] = {1, 3, 3, -2}, bad[] = {NAN, 1, 2};
    assert_false(cx_row_is_right(row, 4, 0));
    assert_true(cx_row_is_right(row, 4, 1)); /* the first of equals */
    assert_false(cx_row_is_right(row, 4, 2));
    assert_true(cx_row_is_right(row, 1, 0));
    for (int label = 0; label < 3; label++)
        assert_false(cx_row_is_right(bad, 3, label));
}

static void test_top(void **state) {
    (void)state;
    const float row[] = {1, 3, 3, -2, 2}, bad[] = {NAN, 1, 2};
    static const int rank[] = {3, 0, 1, 4, 2}; /* of equals the first is before */
    for (int label = 0; label < 5; label++)
        for (int k = 1; k <= 6; k++)
            assert_int_equal(cx_row_in_top(row, 5, label, k), rank[label] < k);
    assert_false(cx_row_in_top(bad, 3, 0, 5)); /* a NaN is never right */
    assert_false(cx_row_in_top(bad, 3, 2, 1)); /* and before all others */
    assert_true(cx_row_in_top(bad, 3, 2, 2));
}

static void test_cross_entropy(void **state) {
    (void)state;
    const float row[] = {0, (float)log(2), (float)log(5)}, large[] = {1000, 0}, bad[] = {0, NAN};
    assert_float_equal(cx_row_cross_entropy(row, 3, 0), log(8), 1e-6);
    assert_float_equal(cx_row_cross_entropy(row, 3, 2), log(8.0 / 5), 1e-6);
    assert_float_equal(cx_row_cross_entropy(large, 2, 0), 0, 1e-6);
    assert_float_equal(cx_row_cross_entropy(large, 2, 1), 1000, 1e-3);
    assert_true(isnan(cx_row_cross_entropy(bad, 2, 0)));
}

/* Drawn labels are uniform over all classes, the true one among them. */
static void test_noisy_label(void **state) {
    (void)state;
    enum { N = 20000, CLASSES = 5 };
    int other = 0, of[CLASSES] = {0};
    for (uint32_t e = 0; e < N; e++) {
        assert_int_equal(cx_noisy_label(3, CLASSES, 0, 1, e), 3);
        int label = cx_noisy_label(3, CLASSES, 0.4, 1, e);
        assert_in_range(label, 0, CLASSES - 1);
        assert_int_equal(label, cx_noisy_label(3, CLASSES, 0.4, 1, e));
        other += label != cx_noisy_label(3, CLASSES, 0.4, 2, e);
        of[label]++;
    }
    for (int k = 0; k < CLASSES; k++) {
        double share = (double)of[k] / N, want = k == 3 ? 0.6 + 0.4 / CLASSES : 0.4 / CLASSES;
        assert_float_equal(share, want, 0.015); /* four standard errors */
    }
    assert_true(other > N / 4); /* another seed, other labels */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),
        cmocka_unit_test(test_top),
        cmocka_unit_test(test_cross_entropy),
        cmocka_unit_test(test_noisy_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
