#include "data/corpus.h"

#include "base/file.h"
#include "base/hash.h"
#include "data/bpe_parts.h"
#include "data/split_files.h"
#include "data/textfile.h"
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TRAIN, VALID, TEST, SPLITS };

static const char *const split_name[SPLITS] = {"training", "validation", "test"};
_Static_assert((int)SPLITS == (int)CX_SPLIT_FILES, "the same three");

typedef struct {
    const cx_mapped *file; /* of the corpus */
    const char *path;
    size_t begin, end; /* bytes of the file */
    cx_mapped tokens;  /* uint16_t; unused where the bytes are the tokens */
} part;

struct cx_corpus {
    char path[SPLITS][PATH_MAX]; /* "": no such file; a single file is the first */
    cx_mapped file[SPLITS];
    part split[SPLITS];
    cx_bpe *bpe; /* NULL: bytes */
};

/* A place to cut text[begin .. end) near `at`: after a line end in the half of what follows
 * or of what comes before; where no line ends there, between two characters. */
static size_t cut_near(const unsigned char *text, size_t begin, size_t at, size_t end) {
    size_t after = (end - at) / 2, before = (at - begin) / 2;
    if (at == begin || at == end || text[at - 1] == '\n')
        return at;
    const unsigned char *p = memchr(text + at, '\n', after);
    if (p)
        return (size_t)(p - text) + 1;
    p = memrchr(text + at - before, '\n', before);
    if (p)
        return (size_t)(p - text) + 1;
    for (int i = 0; i < 3 && at < end && (text[at] & 0xC0) == 0x80; i++)
        at++;
    return at;
}

static void set_part(cx_corpus *c, int split, int file, size_t begin, size_t end) {
    c->split[split].file = &c->file[file];
    c->split[split].path = c->path[file];
    c->split[split].begin = begin;
    c->split[split].end = end;
}

static void cut_file(cx_corpus *c) {
    const unsigned char *text = c->file[0].bytes;
    size_t n = c->file[0].size, twentieth = n / 20;
    size_t a = cut_near(text, 0, n - 2 * twentieth, n - twentieth);
    size_t b = cut_near(text, a, n - twentieth > a ? n - twentieth : a, n);
    set_part(c, TRAIN, 0, 0, a);
    set_part(c, VALID, 0, a, b);
    set_part(c, TEST, 0, b, n);
}

static void cut_folder(cx_corpus *c) {
    size_t end = c->file[TRAIN].size;
    for (int s = TEST; s >= VALID; s--) {
        if (c->path[s][0]) {
            set_part(c, s, s, 0, c->file[s].size);
        } else {
            size_t at = cut_near(c->file[TRAIN].bytes, 0, end - end / 10, end);
            set_part(c, s, TRAIN, at, end);
            end = at;
        }
    }
    set_part(c, TRAIN, TRAIN, 0, end);
}

static int open_texts(cx_corpus *c, const char *path, const char *cache, cx_error *err) {
    struct stat st;
    int rc = CX_OK;
    if (stat(path, &st) != 0)
        return cx_fail(err, CX_EDATA, "%s: %s", path[0] ? path : "(no path is given)",
                       strerror(errno));
    bool folder = S_ISDIR(st.st_mode);
    rc = folder ? cx_split_files_find(path, c->path, err)
                : cx_path(c->path[0], PATH_MAX, err, "%s", path);
    for (int s = 0; !rc && s < SPLITS; s++) {
        if (c->path[s][0])
            rc = cx_textfile_open(c->path[s], cache, &c->file[s], err);
        if (!rc && c->path[s][0] && c->file[s].size == 0)
            rc = cx_fail(err, CX_EDATA, "%s: empty", c->path[s]);
    }
    if (!rc && folder)
        cut_folder(c);
    else if (!rc)
        cut_file(c);
    return rc;
}

/* ---- vocabulary and tokens */

static const size_t learned_bytes = (size_t)64 << 20; /* of the training split, at most */
static const size_t encoded_bytes = (size_t)4 << 20;  /* at a time */

/* What a file in the cache is made from: a part of a file and `more`. Version: of what we
 * make from it. */
static int part_key(const part *p, uint64_t more, uint64_t *key, cx_error *err) {
    static const uint64_t version = 1;
    uint64_t file = 0;
    int rc = cx_cache_key_file(p->path, &file, err);
    const uint64_t facts[] = {version, file, p->begin, p->end, more};
    *key = cx_hash(facts, sizeof facts, 0);
    return rc;
}

typedef struct {
    const part *part;
    const cx_bpe *bpe;
    int entries;
} making;

static int make_vocabulary(void *context, FILE *file, cx_error *err) {
    const making *m = context;
    const unsigned char *text = m->part->file->bytes + m->part->begin;
    size_t n = m->part->end - m->part->begin, size;
    cx_bpe *bpe;
    char *lines = NULL;
    if (n > learned_bytes)
        n = cut_near(text, 0, learned_bytes, learned_bytes + 1); /* back to a line end */
    int rc = cx_bpe_learn(text, n, m->entries, &bpe, err);
    if (!rc)
        rc = cx_bpe_print(bpe, &lines, &size, err);
    if (!rc)
        rc = cx_cache_write(file, lines, size, err);
    free(lines);
    cx_bpe_free(bpe);
    return rc;
}

