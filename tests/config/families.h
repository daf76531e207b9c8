/* Two families for the tests of the configuration, so that they do not depend on
 * what tasks/ offers. */
#ifndef CX_TESTS_CONFIG_FAMILIES_H
#define CX_TESTS_CONFIG_FAMILIES_H

#include "config/schema.h"
#include <math.h>

static const char *const norm_words[] = {"none", "batch", "layer", NULL};
static const cx_param_schema bowl_params[] = {
    {"outer_steps", NULL, 1, 4096, NAN, true, "outer steps"},
    {"dimension", NULL, 1, 10000, 100, true, "numbers in the vector"},
    {"noise", NULL, 0, 10, 0, false, "standard deviation of the gradient noise"},
};
static const cx_param_schema picture_params[] = {
    {"outer_steps", NULL, 1, 4096, NAN, true, "outer steps"},
    {"norm", norm_words, 0, 0, 1, true, "normalization"},
    {"batch_size", NULL, 1, 1024, 64, true, "examples"},
    {"dropout", NULL, 0, 0.9, 0, false, "probability"},
    {"input_scale", NULL, 0.01, 100, 1, false, "factor of the inputs"},
    {"shift", NULL, -1000, 1000, 0, false, "any number"},
};
static const cx_family_schema bowl = {"bowl", "a quadratic", 3, bowl_params};
static const cx_family_schema picture = {"picture", "images", 6, picture_params};
static const cx_family_schema *const families[] = {&bowl, &picture};
enum { FAMILIES = 2 };

#endif
