/* coxswain tokenize FILES...: learns a byte-pair vocabulary, or uses one, and tells what
 * becomes of the files. */
#include "cli/command.h"

#include "base/clock.h"
#include "base/file.h"
#include "cli/args.h"
#include "data/bpe.h"
#include "data/textfile.h"
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cx_option options[] = {
    {"--vocab", "N", "entries of the vocabulary, the 256 bytes among them (default 2048)"},
    {"--out", "FILE", "the vocabulary file (default tokenizer-N.bpe)"},
    {"--force", NULL, "overwrite FILE"},
    {"--tokenizer", "FILE",
     "learn nothing: use this vocabulary file, or folder with GPT-2's files"},
    {"--check", NULL, "exit 2 unless every file comes back from its tokens, byte for byte"},
    {"--ids", NULL, "print the token numbers of the files, one a line, and nothing else"},
    {"--json", NULL, "one JSON object"},
    {NULL, NULL, NULL}};
static const cx_syntax syntax = {
    "tokenize",
    "FILES... [--vocab N] [--out FILE] [--force] [--tokenizer FILE] [--check] [--ids] [--json]",
    "Learns a byte-pair vocabulary (GPT-2's way) from text files, plain or .gz, and tells how\n"
    "many tokens they become. Give the training texts alone: validation and test must not\n"
    "shape the vocabulary.",
    options,
    1,
    CX_ARGS_MAX};

static const size_t chunk_bytes = (size_t)4 << 20; /* encoded at a time */

typedef struct {
    const char *path;
    cx_mapped text;
    uint64_t tokens;
} input;

typedef struct {
    const cx_args *args;
    input input[CX_ARGS_MAX];
    char out[PATH_MAX]; /* "": nothing is learned */
    cx_bpe *bpe;
    double learn_seconds, encode_seconds;
} tokenizing;

static int open_inputs(tokenizing *t, cx_error *err) {
    for (int i = 0; i < t->args->n_words; i++) {
        input *in = &t->input[i];
        in->path = t->args->word[i];
        int rc = cx_textfile_open(in->path, "", &in->text, err);
        if (!rc && in->text.size == 0)
            rc = cx_fail(err, CX_EDATA, "%s: empty", in->path);
        if (rc)
            return rc;
    }
    return CX_OK;
}

static int learn(tokenizing *t, cx_error *err) {
    cx_bpe_learner *l;
    const char *out = cx_args_value(t->args, "--out");
    long long entries;
    int rc = cx_args_int(t->args, "--vocab", 256, CX_BPE_MAX, 2048, &entries, err);
    if (!rc && out)
        rc = cx_path(t->out, sizeof t->out, err, "%s", out);
    else if (!rc)
        rc = cx_path(t->out, sizeof t->out, err, "tokenizer-%lld.bpe", entries);
    if (!rc && cx_file_exists(t->out) && !cx_args_has(t->args, "--force"))
        rc = cx_fail(err, CX_EUSAGE, "%s is there already; --force overwrites it", t->out);
    if (!rc)
        rc = open_inputs(t, err);
    if (rc)
        return rc;
    double start = cx_clock_now();
    rc = cx_bpe_learner_create(&l, err);
    for (int i = 0; !rc && i < t->args->n_words; i++)
        rc = cx_bpe_learner_add(l, t->input[i].text.bytes, t->input[i].text.size, err);
    if (!rc)
        rc = cx_bpe_learner_finish(l, (int)entries, &t->bpe, err);
    cx_bpe_learner_free(l);
    t->learn_seconds = cx_clock_now() - start;
    if (!rc)
        rc = cx_bpe_write(t->bpe, t->out, err);
    if (!rc && cx_bpe_entries(t->bpe) < entries)
        (void)fprintf(stderr, "only %d entries: no further pair occurs twice\n",
                      cx_bpe_entries(t->bpe));
    return rc;
}

static int use(tokenizing *t, const char *path, cx_error *err) {
    static const char *const of_learning[] = {"--vocab", "--out", "--force"};
    for (int i = 0; i < 3; i++)
        if (cx_args_has(t->args, of_learning[i]))
            return cx_fail(err, CX_EUSAGE, "%s: --tokenizer learns and writes nothing",
                           of_learning[i]);
    int rc = cx_bpe_read(path, &t->bpe, err);
    return rc ? rc : open_inputs(t, err);
}

static int check(const cx_bpe *bpe, const input *in, const unsigned char *text, size_t size,
                 const uint16_t *tokens, size_t n, cx_error *err) {
    unsigned char *back;
    size_t got;
    int rc = cx_bpe_decode(bpe, tokens, n, &back, &got, err);
    if (!rc && (got != size || memcmp(back, text, size) != 0))
        rc = cx_fail(err, CX_EDATA, "%s: does not come back from its tokens (bytes %zu .. %zu)",
                     in->path, (size_t)(text - in->text.bytes),
                     (size_t)(text - in->text.bytes) + size);
    free(back);
    return rc;
}

