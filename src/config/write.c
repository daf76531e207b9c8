/* A configuration back to YAML, every key written out. */
#include "config/key.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *text;
    size_t used, size;
    bool failed;
} out;

static void put(out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(out *o, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = o->failed ? -1 : vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        o->failed = true;
        return;
    }
    if (o->used + (size_t)n + 1 > o->size) {
        size_t size = 2 * (o->used + (size_t)n + 1);
        char *text = realloc(o->text, size);
        if (!text) {
            o->failed = true;
            return;
        }
        o->text = text;
        o->size = size;
    }
    va_start(args, format);
    (void)vsnprintf(o->text + o->used, o->size - o->used, format, args);
    va_end(args);
    o->used += (size_t)n;
}

static void put_number(out *o, double value) {
    put(o, "%s", cx_yaml_show_number(value).text);
}

static void put_numbers(out *o, const double *value, int n) {
    for (int i = 0; i < n; i++) {
        put(o, "%s", i ? ", " : "[");
        put_number(o, value[i]);
    }
    put(o, "]");
}

static void put_string(out *o, const char *text) {
    put(o, "\"");
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p == '"' || *p == '\\')
            put(o, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            put(o, "\\x%02x", *p);
        else
            put(o, "%c", *p);
    put(o, "\"");
}

static void put_word(out *o, const char *const *words, double number) {
    size_t n = cx_words_count(words);
    put_string(o, number >= 0 && number < (double)n ? words[(size_t)number] : "?");
}

static void put_key(out *o, const cx_key *key, const cx_config *config) {
    const char *member = (const char *)config + key->offset;
    int i = 0;
    double x = 0;
    uint64_t u = 0;
    cx_reals reals;
    switch (key->kind) {
    case CX_KEY_INT:
    case CX_KEY_BOOL:
    case CX_KEY_WORD:
        memcpy(&i, member, sizeof i);
        if (key->kind == CX_KEY_INT)
            put(o, "%d", i);
        else if (key->kind == CX_KEY_BOOL)
            put(o, "%s", i ? "true" : "false");
        else
            put_word(o, key->words, i);
        break;
    case CX_KEY_UINT64:
        memcpy(&u, member, sizeof u);
        put(o, "%" PRIu64, u);
        break;
    case CX_KEY_REAL:
        memcpy(&x, member, sizeof x);
        put_number(o, x);
        break;
    case CX_KEY_STRING:
        put_string(o, member);
        break;
    case CX_KEY_REALS:
        memcpy(&reals, member, sizeof reals);
        put_numbers(o, reals.value, reals.n);
        break;
    }
    put(o, "\n");
}

static void put_keys(out *o, const cx_config *config) {
    const char *section = "";
    for (int i = 0; i < CX_KEY_COUNT; i++) {
        const char *path = cx_keys[i].path, *dot = strchr(path, '.');
        size_t length = dot ? (size_t)(dot - path) : 0;
        if (dot && (strncmp(section, path, length) != 0 || section[length] != '.'))
            put(o, "%.*s:\n", (int)length, path);
        section = path;
        put(o, "%s%s: ", dot ? "  " : "", dot ? dot + 1 : path);
        put_key(o, &cx_keys[i], config);
    }
}

static void put_actions(out *o, const cx_config *config) {
    put(o, "actions:\n  registers: %d\n", config->registers);
    for (int i = 0; i < CX_HYPER_COUNT; i++) {
        const cx_head_config *head = &config->heads[i];
        if (!head->present)
            continue;
        put(o, "  %s: {%s: ", cx_hyper_name((cx_hyper_id)i), head->logit ? "shifts" : "factors");
        put_numbers(o, head->step, head->n);
        put(o, ", low: ");
        put_number(o, head->low);
        put(o, ", high: ");
        put_number(o, head->high);
        put(o, ", noise: ");
        put_numbers(o, (double[]){head->noise_low, head->noise_high}, 2);
        put(o, "}\n");
    }
}

static void put_value(out *o, const cx_param_schema *schema, double value) {
    if (schema->words)
        put_word(o, schema->words, value);
    else
        put_number(o, value);
}

static void put_dist(out *o, const cx_param_schema *schema, const cx_dist *dist) {
    static const char *const names[] = {[CX_DIST_UNIFORM] = "uniform",
                                        [CX_DIST_LOG] = "log",
                                        [CX_DIST_INT] = "int",
                                        [CX_DIST_LOG_INT] = "log_int"};
    switch (dist->kind) {
    case CX_DIST_CONSTANT:
        put_value(o, schema, dist->low);
        break;
    case CX_DIST_CHOICE:
        for (int i = 0; i < dist->n_choices; i++) {
            put(o, "%s", i ? ", " : "[");
            put_value(o, schema, dist->choice[i]);
        }
        put(o, "]");
        break;
    case CX_DIST_UNIFORM:
    case CX_DIST_LOG:
    case CX_DIST_INT:
    case CX_DIST_LOG_INT:
        put(o, "{%s: ", names[dist->kind]);
        put_numbers(o, (double[]){dist->low, dist->high}, 2);
        put(o, "}");
        break;
    }
}

int cx_config_write(const cx_config *config, const cx_family_schema *const *families,
                    int n_families, char **yaml, cx_error *err) {
    out o = {0};
    *yaml = NULL;
    for (int i = 0; i < config->n_tasks; i++)
        if (config->tasks[i].family >= (uint32_t)n_families)
            return cx_fail(err, CX_ESTATE, "task %d is of family %u; there are %d", i,
                           config->tasks[i].family, n_families);
    put_keys(&o, config);
    put_actions(&o, config);
    put(&o, "tasks:\n");
    for (int i = 0; i < config->n_tasks; i++) {
        const cx_task_entry *entry = &config->tasks[i];
        const cx_family_schema *family = families[entry->family];
        put(&o, "  - family: %s\n    name: ", family->name);
        put_string(&o, entry->name);
        put(&o, "\n    weight: ");
        put_number(&o, entry->weight);
        for (int j = 0; j < family->n_params; j++) {
            put(&o, "\n    %s: ", family->params[j].name);
            put_dist(&o, &family->params[j], &entry->param[j]);
        }
        put(&o, "\n");
    }
    if (o.failed) {
        free(o.text);
        return cx_fail(err, CX_ENOMEM, "no memory to write the configuration");
    }
    *yaml = o.text;
    return CX_OK;
}
