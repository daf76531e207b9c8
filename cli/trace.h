/* A file of JSON lines that says what a policy saw and did in one run: one object per
 * outer step. Keys: `outer_step`; `features` (by name, of the outer step before, raw; null:
 * none yet) and `valid_loss_before`, `train_loss_before`; `observations` (by name, as the
 * network saw them, before its input normalization); `actions`: per head its
 * `probabilities`, the `choice` (index), and what the choices do (`factors` or `shifts`; the
 * register head has neither); `hyper`: the hyperparameters after the choice; `train_loss`
 * (mean of the outer step's inner steps) and `valid_loss` after it. */
#ifndef CX_CLI_TRACE_H
#define CX_CLI_TRACE_H

#include "workers/episode.h"
#include <stdio.h>

/* CX_ENOMEM, CX_EIO. */
int cx_trace_write(FILE *file, const cx_config *config, const cx_outer_step_view *view,
                   cx_error *err);

#endif
