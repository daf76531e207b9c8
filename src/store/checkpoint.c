/* Checkpoints. What makes one whole is its folder's name and its DONE file: both come
 * last, by rename. So a kill at any moment leaves the checkpoints before it as they
 * were, and at most a folder NNNNNNNN.tmp (or NNNNNNNN.old) that nothing reads. */
#include "base/file.h"
#include "base/hash.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PART_VERSION = 1,
    PARTS_MAX = 64,
    NAME_BYTES = 48,
    DONE_MAX = 16384 /* bytes: PARTS_MAX lines and the rest */
};
static const char part_magic[4] = {'C', 'X', 'C', 'P'};
static const size_t part_max = (size_t)1 << 36;

typedef struct {
    char magic[4];
    uint32_t version;
    uint64_t size, hash; /* of the data that follow */
} part_header;

typedef struct {
    char name[NAME_BYTES];
    uint64_t size, hash;
} part_entry;

typedef struct {
    int n;
    part_entry part[PARTS_MAX];
} part_list;

static bool good_name(const char *name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-.";
    size_t n = strlen(name);
    return n > 0 && n < NAME_BYTES && name[0] != '.' && strspn(name, letters) == n;
}

static int folder_of(char *out, const char *dir, uint64_t number, const char *suffix,
                     cx_error *err) {
    return cx_path(out, PATH_MAX, err, "%s/%08" PRIu64 "%s", dir, number, suffix);
}

/* --- DONE: a few lines of text, the last of them the hash of those before --- */

static int format_done(uint64_t number, const part_list *list, char *text, size_t size) {
    int at = snprintf(text, size, "coxswain checkpoint %d\nnumber %" PRIu64 "\nparts %d\n",
                      PART_VERSION, number, list->n);
    for (int i = 0; i < list->n; i++)
        at += snprintf(text + at, size - (size_t)at, "%s %" PRIu64 " %016" PRIx64 "\n",
                       list->part[i].name, list->part[i].size, list->part[i].hash);
    at += snprintf(text + at, size - (size_t)at, "hash %016" PRIx64 "\n",
                   cx_hash(text, (size_t)at, 0));
    return at;
}

static int parse_done(const char *path, uint64_t number, const char *text, size_t size,
                      part_list *list, cx_error *err) {
    enum { TAIL = 5 + 16 + 1 }; /* "hash " digits newline */
    char tail[TAIL + 1] = "", again[DONE_MAX];
    size_t body = size > TAIL ? size - TAIL : 0;
    (void)snprintf(tail, sizeof tail, "hash %016" PRIx64, cx_hash(text, body, 0));
    tail[TAIL - 1] = '\n';
    if (!body || memcmp(text + body, tail, TAIL) != 0)
        return cx_fail(err, CX_EFORMAT, "%s: cut short or corrupt", path);
    int version = 0, lines = 0, used = 0;
    uint64_t stored = 0;
    if (sscanf(text, "coxswain checkpoint %d\n", &version) != 1)
        return cx_fail(err, CX_EFORMAT, "%s: not a checkpoint's marker", path);
    if (version != PART_VERSION)
        return cx_fail(err, CX_EVERSION, "%s: a checkpoint of version %d, this program reads %d",
                       path, version, PART_VERSION);
    if (sscanf(text, "coxswain checkpoint %*d\nnumber %" SCNu64 "\nparts %d\n%n", &stored, &lines,
               &used) != 2 ||
        stored != number || lines < 1 || lines > PARTS_MAX)
        return cx_fail(err, CX_EFORMAT, "%s: is of checkpoint %" PRIu64 " with %d parts", path,
                       stored, lines);
    memset(list, 0, sizeof *list);
    const char *at = text + used;
    for (; list->n < lines; list->n++) {
        part_entry *p = &list->part[list->n];
        if (sscanf(at, "%47s %" SCNu64 " %" SCNx64 "\n%n", p->name, &p->size, &p->hash, &used) !=
                3 ||
            !good_name(p->name))
            return cx_fail(err, CX_EFORMAT, "%s: line %d is no part", path, list->n + 4);
        at += used;
    }
    /* what it says, said again, must be the same text */
    if ((size_t)format_done(number, list, again, sizeof again) != size ||
        memcmp(again, text, size) != 0)
        return cx_fail(err, CX_EFORMAT, "%s: corrupt", path);
    return CX_OK;
}

