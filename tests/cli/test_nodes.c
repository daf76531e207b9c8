/* The nodes of a job: how Slurm tells of them, and which are left out. */
#include "tests/test.h"

#include "cli/nodes.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void set(const char *name, const char *value) {
    assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static int tasks_of(const char *ntasks, const char *per_node) {
    set("SLURM_NTASKS", ntasks);
    set("SLURM_TASKS_PER_NODE", per_node);
    return cx_nodes_tasks();
}

static void test_tasks(void **state) {
    (void)state;
    assert_int_equal(tasks_of(NULL, NULL), 0);
    assert_int_equal(tasks_of(NULL, "4"), 4);
    assert_int_equal(tasks_of(NULL, "2(x3),1"), 7);
    assert_int_equal(tasks_of(NULL, "1,2(x2),16(x100)"), 1605);
    assert_int_equal(tasks_of("5", "2(x3),1"), 5); /* what the user asked for */
    assert_int_equal(tasks_of(NULL, ""), 0);
    assert_int_equal(tasks_of(NULL, "many"), 0);
    assert_int_equal(tasks_of(NULL, "-3"), 0);
    assert_int_equal(tasks_of(NULL, "1000000(x1000000)"), 0);
}

/* A stand-in for scontrol in a folder of its own, first in PATH; it prints the names. */
typedef struct {
    char dir[64], path[128], before[4096];
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/coxswain-nodes-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/scontrol", f->dir);
    (void)snprintf(f->before, sizeof f->before, "%s", getenv("PATH"));
    FILE *file = fopen(f->path, "w");
    assert_non_null(file);
    (void)fputs("#!/bin/sh\n[ \"$1 $2\" = \"show hostnames\" ] || exit 1\n"
                "echo \"$3\" | tr ' ' '\\n'\n",
                file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(f->path, 0700), 0);
    char with[4096 + 128];
    (void)snprintf(with, sizeof with, "%s:%s", f->dir, f->before);
    set("PATH", with);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    set("PATH", f->before);
    set("SLURM_JOB_NODELIST", NULL);
    (void)unlink(f->path);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static cx_nodes find(const char *names, const char *per_node) {
    cx_nodes nodes;
    set("SLURM_JOB_NODELIST", names);
    set("SLURM_TASKS_PER_NODE", per_node);
    cx_nodes_find(&nodes);
    return nodes;
}

static void test_find(void **state) {
    (void)state;
    cx_nodes nodes = find("n1 n2 n3 n7", "2(x3),1");
    assert_int_equal(nodes.n, 4);
    assert_string_equal(nodes.node[0].name, "n1");
    assert_string_equal(nodes.node[3].name, "n7");
    assert_int_equal(nodes.node[2].tasks, 2);
    assert_int_equal(nodes.node[3].tasks, 1);
    assert_int_equal(nodes.node[0].failures, 0);
    cx_nodes_free(&nodes);
    assert_int_equal(nodes.n, 0);

    /* names and tasks that do not fit together: nothing is known, and nothing left out */
    nodes = find("n1 n2 n3", "2");
    assert_int_equal(nodes.n, 0);
    cx_nodes_free(&nodes);
    nodes = find("n1", "x");
    assert_int_equal(nodes.n, 0);
    cx_nodes_free(&nodes);
    /* not in a job */
    nodes = find(NULL, "2");
    assert_int_equal(nodes.n, 0);
    cx_nodes_free(&nodes);
    nodes = find("n1", NULL);
    assert_int_equal(nodes.n, 0);
    cx_nodes_free(&nodes);
    /* the shell does not see what is in the list */
    nodes = find("$(exit) `exit` n3", "1(x3)");
    assert_int_equal(nodes.n, 3);
    assert_string_equal(nodes.node[0].name, "$(exit)");
    cx_nodes_free(&nodes);
}

static void fail_on(cx_nodes *nodes, const char *host, bool again) {
    cx_launch_news news;
    memset(&news, 0, sizeof news);
    cx_launch_news_lost(&news, host);
    cx_nodes_failed(nodes, &news, again);
}

static void test_left_out(void **state) {
    (void)state;
    char list[128];
    cx_nodes nodes = find("n1 n2 n3", "4,2(x2)");
    assert_int_equal(cx_nodes_rest(&nodes, true, list, sizeof list), 0);
    fail_on(&nodes, "n2", false);
    assert_false(cx_nodes_left_out(&nodes, 1)); /* once is no proof */
    assert_int_equal(cx_nodes_rest(&nodes, true, list, sizeof list), 0);
    fail_on(&nodes, "n3", false);
    fail_on(&nodes, "n20", false);             /* not of this job */
    fail_on(&nodes, "n2.site.example", false); /* a machine's own name may be longer */
    assert_true(cx_nodes_left_out(&nodes, 1));
    assert_false(cx_nodes_left_out(&nodes, 2));
    assert_int_equal(cx_nodes_rest(&nodes, true, list, sizeof list), 6);
    assert_string_equal(list, "n1:4,n3:2");
    assert_int_equal(cx_nodes_rest(&nodes, false, list, sizeof list), 6);
    assert_string_equal(list, "n1,n3");
    assert_int_equal(cx_nodes_rest(&nodes, true, list, 9), 0); /* no room for the list */
    cx_nodes_free(&nodes);
}

/* Ranks that could not even be started: the nodes that had failed before are suspected. */
static void test_failed_again(void **state) {
    (void)state;
    cx_nodes nodes = find("n1 n2 n3", "1(x3)");
    fail_on(&nodes, "n2", true);
    assert_int_equal(nodes.node[1].failures, 0);
    fail_on(&nodes, "n2", false);
    fail_on(&nodes, "n2", true);
    assert_true(cx_nodes_left_out(&nodes, 1));
    cx_nodes_free(&nodes);
}

/* The first node is where launcher and rank 0 are. */
static void test_the_first_node_stays(void **state) {
    (void)state;
    char list[128];
    cx_nodes nodes = find("n1 n2", "1(x2)");
    for (int i = 0; i < 3; i++)
        fail_on(&nodes, "n1", false);
    assert_false(cx_nodes_left_out(&nodes, 0));
    assert_int_equal(cx_nodes_rest(&nodes, true, list, sizeof list), 0);
    cx_nodes_free(&nodes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks),
        cmocka_unit_test_setup_teardown(test_find, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failed_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_first_node_stays, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
