/* The network by itself: how large it is, what depends on what, and its gradients. */
#include "tests/test.h"

#include "tasks/transformer.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const cx_transformer gpt2_small = {.vocabulary = 50257,
                                          .context = 1024,
                                          .width = 768,
                                          .layers = 12,
                                          .heads = 12,
                                          .hidden = 3072,
                                          .tied = true,
                                          .gpt2_start = true};
static const cx_transformer tiny = {
    .vocabulary = 11, .context = 6, .width = 8, .layers = 2, .heads = 2, .hidden = 12};

typedef struct {
    cx_graph *g;
    cx_transformer_refs refs;
    float *block, *grads;
    size_t n;
} live;

static live make(const cx_transformer *net, int batch, uint64_t seed) {
    cx_error err = {0};
    live l = {.g = cx_graph_create()};
    l.refs = cx_transformer_build(net, batch, l.g);
    assert_ok(cx_graph_plan(l.g, false, &err));
    l.n = cx_graph_param_count(l.g);
    assert_int_equal(l.n, cx_graph_state_count(l.g));
    l.block = calloc(l.n, sizeof(float));
    l.grads = calloc(l.n, sizeof(float));
    cx_rng rng = cx_rng_make(seed, 0, CX_STREAM_TEST);
    cx_graph_init(l.g, l.block, &rng);
    cx_graph_bind(l.g, l.block, l.grads);
    for (int i = 0; i < batch * net->context; i++) {
        cx_graph_value_int(l.g, l.refs.tokens)[i] =
            (int32_t)cx_rng_below(&rng, (uint32_t)net->vocabulary);
        cx_graph_value_int(l.g, l.refs.targets)[i] =
            (int32_t)cx_rng_below(&rng, (uint32_t)net->vocabulary);
    }
    return l;
}

static void drop(live *l) {
    cx_graph_destroy(l->g);
    free(l->block);
    free(l->grads);
}

static double loss_of(live *l) {
    cx_graph_forward(l->g, CX_EVAL, NULL);
    return *cx_graph_value(l->g, l->refs.loss);
}

static const cx_param *param_named(const live *l, const char *name) {
    for (int i = 0; i < cx_graph_param_tensors(l->g); i++)
        if (strcmp(cx_graph_param_info(l->g, i)->name, name) == 0)
            return cx_graph_param_info(l->g, i);
    fail_msg("no tensor %s", name);
    return NULL;
}

/* --- how large --- */

static void check_count(const cx_transformer *net, size_t want) {
    cx_graph *g = cx_graph_create(); /* not planned: no memory for it is taken */
    (void)cx_transformer_build(net, 1, g);
    size_t declared = cx_graph_declared_count(g);
    cx_graph_destroy(g);
    assert_int_equal(declared, (size_t)cx_transformer_measure(net).params);
    if (want)
        assert_int_equal(declared, want);
}

static void test_parameter_counts(void **state) {
    (void)state;
    check_count(&gpt2_small, 124439808);
    cx_transformer net = gpt2_small;
    net.tied = false;
    check_count(&net, 124439808 + 50257 * 768);
    net = tiny;
    check_count(&net, 0);
    net.tied = true;
    net.layers = 0;
    check_count(&net, 11 * 8 + 6 * 8 + 2 * 8);
    net.layers = 1;
    net.hidden = 5;
    check_count(&net, 0);
}

static void test_names_and_start(void **state) {
    (void)state;
    cx_transformer net = {.vocabulary = 50,
                          .context = 16,
                          .width = 64,
                          .layers = 8,
                          .heads = 4,
                          .hidden = 256,
                          .tied = true,
                          .gpt2_start = true};
    live l = make(&net, 1, 3);
    static const struct {
        const char *name;
        double deviation, mean;
    } want[] = {{"wte.weight", 0.02, 0},
                {"wpe.weight", 0.02, 0},
                {"h.0.ln_1.weight", 0, 1},
                {"h.0.ln_1.bias", 0, 0},
                {"h.3.attn.c_attn.weight", 0.02, 0},
                {"h.3.attn.c_attn.bias", 0, 0},
                {"h.3.attn.c_proj.weight", 0.005, 0}, /* 0.02 / sqrt(16) */
                {"h.7.mlp.c_fc.weight", 0.02, 0},
                {"h.7.mlp.c_proj.weight", 0.005, 0},
                {"h.7.mlp.c_proj.bias", 0, 0},
                {"ln_f.weight", 0, 1}};
    for (size_t k = 0; k < sizeof want / sizeof want[0]; k++) {
        const cx_param *p = param_named(&l, want[k].name);
        double sum = 0, squares = 0;
        for (size_t i = 0; i < p->size; i++) {
            double x = l.block[p->offset + i] - want[k].mean;
            sum += x;
            squares += x * x;
        }
        double deviation = sqrt(squares / (double)p->size);
        assert_true(fabs(deviation - want[k].deviation) <= 0.06 * want[k].deviation);
        assert_true(fabs(sum / (double)p->size) <= want[k].deviation * 0.15);
    }
    /* 2 tensors, 12 of each block, 2 of the last norm; the head has none */
    assert_int_equal(cx_graph_param_tensors(l.g), 2 + 8 * 12 + 2);
    drop(&l);
    net.tied = false;
    l = make(&net, 1, 3);
    assert_int_equal(param_named(&l, "head.weight")->size, 50 * 64);
    drop(&l);
}

