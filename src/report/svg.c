#include "report/svg.h"

#include "report/axis.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    WIDE = 900,
    HALF = 440, /* pixels: the size at which a plot is meant to be seen */
    RIGHT = 14,
    WIDE_HEIGHT = 250,
    HALF_HEIGHT = 200,
    BOTTOM = 44,
    ROW = 18, /* of the legend */
    SWATCH = 18,
    END_STEP = 9, /* between the dots beside the last x */
    COLORS = 8
};

/* What is known of one drawing while it is drawn. */
typedef struct {
    const cx_plot *p;
    double width, left, right, top, bottom; /* the plot's corners */
    cx_axis x, y;
    bool log_x, log_y;
} canvas;

static bool point_shown(const canvas *c, const cx_series *s, int i) {
    return cx_axis_shown(s->x[i], c->log_x) && cx_axis_shown(s->y[i], c->log_y);
}

static bool any_shown(const canvas *c, const cx_series *s) {
    for (int i = 0; i < s->n; i++)
        if (point_shown(c, s, i))
            return true;
    return false;
}

static bool band_shown(const canvas *c, const cx_series *s, int i) {
    return point_shown(c, s, i) && cx_axis_shown(s->low[i], c->log_y) &&
           cx_axis_shown(s->high[i], c->log_y);
}

static void value_ranges(const canvas *c, cx_range *x, cx_range *y) {
    *x = *y = (cx_range){0, 1, false};
    for (int k = 0; k < c->p->n_series; k++) {
        const cx_series *s = &c->p->series[k];
        for (int i = 0; i < s->n; i++) {
            if (!point_shown(c, s, i))
                continue;
            cx_range_widen(x, s->x[i], c->log_x);
            cx_range_widen(y, s->y[i], c->log_y);
            if (s->low && s->high) {
                cx_range_widen(y, s->low[i], c->log_y);
                cx_range_widen(y, s->high[i], c->log_y);
            }
        }
    }
    if (y->any && isfinite(c->p->line))
        cx_range_widen(y, c->p->line, c->log_y);
}

/* --- axes --- */

static int x_ticks(const cx_plot *p) {
    return p->wide ? 9 : 6;
}

static void draw_axes(cx_output *out, const canvas *c) {
    cx_ticks t;
    cx_axis_ticks(&c->y, 6, false, &t);
    for (int i = 0; i < t.n; i++) {
        cx_output_format(out,
                         "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
                         c->left, t.at[i], c->right, t.at[i]);
        cx_svg_text(out, "tick", c->left - 6, t.at[i] + 4, "end", t.text[i], 200);
    }
    cx_axis_ticks(&c->x, x_ticks(c->p), true, &t);
    for (int i = 0; i < t.n; i++) {
        cx_output_format(out,
                         "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
                         t.at[i], c->bottom, t.at[i], c->bottom + 4);
        cx_svg_text(out, "tick", t.at[i], c->bottom + 17, "middle", t.text[i], 200);
    }
    cx_output_format(out, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>\n", c->left, c->bottom,
                     c->right);
    cx_svg_text(out, "label", (c->left + c->right) / 2, c->bottom + 36, "middle", c->p->x_label,
                c->right - c->left);
    cx_svg_text(out, "label", 0, 12, NULL, c->p->y_label, c->width - RIGHT);
}

/* --- lines --- */

/* End of the unbroken run of points that starts at i. */
static int run_end(const canvas *c, const cx_series *s, int i) {
    while (i < s->n && point_shown(c, s, i))
        i++;
    return i;
}

/* End of the points from i on that fall into the same pixel column. */
static int column_end(const cx_series *s, const cx_axis *x, int i, int end) {
    double at = floor(cx_axis_pixel(x, s->x[i]));
    int j = i + 1;
    while (j < end && floor(cx_axis_pixel(x, s->x[j])) == at)
        j++;
    return j;
}

/* Of each pixel column its first, least, greatest and last point, in their order:
 * looks the same as all of them, however many there are. */
static void draw_run(cx_output *out, const canvas *c, const cx_series *s, int from, int end) {
    bool first = true;
    for (int a = from; a < end;) {
        int b = column_end(s, &c->x, a, end), least = a, greatest = a;
        for (int k = a; k < b; k++) {
            least = s->y[k] < s->y[least] ? k : least;
            greatest = s->y[k] > s->y[greatest] ? k : greatest;
        }
        for (int k = a; k < b; k++) {
            if (k != a && k != b - 1 && k != least && k != greatest)
                continue;
            double x = cx_axis_pixel(&c->x, s->x[k]), y = cx_axis_pixel(&c->y, s->y[k]);
            if (first)
                cx_output_format(out, "M%.1f %.1f", x, y);
            else if (s->kind == CX_SERIES_STEPS)
                cx_output_format(out, "H%.1fV%.1f", x, y);
            else
                cx_output_format(out, "L%.1f %.1f", x, y);
            first = false;
        }
        a = b;
    }
    if (end == from + 1) /* a point by itself: a dot, by the round ends of the line */
        cx_output_add(out, "h0");
}

