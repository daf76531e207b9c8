#include "report/page.h"

#include "base/file.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the last element stands in: ended before anything of another kind. */
typedef enum { FLOW_PLAIN, FLOW_GRID, FLOW_FACTS } flow;

enum { LONG_CELL = 28 /* bytes: a text that may be broken into lines */ };

struct cx_page {
    cx_output out;
    flow flow;
    bool in_section;
    bool uneven; /* a table was given whose rows are of other lengths than its columns */
};

/* Colors that stay apart for most kinds of color blindness (after Okabe and Ito 2008),
 * lighter ones on dark; on paper those of light. */
/* clang-format off */
static const char style[] =
    ":root{color-scheme:light;--ground:#fff;--ink:#1b1f24;--soft:#57606a;--rule:#d8dee4;--shade:0 114 178;"
    "--0:#0072b2;--1:#d55e00;--2:#009e73;--3:#b0508f;--4:#9a6a00;--5:#3a9bd0;--6:#6a3d9a;--7:#6b7280}\n"
    "@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;--ground:#14171b;--ink:#e6e8eb;"
    "--soft:#9aa4af;--rule:#31373f;--shade:86 160 230;--0:#5aa9e6;--1:#ff9d4d;--2:#3fcf9f;--3:#e39bc7;"
    "--4:#e6b84d;--5:#8ed1f5;--6:#b99be6;--7:#a3abb5}}\n"
    /* text */
    "*{box-sizing:border-box}"
    "body{margin:0 auto;max-width:60rem;padding:2rem 1rem 4rem;background:var(--ground);color:var(--ink);"
    "font:16px/1.55 system-ui,sans-serif;overflow-wrap:anywhere}\n"
    "h1{font-size:1.6rem;line-height:1.25;margin:0}h3{font-size:1.05rem;margin:2.5rem 0 .25rem}"
    "h2{font-size:1.25rem;margin:3rem 0 .75rem;padding-bottom:.25rem;border-bottom:1px solid var(--rule)}\n"
    "p{margin:.5rem 0;max-width:46rem}.lead{font-size:1.05rem}a{color:inherit}summary{cursor:pointer}"
    ".soft,caption,figcaption,summary{color:var(--soft);font-size:.875rem}"
    ".warn{border-left:3px solid var(--1);padding-left:.75rem}"
    "pre{overflow-x:auto;font-size:.8rem;border:1px solid var(--rule);padding:.5rem .75rem}\n"
    ".facts{display:flex;flex-wrap:wrap;gap:1rem 2rem;margin:1.25rem 0}"
    ".facts dt{font-size:1.25rem;font-variant-numeric:tabular-nums}"
    ".facts dd{margin:0;color:var(--soft);font-size:.875rem}\n"
    /* figures: two of the half width stand beside each other, their parts on common lines */
    "figure{margin:1.75rem 0;break-inside:avoid}figcaption{max-width:46rem;margin-bottom:.5rem}"
    "figcaption b{color:var(--ink);display:block;font-size:.95rem}\n"
    ".grid2{display:grid;gap:0 2rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,25rem),1fr))}"
    ".grid2 figure{margin:1rem 0;min-width:0;display:grid;grid-template-columns:minmax(0,1fr);"
    "grid-template-rows:subgrid;grid-row:span 3;align-content:start}\n"
    "svg{width:100%;height:auto;display:block}.half{max-width:32rem}.wide{min-width:38rem}\n"
    /* tables */
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.8125rem;line-height:1.4;"
    "font-variant-numeric:tabular-nums;margin:.5rem 0}caption{text-align:left}\n"
    "th,td{padding:.2rem .6rem .2rem 0;text-align:right;border-bottom:1px solid var(--rule);"
    "white-space:nowrap;vertical-align:top;overflow-wrap:normal}"
    "th{vertical-align:bottom;font-weight:600;white-space:normal;max-width:10rem}.left{text-align:left}"
    "td.long{white-space:normal;min-width:11rem;max-width:30rem}\n"
    /* drawings */
    ".grid{stroke:var(--rule);stroke-width:1}.axis{stroke:var(--soft);fill:none}"
    ".tick{fill:var(--soft);font:12px system-ui,sans-serif}.label{fill:var(--ink);font:12px system-ui,sans-serif}"
    ".line{fill:none;stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}"
    ".faint{stroke-width:1;opacity:.4}.dashed{stroke-dasharray:5 4}"
    ".reference{stroke:var(--soft);stroke-dasharray:2 4}.band{opacity:.16}"
    ".whisker{fill:none;stroke-width:2}.thin{stroke-width:1}.event{fill:var(--ink)}\n"
    ".c0{stroke:var(--0)}.c1{stroke:var(--1)}.c2{stroke:var(--2)}.c3{stroke:var(--3)}"
    ".c4{stroke:var(--4)}.c5{stroke:var(--5)}.c6{stroke:var(--6)}.c7{stroke:var(--7)}\n"
    ".b0{fill:var(--0)}.b1{fill:var(--1)}.b2{fill:var(--2)}.b3{fill:var(--3)}"
    ".b4{fill:var(--4)}.b5{fill:var(--5)}.b6{fill:var(--6)}.b7{fill:var(--7)}.hollow{fill:var(--ground)}\n"
    "@media print{:root{font-size:12px}body{max-width:none;padding:0;font-size:1rem}.scroll{overflow:visible}"
    "figure{break-inside:auto}figcaption,h2,h3,caption{break-after:avoid}svg,tr{break-inside:avoid}"
    "h2{margin-top:2rem}h3{margin-top:1.5rem}figure{margin:1rem 0}.wide{min-width:0}"
    ".grid2{grid-template-columns:1fr 1fr}.grid2 figure{break-inside:avoid}"
    "table{font-size:.72rem;margin-top:.25rem}th,td{padding:.1rem .4rem .1rem 0}"
    "td:not(.left),td.long{white-space:normal;min-width:0}pre{white-space:pre-wrap}"
    "details:not([open]):not(.fold)>summary{display:none}.fold::details-content{content-visibility:visible}"
    "*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}\n";
