/* One self-contained HTML page: sections of text, plots (each with a table of the same
 * figures below it) and tables. No script, nothing from a network; light and dark;
 * printable. All text given is escaped. */
#ifndef CX_REPORT_PAGE_H
#define CX_REPORT_PAGE_H

#include "base/error.h"
#include "report/svg.h"
#include "report/table.h"

typedef struct cx_page cx_page;

cx_page *cx_page_create(const char *title, const char *subtitle); /* NULL: out of memory */
void cx_page_destroy(cx_page *p);
void cx_page_section(cx_page *p, const char *title);
void cx_page_text(cx_page *p, const char *text);                    /* a paragraph */
void cx_page_code(cx_page *p, const char *title, const char *text); /* folded; as it stands */
/* A figure with its title, what it shows (may be NULL), and a table of at most `rows`
 * of its points: x from the first series, evenly spaced, the last always among them. */
void cx_page_plot(cx_page *p, const cx_plot *plot, const char *explanation, int rows);
void cx_page_table(cx_page *p, const cx_table *t);
/* Replaces the file atomically. CX_EIO, CX_ENOMEM. */
int cx_page_write(cx_page *p, const char *path, cx_error *err);

#endif
