/* What the tests of pages share: what every page must be, files in and out. */
#ifndef CX_TESTS_REPORT_HTML_H
#define CX_TESTS_REPORT_HTML_H

#include "tests/test.h"

#include "base/file.h"
#include <ctype.h>
#include <string.h>

static inline size_t count(const char *text, const char *part) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        n++;
    return n;
}

/* Every tag is closed in order, attributes are quoted, text holds no bare < or &. */
static inline void assert_well_formed(const char *html) {
    char stack[64][32];
    int depth = 0;
    const char *at = html;
    assert_int_equal(strncmp(at, "<!doctype html>", 15), 0);
    at += 15;
    while (*at) {
        if (*at == '&') {
            const char *end = strchr(at, ';');
            if (!end || end - at > 6)
                fail_msg("a bare &: %.40s", at);
        }
        if (*at != '<') {
            at++;
            continue;
        }
        bool closing = at[1] == '/';
        const char *name = at + 1 + closing, *end = name;
        while (isalnum((unsigned char)*end))
            end++;
        size_t length = (size_t)(end - name);
        if (length == 0 || length >= sizeof stack[0])
            fail_msg("no tag: %.40s", at);
        bool quoted = false, empty = false;
        for (; *end && (quoted || *end != '>'); end++) {
            if (*end == '"')
                quoted = !quoted;
            if (*end == '<')
                fail_msg("< inside a tag: %.80s", at);
        }
        assert_int_equal(*end, '>');
        empty = end[-1] == '/';
        if (closing) {
            depth--;
            if (depth < 0 || strlen(stack[depth]) != length ||
                strncmp(stack[depth], name, length) != 0)
                fail_msg("%.40s closes %s", at, depth < 0 ? "nothing" : stack[depth]);
        } else if (!empty) {
            assert_true(depth < 64);
            memcpy(stack[depth], name, length);
            stack[depth++][length] = 0;
        }
        at = end + 1;
        /* what is inside of these is not markup: skip to their end */
        if (!closing && length == 5 && strncmp(name, "style", 5) == 0)
            at = strstr(at, "</style>");
    }
    assert_int_equal(depth, 0);
}

static inline void assert_sound(const char *html) {
    assert_well_formed(html);
    static const char *const never[] = {"<script", "http:", "https:", "src=", "url(",
                                        "=\"nan",  " nan",  "-nan",   "inf ", "Lnan",
                                        "Mnan",    "\"inf", "@import"};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strstr(html, never[i]))
            fail_msg("the page holds %s: %.60s", never[i], strstr(html, never[i]));
    assert_non_null(strstr(html, "prefers-color-scheme:dark"));
}

static inline char *read_text(const char *path) {
    cx_error err;
    unsigned char *data;
    size_t size;
    assert_ok(cx_file_read(path, 1 << 26, &data, &size, &err));
    assert_int_equal(strlen((char *)data), size);
    return (char *)data;
}

static inline void put(const char *dir, const char *name, const char *text) {
    cx_error err;
    char path[320];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_ok(cx_file_make_dirs(dir, &err));
    assert_ok(cx_file_replace(path, text, strlen(text), &err));
}

#endif
