/* Running parity and binary addition: labels, splits, batches, evaluation, learning. */
#include "tests/test.h"

#include "tasks/algo_problems.h"
#include "tasks/recurrent_net.h"
#include "tests/tasks/make.h"

static cx_config config;

static int set_up(void **state) {
    (void)state;
    make_config(&config, "", "  - {family: algo, outer_steps: 4}\n");
    return 0;
}

static cx_task_spec small(const char *problem, uint64_t seed) {
    cx_task_spec spec = make_spec("algo", seed);
    set_word(&spec, "problem", problem);
    set(&spec, "difficulty", 0);
    set(&spec, "hidden", 8);
    set(&spec, "batch_size", 16);
    return spec;
}

/* --- the problems --- */

static void test_lengths(void **state) {
    (void)state;
    for (int i = 0; i <= 100; i++) {
        double d = i / 100.0;
        for (int problem = 0; problem < CX_ALGO_PROBLEMS; problem++) {
            int n = cx_algo_length(problem, d);
            cx_algo a = {problem, n, 1};
            assert_true(n >= (i ? cx_algo_length(problem, d - 0.01) : 1));
            assert_true(n <= CX_ALGO_LENGTH_MAX && cx_algo_bits(&a) >= 8 && cx_algo_bits(&a) <= 64);
        }
    }
    assert_int_equal(cx_algo_length(CX_ALGO_XOR, 0), 8);
    assert_int_equal(cx_algo_length(CX_ALGO_XOR, 1), 32);
    assert_int_equal(cx_algo_length(CX_ALGO_ADDITION, 0), 4);
    assert_int_equal(cx_algo_length(CX_ALGO_ADDITION, 1), 32);
}

/* Every label against the machine's own arithmetic. */
static void test_labels_are_exact(void **state) {
    (void)state;
    cx_rng rng = cx_rng_make(3, 0, CX_STREAM_TEST);
    int label[CX_ALGO_LENGTH_MAX];
    for (int length = 1; length <= 32; length++)
        for (int i = 0; i < 2000; i++) {
            uint64_t mask = ((uint64_t)1 << length) - 1;
            uint64_t x = cx_rng_u32(&rng) & mask, y = cx_rng_u32(&rng) & mask;
            if (i == 0)
                x = y = mask; /* every step has a carry */
            cx_algo sum = {CX_ALGO_ADDITION, length, 7}, parity = {CX_ALGO_XOR, length, 7};
            cx_algo_labels(&sum, y << length | x, label);
            for (int t = 0; t < length; t++) {
                assert_int_equal(label[t], (int)((x + y) >> t & 1));
                assert_int_equal(cx_algo_input(&sum, y << length | x, t, 0), (int)(x >> t & 1));
                assert_int_equal(cx_algo_input(&sum, y << length | x, t, 1), (int)(y >> t & 1));
            }
            cx_algo_labels(&parity, x, label);
            for (int t = 0; t < length; t++) {
                uint64_t so_far = x & (((uint64_t)2 << t) - 1);
                assert_int_equal(label[t], __builtin_popcountll(so_far) % 2);
                assert_int_equal(cx_algo_input(&parity, x, t, 0), (int)(x >> t & 1));
            }
        }
}

/* Every pattern is in one split, none of the three is empty, whatever length and seed; the
 * lists are of their split, without repetition, and complete where that is possible. */
static void test_splits(void **state) {
    (void)state;
    enum { MAX = 4096 };
    static uint64_t list[MAX];
    static unsigned char seen[1 << 16];
    for (int problem = 0; problem < CX_ALGO_PROBLEMS; problem++)
        for (uint64_t seed = 0; seed < 300; seed++) {
            double d = (double)(seed % 5) / 4;
            cx_algo a = {problem, cx_algo_length(problem, d), seed};
            int bits = cx_algo_bits(&a);
            uint32_t total = 0, of[CX_SPLITS];
            if (bits > 14 && seed > 20)
                continue;
            memset(seen, 0, sizeof seen);
            for (int s = 0; s < CX_SPLITS; s++) {
                cx_rng rng = cx_rng_make(seed, (uint64_t)s, CX_STREAM_TEST);
                of[s] = cx_algo_list(&a, (cx_split)s, &rng, list, MAX);
                for (uint32_t i = 0; i < of[s]; i++) {
                    assert_true(cx_algo_split(&a, list[i]) == (cx_split)s);
                    assert_true(bits == 64 || list[i] >> bits == 0);
                    if (bits <= 16)
                        assert_int_equal(seen[list[i]]++, 0);
                    assert_true(cx_algo_split(&a, cx_algo_draw(&a, (cx_split)s, &rng)) ==
                                (cx_split)s);
                }
                total += of[s];
            }
            assert_true(of[1] >= 5 && of[2] >= 5);
            assert_true(bits > 11 ? total == 3 * MAX || bits < 16 : total == (uint32_t)1 << bits);
        }
}

