/* Policy files in the safetensors format: u64 length of the header, the header (JSON), the
 * data. Everything read is checked before it is used. */
#include "base/arena.h"
#include "base/file.h"
#include "base/hash.h"
#include "policy/observation.h"
#include "store/safetensors.h"
#include "store/store.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files hold the machine's own numbers");

#define FORMAT_NAME "coxswain-policy"

enum {
    LENGTH_BYTES = 8,
    HEADER_MAX = CX_SAFETENSORS_HEADER_MAX, /* bytes; a configuration is a few KB */
    RANK_MAX = CX_SAFETENSORS_RANK_MAX
};
static const size_t file_max = (size_t)1 << 31;

/* --- the tensors of a network, normalization included --- */

enum { N_NORMALIZATION = 3 };

static int tensor_count(const cx_net *net) {
    return cx_net_tensors(net) + N_NORMALIZATION;
}

/* data: in `block`. */
static cx_tensor tensor_at(const cx_net *net, const float *block, int i) {
    static const char *const normalization[N_NORMALIZATION] = {
        "policy.input_mean", "policy.input_variance", "policy.input_correction"};
    cx_tensor t = {.rank = 1};
    if (i < cx_net_tensors(net)) {
        const struct cx_net_tensor *from = cx_net_tensor_at(net, i);
        (void)snprintf(t.name, sizeof t.name, "policy.%s", from->name);
        t.rank = from->rank;
        t.data = block + from->offset;
        t.size = from->size;
        for (int d = 0; d < from->rank; d++)
            t.dim[d] = from->dim[d];
        return t;
    }
    int k = i - cx_net_tensors(net);
    size_t inputs = (size_t)cx_net_shape_of(net)->inputs, offset[N_NORMALIZATION];
    cx_net_statistics_at(net, offset);
    (void)snprintf(t.name, sizeof t.name, "%s", normalization[k]);
    t.data = block + offset[k];
    t.size = k < 2 ? inputs : 1;
    t.dim[0] = (int64_t)t.size;
    return t;
}

/* --- writing --- */

int cx_policy_write(const char *path, const cx_net *net, const float *block,
                    const char *config_yaml, uint64_t version, cx_error *err) {
    const cx_net_shape *s = cx_net_shape_of(net);
    char semantics[16], number[32], shape[160];
    const cx_tensor_note notes[] = {{"format", FORMAT_NAME},
                                    {"semantics_version", semantics},
                                    {"policy_version", number},
                                    {"shape", shape},
                                    {"config", config_yaml}};
    (void)snprintf(semantics, sizeof semantics, "%d", CX_SEMANTICS_VERSION);
    (void)snprintf(number, sizeof number, "%" PRIu64, version);
    (void)snprintf(shape, sizeof shape, "inputs=%d hidden=%d lstm=%d outputs=%d residual=%d",
                   s->inputs, s->hidden, s->lstm, s->outputs, s->residual ? 1 : 0);
    int n = tensor_count(net);
    cx_tensor *tensors = calloc((size_t)n, sizeof *tensors);
    if (!tensors)
        return cx_fail(err, CX_ENOMEM, "%s: no memory for a list of %d tensors", path, n);
    for (int i = 0; i < n; i++)
        tensors[i] = tensor_at(net, block, i);
    int rc = cx_safetensors_write(path, tensors, n, notes, sizeof notes / sizeof notes[0], err);
    free(tensors);
    return rc;
}

/* --- reading --- */

typedef struct {
    const char *path;
    unsigned char *file; /* all of it */
    json_t *root;
    const unsigned char *data;
    size_t data_size; /* bytes */
} policy_file;

static void close_file(policy_file *f) {
    json_decref(f->root);
    free(f->file);
    f->root = NULL;
    f->file = NULL;
}

static int parse_header(policy_file *f, size_t size, cx_error *err) {
    if (size < LENGTH_BYTES + 2)
        return cx_fail(err, CX_EFORMAT, "%s: %zu bytes are too few for a safetensors file", f->path,
                       size);
    uint64_t length;
    memcpy(&length, f->file, LENGTH_BYTES);
    if (length > HEADER_MAX || length > size - LENGTH_BYTES)
        return cx_fail(err, CX_EFORMAT,
                       "%s: no policy file, or cut short: its header would be %" PRIu64
                       " bytes, but %zu follow (limit %d)",
                       f->path, length, size - LENGTH_BYTES, HEADER_MAX);
    json_error_t fault;
    f->root = json_loadb((const char *)f->file + LENGTH_BYTES, (size_t)length,
                         JSON_REJECT_DUPLICATES, &fault);
    if (!json_is_object(f->root))
        return cx_fail(err, CX_EFORMAT, "%s: the header is not a JSON object: %s", f->path,
                       f->root ? "it is another value" : fault.text);
    f->data = f->file + LENGTH_BYTES + length;
    f->data_size = size - LENGTH_BYTES - (size_t)length;
    return CX_OK;
}

