/* The fuzz targets without a fuzzer: their seeds, simple damage to them, and all inputs that
 * once did harm (corpus/NAME/). */
#include "tests/fuzz/fuzz.h"
#include "tests/test.h"

#include "base/clock.h"
#include "base/file.h"
#include <dirent.h>
#include <string.h>

#define HERE "tests/fuzz/"
enum { CUTS = 24, FLIPS = 24 };
static const double longest = 5; /* seconds that any input may take */

/* An allocation beyond this fails, and a parser that says "out of memory" then has asked for
 * it because of a few bytes: fuzz_taken ends the test. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "max_allocation_size_mb=512:allocator_may_return_null=1";
}

static const fuzz_target *const targets[] = {
#define X(name) &fuzz_target_##name,
    FUZZ_TABLE(X)
#undef X
};
enum { TARGETS = sizeof targets / sizeof targets[0] };

typedef struct {
    const fuzz_target *target;
    int n, taken;
} feeding;

/* From memory of just that size, so that a byte too many is seen. */
static bool feed(feeding *f, const void *data, size_t size, const char *what) {
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    if (size)
        memcpy(copy, data, size);
    double start = cx_clock_now();
    bool taken = f->target->run(copy, size);
    double seconds = cx_clock_now() - start;
    free(copy);
    f->n++;
    if (seconds > longest)
        fail_msg("%s: %s took %.1f s", f->target->name, what, seconds);
    return taken;
}

static void feed_damaged(feeding *f, const unsigned char *seed, size_t size) {
    unsigned char *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy, seed, size);
    for (size_t i = 0; i < CUTS && i < size; i++)
        (void)feed(f, copy, size > CUTS ? size * i / CUTS : i, "a seed cut short");
    for (size_t i = 0; i < FLIPS && i < size; i++) {
        size_t at = size > FLIPS ? size * i / FLIPS : i;
        copy[at] ^= (unsigned char)(1 + 37 * i);
        (void)feed(f, copy, size, "a seed with another byte");
        copy[at] = seed[at];
    }
    free(copy);
}

static void take_seed(void *context, const void *data, size_t size) {
    feeding *f = context;
    f->taken += feed(f, data, size, "a seed");
    feed_damaged(f, data, size);
}

/* A seed that its own parser refuses would leave the fuzzer at the door. */
static void test_seeds(void **state) {
    (void)state;
    for (int i = 0; i < TARGETS; i++) {
        feeding f = {targets[i], 0, 0};
        const fuzz_sink sink = {take_seed, &f};
        double start = cx_clock_now();
        fuzz_clear(NULL);
        targets[i]->seeds(&sink);
        printf("%-12s %4d inputs, %2d sound, %.2f s\n", targets[i]->name, f.n, f.taken,
               cx_clock_now() - start);
        if (f.taken == 0)
            fail_msg("%s takes none of its seeds", targets[i]->name);
    }
}

static const fuzz_target *find(const char *name) {
    for (int i = 0; i < TARGETS; i++)
        if (strcmp(targets[i]->name, name) == 0)
            return targets[i];
    return NULL;
}

static void feed_folder(const fuzz_target *t) {
    char folder[512], path[1024];
    feeding f = {t, 0, 0};
    (void)snprintf(folder, sizeof folder, HERE "corpus/%s", t->name);
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        unsigned char *data;
        size_t size;
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        assert_int_equal(cx_file_read(path, 1 << 20, &data, &size, NULL), CX_OK);
        (void)feed(&f, data, size, path);
        free(data);
    }
    if (d)
        (void)closedir(d);
    if (f.n)
        printf("%-12s %4d past faults\n", t->name, f.n);
}

/* What once crashed, hung, leaked or asked for gigabytes does so no more. */
static void test_past_faults(void **state) {
    (void)state;
    for (int i = 0; i < TARGETS; i++)
        feed_folder(targets[i]);
}

/* No target and no folder of inputs is forgotten. */
static void test_table(void **state) {
    (void)state;
    int files = 0;
    DIR *d = opendir(HERE);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char name[64];
        if (sscanf(e->d_name, "fuzz_%60[^.].c", name) != 1)
            continue;
        files++;
        if (!find(name))
            fail_msg("%s has no row in FUZZ_TABLE", e->d_name);
    }
    (void)closedir(d);
    assert_int_equal(files, TARGETS);
    d = opendir(HERE "corpus");
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' && !find(e->d_name))
            fail_msg(HERE "corpus/%s belongs to no target", e->d_name);
    if (d)
        (void)closedir(d);
}

/* The limit above is in force. */
static void test_limit(void **state) {
    (void)state;
    void *volatile much = malloc((size_t)600 << 20);
    void *volatile less = malloc((size_t)400 << 20);
    bool right = !much && less;
    free(much);
    free(less);
    assert_true(right);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_past_faults),
        cmocka_unit_test(test_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
