#include "tests/test.h"

#include "tasks/permute.h"
#include <math.h>

static void test_is_a_permutation(void **state) {
    (void)state;
    static const uint32_t sizes[] = {1, 2, 3, 4, 5, 16, 17, 64, 1000, 4096, 4097, 50000};
    static unsigned char seen[50000];
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        uint32_t n = sizes[k];
        cx_rng rng = cx_rng_make(k, 0, CX_STREAM_TEST);
        cx_permute p = cx_permute_make(n, &rng);
        for (uint32_t i = 0; i < n; i++)
            seen[i] = 0;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t j = cx_permute_at(&p, i);
            assert_true(j < n);
            assert_int_equal(seen[j]++, 0);
        }
    }
}

/* Every place is equally likely, and two neighbors go apart: chi-squares over keys. */
static void test_is_shuffled(void **state) {
    (void)state;
    enum { N = 11, KEYS = 220000 };
    static double place[N][N], pair[N][N];
    for (uint64_t k = 0; k < KEYS; k++) {
        cx_rng rng = cx_rng_make(1, k, CX_STREAM_TEST);
        cx_permute p = cx_permute_make(N, &rng);
        for (uint32_t i = 0; i < N; i++)
            place[i][cx_permute_at(&p, i)]++;
        pair[cx_permute_at(&p, 3)][cx_permute_at(&p, 4)]++;
    }
    double chi_place = 0, chi_pair = 0, e = (double)KEYS / N, f = (double)KEYS / (N * (N - 1));
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            chi_place += (place[i][j] - e) * (place[i][j] - e) / e;
            if (i != j)
                chi_pair += (pair[i][j] - f) * (pair[i][j] - f) / f;
        }
    /* about 100 and 109 degrees of freedom; 175 is beyond 1 in 100,000 */
    if (chi_place > 175 || chi_pair > 175)
        fail_msg("chi-squares %.1f and %.1f", chi_place, chi_pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_a_permutation),
        cmocka_unit_test(test_is_shuffled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
