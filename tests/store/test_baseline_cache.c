#include "tests/test.h"

#include "base/file.h"
#include "base/hash.h"
#include "store/store.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEADER = 16, RECORD = HEADER + sizeof(cx_baseline) };

static char top[] = "/tmp/cx-test-baselines-XXXXXX";
static char folder[256], path[512];
static int made;

static int set_up(void **state) {
    (void)state;
    return mkdtemp(top) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return cx_file_remove_all(top, NULL);
}

static void fresh_folder(void) {
    (void)snprintf(folder, sizeof folder, "%s/%d/baselines", top, made++);
    (void)snprintf(path, sizeof path, "%s/baselines.bin", folder);
}

static uint64_t hash_of(uint64_t i) {
    return cx_hash(&i, sizeof i, 3);
}

static cx_baseline sample(uint64_t i) {
    cx_baseline b;
    memset(&b, 0, sizeof b);
    b.task_hash = hash_of(i);
    b.steps = (double)i;
    b.n_runs = 7;
    b.n_points = 3;
    b.best_lr = 1e-3;
    return b;
}

static cx_baseline_cache *open_cache(void) {
    cx_error err;
    cx_baseline_cache *c;
    assert_ok(cx_baseline_cache_open(folder, &c, &err));
    return c;
}

static void add(cx_baseline_cache *c, uint64_t from, uint64_t to) {
    cx_error err;
    for (uint64_t i = from; i < to; i++) {
        cx_baseline b = sample(i);
        assert_ok(cx_baseline_cache_add(c, &b, &err));
    }
}

static void assert_has(const cx_baseline_cache *c, uint64_t i) {
    const cx_baseline *b = cx_baseline_cache_find(c, hash_of(i));
    assert_non_null(b);
    cx_baseline expected = sample(i);
    assert_memory_equal(b, &expected, sizeof expected);
}

static void test_keeps_and_finds(void **state) {
    (void)state;
    cx_error err;
    fresh_folder();
    cx_baseline_cache *c = open_cache();
    assert_null(cx_baseline_cache_find(c, 1));
    add(c, 0, 1);
    const cx_baseline *first = cx_baseline_cache_find(c, hash_of(0));
    add(c, 0, 500); /* 0 once more: kept once */
    assert_ptr_equal(first, cx_baseline_cache_find(c, hash_of(0)));
    assert_int_equal(cx_baseline_cache_count(c), 500);
    cx_baseline bad = sample(1000);
    bad.n_points = CX_BASELINE_POINTS_MAX + 1;
    assert_int_equal(cx_baseline_cache_add(c, &bad, &err), CX_ESTATE);
    cx_baseline_cache_close(c);
    c = open_cache();
    assert_int_equal(cx_baseline_cache_count(c), 500);
    assert_int_equal(cx_baseline_cache_skipped(c), 0);
    for (uint64_t i = 0; i < 500; i++)
        assert_has(c, i);
    assert_null(cx_baseline_cache_find(c, hash_of(500)));
    cx_baseline_cache_close(c);
}

static size_t file_size(void) {
    cx_error err;
    unsigned char *data;
    size_t size;
    assert_ok(cx_file_read(path, 1 << 24, &data, &size, &err));
    free(data);
    return size;
}

static void test_torn_tail_is_cut_off(void **state) {
    (void)state;
    cx_error err;
    const size_t tails[] = {1, 3, 4, 15, 16, 17, RECORD - 1};
    for (size_t k = 0; k < sizeof tails / sizeof *tails; k++) {
        fresh_folder();
        cx_baseline_cache *c = open_cache();
        add(c, 0, 4);
        cx_baseline_cache_close(c);
        assert_ok(cx_file_truncate(path, 3 * RECORD + tails[k], &err));
        c = open_cache();
        assert_int_equal(cx_baseline_cache_count(c), 3);
        assert_int_equal(file_size(), 3 * RECORD);
        add(c, 3, 6);
        cx_baseline_cache_close(c);
        c = open_cache();
        assert_int_equal(cx_baseline_cache_count(c), 6);
        assert_int_equal(cx_baseline_cache_skipped(c), 0);
        cx_baseline_cache_close(c);
    }
}

