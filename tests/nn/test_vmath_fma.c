/* tests/nn/test_vmath.c with fused multiply-add, as the higher levels of x86-64 have it. */
#if defined(__x86_64__) && !defined(__FMA__)
#define CX_TEST_NEEDS_FMA
#pragma GCC push_options
#pragma GCC target("fma")
#include "nn/vmath.h"
#pragma GCC pop_options
#endif
#include "tests/nn/test_vmath.c"
