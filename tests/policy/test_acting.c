/* The matrix-vector product of acting, at each level: against its definition, and with the same
 * bits whichever way it goes over the rows. */
#include "tests/test.h"

#include "base/rng.h"
#include "policy/acting.h"
#include "tests/levels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int all_rows[] = {1, 2, 3, 4, 7, 8, 9, 16, 17, 31, 66},
                 all_columns[] = {1, 3, 4, 5, 8, 13, 15, 16, 17, 31, 32, 33, 64, 109, 256};
#define COUNT(list) (sizeof(list) / sizeof *(list))

/* Of exactly this size, so that the address sanitizer sees what is read behind it. */
static float *numbers(cx_rng *rng, int n) {
    float *p = malloc((size_t)n * sizeof *p);
    assert_non_null(p);
    cx_rng_fill_normal(rng, p, (size_t)n);
    return p;
}

static void check_shape(int rows, int n, bool bias, bool add) {
    const cx_acting_kernels *k = cx_acting_kernels_now();
    cx_rng rng = cx_rng_make(3, (uint64_t)(rows * 1000 + n), CX_STREAM_DATA);
    float *w = numbers(&rng, rows * n), *b = bias ? numbers(&rng, rows) : NULL;
    float *x = numbers(&rng, n), *before = numbers(&rng, rows);
    float *down = numbers(&rng, rows), *up = numbers(&rng, rows);
    size_t bytes = (size_t)rows * sizeof *up;
    memcpy(down, before, bytes);
    memcpy(up, before, bytes);
    k->matvec(w, b, x, rows, n, add, false, down);
    k->matvec(w, b, x, rows, n, add, true, up);
    assert_memory_equal(down, up, bytes);
    for (int r = 0; r < rows; r++) {
        double y = (b ? b[r] : 0.0) + (add ? before[r] : 0.0), size = fabs(y);
        for (int i = 0; i < n; i++) {
            y += (double)w[r * n + i] * x[i];
            size += fabs((double)w[r * n + i] * x[i]);
        }
        assert_true(fabs(down[r] - y) <= 1e-6 * (1 + size));
    }
    free(w);
    free(b);
    free(x);
    free(before);
    free(down);
    free(up);
}

static void test_matvec(void **state) {
    (void)state;
    for (size_t r = 0; r < COUNT(all_rows); r++)
        for (size_t c = 0; c < COUNT(all_columns); c++)
            for (int more = 0; more < 4; more++)
                check_shape(all_rows[r], all_columns[c], more & 1, more & 2);
}

/* What is not finite is seen in its own row and in no other. */
static void test_faulty_row(void **state) {
    (void)state;
    enum { ROWS = 19, N = 21 };
    cx_rng rng = cx_rng_make(4, 0, CX_STREAM_DATA);
    for (int bad = 0; bad < ROWS; bad++) {
        float *w = numbers(&rng, ROWS * N), *x = numbers(&rng, N), y[ROWS];
        w[bad * N] = NAN;
        cx_acting_kernels_now()->matvec(w, NULL, x, ROWS, N, false, bad % 2, y);
        for (int r = 0; r < ROWS; r++)
            assert_true(isnan(y[r]) == (r == bad));
        free(w);
        free(x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_matvec),
                                       cmocka_unit_test(test_faulty_row)};
    int failed = 0;
    RUN_AT_EACH_LEVEL(failed, tests, NULL, NULL);
    return failed;
}