static const char *metadata(const policy_file *f, const char *key) {
    return json_string_value(json_object_get(json_object_get(f->root, "__metadata__"), key));
}

static int check_metadata(const policy_file *f, cx_error *err) {
    const char *format = metadata(f, "format");
    if (!format || strcmp(format, FORMAT_NAME) != 0)
        return cx_fail(err, CX_EFORMAT,
                       "%s: metadata `format` is %s, a policy file has \"" FORMAT_NAME "\"",
                       f->path, format ? format : "missing");
    const char *semantics = metadata(f, "semantics_version");
    char ours[16];
    (void)snprintf(ours, sizeof ours, "%d", CX_SEMANTICS_VERSION);
    if (!semantics || strcmp(semantics, ours) != 0)
        return cx_fail(err, CX_EVERSION,
                       "%s: features and actions of version %s, this program speaks %s", f->path,
                       semantics ? semantics : "unknown", ours);
    if (!metadata(f, "config"))
        return cx_fail(err, CX_EFORMAT,
                       "%s: metadata `config` is missing: the configuration it was trained with",
                       f->path);
    char hash[32];
    const char *stored = metadata(f, "data_xxh3");
    (void)snprintf(hash, sizeof hash, "%016" PRIx64, cx_hash(f->data, f->data_size, 0));
    if (stored && strcmp(stored, hash) != 0)
        return cx_fail(err, CX_EFORMAT, "%s: the data's hash is %s, the header says %s: corrupt",
                       f->path, hash, stored);
    return CX_OK;
}

typedef struct {
    const char *name;
    size_t begin, end;
} span;

