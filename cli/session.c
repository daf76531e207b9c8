#include "cli/session.h"

#include "base/file.h"
#include "base/hash.h"
#include "cli/kernels.h"
#include "wire/message.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void cx_session_say(void *context, bool live, const char *line) {
    cx_session *s = context;
    if (live && s->terminal) {
        (void)fprintf(stderr, "\r%s\033[K", line);
        s->line_open = true;
    } else {
        (void)fprintf(stderr, "%s%s\n", s->line_open ? "\n" : "", line);
        s->line_open = false;
    }
    (void)fflush(stderr);
}

static int let_worker_work(void *context, bool *worked, cx_error *err) {
    cx_session *s = context;
    bool stopped = false;
    return cx_worker_poll(s->worker, worked, &stopped, err);
}

static int open_worker(cx_session *s, cx_transport *end, cx_error *err) {
    /* before the data, which may take long: if this rank dies then, it is known who died */
    int rc = cx_message_send_hello(end, 0, s->config_hash, err);
    if (!rc)
        rc = cx_data_store_open(&s->config, &s->store, err);
    if (rc)
        return rc;
    return cx_worker_create(&s->config, s->store, end, &s->worker, err);
}

static int coordinate(cx_session *s, const cx_session_plan *plan, const cx_args *args,
                      cx_error *err) {
    int rc = plan->coordinate(s, args, err);
    if (s->line_open)
        (void)fputc('\n', stderr);
    s->line_open = false;
    return rc;
}

static int run_rank(cx_session *s, const cx_session_plan *plan, const cx_args *args,
                    cx_error *err) {
    cx_launch_catch_signals();
    if (s->transport->rank == 0) {
        int bad = plan->check ? plan->check(s, args, err) : CX_OK;
        if (bad)
            cx_session_dismiss(s);
        return bad ? bad : coordinate(s, plan, args, err);
    }
    int rc = open_worker(s, s->transport, err);
    if (!rc)
        rc = cx_worker_run(s->worker, cx_launch_stop_asked, NULL, err);
    if (rc) { /* rank 0 waits for this worker: it has to hear */
        cx_msg_failed failed;
        memset(&failed, 0, sizeof failed);
        failed.number = CX_NO_JOB;
        failed.code = (int32_t)err->code;
        memcpy(failed.text, err->message, sizeof failed.text);
        (void)cx_message_send(s->transport, 0, CX_MSG_FAILED, &failed, sizeof failed, NULL, 0,
                              NULL);
    }
    return rc;
}

void cx_session_dismiss(cx_session *s) {
    for (int rank = 1; rank < s->transport->ranks; rank++)
        cx_message_send_stop(s->transport, rank, true);
}

static int run_alone(cx_session *s, const cx_session_plan *plan, const cx_args *args,
                     cx_error *err) {
    cx_launch_catch_signals();
    if (!s->transport) { /* not even started as one rank of MPI */
        int rc = cx_loopback_create(2, s->ends, err);
        if (rc)
            return rc;
        s->transport = s->ends[0];
    }
    s->idle = let_worker_work;
    int rc = open_worker(s, s->ends[1], err);
    return rc ? rc : coordinate(s, plan, args, err);
}

static void close_session(cx_session *s) {
    cx_worker_destroy(s->worker);
    cx_data_store_close(s->store);
    if (s->transport && s->transport != s->ends[0])
        s->transport->close(s->transport);
    for (int i = 0; i < 2; i++)
        if (s->ends[i])
            s->ends[i]->close(s->ends[i]);
    free(s->yaml);
    free(s);
}

/* A job that cannot work is refused before ranks are started. */
static int check_first(cx_session *s, const cx_session_plan *plan, const cx_args *args,
                       cx_error *err) {
    cx_data_store *store;
    int rc = plan->check ? plan->check(s, args, err) : CX_OK;
    if (!rc)
        rc = cx_data_store_open(&s->config, &store, err);
    if (!rc)
        cx_data_store_close(store);
    return rc;
}

void cx_session_lost(void *context, const char *host) {
    (void)context;
    cx_launch_lost(host);
}

