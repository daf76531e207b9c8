/* Our own vocabulary file: "coxswain-bpe-1 ENTRIES", then a merge per line, two token
 * numbers. Line i + 2 makes token 256 + i. */
#include "data/bpe_parts.h"

#include "base/file.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char magic[] = "coxswain-bpe-1 ";
static const size_t file_limit = (size_t)1 << 20; /* bytes: 65280 lines of at most 12 */

int cx_bpe_print(const cx_bpe *b, char **text, size_t *size, cx_error *err) {
    size_t room = 32 + (size_t)b->n_merges * 12, n;
    char *p = malloc(room);
    *text = NULL;
    *size = 0;
    if (!p)
        return cx_fail(err, CX_ENOMEM, "no memory to write a vocabulary");
    n = (size_t)snprintf(p, room, "%s%d\n", magic, b->entries);
    for (int i = 0; i < b->n_merges; i++)
        n += (size_t)snprintf(p + n, room - n, "%d %d\n", b->merge[i].a, b->merge[i].b);
    *text = p;
    *size = n;
    return CX_OK;
}

int cx_bpe_write(const cx_bpe *b, const char *path, cx_error *err) {
    char *text;
    size_t size;
    if (b->foreign)
        return cx_fail(err, CX_EUNSUPPORTED,
                       "%s: a vocabulary from GPT-2's files keeps its own numbers, which this "
                       "format has no place for; use those files",
                       path);
    int rc = cx_bpe_print(b, &text, &size, err);
    if (!rc)
        rc = cx_file_replace(path, text, size, err);
    free(text);
    return rc;
}

/* A number of at most six digits at *p, which is moved behind it. */
static bool take_number(const unsigned char **p, const unsigned char *end, int *out) {
    int n = 0, digits = 0;
    for (; *p < end && isdigit(**p) && digits < 6; (*p)++, digits++)
        n = 10 * n + (**p - '0');
    *out = n;
    return digits > 0;
}

static bool take(const unsigned char **p, const unsigned char *end, char c) {
    if (*p == end || **p != (unsigned char)c)
        return false;
    (*p)++;
    return true;
}

static int parse_merges(cx_bpe *b, const char *name, const unsigned char *p,
                        const unsigned char *end, cx_error *err) {
    for (int i = 0; i < b->n_merges; i++) {
        int left, right;
        if (p == end)
            return cx_fail(err, CX_EDATA,
                           "%s:%d: cut short: %d merges follow the first line; %d are right", name,
                           i + 2, i, b->n_merges);
        if (!take_number(&p, end, &left) || !take(&p, end, ' ') || !take_number(&p, end, &right) ||
            !take(&p, end, '\n'))
            return cx_fail(err, CX_EDATA,
                           "%s:%d: two token numbers with a space between them are right", name,
                           i + 2);
        int limit = CX_BPE_BYTES + i;
        if (left >= limit || right >= limit)
            return cx_fail(err, CX_EDATA, "%s:%d: token %d is not there yet; below %d is right",
                           name, i + 2, left >= limit ? left : right, limit);
        b->merge[i].a = (uint16_t)left;
        b->merge[i].b = (uint16_t)right;
    }
    if (p < end)
        return cx_fail(err, CX_EDATA, "%s:%d: more lines than the first one announces", name,
                       b->n_merges + 2);
    return CX_OK;
}

int cx_bpe_parse(const char *name, const unsigned char *text, size_t size, cx_bpe **out,
                 cx_error *err) {
    const unsigned char *p = text + sizeof magic - 1, *end = text + size;
    int entries;
    *out = NULL;
    if (size < sizeof magic - 1 || memcmp(text, magic, sizeof magic - 1) != 0)
        return cx_fail(err, CX_EDATA,
                       "%s:1: not a vocabulary of `coxswain tokenize`: it begins with \"%s\"", name,
                       magic);
    if (!take_number(&p, end, &entries) || !take(&p, end, '\n') || entries < CX_BPE_BYTES ||
        entries > CX_BPE_MAX)
        return cx_fail(err, CX_EDATA, "%s:1: number of entries: %d .. %d is right", name,
                       CX_BPE_BYTES, CX_BPE_MAX);
    cx_bpe *b = cx_bpe_blank(entries, entries - CX_BPE_BYTES);
    if (!b)
        return cx_fail(err, CX_ENOMEM, "%s: out of memory", name);
    int rc = parse_merges(b, name, p, end, err);
    if (!rc)
        rc = cx_bpe_complete_learned(b, name, err);
    if (rc)
        cx_bpe_free(b);
    else
        *out = b;
    return rc;
}

int cx_bpe_read(const char *path, cx_bpe **out, cx_error *err) {
    struct stat st;
    unsigned char *text;
    size_t size;
    *out = NULL;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return cx_bpe_read_gpt2(path, out, err);
    int rc = cx_file_read(path, file_limit, &text, &size, err);
    if (rc)
        return rc;
    rc = cx_bpe_parse(path, text, size, out, err);
    free(text);
    return rc;
}
