/* Starting the ranks of `train` and `eval` typed alone: mpirun (or srun), watched, started
 * again from the newest checkpoint when a rank died, with signals passed on. */
#ifndef CX_CLI_LAUNCH_H
#define CX_CLI_LAUNCH_H

#include "base/error.h"
#include "cli/launch_news.h"
#include <stdbool.h>

/* Started by mpirun or srun already? */
bool cx_launch_is_rank(void);
/* -j N, else Slurm's tasks, else the cores. */
int cx_launch_default_ranks(void);
/* CX_EUSAGE where so many ranks on this machine alone would only bring it to a standstill. */
int cx_launch_room(long long ranks, cx_error *err);
/* "mpirun" or "srun"; inside a Slurm job either starts ranks on all its nodes. NULL: mpirun.
 * CX_EUSAGE for others, and for srun outside of a job. */
int cx_launch_by(const char *name, bool *srun, cx_error *err);

typedef struct {
    int ranks;
    bool srun;
    int argc;
    char **argv;     /* the command and its arguments */
    const char *dir; /* the run's folder; there when ranks are started */
    /* By which it is seen whether a restart made progress: a folder of checkpoints, or a
     * file that grows. With it, an end that nobody reported, the death of rank 0, and rank 0's
     * wish lead to a restart with --resume, at most 3 in a row without progress; without nodes
     * of a Slurm job that failed twice. NULL: no restarts. */
    const char *progress;
} cx_launch_plan;
/* Runs `coxswain ARGV...` on ranks and returns the exit status that rank 0 reported; 75,
 * too, where ranks cannot be started again but something was saved. */
int cx_launch(const cx_launch_plan *plan);

/* The time at which the run is to be over, as seconds from now. What the launcher has said
 * holds for ranks that it starts hours later. <= 0: it has passed; INFINITY: none was set. */
void cx_launch_set_time_left(double seconds);
double cx_launch_time_left(void);
/* On every node of a start: removes what dead ranks left in its shared memory. For ranks,
 * before MPI is initialized; the first one of a node does it. */
void cx_launch_clean_node(void);
/* Rank 0 tells the launcher, where there is one: its exit status, or one of launch_news.h;
 * a machine on which a worker has died. */
void cx_launch_report(int status);
void cx_launch_lost(const char *host);
/* A launcher is there that starts ranks again. */
bool cx_launch_restarts(void);
/* CX_EUSAGE under an srun that does not tell its tasks of each other. */
int cx_launch_check(cx_error *err);
/* The launcher's stderr is a terminal. */
bool cx_launch_terminal(void);

/* SIGTERM, SIGUSR1, SIGINT and SIGHUP (unless ignored from the start) are noted, no more. */
void cx_launch_catch_signals(void);
bool cx_launch_stop_asked(void *unused);

#endif
