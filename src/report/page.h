/* One self-contained HTML page: sections of text, drawings (each with a table of the same
 * figures below it) and tables. No script, nothing from a network; light and dark;
 * printable. All text given is escaped. Building calls keep the first fault inside;
 * cx_page_write tells it. */
#ifndef CX_REPORT_PAGE_H
#define CX_REPORT_PAGE_H

#include "base/error.h"
#include "report/svg.h"
#include "report/table.h"

typedef struct cx_page cx_page;

cx_page *cx_page_create(const char *title, const char *subtitle); /* NULL: out of memory */
void cx_page_destroy(cx_page *p);
void cx_page_section(cx_page *p, const char *title);
/* A heading within a section; `anchor`: its id, NULL: none. */
void cx_page_heading(cx_page *p, const char *title, const char *anchor);
void cx_page_lead(cx_page *p, const char *text); /* a paragraph that sums up */
void cx_page_text(cx_page *p, const char *text); /* a paragraph */
void cx_page_note(cx_page *p, const char *text); /* a small one */
void cx_page_warn(cx_page *p, const char *text); /* one that stands out */
/* A figure that stands out, with what it is below; calls that follow each other are a row. */
void cx_page_fact(cx_page *p, const char *value, const char *what);
void cx_page_code(cx_page *p, const char *title, const char *text); /* folded; as it stands */
void cx_page_shell(cx_page *p, const char *text);                   /* commands; as they stand */
/* What comes between is folded away unless `open`; paper shows it. Not nested. */
void cx_page_fold(cx_page *p, const char *title, bool open);
void cx_page_fold_end(cx_page *p);
/* A drawing with its title, what it shows (may be NULL), and a table of at most `rows`
 * of its points: x from the first series, evenly spaced, the last always among them; of dots
 * in the margin a note. The table of a drawing that is not wide is folded. */
void cx_page_plot(cx_page *p, const cx_plot *plot, const char *explanation, int rows);
/* The same of intervals; `table` NULL: one of them is made. */
void cx_page_forest(cx_page *p, const cx_forest *forest, const char *explanation,
                    const cx_table *table);
void cx_page_table(cx_page *p, const cx_table *t);
/* Replaces the file atomically. CX_EIO, CX_ENOMEM. */
int cx_page_write(cx_page *p, const char *path, cx_error *err);

#endif
