/* A plot as an SVG element, to stand inside an HTML page: lines with bands, ticks, axis
 * titles, a legend. Colors are the page's (classes "c0" to "c7", see report/page.c), so
 * that one drawing serves light and dark. No script, no fonts, nothing from a network. */
#ifndef CX_REPORT_SVG_H
#define CX_REPORT_SVG_H

#include "report/output.h"

typedef struct {
    const char *name;         /* in the legend; NULL: not there */
    int n;                    /* points */
    const double *x, *y;      /* x ascending; y not finite: a gap */
    const double *low, *high; /* a band around y; NULL: none */
    bool faint;               /* thin and pale: raw values behind their mean */
    int color;                /* 0, 1, ...; from 8 on the colors come again, dashed */
} cx_series;

typedef struct {
    const char *title;             /* for those who do not see it */
    const char *x_label, *y_label; /* with units */
    bool log_x, log_y;             /* values <= 0 are gaps then */
    double y_low, y_high;          /* fixed ends of the axis; NAN: from the values */
    double line;                   /* a horizontal line at this value; NAN: none */
    const char *line_name;
    const cx_series *series;
    int n_series;
} cx_plot;

void cx_svg_plot(cx_output *out, const cx_plot *plot);

/* Up to `max` (>= 2) round values in [low, high], low < high, both finite; returns how
 * many. Logarithmic (low > 0): decades, and 1-2-5 where there are few decades. */
int cx_svg_ticks(double low, double high, bool logarithmic, int max, double *tick);
/* A tick's text: "0.05", "20k", "1e-4"; `step`: distance to the next (linear axes). */
void cx_svg_tick_text(double value, double step, bool logarithmic, char *out, size_t size);

#endif
