/* Family text: which tokens each split's windows have, and that it learns. */
#include "tests/test.h"

#include "data/corpus.h"
#include "tasks/family.h"
#include "tests/tasks/corpus_files.h"

/* Splits of distinct bytes: a byte says which split, and where in it. */
enum { TRAIN_LOW = 10, N_TRAIN = 80, VALID_LOW = 100, N_VALID = 33, TEST_LOW = 150, N_TEST = 36 };
static const int low[3] = {TRAIN_LOW, VALID_LOW, TEST_LOW}, size[3] = {N_TRAIN, N_VALID, N_TEST};
static char folder[] = "/tmp/cx-test-task-text-XXXXXX";
static cx_config config;
static cx_data_store *store;

static void configure(cx_config *c, const char *path, const char *entry) {
    char more[512], tasks[512];
    (void)snprintf(more, sizeof more, "data: {text: '%s', cache: '%s'}", path, folder);
    (void)snprintf(tasks, sizeof tasks, "  - {family: text, outer_steps: 4%s}\n", entry);
    make_config(c, more, tasks);
}

static int set_up(void **state) {
    (void)state;
    cx_error err = {0};
    if (!mkdtemp(folder))
        return -1;
    put_row(folder, "a.train.txt", TRAIN_LOW, N_TRAIN);
    put_row(folder, "a.valid.txt", VALID_LOW, N_VALID);
    put_row(folder, "a.test.txt", TEST_LOW, N_TEST);
    configure(&config, folder, "");
    assert_ok(cx_data_store_open(&config, &store, &err));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    cx_data_store_close(store);
    return cx_file_remove_all(folder, NULL);
}

static cx_task_spec small(uint64_t seed, int context, int batch) {
    cx_task_spec spec = make_spec("text", seed);
    set(&spec, "context", context);
    set(&spec, "tokens", context * batch);
    set(&spec, "embedding", 16);
    set(&spec, "hidden", 24);
    set(&spec, "layers", 1);
    set(&spec, "heads", 2);
    return spec;
}

static live make(const cx_task_spec *spec) {
    return make_live(spec, &config, store);
}

/* --- training --- */

static void test_trains_on_every_place_of_the_training_split_alone(void **state) {
    (void)state;
    enum { STEPS = 4000 };
    cx_task_spec spec = small(1, 1, 1);
    set(&spec, "layers", 0);
    live l = make(&spec);
    int count[N_TRAIN] = {0};
    for (uint32_t s = 0; s < STEPS; s++) {
        int target, token = spy(&l, s, &target);
        assert_in_range(token, TRAIN_LOW, TRAIN_LOW + N_TRAIN - 2);
        assert_int_equal(target, token + 1);
        count[token - TRAIN_LOW]++;
    }
    for (int i = 0; i < N_TRAIN - 1; i++) /* 50.6, deviation 7 */
        assert_in_range(count[i], 20, 85);
    drop_live(&l);
}

/* A window is context tokens that follow each other: their rows of the embedding are the
 * only ones with a gradient. */
static void test_windows_follow_the_text(void **state) {
    (void)state;
    enum { CONTEXT = 5 };
    cx_task_spec spec = small(2, CONTEXT, 1);
    live l = make(&spec);
    const cx_param *wte = tensor_of(&l, "wte.weight");
    int first[2] = {0};
    for (uint32_t s = 0; s < 300; s++) {
        (void)cx_task_step(l.task, l.block, l.grads, s);
        int from = -1, n = 0;
        for (int r = 0; r < 256; r++) {
            bool any = false;
            for (int i = 0; i < 16; i++)
                any = any || l.grads[wte->offset + (size_t)(r * 16 + i)] != 0;
            if (any && from < 0)
                from = r;
            if (any)
                assert_int_equal(r, from + n++);
        }
        assert_int_equal(n, CONTEXT);
        assert_in_range(from, TRAIN_LOW, TRAIN_LOW + N_TRAIN - CONTEXT - 1);
        first[0] += from == TRAIN_LOW;
        first[1] += from == TRAIN_LOW + N_TRAIN - CONTEXT - 1;
    }
    assert_true(first[0] > 0 && first[1] > 0); /* both ends are reached */
    drop_live(&l);
}

static void test_same_bits(void **state) {
    (void)state;
    cx_task_spec spec = small(3, 8, 4);
    set(&spec, "dropout", 0.3);
    check_same_bits(&spec, &config, store, 40);
}

/* --- evaluation --- */

static double hand(const live *l, int split, int context, int i) {
    return loss_by_hand(l, low[split] + i, i % context, low[split] + i + 1);
}

/* Windows of 4 predicted tokens: of 32, all of the validation split but the first; with
 * any number of them, other ones are added, none twice; also in batches of 3. */
