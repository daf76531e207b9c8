#include "data/sentence_file.h"

#include "base/hash.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { COLUMNS_MAX = 64, LABEL_MAX = 64, DIGITS_MAX = 9 };

typedef struct {
    const char *path;
    const char *p, *end; /* what is not read yet */
    size_t line;         /* of p */
    cx_span *words;
    size_t n_words, room;
    cx_sentence_take take;
    void *context;
} reader;

/* What is no part of a word. */
static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static cx_span trimmed(cx_span s) {
    while (s.size > 0 && blank(s.at[0]))
        s.at++, s.size--;
    while (s.size > 0 && blank(s.at[s.size - 1]))
        s.size--;
    return s;
}

static int add_word(reader *r, const char *at, size_t size, cx_error *err) {
    if (r->n_words == r->room) {
        size_t room = r->room ? 2 * r->room : 256;
        cx_span *words = realloc(r->words, room * sizeof *words);
        if (!words)
            return cx_fail(err, CX_ENOMEM, "%s:%zu: no memory for %zu words", r->path, r->line,
                           room);
        r->words = words;
        r->room = room;
    }
    r->words[r->n_words++] = (cx_span){at, size};
    return CX_OK;
}

/* Hands on the words so far as a sentence that begins on `line`. */
static int give(reader *r, cx_span label, size_t line, cx_error *err) {
    if (label.size == 0)
        return cx_fail(err, CX_EDATA, "%s:%zu: the label is empty", r->path, line);
    if (label.size > LABEL_MAX)
        return cx_fail(err, CX_EDATA,
                       "%s:%zu: a label of %zu bytes, at most %d are right: is it the text? A "
                       "header line that names the columns `label` and `text` says which is which",
                       r->path, line, label.size, LABEL_MAX);
    if (r->n_words == 0)
        return cx_fail(err, CX_EDATA, "%s:%zu: a sentence without words", r->path, line);
    cx_sentence s = {label, r->words, r->n_words, line};
    r->n_words = 0;
    return r->take(r->context, &s, err);
}

/* The next line without its end; false: there is none. */
static bool next_line(reader *r, cx_span *line) {
    if (r->p == r->end)
        return false;
    const char *stop = memchr(r->p, '\n', (size_t)(r->end - r->p));
    line->at = r->p;
    line->size = (size_t)((stop ? stop : r->end) - r->p);
    r->p = stop ? stop + 1 : r->end;
    return true;
}

/* --- trees --- */

/* What may come next. No recursion, no stack: the depth alone says whether a tree is
 * whole. */
typedef enum { AT_ROOT, AT_NUMBER, AT_CONTENT, AT_CLOSE, AT_NEXT, AT_END } tree_state;

static int tree_fault(const reader *r, size_t column, const char *what, cx_error *err) {
    return cx_fail(err, CX_EDATA,
                   "%s:%zu: column %zu: %s; one tree a line is right, such as (3 (2 A) (4 film))",
                   r->path, r->line, column + 1, what);
}

static bool is_number(const char *at, size_t size) {
    size_t digits = 0;
    while (digits < size && at[digits] >= '0' && at[digits] <= '9')
        digits++;
    return digits == size && digits <= DIGITS_MAX;
}

/* A node's number, or a word. */
static int tree_token(reader *r, tree_state *state, cx_span token, size_t column, cx_span *label,
                      cx_error *err) {
    if (*state == AT_NUMBER) {
        if (!is_number(token.at, token.size))
            return tree_fault(r, column, "a node's number is missing or no whole number", err);
        if (!label->size)
            *label = token;
        *state = AT_CONTENT;
        return CX_OK;
    }
    if (*state != AT_CONTENT)
        return tree_fault(r, column,
                          *state == AT_END    ? "something follows the tree"
                          : *state == AT_ROOT ? "not a tree"
                                              : "a word beside another word or node",
                          err);
    *state = AT_CLOSE;
    return add_word(r, token.at, token.size, err);
}

static int tree_bracket(const reader *r, tree_state *state, char c, size_t column, size_t *depth,
                        cx_error *err) {
    if (c == '(') {
        if (*state == AT_END)
            return tree_fault(r, column, "something follows the tree", err);
        if (*state != AT_ROOT && *state != AT_CONTENT && *state != AT_NEXT)
            return tree_fault(r, column, "a parenthesis where a node's number or end belongs", err);
        ++*depth;
        *state = AT_NUMBER;
        return CX_OK;
    }
    if (*state != AT_CLOSE && *state != AT_NEXT)
        return tree_fault(r, column,
                          *state == AT_END ? "a closing parenthesis too many"
                                           : "a node without word or nodes",
                          err);
    *state = --*depth ? AT_NEXT : AT_END;
    return CX_OK;
}

