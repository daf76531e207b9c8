#include "nn/replay.h"

#ifndef CX_REAL_DOUBLE

#include "base/file.h"
#include "nn/internal.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One case while it is replayed. */
typedef struct {
    const cx_op *op;
    bool eval;          /* the operator's name says so */
    const char *number; /* numeric suffix of the name, or NULL */
    const char *name;   /* of the case */
    const json_t *json;
    cx_graph *graph;
    cx_ref in[CX_OP_INPUTS], out;
} replay_case;

typedef struct {
    double error;
    char where[256];
} worst;

/* --- reading --- */

static int read_shape(const json_t *array, const char *what, cx_shape *shape, cx_error *err) {
    const json_t *dims = json_object_get(array, "shape");
    if (!json_is_array(dims) || !json_is_array(json_object_get(array, "data")))
        return cx_fail(err, CX_EDATA, "%s must be an object with the lists 'shape' and 'data'",
                       what);
    if (json_array_size(dims) > CX_RANK_MAX)
        return cx_fail(err, CX_EUNSUPPORTED, "%s has %zu dimensions, at most %d are supported",
                       what, json_array_size(dims), CX_RANK_MAX);
    *shape = (cx_shape){.rank = (int)json_array_size(dims)};
    double size = 1;
    for (int i = 0; i < shape->rank; i++) {
        const json_t *d = json_array_get(dims, (size_t)i);
        if (!json_is_integer(d) || json_integer_value(d) < 1 || json_integer_value(d) > INT_MAX)
            return cx_fail(err, CX_EDATA, "%s: dimension %d is not a positive integer", what, i);
        shape->dim[i] = (int)json_integer_value(d);
        size *= shape->dim[i];
    }
    size_t have = json_array_size(json_object_get(array, "data"));
    if (size != (double)have)
        return cx_fail(err, CX_EDATA, "%s: shape asks for %.0f numbers, data has %zu", what, size,
                       have);
    return CX_OK;
}

static bool read_number(const json_t *v, double *x) {
    static const struct {
        const char *text;
        double value;
    } special[] = {{"nan", NAN},        {"NaN", NAN},           {"inf", INFINITY},
                   {"-inf", -INFINITY}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};
    if (json_is_number(v)) {
        *x = json_number_value(v);
        return true;
    }
    for (size_t i = 0; json_is_string(v) && i < sizeof special / sizeof *special; i++)
        if (strcmp(json_string_value(v), special[i].text) == 0) {
            *x = special[i].value;
            return true;
        }
    return false;
}

/* Fills values (or indices) from an array whose shape was read before. */
static int read_data(const json_t *array, const char *what, float *value, int32_t *index,
                     cx_error *err) {
    const json_t *data = json_object_get(array, "data");
    for (size_t i = 0; i < json_array_size(data); i++) {
        double x = 0;
        if (!read_number(json_array_get(data, i), &x))
            return cx_fail(err, CX_EDATA, "%s: data[%zu] is not a number", what, i);
        if (index && (!(x >= INT32_MIN && x <= INT32_MAX) || x != floor(x)))
            return cx_fail(err, CX_EDATA, "%s: data[%zu] is not a 32-bit integer", what, i);
        if (index)
            index[i] = (int32_t)x;
        else
            value[i] = (float)x;
    }
    return CX_OK;
}

static bool is_int_array(const json_t *array) {
    const char *dtype = json_string_value(json_object_get(array, "dtype"));
    return dtype && strncmp(dtype, "int", 3) == 0;
}

/* The longest operator name that the file's name begins with, up to its end or a '_'. */
static int find_op(const char *name, replay_case *r, cx_error *err) {
    size_t best = 0;
    for (const cx_op *op = cx_op_table(); op->name; op++) {
        size_t n = strlen(op->name);
        if (n > best && strncmp(name, op->name, n) == 0 && (!name[n] || name[n] == '_')) {
            best = n;
            r->op = op;
        }
    }
    if (!r->op)
        return cx_fail(err, CX_EUNSUPPORTED, "operator '%s' is not implemented", name);
    const char *suffix = name[best] ? name + best + 1 : "";
    char *end = NULL;
    r->eval = strcmp(suffix, "eval") == 0;
    if (*suffix && isfinite(strtod(suffix, &end)) && !*end && !isalpha((unsigned char)*suffix))
        r->number = suffix;
    else if (*suffix && !r->eval && strcmp(suffix, "train") != 0)
        return cx_fail(err, CX_EUNSUPPORTED, "operator '%s' is not implemented ('%s' has no '%s')",
                       name, r->op->name, suffix);
    return CX_OK;
}

