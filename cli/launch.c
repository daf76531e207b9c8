#include "cli/launch.h"

#include "base/clock.h"
#include "base/file.h"
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
/* What ranks may take to leave after rank 0 has reported, and after they are told to die. */
static const double leave_seconds = 5, die_seconds = 5;

/* All that a signal handler may touch. */
static volatile sig_atomic_t stop_signals, term_signals;

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

/* Tasks of the whole job: SLURM_NTASKS, or the sum of "2(x3),1"; 0: not in a job. */
static int slurm_tasks(void) {
    const char *tasks = getenv("SLURM_NTASKS"), *at = getenv("SLURM_TASKS_PER_NODE");
    if (tasks || !at)
        return tasks ? atoi(tasks) : 0;
    long sum = 0;
    while (*at) {
        char *end;
        long n = strtol(at, &end, 10), nodes = 1;
        if (end == at)
            break;
        if (strncmp(end, "(x", 2) == 0) {
            nodes = strtol(end + 2, &end, 10);
            end += *end == ')';
        }
        sum += n * nodes;
        at = end + (*end == ',');
    }
    return sum > 0 && sum < 1000000 ? (int)sum : 0;
}

int cx_launch_default_ranks(void) {
    int n = slurm_tasks();
    if (n < 1)
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n;
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

void cx_launch_report(int status) {
    const char *path = getenv("CX_EXIT_FILE"), *by = getenv("CX_LAUNCHED_BY");
    char text[16];
    if (!path)
        return;
    /* The launcher's own wish comes through mpirun as SIGUSR1. A SIGTERM is mpirun's way of
     * ending ranks when one has died: the launcher is to judge that, and start again. */
    bool mpirun_ends_us =
        by && strcmp(by, "mpirun") == 0 && stop_signals > 0 && stop_signals == term_signals;
    if (mpirun_ends_us && status == 75)
        return;
    int n = snprintf(text, sizeof text, "%d\n", status);
    (void)cx_file_replace(path, text, (size_t)n, NULL);
}

static int read_report(const char *path) {
    unsigned char *data;
    size_t size;
    if (cx_file_read(path, 64, &data, &size, NULL) != CX_OK)
        return -1;
    int status = size > 0 ? atoi((const char *)data) : -1;
    free(data);
    return status;
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

static int mpirun_words(const cx_launch_plan *plan, char *count, char **list) {
    int n = 0, tasks = slurm_tasks();
    char *const head[] = {"mpirun", "-n", count, "--bind-to", "none", "--map-by", "slot"};
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
        list[n++] = head[i];
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

static int srun_words(const cx_launch_plan *plan, char *count, char **list) {
    int n = 0;
    char *const head[] = {"srun", "--mpi=pmix", "--kill-on-bad-exit=1", "-n", count};
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
        list[n++] = head[i];
    if (plan->ranks > slurm_tasks())
        list[n++] = "--overcommit";
    return n;
}

/* The child becomes mpirun or srun, in a process group of its own: Ctrl-C reaches the
 * launcher alone, which lets rank 0 stop in good order; so does the launcher's death. */
static void become_launcher(const cx_launch_plan *plan, bool resume, pid_t launcher) {
    static char self[4096];
    char count[16], **list = calloc((size_t)plan->argc + LIST_MAX, sizeof(char *));
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0 || !list)
        _exit(126);
    (void)snprintf(count, sizeof count, "%d", plan->ranks);
    (void)setpgid(0, 0);
    /* until mpirun listens, the signal that it is to pass on must not end it */
    (void)signal(SIGUSR1, SIG_IGN);
    if (prctl(PR_SET_PDEATHSIG, SIGUSR1) != 0 || getppid() != launcher)
        _exit(126);
    int n = plan->srun ? srun_words(plan, count, list) : mpirun_words(plan, count, list);
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

/* Ranks that do not leave after rank 0 has said how the run ended (one amid a long outer
 * step, or one that waits for a dead one in MPI_Finalize) are ended. */
static void end_lingering(pid_t child, const char *report, double *reported, double now) {
    if (*reported == 0 && read_report(report) >= 0)
        *reported = now;
    if (*reported == 0 || now - *reported < leave_seconds)
        return;
    (void)kill(child, now - *reported < leave_seconds + die_seconds ? SIGTERM : SIGKILL);
}

/* Waits for mpirun or srun and passes stop signals on as SIGUSR1, which both forward to
 * the ranks: again every second, as the first may come before there are ranks. After the
 * third from the user, mpirun itself is told to end. */
static int wait_for(pid_t child, const char *report) {
    int status = 0, passed = 0;
    double last = 0, looked = 0, reported = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        double now = cx_clock_now();
        if (stop_signals > 0 && (stop_signals > passed || now - last > 1)) {
            passed = stop_signals;
            last = now;
            (void)kill(child, passed < 3 ? SIGUSR1 : SIGTERM);
        }
        if (now - looked > 1) {
            looked = now;
            end_lingering(child, report, &reported, now);
        }
        cx_clock_sleep(0.05);
    }
    return status;
}

static pid_t start(const cx_launch_plan *plan, bool resume, const char *report) {
    (void)unlink(report);
    pid_t launcher = getpid(), child = fork();
    if (child == 0) {
        (void)setenv("CX_EXIT_FILE", report, 1);
        (void)setenv("CX_LAUNCHED_BY", plan->srun ? "srun" : "mpirun", 1);
        (void)setenv("CX_TERMINAL", isatty(STDERR_FILENO) == 1 ? "1" : "0", 1);
        (void)setenv("OPENBLAS_NUM_THREADS", "1", 1);
        (void)setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
        (void)setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
        become_launcher(plan, resume, launcher);
    }
    return child;
}

/* What became of ranks that reported no end of the run; true: they are to be started
 * again. resumed: this start was to go on from a checkpoint. */
static bool judge(const cx_launch_plan *plan, const char *report, bool resumed, long before,
                  int status, int *tries, int *result) {
    bool started = cx_file_exists(report), saved = saved_so_far(plan->progress) >= 0;
    *result = 1;
    if (stop_signals > 0) {
        (void)fprintf(stderr, "coxswain: stopped%s\n",
                      saved ? "; what was saved stands" : " before anything was done");
        *result = saved ? 75 : 1;
        return false;
    }
    if (!started && !(WIFEXITED(status) && WEXITSTATUS(status) == 126)) {
        (void)fprintf(stderr, "coxswain: %s could not start the ranks%s\n",
                      plan->srun ? "srun" : "mpirun",
                      resumed && saved ? " again; what was saved stands" : "");
        if (resumed && saved) /* a node is gone: the job may be given others */
            *result = 75;
    }
    if (!started || !plan->progress)
        return false;
    bool further = saved_so_far(plan->progress) > before;
    *tries = further ? 0 : *tries + 1;
    if (*tries > RESTARTS_WITHOUT_PROGRESS)
        return false;
    (void)fprintf(stderr, "coxswain: a rank died; going on from the newest checkpoint%s\n",
                  further ? "" : " (no progress since the last start)");
    return true;
}

/* Rank 0 is on the first node of a job, and so is a batch script; but salloc's shell may
 * be elsewhere, where only the run's folder is seen by both. */
static int make_report_file(const cx_launch_plan *plan, char *path, size_t size) {
    const char *tmp = getenv("TMPDIR");
    bool elsewhere = slurm_tasks() > 0 && !getenv("SLURMD_NODENAME");
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
        (void)fprintf(stderr, "coxswain: %s starts %d ranks in Slurm job %s on %s%s\n",
                      plan->srun ? "srun --mpi=pmix" : "mpirun", plan->ranks, job,
                      nodes ? nodes : "?",
                      plan->progress ? "; when one dies, all start again from what was saved" : "");
}

int cx_launch(const cx_launch_plan *plan) {
    char report[4096];
    int tries = 0, result = 1;
    if (make_report_file(plan, report, sizeof report))
        return 1;
    cx_launch_catch_signals();
    tell(plan);
    for (bool resume = false;; resume = true) {
        long before = saved_so_far(plan->progress);
        pid_t child = start(plan, resume, report);
        if (child < 0) {
            (void)fprintf(stderr, "coxswain: cannot fork: %s\n", strerror(errno));
            break;
        }
        int status = wait_for(child, report);
        result = read_report(report);
        bool resumed = resume || has_word(plan->argc, plan->argv, "--resume");
        if (result >= 0 || !judge(plan, report, resumed, before, status, &tries, &result))
            break;
    }
    (void)unlink(report);
    return result;
}
