/* coxswain report DIR: one HTML page about a training run or an evaluation. */
#include "cli/command.h"

#include "base/file.h"
#include "cli/args.h"
#include "report/eval_page.h"
#include "report/run_page.h"
#include <stdio.h>

static const cx_option options[] = {{"--to", "FILE", "where to write it (default DIR/report.html)"},
                                    {NULL, NULL, NULL}};
static const cx_syntax syntax = {
    "report",
    "DIR [--to FILE]",
    "Writes one self-contained HTML page with plots: about a training run (DIR of train), or\n"
    "about an evaluation (DIR of eval).",
    options,
    1,
    1};

static int report(const char *dir, const char *to, cx_error *err) {
    char path[600];
    int rc = cx_path(path, sizeof path, err, "%s/" CX_EVAL_FILE, dir);
    if (rc)
        return rc;
    return cx_file_exists(path) ? cx_report_evaluation(dir, to, err) : cx_report_run(dir, to, err);
}

int cx_cmd_report(int argc, char **argv) {
    cx_error err = {0};
    cx_args args;
    bool done;
    char path[600];
    int rc = cx_args_parse(&syntax, argc, argv, &args, &done, &err);
    if (!rc && !done) {
        const char *to = cx_args_value(&args, "--to");
        rc = to ? cx_path(path, sizeof path, &err, "%s", to)
                : cx_path(path, sizeof path, &err, "%s/report.html", args.word[0]);
        if (!rc)
            rc = report(args.word[0], path, &err);
        if (!rc)
            (void)printf("%s\n", path);
    }
    return rc ? cx_cli_fail("report", &err) : 0;
}
