/* GPT-2's vocabulary files. vocab.json (at OpenAI: encoder.json) maps entries to token
 * numbers; merges.txt (vocab.bpe) has a pair of entries per line, by rank. In both, bytes
 * are written as characters: the 188 printable ones of Latin-1 stand for themselves, the
 * others, in their order, for U+0100, U+0101, ...; a space is U+0120. */
#include "data/bpe_parts.h"

#include "base/file.h"
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const size_t file_limit = (size_t)64 << 20; /* bytes; the published ones have 1 MB */

enum { CODES = 256 + 68 }; /* characters that stand for bytes are below */

typedef struct {
    char vocab_path[PATH_MAX], merges_path[PATH_MAX];
    json_t *vocab;
    unsigned char *merges; /* the file; a zero byte follows */
    size_t merges_size;
    int16_t byte_of[CODES];        /* of a character; -1: none */
    int16_t code_of[CX_BPE_BYTES]; /* the other way */
    const char **name;             /* [entries] of each token, in vocab */
    cx_bpe *bpe;
} reading;

static void make_codes(reading *r) {
    int16_t next = 256;
    for (int i = 0; i < CODES; i++)
        r->byte_of[i] = -1;
    for (int16_t i = 0; i < CX_BPE_BYTES; i++) {
        bool printable = (i >= '!' && i <= '~') || (i >= 0xA1 && i <= 0xAC) || i >= 0xAE;
        r->code_of[i] = printable ? i : next++;
        r->byte_of[r->code_of[i]] = i;
    }
}

/* The bytes that an entry stands for, at most strlen(name) of them, to out (NULL: only
 * counted): what its characters stand for, or where some stand for none ("<a b>"), the
 * name itself. `name` is valid UTF-8 (jansson sees to it). */
static size_t bytes_of(const reading *r, const char *name, unsigned char *out) {
    const unsigned char *p = (const unsigned char *)name;
    size_t n = 0;
    while (*p) {
        unsigned code = *p;
        if (*p >= 0xC0)
            code = *p < 0xE0 ? (*p & 0x1Fu) << 6 | (p[1] & 0x3Fu) : CODES;
        if (code >= CODES || r->byte_of[code] < 0) {
            if (out)
                memcpy(out, name, strlen(name));
            return strlen(name);
        }
        if (out)
            out[n] = (unsigned char)r->byte_of[code];
        n++;
        p += *p < 0x80 ? 1 : 2;
    }
    return n;
}

/* ---- vocab.json */

static int read_names(reading *r, int entries, cx_error *err) {
    const char *key;
    json_t *value;
    r->name = calloc((size_t)entries + 1, sizeof *r->name);
    if (!r->name)
        return cx_fail(err, CX_ENOMEM, "%s: out of memory", r->vocab_path);
    json_object_foreach(r->vocab, key, value) {
        json_int_t number = json_integer_value(value);
        if (!json_is_integer(value) || number < 0 || number >= entries)
            return cx_fail(
                err, CX_EDATA,
                "%s: entry \"%.100s\": its token number: a whole number below the number "
                "of entries, %d, is right",
                r->vocab_path, key, entries);
        if (r->name[number])
            return cx_fail(err, CX_EDATA,
                           "%s: token number %lld stands for \"%.100s\" and \"%.100s\"",
                           r->vocab_path, (long long)number, r->name[number], key);
        size_t size = bytes_of(r, key, NULL);
        if (size == 0 || size > CX_BPE_TOKEN_BYTES_MAX)
            return cx_fail(err, CX_EDATA, "%s: entry \"%.40s\": %zu bytes; 1 .. %d are right",
                           r->vocab_path, key, size, CX_BPE_TOKEN_BYTES_MAX);
        r->name[number] = key;
    }
    return CX_OK;
}

static int fill_bytes(reading *r, int entries, cx_error *err) {
    cx_bpe *b = r->bpe;
    for (int i = 0; i < CX_BPE_BYTES; i++) {
        unsigned code = (unsigned)r->code_of[i];
        char name[3] = {(char)code, 0, 0};
        if (code >= 0x80) {
            name[0] = (char)(0xC0 | code >> 6);
            name[1] = (char)(0x80 | (code & 0x3F));
        }
        const json_t *value = json_object_get(r->vocab, name);
        if (!value)
            return cx_fail(
                err, CX_EDATA,
                "%s: no entry \"%s\", which stands for byte 0x%02x; all 256 bytes must be "
                "there (GPT-2's byte-level vocabulary)",
                r->vocab_path, name, (unsigned)i);
        b->byte[i] = (uint16_t)json_integer_value(value);
    }
    for (int i = 0; i < entries; i++) /* numbers are different and below: each has a name */
        b->start[i + 1] = b->start[i] + bytes_of(r, r->name[i], NULL);
    b->bytes = malloc(b->start[entries]);
    if (!b->bytes)
        return cx_fail(err, CX_ENOMEM, "%s: out of memory", r->vocab_path);
    for (int i = 0; i < entries; i++)
        (void)bytes_of(r, r->name[i], b->bytes + b->start[i]);
    return CX_OK;
}

static int load_vocab(reading *r, cx_error *err) {
    json_error_t fault;
    unsigned char *text;
    size_t size;
    int rc = cx_file_read(r->vocab_path, file_limit, &text, &size, err);
    if (rc)
        return rc;
    r->vocab = json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES, &fault);
    free(text);
    if (!r->vocab)
        return cx_fail(err, CX_EDATA, "%s:%d: %s", r->vocab_path, fault.line, fault.text);
    if (!json_is_object(r->vocab) || json_object_size(r->vocab) > CX_BPE_MAX)
        return cx_fail(err, CX_EDATA,
                       "%s: one object {\"entry\": number, ...} of at most %d entries is right",
                       r->vocab_path, CX_BPE_MAX);
    return CX_OK;
}

