/* Folders of pictures and CIFAR's files: the rules of listing, the splits, the cache, and
 * what stands in a batch. */
#include "tests/test.h"

#include "data/natural_images.h"
#include "tests/data/picture_files.h"
#include <dirent.h>
#include <math.h>
#include <sys/stat.h>

enum { SIDE = 8, PLANE = SIDE * SIDE };
static char root[] = "/tmp/cx-test-natural-XXXXXX";
static char folder[64], cache[64]; /* fresh for each test */
static cx_error err;

static int set_up(void **state) {
    static int number;
    (void)state;
    if (number == 0 && !mkdtemp(root))
        return -1;
    (void)snprintf(folder, sizeof folder, "%s/%d", root, ++number);
    (void)snprintf(cache, sizeof cache, "%s/cache%d", root, number);
    return cx_file_make_dirs(folder, NULL);
}

static int tear_down(void **state) {
    (void)state;
    return cx_file_remove_all(root, NULL);
}

/* --- folders --- */

static const char *const classes[] = {"Zebra", "ant", "bee"}; /* as strcmp has them */

/* n pictures of each class, ids from `first` on; returns the next id. */
static unsigned put_part(const char *part, int n, unsigned first) {
    for (int i = 0; i < n; i++)
        for (int c = 0; c < 3; c++) {
            char name[32];
            (void)snprintf(name, sizeof name, "%04d.%s", i, i % 2 ? "PNG" : "png");
            put_tagged(folder, part, classes[c], name, SIDE, first++);
        }
    return first;
}

static cx_natural_images *open_set(int validation_examples, int side) {
    cx_natural_images *im;
    assert_ok(cx_natural_images_open(folder, cache, validation_examples, side, &im, &err));
    return im;
}

static unsigned id_of(const cx_natural_images *im, uint32_t example) {
    const uint8_t *p = cx_natural_images_pixels(im, example);
    assert_int_equal(p[2 * PLANE], 77);
    return (unsigned)(p[0] << 8 | p[PLANE]);
}

static void expect_counts(const cx_natural_images *im, uint32_t train, uint32_t valid,
                          uint32_t test) {
    const uint32_t want[3] = {train, valid, test};
    uint32_t first = 0;
    for (int s = 0; s < 3; s++) {
        assert_int_equal(cx_natural_images_count(im, s), want[s]);
        assert_int_equal(cx_natural_images_first(im, s), first);
        first += want[s];
    }
}

/* Each example of the three splits is another image, with its own label; those of splits
 * that have a part are that part's: ids from low[s] up to high[s]. */
static void expect_apart(const cx_natural_images *im, const unsigned low[3],
                         const unsigned high[3]) {
    unsigned char seen[1000] = {0};
    for (int s = 0; s < 3; s++)
        for (uint32_t i = 0; i < cx_natural_images_count(im, s); i++) {
            uint32_t e = cx_natural_images_first(im, s) + i;
            unsigned id = id_of(im, e);
            assert_true(id < 1000);
            assert_in_range(id, low[s], high[s] - 1);
            assert_int_equal(seen[id]++, 0);
            assert_int_equal(cx_natural_images_label(im, e), id % 3);
        }
}

static void test_splits(void **state) {
    (void)state;
    static const char *const vals[] = {"val", "valid", "validation"};
    /* which parts there are: the files' order is train, val, test */
    for (int k = 0; k < 4; k++) {
        bool val = k & 1, test = k & 2;
        (void)cx_file_remove_all(folder, NULL);
        unsigned n = put_part("train", 40, 0);
        unsigned v = val ? put_part(vals[k % 3], 5, n) : n, t = test ? put_part("test", 7, v) : v;
        cx_natural_images *im = open_set(1000, SIDE);
        assert_int_equal(cx_natural_images_classes(im), 3);
        assert_int_equal(cx_natural_images_side(im), SIDE);
        if (val && test)
            expect_counts(im, 120, 15, 21);
        else if (val || test)
            expect_counts(im, 108, 12, val ? 15 : 21);
        else
            expect_counts(im, 96, 12, 12);
        const unsigned low[3] = {0, val && test ? n : 0, test ? v : val ? n : 0};
        const unsigned high[3] = {n, val && test ? v : n, test ? t : val ? v : n};
        expect_apart(im, low, high);
        cx_natural_images_close(im);
    }
}

