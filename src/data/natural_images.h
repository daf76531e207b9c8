/* Labeled color images: folders {train, val or valid, test}/CLASS/FILE of JPEG and PNG (data/
 * image_folder.c says the rules) or the binary files of CIFAR-10 and CIFAR-100
 * (data/cifar.c). They are decoded once, into a cache file (data/cache.h) that every
 * process maps: all images as planes of `side` x `side` bytes, the shorter side of each
 * resized to it and the middle cut out. The cache's name is made of names, sizes and times
 * of change of all files, and of the side.
 *
 * Splits: what the files call test is the test split; where there is a val part only, that
 * is the test split (as ImageNet's users have it: its test labels are secret). A
 * validation or test split that the files do not have is cut off the training images, by a
 * shuffle that is the same for every run: `validation_examples` each, but at most a tenth.
 * Examples are numbered through: training, then validation, then test. */
#ifndef CX_DATA_NATURAL_IMAGES_H
#define CX_DATA_NATURAL_IMAGES_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

enum { CX_NATURAL_SIDE_MAX = 1024 };

typedef struct cx_natural_images cx_natural_images;

/* Lists the files, and decodes them where the cache does not have them. `cache`: as in
 * cx_cache_open. CX_EDATA: no such form of data, or broken pictures (the first few by
 * name, and how many there are). */
int cx_natural_images_open(const char *path, const char *cache, int validation_examples, int side,
                           cx_natural_images **out, cx_error *err);
void cx_natural_images_close(cx_natural_images *images);

int cx_natural_images_side(const cx_natural_images *images);
int cx_natural_images_classes(const cx_natural_images *images);
/* Examples of the training (0), validation (1) and test (2) split, and the number of the
 * first one. */
uint32_t cx_natural_images_count(const cx_natural_images *images, int split);
uint32_t cx_natural_images_first(const cx_natural_images *images, int split);
int cx_natural_images_label(const cx_natural_images *images, uint32_t example);
/* The stored bytes, planes[3][side][side]. */
const uint8_t *cx_natural_images_pixels(const cx_natural_images *images, uint32_t example);
/* Mean and deviation of the training split's bytes in each channel. A channel without any
 * deviation has 1. */
void cx_natural_images_statistics(const cx_natural_images *images, double mean[3],
                                  double deviation[3]);

/* out[3][side][side] = (byte - mean) / deviation of the square whose upper left corner is
 * at (x, y) of the stored image, mirrored left to right with `flip`. What lies outside the
 * image is 0, the mean color. */
void cx_natural_images_copy(const cx_natural_images *images, uint32_t example, int side, int x,
                            int y, bool flip, float *out);

#endif
