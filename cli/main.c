/* coxswain: learns an optimizer. The commands are listed here; each has its own file. */
#include "cli/command.h"

#include "base/text.h"
#include "cli/kernels.h"
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* OpenBLAS's own; its header does not pass -Wpedantic */
void openblas_set_num_threads(int n);

static const cx_command commands[] = {
    {"train", cx_cmd_train, "meta-train a policy: CONFIG --out DIR"},
    {"eval", cx_cmd_eval, "compare a policy with its controls on fresh tasks"},
    {"run", cx_cmd_run, "one inner training, by a policy or a named optimizer"},
    {"check", cx_cmd_check, "check a configuration before it is queued"},
    {"sample", cx_cmd_sample, "print tasks drawn from a distribution"},
    {"status", cx_cmd_status, "where a run stands, from its files"},
    {"report", cx_cmd_report, "one HTML page about a run"},
    {"export", cx_cmd_export, "a run's updates as CSV or for TensorBoard"},
    {"bench", cx_cmd_bench, "time of an inner step for fixed tasks"},
    {"replay", cx_cmd_replay, "replay recorded optimizer traces and operator vectors"},
    {"tokenize", cx_cmd_tokenize, "learn a byte-pair vocabulary from text files"},
    {"version", cx_cmd_version, "version, build, MPI and BLAS"},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

/* A closed stream's number would go to the next file that is opened, and messages for
 * people would end up in it. */
static bool open_standard_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
            return false;
    return true;
}

static void usage(FILE *out) {
    (void)fprintf(out, "usage: coxswain COMMAND ...   (coxswain COMMAND -h tells more)\n");
    for (int i = 0; i < N_COMMANDS; i++)
        (void)fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
}

int main(int argc, char **argv) {
    if (!open_standard_streams())
        return 1;
    openblas_set_num_threads(1); /* ranks, not threads, fill the cores */
    cx_error err;
    if (cx_kernels_start(&err)) {
        (void)fprintf(stderr, "coxswain: %s\n", err.message);
        return cx_code_exit_status(err.code);
    }
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return 0;
    }
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], commands[i].name) == 0) {
            int status = commands[i].run(argc - 1, argv + 1);
            if (fflush(stdout) != 0 && status == 0) {
                (void)fprintf(stderr, "coxswain %s: cannot write the output\n", argv[1]);
                return 1;
            }
            return status;
        }
    }
    const char *near = cx_text_nearest(argv[1], names, N_COMMANDS);
    (void)fprintf(stderr, "coxswain: unknown command %s%s%s%s\n", argv[1],
                  near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    usage(stderr);
    return 2;
}
