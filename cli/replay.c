/* coxswain replay: recorded optimizer traces and operator vectors against ours. */
#include "cli/command.h"

#include "base/file.h"
#include "nn/replay.h"
#include "optim/replay.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LIMIT ((size_t)1 << 29)

static const char help[] =
    "usage: coxswain replay [--json] FILE...\n"
    "Replays recorded optimizer traces and operator vectors (one JSON file each) and prints\n"
    "a line per file: path, verdict, and the largest error |ours - recorded| / max(1, |recorded|)\n"
    "of parameters, features and state, or of outputs and gradients.\n"
    "  --json  one JSON object a line\n"
    "  -h      this text\n"
    "Exit status: 0 all within tolerance; 1 one is not; 2 a file is unreadable or not of the\n"
    "format; 3 a file asks for what is not implemented, which is named. 1 goes before 2, 2 before "
    "3.\n";

typedef struct {
    int code;            /* CX_OK; CX_ESTATE: past tolerance; else why it was not replayed */
    const char *kind;    /* "optimizer", "operator", or NULL */
    const char *name[3]; /* of the errors; NULL: none */
    double error[3];
    char what[1024]; /* what is past tolerance, not implemented, or wrong with the file */
} verdict;

static void replay_optimizer(const char *path, const json_t *root, verdict *v, cx_error *err) {
    cx_optimizer_replay out;
    v->kind = "optimizer";
    v->code = cx_replay_optimizer(path, root, &out, err);
    if (v->code)
        return;
    const char *const names[] = {"parameters", "features", "state"};
    const double errors[] = {out.param_error, out.feature_error, out.state_error};
    for (int i = 0, n = 0; i < 3; i++)
        if (!isnan(errors[i])) { /* torch's optimizers have no features to compare */
            v->name[n] = names[i];
            v->error[n++] = errors[i];
        }
    if (!out.passed) {
        v->code = CX_ESTATE;
        (void)snprintf(v->what, sizeof v->what, "%s", out.worst);
    }
}

static void replay_operator(const json_t *root, verdict *v, cx_error *err) {
    char detail[256] = "";
    v->kind = "operator";
    v->code = cx_replay_operator(root, &v->error[0], &v->error[1], detail, sizeof detail, err);
    if (v->code == CX_OK || v->code == CX_ESTATE) {
        v->name[0] = "outputs";
        v->name[1] = "gradients";
    }
}

/* A file of operators has an `op`; one of an optimizer `variant` and `optimizer`. */
static void replay_file(const char *path, verdict *v) {
    cx_error err = {0};
    unsigned char *data = NULL;
    size_t size;
    json_error_t where;
    *v = (verdict){0};
    v->code = cx_file_read(path, FILE_LIMIT, &data, &size, &err);
    if (v->code == CX_OK) {
        json_t *root = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &where);
        if (!root)
            v->code = cx_fail(&err, CX_EDATA, "%s: line %d: %s", path, where.line, where.text);
        else if (json_object_get(root, "op"))
            replay_operator(root, v, &err);
        else if (json_object_get(root, "optimizer") || json_object_get(root, "variant"))
            replay_optimizer(path, root, v, &err);
        else
            v->code = cx_fail(&err, CX_EDATA,
                              "%s: neither an optimizer trace (key 'optimizer') nor operator "
                              "vectors (key 'op')",
                              path);
        json_decref(root);
    }
    free(data);
    if (v->code != CX_OK && !v->what[0]) {
        /* messages of the library begin with the path, which the line has already */
        const char *text = err.message;
        size_t n = strlen(path);
        if (strncmp(text, path, n) == 0 && strncmp(text + n, ": ", 2) == 0)
            text += n + 2;
        (void)snprintf(v->what, sizeof v->what, "%s", text);
    }
}

static const char *word(const verdict *v) {
    return v->code == CX_OK             ? "ok"
           : v->code == CX_ESTATE       ? "FAIL"
           : v->code == CX_EUNSUPPORTED ? "unsupported"
                                        : "error";
}

static int print_line(const char *path, const verdict *v) {
    int bad = printf("%s: %s", path, word(v)) < 0;
    for (int i = 0; i < 3 && v->name[i]; i++)
        bad |= printf("  %s %.2g", v->name[i], v->error[i]) < 0;
    return bad | (printf("%s%s\n", v->what[0] ? "  " : "", v->what) < 0);
}

static int print_json(const char *path, const verdict *v) {
    json_t *line = json_object();
    (void)json_object_set_new(line, "file", json_string(path));
    if (v->kind)
        (void)json_object_set_new(line, "kind", json_string(v->kind));
    (void)json_object_set_new(line, "result", json_string(word(v)));
    for (int i = 0; i < 3 && v->name[i]; i++) /* JSON has no infinity */
        (void)json_object_set_new(line, v->name[i],
                                  isfinite(v->error[i]) ? json_real(v->error[i]) : json_null());
    if (v->what[0])
        (void)json_object_set_new(line, "what", json_string(v->what));
    char *text = json_dumps(line, JSON_REAL_PRECISION(6));
    json_decref(line);
    int bad = !text || printf("%s\n", text) < 0;
    free(text);
    return bad;
}

static int fail_usage(const char *format, const char *what) {
    (void)fprintf(stderr, "coxswain replay: ");
    (void)fprintf(stderr, format, what);
    (void)fprintf(stderr, "; coxswain replay -h tells more\n");
    return 2;
}

int cx_cmd_replay(int argc, char **argv) {
    bool json = false, options = true, past = false, corrupt = false, unsupported = false;
    int n_files = 0;
    for (int i = 1; i < argc; i++) { /* options first, wherever they stand */
        if (strcmp(argv[i], "--") == 0)
            break;
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
            return fputs(help, stdout) < 0;
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (argv[i][0] == '-' && argv[i][1])
            return fail_usage("unknown option %s", argv[i]);
    }
    for (int i = 1; i < argc; i++) {
        verdict v;
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
            continue;
        }
        if (options && argv[i][0] == '-' && argv[i][1])
            continue;
        n_files++;
        replay_file(argv[i], &v);
        if ((json ? print_json : print_line)(argv[i], &v) || fflush(stdout)) {
            (void)fprintf(stderr, "coxswain replay: cannot write the results\n");
            return 1;
        }
        past |= v.code == CX_ESTATE;
        unsupported |= v.code == CX_EUNSUPPORTED;
        corrupt |= v.code != CX_OK && v.code != CX_ESTATE && v.code != CX_EUNSUPPORTED;
    }
    if (n_files == 0)
        return fail_usage("%s", "no file is given");
    return past ? 1 : corrupt ? 2 : unsupported ? 3 : 0;
}
