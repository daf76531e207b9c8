/* What the task families share behind tasks/task.h. Adding a family: one file with
 * its table of parameters and functions, one row in CX_FAMILY_TABLE. */
#ifndef CX_TASKS_FAMILY_H
#define CX_TASKS_FAMILY_H

#include "data/images.h"
#include "tasks/task.h"

/* The order is the numbering of cx_task_spec.family: new rows go to the end. */
#define CX_FAMILY_TABLE(X)                                                                         \
    X(cx_family_nqm)                                                                               \
    X(cx_family_images)

#define X(family)                                                                                  \
    extern const cx_task_family family;                                                            \
    extern const cx_family_schema family##_schema;
CX_FAMILY_TABLE(X)
#undef X

/* Every family's parameters begin with these three: X(enum, name, words, low, high,
 * default, whole, help). */
#define CX_COMMON_PARAMS(X)                                                                        \
    X(OUTER_STEPS, "outer_steps", NULL, 1, 4096, NAN, true, "outer steps K of the run")            \
    X(INNER_PER_OUTER, "inner_per_outer", NULL, 1, 100000, 10, true,                               \
      "inner steps of an outer step")                                                              \
    X(INNER_STEPS, "inner_steps", NULL, 0, 1e7, 0, true,                                           \
      "length of the whole run, to the nearest multiple of outer_steps; 0: inner_per_outer says "  \
      "it")

enum { CX_PARAM_OUTER_STEPS, CX_PARAM_INNER_PER_OUTER, CX_PARAM_INNER_STEPS };

/* What an operator counts in flops_per_step besides its arithmetic, and what an update
 * counts per parameter. */
#define CX_FLOPS_PER_OPERATOR 1e5
#define CX_FLOPS_PER_UPDATE 30.0

/* The data sets of the images family, numbered as its words. */
enum { CX_IMAGE_SETS = 3, CX_IMAGE_WANTS_MAX = 6 };
extern const char *const cx_image_set_words[CX_IMAGE_SETS + 1];
const char *cx_image_set_path(const cx_config *config, int set);

struct cx_data_store {
    cx_images *images[CX_IMAGE_SETS]; /* NULL: not asked for */
};

/* Checks that whatever entry number `entry` of the configuration can draw fits together
 * (CX_ECONFIG), and adds the views it needs of each set: wants[set][0 .. n[set]-1]. */
int cx_family_images_wants(const cx_config *config, int entry,
                           cx_image_want wants[CX_IMAGE_SETS][CX_IMAGE_WANTS_MAX],
                           int n[CX_IMAGE_SETS], cx_error *err);

#endif
