/* coxswain version: what was built, and what it runs on. */
#include "cli/command.h"

#include "cli/blas.h"
#include "policy/observation.h"
#include "wire/message.h"
#include "wire/transport.h"
#include <stdio.h>

/* OpenBLAS's own; its header does not pass -Wpedantic */
char *openblas_get_config(void);

int cx_cmd_version(int argc, char **argv) {
    char mpi[512];
    (void)argc;
    (void)argv;
    (void)printf("coxswain %s\nbuild flags          %s\ncompiler             %s\n", CX_VERSION,
                 CX_BUILD_FLAGS, __VERSION__);
    (void)printf("MPI                  %s\n", cx_mpi_version(mpi, sizeof mpi));
    (void)printf("BLAS                 %s, kernels %s\n", openblas_get_config(),
                 cx_blas_kernels());
    (void)printf("features and actions version %d\nwire                 version %d\n",
                 CX_SEMANTICS_VERSION, CX_WIRE_VERSION);
    return 0;
}
