/* A YAML file as a small tree that remembers lines, and the list of faults that
 * its readers add to. For config/ alone. */
#ifndef CX_CONFIG_YAML_H
#define CX_CONFIG_YAML_H

#include "base/error.h"
#include "config/config.h"
#include <stdbool.h>
#include <stddef.h>

/* Bounds against files that are not configurations. */
#define CX_YAML_DEPTH_MAX 12
#define CX_YAML_NODES_MAX 10000

typedef enum {
    CX_YAML_NOTHING, /* an empty value, ~ or null */
    CX_YAML_SCALAR,
    CX_YAML_LIST,
    CX_YAML_MAP
} cx_yaml_kind;

typedef struct cx_yaml {
    cx_yaml_kind kind;
    char *key;          /* in a map: the key; else NULL */
    char *text;         /* of a scalar; zero-terminated, without zero bytes inside */
    bool plain;         /* a scalar without quotes */
    const char *origin; /* file name, or the whole override; owned by the caller */
    int line;           /* 1, 2, ...; of the key where there is one; 0: an override */
    int count;          /* children */
    struct cx_yaml *first, *last, *next;
} cx_yaml;

/* Where a value stands: "tasks.0.dropout", as --set would name it. */
typedef struct {
    char text[192];
} cx_yaml_path;

cx_yaml_path cx_yaml_join(const cx_yaml_path *parent, const char *key);
cx_yaml_path cx_yaml_join_index(const cx_yaml_path *parent, int index);

/* Where faults go. The first one fills err; `faults` may be NULL. */
typedef struct {
    const char *name; /* of the file, for faults that stand nowhere in it */
    cx_faults *faults;
    cx_error *err;
    int count;
} cx_report;

/* Adds "origin:line: path: ..."; `at` may be NULL, `path` may be NULL. */
void cx_report_fault(cx_report *report, const cx_yaml *at, const char *path, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));
/* "found X; must be RIGHT". */
void cx_report_value(cx_report *report, const cx_yaml *at, const char *path, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));
/* "unknown WHAT 'found'; did you mean 'nearest'?", or all the names. `prefix` goes
 * before the names that are shown. */
void cx_report_unknown(cx_report *report, const cx_yaml *at, const char *path, const char *what,
                       const char *found, const char *prefix, const char *const *names,
                       size_t count);

/* Parses a document. *root (cx_yaml_free) is NULL when it is no YAML or nothing of
 * it can be used; the faults are then in the report. CX_OK or CX_ENOMEM. `origin`
 * must outlive the tree. line_zero: all lines are 0 (an override's value). */
int cx_yaml_parse(const char *origin, bool line_zero, const char *text, size_t size,
                  cx_report *report, cx_yaml **root);
void cx_yaml_free(cx_yaml *node);
/* Puts "a.b.0.c=VALUE" into the tree; maps on the way are made. VALUE is YAML; empty,
 * it is an empty string. CX_OK or CX_ENOMEM; faults go into the report. */
int cx_yaml_override(cx_yaml *root, const char *override, cx_report *report);
/* Puts `value` (taken over, freed on failure) under a key that the map does not have. */
int cx_yaml_attach(cx_yaml *map, const char *key, cx_yaml *value);

const cx_yaml *cx_yaml_get(const cx_yaml *map, const char *key); /* NULL: not there */
/* A number: plain, decimal, .inf and -.inf allowed, never NaN. */
bool cx_yaml_number(const cx_yaml *node, double *value);
/* A number that is shown or written: whole ones without exponent, .inf; reads back
 * as the same double. */
typedef struct {
    char text[32];
} cx_yaml_shown;
cx_yaml_shown cx_yaml_show_number(double value);

#endif
