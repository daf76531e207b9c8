/* Which level's kernels this process runs (base/level.h). */
#ifndef CX_CLI_KERNELS_H
#define CX_CLI_KERNELS_H

#include "base/level.h"
#include "config/config.h"
#include "wire/transport.h"

/* At the program's start: the environment's CX_KERNELS (a level's name, or auto), else the
 * best of this machine. CX_EUSAGE, CX_EUNSUPPORTED. */
int cx_kernels_start(cx_error *err);
/* Where one process works by itself: CX_KERNELS, else the configuration's workers.kernels,
 * else the best of this machine. */
int cx_kernels_choose(const cx_config *config, cx_error *err);
/* Where ranks work together: the same for each rank, and then the least of all ranks (with
 * "each": its own), so that all compute the same bits. All ranks call it, right after
 * cx_mpi_open. On rank 0 `line` says what the others have to know; else it is empty. Where
 * one rank cannot run what is asked of it, all fail; *elsewhere: it was not this one. */
int cx_kernels_agree(const cx_config *config, cx_transport *t, char *line, size_t size,
                     bool *elsewhere, cx_error *err);

#endif