static int read_tree(reader *r, cx_span line, cx_error *err) {
    tree_state state = AT_ROOT;
    cx_span label = {0};
    size_t depth = 0;
    for (size_t i = 0; i < line.size;) {
        size_t from = i;
        int rc;
        if (blank(line.at[i])) {
            i++;
            continue;
        }
        if (line.at[i] == '(' || line.at[i] == ')') {
            rc = tree_bracket(r, &state, line.at[i++], from, &depth, err);
        } else {
            while (i < line.size && !blank(line.at[i]) && line.at[i] != '(' && line.at[i] != ')')
                i++;
            rc = tree_token(r, &state, (cx_span){line.at + from, i - from}, from, &label, err);
        }
        if (rc)
            return rc;
    }
    if (state != AT_END)
        return tree_fault(r, line.size, "the line ends within a tree", err);
    return give(r, label, r->line, err);
}

static int read_trees(reader *r, cx_error *err) {
    cx_span line;
    for (; next_line(r, &line); r->line++) {
        int rc = trimmed(line).size ? read_tree(r, line, err) : CX_OK;
        if (rc)
            return rc;
    }
    return CX_OK;
}

/* --- words of plain text --- */

static bool cut_off(char c) {
    return c && strchr("!\"#$%&()*+,./:;<=>?@[\\]^_`{|}~", c); /* in any locale */
}

/* Length of the run of one character at the beginning, or at the end, of a word. */
static size_t run_at(const char *at, size_t size, bool end) {
    size_t n = 1;
    while (n < size && (end ? at[size - 1 - n] == at[size - 1] : at[n] == at[0]))
        n++;
    return n;
}

static int add_blankless(reader *r, const char *at, size_t size, cx_error *err) {
    size_t from = 0, to = size;
    int rc = CX_OK;
    while (!rc && from < to && cut_off(at[from])) {
        size_t n = run_at(at + from, to - from, false);
        rc = add_word(r, at + from, n, err);
        from += n;
    }
    while (to > from && cut_off(at[to - 1]))
        to -= run_at(at + from, to - from, true);
    if (!rc && to > from)
        rc = add_word(r, at + from, to - from, err);
    for (size_t n; !rc && to < size; to += n) {
        n = run_at(at + to, size - to, false);
        rc = add_word(r, at + to, n, err);
    }
    return rc;
}

static int add_text(reader *r, cx_span text, cx_error *err) {
    int rc = CX_OK;
    for (size_t i = 0; !rc && i < text.size;) {
        size_t from = i;
        while (i < text.size && !blank(text.at[i]))
            i++;
        if (i > from)
            rc = add_blankless(r, text.at + from, i - from, err);
        while (i < text.size && blank(text.at[i]))
            i++;
    }
    return rc;
}

/* --- tables --- */

typedef struct {
    cx_span text; /* without the quotes around it */
    bool doubled; /* "" stands for a quote in it */
} field;

typedef struct {
    reader *r;
    char separator;
    field fields[COLUMNS_MAX];
    int n;       /* fields of the newest record */
    size_t line; /* on which it begins */
    cx_sentence_columns is;
    bool header, whole_rest; /* the text is all that follows the label */
    char *copy[2];           /* fields without doubled quotes: label, text */
    size_t room[2];
} table;

static int row_fault(const table *t, const char *what, cx_error *err) {
    return cx_fail(err, CX_EDATA, "%s:%zu: %s", t->r->path, t->line, what);
}

/* r->p is behind the opening quote, then behind the closing one. */
static int read_quoted(table *t, field *f, cx_error *err) {
    reader *r = t->r;
    f->text.at = r->p;
    for (;;) {
        const char *q = memchr(r->p, '"', (size_t)(r->end - r->p));
        if (!q)
            return row_fault(t, "a quote begins in the row that begins here, and does not end",
                             err);
        for (const char *c = r->p; (c = memchr(c, '\n', (size_t)(q - c))) != NULL; c++)
            r->line++;
        r->p = q + 1;
        if (r->p == r->end || *r->p != '"') {
            f->text.size = (size_t)(q - f->text.at);
            break;
        }
        f->doubled = true;
        r->p++;
    }
    if (r->p < r->end && *r->p == '\r' && (r->p + 1 == r->end || r->p[1] == '\n'))
        r->p++;
    if (r->p < r->end && *r->p != t->separator && *r->p != '\n')
        return row_fault(t, "something follows a closing quote (a quote within quotes is \"\")",
                         err);
    return CX_OK;
}

static void read_plain(table *t, field *f) {
    reader *r = t->r;
    f->text.at = r->p;
    while (r->p < r->end && *r->p != t->separator && *r->p != '\n')
        r->p++;
    f->text.size = (size_t)(r->p - f->text.at);
    bool last = r->p == r->end || *r->p == '\n';
    if (last && f->text.size > 0 && r->p[-1] == '\r')
        f->text.size--;
}

