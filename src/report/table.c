#include "report/table.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *name;
    cx_column_kind kind;
    int digits;
} column;

typedef struct {
    char *text;
    double value;
    bool is_text;
} cell;

struct cx_table {
    char *title;
    column *columns;
    cell *cells;
    char **notes;
    size_t n_columns, n_cells, n_notes;
    bool failed;
};

/* Room for one more item: arrays grow at powers of two. */
static void *grow(cx_table *t, void *items, size_t n, size_t size) {
    if (n & (n - 1))
        return items;
    void *more = realloc(items, (n ? 2 * n : 1) * size);
    if (!more)
        t->failed = true;
    return more;
}

static char *copy(cx_table *t, const char *text) {
    char *own = strdup(text);
    if (!own)
        t->failed = true;
    return own;
}

cx_table *cx_table_create(const char *title) {
    cx_table *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->title = copy(t, title);
    if (t->failed) {
        free(t);
        return NULL;
    }
    return t;
}

void cx_table_destroy(cx_table *t) {
    if (!t)
        return;
    for (size_t i = 0; i < t->n_columns; i++)
        free(t->columns[i].name);
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i].text);
    for (size_t i = 0; i < t->n_notes; i++)
        free(t->notes[i]);
    free(t->columns);
    free(t->cells);
    free(t->notes);
    free(t->title);
    free(t);
}

void cx_table_column(cx_table *t, const char *name, cx_column_kind kind, int digits) {
    column *more = grow(t, t->columns, t->n_columns, sizeof *more);
    char *own = copy(t, name);
    if (more)
        t->columns = more;
    if (t->failed) {
        free(own);
        return;
    }
    t->columns[t->n_columns++] = (column){own, kind, digits};
}

static void add_cell(cx_table *t, const char *text, double value, bool is_text) {
    cell *more = grow(t, t->cells, t->n_cells, sizeof *more);
    char *own = copy(t, text);
    if (more)
        t->cells = more;
    if (t->failed) {
        free(own);
        return;
    }
    t->cells[t->n_cells++] = (cell){own, value, is_text};
}

void cx_table_text(cx_table *t, const char *text) {
    add_cell(t, text, NAN, true);
}

void cx_table_format(cx_table *t, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cx_table_text(t, text);
}

void cx_table_number(cx_table *t, double value) {
    char text[64];
    column c = {.kind = CX_COLUMN_SIGNIFICANT, .digits = 6};
    if (t->n_columns)
        c = t->columns[t->n_cells % t->n_columns];
    if (!isfinite(value))
        (void)snprintf(text, sizeof text, "-");
    else if (c.kind == CX_COLUMN_FIXED && fabs(value) < 1e15)
        (void)snprintf(text, sizeof text, "%.*f", c.digits, value);
    else if (c.kind == CX_COLUMN_SHARE)
        (void)snprintf(text, sizeof text, "%.*f %%", c.digits, 100 * value);
    else
        (void)snprintf(text, sizeof text, "%.*g", c.digits > 0 ? c.digits : 6, value);
    if (strspn(text, "-0.") == strlen(text) && text[0] == '-' && text[1])
        memmove(text, text + 1, strlen(text)); /* no "-0.00" */
    add_cell(t, text, value, false);
}

void cx_table_note(cx_table *t, const char *text) {
    char **more = grow(t, t->notes, t->n_notes, sizeof *more);
    char *own = copy(t, text);
    if (more)
        t->notes = more;
    if (t->failed) {
        free(own);
        return;
    }
    t->notes[t->n_notes++] = own;
}

bool cx_table_failed(const cx_table *t) {
    return t->failed;
}

bool cx_table_even(const cx_table *t) {
    return t->n_columns == 0 ? t->n_cells == 0 : t->n_cells % t->n_columns == 0;
}

const char *cx_table_title(const cx_table *t) {
    return t->title;
}

size_t cx_table_columns(const cx_table *t) {
    return t->n_columns;
}

