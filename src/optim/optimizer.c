#include "optim/optimizer.h"

#include "base/arena.h"
#include "base/level.h"
#include "optim/features.h"
#include "optim/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

/* The state of one tensor besides its moments. */
typedef struct {
    double c1, c2;
    double lamb, lamb_correction;
    uint64_t steps;
} tensor_state;

typedef struct {
    size_t offset, size;
} stretch;

struct cx_optimizer {
    const cx_update_kernels *k;
    cx_rule_config rule;
    cx_hyper hyper;
    int n_tensors, n_groups;
    size_t count;
    cx_optim_tensor *tensors;
    stretch *gaps; /* of the block, between the tensors: the average covers them too */
    int n_gaps;

    /* one block: rolling maxima, tensor states, m, v; the pointers go into it */
    unsigned char *state;
    size_t state_bytes, tensors_at, m_at, v_at; /* m_at, v_at: 0 where the rule has none */

    /* of the step under way, not part of the state */
    double *square, *grad_norm; /* per tensor */
    double *coef, *clipped;     /* per group */
    bool *active;               /* per group: any gradient */
    double *scratch;
    int counter; /* steps since the last outer step */
    bool features_taken;
    double *features;
    cx_feature_means means;
};

static double *rolling(const cx_optimizer *o) {
    return (double *)(void *)o->state;
}
static tensor_state *states(const cx_optimizer *o) {
    return (tensor_state *)(void *)(o->state + o->tensors_at);
}
static float *moment(const cx_optimizer *o, size_t at) {
    return at ? (float *)(void *)(o->state + at) : NULL;
}

