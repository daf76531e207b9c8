/* The page about an evaluation: figures over seeds, speedups in words, intervals in rows; every
 * section is there, whatever is missing or strange in the file. */
#include "tests/report/html.h"
#include "tests/test.h"

#include "base/file.h"
#include "base/rng.h"
#include "report/axis.h"
#include "report/eval_page.h"
#include "report/run_page.h"
#include "store/store.h"
#include "tests/folder.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

/* --- drawings --- */

static char *take(cx_output *out) {
    cx_error err;
    char *text;
    assert_ok(cx_output_take(out, &text, &err));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    return text;
}

static void test_ticks_of_factors(void **state) {
    (void)state;
    cx_ticks t;
    const cx_range r = {0.5, 4, true};
    cx_axis a = cx_axis_make(&r, true, 0.03, 100, 700);
    a.factors = true;
    cx_axis_ticks(&a, 9, true, &t);
    static const char *const texts[] = {"1/2", "3/4", "1", "1.5", "2", "3", "4"};
    assert_int_equal(t.n, 7);
    for (int i = 0; i < t.n; i++)
        assert_string_equal(t.text[i], texts[i]);
    assert_true(fabs(t.at[2] - cx_axis_pixel(&a, 1)) < 1e-9);
    /* whatever the range and the room: texts side by side do not touch, and lie in the room */
    for (double span = 1e-3; span < 1e7; span *= 3.3)
        for (int max = 3; max <= 9; max++) {
            const cx_range x = {0, span, true};
            cx_axis b = cx_axis_make(&x, false, 0.01, 10, 300);
            cx_axis_fit(&b, max, 305);
            cx_axis_ticks(&b, max, true, &t);
            for (int i = 0; i < t.n; i++) {
                double half = cx_svg_text_width(t.text[i]) / 2;
                assert_true(t.at[i] - half >= -1e-6 && t.at[i] + half <= 305 + 1e-6);
                if (i > 0)
                    assert_true(t.at[i] - half >
                                t.at[i - 1] + cx_svg_text_width(t.text[i - 1]) / 2);
            }
        }
}

static void test_texts_are_cut(void **state) {
    (void)state;
    cx_output out = {.text = NULL};
    cx_svg_text(&out, "tick", 1, 2, "end", "short", 100);
    cx_svg_text(&out, "tick", 1, 2, NULL, "\xc3\xa4\xc3\xb6\xc3\xbc & a name that is too long", 60);
    char *text = take(&out);
    assert_non_null(strstr(text, "text-anchor=\"end\">short</text>"));
    /* whole characters, an ellipsis, and all of it in the title */
    assert_non_null(strstr(text, ">\xc3\xa4\xc3\xb6\xc3\xbc"));
    assert_non_null(strstr(text, "\xe2\x80\xa6<title>\xc3\xa4\xc3\xb6\xc3\xbc &amp; a name that is "
                                 "too long</title>"));
    free(text);
    assert_true(cx_svg_text_width("iiii") < cx_svg_text_width("mmmm"));
    assert_true(cx_svg_text_width("\xc3\xa4") < 12);
}

static void test_forest(void **state) {
    (void)state;
    const cx_row rows[] = {
        {.label = "first", .anchor = "task-0", .mark = {{1, 0.8, 1.2, false, false, "1.00 x"}}},
        {.label = "", .mark = {{4, NAN, NAN, false, true, "> 4 x"}}},
        {.label = "third", .mark = {{NAN, NAN, NAN, false, false, "-"}}}};
    cx_forest f = {.title = "T & t",
                   .x_label = "speedup",
                   .factors = true,
                   .low = 0.5,
                   .high = 4,
                   .line = 1,
                   .n_marks = 1,
                   .row = rows,
                   .n_rows = 3};
    cx_output out = {.text = NULL};
    cx_svg_forest(&out, &f);
    char *text = take(&out);
    assert_int_equal(count(text, "<circle"), 2);
    assert_int_equal(count(text, "class=\"whisker"), 1);
    assert_int_equal(count(text, "l-6 -3.5v7z"), 1); /* an arrow to the right */
    assert_non_null(strstr(text, "<a href=\"#task-0\">"));
    assert_non_null(strstr(text, "&gt; 4 x"));
    assert_non_null(strstr(text, "T &amp; t"));
    free(text);
    f.n_rows = 0;
    cx_svg_forest(&out, &f);
    free(take(&out));
}