/* Reads records until one is not blank; false: the end (or a fault in *rc). */
static bool next_record(table *t, int *rc, cx_error *err) {
    reader *r = t->r;
    while (r->p < r->end) {
        bool more = true;
        t->n = 0;
        t->line = r->line;
        while (more) {
            if (t->n == COLUMNS_MAX && t->whole_rest)
                t->n--; /* tabs within a text */
            if (t->n == COLUMNS_MAX) {
                *rc = row_fault(t, "more than 64 columns", err);
                return false;
            }
            field *f = &t->fields[t->n++];
            *f = (field){0};
            if (t->separator == ',' && r->p < r->end && *r->p == '"') {
                r->p++;
                *rc = read_quoted(t, f, err);
                if (*rc)
                    return false;
            } else
                read_plain(t, f);
            more = r->p < r->end && *r->p == t->separator;
            r->p += more;
        }
        r->line += r->p < r->end;
        r->p += r->p < r->end; /* the line end */
        if (t->n > 1 || trimmed(t->fields[0].text).size > 0)
            return true;
    }
    return false;
}

static int column_named(const table *t, const char *const *names) {
    for (int i = 0; i < t->n; i++) {
        cx_span s = trimmed(t->fields[i].text);
        for (int k = 0; names[k]; k++)
            if (strlen(names[k]) == s.size && strncasecmp(names[k], s.at, s.size) == 0)
                return i;
    }
    return -1;
}

/* Is the first record a header? */
static int look_for_header(table *t, cx_error *err) {
    static const char *const labels[] = {"label", "sentiment", "class", "polarity", NULL};
    static const char *const texts[] = {"text", "sentence", "review", NULL};
    cx_sentence_columns found = {t->n, column_named(t, labels), column_named(t, texts)};
    if (found.label < 0 && found.text < 0)
        return CX_OK;
    if (found.label < 0 || found.text < 0)
        return row_fault(t,
                         found.label < 0
                             ? "looks like a header, but no column is named label, sentiment, "
                               "class or polarity"
                             : "looks like a header, but no column is named text, sentence or "
                               "review",
                         err);
    t->header = true;
    t->whole_rest = false;
    t->is = found;
    return CX_OK;
}

