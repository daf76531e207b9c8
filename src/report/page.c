#include "report/page.h"

#include "base/file.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cx_page {
    cx_output out;
    bool in_section;
};

/* Colors that stay apart for most kinds of color blindness (after Okabe and Ito 2008),
 * lighter ones on dark. */
static const char style[] =
    ":root{color-scheme:light dark;--ground:#fff;--ink:#1b1f24;--soft:#57606a;--rule:#d0d7de;"
    "--shade:0 114 178;--0:#0072b2;--1:#d55e00;--2:#009e73;--3:#b0508f;--4:#9a6a00;--5:#3a9bd0;"
    "--6:#6a3d9a;--7:#6b7280}\n"
    "@media (prefers-color-scheme:dark){:root{--ground:#14171b;--ink:#e6e8eb;--soft:#9aa4af;"
    "--rule:#363c44;--shade:86 160 230;--0:#5aa9e6;--1:#ff9d4d;--2:#3fcf9f;--3:#e39bc7;--4:#e6b84d;"
    "--5:#8ed1f5;--6:#b99be6;--7:#a3abb5}}\n"
    "body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem 4rem;background:var(--ground);"
    "color:var(--ink);font:16px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:1.6rem;margin:0}h2{font-size:1.25rem;margin:2.5rem 0 .5rem;"
    "border-bottom:1px solid var(--rule)}h3{font-size:1rem;margin:1.5rem 0 .25rem}\n"
    "p{margin:.4rem 0}.soft,caption,figcaption{color:var(--soft);font-size:.9rem}\n"
    "figure{margin:1.5rem 0;break-inside:avoid}svg{width:100%;height:auto;display:block}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;"
    "font-variant-numeric:tabular-nums;margin:.5rem 0}caption{text-align:left}\n"
    "th,td{padding:.15rem .6rem;text-align:right;border-bottom:1px solid var(--rule);"
    "white-space:nowrap}th{font-weight:600}.left{text-align:left}\n"
    "pre{overflow-x:auto;font-size:.8rem;border:1px solid var(--rule);padding:.5rem}\n"
    ".grid{stroke:var(--rule);stroke-width:1}.axis{stroke:var(--soft);fill:none}"
    ".tick{fill:var(--soft);font:12px system-ui,sans-serif}"
    ".label{fill:var(--ink);font:12px system-ui,sans-serif}\n"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
    ".faint{stroke-width:1;opacity:.4}.dashed{stroke-dasharray:5 4}"
    ".reference{stroke:var(--soft);stroke-dasharray:2 4}.band{opacity:.18}\n"
    ".c0{stroke:var(--0)}.c1{stroke:var(--1)}.c2{stroke:var(--2)}.c3{stroke:var(--3)}"
    ".c4{stroke:var(--4)}.c5{stroke:var(--5)}.c6{stroke:var(--6)}.c7{stroke:var(--7)}\n"
    ".b0{fill:var(--0)}.b1{fill:var(--1)}.b2{fill:var(--2)}.b3{fill:var(--3)}.b4{fill:var(--4)}"
    ".b5{fill:var(--5)}.b6{fill:var(--6)}.b7{fill:var(--7)}\n"
    "@media print{:root{color-scheme:light}body{max-width:none;font-size:11pt}"
    ".scroll{overflow:visible}}\n";

static void element(cx_output *out, const char *open, const char *text, const char *close) {
    cx_output_add(out, open);
    cx_output_escape(out, text);
    cx_output_add(out, close);
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
    if (p->in_section)
        cx_output_add(&p->out, "</section>\n");
    p->in_section = true;
    element(&p->out, "<section>\n<h2>", title, "</h2>\n");
}

void cx_page_text(cx_page *p, const char *text) {
    element(&p->out, "<p>", text, "</p>\n");
}

void cx_page_code(cx_page *p, const char *title, const char *text) {
    element(&p->out, "<details>\n<summary>", title, "</summary>\n");
    element(&p->out, "<pre>", text, "</pre>\n</details>\n");
}

