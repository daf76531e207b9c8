/* Files of lines with a torn end, and the text of a run's lock. */
#include "tests/fuzz/fuzz.h"

#include "base/file.h"
#include "store/store.h"
#include <stdlib.h>
#include <string.h>

static bool run(const uint8_t *data, size_t size) {
    cx_lines *l;
    cx_error err;
    bool held;
    char text[40];
    unsigned char *after;
    size_t n;
    const uint8_t *end = size ? memrchr(data, '\n', size) : NULL;
    size_t whole = end ? (size_t)(end - data) + 1 : 0;
    fuzz_put("lines", data, size);
    fuzz_must(cx_lock_query(fuzz_path("lines"), &held, text, sizeof text, &err) == CX_OK);
    fuzz_must(!held && memchr(text, 0, sizeof text));
    fuzz_must(cx_lines_open(fuzz_path("lines"), &l, &err) == CX_OK);
    fuzz_must(cx_lines_size(l) == whole);
    fuzz_must(cx_lines_append(l, "{}", &err) == CX_OK);
    cx_lines_close(l);
    fuzz_must(cx_file_read(fuzz_path("lines"), 1 << 24, &after, &n, &err) == CX_OK);
    fuzz_must(n == whole + 3 && (!whole || memcmp(after, data, whole) == 0));
    fuzz_must(memcmp(after + whole, "{}\n", 3) == 0);
    free(after);
    return true;
}

static void seeds(const fuzz_sink *sink) {
    fuzz_seed_text(sink, "{\"a\": 1}\n{\"a\": 2}\n{\"a\"");
}

const fuzz_target fuzz_target_lines = {"lines", run, seeds};
