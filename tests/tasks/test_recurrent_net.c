/* The networks of algo and sentences: sizes, truncated backpropagation, stretches. */
#include "tests/test.h"

#include "base/arena.h"
#include "tasks/recurrent_net.h"
#include <math.h>
#include <string.h>

enum { T = 7, B = 3, V = 11, E = 4, H = 5, CLASSES = 3, LAYERS = 2, BLOCK = 4096 };

static cx_recurrent_net net_of(int kind, int bptt_length) {
    return (cx_recurrent_net){.architecture = kind,
                              .layers = LAYERS,
                              .hidden = H,
                              .vocabulary = V,
                              .inputs = E,
                              .classes = CLASSES,
                              .bptt_length = bptt_length};
}

typedef struct {
    cx_graph *g;
    cx_recurrent_refs r;
    float block[BLOCK], grads[BLOCK];
} live;

/* Sequence b says word 0 first, then others; the last words of none is word 0. */
static int word(int t, int b) {
    return t == 0 ? 0 : 1 + (t * 3 + b * 5) % (V - 1);
}

static void make(live *l, const cx_recurrent_net *net, bool with_loss) {
    cx_error err;
    l->g = cx_graph_create();
    l->r = cx_recurrent_net_build(net, T, B, with_loss, l->g);
    assert_ok(cx_graph_plan(l->g, !with_loss, &err));
    assert_true(cx_graph_state_count(l->g) <= BLOCK);
    cx_rng rng = cx_rng_make(5, 0, CX_STREAM_TEST);
    cx_graph_init(l->g, l->block, &rng);
    cx_graph_bind(l->g, l->block, with_loss ? l->grads : NULL);
    for (int t = 0; t < T; t++)
        for (int b = 0; b < B; b++)
            *cx_recurrent_word(l->g, &l->r, t, b) = word(t, b);
    for (int b = 0; with_loss && b < B; b++)
        cx_graph_value_int(l->g, l->r.labels)[b] = b % CLASSES;
}

static double run(live *l) {
    cx_graph_forward(l->g, CX_TRAIN, NULL);
    cx_graph_backward_loss(l->g, l->r.loss);
    return *cx_graph_value(l->g, l->r.loss);
}

/* The last k steps as a network of its own, whose first states are given numbers: those of
 * the steps before, from a third network. */
static double by_hand(const live *l, int kind, int k, float *grads) {
    cx_error err;
    cx_graph *g[2] = {cx_graph_create(), cx_graph_create()};
    cx_ref words[2], state[2][LAYERS][2], labels = -1, loss = -1;
    const int steps[2] = {T - k, k};
    for (int s = 0; s < 2; s++) {
        words[s] = cx_graph_input_int(g[s], "words", CX_SHAPE(steps[s], B));
        cx_ref x = cx_layer_embedding(g[s], "embedding", words[s], V, E, 1);
        for (int i = 0; i < LAYERS; i++) {
            char name[32];
            cx_ref h = -1, c = -1;
            (void)snprintf(name, sizeof name, "layer%d", i);
            if (s == 1)
                h = cx_graph_input(g[s], "h", CX_SHAPE(B, H), false);
            if (s == 1 && kind == CX_LSTM)
                c = cx_graph_input(g[s], "c", CX_SHAPE(B, H), false);
            cx_recurrent_layer layer = cx_layer_recurrent(g[s], name, kind, i ? H : E, H);
            cx_recurrent_result y = cx_layer_recurrent_run(g[s], &layer, x, h, c);
            state[s][i][0] = s ? h : y.h;
            state[s][i][1] = s ? c : y.c;
            x = s == 1 && i == LAYERS - 1 ? y.h : y.y;
        }
        if (s == 1) {
            x = cx_layer_linear(g[s], "out", x, H, CLASSES);
            loss = cx_layer_cross_entropy(g[s], x, B, &labels);
        }
        assert_ok(cx_graph_plan(g[s], s == 0, &err));
        cx_graph_bind(g[s], (float *)l->block, s ? grads : NULL); /* `out` is declared last */
    }
    for (int t = 0; t < T; t++)
        for (int b = 0; b < B; b++)
            cx_graph_value_int(g[t >= T - k],
                               words[t >= T - k])[(t < T - k ? t : t - T + k) * B + b] = word(t, b);
    cx_graph_forward(g[0], CX_EVAL, NULL);
    for (int i = 0; i < LAYERS; i++)
        for (int j = 0; j < (kind == CX_LSTM ? 2 : 1); j++)
            memcpy(cx_graph_value(g[1], state[1][i][j]), cx_graph_value(g[0], state[0][i][j]),
                   sizeof(float) * B * H);
    for (int b = 0; b < B; b++)
        cx_graph_value_int(g[1], labels)[b] = b % CLASSES;
    cx_graph_forward(g[1], CX_TRAIN, NULL);
    cx_graph_backward_loss(g[1], loss);
    double value = *cx_graph_value(g[1], loss);
    cx_graph_destroy(g[0]);
    cx_graph_destroy(g[1]);
    return value;
}

static double furthest(const float *a, const float *b, size_t n) {
    double d = 0;
    for (size_t i = 0; i < n; i++)
        d = fmax(d, fabs((double)a[i] - b[i]));
    return d;
}