/* --- building --- */

static int read_attr(const char *name, const json_t *v, double *x, cx_error *err) {
    static const char *const words[] = {"mean", "sum", "none"}; /* of `reduction`, by number */
    if (json_is_boolean(v)) {
        *x = json_is_true(v) ? 1 : 0;
        return CX_OK;
    }
    if (json_is_number(v)) {
        *x = json_number_value(v);
        return CX_OK;
    }
    for (int i = 0; json_is_string(v) && i < 3; i++)
        if (strcmp(json_string_value(v), words[i]) == 0) {
            *x = i;
            return CX_OK;
        }
    if (json_is_array(v) && json_array_size(v) > 0) { /* one number for each dimension, all equal */
        const json_t *first = json_array_get(v, 0);
        bool equal = json_is_number(first);
        for (size_t i = 1; equal && i < json_array_size(v); i++)
            equal = json_equal(first, json_array_get(v, i));
        if (equal) {
            *x = json_number_value(first);
            return CX_OK;
        }
    }
    return cx_fail(err, CX_EUNSUPPORTED, "attribute '%s' has a value that is not supported", name);
}

static int read_attrs(const replay_case *r, cx_attr *attrs, cx_error *err) {
    json_t *given = json_object_get(r->json, "attrs");
    if (given && !json_is_object(given))
        return cx_fail(err, CX_EDATA, "'attrs' is not an object");
    int n = 0;
    const char *key;
    json_t *v;
    json_object_foreach(given, key, v) {
        int i = 0;
        while (i < CX_OP_ATTRS && r->op->attrs[i].name && strcmp(r->op->attrs[i].name, key) != 0)
            i++;
        if (i == CX_OP_ATTRS || !r->op->attrs[i].name)
            return cx_fail(err, CX_EUNSUPPORTED, "operator '%s' has no attribute '%s'", r->op->name,
                           key);
        if (json_is_null(v))
            continue;
        attrs[n].name = r->op->attrs[i].name;
        if (read_attr(key, v, &attrs[n].value, err) != CX_OK)
            return (int)err->code;
        n++;
    }
    const char *first = r->op->attrs[0].name;
    if (r->number && !first)
        return cx_fail(err, CX_EUNSUPPORTED, "operator '%s' takes no number", r->op->name);
    if (r->number && !json_object_get(given, first))
        attrs[n++] = (cx_attr){first, strtod(r->number, NULL)};
    attrs[n].name = NULL;
    return CX_OK;
}

static int add_input(replay_case *r, int i, const json_t *array, cx_error *err) {
    const cx_op_input *slot = &r->op->inputs[i];
    char what[96];
    (void)snprintf(what, sizeof what, "input '%s'", slot->name);
    cx_shape shape;
    if (read_shape(array, what, &shape, err) != CX_OK)
        return (int)err->code;
    if (is_int_array(array) != (slot->kind == CX_IN_INT))
        return cx_fail(err, CX_EDATA, "%s must be of %s", what,
                       slot->kind == CX_IN_INT ? "integers (\"dtype\": \"int\")" : "real numbers");
    if (slot->kind == CX_IN_INT)
        r->in[i] = cx_graph_input_int(r->graph, slot->name, shape);
    else if (slot->kind == CX_IN_STATE)
        r->in[i] = cx_graph_state(r->graph, slot->name, shape, 0);
    else
        r->in[i] = cx_graph_input(r->graph, slot->name, shape, slot->kind == CX_IN_REAL);
    return CX_OK;
}

static int slot_of(const cx_op *op, const char *name) {
    for (int i = 0; i < CX_OP_INPUTS && op->inputs[i].kind != CX_IN_NONE; i++)
        if (strcmp(op->inputs[i].name, name) == 0)
            return i;
    return -1;
}