static void test_windows_cover_without_overlap(void **state) {
    (void)state;
    enum { CONTEXT = 4, WINDOWS = 8 };
    cx_task_spec spec = small(5, CONTEXT, 3);
    set(&spec, "layers", 0);
    live l = make(&spec);
    double want[WINDOWS] = {0}, before = 0;
    int used[WINDOWS] = {0};
    for (int i = 0; i < N_VALID - 1; i++)
        want[i / CONTEXT] += hand(&l, CX_SPLIT_VALIDATION, CONTEXT, i);
    for (int k = 1; k <= WINDOWS; k++) {
        double total =
            k * CONTEXT * cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, k, NULL);
        int best = -1;
        for (int i = 0; i < WINDOWS; i++)
            if (!used[i] &&
                (best < 0 || fabs(total - before - want[i]) < fabs(total - before - want[best])))
                best = i;
        assert_true(fabs(total - before - want[best]) < 1e-4);
        used[best] = 1;
        before = total;
    }
    drop_live(&l);
}

/* No token is left out where the windows do not come out even. */
static void test_last_window_is_shorter(void **state) {
    (void)state;
    for (int context = 1; context <= 50; context += 7)
        for (int split = 0; split < 3; split++) {
            cx_task_spec spec = small(6, context, 3);
            set(&spec, "layers", 0);
            set(&spec, "validation_batches", 1000);
            live l = make(&spec);
            double sum = 0, metric[CX_TASK_METRICS];
            for (int i = 0; i < size[split] - 1; i++)
                sum += hand(&l, split, context, i);
            sum /= size[split] - 1;
            double loss = cx_task_evaluate(l.task, l.block, (cx_split)split, 0, metric);
            assert_true(fabs(loss - sum) < 1e-5);
            assert_true(fabs(metric[0] - exp(loss)) < 1e-9 * metric[0]);
            assert_true(fabs(metric[1] - loss / log(2)) < 1e-12); /* a token is a byte */
            drop_live(&l);
        }
}

static void test_bounds_of_evaluation(void **state) {
    (void)state;
    cx_task_spec spec = small(7, 2, 2);
    set(&spec, "validation_batches", 3);
    set(&spec, "test_windows", 5);
    live l = make(&spec);
    static const int bound[3] = {6, 6, 5};
    for (int s = 0; s < 3; s++) {
        double at = cx_task_evaluate(l.task, l.block, (cx_split)s, bound[s], NULL);
        assert_true(at == cx_task_evaluate(l.task, l.block, (cx_split)s, 0, NULL));
        assert_true(at == cx_task_evaluate(l.task, l.block, (cx_split)s, 1000, NULL));
        assert_true(at != cx_task_evaluate(l.task, l.block, (cx_split)s, bound[s] - 1, NULL));
    }
    drop_live(&l);
}

static void test_evaluation_changes_nothing(void **state) {
    (void)state;
    cx_task_spec spec = small(8, 6, 5);
    live plain = make(&spec);
    set(&spec, "dropout", 0.5);
    live l = make(&spec);
    size_t bytes = l.task->state_count * sizeof(float);
    float *copy = malloc(bytes);
    memcpy(copy, l.block, bytes);
    for (int s = 0; s < 3; s++) {
        double a = cx_task_evaluate(l.task, l.block, (cx_split)s, 0, NULL);
        assert_true(a == cx_task_evaluate(l.task, l.block, (cx_split)s, 0, NULL));
        assert_true(a == cx_task_evaluate(plain.task, l.block, (cx_split)s, 0, NULL));
    }
    assert_memory_equal(copy, l.block, bytes);
    free(copy);
    drop_live(&l);
    drop_live(&plain);
}

/* A vocabulary of byte pairs: learned from the training split, one corpus for each, and
 * bits per byte that do not depend on how many bytes a token has. */
