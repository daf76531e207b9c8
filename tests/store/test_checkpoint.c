#include "tests/test.h"

#include "base/file.h"
#include "store/store.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char top[] = "/tmp/cx-test-checkpoint-XXXXXX";
static char dir[256];
static int made;

static int set_up(void **state) {
    (void)state;
    return mkdtemp(top) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return cx_file_remove_all(top, NULL);
}

static void fresh_dir(void) {
    (void)snprintf(dir, sizeof dir, "%s/%d/checkpoints", top, made++);
}

/* A checkpoint whose contents say which it is. */
static int write_number(uint64_t number, cx_error *err) {
    char policy[600], state[40];
    memset(policy, (int)('a' + number % 26), sizeof policy);
    (void)snprintf(state, sizeof state, "state %" PRIu64, number);
    cx_part parts[] = {
        {"policy", policy, sizeof policy}, {"state.json", state, strlen(state)}, {"empty", "", 0}};
    return cx_checkpoint_write(dir, number, parts, 3, err);
}

/* -1: none. What is found must be readable and the right one. */
static int64_t newest(char *notes, size_t notes_size) {
    cx_error err;
    uint64_t number = 0;
    bool found;
    char expected[40];
    void *data;
    size_t size;
    assert_ok(cx_checkpoint_newest(dir, &number, &found, notes, notes_size, &err));
    if (!found)
        return -1;
    assert_ok(cx_checkpoint_read(dir, number, "state.json", &data, &size, &err));
    (void)snprintf(expected, sizeof expected, "state %" PRIu64, number);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(data, expected, size);
    free(data);
    return (int64_t)number;
}

static void test_round_trip(void **state) {
    (void)state;
    cx_error err;
    void *data;
    size_t size;
    fresh_dir();
    assert_int_equal(newest(NULL, 0), -1); /* no folder yet */
    assert_ok(write_number(9, &err));
    assert_ok(write_number(123456789012, &err));
    assert_ok(write_number(10, &err));
    assert_true(newest(NULL, 0) == 123456789012);
    assert_ok(cx_checkpoint_read(dir, 10, "policy", &data, &size, &err));
    assert_int_equal(size, 600);
    assert_int_equal(((char *)data)[599], 'a' + 10);
    free(data);
    assert_ok(cx_checkpoint_read(dir, 10, "empty", &data, &size, &err));
    assert_int_equal(size, 0);
    free(data);
    assert_int_equal(cx_checkpoint_read(dir, 10, "value", &data, &size, &err), CX_EFORMAT);
    assert_non_null(strstr(err.message, "value"));
    assert_int_equal(cx_checkpoint_read(dir, 11, "policy", &data, &size, &err), CX_EFORMAT);
    /* the same number again: the new contents, and no remains */
    cx_part other = {"state.json", "state 10", 8};
    assert_ok(cx_checkpoint_write(dir, 10, &other, 1, &err));
    assert_int_equal(cx_checkpoint_read(dir, 10, "policy", &data, &size, &err), CX_EFORMAT);
    char path[512];
    (void)snprintf(path, sizeof path, "%s/00000010.tmp", dir);
    assert_false(cx_file_exists(path));
    (void)snprintf(path, sizeof path, "%s/00000010.old", dir);
    assert_false(cx_file_exists(path));
}

static void test_bad_names_are_refused(void **state) {
    (void)state;
    cx_error err;
    fresh_dir();
    const char *const names[] = {"DONE", "", "../x", ".x", "a/b", "A"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cx_part p = {names[i], "x", 1};
        assert_int_equal(cx_checkpoint_write(dir, 1, &p, 1, &err), CX_ESTATE);
    }
    cx_part twice[] = {{"a", "x", 1}, {"a", "y", 1}};
    assert_int_equal(cx_checkpoint_write(dir, 1, twice, 2, &err), CX_ESTATE);
    assert_int_equal(newest(NULL, 0), -1);
}

static const char *const files[] = {"policy", "state.json", "empty", "DONE"};

