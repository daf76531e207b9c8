/* Levels of the instruction set. The kernels (operators, the update's loops, the acting
 * policy) are compiled once for each level that the Makefile names, everything else for
 * the lowest; which level runs is chosen once, at the start of the program.
 *
 * The bits of a result depend on the level: sums over vectors of another width are sums
 * in another order, and the lower levels have no fused multiply-add.
 *
 * How it is built: the Makefile compiles each kernel file with CX_LEVEL set to a level's
 * word, links those of one level into one object, and hides all of its symbols but those
 * that end in _at_LEVEL: one table of functions a folder. */
#ifndef CX_BASE_LEVEL_H
#define CX_BASE_LEVEL_H

#include "base/error.h"
#include <stdbool.h>

#ifndef CX_LEVELS /* in full builds from the Makefile; here for tools that read one file */
#define CX_LEVELS(X, ...) X(single, __VA_ARGS__)
#endif
#ifndef CX_SINGLE_NAME
#define CX_SINGLE_NAME "generic"
#endif

/* Ascending. X(word, name)
 * plain: one number at a time, the definition that the others are tested against; only in
 * test builds. single: the one level of a build for another processor, or with ARCH=. */
#define CX_LEVEL_TABLE(X)                                                                          \
    X(plain, "plain")                                                                              \
    X(single, CX_SINGLE_NAME)                                                                      \
    X(v2, "x86-64-v2")                                                                             \
    X(v3, "x86-64-v3")                                                                             \
    X(v4, "x86-64-v4")

typedef enum {
#define X(word, name) CX_LEVEL_##word,
    CX_LEVEL_TABLE(X)
#undef X
        CX_LEVEL_COUNT
} cx_level;

#define CX_AT_LEVEL_(name, level) name##_at_##level
#define CX_AT_LEVEL(name, level) CX_AT_LEVEL_(name, level)
/* In a kernel file: this level's table, an array of one or more rows. */
#define CX_TABLE_AT_LEVEL(type, name)                                                              \
    extern const type CX_AT_LEVEL(name, CX_LEVEL)[];                                               \
    const type CX_AT_LEVEL(name, CX_LEVEL)[]
/* Outside: defines `const type *function(void)`, which returns that of cx_level_now(). */
#define CX_LEVEL_EXTERN(level, type, name) extern const type CX_AT_LEVEL(name, level)[];
#define CX_LEVEL_ROW(level, name) [CX_LEVEL_##level] = CX_AT_LEVEL(name, level),
#define CX_LEVEL_LOOKUP(function, type, name)                                                      \
    CX_LEVELS(CX_LEVEL_EXTERN, type, name)                                                         \
    const type *function(void) {                                                                   \
        static const type *const tables[CX_LEVEL_COUNT] = {CX_LEVELS(CX_LEVEL_ROW, name)};         \
        return tables[cx_level_now()];                                                             \
    }

const char *cx_level_name(cx_level level);
bool cx_level_built(cx_level level);     /* is in this program */
bool cx_level_supported(cx_level level); /* this processor and its system have it */
bool cx_level_runs(cx_level level);      /* both */
/* The highest that runs. CX_EUNSUPPORTED: this program does not fit the machine. */
int cx_level_best(cx_level *out, cx_error *err);
/* By its name; "auto": the best. CX_EUSAGE: no such name, not in this program, or not on
 * this machine. */
int cx_level_find(const char *name, cx_level *out, cx_error *err);

/* The one choice of the process, safe to be made and read from several threads. Make it
 * before any graph, network, optimizer or task is made: each takes its kernels then and keeps
 * them. Without it: the best. */
void cx_level_choose(cx_level level);
cx_level cx_level_now(void);

#endif
