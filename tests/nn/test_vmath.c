/* The float functions of nn/vmath.h against libm in double: relative error over their
 * range, and NaN, infinities and zeros. */
#include "tests/test.h"

#include "base/level.h"
#include "nn/vmath.h"
#include <stdbool.h>

typedef struct {
    const char *name;
    float (*f)(float);
    double (*want)(double);
    double low, high, relative, absolute;
} row;

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static const row rows[] = {
    {"exp", cx_exp, exp, -86.8, 88.7, 4e-7, 0},
    {"exp", cx_exp, exp, -104, 88.7, 4e-7, 2e-38},
    {"expm1", cx_expm1, expm1, -40, 88.7, 4e-7, 0},
    {"expm1", cx_expm1, expm1, -1e-3, 1e-3, 4e-7, 0},
    {"tanh", cx_tanh, tanh, -12, 12, 6e-7, 0},
    {"tanh", cx_tanh, tanh, -1e-3, 1e-3, 6e-7, 0},
    {"sigmoid", cx_sigmoid, sigmoid, -86, 30, 6e-7, 0},
    {"log", cx_log, log, 1e-37, 4, 4e-7, 1e-7},
    {"log", cx_log, log, 0.5, 2, 1e-6, 0},
    {"log", cx_log, log, 1, 3e38, 4e-7, 1e-7},
    {"log1p", cx_log1p, log1p, 0, 1, 1e-6, 0},
    {"log1p", cx_log1p, log1p, 0, 1e-6, 1e-6, 0},
    {"erf", cx_erf, erf, -6, 6, 1e-6, 0},
    {"erf", cx_erf, erf, -1e-3, 1e-3, 1e-6, 0},
};

static void test_accuracy(void **state) {
    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        enum { N = 20011 };
        double worst = 0;
        float at = 0;
        for (int i = 0; i <= N; i++) {
            float x = (float)(rows[r].low + (rows[r].high - rows[r].low) * i / N);
            double want = rows[r].want((double)x), got = (double)rows[r].f(x);
            double e =
                fabs(got - want) / (rows[r].relative * fabs(want) + rows[r].absolute + 1e-300);
            if (!(e <= worst) && (want != 0 || got != 0)) {
                worst = e;
                at = x;
            }
        }
        if (!(worst <= 1))
            fail_msg("%s(%g) is off by %g times its bound", rows[r].name, (double)at, worst);
    }
}

static bool same(float a, float b) {
    return a == b || (isnan(a) && isnan(b));
}

static void test_special_values(void **state) {
    (void)state;
    static const struct {
        float (*f)(float);
        float x, want;
    } special[] = {
        {cx_exp, NAN, NAN},
        {cx_exp, INFINITY, INFINITY},
        {cx_exp, -INFINITY, 0},
        {cx_exp, 0, 1},
        {cx_exp, 89, INFINITY},
        {cx_exp, 1e30f, INFINITY},
        {cx_exp, -1e30f, 0},
        {cx_expm1, NAN, NAN},
        {cx_expm1, INFINITY, INFINITY},
        {cx_expm1, -INFINITY, -1},
        {cx_expm1, 0, 0},
        {cx_tanh, NAN, NAN},
        {cx_tanh, INFINITY, 1},
        {cx_tanh, -INFINITY, -1},
        {cx_tanh, 0, 0},
        {cx_sigmoid, NAN, NAN},
        {cx_sigmoid, INFINITY, 1},
        {cx_sigmoid, -INFINITY, 0},
        {cx_sigmoid, 0, 0.5f},
        {cx_log, NAN, NAN},
        {cx_log, INFINITY, INFINITY},
        {cx_log, 0, -INFINITY},
        {cx_log, -1, NAN},
        {cx_log, -INFINITY, NAN},
        {cx_log, 1, 0},
        {cx_log1p, NAN, NAN},
        {cx_log1p, INFINITY, INFINITY},
        {cx_log1p, 0, 0},
        {cx_erf, NAN, NAN},
        {cx_erf, INFINITY, 1},
        {cx_erf, -INFINITY, -1},
        {cx_erf, 0, 0},
    };
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (!same(special[i].f(special[i].x), special[i].want))
            fail_msg("row %zu: f(%g) is %g, must be %g", i, (double)special[i].x,
                     (double)special[i].f(special[i].x), (double)special[i].want);
}

int main(void) {
#ifdef CX_TEST_NEEDS_FMA
    if (!cx_level_supported(CX_LEVEL_v3)) {
        printf("skip: this machine has no fused multiply-add\n");
        return 77;
    }
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_special_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
