#include "cli/args.h"

#include "base/text.h"
#include <stdio.h>
#include <string.h>

static void print_help(const cx_syntax *s) {
    (void)printf("usage: coxswain %s %s\n%s\n", s->command, s->usage, s->about);
    for (const cx_option *o = s->options; o->name; o++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s %s", o->name, o->value ? o->value : "");
        (void)printf("  %-26s %s\n", left, o->help);
    }
    (void)printf("  %-26s %s\n", "-h", "this text");
}

static const cx_option *find_option(const cx_syntax *s, const char *arg, const char **value) {
    for (const cx_option *o = s->options; o->name; o++) {
        size_t n = strlen(o->name);
        if (strncmp(arg, o->name, n) != 0)
            continue;
        *value = NULL;
        if (arg[n] == 0)
            return o;
        if (arg[n] == '=' && o->value) {
            *value = arg + n + 1;
            return o;
        }
        if (n == 2 && o->value && arg[1] != '-') { /* -j4 */
            *value = arg + n;
            return o;
        }
    }
    return NULL;
}

static int unknown_option(const cx_syntax *s, const char *arg, cx_error *err) {
    const char *names[CX_ARGS_MAX];
    size_t n = 0;
    for (const cx_option *o = s->options; o->name && n < CX_ARGS_MAX; o++)
        names[n++] = o->name;
    const char *near = cx_text_nearest(arg, names, n);
    return cx_fail(err, CX_EUSAGE, "unknown option %s%s%s%s; -h lists them", arg,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

int cx_args_parse(const cx_syntax *s, int argc, char **argv, cx_args *args, bool *done,
                  cx_error *err) {
    memset(args, 0, sizeof *args);
    args->syntax = s;
    *done = false;
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value;
        if (!only_words && (strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0)) {
            print_help(s);
            *done = true;
            return CX_OK;
        }
        if (!only_words && strcmp(a, "--") == 0) {
            only_words = true;
            continue;
        }
        if (only_words || a[0] != '-' || a[1] == 0) {
            if (args->n_words == s->max_words || args->n_words == CX_ARGS_MAX)
                return cx_fail(err, CX_EUSAGE, "one argument too many: %s\nusage: coxswain %s %s",
                               a, s->command, s->usage);
            args->word[args->n_words++] = a;
            continue;
        }
        const cx_option *o = find_option(s, a, &value);
        if (!o)
            return unknown_option(s, a, err);
        if (o->value && !value) {
            if (i + 1 == argc)
                return cx_fail(err, CX_EUSAGE, "%s wants a value: %s", a, o->value);
            value = argv[++i];
        }
        if (o->value && !value[0])
            return cx_fail(err, CX_EUSAGE, "%s %s: the value is empty", o->name, o->value);
        if (args->n_given == CX_ARGS_MAX)
            return cx_fail(err, CX_EUSAGE, "more than %d options", CX_ARGS_MAX);
        args->given[args->n_given].option = o;
        args->given[args->n_given++].value = value;
    }
    if (args->n_words < s->min_words)
        return cx_fail(err, CX_EUSAGE, "an argument is missing\nusage: coxswain %s %s", s->command,
                       s->usage);
    return CX_OK;
}

const char *cx_args_value(const cx_args *args, const char *name) {
    for (int i = args->n_given - 1; i >= 0; i--)
        if (strcmp(args->given[i].option->name, name) == 0)
            return args->given[i].value;
    return NULL;
}

bool cx_args_has(const cx_args *args, const char *name) {
    for (int i = 0; i < args->n_given; i++)
        if (strcmp(args->given[i].option->name, name) == 0)
            return true;
    return false;
}

int cx_args_values(const cx_args *args, const char *name, const char **out) {
    int n = 0;
    for (int i = 0; i < args->n_given; i++)
        if (strcmp(args->given[i].option->name, name) == 0)
            out[n++] = args->given[i].value;
    return n;
}

int cx_args_int(const cx_args *args, const char *name, long long low, long long high,
                long long fallback, long long *out, cx_error *err) {
    const char *text = cx_args_value(args, name);
    *out = fallback;
    if (!text)
        return CX_OK;
    if (!cx_text_int(text, out) || *out < low || *out > high)
        return cx_fail(err, CX_EUSAGE, "%s %s: want a whole number from %lld to %lld", name, text,
                       low, high);
    return CX_OK;
}

int cx_args_real(const cx_args *args, const char *name, double low, double high, double fallback,
                 double *out, cx_error *err) {
    const char *text = cx_args_value(args, name);
    *out = fallback;
    if (!text)
        return CX_OK;
    if (!cx_text_double(text, out) || !(*out >= low && *out <= high))
        return cx_fail(err, CX_EUSAGE, "%s %s: want a number from %g to %g", name, text, low, high);
    return CX_OK;
}

/* Appends text, within single quotes where a shell would read it otherwise. */
static size_t append_word(char *out, size_t size, size_t at, const char *text) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./=:,+@%";
    bool quote = text[0] == 0 || text[strspn(text, plain)] != 0;
    at += (size_t)snprintf(out + at, size - at, quote ? " '" : " ");
    for (; *text && at + 6 < size; text++)
        at += (size_t)snprintf(out + at, size - at, *text == '\'' ? "'\\''" : "%c", *text);
    if (quote && at + 1 < size)
        at += (size_t)snprintf(out + at, size - at, "'");
    return at;
}

void cx_args_command(const cx_args *args, char *out, size_t size) {
    static const char *const not_said[] = {"-j", "--launcher", "--time-left", "--resume", "--json"};
    size_t at = (size_t)snprintf(out, size, "coxswain %s", args->syntax->command);
    for (int i = 0; i < args->n_words && at + 8 < size; i++)
        at = append_word(out, size, at, args->word[i]);
    for (int i = 0; i < args->n_given && at + 8 < size; i++) {
        const cx_option *o = args->given[i].option;
        bool said = true;
        for (size_t k = 0; k < sizeof not_said / sizeof *not_said; k++)
            said &= strcmp(o->name, not_said[k]) != 0;
        if (said)
            at = append_word(out, size, at, o->name);
        if (said && o->value && at + 8 < size)
            at = append_word(out, size, at, args->given[i].value);
    }
}

int cx_cli_fail(const char *command, const cx_error *err) {
    (void)fprintf(stderr, "coxswain %s: %s\n", command, err->message);
    return cx_code_exit_status(err->code);
}
