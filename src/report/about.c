#include "report/about.h"

#include "base/clock.h"
#include "base/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

json_t *cx_about_read(const char *dir) {
    char path[PATH_MAX];
    if (cx_path(path, sizeof path, NULL, "%s/made.json", dir))
        return NULL;
    json_t *made = json_load_file(path, 0, NULL);
    if (json_is_object(made))
        return made;
    json_decref(made);
    return NULL;
}

const char *cx_about_name(const char *dir, char *out, size_t size) {
    (void)snprintf(out, size, "%s", dir);
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        out[--n] = 0;
    const char *slash = strrchr(out, '/');
    return slash && slash[1] ? slash + 1 : out;
}

static const char *text_of(const json_t *made, const char *key) {
    const char *text = json_string_value(json_object_get(made, key));
    return text ? text : "";
}

void cx_about_line(const char *dir, const char *file, const json_t *made, char *out, size_t size) {
    char path[PATH_MAX], date[40] = "";
    struct stat st;
    if (cx_path(path, sizeof path, NULL, "%s/%s", dir, file) == CX_OK && stat(path, &st) == 0)
        cx_clock_date(st.st_mtime, date, sizeof date);
    if (made)
        (void)snprintf(out, size, "Begun %.40s with %.60s%s%s. Page written by coxswain %s.",
                       text_of(made, "started"), text_of(made, "program"),
                       date[0] ? "; last change " : "", date, CX_VERSION);
    else
        (void)snprintf(out, size, "%s%s%sPage written by coxswain %s.",
                       date[0] ? "Last change " : "", date, date[0] ? ". " : "", CX_VERSION);
}

void cx_about_reproduce(cx_page *page, const char *dir, const char *command, const json_t *made) {
    cx_output text = {.text = NULL};
    char *whole = NULL;
    const char *given = text_of(made, "command");
    if (given[0])
        cx_output_format(&text, "%s\ncoxswain report %s\n", given, dir);
    else
        cx_output_format(&text,
                         "coxswain %s %s/config.yaml%s --out NEW-FOLDER\ncoxswain report %s\n",
                         command, dir, strcmp(command, "eval") == 0 ? " --policy FILE" : "", dir);
    if (cx_output_take(&text, &whole, NULL) == CX_OK) {
        cx_page_text(page, given[0] ? "Made by:"
                                    : "The command was not recorded (an older version made the "
                                      "folder); this makes the same again from its resolved "
                                      "configuration:");
        cx_page_shell(page, whole);
    }
    free(whole);
}

void cx_about_config(cx_page *page, const char *dir) {
    char path[PATH_MAX];
    unsigned char *text;
    size_t size;
    if (cx_path(path, sizeof path, NULL, "%s/config.yaml", dir) || !cx_file_exists(path) ||
        cx_file_read(path, 1u << 18, &text, &size, NULL))
        return;
    cx_page_section(page, "Configuration");
    cx_page_code(page, "config.yaml", (const char *)text);
    free(text);
}
