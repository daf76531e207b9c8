/* What the task families share behind tasks/task.h. Adding a family: one file with
 * its table of parameters and functions, one row in CX_FAMILY_TABLE. */
#ifndef CX_TASKS_FAMILY_H
#define CX_TASKS_FAMILY_H

#include "tasks/task.h"

/* The order is the numbering of cx_task_spec.family: new rows go to the end. */
#define CX_FAMILY_TABLE(X)                                                                         \
    X(cx_family_nqm)                                                                               \
    X(cx_family_images)                                                                            \
    X(cx_family_text)                                                                              \
    X(cx_family_gpt2)                                                                              \
    X(cx_family_algo)                                                                              \
    X(cx_family_sentences)                                                                         \
    X(cx_family_ncf)                                                                               \
    X(cx_family_resnet)                                                                            \
    X(cx_family_speech)

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

/* A family's table of parameters as its enumeration and as its schema's rows. */
#define CX_PARAM_ENUM(id, ...) id,
#define CX_PARAM_ROW(id, name, words, low, high, fallback, whole, help)                            \
    {name, words, low, high, fallback, whole, help},

enum { CX_PARAM_OUTER_STEPS, CX_PARAM_INNER_PER_OUTER, CX_PARAM_INNER_STEPS };

/* What an operator counts in flops_per_step besides its arithmetic, and what an update
 * counts per parameter. */
#define CX_FLOPS_PER_OPERATOR 1e5
#define CX_FLOPS_PER_UPDATE 30.0

/* Inner steps per outer step of a run of `epochs` passes over `examples` (0 epochs: the
 * parameter inner_per_outer), for the families that count in epochs. */
int cx_epochs_per_outer(const cx_task_spec *spec, double epochs, double examples, double batch);

/* --- the data store, for the families' `open` and `create` --- */

/* Is entry number i of the configuration of this family? */
bool cx_entry_is(const cx_config *config, int i, const cx_task_family *family);
/* Keeps an open data set under a name that is unique within the family; close(data) when
 * the store closes, also when this fails. */
int cx_data_store_put(cx_data_store *store, const cx_task_family *family, const char *name,
                      void *data, void (*close)(void *data), cx_error *err);
/* NULL: not there (store may be NULL). */
const void *cx_data_store_get(const cx_data_store *store, const cx_task_family *family,
                              const char *name);

#endif
