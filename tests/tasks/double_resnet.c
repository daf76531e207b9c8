/* Finite differences of a whole residual network's loss against backward, in double
 * precision: both kinds of blocks, shortcuts that change the shape and that do not, the
 * stem of large images. */
#include "tests/test.h"

#include "tasks/resnet_net.h"
#include <math.h>
#include <string.h>

/* the double library ends at nn/ */
#include "tasks/layers.c"
#include "tasks/resnet_net.c"

enum { BATCH = 3 };
static const double small_step = 1e-5;

static double loss_of(cx_graph *g, const cx_resnet_refs *r) {
    cx_graph_forward(g, CX_TRAIN, NULL);
    return *cx_graph_value(g, r->loss);
}

/* The derivative along `direction` at the bound block (five points). */
static double slope(cx_graph *g, const cx_resnet_refs *r, cx_real *block, const cx_real *direction,
                    size_t n) {
    static const double at[] = {1, -1, 2, -2}, weight[] = {8, -8, -1, 1};
    double sum = 0, now = 0;
    for (int k = 0; k < 5; k++) { /* the last one goes back */
        double to = k < 4 ? at[k] * small_step : 0;
        for (size_t i = 0; i < n; i++)
            block[i] += (to - now) * direction[i];
        now = to;
        if (k < 4)
            sum += weight[k] * loss_of(g, r);
    }
    return sum / (12 * small_step);
}

/* Differences go wrong where a relu is at its corner, and a network has thousands of them.
 * Batch norm's biases of +-8 decide all of them beforehand: half of the channels inside
 * the blocks are off for good, the rest, and all sums, are on. */
static void decide_relus(const cx_graph *g, int depth, cx_real *block) {
    const char *last = depth == 50 ? "bn3.bias" : "bn2.bias";
    for (int t = 0; t < cx_graph_param_tensors(g); t++) {
        const cx_param *p = cx_graph_param_info(g, t);
        if (!strstr(p->name, ".bias") || strcmp(p->name, "fc.bias") == 0)
            continue;
        bool sums = strstr(p->name, last) || strstr(p->name, "downsample");
        for (size_t i = 0; i < p->size; i++)
            block[p->offset + i] = sums || i % 2 == 0 ? 8 : -8;
    }
}

static void check_network(const cx_resnet *net) {
    cx_error err;
    cx_graph *g = cx_graph_create();
    cx_resnet_refs r = cx_resnet_build(net, BATCH, true, g);
    assert_ok(cx_graph_plan(g, false, &err));
    cx_real *block = calloc(cx_graph_state_count(g), sizeof *block);
    cx_real *grads = calloc(cx_graph_param_count(g), sizeof *grads);
    cx_real *direction = calloc(cx_graph_param_count(g), sizeof *direction);
    assert_non_null(block);
    assert_non_null(grads);
    assert_non_null(direction);
    cx_rng rng = cx_rng_make(1, 0, CX_STREAM_TEST);
    cx_graph_init(g, block, &rng);
    decide_relus(g, net->depth, block);
    cx_graph_bind(g, block, grads);
    cx_shape shape = cx_graph_shape(g, r.x);
    for (size_t i = 0; i < cx_shape_size(&shape); i++)
        cx_graph_value(g, r.x)[i] = cx_rng_normal(&rng);
    for (int i = 0; i < BATCH; i++)
        cx_graph_value_int(g, r.labels)[i] = i % net->classes;
    (void)loss_of(g, &r);
    cx_graph_backward_loss(g, r.loss);
    for (int t = 0; t < cx_graph_param_tensors(g); t++) {
        const cx_param *p = cx_graph_param_info(g, t);
        double want = 0, size = 0; /* along a direction within one tensor */
        for (size_t i = 0; i < p->size; i++) {
            direction[i] = cx_rng_normal(&rng);
            want += grads[p->offset + i] * direction[i];
            size += fabs(grads[p->offset + i] * direction[i]);
        }
        double found = slope(g, &r, block + p->offset, direction, p->size);
        /* what bn2 adds in a bottleneck is a constant behind conv3, too, which bn3 takes away */
        assert_true(size > 0 || (net->depth == 50 && strstr(p->name, "bn2.bias")));
        if (!(fabs(found - want) <= 1e-5 * size + 1e-8))
            fail_msg("depth %d, %s: %.12g by differences, %.12g by backward", net->depth, p->name,
                     found, want);
    }
    free(block);
    free(grads);
    free(direction);
    cx_graph_destroy(g);
}

static void test_gradients(void **state) {
    (void)state;
    static const cx_resnet nets[] = {{8, 8, 3, 0.125, 0},
                                     {20, 8, 3, 0.125, 0.1},
                                     {18, 64, 4, 0.04, 0},
                                     {50, 64, 4, 0.0625, 0.2}};
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
        check_network(&nets[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
