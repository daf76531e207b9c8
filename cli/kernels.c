#include "cli/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char variable[] = "CX_KERNELS";

static const char *from_environment(void) {
    const char *name = getenv(variable);
    return name && name[0] ? name : NULL;
}

int cx_kernels_start(cx_error *err) {
    const char *name = from_environment();
    cx_level level;
    int rc = cx_level_find(name ? name : "auto", &level, err);
    if (rc)
        return name ? cx_fail_in(err, "%s", variable) : rc;
    cx_level_choose(level);
    return CX_OK;
}

static int wanted(const cx_config *config, cx_level *out, cx_error *err) {
    int k = config->workers.kernels;
    *out = cx_level_now();
    if (from_environment())
        return CX_OK;
    if (k == CX_KERNELS_EACH && config->mode == CX_MODE_SYNCHRONOUS)
        return cx_fail(err, CX_ECONFIG,
                       "workers.kernels: \"each\" is for mode asynchronous: in synchronous mode "
                       "all ranks compute the same bits; auto or a level's name is right");
    bool best = k == CX_KERNELS_AUTO || k == CX_KERNELS_EACH;
    int rc = cx_level_find(best ? "auto" : cx_kernels_words[k], out, err);
    return rc ? cx_fail_in(err, "workers.kernels") : CX_OK;
}

int cx_kernels_choose(const cx_config *config, cx_error *err) {
    cx_level level;
    int rc = wanted(config, &level, err);
    if (!rc)
        cx_level_choose(level);
    return rc;
}

int cx_kernels_agree(const cx_config *config, cx_transport *t, char *line, size_t size,
                     bool *elsewhere, cx_error *err) {
    cx_level level;
    cx_mpi_extremes all;
    line[0] = 0;
    *elsewhere = false;
    int refused = wanted(config, &level, err);
    int rc = cx_mpi_compare(t, refused ? -1 : (int)level, &all, refused ? NULL : err);
    if (refused || rc)
        return refused ? refused : rc;
    if (all.least < 0) {
        *elsewhere = true;
        return cx_fail(err, CX_EUSAGE,
                       "rank %d on %s cannot run the kernels that are asked for; see its message",
                       all.least_rank, all.host);
    }
    if (config->workers.kernels != CX_KERNELS_EACH)
        level = (cx_level)all.least;
    if (!cx_level_runs(level))
        return cx_fail(err, CX_EUSAGE, "rank %d on %s has another build of this program",
                       all.least_rank, all.host);
    cx_level_choose(level);
    if (t->rank == 0 && all.least != all.most && config->workers.kernels == CX_KERNELS_EACH)
        (void)snprintf(line, size, "kernels: each rank's best, %s to %s",
                       cx_level_name((cx_level)all.least), cx_level_name((cx_level)all.most));
    else if (t->rank == 0 && all.least != all.most)
        (void)snprintf(line, size, "kernels: %s on all ranks, as rank %d on %s has no better",
                       cx_level_name(level), all.least_rank, all.host);
    return CX_OK;
}