static void test_learned_vocabulary(void **state) {
    (void)state;
    char path[300], text[3000];
    cx_config c;
    cx_data_store *s;
    cx_error err = {0};
    (void)snprintf(path, sizeof path, "%s/words", folder);
    assert_ok(cx_file_make_dirs(path, &err));
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "the cat sat on the mat and so on\n"[i % 33];
    put_text(path, "w.train.txt", text, sizeof text);
    put_text(path, "w.valid.txt", "zzzz zzzz zzzz zzzz the\n",
             24); /* pairs that it must not learn */
    put_text(path, "w.test.txt", text, 330);
    configure(&c, path, ", context: 4, tokens: 16, vocabulary: [256, 270]");
    assert_ok(cx_data_store_open(&c, &s, &err));
    cx_task_spec spec = small(11, 4, 4);
    set(&spec, "vocabulary", 270);
    live l = make_live(&spec, &c, s);
    assert_int_equal(tensor_of(&l, "head.weight")->shape.dim[0], 270);
    const cx_corpus *corpus = cx_data_store_get(s, &cx_family_text, "270");
    assert_non_null(corpus);
    assert_non_null(cx_data_store_get(s, &cx_family_text, "256"));
    assert_int_equal(cx_corpus_bytes(corpus, CX_SPLIT_VALIDATION), 24);
    assert_true(cx_corpus_tokens(corpus, CX_SPLIT_TEST) < 200);
    assert_true(cx_corpus_tokens(corpus, CX_SPLIT_VALIDATION) >= 20); /* zz is no token */
    for (int split = 0; split < 3; split++) {
        double metric[CX_TASK_METRICS];
        double loss = cx_task_evaluate(l.task, l.block, (cx_split)split, 0, metric);
        double bits = loss * (double)cx_corpus_tokens(corpus, split) / log(2) /
                      (double)cx_corpus_bytes(corpus, split);
        assert_true(fabs(metric[1] - bits) < 1e-12);
        assert_true(split == CX_SPLIT_VALIDATION || metric[1] < 0.7 * loss / log(2));
    }
    drop_live(&l);
    cx_data_store_close(s);
}

/* --- learning --- */

static void test_learns(void **state) {
    (void)state;
    cx_task_spec spec = small(9, 8, 8);
    live l = make(&spec);
    double start = cx_task_step(l.task, l.block, l.grads, 0);
    assert_true(fabs(start - log(256)) < 0.4);
    for (uint32_t s = 0; s < 150; s++) {
        double loss = cx_task_step(l.task, l.block, l.grads, s);
        assert_true(isfinite(loss));
        for (size_t i = 0; i < l.task->param_count; i++)
            l.block[i] -= 0.5f * l.grads[i];
    }
    /* "the next number" is one rule; the other splits' bytes were never seen */
    assert_true(cx_task_evaluate(l.task, l.block, CX_SPLIT_TRAIN, 0, NULL) < 1);
    assert_true(cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, NULL) > log(256));
    drop_live(&l);
}

/* --- configurations --- */

static void refuse(const char *path, const char *entry, const char *said) {
    cx_config c;
    cx_data_store *s;
    cx_error err = {0};
    configure(&c, path, entry);
    if (!cx_data_store_open(&c, &s, &err))
        fail_msg("not refused: %s", entry);
    if (!strstr(err.message, said) || !strstr(err.message, "tasks.0 (text)"))
        fail_msg("%s: no '%s' in '%s'", entry, said, err.message);
}

static void test_faults(void **state) {
    (void)state;
    refuse(folder, ", embedding: [64, 60], heads: [2, 8]", "heads");
    refuse(folder, ", context: [16, 48], tokens: 512", "multiple of context");
    refuse(folder, ", context: 32, tokens: 16", "multiple of context");
    refuse(folder, ", context: {log_int: [2, 64]}", "context must be a constant or a list");
    refuse(folder, ", context: 128, tokens: 128", "80 tokens"); /* training has no window */
    refuse(folder, ", vocabulary: 65536, context: 4096, tokens: 1000000", "multiple");
    refuse(folder, ", vocabulary: 65536, context: 1000, tokens: 1000000", "2^31");
    refuse("", "", "data.text is empty");
    refuse("/nowhere", "", "data.text: /nowhere");
    char path[300];
    cx_error err = {0};
    (void)snprintf(path, sizeof path, "%s/none", folder);
    assert_ok(cx_file_make_dirs(path, &err));
    refuse(path, "", "no training file");
}

static void test_identity(void **state) {
    (void)state;
    cx_task_spec spec = small(1, 4, 4);
    cx_config other;
    configure(&other, "/elsewhere", "");
    assert_true(cx_task_hash(&spec, &config) != cx_task_hash(&spec, &other));
    configure(&other, folder, "");
    assert_true(cx_task_hash(&spec, &config) == cx_task_hash(&spec, &other));
}

static void test_cost(void **state) {
    (void)state;
    cx_task_spec spec = make_spec("text", 1);
    set(&spec, "inner_steps", 100);
    double one = cx_task_family_at((int)spec.family)->flops_per_step(&spec, &config);
    assert_true(fabs(cx_task_gflop(&spec, &config) - 1e-9 * one * 100) < 1e-6);
    set(&spec, "tokens", 2048);
    double two = cx_task_family_at((int)spec.family)->flops_per_step(&spec, &config);
    assert_true(two > 1.7 * one && two < 2 * one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trains_on_every_place_of_the_training_split_alone),
        cmocka_unit_test(test_windows_follow_the_text),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_windows_cover_without_overlap),
        cmocka_unit_test(test_last_window_is_shorter),
        cmocka_unit_test(test_bounds_of_evaluation),
        cmocka_unit_test(test_evaluation_changes_nothing),
        cmocka_unit_test(test_learned_vocabulary),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
