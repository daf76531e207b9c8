#include "config/key.h"

#include "base/text.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const cx_mode_words[] = {"asynchronous", "synchronous", NULL};
const char *const cx_preset_words[] = {"desk", "paper", NULL};
const char *const cx_kernels_words[] = {"auto",      "each",      "x86-64-v2",
                                        "x86-64-v3", "x86-64-v4", NULL};
const char *const cx_reward_words[] = {"envelope", "power_fit", NULL};

const char *cx_hyper_name(cx_hyper_id id) {
    static const char *const names[] = {
#define X(code, name) name,
        CX_HYPER_TABLE(X)
#undef X
    };
    return (unsigned)id < CX_HYPER_COUNT ? names[id] : "?";
}

/* A row's kind, its words, and the type that its member must have. */
#define KIND_INT .kind = CX_KEY_INT
#define KIND_UINT64 .kind = CX_KEY_UINT64
#define KIND_REAL .kind = CX_KEY_REAL
#define KIND_BOOL .kind = CX_KEY_BOOL
#define KIND_STRING .kind = CX_KEY_STRING
#define KIND_WORD(list) .kind = CX_KEY_WORD, .words = (list)
#define KIND_REALS .kind = CX_KEY_REALS
#define TYPE_INT int
#define TYPE_UINT64 uint64_t
#define TYPE_REAL double
#define TYPE_BOOL int
#define TYPE_STRING char *
#define TYPE_WORD(list) int
#define TYPE_REALS cx_reals

#define X(path, kind, member, def, low, high, help)                                                \
    _Static_assert(_Generic(((cx_config *)0)->member, TYPE_##kind : 1, default : 0),               \
                   path ": the kind does not fit the member");
CX_CONFIG_KEYS(X)
#undef X

#define X(name, kind_, member, def, low_, high_, help_)                                            \
    {.path = name,                                                                                 \
     KIND_##kind_,                                                                                 \
     .offset = offsetof(cx_config, member),                                                        \
     .fallback = _Generic((def), char *: 0, default: (def)),                                       \
     .text = _Generic((def), char *: (def), default: NULL),                                        \
     .low = (low_),                                                                                \
     .high = (high_),                                                                              \
     .help = (help_)},
const cx_key cx_keys[CX_KEY_COUNT] = {CX_CONFIG_KEYS(X)};
#undef X

/* Defaults that are lists. */
static const struct {
    const char *path;
    cx_reals value;
} list_defaults[] = {
    {"reward.learning_rates", {7, {1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1}}},
    {"evaluation.learning_rates", {5, {1e-4, 3e-4, 1e-3, 3e-3, 1e-2}}},
    {"evaluation.static_learning_rates", {5, {1e-3, 3e-3, 1e-2, 3e-2, 1e-1}}},
    {"evaluation.sgd_learning_rates", {5, {3e-3, 1e-2, 3e-2, 1e-1, 3e-1}}},
    {"evaluation.start_lr", {1, {1}}},
};

static const struct {
    const char *path;
    double value[2]; /* by cx_preset */
} presets[] = {
#define X(path, desk, paper) {path, {desk, paper}},
    CX_PRESET_TABLE(X)
#undef X
};

int cx_key_find(const char *path) {
    for (int i = 0; i < CX_KEY_COUNT; i++)
        if (strcmp(cx_keys[i].path, path) == 0)
            return i;
    return -1;
}

size_t cx_words_count(const char *const *words) {
    size_t n = 0;
    while (words[n])
        n++;
    return n;
}

int cx_words_find(const char *const *words, const char *word) {
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return -1;
}

static void store_number(const cx_key *key, double value, cx_config *config) {
    char *member = (char *)config + key->offset;
    if (key->kind == CX_KEY_REAL)
        memcpy(member, &value, sizeof value);
    else if (key->kind == CX_KEY_UINT64)
        memcpy(member, &(uint64_t){(uint64_t)value}, sizeof(uint64_t));
    else
        memcpy(member, &(int){(int)value}, sizeof(int));
}

void cx_key_defaults(cx_config *config, cx_preset preset) {
    for (int i = 0; i < CX_KEY_COUNT; i++) {
        const cx_key *key = &cx_keys[i];
        char *member = (char *)config + key->offset;
        if (key->kind == CX_KEY_STRING)
            (void)snprintf(member, sizeof config->baseline_cache, "%s", key->text);
        else if (key->kind != CX_KEY_REALS)
            store_number(key, key->fallback, config);
    }
    for (size_t i = 0; i < sizeof list_defaults / sizeof list_defaults[0]; i++)
        memcpy((char *)config + cx_keys[cx_key_find(list_defaults[i].path)].offset,
               &list_defaults[i].value, sizeof(cx_reals));
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++)
        store_number(&cx_keys[cx_key_find(presets[i].path)], presets[i].value[preset], config);
}

