/* The number type of the network engine. The program is built with float; the
 * finite-difference tests build the same sources with double (CX_REAL_DOUBLE). */
#ifndef CX_NN_REAL_H
#define CX_NN_REAL_H

#ifdef CX_REAL_DOUBLE
typedef double cx_real;
#define CX_REAL(name) name
#else
typedef float cx_real;
#define CX_REAL(name) name##f
#endif

#endif
