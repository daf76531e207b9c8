#include "config/yaml.h"

#include "base/text.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

void cx_yaml_free(cx_yaml *node) {
    if (!node)
        return;
    for (cx_yaml *child = node->first, *next; child; child = next) {
        next = child->next;
        cx_yaml_free(child);
    }
    free(node->key);
    free(node->text);
    free(node);
}

cx_yaml_path cx_yaml_join(const cx_yaml_path *parent, const char *key) {
    cx_yaml_path path;
    bool top = !parent || !parent->text[0];
    (void)snprintf(path.text, sizeof path.text, "%.120s%s%.64s", top ? "" : parent->text,
                   top ? "" : ".", key);
    return path;
}

cx_yaml_path cx_yaml_join_index(const cx_yaml_path *parent, int index) {
    char key[16];
    (void)snprintf(key, sizeof key, "%d", index);
    return cx_yaml_join(parent, key);
}

const cx_yaml *cx_yaml_get(const cx_yaml *map, const char *key) {
    if (map && map->kind == CX_YAML_MAP)
        for (const cx_yaml *child = map->first; child; child = child->next)
            if (strcmp(child->key, key) == 0)
                return child;
    return NULL;
}

bool cx_yaml_number(const cx_yaml *node, double *value) {
    if (node->kind != CX_YAML_SCALAR || !node->plain)
        return false;
    const char *text = node->text, *digits = text + (*text == '+' || *text == '-');
    if (strcmp(digits, ".inf") == 0 || strcmp(digits, ".Inf") == 0 || strcmp(digits, ".INF") == 0) {
        *value = *text == '-' ? -INFINITY : INFINITY;
        return true;
    }
    /* strtod would also read hexadecimal, "nan" and "infinity" */
    return strspn(text, "+-.0123456789eE") == strlen(text) && cx_text_double(text, value);
}

cx_yaml_shown cx_yaml_show_number(double value) {
    cx_yaml_shown shown;
    if (isinf(value))
        (void)snprintf(shown.text, sizeof shown.text, "%s", value < 0 ? "-.inf" : ".inf");
    else if (value == floor(value) && fabs(value) < 1e15)
        (void)snprintf(shown.text, sizeof shown.text, "%.0f", value);
    else
        cx_text_from_double(shown.text, sizeof shown.text, value);
    return shown;
}

/* ---- from libyaml's events to the tree ---- */

typedef struct {
    yaml_parser_t parser;
    const char *origin;
    bool line_zero;
    cx_report *report;
    int nodes;
    bool no_memory;
} builder;

static int mark_line(const builder *b, yaml_mark_t mark) {
    if (b->line_zero)
        return 0;
    return mark.line < INT_MAX ? (int)mark.line + 1 : INT_MAX;
}

static void fault_here(builder *b, yaml_mark_t mark, const cx_yaml_path *path, const char *text) {
    cx_yaml at = {.origin = b->origin, .line = mark_line(b, mark)};
    cx_report_fault(b->report, &at, path->text, "%s", text);
}

static void fault_syntax(builder *b) {
    const yaml_parser_t *p = &b->parser;
    if (p->error == YAML_MEMORY_ERROR) {
        b->no_memory = true;
        return;
    }
    const char *problem = p->problem ? p->problem : "unknown fault";
    cx_yaml at = {.origin = b->origin, .line = mark_line(b, p->problem_mark)};
    if (p->error == YAML_READER_ERROR) {
        cx_report_fault(b->report, NULL, NULL, "not YAML: %s at byte %zu; must be UTF-8 text",
                        problem, p->problem_offset);
        return;
    }
    const char *hint = strstr(problem, "cannot start any token")
                           ? " (YAML indents with spaces, never with tabs)"
                           : "";
    cx_report_fault(b->report, &at, NULL, "not YAML: %s%s%s, column %zu%s",
                    p->context ? p->context : "", p->context ? ", " : "", problem,
                    p->problem_mark.column + 1, hint);
}

static bool next_event(builder *b, yaml_event_t *event) {
    if (yaml_parser_parse(&b->parser, event))
        return true;
    fault_syntax(b);
    return false;
}

static cx_yaml *new_node(builder *b, cx_yaml_kind kind, yaml_mark_t mark) {
    cx_yaml *node = calloc(1, sizeof *node);
    if (!node) {
        b->no_memory = true;
        return NULL;
    }
    node->kind = kind;
    node->origin = b->origin;
    node->line = mark_line(b, mark);
    return node;
}

static void append(cx_yaml *parent, cx_yaml *child) {
    *(parent->last ? &parent->last->next : &parent->first) = child;
    parent->last = child;
    parent->count++;
}

static bool is_null(const char *text) {
    return !*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 ||
           strcmp(text, "Null") == 0 || strcmp(text, "NULL") == 0;
}

