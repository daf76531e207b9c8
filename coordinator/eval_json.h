/* The results of an evaluation as JSON: DIR/evaluation.json (docs/developer.md). */
#ifndef CX_COORDINATOR_EVAL_JSON_H
#define CX_COORDINATOR_EVAL_JSON_H

#include "coordinator/evaluate.h"

/* Replaces DIR/evaluation.json. */
int cx_evaluation_write_json(const cx_evaluation *e, const cx_suite *suite, const cx_figures *f,
                             bool complete, cx_error *err);
/* The same on one line, without the long lists (curves, hyperparameters over progress,
 * trials). *text is the caller's. */
int cx_evaluation_summary_json(const cx_evaluation *e, const cx_suite *suite, const cx_figures *f,
                               char **text, cx_error *err);

#endif
