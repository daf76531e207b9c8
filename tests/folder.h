/* A folder of its own under /tmp for what a group of tests writes:
 * cmocka_run_group_tests(tests, make_folder, remove_folder). */
#ifndef CX_TESTS_FOLDER_H
#define CX_TESTS_FOLDER_H

#include "base/file.h"
#include <stdlib.h>

static char folder[] = "/tmp/cx-test-XXXXXX";

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return cx_file_remove_all(folder, NULL);
}

#endif
