#include "cli/trace.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

static json_t *number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *features(const double *value) {
    json_t *o = json_object();
    for (int i = 0; i < CX_FEATURE_COUNT; i++)
        if (json_object_set_new(o, cx_feature_name((cx_feature)i), number(value[i])) != 0)
            break;
    return o;
}

static json_t *observations(const cx_config *config, const float *obs) {
    json_t *o = json_object();
    char name[96];
    int n = cx_observation_size(config);
    for (int i = 0; i < n; i++)
        if (json_object_set_new(o, cx_observation_name(config, i, name, sizeof name),
                                number(obs[i])) != 0)
            break;
    return o;
}

static json_t *numbers(const double *x, int n) {
    json_t *a = json_array();
    for (int i = 0; i < n; i++)
        if (json_array_append_new(a, number(x[i])) != 0)
            break;
    return a;
}

static json_t *actions(const cx_config *config, const cx_outer_step_view *v, const double *p) {
    const cx_heads *heads = v->heads;
    json_t *o = json_object();
    for (int h = 0; h < heads->n_heads; h++) {
        json_t *head = json_object();
        (void)json_object_set_new(head, "probabilities",
                                  numbers(p + heads->offset[h], heads->size[h]));
        (void)json_object_set_new(head, "choice", json_integer(v->choice[h]));
        if (heads->hyper[h] >= 0) {
            const cx_head_config *c = &config->heads[heads->hyper[h]];
            (void)json_object_set_new(head, c->logit ? "shifts" : "factors",
                                      numbers(c->step, c->n));
        }
        if (json_object_set_new(o, cx_action_head_name(heads, h), head) != 0)
            break;
    }
    return o;
}

int cx_trace_write(FILE *file, const cx_config *config, const cx_outer_step_view *v,
                   cx_error *err) {
    double *p = calloc((size_t)v->heads->n_logits + 1, sizeof *p);
    json_t *hyper = json_object();
    if (p)
        cx_action_probabilities(v->heads, v->logits, v->mask, p);
    for (int i = 0; i < CX_HYPER_COUNT; i++)
        (void)json_object_set_new(hyper, cx_hyper_name((cx_hyper_id)i), number(v->hyper->value[i]));
    json_t *o =
        p ? json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "outer_step", v->outer_step,
                      "features", features(v->state->features), "train_loss_before",
                      number(v->state->train_loss), "valid_loss_before",
                      number(v->state->valid_loss), "observations", observations(config, v->obs),
                      "actions", actions(config, v, p), "hyper", hyper, "train_loss",
                      number(v->train_loss), "valid_loss", number(v->valid_loss))
          : NULL;
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    int rc = CX_OK;
    if (!text)
        rc = cx_fail(err, CX_ENOMEM, "no memory for a line of the trace");
    else if (fputs(text, file) < 0 || fputc('\n', file) < 0)
        rc = cx_fail(err, CX_EIO, "cannot write the trace");
    free(text);
    json_decref(o);
    free(p);
    return rc;
}