static cx_yaml *read_scalar(builder *b, const yaml_event_t *event, const cx_yaml_path *path) {
    const char *value = (const char *)event->data.scalar.value;
    if (memchr(value, 0, event->data.scalar.length)) {
        fault_here(b, event->start_mark, path, "a zero byte inside a value; must be plain text");
        return NULL;
    }
    cx_yaml *node = new_node(b, CX_YAML_SCALAR, event->start_mark);
    if (!node)
        return NULL;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (node->plain && is_null(value))
        node->kind = CX_YAML_NOTHING;
    node->text = strdup(value);
    if (!node->text) {
        b->no_memory = true;
        cx_yaml_free(node);
        return NULL;
    }
    return node;
}

static cx_yaml *read_node(builder *b, const yaml_event_t *event, const cx_yaml_path *path,
                          int depth);

static bool read_list(builder *b, cx_yaml *list, const cx_yaml_path *path, int depth) {
    for (;;) {
        yaml_event_t event;
        if (!next_event(b, &event))
            return false;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        cx_yaml_path inner = cx_yaml_join_index(path, list->count);
        cx_yaml *item = read_node(b, &event, &inner, depth + 1);
        yaml_event_delete(&event);
        if (!item)
            return false;
        append(list, item);
    }
}

/* Reads the value of `key` and puts it into the map; a second one of the same name
 * is a fault, and the first is kept. */
static bool read_pair(builder *b, cx_yaml *map, const yaml_event_t *key, const cx_yaml_path *path,
                      int depth) {
    const char *name = (const char *)key->data.scalar.value;
    cx_yaml_path inner = cx_yaml_join(path, name);
    if (memchr(name, 0, key->data.scalar.length)) {
        fault_here(b, key->start_mark, path, "a zero byte inside a key; must be plain text");
        return false;
    }
    const cx_yaml *before = cx_yaml_get(map, name);
    cx_yaml at = {.origin = b->origin, .line = mark_line(b, key->start_mark)};
    if (before)
        cx_report_fault(b->report, &at, inner.text,
                        "duplicate key, first set on line %d; must be set once", before->line);
    yaml_event_t event;
    if (!next_event(b, &event))
        return false;
    cx_yaml *value = read_node(b, &event, &inner, depth + 1);
    yaml_event_delete(&event);
    if (!value)
        return false;
    if (before) {
        cx_yaml_free(value);
        return true;
    }
    value->line = at.line;
    value->key = strdup(name);
    if (!value->key) {
        b->no_memory = true;
        cx_yaml_free(value);
        return false;
    }
    append(map, value);
    return true;
}

static bool read_map(builder *b, cx_yaml *map, const cx_yaml_path *path, int depth) {
    for (;;) {
        yaml_event_t event;
        if (!next_event(b, &event))
            return false;
        bool good = true, end = event.type == YAML_MAPPING_END_EVENT;
        if (!end && event.type != YAML_SCALAR_EVENT) {
            fault_here(b, event.start_mark, path, "a key that is no word; must be a name");
            good = false;
        } else if (!end) {
            good = read_pair(b, map, &event, path, depth);
        }
        yaml_event_delete(&event);
        if (end || !good)
            return good;
    }
}

/* The node that begins with `event`; NULL: reading ends here, the fault is reported. */
static cx_yaml *read_node(builder *b, const yaml_event_t *event, const cx_yaml_path *path,
                          int depth) {
    const char *fault = NULL;
    const yaml_char_t *tag =
        event->type == YAML_SCALAR_EVENT           ? event->data.scalar.tag
        : event->type == YAML_SEQUENCE_START_EVENT ? event->data.sequence_start.tag
        : event->type == YAML_MAPPING_START_EVENT  ? event->data.mapping_start.tag
                                                   : NULL;
    if (event->type == YAML_ALIAS_EVENT)
        fault = "an alias (*name); aliases are not read, the value must be written out";
    else if (tag && strcmp((const char *)tag, "!") != 0)
        fault = "a tag (!name); tags are not read, only the value must stand here";
    else if (depth > CX_YAML_DEPTH_MAX)
        fault = "nested deeper than any configuration is";
    else if (++b->nodes > CX_YAML_NODES_MAX)
        fault = "more values than any configuration has";
    if (fault) {
        fault_here(b, event->start_mark, path, fault);
        return NULL;
    }
    if (event->type == YAML_SCALAR_EVENT)
        return read_scalar(b, event, path);
    bool list = event->type == YAML_SEQUENCE_START_EVENT;
    cx_yaml *node = new_node(b, list ? CX_YAML_LIST : CX_YAML_MAP, event->start_mark);
    if (node && !(list ? read_list : read_map)(b, node, path, depth)) {
        cx_yaml_free(node);
        return NULL;
    }
    return node;
}

