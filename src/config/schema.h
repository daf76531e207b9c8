/* What a task family's parameters are called and may be: one row each. The
 * families (tasks/) own such tables; the configuration is checked against them. */
#ifndef CX_CONFIG_SCHEMA_H
#define CX_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CX_TASK_PARAMS_MAX 24

typedef struct {
    const char *name;
    const char *const *words; /* NULL for a number; else the allowed words, NULL-terminated */
    double low, high;         /* allowed range of a number, both included */
    double fallback;          /* default (a word: its number); NAN: must be given */
    bool whole;               /* whole numbers only */
    const char *help;         /* one line, with the unit */
} cx_param_schema;

typedef struct {
    const char *name; /* as in `family: images` */
    const char *help;
    int n_params;
    const cx_param_schema *params;
} cx_family_schema;

/* One sampled task instance: everything that determines the inner training but
 * the optimizer. A flat struct without pointers: it is hashed, sent and stored
 * as it is, so unused values are zero. */
typedef struct {
    uint32_t family;                  /* index into the family table */
    uint32_t entry;                   /* index into the configuration's tasks list */
    uint64_t seed;                    /* initial weights, batches, generated data */
    double value[CX_TASK_PARAMS_MAX]; /* in the order of the schema */
} cx_task_spec;

#endif
