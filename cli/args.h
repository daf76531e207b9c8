/* Command-line arguments, from one table per command. */
#ifndef CX_CLI_ARGS_H
#define CX_CLI_ARGS_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

enum { CX_ARGS_MAX = 64 };

typedef struct {
    const char *name;  /* "--out", or "-j" */
    const char *value; /* what stands for the value in the help; NULL: a switch */
    const char *help;
} cx_option;

typedef struct {
    const char *command, *usage, *about;
    const cx_option *options; /* ends with a row of name NULL */
    int min_words, max_words; /* arguments that are no options */
} cx_syntax;

typedef struct {
    const cx_syntax *syntax;
    int n_words;
    const char *word[CX_ARGS_MAX];
    int n_given;
    struct {
        const cx_option *option;
        const char *value;
    } given[CX_ARGS_MAX];
} cx_args;

/* *done: -h was given and answered on stdout. CX_EUSAGE with a message that names the
 * nearest option. `--name=value` and `-jN` are understood. */
int cx_args_parse(const cx_syntax *syntax, int argc, char **argv, cx_args *args, bool *done,
                  cx_error *err);
const char *cx_args_value(const cx_args *args, const char *name); /* last one; NULL: not given */
bool cx_args_has(const cx_args *args, const char *name);
/* All values of an option that may be repeated; returns how many. */
int cx_args_values(const cx_args *args, const char *name, const char **out);
/* Whole numbers and reals within bounds; `fallback` where not given. */
int cx_args_int(const cx_args *args, const char *name, long long low, long long high,
                long long fallback, long long *out, cx_error *err);
int cx_args_real(const cx_args *args, const char *name, double low, double high, double fallback,
                 double *out, cx_error *err);

/* The command line again, as a shell takes it, without what says where and how it is run (-j,
 * --launcher, --time-left, --resume, --json). Cut where it does not fit. */
void cx_args_command(const cx_args *args, char *out, size_t size);

/* Prints "coxswain COMMAND: message" on stderr and returns the exit status. */
int cx_cli_fail(const char *command, const cx_error *err);

#endif