static void test_validation_examples(void **state) {
    (void)state;
    (void)put_part("train", 40, 0);
    cx_natural_images *a = open_set(12, SIDE), *b = open_set(5, SIDE);
    expect_counts(a, 96, 12, 12);
    expect_counts(b, 110, 5, 5);
    int moved = 0; /* the shuffle is the same, and it is one */
    for (uint32_t i = 0; i < 96; i++) {
        assert_int_equal(id_of(a, i), id_of(b, i));
        moved += i > 0 && id_of(a, i) < id_of(a, i - 1);
    }
    assert_true(moved > 30);
    cx_natural_images_close(a);
    cx_natural_images_close(b);
}

static void expect_statistics(const cx_natural_images *im) {
    double mean[3], deviation[3];
    cx_natural_images_statistics(im, mean, deviation);
    for (int c = 0; c < 3; c++) {
        double sum = 0, squares = 0, n = (double)cx_natural_images_count(im, 0) * PLANE;
        for (uint32_t e = 0; e < cx_natural_images_count(im, 0); e++)
            for (int i = 0; i < PLANE; i++) {
                double p = cx_natural_images_pixels(im, e)[c * PLANE + i];
                sum += p;
                squares += p * p;
            }
        assert_true(fabs(mean[c] - sum / n) < 1e-9);
        assert_true(fabs(deviation[c] - sqrt(squares / n - sum / n * sum / n)) < 1e-9);
    }
}

/* The numbers that inputs are normalized with know nothing of validation and test. */
static void test_statistics_are_of_training(void **state) {
    (void)state;
    double before[2][3], after[2][3];
    unsigned n = put_part("train", 40, 0);
    (void)put_part("test", 7, n);
    cx_natural_images *im = open_set(12, SIDE);
    expect_statistics(im);
    cx_natural_images_statistics(im, before[0], before[1]);
    cx_natural_images_close(im);
    (void)put_part("test", 7, n + 500); /* other images */
    im = open_set(12, SIDE);
    cx_natural_images_statistics(im, after[0], after[1]);
    assert_memory_equal(before, after, sizeof before);
    cx_natural_images_close(im);
    im = open_set(3, SIDE); /* other training images */
    expect_statistics(im);
    cx_natural_images_statistics(im, after[0], after[1]);
    assert_memory_not_equal(before, after, sizeof before);
    cx_natural_images_close(im);
}

static void test_skipped_names(void **state) {
    (void)state;
    char path[256];
    (void)put_part("train", 10, 0);
    static const char *const extra[] = {"train/README.txt", "train/.hidden.png",
                                        "train/ant/Thumbs.db", "train/ant/.0000.png", "notes.jpg"};
    for (size_t i = 0; i < sizeof extra / sizeof extra[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, extra[i]);
        put_bytes(path, "?", 1);
    }
    cx_natural_images *im = open_set(1, SIDE);
    expect_counts(im, 28, 1, 1);
    cx_natural_images_close(im);
}

static void expect_fault(const char *word) {
    cx_natural_images *im;
    int rc = cx_natural_images_open(folder, cache, 1, SIDE, &im, &err);
    if (rc != CX_EDATA || !strstr(err.message, word))
        fail_msg("'%s' (%d) does not name '%s'", err.message, rc, word);
    assert_null(im);
}

static void put_text(const char *name) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    put_bytes(path, "text", 4);
}

static void make_dir(const char *name) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(cx_file_make_dirs(path, &err));
}

static void drop(const char *name) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(cx_file_remove_all(path, &err));
}

static void test_folder_faults(void **state) {
    (void)state;
    expect_fault("train/CLASS");
    make_dir("train");
    expect_fault("0 class folders");
    make_dir("train/ant");
    expect_fault("1 class folder");
    (void)put_part("train", 4, 0);
    make_dir("train/cow");
    expect_fault("train/cow: no picture");
    put_text("train/cow/a.txt");
    expect_fault("train/cow: no picture");
    drop("train/cow");
    put_text("train/stray.JPEG");
    expect_fault("stray.JPEG: a picture beside");
    drop("train/stray.JPEG");
    make_dir("train/bee/images");
    expect_fault("bee/images: a folder inside");
    drop("train/bee/images");
    make_dir("train/bee/really.png");
    expect_fault("really.png: not a plain file");
    drop("train/bee/really.png");
    (void)put_part("test", 2, 100);
    drop("test/ant");
    expect_fault("class 'ant' is not in both");
    (void)put_part("test", 2, 100);
    make_dir("test/cow");
    expect_fault("class 'cow' is not in both");
    drop("test/cow");
    (void)put_part("val", 1, 100);
    (void)put_part("valid", 1, 100);
    expect_fault("both val and valid");
    drop("val");
    cx_natural_images_close(open_set(1, SIDE));
    drop("train");
    drop("valid");
    put_tagged(folder, "train", "a", "1.png", SIDE, 1);
    put_tagged(folder, "train", "b", "1.png", SIDE, 2);
    drop("test");
    expect_fault("2 training images");
}

