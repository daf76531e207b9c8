/* The configurations that users start from, against the families that there are. */
#include "tests/test.h"

#include "base/file.h"
#include "tasks/task.h"
#include <glob.h>
#include <math.h>
#include <string.h>

static cx_config config;
static cx_faults faults;

static int read_config(const char *path, const char *const *overrides, int n, cx_error *err) {
    int n_families;
    const cx_family_schema *const *families = cx_task_schemas(&n_families);
    return cx_config_read(path, overrides, n, families, n_families, &config, &faults, err);
}

/* Every file says in two lines what it is for and what it costs. */
static void check_opening(const char *path) {
    cx_error err;
    unsigned char *text;
    size_t size;
    assert_ok(cx_file_read(path, 1 << 20, &text, &size, &err));
    char *second = strchr((char *)text, '\n');
    assert_true(text[0] == '#' && second && strncmp(second, "\n# Costs ", 9) == 0);
    free(text);
}

/* Whatever stands under configs/ opens rightly, reads, and can be drawn from. */
static void test_all(void **state) {
    (void)state;
    glob_t found;
    cx_error err;
    assert_int_equal(glob("configs/*.yaml", 0, NULL, &found), 0);
    assert_int_equal(glob("configs/eval/*.yaml", GLOB_APPEND, NULL, &found), 0);
    assert_true(found.gl_pathc >= 6);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *path = found.gl_pathv[i];
        check_opening(path);
        assert_ok(read_config(path, NULL, 0, &err));
        for (uint64_t k = 0; k < 50; k++) {
            cx_task_spec spec;
            cx_task_sample(&config, k, &spec);
            assert_true(cx_task_inner_steps(&spec, &config) >= 1);
            assert_true(cx_task_gflop(&spec, &config) > 0);
        }
    }
    globfree(&found);
}

static double share_of(const char *prefix, int draws) {
    int hits = 0;
    for (int i = 0; i < draws; i++) {
        cx_task_spec spec;
        cx_task_sample(&config, (uint64_t)i, &spec);
        hits += strncmp(config.tasks[spec.entry].name, prefix, strlen(prefix)) == 0;
    }
    return (double)hits / draws;
}

static void test_quickstart(void **state) {
    (void)state;
    cx_error err;
    assert_ok(read_config("configs/quickstart.yaml", NULL, 0, &err));
    double quadratics = share_of("nqm", 3000);
    assert_true(quadratics > 0.25 && quadratics < 0.35);
    for (int i = 0; i < 3000; i++) {
        cx_task_spec spec;
        cx_task_sample(&config, (uint64_t)i, &spec);
        double steps = cx_task_inner_steps(&spec, &config);
        assert_true(steps >= 128 && steps <= 320);
    }
}

static void test_desk(void **state) {
    (void)state;
    cx_error err;
    assert_ok(read_config("configs/desk.yaml", NULL, 0, &err));
    assert_true(share_of("cnn", 1000) > 0.1 && share_of("mlp", 1000) > 0.4);
    for (int i = 0; i < 1000; i++) {
        cx_task_spec spec;
        cx_task_sample(&config, (uint64_t)i, &spec);
        double k = cx_task_value(&spec, "outer_steps");
        double steps = cx_task_inner_steps(&spec, &config);
        assert_true(k >= 8 && k <= 128 && steps >= 64 && steps <= 2064);
        double gflop =
            steps * cx_task_family_at((int)spec.family)->flops_per_step(&spec, &config) * 1e-9;
        assert_true(gflop <= 6);
    }
}

