/* The `actions` of a configuration: which heads there are, and what their choices do. */
#include "config/key.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The table of lhopt.md section 3, with what the trial of section 9 made of it. */
const char cx_actions_default[] =
    "lr: {factors: [0.1, 0.5, 0.707, 0.9, 1, 1.1, 1.414, 2, 10], low: 1e-8, high: 1,"
    " noise: [0.01, 100]}\n"
    "weight_decay: {factors: [0.5, 1, 2], low: 1e-8, high: 1, noise: [0.1, 10]}\n"
    "epsilon: {factors: [0.5, 1, 2], low: 1e-8, high: 1, noise: [0.1, 10]}\n"
    "ombeta2: {factors: [0.5, 1, 2], low: 1e-5, high: 0.1, noise: [0.1, 10]}\n"
    "ombeta1: {factors: [0.5, 1, 2], low: 1e-5, high: 1, noise: [0.1, 10]}\n"
    "group_clip_grad_norm: {shifts: [-1, -0.3, 0, 0.3, 1], low: 1e-10, high: 0.9999999999,"
    " noise: [-1, 1]}\n"
    "grad_clip_ombeta: {factors: [0.5, 1, 2], low: 1e-5, high: 1, noise: [0.5, 2]}\n"
    "lamb_update_norm_ombeta: {factors: [0.6666666666666666, 1, 1.5], low: 1e-5, high: 1,"
    " noise: [0.5, 2]}\n";

static const char *const head_keys[] = {"factors", "shifts", "low", "high", "noise"};
enum { HEAD_KEYS = sizeof head_keys / sizeof head_keys[0] };

static bool read_steps(cx_report *report, const cx_yaml *node, const cx_yaml_path *path,
                       cx_head_config *head) {
    const char *right = head->logit ? "a finite number" : "a number above 0, finite";
    if (node->kind != CX_YAML_LIST || node->count < 2 || node->count > CX_HEAD_CHOICES_MAX) {
        cx_report_value(report, node, path->text, "a list of 2 to %d numbers%s",
                        CX_HEAD_CHOICES_MAX,
                        node->kind == CX_YAML_LIST ? " (found another count)" : "");
        return false;
    }
    for (const cx_yaml *item = node->first; item; item = item->next) {
        cx_yaml_path at = cx_yaml_join_index(path, head->n);
        double step;
        if (!cx_yaml_number(item, &step) || !isfinite(step) || (!head->logit && step <= 0)) {
            cx_report_value(report, item, at.text, "%s", right);
            return false;
        }
        for (int i = 0; i < head->n; i++)
            if (head->step[i] == step) {
                cx_report_value(report, item, at.text, "another number: that one is choice %d", i);
                return false;
            }
        head->step[head->n++] = step;
    }
    return true;
}

/* A bound of the hyperparameter: within what the optimizer takes, and where a factor
 * or a logit is defined. */
static bool read_bound(cx_report *report, const cx_yaml *map, const cx_yaml_path *path,
                       const char *name, const cx_key *row, bool logit, double *bound) {
    const cx_yaml *node = cx_yaml_get(map, name);
    cx_yaml_path at = cx_yaml_join(path, name);
    if (!node) {
        cx_report_fault(report, map, at.text, "missing; a head needs low and high");
        return false;
    }
    double high = logit ? fmin(row->high, 1) : row->high;
    bool open = logit && high == 1; /* logit(0) and logit(1) are infinite */
    if (cx_yaml_number(node, bound) && *bound > 0 && *bound >= row->low &&
        (open ? *bound < high : *bound <= high))
        return true;
    cx_report_value(report, node, at.text, "a number %s %s to %s%s",
                    row->low > 0 ? "from" : "above", cx_yaml_show_number(row->low).text,
                    cx_yaml_show_number(high).text, open ? ", 1 not included" : "");
    return false;
}

static void read_noise(cx_report *report, const cx_yaml *map, const cx_yaml_path *path,
                       cx_head_config *head) {
    const cx_yaml *node = cx_yaml_get(map, "noise");
    cx_yaml_path at = cx_yaml_join(path, "noise");
    head->noise_low = head->noise_high = head->logit ? 0 : 1;
    if (!node)
        return;
    double low, high;
    if (node->kind != CX_YAML_LIST || node->count != 2 || !cx_yaml_number(node->first, &low) ||
        !cx_yaml_number(node->last, &high) || !isfinite(low) || !isfinite(high) || low > high ||
        (!head->logit && low <= 0)) {
        cx_report_value(report, node, at.text, "[low, high], two finite %s, low not above high",
                        head->logit ? "shifts of the logit" : "factors above 0");
        return;
    }
    head->noise_low = low;
    head->noise_high = high;
}