static int build(replay_case *r, cx_error *err) {
    json_t *inputs = json_object_get(r->json, "inputs");
    if (!json_is_object(inputs))
        return cx_fail(err, CX_EDATA, "'inputs' is missing");
    const char *key;
    json_t *v;
    json_object_foreach(inputs, key, v) if (slot_of(r->op, key) < 0) return cx_fail(
        err, CX_EUNSUPPORTED, "operator '%s' has no input '%s'", r->op->name, key);
    int n = 0;
    for (; n < CX_OP_INPUTS && r->op->inputs[n].kind != CX_IN_NONE; n++) {
        r->in[n] = -1;
        const json_t *array = json_object_get(inputs, r->op->inputs[n].name);
        if (!array && !r->op->inputs[n].optional)
            return cx_fail(err, CX_EDATA, "input '%s' is missing", r->op->inputs[n].name);
        if (array && add_input(r, n, array, err) != CX_OK)
            return (int)err->code;
    }
    cx_attr attrs[CX_OP_ATTRS + 2] = {0};
    if (read_attrs(r, attrs, err) != CX_OK)
        return (int)err->code;
    r->out = cx_graph_op(r->graph, r->op->name, r->in, n, attrs);
    for (int k = 0; k < CX_OP_OUTPUTS && r->op->outputs[k]; k++)
        cx_graph_keep(r->graph, cx_graph_output(r->graph, r->out, k));
    int rc = cx_graph_plan(r->graph, false, err);
    if (rc == CX_ECONFIG) /* shapes and ranges come from the file */
        rc = (int)(err->code = CX_EDATA);
    return rc;
}

/* --- comparing --- */

static int compare(const replay_case *r, const char *kind, const char *name, const float *got,
                   const cx_shape *shape, const json_t *array, worst *w, cx_error *err) {
    char what[96], have[64], want[64];
    (void)snprintf(what, sizeof what, "%s '%s'", kind, name);
    cx_shape s;
    if (read_shape(array, what, &s, err) != CX_OK)
        return (int)err->code;
    if (!cx_shape_equal(&s, shape))
        return cx_fail(err, CX_EDATA, "%s has shape %s in the file, but the operator gives %s",
                       what, cx_shape_text(&s, have, sizeof have),
                       cx_shape_text(shape, want, sizeof want));
    const json_t *data = json_object_get(array, "data");
    for (size_t i = 0; i < json_array_size(data); i++) {
        double ref = 0, x = got[i];
        if (!read_number(json_array_get(data, i), &ref))
            return cx_fail(err, CX_EDATA, "%s: data[%zu] is not a number", what, i);
        double e = fabs(x - ref) / fmax(1, fabs(ref));
        if (x == ref || (isnan(x) && isnan(ref)))
            e = 0;
        if (!isfinite(e))
            e = INFINITY;
        if (e <= w->error)
            continue;
        w->error = e;
        (void)snprintf(w->where, sizeof w->where, "case '%.40s', %s[%zu]: %.9g, reference %.9g",
                       r->name, what, i, x, ref);
    }
    return CX_OK;
}

/* "new_NAME": the running statistic NAME after the forward pass */
static int state_slot(const cx_op *op, const char *output) {
    int i = strncmp(output, "new_", 4) == 0 ? slot_of(op, output + 4) : -1;
    return i >= 0 && op->inputs[i].kind == CX_IN_STATE ? i : -1;
}

static int output_number(const cx_op *op, const char *name) {
    for (int k = 0; k < CX_OP_OUTPUTS; k++)
        if (op->outputs[k] && strcmp(op->outputs[k], name) == 0)
            return k;
    return -1;
}

static int compare_outputs(const replay_case *r, worst *w, cx_error *err) {
    json_t *outputs = json_object_get(r->json, "outputs");
    if (!json_is_object(outputs) || json_object_size(outputs) == 0)
        return cx_fail(err, CX_EDATA, "'outputs' is missing");
    const char *key;
    json_t *v;
    json_object_foreach(outputs, key, v) {
        int k = output_number(r->op, key), s = state_slot(r->op, key);
        if (k < 0 && (s < 0 || r->in[s] < 0))
            return cx_fail(err, CX_EUNSUPPORTED, "operator '%s' has no output '%s'", r->op->name,
                           key);
        cx_ref ref = k >= 0 ? cx_graph_output(r->graph, r->out, k) : r->in[s];
        cx_shape shape = cx_graph_shape(r->graph, ref);
        if (compare(r, "output", key, cx_graph_value(r->graph, ref), &shape, v, w, err) != CX_OK)
            return (int)err->code;
    }
    return CX_OK;
}

