#include "data/ratings.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { CHUNK = 1 << 16, LINE_MAX_BYTES = 4096, FIELDS_MAX = 16 };
static const size_t rows_max = (size_t)1 << 28;
/* Belongs to the data, not to a run. */
static const uint64_t candidate_seed = 0x726174696e6773; /* "ratings" */

typedef struct {
    int64_t user, item, time; /* as in the file; then numbered anew */
} row;

typedef struct {
    row *row;
    size_t n, room;
} rows;

/* --- lines --- */

/* zlib reads what is not gzipped as it is. */
typedef struct {
    const char *path;
    gzFile file;
    unsigned long long line; /* of the newest line, from 1 */
    char bytes[CHUNK + 1];
    size_t at, end;
    bool ended;
} reader;

static int fault(const reader *r, cx_error *err, const char *what) {
    return cx_fail(err, CX_EDATA, "%s:%llu: %s", r->path, r->line, what);
}

static int refill(reader *r, cx_error *err) {
    memmove(r->bytes, r->bytes + r->at, r->end - r->at);
    r->end -= r->at;
    r->at = 0;
    int got = gzread(r->file, r->bytes + r->end, (unsigned)(CHUNK - r->end)), code = Z_OK;
    if (got > 0)
        r->end += (size_t)got;
    r->ended = got <= 0 || gzeof(r->file);
    const char *text = gzerror(r->file, &code);
    if (got < 0 || (r->ended && code != Z_OK && code != Z_STREAM_END))
        return cx_fail(err, code == Z_MEM_ERROR ? CX_ENOMEM : CX_EDATA,
                       "%s: cannot be read to its end: %s", r->path,
                       code == Z_BUF_ERROR ? "the gzip stream is cut short" : text);
    return CX_OK;
}

/* The next line, ended by a zero byte, without what ends it in the file; NULL after the
 * last one. */
static int next_line(reader *r, char **out, cx_error *err) {
    char *end;
    *out = NULL;
    while (!(end = memchr(r->bytes + r->at, '\n', r->end - r->at)) && !r->ended) {
        if (r->end - r->at > LINE_MAX_BYTES)
            break;
        int rc = refill(r, err);
        if (rc)
            return rc;
    }
    size_t size = end ? (size_t)(end - r->bytes) - r->at : r->end - r->at;
    if (!end && size == 0)
        return CX_OK;
    r->line++;
    char *line = r->bytes + r->at;
    if (size > LINE_MAX_BYTES)
        return fault(r, err, "a line of more than 4096 bytes; this is no file of ratings");
    if (memchr(line, 0, size))
        return fault(r, err, "a zero byte; this is no text file");
    r->at += size + (end ? 1 : 0);
    line[size] = 0;
    if (size > 0 && line[size - 1] == '\r')
        line[size - 1] = 0;
    *out = line;
    return CX_OK;
}

/* --- columns --- */

enum { USER, ITEM, RATING, TIME, COLUMNS };
static const char *const column_name[COLUMNS] = {"userId", "movieId", "rating", "timestamp"};
static const char formats[] = "user::item::rating::time, the same four between tabs, or a header "
                              "\"userId,movieId,rating,timestamp\" and lines like it are right";

typedef struct {
    const char *separator;
    int fields;          /* of every line */
    int column[COLUMNS]; /* where each is */
} layout;

/* Cuts a line in place; the number of fields, of which the first FIELDS_MAX are kept. */
static int cut(char *line, const char *separator, char *field[FIELDS_MAX]) {
    int n = 0;
    for (char *next = line; next; n++) {
        char *end = strstr(next, separator);
        if (n < FIELDS_MAX)
            field[n] = next;
        if (end)
            *end = 0;
        next = end ? end + strlen(separator) : NULL;
    }
    return n;
}

static int read_header(const reader *r, char *line, layout *l, cx_error *err) {
    char *field[FIELDS_MAX];
    l->fields = cut(line, ",", field);
    if (l->fields > FIELDS_MAX)
        return fault(r, err, "a header of more than 16 columns");
    for (int c = 0; c < COLUMNS; c++) {
        l->column[c] = -1;
        for (int i = 0; i < l->fields; i++)
            if (strcmp(field[i], column_name[c]) == 0)
                l->column[c] = i;
        if (l->column[c] < 0)
            return cx_fail(err, CX_EDATA,
                           "%s:%llu: the header has no column %s; "
                           "userId,movieId,rating,timestamp is right",
                           r->path, r->line, column_name[c]);
    }
    return CX_OK;
}

