/* Time of one optimizer step by block size: plain Adam, and the learned rule (AdaMax,
 * LAMB, clipping, decay in the update, features on every 4th step), as the median
 * over many steps, in nanoseconds per parameter. Also the split of the latter.
 *
 *   make build/libcoxswain.a
 *   cc -std=c17 -O2 -D_GNU_SOURCE -Isrc bench/bench_update.c build/libcoxswain.a -ljansson -lm \
 *      -o build/bench_update && build/bench_update
 */
#include "base/arena.h"
#include "optim/optimizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TENSORS 4 /* two matrices and two vectors */
#define SETS 4    /* of gradients, so that the moments move */

static double now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct {
    const char *name;
    cx_optimizer *o;
    float *params, *average;
} runner;

/* Mean over four consecutive steps (one with features), `times` of them; median. */
static void measure(runner *r, int n, size_t count, float *grads, const float *given, int times) {
    double *took = calloc((size_t)(n * times), sizeof *took);
    if (!took)
        return;
    for (int i = 0; i < times; i++)
        for (int k = 0; k < n; k++) { /* interleaved: all see the same machine */
            double sum = 0;
            for (int s = 0; s < 4; s++) {
                memcpy(grads, given + (size_t)(s % SETS) * count, count * sizeof *grads);
                double start = now();
                (void)cx_optimizer_step(r[k].o, r[k].params, grads, NULL, r[k].average, 0.99f);
                sum += now() - start;
            }
            took[k * times + i] = sum / 4;
        }
    double base = 0;
    for (int k = 0; k < n; k++) {
        qsort(took + k * times, (size_t)times, sizeof *took, by_value);
        double t = took[k * times + times / 2];
        if (k == 0)
            base = t;
        printf("%9zu  %-28s %9.2f us %7.3f ns/parameter  %5.2f x Adam\n", count, r[k].name, 1e6 * t,
               1e9 * t / (double)count, t / base);
    }
    free(took);
}

static int make(const char *named, int clip, int lamb, int interval, size_t count, runner *r) {
    cx_error err;
    cx_rule_config rule;
    cx_hyper hyper;
    size_t half = count / 2 - 64;
    const cx_optim_tensor tensors[TENSORS] = {
        {0, half, 2, 0}, {half, 64, 1, 0}, {half + 64, half, 2, 0}, {2 * half + 64, 64, 1, 0}};
    if (cx_rule_named(named, &rule, &hyper, &err))
        return 1;
    rule.clip = clip;
    rule.lamb_power = lamb;
    rule.feature_interval = interval;
    hyper.value[CX_HYPER_LR] = 1e-5;
    r->params = cx_calloc(count, sizeof(float));
    if (!r->params || cx_optimizer_create(&rule, tensors, TENSORS, 1, count, &r->o, &err))
        return 1;
    for (size_t i = 0; i < count; i++)
        r->params[i] = (float)(rand() % 2001 - 1000) * 1e-4f;
    cx_optimizer_set_hyper(r->o, &hyper);
    return 0;
}

int main(void) {
    static const size_t counts[] = {10000, 100000, 1000000};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        const size_t count = counts[c];
        enum { RUNNERS = 6 };
        runner r[RUNNERS] = {{.name = "adam"},
                             {.name = "adam, averaged parameters"},
                             {.name = "learned rule, no features"},
                             {.name = "learned rule, every 4th"},
                             {.name = "learned rule, every step"},
                             {.name = "learned, every 4th, averaged"}};
        float *grads = cx_calloc(count, sizeof *grads);
        float *given = cx_calloc(count * SETS, sizeof *given);
        if (!grads || !given || make("adam", 0, 0, 0, count, &r[0]) ||
            make("adam", 0, 0, 0, count, &r[1]) || make("ciao", 1, 1, 0, count, &r[2]) ||
            make("ciao", 1, 1, 4, count, &r[3]) || make("ciao", 1, 1, 1, count, &r[4]) ||
            make("ciao", 1, 1, 4, count, &r[5]))
            return 1;
        r[1].average = cx_calloc(count, sizeof(float));
        r[5].average = cx_calloc(count, sizeof(float));
        for (size_t i = 0; i < count * SETS; i++)
            given[i] = (float)(rand() % 2001 - 1000) * 1e-4f;
        measure(r, RUNNERS, count, grads, given, count > 500000 ? 60 : 400);
        for (int k = 0; k < RUNNERS; k++) {
            cx_optimizer_destroy(r[k].o);
            free(r[k].params);
            free(r[k].average);
        }
        free(grads);
        free(given);
    }
    return 0;
}