static void test_steps_dots_and_events(void **state) {
    (void)state;
    const double x[] = {0, 1, 2}, y[] = {1, 2, 4}, low[] = {1, 1, 3}, high[] = {2, 2, 5};
    const double event[] = {1, 1, 2}, end = 3, none[] = {NAN, NAN, NAN};
    const cx_series s[] = {
        {.name = "a", .n = 3, .x = x, .y = y, .low = low, .high = high, .kind = CX_SERIES_STEPS},
        {.name = "b", .n = 3, .x = x, .y = none, .color = 1},
        {.name = "the end",
         .n = 1,
         .x = x + 2,
         .y = &end,
         .low = low,
         .high = high + 2,
         .kind = CX_SERIES_ENDS,
         .color = 2}};
    const cx_plot p = {.title = "T",
                       .x_label = "x",
                       .y_label = "y",
                       .y_low = NAN,
                       .y_high = NAN,
                       .line = NAN,
                       .event = event,
                       .n_events = 3,
                       .event_name = "restart",
                       .series = s,
                       .n_series = 3};
    cx_output out = {.text = NULL};
    cx_svg_plot(&out, &p);
    char *text = take(&out);
    const char *path = strstr(text, "<path class=\"line c0\" d=\"M");
    assert_non_null(path);
    path = strchr(path, 'M');
    size_t length = strcspn(path, "\"");
    assert_int_equal(count(text, "<path class=\"line"), 1); /* b has nothing to draw */
    assert_non_null(strstr(text, "b (no values)"));
    assert_null(memchr(path, 'L', length)); /* steps: across, then up */
    assert_non_null(memchr(path, 'H', length));
    assert_int_equal(count(text, "<circle"), 1);
    assert_int_equal(count(text, "l-4 7h8z"), 4); /* three events, and the legend's */
    assert_null(strstr(text, "the end"));         /* colors say whose it is */
    free(text);
}

static void test_uneven_tables_are_refused(void **state) {
    (void)state;
    cx_error err;
    char path[300];
    (void)snprintf(path, sizeof path, "%s/uneven.html", folder);
    cx_page *p = cx_page_create("t", "s");
    cx_table *t = cx_table_create("");
    assert_non_null(p);
    cx_table_column(t, "a", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "b", CX_COLUMN_TEXT, 0);
    cx_table_text(t, "one");
    cx_page_table(p, t);
    assert_int_equal(cx_page_write(p, path, &err), CX_ESTATE);
    cx_table_destroy(t);
    cx_page_destroy(p);
}

/* --- over seeds --- */

static void test_band_over_seeds(void **state) {
    (void)state;
    cx_error err;
    cx_eval_band b;
    const double less[] = {0, 1, 0};
    json_t *progress = json_loads("[0.25, 0.5, 0.75]", 0, NULL);
    json_t *lists = json_loads("[[1, 2, 9], [11, 12, 21], [3, null]]", 0, NULL);
    assert_ok(cx_eval_band_of(progress, lists, less, 100, true, &b, &err));
    assert_int_equal(b.n, 4);
    static const double x[] = {25, 50, 75, 100}, median[] = {3, 6.5, 14.5, 14.5};
    static const double low[] = {1, 2, 9, 9}, high[] = {10, 11, 20, 20};
    for (int i = 0; i < 4; i++) {
        assert_true(b.x[i] == x[i] && fabs(b.median[i] - median[i]) < 1e-12);
        assert_true(b.low[i] == low[i] && b.high[i] == high[i]);
    }
    cx_eval_band_free(&b);
    json_decref(lists);
    /* of many seeds the middle half: of 0 .. 8 at one point */
    lists = json_loads("[[0],[1],[2],[3],[4],[5],[6],[7],[8]]", 0, NULL);
    assert_ok(cx_eval_band_of(progress, lists, NULL, 1, false, &b, &err));
    assert_int_equal(b.n, 3);
    assert_true(b.median[0] == 4 && b.low[0] == 2 && b.high[0] == 6);
    assert_true(isnan(b.median[1]));
    cx_eval_band_free(&b);
    assert_ok(cx_eval_band_of(NULL, lists, NULL, 1, true, &b, &err));
    assert_int_equal(b.n, 0);
    cx_eval_band_free(&b);
    json_decref(lists);
    json_decref(progress);
}

