/* Sentence classification: which words and labels the network sees, splits, truncated
 * gradients, evaluation, learning. */
#include "tests/test.h"

#include "base/file.h"
#include "data/sentences.h"
#include "tasks/recurrent_net.h"
#include "tests/data/text_files.h"
#include "tests/tasks/make.h"

enum { N_TRAIN = 150, N_VALID = 40, N_TEST = 133, N_FILLERS = 20 };
static cx_config config;
static cx_data_store *store;
static cx_sentences *set_of; /* the same files, seen past the task */
static char data_lines[512];

/* Sentence i of a split: 3 .. 9 fillers and, somewhere, one of two telling words, each with
 * a label of its own; the last word is the sentence's name, which nothing else has. */
static void put_split(const char *file, const char *name, int n) {
    char *text = malloc((size_t)n * 128);
    size_t at = 0;
    unsigned x = (unsigned)n;
    for (int i = 0; i < n; i++) {
        int words = 3 + i % 7, label = i / 3 % 2;
        at += (size_t)sprintf(text + at, "%d\t", label);
        for (int k = 0; k < words; k++) {
            x = x * 1664525u + 1013904223u;
            if (k == i % words)
                at += (size_t)sprintf(text + at, "%s ", label ? "good" : "bad");
            at += (size_t)sprintf(text + at, "filler%u ", (x >> 16) % N_FILLERS);
        }
        at += (size_t)sprintf(text + at, "%s%d\n", name, i);
    }
    (void)text_write(file, text, at);
    free(text);
}

static int set_up(void **state) {
    cx_error err = {0};
    if (text_set_up(state))
        return -1;
    put_split("train.txt", "t", N_TRAIN);
    put_split("dev.txt", "v", N_VALID);
    put_split("test.txt", "e", N_TEST);
    (void)snprintf(data_lines, sizeof data_lines, "data: {sentences: %s, cache: %s}", text_folder,
                   text_folder);
    make_config(&config, data_lines, "  - {family: sentences, outer_steps: 4}\n");
    assert_ok(cx_data_store_open(&config, &store, &err));
    assert_ok(cx_sentences_open(text_folder, text_folder, &set_of, &err));
    return 0;
}

static int tear_down(void **state) {
    cx_data_store_close(store);
    cx_sentences_close(set_of);
    return text_tear_down(state);
}

static cx_task_spec small(uint64_t seed) {
    cx_task_spec spec = make_spec("sentences", seed);
    set(&spec, "length", 11);
    set(&spec, "hidden", 8);
    set(&spec, "embedding", 6);
    set(&spec, "batch_size", 10);
    return spec;
}

static live make(const cx_task_spec *spec) {
    return make_live(spec, &config, store);
}

/* Where a task's training words and labels stand: the graph is built in a fixed order. */
static cx_recurrent_refs refs_of(const live *l) {
    const cx_task_spec *s = &l->task->spec;
    cx_recurrent_net net = {.architecture = (int)cx_task_value(s, "architecture"),
                            .layers = (int)cx_task_value(s, "layers"),
                            .hidden = (int)cx_task_value(s, "hidden"),
                            .dropout = cx_task_value(s, "dropout"),
                            .vocabulary = cx_graph_param_info(l->task->graph, 0)->shape.dim[0],
                            .inputs = (int)cx_task_value(s, "embedding"),
                            .classes = 2,
                            .bptt_length = (int)cx_task_value(s, "bptt_length")};
    cx_graph *g = cx_graph_create();
    cx_recurrent_refs r = cx_recurrent_net_build(&net, (int)cx_task_value(s, "length"),
                                                 (int)cx_task_value(s, "batch_size"), true, g);
    cx_graph_destroy(g);
    return r;
}

/* The number of the training sentence whose words a row of the newest batch has; they are
 * right to the last, and so is the label. */
static uint32_t sentence_of(const live *l, const cx_recurrent_refs *r, uint32_t known, int row) {
    const cx_graph *g = l->task->graph;
    int last = *cx_recurrent_word(g, r, r->length - 1, row), found = -1;
    for (uint32_t i = 0; i < N_TRAIN; i++) {
        size_t n;
        const uint32_t *w = cx_sentences_words(set_of, 0, i, &n);
        size_t used = n < (size_t)r->length ? n : (size_t)r->length;
        bool same = true;
        for (int t = 0; t < r->length && same; t++) {
            int pad = r->length - (int)used, got = *cx_recurrent_word(g, r, t, row);
            int want = t < pad ? 0 : w[t - pad] < known ? 2 + (int)w[t - pad] : 1;
            same = got == want;
        }
        if (same && cx_graph_value_int(g, r->labels)[row] == cx_sentences_label(set_of, 0, i))
            found = (int)i;
    }
    if (found < 0)
        fail_msg("row %d, whose last word is %d, is no training sentence", row, last);
    return (uint32_t)found;
}