/* The same two numbers, in either order, are one example. */
static void test_order_of_summands(void **state) {
    (void)state;
    cx_rng rng = cx_rng_make(4, 0, CX_STREAM_TEST);
    for (int length = 4; length <= 32; length++)
        for (int i = 0; i < 500; i++) {
            cx_algo a = {CX_ALGO_ADDITION, length, 11};
            uint64_t mask = ((uint64_t)1 << length) - 1;
            uint64_t x = cx_rng_u32(&rng) & mask, y = cx_rng_u32(&rng) & mask;
            assert_true(cx_algo_split(&a, y << length | x) == cx_algo_split(&a, x << length | y));
        }
}

/* Shares of about 8 : 1 : 1, and splits that change with the seed. */
static void test_shares(void **state) {
    (void)state;
    int count[CX_SPLITS] = {0}, moved = 0;
    for (uint64_t pattern = 0; pattern < 20000; pattern++) {
        cx_algo a = {CX_ALGO_XOR, 20, 1}, b = {CX_ALGO_XOR, 20, 2};
        count[cx_algo_split(&a, pattern)]++;
        moved += cx_algo_split(&a, pattern) != cx_algo_split(&b, pattern);
    }
    for (int s = 1; s < CX_SPLITS; s++) /* deviation 42 */
        assert_true(count[s] > 1800 && count[s] < 2200);
    assert_true(moved > 5000);
}

/* --- the task --- */

/* Where a task's training inputs and labels stand: the graph is built in a fixed order. */
static cx_recurrent_refs refs_of(const cx_task_spec *spec, cx_algo *a, int *inputs) {
    a->problem = (int)cx_task_value(spec, "problem");
    a->length = cx_algo_length(a->problem, cx_task_value(spec, "difficulty"));
    a->seed = spec->seed;
    *inputs = cx_algo_inputs(a->problem);
    cx_recurrent_net net = {.architecture = (int)cx_task_value(spec, "architecture"),
                            .layers = (int)cx_task_value(spec, "layers"),
                            .hidden = (int)cx_task_value(spec, "hidden"),
                            .dropout = cx_task_value(spec, "dropout"),
                            .inputs = *inputs,
                            .classes = 2,
                            .every_step = true};
    cx_graph *g = cx_graph_create();
    cx_recurrent_refs r =
        cx_recurrent_net_build(&net, a->length, (int)cx_task_value(spec, "batch_size"), true, g);
    cx_graph_destroy(g);
    return r;
}

/* What the newest step was trained on. */
static uint64_t pattern_of(const live *l, const cx_recurrent_refs *r, const cx_algo *a, int inputs,
                           int row) {
    uint64_t pattern = 0;
    for (int t = 0; t < a->length; t++) {
        const float *x = cx_recurrent_numbers(l->task->graph, r, inputs, t, row);
        for (int i = 0; i < inputs; i++) {
            assert_true(x[i] == 1 || x[i] == -1);
            pattern |= (uint64_t)(x[i] > 0) << (i * a->length + t);
        }
    }
    return pattern;
}

static void test_trains_on_training_patterns_alone(void **state) {
    (void)state;
    for (int problem = 0; problem < CX_ALGO_PROBLEMS; problem++)
        for (int hard = 0; hard < 2; hard++) {
            cx_task_spec spec = small(cx_algo_problem_words[problem], 21);
            set(&spec, "difficulty", hard);
            cx_algo a;
            int inputs, label[CX_ALGO_LENGTH_MAX], kinds = 0;
            static unsigned char seen[256];
            cx_recurrent_refs r = refs_of(&spec, &a, &inputs);
            live l = make_live(&spec, &config, NULL);
            memset(seen, 0, sizeof seen);
            for (uint32_t s = 0; s < 100; s++) {
                (void)cx_task_step(l.task, l.block, l.grads, s);
                for (int row = 0; row < r.batch; row++) {
                    uint64_t pattern = pattern_of(&l, &r, &a, inputs, row);
                    assert_int_equal(cx_algo_split(&a, pattern), CX_SPLIT_TRAIN);
                    cx_algo_labels(&a, pattern, label);
                    for (int t = 0; t < a.length; t++)
                        assert_int_equal(
                            cx_graph_value_int(l.task->graph, r.labels)[t * r.batch + row],
                            label[t]);
                    kinds += !hard && seen[pattern]++ == 0;
                }
            }
            assert_true(hard || kinds > 180); /* of about 205, in 1,600 draws */
            drop_live(&l);
        }
}

