#include "data/image_decode.h"

#include "base/file.h"
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

void cx_picture_free(cx_picture *p) {
    free(p->rgb);
    memset(p, 0, sizeof *p);
}

static int check_size(const char *name, double width, double height, cx_error *err) {
    if (!(width >= 1 && height >= 1 && width <= CX_PICTURE_SIDE_MAX &&
          height <= CX_PICTURE_SIDE_MAX && width * height <= CX_PICTURE_PIXELS_MAX))
        return cx_fail(err, CX_EDATA,
                       "%s: a picture of %.0f x %.0f; sides of 1 to %d and at most %d million "
                       "pixels are right",
                       name, width, height, CX_PICTURE_SIDE_MAX, CX_PICTURE_PIXELS_MAX / 1000000);
    return CX_OK;
}

/* Room for the pixels, or why there is none. */
static int make_room(const char *name, double width, double height, cx_picture *p, cx_error *err) {
    int rc = check_size(name, width, height, err);
    if (rc)
        return rc;
    p->width = (int)width;
    p->height = (int)height;
    p->rgb = malloc((size_t)p->width * (size_t)p->height * 3);
    if (!p->rgb)
        return cx_fail(err, CX_ENOMEM, "%s: no memory for a picture of %d x %d", name, p->width,
                       p->height);
    return CX_OK;
}

/* --- JPEG ---
 * libjpeg reports errors by a callback that must not return: it jumps back into
 * `decode`. What is allocated on the way is reachable from this struct, which `decode`'s
 * caller owns, so nothing is lost by the jump. */

typedef struct {
    struct jpeg_error_mgr base; /* first: libjpeg hands out its address */
    struct jpeg_decompress_struct info;
    jmp_buf back;
    char text[JMSG_LENGTH_MAX];
    const char *name;
    const unsigned char *data;
    size_t size;
    int least;
    unsigned char *row; /* of CMYK */
    cx_picture *out;
    cx_error *err;
} jpeg;

static void jpeg_fault(j_common_ptr info) {
    jpeg *j = (jpeg *)(void *)info->err;
    j->base.format_message(info, j->text);
    longjmp(j->back, 1);
}

/* Warnings. Those after which pixels are made up make the file a broken one; the others
 * (bytes too many, odd markers) do not touch the picture. */
static void jpeg_warning(j_common_ptr info, int level) {
    int code = info->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER ||
                      code == JWRN_HUFF_BAD_CODE || code == JWRN_MUST_RESYNC))
        jpeg_fault(info);
}

static int scale_for(int shorter, int least) {
    int scale = 1;
    while (least > 0 && scale < 8 && (shorter + 2 * scale - 1) / (2 * scale) >= least)
        scale *= 2;
    return scale;
}

/* One row of CMYK to RGB: c k / 255 and so on, of inks left away (Adobe) or laid on. */
static void from_cmyk(const unsigned char *in, int width, bool inverted, uint8_t *out) {
    for (int i = 0; i < width; i++, in += 4, out += 3)
        for (int c = 0; c < 3; c++) {
            int a = inverted ? in[c] : 255 - in[c], k = inverted ? in[3] : 255 - in[3];
            out[c] = (uint8_t)((a * k + 127) / 255);
        }
}

static int jpeg_pixels(jpeg *j) {
    struct jpeg_decompress_struct *info = &j->info;
    jpeg_mem_src(info, j->data, (unsigned long)j->size);
    (void)jpeg_read_header(info, TRUE);
    /* in full, too: a progressive picture is kept whole while it is decoded */
    int rc = check_size(j->name, info->image_width, info->image_height, j->err);
    if (rc)
        return rc;
    bool cmyk = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
    info->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    unsigned shorter =
        info->image_width < info->image_height ? info->image_width : info->image_height;
    info->scale_num = 1;
    info->scale_denom = (unsigned)scale_for((int)shorter, j->least);
    jpeg_calc_output_dimensions(info);
    rc = make_room(j->name, info->output_width, info->output_height, j->out, j->err);
    if (rc)
        return rc;
    (void)jpeg_start_decompress(info);
    size_t width = info->output_width;
    if (cmyk && !(j->row = malloc(4 * width)))
        return cx_fail(j->err, CX_ENOMEM, "%s: no memory for a row", j->name);
    while (info->output_scanline < info->output_height) {
        uint8_t *to = j->out->rgb + info->output_scanline * width * 3;
        JSAMPROW rows[1] = {cmyk ? j->row : to};
        (void)jpeg_read_scanlines(info, rows, 1);
        if (cmyk)
            from_cmyk(j->row, (int)width, info->saw_Adobe_marker, to);
    }
    (void)jpeg_finish_decompress(info);
    return CX_OK;
}

