/* Between images in memory and strips with an image in each lane: transposes. */
#include "nn/conv_lanes.h"
#include "nn/transpose.h"

#include <string.h>

enum { LANES = CX_VEC_BYTES / sizeof(cx_real) };

/* Where the next position of an image goes in its strip. */
typedef struct {
    int row, col;
    cx_real *to;
} cursor;

static inline void advance(const cx_strip *s, int rows, cursor *c) {
    c->to += LANES;
    if (++c->col < s->w)
        return;
    c->col = 0;
    c->to += (ptrdiff_t)(s->width - s->w) * LANES;
    if (++c->row < rows)
        return;
    c->row = 0;
    c->to += (ptrdiff_t)(s->rows - rows) * s->width * LANES;
}

/* r = the transpose of LANES numbers from each image at x, x + image, ... */
static inline void gather(const cx_real *x, ptrdiff_t image, int images, cx_vec r[LANES]) {
    if (images == LANES)
        for (int l = 0; l < LANES; l++)
            r[l] = cx_vload(x + l * image);
    else
        for (int l = 0; l < LANES; l++)
            r[l] = l < images ? cx_vload(x + l * image) : (cx_vec){0};
    cx_transpose(r);
}

/* n numbers of each image, which run on in memory, to where the cursor says */
static void put_run(const cx_strip *s, const cx_real *x, const cx_real *end, int images, int n,
                    int rows, cursor at) {
    ptrdiff_t image = (ptrdiff_t)s->channels * s->h * s->w;
    const cx_real *last = x + (ptrdiff_t)(images - 1) * image;
    int i = 0;
    while (i < n && end - (last + i) >= LANES) {
        cx_vec r[LANES];
        gather(x + i, image, images, r);
        int take = n - i < LANES ? n - i : LANES;
        for (int k = 0; k < take; k++) {
            cx_vstore(at.to, r[k]);
            advance(s, rows, &at);
        }
        i += take;
    }
    for (; i < n; i++) { /* at the array's end whole vectors would leave it */
        for (int l = 0; l < LANES; l++)
            at.to[l] = l < images ? x[l * image + i] : 0;
        advance(s, rows, &at);
    }
}

void cx_strip_pack(const cx_strip *s, const cx_real *x, const cx_real *end, int images,
                   cx_real *to) {
    int above = s->first < 0 ? -s->first : 0, below = s->first + s->rows - s->h;
    above = above < s->rows ? above : s->rows;
    below = below < 0 ? 0 : below < s->rows ? below : s->rows;
    int rows = s->rows - above - below;
    size_t line = (size_t)s->width * LANES, plane = line * (size_t)s->rows;
    for (int c = 0; c < s->channels && (above || below); c++) {
        cx_zero(to + (size_t)c * plane, line * (size_t)above);
        cx_zero(to + (size_t)(c + 1) * plane - line * (size_t)below, line * (size_t)below);
    }
    if (rows <= 0)
        return;
    x += (ptrdiff_t)(s->first + above) * s->w;
    cursor at = {0, 0, to + line * (size_t)above + (size_t)s->left * LANES};
    if (rows == s->h) {
        put_run(s, x, end, images, s->channels * s->h * s->w, rows, at);
        return;
    }
    for (int c = 0; c < s->channels; c++, at.to += plane, x += (ptrdiff_t)s->h * s->w)
        put_run(s, x, end, images, rows * s->w, rows, at);
}

/* n positions of a dense strip to each image at y, y + image, ... */
static void take_run(const cx_real *from, int n, ptrdiff_t image, int images, cx_real *y,
                     bool add) {
    int i = 0;
    for (; i < n; i += LANES) {
        if (i + LANES > n && (add || n < LANES))
            break;
        if (i + LANES > n)
            i = n - LANES; /* the last positions once more */
        cx_vec r[LANES];
        for (int k = 0; k < LANES; k++)
            r[k] = cx_vload(from + (ptrdiff_t)(i + k) * LANES);
        cx_transpose(r);
        cx_real *to = y + i;
        if (images == LANES && !add)
            for (int l = 0; l < LANES; l++)
                cx_vstore(to + l * image, r[l]);
        else
            for (int l = 0; l < images; l++)
                cx_vstore(to + l * image, add ? cx_vload(to + l * image) + r[l] : r[l]);
    }
    for (; i < n; i++)
        for (int l = 0; l < images; l++) {
            cx_real v = from[(ptrdiff_t)i * LANES + l];
            y[l * image + i] = add ? y[l * image + i] + v : v;
        }
}

void cx_strip_unpack(const cx_strip *s, const cx_real *from, int images, cx_real *y, bool add) {
    ptrdiff_t plane = (ptrdiff_t)s->h * s->w, image = plane * s->channels;
    y += (ptrdiff_t)s->first * s->w;
    if (s->rows == s->h) {
        take_run(from, (int)image, image, images, y, add);
        return;
    }
    int n = s->rows * s->w;
    for (int c = 0; c < s->channels; c++, from += (ptrdiff_t)n * LANES, y += plane)
        take_run(from, n, image, images, y, add);
}
