/* Does the trials of an evaluation (policy/trial.h). */
#ifndef CX_WORKERS_TRIAL_H
#define CX_WORKERS_TRIAL_H

#include "policy/trial.h"
#include "workers/episode.h"

/* Runs a trial with the runner's tasks. replay: of a REPLAY (else unused); policy: the
 * block of a POLICY (else unused). Divergence is a result, not an error. The
 * runner's interrupt is asked at every step (CX_ESTOPPED). out->key is left to the caller. */
int cx_trial_run(const cx_config *config, cx_episode_runner *runner, const cx_trial_job *job,
                 const cx_open_loop *replay, const float *policy, cx_trial_result *out,
                 cx_error *err);

#endif
