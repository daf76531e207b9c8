#include "data/speech_list.h"

#include "base/file.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 16, TRANSCRIPT_MAX = 64 << 20, GROUPS_MAX = 10000 };
#define ITEMS_MAX 50000000u

static const char *const digit_words[] = {"zero", "one", "two",   "three", "four",
                                          "five", "six", "seven", "eight", "nine"};

/* --- memory: strings live in blocks that never move --- */

typedef struct block {
    struct block *next;
    size_t used, room;
    char bytes[];
} block;

static char *keep(cx_speech_list *l, const char *text, size_t size, cx_error *err) {
    block *b = l->texts;
    if (!b || b->room - b->used <= size) {
        size_t room = size < (1 << 16) ? 1 << 16 : size + 1;
        b = malloc(sizeof *b + room);
        if (!b) {
            (void)cx_fail(err, CX_ENOMEM, "no memory for the names of recordings");
            return NULL;
        }
        *b = (block){.next = l->texts, .room = room};
        l->texts = b;
    }
    char *p = b->bytes + b->used;
    memcpy(p, text, size);
    p[size] = 0;
    b->used += size + 1;
    return p;
}

/* Room for one more row of `size` bytes. */
static int grow(void **rows, uint32_t n, uint32_t *room, size_t size, cx_error *err) {
    if (n < *room)
        return CX_OK;
    uint32_t more = *room ? 2 * *room : 256;
    void *p = realloc(*rows, more * size);
    if (!p)
        return cx_fail(err, CX_ENOMEM, "no memory for %u recordings", (unsigned)more);
    *rows = p;
    *room = more;
    return CX_OK;
}

void cx_speech_list_free(cx_speech_list *l) {
    for (block *b = l->texts, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(l->item);
    free(l->group);
    memset(l, 0, sizeof *l);
}

static int add_item(cx_speech_list *l, const char *path, const char *text, uint32_t group,
                    cx_error *err) {
    void *rows = l->item;
    if (l->n_items == ITEMS_MAX)
        return cx_fail(err, CX_EDATA, "%s: more than %u recordings", path, ITEMS_MAX);
    int rc = grow(&rows, l->n_items, &l->item_room, sizeof *l->item, err);
    l->item = rows;
    if (rc)
        return rc;
    cx_speech_item *item = &l->item[l->n_items];
    *item = (cx_speech_item){.group = group};
    item->path = keep(l, path, strlen(path), err);
    item->text = item->path ? keep(l, text, strlen(text), err) : NULL;
    if (!item->text)
        return CX_ENOMEM;
    l->n_items++;
    return CX_OK;
}

/* The group of that name, new or not. Groups are few until a folder has many speakers. */
static int add_group(cx_speech_list *l, const char *name, size_t size, int split, uint32_t *number,
                     cx_error *err) {
    for (uint32_t i = l->n_groups; i-- > 0;)
        if (strncmp(l->group[i].name, name, size) == 0 && l->group[i].name[size] == 0) {
            *number = i;
            return CX_OK;
        }
    void *rows = l->group;
    if (l->n_groups == GROUPS_MAX)
        return cx_fail(err, CX_EDATA, "%s: more than %d speakers", name, GROUPS_MAX);
    int rc = grow(&rows, l->n_groups, &l->group_room, sizeof *l->group, err);
    l->group = rows;
    char *kept = rc ? NULL : keep(l, name, size, err);
    if (!kept)
        return CX_ENOMEM;
    l->group[l->n_groups] = (cx_speech_group){kept, split};
    *number = l->n_groups++;
    return CX_OK;
}

/* --- folders --- */

static bool ends_in(const char *name, const char *ending) {
    size_t n = strlen(name), m = strlen(ending);
    return n > m && strcasecmp(name + n - m, ending) == 0;
}

static bool is_recording(const char *name) {
    return ends_in(name, ".wav") || ends_in(name, ".flac");
}

static int visible(const struct dirent *e) {
    return e->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

typedef struct {
    struct dirent **entry;
    int n;
} folder;

static int folder_read(const char *path, folder *f, cx_error *err) {
    f->n = scandir(path, &f->entry, visible, by_bytes);
    if (f->n < 0) {
        f->n = 0;
        f->entry = NULL;
        return cx_fail(err, CX_EDATA, "%s: cannot read the folder: %s", path, strerror(errno));
    }
    return CX_OK;
}

static void folder_free(folder *f) {
    for (int i = 0; i < f->n; i++)
        free(f->entry[i]);
    free(f->entry);
}

static int join(char out[PATH_MAX], const char *a, const char *b, cx_error *err) {
    return cx_path(out, PATH_MAX, err, "%s/%s", a, b);
}

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* --- texts --- */

int32_t cx_speech_character(const char **text) {
    const unsigned char *p = (const unsigned char *)*text;
    if (*p == 0)
        return 0;
    int more = *p < 0x80                 ? 0
               : *p >= 0xc2 && *p < 0xe0 ? 1
               : *p >= 0xe0 && *p < 0xf0 ? 2
               : *p >= 0xf0 && *p < 0xf5 ? 3
                                         : -1;
    if (more < 0)
        return -1;
    static const int32_t least[] = {0, 0x80, 0x800, 0x10000};
    int32_t c = more ? *p & (0x3f >> more) : *p;
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return -1;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return -1;
    *text += more + 1;
    return c;
}

/* Lower case, one space between words, none at the ends; in place. What is wrong, or NULL. */
static const char *clean(char *text) {
    char *to = text;
    bool space = false;
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == ' ' || c == '\t') {
            space = to > text;
            continue;
        }
        if (c < 0x20 || c == 0x7f)
            return "a control character";
        if (space)
            *to++ = ' ';
        space = false;
        *to++ = c < 0x80 ? (char)tolower(c) : (char)c;
    }
    *to = 0;
    const char *p = text;
    int32_t c;
    while ((c = cx_speech_character(&p)) > 0)
        ;
    return c < 0 ? "no valid UTF-8" : to == text ? "an ID without a transcript" : NULL;
}

