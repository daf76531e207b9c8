#include "cli/launch.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "cli/nodes.h"
#include "cli/segments.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RESTARTS_WITHOUT_PROGRESS = 3, LIST_MAX = 40 /* words before the command's own */ };
/* What ranks may take to leave after rank 0 has reported; when one of them was lost, and
 * will not; and after they are told to die. */
static const double leave_seconds = 5, lost_seconds = 1, die_seconds = 5;
/* What a start may take, and more for each rank: one that dies amid it is waited for in vain. */
static const double start_seconds = 90, start_seconds_each = 0.1;

/* All that a signal handler may touch. */
static volatile sig_atomic_t stop_signals, term_signals, pause_signals;

static void on_pause(int number) {
    (void)number;
    pause_signals = 1;
}

static void on_signal(int number) {
    stop_signals = stop_signals + 1;
    if (number == SIGTERM)
        term_signals = term_signals + 1;
}

void cx_launch_catch_signals(void) {
    static const int signals[] = {SIGTERM, SIGUSR1, SIGINT, SIGHUP};
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    (void)sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_IGN; /* a reader that goes away is a failed write, no death */
    (void)sigaction(SIGPIPE, &action, NULL);
    action.sa_handler = on_signal;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        bool nohup = signals[i] == SIGHUP && sigaction(SIGHUP, NULL, &before) == 0 &&
                     before.sa_handler == SIG_IGN;
        if (!nohup)
            (void)sigaction(signals[i], &action, NULL);
    }
}

bool cx_launch_stop_asked(void *unused) {
    (void)unused;
    return stop_signals > 0;
}

bool cx_launch_is_rank(void) {
    return getenv("OMPI_COMM_WORLD_SIZE") || (getenv("PMIX_RANK") && getenv("SLURM_STEP_ID"));
}

int cx_launch_check(cx_error *err) {
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    if (getenv("SLURM_STEP_ID") && tasks && atoi(tasks) > 1 && !cx_launch_is_rank())
        return cx_fail(err, CX_EUSAGE,
                       "srun has started %s tasks that know nothing of each other: give srun "
                       "--mpi=pmix, or start one task, or mpirun",
                       tasks);
    return CX_OK;
}

int cx_launch_by(const char *name, bool *srun, cx_error *err) {
    *srun = name && strcmp(name, "srun") == 0;
    if (name && !*srun && strcmp(name, "mpirun") != 0)
        return cx_fail(err, CX_EUSAGE, "--launcher %s: mpirun or srun", name);
    if (*srun && !getenv("SLURM_JOB_ID"))
        return cx_fail(err, CX_EUSAGE, "--launcher srun works inside a Slurm job only");
    return CX_OK;
}

int cx_launch_default_ranks(void) {
    int n = cx_nodes_tasks();
    if (n < 1)
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n;
}

int cx_launch_room(long long ranks, cx_error *err) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN), each = 16, least = 64;
    long most = cores * each > least ? cores * each : least;
    if (cx_nodes_tasks() == 0 && !cx_launch_is_rank() && ranks > most)
        return cx_fail(err, CX_EUSAGE,
                       "-j %lld: this machine has %ld cores, on which no more than %ld ranks are "
                       "started; one or two for each core are right",
                       ranks, cores, most);
    return CX_OK;
}

bool cx_launch_terminal(void) {
    const char *told = getenv("CX_TERMINAL");
    return told ? strcmp(told, "1") == 0 : isatty(STDERR_FILENO) == 1;
}

/* CX_DEADLINE is seconds since 1970: all machines of a job agree about that. */
void cx_launch_set_time_left(double seconds) {
    char text[32];
    if (cx_launch_is_rank() && getenv("CX_DEADLINE"))
        return;
    (void)snprintf(text, sizeof text, "%.0f", (double)time(NULL) + seconds);
    (void)setenv("CX_DEADLINE", text, 1);
}

double cx_launch_time_left(void) {
    const char *text = getenv("CX_DEADLINE");
    return text ? strtod(text, NULL) - (double)time(NULL) : INFINITY;
}

