/* The `tasks` of a configuration: entries, their parameters' distributions, and
 * how an instance is drawn from them. */
#include "config/key.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Kinds of distributions that have two ends. */
static const struct {
    const char *name;
    cx_dist_kind kind;
    bool whole, positive;
} ranges[] = {
    {"uniform", CX_DIST_UNIFORM, false, false},
    {"log", CX_DIST_LOG, false, true},
    {"int", CX_DIST_INT, true, false},
    {"log_int", CX_DIST_LOG_INT, true, true},
};
enum { RANGES = sizeof ranges / sizeof ranges[0] };

/* One number or word that a parameter may be. */
static bool read_value(cx_report *report, const cx_yaml *node, const cx_yaml_path *path,
                       const cx_param_schema *schema, double *value) {
    if (schema->words) {
        if (node->kind != CX_YAML_SCALAR) {
            cx_report_value(report, node, path->text, "a word such as %s, or a list of words",
                            schema->words[0]);
            return false;
        }
        int i = cx_words_find(schema->words, node->text);
        if (i < 0)
            cx_report_unknown(report, node, path->text, "word", node->text, "", schema->words,
                              cx_words_count(schema->words));
        *value = i;
        return i >= 0;
    }
    bool good = cx_yaml_number(node, value) && *value >= schema->low && *value <= schema->high &&
                (!schema->whole || *value == floor(*value));
    if (!good)
        cx_report_value(report, node, path->text, "a %snumber from %s to %s",
                        schema->whole ? "whole " : "", cx_yaml_show_number(schema->low).text,
                        cx_yaml_show_number(schema->high).text);
    return good;
}

static bool read_choice(cx_report *report, const cx_yaml *node, const cx_yaml_path *path,
                        const cx_param_schema *schema, cx_dist *dist) {
    if (node->count < 1 || node->count > CX_CHOICES_MAX) {
        cx_report_fault(report, node, path->text, "a list of %d choices; must be 1 to %d",
                        node->count, CX_CHOICES_MAX);
        return false;
    }
    dist->kind = CX_DIST_CHOICE;
    bool good = true;
    for (const cx_yaml *item = node->first; item; item = item->next) {
        cx_yaml_path at = cx_yaml_join_index(path, dist->n_choices);
        double value = 0;
        good = read_value(report, item, &at, schema, &value) && good;
        dist->choice[dist->n_choices] = value;
        dist->low = dist->n_choices ? fmin(dist->low, value) : value;
        dist->high = dist->n_choices ? fmax(dist->high, value) : value;
        dist->n_choices++;
    }
    return good;
}

/* The two ends of range number r, checked against each other. */
static bool read_ends(cx_report *report, const cx_yaml *node, const cx_yaml_path *path,
                      const cx_param_schema *schema, int r, cx_dist *dist) {
    if (node->kind != CX_YAML_LIST || node->count != 2) {
        cx_report_value(report, node, path->text, "two numbers, [low, high]");
        return false;
    }
    cx_yaml_path at[2] = {cx_yaml_join_index(path, 0), cx_yaml_join_index(path, 1)};
    if (!read_value(report, node->first, &at[0], schema, &dist->low) ||
        !read_value(report, node->last, &at[1], schema, &dist->high))
        return false;
    const char *low = node->first->text, *high = node->last->text;
    if (!isfinite(dist->low) || !isfinite(dist->high))
        cx_report_fault(report, node, path->text, "found [%.40s, %.40s]; both must be finite", low,
                        high);
    else if (dist->low > dist->high)
        cx_report_fault(report, node, path->text,
                        "found [%.40s, %.40s]; the first must not be above the second", low, high);
    else if (ranges[r].positive && dist->low <= 0)
        cx_report_value(report, node->first, at[0].text,
                        "above 0: what follows is drawn on a logarithmic scale");
    else if (ranges[r].whole && (dist->low != floor(dist->low) || dist->high != floor(dist->high)))
        cx_report_fault(report, node, path->text,
                        "found [%.40s, %.40s]; both must be whole numbers (else use %s)", low, high,
                        ranges[r].positive ? "log" : "uniform");
    else if (ranges[r].whole && dist->high - dist->low > 4e9)
        cx_report_fault(report, node, path->text,
                        "found [%.40s, %.40s]; must span at most 4e9 numbers", low, high);
    else
        return true;
    return false;
}

