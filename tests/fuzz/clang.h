/* What the sources take from GCC and clang does not have; included before each of them
 * (-include) when fuzzers are built. */
#ifndef CX_TESTS_FUZZ_CLANG_H
#define CX_TESTS_FUZZ_CLANG_H

/* Fuzzers have no levels of kernels to choose from (base/level.h). */
#define __builtin_cpu_supports(feature) 1
#define __builtin_shuffle(x, y, mask)                                                              \
    ({                                                                                             \
        __typeof__(x) fuzz_x = (x), fuzz_y = (y), fuzz_to;                                         \
        const int fuzz_n = (int)(sizeof fuzz_x / sizeof fuzz_x[0]);                                \
        for (int fuzz_l = 0; fuzz_l < fuzz_n; fuzz_l++) {                                          \
            int fuzz_at = (int)(mask)[fuzz_l] & (2 * fuzz_n - 1);                                  \
            fuzz_to[fuzz_l] = fuzz_at < fuzz_n ? fuzz_x[fuzz_at] : fuzz_y[fuzz_at - fuzz_n];       \
        }                                                                                          \
        fuzz_to;                                                                                   \
    })

#endif
