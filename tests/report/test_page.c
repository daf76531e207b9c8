/* Plots and pages, and the page about a run: every section is there, all text is
 * escaped, tags are balanced, no number is missing from a path. */
#include "tests/report/html.h"
#include "tests/test.h"

#include "base/file.h"
#include "report/eval_page.h"
#include "report/page.h"
#include "report/run_page.h"
#include "tests/folder.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

/* --- ticks --- */

static void test_ticks(void **state) {
    (void)state;
    static const struct {
        double low, high;
        bool log;
        int n;
        double first, last;
    } cases[] = {
        {0, 1, false, 6, 0, 1},
        {-3.1, 0.4, false, 4, -3, 0},
        {0.011, 0.034, false, 4, 0.015, 0.03},
        {0, 46000, false, 5, 0, 40000},
        {1e-4, 1, true, 5, 1e-4, 1},
        {0.9, 3, true, 2, 1, 2},
        {3.1, 3.2, true, 6, 3.1, 3.2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double tick[12];
        int n = cx_svg_ticks(cases[i].low, cases[i].high, cases[i].log, 6, tick);
        if (n != cases[i].n || fabs(tick[0] - cases[i].first) > 1e-9 ||
            fabs(tick[n - 1] - cases[i].last) > 1e-9)
            fail_msg("case %zu: %d ticks, %g to %g", i, n, tick[0], tick[n - 1]);
        for (int k = 1; k < n; k++)
            assert_true(tick[k] > tick[k - 1]);
    }
    /* whatever the range: at least two, inside, not too many */
    for (double span = 1e-12; span < 1e13; span *= 3.7)
        for (double low = -1; low <= 1; low++) {
            double tick[12], from = low * 0.37 * span;
            int n = cx_svg_ticks(from, from + span, false, 6, tick);
            assert_in_range(n, 2, 6);
            assert_true(tick[0] >= from - 1e-6 * span && tick[n - 1] <= from + span * (1 + 1e-6));
        }
    static const struct {
        double value, step;
        bool log;
        const char *text;
    } texts[] = {{0.05, 0.05, false, "0.05"},   {20000, 5000, false, "20k"},
                 {1e-4, 0, true, "1e-4"},       {5e-12, 0, true, "5e-12"},
                 {3.15e-5, 0, true, "3.15e-5"}, {2e9, 0, true, "2e+9"},
                 {0, 0.2, false, "0.0"},        {1.5e6, 5e5, false, "1.5M"},
                 {-3, 1, false, "-3"},          {100, 0, true, "100"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[32];
        cx_svg_tick_text(texts[i].value, texts[i].step, texts[i].log, text, sizeof text);
        assert_string_equal(text, texts[i].text);
    }
}

/* --- plots --- */

static char *draw(const cx_plot *p) {
    cx_error err;
    cx_output out = {.text = NULL};
    char *text;
    cx_svg_plot(&out, p);
    assert_ok(cx_output_take(&out, &text, &err));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    return text;
}

static void test_plot_with_gaps(void **state) {
    (void)state;
    const double x[] = {0, 1, 2, 3, 4, 5, 6}, y[] = {1, 10, NAN, 100, INFINITY, -5, 50};
    const double low[] = {0.5, 5, 1, NAN, 1, 1, 20}, high[] = {2, 20, 1, 200, 1, 1, 90};
    cx_series s[] = {{.name = "a < b & \"c\"", .n = 7, .x = x, .y = y, .low = low, .high = high},
                     {.name = "second", .n = 7, .x = x, .y = x, .color = 9}};
    cx_plot p = {.title = "T",
                 .x_label = "x (s)",
                 .y_label = "y",
                 .log_y = true,
                 .y_low = NAN,
                 .y_high = NAN,
                 .line = NAN,
                 .series = s,
                 .n_series = 2};
    char *text = draw(&p);
    assert_non_null(strstr(text, "a &lt; b &amp; &quot;c&quot;"));
    assert_non_null(strstr(text, "x (s)"));
    assert_non_null(strstr(text, "c1 dashed"));
    /* -5 has no logarithm; so the first series is a line of two points and two dots */
    char *path = strstr(text, "<path class=\"line c0\" d=\"");
    assert_non_null(path);
    path += strlen("<path class=\"line c0\" d=\"");
    *strchr(path, '"') = 0;
    assert_int_equal(count(path, "M"), 3);
    assert_int_equal(count(path, "L"), 1);
    assert_int_equal(count(path, "h0"), 2);
    free(text);
}

static void test_plot_of_nothing_and_of_one_point(void **state) {
    (void)state;
    const double x[] = {5, 6}, y[] = {NAN, NAN}, one[] = {NAN, 3};
    cx_series s = {.n = 2, .x = x, .y = y};
    cx_plot p = {.title = "T",
                 .x_label = "x",
                 .y_label = "y",
                 .y_low = NAN,
                 .y_high = NAN,
                 .line = 2,
                 .series = &s,
                 .n_series = 1};
    char *text = draw(&p);
    assert_non_null(strstr(text, "no values yet"));
    free(text);
    s.y = one;
    text = draw(&p);
    assert_null(strstr(text, "no values yet"));
    assert_non_null(strstr(text, "h0"));
    free(text);
    p.n_series = 0;
    free(draw(&p));
}

/* A long series is drawn with a bounded number of points, its extremes among them. */
static void test_long_series(void **state) {
    (void)state;
    enum { N = 200000 };
    double *x = malloc(2 * N * sizeof *x), *y = x + N;
    assert_non_null(x);
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = sin(i * 0.01);
    }
    y[77777] = 40;
    cx_series s = {.n = N, .x = x, .y = y, .low = y, .high = y};
    cx_plot p = {.title = "T",
                 .x_label = "x",
                 .y_label = "y",
                 .y_low = NAN,
                 .y_high = NAN,
                 .line = NAN,
                 .series = &s,
                 .n_series = 1};
    char *text = draw(&p);
    assert_true(strlen(text) < 100000);
    /* the peak stands 5 % of 41 below the top, which is 26 pixels down, of 200 * 41 / (41 * 1.1) */
    assert_non_null(strstr(text, " 35.1"));
    free(text);
    free(x);
}

/* --- pages --- */

static void test_page_escapes_everything(void **state) {
    (void)state;
    cx_error err;
    static const char bad[] = "<script>alert('x')</script> & \"q\" \x01\xff end";
    char path[256];
    (void)snprintf(path, sizeof path, "%s/page.html", folder);
    cx_page *p = cx_page_create(bad, bad);
    assert_non_null(p);
    cx_page_section(p, bad);
    cx_page_text(p, bad);
    cx_page_code(p, bad, bad);
    cx_table *t = cx_table_create(bad);
    cx_table_column(t, bad, CX_COLUMN_TEXT, 0);
    cx_table_column(t, "share", CX_COLUMN_SHARE, 0);
    cx_table_text(t, bad);
    cx_table_number(t, 0.25);
    cx_table_note(t, bad);
    cx_page_table(p, t);
    cx_table_destroy(t);
    const double x[] = {1, 2, 3};
    cx_series s[] = {{.name = bad, .n = 3, .x = x, .y = x}, {.name = "b", .n = 3, .x = x, .y = x}};
    cx_plot plot = {.title = bad,
                    .x_label = bad,
                    .y_label = bad,
                    .y_low = NAN,
                    .y_high = NAN,
                    .line = 2,
                    .line_name = bad,
                    .series = s,
                    .n_series = 2};
    cx_page_plot(p, &plot, bad, 2);
    assert_ok(cx_page_write(p, path, &err));
    cx_page_destroy(p);
    char *html = read_text(path);
    assert_sound(html);
    assert_true(
        count(html, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;q&quot;  ? end") >=
        15);
    assert_non_null(strstr(html, "rgb(var(--shade)/12%)"));
    assert_non_null(strstr(html, "2 of 3 points."));
    free(html);
}

/* --- the page about a run --- */

static void put_metrics(const char *dir, int n) {
    cx_error err;
    cx_output out = {.text = NULL};
    char *text;
    for (int u = 1; u <= n; u++) {
        cx_output_format(
            &out,
            "{\"update\":%d,\"episodes\":%d,\"seconds\":%.1f,\"episodes_per_second\":%.2f,"
            "\"workers\":3,"
            "\"workers_busy\":0.9,\"baselines\":%d,\"policy_loss\":-0.01,\"value_loss\":%.3f,"
            "\"kl\":0.01,"
            "\"clip_fraction\":0.1,\"explained_variance\":%s,\"gradient_norm\":0.5,"
            "\"value_gradient_norm\":2,\"staleness\":0.5,\"max_staleness\":2,\"learning_rate\":1e-"
            "3,"
            "\"entropy_coefficient\":3e-3,\"reward\":%.3f,\"diverged\":%.2f,\"skipped\":0,"
            "\"learner_seconds\":0.7,\"entropy\":%.2f,\"peak_bytes_coordinator\":104857600,",
            u, 256 * u, 6.5 * u, 39.5, 64 * u, 1.0 / u, u % 7 ? "0.5" : "null",
            -3 + 3.0 * u / (u + 10), 0.5 / u, 6 - 0.02 * u);
        cx_output_format(&out, "\"head_entropy\":{\"lr\":%.2f,\"<b>&\":1.5}}\n", 2 - 0.01 * u);
    }
    cx_output_add(&out, "{\"update\":99,\"epis"); /* torn: being written */
    assert_ok(cx_output_take(&out, &text, &err));
    put(dir, "metrics.jsonl", text);
    free(text);
}

static void put_episodes(const char *dir, int n) {
    cx_error err;
    cx_output out = {.text = NULL};
    char *text;
    static const int steps[] = {4, 8, 20, 40, 100};
    for (int e = 0; e < n; e++)
        cx_output_format(
            &out,
            "{\"episode\":%d,\"family\":\"%s\",\"reward\":%s,\"outer_steps\":%d,\"end\":\"%s\"}\n",
            e, e % 3 ? "images <wild>" : "nqm",
            e % 10   ? "0.5"
            : e % 20 ? "-3.0"
                     : "null",
            steps[e % 5], e % 10 ? "finished" : "diverged");
    assert_ok(cx_output_take(&out, &text, &err));
    put(dir, "episodes.jsonl", text);
    free(text);
}

static void test_run_page(void **state) {
    (void)state;
    cx_error err;
    char dir[256], path[320];
    (void)snprintf(dir, sizeof dir, "%s/run <1> & co", folder);
    put_metrics(dir, 60);
    put_episodes(dir, 4000);
    put(dir, "config.yaml", "seed: 1 # <b>\n");
    put(dir, "closing.json",
        "{\"title\":\"Closing & last\",\"columns\":[\"optimizer\",\"test loss\",\"speedup\"],"
        "\"rows\":[[\"policy <1>\",0.3456,\"1.52 x\"],[\"Adam\",0.4,null]],\"notes\":[\"A "
        "\\\"note\\\".\"]}");
    assert_ok(cx_report_run(dir, NULL, &err));
    (void)snprintf(path, sizeof path, "%s/report.html", dir);
    char *html = read_text(path);
    assert_sound(html);
    static const char *const there[] = {"<title>Training run: run &lt;1&gt; &amp; co</title>",
                                        "<h2>Result</h2>",
                                        "policy &lt;1&gt;",
                                        "1.52 x",
                                        "Closing &amp; last",
                                        "A &quot;note&quot;.",
                                        "<h2>Learning</h2>",
                                        "<b>Reward</b>",
                                        "<b>Diverged episodes</b>",
                                        "<h2>Policy optimization</h2>",
                                        "<b>Entropy</b>",
                                        "<b>Entropy per head</b>",
                                        "&lt;b&gt;&amp;",
                                        "<b>Approximate KL divergence</b>",
                                        "<b>Clip fraction</b>",
                                        "<b>Explained variance of the value function</b>",
                                        "<b>Policy loss</b>",
                                        "<b>Value loss</b>",
                                        "<b>Gradient norms</b>",
                                        "<b>Staleness</b>",
                                        "<h2>Machine</h2>",
                                        "<b>Episodes per second</b>",
                                        "<b>Occupancy of the workers</b>",
                                        "<b>Peak memory</b>",
                                        "images &lt;wild&gt;",
                                        "<h2>Configuration</h2>",
                                        "seed: 1 # &lt;b&gt;",
                                        "time since the start (min)",
                                        "Reward of the last 1000 episodes"};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        if (!strstr(html, there[i]))
            fail_msg("the page lacks %s", there[i]);
    assert_null(strstr(html, "could not be read"));
    /* a table below each plot; the torn line is not in it; memory in MiB */
    assert_true(count(html, "<table>") > count(html, "<svg"));
    assert_int_equal(count(html, "<figure>"), count(html, "<svg"));
    assert_non_null(strstr(html, "<td>15360</td>"));
    assert_null(strstr(html, "25344")); /* 99 * 256 */
    assert_non_null(strstr(html, "<td>100</td>"));
    /* of the last 1000 every twentieth has no reward; 50 of the others are at the floor */
    assert_non_null(
        strstr(html, "<td class=\"left\">all</td><td class=\"left\">all</td><td>950</td>"));
    assert_non_null(strstr(html, "5 %</td>"));
    free(html);
}

static void test_run_page_of_little(void **state) {
    (void)state;
    cx_error err;
    char dir[256], path[320];
    (void)snprintf(dir, sizeof dir, "%s/empty", folder);
    assert_ok(cx_file_make_dirs(dir, &err));
    assert_int_equal(cx_report_run(dir, NULL, &err), CX_EDATA);
    assert_non_null(strstr(err.message, dir));
    (void)snprintf(path, sizeof path, "%s/out.html", folder);
    /* one update, nulls, no episodes, a broken line and a broken closing table */
    put(dir, "metrics.jsonl",
        "{\"update\":1,\"episodes\":10,\"reward\":null,\"kl\":0.5}\nnonsense\n[1]\n");
    put(dir, "closing.json", "{\"title\":\"x\"}");
    assert_ok(cx_report_run(dir, path, &err));
    char *html = read_text(path);
    assert_sound(html);
    assert_non_null(strstr(html, "2 lines of the run&#39;s files could not be read."));
    assert_non_null(strstr(html, "closing.json cannot be read"));
    assert_non_null(strstr(html, "Approximate KL divergence"));
    assert_null(strstr(html, "<b>Reward</b>"));
    free(html);
    put(dir, "closing.json", "{\"columns\":[\"a\",\"b\"],\"rows\":[[1,2],[3]]}");
    assert_ok(cx_report_run(dir, path, &err));
    html = read_text(path);
    assert_non_null(strstr(html, "rows of other lengths"));
    free(html);
    put(dir, "closing.json", "{\"title\":\"x\"}");
    /* episodes alone, and a closing table alone */
    put(dir, "metrics.jsonl", "");
    put_episodes(dir, 3);
    assert_ok(cx_report_run(dir, path, &err));
    html = read_text(path);
    assert_sound(html);
    assert_non_null(strstr(html, "No learner update is recorded yet."));
    free(html);
    put(dir, "episodes.jsonl", "");
    assert_ok(cx_report_run(dir, path, &err));
    assert_int_equal(cx_report_run(dir, "/nonexistent/x.html", &err), CX_EIO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticks),
        cmocka_unit_test(test_plot_with_gaps),
        cmocka_unit_test(test_plot_of_nothing_and_of_one_point),
        cmocka_unit_test(test_long_series),
        cmocka_unit_test(test_page_escapes_everything),
        cmocka_unit_test(test_run_page),
        cmocka_unit_test(test_run_page_of_little),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
