/* The Adam sweep that rewards are measured against (lhopt, section "reward"):
 * constant learning rates over a bracketed grid, the same initial weights, batches,
 * length and evaluation as the policy's runs of the same task instance. */
#ifndef CX_WORKERS_BASELINE_H
#define CX_WORKERS_BASELINE_H

#include "policy/sweep.h"
#include "tasks/task.h"
#include "workers/inner_run.h"

/* Runs the sweep on `task`, measured on the first `examples` of `split` (rewards of a
 * training: validation; of a report: test), and fits the curve. A sweep in which every run diverged
 * is no error: best_loss is then +INFINITY and every finite loss earns the most.
 * `interrupt` may be NULL; it is asked at each point of a curve. */
int cx_baseline_run(const cx_config *config, cx_task *task, cx_split split, int examples,
                    const cx_interrupt *interrupt, cx_baseline *out, cx_error *err);
/* One run of that sweep, from its initial weights: what cx_baseline_run does in it, bit by bit
 * (policy/sweep.h). */
int cx_baseline_run_one(const cx_config *config, cx_task *task, cx_split split, int examples,
                        const cx_sweep_run *run, const cx_interrupt *interrupt,
                        cx_sweep_outcome *out, cx_error *err);

#endif
