#include "tests/test.h"

#include "base/file.h"
#include "base/rng.h"
#include "data/images.h"
#include "data/whiten.h"
#include "tests/data/idx_files.h"
#include <math.h>

enum { N_TRAIN = 300, N_TEST = 60, N_VALID = 100 };
static char folder[] = "/tmp/cx-test-images-XXXXXX";
static const cx_image_want every_want[] = {
    {28, false}, {14, false}, {7, false}, {14, true}, {7, true}};

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    put_set(folder, N_TRAIN, N_TEST, ".gz");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return cx_file_remove_all(folder, NULL);
}

static cx_images *open_all(void) {
    cx_error err;
    cx_images *im;
    assert_ok(cx_images_open(folder, N_VALID, every_want, 5, &im, &err));
    return im;
}

/* The number that the test's own files carry in the first four pixels. */
static uint32_t identity(const cx_images *im, uint32_t example) {
    const cx_image_view *v = cx_images_view(im, (cx_image_want){28, false});
    const uint8_t *p = (const uint8_t *)v->pixels + (size_t)example * 784;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void test_splits(void **state) {
    (void)state;
    cx_images *im = open_all();
    static const uint32_t want[3] = {N_TRAIN - N_VALID, N_VALID, N_TEST};
    unsigned char seen[2 * (N_TRAIN + N_TEST)] = {0};
    uint32_t next = 0;
    int moved = 0;
    for (int s = 0; s < 3; s++) {
        assert_int_equal(cx_images_count(im, s), want[s]);
        assert_int_equal(cx_images_first(im, s), next);
        for (uint32_t i = 0; i < want[s]; i++, next++) {
            uint32_t id = identity(im, next);
            assert_int_equal(id % 2, s == 2); /* test examples come from the test files alone */
            assert_int_equal(seen[id]++, 0);  /* no example twice */
            assert_int_equal(cx_images_label(im, next), (int)(id / 2 % 10));
            moved += s < 2 && id / 2 != next;
        }
    }
    assert_int_equal(next, N_TRAIN + N_TEST);
    assert_true(moved > N_TRAIN * 9 / 10); /* shuffled, not cut off the end */
    cx_images_close(im);
}

static void test_views(void **state) {
    (void)state;
    cx_images *im = open_all();
    float full[784], pooled[196], scaled[196];
    const cx_image_view *a = cx_images_view(im, every_want[0]);
    for (int k = 1; k < 3; k++) {
        const cx_image_view *b = cx_images_view(im, every_want[k]);
        int side = b->want.side, sq = 28 / side;
        for (uint32_t e = 0; e < N_TRAIN + N_TEST; e += 37) {
            cx_image_view_copy(a, e, 1, full);
            cx_image_view_copy(b, e, 1, pooled);
            cx_image_view_copy(b, e, -2.5f, scaled);
            for (int y = 0; y < side; y++)
                for (int x = 0; x < side; x++) {
                    double sum = 0; /* grey values from the full view, averaged */
                    for (int i = 0; i < sq * sq; i++)
                        sum += (full[(y * sq + i / sq) * 28 + x * sq + i % sq] - a->bias) / a->gain;
                    double want = sum * b->gain + b->bias;
                    float got = pooled[y * side + x];
                    assert_true(fabs(got - want) < 1e-4);
                    assert_true(fabs(scaled[y * side + x] + 2.5 * got) < 1e-4);
                }
        }
    }
    for (int k = 0; k < 3; k++) { /* mean 0 and deviation 1 over the training split */
        const cx_image_view *v = cx_images_view(im, every_want[k]);
        double sum = 0, squares = 0;
        int n = v->n_pixels * (N_TRAIN - N_VALID);
        for (uint32_t e = 0; e < N_TRAIN - N_VALID; e++) {
            cx_image_view_copy(v, e, 1, full);
            for (int i = 0; i < v->n_pixels; i++) {
                sum += full[i];
                squares += (double)full[i] * full[i];
            }
        }
        assert_true(fabs(sum / n) < 1e-4);
        assert_true(fabs(squares / n - 1) < 1e-3);
    }
    assert_null(cx_images_view(im, (cx_image_want){28, true}));
    cx_images_close(im);
}

/* Largest entry of the covariance off the diagonal, and of the mean; variances in low..high. */
static double correlation_left(const float *x, int count, int n, double *low, double *high) {
    double worst = 0;
    *low = INFINITY;
    *high = 0;
    for (int a = 0; a < n; a++) {
        double mean = 0;
        for (int e = 0; e < count; e++)
            mean += x[e * n + a];
        worst = fmax(worst, fabs(mean / count));
        for (int b = 0; b <= a; b++) {
            double c = 0;
            for (int e = 0; e < count; e++)
                c += (double)x[e * n + a] * x[e * n + b];
            if (a != b) {
                worst = fmax(worst, fabs(c / count));
            } else {
                *low = fmin(*low, c / count);
                *high = fmax(*high, c / count);
            }
        }
    }
    return worst;
}

static void test_whitening_decorrelates(void **state) {
    (void)state;
    enum { COUNT = 2000, N = 6 };
    static float x[COUNT * N];
    cx_rng rng = cx_rng_make(3, 0, CX_STREAM_TEST);
    cx_error err;
    for (int e = 0; e < COUNT; e++) {
        double z = 0;
        for (int j = 0; j < N; j++) { /* strongly correlated, of unequal scale, off 0 */
            z = 0.9 * z + cx_rng_normal(&rng);
            x[e * N + j] = (float)((j + 1) * z + 5);
        }
    }
    double low, high;
    assert_true(correlation_left(x, COUNT, N, &low, &high) > 1);
    cx_whiten w;
    assert_ok(cx_whiten_fit(x, COUNT, N, 0, &w, &err));
    for (int i = 0; i < N; i++) /* symmetric: pixels keep their places */
        for (int j = 0; j < i; j++)
            assert_true(fabs(w.matrix[i * N + j] - w.matrix[j * N + i]) < 1e-5);
    assert_ok(cx_whiten_apply(&w, x, COUNT, &err));
    assert_true(correlation_left(x, COUNT, N, &low, &high) < 1e-3);
    assert_true(low > 0.999 && high < 1.001);
    cx_whiten_free(&w);
    for (int i = 0; i < COUNT * N; i++)
        x[i] = 3;
    assert_int_equal(cx_whiten_fit(x, COUNT, N, 0, &w, &err), CX_EDATA);
}

static void test_same_bits_twice(void **state) {
    (void)state;
    cx_images *a = open_all(), *b = open_all();
    for (int k = 0; k < 5; k++) {
        const cx_image_view *v = cx_images_view(a, every_want[k]);
        const cx_image_view *w = cx_images_view(b, every_want[k]);
        size_t bytes = (size_t)(N_TRAIN + N_TEST) * (size_t)v->n_pixels *
                       (v->kind == CX_PIXELS_U8    ? 1
                        : v->kind == CX_PIXELS_U16 ? 2
                                                   : 4);
        assert_memory_equal(v->pixels, w->pixels, bytes);
        assert_true(v->gain == w->gain && v->bias == w->bias);
    }
    cx_images_close(a);
    cx_images_close(b);
}

static void expect(const char *dir, int validation, cx_image_want want, int code,
                   const char *word) {
    cx_error err = {0};
    cx_images *im;
    assert_int_equal(cx_images_open(dir, validation, &want, 1, &im, &err), code);
    assert_null(im);
    if (!strstr(err.message, word))
        fail_msg("'%s' does not name '%s'", err.message, word);
}

static void test_faults(void **state) {
    (void)state;
    const cx_image_want ok = {7, false};
    expect("/nonexistent", 10, ok, CX_EDATA, "/nonexistent/train-images-idx3-ubyte");
    expect(folder, N_TRAIN, ok, CX_ECONFIG, "validation_examples");
    expect(folder, 0, ok, CX_ECONFIG, "validation_examples");
    expect(folder, 10, (cx_image_want){28, true}, CX_ECONFIG, "14 and 7");
    expect(folder, 10, (cx_image_want){20, false}, CX_ECONFIG, "28, 14 or 7");

    char dir[256], name[300];
    cx_error err;
    (void)snprintf(dir, sizeof dir, "%s/bad", folder);
    assert_ok(cx_file_make_dirs(dir, &err));
    put_set(dir, 40, 20, "");
    unsigned char labels[8 + 40] = {0};
    put_big_endian(labels, 0x801);
    put_big_endian(labels + 4, 39);
    put_file(dir, "train-labels-idx1-ubyte", labels, 8 + 39);
    expect(dir, 10, ok, CX_EDATA, "39 labels");
    put_big_endian(labels + 4, 40);
    labels[8 + 25] = 10;
    put_file(dir, "train-labels-idx1-ubyte", labels, 8 + 40);
    expect(dir, 10, ok, CX_EDATA, "label 10 of example 25");
    labels[8 + 25] = 9;
    put_file(dir, "train-labels-idx1-ubyte", labels, 8 + 40);
    unsigned char small[16 + 40 * 4] = {0};
    put_big_endian(small, 0x803);
    put_big_endian(small + 4, 40);
    put_big_endian(small + 8, 2);
    put_big_endian(small + 12, 2);
    put_file(dir, "train-images-idx3-ubyte", small, sizeof small);
    expect(dir, 10, ok, CX_EDATA, "2 x 2");
    put_set(dir, 40, 20, "");
    (void)snprintf(name, sizeof name, "%s/t10k-labels-idx1-ubyte", dir);
    assert_int_equal(unlink(name), 0);
    expect(dir, 10, ok, CX_EDATA, "t10k-labels-idx1-ubyte: not there");
    unsigned char *black = calloc(16 + 40 * 784, 1);
    put_big_endian(black, 0x803);
    put_big_endian(black + 4, 40);
    put_big_endian(black + 8, 28);
    put_big_endian(black + 12, 28);
    put_set(dir, 40, 20, "");
    put_file(dir, "train-images-idx3-ubyte", black, 16 + 40 * 784);
    free(black);
    expect(dir, 10, ok, CX_EDATA, "equal");
}

static void test_fashion_mnist(void **state) {
    (void)state;
    static const char dir[] = "/usr/share/datasets/fashion-mnist";
    if (!cx_file_exists(dir)) {
        printf("skip: %s is not there\n", dir);
        skip();
    }
    cx_error err;
    cx_images *im;
    const cx_image_want wants[] = {{28, false}, {7, true}};
    assert_ok(cx_images_open(dir, 10000, wants, 2, &im, &err));
    assert_int_equal(cx_images_count(im, 0), 50000);
    assert_int_equal(cx_images_count(im, 1), 10000);
    assert_int_equal(cx_images_count(im, 2), 10000);
    int of_class[3][10] = {{0}};
    for (int s = 0; s < 3; s++)
        for (uint32_t i = 0; i < cx_images_count(im, s); i++)
            of_class[s][cx_images_label(im, cx_images_first(im, s) + i)]++;
    for (int k = 0; k < 10; k++) {
        assert_int_equal(of_class[2][k], 1000); /* known of the files */
        assert_int_equal(of_class[0][k] + of_class[1][k], 6000);
        assert_true(abs(of_class[1][k] - 1000) < 120); /* a fair share in validation */
    }
    /* the published mean and deviation of the 60,000 images are 0.2860 and 0.3530 */
    const cx_image_view *v = cx_images_view(im, wants[0]);
    assert_true(fabs(-v->bias / v->gain / 255 - 0.286) < 0.002);
    assert_true(fabs(1 / v->gain / 255 - 0.353) < 0.002);
    /* whitened: hardly correlated (neighbors were at 0.9 and more); variances 1 but for
     * what the floor under small eigenvalues takes off */
    const cx_image_view *w = cx_images_view(im, wants[1]);
    double low, high;
    assert_true(correlation_left(w->pixels, 50000, 49, &low, &high) < 0.1);
    assert_true(low > 0.5 && high <= 1);
    cx_images_close(im);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_whitening_decorrelates),
        cmocka_unit_test(test_same_bits_twice),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_fashion_mnist),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