static int by_begin(const void *a, const void *b) {
    const span *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* One tensor's row: dtype, shape, offsets, and that its numbers are finite. */
static int check_row(const policy_file *f, const char *name, const json_t *row, span *out,
                     cx_error *err) {
    const char *dtype = json_string_value(json_object_get(row, "dtype"));
    if (!dtype || strcmp(dtype, "F32") != 0)
        return cx_fail(err, CX_EFORMAT, "%s: %s: dtype is %s, must be F32", f->path, name,
                       dtype ? dtype : "missing");
    const json_t *dims = json_object_get(row, "shape");
    const json_t *offsets = json_object_get(row, "data_offsets");
    size_t rank = json_array_size(dims);
    if (!json_is_array(dims) || rank > RANK_MAX)
        return cx_fail(err, CX_EFORMAT, "%s: %s: shape must be a list of at most %d sizes", f->path,
                       name, RANK_MAX);
    uint64_t bytes = sizeof(float);
    for (size_t d = 0; d < rank; d++) {
        const json_t *dim = json_array_get(dims, d);
        json_int_t n = json_integer_value(dim);
        if (!json_is_integer(dim) || n < 1 || (uint64_t)n > file_max / bytes)
            return cx_fail(err, CX_EFORMAT, "%s: %s: shape has a size that is not in 1 .. %zu",
                           f->path, name, file_max);
        bytes *= (uint64_t)n;
    }
    const json_t *b = json_array_get(offsets, 0), *e = json_array_get(offsets, 1);
    json_int_t begin = json_integer_value(b), end = json_integer_value(e);
    if (json_array_size(offsets) != 2 || !json_is_integer(b) || !json_is_integer(e) || begin < 0 ||
        end < begin || (uint64_t)end > f->data_size)
        return cx_fail(err, CX_EFORMAT,
                       "%s: %s: data_offsets must be two numbers in 0 .. %zu, the file's data: the "
                       "file is corrupt or cut short",
                       f->path, name, f->data_size);
    if ((uint64_t)(end - begin) != bytes)
        return cx_fail(err, CX_EFORMAT,
                       "%s: %s: the shape needs %" PRIu64 " bytes, the offsets give %lld", f->path,
                       name, bytes, (long long)(end - begin));
    for (json_int_t i = begin; i < end; i += (json_int_t)sizeof(float)) {
        float x;
        memcpy(&x, f->data + i, sizeof x);
        if (!isfinite(x))
            return cx_fail(err, CX_EFORMAT, "%s: %s: number %lld is not finite", f->path, name,
                           (long long)((i - begin) / (json_int_t)sizeof x));
    }
    *out = (span){name, (size_t)begin, (size_t)end};
    return CX_OK;
}

static int check_tensors(const policy_file *f, cx_error *err) {
    size_t n = 0, room = json_object_size(f->root);
    span *spans = calloc(room + 1, sizeof *spans);
    if (!spans)
        return cx_fail(err, CX_ENOMEM, "%s: no memory for %zu tensors", f->path, room);
    int rc = CX_OK;
    const char *name;
    json_t *row;
    json_object_foreach(f->root, name, row) {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        rc = check_row(f, name, row, &spans[n++], err);
        if (rc)
            break;
    }
    if (!rc)
        qsort(spans, n, sizeof *spans, by_begin);
    size_t at = 0;
    for (size_t i = 0; i < n && !rc; at = spans[i++].end)
        if (spans[i].begin != at)
            rc = cx_fail(err, CX_EFORMAT,
                         "%s: %s starts at byte %zu of the data, the one before ends at %zu",
                         f->path, spans[i].name, spans[i].begin, at);
    if (!rc && at != f->data_size)
        rc = cx_fail(err, CX_EFORMAT, "%s: %zu bytes of data, the tensors cover %zu", f->path,
                     f->data_size, at);
    free(spans);
    return rc;
}

static int open_file(const char *path, policy_file *f, cx_error *err) {
    *f = (policy_file){.path = path};
    size_t size;
    int rc = cx_file_read(path, file_max, &f->file, &size, err);
    if (!rc)
        rc = parse_header(f, size, err);
    if (!rc)
        rc = check_metadata(f, err);
    if (!rc)
        rc = check_tensors(f, err);
    if (rc)
        close_file(f);
    return rc;
}

int cx_policy_read_config(const char *path, char **config_yaml, uint64_t *version, cx_error *err) {
    policy_file f;
    *config_yaml = NULL;
    int rc = open_file(path, &f, err);
    if (rc)
        return rc;
    const char *number = metadata(&f, "policy_version");
    if (version)
        *version = number ? strtoull(number, NULL, 10) : 0;
    *config_yaml = strdup(metadata(&f, "config"));
    if (!*config_yaml)
        rc = cx_fail(err, CX_ENOMEM, "%s: no memory for the configuration", path);
    close_file(&f);
    return rc;
}

static int copy_tensor(const policy_file *f, const cx_tensor *t, float *to, cx_error *err) {
    const json_t *row = json_object_get(f->root, t->name);
    if (!row)
        return cx_fail(err, CX_EFORMAT, "%s: no tensor %s, which the network has", f->path,
                       t->name);
    const json_t *dims = json_object_get(row, "shape");
    bool same = json_array_size(dims) == (size_t)t->rank;
    for (int d = 0; d < t->rank && same; d++)
        same = json_integer_value(json_array_get(dims, (size_t)d)) == t->dim[d];
    if (!same) {
        char *found = json_dumps(dims, JSON_COMPACT);
        int rc =
            cx_fail(err, CX_EFORMAT,
                    "%s: %s has the shape %s, this network's has %d dimensions of sizes %lld %lld "
                    "%lld %lld; is it a policy of this configuration?",
                    f->path, t->name, found ? found : "?", t->rank, (long long)t->dim[0],
                    (long long)t->dim[1], (long long)t->dim[2], (long long)t->dim[3]);
        free(found);
        return rc;
    }
    size_t begin =
        (size_t)json_integer_value(json_array_get(json_object_get(row, "data_offsets"), 0));
    memcpy(to, f->data + begin, t->size * sizeof(float));
    return CX_OK;
}

int cx_policy_read(const char *path, const cx_net *net, float **block, cx_error *err) {
    policy_file f;
    *block = NULL;
    int rc = open_file(path, &f, err);
    if (rc || !net) {
        if (!rc)
            close_file(&f);
        return rc;
    }
    float *to = cx_calloc(cx_net_count(net), sizeof *to);
    if (!to)
        rc = cx_fail(err, CX_ENOMEM, "%s: no memory for %zu numbers", path, cx_net_count(net));
    int n = tensor_count(net), found = (int)json_object_size(f.root) - 1;
    if (!rc && found != n)
        rc = cx_fail(err, CX_EFORMAT, "%s: %d tensors, this network has %d", path, found, n);
    for (int i = 0; i < n && !rc; i++) {
        cx_tensor t = tensor_at(net, to, i);
        rc = copy_tensor(&f, &t, to + (t.data - to), err);
    }
    close_file(&f);
    if (rc)
        free(to);
    else
        *block = to;
    return rc;
}
