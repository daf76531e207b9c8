/* The rows of keys.h as a table, and what config.c, tasks.c and actions.c share
 * while a configuration is read. */
#ifndef CX_CONFIG_KEY_H
#define CX_CONFIG_KEY_H

#include "config/config.h"
#include "config/keys.h"
#include "config/yaml.h"

typedef enum {
    CX_KEY_INT,
    CX_KEY_UINT64,
    CX_KEY_REAL,
    CX_KEY_BOOL,
    CX_KEY_STRING,
    CX_KEY_WORD,
    CX_KEY_REALS
} cx_key_kind;

typedef struct {
    const char *path; /* "ppo.clip" */
    cx_key_kind kind;
    const char *const *words; /* of CX_KEY_WORD, NULL-terminated */
    size_t offset;            /* of the member in cx_config */
    double fallback;          /* default of a number, a word, a switch */
    const char *text;         /* default of a string */
    double low, high;         /* both included */
    const char *help;
} cx_key;

#define X(...) +1
enum { CX_KEY_COUNT = 0 CX_CONFIG_KEYS(X) };
#undef X
extern const cx_key cx_keys[CX_KEY_COUNT];

int cx_key_find(const char *path); /* index; -1: no such key */

/* What is known while reading. */
typedef struct {
    cx_report report;
    cx_config *config;
    const cx_family_schema *const *families;
    int n_families;
    struct {
        const cx_yaml *node; /* where it was set; NULL: a default */
        bool bad;            /* it has a fault already: no further checks on it */
    } key[CX_KEY_COUNT];
} cx_reading;

/* Every key's default under a preset. */
void cx_key_defaults(cx_config *config, cx_preset preset);
/* Reads one key's value into the configuration, or reports why not (false). */
bool cx_key_read(const cx_key *key, const cx_yaml *node, cx_config *config, cx_report *report);

/* The `tasks` and the `actions` of a file. */
void cx_tasks_read(cx_reading *reading, const cx_yaml *tasks);
void cx_actions_read(cx_reading *reading, const cx_yaml *actions);
extern const char cx_actions_default[]; /* YAML */
/* A distribution within what the schema allows; false: faults are reported. */
bool cx_dist_read(cx_report *report, const cx_yaml *node, const cx_yaml_path *path,
                  const cx_param_schema *schema, cx_dist *dist);
/* The words of a NULL-terminated list; index of a word, -1: not in it. */
size_t cx_words_count(const char *const *words);
int cx_words_find(const char *const *words, const char *word);

#endif
