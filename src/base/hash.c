#include "base/hash.h"

#define XXH_STATIC_LINKING_ONLY /* the state's size */
#include <xxhash.h>

uint64_t cx_hash(const void *data, size_t size, uint64_t seed) {
    return XXH3_64bits_withSeed(data, size, seed);
}

uint64_t cx_hash_slices(const cx_slice *slices, int n, uint64_t seed) {
    XXH3_state_t state;
    (void)XXH3_64bits_reset_withSeed(&state, seed);
    for (int i = 0; i < n; i++)
        if (slices[i].size > 0)
            (void)XXH3_64bits_update(&state, slices[i].data, slices[i].size);
    return XXH3_64bits_digest(&state);
}