/* clang-format on */

static void element(cx_output *out, const char *open, const char *text, const char *close) {
    cx_output_add(out, open);
    cx_output_escape(out, text);
    cx_output_add(out, close);
}

static void go_on(cx_page *p, flow to) {
    static const char *const open[] = {"", "<div class=\"grid2\">\n", "<dl class=\"facts\">\n"};
    static const char *const close[] = {"", "</div>\n", "</dl>\n"};
    if (p->flow == to)
        return;
    cx_output_add(&p->out, close[p->flow]);
    cx_output_add(&p->out, open[to]);
    p->flow = to;
}

cx_page *cx_page_create(const char *title, const char *subtitle) {
    cx_page *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    cx_output_add(&p->out,
                  "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n");
    element(&p->out, "<title>", title, "</title>\n<style>\n");
    cx_output_add(&p->out, style);
    element(&p->out, "</style>\n</head>\n<body>\n<h1>", title, "</h1>\n");
    element(&p->out, "<p class=\"soft\">", subtitle, "</p>\n");
    return p;
}

void cx_page_destroy(cx_page *p) {
    if (!p)
        return;
    cx_output_free(&p->out);
    free(p);
}

void cx_page_section(cx_page *p, const char *title) {
    go_on(p, FLOW_PLAIN);
    if (p->in_section)
        cx_output_add(&p->out, "</section>\n");
    p->in_section = true;
    element(&p->out, "<section>\n<h2>", title, "</h2>\n");
}

void cx_page_heading(cx_page *p, const char *title, const char *anchor) {
    go_on(p, FLOW_PLAIN);
    if (anchor)
        element(&p->out, "<h3 id=\"", anchor, "\">");
    else
        cx_output_add(&p->out, "<h3>");
    element(&p->out, "", title, "</h3>\n");
}

static void paragraph(cx_page *p, const char *open, const char *text) {
    go_on(p, FLOW_PLAIN);
    element(&p->out, open, text, "</p>\n");
}

void cx_page_lead(cx_page *p, const char *text) {
    paragraph(p, "<p class=\"lead\">", text);
}

void cx_page_text(cx_page *p, const char *text) {
    paragraph(p, "<p>", text);
}

void cx_page_note(cx_page *p, const char *text) {
    paragraph(p, "<p class=\"soft\">", text);
}

void cx_page_warn(cx_page *p, const char *text) {
    paragraph(p, "<p class=\"warn\">", text);
}

void cx_page_fact(cx_page *p, const char *value, const char *what) {
    go_on(p, FLOW_FACTS);
    element(&p->out, "<div><dt>", value, "</dt>");
    element(&p->out, "<dd>", what, "</dd></div>\n");
}

void cx_page_code(cx_page *p, const char *title, const char *text) {
    go_on(p, FLOW_PLAIN);
    element(&p->out, "<details>\n<summary>", title, "</summary>\n");
    element(&p->out, "<pre>", text, "</pre>\n</details>\n");
}

void cx_page_shell(cx_page *p, const char *text) {
    go_on(p, FLOW_PLAIN);
    element(&p->out, "<pre>", text, "</pre>\n");
}

