/* What the files of `coxswain eval` share. */
#ifndef CX_CLI_EVAL_H
#define CX_CLI_EVAL_H

#include "cli/session.h"
#include "coordinator/evaluate.h"

extern const cx_syntax cx_eval_syntax;

/* Instances of an evaluation: far beyond what a training can reach; --seed draws others. */
int cx_eval_first_instance(const cx_args *args, uint64_t *first, cx_error *err);
/* The farm of a session's workers. */
cx_farm_options cx_eval_farm(cx_session *s);
/* Floats of the policy's block under a configuration. */
int cx_eval_policy_count(const cx_config *config, size_t *count, cx_error *err);

/* eval_rewards.c: `eval --rewards`. */
extern const cx_session_plan cx_eval_rewards_plan;

/* eval_tables.c: what came out, on stdout. */
int cx_eval_print(const cx_evaluation *e, const cx_suite *suite, const cx_figures *f,
                  cx_error *err);

#endif