void cx_launch_clean_node(void) {
    const char *local = getenv("OMPI_COMM_WORLD_LOCAL_RANK");
    if (!local)
        local = getenv("SLURM_LOCALID");
    if (!local || atoi(local) == 0)
        (void)cx_segments_clean("/dev/shm");
}

/* Rank 0's, as long as it lives. */
static cx_launch_news news_sent;

static void send_news(void) {
    const char *path = getenv("CX_EXIT_FILE");
    if (!path)
        return;
    news_sent.pid = getpid();
    cx_process_host(news_sent.host, sizeof news_sent.host);
    cx_launch_news_write(path, &news_sent);
}

void cx_launch_report(int status) {
    const char *by = getenv("CX_LAUNCHED_BY");
    /* The launcher's own wish comes through mpirun and srun as SIGUSR1. A SIGTERM is mpirun's
     * way of ending ranks when one has died: the launcher is to judge that, and start again.
     * Under srun it may be Slurm's wish that the run stops, but not where one has died. */
    bool by_term = status == 75 && stop_signals > 0 && stop_signals == term_signals;
    if (by_term && by && strcmp(by, "mpirun") == 0)
        return;
    bool one_died = by_term && by && strcmp(by, "srun") == 0 && news_sent.n_lost > 0;
    news_sent.status = one_died ? CX_LAUNCH_AGAIN : status;
    send_news();
}

void cx_launch_lost(const char *host) {
    cx_launch_news_lost(&news_sent, host);
    send_news();
}

bool cx_launch_restarts(void) {
    return getenv("CX_EXIT_FILE") != NULL;
}

/* What has been saved: number of the newest finished checkpoint in a folder, or size of a
 * file; -1: nothing. */
static long saved_so_far(const char *dir) {
    struct stat st;
    if (dir && stat(dir, &st) == 0 && S_ISREG(st.st_mode))
        return st.st_size > 0 ? (long)st.st_size : -1;
    DIR *d = dir ? opendir(dir) : NULL;
    long best = -1;
    if (!d)
        return best;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char *end, done[600];
        long n = strtol(e->d_name, &end, 10);
        if (end == e->d_name || *end)
            continue;
        if (cx_path(done, sizeof done, NULL, "%s/%s/DONE", dir, e->d_name) == CX_OK &&
            cx_file_exists(done) && n > best)
            best = n;
    }
    (void)closedir(d);
    return best;
}

