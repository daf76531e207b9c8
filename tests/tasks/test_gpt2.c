/* Family gpt2: what it has that text has not. */
#include "tests/test.h"

#include "data/bpe.h"
#include "tasks/transformer.h"
#include "tests/tasks/corpus_files.h"

static char folder[] = "/tmp/cx-test-task-gpt2-XXXXXX";
static cx_config config;
static cx_data_store *store;

static void configure(cx_config *c, const char *head, const char *keys, const char *entry) {
    char more[700], tasks[512];
    (void)snprintf(more, sizeof more, "%s\ndata: {gpt2: '%s', cache: '%s'%s}", head, folder, folder,
                   keys);
    (void)snprintf(tasks, sizeof tasks, "  - {family: nqm, outer_steps: 4}\n%s", entry);
    make_config(c, more, tasks);
}

static const char *const nano =
    "  - {family: gpt2, name: nano, outer_steps: 4, vocabulary: 256, context: 8, width: 16,\n"
    "     heads: [2, 4], layers: 2}\n";

static int set_up(void **state) {
    (void)state;
    cx_error err = {0};
    if (!mkdtemp(folder))
        return -1;
    /* WikiText's names */
    put_row(folder, "wiki.train.tokens", 10, 80);
    put_row(folder, "wiki.valid.tokens", 100, 40);
    put_row(folder, "wiki.test.tokens", 150, 40);
    configure(&config, "", "", nano);
    assert_ok(cx_data_store_open(&config, &store, &err));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    cx_data_store_close(store);
    return cx_file_remove_all(folder, NULL);
}

static cx_task_spec small(uint64_t seed) {
    cx_task_spec spec = make_spec("gpt2", seed);
    set(&spec, "vocabulary", 256);
    set(&spec, "context", 8);
    set(&spec, "batch_size", 4);
    set(&spec, "width", 16);
    set(&spec, "layers", 2);
    set(&spec, "heads", 2);
    return spec;
}

static void test_held_out(void **state) {
    (void)state;
    cx_error err = {0};
    assert_int_equal(cx_task_refuse_held_out(&config, &err), CX_ECONFIG);
    assert_non_null(strstr(err.message, "tasks.1 (nano)"));
    assert_non_null(strstr(err.message, "allow_held_out: true"));
    cx_config allowed;
    configure(&allowed, "allow_held_out: true", "", nano);
    assert_ok(cx_task_refuse_held_out(&allowed, &err));
    configure(&allowed, "", "", "");
    assert_ok(cx_task_refuse_held_out(&allowed, &err));
}

/* The defaults are GPT-2 small (its count: test_transformer). */
static void test_defaults(void **state) {
    (void)state;
    cx_task_spec spec = make_spec("gpt2", 1);
    cx_transformer net = {.vocabulary = (int)cx_task_value(&spec, "vocabulary"),
                          .context = (int)cx_task_value(&spec, "context"),
                          .width = (int)cx_task_value(&spec, "width"),
                          .layers = (int)cx_task_value(&spec, "layers"),
                          .heads = (int)cx_task_value(&spec, "heads"),
                          .hidden = 4 * (int)cx_task_value(&spec, "width"),
                          .tied = true};
    assert_true(cx_transformer_measure(&net).params == 124439808);
    assert_true(net.heads == 12);
    /* 6 operations per parameter and token are the usual reckoning */
    double flops = cx_task_family_at((int)spec.family)->flops_per_step(&spec, &config);
    assert_true(flops > 6.0 * 1024 * 123e6 && flops < 8.0 * 1024 * 125e6);
}

static void test_network(void **state) {
    (void)state;
    cx_task_spec spec = small(2);
    live l = make_live(&spec, &config, store);
    /* tied, and four times the width */
    for (int i = 0; i < cx_graph_param_tensors(l.task->graph); i++)
        assert_string_not_equal(cx_graph_param_info(l.task->graph, i)->name, "head.weight");
    assert_int_equal(tensor_of(&l, "h.1.mlp.c_fc.weight")->shape.dim[0], 64);
    assert_int_equal(tensor_of(&l, "wpe.weight")->shape.dim[0], 8);
    double loss = cx_task_step(l.task, l.block, l.grads, 0);
    assert_true(fabs(loss - log(256)) < 0.3);
    drop_live(&l);
}

