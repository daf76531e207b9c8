/* Convolutions against their definition, sums written out in double precision: odd sizes,
 * batches around the number of lanes, every way of computing them, every level of the
 * instruction set that the machine has. */
#include "tests/test.h"

#include "base/arena.h"
#include "base/level.h"
#include "nn/graph.h"
#include <math.h>
#include <string.h>

typedef struct {
    int n, c, h, w, out, kh, kw, stride, padding, dilation, groups;
    bool bias;
} shape;

static const shape shapes[] = {
    /* 3x3 at stride 1, image sizes that are no multiple of anything */
    {16, 8, 7, 7, 16, 3, 3, 1, 1, 1, 1, true},
    {64, 5, 3, 3, 7, 3, 3, 1, 1, 1, 1, true},
    {33, 16, 14, 14, 32, 3, 3, 1, 1, 1, 1, true},
    {35, 1, 5, 9, 8, 3, 3, 1, 1, 1, 1, false},
    {16, 3, 8, 8, 1, 3, 3, 1, 0, 1, 1, true},
    {20, 9, 4, 13, 19, 3, 3, 1, 2, 1, 1, false},
    {16, 2, 1, 1, 3, 3, 3, 1, 1, 1, 1, true},
    {27, 4, 2, 5, 4, 3, 3, 1, 1, 1, 1, false},
    {17, 8, 8, 8, 24, 3, 3, 1, 1, 1, 1, false},
    {16, 24, 33, 31, 8, 3, 3, 1, 1, 1, 1, false}, /* more than one strip */
    /* channels enough for transforms of tiles, with edges that no tile meets */
    {16, 16, 5, 6, 37, 3, 3, 1, 1, 1, 1, true},
    {51, 29, 7, 7, 19, 3, 3, 1, 1, 1, 1, false}, /* blocks at once, the last not full */
    {16, 25, 9, 4, 23, 3, 3, 1, 0, 1, 1, true},
    {28, 33, 4, 11, 16, 3, 3, 1, 2, 1, 1, true},
    {16, 18, 29, 26, 30, 3, 3, 1, 1, 1, 1, true}, /* strips */
    /* strides, of which some leave positions of x without any product */
    {16, 3, 32, 32, 16, 3, 3, 2, 1, 1, 1, false},
    {19, 16, 13, 11, 5, 3, 3, 2, 1, 1, 1, true},
    {16, 16, 9, 8, 32, 1, 1, 2, 0, 1, 1, false},
    {18, 3, 23, 23, 8, 7, 7, 2, 3, 1, 1, true},
    {16, 2, 17, 19, 3, 3, 2, 3, 0, 1, 1, true},
    {32, 5, 6, 6, 4, 2, 2, 5, 1, 1, 1, false},
    {16, 12, 48, 40, 8, 3, 3, 2, 1, 1, 1, false}, /* strips */
    {17, 2, 11, 11, 3, 3, 3, 9, 4, 1, 1, false},  /* a stride beyond the lanes' */
    /* dilation, padding beyond the kernel, groups */
    {16, 3, 11, 10, 4, 3, 3, 1, 2, 2, 1, true},
    {34, 2, 12, 12, 5, 3, 3, 2, 2, 2, 1, false},
    {16, 3, 4, 5, 2, 2, 3, 1, 3, 1, 1, true},
    {16, 2, 3, 3, 2, 1, 1, 1, 1, 1, 1, true},
    {16, 2, 5, 5, 3, 1, 1, 2, 3, 1, 1, false},
    {21, 12, 6, 7, 18, 3, 3, 1, 1, 1, 3, true},
    {16, 10, 7, 7, 10, 5, 5, 2, 2, 1, 10, true},
    /* too few images for vectors, and 1x1 as it stands */
    {1, 3, 5, 5, 4, 3, 3, 1, 1, 1, 1, true},
    {3, 16, 16, 16, 8, 3, 3, 1, 1, 1, 1, true},
    {7, 6, 9, 9, 5, 3, 3, 2, 1, 1, 1, true},
    {16, 13, 6, 5, 11, 1, 1, 1, 0, 1, 1, true},
};

typedef struct {
    int nx, nw, ny, oh, ow;
    float *x, *w, *b, *dy;
    double *y, *dx, *dw, *db;
} problem;

static void *numbers(size_t n, size_t size) {
    void *p = calloc(n, size);
    assert_non_null(p);
    return p;
}

static float *drawn(size_t n, cx_rng *rng) {
    float *x = numbers(n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)cx_rng_normal(rng);
    return x;
}

/* The definition, forward and backward at once. */
static void define(const shape *s, problem *p) {
    int gc = s->c / s->groups, go = s->out / s->groups;
    for (int n = 0; n < s->n; n++)
        for (int o = 0; o < s->out; o++)
            for (int i = 0; i < p->oh * p->ow; i++) {
                int at = (n * s->out + o) * p->oh * p->ow + i;
                double sum = s->bias ? p->b[o] : 0, d = p->dy[at];
                p->db[o] += d;
                for (int k = 0; k < gc * s->kh * s->kw; k++) {
                    int c = o / go * gc + k / (s->kh * s->kw);
                    int y = i / p->ow * s->stride + k / s->kw % s->kh * s->dilation - s->padding;
                    int x = i % p->ow * s->stride + k % s->kw * s->dilation - s->padding;
                    if (y < 0 || y >= s->h || x < 0 || x >= s->w)
                        continue;
                    int xi = ((n * s->c + c) * s->h + y) * s->w + x;
                    int wi = o * gc * s->kh * s->kw + k;
                    sum += (double)p->x[xi] * p->w[wi];
                    p->dx[xi] += d * p->w[wi];
                    p->dw[wi] += d * p->x[xi];
                }
                p->y[at] = sum;
            }
}