static void test_speedups_in_words(void **state) {
    (void)state;
    static const struct {
        const char *json, *text;
        bool below, above, interval;
    } cases[] = {{"{\"s\":{\"value\":[0.97,0.87,1.12],\"bound\":\"exact\",\"text\":\"0.97 x\"}}",
                  "0.97 x [0.87, 1.12]", false, false, true},
                 {"{\"s\":{\"value\":[4,4,4],\"bound\":\"above\",\"text\":\"> 4 x\"}}", "> 4 x",
                  false, true, false},
                 {"{\"s\":{\"value\":[0.5,0.5,0.5],\"bound\":\"below\",\"text\":\"< 1/2 x\"}}",
                  "< 1/2 x", true, false, false},
                 {"{\"s\":{\"value\":[2.9,2,4],\"bound\":\"at least\",\"text\":\">= 2.9 x\"}}",
                  ">= 2.9 x [2.00, 4.00]", false, true, true},
                 {"{\"s\":{\"value\":[1,0.5,4],\"bound\":\"about\",\"text\":\"~ 1.00 x\"}}",
                  "~ 1.00 x [0.50, 4.00]", true, true, true},
                 {"{\"s\":{\"value\":null}}", "-", false, false, false},
                 {"{}", "-", false, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *o = json_loads(cases[i].json, 0, NULL);
        cx_eval_speedup s = cx_eval_speedup_of(o, "s");
        assert_string_equal(s.text, cases[i].text);
        assert_true(s.below == cases[i].below && s.above == cases[i].above);
        assert_true((isfinite(s.value.low) != 0) == cases[i].interval);
        json_decref(o);
    }
}

/* --- pages --- */

/* A contestant on a task; `more`: members of its own. */
static json_t *entrant(const char *id, double speedup, bool bulk, const char *more) {
    json_t *o = json_pack(
        "{s:s, s:i, s:i, s:[f,f,f], s:[f,f,f], s:[f,f,f], s:[f,f,f], s:[f,f,f], s:f, s:f}", "id",
        id, "runs", 2, "diverged", 0, "train_loss", 0.1, 0.05, 0.2, "validation_loss", 0.2, 0.1,
        0.3, "test_loss", 0.25, 0.2, 0.3, "gap", 0.05, 0.01, 0.1, "gap_difference", 0.0125, -0.005,
        0.02, "won", 0.5, "seconds_per_step", 2e-5);
    json_object_set_new(o, "speedup",
                        json_pack("{s:[f,f,f], s:s, s:s, s:f}", "value", speedup, 0.9 * speedup,
                                  1.1 * speedup, "bound", "exact", "text", "0.97 x", "in_time",
                                  speedup / 2));
    json_object_set_new(o, "seeds", json_loads("[{\"optimum\":0},{\"optimum\":0.5}]", 0, NULL));
    if (bulk)
        json_object_set_new(o, "curve",
                            json_loads("{\"progress\":[0.5,1],\"train_loss\":[[1,0.1],[1.5,0.6]],"
                                       "\"validation_loss\":[[1,0.2],[1.6,0.8]]}",
                                       0, NULL));
    json_t *extra = json_loads(more, 0, NULL);
    json_object_update(o, extra);
    json_decref(extra);
    return o;
}

static json_t *task(int number, bool bulk) {
    json_t *list = json_array();
    json_array_append_new(
        list, entrant("policy", 0.97, bulk,
                      bulk ? "{\"params\":\"averaged\",\"hyperparameters\":{\"progress\":[0,0.5],"
                             "\"lr\":[[0.1,0.2],[0.1,0.3]],\"relative_update\":[[0.01,null],[0.02,"
                             "0.03]],\"ombeta1\":[[0.1,0.2],[0.1,0.2]],\"new_one\":[[1,2],[3,4]],"
                             "\"registers\":[[\"save\",\"load\"],[\"\",\"swap\"]]}}"
                           : "{}"));
    json_array_append_new(list, entrant("baseline", 1, bulk,
                                        "{\"how\":\"adamw lr 0.1 cosine\",\"lr\":0.1,\"schedule\":"
                                        "\"cosine\",\"ombeta1\":0.1,\"tuning_trials\":53}"));
    json_array_append_new(list, entrant("open_loop", 1.02, bulk, "{\"as\":\"replay\"}"));
    return json_pack("{s:i, s:s, s:s, s:s, s:i, s:i, s:b, s:b, s:o, s:n, s:f, s:f, s:[f,f,f],"
                     " s:{s:s, s:b}, s:{s:i}}",
                     "number", number, "entry", "mlp <1>", "family", "images", "text",
                     "text & more", "outer_steps", 2, "inner_steps", 100, "one_split", 0,
                     "complete", 1, "contestants", list, "worth_trials", "tuning_steps", 53.0,
                     "tuning_seconds", 40.0, "adapting", 0.95, 0.9, 1.0, "metric", "name",
                     "accuracy", "share", 1, "random_search", "trials", 32);
}

static json_t *evaluation(int tasks, bool bulk) {
    json_t *list = json_array(),
           *group = json_loads("{\"name\":\"all tasks\",\"tasks\":1,\"adapting\":[0.9,0.8,1],"
                               "\"relative_gap_difference\":[0.003,-0.002,0.008],"
                               "\"worth_trials_median\":26,\"tuning_steps_median\":53}",
                               0, NULL);
    json_t *figures = json_loads(
        "[{\"id\":\"policy\",\"tasks\":1,\"median\":{\"value\":[0.85,0.74,0.98],\"bound\":"
        "\"exact\","
        "\"text\":\"0.85 x\"},\"worst\":{\"text\":\"0.66 x\"},\"median_in_time\":[0.59,0.4,0.7],"
        "\"tasks_won\":[0.5,0.1,0.9],\"loss_ratio\":[1.1,1,1.2],\"profile\":[[1,0.7,1],[0,0,0.3]]}"
        "]",
        0, NULL);
    for (int i = 0; i < tasks; i++)
        json_array_append_new(list, task(i, bulk));
    json_object_set_new(group, "contestants", figures);
    return json_pack("{s:s, s:i, s:b, s:s, s:i, s:[], s:[{s:s,s:s},{s:s,s:s},{s:s,s:s}], s:[f,f],"
                     " s:[o], s:o}",
                     "format", "coxswain-evaluation", "version", 1, "complete", 1, "policy",
                     "some/policy.safetensors", "seeds", 2, "warnings", "contestants", "id",
                     "policy", "name", "policy, likeliest", "id", "baseline", "name",
                     "AdamW, tuned", "id", "open_loop", "name", "open loop, best of them",
                     "profile_at", 0.5, 1.0, "groups", group, "tasks", list);
}

static char *page_of(const char *name, json_t *root) {
    cx_error err;
    char dir[256], path[300], *text = json_dumps(root, 0);
    assert_non_null(text);
    (void)snprintf(dir, sizeof dir, "%s/%s", folder, name);
    (void)snprintf(path, sizeof path, "%s/%s.html", folder, name);
    put(dir, "evaluation.json", text);
    free(text);
    json_decref(root);
    assert_ok(cx_report_evaluation(dir, path, &err));
    char *html = read_text(path);
    assert_sound(html);
    return html;
}

static void assert_there(const char *html, const char *const *list) {
    for (; *list; list++)
        if (!strstr(html, *list))
            fail_msg("the page lacks %s", *list);
}

static void test_evaluation_page(void **state) {
    (void)state;
    char *html = page_of("whole", evaluation(2, true));
    static const char *const there[] = {
        "<title>Evaluation: whole</title>",
        "The policy in policy.safetensors (likeliest choices, nothing tuned) was run on 2 tasks "
        "with 2 "
        "seeds each",
        "AdamW, tuned, chosen on each task from 53 trainings by validation loss",
        "0.85 x [0.74, 0.98]: it needed more steps than the baseline",
        "Its mean test loss is the lower one on 1 of the 2 tasks",
        "<b>Speedup of policy, likeliest over AdamW, tuned, by task</b>",
        "0 mlp &lt;1&gt;",
        "href=\"#task-1\"",
        "<h3 id=\"task-1\">",
        "<b>Performance profile</b>",
        "+5.00 % [-2.00, +8.00]", /* gap_difference, of the baseline's test loss */
        "more than 32",
        "<b>Learning curves, validation</b>",
        "<b>Learning curves, training</b>",
        "Final test loss, AdamW, tuned: 0.25 [0.2, 0.3].",
        "adamw lr 0.1 cosine",
        "is: replay",
        "<b>Learning rate</b>",
        "<b>Effective learning rate</b>",
        "<b>Momentum: 1 - beta1</b>",
        "<b>new_one</b>",
        "restart from saved weights (2 in 2 runs)",
        "The command was not recorded",
        NULL};
    assert_there(html, there);
    /* validation at the end less the optimum: 0.2 and 0.8 - 0.5 */
    assert_non_null(strstr(html, "<td>100</td><td>0.25 [0.2, 0.3]</td>"));
    assert_int_equal(count(html, "<figure>"), count(html, "<svg"));
    assert_true(count(html, "<table>") >= count(html, "<svg"));
    free(html);
}

static void test_pages_of_little(void **state) {
    (void)state;
    cx_error err;
    char dir[256];
    char *html = page_of("old", evaluation(1, false));
    static const char *const there[] = {"No learning curves are recorded",
                                        "What the policy chose is not recorded", NULL};
    assert_there(html, there);
    free(html);
    json_t *empty = evaluation(1, true);
    json_object_set_new(json_array_get(json_object_get(empty, "tasks"), 0), "complete",
                        json_false());
    json_object_set_new(empty, "groups", json_array());
    html = page_of("empty", empty);
    assert_non_null(strstr(html, "No task of this evaluation is complete yet"));
    free(html);
    (void)snprintf(dir, sizeof dir, "%s/wrong", folder);
    put(dir, "evaluation.json", "[1]");
    assert_int_equal(cx_report_evaluation(dir, "/nonexistent/x", &err), CX_EDATA);
    put(dir, "evaluation.json", "{\"format\":\"coxswain-evaluation\",\"version\":2}");
    assert_int_equal(cx_report_evaluation(dir, "/nonexistent/x", &err), CX_EVERSION);
    put(dir, "evaluation.json", "{\"format\":\"coxswain-evaluation\",\"version\":1}");
    assert_int_equal(cx_report_evaluation(dir, "/nonexistent/x", &err), CX_EIO);
    put(dir, "evaluation.json", "{");
    assert_int_equal(cx_report_evaluation(dir, "/nonexistent/x", &err), CX_EDATA);
    assert_non_null(strstr(err.message, "evaluation.json:1"));
}

/* Each value of the file in turn becomes something else: never a crash, never an unsound page. */
static int spoil(json_t *at, int number, json_t *by) {
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_object(at)) {
        void *next;
        json_object_foreach_safe(at, next, key, value) {
            if (strcmp(key, "format") == 0 || strcmp(key, "version") == 0)
                continue;
            if (number-- == 0) {
                json_object_set(at, key, by);
                return -1;
            }
            number = spoil(value, number, by);
            if (number < 0)
                return -1;
        }
    }
    if (json_is_array(at))
        json_array_foreach(at, i, value) {
            if (number-- == 0) {
                json_array_set(at, i, by);
                return -1;
            }
            number = spoil(value, number, by);
            if (number < 0)
                return -1;
        }
    return number;
}