/* The bytes of the other splits are in no training batch, so they get ever less likely. */
static void test_learns_from_the_training_split(void **state) {
    (void)state;
    cx_task_spec spec = small(3);
    live l = make_live(&spec, &config, store);
    for (uint32_t s = 0; s < 250; s++) {
        (void)cx_task_step(l.task, l.block, l.grads, s);
        for (size_t i = 0; i < l.task->param_count; i++)
            l.block[i] -= 0.5f * l.grads[i];
    }
    assert_true(cx_task_evaluate(l.task, l.block, CX_SPLIT_TRAIN, 0, NULL) < 1);
    assert_true(cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL) > log(256));
    assert_true(cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, NULL) > log(256));
    drop_live(&l);
}

static void test_same_bits(void **state) {
    (void)state;
    cx_task_spec spec = small(4);
    set(&spec, "dropout", 0.2);
    live a = make_live(&spec, &config, store), b = make_live(&spec, &config, store);
    for (uint32_t s = 0; s < 3; s++) {
        double x = cx_task_step(a.task, a.block, a.grads, s);
        (void)cx_task_evaluate(b.task, b.block, CX_SPLIT_VALIDATION, 0, NULL);
        assert_true(cx_task_step(b.task, b.block, b.grads, s) == x);
        assert_memory_equal(a.grads, b.grads, a.task->param_count * sizeof(float));
    }
    drop_live(&a);
    drop_live(&b);
}

static void test_identity(void **state) {
    (void)state;
    cx_task_spec spec = small(5);
    cx_config other;
    configure(&other, "", ", gpt2_tokenizer: /elsewhere", nano);
    assert_true(cx_task_hash(&spec, &config) != cx_task_hash(&spec, &other));
}

static void refuse(const char *keys, const char *entry, const char *said) {
    cx_config c;
    cx_data_store *s;
    cx_error err = {0};
    configure(&c, "", keys, entry);
    if (!cx_data_store_open(&c, &s, &err))
        fail_msg("not refused: %s", entry);
    if (!strstr(err.message, said) || !strstr(err.message, "tasks.1 (gpt2)"))
        fail_msg("%s: no '%s' in '%s'", entry, said, err.message);
}

static void test_faults(void **state) {
    (void)state;
    refuse("", "  - {family: gpt2, outer_steps: 4, vocabulary: 256, context: 8, heads: 7}",
           "heads");
    refuse("", "  - {family: gpt2, outer_steps: 4, vocabulary: 256, context: 100}", "80 tokens");
    refuse("", "  - {family: gpt2, outer_steps: 4, vocabulary: {log_int: [256, 2048]}}",
           "vocabulary must be a constant");
    refuse("", "  - {family: gpt2, outer_steps: 4, batch_size: 4096, context: 16, width: 12}",
           "2^31");
    refuse(", gpt2_tokenizer: /nowhere", "  - {family: gpt2, outer_steps: 4, context: 8}",
           "data.gpt2");
}

/* A vocabulary from a file must be the one that the network is made for. */
static void test_tokenizer(void **state) {
    (void)state;
    char text[2000], path[300], keys[400];
    cx_error err = {0};
    cx_bpe *bpe;
    cx_config c;
    cx_data_store *s;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "(ABAB) {abc} abc\n"[i % 17];
    assert_ok(cx_bpe_learn((const unsigned char *)text, sizeof text, 262, &bpe, &err));
    assert_int_equal(cx_bpe_entries(bpe), 262);
    (void)snprintf(path, sizeof path, "%s/v.bpe", folder);
    assert_ok(cx_bpe_write(bpe, path, &err));
    cx_bpe_free(bpe);
    (void)snprintf(keys, sizeof keys, ", gpt2_tokenizer: '%s'", path);
    static const char *const entry =
        "  - {family: gpt2, outer_steps: 4, context: 8, width: 8, heads: 2, layers: 1%s}";
    char yaml[300];
    (void)snprintf(yaml, sizeof yaml, entry, "");
    refuse(keys, yaml, "vocabulary: 262 is right");
    (void)snprintf(yaml, sizeof yaml, entry, ", vocabulary: 262");
    configure(&c, "", keys, yaml);
    assert_ok(cx_data_store_open(&c, &s, &err));
    cx_task_spec spec = small(6);
    set(&spec, "vocabulary", 262);
    live l = make_live(&spec, &c, s);
    assert_int_equal(tensor_of(&l, "wte.weight")->shape.dim[0], 262);
    assert_true(fabs(cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, NULL) - log(262)) < 0.3);
    drop_live(&l);
    cx_data_store_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held_out),  cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_network),   cmocka_unit_test(test_learns_from_the_training_split),
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_identity),
        cmocka_unit_test(test_faults),    cmocka_unit_test(test_tokenizer),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
