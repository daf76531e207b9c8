#include "report/export.h"

#include "base/file.h"
#include "base/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const metric_names[CX_METRIC_COUNT] = {
#define X(name) #name,
    CX_METRIC_TABLE(X)
#undef X
};

/* Bytes that grow; `full` after an allocation that failed. */
typedef struct {
    unsigned char *bytes;
    size_t size, room;
    bool full;
} buffer;

static void put(buffer *b, const void *data, size_t size) {
    if (b->full || size == 0)
        return;
    if (size > b->room - b->size) {
        size_t room = 2 * (b->size + size) + 4096;
        unsigned char *more = realloc(b->bytes, room);
        if (!more) {
            b->full = true;
            return;
        }
        b->bytes = more;
        b->room = room;
    }
    memcpy(b->bytes + b->size, data, size);
    b->size += size;
}

static void put_text(buffer *b, const char *text) {
    put(b, text, strlen(text));
}

static int save(buffer *b, const char *path, cx_error *err) {
    int rc = b->full ? cx_fail(err, CX_ENOMEM, "%s: no memory for it", path)
                     : cx_file_replace(path, b->bytes, b->size, err);
    free(b->bytes);
    return rc;
}

/* --- columns --- */

static int columns(const cx_run_data *d) {
    return CX_METRIC_COUNT + d->n_heads;
}

static double value_at(const cx_run_data *d, int column, int row) {
    return column < CX_METRIC_COUNT ? d->metric[column][row]
                                    : d->head_entropy[column - CX_METRIC_COUNT][row];
}

/* --- CSV --- */

/* A name in quotes where it has anything but letters, digits and underscores. */
static void put_cell(buffer *b, const char *text) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    if (text[strspn(text, plain)] == 0) {
        put_text(b, text);
        return;
    }
    put_text(b, "\"");
    for (const char *c = text; *c; c++)
        put(b, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    put_text(b, "\"");
}

int cx_export_csv(const cx_run_data *d, const char *path, cx_error *err) {
    buffer b = {0};
    char text[96];
    for (int c = 0; c < columns(d); c++) {
        bool head = c >= CX_METRIC_COUNT;
        (void)snprintf(text, sizeof text, "%s%s", head ? "entropy_" : "",
                       head ? d->head[c - CX_METRIC_COUNT] : metric_names[c]);
        put_text(&b, c ? "," : "");
        put_cell(&b, text);
    }
    put_text(&b, "\r\n");
    for (int row = 0; row < d->n; row++) {
        for (int c = 0; c < columns(d); c++) {
            double v = value_at(d, c, row);
            put_text(&b, c ? "," : "");
            if (isfinite(v)) {
                cx_text_from_double(text, 32, v);
                put_text(&b, text);
            }
        }
        put_text(&b, "\r\n");
    }
    return save(&b, path, err);
}

/* --- TensorBoard ---
 * A record: length (8 bytes), its masked CRC, data, its masked CRC. Data are the protocol
 * buffer Event {1: wall_time double, 2: step int64, 3: file_version string, 5: Summary
 * {1: Value {1: tag string, 2: simple_value float}}} (tensorflow/core/util/event.proto and
 * framework/summary.proto). */

uint32_t cx_crc32c(const void *data, size_t size) {
    const unsigned char *p = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void put_masked_crc(buffer *b, const void *data, size_t size) {
    uint32_t crc = cx_crc32c(data, size);
    crc = (crc >> 15 | crc << 17) + 0xa282ead8u;
    put(b, &crc, sizeof crc);
}

static void put_record(buffer *b, const buffer *event) {
    uint64_t length = event->size;
    b->full |= event->full;
    if (b->full)
        return;
    put(b, &length, sizeof length);
    put_masked_crc(b, &length, sizeof length);
    put(b, event->bytes, event->size);
    put_masked_crc(b, event->bytes, event->size);
}

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void put_varint(buffer *b, uint64_t x) {
    unsigned char out[10];
    size_t n = 0;
    for (; x > 127; x >>= 7)
        out[n++] = (unsigned char)(x | 128);
    out[n++] = (unsigned char)x;
    put(b, out, n);
}

static void put_key(buffer *b, unsigned field, unsigned kind) {
    put_varint(b, field << 3 | kind);
}

static void put_bytes(buffer *b, unsigned field, const void *data, size_t size) {
    put_key(b, field, BYTES);
    put_varint(b, size);
    put(b, data, size);
}

static void put_scalar(buffer *summary, const char *tag, double x) {
    float value = (float)x;
    buffer v = {0};
    put_bytes(&v, 1, tag, strlen(tag));
    put_key(&v, 2, FIXED32);
    put(&v, &value, sizeof value);
    summary->full |= v.full;
    if (!v.full)
        put_bytes(summary, 1, v.bytes, v.size);
    free(v.bytes);
}

static void put_event_time(buffer *event, double time) {
    put_key(event, 1, FIXED64);
    put(event, &time, sizeof time);
}

static void put_update(buffer *b, const cx_run_data *d, int row, double start) {
    buffer event = {0}, summary = {0};
    char tag[96];
    double seconds = d->metric[CX_METRIC_seconds][row], step = d->metric[CX_METRIC_update][row];
    put_event_time(&event, start + (isfinite(seconds) ? seconds : 0));
    put_key(&event, 2, VARINT);
    put_varint(&event, step >= 0 && step < 9e18 ? (uint64_t)step : (uint64_t)row + 1);
    for (int c = 0; c < columns(d); c++) {
        bool head = c >= CX_METRIC_COUNT;
        (void)snprintf(tag, sizeof tag, "%s/%s", head ? "entropy" : "coxswain",
                       head ? d->head[c - CX_METRIC_COUNT] : metric_names[c]);
        if (c != CX_METRIC_update && isfinite(value_at(d, c, row)))
            put_scalar(&summary, tag, value_at(d, c, row));
    }
    event.full |= summary.full;
    if (!event.full)
        put_bytes(&event, 5, summary.bytes, summary.size);
    put_record(b, &event);
    free(summary.bytes);
    free(event.bytes);
}

int cx_export_tensorboard(const cx_run_data *d, const char *dir, double start, cx_error *err) {
    static const char version[] = "brain.Event:2";
    char path[4096];
    buffer b = {0}, first = {0};
    int rc = cx_file_make_dirs(dir, err);
    if (!rc)
        rc = cx_path(path, sizeof path, err, "%s/events.out.tfevents.%010.0f.coxswain", dir,
                     floor(start));
    if (rc)
        return rc;
    put_event_time(&first, start);
    put_bytes(&first, 3, version, sizeof version - 1);
    put_record(&b, &first);
    free(first.bytes);
    for (int row = 0; row < d->n; row++)
        put_update(&b, d, row, start);
    return save(&b, path, err);
}