static bool read_range(cx_report *report, const cx_yaml *node, const cx_yaml_path *path,
                       const cx_param_schema *schema, cx_dist *dist) {
    const char *names[RANGES];
    for (int i = 0; i < RANGES; i++)
        names[i] = ranges[i].name;
    if (node->count != 1) {
        cx_report_value(report, node, path->text,
                        "one key (uniform, log, int or log_int) with [low, high]");
        return false;
    }
    const cx_yaml *ends = node->first;
    int r = 0;
    while (r < RANGES && strcmp(names[r], ends->key) != 0)
        r++;
    if (r == RANGES) {
        cx_report_unknown(report, ends, path->text, "distribution", ends->key, "", names, RANGES);
        return false;
    }
    if (schema->words) {
        cx_report_fault(report, ends, path->text,
                        "found a distribution of numbers; must be a word such as %s, or a list of "
                        "words",
                        schema->words[0]);
        return false;
    }
    if (schema->whole && !ranges[r].whole) {
        cx_report_fault(report, ends, path->text,
                        "found '%s', which draws fractions; must be %s, for whole numbers",
                        names[r], ranges[r].positive ? "log_int" : "int");
        return false;
    }
    dist->kind = ranges[r].kind;
    cx_yaml_path inner = cx_yaml_join(path, names[r]);
    return read_ends(report, ends, &inner, schema, r, dist);
}

bool cx_dist_read(cx_report *report, const cx_yaml *node, const cx_yaml_path *path,
                  const cx_param_schema *schema, cx_dist *dist) {
    memset(dist, 0, sizeof *dist);
    if (node->kind == CX_YAML_LIST)
        return read_choice(report, node, path, schema, dist);
    if (node->kind == CX_YAML_MAP)
        return read_range(report, node, path, schema, dist);
    dist->kind = CX_DIST_CONSTANT;
    bool good = read_value(report, node, path, schema, &dist->low);
    dist->high = dist->low;
    return good;
}

/* ---- entries ---- */

static int find_family(const cx_reading *reading, const char *name) {
    for (int i = 0; i < reading->n_families; i++)
        if (strcmp(reading->families[i]->name, name) == 0)
            return i;
    return -1;
}

/* Index of the entry's family, or -1 with the fault reported. */
static int read_family(cx_reading *reading, const cx_yaml *entry, const cx_yaml_path *path) {
    const char *names[CX_FAMILIES_MAX];
    size_t n = 0;
    for (; n < (size_t)reading->n_families && n < CX_FAMILIES_MAX; n++)
        names[n] = reading->families[n]->name;
    const cx_yaml *node = cx_yaml_get(entry, "family");
    cx_yaml_path at = cx_yaml_join(path, "family");
    if (!node) {
        cx_report_fault(&reading->report, entry, at.text, "missing; must be a family such as %s",
                        n ? names[0] : "nqm");
        return -1;
    }
    if (node->kind != CX_YAML_SCALAR) {
        cx_report_value(&reading->report, node, at.text, "the name of a family");
        return -1;
    }
    int family = find_family(reading, node->text);
    if (family >= 0)
        return family;
    cx_report_unknown(&reading->report, node, at.text, "family", node->text, "", names, n);
    return -1;
}

static void read_weight(cx_reading *reading, const cx_yaml *entry, const cx_yaml_path *path,
                        cx_task_entry *out) {
    const cx_yaml *node = cx_yaml_get(entry, "weight");
    cx_yaml_path at = cx_yaml_join(path, "weight");
    out->weight = 1;
    if (node && (!cx_yaml_number(node, &out->weight) || out->weight <= 0 || out->weight > 1e9))
        cx_report_value(&reading->report, node, at.text, "a number above 0, at most 1e9");
}

static void read_name(cx_reading *reading, const cx_yaml *entry, const cx_yaml_path *path,
                      const char *fallback, cx_task_entry *out) {
    const cx_yaml *node = cx_yaml_get(entry, "name");
    cx_yaml_path at = cx_yaml_join(path, "name");
    if (!node)
        (void)snprintf(out->name, sizeof out->name, "%s", fallback);
    else if (node->kind != CX_YAML_SCALAR || !*node->text || strlen(node->text) >= sizeof out->name)
        cx_report_value(&reading->report, node, at.text, "a name of 1 to %zu letters",
                        sizeof out->name - 1);
    else
        memcpy(out->name, node->text, strlen(node->text));
}

static const char *const entry_keys[] = {"family", "weight", "name"};
enum { ENTRY_KEYS = sizeof entry_keys / sizeof entry_keys[0] };

/* Faults for keys that are neither the entry's own nor the family's. */
static void refuse_unknown(cx_reading *reading, const cx_yaml *entry, const cx_yaml_path *path,
                           const cx_family_schema *family) {
    const char *names[ENTRY_KEYS + CX_TASK_PARAMS_MAX];
    size_t n = 0;
    for (int i = 0; i < family->n_params; i++)
        names[n++] = family->params[i].name;
    for (int i = 0; i < ENTRY_KEYS; i++)
        names[n++] = entry_keys[i];
    for (const cx_yaml *node = entry->first; node; node = node->next) {
        bool known = false;
        for (size_t i = 0; i < n; i++)
            known = known || strcmp(names[i], node->key) == 0;
        if (!known) {
            char what[80];
            (void)snprintf(what, sizeof what, "parameter of family '%.32s'", family->name);
            cx_report_unknown(&reading->report, node, path->text, what, node->key, "", names, n);
        }
    }
}