void cx_page_fold(cx_page *p, const char *title, bool open) {
    go_on(p, FLOW_PLAIN);
    cx_output_add(&p->out,
                  open ? "<details class=\"fold\" open=\"open\">\n" : "<details class=\"fold\">\n");
    element(&p->out, "<summary>", title, "</summary>\n");
}

void cx_page_fold_end(cx_page *p) {
    go_on(p, FLOW_PLAIN);
    cx_output_add(&p->out, "</details>\n");
}

/* --- tables --- */

/* A long name of several words may be broken at its underscores. */
static void header(cx_output *out, const char *name, bool left) {
    char part[128];
    cx_output_add(out, left ? "<th class=\"left\">" : "<th>");
    while (*name) {
        size_t n = strcspn(name, "_");
        n += name[n] == '_';
        n = n < sizeof part ? n : sizeof part - 1;
        while (n > 1 && ((unsigned char)name[n] & 0xc0) == 0x80) /* whole characters */
            n--;
        memcpy(part, name, n);
        part[n] = 0;
        cx_output_escape(out, part);
        if (part[n - 1] == '_')
            cx_output_add(out, "<wbr/>");
        name += n;
    }
    cx_output_add(out, "</th>");
}

static void table(cx_page *p, const cx_table *t) {
    cx_output *out = &p->out;
    p->uneven |= !cx_table_even(t);
    out->failed |= cx_table_failed(t);
    cx_output_add(out, "<div class=\"scroll\">\n<table>\n");
    if (cx_table_title(t)[0])
        element(out, "<caption>", cx_table_title(t), "</caption>\n");
    cx_output_add(out, "<thead><tr>");
    for (size_t c = 0; c < cx_table_columns(t); c++)
        header(out, cx_table_name(t, c), cx_table_kind(t, c) == CX_COLUMN_TEXT);
    cx_output_add(out, "</tr></thead>\n<tbody>\n");
    for (size_t r = 0; r < cx_table_rows(t); r++) {
        cx_output_add(out, "<tr>");
        for (size_t c = 0; c < cx_table_columns(t); c++) {
            double value;
            const char *text = cx_table_cell(t, r, c, &value);
            cx_column_kind kind = cx_table_kind(t, c);
            if (kind == CX_COLUMN_SHARE && value >= 0 && value <= 1)
                cx_output_format(out, "<td style=\"background:rgb(var(--shade)/%.0f%%)\">",
                                 50 * value);
            else
                cx_output_add(out, kind != CX_COLUMN_TEXT     ? "<td>"
                                   : strlen(text) > LONG_CELL ? "<td class=\"left long\">"
                                                              : "<td class=\"left\">");
            element(out, "", text, "</td>");
        }
        cx_output_add(out, "</tr>\n");
    }
    cx_output_add(out, "</tbody>\n</table>\n</div>\n");
    for (size_t i = 0; i < cx_table_notes(t); i++)
        element(out, "<p class=\"soft\">", cx_table_note_at(t, i), "</p>\n");
}

void cx_page_table(cx_page *p, const cx_table *t) {
    go_on(p, FLOW_PLAIN);
    table(p, t);
}

/* --- drawings --- */

static void begin_figure(cx_page *p, const char *title, const char *explanation, bool wide) {
    go_on(p, wide ? FLOW_PLAIN : FLOW_GRID);
    element(&p->out, "<figure>\n<figcaption><b>", title, "</b>");
    element(&p->out, "", explanation ? explanation : "", "</figcaption>\n");
    if (wide)
        cx_output_add(&p->out, "<div class=\"scroll\">\n");
}

static void end_figure(cx_page *p, const cx_table *t, bool wide) {
    if (wide)
        cx_output_add(&p->out, "</div>\n");
    if (t && cx_table_rows(t) > 0) {
        cx_output_format(&p->out, "<details%s><summary>The same in figures</summary>\n",
                         wide ? " open=\"open\"" : "");
        table(p, t);
        cx_output_add(&p->out, "</details>\n");
    }
    cx_output_add(&p->out, "</figure>\n");
}

