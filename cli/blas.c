#include "cli/blas.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* OpenBLAS's own; its header does not pass -Wpedantic */
char *openblas_get_corename(void);

const char *cx_blas_kernels(void) {
    return openblas_get_corename();
}

void cx_blas_choose_kernels(char **argv) {
#if defined(__x86_64__)
    static const char *const old[] = {"Prescott", "Core2", "Generic"};
    if (getenv("OPENBLAS_CORETYPE"))
        return;
    int fallback = 0;
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++)
        fallback |= strcmp(openblas_get_corename(), old[i]) == 0;
    __builtin_cpu_init();
    const char *better = __builtin_cpu_supports("avx512vl")  ? "SkylakeX"
                         : __builtin_cpu_supports("avx2") ? "Haswell"
                                                          : NULL;
    if (fallback && better && setenv("OPENBLAS_CORETYPE", better, 1) == 0)
        (void)execv("/proc/self/exe", argv);
#else
    (void)argv;
#endif
}
