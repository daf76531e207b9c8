/* What every unit test includes first. */
#ifndef CX_TESTS_TEST_H
#define CX_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

/* Path of a file among the shared reference data, or a visible skip. */
#define CX_SHARED_OR_SKIP(buffer, relative)                                                        \
    do {                                                                                           \
        const char *root_ = getenv("CX_SHARED");                                                   \
        (void)snprintf(buffer, sizeof buffer, "%s/%s", root_ ? root_ : "../shared", relative);     \
        FILE *f_ = fopen(buffer, "rb");                                                            \
        if (!f_) {                                                                                 \
            printf("skip: %s is not there\n", buffer);                                             \
            skip();                                                                                \
        } else {                                                                                   \
            (void)fclose(f_);                                                                      \
        }                                                                                          \
    } while (0)

/* assert_int_equal(rc, 0) that says why it failed. */
#define assert_ok(call)                                                                            \
    do {                                                                                           \
        if ((call) != CX_OK)                                                                       \
            fail_msg("%s: %s", #call, err.message);                                                \
    } while (0)

#endif