static int seed_gradients(const replay_case *r, cx_error *err) {
    json_t *seeds = json_object_get(r->json, "grad_outputs");
    if (!json_is_object(seeds) || json_object_size(seeds) == 0)
        return cx_fail(err, CX_EDATA, "'grads' is there but 'grad_outputs' is missing");
    cx_graph_zero_grads(r->graph);
    const char *key;
    json_t *v;
    json_object_foreach(seeds, key, v) {
        char what[96], have[64], want[64];
        (void)snprintf(what, sizeof what, "grad_outputs '%s'", key);
        int k = output_number(r->op, key);
        if (k < 0)
            return cx_fail(err, CX_EUNSUPPORTED, "operator '%s' has no output '%s'", r->op->name,
                           key);
        cx_ref ref = cx_graph_output(r->graph, r->out, k);
        cx_shape shape, own = cx_graph_shape(r->graph, ref);
        if (read_shape(v, what, &shape, err) != CX_OK)
            return (int)err->code;
        if (!cx_shape_equal(&shape, &own))
            return cx_fail(err, CX_EDATA, "%s has shape %s, the output has %s", what,
                           cx_shape_text(&shape, have, sizeof have),
                           cx_shape_text(&own, want, sizeof want));
        if (read_data(v, what, cx_graph_grad(r->graph, ref), NULL, err) != CX_OK)
            return (int)err->code;
    }
    return CX_OK;
}

static int compare_gradients(const replay_case *r, worst *w, cx_error *err) {
    json_t *grads = json_object_get(r->json, "grads");
    if (!grads)
        return CX_OK;
    if (!json_is_object(grads))
        return cx_fail(err, CX_EDATA, "'grads' is not an object");
    if (seed_gradients(r, err) != CX_OK)
        return (int)err->code;
    cx_graph_backward(r->graph);
    const char *key;
    json_t *v;
    json_object_foreach(grads, key, v) {
        int i = slot_of(r->op, key);
        if (i < 0 || r->in[i] < 0)
            return cx_fail(err, CX_EDATA, "gradient of '%s', which is no input of the case", key);
        const float *got = cx_graph_grad(r->graph, r->in[i]);
        if (!got)
            return cx_fail(err, CX_EUNSUPPORTED, "operator '%s' computes no gradient of '%s'",
                           r->op->name, key);
        cx_shape shape = cx_graph_shape(r->graph, r->in[i]);
        if (compare(r, "gradient", key, got, &shape, v, w, err) != CX_OK)
            return (int)err->code;
    }
    return CX_OK;
}

/* --- running --- */

static int choose_mode(const replay_case *r, cx_mode *mode, cx_error *err) {
    bool eval = r->eval || strncmp(r->name, "eval", 4) == 0, has_state = false, has_new = false;
    for (int i = 0; i < CX_OP_INPUTS && r->op->inputs[i].kind != CX_IN_NONE; i++)
        has_state |= r->op->inputs[i].kind == CX_IN_STATE;
    const char *key;
    json_t *v;
    json_object_foreach(json_object_get(r->json, "outputs"), key, v) has_new |=
        state_slot(r->op, key) >= 0;
    *mode = (eval || (has_state && !has_new)) ? CX_EVAL : CX_TRAIN;
    if (*mode == CX_TRAIN && r->op->draws)
        return cx_fail(
            err, CX_EUNSUPPORTED,
            "operator '%s' draws random numbers in train mode: only eval can be replayed",
            r->op->name);
    return CX_OK;
}