static int compare_hashes(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static size_t different(uint64_t *hash, size_t n) {
    size_t kinds = 0;
    qsort(hash, n, sizeof *hash, compare_hashes);
    for (size_t i = 0; i < n; i++)
        kinds += i == 0 || hash[i] != hash[i - 1];
    return kinds;
}

/* Label and text of a CSV file without header; reads all of it. */
static int find_columns(table *t, cx_error *err) {
    uint64_t *hash[2] = {NULL, NULL};
    size_t n = 0, room = 0;
    int rc = CX_OK, columns = 0;
    while (!rc && next_record(t, &rc, err)) {
        columns = columns ? columns : t->n;
        for (int k = 0; k < 2 && n == room; k++) {
            uint64_t *more = realloc(hash[k], (2 * room + 1024) * sizeof *more);
            if (!more) {
                rc = cx_fail(err, CX_ENOMEM, "%s: no memory for its rows", t->r->path);
                break;
            }
            hash[k] = more;
        }
        if (rc)
            break;
        room = n == room ? 2 * room + 1024 : room;
        cx_span first = trimmed(t->fields[0].text), last = trimmed(t->fields[t->n - 1].text);
        hash[0][n] = cx_hash(first.at, first.size, 0);
        hash[1][n++] = cx_hash(last.at, last.size, 0);
    }
    if (!rc) {
        bool label_last = n && different(hash[1], n) < different(hash[0], n);
        t->is = (cx_sentence_columns){columns, label_last ? columns - 1 : 0,
                                      label_last ? 0 : columns - 1};
    }
    free(hash[0]);
    free(hash[1]);
    return rc;
}

/* A field with its doubled quotes made single. */
static int plain(table *t, int which, field f, cx_span *out, cx_error *err) {
    *out = f.text;
    if (!f.doubled)
        return CX_OK;
    if (f.text.size > t->room[which]) {
        char *more = realloc(t->copy[which], f.text.size);
        if (!more)
            return cx_fail(err, CX_ENOMEM, "%s:%zu: no memory for %zu bytes", t->r->path, t->line,
                           f.text.size);
        t->copy[which] = more;
        t->room[which] = f.text.size;
    }
    size_t n = 0;
    for (size_t i = 0; i < f.text.size; i++) {
        t->copy[which][n++] = f.text.at[i];
        i += f.text.at[i] == '"';
    }
    *out = (cx_span){t->copy[which], n};
    return CX_OK;
}

static int give_record(table *t, cx_error *err) {
    cx_span label, text;
    if (t->whole_rest ? t->n < 2 : t->n != t->is.columns)
        return cx_fail(err, CX_EDATA, "%s:%zu: %d column%s; %d %s right", t->r->path, t->line, t->n,
                       t->n == 1 ? "" : "s", t->whole_rest ? 2 : t->is.columns,
                       t->is.columns == 1 && !t->whole_rest ? "is" : "are");
    int rc = plain(t, 0, t->fields[t->is.label], &label, err);
    if (!rc)
        rc = plain(t, 1, t->fields[t->is.text], &text, err);
    if (!rc && t->whole_rest) {
        const field *last = &t->fields[t->n - 1];
        text.size = (size_t)(last->text.at + last->text.size - text.at);
    }
    if (!rc)
        rc = add_text(t->r, text, err);
    return rc ? rc : give(t->r, trimmed(label), t->line, err);
}

/* Decides which columns are what; the reader stands at the beginning before and after,
 * or behind the header. */
static int settle_columns(table *t, cx_sentence_columns *columns, cx_error *err) {
    reader start = *t->r;
    int rc = CX_OK;
    t->whole_rest = t->separator == '\t'; /* unless there is a header */
    if (!next_record(t, &rc, err))
        return rc;
    rc = look_for_header(t, err);
    if (rc || t->header)
        return rc;
    int n = t->n;
    t->r->p = start.p;
    t->r->line = start.line;
    if (t->whole_rest) {
        t->is = (cx_sentence_columns){2, 0, 1};
        return CX_OK;
    }
    if (columns->columns == n) {
        t->is = *columns;
        return CX_OK;
    }
    rc = n < 2 ? row_fault(t, "1 column; 2 or more are right, one of them the label", err)
               : find_columns(t, err);
    t->r->p = start.p;
    t->r->line = start.line;
    if (!rc)
        *columns = t->is;
    return rc;
}

static int read_table(reader *r, char separator, cx_sentence_columns *columns, cx_error *err) {
    table *t = calloc(1, sizeof *t);
    if (!t)
        return cx_fail(err, CX_ENOMEM, "%s: no memory to read it", r->path);
    t->r = r;
    t->separator = separator;
    int rc = settle_columns(t, columns, err);
    while (!rc && next_record(t, &rc, err))
        rc = give_record(t, err);
    free(t->copy[0]);
    free(t->copy[1]);
    free(t);
    return rc;
}

/* --- any file --- */

static int refuse_zeros(const reader *r, cx_error *err) {
    const char *zero = memchr(r->p, 0, (size_t)(r->end - r->p));
    size_t line = 1;
    if (!zero)
        return CX_OK;
    for (const char *c = r->p; (c = memchr(c, '\n', (size_t)(zero - c))) != NULL; c++)
        line++;
    return cx_fail(err, CX_EDATA, "%s:%zu: a zero byte: text in UTF-8 is right", r->path, line);
}

/* The separator of a table, '(' for trees, 0: none of them. `line`: the first with text. */
static char format_of(cx_span line) {
    if (trimmed(line).at[0] == '(')
        return '(';
    for (size_t i = 0; i < line.size; i++)
        if (line.at[i] == '\t' || line.at[i] == ',' || line.at[i] == '"')
            return line.at[i] == '\t' ? '\t' : ',';
    return 0;
}

static int read_format(reader *r, cx_sentence_columns *columns, cx_error *err) {
    reader ahead = *r;
    cx_span line = {NULL, 0};
    while (next_line(&ahead, &line) && trimmed(line).size == 0)
        ahead.line++;
    if (!line.at || trimmed(line).size == 0)
        return cx_fail(err, CX_EDATA, "%s: empty; labeled sentences are right", r->path);
    char c = format_of(line);
    if (c == '(')
        return read_trees(r, err);
    if (c == 0)
        return cx_fail(err, CX_EDATA,
                       "%s:%zu: neither a bracketed tree, nor LABEL<TAB>TEXT, nor CSV: no tab and "
                       "no comma",
                       r->path, ahead.line);
    return read_table(r, c, columns, err);
}

int cx_sentence_file_read(const char *path, const unsigned char *bytes, size_t size,
                          cx_sentence_columns *columns, cx_sentence_take take, void *context,
                          cx_error *err) {
    const char *text = size ? (const char *)bytes : "";
    reader r = {
        .path = path, .p = text, .end = text + size, .line = 1, .take = take, .context = context};
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        r.p += 3;
    int rc = refuse_zeros(&r, err);
    if (!rc)
        rc = read_format(&r, columns, err);
    free(r.words);
    return rc;
}