/* --- FSDD --- */

static int add_fsdd(cx_speech_list *l, const char *path, const char *name, cx_error *err) {
    const char *speaker = name + 2, *last = strrchr(name, '_'), *p = last ? last + 1 : name;
    bool right = name[0] >= '0' && name[0] <= '9' && name[1] == '_' && last > speaker;
    while (right && *p >= '0' && *p <= '9')
        p++;
    if (!right || p == last + 1 || strcasecmp(p, ".wav") != 0)
        return cx_fail(err, CX_EDATA, "%s: {digit}_{speaker}_{index}.wav is right", path);
    uint32_t group = 0;
    int rc = add_group(l, speaker, (size_t)(last - speaker), -1, &group, err);
    return rc ? rc : add_item(l, path, digit_words[name[0] - '0'], group, err);
}

/* Adds the folder's WAV files; none is no error. */
static int read_fsdd(const char *path, cx_speech_list *l, cx_error *err) {
    char file[PATH_MAX];
    folder f;
    int rc = folder_read(path, &f, err);
    for (int i = 0; i < f.n && !rc; i++)
        if (ends_in(f.entry[i]->d_name, ".wav")) {
            rc = join(file, path, f.entry[i]->d_name, err);
            if (!rc && is_file(file))
                rc = add_fsdd(l, file, f.entry[i]->d_name, err);
        }
    folder_free(&f);
    return rc;
}

/* --- LibriSpeech --- */

static int add_line(cx_speech_list *l, const char *dir, const char *file, int number, char *line,
                    uint32_t group, cx_error *err) {
    char path[PATH_MAX];
    line += strspn(line, " \t");
    size_t n = strcspn(line, " \t");
    if (n == 0)
        return CX_OK; /* an empty line */
    char *text = line + n + (line[n] != 0);
    line[n] = 0;
    const char *fault = clean(text);
    if (!fault && strchr(line, '/'))
        fault = "an ID with a slash";
    if (fault)
        return cx_fail(err, CX_EDATA, "%s:%d: %s (%.60s)", file, number, fault, line);
    static const char *const endings[] = {"flac", "wav"};
    for (int i = 0; i < 2; i++) {
        int rc = cx_path(path, sizeof path, err, "%s/%s.%s", dir, line, endings[i]);
        if (rc)
            return rc;
        if (is_file(path))
            return add_item(l, path, text, group, err);
    }
    return cx_fail(err, CX_EDATA, "%s:%d: there is no %.60s.flac or %.60s.wav beside it", file,
                   number, line, line);
}

static int read_transcripts(cx_speech_list *l, const char *dir, const char *file, uint32_t group,
                            cx_error *err) {
    unsigned char *data;
    size_t size;
    int number = 0, rc = cx_file_read(file, TRANSCRIPT_MAX, &data, &size, err);
    if (rc)
        return rc;
    if (memchr(data, 0, size))
        rc = cx_fail(err, CX_EDATA, "%s: a zero byte; lines of text are right", file);
    for (char *line = (char *)data, *next; line && !rc; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        size_t n = strlen(line);
        if (n > 0 && line[n - 1] == '\r')
            line[n - 1] = 0;
        rc = add_line(l, dir, file, ++number, line, group, err);
    }
    free(data);
    return rc;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const cx_speech_item *)a)->path, ((const cx_speech_item *)b)->path);
}

/* The items from `first` on are those of one folder: none twice, none missing. */
static int check_folder(cx_speech_list *l, uint32_t first, const char *dir, const folder *f,
                        cx_error *err) {
    uint32_t n = l->n_items - first;
    if (n > 0)
        qsort(l->item + first, n, sizeof *l->item, by_path);
    for (uint32_t i = 1; i < n; i++)
        if (strcmp(l->item[first + i - 1].path, l->item[first + i].path) == 0)
            return cx_fail(err, CX_EDATA, "%s: has two lines in the transcripts of its folder",
                           l->item[first + i].path);
    for (int i = 0; i < f->n; i++) {
        char path[PATH_MAX];
        cx_speech_item want = {.path = path};
        if (!is_recording(f->entry[i]->d_name))
            continue;
        int rc = join(path, dir, f->entry[i]->d_name, err);
        if (rc)
            return rc;
        if (n == 0 || !bsearch(&want, l->item + first, n, sizeof want, by_path))
            return cx_fail(err, CX_EDATA,
                           "%s: no line of a *.trans.txt beside it says what is spoken", path);
    }
    return CX_OK;
}