static void test_faults(void **state) {
    (void)state;
    cx_transformer net = gpt2_small;
    assert_null(cx_transformer_fault(&net, 4));
    assert_non_null(cx_transformer_fault(&net, 64)); /* 64 * 1024 * 50257 logits */
    net.heads = 5;
    assert_non_null(cx_transformer_fault(&net, 1));
    net.heads = 0;
    assert_non_null(cx_transformer_fault(&net, 1));
}

/* --- what depends on what --- */

/* Loss of one position alone: all other targets do not count. */
static double loss_at(live *l, int window, int position, int context, int batch, int target) {
    int32_t *y = cx_graph_value_int(l->g, l->refs.targets);
    for (int i = 0; i < batch * context; i++)
        y[i] = CX_TRANSFORMER_IGNORE;
    y[window * context + position] = target;
    return loss_of(l);
}

static void test_causality(void **state) {
    (void)state;
    enum { BATCH = 2 };
    live l = make(&tiny, BATCH, 4);
    int32_t *x = cx_graph_value_int(l.g, l.refs.tokens);
    double before[BATCH][6];
    for (int b = 0; b < BATCH; b++)
        for (int t = 0; t < tiny.context; t++)
            before[b][t] = loss_at(&l, b, t, tiny.context, BATCH, 3);
    for (int changed = 0; changed < tiny.context; changed++) {
        int32_t was = x[changed];
        x[changed] = (was + 1) % tiny.vocabulary;
        for (int b = 0; b < BATCH; b++)
            for (int t = 0; t < tiny.context; t++) {
                bool same = loss_at(&l, b, t, tiny.context, BATCH, 3) == before[b][t];
                /* itself and all later positions of that window, and nothing else */
                assert_int_equal(same, b == 1 || t < changed);
            }
        x[changed] = was;
    }
    drop(&l);
}

static void test_ignored_targets_do_not_count(void **state) {
    (void)state;
    live l = make(&tiny, 1, 5);
    double sum = 0;
    int32_t y[6];
    memcpy(y, cx_graph_value_int(l.g, l.refs.targets), sizeof y);
    double all = loss_of(&l);
    for (int t = 0; t < 6; t++)
        sum += loss_at(&l, 0, t, 6, 1, y[t]);
    assert_true(fabs(sum / 6 - all) < 1e-6);
    drop(&l);
}

static void test_loss_at_start(void **state) {
    (void)state;
    cx_transformer net = {
        .vocabulary = 256, .context = 32, .width = 64, .layers = 2, .heads = 4, .hidden = 128};
    for (int gpt2 = 0; gpt2 < 2; gpt2++) {
        net.tied = net.gpt2_start = gpt2;
        live l = make(&net, 4, 6);
        double loss = loss_of(&l);
        assert_true(loss > log(256) - 0.1 && loss < log(256) + 0.4);
        drop(&l);
    }
}

static void test_dropout_draws_in_training_alone(void **state) {
    (void)state;
    cx_transformer net = tiny;
    net.dropout = 0.5;
    live l = make(&net, 2, 7);
    double loss[3];
    for (int i = 0; i < 3; i++) {
        cx_rng rng = cx_rng_make(1, (uint64_t)i / 2, CX_STREAM_DROPOUT);
        cx_graph_forward(l.g, CX_TRAIN, &rng);
        loss[i] = *cx_graph_value(l.g, l.refs.loss);
    }
    assert_true(loss[0] == loss[1] && loss[0] != loss[2]);
    live plain = make(&tiny, 2, 7);
    assert_true(loss_of(&l) == loss_of(&plain));
    drop(&l);
    drop(&plain);
}