static void read_params(cx_reading *reading, const cx_yaml *entry, const cx_yaml_path *path,
                        const cx_family_schema *family, cx_task_entry *out) {
    for (int i = 0; i < family->n_params; i++) {
        const cx_param_schema *param = &family->params[i];
        const cx_yaml *node = cx_yaml_get(entry, param->name);
        cx_yaml_path at = cx_yaml_join(path, param->name);
        if (node) {
            (void)cx_dist_read(&reading->report, node, &at, param, &out->param[i]);
        } else if (isnan(param->fallback)) {
            cx_report_fault(&reading->report, entry, at.text, "missing; family '%s' needs it: %s",
                            family->name, param->help ? param->help : "");
        } else {
            out->param[i].kind = CX_DIST_CONSTANT;
            out->param[i].low = out->param[i].high = param->fallback;
        }
    }
    refuse_unknown(reading, entry, path, family);
}

void cx_tasks_read(cx_reading *reading, const cx_yaml *tasks) {
    cx_config *config = reading->config;
    if (!tasks) {
        cx_report_fault(&reading->report, NULL, "tasks",
                        "missing; must be a list of at least one task, each with its `family:`");
        return;
    }
    if (tasks->kind != CX_YAML_LIST || tasks->count < 1 || tasks->count > CX_ENTRIES_MAX) {
        char count[48] = "";
        if (tasks->kind == CX_YAML_LIST)
            (void)snprintf(count, sizeof count, " (there are %d)", tasks->count);
        cx_report_value(&reading->report, tasks, "tasks",
                        "a list of 1 to %d tasks, each with its `family:`%s", CX_ENTRIES_MAX,
                        count);
        return;
    }
    cx_yaml_path path = cx_yaml_join(NULL, "tasks");
    for (const cx_yaml *entry = tasks->first; entry; entry = entry->next) {
        cx_task_entry *out = &config->tasks[config->n_tasks];
        cx_yaml_path at = cx_yaml_join_index(&path, config->n_tasks);
        config->n_tasks++;
        if (entry->kind != CX_YAML_MAP) {
            cx_report_value(&reading->report, entry, at.text,
                            "a task, such as {family: nqm, weight: 1, ...}");
            continue;
        }
        int family = read_family(reading, entry, &at);
        read_weight(reading, entry, &at, out);
        read_name(reading, entry, &at, family >= 0 ? reading->families[family]->name : "", out);
        if (family < 0)
            continue;
        out->family = (uint32_t)family;
        read_params(reading, entry, &at, reading->families[family], out);
    }
}

/* ---- drawing ---- */

/* Each draw has a sub-stream of its own, so that another distribution of one
 * parameter leaves all others as they were. */
enum { DRAW_ENTRY, DRAW_SEED, DRAW_PARAM, DRAWS = DRAW_PARAM + CX_TASK_PARAMS_MAX };
_Static_assert(DRAWS <= 32, "sub-streams of one attempt");

static cx_rng draw(const cx_config *config, uint64_t instance, uint32_t attempt, uint32_t what) {
    return cx_rng_make_sub(config->seed, instance, CX_STREAM_TASK, attempt * 32 + what);
}

static uint32_t draw_entry(const cx_config *config, cx_rng rng) {
    double sum = 0;
    for (int i = 0; i < config->n_tasks; i++)
        sum += config->tasks[i].weight;
    double x = sum * cx_rng_uniform(&rng);
    int i = 0;
    while (i < config->n_tasks - 1 && x >= config->tasks[i].weight)
        x -= config->tasks[i++].weight;
    return (uint32_t)i;
}

void cx_config_sample_task(const cx_config *config, const cx_family_schema *const *families,
                           uint64_t instance, uint32_t attempt, cx_task_spec *spec) {
    uint32_t entry = draw_entry(config, draw(config, instance, attempt, DRAW_ENTRY));
    cx_config_sample_entry(config, families, entry, instance, attempt, spec);
}

void cx_config_sample_entry(const cx_config *config, const cx_family_schema *const *families,
                            uint32_t number, uint64_t instance, uint32_t attempt,
                            cx_task_spec *spec) {
    memset(spec, 0, sizeof *spec);
    spec->entry = number;
    const cx_task_entry *entry = &config->tasks[number];
    spec->family = entry->family;
    cx_rng rng = draw(config, instance, attempt, DRAW_SEED);
    spec->seed = (uint64_t)cx_rng_u32(&rng) << 32;
    spec->seed |= cx_rng_u32(&rng);
    for (int i = 0; i < families[entry->family]->n_params; i++) {
        rng = draw(config, instance, attempt, DRAW_PARAM + (uint32_t)i);
        spec->value[i] = cx_dist_sample(&entry->param[i], &rng);
    }
}
