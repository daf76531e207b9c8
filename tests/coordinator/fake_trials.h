/* A suite whose trials are not trained but made up by a formula. */
#ifndef CX_TESTS_FAKE_TRIALS_H
#define CX_TESTS_FAKE_TRIALS_H

#include "tests/test.h"

#include "coordinator/figures.h"
#include "coordinator/suite.h"
#include "tasks/task.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FAKES = 8192 };

typedef struct fakes fakes;
struct fakes {
    cx_config config;
    cx_suite *suite;
    int n, n_wanted;
    cx_trial_result *result; /* [FAKES] */
    cx_trial_job *job;       /* [FAKES] of the results */
    cx_open_loop *replay;    /* [FAKES] */
    struct {
        uint64_t key;
        cx_trial_job job;
        cx_open_loop replay;
    } * wanted; /* [FAKES] */
    /* losses of a job */
    void (*make)(const fakes *f, const cx_trial_job *job, cx_trial_result *r);
};

static const cx_trial_result *fake_find(void *context, uint64_t key) {
    fakes *f = context;
    for (int i = 0; i < f->n; i++)
        if (f->result[i].key == key)
            return &f->result[i];
    return NULL;
}

static void fake_want(void *context, uint64_t key, const cx_trial_job *job,
                      const cx_open_loop *replay) {
    fakes *f = context;
    cx_error err;
    assert_ok(cx_trial_check(job, &err));
    for (int i = 0; i < f->n_wanted; i++)
        if (f->wanted[i].key == key)
            return;
    assert_true(f->n_wanted < FAKES);
    f->wanted[f->n_wanted].key = key;
    f->wanted[f->n_wanted].job = *job;
    assert_true((replay != NULL) == (job->trainer == CX_TRAINER_REPLAY));
    if (replay)
        f->wanted[f->n_wanted].replay = *replay;
    f->n_wanted++;
}

static bool fake_plan(fakes *f) {
    const cx_plan_io io = {fake_find, fake_want, f};
    f->n_wanted = 0;
    return cx_suite_plan(f->suite, &io);
}

/* All losses of a trial: the two sets of parameters alike. */
static void fake_losses(cx_trial_result *r, double train, double valid, double test) {
    for (int p = 0; p < CX_PARAMS_COUNT; p++) {
        r->loss[p][CX_SPLIT_TRAIN] = train;
        r->loss[p][CX_SPLIT_VALIDATION] = valid;
        r->loss[p][CX_SPLIT_TEST] = test;
    }
}

static void fake_do(fakes *f, int i) {
    assert_true(f->n < FAKES);
    cx_trial_result *r = &f->result[f->n];
    memset(r, 0, sizeof *r);
    f->job[f->n] = f->wanted[i].job;
    f->replay[f->n] = f->wanted[i].replay;
    r->steps = cx_trial_steps(&f->config, &f->wanted[i].job);
    r->seconds = r->training_seconds = 1e-3 * r->steps;
    f->make(f, &f->wanted[i].job, r);
    r->key = f->wanted[i].key;
    f->n++;
}

/* Until nothing is missing; returns the number of rounds. */
static int fake_run(fakes *f) {
    int rounds = 0;
    while (!fake_plan(f)) {
        assert_true(f->n_wanted > 0);
        int n = f->n_wanted;
        for (int i = 0; i < n; i++)
            fake_do(f, i);
        rounds++;
        assert_true(rounds < 100);
    }
    return rounds;
}

static fakes *fake_create(const char *yaml, const cx_suite_options *options,
                          void (*make)(const fakes *f, const cx_trial_job *job,
                                       cx_trial_result *r)) {
    cx_error err;
    int n;
    fakes *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->result = calloc(FAKES, sizeof *f->result);
    f->job = calloc(FAKES, sizeof *f->job);
    f->replay = calloc(FAKES, sizeof *f->replay);
    f->wanted = calloc(FAKES, sizeof *f->wanted);
    assert_true(f->result && f->job && f->replay && f->wanted);
    f->make = make;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    assert_ok(
        cx_config_parse("test", yaml, strlen(yaml), NULL, 0, schemas, n, &f->config, NULL, &err));
    cx_suite_options o = *options;
    o.config = &f->config;
    assert_ok(cx_suite_create(&o, &f->suite, &err));
    return f;
}

static void fake_destroy(fakes *f) {
    cx_suite_destroy(f->suite);
    free(f->result);
    free(f->job);
    free(f->replay);
    free(f->wanted);
    free(f);
}

static inline const cx_entrant *fake_entrant(const fakes *f, int task, cx_contestant_kind kind) {
    int i = cx_suite_find(f->suite, kind);
    assert_true(i >= 0);
    return &f->suite->task[task].entrant[i];
}

#endif