static int encode(const tokenizing *t, input *in, cx_error *err) {
    int rc = CX_OK;
    for (size_t at = 0, size, n; !rc && at < in->text.size; at += size) {
        const unsigned char *text = in->text.bytes + at;
        uint16_t *tokens;
        size = cx_bpe_chunk(text, in->text.size - at, chunk_bytes);
        rc = cx_bpe_encode(t->bpe, text, size, &tokens, &n, err);
        if (!rc && cx_args_has(t->args, "--check"))
            rc = check(t->bpe, in, text, size, tokens, n, err);
        for (size_t i = 0; !rc && cx_args_has(t->args, "--ids") && i < n; i++)
            if (printf("%u\n", tokens[i]) < 0)
                rc = cx_fail(err, CX_EIO, "cannot write the token numbers");
        free(tokens);
        in->tokens += n;
    }
    return rc;
}

static void print_text(const tokenizing *t, size_t bytes) {
    FILE *to = cx_args_has(t->args, "--ids") ? stderr : stdout;
    if (t->out[0])
        (void)fprintf(to, "%s: %d entries, learned from %zu bytes in %.2f s\n", t->out,
                      cx_bpe_entries(t->bpe), bytes, t->learn_seconds);
    for (int i = 0; i < t->args->n_words; i++) {
        const input *in = &t->input[i];
        (void)fprintf(to, "%s: %zu bytes, %llu tokens, %.3f bytes per token%s\n", in->path,
                      in->text.size, (unsigned long long)in->tokens,
                      (double)in->text.size / (double)in->tokens,
                      cx_args_has(t->args, "--check") ? ", comes back exactly" : "");
    }
}

static int print_json(const tokenizing *t, cx_error *err) {
    const char *name = t->out[0] ? t->out : cx_args_value(t->args, "--tokenizer");
    json_t *files = json_array();
    for (int i = 0; i < t->args->n_words; i++) {
        const input *in = &t->input[i];
        (void)json_array_append_new(files, json_pack("{s:s, s:I, s:I, s:f}", "file", in->path,
                                                     "bytes", (json_int_t)in->text.size, "tokens",
                                                     (json_int_t)in->tokens, "bytes_per_token",
                                                     (double)in->text.size / (double)in->tokens));
    }
    json_t *o = json_pack("{s:s, s:i, s:b, s:f, s:f, s:b, s:o}", "tokenizer", name, "entries",
                          cx_bpe_entries(t->bpe), "learned", t->out[0] != 0, "learn_seconds",
                          t->learn_seconds, "encode_seconds", t->encode_seconds, "checked",
                          (int)cx_args_has(t->args, "--check"), "files", files);
    bool whole = o && json_array_size(files) == (size_t)t->args->n_words;
    char *text = whole ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (!text)
        return cx_fail(err, CX_ENOMEM, "--json: out of memory, or a file's name is not UTF-8");
    (void)printf("%s\n", text);
    free(text);
    return CX_OK;
}

static int tokenize(tokenizing *t, cx_error *err) {
    const char *tokenizer = cx_args_value(t->args, "--tokenizer");
    bool json = cx_args_has(t->args, "--json");
    size_t bytes = 0;
    if (json && cx_args_has(t->args, "--ids"))
        return cx_fail(err, CX_EUSAGE, "--json and --ids exclude each other");
    int rc = tokenizer ? use(t, tokenizer, err) : learn(t, err);
    double start = cx_clock_now();
    for (int i = 0; !rc && i < t->args->n_words; i++) {
        rc = encode(t, &t->input[i], err);
        bytes += t->input[i].text.size;
    }
    t->encode_seconds = cx_clock_now() - start;
    if (!rc && json)
        rc = print_json(t, err);
    else if (!rc)
        print_text(t, bytes);
    return rc;
}

int cx_cmd_tokenize(int argc, char **argv) {
    cx_error err = {0};
    cx_args args;
    bool done;
    tokenizing *t = calloc(1, sizeof *t);
    int rc = t ? cx_args_parse(&syntax, argc, argv, &args, &done, &err)
               : cx_fail(&err, CX_ENOMEM, "out of memory");
    if (!rc && !done) {
        t->args = &args;
        rc = tokenize(t, &err);
    }
    if (t) {
        for (int i = 0; i < CX_ARGS_MAX; i++)
            cx_mapped_close(&t->input[i].text);
        cx_bpe_free(t->bpe);
    }
    free(t);
    return rc ? cx_cli_fail("tokenize", &err) : 0;
}
