/* What an evaluation's evaluation.json says (docs/evaluation.md, "On disk"), as numbers for
 * the page. The file is only trusted to be JSON: what is absent or of another kind is NAN,
 * an empty text, or NULL. */
#ifndef CX_REPORT_EVAL_DATA_H
#define CX_REPORT_EVAL_DATA_H

#include "base/error.h"
#include "report/speedup.h"
#include "report/stats.h"
#include <jansson.h>

#define CX_EVAL_FILE "evaluation.json"

typedef struct {
    json_t *root, *made;    /* made: made.json, NULL: not there */
    const json_t *tasks;    /* array */
    const json_t *all;      /* the group of all tasks; NULL: none is complete */
    int n_tasks, complete;  /* complete tasks */
    int seeds;              /* asked for */
    const char *baseline;   /* its name; "the baseline" where it has none */
    const char *contestant; /* name of the first contestant */
} cx_eval_data;

/* CX_EDATA: no file, no JSON, another format or version. */
int cx_eval_data_read(const char *dir, cx_eval_data *data, cx_error *err);
void cx_eval_data_free(cx_eval_data *data);

double cx_eval_number(const json_t *object, const char *key);
const char *cx_eval_text(const json_t *object, const char *key);
bool cx_eval_true(const json_t *object, const char *key);
/* Of a member [value, low, high]: all three, or all NAN. */
cx_interval cx_eval_interval(const json_t *object, const char *key);

/* A speedup {value, bound, text}; what lies outside the lengths has no interval. */
typedef struct {
    cx_interval value; /* factors */
    bool below, above; /* the true value may be lower, higher */
    char text[96];     /* "0.97 x [0.87, 1.12]", "> 4 x"; "-" where there is none */
} cx_eval_speedup;
cx_eval_speedup cx_eval_speedup_of(const json_t *object, const char *key);
/* "0.60 x [0.53, 0.69]" of factors; "-" without a value. */
void cx_eval_factor_text(cx_interval factors, char *out, size_t size);
/* "22 % [6, 55]" of shares; "-" where they are none. */
void cx_eval_share_text(cx_interval share, char *out, size_t size);

bool cx_eval_is_complete(const json_t *task);
/* By id, of a task or a group; NULL: does not take part. */
const json_t *cx_eval_entrant(const json_t *task_or_group, const char *id);
const char *cx_eval_name(const cx_eval_data *data, const char *id);
/* Contestants that pages show: all but the single replays. */
bool cx_eval_shown(const char *id);
int cx_eval_color(const char *id);

/* A quantity along a run, over seeds: median, and the band: least and greatest of up
 * to CX_EVAL_FEW seeds, the quartiles of more. */
enum { CX_EVAL_FEW = 7, CX_EVAL_POINTS = 512 };
typedef struct {
    int n;     /* points */
    double *x; /* [n], and median, low, high behind it: one block */
    double *median, *low, *high;
} cx_eval_band;
/* progress: numbers; by_seed: a list of numbers per seed, shorter where a run ended early.
 * `less`: subtracted from the values of each seed, NULL: nothing. x = progress * scale. `hold`:
 * one point more, at progress 1, with the last value of those that got so far. CX_ENOMEM. */
int cx_eval_band_of(const json_t *progress, const json_t *by_seed, const double *less, double scale,
                    bool hold, cx_eval_band *out, cx_error *err);
void cx_eval_band_free(cx_eval_band *band);
const char *cx_eval_band_name(int seeds); /* "least and greatest of the seeds" */

#endif