/* All broken pictures are met in one go, and a folder with one leaves no cache behind. */
static void test_broken_pictures(void **state) {
    (void)state;
    (void)put_part("train", 10, 0);
    put_text("train/ant/0003.PNG");
    expect_fault("train/ant/0003.PNG: neither");
    for (int i = 4; i < 9; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "train/bee/000%d.%s", i, i % 2 ? "PNG" : "png");
        put_text(name);
    }
    expect_fault("6 of 30 pictures");
    expect_fault("train/bee/0005.PNG");
    (void)put_part("train", 10, 0);
    cx_natural_images_close(open_set(1, SIDE));
}

/* --- the cache --- */

static int count_files(const char *word) {
    int n = 0;
    DIR *dir = opendir(cache);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));)
        n += strstr(e->d_name, "natural-images-") && !strstr(e->d_name, ".lock") &&
             strstr(e->d_name, word);
    (void)closedir(dir);
    return n;
}

static void test_cache(void **state) {
    (void)state;
    char path[256];
    (void)put_part("train", 10, 0);
    cx_natural_images_close(open_set(1, SIDE));
    cx_natural_images_close(open_set(2, SIDE)); /* the split is cut from the same file */
    assert_int_equal(count_files(""), 1);
    cx_natural_images_close(open_set(1, SIDE / 2));
    assert_int_equal(count_files(""), 2);
    /* a file of another size or time is another set */
    (void)snprintf(path, sizeof path, "%s/train/ant/0003.PNG", folder);
    const struct timespec times[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(utimensat(0, path, times, 0), 0);
    cx_natural_images_close(open_set(1, SIDE));
    assert_int_equal(count_files(""), 3);
    for (int k = 0; k < 2; k++) { /* a file of the same size and time is not read again */
        int found = 0;
        put_tagged(folder, "train", "ant", "0003.PNG", SIDE, 999);
        if (k == 0)
            assert_int_equal(utimensat(0, path, times, 0), 0);
        cx_natural_images *im = open_set(1, SIDE);
        for (uint32_t e = 0; e < 30; e++)
            found += id_of(im, e) == 999;
        assert_int_equal(found, k);
        cx_natural_images_close(im);
    }
    drop("train/ant/0003.PNG");
    cx_natural_images_close(open_set(1, SIDE));
    assert_int_equal(count_files(".tmp"), 0);
}

/* A cache file whose inside does not fit is refused, not read. */
static void test_false_cache(void **state) {
    (void)state;
    (void)put_part("train", 10, 0);
    cx_natural_images_close(open_set(1, SIDE));
    for (int k = 0; k < 2; k++) {
        char path[600] = "";
        DIR *dir = opendir(cache);
        assert_non_null(dir);
        for (const struct dirent *e; (e = readdir(dir));)
            if (strstr(e->d_name, "natural-images-") && !strstr(e->d_name, ".lock"))
                (void)snprintf(path, sizeof path, "%s/%s", cache, e->d_name);
        (void)closedir(dir);
        FILE *f = fopen(path, "r+b");
        assert_non_null(f);
        /* the count of training images; then a label */
        assert_int_equal(fseek(f, k == 0 ? 64 + 12 : 128, SEEK_SET), 0);
        assert_int_equal(fputc(k == 0 ? 31 : 9, f), k == 0 ? 31 : 9);
        assert_int_equal(fclose(f), 0);
        cx_natural_images *im;
        assert_int_equal(cx_natural_images_open(folder, cache, 1, SIDE, &im, &err), CX_EFORMAT);
        assert_true(strstr(err.message, "data.cache") != NULL);
        assert_int_equal(remove(path), 0);
        cx_natural_images_close(open_set(1, SIDE));
    }
}

/* --- CIFAR --- */

enum { CIFAR = 3 * 32 * 32 };

/* n records of `labels` label bytes; pixel k of record i is (i * 7 + k + seed) % 251. */
static void put_records(const char *name, int n, int labels, int seed, int top) {
    uint8_t *data = malloc((size_t)(n * (labels + CIFAR)));
    char path[256];
    assert_non_null(data);
    for (int i = 0; i < n; i++) {
        uint8_t *r = data + i * (labels + CIFAR);
        r[0] = (uint8_t)(labels == 2 ? 200 : (i + seed) % top); /* the coarse one: any */
        r[labels - 1] = (uint8_t)((i + seed) % top);
        for (int k = 0; k < CIFAR; k++)
            r[labels + k] = (uint8_t)((i * 7 + k + seed) % 251);
    }
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    put_bytes(path, data, (size_t)(n * (labels + CIFAR)));
    free(data);
}

static void put_cifar10(void) {
    for (int b = 1; b <= 5; b++) {
        char name[32];
        (void)snprintf(name, sizeof name, "data_batch_%d.bin", b);
        put_records(name, 4, 1, 10 * b, 10);
    }
    put_records("test_batch.bin", 3, 1, 100, 10);
}

static void test_cifar(void **state) {
    (void)state;
    put_cifar10();
    cx_natural_images *im = open_set(100, 32);
    assert_int_equal(cx_natural_images_classes(im), 10);
    expect_counts(im, 18, 2, 3);
    unsigned char seen[5][4] = {{0}};
    for (uint32_t e = 0; e < 23; e++) {
        const uint8_t *p = cx_natural_images_pixels(im, e);
        int label = cx_natural_images_label(im, e), b = 0, i = 0;
        if (e >= 20) {
            b = 10;
            i = (int)e - 20;
        } else { /* batch b, record i: p[0] = 7 i + 10 b */
            while (7 * i + 10 * b != p[0])
                if (++i == 4)
                    i = 0, assert_true(++b <= 5);
            assert_int_equal(seen[b - 1][i]++, 0);
        }
        assert_int_equal(label, i);
        for (int k = 0; k < CIFAR; k++)
            assert_int_equal(p[k], (i * 7 + k + 10 * b) % 251);
    }
    cx_natural_images *half = open_set(100, 16);
    assert_int_equal(cx_natural_images_side(half), 16);
    for (uint32_t e = 0; e < 23; e++)
        for (int c = 0; c < 3; c++) { /* the same colors on average */
            double large = 0, small = 0;
            for (int k = 0; k < 1024; k++)
                large += cx_natural_images_pixels(im, e)[c * 1024 + k] / 1024.0;
            for (int k = 0; k < 256; k++)
                small += cx_natural_images_pixels(half, e)[c * 256 + k] / 256.0;
            assert_true(fabs(large - small) < 2);
        }
    cx_natural_images_close(half);
    cx_natural_images_close(im);
}

static void test_cifar100(void **state) {
    (void)state;
    put_records("train.bin", 30, 2, 60, 100);
    put_records("test.bin", 5, 2, 95, 100);
    cx_natural_images *im = open_set(100, 32);
    assert_int_equal(cx_natural_images_classes(im), 100);
    expect_counts(im, 27, 3, 5);
    for (uint32_t e = 0; e < 5; e++) { /* the fine labels */
        assert_int_equal(cx_natural_images_label(im, 30 + e), 95 + e);
        assert_int_equal(cx_natural_images_pixels(im, 30 + e)[1], 7 * e + 96);
    }
    cx_natural_images_close(im);
}

static void test_cifar_faults(void **state) {
    (void)state;
    char path[256];
    put_cifar10();
    drop("data_batch_4.bin");
    expect_fault("data_batch_4.bin");
    put_cifar10();
    drop("test_batch.bin");
    expect_fault("test_batch.bin");
    put_records("test_batch.bin", 3, 1, 100, 11); /* labels 1, 2, 3 */
    put_records("data_batch_2.bin", 4, 1, 7, 12); /* 7, 8, 9, 10 */
    expect_fault("data_batch_2.bin: label 10 of image 3");
    (void)snprintf(path, sizeof path, "%s/data_batch_2.bin", folder);
    assert_ok(cx_file_truncate(path, 3073 * 2 + 1000, &err));
    expect_fault("7146 bytes; a multiple of 3073");
    assert_ok(cx_file_truncate(path, 0, &err));
    expect_fault("0 bytes");
    drop("data_batch_2.bin");
    make_dir("data_batch_2.bin");
    expect_fault("data_batch_2.bin");
    drop("data_batch_1.bin");
    expect_fault("no natural images");
    put_records("train.bin", 3, 1, 0, 100); /* CIFAR-10's records */
    expect_fault("train.bin");
    cx_natural_images *im;
    assert_int_equal(cx_natural_images_open("/nowhere", cache, 1, SIDE, &im, &err), CX_EDATA);
    assert_int_equal(cx_natural_images_open("", cache, 1, SIDE, &im, &err), CX_EDATA);
    assert_int_equal(cx_natural_images_open(folder, cache, 1, 5000, &im, &err), CX_ECONFIG);
}

/* --- what the network gets --- */

static void test_copy(void **state) {
    (void)state;
    static const int cuts[][3] = {{8, 0, 0},  {8, -2, 1},   {8, 3, -3}, {5, 0, 3},  {5, 3, 2},
                                  {4, -3, 6}, {12, -2, -2}, {3, 9, 0},  {3, 0, -4}, {8, -8, 0}};
    (void)put_part("train", 10, 0);
    cx_natural_images *im = open_set(1, SIDE);
    double mean[3], deviation[3];
    cx_natural_images_statistics(im, mean, deviation);
    for (size_t k = 0; k < sizeof cuts / sizeof cuts[0]; k++)
        for (int flip = 0; flip < 2; flip++) {
            int side = cuts[k][0];
            float out[3 * 12 * 12 + 1];
            out[3 * side * side] = 1234;
            cx_natural_images_copy(im, 5, side, cuts[k][1], cuts[k][2], flip, out);
            for (int i = 0; i < 3 * side * side; i++) {
                int c = i / (side * side), y = i / side % side, x = i % side;
                int sx = cuts[k][1] + (flip ? side - 1 - x : x), sy = cuts[k][2] + y;
                double want = 0;
                if (sx >= 0 && sx < SIDE && sy >= 0 && sy < SIDE)
                    want = (cx_natural_images_pixels(im, 5)[c * PLANE + sy * SIDE + sx] - mean[c]) /
                           deviation[c];
                if (!(fabs(out[i] - want) < 1e-5))
                    fail_msg("cut %zu flip %d: %g at %d %d %d, %g is right", k, flip, out[i], c, y,
                             x, want);
            }
            assert_true(out[3 * side * side] == 1234);
        }
    cx_natural_images_close(im);
}

/* Pictures of several sizes and forms, JPEG among them, all come out as squares. */
static void test_mixed_pictures(void **state) {
    (void)state;
    uint8_t rgb[64 * 48 * 3];
    char path[256];
    for (int c = 0; c < 2; c++) {
        make_dir(c ? "train/b" : "train/a");
        for (int i = 0; i < 6; i++) {
            int w = 16 + 8 * i, h = 48 - 6 * i, v = 60 + 100 * c;
            memset(rgb, v, sizeof rgb);
            (void)snprintf(path, sizeof path, "%s/train/%s/%d.jpg", folder, c ? "b" : "a", i);
            if (i % 3 == 0)
                put_jpeg(path, w, h, 3, i == 3, rgb);
            else if (i % 3 == 1)
                put_png(path, w, h, PNG_COLOR_TYPE_RGB, 8, rgb, NULL); /* whatever its name */
            else
                put_jpeg(path, w, h, 1, false, rgb);
        }
    }
    cx_natural_images *im = open_set(1, 20);
    for (uint32_t e = 0; e < 12; e++)
        for (int i = 0; i < 3 * 20 * 20; i++) {
            int want = 60 + 100 * cx_natural_images_label(im, e);
            assert_in_range(cx_natural_images_pixels(im, e)[i], want - 1, want + 1);
        }
    cx_natural_images_close(im);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup(f, set_up)
    const struct CMUnitTest tests[] = {
        TEST(test_splits),
        TEST(test_validation_examples),
        TEST(test_statistics_are_of_training),
        TEST(test_skipped_names),
        TEST(test_folder_faults),
        TEST(test_broken_pictures),
        TEST(test_cache),
        TEST(test_false_cache),
        TEST(test_cifar),
        TEST(test_cifar100),
        TEST(test_cifar_faults),
        TEST(test_copy),
        TEST(test_mixed_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
