#include "report/axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool cx_axis_shown(double v, bool logarithmic) {
    return isfinite(v) && (!logarithmic || v > 0);
}

void cx_range_widen(cx_range *r, double v, bool logarithmic) {
    if (!cx_axis_shown(v, logarithmic))
        return;
    r->low = !r->any || v < r->low ? v : r->low;
    r->high = !r->any || v > r->high ? v : r->high;
    r->any = true;
}

cx_axis cx_axis_make(const cx_range *r, bool logarithmic, double margin, double from, double to) {
    cx_axis a = {
        .logarithmic = logarithmic, .low = r->low, .high = r->high, .from = from, .to = to};
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
    if (!isfinite(a.low) || !isfinite(a.high) || !(a.low < a.high) || (logarithmic && a.low <= 0))
        a.low = 1, a.high = 10; /* numbers at the end of what can be told */
    return a;
}

double cx_axis_pixel(const cx_axis *a, double v) {
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

/* Powers of two, and one and a half times them where there are few. */
static int factor_ticks(double low, double high, int max, double *tick) {
    double octaves = log2(high / low);
    int stride = 1 + (int)(octaves / max), n = 0;
    bool halves = 2 * octaves + 2 < max;
    for (int k = (int)floor(log2(low)); k <= (int)ceil(log2(high)); k += stride)
        for (int half = 0; half <= halves; half++) {
            double v = exp2(k) * (half ? 1.5 : 1);
            if (v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9) && n < max)
                tick[n++] = v;
        }
    return n;
}

static void factor_text(double v, char *out, size_t size) {
    for (int above = 1; above <= 3 && v < 1; above += 2)
        if (fabs(above / v - round(above / v)) < 1e-9) {
            (void)snprintf(out, size, "%d/%.0f", above, above / v);
            return;
        }
    (void)snprintf(out, size, "%.4g", v);
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

static void some_ticks(const cx_axis *a, int max, cx_ticks *t) {
    double value[CX_TICKS_MAX];
    bool factors = a->factors && a->high / a->low > 1.5;
    t->n = factors ? factor_ticks(a->low, a->high, max, value)
                   : cx_svg_ticks(a->low, a->high, a->logarithmic, max, value);
    double step = t->n > 1 ? value[1] - value[0] : 0;
    t->widest = 0;
    for (int i = 0; i < t->n; i++) {
        t->at[i] = cx_axis_pixel(a, value[i]);
        if (factors)
            factor_text(value[i], t->text[i], sizeof t->text[i]);
        else
            cx_svg_tick_text(value[i], step, a->logarithmic, t->text[i], sizeof t->text[i]);
        t->widest = fmax(t->widest, cx_svg_text_width(t->text[i]));
    }
}

static bool touching(const cx_ticks *t) {
    for (int i = 1; i < t->n; i++)
        if (fabs(t->at[i] - t->at[i - 1]) <
            (cx_svg_text_width(t->text[i]) + cx_svg_text_width(t->text[i - 1])) / 2 + 8)
            return true;
    return false;
}

void cx_axis_ticks(const cx_axis *a, int max, bool beside, cx_ticks *out) {
    do
        some_ticks(a, max, out);
    while (beside && touching(out) && --max >= 2);
}

void cx_axis_fit(cx_axis *a, int max, double width) {
    for (int round = 0; round < 8; round++) { /* with the ends the ticks may change */
        cx_ticks t;
        cx_axis_ticks(a, max, true, &t);
        if (t.n == 0)
            return;
        double first = cx_svg_text_width(t.text[0]) / 2;
        double last = cx_svg_text_width(t.text[t.n - 1]) / 2;
        double over = t.at[t.n - 1] + last - width, under = first - t.at[0];
        if (over <= 0 && under <= 0)
            return;
        /* a tick at a share f of the axis moves by f of what the end moves by */
        double length = a->to - a->from;
        if (over > 0)
            a->to -= over * length / fmax(t.at[t.n - 1] - a->from, 1) + 0.1;
        if (under > 0)
            a->from += under * length / fmax(a->to - t.at[0], 1) + 0.1;
    }
}

/* --- texts --- */

/* Width in em of a character of a wide common sans-serif (DejaVu Sans), rounded up. */
static double letter_width(const char *s) {
    unsigned char c = (unsigned char)*s;
    if (c >= 0xc0)
        return 0.9;
    if (strchr("iljI|.,:;'!` ", c))
        return 0.36;
    if (strchr("ft()[]{}/\\-\"r", c))
        return 0.46;
    if (strchr("mMWw%@", c))
        return 1.0;
    if (strchr("<>=+~&", c) || (c >= 'A' && c <= 'Z'))
        return 0.82;
    return 0.65;
}

double cx_svg_text_width(const char *text) {
    double em = 0;
    for (; *text; text++)
        if (((unsigned char)*text & 0xc0) != 0x80)
            em += letter_width(text);
    return 12 * em;
}

/* Bytes of the text that are at most `room` pixels wide, whole characters. */
static size_t bytes_within(const char *text, double room) {
    double em = 0;
    size_t i = 0;
    for (; text[i]; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80) {
            em += letter_width(text + i);
            if (12 * em > room)
                break;
        }
    return i;
}

void cx_svg_text(cx_output *out, const char *class, double x, double y, const char *anchor,
                 const char *text, double room) {
    cx_output_format(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\"", class, x, y);
    if (anchor)
        cx_output_format(out, " text-anchor=\"%s\"", anchor);
    cx_output_add(out, ">");
    if (cx_svg_text_width(text) <= room) {
        cx_output_escape(out, text);
    } else {
        char cut[256];
        size_t n = bytes_within(text, room - 12);
        n = n < sizeof cut ? n : sizeof cut - 1;
        memcpy(cut, text, n);
        cut[n] = 0;
        cx_output_escape(out, cut);
        cx_output_add(out, "\xe2\x80\xa6<title>");
        cx_output_escape(out, text);
        cx_output_add(out, "</title>");
    }
    cx_output_add(out, "</text>\n");
}