/* From the first line, which is left as it is unless it is a header: *header. */
static int find_layout(const reader *r, char *line, layout *l, bool *header, cx_error *err) {
    *l = (layout){.fields = COLUMNS, .column = {USER, ITEM, RATING, TIME}};
    *header = false;
    if (strstr(line, "::"))
        l->separator = "::";
    else if (strchr(line, '\t'))
        l->separator = "\t";
    else if (strchr(line, ',')) {
        l->separator = ",";
        *header = true;
        return read_header(r, line, l, err);
    } else
        return cx_fail(err, CX_EDATA, "%s:%llu: '%.40s' is no line of ratings; %s", r->path,
                       r->line, line, formats);
    return CX_OK;
}

static int put_number(const reader *r, const char *text, int column, int64_t *out, cx_error *err) {
    long long value;
    if (!cx_text_int(text, &value))
        return cx_fail(err, CX_EDATA, "%s:%llu: %s '%.40s' is no whole number", r->path, r->line,
                       column_name[column], text);
    if (value < 0 && column != TIME) /* before 1970 is a time, too */
        return cx_fail(err, CX_EDATA, "%s:%llu: %s %lld; a number of 0 or more is right", r->path,
                       r->line, column_name[column], value);
    *out = value;
    return CX_OK;
}

static int read_row(const reader *r, const layout *l, char *line, row *out, cx_error *err) {
    char *field[FIELDS_MAX];
    double rating;
    int n = cut(line, l->separator, field);
    if (n != l->fields)
        return cx_fail(err, CX_EDATA, "%s:%llu: %d column%s; %d are right", r->path, r->line, n,
                       n == 1 ? "" : "s", l->fields);
    int rc = put_number(r, field[l->column[USER]], USER, &out->user, err);
    if (!rc)
        rc = put_number(r, field[l->column[ITEM]], ITEM, &out->item, err);
    if (!rc)
        rc = put_number(r, field[l->column[TIME]], TIME, &out->time, err);
    if (!rc && (!cx_text_double(field[l->column[RATING]], &rating) || !isfinite(rating)))
        rc = cx_fail(err, CX_EDATA, "%s:%llu: rating '%.40s' is no number", r->path, r->line,
                     field[l->column[RATING]]);
    return rc;
}

static int add_row(rows *all, const row *new, const char *path, cx_error *err) {
    if (all->n == rows_max)
        return cx_fail(err, CX_EDATA, "%s: more than %zu ratings", path, rows_max);
    if (all->n == all->room) {
        size_t room = all->room ? 2 * all->room : 1 << 12;
        row *more = realloc(all->row, room * sizeof *more);
        if (!more)
            return cx_fail(err, CX_ENOMEM, "%s: no memory for %zu ratings", path, room);
        all->row = more;
        all->room = room;
    }
    all->row[all->n++] = *new;
    return CX_OK;
}

static int read_rows(reader *r, rows *all, cx_error *err) {
    static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8, which some editors write */
    layout l = {.separator = NULL};
    for (;;) {
        char *line;
        row new;
        bool header = false;
        int rc = next_line(r, &line, err);
        if (rc || !line)
            return rc;
        if (r->line == 1 && strncmp(line, mark, strlen(mark)) == 0)
            line += strlen(mark);
        if (line[0] == 0)
            continue;
        if (!l.separator)
            rc = find_layout(r, line, &l, &header, err);
        if (!rc && !header)
            rc = read_row(r, &l, line, &new, err);
        if (!rc && !header)
            rc = add_row(all, &new, r->path, err);
        if (rc)
            return rc;
    }
}

static int read_file(const char *path, rows *all, cx_error *err) {
    reader *r = calloc(1, sizeof *r);
    if (!r)
        return cx_fail(err, CX_ENOMEM, "no memory to read %s", path);
    r->path = path;
    r->file = gzopen(path, "rb");
    int rc = r->file ? read_rows(r, all, err)
                     : cx_fail(err, CX_EDATA, "%s: cannot be opened for reading", path);
    if (r->file)
        (void)gzclose(r->file);
    free(r);
    return rc;
}

/* The file that `path` stands for. */
static int find_file(const char *path, char *out, size_t size, cx_error *err) {
    static const char *const name[] = {"ratings.dat", "ratings.csv", "u.data"};
    static const char *const suffix[] = {"", ".gz"};
    struct stat st;
    if (stat(path, &st) != 0)
        return cx_fail(err, CX_EDATA, "%s: not there", path);
    if (!S_ISDIR(st.st_mode))
        return cx_path(out, size, err, "%s", path);
    const char *found = NULL;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++) {
            char one[PATH_MAX];
            int rc = cx_path(one, sizeof one, err, "%s/%s%s", path, name[i], suffix[k]);
            if (rc)
                return rc;
            if (!cx_file_exists(one) || found == name[i]) /* the plain one goes first */
                continue;
            if (found)
                return cx_fail(err, CX_EDATA, "%s holds both %s and %s: name the file", path, found,
                               name[i]);
            found = name[i];
            rc = cx_path(out, size, err, "%s", one);
            if (rc)
                return rc;
        }
    return found ? CX_OK
                 : cx_fail(err, CX_EDATA,
                           "%s: none of ratings.dat, ratings.csv and u.data, plain or with .gz, is "
                           "in it; such a folder, or the file itself, is right",
                           path);
}

