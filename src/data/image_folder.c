/* Folders of pictures: {train, val or valid, test}/CLASS/FILE. The classes are the folders
 * of train in the order of strcmp, and those of the other parts must be the same. Files of
 * a class are taken in that order, too.
 *
 * What is skipped: names that begin with a dot, and plain files whose names do not end in
 * jpg, jpeg or png (whatever the case). What is an error: a picture beside the class
 * folders, a folder inside one, a class without pictures. */
#include "data/natural_source.h"

#include "base/file.h"
#include "base/hash.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "data/image_decode.h"

/* A list of names. */
typedef struct {
    char *text; /* one behind another, each with its zero */
    size_t used, room;
    size_t *at; /* where each begins */
    size_t n, max;
} names;

typedef struct {
    char root[PATH_MAX];
    const char *part_word[CX_PARTS]; /* NULL: not there */
    names classes, files;            /* files: of all parts, as s->labels */
} folder;

static void names_free(names *l) {
    free(l->text);
    free(l->at);
    memset(l, 0, sizeof *l);
}

static const char *name_at(const names *l, size_t i) {
    return l->text + l->at[i];
}

static int names_add(names *l, const char *name, cx_error *err) {
    size_t size = strlen(name) + 1;
    if (l->used + size > l->room) {
        size_t room = 2 * (l->used + size) + 4096;
        char *p = realloc(l->text, room);
        if (!p)
            return cx_fail(err, CX_ENOMEM, "no memory for the names of %zu files", l->n);
        l->text = p;
        l->room = room;
    }
    if (l->n == l->max) {
        size_t max = 2 * l->max + 256;
        size_t *p = realloc(l->at, max * sizeof *p);
        if (!p)
            return cx_fail(err, CX_ENOMEM, "no memory for the names of %zu files", l->n);
        l->at = p;
        l->max = max;
    }
    memcpy(l->text + l->used, name, size);
    l->at[l->n++] = l->used;
    l->used += size;
    return CX_OK;
}

static int compare(const void *a, const void *b, void *text) {
    return strcmp((const char *)text + *(const size_t *)a, (const char *)text + *(const size_t *)b);
}

/* The names in a folder, sorted, without those that begin with a dot. */
static int list_folder(const char *path, names *out, cx_error *err) {
    int rc = CX_OK;
    memset(out, 0, sizeof *out);
    DIR *dir = opendir(path);
    if (!dir)
        return cx_fail(err, CX_EDATA, "%s: cannot read the folder: %s", path, strerror(errno));
    const struct dirent *e;
    errno = 0;
    while (!rc && (e = readdir(dir)))
        if (e->d_name[0] != '.')
            rc = names_add(out, e->d_name, err);
    if (!rc && errno)
        rc = cx_fail(err, CX_EDATA, "%s: cannot read the folder: %s", path, strerror(errno));
    (void)closedir(dir);
    if (!rc && out->n > 1)
        qsort_r(out->at, out->n, sizeof *out->at, compare, out->text);
    return rc;
}

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_picture_name(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 ||
                   strcasecmp(dot, ".png") == 0);
}

/* Which of `words` is a folder in the root; NULL: none. */
static int find_part(const char *root, const char *const *words, const char **out, cx_error *err) {
    char path[PATH_MAX];
    *out = NULL;
    for (; *words; words++) {
        int rc = cx_path(path, sizeof path, err, "%s/%s", root, *words);
        if (rc)
            return rc;
        if (!is_folder(path))
            continue;
        if (*out)
            return cx_fail(err, CX_EDATA, "%s: both %s and %s are there; one of them is right",
                           root, *out, *words);
        *out = *words;
    }
    return CX_OK;
}

bool cx_image_folder_is(const char *path) {
    char train[PATH_MAX];
    return cx_path(train, sizeof train, NULL, "%s/train", path) == CX_OK && is_folder(train);
}

/* --- listing --- */

static int add_label(cx_natural_source *s, uint32_t i, int class, cx_error *err) {
    if ((i & (i - 1)) == 0) { /* room doubles at powers of two */
        uint16_t *p = realloc(s->labels, (i ? 2 * (size_t)i : 1) * sizeof *p);
        if (!p)
            return cx_fail(err, CX_ENOMEM, "no memory for %u labels", (unsigned)i);
        s->labels = p;
    }
    s->labels[i] = (uint16_t) class;
    return CX_OK;
}

/* One name of a class folder. */
static int add_file(cx_natural_source *s, cx_natural_part part, int class, const char *parent,
                    const char *name, cx_error *err) {
    folder *f = s->own;
    char path[PATH_MAX], inside[PATH_MAX];
    int rc = cx_path(path, sizeof path, err, "%s/%s", parent, name);
    if (!rc)
        rc = cx_path(inside, sizeof inside, err, "%s", path + strlen(f->root) + 1);
    if (rc)
        return rc;
    if (!is_picture_name(name)) {
        if (is_folder(path))
            return cx_fail(err, CX_EDATA,
                           "%s: a folder inside a class folder; pictures are right there", path);
        return CX_OK;
    }
    if (f->files.n >= INT_MAX)
        return cx_fail(err, CX_EDATA, "%s: more than %d pictures", f->root, INT_MAX);
    rc = cx_natural_key_add(&s->key, path, inside, err);
    if (!rc)
        rc = add_label(s, (uint32_t)f->files.n, class, err);
    if (!rc)
        rc = names_add(&f->files, name, err);
    if (!rc)
        s->count[part]++;
    return rc;
}