static void test_corrupt_record_is_skipped(void **state) {
    (void)state;
    cx_error err;
    const size_t places[] = {0, 5, 6, 9, HEADER + 8, RECORD - 1};
    for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
        fresh_folder();
        cx_baseline_cache *c = open_cache();
        add(c, 0, 5);
        cx_baseline_cache_close(c);
        unsigned char *data;
        size_t size;
        assert_ok(cx_file_read(path, 1 << 24, &data, &size, &err));
        data[RECORD + places[k]] ^= 0x10; /* in the second */
        assert_ok(cx_file_replace(path, data, size, &err));
        free(data);
        c = open_cache();
        assert_int_equal(cx_baseline_cache_count(c), 4);
        assert_int_equal(cx_baseline_cache_skipped(c), RECORD);
        assert_null(cx_baseline_cache_find(c, hash_of(1)));
        assert_has(c, 0);
        assert_has(c, 4);
        add(c, 1, 2); /* computed again */
        cx_baseline_cache_close(c);
        c = open_cache();
        assert_int_equal(cx_baseline_cache_count(c), 5);
        assert_has(c, 1);
        cx_baseline_cache_close(c);
    }
}

/* What is not ours stays, and additions come after it. */
static void test_foreign_bytes_and_other_versions(void **state) {
    (void)state;
    cx_error err;
    fresh_folder();
    assert_ok(cx_file_make_dirs(folder, &err));
    const char foreign[] = "these bytes are somebody else's";
    assert_ok(cx_file_replace(path, foreign, sizeof foreign, &err));
    cx_baseline_cache *c = open_cache();
    assert_int_equal(cx_baseline_cache_count(c), 0);
    assert_int_equal(file_size(), sizeof foreign);
    add(c, 0, 2);
    cx_baseline_cache_close(c);
    /* a record of another size, with a right hash: passed over without a word */
    unsigned char *data;
    size_t size;
    assert_ok(cx_file_read(path, 1 << 24, &data, &size, &err));
    assert_memory_equal(data, foreign, sizeof foreign);
    data = realloc(data, size + HEADER + 40);
    uint32_t small = 40;
    unsigned char *r = data + size;
    memset(r, 0, HEADER + 40);
    memcpy(r, data + sizeof foreign, 4); /* the magic */
    memcpy(r + 4, &small, 4);
    uint64_t hash = cx_hash(r + HEADER, 40, 40);
    memcpy(r + 8, &hash, 8);
    assert_ok(cx_file_replace(path, data, size + HEADER + 40, &err));
    free(data);
    c = open_cache();
    assert_int_equal(cx_baseline_cache_count(c), 2);
    assert_int_equal(cx_baseline_cache_skipped(c), sizeof foreign);
    add(c, 2, 3);
    cx_baseline_cache_close(c);
    c = open_cache();
    assert_int_equal(cx_baseline_cache_count(c), 3);
    cx_baseline_cache_close(c);
}

/* Four processes add at once, and one that has it open sees theirs when it adds. */
static void test_several_processes(void **state) {
    (void)state;
    cx_error err;
    fresh_folder();
    cx_baseline_cache *early = open_cache();
    pid_t child[4];
    for (int p = 0; p < 4; p++) {
        child[p] = fork();
        assert_true(child[p] >= 0);
        if (child[p] == 0) {
            cx_baseline_cache *c;
            int bad = cx_baseline_cache_open(folder, &c, NULL);
            for (uint64_t i = 0; i < 100 && !bad; i++) {
                cx_baseline b = sample((uint64_t)p * 100 + i);
                bad = cx_baseline_cache_add(c, &b, NULL);
            }
            _exit(bad != 0);
        }
    }
    for (int p = 0; p < 4; p++) {
        int status;
        assert_int_equal(waitpid(child[p], &status, 0), child[p]);
        assert_int_equal(status, 0);
    }
    add(early, 400, 401);
    assert_int_equal(cx_baseline_cache_count(early), 401);
    for (uint64_t i = 0; i < 401; i++)
        assert_has(early, i);
    cx_baseline_cache_close(early);
    cx_baseline_cache *c = open_cache();
    assert_int_equal(cx_baseline_cache_count(c), 401);
    assert_int_equal(cx_baseline_cache_skipped(c), 0);
    cx_baseline_cache_close(c);
    assert_int_equal(cx_baseline_cache_open("/proc/nonexistent", &c, &err), CX_EIO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_and_finds),
        cmocka_unit_test(test_torn_tail_is_cut_off),
        cmocka_unit_test(test_corrupt_record_is_skipped),
        cmocka_unit_test(test_foreign_bytes_and_other_versions),
        cmocka_unit_test(test_several_processes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