static void style(cx_output *out, const cx_series *s) {
    cx_output_format(out, "class=\"line c%d%s%s\"", s->color % COLORS, s->faint ? " faint" : "",
                     s->color >= COLORS ? " dashed" : "");
}

static void draw_line(cx_output *out, const canvas *c, const cx_series *s) {
    cx_output_add(out, "<path ");
    style(out, s);
    cx_output_add(out, " d=\"");
    for (int i = 0; i < s->n;) {
        int end = run_end(c, s, i);
        if (end > i)
            draw_run(out, c, s, i, end);
        i = end > i ? end : i + 1;
    }
    cx_output_add(out, "\">");
    if (s->name) {
        cx_output_add(out, "<title>");
        cx_output_escape(out, s->name);
        cx_output_add(out, "</title>");
    }
    cx_output_add(out, "</path>\n");
}

/* One edge of a band, from point `from` towards `to`; points of less than a pixel's
 * distance are left out. */
static void draw_edge(cx_output *out, const canvas *c, const cx_series *s, const double *edge,
                      int from, int to, bool first) {
    int way = from <= to ? 1 : -1;
    double last = NAN;
    for (int k = from; k != to + way; k += way) {
        double x = cx_axis_pixel(&c->x, s->x[k]), y = cx_axis_pixel(&c->y, edge[k]);
        if (k != from && k != to && fabs(x - last) < 1)
            continue;
        if (k == from)
            cx_output_format(out, "%c%.1f %.1f", first ? 'M' : 'L', x, y);
        else if (s->kind == CX_SERIES_STEPS)
            cx_output_format(out, way > 0 ? "H%.1fV%.1f" : "V%.1fH%.1f", way > 0 ? x : y,
                             way > 0 ? y : x);
        else
            cx_output_format(out, "L%.1f %.1f", x, y);
        last = x;
    }
}

static void draw_band(cx_output *out, const canvas *c, const cx_series *s) {
    cx_output_format(out, "<path class=\"band b%d\" d=\"", s->color % COLORS);
    for (int i = 0; i < s->n;) {
        int end = i;
        while (end < s->n && band_shown(c, s, end))
            end++;
        if (end > i) { /* along the upper edge, and back along the lower one */
            draw_edge(out, c, s, s->high, i, end - 1, true);
            draw_edge(out, c, s, s->low, end - 1, i, false);
            cx_output_add(out, "Z");
        }
        i = end > i ? end : i + 1;
    }
    cx_output_add(out, "\"/>\n");
}

/* --- dots beside the last x --- */

static int count_ends(const cx_plot *p) {
    int n = 0;
    for (int k = 0; k < p->n_series; k++)
        n += p->series[k].kind == CX_SERIES_ENDS;
    return n;
}

static void draw_end(cx_output *out, const canvas *c, const cx_series *s, int place) {
    if (s->n < 1 || !cx_axis_shown(s->y[0], c->log_y))
        return;
    double x = c->right + END_STEP * (place + 0.7), y = cx_axis_pixel(&c->y, s->y[0]);
    if (s->low && s->high && cx_axis_shown(s->low[0], c->log_y) &&
        cx_axis_shown(s->high[0], c->log_y))
        cx_output_format(out, "<path class=\"whisker c%d\" d=\"M%.1f %.1fV%.1f\"/>",
                         s->color % COLORS, x, cx_axis_pixel(&c->y, s->low[0]),
                         cx_axis_pixel(&c->y, s->high[0]));
    cx_output_format(out, "<circle class=\"c%d b%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n",
                     s->color % COLORS, s->color % COLORS, x, y);
}

/* --- events --- */

static void draw_events(cx_output *out, const canvas *c) {
    const cx_plot *p = c->p;
    if (!p->event || p->n_events < 1)
        return;
    cx_output_add(out, "<path class=\"event\" d=\"");
    for (int i = 0; i < p->n_events; i++)
        if (cx_axis_shown(p->event[i], c->log_x))
            cx_output_format(out, "M%.1f %.1fl-4 7h8z", cx_axis_pixel(&c->x, p->event[i]),
                             c->bottom - 8);
    cx_output_add(out, "\"/>\n");
}

/* --- legend --- */

typedef struct {
    cx_output *out; /* NULL: only rows are counted */
    double at, room;
    int rows;
} legend_pen;

/* A place for one more name; returns the y of its middle. */
static double legend_place(legend_pen *pen, const char *name) {
    double width = SWATCH + 5 + cx_svg_text_width(name) + 14;
    if (pen->rows == 0 || pen->at + width > pen->room) {
        pen->rows++;
        pen->at = 0;
    }
    double y = 18 + ROW * pen->rows - 8;
    if (pen->out)
        cx_svg_text(pen->out, "tick", pen->at + SWATCH + 5, y + 4, NULL, name,
                    pen->room - SWATCH - 5);
    pen->at += width;
    return y;
}

