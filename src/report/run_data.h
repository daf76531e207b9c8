/* What the files of a run's folder say, as columns of numbers for the page. */
#ifndef CX_REPORT_RUN_DATA_H
#define CX_REPORT_RUN_DATA_H

#include "base/error.h"
#include "ppo/ppo.h"
#include <stdbool.h>

/* Keys of a line of metrics.jsonl: those of CX_UPDATE_TABLE and these. `seconds` is the
 * time since the run's start; what an update computed is `learner_seconds`. */
#define CX_METRIC_TABLE(X)                                                                         \
    CX_UPDATE_TABLE(X)                                                                             \
    X(update)                                                                                      \
    X(episodes) /* finished so far */                                                              \
    X(episodes_per_second)                                                                         \
    X(workers)                                                                                     \
    X(workers_lost)                                                                                \
    X(workers_late)                                                                                \
    X(reissued)        /* episodes */                                                              \
    X(workers_busy)    /* share of the workers' time: training steps, evaluations, sweeps */       \
    X(workers_policy)  /* the same: observing and choosing */                                      \
    X(workers_waiting) /* the same: waiting, messages */                                           \
    X(learner_ranks)   /* that compute gradients */                                                \
    X(learner_ranks_busy)                                                                          \
    X(baselines)                                                                                   \
    X(learner_seconds)                                                                             \
    X(peak_bytes_coordinator)                                                                      \
    X(peak_bytes_worker)

typedef enum {
#define X(name) CX_METRIC_##name,
    CX_METRIC_TABLE(X)
#undef X
        CX_METRIC_COUNT
} cx_metric;

enum { CX_REPORT_FAMILIES = 64 };

typedef struct {
    int family;      /* index into the names; the last one is "others" where there are more */
    int outer_steps; /* K */
    double reward;   /* NAN: none */
    bool diverged;
} cx_report_episode;

typedef struct {
    int n, room;                     /* updates */
    double *metric[CX_METRIC_COUNT]; /* [n]; NAN: null, or not in the line */
    int n_heads;
    char head[CX_HEADS_MAX][64];
    double *head_entropy[CX_HEADS_MAX]; /* [n] */
    int n_episodes, episodes_room;
    cx_report_episode *episode;
    int n_families;
    char family[CX_REPORT_FAMILIES][64];
    int bad_lines; /* lines that are no JSON object, a torn last one not counted */
} cx_run_data;

/* Reads DIR/metrics.jsonl and DIR/episodes.jsonl; a missing one has no lines. CX_EDATA,
 * CX_ENOMEM. */
int cx_run_data_read(const char *dir, cx_run_data *data, cx_error *err);
void cx_run_data_free(cx_run_data *data);

#endif