/* The only document of the stream, or NULL. An empty stream is an empty map. */
static cx_yaml *read_stream(builder *b) {
    cx_yaml *root = NULL;
    const cx_yaml_path top = {""};
    for (;;) {
        yaml_event_t event;
        if (!next_event(b, &event))
            break;
        yaml_event_type_t type = event.type;
        bool go_on = true;
        if (type == YAML_STREAM_END_EVENT) {
            if (!root)
                root = new_node(b, CX_YAML_NOTHING, event.start_mark);
            yaml_event_delete(&event);
            return root;
        }
        if (type == YAML_DOCUMENT_START_EVENT && root) {
            fault_here(b, event.start_mark, &top, "a second document; must be one");
            go_on = false;
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
                   type != YAML_DOCUMENT_END_EVENT) {
            root = read_node(b, &event, &top, 0);
            go_on = root != NULL;
        }
        yaml_event_delete(&event);
        if (!go_on)
            break;
    }
    cx_yaml_free(root);
    return NULL;
}

int cx_yaml_parse(const char *origin, bool line_zero, const char *text, size_t size,
                  cx_report *report, cx_yaml **root) {
    builder b = {.origin = origin, .line_zero = line_zero, .report = report};
    *root = NULL;
    if (!yaml_parser_initialize(&b.parser))
        return cx_fail(report->err, CX_ENOMEM, "%s: no memory to parse it", report->name);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, size);
    *root = read_stream(&b);
    yaml_parser_delete(&b.parser);
    if (!b.no_memory)
        return CX_OK;
    cx_yaml_free(*root);
    *root = NULL;
    return cx_fail(report->err, CX_ENOMEM, "%s: no memory to parse it", report->name);
}

/* ---- overrides ---- */

int cx_yaml_attach(cx_yaml *map, const char *key, cx_yaml *value) {
    value->key = strdup(key);
    if (!value->key) {
        cx_yaml_free(value);
        return CX_ENOMEM;
    }
    append(map, value);
    return CX_OK;
}

/* The child that `key` names, made where a map lacks it; NULL: a fault (reported) or
 * no memory (*code). */
static cx_yaml *step_into(cx_yaml *node, const char *key, const char *override,
                          const cx_yaml_path *path, cx_report *report, int *code) {
    const cx_yaml at = {.origin = override};
    if (node->kind == CX_YAML_NOTHING)
        node->kind = CX_YAML_MAP;
    if (node->kind == CX_YAML_SCALAR) {
        cx_report_fault(report, &at, path->text,
                        "found '%.60s', a single value, which has no '%.40s'", node->text, key);
        return NULL;
    }
    if (node->kind == CX_YAML_LIST) {
        long long index;
        if (!cx_text_int(key, &index) || index < 0 || index >= node->count) {
            cx_report_fault(report, &at, path->text,
                            "a list of %d; found '%.40s' as index, must be a number from 0 to %d",
                            node->count, key, node->count - 1);
            return NULL;
        }
        cx_yaml *child = node->first;
        while (index-- > 0)
            child = child->next;
        return child;
    }
    for (cx_yaml *child = node->first; child; child = child->next)
        if (strcmp(child->key, key) == 0)
            return child;
    cx_yaml *child = calloc(1, sizeof *child);
    if (child)
        child->origin = override;
    if (!child || cx_yaml_attach(node, key, child) != CX_OK) {
        *code = CX_ENOMEM;
        return NULL;
    }
    return child;
}

/* `target` gets the contents of `value`, which is freed. */
static void replace(cx_yaml *target, cx_yaml *value) {
    cx_yaml old = *target;
    *target = *value;
    target->key = old.key;
    target->next = old.next;
    value->key = NULL;
    value->text = old.text;
    value->first = old.first;
    cx_yaml_free(value);
}

static int override_value(const char *override, const char *text, cx_report *report,
                          cx_yaml **value) {
    /* nothing after '=' means an empty string; in a file it would mean "no value" */
    const char *yaml = *text ? text : "''";
    return cx_yaml_parse(override, true, yaml, strlen(yaml), report, value);
}

int cx_yaml_override(cx_yaml *root, const char *override, cx_report *report) {
    const cx_yaml at = {.origin = override};
    const char *equals = strchr(override, '=');
    if (!equals || equals == override) {
        cx_report_fault(report, &at, NULL, "must be KEY=VALUE, for example ppo.clip=0.1");
        return CX_OK;
    }
    cx_yaml *value, *node = root;
    int code = override_value(override, equals + 1, report, &value);
    if (code != CX_OK || !value)
        return code;
    cx_yaml_path path = {""};
    for (const char *from = override; node && from <= equals;) {
        size_t length = strcspn(from, ".=");
        char key[64];
        if (!length || length >= sizeof key) {
            cx_report_fault(report, &at, path.text, "a key %s; must be names joined by single dots",
                            length ? "that is longer than any" : "without letters");
            node = NULL;
            break;
        }
        memcpy(key, from, length);
        key[length] = 0;
        from += length + 1;
        node = step_into(node, key, override, &path, report, &code);
        path = cx_yaml_join(&path, key);
    }
    if (!node) {
        cx_yaml_free(value);
        if (code != CX_OK)
            return cx_fail(report->err, CX_ENOMEM, "%s: no memory for an override", report->name);
        return CX_OK;
    }
    replace(node, value);
    return CX_OK;
}
