#include "store/store.h"

#include "base/clock.h"
#include "base/file.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cx_made_write(const char *dir, const char *command, cx_error *err) {
    char path[600], started[40];
    int rc = cx_path(path, sizeof path, err, "%s/made.json", dir);
    if (rc || !command || cx_file_exists(path))
        return rc;
    cx_clock_date(0, started, sizeof started);
    json_t *said = json_string(command); /* NULL: paths that are not UTF-8 */
    json_t *o = json_pack("{s:s, s:o, s:s}", "program", "coxswain " CX_VERSION, "command",
                          said ? said : json_string(""), "started", started);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (!text)
        return cx_fail(err, CX_ENOMEM, "%s: out of memory", path);
    rc = cx_file_replace(path, text, strlen(text), err);
    free(text);
    return rc;
}