/* --- numbering --- */

static int compare(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

/* The newest of a pair first. */
static int by_user_item(const void *a, const void *b) {
    const row *x = a, *y = b;
    int c = compare(x->user, y->user);
    c = c ? c : compare(x->item, y->item);
    return c ? c : compare(y->time, x->time);
}

static int by_time(const void *a, const void *b) {
    const row *x = a, *y = b;
    int c = compare(x->time, y->time);
    return c ? c : compare(x->item, y->item);
}

static int by_number(const void *a, const void *b) {
    return compare(*(const int64_t *)a, *(const int64_t *)b);
}

static int by_u32(const void *a, const void *b) {
    return compare(*(const uint32_t *)a, *(const uint32_t *)b);
}

static void drop_repeated(rows *all, cx_ratings *r) {
    size_t n = 0;
    for (size_t i = 0; i < all->n; i++) {
        row *old = n ? &all->row[n - 1] : NULL;
        if (!old || old->user != all->row[i].user || old->item != all->row[i].item)
            all->row[n++] = all->row[i];
    }
    r->repeated = (uint32_t)(all->n - n);
    all->n = n;
}

/* Numbers in place of names; rows are sorted by user. */
static int number(rows *all, cx_ratings *r, cx_error *err) {
    int64_t *items = malloc(all->n * sizeof *items);
    if (!items)
        return cx_fail(err, CX_ENOMEM, "no memory for the numbers of the items");
    for (size_t i = 0; i < all->n; i++)
        items[i] = all->row[i].item;
    qsort(items, all->n, sizeof *items, by_number);
    uint32_t n = 0;
    for (size_t i = 0; i < all->n; i++)
        if (i == 0 || items[i] != items[n - 1])
            items[n++] = items[i];
    r->items = n;
    int64_t user = 0;
    for (size_t i = 0; i < all->n; i++) {
        row *x = &all->row[i];
        const int64_t *at = bsearch(&x->item, items, n, sizeof *items, by_number);
        x->item = at - items;
        r->users += i == 0 || x->user != user;
        user = x->user;
        x->user = r->users - 1;
    }
    free(items);
    return CX_OK;
}

/* --- splits --- */

static bool is_evaluated(const cx_ratings *r, size_t n) {
    return n >= CX_RATINGS_LEAST && r->items - n >= CX_RATINGS_NEGATIVES;
}

/* Number k, from 0, of the numbers that the ascending list does not hold: as many of the
 * list's stand before it as are followed by no more than k that are missing. */
static uint32_t missing(const uint32_t *list, uint32_t n, uint32_t k) {
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (list[middle] - middle > k)
            high = middle;
        else
            low = middle + 1;
    }
    return k + low;
}

/* items[n]: all of the user's, ascending. In the order of drawing: the first few are as good
 * a sample as all of them. */
static void draw_candidates(const cx_ratings *r, uint32_t e, const uint32_t *items, uint32_t n) {
    for (uint32_t s = 0; s < 3; s++) {
        uint32_t *out = r->negatives + (3 * (size_t)e + s) * CX_RATINGS_NEGATIVES;
        cx_rng rng = cx_rng_make(candidate_seed, 3 * (uint64_t)r->who[e] + s, CX_STREAM_EVAL);
        for (int k = 0; k < CX_RATINGS_NEGATIVES;) {
            out[k] = missing(items, n, cx_rng_below(&rng, r->items - n));
            bool new = true;
            for (int i = 0; i < k; i++)
                new = new &&out[i] != out[k];
            k += new;
        }
    }
}