static void legend_line(const canvas *c, legend_pen *pen, const char *as, const cx_series *s) {
    char name[160];
    (void)snprintf(name, sizeof name, "%s%s", as, s && !any_shown(c, s) ? " (no values)" : "");
    double y = legend_place(pen, name),
           x = fmax(0, pen->at - SWATCH - 19 - cx_svg_text_width(name));
    if (!pen->out)
        return;
    cx_output_add(pen->out, "<line ");
    if (s)
        style(pen->out, s);
    else
        cx_output_add(pen->out, "class=\"reference\"");
    cx_output_format(pen->out, " x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x, y,
                     x + SWATCH, y);
}

/* Lays the legend out in rows, below the title of the y axis; returns how many. */
static int legend(cx_output *out, const canvas *c) {
    const cx_plot *p = c->p;
    legend_pen pen = {out, 0, c->width, 0};
    int named = 0;
    for (int k = 0; k < p->n_series; k++)
        named += p->series[k].name != NULL && p->series[k].kind != CX_SERIES_ENDS;
    if (named + (p->line_name != NULL) + (p->n_events > 0) < 2)
        return 0;
    for (int k = 0; k < p->n_series; k++)
        if (p->series[k].name && p->series[k].kind != CX_SERIES_ENDS)
            legend_line(c, &pen, p->series[k].name, &p->series[k]);
    if (p->line_name)
        legend_line(c, &pen, p->line_name, NULL);
    if (p->n_events > 0 && p->event_name) {
        double y = legend_place(&pen, p->event_name);
        double x = fmax(0, pen.at - SWATCH - 19 - cx_svg_text_width(p->event_name));
        if (out)
            cx_output_format(out, "<path class=\"event\" d=\"M%.1f %.1fl-4 7h8z\"/>\n",
                             x + SWATCH / 2.0, y - 4);
    }
    return pen.rows;
}

/* --- all of it --- */

static canvas lay_out(const cx_plot *p) {
    canvas c = {.p = p,
                .width = p->wide ? WIDE : HALF,
                .log_x = p->log_x || p->factors_x,
                .log_y = p->log_y};
    cx_range rx, ry;
    cx_ticks t;
    c.top = 26 + ROW * legend(NULL, &c);
    c.bottom = c.top + (p->wide ? WIDE_HEIGHT : HALF_HEIGHT);
    c.right = c.width - RIGHT - END_STEP * count_ends(p);
    value_ranges(&c, &rx, &ry);
    c.y = cx_axis_make(&ry, c.log_y, 0.05, c.bottom, c.top);
    if (isfinite(p->y_low) && p->y_low < c.y.high)
        c.y.low = p->y_low;
    if (isfinite(p->y_high) && p->y_high > c.y.low)
        c.y.high = p->y_high;
    cx_axis_ticks(&c.y, 6, false, &t);
    c.left = fmax(24, t.widest + 8);
    c.x = cx_axis_make(&rx, c.log_x, 0.01, c.left, c.right);
    c.x.factors = p->factors_x;
    cx_axis_fit(&c.x, x_ticks(p), c.width);
    c.left = c.x.from;
    c.right = c.x.to;
    return c;
}

void cx_svg_plot(cx_output *out, const cx_plot *p) {
    canvas c = lay_out(p);
    bool any = false;
    int ends = 0;
    for (int k = 0; k < p->n_series && !any; k++)
        any = any_shown(&c, &p->series[k]);
    cx_output_format(out, "<svg class=\"%s\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"",
                     p->wide ? "wide" : "half", c.width, c.bottom + BOTTOM);
    cx_output_escape(out, p->title);
    cx_output_add(out, "\">\n");
    draw_axes(out, &c);
    (void)legend(out, &c);
    if (any && cx_axis_shown(p->line, c.log_y))
        cx_output_format(
            out, "<line class=\"reference\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
            c.left, cx_axis_pixel(&c.y, p->line), c.right, cx_axis_pixel(&c.y, p->line));
    for (int k = 0; k < p->n_series; k++)
        if (p->series[k].low && p->series[k].high && p->series[k].kind != CX_SERIES_ENDS)
            draw_band(out, &c, &p->series[k]);
    for (int k = 0; k < p->n_series; k++)
        if (p->series[k].kind == CX_SERIES_ENDS)
            draw_end(out, &c, &p->series[k], ends++);
        else if (any_shown(&c, &p->series[k]))
            draw_line(out, &c, &p->series[k]);
    draw_events(out, &c);
    if (!any)
        cx_svg_text(out, "label", (c.left + c.right) / 2, (c.top + c.bottom) / 2, "middle",
                    "no values yet", c.width);
    cx_output_add(out, "</svg>\n");
}