void cx_page_table(cx_page *p, const cx_table *t) {
    cx_output *out = &p->out;
    out->failed |= cx_table_failed(t);
    cx_output_add(out, "<div class=\"scroll\">\n<table>\n");
    if (cx_table_title(t)[0])
        element(out, "<caption>", cx_table_title(t), "</caption>\n");
    cx_output_add(out, "<thead><tr>");
    for (size_t c = 0; c < cx_table_columns(t); c++)
        element(out, cx_table_kind(t, c) == CX_COLUMN_TEXT ? "<th class=\"left\">" : "<th>",
                cx_table_name(t, c), "</th>");
    cx_output_add(out, "</tr></thead>\n<tbody>\n");
    for (size_t r = 0; r < cx_table_rows(t); r++) {
        cx_output_add(out, "<tr>");
        for (size_t c = 0; c < cx_table_columns(t); c++) {
            double value;
            const char *text = cx_table_cell(t, r, c, &value);
            cx_column_kind kind = cx_table_kind(t, c);
            if (kind == CX_COLUMN_SHARE && value >= 0 && value <= 1)
                cx_output_format(out, "<td style=\"background:rgb(var(--shade)/%.0f%%)\">",
                                 60 * value);
            else
                cx_output_add(out, kind == CX_COLUMN_TEXT ? "<td class=\"left\">" : "<td>");
            element(out, "", text, "</td>");
        }
        cx_output_add(out, "</tr>\n");
    }
    cx_output_add(out, "</tbody>\n</table>\n</div>\n");
    for (size_t i = 0; i < cx_table_notes(t); i++)
        element(out, "<p class=\"soft\">", cx_table_note_at(t, i), "</p>\n");
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

static void figures(cx_page *p, const cx_plot *plot, int rows) {
    const cx_series *first = &plot->series[0];
    if (plot->n_series < 1 || first->n < 1 || rows < 1)
        return;
    cx_table *t = cx_table_create("");
    if (!t) {
        p->out.failed = true;
        return;
    }
    char name[160];
    cx_table_column(t, plot->x_label, CX_COLUMN_SIGNIFICANT, 8);
    for (int k = 0; k < plot->n_series; k++) {
        const cx_series *s = &plot->series[k];
        const char *as = s->name ? s->name : plot->y_label;
        cx_table_column(t, as, CX_COLUMN_SIGNIFICANT, 4);
        if (!s->low || !s->high)
            continue;
        (void)snprintf(name, sizeof name, "%s, low", as);
        cx_table_column(t, name, CX_COLUMN_SIGNIFICANT, 4);
        (void)snprintf(name, sizeof name, "%s, high", as);
        cx_table_column(t, name, CX_COLUMN_SIGNIFICANT, 4);
    }
    int shown = first->n < rows ? first->n : rows;
    for (int r = 1; r <= shown; r++) {
        int i = (int)((int64_t)r * first->n / shown) - 1;
        cx_table_number(t, first->x[i]);
        for (int k = 0; k < plot->n_series; k++) {
            const cx_series *s = &plot->series[k];
            int j = point_at(s, first->x[i]);
            cx_table_number(t, j < 0 ? NAN : s->y[j]);
            if (!s->low || !s->high)
                continue;
            cx_table_number(t, j < 0 ? NAN : s->low[j]);
            cx_table_number(t, j < 0 ? NAN : s->high[j]);
        }
    }
    if (shown < first->n) {
        (void)snprintf(name, sizeof name, "%d of %d points.", shown, first->n);
        cx_table_note(t, name);
    }
    cx_page_table(p, t);
    cx_table_destroy(t);
}

void cx_page_plot(cx_page *p, const cx_plot *plot, const char *explanation, int rows) {
    element(&p->out, "<figure>\n<h3>", plot->title, "</h3>\n");
    if (explanation)
        element(&p->out, "<figcaption>", explanation, "</figcaption>\n");
    cx_svg_plot(&p->out, plot);
    figures(p, plot, rows);
    cx_output_add(&p->out, "</figure>\n");
}

int cx_page_write(cx_page *p, const char *path, cx_error *err) {
    if (p->in_section)
        cx_output_add(&p->out, "</section>\n");
    p->in_section = false;
    cx_output_add(&p->out, "</body>\n</html>\n");
    char *text;
    int rc = cx_output_take(&p->out, &text, err);
    if (!rc)
        rc = cx_file_replace(path, text, strlen(text), err);
    free(text);
    return rc;
}