/* --- gradients --- */

/* Every parameter, against central differences; float32 allows a step of about 1e-2 and
 * an error of about 1e-3 of a gradient of ordinary size. */
static void check_gradients(const cx_transformer *net) {
    live l = make(net, 2, 8);
    cx_rng rng = cx_rng_make(9, 0, CX_STREAM_TEST);
    for (size_t i = 0; i < l.n; i++) /* no parameter may stand where its gradient is 0 */
        l.block[i] += 0.3f * (float)cx_rng_normal(&rng);
    cx_graph_value_int(l.g, l.refs.targets)[3] = CX_TRANSFORMER_IGNORE;
    (void)loss_of(&l);
    cx_graph_backward_loss(l.g, l.refs.loss);
    float *grads = malloc(l.n * sizeof *grads);
    memcpy(grads, l.grads, l.n * sizeof *grads);
    double worst = 0, norm = 0;
    for (int k = 0; k < cx_graph_param_tensors(l.g); k++) {
        const cx_param *p = cx_graph_param_info(l.g, k);
        double squares = 0;
        for (size_t i = p->offset; i < p->offset + p->size; i++) {
            const float was = l.block[i], h = 8e-3f;
            double side[2];
            for (int s = 0; s < 2; s++) {
                l.block[i] = s ? was + h : was - h;
                side[s] = loss_of(&l);
            }
            l.block[i] = was;
            double d = fabs((side[1] - side[0]) / (2 * h) - grads[i]);
            if (d > worst)
                worst = d;
            if (d > 2e-3)
                fail_msg("%s[%zu]: %g instead of %g", p->name, i - p->offset, grads[i],
                         (side[1] - side[0]) / (2 * h));
            squares += (double)grads[i] * grads[i];
        }
        if (strcmp(strrchr(p->name, '.'), ".bias") != 0) /* a key's bias moves nothing */
            assert_true(squares > 1e-4);
        norm += squares;
    }
    assert_true(sqrt(norm) > 50 * worst);
    free(grads);
    drop(&l);
}

static void test_gradients(void **state) {
    (void)state;
    check_gradients(&tiny);
    cx_transformer tied = tiny;
    tied.tied = tied.gpt2_start = true;
    check_gradients(&tied);
}

/* What the tied tensor gets is the sum of what the two uses would get. */
static void test_tied_head_gets_both_gradients(void **state) {
    (void)state;
    cx_transformer net = tiny;
    live untied = make(&net, 2, 10);
    net.tied = true;
    live tied = make(&net, 2, 10);
    /* the head is the last of the untied tensors; all others lie at the same places */
    const cx_param *wte = param_named(&untied, "wte.weight");
    const cx_param *head = param_named(&untied, "head.weight");
    assert_int_equal(head->offset, tied.n);
    memcpy(untied.block, tied.block, tied.n * sizeof(float));
    memcpy(untied.block + head->offset, tied.block + wte->offset, wte->size * sizeof(float));
    for (int i = 0; i < 2 * tiny.context; i++) {
        int32_t x = cx_graph_value_int(tied.g, tied.refs.tokens)[i];
        int32_t y = cx_graph_value_int(tied.g, tied.refs.targets)[i];
        cx_graph_value_int(untied.g, untied.refs.tokens)[i] = x;
        cx_graph_value_int(untied.g, untied.refs.targets)[i] = y;
    }
    assert_true(loss_of(&tied) == loss_of(&untied));
    cx_graph_backward_loss(tied.g, tied.refs.loss);
    cx_graph_backward_loss(untied.g, untied.refs.loss);
    double in = 0, out = 0;
    for (size_t i = 0; i < wte->size; i++) {
        double a = untied.grads[wte->offset + i], b = untied.grads[head->offset + i];
        assert_true(fabs(tied.grads[wte->offset + i] - (a + b)) < 1e-6);
        in += a * a;
        out += b * b;
    }
    assert_true(in > 1e-6 && out > 1e-6);
    drop(&tied);
    drop(&untied);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameter_counts),
        cmocka_unit_test(test_names_and_start),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_causality),
        cmocka_unit_test(test_ignored_targets_do_not_count),
        cmocka_unit_test(test_loss_at_start),
        cmocka_unit_test(test_dropout_draws_in_training_alone),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_tied_head_gets_both_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
