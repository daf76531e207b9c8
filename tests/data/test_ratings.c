#include "tests/test.h"

#include "base/file.h"
#include "data/ratings.h"
#include "tests/data/ratings_files.h"
#include <math.h>
#include <sys/stat.h>

static char folder[] = "/tmp/cx-test-ratings-XXXXXX";
static made_rating made[MADE_RATINGS];

static int set_up(void **state) {
    (void)state;
    make_ratings(made);
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return cx_file_remove_all(folder, NULL);
}

static const char *path_of(const char *name) {
    static char path[300];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static cx_ratings *must_open(const char *name) {
    cx_error err;
    cx_ratings *r;
    assert_ok(cx_ratings_open(path_of(name), &r, &err));
    return r;
}

static cx_ratings *of_rows(const made_rating *rows, int n) {
    put_ratings(folder, "some.dat", rows, n);
    return must_open("some.dat");
}

static void assert_same(const cx_ratings *a, const cx_ratings *b) {
    size_t u = sizeof(uint32_t);
    assert_int_equal(a->users, b->users);
    assert_int_equal(a->items, b->items);
    assert_int_equal(a->positives, b->positives);
    assert_int_equal(a->evaluated, b->evaluated);
    assert_memory_equal(a->user, b->user, a->positives * u);
    assert_memory_equal(a->item, b->item, a->positives * u);
    assert_memory_equal(a->first, b->first, (a->users + 1) * u);
    assert_memory_equal(a->count, b->count, a->items * u);
    assert_memory_equal(a->who, b->who, a->evaluated * u);
    for (int s = 0; s < 3; s++)
        assert_memory_equal(a->target[s], b->target[s], a->evaluated * u);
    assert_memory_equal(a->negatives, b->negatives, 3 * a->evaluated * CX_RATINGS_NEGATIVES * u);
}

/* --- what is read --- */

static void test_formats_agree(void **state) {
    (void)state;
    static const char *const name[] = {"a.dat",    "u.data1",    "a.csv",
                                       "a.dat.gz", "u.data1.gz", "a.csv.gz"};
    put_ratings(folder, "plain", made, MADE_RATINGS);
    cx_ratings *first = must_open("plain");
    for (int i = 0; i < 6; i++) {
        put_ratings(folder, name[i], made, MADE_RATINGS);
        cx_ratings *r = must_open(name[i]);
        assert_same(first, r);
        cx_ratings_close(r);
    }
    cx_ratings_close(first);
}

static void test_order_of_the_lines_means_nothing(void **state) {
    (void)state;
    made_rating other[MADE_RATINGS];
    for (int i = 0; i < MADE_RATINGS; i++) {
        made[i].time = made[i].time / 200 * 200; /* several at a time */
        other[(i * 7 + 5) % MADE_RATINGS] = made[i];
    }
    cx_ratings *a = of_rows(made, MADE_RATINGS), *b = of_rows(other, MADE_RATINGS);
    assert_same(a, b);
    cx_ratings_close(a);
    cx_ratings_close(b);
    make_ratings(made);
}

/* Another order of columns, and one more; a mark of UTF-8, empty lines. */
static void test_columns_by_name(void **state) {
    (void)state;
    char text[64 * (MADE_RATINGS + 1)];
    size_t at = (size_t)sprintf(text, "\xef\xbb\xbftimestamp,tag,movieId,userId,rating\n");
    for (int i = 0; i < MADE_RATINGS; i++)
        at += (size_t)sprintf(text + at, "%d,x y,%d,%d,3%s", made[i].time, made[i].item,
                              made[i].user, i % 9 ? "\n" : "\n\n");
    put_file(folder, "columns", text, at - 1); /* and the last line has no end */
    put_ratings(folder, "plain", made, MADE_RATINGS);
    cx_ratings *a = must_open("plain"), *b = must_open("columns");
    assert_same(a, b);
    cx_ratings_close(a);
    cx_ratings_close(b);
}

static void test_folder(void **state) {
    (void)state;
    static const char *const name[] = {"ratings.dat", "ratings.csv", "u.data", "ratings.dat.gz"};
    char sub[300];
    cx_error err;
    cx_ratings *r;
    for (int i = 0; i < 4; i++) {
        (void)snprintf(sub, sizeof sub, "%s/sub%d", folder, i);
        assert_int_equal(mkdir(sub, 0700), 0);
        assert_int_equal(cx_ratings_open(sub, &r, &err), CX_EDATA);
        assert_non_null(strstr(err.message, "ratings.dat, ratings.csv and u.data"));
        put_ratings(sub, name[i], made, MADE_RATINGS);
        assert_ok(cx_ratings_open(sub, &r, &err));
        assert_int_equal(r->users, MADE_USERS);
        cx_ratings_close(r);
    }
    put_ratings(sub, "ratings.dat", made, 3); /* the plain one of both goes first */
    assert_int_equal(cx_ratings_open(sub, &r, &err), CX_EDATA);
    assert_non_null(strstr(err.message, "nothing to evaluate"));
    put_ratings(sub, "u.data", made, MADE_RATINGS);
    assert_int_equal(cx_ratings_open(sub, &r, &err), CX_EDATA);
    assert_non_null(strstr(err.message, "both ratings.dat and u.data"));
}

/* --- splits --- */

static int number_of(int item) {
    return (item - 1) / 7;
}

static void test_leaves_the_newest_out(void **state) {
    (void)state;
    cx_ratings *r = of_rows(made, MADE_RATINGS);
    bool known[MADE_ITEMS] = {false};
    uint32_t items = 0, place[MADE_ITEMS], count[MADE_ITEMS] = {0};
    for (int i = 0; i < MADE_RATINGS; i++)
        known[number_of(made[i].item)] = true;
    for (int i = 0; i < MADE_ITEMS; i++) /* numbered in the order of their numbers */
        place[i] = known[i] ? items++ : 0;
    assert_int_equal(r->items, items);
    assert_int_equal(r->users, MADE_USERS);
    assert_int_equal(r->evaluated, MADE_USERS);
    assert_int_equal(r->positives, MADE_USERS * (MADE_PER_USER - 2));
    assert_int_equal(r->repeated, 0);
    for (uint32_t u = 0; u < MADE_USERS; u++) {
        const made_rating *own = made + u * MADE_PER_USER; /* by time */
        assert_int_equal(r->who[u], u);
        for (int s = 0; s < 3; s++)
            assert_int_equal(r->target[s][u], place[number_of(own[MADE_PER_USER - 3 + s].item)]);
        assert_int_equal(r->first[u + 1] - r->first[u], MADE_PER_USER - 2);
        for (uint32_t i = r->first[u]; i < r->first[u + 1]; i++) {
            assert_int_equal(r->user[i], u);
            assert_true(i == r->first[u] || r->item[i] > r->item[i - 1]);
            assert_true(r->item[i] != r->target[1][u] && r->item[i] != r->target[2][u]);
            bool there = false;
            for (int k = 0; k < MADE_PER_USER - 2; k++)
                there = there || place[number_of(own[k].item)] == r->item[i];
            assert_true(there);
            count[r->item[i]]++;
        }
    }
    assert_memory_equal(count, r->count, items * sizeof *count); /* of the training split alone */
    cx_ratings_close(r);
}

static void test_ties_and_repetitions(void **state) {
    (void)state;
    made_rating rows[MADE_RATINGS + 5];
    memcpy(rows, made, sizeof made);
    made_rating *first = rows; /* user 0's */
    for (int i = 0; i < MADE_PER_USER; i++)
        first[i].time = 1000;
    rows[MADE_RATINGS] = first[3]; /* the same again, before, after and at the same time */
    rows[MADE_RATINGS + 1] = first[3];
    rows[MADE_RATINGS + 1].time = 999;
    rows[MADE_RATINGS + 2] = first[4];
    rows[MADE_RATINGS + 2].time = 2000;
    rows[MADE_RATINGS + 3] = first[4];
    cx_ratings *r = of_rows(rows, MADE_RATINGS + 4);
    assert_int_equal(r->repeated, 4);
    assert_int_equal(r->positives, MADE_USERS * (MADE_PER_USER - 2));
    int newest = first[4].item, next = 0;
    for (int i = 0; i < MADE_PER_USER; i++)
        if (first[i].item != newest && first[i].item > next)
            next = first[i].item;
    uint32_t smaller[2] = {0, 0}; /* items of the file below each: their new numbers */
    bool seen[MADE_ITEMS] = {false};
    for (int i = 0; i < MADE_RATINGS; i++)
        if (!seen[number_of(rows[i].item)]) {
            seen[number_of(rows[i].item)] = true;
            smaller[0] += rows[i].item < newest;
            smaller[1] += rows[i].item < next;
        }
    assert_int_equal(r->target[2][0], smaller[0]);
    assert_int_equal(r->target[1][0], smaller[1]);
    cx_ratings_close(r);
}

/* Two users more: one with two interactions, one to whom 98 items are left. */
static void test_users_for_training_alone(void **state) {
    (void)state;
    enum { MANY = 300 };
    made_rating rows[MADE_RATINGS + MANY];
    memcpy(rows, made, sizeof made);
    int n = MADE_RATINGS;
    rows[n++] = (made_rating){1, made[0].item, 5};
    rows[n++] = (made_rating){1, made[100].item, 6};
    cx_ratings *r = of_rows(rows, n);
    uint32_t items = r->items;
    assert_int_equal(r->users, MADE_USERS + 1);
    assert_int_equal(r->evaluated, MADE_USERS);
    assert_int_equal(r->who[0], 1); /* user 1 stands before user 3 */
    assert_int_equal(r->first[1], 2);
    cx_ratings_close(r);
    for (int more = 0; more < 2; more++) {
        int m = n, know = (int)items - CX_RATINGS_NEGATIVES + more;
        bool seen[MADE_ITEMS] = {false};
        for (int i = 0; i < MADE_RATINGS && know > 0; i++) {
            int k = number_of(made[i].item);
            if (!seen[k])
                rows[m++] = (made_rating){2, made[i].item, 7 + i}, know--;
            seen[k] = true;
        }
        r = of_rows(rows, m);
        assert_int_equal(r->items, items);
        assert_int_equal(r->users, MADE_USERS + 2);
        assert_int_equal(r->evaluated, MADE_USERS + !more);
        assert_int_equal(r->first[2] - r->first[1], (uint32_t)(m - n) - (more ? 0 : 2));
        cx_ratings_close(r);
    }
}

/* --- negatives --- */

static void test_candidates(void **state) {
    (void)state;
    cx_ratings *r = of_rows(made, MADE_RATINGS);
    int hits[MADE_ITEMS] = {0}, first[MADE_ITEMS] = {0}, same = 0;
    for (uint32_t e = 0; e < r->evaluated; e++)
        for (int s = 0; s < 3; s++) {
            const uint32_t *c = cx_ratings_negatives(r, s, e);
            for (int i = 0; i < CX_RATINGS_NEGATIVES; i++) {
                assert_true(c[i] < r->items);
                assert_true(c[i] != r->target[1][e] && c[i] != r->target[2][e]);
                for (uint32_t k = r->first[e]; k < r->first[e + 1]; k++)
                    assert_true(c[i] != r->item[k]);
                for (int k = 0; k < i; k++)
                    assert_true(c[i] != c[k]);
                hits[c[i]]++;
                first[c[i]] += i < 4;
            }
            same += memcmp(c, cx_ratings_negatives(r, 0, 0), 16) == 0;
        }
    assert_int_equal(same, 1); /* each user and split has its own */
    /* each item is drawn about as often as any, also among the first four: 60 users less
     * those that know it, 3 splits */
    for (uint32_t i = 0; i < r->items; i++) {
        double users = r->evaluated - (double)r->count[i];
        for (uint32_t e = 0; e < r->evaluated; e++)
            users -= r->target[1][e] == i || r->target[2][e] == i;
        double draws = 3 * users, p = (double)CX_RATINGS_NEGATIVES / (r->items - MADE_PER_USER);
        double q = 4.0 / (r->items - MADE_PER_USER);
        assert_true(fabs(hits[i] - draws * p) < 5 * sqrt(draws * p * (1 - p)) + 1);
        assert_true(fabs(first[i] - draws * q) < 5 * sqrt(draws * q * (1 - q)) + 1);
    }
    cx_ratings_close(r);
}

static void test_others(void **state) {
    (void)state;
    cx_ratings *r = of_rows(made, MADE_RATINGS);
    for (uint32_t u = 0; u < r->users; u++) {
        assert_int_equal(cx_ratings_others(r, u), r->items - (MADE_PER_USER - 2));
        uint32_t k = 0, at = r->first[u];
        bool held_out = false;
        for (uint32_t i = 0; i < r->items; i++) {
            if (at < r->first[u + 1] && r->item[at] == i) {
                at++;
                continue;
            }
            held_out = held_out || i == r->target[2][u];
            assert_int_equal(cx_ratings_other(r, u, k++), i);
        }
        assert_int_equal(k, cx_ratings_others(r, u));
        assert_true(held_out);
    }
    cx_ratings_close(r);
}

/* --- faults --- */

static void expect_fault(const char *name, const char *word) {
    cx_error err = {0};
    cx_ratings *r;
    int rc = cx_ratings_open(path_of(name), &r, &err);
    if (rc != CX_EDATA || r || !strstr(err.message, word))
        fail_msg("%d '%s', not '%s'", rc, err.message, word);
    if (!strstr(err.message, name))
        fail_msg("'%s' does not name the file", err.message);
}

static void expect_text_fault(const char *text, const char *word) {
    put_file(folder, "bad", text, strlen(text));
    expect_fault("bad", word);
}

static void test_faults(void **state) {
    (void)state;
    expect_fault("absent", "not there");
    expect_text_fault("", "no ratings in it");
    expect_text_fault("\n\n", "no ratings in it");
    expect_text_fault("hello\n", "bad:1: 'hello' is no line of ratings");
    expect_text_fault("1::2::3\n", "bad:1: 3 columns; 4 are right");
    expect_text_fault("1::2::3::4\n1::2::3::4::5\n", "bad:2: 5 columns");
    expect_text_fault("1::2::3::4\n1\t2\t3\t4\n", "bad:2: 1 column;");
    expect_text_fault("1::2::3::4\nx::2::3::4\n", "bad:2: userId 'x'");
    expect_text_fault("1::2::3::4\n\n1::2.5::3::4\n", "bad:3: movieId '2.5'");
    expect_text_fault("1::-2::3::4\n", "bad:1: movieId -2");
    expect_text_fault("1::2::good::4\n", "bad:1: rating 'good'");
    expect_text_fault("1::2::nan::4\n", "bad:1: rating 'nan'");
    expect_text_fault("1::2::3::1e9\n", "bad:1: timestamp '1e9'");
    expect_text_fault("1::2::3::\n", "bad:1: timestamp ''");
    expect_text_fault("99999999999999999999::2::3::4\n", "bad:1: userId '9999");
    expect_text_fault("1,2,3,4\n", "bad:1: the header has no column userId");
    expect_text_fault("userId,movieId,rating\n1,2,3\n",
                      "bad:1: the header has no column timestamp");
    expect_text_fault("userId,movieId,rating,timestamp\n", "no ratings in it");
    expect_text_fault("userId,movieId,rating,timestamp\n1,2,3,4\n1,2,3\n", "bad:3: 3 columns");
    expect_text_fault("1::2::3::4\n1::3::3::4\n1::4::3::4\n", "nothing to evaluate among 1 users");
    put_file(folder, "bad", "1::2::3::4\n\0::", 14);
    expect_fault("bad", "bad:2: a zero byte");
    char line[9000];
    memset(line, '1', sizeof line);
    put_file(folder, "bad", line, sizeof line);
    expect_fault("bad", "bad:1: a line of more than 4096 bytes");
}

/* A user who knows all items leaves nothing to draw. */
static void test_nothing_left(void **state) {
    (void)state;
    made_rating rows[MADE_RATINGS + MADE_ITEMS];
    memcpy(rows, made, sizeof made);
    int n = MADE_RATINGS;
    for (int i = 0; i < MADE_ITEMS; i++)
        rows[n++] = (made_rating){5000, made_item(i), i};
    put_ratings(folder, "bad", rows, n);
    expect_fault("bad", "all of the 130 items");
}

static void test_faulty_gzip(void **state) {
    (void)state;
    unsigned char *bytes;
    size_t size;
    cx_error err;
    put_ratings(folder, "whole.gz", made, MADE_RATINGS);
    assert_ok(cx_file_read(path_of("whole.gz"), 1 << 20, &bytes, &size, &err));
    for (size_t cut = 20; cut < size; cut += size / 7) {
        put_file(folder, "bad", bytes, cut);
        expect_fault("bad", "cut short");
    }
    put_file(folder, "bad", bytes, size - 3); /* within the check sum */
    expect_fault("bad", "cut short");
    bytes[size / 2] ^= 0x55;
    put_file(folder, "bad", bytes, size);
    expect_fault("bad", "bad");
    free(bytes);
}

static void test_movielens(void **state) {
    (void)state;
    char path[512];
    cx_error err;
    cx_ratings *r;
    CX_SHARED_OR_SKIP(path, "data/ml-latest-small-2016-ratings.csv.gz");
    assert_ok(cx_ratings_open(path, &r, &err));
    assert_int_equal(r->users, 671);
    assert_int_equal(r->items, 9066);
    assert_int_equal(r->repeated, 0);
    assert_int_equal(r->evaluated, 671);
    assert_int_equal(r->positives, 100004 - 2 * 671);
    cx_ratings_close(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats_agree),
        cmocka_unit_test(test_order_of_the_lines_means_nothing),
        cmocka_unit_test(test_columns_by_name),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_leaves_the_newest_out),
        cmocka_unit_test(test_ties_and_repetitions),
        cmocka_unit_test(test_users_for_training_alone),
        cmocka_unit_test(test_candidates),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_nothing_left),
        cmocka_unit_test(test_faulty_gzip),
        cmocka_unit_test(test_movielens),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
