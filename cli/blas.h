/* OpenBLAS chooses its kernels by the processor's model number, and falls back to those
 * of a Pentium 4 where it does not know it: 4 x slower here than what the processor can. */
#ifndef CX_CLI_BLAS_H
#define CX_CLI_BLAS_H

/* Where that has happened, and OPENBLAS_CORETYPE is not set, sets it by what the
 * processor can and starts the program again (the choice is made while it is loaded).
 * Returns when there is nothing to do or it cannot be done. */
void cx_blas_choose_kernels(char **argv);
/* Name of the kernels in use. */
const char *cx_blas_kernels(void);

#endif
