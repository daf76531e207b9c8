/* What the drawings of a page share: values to pixels, ticks, the width of texts.
 * Used by svg.c and forest.c. */
#ifndef CX_REPORT_AXIS_H
#define CX_REPORT_AXIS_H

#include "report/output.h"
#include "report/svg.h"

enum { CX_TICKS_MAX = 12 };

/* Values to pixels. */
typedef struct {
    bool logarithmic, factors; /* factors: logarithmic, ticks at 1/2, 1, 2 */
    double low, high;          /* values, low < high */
    double from, to;           /* pixels */
} cx_axis;

typedef struct {
    double low, high;
    bool any;
} cx_range;

/* Finite, and above 0 on a logarithmic axis. */
bool cx_axis_shown(double value, bool logarithmic);
void cx_range_widen(cx_range *r, double value, bool logarithmic);
/* `margin`: share of the range that is added at both ends. */
cx_axis cx_axis_make(const cx_range *r, bool logarithmic, double margin, double from, double to);
double cx_axis_pixel(const cx_axis *a, double value);
/* The ticks of an axis and their texts; at most so many that no two texts touch when they stand
 * side by side (`beside`), else at most `max`. Returns how many. */
typedef struct {
    int n;
    double at[CX_TICKS_MAX]; /* pixels */
    char text[CX_TICKS_MAX][32];
    double widest; /* of the texts */
} cx_ticks;
void cx_axis_ticks(const cx_axis *a, int max, bool beside, cx_ticks *out);

/* Moves the ends of a horizontal axis inwards until the texts of its ticks lie in [0, width]. */
void cx_axis_fit(cx_axis *a, int max, double width);

/* <text class=... x y text-anchor=anchor>escaped</text>, cut to `room` pixels with an ellipsis
 * where it is wider; the whole stands in its title then. */
void cx_svg_text(cx_output *out, const char *class, double x, double y, const char *anchor,
                 const char *text, double room);

#endif