static int by_offset(const void *a, const void *b) {
    const stretch *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Checks the layout and notes what lies between the tensors. */
static int find_gaps(cx_optimizer *o, cx_error *err) {
    stretch *sorted = cx_calloc((size_t)o->n_tensors, sizeof *sorted);
    if (!sorted)
        return cx_fail(err, CX_ENOMEM, "no memory for an optimizer of %d tensors", o->n_tensors);
    for (int t = 0; t < o->n_tensors; t++)
        sorted[t] = (stretch){o->tensors[t].offset, o->tensors[t].size};
    qsort(sorted, (size_t)o->n_tensors, sizeof *sorted, by_offset);
    size_t end = 0;
    int code = CX_OK;
    for (int t = 0; t < o->n_tensors && code == CX_OK; t++) {
        if (sorted[t].offset < end)
            code = cx_fail(err, CX_ESTATE, "two tensors overlap at number %zu of the block",
                           sorted[t].offset);
        else if (sorted[t].offset > end)
            o->gaps[o->n_gaps++] = (stretch){end, sorted[t].offset - end};
        end = sorted[t].offset + sorted[t].size;
    }
    if (o->count > end)
        o->gaps[o->n_gaps++] = (stretch){end, o->count - end};
    free(sorted);
    return code;
}

static void plan_state(cx_optimizer *o) {
    const cx_rule_config *r = &o->rule;
    const bool has_m = r->rule == CX_RULE_CIAO || r->momentum != 0;
    const bool has_v = r->rule != CX_RULE_SGD;
    o->tensors_at = cx_arena_round((size_t)o->n_groups * sizeof(double));
    size_t at = o->tensors_at + cx_arena_round((size_t)o->n_tensors * sizeof(tensor_state));
    if (has_m) {
        o->m_at = at;
        at += cx_arena_round(o->count * sizeof(float));
    }
    if (has_v) {
        o->v_at = at;
        at += cx_arena_round(o->count * sizeof(float));
    }
    o->state_bytes = at;
}

static int check_layout(const cx_rule_config *rule, const cx_optim_tensor *tensors, int n_tensors,
                        int n_groups, size_t count, cx_error *err) {
    if (n_tensors < 1 || n_groups < 1 || count < 1 || count > SIZE_MAX / 64)
        return cx_fail(err, CX_ESTATE, "an optimizer of %d tensors, %d groups and %zu numbers",
                       n_tensors, n_groups, count);
    for (int t = 0; t < n_tensors; t++) {
        const cx_optim_tensor *x = &tensors[t];
        if (x->size < 1 || x->offset > count || x->size > count - x->offset)
            return cx_fail(err, CX_ESTATE,
                           "tensor %d: %zu numbers at %zu do not lie in a block of %zu", t, x->size,
                           x->offset, count);
        if (x->group < 0 || x->group >= n_groups)
            return cx_fail(err, CX_ESTATE, "tensor %d: group %d, but there are %d", t, x->group,
                           n_groups);
    }
    if (rule->rule == CX_RULE_CIAO && !(rule->denominator_norm > 0))
        return cx_fail(err, CX_ESTATE, "denominator_norm %g: positive or infinite is right",
                       rule->denominator_norm);
    return CX_OK;
}

CX_LEVEL_LOOKUP(cx_update_kernels_now, cx_update_kernels, cx_update_kernels)

int cx_optimizer_create(const cx_rule_config *rule, const cx_optim_tensor *tensors, int n_tensors,
                        int n_groups, size_t count, cx_optimizer **out, cx_error *err) {
    *out = NULL;
    int code = check_layout(rule, tensors, n_tensors, n_groups, count, err);
    if (code)
        return code;
    cx_optimizer *o = calloc(1, sizeof *o);
    if (!o)
        return cx_fail(err, CX_ENOMEM, "no memory for an optimizer");
    const size_t nt = (size_t)n_tensors, ng = (size_t)n_groups;
    o->k = cx_update_kernels_now();
    o->rule = *rule;
    o->n_tensors = n_tensors;
    o->n_groups = n_groups;
    o->count = count;
    plan_state(o);
    o->tensors = cx_calloc(nt, sizeof *o->tensors);
    o->gaps = cx_calloc(nt + 1, sizeof *o->gaps);
    o->state = cx_calloc(1, o->state_bytes);
    o->square = cx_calloc(nt, sizeof(double));
    o->grad_norm = cx_calloc(nt, sizeof(double));
    o->coef = cx_calloc(ng, sizeof(double));
    o->clipped = cx_calloc(ng, sizeof(double));
    o->active = cx_calloc(ng, sizeof(bool));
    o->scratch = cx_calloc(2 * ng, sizeof(double));
    o->features = cx_calloc(nt * CX_FEATURE_COUNT, sizeof(double));
    if (!o->tensors || !o->gaps || !o->state || !o->square || !o->grad_norm || !o->coef ||
        !o->clipped || !o->active || !o->scratch || !o->features) {
        code = cx_fail(err, CX_ENOMEM, "no memory for an optimizer of %zu numbers", count);
    } else {
        memcpy(o->tensors, tensors, nt * sizeof *tensors);
        code = find_gaps(o, err);
    }
    if (code) {
        cx_optimizer_destroy(o);
        return code;
    }
    *out = o;
    return CX_OK;
}

void cx_optimizer_destroy(cx_optimizer *o) {
    if (!o)
        return;
    void *const owned[] = {o->tensors, o->gaps,    o->state,  o->square,  o->grad_norm,
                           o->coef,    o->clipped, o->active, o->scratch, o->features};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    free(o);
}

void cx_optimizer_set_hyper(cx_optimizer *o, const cx_hyper *hyper) {
    o->hyper = *hyper;
}

/* Moments of weights that get no gradient decay into subnormal numbers, on which
 * the processor is a hundred times slower; they are zero for the duration of a step. */
static unsigned flush_subnormals(void) {
#ifdef __SSE__
    unsigned old = _mm_getcsr();
    _mm_setcsr(old | 0x8040); /* flush to zero, denormals are zero */
    return old;
#else
    return 0;
#endif
}
static void restore_subnormals(unsigned old) {
#ifdef __SSE__
    _mm_setcsr(old);
#else
    (void)old;
#endif
}

/* First pass: the norm of every gradient. Returns the square of the whole norm. */
static double gradient_squares(cx_optimizer *o, const float *grads, const bool *has_grad) {
    double all = 0;
    for (int pass = 0; pass < 2; pass++) {
        all = 0;
        for (int t = 0; t < o->n_tensors; t++) {
            const cx_optim_tensor *x = &o->tensors[t];
            o->square[t] = 0;
            if (has_grad && !has_grad[t])
                continue;
            o->square[t] = pass ? o->k->square_sum_wide(grads + x->offset, x->size)
                                : o->k->square_sum(grads + x->offset, x->size);
            all += o->square[t];
        }
        /* finite numbers above 1e19 have infinite squares in float, but not in double */
        if (isfinite(all))
            break;
    }
    return all;
}

static void clip(cx_optimizer *o, const bool *has_grad) {
    const double limit = o->hyper.value[CX_HYPER_GROUP_CLIP];
    const double keep = 1 - o->hyper.value[CX_HYPER_CLIP_OMBETA];
    double *r = rolling(o);
    for (int g = 0; g < o->n_groups; g++) {
        double square = 0;
        o->active[g] = false;
        for (int t = 0; t < o->n_tensors; t++)
            if (o->tensors[t].group == g && (!has_grad || has_grad[t])) {
                square += o->square[t];
                o->active[g] = true;
            }
        o->coef[g] = 1;
        o->clipped[g] = NAN;
        if (!o->rule.clip || !o->active[g])
            continue;
        const double norm = sqrt(square);
        double bound = limit;
        if (o->rule.scale_by_rolling_max) {
            r[g] = fmax(norm, r[g] * keep);
            bound *= r[g];
        }
        const double coef = bound / (norm + 1e-6);
        o->clipped[g] = coef < 1;
        if (coef < 1)
            o->coef[g] = coef;
    }
}

/* One tensor's share of a step: its constants, as the loops want them. */
typedef struct {
    const cx_update_kernels *k;
    float *p, *g, *m, *v, *average;
    size_t size;
    float average_weight;
    float coef, decay_gradient;
    float lr, shrink; /* of the update; shrink: lr * decoupled weight decay */
    bool first;       /* the tensor's first step */
} tensor_step;

static void apply(const tensor_step *s, const float *u, size_t at, size_t n) {
    s->k->apply(s->p + at, u, s->average ? s->average + at : NULL, n, s->lr, s->shrink,
                s->average_weight);
}

/* Clipping and L2 decay, in place. */
static void prepare_gradient(const tensor_step *s, size_t at, size_t n) {
    if (s->coef != 1)
        s->k->scale(s->g + at, n, s->coef);
    if (s->decay_gradient != 0)
        s->k->add(s->g + at, s->p + at, n, s->decay_gradient);
}

static void step_sgd(const cx_optimizer *o, const tensor_step *s) {
    const float momentum = (float)o->rule.momentum;
    float u[CX_BLOCK];
    for (size_t at = 0; at < s->size; at += CX_BLOCK) {
        const size_t n = s->size - at < CX_BLOCK ? s->size - at : CX_BLOCK;
        float *g = s->g + at;
        const float *direction = g;
        prepare_gradient(s, at, n);
        if (s->m) {
            float *m = s->m + at;
            if (s->first)
                memcpy(m, g, n * sizeof *m);
            else
                o->k->momentum(g, m, n, momentum);
            direction = m;
            if (o->rule.nesterov) {
                memcpy(u, g, n * sizeof *u);
                o->k->add(u, m, n, momentum);
                direction = u;
            }
        }
        apply(s, direction, at, n);
    }
}

static void step_rmsprop(const cx_optimizer *o, const tensor_step *s) {
    const double ombeta2 = o->hyper.value[CX_HYPER_OMBETA2];
    const float epsilon = (float)o->hyper.value[CX_HYPER_EPSILON];
    float root[CX_BLOCK], u[CX_BLOCK];
    for (size_t at = 0; at < s->size; at += CX_BLOCK) {
        const size_t n = s->size - at < CX_BLOCK ? s->size - at : CX_BLOCK;
        const float *direction = u;
        prepare_gradient(s, at, n);
        o->k->square(s->g + at, s->v + at, root, n, (float)ombeta2, 1);
        o->k->ratio(s->g + at, root, u, n, epsilon);
        if (s->m) {
            o->k->momentum(u, s->m + at, n, (float)o->rule.momentum);
            direction = s->m + at;
        }
        apply(s, direction, at, n);
    }
}

/* Updates v; returns s, which is v itself or the buffer. */
static const float *denominator(const cx_optimizer *o, const float *g, float *v, float *buffer,
                                size_t n, double c2) {
    const double q = o->rule.denominator_norm;
    const float ombeta2 = (float)o->hyper.value[CX_HYPER_OMBETA2];
    if (isinf(q)) {
        o->k->max(g, v, n, ombeta2,
                  o->rule.epsilon_in_maximum ? (float)o->hyper.value[CX_HYPER_EPSILON] : 0);
        return v;
    }
    if (q == 2)
        o->k->square(g, v, buffer, n, ombeta2, (float)(1 / sqrt(c2)));
    else
        o->k->power(g, v, buffer, n, ombeta2, (float)(1 / c2), (float)q);
    return buffer;
}

static double trust_ratio(const cx_optimizer *o, tensor_state *state, const cx_update_sums *sums) {
    const double p = sqrt(cx_lanes_sum(&sums->pp)), u = sqrt(cx_lanes_sum(&sums->uu));
    const double rate = o->hyper.value[CX_HYPER_LAMB_OMBETA];
    state->lamb = (1 - rate) * state->lamb + rate * u;
    state->lamb_correction = (1 - rate) * state->lamb_correction + rate;
    const double average = state->lamb / state->lamb_correction;
    if (!(p >= 1e-8) || !(average >= 1e-8))
        return 1;
    const double ratio = fmin(fmax(p / average, o->rule.lamb_min_trust), o->rule.lamb_max_trust);
    return o->rule.lamb_power == 1 ? ratio : pow(ratio, o->rule.lamb_power);
}

/* `features`: NULL when this step takes none. */
static void step_ciao(cx_optimizer *o, int t, tensor_step *s, double *features) {
    const double *h = o->hyper.value;
    const cx_optim_tensor *tensor = &o->tensors[t];
    tensor_state *state = &states(o)[t];
    const bool lamb = o->rule.lamb_power != 0 && !(o->rule.lamb_ignore_vectors && tensor->rank < 2);
    const float ombeta1 = (float)h[CX_HYPER_OMBETA1];
    state->c1 = (1 - h[CX_HYPER_OMBETA1]) * state->c1 + h[CX_HYPER_OMBETA1];
    state->c2 = (1 - h[CX_HYPER_OMBETA2]) * state->c2 + h[CX_HYPER_OMBETA2];
    const float inverse_c1 = (float)(1 / state->c1);
    const float epsilon = (float)h[CX_HYPER_EPSILON];
    const float added = o->rule.epsilon_in_maximum && isinf(o->rule.denominator_norm) ? 0 : epsilon;
    const float decay = o->rule.decay_in_update ? (float)h[CX_HYPER_WEIGHT_DECAY] : 0;
    const double decoupled =
        o->rule.decay_in_update || o->rule.decay_in_gradient ? 0 : h[CX_HYPER_WEIGHT_DECAY];
    double lr = h[CX_HYPER_LR];
    s->lr = (float)lr;
    s->shrink = (float)(lr * decoupled);

    cx_update_sums sums;
    memset(&sums, 0, sizeof sums);
    float root[CX_BLOCK], direction[CX_BLOCK];
    for (size_t at = 0; at < s->size; at += CX_BLOCK) {
        const size_t n = s->size - at < CX_BLOCK ? s->size - at : CX_BLOCK;
        float *g = s->g + at;
        /* the trust ratio is known at the end of the tensor: until then u waits where g was */
        float *u = lamb && !features ? g : direction;
        prepare_gradient(s, at, n);
        const float *d = denominator(o, g, s->v + at, root, n, state->c2);
        o->k->direction(g, s->m + at, d, s->p + at, u, n, ombeta1, inverse_c1, added, decay);
        if (features)
            o->k->features(s->p + at, g, s->m + at, u, d, n, inverse_c1, epsilon, &sums);
        else if (lamb)
            o->k->norms(s->p + at, u, n, &sums);
        if (!lamb)
            apply(s, u, at, n);
        else if (u != g)
            memcpy(g, u, n * sizeof *g);
    }
    if (lamb) {
        lr *= trust_ratio(o, state, &sums);
        s->lr = (float)lr;
        s->shrink = (float)(lr * decoupled);
        apply(s, s->g, 0, s->size);
    }
    if (features)
        cx_features_of_tensor(&sums,
                              &(cx_feature_input){.size = s->size,
                                                  .c1 = state->c1,
                                                  .lr = lr,
                                                  .shrink = lr * decoupled,
                                                  .g_norm = o->grad_norm[t],
                                                  .clipped = o->clipped[tensor->group]},
                              features);
}

static void step_tensor(cx_optimizer *o, int t, tensor_step *s, double *features) {
    const double lr = o->hyper.value[CX_HYPER_LR];
    const bool l2 = o->rule.rule != CX_RULE_CIAO || o->rule.decay_in_gradient;
    tensor_state *state = &states(o)[t];
    s->coef = (float)o->coef[o->tensors[t].group];
    s->decay_gradient = l2 ? (float)o->hyper.value[CX_HYPER_WEIGHT_DECAY] : 0;
    s->lr = (float)lr;
    s->shrink = 0;
    s->first = state->steps == 0;
    o->grad_norm[t] = sqrt(o->square[t]) * o->coef[o->tensors[t].group];
    switch (o->rule.rule) {
    case CX_RULE_SGD:
        step_sgd(o, s);
        break;
    case CX_RULE_RMSPROP:
        step_rmsprop(o, s);
        break;
    case CX_RULE_CIAO:
        step_ciao(o, t, s, features);
        break;
    }
    state->steps++;
}

double cx_optimizer_step(cx_optimizer *o, float *params, float *grads, const bool *has_grad,
                         float *average, float average_weight) {
    const unsigned control = flush_subnormals();
    const double square = gradient_squares(o, grads, has_grad);
    o->features_taken = false;
    if (!isfinite(square)) {
        restore_subnormals(control);
        return sqrt(square);
    }
    const int interval = o->rule.feature_interval;
    const bool taken = o->rule.rule == CX_RULE_CIAO && interval > 0 && o->counter % interval == 0;
    float *m = moment(o, o->m_at), *v = moment(o, o->v_at);
    clip(o, has_grad);
    for (int t = 0; t < o->n_tensors; t++) {
        const cx_optim_tensor *x = &o->tensors[t];
        double *features = taken ? o->features + t * CX_FEATURE_COUNT : NULL;
        for (int f = 0; taken && f < CX_FEATURE_COUNT; f++)
            features[f] = NAN;
        if (has_grad && !has_grad[t]) {
            if (average)
                o->k->average(params + x->offset, average + x->offset, x->size, average_weight);
            continue;
        }
        tensor_step s = {.k = o->k,
                         .p = params + x->offset,
                         .g = grads + x->offset,
                         .m = m ? m + x->offset : NULL,
                         .v = v ? v + x->offset : NULL,
                         .average = average ? average + x->offset : NULL,
                         .size = x->size,
                         .average_weight = average_weight};
        step_tensor(o, t, &s, features);
    }
    for (int i = 0; average && i < o->n_gaps; i++)
        o->k->average(params + o->gaps[i].offset, average + o->gaps[i].offset, o->gaps[i].size,
                      average_weight);
    if (taken)
        cx_features_add(&o->means, o->features, o->tensors, o->n_tensors, o->n_groups, o->scratch);
    o->features_taken = taken;
    o->counter++;
    restore_subnormals(control);
    return sqrt(square);
}

void cx_optimizer_outer_step(cx_optimizer *o, double features[CX_FEATURE_COUNT]) {
    for (int f = 0; f < CX_FEATURE_COUNT; f++)
        features[f] = o->means.count[f] > 0 ? o->means.sum[f] / o->means.count[f] : NAN;
    memset(&o->means, 0, sizeof o->means);
    o->counter = 0;
}

bool cx_optimizer_last_features(const cx_optimizer *o, double *features) {
    if (o->features_taken)
        memcpy(features, o->features, (size_t)o->n_tensors * CX_FEATURE_COUNT * sizeof *features);
    return o->features_taken;
}

void cx_optimizer_inspect(const cx_optimizer *o, int tensor, cx_optim_inspection *out) {
    const cx_optim_tensor *x = &o->tensors[tensor];
    const tensor_state *s = &states(o)[tensor];
    const float *m = moment(o, o->m_at), *v = moment(o, o->v_at);
    *out = (cx_optim_inspection){
        .m_norm = m ? sqrt(o->k->square_sum_wide(m + x->offset, x->size)) : 0,
        .v_norm = v ? sqrt(o->k->square_sum_wide(v + x->offset, x->size)) : 0,
        .c1 = s->c1,
        .c2 = s->c2,
        .lamb = s->lamb,
        .lamb_correction = s->lamb_correction,
        .grad_norm = o->grad_norm[tensor],
        .steps = s->steps,
    };
}

double cx_optimizer_rolling_max(const cx_optimizer *o, int group) {
    return rolling(o)[group];
}

size_t cx_optimizer_state_bytes(const cx_optimizer *o) {
    return o->state_bytes;
}

void cx_optimizer_save(const cx_optimizer *o, void *state) {
    memcpy(state, o->state, o->state_bytes);
}

const void *cx_optimizer_state(const cx_optimizer *o) {
    return o->state;
}

void cx_optimizer_load(cx_optimizer *o, const void *state) {
    memcpy(o->state, state, o->state_bytes);
}

void cx_optimizer_exchange(cx_optimizer *o, void **state) {
    void *old = o->state;
    o->state = *state;
    *state = old;
}

void cx_optimizer_reset(cx_optimizer *o) {
    memset(o->state, 0, o->state_bytes);
    memset(&o->means, 0, sizeof o->means);
    o->counter = 0;
    o->features_taken = false;
}
