/* coxswain export DIR: the updates of a run for spreadsheets and TensorBoard. */
#include "cli/command.h"

#include "base/file.h"
#include "cli/args.h"
#include "report/export.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const cx_option options[] = {
    {"--csv", "FILE", "comma-separated values (default DIR/metrics.csv)"},
    {"--tensorboard", "FOLDER", "a TensorBoard event file in FOLDER"},
    {NULL, NULL, NULL}};
static const cx_syntax syntax = {
    "export",
    "DIR [--csv FILE] [--tensorboard FOLDER]",
    "Turns DIR/metrics.jsonl into a CSV file, or into a TensorBoard event file\n"
    "(tensorboard --logdir FOLDER). May be repeated while the run goes on.",
    options,
    1,
    1};

/* The run's start, from the file that is written first. */
static int start_of(const char *dir, double *start, cx_error *err) {
    char path[4096];
    struct stat st;
    int rc = cx_path(path, sizeof path, err, "%s/config.yaml", dir);
    if (!rc && stat(path, &st) != 0)
        rc = cx_fail(err, CX_EDATA, "%s is not the folder of a run: it has no config.yaml", dir);
    if (!rc)
        *start = (double)st.st_mtim.tv_sec;
    return rc;
}

static int export_run(const cx_args *args, cx_error *err) {
    const char *dir = args->word[0], *csv = cx_args_value(args, "--csv");
    const char *board = cx_args_value(args, "--tensorboard");
    char path[4096];
    double start;
    cx_run_data data;
    int rc = start_of(dir, &start, err);
    if (!rc)
        rc = cx_run_data_read(dir, &data, err);
    if (rc)
        return rc;
    if (data.n == 0)
        rc = cx_fail(err, CX_EDATA, "%s: metrics.jsonl has no update yet", dir);
    if (!rc && (csv || !board)) {
        rc = cx_path(path, sizeof path, err, csv ? "%s" : "%s/metrics.csv", csv ? csv : dir);
        if (!rc)
            rc = cx_export_csv(&data, path, err);
        if (!rc)
            (void)printf("%d updates: %s\n", data.n, path);
    }
    if (!rc && board) {
        rc = cx_export_tensorboard(&data, board, start, err);
        if (!rc)
            (void)printf("%d updates: tensorboard --logdir %s\n", data.n, board);
    }
    cx_run_data_free(&data);
    return rc;
}

int cx_cmd_export(int argc, char **argv) {
    cx_error err = {0};
    cx_args args;
    bool done;
    int rc = cx_args_parse(&syntax, argc, argv, &args, &done, &err);
    if (!rc && !done)
        rc = export_run(&args, &err);
    return rc ? cx_cli_fail("export", &err) : 0;
}
