#include "tests/test.h"

#include "tests/tasks/make.h"

static const char two_entries[] =
    "  - {family: nqm, weight: 1, outer_steps: {log_int: [2, 16]}, inner_per_outer: 20,\n"
    "     dimension: {log_int: [10, 1000]}, conditioning: {log: [100, 30000]}, noise: [0.1, 1]}\n"
    "  - {family: images, name: pictures, weight: 2, outer_steps: [2, 8], layers: {int: [0, 3]},\n"
    "     width: {log_int: [8, 256]}, activation: [relu, tanh], resolution: 7,\n"
    "     batch_size: {log_int: [8, 128]}}\n";

static void test_table(void **state) {
    (void)state;
    int n;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    assert_int_equal(n, cx_task_family_count());
    for (int i = 0; i < n; i++) {
        const cx_family_schema *s = schemas[i];
        assert_ptr_equal(cx_task_family_at(i)->schema, s);
        assert_true(s->n_params <= CX_TASK_PARAMS_MAX);
        assert_string_equal(s->params[0].name, "outer_steps");
        assert_string_equal(s->params[1].name, "inner_per_outer");
        for (int k = 0; k < s->n_params; k++) {
            const cx_param_schema *p = &s->params[k];
            for (int j = 0; j < k; j++)
                assert_string_not_equal(p->name, s->params[j].name);
            assert_true(strlen(p->help) > 5);
            if (k > 0) /* all but outer_steps may be left away */
                assert_true(p->fallback >= 0);
            if (k > 0 && !p->words)
                assert_true(p->fallback >= p->low && p->fallback <= p->high);
        }
    }
    assert_null(cx_task_family_at(-1));
    assert_null(cx_task_family_at(n));
}

static void test_sampling_respects_the_bound(void **state) {
    (void)state;
    cx_config free_config, config;
    make_config(&free_config, "", two_entries);
    make_config(&config, "episode: {max_gflop: 0.1}", two_entries);
    int beyond = 0, of_entry[2] = {0};
    for (uint64_t i = 0; i < 300; i++) {
        cx_task_spec a, b, again;
        cx_task_sample(&free_config, i, &a);
        cx_task_sample(&config, i, &b);
        cx_task_sample(&config, i, &again);
        assert_memory_equal(&b, &again, sizeof b);
        beyond += cx_task_gflop(&a, &config) > 0.1;
        assert_true(cx_task_gflop(&b, &config) <= 0.1);
        of_entry[b.entry]++;
        if (cx_task_gflop(&a, &config) <= 0.1)
            assert_memory_equal(&a, &b, sizeof a); /* what is cheap enough is not drawn again */
    }
    assert_true(beyond > 30);
    assert_true(of_entry[0] > 10 && of_entry[1] > 10);
}

static void test_impossible_bound_gives_the_cheapest(void **state) {
    (void)state;
    cx_config config;
    make_config(&config, "episode: {max_gflop: 1.0e-9}",
                "  - {family: nqm, outer_steps: 2, dimension: {int: [1, 50]}}\n");
    cx_task_spec spec;
    cx_task_sample(&config, 3, &spec);
    assert_true(cx_task_gflop(&spec, &config) > 1e-9);
    assert_true(cx_task_value(&spec, "dimension") == 1); /* 1,000 draws among 50 */
}

static void test_hash(void **state) {
    (void)state;
    cx_config config;
    make_config(&config, "", two_entries);
    for (uint64_t i = 0; i < 6; i++) {
        cx_task_spec spec, other;
        cx_task_sample(&config, i, &spec);
        uint64_t h = cx_task_hash(&spec, &config);
        int n;
        const cx_family_schema *s = cx_task_schemas(&n)[spec.family];
        for (int k = 0; k < s->n_params; k++) { /* every parameter counts */
            other = spec;
            other.value[k] += 1e-9;
            assert_true(cx_task_hash(&other, &config) != h);
        }
        other = spec;
        other.seed++;
        assert_true(cx_task_hash(&other, &config) != h);
        other = spec;
        other.entry += 1; /* the same task of another list */
        assert_true(cx_task_hash(&other, &config) == h);
        cx_config c = config;
        c.ppo.learning_rate *= 2;
        c.policy.hidden++;
        c.registers++;
        c.optimizer.start.value[0] *= 2;
        c.seed++;
        c.updates++;
        (void)snprintf(c.data.mnist, sizeof c.data.mnist, "elsewhere");
        assert_true(cx_task_hash(&spec, &c) == h); /* nothing a baseline depends on */
        c = config;
        c.episode.final_examples++;
        assert_true(cx_task_hash(&spec, &c) != h);
        c = config;
        c.episode.parameter_average *= 0.9;
        assert_true(cx_task_hash(&spec, &c) != h);
        c = config;
        c.reward.learning_rates.value[1] *= 2;
        assert_true(cx_task_hash(&spec, &c) != h);
        c = config;
        c.reward.form = CX_REWARD_POWER_FIT;
        assert_true(cx_task_hash(&spec, &c) != h);
        c = config;
        c.data.validation_examples++;
        assert_int_equal(cx_task_hash(&spec, &c) != h, spec.family == 1); /* images alone */
    }
}