static void test_trains_on_training_sentences(void **state) {
    (void)state;
    uint32_t all = cx_sentences_vocabulary(set_of);
    assert_int_equal(all, N_TRAIN + N_FILLERS + 2);
    for (int cut = 0; cut < 3; cut++) {
        cx_task_spec spec = small(3);
        if (cut == 1)
            set(&spec, "bptt_length", 4); /* words stand in two stretches */
        if (cut == 2)
            set(&spec, "length", 5); /* the names, which are last, are cut off */
        live l = make(&spec);
        cx_recurrent_refs r = refs_of(&l);
        int moved = 0;
        uint32_t first[N_TRAIN];
        for (uint32_t epoch = 0; epoch < 3; epoch++) {
            unsigned char seen[N_TRAIN] = {0};
            for (uint32_t s = 0; s < N_TRAIN / 10; s++) {
                (void)cx_task_step(l.task, l.block, l.grads, epoch * N_TRAIN / 10 + s);
                for (int row = 0; row < 10; row++) {
                    uint32_t i = sentence_of(&l, &r, all, row), at = s * 10 + (uint32_t)row;
                    assert_true(cut == 2 || seen[i]++ == 0); /* once an epoch */
                    if (epoch == 0)
                        first[at] = i;
                    else
                        moved += first[at] != i;
                }
            }
        }
        assert_true(moved > 2 * N_TRAIN * 9 / 10);
        drop_live(&l);
    }
}

/* A smaller vocabulary, or one of words that are frequent enough, makes others unknown. */
static void test_vocabulary(void **state) {
    (void)state;
    cx_task_spec spec = small(4);
    live l = make(&spec);
    assert_int_equal(cx_graph_param_info(l.task->graph, 0)->shape.dim[0],
                     2 + N_TRAIN + N_FILLERS + 2);
    drop_live(&l);
    for (int k = 0; k < 2; k++) {
        if (k == 0)
            set(&spec, "vocabulary", 7);
        else {
            set(&spec, "vocabulary", 8000);
            set(&spec, "min_count", 2); /* the names are there once */
        }
        uint32_t known = k ? N_FILLERS + 2 : 5;
        l = make(&spec);
        cx_recurrent_refs r = refs_of(&l);
        assert_int_equal(cx_graph_param_info(l.task->graph, 0)->shape.dim[0], 2 + known);
        for (uint32_t s = 0; s < 20; s++) {
            (void)cx_task_step(l.task, l.block, l.grads, s);
            for (int row = 0; row < 10; row++) {
                (void)sentence_of(&l, &r, known, row);
                assert_int_equal(*cx_recurrent_word(l.task->graph, &r, r.length - 1, row), 1);
            }
        }
        assert_true(isfinite(cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, NULL)));
        drop_live(&l);
    }
}

/* --- evaluation --- */

/* A network that reads nothing (all weights 0 but the output's bias): the loss and accuracy
 * of a split follow from its labels. Any number of sentences, several passes. */
static void test_evaluates_the_split(void **state) {
    (void)state;
    cx_task_spec spec = small(7);
    live l = make(&spec);
    memset(l.block, 0, l.task->state_count * sizeof(float));
    const cx_param *bias =
        cx_graph_param_info(l.task->graph, cx_graph_param_tensors(l.task->graph) - 1);
    l.block[bias->offset + 1] = 1;
    static const int count[CX_SPLITS] = {N_TRAIN, N_VALID, N_TEST};
    for (int s = 0; s < CX_SPLITS; s++) {
        double m[CX_TASK_METRICS], before = 0;
        int ones = 0;
        for (int i = 0; i < count[s]; i++)
            ones += cx_sentences_label(set_of, s, (uint32_t)i);
        assert_true(ones > 0 && ones < count[s]);
        for (int n = 1; n <= count[s]; n++) {
            double total = n * cx_task_evaluate(l.task, l.block, (cx_split)s, n, m) - before;
            double zero = log(1 + exp(1)), one = zero - 1; /* loss of either label */
            assert_true(fabs(total - zero) < 1e-4 || fabs(total - one) < 1e-4);
            before += total;
        }
        assert_true(fabs(m[0] - (double)ones / count[s]) < 1e-12 && isnan(m[1]));
        double all = cx_task_evaluate(l.task, l.block, (cx_split)s, 0, NULL);
        assert_true(fabs(all * count[s] - before) < 1e-6);
        assert_true(cx_task_evaluate(l.task, l.block, (cx_split)s, 100000, NULL) == all);
    }
    drop_live(&l);
}

