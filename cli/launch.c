#include "cli/launch.h"

#include "base/clock.h"
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RESTARTS_WITHOUT_PROGRESS = 3 };

/* The one thing that a signal handler may touch. */
static volatile sig_atomic_t stop_signals;

static void on_signal(int number) {
    (void)number;
    stop_signals = stop_signals + 1;
}

void cx_launch_catch_signals(bool coordinator) {
    static const int signals[] = {SIGTERM, SIGUSR1, SIGINT, SIGHUP};
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    (void)sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_IGN; /* a reader that goes away is a failed write, no death */
    (void)sigaction(SIGPIPE, &action, NULL);
    action.sa_handler = coordinator ? on_signal : SIG_IGN;
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

int cx_launch_default_ranks(void) {
    const char *tasks = getenv("SLURM_NTASKS");
    int n = tasks ? atoi(tasks) : 0;
    if (n < 1)
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n;
}

bool cx_launch_terminal(void) {
    const char *told = getenv("CX_TERMINAL");
    return told ? strcmp(told, "1") == 0 : isatty(STDERR_FILENO) == 1;
}

void cx_launch_report(int status) {
    const char *path = getenv("CX_EXIT_FILE");
    char text[16];
    if (!path)
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

/* The child becomes mpirun, in a process group of its own: Ctrl-C reaches the launcher
 * alone, which lets rank 0 stop in good order; so does the launcher's death. */
static void become_mpirun(int ranks, int argc, char **argv, bool resume, pid_t launcher) {
    static char self[4096];
    char count[16], **list = calloc((size_t)argc + 24, sizeof(char *));
    int n = 0;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0 || !list)
        _exit(126);
    (void)snprintf(count, sizeof count, "%d", ranks);
    (void)setpgid(0, 0);
    /* until mpirun listens, the signal that it is to pass on must not end it */
    (void)signal(SIGUSR1, SIG_IGN);
    if (prctl(PR_SET_PDEATHSIG, SIGUSR1) != 0 || getppid() != launcher)
        _exit(126);
    char *const head[] = {"mpirun", "-n", count, "--oversubscribe", "--bind-to", "none"};
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
        list[n++] = head[i];
    if (!getenv("SLURM_JOB_ID")) { /* one machine: no ssh, no resource manager */
        list[n++] = "--mca";
        list[n++] = "plm";
        list[n++] = "isolated";
    }
    if (geteuid() != 0) {
        list[n++] = "--mca";
        list[n++] = "btl_vader_single_copy_mechanism";
        list[n++] = "none";
    }
    list[n++] = self;
    for (int i = 0; i < argc; i++)
        list[n++] = argv[i];
    if (resume && !has_word(argc, argv, "--resume"))
        list[n++] = "--resume";
    list[n] = NULL;
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0)
        (void)dup2(null, STDIN_FILENO);
    (void)execvp("mpirun", list);
    (void)fprintf(stderr,
                  "coxswain: cannot start mpirun (%s); install openmpi-bin or load its "
                  "module, or use -j 1\n",
                  strerror(errno));
    _exit(126);
}

/* Waits for mpirun and passes stop signals on as SIGUSR1, which mpirun forwards to the
 * ranks: again every second, as the first may come before there are ranks. After the
 * third from the user, mpirun itself is told to end. */
static int wait_for(pid_t child) {
    int status = 0, passed = 0;
    double last = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        double now = cx_clock_now();
        if (stop_signals > 0 && (stop_signals > passed || now - last > 1)) {
            passed = stop_signals;
            last = now;
            (void)kill(child, passed < 3 ? SIGUSR1 : SIGTERM);
        }
        cx_clock_sleep(0.05);
    }
    return status;
}

static pid_t start(int ranks, int argc, char **argv, bool resume, const char *report) {
    (void)unlink(report);
    pid_t launcher = getpid(), child = fork();
    if (child == 0) {
        (void)setenv("CX_EXIT_FILE", report, 1);
        (void)setenv("CX_TERMINAL", isatty(STDERR_FILENO) == 1 ? "1" : "0", 1);
        (void)setenv("OPENBLAS_NUM_THREADS", "1", 1);
        (void)setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
        (void)setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
        become_mpirun(ranks, argc, argv, resume, launcher);
    }
    return child;
}

/* What became of ranks that reported no exit status; true: they are to be started again. */
static bool judge(const char *report, const char *progress_dir, long before, int status, int *tries,
                  int *result) {
    bool started = cx_file_exists(report), saved = saved_so_far(progress_dir) >= 0;
    *result = 1;
    if (stop_signals > 0) {
        (void)fprintf(stderr, "coxswain: stopped before %s\n",
                      saved ? "another checkpoint" : "anything was done");
        *result = saved ? 75 : 1;
        return false;
    }
    if (!started && !(WIFEXITED(status) && WEXITSTATUS(status) == 126))
        (void)fprintf(stderr, "coxswain: mpirun could not start the ranks\n");
    if (!started || !progress_dir)
        return false;
    bool progress = saved_so_far(progress_dir) > before;
    *tries = progress ? 0 : *tries + 1;
    if (*tries > RESTARTS_WITHOUT_PROGRESS)
        return false;
    (void)fprintf(stderr, "coxswain: a rank died; going on from the newest checkpoint%s\n",
                  progress ? "" : " (no progress since the last start)");
    return true;
}

int cx_launch(int ranks, int argc, char **argv, const char *progress_dir) {
    char report[4096];
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(report, sizeof report, "%s/coxswain-exit-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    int fd = mkstemp(report), tries = 0, result;
    if (fd < 0) {
        (void)fprintf(stderr, "coxswain: no temporary file %s: %s\n", report, strerror(errno));
        return 1;
    }
    (void)close(fd);
    cx_launch_catch_signals(true);
    for (bool resume = false;; resume = true) {
        long before = saved_so_far(progress_dir);
        pid_t child = start(ranks, argc, argv, resume, report);
        if (child < 0) {
            (void)fprintf(stderr, "coxswain: cannot fork: %s\n", strerror(errno));
            result = 1;
            break;
        }
        int status = wait_for(child);
        result = read_report(report);
        if (result >= 0 || !judge(report, progress_dir, before, status, &tries, &result))
            break;
    }
    (void)unlink(report);
    return result;
}