static int learn(cx_corpus *c, int entries, const char *cache, cx_error *err) {
    making m = {.part = &c->split[TRAIN], .entries = entries};
    cx_mapped text;
    uint64_t key;
    int rc = part_key(m.part, (uint64_t)entries, &key, err);
    if (!rc)
        rc = cx_cache_open(cache, "vocabulary", key, make_vocabulary, &m, &text, err);
    if (rc)
        return rc;
    rc = cx_bpe_parse("vocabulary in the cache", text.bytes, text.size, &c->bpe, err);
    cx_mapped_close(&text);
    return rc;
}

static int make_tokens(void *context, FILE *file, cx_error *err) {
    const making *m = context;
    const unsigned char *text = m->part->file->bytes + m->part->begin;
    size_t left = m->part->end - m->part->begin;
    int rc = CX_OK;
    while (!rc && left > 0) {
        size_t size = cx_bpe_chunk(text, left, encoded_bytes), n;
        uint16_t *tokens;
        rc = cx_bpe_encode(m->bpe, text, size, &tokens, &n, err);
        if (!rc)
            rc = cx_cache_write(file, tokens, n * sizeof *tokens, err);
        free(tokens);
        text += size;
        left -= size;
    }
    return rc;
}

/* The cache is ours, but it may have been damaged, and models look rows up by tokens. */
static int check_tokens(const cx_bpe *bpe, const cx_mapped *tokens, cx_error *err) {
    const uint16_t *token = (const uint16_t *)(const void *)tokens->bytes;
    uint16_t largest = 0;
    for (size_t i = 0; i < tokens->size / sizeof *token; i++)
        largest = token[i] > largest ? token[i] : largest;
    if (tokens->size % sizeof *token == 0 && largest < cx_bpe_entries(bpe))
        return CX_OK;
    return cx_fail(err, CX_EFORMAT,
                   "a damaged file of tokens in the cache (data.cache): remove it, and it is made "
                   "again");
}

static int open_tokens(cx_corpus *c, int entries, const char *tokenizer, const char *cache,
                       cx_error *err) {
    int rc = CX_OK;
    if (tokenizer[0])
        rc = cx_bpe_read(tokenizer, &c->bpe, err);
    else if (entries < 256 || entries > CX_BPE_MAX)
        rc = cx_fail(err, CX_ECONFIG, "a vocabulary of %d entries: 256 .. %d is right", entries,
                     CX_BPE_MAX);
    else if (entries > 256)
        rc = learn(c, entries, cache, err);
    for (int s = 0; !rc && c->bpe && s < SPLITS; s++) {
        making m = {.part = &c->split[s], .bpe = c->bpe};
        uint64_t key;
        rc = part_key(m.part, cx_bpe_hash(c->bpe), &key, err);
        if (!rc)
            rc = cx_cache_open(cache, "tokens", key, make_tokens, &m, &c->split[s].tokens, err);
        if (!rc)
            rc = check_tokens(c->bpe, &c->split[s].tokens, err);
    }
    return rc;
}

int cx_corpus_open(const char *path, int entries, const char *tokenizer, const char *cache,
                   cx_corpus **out, cx_error *err) {
    cx_corpus *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return cx_fail(err, CX_ENOMEM, "%s: out of memory", path);
    int rc = open_texts(c, path, cache, err);
    if (!rc)
        rc = open_tokens(c, entries, tokenizer, cache, err);
    for (int s = 0; !rc && s < SPLITS; s++)
        if (cx_corpus_tokens(c, s) < 2)
            rc = cx_fail(err, CX_EDATA, "%s: too short: %zu tokens are left for the %s split",
                         c->split[s].path, cx_corpus_tokens(c, s), split_name[s]);
    if (rc) {
        cx_corpus_close(c);
        return rc;
    }
    *out = c;
    return CX_OK;
}

void cx_corpus_close(cx_corpus *c) {
    if (!c)
        return;
    for (int s = 0; s < SPLITS; s++) {
        cx_mapped_close(&c->file[s]);
        cx_mapped_close(&c->split[s].tokens);
    }
    cx_bpe_free(c->bpe);
    free(c);
}

int cx_corpus_entries(const cx_corpus *c) {
    return c->bpe ? cx_bpe_entries(c->bpe) : 256;
}

size_t cx_corpus_tokens(const cx_corpus *c, int split) {
    return c->bpe ? c->split[split].tokens.size / sizeof(uint16_t) : cx_corpus_bytes(c, split);
}

size_t cx_corpus_bytes(const cx_corpus *c, int split) {
    return c->split[split].end - c->split[split].begin;
}

void cx_corpus_copy(const cx_corpus *c, int split, size_t first, int n, int32_t *out) {
    const part *p = &c->split[split];
    if (c->bpe) {
        const uint16_t *tokens = (const uint16_t *)(const void *)p->tokens.bytes + first;
        for (int i = 0; i < n; i++)
            out[i] = tokens[i];
    } else {
        const unsigned char *bytes = p->file->bytes + p->begin + first;
        for (int i = 0; i < n; i++)
            out[i] = bytes[i];
    }
}

const cx_bpe *cx_corpus_bpe(const cx_corpus *c) {
    return c->bpe;
}