/* One user's rows, sorted by item. */
static void split_user(cx_ratings *r, uint32_t user, row *x, uint32_t n) {
    uint32_t at = r->first[user], train = n;
    for (uint32_t i = 0; i < n; i++)
        r->item[at + i] = (uint32_t)x[i].item;
    if (is_evaluated(r, n)) {
        uint32_t e = r->evaluated++;
        r->who[e] = user;
        train = n - 2;
        draw_candidates(r, e, r->item + at, n);
        qsort(x, n, sizeof *x, by_time);
        for (uint32_t s = 0; s < 3; s++)
            r->target[s][e] = (uint32_t)x[train - 1 + s].item;
        for (uint32_t i = 0; i < train; i++)
            r->item[at + i] = (uint32_t)x[i].item;
        qsort(r->item + at, train, sizeof *r->item, by_u32);
    }
    for (uint32_t i = 0; i < train; i++) {
        r->user[at + i] = user;
        r->count[r->item[at + i]]++;
    }
    r->first[user + 1] = at + train;
}

static int make_room(cx_ratings *r, size_t n, uint32_t evaluated, cx_error *err) {
    size_t u = sizeof(uint32_t), e = evaluated;
    r->user = cx_calloc(n, u);
    r->item = cx_calloc(n, u);
    r->first = cx_calloc((size_t)r->users + 1, u);
    r->count = cx_calloc(r->items, u);
    r->who = cx_calloc(e, u);
    r->negatives = cx_calloc(3 * e * CX_RATINGS_NEGATIVES, u);
    for (int s = 0; s < 3; s++)
        r->target[s] = cx_calloc(e, u);
    if (!r->user || !r->item || !r->first || !r->count || !r->who || !r->negatives ||
        !r->target[0] || !r->target[1] || !r->target[2])
        return cx_fail(err, CX_ENOMEM, "no memory for %zu ratings", n);
    return CX_OK;
}

/* Rows are numbered and sorted. */
static int split(rows *all, cx_ratings *r, const char *path, cx_error *err) {
    uint32_t evaluated = 0;
    for (size_t i = 0, n; i < all->n; i += n) {
        for (n = 1; i + n < all->n && all->row[i + n].user == all->row[i].user;)
            n++;
        evaluated += is_evaluated(r, n);
    }
    if (evaluated == 0)
        return cx_fail(err, CX_EDATA,
                       "%s: nothing to evaluate among %u users and %u items: users with %d or more "
                       "interactions, to whom %d or more other items are left, are right",
                       path, r->users, r->items, CX_RATINGS_LEAST, CX_RATINGS_NEGATIVES);
    int rc = make_room(r, all->n, evaluated, err);
    if (rc)
        return rc;
    uint32_t user = 0;
    for (size_t i = 0, n; i < all->n; i += n, user++) {
        for (n = 1; i + n < all->n && all->row[i + n].user == all->row[i].user;)
            n++;
        split_user(r, user, all->row + i, (uint32_t)n);
        if (cx_ratings_others(r, user) == 0)
            return cx_fail(err, CX_EDATA,
                           "%s: a user has interacted with all of the %u items: no negatives can "
                           "be drawn for training",
                           path, r->items);
    }
    r->positives = r->first[r->users];
    return CX_OK;
}

int cx_ratings_open(const char *path, cx_ratings **out, cx_error *err) {
    char file[PATH_MAX];
    rows all = {.row = NULL};
    *out = NULL;
    cx_ratings *r = calloc(1, sizeof *r);
    if (!r)
        return cx_fail(err, CX_ENOMEM, "no memory for ratings");
    int rc = find_file(path, file, sizeof file, err);
    if (!rc)
        rc = read_file(file, &all, err);
    if (!rc && all.n == 0)
        rc = cx_fail(err, CX_EDATA, "%s: no ratings in it; %s", file, formats);
    if (!rc) {
        qsort(all.row, all.n, sizeof *all.row, by_user_item);
        drop_repeated(&all, r);
        rc = number(&all, r, err);
    }
    if (!rc)
        rc = split(&all, r, file, err);
    free(all.row);
    if (rc) {
        cx_ratings_close(r);
        return rc;
    }
    *out = r;
    return CX_OK;
}

void cx_ratings_close(cx_ratings *r) {
    if (!r)
        return;
    free(r->user);
    free(r->item);
    free(r->first);
    free(r->count);
    free(r->who);
    free(r->negatives);
    for (int s = 0; s < 3; s++)
        free(r->target[s]);
    free(r);
}

const uint32_t *cx_ratings_negatives(const cx_ratings *r, int split_number, uint32_t e) {
    return r->negatives + (3 * (size_t)e + (size_t)split_number) * CX_RATINGS_NEGATIVES;
}

uint32_t cx_ratings_others(const cx_ratings *r, uint32_t user) {
    return r->items - (r->first[user + 1] - r->first[user]);
}

uint32_t cx_ratings_other(const cx_ratings *r, uint32_t user, uint32_t k) {
    uint32_t first = r->first[user];
    return missing(r->item + first, r->first[user + 1] - first, k);
}
