#include "bench/scale/times.h"

#include "base/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int cx_times_read(const char *path, cx_times *t, cx_error *err) {
    *t = (cx_times){0};
    FILE *f = fopen(path, "r");
    if (!f)
        return cx_fail(err, CX_EDATA, "%s: cannot be read", path);
    char line[4096];
    int rc = CX_OK;
    for (int number = 1; !rc && fgets(line, sizeof line, f); number++) {
        char *at = line;
        if (line[0] == '#' || line[0] == '\n')
            continue;
        long entry = strtol(at, &at, 10), n = strtol(at, &at, 10);
        if (entry < 0 || entry >= CX_ENTRIES_MAX || n < 1)
            rc = cx_fail(err, CX_EDATA, "%s:%d: no entry and number of tasks", path, number);
        for (int i = 0; !rc && i < CX_TIMES_QUANTILES; i++) {
            char *end;
            double q = strtod(at, &end);
            if (end == at || !(q > 0) || !isfinite(q))
                rc = cx_fail(err, CX_EDATA, "%s:%d: not %d positive quantiles", path, number,
                             CX_TIMES_QUANTILES);
            else
                t->quantile[entry][i] = q;
            at = end;
        }
        if (!rc)
            t->n[entry] = (int)n;
    }
    (void)fclose(f);
    return rc;
}

double cx_times_episode(const cx_times *t, const cx_config *config, const cx_task_spec *spec) {
    const double *q = t->quantile[spec->entry];
    cx_rng rng = cx_rng_make((uint64_t)spec->seed, 0, CX_STREAM_TEST);
    double at = cx_rng_uniform(&rng) * (CX_TIMES_QUANTILES - 1);
    int i = (int)at < CX_TIMES_QUANTILES - 2 ? (int)at : CX_TIMES_QUANTILES - 2;
    return cx_task_gflop(spec, config) * (q[i] + (at - i) * (q[i + 1] - q[i]));
}