static void test_same_bits(void **state) {
    (void)state;
    cx_task_spec spec = small("addition", 13);
    set(&spec, "dropout", 0.3);
    set(&spec, "layers", 2);
    check_same_bits(&spec, &config, NULL, 40);
}

/* Dropout: between layers and before the output, in training alone. */
static void test_dropout(void **state) {
    (void)state;
    for (int layers = 1; layers <= 2; layers++) {
        cx_task_spec spec = small("xor", 6);
        set(&spec, "layers", layers);
        live plain = make_live(&spec, &config, NULL);
        set(&spec, "dropout", 0.5);
        live l = make_live(&spec, &config, NULL);
        double metric[CX_TASK_METRICS];
        assert_int_equal(l.task->state_count, plain.task->state_count);
        assert_true(cx_task_step(l.task, l.block, l.grads, 0) !=
                    cx_task_step(plain.task, plain.block, plain.grads, 0));
        assert_true(cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, metric) ==
                    cx_task_evaluate(plain.task, l.block, CX_SPLIT_TEST, 0, metric));
        drop_live(&l);
        drop_live(&plain);
    }
}

/* Evaluation changes nothing, and counts every example once: 1, 2, .. of them add up, over
 * several passes of which the last is not full. */
static void test_evaluates_every_example(void **state) {
    (void)state;
    cx_task_spec spec = small("addition", 7);
    live l = make_live(&spec, &config, NULL);
    size_t bytes = l.task->state_count * sizeof(float);
    float *copy = malloc(bytes);
    memcpy(copy, l.block, bytes);
    cx_algo a = {CX_ALGO_ADDITION, 4, 7};
    int of[CX_SPLITS] = {0};
    for (uint64_t p = 0; p < 256; p++)
        of[cx_algo_split(&a, p)]++;
    for (int s = 0; s < CX_SPLITS; s++) {
        double m[CX_TASK_METRICS], all = cx_task_evaluate(l.task, l.block, (cx_split)s, 0, m);
        double bits = 4 * m[0] * of[s], whole = m[1] * of[s];
        assert_true(fabs(bits - round(bits)) < 1e-9 && fabs(whole - round(whole)) < 1e-9);
        assert_true(m[0] >= m[1] && m[0] <= 1);
        double before = 0;
        for (int n = 1; n <= of[s]; n++) {
            double total = n * cx_task_evaluate(l.task, l.block, (cx_split)s, n, m);
            assert_true(total > before + 0.2 && total < before + 2); /* an example's loss */
            bits = 4 * m[0] * n;
            assert_true(fabs(bits - round(bits)) < 1e-9);
            before = total;
        }
        assert_true(fabs(before / of[s] - all) < 1e-12);
        assert_true(cx_task_evaluate(l.task, l.block, (cx_split)s, of[s] + 1, NULL) == all);
    }
    assert_memory_equal(copy, l.block, bytes);
    free(copy);
    drop_live(&l);
}

/* The evaluated loss is the one of training: all examples of both are at hand where a split
 * is small; and metrics of a network that is known. */
static void test_losses_by_hand(void **state) {
    (void)state;
    cx_task_spec spec = small("xor", 5);
    live l = make_live(&spec, &config, NULL);
    memset(l.block, 0, l.task->state_count * sizeof(float));
    cx_algo a = {CX_ALGO_XOR, 8, 5};
    double m[CX_TASK_METRICS], loss = cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, m);
    assert_true(fabs(loss - log(2)) < 1e-6);
    /* of equal logits the first counts: right are the zeros */
    int zeros = 0, whole = 0, n = 0, label[CX_ALGO_LENGTH_MAX];
    for (uint64_t p = 0; p < 256; p++)
        if (cx_algo_split(&a, p) == CX_SPLIT_TEST) {
            int of_this = 0;
            cx_algo_labels(&a, p, label);
            for (int t = 0; t < 8; t++)
                of_this += label[t] == 0;
            zeros += of_this;
            whole += of_this == 8;
            n++;
        }
    assert_true(fabs(m[0] - zeros / (8.0 * n)) < 1e-12 && fabs(m[1] - (double)whole / n) < 1e-12);
    assert_true(fabs(cx_task_step(l.task, l.block, l.grads, 0) - log(2)) < 1e-6);
    /* the output's bias alone: the same numbers in training's batch and by hand */
    cx_algo of;
    int inputs, ones = 0;
    cx_recurrent_refs r = refs_of(&spec, &of, &inputs);
    const cx_param *bias =
        cx_graph_param_info(l.task->graph, cx_graph_param_tensors(l.task->graph) - 1);
    assert_string_equal(bias->name, "out.bias");
    l.block[bias->offset + 1] = 1;
    double trained = cx_task_step(l.task, l.block, l.grads, 3);
    for (int i = 0; i < 8 * r.batch; i++)
        ones += cx_graph_value_int(l.task->graph, r.labels)[i];
    assert_true(fabs(trained - (log(1 + exp(1)) - ones / (8.0 * r.batch))) < 1e-5);
    drop_live(&l);
}

