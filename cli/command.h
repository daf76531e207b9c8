/* The commands: one row each in cli/main.c, one file each. A command gets its own
 * arguments (argv[0] is its name), prints results on stdout and everything else on
 * stderr, and returns the exit status. */
#ifndef CX_CLI_COMMAND_H
#define CX_CLI_COMMAND_H

typedef struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} cx_command;

int cx_cmd_train(int argc, char **argv);
int cx_cmd_eval(int argc, char **argv);
int cx_cmd_run(int argc, char **argv);
int cx_cmd_check(int argc, char **argv);
int cx_cmd_sample(int argc, char **argv);
int cx_cmd_status(int argc, char **argv);
int cx_cmd_report(int argc, char **argv);
int cx_cmd_export(int argc, char **argv);
int cx_cmd_bench(int argc, char **argv);
int cx_cmd_replay(int argc, char **argv);
int cx_cmd_tokenize(int argc, char **argv);
int cx_cmd_version(int argc, char **argv);

#endif
