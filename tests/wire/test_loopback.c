#include "tests/test.h"

#include "wire/transport.h"
#include <string.h>

static char *copy(const char *text) {
    return strdup(text);
}

static void test_order_and_direction(void **state) {
    (void)state;
    cx_error err;
    cx_transport *ends[2];
    void *data;
    size_t size;
    int from = -1;
    assert_ok(cx_loopback_create(2, ends, &err));
    assert_int_equal(ends[0]->rank, 0);
    assert_int_equal(ends[1]->rank, 1);
    assert_int_equal(ends[1]->ranks, 2);
    assert_ok(ends[0]->receive(ends[0], &from, &data, &size, &err));
    assert_null(data);
    assert_ok(ends[0]->send(ends[0], 1, copy("one"), 4, &err));
    assert_ok(ends[0]->send(ends[0], 1, copy("three"), 6, &err));
    assert_ok(ends[1]->send(ends[1], 0, copy("back"), 5, &err));
    assert_int_equal(ends[0]->pending(ends[0]), 0);
    const char *const expected[] = {"one", "three"};
    for (int i = 0; i < 2; i++) {
        assert_ok(ends[1]->receive(ends[1], &from, &data, &size, &err));
        assert_string_equal(data, expected[i]);
        assert_int_equal(size, strlen(expected[i]) + 1);
        assert_int_equal(from, 0);
        free(data);
    }
    assert_ok(ends[1]->receive(ends[1], &from, &data, &size, &err));
    assert_null(data);
    assert_ok(ends[0]->receive(ends[0], &from, &data, &size, &err));
    assert_string_equal(data, "back");
    assert_int_equal(from, 1);
    free(data);
    ends[0]->close(ends[0]);
    ends[1]->close(ends[1]);
}

static void test_what_is_never_read_is_freed(void **state) {
    (void)state;
    cx_error err;
    cx_transport *ends[2];
    assert_ok(cx_loopback_create(2, ends, &err));
    assert_ok(ends[0]->send(ends[0], 1, copy("unread"), 7, &err));
    assert_int_equal(ends[0]->send(ends[0], 0, copy("to itself"), 10, &err), CX_ESTATE);
    ends[1]->close(ends[1]);
    assert_ok(ends[0]->send(ends[0], 1, copy("to the dead"), 12, &err));
    ends[0]->close(ends[0]);
}

static void test_three_ranks(void **state) {
    (void)state;
    cx_error err;
    cx_transport *ends[3];
    void *data;
    size_t size;
    int from = -1;
    assert_ok(cx_loopback_create(3, ends, &err));
    assert_int_equal(ends[2]->rank, 2);
    assert_int_equal(ends[2]->ranks, 3);
    for (int r = 2; r >= 1; r--)
        assert_ok(ends[r]->send(ends[r], 0, copy("here"), 5, &err));
    for (int r = 2; r >= 1; r--) { /* in the order of sending */
        assert_ok(ends[0]->receive(ends[0], &from, &data, &size, &err));
        assert_int_equal(from, r);
        free(data);
    }
    assert_int_equal(ends[0]->send(ends[0], 3, copy("to nobody"), 10, &err), CX_ESTATE);
    assert_int_equal(ends[0]->send(ends[0], -1, copy("to nobody"), 10, &err), CX_ESTATE);
    for (int r = 0; r < 3; r++)
        ends[r]->close(ends[r]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_direction),
        cmocka_unit_test(test_what_is_never_read_is_freed),
        cmocka_unit_test(test_three_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
