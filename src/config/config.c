/* A configuration as a whole: file, overrides, keys, and what keys owe each other. */
#include "config/config.h"

#include "base/file.h"
#include "base/text.h"
#include "config/key.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20 }; /* bytes */

/* The keys below a section ("" for the top), as the words that may stand there. */
typedef struct {
    int n;
    const char *name[CX_KEY_COUNT + 2];
    char text[CX_KEY_COUNT][48];
} siblings;

static bool below(const char *path, const char *section) {
    size_t n = strlen(section);
    return n == 0 || (strncmp(path, section, n) == 0 && path[n] == '.');
}

static void list_siblings(const char *section, siblings *s) {
    size_t skip = *section ? strlen(section) + 1 : 0;
    s->n = 0;
    for (int i = 0; i < CX_KEY_COUNT; i++) {
        if (!below(cx_keys[i].path, section))
            continue;
        const char *name = cx_keys[i].path + skip;
        char *text = s->text[s->n];
        (void)snprintf(text, sizeof s->text[0], "%.*s", (int)strcspn(name, "."), name);
        if (s->n == 0 ||
            strcmp(text, s->text[s->n - 1]) != 0) { /* rows of a section are together */
            s->name[s->n] = text;
            s->n++;
        }
    }
    if (!*section) {
        s->name[s->n++] = "actions";
        s->name[s->n++] = "tasks";
    }
}

/* A right name in the wrong place is worth more than a near one, at the top of the
 * file; within a section, neighbors go first. */
static void unknown_key(cx_report *report, const cx_yaml *node, const char *section) {
    const char *inner = strchr(node->key, '.');
    if (!*section && inner && cx_key_find(node->key) >= 0) {
        cx_report_fault(report, node, section, "found key '%s'; must be `%.*s:` and below it `%s:`",
                        node->key, (int)(inner - node->key), node->key, inner + 1);
        return;
    }
    siblings s;
    list_siblings(section, &s);
    if (!*section || !cx_text_nearest(node->key, s.name, (size_t)s.n))
        for (int i = 0; i < CX_KEY_COUNT; i++) {
            const char *dot = strchr(cx_keys[i].path, '.');
            if (strcmp(dot ? dot + 1 : cx_keys[i].path, node->key) == 0) {
                cx_report_fault(report, node, section, "unknown key '%s'; did you mean '%s'?",
                                node->key, cx_keys[i].path);
                return;
            }
        }
    char prefix[64] = "";
    if (*section)
        (void)snprintf(prefix, sizeof prefix, "%.60s.", section);
    cx_report_unknown(report, node, section, "key", node->key, prefix, s.name, (size_t)s.n);
}

static bool is_section(const char *path) {
    for (int i = 0; i < CX_KEY_COUNT; i++)
        if (below(cx_keys[i].path, path))
            return true;
    return false;
}

/* All keys of a map; `section` is its path. */
static void read_keys(cx_reading *reading, const cx_yaml *map, const cx_yaml_path *section) {
    for (const cx_yaml *node = map->first; node; node = node->next) {
        cx_yaml_path path = cx_yaml_join(section, node->key);
        /* a dot inside a key is no way to another section */
        int i = strchr(node->key, '.') ? -1 : cx_key_find(path.text);
        if (i >= 0) {
            reading->key[i].node = node;
            reading->key[i].bad =
                !cx_key_read(&cx_keys[i], node, reading->config, &reading->report);
        } else if (!section->text[0] &&
                   (strcmp(node->key, "tasks") == 0 || strcmp(node->key, "actions") == 0)) {
            continue;
        } else if (!*node->key || strchr(node->key, '.') || !is_section(path.text)) {
            unknown_key(&reading->report, node, section->text);
        } else if (node->kind == CX_YAML_MAP) {
            read_keys(reading, node, &path);
        } else if (node->kind != CX_YAML_NOTHING) {
            siblings s;
            list_siblings(path.text, &s);
            cx_report_value(&reading->report, node, path.text,
                            "a section: keys on lines of their own below it, such as `%s:`",
                            s.name[0]);
        }
    }
}

/* ---- what keys owe each other ---- */