static int launch(const cx_session_plan *plan, const cx_args *args, int ranks, int argc,
                  char **argv, cx_error *err) {
    char progress[600];
    int rc = cx_path(progress, sizeof progress, err, "%s/%s", cx_args_value(args, "--out"),
                     plan->progress ? plan->progress : "");
    if (rc)
        return cx_cli_fail(plan->syntax->command, err);
    cx_launch_plan l = {.ranks = ranks,
                        .argc = argc,
                        .argv = argv,
                        .dir = cx_args_value(args, "--out"),
                        .progress = plan->progress ? progress : NULL};
    rc = cx_launch_by(cx_args_value(args, "--launcher"), &l.srun, err);
    return rc ? cx_cli_fail(plan->syntax->command, err) : cx_launch(&l);
}

static int load(cx_session *s, const cx_session_plan *plan, const cx_args *args, cx_error *err) {
    int n, rc = cx_load_config(args, &s->config, NULL, err);
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    if (!rc && plan->adapt)
        rc = plan->adapt(&s->config, args, err);
    return rc ? rc : cx_config_write(&s->config, schemas, n, &s->yaml, err);
}

static int take_time_left(const cx_args *args, cx_error *err) {
    long long left;
    if (!cx_args_value(args, "--time-left"))
        return CX_OK;
    int rc = cx_args_int(args, "--time-left", 0, 1LL << 40, 0, &left, err);
    if (!rc)
        cx_launch_set_time_left((double)left);
    return rc;
}

int cx_session_main(const cx_session_plan *plan, int argc, char **argv) {
    cx_error err = {0};
    cx_args args;
    bool elsewhere = false; /* what is wrong is another rank's, which says so */
    bool done = false, is_rank = cx_launch_is_rank();
    if (is_rank) /* before anything else: mpirun passes signals on from its start */
        cx_launch_catch_signals();
    long long ranks = 1;
    int status;
    cx_session *s = calloc(1, sizeof *s);
    if (!s)
        return 1;
    s->terminal = cx_launch_terminal();
    int rc = cx_args_parse(plan->syntax, argc, argv, &args, &done, &err);
    if (!rc && !done)
        rc = cx_launch_check(&err);
    if (!rc && !done && !cx_args_value(&args, "--out"))
        rc = cx_fail(&err, CX_EUSAGE, "--out DIR is missing");
    if (!rc && !done)
        rc = cx_args_int(&args, "-j", 1, 1000000, cx_launch_default_ranks(), &ranks, &err);
    if (!rc && !done)
        rc = cx_launch_room(ranks, &err);
    if (!rc && !done)
        rc = take_time_left(&args, &err);
    if (!rc && !done)
        rc = load(s, plan, &args, &err);
    if (!rc && !done && !is_rank)
        rc = check_first(s, plan, &args, &err);
    if (!rc && !done && !is_rank && ranks > 1) {
        status = launch(plan, &args, (int)ranks, argc, argv, &err);
        close_session(s);
        return status;
    }
    if (!rc && !done) {
        s->config_hash = cx_hash(s->yaml, strlen(s->yaml), 0);
        if (is_rank)
            cx_launch_clean_node();
        if (is_rank)
            rc = cx_mpi_open(&argc, &argv, &s->transport, &err);
        char line[256] = "";
        if (!rc)
            rc = is_rank ? cx_kernels_agree(&s->config, s->transport, line, sizeof line, &elsewhere,
                                            &err)
                         : cx_kernels_choose(&s->config, &err);
        if (!rc && line[0])
            cx_session_say(s, false, line);
        if (!rc && is_rank && s->transport->rank == 0)
            cx_launch_report(CX_LAUNCH_STARTED);
        if (!rc && is_rank && s->transport->ranks == 1) {
            s->transport->close(s->transport);
            s->transport = NULL;
        }
        if (!rc)
            rc = s->transport ? run_rank(s, plan, &args, &err) : run_alone(s, plan, &args, &err);
    }
    bool first = !s->transport || s->transport->rank == 0;
    bool broken = s->transport && s->transport->broken;
    status = 0;
    if (rc)
        status = elsewhere && !first ? cx_code_exit_status(err.code)
                                     : cx_cli_fail(plan->syntax->command, &err);
    if (first && is_rank)
        cx_launch_report(rc == CX_ELOST ? CX_LAUNCH_AGAIN : status);
    close_session(s);
    /* under the launcher the status travels through the report: a rank that exits with
     * another status than 0 would make mpirun speak of an abnormal end */
    if (is_rank && getenv("CX_EXIT_FILE"))
        status = 0;
    if (broken) { /* MPI has not been finalized, and must not be asked anything any more */
        (void)fflush(NULL);
        _exit(status);
    }
    return status;
}