static bool read_number(const cx_key *key, const cx_yaml *node, cx_config *config,
                        cx_report *report) {
    bool whole = key->kind == CX_KEY_INT;
    double value;
    if (!cx_yaml_number(node, &value) || value < key->low || value > key->high ||
        (whole && value != floor(value))) {
        cx_report_value(report, node, key->path, "a %snumber from %s to %s", whole ? "whole " : "",
                        cx_yaml_show_number(key->low).text, cx_yaml_show_number(key->high).text);
        return false;
    }
    store_number(key, value, config);
    return true;
}

/* Not by way of a double, which has 53 bits only. */
static bool read_uint64(const cx_key *key, const cx_yaml *node, cx_config *config,
                        cx_report *report) {
    uint64_t value = 0;
    bool good = node->kind == CX_YAML_SCALAR && node->plain && *node->text &&
                strspn(node->text, "0123456789") == strlen(node->text);
    if (good) {
        errno = 0;
        value = strtoull(node->text, NULL, 10);
        good = errno == 0 && (double)value >= key->low && (double)value <= key->high;
    }
    if (!good)
        cx_report_value(report, node, key->path, "a whole number, in digits, from %s to %s",
                        cx_yaml_show_number(key->low).text, cx_yaml_show_number(key->high).text);
    else
        memcpy((char *)config + key->offset, &value, sizeof value);
    return good;
}

static bool read_bool(const cx_key *key, const cx_yaml *node, cx_config *config,
                      cx_report *report) {
    static const char *const words[] = {"false", "true", "False", "True", "FALSE", "TRUE",
                                        "off",   "on",   "no",    "yes",  NULL};
    int i = node->kind == CX_YAML_SCALAR && node->plain ? cx_words_find(words, node->text) : -1;
    if (i < 0)
        cx_report_value(report, node, key->path, "true or false");
    else
        store_number(key, i % 2, config);
    return i >= 0;
}

static bool read_string(const cx_key *key, const cx_yaml *node, cx_config *config,
                        cx_report *report) {
    enum { SIZE = sizeof config->baseline_cache };
    if (node->kind != CX_YAML_SCALAR || strlen(node->text) >= SIZE) {
        cx_report_value(report, node, key->path, "a text of at most %d bytes (empty: \"\")",
                        SIZE - 1);
        return false;
    }
    memset((char *)config + key->offset, 0, SIZE);
    memcpy((char *)config + key->offset, node->text, strlen(node->text));
    return true;
}

static bool read_word(const cx_key *key, const cx_yaml *node, cx_config *config,
                      cx_report *report) {
    if (node->kind != CX_YAML_SCALAR) {
        cx_report_value(report, node, key->path, "a word such as %s", key->words[0]);
        return false;
    }
    int i = cx_words_find(key->words, node->text);
    if (i < 0)
        cx_report_unknown(report, node, key->path, "word", node->text, "", key->words,
                          cx_words_count(key->words));
    else
        store_number(key, i, config);
    return i >= 0;
}

static bool read_reals(const cx_key *key, const cx_yaml *node, cx_config *config,
                       cx_report *report) {
    cx_reals reals = {0};
    if (node->kind != CX_YAML_LIST || node->count < 1 || node->count > CX_REALS_MAX) {
        cx_report_value(report, node, key->path, "a list of 1 to %d numbers, ascending%s",
                        CX_REALS_MAX, node->kind == CX_YAML_LIST ? " (found another count)" : "");
        return false;
    }
    cx_yaml_path path = cx_yaml_join(NULL, key->path);
    for (const cx_yaml *item = node->first; item; item = item->next) {
        cx_yaml_path at = cx_yaml_join_index(&path, reals.n);
        double value;
        if (!cx_yaml_number(item, &value) || value < key->low || value > key->high) {
            cx_report_value(report, item, at.text, "a number from %s to %s",
                            cx_yaml_show_number(key->low).text,
                            cx_yaml_show_number(key->high).text);
            return false;
        }
        if (reals.n && value <= reals.value[reals.n - 1]) {
            cx_report_value(report, item, at.text, "greater than the one before it, %s",
                            cx_yaml_show_number(reals.value[reals.n - 1]).text);
            return false;
        }
        reals.value[reals.n++] = value;
    }
    memcpy((char *)config + key->offset, &reals, sizeof reals);
    return true;
}

bool cx_key_read(const cx_key *key, const cx_yaml *node, cx_config *config, cx_report *report) {
    switch (key->kind) {
    case CX_KEY_INT:
    case CX_KEY_REAL:
        return read_number(key, node, config, report);
    case CX_KEY_UINT64:
        return read_uint64(key, node, config, report);
    case CX_KEY_BOOL:
        return read_bool(key, node, config, report);
    case CX_KEY_STRING:
        return read_string(key, node, config, report);
    case CX_KEY_WORD:
        return read_word(key, node, config, report);
    case CX_KEY_REALS:
        return read_reals(key, node, config, report);
    }
    return false;
}
