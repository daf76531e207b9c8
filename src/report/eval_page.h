/* The page about an evaluation, from its folder alone, finished or not. */
#ifndef CX_REPORT_EVAL_PAGE_H
#define CX_REPORT_EVAL_PAGE_H

#include "base/error.h"
#include "report/eval_data.h"
#include "report/page.h"

/* Reads DIR/evaluation.json and, where they are there, DIR/made.json and DIR/config.yaml;
 * writes one self-contained HTML page. What an older evaluation did not record is said to
 * be missing. CX_EDATA, CX_EVERSION, CX_EIO, CX_ENOMEM. */
int cx_report_evaluation(const char *dir, const char *out_path, cx_error *err);

/* Its top (eval_top.c), and its part about single tasks (eval_tasks.c). */
void cx_eval_top(const cx_eval_data *data, cx_page *page);
int cx_eval_tasks(const cx_eval_data *data, cx_page *page, cx_error *err);
/* "3 mlp": how a task is called in plots, and its place on the page ("task-3"). */
void cx_eval_task_name(const json_t *task, char *out, size_t size);
void cx_eval_task_anchor(const json_t *task, char *out, size_t size);
/* A mark of a contestant's speedup in steps, and one in time; text[2] is what they say. */
void cx_eval_marks(const json_t *entrant, cx_mark *mark, char (*text)[96]);

#endif
