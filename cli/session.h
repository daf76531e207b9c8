/* What `train` and `eval` share: one process may be the launcher of ranks, a rank under
 * MPI, or coordinator and worker in turn. */
#ifndef CX_CLI_SESSION_H
#define CX_CLI_SESSION_H

#include "cli/args.h"
#include "cli/launch.h"
#include "cli/load.h"
#include "workers/worker.h"

typedef struct {
    cx_config config;
    char *yaml; /* resolved configuration */
    uint64_t config_hash;
    cx_transport *transport;
    /* idle is NULL where workers are processes of their own */
    int (*idle)(void *session, bool *worked, cx_error *err);
    bool terminal;
    /* private */
    cx_data_store *store;
    cx_transport *ends[2];
    cx_worker *worker;
    bool line_open;
} cx_session;

typedef struct {
    const cx_syntax *syntax; /* with --out, --set, -j, --launcher, --time-left */
    /* What the arguments change in the configuration that was read; may be NULL. */
    int (*adapt)(cx_config *config, const cx_args *args, cx_error *err);
    /* Checks what can be checked before ranks are started; may be NULL. */
    int (*check)(cx_session *s, const cx_args *args, cx_error *err);
    /* What rank 0 does; workers run until it stops them. */
    int (*coordinate)(cx_session *s, const cx_args *args, cx_error *err);
    /* What under --out shows progress: a folder by its checkpoints, a file by its size.
     * NULL: ranks that died are not started again. */
    const char *progress;
} cx_session_plan;

/* The whole command: returns the exit status. */
int cx_session_main(const cx_session_plan *plan, int argc, char **argv);
/* Sends all workers home before any work has begun: for a `coordinate` that fails early. */
void cx_session_dismiss(cx_session *s);
/* For coordinator options' `lost`. */
void cx_session_lost(void *unused, const char *host);
/* For coordinator options' `say`: context is the session. */
void cx_session_say(void *session, bool live, const char *line);

#endif