/* The point of a series at x, or the last one before it. */
static int point_at(const cx_series *s, double x) {
    int low = -1, high = s->n; /* s->x[low] <= x < s->x[high] */
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (s->x[middle] <= x)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static bool tabled(const cx_series *s) {
    return s->kind != CX_SERIES_ENDS;
}

static void series_cell(cx_table *t, const cx_series *s, int i, bool percent) {
    bool spread = s->low && s->high && i >= 0;
    if (spread && isfinite(s->y[i]) && isfinite(s->low[i]) && isfinite(s->high[i]))
        cx_table_format(t, percent ? "%.0f [%.0f, %.0f]" : "%.4g [%.4g, %.4g]", s->y[i], s->low[i],
                        s->high[i]);
    else
        cx_table_number(t, i < 0 ? NAN : s->y[i]);
}

static void note_ends(cx_table *t, const cx_plot *plot) {
    char text[400];
    for (int k = 0; k < plot->n_series; k++) {
        const cx_series *s = &plot->series[k];
        if (tabled(s) || s->n < 1 || !isfinite(s->y[0]))
            continue;
        if (s->low && s->high && isfinite(s->low[0]) && isfinite(s->high[0]))
            (void)snprintf(text, sizeof text, "%s: %.4g [%.4g, %.4g].", s->name ? s->name : "",
                           s->y[0], s->low[0], s->high[0]);
        else
            (void)snprintf(text, sizeof text, "%s: %.4g.", s->name ? s->name : "", s->y[0]);
        cx_table_note(t, text);
    }
}

static cx_table *plot_table(const cx_plot *plot, int rows) {
    const cx_series *first = plot->n_series > 0 ? &plot->series[0] : NULL;
    cx_table *t = cx_table_create("");
    if (!t || !first || first->n < 1 || rows < 1)
        return t;
    cx_table_column(t, plot->x_label, CX_COLUMN_SIGNIFICANT, plot->factors_x ? 3 : 8);
    for (int k = 0; k < plot->n_series; k++)
        if (tabled(&plot->series[k]))
            cx_table_column(t, plot->series[k].name ? plot->series[k].name : plot->y_label,
                            plot->percent ? CX_COLUMN_FIXED : CX_COLUMN_SIGNIFICANT,
                            plot->percent ? 0 : 4);
    int shown = first->n < rows ? first->n : rows;
    for (int r = 1; r <= shown; r++) {
        int i = (int)((int64_t)r * first->n / shown) - 1;
        cx_table_number(t, first->x[i]);
        for (int k = 0; k < plot->n_series; k++)
            if (tabled(&plot->series[k]))
                series_cell(t, &plot->series[k], point_at(&plot->series[k], first->x[i]),
                            plot->percent);
    }
    if (shown < first->n) {
        char text[64];
        (void)snprintf(text, sizeof text, "%d of %d points.", shown, first->n);
        cx_table_note(t, text);
    }
    note_ends(t, plot);
    return t;
}

void cx_page_plot(cx_page *p, const cx_plot *plot, const char *explanation, int rows) {
    cx_table *t = plot_table(plot, rows);
    p->out.failed |= t == NULL;
    begin_figure(p, plot->title, explanation, plot->wide);
    cx_svg_plot(&p->out, plot);
    end_figure(p, t, plot->wide);
    cx_table_destroy(t);
}

static cx_table *forest_table(const cx_forest *f) {
    char name[160];
    cx_table *t = cx_table_create("");
    if (!t)
        return NULL;
    cx_table_column(t, f->row_name ? f->row_name : "", CX_COLUMN_TEXT, 0);
    for (int m = 0; m < f->n_marks; m++) {
        const char *of = f->n_marks > 1 ? f->mark_name[m] : f->x_label;
        (void)snprintf(name, sizeof name, "%s [95\xc2\xa0%%]", of);
        cx_table_column(t, name, CX_COLUMN_SIGNIFICANT, 4);
    }
    for (int i = 0; i < f->n_rows; i++) {
        cx_table_text(t, f->row[i].label);
        for (int m = 0; m < f->n_marks; m++) {
            const cx_mark *k = &f->row[i].mark[m];
            if (k->text)
                cx_table_text(t, k->text);
            else if (isfinite(k->low) && isfinite(k->high) && isfinite(k->value))
                cx_table_format(t, "%.4g [%.4g, %.4g]", k->value, k->low, k->high);
            else
                cx_table_number(t, k->value);
        }
    }
    return t;
}

void cx_page_forest(cx_page *p, const cx_forest *f, const char *explanation,
                    const cx_table *given) {
    cx_table *own = given ? NULL : forest_table(f);
    p->out.failed |= !given && !own;
    begin_figure(p, f->title, explanation, true);
    cx_svg_forest(&p->out, f);
    end_figure(p, given ? given : own, true);
    cx_table_destroy(own);
}

int cx_page_write(cx_page *p, const char *path, cx_error *err) {
    go_on(p, FLOW_PLAIN);
    if (p->in_section)
        cx_output_add(&p->out, "</section>\n");
    p->in_section = false;
    cx_output_add(&p->out, "</body>\n</html>\n");
    char *text;
    if (p->uneven)
        return cx_fail(err, CX_ESTATE, "%s: a table's rows and columns do not agree", path);
    int rc = cx_output_take(&p->out, &text, err);
    if (!rc)
        rc = cx_file_replace(path, text, strlen(text), err);
    free(text);
    return rc;
}