static bool good(const cx_reading *reading, const char *const *paths, int n) {
    for (int i = 0; i < n; i++)
        if (reading->key[cx_key_find(paths[i])].bad)
            return false;
    return true;
}

/* The node of the first of the keys that the user set. */
static const cx_yaml *set_at(const cx_reading *reading, const char *const *paths, int n) {
    for (int i = 0; i < n; i++)
        if (reading->key[cx_key_find(paths[i])].node)
            return reading->key[cx_key_find(paths[i])].node;
    return NULL;
}

static void at_most(cx_reading *reading, const char *path, double value, const char *limit_path,
                    double limit) {
    const char *const paths[] = {path, limit_path};
    if (good(reading, paths, 2) && value > limit)
        cx_report_fault(&reading->report, set_at(reading, paths, 2), path,
                        "found %s; must be at most %s, which is %s",
                        cx_yaml_show_number(value).text, limit_path,
                        cx_yaml_show_number(limit).text);
}

static void check_uses(cx_reading *reading) {
    static const char *const paths[] = {"ppo.minibatches", "ppo.minibatch_episodes",
                                        "ppo.episodes_per_update", "ppo.max_uses"};
    const cx_config *c = reading->config;
    double wanted = (double)c->ppo.minibatches * c->ppo.minibatch_episodes;
    double there = (double)c->ppo.episodes_per_update * c->ppo.max_uses;
    if (good(reading, paths, 4) && wanted > there)
        cx_report_fault(&reading->report, set_at(reading, paths, 4), paths[0],
                        "found %d minibatches of %d episodes, %.0f in all; must be at most "
                        "ppo.episodes_per_update x ppo.max_uses = %d x %d = %.0f, or the learner "
                        "runs out of episodes",
                        c->ppo.minibatches, c->ppo.minibatch_episodes, wanted,
                        c->ppo.episodes_per_update, c->ppo.max_uses, there);
}

/* A sweep's list and what it may grow by. */
static void check_sweep(cx_reading *reading, const char *list, int n, const char *extensions,
                        int more) {
    const char *const paths[] = {extensions, list};
    if (good(reading, paths, 2) && n + more > CX_REALS_MAX)
        cx_report_fault(&reading->report, set_at(reading, paths, 2), extensions,
                        "found %d, with %d %s; must be %d together at most", more, n, list,
                        CX_REALS_MAX);
}

static void check_together(cx_reading *reading) {
    const cx_config *c = reading->config;
    const char *extensions = "evaluation.max_extensions";
    const char *const starts = "evaluation.start_lr";
    at_most(reading, "ppo.minibatch_episodes", c->ppo.minibatch_episodes, "ppo.buffer_episodes",
            c->ppo.buffer_episodes);
    at_most(reading, "ppo.episodes_per_update", c->ppo.episodes_per_update, "ppo.buffer_episodes",
            c->ppo.buffer_episodes);
    at_most(reading, "optimizer.lamb_min_trust", c->optimizer.lamb_min_trust,
            "optimizer.lamb_max_trust", c->optimizer.lamb_max_trust);
    check_uses(reading);
    check_sweep(reading, "reward.learning_rates", c->reward.learning_rates.n,
                "reward.max_extensions", c->reward.max_extensions);
    check_sweep(reading, "evaluation.learning_rates", c->evaluation.learning_rates.n, extensions,
                c->evaluation.max_extensions);
    check_sweep(reading, "evaluation.static_learning_rates", c->evaluation.static_learning_rates.n,
                extensions, c->evaluation.max_extensions);
    check_sweep(reading, "evaluation.sgd_learning_rates", c->evaluation.sgd_learning_rates.n,
                extensions, c->evaluation.max_extensions);
    if (c->evaluation.start_lr.n > CX_STARTS_MAX && good(reading, &starts, 1))
        cx_report_fault(&reading->report, set_at(reading, &starts, 1), starts,
                        "found %d factors; must be at most %d", c->evaluation.start_lr.n,
                        CX_STARTS_MAX);
}

/* ---- reading ---- */

/* The preset must be known before anything else: it sets defaults. A faulty one is
 * reported with the other keys. */