/* No variable of this function changes between setjmp and longjmp but through j. */
static int jpeg_run(jpeg *j) {
    if (setjmp(j->back))
        return cx_fail(j->err, CX_EDATA, "%s: a broken JPEG file: %s", j->name, j->text);
    jpeg_create_decompress(&j->info);
    return jpeg_pixels(j);
}

static int decode_jpeg(const char *name, const unsigned char *data, size_t size, int least,
                       cx_picture *out, cx_error *err) {
    jpeg *j = calloc(1, sizeof *j);
    if (!j)
        return cx_fail(err, CX_ENOMEM, "%s: no memory for a decoder", name);
    *j = (jpeg){.name = name, .data = data, .size = size, .least = least, .out = out, .err = err};
    j->info.err = jpeg_std_error(&j->base);
    j->base.error_exit = jpeg_fault;
    j->base.emit_message = jpeg_warning;
    int rc = jpeg_run(j);
    jpeg_destroy_decompress(&j->info); /* whatever state it is in, also none */
    free(j->row);
    free(j);
    return rc;
}

/* --- PNG: the simplified interface of libpng, which returns its faults --- */

static int decode_png(const char *name, const unsigned char *data, size_t size, cx_picture *out,
                      cx_error *err) {
    static const png_color white = {255, 255, 255};
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&image, data, size))
        return cx_fail(err, CX_EDATA, "%s: a broken PNG file: %s", name, image.message);
    image.format = PNG_FORMAT_RGB;
    image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    int rc = make_room(name, image.width, image.height, out, err);
    if (!rc && !png_image_finish_read(&image, &white, out->rgb, 0, NULL))
        rc = cx_fail(err, CX_EDATA, "%s: a broken PNG file: %s", name, image.message);
    png_image_free(&image);
    return rc;
}