static void test_truncation_falls_back(void **state) {
    (void)state;
    cx_error err;
    char path[512], notes[4096];
    fresh_dir();
    assert_ok(write_number(1, &err));
    assert_ok(write_number(2, &err));
    for (size_t f = 0; f < 4; f++) {
        unsigned char *data;
        size_t size;
        (void)snprintf(path, sizeof path, "%s/00000002/%s", dir, files[f]);
        assert_ok(cx_file_read(path, 1 << 20, &data, &size, &err));
        const size_t cuts[] = {0, 1, 4, 23, 24, size / 2, size - 1};
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            if (cuts[i] >= size)
                continue;
            assert_ok(cx_file_replace(path, data, cuts[i], &err));
            assert_int_equal(newest(notes, sizeof notes), 1);
            if (!strstr(notes, "00000002") || !strstr(notes, files[f]))
                fail_msg("%s cut to %zu: %s", files[f], cuts[i], notes);
        }
        assert_int_equal(unlink(path), 0);
        assert_int_equal(newest(notes, sizeof notes), 1);
        assert_ok(cx_file_replace(path, data, size, &err));
        assert_int_equal(newest(notes, sizeof notes), 2);
        assert_string_equal(notes, "");
        /* bytes too many are no better */
        unsigned char *longer = realloc(data, size + 1);
        longer[size] = '\n';
        assert_ok(cx_file_replace(path, longer, size + 1, &err));
        assert_int_equal(newest(notes, sizeof notes), 1);
        assert_ok(cx_file_replace(path, longer, size, &err));
        free(longer);
    }
}

static void test_bit_flips_fall_back(void **state) {
    (void)state;
    cx_error err;
    char path[512], notes[4096];
    fresh_dir();
    assert_ok(write_number(1, &err));
    assert_ok(write_number(2, &err));
    for (size_t f = 0; f < 4; f++) {
        (void)snprintf(path, sizeof path, "%s/00000002/%s", dir, files[f]);
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        setbuf(file, NULL);
        assert_int_equal(fseek(file, 0, SEEK_END), 0);
        long size = ftell(file);
        for (long bit = 0; bit < 8 * size; bit += bit < 200 ? 1 : 53) {
            assert_int_equal(fseek(file, bit / 8, SEEK_SET), 0);
            int was = fgetc(file);
            assert_int_equal(fseek(file, bit / 8, SEEK_SET), 0);
            (void)fputc(was ^ 1 << bit % 8, file);
            if (newest(notes, sizeof notes) != 1)
                fail_msg("%s: bit %ld flipped and not seen", files[f], bit);
            assert_int_equal(fseek(file, bit / 8, SEEK_SET), 0);
            (void)fputc(was, file);
        }
        (void)fclose(file);
        assert_int_equal(newest(notes, sizeof notes), 2);
    }
}

static int count_entries(void) {
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    (void)closedir(d);
    return n;
}

static void test_unfinished_and_strange_folders(void **state) {
    (void)state;
    cx_error err;
    char path[512], notes[4096];
    fresh_dir();
    assert_ok(write_number(4, &err));
    (void)snprintf(path, sizeof path, "%s/00000006", dir); /* parts without DONE */
    assert_ok(cx_file_make_dirs(path, &err));
    (void)snprintf(path, sizeof path, "%s/00000007.tmp", dir);
    assert_ok(cx_file_make_dirs(path, &err));
    (void)snprintf(path, sizeof path, "%s/notes", dir); /* not ours */
    assert_ok(cx_file_make_dirs(path, &err));
    /* a whole checkpoint under another number */
    char from[512];
    assert_ok(write_number(8, &err));
    (void)snprintf(from, sizeof from, "%s/00000008", dir);
    (void)snprintf(path, sizeof path, "%s/00000009", dir);
    assert_int_equal(rename(from, path), 0);
    assert_int_equal(newest(notes, sizeof notes), 4);
    assert_non_null(strstr(notes, "00000006: no DONE"));
    assert_non_null(strstr(notes, "00000009"));
    assert_ok(cx_checkpoint_prune(dir, 3, 1, &err));
    assert_int_equal(count_entries(), 2); /* 4, and what is not ours */
    assert_int_equal(newest(notes, sizeof notes), 4);
    assert_string_equal(notes, "");
}

