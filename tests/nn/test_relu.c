/* A relu that another operator computes on its way (plan_relus in nn/run.c) against the
 * relu that stands for itself, which cx_graph_keep of its input brings about. */
#include "tests/test.h"

#include "base/arena.h"
#include "base/level.h"
#include "nn/internal.h"
#include <math.h>
#include <string.h>

enum { BATCHNORM, ADD, POOL_AFTER, POOL_BEFORE, KINDS };
static const char *const names[] = {"batchnorm", "add", "pool after", "pool before"};

typedef struct {
    int n, c, h, w;
} size;
/* planes side by side, planes of whole vectors and of a rest, single positions */
static const size sizes[] = {
    {5, 3, 7, 9}, {3, 4, 16, 8}, {4, 2, 13, 17}, {9, 6, 3, 3}, {2, 5, 2, 2}};

static const cx_attr pools[][4] = {{{"kernel", 2}, {NULL, 0}},
                                   {{"kernel", 3}, {"stride", 2}, {"padding", 1}, {NULL, 0}}};

typedef struct {
    cx_graph *g;
    cx_ref x, r, y;
    float *block, *grads;
} net;

static net make(int kind, const size *s, const cx_attr *pool, bool keep) {
    cx_error err;
    net t = {.g = cx_graph_create()};
    cx_shape shape = CX_SHAPE(s->n, s->c, s->h, s->w);
    t.x = cx_graph_input(t.g, "x", shape, true);
    t.r = kind == ADD ? cx_graph_input(t.g, "r", shape, true) : -1;
    const cx_attr one[] = {{"factor", 1}, {NULL, 0}};
    cx_ref h = cx_graph_op(t.g, "scale", &t.x, 1, one), before;
    if (kind == BATCHNORM) {
        cx_ref in[] = {h, cx_graph_param(t.g, "w", CX_SHAPE(s->c), CX_INIT_NORMAL, 1),
                       cx_graph_param(t.g, "b", CX_SHAPE(s->c), CX_INIT_NORMAL, 1),
                       cx_graph_state(t.g, "mean", CX_SHAPE(s->c), 0),
                       cx_graph_state(t.g, "var", CX_SHAPE(s->c), 1)};
        h = cx_graph_op(t.g, "batchnorm", in, 5, NULL);
    } else if (kind == ADD)
        h = cx_graph_op(t.g, "add", (cx_ref[]){h, t.r}, 2, NULL);
    else if (kind == POOL_BEFORE)
        h = cx_graph_op(t.g, "maxpool2d", &h, 1, pool);
    before = h;
    h = cx_graph_op(t.g, "act_relu", &h, 1, NULL);
    if (keep)
        cx_graph_keep(t.g, before);
    if (kind == POOL_AFTER)
        h = cx_graph_op(t.g, "maxpool2d", &h, 1, pool);
    t.y = h;
    assert_ok(cx_graph_plan(t.g, false, &err));
    t.block = cx_calloc(cx_graph_state_count(t.g) + 1, sizeof *t.block);
    t.grads = cx_calloc(cx_graph_param_count(t.g) + 1, sizeof *t.grads);
    assert_true(t.block && t.grads);
    cx_rng rng = cx_rng_make(6, 1, CX_STREAM_TEST);
    cx_graph_init(t.g, t.block, &rng);
    cx_graph_bind(t.g, t.block, t.grads);
    int idle = 0;
    for (int i = 0; i < t.g->n_calls; i++)
        idle += t.g->calls[i].idle;
    assert_int_equal(idle, keep ? 0 : 1);
    return t;
}

static void unmake(net *t) {
    cx_graph_destroy(t->g);
    free(t->block);
    free(t->grads);
}

/* numbers, of which some are 0, some equal, and one may be NaN */
static void fill(float *x, size_t n, uint32_t sub, bool nan) {
    cx_rng rng = cx_rng_make_sub(6, 2, CX_STREAM_TEST, sub);
    for (size_t i = 0; i < n; i++)
        x[i] = 0.25f * (float)((int)cx_rng_below(&rng, 17) - 8);
    if (nan)
        x[n / 2] = NAN;
}

