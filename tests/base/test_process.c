#include "tests/test.h"

#include "base/process.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_ended(void **state) {
    (void)state;
    int hold[2];
    assert_int_equal(pipe(hold), 0);
    pid_t child = fork();
    if (child == 0) { /* lives until the pipe is closed */
        char byte;
        (void)close(hold[1]);
        _exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
    }
    assert_true(child > 0);
    char host[64];
    cx_process_host(host, sizeof host);
    assert_true(strlen(host) > 0);
    assert_false(cx_process_ended(getpid()));
    assert_false(cx_process_ended(child));
    assert_false(cx_process_ended_on(host, child));
    (void)close(hold[0]);
    (void)close(hold[1]);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_true(cx_process_ended(child)); /* a zombie */
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(cx_process_ended(child));
    assert_true(cx_process_ended_on(host, child));
    assert_false(cx_process_ended_on("another-machine", child));
    assert_false(cx_process_ended(0));
    assert_false(cx_process_ended(-1));
}

static void test_host_is_cut(void **state) {
    (void)state;
    char host[64], two[2];
    cx_process_host(host, sizeof host);
    cx_process_host(two, sizeof two);
    assert_int_equal(strlen(two), 1);
    assert_int_equal(two[0], host[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ended),
        cmocka_unit_test(test_host_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
