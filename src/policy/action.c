#include "policy/action.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

void cx_action_heads(const cx_config *config, cx_heads *heads) {
    memset(heads, 0, sizeof *heads);
    for (int id = -1; id < CX_HYPER_COUNT; id++) {
        int size = id < 0                      ? config->registers ? 1 + 3 * config->registers : 0
                   : config->heads[id].present ? config->heads[id].n
                                               : 0;
        if (size == 0)
            continue;
        int h = heads->n_heads++;
        heads->hyper[h] = id;
        heads->size[h] = size;
        heads->offset[h] = heads->n_logits;
        heads->n_logits += size;
    }
}

const char *cx_action_head_name(const cx_heads *heads, int head) {
    int id = heads->hyper[head];
    return id < 0 ? "registers" : cx_hyper_name((cx_hyper_id)id);
}

cx_register_op cx_action_register(int n_registers, int choice, int *index) {
    *index = 0;
    if (choice < 1 || choice > 3 * n_registers)
        return CX_REGISTER_NOTHING;
    *index = (choice - 1) % n_registers;
    return (cx_register_op)(CX_REGISTER_SAVE + (choice - 1) / n_registers);
}

static double logit(double p) {
    return log(p) - log1p(-p);
}

/* A hyperparameter moved by `log_step` on its own scale (log or logit), within bounds.
 * A step of 0 keeps the value to the last bit, but for the bounds. */
static double moved(const cx_head_config *head, double value, double log_step) {
    value = fmin(fmax(value, head->low), head->high);
    if (log_step == 0)
        return value;
    if (head->logit)
        value = 1 / (1 + exp(-(logit(value) + log_step)));
    else
        value *= exp(log_step);
    return fmin(fmax(value, head->low), head->high);
}

/* A choice's step on the scale of `moved`. */
static double log_step(const cx_head_config *head, int choice) {
    return head->logit ? head->step[choice] : log(head->step[choice]);
}

void cx_action_apply(const cx_config *config, const cx_heads *heads, const int *choice,
                     cx_hyper *hyper) {
    for (int h = 0; h < heads->n_heads; h++) {
        int id = heads->hyper[h];
        if (id < 0 || choice[h] < 0 || choice[h] >= heads->size[h])
            continue;
        const cx_head_config *head = &config->heads[id];
        double *value = &hyper->value[id];
        if (head->logit) {
            *value = moved(head, *value, head->step[choice[h]]);
        } else { /* multiplied directly: exp(log 2) is not quite 2 */
            *value *= head->step[choice[h]];
            *value = fmin(fmax(*value, head->low), head->high);
        }
    }
}

void cx_action_start(const cx_config *config, int outer_steps, cx_rng *rng, cx_hyper *hyper,
                     float *noise) {
    *hyper = config->optimizer.start;
    for (int id = 0; id < CX_HYPER_COUNT; id++) {
        /* drawn for all of them: one head more or less leaves the others' noise as it is */
        double u = cx_rng_uniform(rng);
        const cx_head_config *head = &config->heads[id];
        noise[id] = 0;
        if (!head->present)
            continue;
        double low = head->logit ? head->noise_low : log(head->noise_low);
        double high = head->logit ? head->noise_high : log(head->noise_high);
        double share = 1;
        if (id == CX_HYPER_LR && config->episode.noise_full_at > 0)
            share = fmin(1, (double)outer_steps / config->episode.noise_full_at);
        bool usable = isfinite(low) && isfinite(high);
        if (usable && low < high) /* on the full range, so that it says how far the start is off */
            noise[id] = (float)(share * (2 * u - 1));
        hyper->value[id] =
            moved(head, hyper->value[id], usable ? share * (low + u * (high - low)) : 0);
    }
}

void cx_action_neutral(const cx_config *config, const cx_heads *heads, int *choice) {
    for (int h = 0; h < heads->n_heads; h++) {
        choice[h] = 0;
        if (heads->hyper[h] < 0)
            continue;
        const cx_head_config *head = &config->heads[heads->hyper[h]];
        for (int i = 1; i < head->n; i++)
            if (fabs(log_step(head, i)) < fabs(log_step(head, choice[h])))
                choice[h] = i;
    }
}