static void test_evaluation_changes_nothing(void **state) {
    (void)state;
    for (int kind = CX_RNN; kind <= CX_LSTM; kind++) {
        cx_task_spec spec = small(11);
        set(&spec, "architecture", kind);
        set(&spec, "layers", 2);
        live plain = make(&spec);
        set(&spec, "dropout", 0.5);
        set(&spec, "bptt_length", 3);
        live l = make(&spec);
        size_t bytes = l.task->state_count * sizeof(float);
        float *copy = malloc(bytes);
        assert_memory_equal(l.block, plain.block, bytes);
        memcpy(copy, l.block, bytes);
        double a = cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, NULL);
        assert_true(cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, NULL) == a);
        assert_memory_equal(copy, l.block, bytes);
        /* dropout and truncated gradients are training's */
        assert_true(cx_task_evaluate(plain.task, l.block, CX_SPLIT_TEST, 0, NULL) == a);
        free(copy);
        drop_live(&l);
        drop_live(&plain);
    }
}

/* The whole training split as a batch: the loss of training is the evaluated one. */
static void test_training_loss_is_the_evaluated_one(void **state) {
    (void)state;
    for (int kind = CX_RNN; kind <= CX_LSTM; kind++) {
        cx_task_spec spec = small(9);
        set(&spec, "architecture", kind);
        set(&spec, "batch_size", N_TRAIN);
        set(&spec, "bptt_length", 4);
        live l = make(&spec);
        double a = cx_task_step(l.task, l.block, l.grads, 2);
        double b = cx_task_evaluate(l.task, l.block, CX_SPLIT_TRAIN, 0, NULL);
        assert_true(fabs(a - b) < 1e-5);
        drop_live(&l);
    }
}

/* --- a step is a function of (spec, step, block) --- */

static void test_same_bits(void **state) {
    (void)state;
    cx_task_spec spec = small(13);
    set(&spec, "dropout", 0.3);
    set(&spec, "layers", 2);
    set(&spec, "bptt_length", 5);
    check_same_bits(&spec, &config, store, 40);
}

/* bptt_length as long as the sentences: the same bits; shorter: not. */
static void test_bptt(void **state) {
    (void)state;
    cx_task_spec spec = small(17);
    live full = make(&spec);
    size_t bytes = full.task->param_count * sizeof(float);
    double loss = cx_task_step(full.task, full.block, full.grads, 1);
    for (int k = 1; k <= 12; k++) {
        set(&spec, "bptt_length", k);
        live cut = make(&spec);
        double same = cx_task_step(cut.task, cut.block, cut.grads, 1);
        assert_true(fabs(same - loss) < 1e-6);
        if (k >= 11)
            assert_memory_equal(cut.grads, full.grads, bytes);
        else
            assert_memory_not_equal(cut.grads, full.grads, bytes);
        drop_live(&cut);
    }
    drop_live(&full);
}

/* --- learning --- */

static double loss_after(live *l, int steps, double lr) {
    adam(l, steps, lr);
    return cx_task_evaluate(l->task, l->block, CX_SPLIT_VALIDATION, 0, NULL);
}

static void test_learns(void **state) {
    (void)state;
    for (int kind = CX_RNN; kind <= CX_LSTM; kind++)
        for (int layers = 1; layers <= 2; layers++) {
            cx_task_spec spec = small(31);
            double metric[CX_TASK_METRICS];
            set(&spec, "architecture", kind);
            set(&spec, "layers", layers);
            set(&spec, "hidden", 16);
            set(&spec, "min_count", 2); /* names say nothing about other sentences */
            live l = make(&spec);
            double before = cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL);
            double after = loss_after(&l, 400, 0.01);
            (void)cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, metric);
            if (!(after < 0.5 * before && metric[0] > 0.9))
                fail_msg("%s, %d layers: loss %g, then %g; accuracy %g", cx_recurrent_words[kind],
                         layers, before, after, metric[0]);
            drop_live(&l);
        }
}