static bool has_word(int argc, char **argv, const char *word) {
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

/* Variables that ranks on other nodes need; mpirun hands on those that are named. */
static const char *const handed_on[] = {"CX_EXIT_FILE", "CX_LAUNCHED_BY", "CX_TERMINAL",
                                        "CX_DEADLINE",  "CX_KERNELS",     "OPENBLAS_NUM_THREADS"};

typedef struct {
    char count[16];               /* ranks */
    char node_count[16];          /* of the rest */
    char rest[CX_NODES_MAX * 16]; /* nodes that are not left out; "": all of them */
} start_words;

/* The survivors of a dead rank go on: the coordinator does without it, and the launcher
 * looks after the coordinator. */
static int mpirun_words(const cx_launch_plan *plan, start_words *w, char **list) {
    int n = 0, tasks = cx_nodes_tasks();
    char *const head[] = {"mpirun",    "-n",    w->count,
                          "--bind-to", "none",  "--map-by",
                          "slot",      "--mca", "orte_enable_recovery",
                          "1",         "--mca", "orte_forward_job_control",
                          "1"};
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
        list[n++] = head[i];
    if (w->rest[0]) {
        list[n++] = "--host";
        list[n++] = w->rest;
    }
    /* in a job, ranks fill its tasks; an mpirun that knows nothing of Slurm would put all
     * of them on the first node, and has to say that there is no room */
    if (plan->ranks > tasks)
        list[n++] = "--oversubscribe";
    if (tasks == 0) { /* one machine: no ssh, no resource manager */
        list[n++] = "--mca";
        list[n++] = "plm";
        list[n++] = "isolated";
    }
    if (geteuid() != 0) {
        list[n++] = "--mca";
        list[n++] = "btl_vader_single_copy_mechanism";
        list[n++] = "none";
    }
    for (size_t i = 0; i < sizeof handed_on / sizeof handed_on[0]; i++)
        if (getenv(handed_on[i])) {
            list[n++] = "-x";
            list[n++] = (char *)handed_on[i];
        }
    return n;
}

static int srun_words(const cx_launch_plan *plan, start_words *w, char **list) {
    int n = 0;
    char *const head[] = {"srun", "--mpi=pmix", "--kill-on-bad-exit=1", "-n", w->count};
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
        list[n++] = head[i];
    if (w->rest[0]) {
        list[n++] = "-N";
        list[n++] = w->node_count;
        list[n++] = "-w";
        list[n++] = w->rest;
    }
    if (plan->ranks > cx_nodes_tasks())
        list[n++] = "--overcommit";
    return n;
}

/* The child becomes mpirun or srun, in a process group of its own: Ctrl-C reaches the
 * launcher alone, which lets rank 0 stop in good order; so does the launcher's death. */
static void become_launcher(const cx_launch_plan *plan, const cx_nodes *nodes, bool resume,
                            pid_t launcher) {
    static char self[4096];
    static start_words words;
    char **list = calloc((size_t)plan->argc + LIST_MAX, sizeof(char *));
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0 || !list)
        _exit(126);
    int room = cx_nodes_rest(nodes, !plan->srun, words.rest, sizeof words.rest), left = 0;
    if (room == 0)
        words.rest[0] = 0;
    for (int i = 0; i < nodes->n; i++)
        left += !cx_nodes_left_out(nodes, i);
    (void)snprintf(words.node_count, sizeof words.node_count, "%d", left);
    (void)snprintf(words.count, sizeof words.count, "%d",
                   room > 0 && room < plan->ranks ? room : plan->ranks);
    (void)setpgid(0, 0);
    /* until mpirun listens, the signal that it is to pass on must not end it */
    (void)signal(SIGUSR1, SIG_IGN);
    (void)signal(SIGTSTP, SIG_DFL);
    if (prctl(PR_SET_PDEATHSIG, SIGUSR1) != 0 || getppid() != launcher)
        _exit(126);
    int n = plan->srun ? srun_words(plan, &words, list) : mpirun_words(plan, &words, list);
    list[n++] = self;
    for (int i = 0; i < plan->argc; i++)
        list[n++] = plan->argv[i];
    if (resume && !has_word(plan->argc, plan->argv, "--resume"))
        list[n++] = "--resume";
    list[n] = NULL;
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0)
        (void)dup2(null, STDIN_FILENO);
    (void)execvp(list[0], list);
    (void)fprintf(stderr, "coxswain: cannot start %s (%s); %s\n", list[0], strerror(errno),
                  plan->srun ? "is Slurm's client on this machine?"
                             : "install openmpi-bin or load its module, or use -j 1");
    _exit(126);
}

typedef struct {
    const char *report;
    double began, over, bound; /* over: when it was seen, 0: not yet; bound: seconds to leave */
    bool hung;                 /* it did not even begin */
} ending;

static void look(ending *e, const cx_launch_plan *plan, double now) {
    cx_launch_news news;
    cx_launch_news_read(e->report, &news);
    double start = start_seconds + start_seconds_each * plan->ranks;
    e->over = now;
    if (news.status >= 0)
        e->bound = news.n_lost ? lost_seconds : leave_seconds;
    else if (news.status == CX_LAUNCH_AGAIN)
        e->bound = lost_seconds;
    else if (news.status == CX_LAUNCH_NOTHING && now - e->began > start)
        e->hung = true;
    else if (!cx_launch_news_orphaned(e->report))
        e->over = 0;
}

/* Ranks that do not leave after rank 0 has said how the run ended (one amid a long outer
 * step, or one that waits for a dead one in MPI_Finalize), or after it has died, are ended. */
static void end_lingering(ending *e, const cx_launch_plan *plan, pid_t child, double now) {
    if (e->over == 0)
        look(e, plan, now);
    if (e->over == 0 || now - e->over < e->bound)
        return;
    (void)kill(child, now - e->over < e->bound + die_seconds ? SIGTERM : SIGKILL);
}

