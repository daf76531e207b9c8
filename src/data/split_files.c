#include "data/split_files.h"

#include "base/file.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { TRAIN, VALID, TEST };

static const char *const split_name[CX_SPLIT_FILES] = {"training", "validation", "test"};

/* The split that a word of a file's name stands for, or -1. */
static int split_of_word(const char *word, size_t size) {
    static const struct {
        const char *word;
        int split;
    } table[] = {{"train", TRAIN}, {"training", TRAIN}, {"valid", VALID}, {"validation", VALID},
                 {"val", VALID},   {"dev", VALID},      {"test", TEST},   {"testing", TEST}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strlen(table[i].word) == size && strncasecmp(word, table[i].word, size) == 0)
            return table[i].split;
    return -1;
}

/* The split that a file's name stands for; -1: none; -2: more than one. */
static int split_of_name(const char *name) {
    int split = -1;
    for (const char *p = name; *p;) {
        size_t size = 0;
        while (isalpha((unsigned char)p[size]))
            size++;
        int s = split_of_word(p, size);
        if (s >= 0 && split >= 0 && s != split)
            return -2;
        if (s >= 0)
            split = s;
        p += size > 0 ? size : 1;
    }
    return split;
}

/* Both are files of one split: that which is the other unpacked, or neither. */
static int choose(char *have, const char *found, int split, cx_error *err) {
    size_t a = strlen(have), b = strlen(found);
    if (a == b + 3 && strncmp(have, found, b) == 0 && strcmp(have + b, ".gz") == 0) {
        memcpy(have, found, b + 1);
        return CX_OK;
    }
    if (b == a + 3 && strncmp(have, found, a) == 0 && strcmp(found + a, ".gz") == 0)
        return CX_OK;
    bool swap = strcmp(have, found) > 0; /* the same message whatever the folder's order */
    return cx_fail(err, CX_EDATA, "%s and %s: both look like the %s file; keep one in the folder",
                   swap ? found : have, swap ? have : found, split_name[split]);
}

static int look_at(char have[][PATH_MAX], const char *folder, const char *name, cx_error *err) {
    char path[PATH_MAX];
    struct stat st;
    int split = split_of_name(name);
    if (name[0] == '.' || split == -1)
        return CX_OK;
    int rc = cx_path(path, sizeof path, err, "%s/%s", folder, name);
    if (rc)
        return rc;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return CX_OK;
    if (split < 0)
        return cx_fail(err, CX_EDATA, "%s: the name has words of more than one split", path);
    if (have[split][0])
        return choose(have[split], path, split, err);
    memcpy(have[split], path, sizeof path);
    return CX_OK;
}

int cx_split_files_find(const char *folder, char path[][PATH_MAX], cx_error *err) {
    for (int s = 0; s < CX_SPLIT_FILES; s++)
        path[s][0] = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return cx_fail(err, CX_EDATA, "%s: cannot open the folder: %s", folder, strerror(errno));
    int rc = CX_OK;
    for (struct dirent *e; !rc && (e = readdir(dir));)
        rc = look_at(path, folder, e->d_name, err);
    (void)closedir(dir);
    if (!rc && !path[TRAIN][0])
        rc = cx_fail(err, CX_EDATA,
                     "%s: no training file: one with the word \"train\" in its name is right, such "
                     "as wiki.train.tokens",
                     folder);
    return rc;
}
