#include "report/svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    WIDTH = 720,
    LEFT = 70, /* room for tick texts and the axis title */
    RIGHT = 14,
    PLOT_HEIGHT = 230,
    BOTTOM = 44,
    LEGEND_ROW = 18,
    LETTER = 7, /* mean width of a letter at 12 px: for the legend's layout only */
    COLORS = 8,
    TICKS_MAX = 12
};

/* One axis: values to pixels. */
typedef struct {
    bool logarithmic;
    double low, high; /* values, low < high */
    double from, to;  /* pixels */
} axis;

static bool shown(double v, bool logarithmic) {
    return isfinite(v) && (!logarithmic || v > 0);
}

static double pixel(const axis *a, double v) {
    double low = a->low, high = a->high;
    if (a->logarithmic) {
        v = log10(v);
        low = log10(low);
        high = log10(high);
    }
    double at = (v - low) / (high - low);
    at = at < 0 ? 0 : at > 1 ? 1 : at; /* an axis with fixed ends may cut values off */
    return a->from + at * (a->to - a->from);
}

/* --- ticks --- */

static double round_step(double span, int max) {
    double power = pow(10, floor(log10(span / max)));
    static const double factor[] = {1, 2, 5, 10, 20};
    for (int i = 0; i < 5; i++)
        if (span / (factor[i] * power) <= max + 1e-9)
            return factor[i] * power;
    return 50 * power;
}

static int log_ticks(double low, double high, int max, double *tick) {
    int first = (int)floor(log10(low)), last = (int)ceil(log10(high)), n = 0;
    int stride = 1 + (last - first) / max; /* decades from one tick to the next */
    static const double fine[] = {1, 2, 5};
    int per_decade = last - first <= 2 ? 3 : 1;
    for (int d = first; d <= last; d += stride)
        for (int k = 0; k < per_decade; k++) {
            double v = fine[k] * pow(10, d);
            if (v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9) && n < max)
                tick[n++] = v;
        }
    return n;
}

int cx_svg_ticks(double low, double high, bool logarithmic, int max, double *tick) {
    if (logarithmic) {
        int n = log_ticks(low, high, max, tick);
        if (n >= 2)
            return n; /* else: less than a decade without a round value in it */
    }
    double step = round_step(high - low, max - 1);
    int n = 0;
    for (double k = ceil(low / step - 1e-9); k * step <= high + 1e-9 * step && n < max; k++)
        tick[n++] = k == 0 ? 0 : k * step;
    return n;
}

/* The value with one digit kept. */
static double decade(double value) {
    double unit = pow(10, floor(log10(fabs(value)) + 1e-9));
    return unit * round(value / unit);
}

void cx_svg_tick_text(double value, double step, bool logarithmic, char *out, size_t size) {
    double a = fabs(value);
    if (a >= 1e9 || (a > 0 && a < 1e-3 && (logarithmic || step < 1e-4)))
        (void)snprintf(out, size, fabs(value - decade(value)) < 1e-6 * a ? "%.0e" : "%.3g", value);
    else if (a >= 1e6)
        (void)snprintf(out, size, "%.6gM", value / 1e6);
    else if (a >= 1e4)
        (void)snprintf(out, size, "%.6gk", value / 1e3);
    else if (logarithmic || step <= 0)
        (void)snprintf(out, size, "%.6g", value);
    else {
        int digits = (int)-floor(log10(step) + 1e-9);
        (void)snprintf(out, size, "%.*f", digits > 0 ? digits : 0, value);
    }
    char *e = strchr(out, 'e'); /* 1e-04: 1e-4 */
    if (e && e[2] == '0')
        memmove(e + 2, e + 3, strlen(e + 3) + 1);
}

/* --- ranges --- */

typedef struct {
    double low, high;
    bool any;
} range;

static void widen(range *r, double v, bool logarithmic) {
    if (!shown(v, logarithmic))
        return;
    r->low = !r->any || v < r->low ? v : r->low;
    r->high = !r->any || v > r->high ? v : r->high;
    r->any = true;
}

static bool point_shown(const cx_plot *p, const cx_series *s, int i) {
    return shown(s->x[i], p->log_x) && shown(s->y[i], p->log_y);
}

static void value_ranges(const cx_plot *p, range *x, range *y) {
    *x = *y = (range){0, 1, false};
    for (int k = 0; k < p->n_series; k++) {
        const cx_series *s = &p->series[k];
        for (int i = 0; i < s->n; i++) {
            if (!point_shown(p, s, i))
                continue;
            widen(x, s->x[i], p->log_x);
            widen(y, s->y[i], p->log_y);
            if (s->low && s->high) {
                widen(y, s->low[i], p->log_y);
                widen(y, s->high[i], p->log_y);
            }
        }
    }
    if (y->any && isfinite(p->line))
        widen(y, p->line, p->log_y);
}

