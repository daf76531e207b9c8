/* Drawings as SVG elements, to stand inside an HTML page: lines with bands, and intervals in
 * rows. Colors are the page's (classes "c0" to "c7", see report/page.c), so that one
 * drawing serves light, dark and paper. No script, no fonts, nothing from a network. */
#ifndef CX_REPORT_SVG_H
#define CX_REPORT_SVG_H

#include "report/output.h"

typedef enum {
    CX_SERIES_LINE,
    CX_SERIES_STEPS, /* a value holds until the next x */
    CX_SERIES_ENDS   /* dots with whiskers in the right margin, beside the last x: y[0] alone */
} cx_series_kind;

typedef struct {
    const char *name;         /* in the legend; NULL: not there */
    int n;                    /* points */
    const double *x, *y;      /* x ascending; y not finite: a gap */
    const double *low, *high; /* a band around y, or whiskers; NULL: none */
    cx_series_kind kind;
    bool faint; /* thin and pale: raw values behind their mean */
    int color;  /* 0, 1, ...; from 8 on the colors come again, dashed */
} cx_series;

typedef struct {
    const char *title;             /* for those who do not see it */
    const char *x_label, *y_label; /* with units */
    bool wide;                     /* as wide as the page; else two stand side by side */
    bool log_x, log_y;             /* values <= 0 are gaps then */
    bool factors_x;                /* logarithmic, with ticks at 1/2, 1, 2, ... */
    bool percent;                  /* y is from 0 to 100: whole numbers are enough */
    double y_low, y_high;          /* fixed ends of the axis; NAN: from the values */
    double line;                   /* a horizontal line at this value; NAN: none */
    const char *line_name;
    const double *event; /* [n_events] x of events, marked at the bottom; NULL: none */
    int n_events;
    const char *event_name;
    const cx_series *series;
    int n_series;
} cx_plot;

void cx_svg_plot(cx_output *out, const cx_plot *plot);

/* Intervals in rows, one mark or two in each, with their figures in words beside them. */
typedef struct {
    double value, low, high; /* not finite: no mark, no whisker */
    bool below, above;       /* the true value may be lower, higher: arrows */
    const char *text;        /* as it is written; NULL: nothing beside the row */
} cx_mark;
enum { CX_MARKS = 2 };

typedef struct {
    const char *label;
    const char *anchor; /* id of a place on the page that the label leads to; NULL: none */
    cx_mark mark[CX_MARKS];
    int color;
} cx_row;

typedef struct {
    const char *title, *x_label;
    bool factors;     /* logarithmic, with ticks at 1/2, 1, 2, ... */
    double low, high; /* are on the axis in any case; NAN: nothing is */
    double line;      /* a vertical line at this value; NAN: none */
    int n_marks;      /* of each row; the second is hollow */
    const char *mark_name[CX_MARKS];
    const char *row_name; /* of the table's first column */
    const cx_row *row;
    int n_rows;
} cx_forest;

void cx_svg_forest(cx_output *out, const cx_forest *forest);

/* Up to `max` (>= 2) round values in [low, high], low < high, both finite; returns how
 * many. Logarithmic (low > 0): decades, and 1-2-5 where there are few decades. */
int cx_svg_ticks(double low, double high, bool logarithmic, int max, double *tick);
/* A tick's text: "0.05", "20k", "1e-4"; `step`: distance to the next (linear axes). */
void cx_svg_tick_text(double value, double step, bool logarithmic, char *out, size_t size);
/* Pixels that a text takes at most, at the drawings' 12 px, in common sans-serif fonts. */
double cx_svg_text_width(const char *text);

#endif
