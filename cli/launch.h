/* Starting the ranks of `train` and `eval` typed alone: mpirun, watched, restarted
 * from the newest checkpoint when a rank died, with signals passed on. */
#ifndef CX_CLI_LAUNCH_H
#define CX_CLI_LAUNCH_H

#include "base/error.h"
#include <stdbool.h>

/* Started by mpirun or srun already? */
bool cx_launch_is_rank(void);
/* -j N, else Slurm's tasks, else the cores. */
int cx_launch_default_ranks(void);
/* Runs `coxswain ARGV...` (argv[0] the command) on `ranks` ranks and returns the exit
 * status that rank 0 reported. `progress_dir`: a folder of checkpoints by which it is
 * seen whether a restart made progress; with it, an end that nobody reported leads to a
 * restart with --resume, at most 3 in a row without progress. */
int cx_launch(int ranks, int argc, char **argv, const char *progress_dir);
/* Rank 0 reports to the launcher, where there is one: that it has started, and later its
 * exit status. */
enum { CX_LAUNCH_STARTED = -1 };
void cx_launch_report(int status);
/* CX_EUSAGE under an srun that does not tell its tasks of each other. */
int cx_launch_check(cx_error *err);
/* The launcher's stderr is a terminal. */
bool cx_launch_terminal(void);

/* Signals: rank 0 (or the only process) notes that a stop was asked for, workers
 * ignore what rank 0 acts on. */
void cx_launch_catch_signals(bool coordinator);
bool cx_launch_stop_asked(void *unused);

#endif
