/* The matrix products under `linear`, and recurrent layers, against plain loops in double, on
 * shapes that are no multiple of any block: all of cx_gemm's ways are taken. */
#include "tests/test.h"

#include "nn/graph.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *numbers(size_t n, uint64_t key) {
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    cx_rng rng = cx_rng_make(5, key, CX_STREAM_TEST);
    cx_rng_fill_normal(&rng, x, n);
    return x;
}

/* c[i,j] = sum over k of a[i,k] b[k,j], both given by strides; `terms` gets the sum of
 * absolute values, of which the difference may be a few millionths. */
static void check(const char *what, const float *got, int m, int n, int k, const float *a,
                  size_t a_row, size_t a_col, const float *b, size_t b_row, size_t b_col,
                  const float *bias) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double want = bias ? (double)bias[j] : 0, terms = fabs(want) + 1e-30;
            for (int p = 0; p < k; p++) {
                double t = (double)a[(size_t)i * a_row + (size_t)p * a_col] *
                           (double)b[(size_t)p * b_row + (size_t)j * b_col];
                want += t;
                terms += fabs(t);
            }
            double x = (double)got[(size_t)i * (size_t)n + (size_t)j];
            if (!(fabs(x - want) <= 3e-6 * terms))
                fail_msg("%s %d x %d x %d: [%d,%d] is %g, must be %g", what, m, n, k, i, j, x,
                         want);
        }
}

static void check_linear(int rows, int in, int out) {
    cx_error err = {0};
    cx_graph *g = cx_graph_create();
    cx_ref x = cx_graph_input(g, "x", CX_SHAPE(rows, in), true);
    cx_ref w = cx_graph_param(g, "w", CX_SHAPE(out, in), CX_INIT_NORMAL, 1);
    cx_ref b = cx_graph_param(g, "b", CX_SHAPE(out), CX_INIT_NORMAL, 1);
    cx_ref y = cx_graph_op(g, "linear", (cx_ref[]){x, w, b}, 3, NULL);
    assert_ok(cx_graph_plan(g, false, &err));
    size_t count = cx_graph_state_count(g);
    float *block = numbers(count, 1), *grads = numbers(count, 2);
    float *dy = numbers((size_t)rows * (size_t)out, 3);
    float *xs = numbers((size_t)rows * (size_t)in, 4);
    cx_graph_bind(g, block, grads);
    memcpy(cx_graph_value(g, x), xs, (size_t)rows * (size_t)in * sizeof *xs);
    cx_graph_forward(g, CX_TRAIN, NULL);
    float *seed = cx_graph_grad(g, y);
    cx_graph_zero_grads(g);
    memcpy(seed, dy, (size_t)rows * (size_t)out * sizeof *dy);
    cx_graph_backward(g);
    size_t n_in = (size_t)in, n_out = (size_t)out, b_at = cx_graph_param_info(g, 1)->offset;
    check("y", cx_graph_value(g, y), rows, out, in, xs, n_in, 1, block, 1, n_in, block + b_at);
    check("dx", cx_graph_grad(g, x), rows, in, out, dy, n_out, 1, block, n_in, 1, NULL);
    check("dw", grads, out, in, rows, dy, 1, n_out, xs, n_in, 1, NULL);
    cx_graph_destroy(g);
    free(block);
    free(grads);
    free(dy);
    free(xs);
}

static void test_linear(void **state) {
    (void)state;
    static const int shape[][3] = {
        {1, 1, 1},    {3, 2, 5},     {4, 33, 17},    {5, 3, 31},    {7, 4, 129},  {8, 16, 32},
        {9, 300, 7},  {17, 129, 33}, {31, 161, 300}, {64, 5, 65},   {130, 2, 47}, {257, 131, 61},
        {300, 4, 13}, {513, 7, 3},   {519, 37, 34},  {263, 163, 9}, {258, 1, 96},
    };
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        check_linear(shape[i][0], shape[i][1], shape[i][2]);
}

/* --- recurrent layers: y of every time step --- */

typedef struct {
    const char *name;
    int gates, T, B, I, H;
} net;

static double affine(const float *w, const float *x, int n, double start) {
    for (int i = 0; i < n; i++)
        start += (double)w[i] * (double)x[i];
    return start;
}

static double logistic(double x) {
    return 1 / (1 + exp(-x));
}