/* log_p[n] and p[n] of one head; -INFINITY and 0 where masked. The number of choices of a head
 * is bounded, so that the arrays of the callers can be. */
#define HEAD_SIZE_MAX                                                                              \
    (CX_HEAD_CHOICES_MAX > 1 + 3 * CX_REGISTERS_MAX ? CX_HEAD_CHOICES_MAX                          \
                                                    : 1 + 3 * CX_REGISTERS_MAX)
static void softmax(const float *logits, const unsigned char *mask, int n, double *log_p,
                    double *p) {
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) {
        log_p[i] = mask && !mask[i] ? -INFINITY : logits[i];
        if (!(log_p[i] <= top))
            top = log_p[i];
        p[i] = 0;
    }
    if (top == -INFINITY) /* nothing is allowed */
        return;
    for (int i = 0; i < n; i++)
        if (log_p[i] != -INFINITY)
            sum += p[i] = exp(log_p[i] - top);
    double normalizer = top + log(sum);
    for (int i = 0; i < n; i++)
        if (log_p[i] != -INFINITY) {
            p[i] /= sum;
            log_p[i] -= normalizer;
        }
}

/* The choice at `u` in [0, 1) of the distribution; rounding and NAN end at an allowed one. */
static int sample(const double *log_p, const double *p, int n, double u) {
    int last = 0;
    double sum = 0;
    for (int i = 0; i < n; i++) {
        if (log_p[i] == -INFINITY)
            continue;
        last = i;
        sum += p[i];
        if (u < sum)
            return i;
    }
    return last;
}

static int likeliest(const double *log_p, int n) {
    int best = -1;
    for (int i = 0; i < n; i++)
        if (log_p[i] != -INFINITY && (best < 0 || log_p[i] > log_p[best]))
            best = i;
    return best < 0 ? 0 : best;
}

double cx_action_choose(const cx_heads *heads, const float *logits, const unsigned char *mask,
                        cx_rng *rng, int *choice) {
    double total = 0, log_p[HEAD_SIZE_MAX], p[HEAD_SIZE_MAX];
    for (int h = 0; h < heads->n_heads; h++) {
        int at = heads->offset[h], n = heads->size[h];
        softmax(logits + at, mask ? mask + at : NULL, n, log_p, p);
        choice[h] = rng ? sample(log_p, p, n, cx_rng_uniform(rng)) : likeliest(log_p, n);
        total += log_p[choice[h]];
    }
    return total;
}

void cx_action_probabilities(const cx_heads *heads, const float *logits, const unsigned char *mask,
                             double *p) {
    double log_p[HEAD_SIZE_MAX];
    for (int h = 0; h < heads->n_heads; h++) {
        int at = heads->offset[h], n = heads->size[h];
        softmax(logits + at, mask ? mask + at : NULL, n, log_p, p + at);
    }
}

double cx_action_evaluate(const cx_heads *heads, const float *logits, const unsigned char *mask,
                          const int *choice, double *entropy, double coef_logp, double coef_entropy,
                          float *dlogits) {
    double total = 0, log_p[HEAD_SIZE_MAX], p[HEAD_SIZE_MAX];
    for (int h = 0; h < heads->n_heads; h++) {
        int at = heads->offset[h], n = heads->size[h];
        softmax(logits + at, mask ? mask + at : NULL, n, log_p, p);
        total += log_p[choice[h]];
        double sum = 0;
        for (int i = 0; i < n; i++)
            if (log_p[i] != -INFINITY)
                sum -= p[i] * log_p[i];
        if (entropy)
            entropy[h] = sum;
        if (!dlogits)
            continue;
        for (int i = 0; i < n; i++) {
            if (log_p[i] == -INFINITY)
                continue;
            dlogits[at + i] += (float)(coef_logp * ((i == choice[h]) - p[i]) -
                                       coef_entropy * p[i] * (log_p[i] + sum));
        }
    }
    return total;
}