static axis make_axis(const range *r, bool logarithmic, double margin, double from, double to) {
    axis a = {logarithmic, r->low, r->high, from, to};
    if (!r->any) { /* nothing to show */
        a.low = logarithmic ? 1 : 0;
        a.high = logarithmic ? 10 : 1;
    } else if (logarithmic) {
        double more = pow(a.high / a.low, margin);
        if (a.high / a.low < 1.01)
            more = 2;
        a.low /= more;
        a.high *= more;
    } else {
        double more = margin * (a.high - a.low);
        if (a.high - a.low <= 1e-9 * fmax(fabs(a.low), fabs(a.high)))
            more = a.high != 0 ? 0.1 * fabs(a.high) : 1;
        a.low -= more;
        a.high += more;
    }
    return a;
}

/* --- drawing --- */

static void draw_axes(cx_output *out, const cx_plot *p, const axis *x, const axis *y) {
    double tick[TICKS_MAX];
    char text[32];
    int n = cx_svg_ticks(y->low, y->high, p->log_y, 6, tick);
    double step = n > 1 ? tick[1] - tick[0] : 0;
    for (int i = 0; i < n; i++) {
        double at = pixel(y, tick[i]);
        cx_svg_tick_text(tick[i], step, p->log_y, text, sizeof text);
        cx_output_format(out, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>",
                         LEFT, at, WIDTH - RIGHT, at);
        cx_output_format(out,
                         "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                         LEFT - 6, at + 4, text);
    }
    n = cx_svg_ticks(x->low, x->high, p->log_x, 9, tick);
    step = n > 1 ? tick[1] - tick[0] : 0;
    for (int i = 0; i < n; i++) {
        double at = pixel(x, tick[i]);
        cx_svg_tick_text(tick[i], step, p->log_x, text, sizeof text);
        cx_output_format(out,
                         "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
                         at, y->from, at, y->from + 4);
        cx_output_format(
            out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
            at, y->from + 17, text);
    }
    cx_output_format(out, "<path class=\"axis\" d=\"M%d %.1fV%.1fH%d\"/>\n", LEFT, y->to, y->from,
                     WIDTH - RIGHT);
    cx_output_format(out, "<text class=\"label\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
                     (x->from + x->to) / 2, y->from + 36);
    cx_output_escape(out, p->x_label);
    cx_output_format(out,
                     "</text>\n<text class=\"label\" transform=\"translate(13 %.1f) rotate(-90)\" "
                     "text-anchor=\"middle\">",
                     (y->from + y->to) / 2);
    cx_output_escape(out, p->y_label);
    cx_output_add(out, "</text>\n");
}

/* End of the unbroken run of points that starts at i. */
static int run_end(const cx_plot *p, const cx_series *s, int i) {
    while (i < s->n && point_shown(p, s, i))
        i++;
    return i;
}

/* End of the points from i on that fall into the same pixel column. */
static int column_end(const cx_series *s, const axis *x, int i, int end) {
    double at = floor(pixel(x, s->x[i]));
    int j = i + 1;
    while (j < end && floor(pixel(x, s->x[j])) == at)
        j++;
    return j;
}

/* Of each pixel column its first, least, greatest and last point, in their order:
 * looks the same as all of them, however many there are. */
static void draw_line(cx_output *out, const cx_plot *p, const cx_series *s, const axis *x,
                      const axis *y) {
    cx_output_format(out, "<path class=\"line c%d%s%s\" d=\"", s->color % COLORS,
                     s->faint ? " faint" : "", s->color >= COLORS ? " dashed" : "");
    for (int i = 0; i < s->n;) {
        int end = run_end(p, s, i);
        char go = 'M';
        for (int a = i; a < end;) {
            int b = column_end(s, x, a, end), least = a, greatest = a;
            for (int k = a; k < b; k++) {
                least = s->y[k] < s->y[least] ? k : least;
                greatest = s->y[k] > s->y[greatest] ? k : greatest;
            }
            for (int k = a; k < b; k++) {
                if (k != a && k != b - 1 && k != least && k != greatest)
                    continue;
                cx_output_format(out, "%c%.1f %.1f", go, pixel(x, s->x[k]), pixel(y, s->y[k]));
                go = 'L';
            }
            a = b;
        }
        if (end == i + 1) /* a point by itself: a dot, by the round ends of the line */
            cx_output_add(out, "h0");
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

static bool band_shown(const cx_plot *p, const cx_series *s, int i) {
    return point_shown(p, s, i) && shown(s->low[i], p->log_y) && shown(s->high[i], p->log_y);
}

static void draw_band(cx_output *out, const cx_plot *p, const cx_series *s, const axis *x,
                      const axis *y) {
    cx_output_format(out, "<path class=\"band b%d\" d=\"", s->color % COLORS);
    for (int i = 0; i < s->n;) {
        int end = i;
        while (end < s->n && band_shown(p, s, end))
            end++;
        /* along the upper edge, and back along the lower one */
        double last = -1;
        for (int k = i; k < end; k++) {
            double at = pixel(x, s->x[k]);
            if (k > i && k + 1 < end && at - last < 1)
                continue;
            cx_output_format(out, "%c%.1f %.1f", k == i ? 'M' : 'L', at, pixel(y, s->high[k]));
            last = at;
        }
        last = 2 * WIDTH;
        for (int k = end - 1; k >= i; k--) {
            double at = pixel(x, s->x[k]);
            if (k > i && k + 1 < end && last - at < 1)
                continue;
            cx_output_format(out, "L%.1f %.1f", at, pixel(y, s->low[k]));
            last = at;
        }
        if (end > i)
            cx_output_add(out, "Z");
        i = end > i ? end : i + 1;
    }
    cx_output_add(out, "\"/>\n");
}

static int letters(const char *text) {
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Lays the legend out in rows; draws it with `out`, else only counts its rows. */
static int legend(cx_output *out, const cx_plot *p) {
    int named = 0, rows = 0, at = WIDTH;
    for (int k = 0; k < p->n_series; k++)
        named += p->series[k].name != NULL;
    if (named + (p->line_name != NULL) < 2)
        return 0;
    for (int k = 0; k <= p->n_series; k++) {
        const cx_series *s = k < p->n_series ? &p->series[k] : NULL;
        const char *name = s ? s->name : p->line_name;
        if (!name)
            continue;
        int width = 34 + LETTER * letters(name);
        if (at + width > WIDTH - RIGHT) {
            rows++;
            at = LEFT;
        }
        int y = LEGEND_ROW * rows - 6;
        if (out && s)
            cx_output_format(out, "<line class=\"line c%d%s%s\"", s->color % COLORS,
                             s->faint ? " faint" : "", s->color >= COLORS ? " dashed" : "");
        else if (out)
            cx_output_add(out, "<line class=\"reference\"");
        if (out) {
            cx_output_format(
                out,
                " x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/><text class=\"tick\" x=\"%d\" y=\"%d\">",
                at, y, at + 18, y, at + 23, y + 4);
            cx_output_escape(out, name);
            cx_output_add(out, "</text>\n");
        }
        at += width;
    }
    return rows;
}

void cx_svg_plot(cx_output *out, const cx_plot *p) {
    int top = 10 + LEGEND_ROW * legend(NULL, p), height = top + PLOT_HEIGHT + BOTTOM;
    range rx, ry;
    value_ranges(p, &rx, &ry);
    axis x = make_axis(&rx, p->log_x, 0.01, LEFT, WIDTH - RIGHT);
    axis y = make_axis(&ry, p->log_y, 0.05, top + PLOT_HEIGHT, top);
    if (isfinite(p->y_low) && p->y_low < y.high)
        y.low = p->y_low;
    if (isfinite(p->y_high) && p->y_high > y.low)
        y.high = p->y_high;
    cx_output_format(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, height);
    cx_output_escape(out, p->title);
    cx_output_add(out, "\">\n");
    draw_axes(out, p, &x, &y);
    (void)legend(out, p);
    if (ry.any && shown(p->line, p->log_y))
        cx_output_format(
            out, "<line class=\"reference\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n", LEFT,
            pixel(&y, p->line), WIDTH - RIGHT, pixel(&y, p->line));
    for (int k = 0; k < p->n_series; k++)
        if (p->series[k].low && p->series[k].high)
            draw_band(out, p, &p->series[k], &x, &y);
    for (int k = 0; k < p->n_series; k++)
        draw_line(out, p, &p->series[k], &x, &y);
    if (!ry.any)
        cx_output_format(out,
                         "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">no values "
                         "yet</text>\n",
                         (LEFT + WIDTH - RIGHT) / 2, top + PLOT_HEIGHT / 2);
    cx_output_add(out, "</svg>\n");
}