static void test_describe_and_value(void **state) {
    (void)state;
    cx_config config;
    make_config(&config, "", two_entries);
    cx_task_spec spec = make_spec("images", 1);
    char text[256];
    set(&spec, "width", 64);
    set(&spec, "resolution", 7);
    set(&spec, "dropout", 0.25);
    cx_task_describe(&spec, NULL, text, sizeof text);
    assert_string_equal(text, "images fashion_mnist mlp relu cross_entropy outer_steps=2 "
                              "inner_per_outer=10 layers=2 width=64 dropout=0.25 batch_size=64 "
                              "resolution=7 train_examples=50000");
    spec.entry = 1;
    cx_task_describe(&spec, &config, text, sizeof text);
    assert_non_null(strstr(text, "images (pictures) "));
    char tiny[8];
    cx_task_describe(&spec, &config, tiny, sizeof tiny);
    assert_string_equal(tiny, "images ");
    assert_true(cx_task_value(&spec, "width") == 64);
    assert_true(cx_task_value(&spec, "dropout") == 0.25);
    assert_true(isnan(cx_task_value(&spec, "noise")));
    spec.family = 99;
    cx_task_describe(&spec, &config, text, sizeof text);
    assert_string_equal(text, "unknown family");
    assert_true(isnan(cx_task_value(&spec, "width")));
}

static void test_vector(void **state) {
    (void)state;
    cx_config config;
    make_config(&config, "", two_entries);
    int n = cx_task_vector_size();
    float *v = calloc((size_t)n, sizeof *v);
    double low[CX_TASK_PARAMS_MAX], high[CX_TASK_PARAMS_MAX];
    for (int i = 0; i < CX_TASK_PARAMS_MAX; i++)
        low[i] = 2, high[i] = -2;
    for (uint64_t i = 0; i < 200; i++) {
        cx_task_spec spec;
        cx_task_sample(&config, i, &spec);
        cx_task_vector(&spec, &config, v);
        for (int k = 0; k < CX_ENTRIES_MAX; k++)
            assert_true(v[k] == (k == (int)spec.entry));
        for (int k = 0; k < CX_TASK_PARAMS_MAX; k++) {
            double x = v[CX_ENTRIES_MAX + k];
            assert_true(x >= -1 && x <= 1);
            if (spec.entry == 0 && x < low[k])
                low[k] = x;
            if (spec.entry == 0 && x > high[k])
                high[k] = x;
        }
    }
    assert_true(low[0] < -0.9 && high[0] > 0.9); /* outer_steps: the whole range */
    assert_true(low[1] == 0 && high[1] == 0);    /* inner_per_outer: a constant */
    assert_true(low[2] == 0 && high[2] == 0);    /* inner_steps: a constant */
    assert_true(low[3] < -0.9 && high[3] > 0.9); /* dimension */
    free(v);
}

/* Specs come over the wire and out of files: whatever they hold, an error or a task. */
static void test_fuzzed_specs(void **state) {
    (void)state;
    static const double odd[] = {NAN,  INFINITY, -INFINITY, -1,   0.5,    1e300,
                                 -0.0, 1e-300,   3,         2000, 100001, 1e9};
    cx_config config;
    make_config(&config, "", "  - {family: nqm, outer_steps: 2}\n");
    cx_rng rng = cx_rng_make(1, 0, CX_STREAM_TEST);
    int made = 0, refused = 0;
    for (int i = 0; i < 4000; i++) {
        cx_task_spec spec = make_spec(i % 2 ? "nqm" : "images", (uint64_t)i);
        if (i % 2)
            set(&spec, "dimension", 5);
        for (uint32_t k = cx_rng_below(&rng, 3); k > 0; k--) {
            uint32_t at = cx_rng_below(&rng, CX_TASK_PARAMS_MAX);
            spec.value[at] = odd[cx_rng_below(&rng, sizeof odd / sizeof *odd)];
        }
        if (cx_rng_below(&rng, 20) == 0)
            spec.family = cx_rng_u32(&rng);
        cx_error err = {0};
        cx_task *task = NULL;
        int rc = cx_task_create(&spec, &config, NULL, &task, &err);
        if (rc == CX_OK) {
            made++;
            assert_non_null(task);
        } else {
            refused++;
            assert_null(task);
            assert_int_equal(rc, err.code);
            assert_true(rc == CX_ECONFIG || rc == CX_ESTATE); /* ESTATE: images without a store */
            assert_true(strlen(err.message) > 10);
        }
        cx_task_destroy(task);
    }
    assert_true(made > 300 && refused > 300);
}

static void test_empty_store(void **state) {
    (void)state;
    cx_config config;
    cx_data_store *store;
    cx_error err;
    make_config(&config, "data: {fashion_mnist: /nonexistent}",
                "  - {family: nqm, outer_steps: 2}\n");
    assert_ok(cx_data_store_open(&config, &store, &err)); /* nothing asks for the files */
    cx_data_store_close(store);
    make_config(&config, "data: {fashion_mnist: /nonexistent}",
                "  - {family: images, outer_steps: 2}\n");
    assert_int_equal(cx_data_store_open(&config, &store, &err), CX_EDATA);
    assert_non_null(strstr(err.message, "data.fashion_mnist"));
    assert_non_null(strstr(err.message, "/nonexistent/train-images-idx3-ubyte"));
    cx_data_store_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_sampling_respects_the_bound),
        cmocka_unit_test(test_impossible_bound_gives_the_cheapest),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_describe_and_value),
        cmocka_unit_test(test_vector),
        cmocka_unit_test(test_fuzzed_specs),
        cmocka_unit_test(test_empty_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
