/* 64-bit hashes (XXH3): keys of caches and check sums of files and messages. */
#ifndef CX_BASE_HASH_H
#define CX_BASE_HASH_H

#include "base/slice.h"
#include <stddef.h>
#include <stdint.h>

uint64_t cx_hash(const void *data, size_t size, uint64_t seed);
/* The same number as of all the pieces in one. */
uint64_t cx_hash_slices(const cx_slice *slices, int n, uint64_t seed);

#endif