static void test_strange_files(void **state) {
    (void)state;
    json_t *whole = evaluation(1, true);
    json_t *by[] = {json_null(), json_string("<x> & \"y\""), json_real(-1e308), json_object(),
                    json_loads("[[[]], -1, null]", 0, NULL)};
    bool more = true;
    for (int n = 0; more; n += 3) {
        json_t *root = json_deep_copy(whole);
        more = spoil(root, n, by[n / 3 % 5]) < 0;
        free(page_of("strange", root));
    }
    for (size_t i = 0; i < sizeof by / sizeof *by; i++)
        json_decref(by[i]);
    json_decref(whole);
}

static void test_made(void **state) {
    (void)state;
    cx_error err;
    char dir[256], path[300];
    (void)snprintf(dir, sizeof dir, "%s/made", folder);
    (void)snprintf(path, sizeof path, "%s/made.json", dir);
    char *html = page_of("made", evaluation(1, true));
    free(html);
    assert_ok(cx_made_write(dir, NULL, &err));
    assert_false(cx_file_exists(path));
    assert_ok(cx_made_write(dir, "coxswain eval 'a b' --seeds 2", &err));
    assert_ok(cx_made_write(dir, "another", &err)); /* the first stays */
    html = page_of("made", evaluation(1, true));
    assert_non_null(strstr(html, "coxswain eval &#39;a b&#39; --seeds 2"));
    assert_non_null(strstr(html, "with coxswain "));
    assert_null(strstr(html, "another"));
    free(html);
    put(dir, "made.json", "[]"); /* no object: as if it were not there */
    free(page_of("made", evaluation(1, true)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticks_of_factors),
        cmocka_unit_test(test_texts_are_cut),
        cmocka_unit_test(test_forest),
        cmocka_unit_test(test_steps_dots_and_events),
        cmocka_unit_test(test_uneven_tables_are_refused),
        cmocka_unit_test(test_band_over_seeds),
        cmocka_unit_test(test_speedups_in_words),
        cmocka_unit_test(test_evaluation_page),
        cmocka_unit_test(test_pages_of_little),
        cmocka_unit_test(test_strange_files),
        cmocka_unit_test(test_made),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
