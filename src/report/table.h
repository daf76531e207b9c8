/* Tables: rows of words and numbers, for the terminal (aligned), for programs (one JSON
 * object a line) and for the page (report/page.h). Building calls keep the first fault
 * inside; the calls that give text tell it. */
#ifndef CX_REPORT_TABLE_H
#define CX_REPORT_TABLE_H

#include "base/error.h"
#include "report/output.h"
#include <stdbool.h>
#include <stddef.h>

/* How a column's numbers are written. */
typedef enum {
    CX_COLUMN_TEXT,        /* words, to the left */
    CX_COLUMN_FIXED,       /* `digits` decimals */
    CX_COLUMN_SIGNIFICANT, /* `digits` significant digits, as %g */
    CX_COLUMN_SHARE        /* 0..1 as percent with `digits` decimals; the page shades it */
} cx_column_kind;

typedef struct cx_table cx_table;

cx_table *cx_table_create(const char *title); /* NULL: out of memory */
void cx_table_destroy(cx_table *t);
/* Columns first, then rows of as many cells. A text may stand in any column. */
void cx_table_column(cx_table *t, const char *name, cx_column_kind kind, int digits);
void cx_table_text(cx_table *t, const char *text);
void cx_table_format(cx_table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cx_table_number(cx_table *t, double value);   /* not finite: "-", null in JSON */
void cx_table_note(cx_table *t, const char *text); /* a line below the table */

bool cx_table_failed(const cx_table *t); /* out of memory while it was built */
bool cx_table_even(const cx_table *t);   /* all rows are as long as there are columns */
const char *cx_table_title(const cx_table *t);
size_t cx_table_columns(const cx_table *t);
size_t cx_table_rows(const cx_table *t);
size_t cx_table_notes(const cx_table *t);
const char *cx_table_name(const cx_table *t, size_t column);
cx_column_kind cx_table_kind(const cx_table *t, size_t column);
const char *cx_table_note_at(const cx_table *t, size_t i);
/* A cell as it is written; *number its value (NAN for a text). Valid until the table
 * changes. */
const char *cx_table_cell(const cx_table *t, size_t row, size_t column, double *number);

/* Aligned text with title and notes, or a JSON object a line whose keys are the
 * column names. *out is the caller's (free()). CX_ENOMEM, CX_ESTATE (rows of uneven
 * length). */
int cx_table_to_text(const cx_table *t, char **out, cx_error *err);
int cx_table_to_json(const cx_table *t, char **out, cx_error *err);

#endif