static size_t count(const net *t, cx_ref r) {
    cx_shape s = cx_graph_shape(t->g, r);
    return cx_shape_size(&s);
}

static void run(net *t, cx_mode mode, bool nan) {
    fill(cx_graph_value(t->g, t->x), count(t, t->x), 1, nan);
    if (t->r >= 0)
        fill(cx_graph_value(t->g, t->r), count(t, t->r), 2, false);
    for (int k = 0; k < 2; k++) { /* twice: running statistics move */
        cx_graph_forward(t->g, mode, NULL);
        cx_graph_zero_grads(t->g);
        fill(cx_graph_grad(t->g, t->y), count(t, t->y), 3, false);
        cx_graph_backward(t->g);
    }
}

static void same(const float *a, const float *b, size_t n, const char *what, int kind,
                 const size *s) {
    for (size_t i = 0; i < n; i++)
        if (!(a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))))
            fail_msg("%s [%d,%d,%d,%d]: %s[%zu] is %g, plain %g", names[kind], s->n, s->c, s->h,
                     s->w, what, i, a[i], b[i]);
}

static void compare(int kind, const size *s, const cx_attr *pool, cx_mode mode, bool nan) {
    net fast = make(kind, s, pool, false), plain = make(kind, s, pool, true);
    run(&fast, mode, nan);
    run(&plain, mode, nan);
    same(cx_graph_value(fast.g, fast.y), cx_graph_value(plain.g, plain.y), count(&fast, fast.y),
         "y", kind, s);
    same(cx_graph_grad(fast.g, fast.x), cx_graph_grad(plain.g, plain.x), count(&fast, fast.x), "dx",
         kind, s);
    if (fast.r >= 0)
        same(cx_graph_grad(fast.g, fast.r), cx_graph_grad(plain.g, plain.r), count(&fast, fast.r),
             "dr", kind, s);
    same(fast.grads, plain.grads, cx_graph_param_count(fast.g), "gradient", kind, s);
    same(fast.block, plain.block, cx_graph_state_count(fast.g), "parameter", kind, s);
    unmake(&fast);
    unmake(&plain);
}

static void compare_all(void) {
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int v = 0; v < 4; v++)
                compare(kind, &sizes[i], pools[v % 2],
                        kind == BATCHNORM && v < 2 ? CX_EVAL : CX_TRAIN, v == 3);
}

static void test_same_as_plain(void **state) {
    (void)state;
    const cx_level start = cx_level_now();
    for (int l = 0; l < CX_LEVEL_COUNT; l++)
        if (cx_level_runs((cx_level)l)) {
            cx_level_choose((cx_level)l);
            compare_all();
        }
    cx_level_choose(start);
}

/* Where somebody else reads what lies between, nothing is left out. */
static void test_left_alone(void **state) {
    (void)state;
    cx_error err;
    cx_graph *g = cx_graph_create();
    cx_ref x = cx_graph_input(g, "x", CX_SHAPE(2, 2, 4, 4), true);
    const cx_attr two[] = {{"factor", 2}, {NULL, 0}};
    cx_ref s = cx_graph_op(g, "scale", &x, 1, two);
    cx_ref r = cx_graph_op(g, "act_relu", &s, 1, NULL);
    cx_ref p = cx_graph_op(g, "maxpool2d", &r, 1, NULL), q = cx_graph_op(g, "scale", &r, 1, two);
    cx_ref b = cx_graph_input(g, "b", CX_SHAPE(4), true);
    cx_ref a = cx_graph_op(g, "add", (cx_ref[]){q, b}, 2, NULL); /* broadcast */
    cx_ref y = cx_graph_op(g, "act_relu", &a, 1, NULL);
    assert_true(p >= 0 && y >= 0);
    assert_ok(cx_graph_plan(g, false, &err));
    for (int i = 0; i < g->n_calls; i++)
        assert_false(g->calls[i].idle);
    cx_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_as_plain),
                                       cmocka_unit_test(test_left_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