/* ---- merges.txt */

/* The token of an entry of which a merge speaks. */
static int find_token(const reading *r, int line, const char *entry, uint16_t *token,
                      cx_error *err) {
    const json_t *value = json_object_get(r->vocab, entry);
    json_t *valid = value ? NULL : json_string(entry);
    json_decref(valid);
    if (!value && !valid)
        return cx_fail(err, CX_EDATA, "%s:%d: not valid UTF-8", r->merges_path, line);
    if (!value)
        return cx_fail(err, CX_EDATA, "%s:%d: \"%.100s\" is not in %s", r->merges_path, line, entry,
                       r->vocab_path);
    *token = (uint16_t)json_integer_value(value);
    return CX_OK;
}

static int parse_merge(const reading *r, int line, char *text, cx_bpe_merge *m, cx_error *err) {
    char both[2 * CX_BPE_TOKEN_BYTES_MAX * 2 + 1];
    char *space = strchr(text, ' ');
    if (!space || space == text || !space[1] || strchr(space + 1, ' ') ||
        strlen(text) >= sizeof both)
        return cx_fail(err, CX_EDATA, "%s:%d: two entries with a space between them are right",
                       r->merges_path, line);
    *space = 0;
    (void)snprintf(both, sizeof both, "%s%s", text, space + 1);
    int rc = find_token(r, line, text, &m->a, err);
    if (!rc)
        rc = find_token(r, line, space + 1, &m->b, err);
    if (!rc)
        rc = find_token(r, line, both, &m->result, err);
    return rc;
}

/* The lines that hold merges: all but an empty last one and "#version: ..." at the top. */
static int parse_merges(reading *r, cx_bpe_merge *merge, int *line_of, int room, int *n,
                        cx_error *err) {
    char *p = (char *)r->merges, *end = p + r->merges_size;
    *n = 0;
    for (int line = 1; p < end; line++) {
        char *stop = memchr(p, '\n', (size_t)(end - p)), *next = stop ? stop + 1 : end;
        if (!stop)
            stop = end;
        if (stop > p && stop[-1] == '\r')
            stop--;
        if (memchr(p, 0, (size_t)(stop - p)))
            return cx_fail(err, CX_EDATA, "%s:%d: a zero byte; text is right", r->merges_path,
                           line);
        *stop = 0;
        bool skip = (line == 1 && strncmp(p, "#version", 8) == 0) || (!*p && next == end);
        if (!skip && *n == room)
            return cx_fail(err, CX_EDATA, "%s:%d: more merges than %s has entries", r->merges_path,
                           line, r->vocab_path);
        if (!skip) {
            int rc = parse_merge(r, line, p, &merge[*n], err);
            if (rc)
                return rc;
            line_of[(*n)++] = line;
        }
        p = next;
    }
    return CX_OK;
}

static int build(reading *r, cx_error *err) {
    int entries = (int)json_object_size(r->vocab), n, twice = -1;
    int *line_of = malloc(((size_t)entries + 1) * sizeof *line_of);
    cx_bpe_merge *merge = malloc(((size_t)entries + 1) * sizeof *merge);
    int rc = read_names(r, entries, err);
    if (!rc && (!line_of || !merge))
        rc = cx_fail(err, CX_ENOMEM, "%s: out of memory", r->merges_path);
    if (!rc)
        rc = parse_merges(r, merge, line_of, entries, &n, err);
    if (!rc) {
        r->bpe = cx_bpe_blank(entries, n);
        if (!r->bpe)
            rc = cx_fail(err, CX_ENOMEM, "%s: out of memory", r->vocab_path);
    }
    if (!rc) {
        r->bpe->foreign = true;
        memcpy(r->bpe->merge, merge, (size_t)n * sizeof *merge);
        rc = fill_bytes(r, entries, err);
    }
    if (!rc)
        rc = cx_bpe_complete(r->bpe, &twice, err);
    if (twice >= 0)
        rc = cx_fail(err, CX_EDATA, "%s:%d: this pair is merged in an earlier line already",
                     r->merges_path, line_of[twice]);
    free(line_of);
    free(merge);
    return rc;
}

static int find_file(const char *folder, const char *name, const char *other, char *path,
                     cx_error *err) {
    int rc = cx_path(path, PATH_MAX, err, "%s/%s", folder, name);
    if (rc || cx_file_exists(path))
        return rc;
    rc = cx_path(path, PATH_MAX, err, "%s/%s", folder, other);
    if (rc || cx_file_exists(path))
        return rc;
    return cx_fail(err, CX_EDATA, "%s: neither %s nor %s is there (GPT-2's files are right)",
                   folder, name, other);
}

int cx_bpe_read_gpt2(const char *folder, cx_bpe **out, cx_error *err) {
    reading *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r)
        return cx_fail(err, CX_ENOMEM, "%s: out of memory", folder);
    make_codes(r);
    int rc = find_file(folder, "vocab.json", "encoder.json", r->vocab_path, err);
    if (!rc)
        rc = find_file(folder, "merges.txt", "vocab.bpe", r->merges_path, err);
    if (!rc)
        rc = load_vocab(r, err);
    if (!rc)
        rc = cx_file_read(r->merges_path, file_limit, &r->merges, &r->merges_size, err);
    if (!rc)
        rc = build(r, err);
    if (rc)
        cx_bpe_free(r->bpe);
    else
        *out = r->bpe;
    json_decref(r->vocab);
    free(r->merges);
    free(r->name);
    free(r);
    return rc;
}
