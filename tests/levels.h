/* For tests of kernels: the same tests at each level of the instruction set that this
 * machine has (base/level.h). Include after tests/test.h. */
#ifndef CX_TESTS_LEVELS_H
#define CX_TESTS_LEVELS_H

#include "base/level.h"

/* The next level that runs here, from `level` on; CX_LEVEL_COUNT: none. Says which of those
 * that were built do not. */
static inline cx_level next_level(int level) {
    for (; level < CX_LEVEL_COUNT && !cx_level_runs((cx_level)level); level++)
        if (cx_level_built((cx_level)level))
            printf("skip: this machine does not have %s\n", cx_level_name((cx_level)level));
    return (cx_level)level;
}

#define FOR_EACH_LEVEL(l)                                                                          \
    for (cx_level l = next_level(0); l != CX_LEVEL_COUNT; l = next_level((int)l + 1))

/* Number of tests that failed, for main. */
#define RUN_AT_EACH_LEVEL(failed, tests, set_up, tear_down)                                        \
    FOR_EACH_LEVEL(level_) {                                                                       \
        cx_level_choose(level_);                                                                   \
        failed += cmocka_run_group_tests_name(cx_level_name(level_), tests, set_up, tear_down);    \
    }

#endif