/* h and c [H] of one sequence go one time step on */
static void cell(const net *s, const float *w_ih, const float *w_hh, const float *b_ih,
                 const float *b_hh, const float *x, float *h, double *c) {
    double a[4][64], u[4][64]; /* of x, of h */
    for (int k = 0; k < s->gates; k++)
        for (int i = 0; i < s->H; i++) {
            int row = k * s->H + i;
            a[k][i] = affine(w_ih + row * s->I, x, s->I, (double)b_ih[row]);
            u[k][i] = affine(w_hh + row * s->H, h, s->H, (double)b_hh[row]);
        }
    for (int i = 0; i < s->H; i++) {
        if (s->gates == 1) {
            h[i] = (float)tanh(a[0][i] + u[0][i]);
        } else if (s->gates == 3) {
            double r = logistic(a[0][i] + u[0][i]), z = logistic(a[1][i] + u[1][i]);
            h[i] = (float)((1 - z) * tanh(a[2][i] + r * u[2][i]) + z * (double)h[i]);
        } else {
            c[i] = logistic(a[1][i] + u[1][i]) * c[i] +
                   logistic(a[0][i] + u[0][i]) * tanh(a[2][i] + u[2][i]);
            h[i] = (float)(logistic(a[3][i] + u[3][i]) * tanh(c[i]));
        }
    }
}

static void check_recurrent(const net *s) {
    cx_error err = {0};
    cx_graph *g = cx_graph_create();
    int wide = s->gates * s->H;
    cx_ref x = cx_graph_input(g, "x", CX_SHAPE(s->T, s->B, s->I), false);
    cx_ref refs[6] = {x, -1};
    refs[2] = cx_graph_param(g, "w_ih", CX_SHAPE(wide, s->I), CX_INIT_NORMAL, 1);
    refs[3] = cx_graph_param(g, "w_hh", CX_SHAPE(wide, s->H), CX_INIT_NORMAL, 1);
    refs[4] = cx_graph_param(g, "b_ih", CX_SHAPE(wide), CX_INIT_NORMAL, 1);
    refs[5] = cx_graph_param(g, "b_hh", CX_SHAPE(wide), CX_INIT_NORMAL, 1);
    cx_ref y = cx_graph_op(g, s->name, refs, 6, NULL);
    assert_ok(cx_graph_plan(g, true, &err));
    float *block = numbers(cx_graph_state_count(g), 6), *tensor[4];
    for (int k = 0; k < 4; k++)
        tensor[k] = block + cx_graph_param_info(g, k)->offset;
    cx_graph_bind(g, block, NULL);
    size_t size = (size_t)(s->T * s->B * s->I);
    float *xs = numbers(size, 7);
    memcpy(cx_graph_value(g, x), xs, size * sizeof *xs);
    cx_graph_forward(g, CX_TRAIN, NULL);
    for (int b = 0; b < s->B; b++) {
        float h[64] = {0};
        double c[64] = {0};
        for (int t = 0; t < s->T; t++) {
            const float *got = cx_graph_value(g, y) + (t * s->B + b) * s->H;
            cell(s, tensor[0], tensor[1], tensor[2], tensor[3], xs + (t * s->B + b) * s->I, h, c);
            for (int i = 0; i < s->H; i++) {
                if (!(fabs((double)got[i] - (double)h[i]) <= 2e-5))
                    fail_msg("%s of %d x %d: y[%d,%d,%d] is %g, must be %g", s->name, s->B, s->H, t,
                             b, i, (double)got[i], (double)h[i]);
                h[i] = got[i]; /* differences do not add up over time */
            }
        }
    }
    cx_graph_destroy(g);
    free(block);
    free(xs);
}

static void test_recurrent(void **state) {
    (void)state;
    static const net nets[] = {
        {"rnn_tanh", 1, 3, 1, 1, 1},   {"gru", 3, 3, 1, 1, 1},    {"lstm", 4, 3, 1, 1, 1},
        {"rnn_tanh", 1, 5, 67, 3, 37}, {"gru", 3, 5, 67, 3, 37},  {"lstm", 4, 5, 67, 3, 37},
        {"gru", 3, 4, 131, 19, 16},    {"gru", 3, 29, 5, 33, 61}, {"lstm", 4, 29, 5, 33, 61},
    };
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        check_recurrent(&nets[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_recurrent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
