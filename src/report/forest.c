#include "report/svg.h"

#include "report/axis.h"
#include <math.h>

enum {
    WIDTH = 900,
    LABEL_MAX = 250, /* room for the rows' names */
    TOP = 30,
    ROW = 23,
    SECOND = 15, /* a second mark, below the first */
    BOTTOM = 44,
    GAP = 12,
    TICKS = 9
};

typedef struct {
    const cx_forest *f;
    cx_axis x;
    double left, right, top, bottom, row;
} canvas;

static cx_range range_of(const cx_forest *f) {
    cx_range r = {0, 1, false};
    cx_range_widen(&r, f->low, f->factors);
    cx_range_widen(&r, f->high, f->factors);
    cx_range_widen(&r, f->line, f->factors);
    for (int i = 0; i < f->n_rows; i++)
        for (int m = 0; m < f->n_marks; m++) {
            const cx_mark *k = &f->row[i].mark[m];
            cx_range_widen(&r, k->value, f->factors);
            cx_range_widen(&r, k->low, f->factors);
            cx_range_widen(&r, k->high, f->factors);
        }
    return r;
}

static canvas lay_out(const cx_forest *f) {
    double label = 0, text = 0;
    for (int i = 0; i < f->n_rows; i++) {
        label = fmax(label, cx_svg_text_width(f->row[i].label));
        for (int m = 0; m < f->n_marks; m++)
            if (f->row[i].mark[m].text)
                text = fmax(text, cx_svg_text_width(f->row[i].mark[m].text));
    }
    canvas c = {.f = f, .top = TOP, .row = ROW + SECOND * (f->n_marks - 1)};
    c.left = fmin(label, LABEL_MAX) + GAP;
    c.right = WIDTH - (text > 0 ? fmin(text, 200) + GAP : 0) - GAP;
    c.bottom = c.top + c.row * f->n_rows + 6;
    cx_range r = range_of(f);
    c.x = cx_axis_make(&r, f->factors, 0.03, c.left, c.right);
    c.x.factors = f->factors;
    cx_axis_fit(&c.x, TICKS, text > 0 ? c.right + GAP : WIDTH);
    c.right = c.x.to;
    return c;
}

static void draw_axis(cx_output *out, const canvas *c) {
    cx_ticks t;
    cx_axis_ticks(&c->x, TICKS, true, &t);
    for (int i = 0; i < t.n; i++) {
        cx_output_format(out,
                         "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
                         t.at[i], c->top, t.at[i], c->bottom);
        cx_svg_text(out, "tick", t.at[i], c->bottom + 16, "middle", t.text[i], 200);
    }
    cx_output_format(out, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>\n", c->left, c->bottom,
                     c->right);
    cx_svg_text(out, "label", (c->left + c->right) / 2, c->bottom + 36, "middle", c->f->x_label,
                c->right - c->left);
    if (cx_axis_shown(c->f->line, c->f->factors))
        cx_output_format(
            out, "<line class=\"reference\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
            cx_axis_pixel(&c->x, c->f->line), c->top, cx_axis_pixel(&c->x, c->f->line), c->bottom);
}

static void draw_dot(cx_output *out, double x, double y, int color, bool hollow) {
    cx_output_format(out, "<circle class=\"c%d %s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"/>", color,
                     hollow ? "hollow b" : "b", color, x, y, hollow ? "3.5" : "4.5");
}

static void draw_mark(cx_output *out, const canvas *c, const cx_mark *k, double y, int color,
                      bool hollow) {
    bool log = c->f->factors;
    if (cx_axis_shown(k->value, log)) {
        double x = cx_axis_pixel(&c->x, k->value);
        if (cx_axis_shown(k->low, log) && cx_axis_shown(k->high, log))
            cx_output_format(out, "<path class=\"whisker c%d%s\" d=\"M%.1f %.1fH%.1f\"/>", color,
                             hollow ? " thin" : "", cx_axis_pixel(&c->x, k->low), y,
                             cx_axis_pixel(&c->x, k->high));
        draw_dot(out, x, y, color, hollow);
        double low = cx_axis_shown(k->low, log) ? fmin(x, cx_axis_pixel(&c->x, k->low)) : x;
        double high = cx_axis_shown(k->high, log) ? fmax(x, cx_axis_pixel(&c->x, k->high)) : x;
        if (k->below)
            cx_output_format(out, "<path class=\"c%d b%d\" d=\"M%.1f %.1fl6 -3.5v7z\"/>", color,
                             color, low - 12, y);
        if (k->above)
            cx_output_format(out, "<path class=\"c%d b%d\" d=\"M%.1f %.1fl-6 -3.5v7z\"/>", color,
                             color, high + 12, y);
    }
    if (k->text)
        cx_svg_text(out, hollow ? "tick" : "label", c->right + GAP, y + 4, NULL, k->text,
                    WIDTH - c->right - GAP);
    cx_output_add(out, "\n");
}

static void draw_row(cx_output *out, const canvas *c, int i) {
    const cx_row *r = &c->f->row[i];
    double y = c->top + c->row * i + ROW / 2.0;
    if (r->anchor) {
        cx_output_add(out, "<a href=\"#");
        cx_output_escape(out, r->anchor);
        cx_output_add(out, "\">");
    }
    cx_svg_text(out, "label", c->left - GAP, y + 4, "end", r->label[0] ? r->label : "-", LABEL_MAX);
    if (r->anchor)
        cx_output_add(out, "</a>");
    for (int m = 0; m < c->f->n_marks; m++)
        draw_mark(out, c, &r->mark[m], y + SECOND * m, r->color % 8, m > 0);
}

/* Filled and hollow dots, and what they are. */
static void draw_legend(cx_output *out, const canvas *c) {
    double at = c->left;
    if (c->f->n_marks < 2)
        return;
    for (int m = 0; m < c->f->n_marks; m++) {
        draw_dot(out, at + 6, 10, 0, m > 0);
        cx_svg_text(out, "tick", at + 16, 14, NULL, c->f->mark_name[m], 300);
        at += 34 + fmin(300, cx_svg_text_width(c->f->mark_name[m]));
    }
}

void cx_svg_forest(cx_output *out, const cx_forest *f) {
    canvas c = lay_out(f);
    cx_output_format(out, "<svg class=\"wide\" viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"",
                     WIDTH, c.bottom + BOTTOM);
    cx_output_escape(out, f->title);
    cx_output_add(out, "\">\n");
    draw_axis(out, &c);
    draw_legend(out, &c);
    for (int i = 0; i < f->n_rows; i++)
        draw_row(out, &c, i);
    cx_output_add(out, "</svg>\n");
}