static void test_prune(void **state) {
    (void)state;
    cx_error err;
    char path[512];
    fresh_dir();
    assert_ok(cx_checkpoint_prune(dir, 3, 5, &err)); /* nothing there */
    for (uint64_t n = 5; n <= 115; n += 5) {
        assert_ok(write_number(n, &err));
        assert_ok(cx_checkpoint_prune(dir, 3, 5, &err));
    }
    const int kept[] = {50, 100, 105, 110, 115};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        (void)snprintf(path, sizeof path, "%s/%08d/DONE", dir, kept[i]);
        assert_true(cx_file_exists(path));
    }
    assert_int_equal(count_entries(), 5);
    /* a broken newest one does not take the place of a whole one */
    (void)snprintf(path, sizeof path, "%s/00000115/policy", dir);
    assert_ok(cx_file_truncate(path, 100, &err));
    assert_ok(cx_checkpoint_prune(dir, 2, 0, &err));
    assert_int_equal(count_entries(), 2);
    assert_int_equal(newest(NULL, 0), 110);
}

/* A limit on the size of files stands for a full disk. */
static void test_full_disk(void **state) {
    (void)state;
    cx_error err;
    struct rlimit before, small;
    char notes[512];
    fresh_dir();
    assert_ok(write_number(1, &err));
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const rlim_t limits[] = {0, 10, 300, 620}; /* in the header, in the data */
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        small = before;
        small.rlim_cur = limits[i];
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        int rc = write_number(2, &err), again = write_number(1, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(rc, CX_EIO);
        assert_int_equal(again, CX_EIO);
        assert_int_equal(newest(notes, sizeof notes), 1);
        assert_string_equal(notes, "");
        assert_int_equal(count_entries(), 1);
    }
    assert_ok(write_number(2, &err));
    assert_int_equal(newest(NULL, 0), 2);
}

/* A process that writes checkpoints is killed at some moment, many times: whatever it
 * had said to be written is there, or a newer one. */
static void test_killed_at_any_moment(void **state) {
    (void)state;
    cx_error err;
    fresh_dir();
    uint64_t next = 1;
    for (int round = 0; round < 40; round++) {
        int told[2];
        assert_int_equal(pipe(told), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (uint64_t n = next;; n++) {
                if (write_number(n, NULL) || !write(told[1], &n, sizeof n) ||
                    write_number(n, NULL) || /* and once more in its place */
                    cx_checkpoint_prune(dir, 2, 0, NULL))
                    _exit(1);
            }
        }
        (void)close(told[1]);
        struct timespec wait = {0, 1000000L + 700000L * round};
        (void)nanosleep(&wait, NULL);
        uint64_t last = next - 1, n;
        if (round == 39 && read(told[0], &n, sizeof n) == sizeof n)
            last = n; /* on a slow disk there may be none before */
        assert_int_equal(kill(child, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        while (read(told[0], &n, sizeof n) == sizeof n)
            last = n;
        (void)close(told[0]);
        char notes[1024];
        int64_t found = newest(notes, sizeof notes);
        if (found < (int64_t)last && last > 0)
            fail_msg("%" PRIu64 " was written, found %" PRId64 " (%s)", last, found, notes);
        assert_string_equal(notes, ""); /* no half checkpoint stands under its number */
        next = found < 0 ? 1 : (uint64_t)found + 1;
    }
    assert_ok(cx_checkpoint_prune(dir, 2, 0, &err));
    assert_true(count_entries() <= 2);
    assert_true(next > 1); /* it did write */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bad_names_are_refused),
        cmocka_unit_test(test_truncation_falls_back),
        cmocka_unit_test(test_bit_flips_fall_back),
        cmocka_unit_test(test_unfinished_and_strange_folders),
        cmocka_unit_test(test_prune),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_killed_at_any_moment),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