static void test_truncated_gradient(void **state) {
    (void)state;
    for (int kind = CX_RNN; kind <= CX_LSTM; kind++) {
        static live full, cut;
        static float hand[BLOCK];
        cx_recurrent_net net = net_of(kind, 0);
        make(&full, &net, true);
        double loss = run(&full);
        size_t n = cx_graph_param_count(full.g);
        for (int k = 1; k <= T + 1; k++) {
            net.bptt_length = k;
            make(&cut, &net, true);
            double same = run(&cut);
            assert_true(fabs(same - loss) < 1e-6); /* states are carried on */
            double apart = furthest(full.grads, cut.grads, n);
            if (k >= T)
                assert_memory_equal(full.grads, cut.grads, n * sizeof(float));
            else {
                assert_true(apart > 1e-6);
                assert_true(fabs(by_hand(&cut, kind, k, hand) - loss) < 1e-6);
                double wrong = furthest(hand, cut.grads, n);
                if (!(wrong < 1e-6))
                    fail_msg("%s, bptt_length %d: off by %g", cx_recurrent_words[kind], k, wrong);
            }
            /* word 0 stands at the very beginning alone: row 0 of the first parameter */
            double reached = 0;
            for (int i = 0; i < E; i++)
                reached += fabs(cut.grads[i]);
            assert_int_equal(reached > 0, k >= T);
            cx_graph_destroy(cut.g);
        }
        cx_graph_destroy(full.g);
    }
}

/* The graph without a loss: same parameters, same logits, whatever the stretches. */
static void test_forward_is_the_same(void **state) {
    (void)state;
    for (int kind = CX_RNN; kind <= CX_LSTM; kind++) {
        static live train, eval;
        cx_recurrent_net net = net_of(kind, 3);
        make(&train, &net, true);
        make(&eval, &net, false);
        size_t n = cx_graph_state_count(train.g);
        assert_int_equal(cx_graph_state_count(eval.g), n);
        assert_memory_equal(train.block, eval.block, n * sizeof(float));
        cx_graph_forward(train.g, CX_EVAL, NULL);
        cx_graph_forward(eval.g, CX_EVAL, NULL);
        assert_true(furthest(cx_graph_value(train.g, train.r.logits),
                             cx_graph_value(eval.g, eval.r.logits), B * CLASSES) < 1e-6);
        cx_graph_destroy(train.g);
        cx_graph_destroy(eval.g);
    }
}

/* What is measured without building is what is built; all parameters get gradients. */
static void test_measures(void **state) {
    (void)state;
    for (int kind = CX_RNN; kind <= CX_LSTM; kind++)
        for (int layers = 1; layers <= 3; layers++)
            for (int every = 0; every < 2; every++)
                for (int words = 0; words < 2; words++) {
                    cx_recurrent_net net = {.architecture = kind,
                                            .layers = layers,
                                            .hidden = 9,
                                            .dropout = 0.3,
                                            .vocabulary = words ? V : 0,
                                            .inputs = 6,
                                            .classes = 4,
                                            .every_step = every};
                    cx_error err;
                    cx_graph *g = cx_graph_create();
                    cx_recurrent_refs r = cx_recurrent_net_build(&net, T, B, true, g);
                    assert_ok(cx_graph_plan(g, false, &err));
                    float *block = cx_calloc(cx_graph_state_count(g), sizeof *block);
                    float *grads = cx_calloc(cx_graph_param_count(g), sizeof *grads);
                    assert_true(block && grads);
                    cx_rng rng = cx_rng_make(8, 0, CX_STREAM_TEST);
                    cx_graph_init(g, block, &rng);
                    cx_graph_bind(g, block, grads);
                    for (int t = 0; t < T; t++)
                        for (int b = 0; b < B; b++) {
                            if (words)
                                *cx_recurrent_word(g, &r, t, b) = word(t, b);
                            else
                                cx_rng_fill_normal(&rng, cx_recurrent_numbers(g, &r, 6, t, b), 6);
                        }
                    cx_graph_forward(g, CX_TRAIN, &rng);
                    cx_graph_backward_loss(g, r.loss);
                    double numbers = 0;
                    for (int i = 0; i < cx_graph_param_tensors(g); i++) {
                        const cx_param *p = cx_graph_param_info(g, i);
                        double sum = 0;
                        for (size_t j = 0; j < p->size; j++)
                            sum += fabs(grads[p->offset + j]);
                        assert_true(sum > 0);
                        numbers += (double)p->size;
                    }
                    cx_recurrent_net_cost c = cx_recurrent_net_measure(&net, T);
                    assert_true(c.params == numbers && c.trained == c.products);
                    assert_true(fabs(2 * B * c.products - cx_graph_flops(g)) < 1);
                    assert_true(cx_recurrent_net_flops(&net, T, B) > 3 * cx_graph_flops(g));
                    free(block);
                    free(grads);
                    cx_graph_destroy(g);
                }
    cx_recurrent_net net = net_of(CX_GRU, 3);
    cx_recurrent_net_cost c = cx_recurrent_net_measure(&net, T);
    double linear = H * CLASSES;
    assert_true(fabs((c.trained - linear) / (c.products - linear) - 3.0 / T) < 1e-12);
}

static void test_too_large(void **state) {
    (void)state;
    cx_error err;
    cx_recurrent_net net = net_of(CX_LSTM, 0);
    assert_ok(cx_recurrent_net_check(&net, T, B, "mine", &err));
    net.vocabulary = 1000000;
    net.inputs = 4096;
    assert_int_equal(cx_recurrent_net_check(&net, T, B, "mine", &err), CX_ECONFIG);
    assert_non_null(strstr(err.message, "mine"));
    net = net_of(CX_LSTM, 0);
    net.hidden = 1000;
    assert_int_equal(cx_recurrent_net_check(&net, 4096, 4096, "mine", &err), CX_ECONFIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncated_gradient),
        cmocka_unit_test(test_forward_is_the_same),
        cmocka_unit_test(test_measures),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
