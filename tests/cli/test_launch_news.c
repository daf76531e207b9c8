/* What rank 0 lets the launcher know, and what the launcher makes of it. */
#include "tests/test.h"

#include "base/file.h"
#include "base/process.h"
#include "cli/launch_news.h"
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[64];

static int set_up(void **state) {
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/coxswain-news-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 || close(fd) ? -1 : 0;
}

static int tear_down(void **state) {
    (void)state;
    return unlink(path);
}

static void write_text(const char *text) {
    cx_error err;
    assert_ok(cx_file_replace(path, text, strlen(text), &err));
}

static cx_launch_news news_of(int status, int64_t pid) {
    cx_launch_news news;
    memset(&news, 0, sizeof news);
    news.status = status;
    news.pid = pid;
    cx_process_host(news.host, sizeof news.host);
    return news;
}

static void test_there_and_back(void **state) {
    (void)state;
    static cx_launch_news news, back;
    const int statuses[] = {CX_LAUNCH_STARTED, CX_LAUNCH_AGAIN, 0, 1, 75};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        news = news_of(statuses[i], 4321);
        cx_launch_news_lost(&news, "n2");
        cx_launch_news_lost(&news, "n3");
        cx_launch_news_write(path, &news);
        memset(&back, 255, sizeof back);
        cx_launch_news_read(path, &back);
        assert_int_equal(back.status, statuses[i]);
        assert_int_equal(back.pid, 4321);
        assert_string_equal(back.host, news.host);
        assert_int_equal(back.n_lost, 2);
        assert_string_equal(back.lost[0], "n2");
        assert_string_equal(back.lost[1], "n3");
    }
}

/* Ranks that never came to say anything. */
static void test_nothing(void **state) {
    (void)state;
    static cx_launch_news news;
    cx_launch_news_read(path, &news); /* an empty file, as the launcher makes it */
    assert_int_equal(news.status, CX_LAUNCH_NOTHING);
    cx_launch_news_read("/none/such", &news);
    assert_int_equal(news.status, CX_LAUNCH_NOTHING);
    assert_false(cx_launch_news_orphaned(path));
    assert_false(cx_launch_news_orphaned("/none/such"));
}

static void test_lost(void **state) {
    (void)state;
    static cx_launch_news news, back;
    news = news_of(CX_LAUNCH_STARTED, getpid());
    for (int i = 0; i < CX_LAUNCH_HOSTS_MAX + 5; i++) {
        char host[200];
        (void)snprintf(host, sizeof host, "node%03d.%0150d", i, 0); /* longer than there is room */
        cx_launch_news_lost(&news, host);
        cx_launch_news_lost(&news, news.lost[0]); /* known */
    }
    assert_int_equal(news.n_lost, CX_LAUNCH_HOSTS_MAX);
    cx_launch_news_write(path, &news);
    cx_launch_news_read(path, &back);
    assert_int_equal(back.n_lost, CX_LAUNCH_HOSTS_MAX);
    for (int i = 0; i < CX_LAUNCH_HOSTS_MAX; i++)
        assert_string_equal(back.lost[i], news.lost[i]);
}

static void test_odd_lines(void **state) {
    (void)state;
    static cx_launch_news news;
    write_text("75 12 host\nfound n1\nlost n2\nlost \nlost n2");
    cx_launch_news_read(path, &news);
    assert_int_equal(news.status, 75);
    assert_int_equal(news.n_lost, 1);
    assert_string_equal(news.lost[0], "n2");
    write_text("-1 12"); /* no host */
    cx_launch_news_read(path, &news);
    assert_int_equal(news.status, CX_LAUNCH_STARTED);
    assert_string_equal(news.host, "");
}

/* A process that is certainly gone. */
static pid_t dead(void) {
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_true(child > 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return child;
}

static void test_orphaned(void **state) {
    (void)state;
    static cx_launch_news news;
    news = news_of(CX_LAUNCH_STARTED, getpid());
    cx_launch_news_write(path, &news);
    assert_false(cx_launch_news_orphaned(path)); /* it lives */
    news.pid = dead();
    cx_launch_news_write(path, &news);
    assert_true(cx_launch_news_orphaned(path));
    const int said[] = {0, 75, CX_LAUNCH_AGAIN}; /* it had said how it ended */
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        news.status = said[i];
        cx_launch_news_write(path, &news);
        assert_false(cx_launch_news_orphaned(path));
    }
    news.status = CX_LAUNCH_STARTED;
    (void)snprintf(news.host, sizeof news.host, "another-machine.example");
    cx_launch_news_write(path, &news);
    assert_false(cx_launch_news_orphaned(path)); /* which cannot be seen from here */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_odd_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_orphaned, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