/* --- learning --- */

static double loss_after(live *l, int steps, double lr) {
    adam(l, steps, lr);
    return cx_task_evaluate(l->task, l->block, CX_SPLIT_VALIDATION, 0, NULL);
}

/* Patterns that were never trained on are added up, and their parity is found. */
static void test_learns(void **state) {
    (void)state;
    for (int problem = 0; problem < CX_ALGO_PROBLEMS; problem++)
        for (int kind = CX_RNN; kind <= CX_LSTM; kind++) {
            cx_task_spec spec = small(cx_algo_problem_words[problem], 31);
            set(&spec, "architecture", kind);
            set(&spec, "hidden", 24);
            set(&spec, "batch_size", 32);
            live l = make_live(&spec, &config, NULL);
            double before = cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL);
            double after = loss_after(&l, 200, 0.01), metric[CX_TASK_METRICS];
            (void)cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, metric);
            bool gates = kind != CX_RNN;
            if (!(after < 0.8 * before) || (gates && !(metric[0] > 0.99 && metric[1] > 0.95)))
                fail_msg("%s %s: loss %g, then %g; accuracy %g, %g", cx_algo_problem_words[problem],
                         cx_recurrent_words[kind], before, after, metric[0], metric[1]);
            drop_live(&l);
        }
}

/* --- lengths of runs, faults --- */

static void expect_steps(const cx_task_spec *spec, int steps) {
    live l = make_live(spec, &config, NULL);
    assert_int_equal(l.task->inner_steps, steps);
    assert_int_equal(cx_task_inner_steps(spec, &config), steps);
    drop_live(&l);
}

static void test_run_lengths(void **state) {
    (void)state;
    cx_task_spec spec = small("xor", 1);
    set(&spec, "outer_steps", 5);
    set(&spec, "inner_per_outer", 7);
    expect_steps(&spec, 35);
    set(&spec, "training_multiplier", 2);
    expect_steps(&spec, 300);
    set(&spec, "difficulty", 1);
    expect_steps(&spec, 800);
    set(&spec, "training_multiplier", 1e-6); /* at least one inner step each */
    expect_steps(&spec, 5);
    set(&spec, "training_multiplier", 1);
    set(&spec, "inner_steps", 303); /* goes before it: 61 x 5 */
    expect_steps(&spec, 305);
}

static void test_costs(void **state) {
    (void)state;
    cx_task_spec spec = make_spec("algo", 1);
    set(&spec, "difficulty", 1);
    live l = make_live(&spec, &config, NULL);
    double flops = l.task->family->flops_per_step(&spec, &config);
    assert_true(flops > 3 * cx_graph_flops(l.task->graph));
    assert_true(flops < 20 * cx_graph_flops(l.task->graph));
    drop_live(&l);
}

static void test_faults(void **state) {
    (void)state;
    cx_error err = {0};
    cx_task *task;
    cx_task_spec spec = small("xor", 1);
    set(&spec, "hidden", 4096);
    set(&spec, "layers", 8);
    assert_int_equal(cx_task_create(&spec, &config, NULL, &task, &err), CX_ECONFIG);
    assert_non_null(strstr(err.message, "parameters"));
    cx_config c;
    cx_data_store *store;
    make_config(&c, "",
                "  - {family: algo, name: mine, outer_steps: 2, hidden: {int: [1, 4096]},"
                " batch_size: [1, 4096]}\n");
    assert_int_equal(cx_data_store_open(&c, &store, &err), CX_ECONFIG);
    assert_non_null(strstr(err.message, "tasks.0 (mine)"));
    assert_ok(cx_data_store_open(&config, &store, &err));
    cx_data_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_labels_are_exact),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_order_of_summands),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_trains_on_training_patterns_alone),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_evaluates_every_example),
        cmocka_unit_test(test_losses_by_hand),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_run_lengths),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