static int walk(cx_speech_list *l, const char *dir, int depth, uint32_t group, cx_error *err) {
    char path[PATH_MAX];
    folder f;
    uint32_t first = l->n_items;
    if (depth > DEPTH_MAX)
        return cx_fail(err, CX_EDATA, "%s: folders deeper than %d", dir, DEPTH_MAX);
    int rc = folder_read(dir, &f, err);
    for (int i = 0; i < f.n && !rc; i++)
        if (ends_in(f.entry[i]->d_name, ".trans.txt")) {
            rc = join(path, dir, f.entry[i]->d_name, err);
            if (!rc && is_file(path))
                rc = read_transcripts(l, dir, path, group, err);
        }
    if (!rc)
        rc = check_folder(l, first, dir, &f, err);
    for (int i = 0; i < f.n && !rc; i++) {
        rc = join(path, dir, f.entry[i]->d_name, err);
        if (!rc && is_folder(path))
            rc = walk(l, path, depth + 1, group, err);
    }
    folder_free(&f);
    return rc;
}

static int split_of(const char *name) {
    return strcasestr(name, "train")                              ? 0
           : strcasestr(name, "dev") || strcasestr(name, "valid") ? 1
           : strcasestr(name, "test")                             ? 2
                                                                  : -1;
}

/* Where folders are named after splits, the others are left out. */
static int read_libri(const char *root, cx_speech_list *l, cx_error *err) {
    char path[PATH_MAX];
    bool named = false;
    folder f;
    int rc = folder_read(root, &f, err);
    for (int i = 0; i < f.n && !rc; i++) {
        rc = join(path, root, f.entry[i]->d_name, err);
        named = named || (!rc && split_of(f.entry[i]->d_name) >= 0 && is_folder(path));
        if (!rc && (is_recording(f.entry[i]->d_name) || ends_in(f.entry[i]->d_name, ".trans.txt")))
            rc = cx_fail(err, CX_EDATA,
                         "%s: recordings and transcripts belong into folders by split or speaker "
                         "(LibriSpeech), or are named {digit}_{speaker}_{index}.wav (FSDD)",
                         path);
    }
    for (int i = 0; i < f.n && !rc; i++) {
        const char *name = f.entry[i]->d_name;
        uint32_t before = l->n_items, group;
        rc = join(path, root, name, err);
        if (rc || !is_folder(path) || (named && split_of(name) < 0))
            continue;
        rc = add_group(l, name, strlen(name), split_of(name), &group, err);
        if (!rc)
            rc = walk(l, path, 1, group, err);
        if (!rc && l->n_items == before)
            l->n_groups--; /* the newest: the names of a folder are all different */
    }
    folder_free(&f);
    return rc;
}

/* --- both --- */

/* FSDD's speakers come in the order of the files. */
static int sort_groups(cx_speech_list *l, cx_error *err) {
    cx_speech_group *sorted = calloc(l->n_groups + 1, sizeof *sorted);
    uint32_t *place = calloc(l->n_groups + 1, sizeof *place);
    if (!sorted || !place) {
        free(sorted);
        free(place);
        return cx_fail(err, CX_ENOMEM, "no memory for %u speakers", (unsigned)l->n_groups);
    }
    for (uint32_t i = 0; i < l->n_groups; i++) {
        for (uint32_t j = 0; j < l->n_groups; j++)
            place[i] += strcmp(l->group[j].name, l->group[i].name) < 0;
        sorted[place[i]] = l->group[i];
    }
    for (uint32_t i = 0; i < l->n_items; i++)
        l->item[i].group = place[l->item[i].group];
    free(place);
    free(l->group);
    l->group = sorted;
    return CX_OK;
}

static int read_all(const char *root, cx_speech_list *l, cx_error *err) {
    char below[PATH_MAX];
    int rc = join(below, root, "recordings", err);
    if (!rc)
        rc = read_fsdd(root, l, err);
    if (!rc && l->n_items == 0 && is_folder(below))
        rc = read_fsdd(below, l, err);
    if (!rc && l->n_items == 0)
        rc = read_libri(root, l, err);
    if (!rc && l->n_items == 0)
        rc = cx_fail(err, CX_EDATA,
                     "%s: no recordings; WAV files named {digit}_{speaker}_{index}.wav (FSDD), or "
                     "folders with *.trans.txt and FLAC or WAV files (LibriSpeech) are right",
                     root);
    if (!rc)
        rc = sort_groups(l, err);
    if (!rc)
        qsort(l->item, l->n_items, sizeof *l->item, by_path);
    return rc;
}

int cx_speech_list_read(const char *root, cx_speech_list *out, cx_error *err) {
    memset(out, 0, sizeof *out);
    int rc = read_all(root, out, err);
    if (rc)
        cx_speech_list_free(out);
    return rc;
}