static int list_class(cx_natural_source *s, cx_natural_part part, int class, const char *parent,
                      cx_error *err) {
    uint32_t before = s->count[part];
    names list;
    int rc = list_folder(parent, &list, err);
    for (size_t i = 0; i < list.n && !rc; i++)
        rc = add_file(s, part, class, parent, name_at(&list, i), err);
    names_free(&list);
    if (!rc && s->count[part] == before)
        rc =
            cx_fail(err, CX_EDATA,
                    "%s: no picture in this class; files *.jpg, *.jpeg or *.png are right", parent);
    return rc;
}

/* The class folders of a part; what else lies there is skipped or refused. */
static int list_classes(const char *part, names *out, cx_error *err) {
    char path[PATH_MAX];
    names list;
    memset(out, 0, sizeof *out);
    int rc = list_folder(part, &list, err);
    for (size_t i = 0; i < list.n && !rc; i++) {
        const char *name = name_at(&list, i);
        rc = cx_path(path, sizeof path, err, "%s/%s", part, name);
        if (rc)
            break;
        if (is_folder(path))
            rc = names_add(out, name, err);
        else if (is_picture_name(name))
            rc = cx_fail(err, CX_EDATA,
                         "%s: a picture beside the class folders; %s/CLASS/%s is right", path, part,
                         name);
    }
    names_free(&list);
    if (!rc && out->n > CX_NATURAL_CLASSES_MAX)
        rc = cx_fail(err, CX_EDATA, "%s: %zu classes; at most %d are right", part, out->n,
                     CX_NATURAL_CLASSES_MAX);
    return rc;
}

/* The first class that one of the two lists lacks, or NULL. */
static const char *difference(const names *a, const names *b) {
    for (size_t i = 0; i < a->n || i < b->n; i++) {
        if (i >= a->n || i >= b->n)
            return i < a->n ? name_at(a, i) : name_at(b, i);
        int d = strcmp(name_at(a, i), name_at(b, i));
        if (d)
            return d < 0 ? name_at(a, i) : name_at(b, i);
    }
    return NULL;
}

static int list_part(cx_natural_source *s, cx_natural_part part, cx_error *err) {
    folder *f = s->own;
    char path[PATH_MAX], parent[PATH_MAX];
    names classes = {0};
    int rc = cx_path(path, sizeof path, err, "%s/%s", f->root, f->part_word[part]);
    if (!rc)
        rc = list_classes(path, &classes, err);
    if (!rc && part == CX_PART_TRAIN) {
        f->classes = classes;
        memset(&classes, 0, sizeof classes);
        if (f->classes.n < 2)
            rc = cx_fail(err, CX_EDATA, "%s: %zu class folders; two or more are right", path,
                         f->classes.n);
    }
    const char *other = !rc && part != CX_PART_TRAIN ? difference(&f->classes, &classes) : NULL;
    if (other)
        rc = cx_fail(err, CX_EDATA,
                     "%s: class '%s' is not in both train and %s; the same class folders in every "
                     "part are right",
                     f->root, other, f->part_word[part]);
    names_free(&classes);
    for (size_t i = 0; i < f->classes.n && !rc; i++) {
        rc = cx_path(parent, sizeof parent, err, "%s/%s", path, name_at(&f->classes, i));
        if (!rc)
            rc = list_class(s, part, (int)i, parent, err);
    }
    return rc;
}

/* --- the source --- */

static int read_image(cx_natural_source *s, uint32_t i, int side, uint8_t *planes, cx_error *err) {
    const folder *f = s->own;
    char path[PATH_MAX];
    cx_picture picture;
    uint32_t first = 0;
    int part = 0;
    for (; i - first >= s->count[part]; part++)
        first += s->count[part];
    int rc = cx_path(path, sizeof path, err, "%s/%s/%s/%s", f->root, f->part_word[part],
                     name_at(&f->classes, s->labels[i]), name_at(&f->files, i));
    if (!rc)
        rc = cx_picture_read(path, side, &picture, err);
    if (rc)
        return rc;
    rc = cx_picture_square(&picture, side, planes, err);
    cx_picture_free(&picture);
    return rc;
}

static void close_own(cx_natural_source *s) {
    folder *f = s->own;
    if (!f)
        return;
    names_free(&f->classes);
    names_free(&f->files);
    free(f);
}

int cx_image_folder_open(const char *path, cx_natural_source *s, cx_error *err) {
    static const char *const words[CX_PARTS][4] = {
        {"train", NULL}, {"val", "valid", "validation", NULL}, {"test", NULL}};
    *s = (cx_natural_source){.read = read_image, .close_own = close_own};
    folder *f = s->own = calloc(1, sizeof *f);
    if (!f)
        return cx_fail(err, CX_ENOMEM, "no memory for a data set");
    int rc = cx_path(f->root, sizeof f->root, err, "%s", path);
    for (int p = 0; p < CX_PARTS && !rc; p++) {
        rc = find_part(path, words[p], &f->part_word[p], err);
        if (!rc && f->part_word[p])
            rc = list_part(s, (cx_natural_part)p, err);
    }
    s->classes = (int)f->classes.n;
    return rc;
}