static int fill_inputs(replay_case *r, float *block, cx_error *err) {
    cx_graph_bind(r->graph, block, NULL);
    for (int i = 0; i < CX_OP_INPUTS && r->op->inputs[i].kind != CX_IN_NONE; i++) {
        const char *name = r->op->inputs[i].name;
        if (r->in[i] < 0)
            continue;
        const json_t *array = json_object_get(json_object_get(r->json, "inputs"), name);
        int rc = read_data(array, name, cx_graph_value(r->graph, r->in[i]),
                           cx_graph_value_int(r->graph, r->in[i]), err);
        if (rc != CX_OK)
            return rc;
    }
    int rc = cx_graph_check_indices(r->graph, err);
    return rc;
}

static int run_case(replay_case *r, worst *outputs, worst *gradients, cx_error *err) {
    cx_mode mode = CX_TRAIN;
    int rc = choose_mode(r, &mode, err);
    if (rc == CX_OK)
        rc = build(r, err);
    if (rc != CX_OK)
        return rc;
    float *block = cx_calloc(cx_graph_state_count(r->graph) + 1, sizeof *block);
    if (!block)
        return cx_fail(err, CX_ENOMEM, "no memory for the running statistics");
    rc = fill_inputs(r, block, err);
    if (rc == CX_OK) {
        cx_graph_forward(r->graph, mode, NULL);
        rc = compare_outputs(r, outputs, err);
    }
    if (rc == CX_OK)
        rc = compare_gradients(r, gradients, err);
    free(block);
    return rc;
}

int cx_replay_operator(const json_t *root, double *output_error, double *gradient_error,
                       char *detail, size_t size, cx_error *err) {
    cx_error own;
    err = err ? err : &own;
    worst outputs = {0, "none"}, gradients = {0, "none"};
    const char *name = json_string_value(json_object_get(root, "op"));
    const json_t *cases = json_object_get(root, "cases");
    if (!name || !json_is_array(cases) || json_array_size(cases) == 0)
        return cx_fail(err, CX_EDATA, "not an operator file: 'op' or 'cases' is missing or empty");
    replay_case base = {0};
    int rc = find_op(name, &base, err);
    for (size_t i = 0; rc == CX_OK && i < json_array_size(cases); i++) {
        replay_case r = base;
        r.json = json_array_get(cases, i);
        const char *label = json_string_value(json_object_get(r.json, "name"));
        r.name = label ? label : "";
        if (!json_is_object(r.json))
            return cx_fail(err, CX_EDATA, "%s: cases[%zu] is not an object", name, i);
        r.graph = cx_graph_create();
        rc = r.graph ? run_case(&r, &outputs, &gradients, err)
                     : cx_fail(err, CX_ENOMEM, "no memory for a graph");
        cx_graph_destroy(r.graph);
        if (rc != CX_OK)
            cx_fail_in(err, "%s, case '%.60s'", name, r.name);
    }
    *output_error = outputs.error;
    *gradient_error = gradients.error;
    if (detail && size)
        (void)snprintf(detail, size, "outputs: %s; gradients: %s", outputs.where, gradients.where);
    if (rc != CX_OK)
        return rc;
    if (!(outputs.error <= CX_REPLAY_TOLERANCE))
        return cx_fail(err, CX_ESTATE, "%s: past tolerance %g: %s", name, CX_REPLAY_TOLERANCE,
                       outputs.where);
    if (!(gradients.error <= CX_REPLAY_TOLERANCE))
        return cx_fail(err, CX_ESTATE, "%s: past tolerance %g: %s", name, CX_REPLAY_TOLERANCE,
                       gradients.where);
    return CX_OK;
}

int cx_replay_operator_file(const char *path, double *output_error, double *gradient_error,
                            char *detail, size_t size, cx_error *err) {
    unsigned char *data = NULL;
    size_t n = 0;
    int rc = cx_file_read(path, (size_t)256 << 20, &data, &n, err);
    if (rc != CX_OK)
        return rc;
    json_error_t fault;
    json_t *root = json_loadb((const char *)data, n, JSON_REJECT_DUPLICATES, &fault);
    free(data);
    if (!root)
        return cx_fail(err, CX_EDATA, "%s:%d: not JSON: %s", path, fault.line, fault.text);
    rc = cx_replay_operator(root, output_error, gradient_error, detail, size, err);
    json_decref(root);
    if (rc != CX_OK)
        cx_fail_in(err, "%s", path);
    return rc;
}

#else
typedef int cx_replay_is_for_float; /* ISO C wants something in a file */
#endif
