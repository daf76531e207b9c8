/* What a run leaves on disk (docs/developer.md, "A run's folder"). */
#ifndef CX_COORDINATOR_RUN_DIR_H
#define CX_COORDINATOR_RUN_DIR_H

#include "coordinator/watch.h"
#include "policy/action.h"
#include "ppo/ppo.h"
#include "store/store.h"

/* Counters that a run carries across restarts; stored in every checkpoint. */
typedef struct {
    uint64_t version;  /* learner updates done */
    uint64_t episodes; /* finished, consumed or not */
    uint64_t diverged;
    double seconds;         /* running time before this start */
    uint64_t metrics_bytes; /* sizes of the two line files at the checkpoint */
    uint64_t episodes_bytes;
} cx_run_counters;

typedef struct {
    char path[512];
    int lock;
    bool resumed;
    const char *config_yaml; /* the caller's */
    cx_lines *metrics, *episodes;
    char note[1024]; /* what a resume dropped or skipped; for people */
} cx_run_dir;

/* Opens DIR for a run: it must not exist (or be empty), or `resume` must be given and
 * it be a run of a configuration that agrees with `config_yaml` in everything that
 * acts on the result but the number of updates. CX_EUSAGE, CX_ECONFIG. Takes the lock
 * before anything is written. Of an old folder nothing is changed yet: its checkpoint may be
 * refused. `config_yaml` must last as long as `dir`. */
int cx_run_dir_open(cx_run_dir *dir, const char *path, bool resume, const char *config_yaml,
                    cx_error *err);
void cx_run_dir_close(cx_run_dir *dir);

/* Cuts both line files back to what the checkpoint had seen and opens them; of a run that is
 * resumed config.yaml is written. CX_EFORMAT, with nothing changed, where one of the files is
 * shorter than the checkpoint knows. */
int cx_run_dir_open_lines(cx_run_dir *dir, const cx_run_counters *counters, cx_error *err);

/* One line per finished episode; per learner update. */
int cx_run_dir_episode(cx_run_dir *dir, const cx_config *config, const cx_episode_result *r,
                       cx_error *err);
/* Of the workers' wall time: inner runs and baselines; the policy; waiting and messages. */
typedef struct {
    double busy, policy, waiting;
} cx_worker_shares;
typedef struct {
    double seconds, episodes_per_second;
    cx_worker_shares share;
    int workers;
    cx_watch_counts crew; /* since this start */
    double learners_busy; /* share of the learner ranks' time */
    uint64_t baselines, peak_bytes_coordinator, peak_bytes_worker;
} cx_run_rates;
int cx_run_dir_update(cx_run_dir *dir, const cx_run_counters *counters, const cx_heads *heads,
                      const cx_update_stats *stats, const cx_run_rates *rates, cx_error *err);

#endif