static void test_lhopt(void **state) {
    (void)state;
    cx_error err;
    assert_ok(read_config("configs/lhopt.yaml", NULL, 0, &err));
    assert_int_equal(config.registers, 3);
    assert_int_equal(config.heads[CX_HYPER_LR].n, 7);
    assert_int_equal(config.ppo.buffer_episodes, 768);
    /* weights 1, 20, 5 + 5 + 10, 10, 23 of 74 */
    static const struct {
        const char *family;
        double share;
    } want[] = {{"nqm", 1 / 74.0},
                {"algo", 20 / 74.0},
                {"images", 20 / 74.0},
                {"sentences", 10 / 74.0},
                {"text", 23 / 74.0}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_true(fabs(share_of(want[i].family, 4000) - want[i].share) < 0.03);
}

/* Lengths of runs: the whole of it where there is a multiplier or a number of epochs. */
static void test_recurrent(void **state) {
    (void)state;
    cx_error err;
    assert_ok(read_config("configs/algo.yaml", NULL, 0, &err));
    for (int i = 0; i < 1000; i++) {
        cx_task_spec spec;
        cx_task_sample(&config, (uint64_t)i, &spec);
        double k = cx_task_value(&spec, "outer_steps"), steps = cx_task_inner_steps(&spec, &config);
        double want = cx_task_value(&spec, "training_multiplier") *
                      (150 + 250 * cx_task_value(&spec, "difficulty"));
        assert_true(fabs(steps - want) <= 0.5 * k + 1e-9 || (steps == k && want < k));
        assert_true(steps >= 50 && steps <= 880);
    }
    assert_ok(read_config("configs/sentences.yaml", NULL, 0, &err));
    for (int i = 0; i < 1000; i++) {
        cx_task_spec spec;
        cx_task_sample(&config, (uint64_t)i, &spec);
        double k = cx_task_value(&spec, "outer_steps"), steps = cx_task_inner_steps(&spec, &config);
        double want = cx_task_value(&spec, "epochs") * 8544 / cx_task_value(&spec, "batch_size");
        assert_true(fabs(steps - want) <= 0.5 * k + 1e-9 || (steps == k && want < k));
    }
}

/* Suites: trained families and held-out ones do not mix; every entry can be drawn. */
static void test_suites(void **state) {
    (void)state;
    static const struct {
        const char *path;
        bool held_out;
        int entries;
    } suites[] = {{"configs/eval/smoke.yaml", false, 3},
                  {"configs/eval/in-distribution.yaml", false, 7},
                  {"configs/eval/held-out.yaml", true, 4},
                  {"configs/eval/stress.yaml", false, 6}};
    cx_error err;
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        assert_ok(read_config(suites[i].path, NULL, 0, &err));
        assert_int_equal(config.n_tasks, suites[i].entries);
        for (int e = 0; e < config.n_tasks; e++) {
            cx_task_spec spec;
            cx_task_sample_entry(&config, (uint32_t)e, 5, &spec);
            assert_int_equal(spec.entry, e);
            assert_int_equal(cx_task_family_at((int)spec.family)->held_out, suites[i].held_out);
        }
    }
    /* what the stress suite says it is */
    cx_task_spec base, other;
    cx_task_sample_entry(&config, 0, 0, &base);
    cx_task_sample_entry(&config, 1, 0, &other);
    assert_int_equal(cx_task_inner_steps(&other, &config),
                     10 * cx_task_inner_steps(&base, &config));
    cx_task_sample_entry(&config, 2, 0, &other);
    assert_true(cx_task_value(&other, "width") == 4 * cx_task_value(&base, "width"));
    cx_task_sample_entry(&config, 3, 0, &other);
    assert_true(cx_task_value(&other, "batch_size") == 8 * cx_task_value(&base, "batch_size"));
    cx_task_sample_entry(&config, 4, 0, &other);
    assert_true(cx_task_value(&other, "label_noise") == 0.4);
    cx_task_sample_entry(&config, 5, 0, &other);
    assert_true(cx_task_value(&other, "loss") != cx_task_value(&base, "loss"));
    assert_int_equal(config.evaluation.start_lr.n, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),   cmocka_unit_test(test_quickstart),
        cmocka_unit_test(test_desk),  cmocka_unit_test(test_suites),
        cmocka_unit_test(test_lhopt), cmocka_unit_test(test_recurrent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
