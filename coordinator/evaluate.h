/* The evaluation of a policy on a suite (lhopt, section "evaluation"): does the trials that
 * the suite's plan asks for, over the workers, keeps their results in a file, and writes
 * what follows from them. A trial that the file knows is never done again: the same call goes
 * on where the last one stopped. */
#ifndef CX_COORDINATOR_EVALUATE_H
#define CX_COORDINATOR_EVALUATE_H

#include "coordinator/farm.h"
#include "coordinator/figures.h"
#include "coordinator/suite.h"

/* Files in `dir`. */
#define CX_EVALUATION_TRIALS "trials.bin"
#define CX_EVALUATION_JSON "evaluation.json"

typedef struct {
    const cx_config *config;
    const char *config_yaml; /* resolved */
    const char *dir;
    const char *command; /* for DIR/made.json; NULL: none */
    const char *source;  /* the policy's file, for the results; NULL: none */
    cx_suite_options suite;
    const float *policy; /* cx_net block; NULL: a fixed contestant */
    size_t policy_count;
    cx_farm_options farm;
    void (*say)(void *context, bool live, const char *line);
    void *say_context;
    double say_interval; /* seconds between live lines */
} cx_evaluation;

typedef struct {
    int done, found; /* trials done now; found finished */
    double seconds;
} cx_evaluation_summary;

/* Runs until the plan is whole: DIR/config.yaml, DIR/trials.bin, DIR/evaluation.json (also
 * on a stop, of the tasks that are complete). *suite and *figures: what came out, the
 * caller's; results in them live until cx_evaluation_close. */
typedef struct cx_evaluation_state cx_evaluation_state;
int cx_evaluate(const cx_evaluation *e, cx_evaluation_state **state, cx_error *err);
const cx_suite *cx_evaluation_suite(const cx_evaluation_state *state);
const cx_figures *cx_evaluation_figures(const cx_evaluation_state *state);
cx_evaluation_summary cx_evaluation_summarize(const cx_evaluation_state *state);
void cx_evaluation_close(cx_evaluation_state *state);

#endif