size_t cx_table_rows(const cx_table *t) {
    return t->n_columns ? t->n_cells / t->n_columns : 0;
}

size_t cx_table_notes(const cx_table *t) {
    return t->n_notes;
}

const char *cx_table_name(const cx_table *t, size_t i) {
    return t->columns[i].name;
}

cx_column_kind cx_table_kind(const cx_table *t, size_t i) {
    return t->columns[i].kind;
}

const char *cx_table_note_at(const cx_table *t, size_t i) {
    return t->notes[i];
}

const char *cx_table_cell(const cx_table *t, size_t row, size_t col, double *number) {
    const cell *c = &t->cells[row * t->n_columns + col];
    if (number)
        *number = c->value;
    return c->text;
}

static int check(const cx_table *t, cx_error *err) {
    if (t->failed)
        return cx_fail(err, CX_ENOMEM, "table \"%s\": out of memory", t->title);
    if (t->n_columns == 0 || !cx_table_even(t))
        return cx_fail(err, CX_ESTATE, "table \"%s\": %zu cells in %zu columns", t->title,
                       t->n_cells, t->n_columns);
    return CX_OK;
}

/* Characters, not bytes. */
static int width_of(const char *text) {
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

int cx_table_to_text(const cx_table *t, char **out, cx_error *err) {
    *out = NULL;
    int rc = check(t, err);
    int *width = rc ? NULL : calloc(t->n_columns, sizeof *width);
    if (!width)
        return rc ? rc : cx_fail(err, CX_ENOMEM, "table \"%s\": out of memory", t->title);
    size_t rows = cx_table_rows(t);
    for (size_t c = 0; c < t->n_columns; c++) {
        width[c] = width_of(t->columns[c].name);
        for (size_t r = 0; r < rows; r++) {
            int w = width_of(cx_table_cell(t, r, c, NULL));
            width[c] = w > width[c] ? w : width[c];
        }
    }
    cx_output b = {.text = NULL};
    if (t->title[0])
        cx_output_format(&b, "%s\n", t->title);
    for (size_t r = 0; r <= rows; r++) /* row 0: the names */
        for (size_t c = 0; c < t->n_columns; c++) {
            const char *text = r ? cx_table_cell(t, r - 1, c, NULL) : t->columns[c].name;
            bool left = t->columns[c].kind == CX_COLUMN_TEXT, last = c + 1 == t->n_columns;
            int gap = width[c] - width_of(text);
            if (!left)
                cx_output_format(&b, "%*s", gap, "");
            cx_output_add(&b, text);
            if (left && !last)
                cx_output_format(&b, "%*s", gap, "");
            cx_output_add(&b, last ? "\n" : "  ");
        }
    for (size_t i = 0; i < t->n_notes; i++)
        cx_output_format(&b, "%s\n", t->notes[i]);
    free(width);
    return cx_output_take(&b, out, err);
}

int cx_table_to_json(const cx_table *t, char **out, cx_error *err) {
    *out = NULL;
    int rc = check(t, err);
    if (rc)
        return rc;
    cx_output b = {.text = NULL};
    for (size_t r = 0; r < cx_table_rows(t); r++) {
        json_t *row = json_object();
        for (size_t c = 0; c < t->n_columns; c++) {
            const cell *x = &t->cells[r * t->n_columns + c];
            json_t *value = x->is_text            ? json_string(x->text)
                            : !isfinite(x->value) ? json_null()
                            : fabs(x->value) < 1e15 && x->value == trunc(x->value)
                                ? json_integer((json_int_t)x->value)
                                : json_real(x->value);
            (void)json_object_set_new(row, t->columns[c].name, value);
        }
        char *line = json_dumps(row, JSON_COMPACT | JSON_PRESERVE_ORDER);
        json_decref(row);
        if (line)
            cx_output_format(&b, "%s\n", line);
        else
            b.failed = true;
        free(line);
    }
    return cx_output_take(&b, out, err);
}
