/* Where a page's figures come from: program, date, command. */
#ifndef CX_REPORT_ABOUT_H
#define CX_REPORT_ABOUT_H

#include "report/page.h"
#include <jansson.h>

/* DIR/made.json of a run or an evaluation, by whom and when it was begun: {"program": "coxswain
 * 0.1.0", "command": "coxswain ...", "started": "2026-01-31 12:00 UTC"}. NULL: not there. */
json_t *cx_about_read(const char *dir);
/* Last part of a path. */
const char *cx_about_name(const char *dir, char *out, size_t size);
/* "DIR, begun ..., written by coxswain ...": a line below the title; without `made` the time of
 * the last change of DIR/file stands in it. */
void cx_about_line(const char *dir, const char *file, const json_t *made, char *out, size_t size);
/* The command that makes it again, and that which makes this page. */
void cx_about_reproduce(cx_page *page, const char *dir, const char *command, const json_t *made);
/* DIR/config.yaml, folded, where it is there. */
void cx_about_config(cx_page *page, const char *dir);

#endif
