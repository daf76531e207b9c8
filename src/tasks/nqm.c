/* The noisy quadratic model (Schaul et al., 2013; Zhang et al., 2019): the least that
 * has curvature of many scales and gradient noise.
 *
 *   L(x)   = noise^2 + 1/2 sum_i h_i (x_i - o_i)^2
 *   L_t(x) = 1/2 sum_i r_i^2,  r_i = sqrt(h_i) (x_i - o_i) - noise sqrt(2/d) e_i,  e ~ N(0, 1)
 *   g_i    = dL_t/dx_i = sqrt(h_i) r_i
 *
 * L is the expectation of L_t, and g that of a sum of squared residuals: its noise has
 * the covariance 2 noise^2 / d * H, as gradients of real networks roughly do, and the
 * sampled loss is never negative. The d eigenvalues h_i are log-spaced over the
 * conditioning and sum up to 1; optimum o and start are both N(0, 1), so that the
 * excess over the optimum starts near 1, and `noise` is the noise-to-signal ratio of
 * the first gradient along a direction of average curvature. H is diagonal: the inner
 * optimizers are not blind to that, but neither is any of them helped more than Adam,
 * the baseline.
 *
 * x is one tensor of rank 1, a vector: LAMB leaves its lr alone (lamb_ignore_vectors). */
#include "base/arena.h"
#include "base/level.h"
#include "tasks/family.h"
#include "tasks/nqm_kernels.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define NQM_PARAMS(X) \
    CX_COMMON_PARAMS(X) \
    X(DIMENSION, "dimension", NULL, 1, 1e6, 100, true, "number of parameters") \
    X(CONDITIONING, "conditioning", NULL, 1, 1e8, 1000, false, "largest eigenvalue over the smallest") \
    X(NOISE, "noise", NULL, 0, 100, 1, false, "noise-to-signal ratio of the first gradient at average curvature")
/* clang-format on */

enum { NQM_PARAMS(CX_PARAM_ENUM) N_PARAMS };

static const cx_param_schema params[] = {NQM_PARAMS(CX_PARAM_ROW)};

const cx_family_schema cx_family_nqm_schema = {
    "nqm", "noisy quadratic with a random optimum and diagonal curvature", N_PARAMS, params};

typedef struct {
    const cx_nqm_kernels *k;
    size_t d;
    float *root, *center; /* sqrt(h), o */
    float *draw;          /* e of the step */
    float scale;          /* noise sqrt(2/d) */
    double floor;         /* noise^2 */
    size_t offset;        /* of x in the block */
} nqm;

CX_LEVEL_LOOKUP(cx_nqm_kernels_now, cx_nqm_kernels, cx_nqm_kernels)

static void destroy(cx_task *task) {
    nqm *q = task->own;
    if (!q)
        return;
    free(q->root);
    free(q->center);
    free(q->draw);
    free(q);
    task->own = NULL;
}

static void fill(nqm *q, const cx_task_spec *spec) {
    double kappa = spec->value[CONDITIONING], sum = 0;
    for (size_t i = 0; i < q->d; i++)
        sum += q->d > 1 ? pow(kappa, -(double)i / (double)(q->d - 1)) : 1;
    for (size_t i = 0; i < q->d; i++) {
        double h = q->d > 1 ? pow(kappa, -(double)i / (double)(q->d - 1)) : 1;
        q->root[i] = (float)sqrt(h / sum);
    }
    cx_rng rng = cx_rng_make(spec->seed, 0, CX_STREAM_DATA);
    cx_rng_fill_normal(&rng, q->center, q->d);
    q->scale = (float)(spec->value[NOISE] * sqrt(2.0 / (double)q->d));
    q->floor = spec->value[NOISE] * spec->value[NOISE];
}

static int create(const cx_task_spec *spec, const cx_config *config, const cx_data_store *store,
                  cx_task *task, cx_error *err) {
    (void)config;
    (void)store;
    nqm *q = calloc(1, sizeof *q);
    if (!q)
        return cx_fail(err, CX_ENOMEM, "no memory for a noisy quadratic");
    task->own = q;
    q->d = (size_t)spec->value[DIMENSION];
    q->k = cx_nqm_kernels_now();
    q->root = cx_calloc(q->d, sizeof(float));
    q->center = cx_calloc(q->d, sizeof(float));
    q->draw = cx_calloc(q->d, sizeof(float));
    task->graph = cx_graph_create();
    if (!q->root || !q->center || !q->draw || !task->graph)
        return cx_fail(err, CX_ENOMEM, "no memory for a noisy quadratic of %zu dimensions", q->d);
    fill(q, spec);
    (void)cx_graph_param(task->graph, "x", CX_SHAPE((int)q->d), CX_INIT_NORMAL, 1);
    int rc = cx_graph_plan(task->graph, true, err); /* no operators: it only describes the block */
    if (rc)
        return rc;
    q->offset = cx_graph_param_info(task->graph, 0)->offset;
    return CX_OK;
}

static double step(cx_task *task, float *block, float *grads, uint32_t number) {
    nqm *q = task->own;
    const float *x = block + q->offset;
    float *g = grads + q->offset;
    if (q->scale > 0) {
        cx_rng rng = cx_rng_make(task->spec.seed, number, CX_STREAM_DROPOUT);
        q->k->draw_normals(&rng, q->draw, q->d);
    }
    return 0.5 * q->k->gradient(q->root, q->center, q->draw, q->scale, x, q->d, g);
}

/* Every split is the expectation itself. */
static double evaluate(cx_task *task, float *block, cx_split split, int examples,
                       double metric[CX_TASK_METRICS]) {
    const nqm *q = task->own;
    const float *x = block + q->offset;
    (void)split;
    (void)examples;
    (void)metric;
    return q->floor + 0.5 * q->k->excess(q->root, q->center, x, q->d);
}

static double optimum(const cx_task *task) {
    return ((const nqm *)task->own)->floor;
}

static double flops_per_step(const cx_task_spec *spec, const cx_config *config) {
    (void)config;
    /* a normal number costs about what 100 multiplications do (measured) */
    return CX_FLOPS_PER_OPERATOR +
           spec->value[DIMENSION] * (10 + CX_FLOPS_PER_UPDATE + (spec->value[NOISE] > 0 ? 100 : 0));
}

const cx_task_family cx_family_nqm = {.schema = &cx_family_nqm_schema,
                                      .one_split = true,
                                      .create = create,
                                      .destroy = destroy,
                                      .step = step,
                                      .evaluate = evaluate,
                                      .optimum = optimum,
                                      .flops_per_step = flops_per_step};