/* Where the episode starts must be where its head can go. */
static void check_start(cx_reading *reading, const cx_yaml *map, int row, cx_hyper_id id,
                        const cx_head_config *head) {
    double start = reading->config->optimizer.start.value[id];
    if (reading->key[row].bad || (start >= head->low && start <= head->high))
        return;
    const cx_yaml *at = reading->key[row].node ? reading->key[row].node : map;
    cx_report_fault(&reading->report, at, cx_keys[row].path,
                    "found %s; must be within the bounds of actions.%s, %s to %s, or that head "
                    "must be left out",
                    cx_yaml_show_number(start).text, cx_hyper_name(id),
                    cx_yaml_show_number(head->low).text, cx_yaml_show_number(head->high).text);
}

static void read_head(cx_reading *reading, const cx_yaml *map, const cx_yaml_path *path,
                      cx_hyper_id id) {
    cx_report *report = &reading->report;
    cx_head_config *head = &reading->config->heads[id];
    if (map->kind != CX_YAML_MAP) {
        cx_report_value(report, map, path->text, "{factors: [...], low: ..., high: ...}");
        return;
    }
    for (const cx_yaml *node = map->first; node; node = node->next) {
        bool known = false;
        for (int i = 0; i < HEAD_KEYS; i++)
            known = known || strcmp(head_keys[i], node->key) == 0;
        if (!known)
            cx_report_unknown(report, node, path->text, "key", node->key, "", head_keys, HEAD_KEYS);
    }
    const cx_yaml *factors = cx_yaml_get(map, "factors"), *shifts = cx_yaml_get(map, "shifts");
    if (!factors == !shifts) {
        cx_report_fault(report, map, path->text, "found %s; must have one of factors and shifts",
                        factors ? "both" : "neither");
        return;
    }
    head->present = true;
    head->logit = shifts != NULL;
    cx_yaml_path steps = cx_yaml_join(path, head->logit ? "shifts" : "factors"),
                 row_path = cx_yaml_join(&(cx_yaml_path){"optimizer"}, cx_hyper_name(id));
    int row = cx_key_find(row_path.text);
    (void)read_steps(report, head->logit ? shifts : factors, &steps, head);
    read_noise(report, map, path, head);
    bool low = read_bound(report, map, path, "low", &cx_keys[row], head->logit, &head->low);
    bool high = read_bound(report, map, path, "high", &cx_keys[row], head->logit, &head->high);
    if (!low || !high)
        return;
    if (head->low >= head->high)
        cx_report_fault(report, map, path->text, "found low %s, high %s; low must be below high",
                        cx_yaml_show_number(head->low).text, cx_yaml_show_number(head->high).text);
    else
        check_start(reading, map, row, id, head);
}

void cx_actions_read(cx_reading *reading, const cx_yaml *actions) {
    cx_report *report = &reading->report;
    const char *names[1 + CX_HYPER_COUNT] = {"registers"};
    for (int i = 0; i < CX_HYPER_COUNT; i++)
        names[1 + i] = cx_hyper_name((cx_hyper_id)i);
    if (actions->kind != CX_YAML_MAP || actions->count < 1) {
        cx_report_value(report, actions, "actions",
                        "at least one head, such as lr: {factors: [0.5, 1, 2], low: 1e-8, high: "
                        "1}, or no `actions` at all for the usual ones");
        return;
    }
    const cx_yaml_path top = cx_yaml_join(NULL, "actions");
    bool any = false;
    for (const cx_yaml *node = actions->first; node; node = node->next) {
        cx_yaml_path path = cx_yaml_join(&top, node->key);
        size_t i = 0;
        while (i < 1 + CX_HYPER_COUNT && strcmp(names[i], node->key) != 0)
            i++;
        double count;
        if (i > CX_HYPER_COUNT) {
            cx_report_unknown(report, node, "actions", "head", node->key, "", names,
                              1 + CX_HYPER_COUNT);
            any = true; /* one fault for it is enough */
        } else if (i > 0) {
            read_head(reading, node, &path, (cx_hyper_id)(i - 1));
            any = true;
        } else if (!cx_yaml_number(node, &count) || count < 0 || count > CX_REGISTERS_MAX ||
                   count != floor(count)) {
            cx_report_value(report, node, path.text, "a whole number from 0 (none) to %d",
                            CX_REGISTERS_MAX);
            any = true;
        } else {
            reading->config->registers = (int)count;
            any = any || count > 0;
        }
    }
    if (!any)
        cx_report_fault(report, actions, "actions", "no head; a policy must have one at least");
}
