/* coxswain version: what was built, and what it runs on. */
#include "cli/command.h"

#include "base/level.h"
#include "cli/args.h"
#include "policy/observation.h"
#include "wire/message.h"
#include "wire/transport.h"
#include <stdio.h>

/* OpenBLAS's own; its header does not pass -Wpedantic */
char *openblas_get_config(void);
char *openblas_get_corename(void);

static void print_kernels(void) {
    const char *between = "";
    (void)printf("kernels              ");
    for (int l = 0; l < CX_LEVEL_COUNT; l++)
        if (cx_level_built((cx_level)l)) {
            (void)printf("%s%s%s", between, cx_level_name((cx_level)l),
                         cx_level_supported((cx_level)l) ? "" : " (not on this machine)");
            between = ", ";
        }
    (void)printf("; %s runs\n", cx_level_name(cx_level_now()));
}

int cx_cmd_version(int argc, char **argv) {
    static const cx_option options[] = {{NULL, NULL, NULL}};
    static const cx_syntax syntax = {"version", "", "Prints version, build, kernels, MPI and BLAS.",
                                     options,   0,  0};
    char mpi[512];
    cx_error err = {0};
    cx_args args;
    bool done;
    int rc = cx_args_parse(&syntax, argc, argv, &args, &done, &err);
    if (rc || done)
        return rc ? cx_cli_fail("version", &err) : 0;
    (void)printf("coxswain %s\nbuild flags          %s\ncompiler             %s\n", CX_VERSION,
                 CX_BUILD_FLAGS, __VERSION__);
    print_kernels();
    (void)printf("MPI                  %s\n", cx_mpi_version(mpi, sizeof mpi));
    (void)printf("BLAS                 %s, kernels %s\n", openblas_get_config(),
                 openblas_get_corename());
    (void)printf("features and actions version %d\nwire                 version %d\n",
                 CX_SEMANTICS_VERSION, CX_WIRE_VERSION);
    return 0;
}
