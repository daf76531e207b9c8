/* Pictures from files: JPEG (libjpeg) and PNG (libpng), told apart by their first bytes,
 * whatever the name says. All come out as 8-bit RGB: gray is repeated, palettes are looked
 * up, 16 bits become 8, transparency is put on white, CMYK (as Adobe writes it inside
 * JPEG, inverted, or plain) is multiplied out. */
#ifndef CX_DATA_IMAGE_DECODE_H
#define CX_DATA_IMAGE_DECODE_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

enum {
    CX_PICTURE_SIDE_MAX = 65500,     /* JPEG's own bound */
    CX_PICTURE_PIXELS_MAX = 1 << 27, /* of a picture, before any scaling */
    CX_PICTURE_FILE_MAX = 1 << 30    /* bytes */
};

typedef struct {
    int width, height;
    uint8_t *rgb; /* [height][width][3]; free() */
} cx_picture;

/* Decodes a file. A JPEG is decoded at the smallest of libjpeg's scales 1, 1/2, 1/4, 1/8
 * at which its shorter side still is `least` or more; 0: in full. CX_EDATA names the file
 * and the fault: missing, truncated, corrupt, empty, too large, neither JPEG nor PNG. */
int cx_picture_read(const char *path, int least, cx_picture *out, cx_error *err);
/* The same from memory; `name` stands for the file in messages. */
int cx_picture_decode(const char *name, const unsigned char *data, size_t size, int least,
                      cx_picture *out, cx_error *err);
void cx_picture_free(cx_picture *p);

/* The picture resized so that its shorter side is `side`, of which the middle is cut out:
 * planes[3][side][side]. A triangle filter as wide as the reduction (bilinear where it
 * enlarges); a picture whose shorter side is `side` is copied exactly. CX_ENOMEM. */
int cx_picture_square(const cx_picture *p, int side, uint8_t *planes, cx_error *err);

#endif