int cx_picture_decode(const char *name, const unsigned char *data, size_t size, int least,
                      cx_picture *out, cx_error *err) {
    static const unsigned char jpeg_magic[] = {0xff, 0xd8, 0xff},
                               png_magic[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    int rc;
    memset(out, 0, sizeof *out);
    if (size == 0)
        return cx_fail(err, CX_EDATA, "%s: an empty file; a JPEG or PNG picture is right", name);
    if (size > sizeof jpeg_magic && memcmp(data, jpeg_magic, sizeof jpeg_magic) == 0)
        rc = decode_jpeg(name, data, size, least, out, err);
    else if (size > sizeof png_magic && memcmp(data, png_magic, sizeof png_magic) == 0)
        rc = decode_png(name, data, size, out, err);
    else
        rc = cx_fail(err, CX_EDATA, "%s: neither a JPEG nor a PNG picture", name);
    if (rc)
        cx_picture_free(out);
    return rc;
}

int cx_picture_read(const char *path, int least, cx_picture *out, cx_error *err) {
    unsigned char *data;
    size_t size;
    memset(out, 0, sizeof *out);
    int rc = cx_file_read(path, CX_PICTURE_FILE_MAX, &data, &size, err);
    if (rc)
        return rc;
    rc = cx_picture_decode(path, data, size, least, out, err);
    free(data);
    return rc;
}

/* --- resizing: a separable triangle filter --- */

/* Output i of one direction is the sum of weight[i * most + k] * in[first[i] + k], k below
 * count[i]. */
typedef struct {
    int most;
    int *first, *count;
    float *weight;
} filter;

static void filter_free(filter *f) {
    free(f->first);
    free(f->count);
    free(f->weight);
}

/* `side` outputs at a distance of `scale` inputs from one another, the first of which
 * covers the inputs from `start` on. */
static int filter_make(filter *f, int size, int side, double scale, double start, cx_error *err) {
    double radius = scale > 1 ? scale : 1;
    f->most = 2 * (int)ceil(radius) + 1;
    f->first = calloc((size_t)side, sizeof *f->first);
    f->count = calloc((size_t)side, sizeof *f->count);
    f->weight = calloc((size_t)side * (size_t)f->most, sizeof *f->weight);
    if (!f->first || !f->count || !f->weight)
        return cx_fail(err, CX_ENOMEM, "no memory for resizing");
    for (int i = 0; i < side; i++) {
        double middle = start + (i + 0.5) * scale, sum = 0;
        int lo = (int)fmax(0, floor(middle - radius)), hi = (int)fmin(size, ceil(middle + radius));
        float *w = f->weight + (size_t)i * (size_t)f->most;
        lo = lo < size ? lo : size - 1;
        f->first[i] = lo;
        for (int k = lo; k < hi && k - lo < f->most; k++) {
            double v = fmax(0, 1 - fabs(k + 0.5 - middle) / radius);
            w[f->count[i]++] = (float)v;
            sum += v;
        }
        for (int k = 0; k < f->count[i]; k++)
            w[k] = (float)(w[k] / sum);
    }
    return CX_OK;
}

/* Rows lo .. hi - 1 of the picture, filtered along x: mid[hi - lo][side][3] */
static void resize_rows(const cx_picture *p, const filter *f, int side, int lo, int hi,
                        float *mid) {
    for (int y = lo; y < hi; y++) {
        const uint8_t *row = p->rgb + (size_t)y * (size_t)p->width * 3;
        for (int i = 0; i < side; i++, mid += 3) {
            const uint8_t *in = row + (size_t)f->first[i] * 3;
            const float *w = f->weight + (size_t)i * (size_t)f->most;
            float sum[3] = {0, 0, 0};
            for (int k = 0; k < f->count[i]; k++, in += 3)
                for (int c = 0; c < 3; c++)
                    sum[c] += w[k] * (float)in[c];
            for (int c = 0; c < 3; c++)
                mid[c] = sum[c];
        }
    }
}

static void resize_columns(const float *mid, const filter *f, int side, int lo, uint8_t *planes) {
    size_t width = (size_t)side * 3, plane = (size_t)side * (size_t)side;
    for (int i = 0; i < side; i++) {
        const float *from = mid + (size_t)(f->first[i] - lo) * width;
        const float *w = f->weight + (size_t)i * (size_t)f->most;
        for (size_t x = 0; x < width; x++) {
            float sum = 0;
            for (int k = 0; k < f->count[i]; k++)
                sum += w[k] * from[(size_t)k * width + x];
            sum = sum < 0 ? 0 : sum > 255 ? 255 : sum;
            planes[x % 3 * plane + (size_t)i * (size_t)side + x / 3] = (uint8_t)(sum + 0.5f);
        }
    }
}

/* Where the middle begins: at a whole pixel of the resized picture, in the picture's own. */
static double cut_at(int size, int side, double scale) {
    return fmax(0, floor((size / scale - side) / 2 + 1e-6)) * scale;
}

int cx_picture_square(const cx_picture *p, int side, uint8_t *planes, cx_error *err) {
    int shorter = p->width < p->height ? p->width : p->height;
    double scale = (double)shorter / side;
    double x0 = cut_at(p->width, side, scale), y0 = cut_at(p->height, side, scale);
    filter fx = {0}, fy = {0};
    int rc = filter_make(&fx, p->width, side, scale, x0, err);
    if (!rc)
        rc = filter_make(&fy, p->height, side, scale, y0, err);
    if (!rc) {
        int lo = fy.first[0], hi = fy.first[side - 1] + fy.count[side - 1];
        float *mid = malloc((size_t)(hi - lo) * (size_t)side * 3 * sizeof *mid);
        if (mid) {
            resize_rows(p, &fx, side, lo, hi, mid);
            resize_columns(mid, &fy, side, lo, planes);
        } else {
            rc = cx_fail(err, CX_ENOMEM, "no memory for resizing to %d x %d", side, side);
        }
        free(mid);
    }
    filter_free(&fx);
    filter_free(&fy);
    return rc;
}
