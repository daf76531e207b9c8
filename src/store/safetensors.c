/* Writing in the safetensors format: u64 length of the header, the header (JSON), the
 * data. */
#include "store/safetensors.h"

#include "base/file.h"
#include "base/hash.h"
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files hold the machine's own numbers");

static bool all_finite(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* Metadata is a map from text to text, as the format asks. */
static json_t *metadata_json(const cx_tensor_note *notes, int n, uint64_t hash) {
    char text[32];
    json_t *m = json_object();
    int bad = 0;
    for (int i = 0; i < n; i++)
        bad |= json_object_set_new(m, notes[i].name, json_string(notes[i].text));
    (void)snprintf(text, sizeof text, "%016" PRIx64, hash);
    bad |= json_object_set_new(m, "data_xxh3", json_string(text));
    if (bad) {
        json_decref(m);
        return NULL;
    }
    return m;
}

/* NULL: no memory, or a text is not UTF-8. */
static char *header_text(const cx_tensor *tensors, int n_tensors, const cx_tensor_note *notes,
                         int n_notes, uint64_t hash) {
    json_t *root = json_object();
    int bad = json_object_set_new(root, "__metadata__", metadata_json(notes, n_notes, hash));
    size_t at = 0;
    for (int i = 0; i < n_tensors && !bad; i++) {
        const cx_tensor *t = &tensors[i];
        json_t *dims = json_array();
        for (int d = 0; d < t->rank; d++)
            bad |= json_array_append_new(dims, json_integer(t->dim[d]));
        size_t end = at + t->size * sizeof(float);
        json_t *row = json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", dims,
                                "data_offsets", (json_int_t)at, (json_int_t)end);
        bad |= json_object_set_new(root, t->name, row);
        at = end;
    }
    char *text = bad ? NULL : json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(root);
    return text;
}

static int write_file(const char *path, const cx_tensor *tensors, int n_tensors,
                      const cx_tensor_note *notes, int n_notes, cx_slice *slices, cx_error *err) {
    enum { LENGTH, HEADER, PADDING, FIRST };
    for (int i = 0; i < n_tensors; i++)
        slices[FIRST + i] = (cx_slice){tensors[i].data, tensors[i].size * sizeof(float)};
    char *header = header_text(tensors, n_tensors, notes, n_notes,
                               cx_hash_slices(slices + FIRST, n_tensors, 0));
    if (!header)
        return cx_fail(err, CX_EFORMAT,
                       "%s: not written: no memory, or a text of its header is not UTF-8", path);
    size_t size = strlen(header);
    uint64_t length = (size + 7) / 8 * 8; /* data start aligned */
    slices[LENGTH] = (cx_slice){&length, sizeof length};
    slices[HEADER] = (cx_slice){header, size};
    slices[PADDING] = (cx_slice){"        ", (size_t)length - size};
    int rc = length <= CX_SAFETENSORS_HEADER_MAX
                 ? cx_file_replace_slices(path, slices, FIRST + n_tensors, err)
                 : cx_fail(err, CX_EFORMAT, "%s: not written: a header of %zu bytes (limit %d)",
                           path, size, CX_SAFETENSORS_HEADER_MAX);
    free(header);
    return rc;
}

int cx_safetensors_write(const char *path, const cx_tensor *tensors, int n_tensors,
                         const cx_tensor_note *notes, int n_notes, cx_error *err) {
    for (int i = 0; i < n_tensors; i++)
        if (!all_finite(tensors[i].data, tensors[i].size))
            return cx_fail(err, CX_ESTATE, "%s: not written: %s holds a number that is not finite",
                           path, tensors[i].name);
    cx_slice *slices = calloc((size_t)n_tensors + 3, sizeof *slices);
    if (!slices)
        return cx_fail(err, CX_ENOMEM, "%s: no memory for a list of %d tensors", path, n_tensors);
    int rc = write_file(path, tensors, n_tensors, notes, n_notes, slices, err);
    free(slices);
    return rc;
}