/* Sends a signal to all our children; false: there are none. */
static bool signal_children(int number) {
    char path[64], line[4096] = "";
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    bool any = f && fgets(line, sizeof line, f);
    if (f)
        (void)fclose(f);
    for (char *at = line, *end; any && *at; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        (void)kill((pid_t)pid, number);
    }
    return any;
}

/* What mpirun has left behind has become ours (see cx_launch): ranks, and in a Slurm job the
 * srun that started its daemons. That one has to end its step itself, or Slurm holds the
 * nodes for a dead step for minutes. */
static void end_orphans(void) {
    double began = cx_clock_now(), for_seconds = 0;
    bool asked = false;
    while (for_seconds < 2 * die_seconds) {
        bool late = for_seconds > die_seconds;
        if (!signal_children(late ? SIGKILL : asked ? 0 : SIGTERM))
            return;
        asked = true;
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
        cx_clock_sleep(0.05);
        for_seconds = cx_clock_now() - began;
    }
}

/* Ctrl-Z: the ranks stop with their launcher, until it is continued. */
static void pause_ranks(pid_t child) {
    (void)kill(child, SIGTSTP); /* mpirun stops the ranks of all nodes, and goes on itself */
    cx_clock_sleep(0.1);
    pause_signals = 0;
    (void)raise(SIGSTOP);
    (void)kill(child, SIGCONT);
}

/* Waits for mpirun or srun and passes stop signals on as SIGUSR1, which both forward to
 * the ranks: again every second, as the first may come before there are ranks. After the
 * third from the user, mpirun itself is told to end. */
static int wait_for(const cx_launch_plan *plan, pid_t child, const char *report, bool *hung) {
    int status = 0, passed = 0;
    double last = 0, looked = 0;
    ending e = {.report = report, .began = cx_clock_now()};
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (pause_signals && !plan->srun)
            pause_ranks(child);
        double now = cx_clock_now();
        if (stop_signals > 0 && (stop_signals > passed || now - last > 1)) {
            passed = stop_signals;
            last = now;
            (void)kill(child, passed < 3 ? SIGUSR1 : SIGTERM);
        }
        if (now - looked > 0.5) {
            looked = now;
            end_lingering(&e, plan, child, now);
        }
        cx_clock_sleep(0.05);
    }
    end_orphans();
    *hung = e.hung;
    return status;
}

static pid_t start(const cx_launch_plan *plan, const cx_nodes *nodes, bool resume,
                   const char *report) {
    (void)unlink(report);
    pid_t launcher = getpid(), child = fork();
    if (child == 0) {
        (void)setenv("CX_EXIT_FILE", report, 1);
        (void)setenv("CX_LAUNCHED_BY", plan->srun ? "srun" : "mpirun", 1);
        (void)setenv("CX_TERMINAL", isatty(STDERR_FILENO) == 1 ? "1" : "0", 1);
        (void)setenv("OPENBLAS_NUM_THREADS", "1", 1);
        (void)setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
        (void)setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
        become_launcher(plan, nodes, resume, launcher);
    }
    return child;
}

typedef struct {
    const cx_launch_plan *plan;
    const char *report;
    cx_nodes nodes;
    cx_launch_news last; /* of the newest start that has begun */
    int tries;           /* in a row without progress */
} launches;

static void tell_left_out(const cx_nodes *nodes) {
    for (int i = 0; i < nodes->n; i++)
        if (cx_nodes_left_out(nodes, i))
            (void)fprintf(stderr, "coxswain: node %s is left out: it failed twice\n",
                          nodes->node[i].name);
}

/* Ranks could not be started; true: perhaps they can without a node that has failed. */
static bool judge_start(launches *l, bool resumed, bool saved, int *result) {
    char rest[CX_NODES_MAX * 16];
    int before = cx_nodes_rest(&l->nodes, false, rest, sizeof rest);
    (void)fprintf(stderr, "coxswain: %s could not start the ranks%s\n",
                  l->plan->srun ? "srun" : "mpirun",
                  resumed && saved ? " again; what was saved stands" : "");
    if (!resumed || !saved)
        return false;
    *result = 75; /* a node is gone: the job may be given others */
    cx_nodes_failed(&l->nodes, &l->last, true);
    return cx_nodes_rest(&l->nodes, false, rest, sizeof rest) != before;
}