static cx_preset find_preset(const cx_yaml *root) {
    const cx_yaml *node = cx_yaml_get(root, "preset");
    int i = node && node->kind == CX_YAML_SCALAR ? cx_words_find(cx_preset_words, node->text) : -1;
    return i < 0 ? CX_PRESET_DESK : (cx_preset)i;
}

/* The usual heads stand in the tree like a user's, so that overrides can reach them. */
static int add_actions(cx_reading *reading, cx_yaml *root) {
    if (cx_yaml_get(root, "actions") || root->kind != CX_YAML_MAP)
        return CX_OK;
    cx_yaml *actions;
    int code = cx_yaml_parse("built-in actions", false, cx_actions_default,
                             strlen(cx_actions_default), &reading->report, &actions);
    if (code == CX_OK && actions && cx_yaml_attach(root, "actions", actions) != CX_OK)
        code = cx_fail(reading->report.err, CX_ENOMEM, "%s: no memory", reading->report.name);
    return code;
}

static int read_tree(cx_reading *reading, cx_yaml *root, const char *const *overrides,
                     int n_overrides) {
    const cx_yaml_path top = {""};
    if (root->kind == CX_YAML_NOTHING)
        root->kind = CX_YAML_MAP;
    if (root->kind != CX_YAML_MAP) {
        cx_report_value(&reading->report, root, NULL, "keys with values, such as `updates: 100`");
        return CX_OK;
    }
    int code = add_actions(reading, root);
    for (int i = 0; i < n_overrides && code == CX_OK; i++)
        code = cx_yaml_override(root, overrides[i], &reading->report);
    if (code != CX_OK)
        return code;
    cx_key_defaults(reading->config, find_preset(root));
    read_keys(reading, root, &top);
    check_together(reading);
    cx_tasks_read(reading, cx_yaml_get(root, "tasks"));
    cx_actions_read(reading, cx_yaml_get(root, "actions"));
    return CX_OK;
}

static int finish(const cx_report *report) {
    if (report->count == 0)
        return CX_OK;
    if (report->count > 1 && report->err) {
        size_t used = strlen(report->err->message);
        (void)snprintf(report->err->message + used, sizeof report->err->message - used,
                       " (and %d more faults)", report->count - 1);
    }
    return CX_ECONFIG;
}

int cx_config_parse(const char *name, const char *yaml, size_t size, const char *const *overrides,
                    int n_overrides, const cx_family_schema *const *families, int n_families,
                    cx_config *config, cx_faults *faults, cx_error *err) {
    memset(config, 0, sizeof *config); /* so that equal configurations are equal bytes */
    if (faults)
        faults->count = 0;
    cx_reading *reading = calloc(1, sizeof *reading);
    if (!reading)
        return cx_fail(err, CX_ENOMEM, "%s: no memory to read it", name);
    *reading = (cx_reading){.report = {.name = name, .faults = faults, .err = err},
                            .config = config,
                            .families = families,
                            .n_families = n_families};
    cx_yaml *root;
    int code = cx_yaml_parse(name, false, yaml, size, &reading->report, &root);
    if (code == CX_OK && root)
        code = read_tree(reading, root, overrides, n_overrides);
    if (code == CX_OK)
        code = finish(&reading->report);
    cx_yaml_free(root);
    free(reading);
    return code;
}

int cx_config_read(const char *path, const char *const *overrides, int n_overrides,
                   const cx_family_schema *const *families, int n_families, cx_config *config,
                   cx_faults *faults, cx_error *err) {
    unsigned char *data;
    size_t size;
    cx_error local;
    if (faults)
        faults->count = 0;
    int code = cx_file_read(path, FILE_LIMIT, &data, &size, &local);
    if (code == CX_ENOMEM)
        return cx_fail(err, CX_ENOMEM, "%s", local.message);
    if (code != CX_OK) {
        if (faults) {
            faults->count = 1;
            (void)snprintf(faults->text[0], sizeof faults->text[0], "%.500s", local.message);
        }
        return cx_fail(err, CX_ECONFIG, "%s", local.message);
    }
    code = cx_config_parse(path, (const char *)data, size, overrides, n_overrides, families,
                           n_families, config, faults, err);
    free(data);
    return code;
}