/* --- lengths, costs, faults --- */

static void test_lengths(void **state) {
    (void)state;
    cx_task_spec spec = small(1);
    set(&spec, "outer_steps", 5);
    set(&spec, "inner_per_outer", 7);
    check_inner_steps(&spec, &config, store, 35);
    set(&spec, "epochs", 4);
    /* 4 * 150 / 10 / 5 = 12, of the sentences that there are */
    check_inner_steps(&spec, &config, store, 60);
    set(&spec, "batch_size", 64); /* the full set is SST's: 4 * 8544 / 64 / 5 = 107 */
    assert_int_equal(cx_task_inner_steps(&spec, &config), 535);
    set(&spec, "inner_steps", 303); /* goes before epochs: 61 x 5 */
    check_inner_steps(&spec, &config, store, 305);
    assert_int_equal(cx_task_inner_steps(&spec, &config), 305);
}

static void test_costs(void **state) {
    (void)state;
    cx_task_spec spec = make_spec("sentences", 1);
    set(&spec, "vocabulary", 100);
    live l = make(&spec);
    double flops = l.task->family->flops_per_step(&spec, &config);
    assert_true(flops > 3 * cx_graph_flops(l.task->graph));
    assert_true(flops < 20 * cx_graph_flops(l.task->graph));
    set(&spec, "bptt_length", 4);
    assert_true(l.task->family->flops_per_step(&spec, &config) < flops);
    drop_live(&l);
}

static void expect_store_fault(const char *more, const char *row, int code, const char *word) {
    char rows[512];
    (void)snprintf(rows, sizeof rows, "  - {family: sentences, name: mine, outer_steps: 2%s}\n",
                   row);
    check_store_fault(more, rows, code, word);
}

static void test_faults(void **state) {
    (void)state;
    cx_error err = {0};
    cx_task *task;
    cx_task_spec spec = small(1);
    assert_int_equal(cx_task_create(&spec, &config, NULL, &task, &err), CX_ESTATE);
    set(&spec, "hidden", 4096);
    set(&spec, "layers", 8);
    assert_int_equal(cx_task_create(&spec, &config, store, &task, &err), CX_ECONFIG);
    assert_non_null(strstr(err.message, "parameters"));
    expect_store_fault("", "", CX_ECONFIG, "data.sentences is empty");
    expect_store_fault("data: {sentences: /nowhere}", "", CX_EDATA, "data.sentences: /nowhere");
    expect_store_fault(data_lines, ", hidden: {int: [1, 4096]}, layers: [1, 8]", CX_ECONFIG,
                       "tasks.0 (mine)");
}

static void test_sst(void **state) {
    (void)state;
    char path[512], more[600];
    CX_SHARED_OR_SKIP(path, "data/sst/train.txt.gz");
    *strrchr(path, '/') = 0;
    cx_config c;
    cx_data_store *s;
    cx_error err;
    (void)snprintf(more, sizeof more, "data: {sentences: %s, cache: %s}", path, text_folder);
    make_config(&c, more, "  - {family: sentences, outer_steps: 2}\n");
    assert_ok(cx_data_store_open(&c, &s, &err));
    cx_task_spec spec = make_spec("sentences", 1);
    set(&spec, "length", 16);
    set(&spec, "hidden", 16);
    set(&spec, "embedding", 32);
    set(&spec, "vocabulary", 4000);
    live l = make_live(&spec, &c, s);
    double before = cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL);
    assert_true(fabs(before - log(5)) < 0.1);
    double metric[CX_TASK_METRICS], after = loss_after(&l, 500, 3e-3);
    (void)cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, metric);
    /* the labels' shares alone give 1.573 and 26 % */
    if (!(after < 1.55 && metric[0] > 0.29))
        fail_msg("loss %g, accuracy %g", after, metric[0]);
    drop_live(&l);
    cx_data_store_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trains_on_training_sentences),
        cmocka_unit_test(test_vocabulary),
        cmocka_unit_test(test_evaluates_the_split),
        cmocka_unit_test(test_evaluation_changes_nothing),
        cmocka_unit_test(test_training_loss_is_the_evaluated_one),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_bptt),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_sst),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