/* What became of ranks that reported no end of the run; true: they are to be started
 * again. resumed: this start was to go on from a checkpoint. */
static bool judge(launches *l, bool resumed, bool hung, long before, int status, int *result) {
    cx_launch_news news;
    cx_launch_news_read(l->report, &news);
    bool started = news.status != CX_LAUNCH_NOTHING, saved = saved_so_far(l->plan->progress) >= 0;
    *result = 1;
    if (stop_signals > 0) {
        (void)fprintf(stderr, "coxswain: stopped%s\n",
                      saved ? "; what was saved stands" : " before anything was done");
        *result = saved ? 75 : 1;
        return false;
    }
    if (started) {
        l->last = news;
        cx_nodes_failed(&l->nodes, &news, false);
    }
    /* a rank that was killed by a signal at its start may have had bad luck */
    bool killed = WIFEXITED(status) && WEXITSTATUS(status) > 128;
    bool again = started || hung || (killed && !saved);
    if (!again && !(WIFEXITED(status) && WEXITSTATUS(status) == 126))
        again = judge_start(l, resumed, saved, result);
    if (!again || !l->plan->progress)
        return false;
    bool further = saved_so_far(l->plan->progress) > before;
    l->tries = further ? 0 : l->tries + 1;
    if (l->tries > RESTARTS_WITHOUT_PROGRESS)
        return false;
    (void)fprintf(stderr, "coxswain: a rank died; going on from the newest checkpoint%s\n",
                  further ? "" : " (no progress since the last start)");
    tell_left_out(&l->nodes);
    return true;
}

/* Rank 0 is on the first node of a job, and so is a batch script; but salloc's shell may
 * be elsewhere, where only the run's folder is seen by both. */
static int make_report_file(const cx_launch_plan *plan, char *path, size_t size) {
    const char *tmp = getenv("TMPDIR");
    bool elsewhere = cx_nodes_tasks() > 0 && !getenv("SLURMD_NODENAME");
    if (elsewhere) {
        (void)cx_file_make_dirs(plan->dir, NULL);
        tmp = plan->dir;
    }
    (void)snprintf(path, size, "%s/coxswain-exit-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    int fd = mkstemp(path);
    if (fd < 0) {
        (void)fprintf(stderr, "coxswain: no temporary file %s: %s\n", path, strerror(errno));
        return -1;
    }
    (void)close(fd);
    return 0;
}

static void tell(const cx_launch_plan *plan) {
    const char *job = getenv("SLURM_JOB_ID"), *nodes = getenv("SLURM_JOB_NODELIST");
    if (job)
        (void)fprintf(
            stderr, "coxswain: %s starts %d ranks in Slurm job %s on %s%s\n",
            plan->srun ? "srun --mpi=pmix" : "mpirun", plan->ranks, job, nodes ? nodes : "?",
            plan->srun && plan->progress ? "; when one dies, all start again from what was saved"
                                         : "");
}

int cx_launch(const cx_launch_plan *plan) {
    char report[4096];
    int result = 1;
    if (make_report_file(plan, report, sizeof report))
        return 1;
    launches l = {.plan = plan, .report = report};
    cx_launch_catch_signals();
    if (!plan->srun)
        (void)signal(SIGTSTP, on_pause);
    /* ranks of this machine that outlive mpirun become our children, to be ended */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    cx_nodes_find(&l.nodes);
    tell(plan);
    for (bool resume = false;; resume = true) {
        long before = saved_so_far(plan->progress);
        pid_t child = start(plan, &l.nodes, resume, report);
        if (child < 0) {
            (void)fprintf(stderr, "coxswain: cannot fork: %s\n", strerror(errno));
            break;
        }
        bool hung;
        int status = wait_for(plan, child, report, &hung);
        cx_launch_news news;
        cx_launch_news_read(report, &news);
        result = news.status;
        bool resumed = resume || has_word(plan->argc, plan->argv, "--resume");
        if (result >= 0 || !judge(&l, resumed, hung, before, status, &result))
            break;
    }
    (void)unlink(report);
    cx_nodes_free(&l.nodes);
    return result;
}
