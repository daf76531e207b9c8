/* Text files for the tests, in a folder that is removed at the end. */
#ifndef CX_TESTS_DATA_TEXT_FILES_H
#define CX_TESTS_DATA_TEXT_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static char text_folder[] = "/tmp/cx_text_XXXXXX";

static inline int text_set_up(void **state) {
    (void)state;
    return mkdtemp(text_folder) ? 0 : 1;
}

static inline int text_tear_down(void **state) {
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", text_folder);
    return system(command);
}

/* The path of a name in the folder; of the last four calls. */
static inline const char *text_path(const char *name) {
    static char path[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", text_folder, name);
    return path[turn];
}

static inline const char *text_write(const char *name, const void *data, size_t size) {
    const char *path = text_path(name);
    (void)remove(path); /* some file systems flush what replaces the same file's bytes */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

static inline const char *text_write_gz(const char *name, const void *data, size_t size) {
    const char *path = text_path(name);
    gzFile f = gzopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, data, (unsigned)size), (int)size);
    assert_int_equal(gzclose(f), Z_OK);
    return path;
}

/* `lines` lines "WORD i\n"; owned by the caller. */
static inline char *text_lines(const char *word, int lines, size_t *size) {
    char *text = malloc((size_t)lines * (strlen(word) + 16) + 1);
    assert_non_null(text);
    *size = 0;
    for (int i = 0; i < lines; i++)
        *size += (size_t)sprintf(text + *size, "%s %d\n", word, i);
    return text;
}

#endif