static int read_done(const char *dir, uint64_t number, part_list *list, cx_error *err) {
    char folder[PATH_MAX], path[PATH_MAX];
    unsigned char *text;
    size_t size;
    int rc = folder_of(folder, dir, number, "", err);
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/DONE", folder);
    if (rc)
        return rc;
    if (!cx_file_exists(path))
        return cx_fail(err, CX_EFORMAT, "%s: no DONE in it: never finished", folder);
    rc = cx_file_read(path, DONE_MAX, &text, &size, err);
    if (!rc)
        rc = parse_done(path, number, (const char *)text, size, list, err);
    free(text);
    return rc;
}

/* --- writing --- */

static int write_all(int fd, const void *data, size_t size) {
    const unsigned char *p = data;
    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

static int write_part(const char *path, const part_header *header, const void *data,
                      cx_error *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return cx_fail(err, CX_EIO, "%s: cannot create: %s", path, strerror(errno));
    int bad = write_all(fd, header, sizeof *header) || write_all(fd, data, (size_t)header->size) ||
              fsync(fd);
    int cause = errno;
    if (close(fd) != 0 && !bad) {
        bad = 1;
        cause = errno;
    }
    if (bad)
        return cx_fail(err, CX_EIO, "%s: cannot write %" PRIu64 " bytes: %s", path, header->size,
                       strerror(cause));
    return CX_OK;
}

static int check_parts(const cx_part *parts, int n, part_list *list, cx_error *err) {
    if (n < 1 || n > PARTS_MAX)
        return cx_fail(err, CX_ESTATE, "a checkpoint of %d parts; 1 to %d are possible", n,
                       PARTS_MAX);
    memset(list, 0, sizeof *list);
    list->n = n;
    for (int i = 0; i < n; i++) {
        if (!good_name(parts[i].name))
            return cx_fail(err, CX_ESTATE, "\"%s\" cannot be the name of a checkpoint's part",
                           parts[i].name);
        for (int j = 0; j < i; j++)
            if (strcmp(parts[i].name, parts[j].name) == 0)
                return cx_fail(err, CX_ESTATE, "two parts of a checkpoint are named %s",
                               parts[i].name);
        part_entry *p = &list->part[i];
        memcpy(p->name, parts[i].name, strlen(parts[i].name) + 1);
        p->size = parts[i].size;
        p->hash = cx_hash(parts[i].data, parts[i].size, 0);
    }
    return CX_OK;
}

static int fill_folder(const char *folder, uint64_t number, const cx_part *parts,
                       const part_list *list, cx_error *err) {
    char path[PATH_MAX], done[DONE_MAX];
    int rc = cx_file_make_dirs(folder, err);
    for (int i = 0; i < list->n && !rc; i++) {
        part_header h = {
            .version = PART_VERSION, .size = list->part[i].size, .hash = list->part[i].hash};
        memcpy(h.magic, part_magic, sizeof h.magic);
        rc = cx_path(path, sizeof path, err, "%s/%s", folder, parts[i].name);
        if (!rc)
            rc = write_part(path, &h, parts[i].data, err);
    }
    if (!rc)
        rc = cx_file_sync_dir(folder, err); /* the parts' names are on disk before DONE is */
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/DONE", folder);
    if (!rc) {
        int n = format_done(number, list, done, sizeof done);
        rc = cx_file_replace(path, done, (size_t)n, err);
    }
    return rc;
}

/* Puts the finished folder `tmp` in place of `folder`. Where there is one of that
 * number (a run that went back and came here again, or stopped right after writing
 * it) the two change places in one step; file systems that cannot do that (NFS) have
 * it moved aside first, and only there a kill in between loses that one number. */
static int put_in_place(const char *dir, const char *tmp, const char *folder, const char *old,
                        cx_error *err) {
    int rc = cx_file_remove_all(old, err);
    if (rc)
        return rc;
    if (renameat2(AT_FDCWD, tmp, AT_FDCWD, folder, RENAME_EXCHANGE) == 0) {
        rc = cx_file_sync_dir(dir, err);
        return rc ? rc : cx_file_remove_all(tmp, err);
    }
    if (rename(folder, old) != 0 && errno != ENOENT)
        return cx_fail(err, CX_EIO, "%s: cannot move aside: %s", folder, strerror(errno));
    if (rename(tmp, folder) != 0) {
        int cause = errno;
        (void)rename(old, folder);
        return cx_fail(err, CX_EIO, "%s: cannot rename from %s: %s", folder, tmp, strerror(cause));
    }
    rc = cx_file_sync_dir(dir, err);
    return rc ? rc : cx_file_remove_all(old, err);
}

int cx_checkpoint_write(const char *dir, uint64_t number, const cx_part *parts, int n_parts,
                        cx_error *err) {
    char folder[PATH_MAX], tmp[PATH_MAX], old[PATH_MAX];
    part_list list;
    int rc = check_parts(parts, n_parts, &list, err);
    if (!rc)
        rc = folder_of(folder, dir, number, "", err);
    if (!rc)
        rc = folder_of(tmp, dir, number, ".tmp", err);
    if (!rc)
        rc = folder_of(old, dir, number, ".old", err);
    if (!rc)
        rc = cx_file_make_dirs(dir, err);
    if (!rc)
        rc = cx_file_remove_all(tmp, err); /* of a run that was killed here */
    if (rc)
        return rc;
    rc = fill_folder(tmp, number, parts, &list, err);
    if (!rc)
        rc = put_in_place(dir, tmp, folder, old, err);
    if (rc)
        (void)cx_file_remove_all(tmp, NULL);
    return rc;
}

/* --- reading --- */

/* The whole file of one part: its own header and DONE's entry agree with the data. */
static int read_part(const char *dir, uint64_t number, const part_entry *p, unsigned char **data,
                     cx_error *err) {
    char path[PATH_MAX];
    size_t size;
    int rc = cx_path(path, sizeof path, err, "%s/%08" PRIu64 "/%s", dir, number, p->name);
    if (!rc)
        rc = cx_file_read(path, part_max, data, &size, err);
    if (rc == CX_EDATA && !cx_file_exists(path))
        return cx_fail(err, CX_EFORMAT, "%s: missing", path);
    if (rc == CX_EDATA) /* no right to read it, a failing disk: not damage to pass over */
        return cx_fail(err, CX_EIO, "%s: cannot be read", path);
    if (rc)
        return rc;
    part_header h = {.version = 0};
    if (size >= sizeof h)
        memcpy(&h, *data, sizeof h);
    if (size != sizeof h + p->size)
        rc = cx_fail(err, CX_EFORMAT, "%s: %zu bytes instead of %" PRIu64, path, size,
                     (uint64_t)sizeof h + p->size);
    else if (memcmp(h.magic, part_magic, sizeof h.magic) != 0 || h.version != PART_VERSION ||
             h.size != p->size || h.hash != p->hash)
        rc = cx_fail(err, CX_EFORMAT, "%s: its header is corrupt", path);
    else if (cx_hash(*data + sizeof h, (size_t)p->size, 0) != p->hash)
        rc = cx_fail(err, CX_EFORMAT, "%s: the data's hash is not that of DONE: corrupt", path);
    if (rc) {
        free(*data);
        *data = NULL;
    }
    return rc;
}

static int check_hashes(const char *dir, uint64_t number, cx_error *err) {
    part_list list;
    list.n = 0;
    int rc = read_done(dir, number, &list, err);
    for (int i = 0; i < list.n && !rc; i++) {
        unsigned char *data;
        rc = read_part(dir, number, &list.part[i], &data, err);
        free(data);
    }
    return rc;
}

int cx_checkpoint_read(const char *dir, uint64_t number, const char *name, void **data,
                       size_t *size, cx_error *err) {
    *data = NULL;
    *size = 0;
    part_list list;
    int rc = read_done(dir, number, &list, err);
    if (rc)
        return rc;
    for (int i = 0; i < list.n; i++) {
        if (strcmp(list.part[i].name, name) != 0)
            continue;
        unsigned char *file;
        rc = read_part(dir, number, &list.part[i], &file, err);
        if (rc)
            return rc;
        *size = (size_t)list.part[i].size;
        memmove(file, file + sizeof(part_header), *size); /* so that it is aligned and free()s */
        *data = file;
        return CX_OK;
    }
    return cx_fail(err, CX_EFORMAT, "%s/%08" PRIu64 ": no part %s in this checkpoint (%d others)",
                   dir, number, name, list.n);
}

/* --- which there are --- */

typedef enum { KIND_OTHER, KIND_NUMBER, KIND_REMAINS } kind;

/* NNNNNNNN (8 digits or more): KIND_NUMBER; with .tmp or .old: KIND_REMAINS. */
static kind name_kind(const char *name, uint64_t *number) {
    size_t digits = strspn(name, "0123456789");
    if (digits < 8 || digits > 19)
        return KIND_OTHER;
    *number = strtoull(name, NULL, 10);
    if (name[digits] == 0)
        return KIND_NUMBER;
    return strcmp(name + digits, ".tmp") == 0 || strcmp(name + digits, ".old") == 0 ? KIND_REMAINS
                                                                                    : KIND_OTHER;
}

static int descending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* Numbers found in `dir`, newest first; with `sweep`, remains are removed. */
static int list_numbers(const char *dir, bool sweep, uint64_t **numbers, size_t *n, cx_error *err) {
    *numbers = NULL;
    *n = 0;
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT
                   ? CX_OK
                   : cx_fail(err, CX_EIO, "%s: cannot read the folder: %s", dir, strerror(errno));
    int rc = CX_OK;
    size_t room = 0;
    for (struct dirent *e; !rc && (e = readdir(d)) != NULL;) {
        uint64_t number;
        kind k = name_kind(e->d_name, &number);
        if (k == KIND_REMAINS && sweep) {
            char path[PATH_MAX];
            rc = cx_path(path, sizeof path, err, "%s/%s", dir, e->d_name);
            if (!rc)
                rc = cx_file_remove_all(path, err);
        }
        if (k != KIND_NUMBER)
            continue;
        if (*n == room) {
            room = room ? 2 * room : 64;
            uint64_t *more = realloc(*numbers, room * sizeof *more);
            if (!more) {
                rc = cx_fail(err, CX_ENOMEM, "%s: out of memory", dir);
                break;
            }
            *numbers = more;
        }
        (*numbers)[(*n)++] = number;
    }
    (void)closedir(d);
    if (rc) {
        free(*numbers);
        *numbers = NULL;
        *n = 0;
    }
    if (*n)
        qsort(*numbers, *n, sizeof **numbers, descending);
    return rc;
}

static void add_note(char *notes, size_t size, const char *text) {
    if (!notes || !size)
        return;
    size_t at = strlen(notes);
    (void)snprintf(notes + at, size - at, "%s%s", at ? "\n" : "", text);
}

int cx_checkpoint_newest(const char *dir, uint64_t *number, bool *found, char *notes,
                         size_t notes_size, cx_error *err) {
    *found = false;
    if (notes && notes_size)
        notes[0] = 0;
    uint64_t *numbers;
    size_t n;
    int rc = list_numbers(dir, false, &numbers, &n, err);
    for (size_t i = 0; i < n && !rc && !*found; i++) {
        cx_error fault = {CX_OK, ""};
        int bad = check_hashes(dir, numbers[i], &fault);
        if (!bad) {
            *found = true;
            *number = numbers[i];
        } else if (bad == CX_EFORMAT) {
            add_note(notes, notes_size, fault.message);
        } else { /* no memory, unreadable, another version: going back would be wrong */
            if (err)
                *err = fault;
            rc = bad;
        }
    }
    free(numbers);
    return rc;
}

/* CX_OK: DONE is good and the parts have their sizes. CX_EFORMAT: not so. */
static int looks_whole(const char *dir, uint64_t number, cx_error *err) {
    part_list list;
    list.n = 0;
    int rc = read_done(dir, number, &list, err);
    for (int i = 0; i < list.n && !rc; i++) {
        char path[PATH_MAX];
        struct stat st;
        rc = cx_path(path, sizeof path, err, "%s/%08" PRIu64 "/%s", dir, number, list.part[i].name);
        if (!rc && (stat(path, &st) != 0 ||
                    (uint64_t)st.st_size != sizeof(part_header) + list.part[i].size))
            rc = cx_fail(err, CX_EFORMAT, "%s: missing or cut short", path);
    }
    return rc;
}

/* Renamed first, so that a kill amid the removal leaves remains, not a checkpoint
 * that lacks parts. */
static int remove_checkpoint(const char *dir, uint64_t number, cx_error *err) {
    char folder[PATH_MAX], old[PATH_MAX];
    int rc = folder_of(folder, dir, number, "", err);
    if (!rc)
        rc = folder_of(old, dir, number, ".old", err);
    if (!rc)
        rc = cx_file_remove_all(old, err);
    if (!rc && rename(folder, old) != 0)
        rc = cx_fail(err, CX_EIO, "%s: cannot rename to %s: %s", folder, old, strerror(errno));
    if (!rc)
        rc = cx_file_remove_all(old, err);
    return rc;
}

int cx_checkpoint_prune(const char *dir, int keep, uint64_t step, cx_error *err) {
    uint64_t *numbers;
    size_t n;
    int rc = list_numbers(dir, true, &numbers, &n, err);
    int whole = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        cx_error fault;
        int state = looks_whole(dir, numbers[i], &fault);
        whole += state == CX_OK;
        bool tenth = step > 0 && numbers[i] % (10 * step) == 0;
        bool surplus = state == CX_OK && whole > keep && !tenth;
        if (surplus || state == CX_EFORMAT) /* what another version wrote is left alone */
            rc = remove_checkpoint(dir, numbers[i], err);
    }
    free(numbers);
    return rc;
}
