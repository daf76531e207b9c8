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
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = coordinator ? on_signal : SIG_IGN;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGUSR1, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

bool cx_launch_stop_asked(void *unused) {
    (void)unused;
    return stop_signals > 0;
}

bool cx_launch_is_rank(void) {
    return getenv("OMPI_COMM_WORLD_SIZE") || (getenv("PMIX_RANK") && getenv("SLURM_STEP_ID"));
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

/* Number of the newest finished checkpoint in a folder; -1: none. */
static long newest_checkpoint(const char *dir) {
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
 * alone, which lets rank 0 stop in good order. */
static void become_mpirun(int ranks, int argc, char **argv, bool resume) {
    static char self[4096];
    char count[16], *list[128];
    int n = 0;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0 || argc > 90)
        _exit(127);
    (void)snprintf(count, sizeof count, "%d", ranks);
    (void)setpgid(0, 0);
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
    (void)fprintf(stderr, "coxswain: cannot start mpirun: %s\n", strerror(errno));
    _exit(127);
}

/* Waits for mpirun and passes signals on: the first ones as SIGUSR1, which mpirun
 * forwards to the ranks; after the third, mpirun itself is told to end. */
static int wait_for(pid_t child) {
    int status = 0, passed = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        while (passed < stop_signals) {
            passed++;
            (void)kill(child, passed < 3 ? SIGUSR1 : SIGTERM);
        }
        cx_clock_sleep(0.05);
    }
    return status;
}

static pid_t start(int ranks, int argc, char **argv, bool resume, const char *report) {
    (void)unlink(report);
    pid_t child = fork();
    if (child == 0) {
        (void)setenv("CX_EXIT_FILE", report, 1);
        (void)setenv("CX_TERMINAL", isatty(STDERR_FILENO) == 1 ? "1" : "0", 1);
        (void)setenv("OPENBLAS_NUM_THREADS", "1", 1);
        (void)setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
        (void)setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
        become_mpirun(ranks, argc, argv, resume);
    }
    return child;
}

int cx_launch(int ranks, int argc, char **argv, const char *progress_dir) {
    char report[] = "/tmp/coxswain-exit-XXXXXX";
    int fd = mkstemp(report), tries = 0, result;
    if (fd < 0) {
        (void)fprintf(stderr, "coxswain: no temporary file: %s\n", strerror(errno));
        return 1;
    }
    (void)close(fd);
    cx_launch_catch_signals(true);
    bool resume = false;
    for (;;) {
        long before = newest_checkpoint(progress_dir);
        pid_t child = start(ranks, argc, argv, resume, report);
        if (child < 0) {
            (void)fprintf(stderr, "coxswain: cannot fork: %s\n", strerror(errno));
            result = 1;
            break;
        }
        int status = wait_for(child);
        result = read_report(report);
        if (result >= 0)
            break;
        result = WIFEXITED(status) && WEXITSTATUS(status) == 127 ? 127 : 1;
        bool progress = newest_checkpoint(progress_dir) > before;
        tries = progress ? 0 : tries + 1;
        if (result == 127 || !progress_dir || stop_signals > 0 || tries > RESTARTS_WITHOUT_PROGRESS)
            break;
        (void)fprintf(stderr, "coxswain: a rank died; going on from the newest checkpoint%s\n",
                      progress ? "" : " (no progress since the last start)");
        resume = true;
    }
    (void)unlink(report);
    return result == 127 ? 1 : result;
}