static problem make(const shape *s, cx_rng *rng) {
    problem p = {.nx = s->n * s->c * s->h * s->w,
                 .nw = s->out * (s->c / s->groups) * s->kh * s->kw,
                 .oh = (s->h + 2 * s->padding - s->dilation * (s->kh - 1) - 1) / s->stride + 1,
                 .ow = (s->w + 2 * s->padding - s->dilation * (s->kw - 1) - 1) / s->stride + 1};
    p.ny = s->n * s->out * p.oh * p.ow;
    p.x = drawn((size_t)p.nx, rng);
    p.w = drawn((size_t)p.nw, rng);
    p.b = drawn((size_t)s->out, rng);
    p.dy = drawn((size_t)p.ny, rng);
    p.y = numbers((size_t)p.ny, sizeof(double));
    p.dx = numbers((size_t)p.nx, sizeof(double));
    p.dw = numbers((size_t)p.nw, sizeof(double));
    p.db = numbers((size_t)s->out, sizeof(double));
    define(s, &p);
    return p;
}

static void unmake(problem *p) {
    void *all[] = {p->x, p->w, p->b, p->dy, p->y, p->dx, p->dw, p->db};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* The largest difference, relative to the root mean square of what is right. */
static double difference(const float *got, const double *want, double factor, int n) {
    double most = 0, squares = 0;
    for (int i = 0; i < n; i++) {
        most = fmax(most, fabs(got[i] - factor * want[i]));
        squares += factor * want[i] * factor * want[i];
    }
    return most / sqrt(squares / n + 1e-30);
}

/* Two runs of one graph: the second one's gradients add to the first one's, and that of x
 * has another consumer (x / 2), too. */
static void check(const shape *s, const problem *given, cx_level level) {
    cx_error err;
    const problem p = *given;
    const cx_attr attrs[] = {{"stride", s->stride},
                             {"padding", s->padding},
                             {"dilation", s->dilation},
                             {"groups", s->groups},
                             {NULL, 0}};
    const cx_attr half[] = {{"factor", 0.5}, {NULL, 0}};
    cx_graph *g = cx_graph_create();
    cx_ref in[3] = {cx_graph_input(g, "x", CX_SHAPE(s->n, s->c, s->h, s->w), true)};
    in[1] =
        cx_graph_param(g, "w", CX_SHAPE(s->out, s->c / s->groups, s->kh, s->kw), CX_INIT_ZERO, 0);
    in[2] = s->bias ? cx_graph_param(g, "b", CX_SHAPE(s->out), CX_INIT_ZERO, 0) : -1;
    cx_ref y = cx_graph_op(g, "conv2d", in, 3, attrs);
    cx_ref z = cx_graph_op(g, "scale", in, 1, half); /* later: its gradient comes first */
    assert_ok(cx_graph_plan(g, false, &err));
    float *block = cx_calloc(cx_graph_state_count(g), sizeof *block);
    float *grads = cx_calloc(cx_graph_param_count(g), sizeof *grads);
    assert_true(block && grads);
    cx_graph_bind(g, block, grads);
    memcpy(cx_graph_value(g, in[0]), p.x, (size_t)p.nx * sizeof(float));
    memcpy(cx_graph_value(g, in[1]), p.w, (size_t)p.nw * sizeof(float));
    if (s->bias)
        memcpy(cx_graph_value(g, in[2]), p.b, (size_t)s->out * sizeof(float));
    float *dz = cx_graph_grad(g, z);
    for (int run = 0; run < 2; run++) {
        memset(cx_graph_value(g, y), 0xff, (size_t)p.ny * sizeof(float)); /* NaN */
        cx_graph_forward(g, CX_TRAIN, NULL);
        if (run == 0)
            cx_graph_zero_grads(g);
        memcpy(cx_graph_grad(g, y), p.dy, (size_t)p.ny * sizeof(float));
        for (int i = 0; i < p.nx; i++)
            dz[i] = run ? 2 : 0; /* of which x gets 1 */
        cx_graph_backward(g);
    }
    double worst[] = {difference(cx_graph_value(g, y), p.y, 1, p.ny),
                      difference(cx_graph_grad(g, in[0]), p.dx, 1, p.nx),
                      difference(cx_graph_grad(g, in[1]), p.dw, 2, p.nw),
                      s->bias ? difference(cx_graph_grad(g, in[2]), p.db, 2, s->out) : 0};
    for (int i = 0; i < 4; i++)
        if (!(worst[i] < 2e-5))
            fail_msg("[%d,%d,%d,%d] with %d kernels %dx%d, stride %d, padding %d, dilation %d, "
                     "groups %d, %s: %s is off by %g",
                     s->n, s->c, s->h, s->w, s->out, s->kh, s->kw, s->stride, s->padding,
                     s->dilation, s->groups, cx_level_name(level),
                     (const char *[]){"y", "dx", "dw", "db"}[i], worst[i]);
    free(block);
    free(grads);
    cx_graph_destroy(g);
}

static void test_definition(void **state) {
    (void)state;
    cx_rng rng = cx_rng_make(5, 0, CX_STREAM_TEST);
    const cx_level start = cx_level_now();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        problem p = make(&shapes[i], &rng);
        for (int k = 0; k < p.nx; k++)
            p.dx[k] += 1; /* the other consumer's */
        for (int l = 0; l < CX_LEVEL_COUNT; l++)
            if (cx_level_runs((cx_level)l)) {
                cx_level_choose((cx_level)l);
                check(&shapes[i], &p, (cx_level)l);
            }
        unmake(&p);
    }
    cx_level_choose(start);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_definition)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
