#include "base/level.h"

#include <stdatomic.h>
#include <string.h>

const char *cx_level_name(cx_level level) {
    static const char *const names[] = {
#define X(word, name) name,
        CX_LEVEL_TABLE(X)
#undef X
    };
    return (unsigned)level < CX_LEVEL_COUNT ? names[level] : "?";
}

bool cx_level_built(cx_level level) {
    static const bool built[CX_LEVEL_COUNT] = {
#define X(word, ...) [CX_LEVEL_##word] = true,
        CX_LEVELS(X, )
#undef X
    };
    return (unsigned)level < CX_LEVEL_COUNT && built[level];
}

/* After the psABI's table of levels, as far as a processor may lack one of them alone.
 * The compiler's library also asks whether the system saves the wider registers. */
bool cx_level_supported(cx_level level) {
#if defined(__x86_64__)
#define HAS(feature) (__builtin_cpu_supports(feature) != 0)
    bool v2 = HAS("sse3") && HAS("ssse3") && HAS("sse4.1") && HAS("sse4.2") && HAS("popcnt");
    bool v3 = v2 && HAS("avx") && HAS("avx2") && HAS("fma") && HAS("bmi") && HAS("bmi2") &&
              HAS("f16c") && HAS("lzcnt") && HAS("movbe");
    bool v4 = v3 && HAS("avx512f") && HAS("avx512bw") && HAS("avx512cd") && HAS("avx512dq") &&
              HAS("avx512vl");
#undef HAS
#else
    bool v2 = false, v3 = false, v4 = false;
#endif
    switch (level) {
    case CX_LEVEL_v2:
        return v2;
    case CX_LEVEL_v3:
        return v3;
    case CX_LEVEL_v4:
        return v4;
    default:
        return true;
    }
}

bool cx_level_runs(cx_level level) {
    return cx_level_built(level) && cx_level_supported(level);
}

int cx_level_best(cx_level *out, cx_error *err) {
    for (int l = CX_LEVEL_COUNT - 1; l >= 0; l--)
        if (cx_level_runs((cx_level)l)) {
            *out = (cx_level)l;
            return CX_OK;
        }
    return cx_fail(err, CX_EUNSUPPORTED,
                   "this processor is older than x86-64-v2; build on this machine with "
                   "`make ARCH=native`");
}

int cx_level_find(const char *name, cx_level *out, cx_error *err) {
    cx_level best;
    int rc = cx_level_best(&best, err);
    if (rc)
        return rc;
    *out = best;
    if (strcmp(name, "auto") == 0)
        return CX_OK;
    for (int l = 0; l < CX_LEVEL_COUNT; l++) {
        if (strcmp(name, cx_level_name((cx_level)l)) != 0)
            continue;
        if (!cx_level_built((cx_level)l))
            return cx_fail(err, CX_EUSAGE,
                           "kernels for %s are not in this program; `coxswain version` lists those "
                           "that are",
                           name);
        if (!cx_level_supported((cx_level)l))
            return cx_fail(err, CX_EUSAGE,
                           "this machine does not have %s; the best that it has here is %s", name,
                           cx_level_name(best));
        *out = (cx_level)l;
        return CX_OK;
    }
    return cx_fail(err, CX_EUSAGE,
                   "no kernels are called '%s': auto or a level that `coxswain version` lists is "
                   "right",
                   name);
}

/* One more than the level; 0: not yet chosen. The library's only variable: every kernel
 * of a process has to be of one level, and it is a property of the machine. */
static atomic_int chosen;

void cx_level_choose(cx_level level) {
    atomic_store(&chosen, (int)level + 1);
}

cx_level cx_level_now(void) {
    int now = atomic_load(&chosen);
    if (now)
        return (cx_level)(now - 1);
    cx_level best = CX_LEVEL_v2; /* where none runs main() has refused already */
    (void)cx_level_best(&best, NULL);
    int none = 0; /* threads that get here together find the same */
    atomic_compare_exchange_strong(&chosen, &none, (int)best + 1);
    return (cx_level)(atomic_load(&chosen) - 1);
}
