#include "tests/test.h"

#include "base/file.h"
#include "data/images.h"
#include "tasks/images_net.h"
#include "tests/tasks/make.h"

enum { N_FILES = 500, N_TEST = 70, N_VALID = 100, N_TRAIN = N_FILES - N_VALID };
static char folder[] = "/tmp/cx-test-task-images-XXXXXX";
static cx_config config;
static cx_data_store *store;
static cx_images *images; /* the same files, seen past the task */

static int set_up(void **state) {
    (void)state;
    cx_error err = {0};
    char more[512];
    if (!mkdtemp(folder))
        return -1;
    put_set(folder, N_FILES, N_TEST, "");
    (void)snprintf(more, sizeof more, "data: {fashion_mnist: %s, validation_examples: %d}", folder,
                   N_VALID);
    make_config(&config, more,
                "  - {family: images, outer_steps: 4, resolution: [28, 7]}\n"
                "  - {family: images, outer_steps: 4, resolution: [14, 7], whiten: [0, 1]}\n");
    assert_ok(cx_data_store_open(&config, &store, &err));
    static const cx_image_want wants[] = {{28, false}, {7, false}};
    assert_ok(cx_images_open(folder, N_VALID, wants, 2, &images, &err));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    cx_data_store_close(store);
    cx_images_close(images);
    return cx_file_remove_all(folder, NULL);
}

static cx_task_spec small(uint64_t seed) {
    cx_task_spec spec = make_spec("images", seed);
    set(&spec, "resolution", 7);
    set(&spec, "layers", 1);
    set(&spec, "width", 12);
    set(&spec, "batch_size", 16);
    return spec;
}

static live make(const cx_task_spec *spec) {
    return make_live(spec, &config, store);
}

/* --- which examples training sees --- */

/* With one example a batch and no hidden layer, the gradients are (p - y) x and (p - y):
 * they betray the example's number, which is in its first pixels, and its label. */
static uint32_t spy(live *l, uint32_t step, int *label) {
    const cx_image_view *v = cx_images_view(images, (cx_image_want){28, false});
    (void)cx_task_step(l->task, l->block, l->grads, step);
    const float *w = l->grads + cx_graph_param_info(l->task->graph, 0)->offset;
    const float *b = l->grads + cx_graph_param_info(l->task->graph, 1)->offset;
    *label = 0;
    for (int k = 1; k < 10; k++)
        if (b[k] < b[*label])
            *label = k;
    uint32_t id = 0;
    for (int i = 0; i < 4; i++) {
        double pixel = (w[*label * 784 + i] / b[*label] - v->bias) / v->gain;
        assert_true(fabs(pixel - round(pixel)) < 0.1);
        id = id << 8 | (uint32_t)lround(pixel);
    }
    return id;
}

static cx_task_spec spied(uint64_t seed) {
    cx_task_spec spec = make_spec("images", seed);
    set(&spec, "layers", 0);
    set(&spec, "batch_size", 1);
    return spec;
}

/* id -> split, from the data set itself; 9 where no example has it */
static void splits_of_ids(unsigned char split[2 * N_FILES]) {
    const cx_image_view *v = cx_images_view(images, (cx_image_want){28, false});
    memset(split, 9, 2 * N_FILES);
    for (int s = 0; s < 3; s++)
        for (uint32_t i = 0; i < cx_images_count(images, s); i++) {
            const uint8_t *p =
                (const uint8_t *)v->pixels + (size_t)(cx_images_first(images, s) + i) * 784;
            split[p[2] << 8 | p[3]] = (unsigned char)s;
        }
}

static void test_trains_on_training_examples_alone(void **state) {
    (void)state;
    unsigned char split[2 * N_FILES];
    splits_of_ids(split);
    cx_task_spec spec = spied(1);
    live l = make(&spec);
    uint32_t first[N_TRAIN];
    int moved = 0;
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        unsigned char seen[2 * N_FILES] = {0};
        for (uint32_t i = 0; i < N_TRAIN; i++) {
            int label;
            uint32_t id = spy(&l, epoch * N_TRAIN + i, &label);
            assert_true(id < 2 * N_FILES);
            assert_int_equal(split[id], CX_SPLIT_TRAIN);
            assert_int_equal(seen[id]++, 0); /* once an epoch, which makes all of them */
            assert_int_equal(label, (int)(id / 2 % 10));
            if (epoch == 0)
                first[i] = id;
            else
                moved += first[i] != id;
        }
    }
    assert_true(moved > 2 * N_TRAIN * 9 / 10); /* each epoch in an order of its own */
    drop_live(&l);
}

static void test_subset(void **state) {
    (void)state;
    enum { SUBSET = 30 };
    unsigned char seen[2][2 * N_FILES] = {{0}};
    for (int k = 0; k < 2; k++) {
        cx_task_spec spec = spied((uint64_t)k);
        set(&spec, "train_examples", SUBSET);
        live l = make(&spec);
        for (uint32_t i = 0; i < 2 * SUBSET; i++) {
            int label;
            seen[k][spy(&l, i, &label)]++;
        }
        int members = 0;
        for (int id = 0; id < 2 * N_FILES; id++) {
            assert_true(seen[k][id] == 0 || seen[k][id] == 2); /* in both epochs */
            members += seen[k][id] > 0;
        }
        assert_int_equal(members, SUBSET);
        drop_live(&l);
    }
    assert_memory_not_equal(seen[0], seen[1], sizeof seen[0]); /* the task's own choice */
}

static void test_label_noise(void **state) {
    (void)state;
    cx_task_spec spec = spied(5);
    set(&spec, "label_noise", 0.4);
    live l = make(&spec);
    int wrong = 0, of[2 * N_FILES];
    for (uint32_t i = 0; i < 2 * N_TRAIN; i++) {
        int label;
        uint32_t id = spy(&l, i, &label);
        if (i < N_TRAIN) {
            of[id] = label;
            wrong += label != (int)(id / 2 % 10);
        } else {
            assert_int_equal(of[id], label); /* noise belongs to the example */
        }
    }
    /* 0.4 * 9/10 of 400: 144, deviation 9.6 */
    assert_true(wrong > 106 && wrong < 182);
    spec = spied(5);
    live clean = make(&spec);
    for (int s = 0; s < 3; s++) {
        double a = cx_task_evaluate(l.task, l.block, (cx_split)s, 0, NULL);
        double b = cx_task_evaluate(clean.task, clean.block, (cx_split)s, 0, NULL);
        assert_true(a == b); /* nothing of it in evaluation */
    }
    drop_live(&l);
    drop_live(&clean);
}

/* --- evaluation --- */

/* Loss of softmax regression on one example of a split, by hand. */
static double by_hand(const live *l, uint32_t example) {
    const cx_image_view *v = cx_images_view(images, (cx_image_want){7, false});
    const float *w = l->block + cx_graph_param_info(l->task->graph, 0)->offset;
    const float *b = l->block + cx_graph_param_info(l->task->graph, 1)->offset;
    float x[49];
    double z[10], sum = 0;
    cx_image_view_copy(v, example, 1, x);
    for (int k = 0; k < 10; k++) {
        z[k] = b[k];
        for (int i = 0; i < 49; i++)
            z[k] += (double)w[k * 49 + i] * x[i];
        sum += exp(z[k]);
    }
    return log(sum) - z[cx_images_label(images, example)];
}

/* Whatever the number of examples, also where it takes two passes (of 256 rows) and the
 * last one is not full: the mean over so many different examples of that very split. */
static void test_evaluates_the_split(void **state) {
    (void)state;
    cx_task_spec spec = small(7);
    set(&spec, "layers", 0);
    live l = make(&spec);
    for (int s = 0; s < 3; s++) {
        int n = (int)cx_images_count(images, s), used[N_TRAIN] = {0};
        double before = 0, losses[N_TRAIN];
        for (int i = 0; i < n; i++)
            losses[i] = by_hand(&l, cx_images_first(images, s) + (uint32_t)i);
        for (int k = 1; k <= n; k++) {
            double total = k * cx_task_evaluate(l.task, l.block, (cx_split)s, k, NULL);
            int best = -1;
            for (int i = 0; i < n; i++)
                if (!used[i] && (best < 0 || fabs(total - before - losses[i]) <
                                                 fabs(total - before - losses[best])))
                    best = i;
            assert_true(fabs(total - before - losses[best]) < 1e-4);
            used[best] = 1;
            before = total;
        }
        double all = cx_task_evaluate(l.task, l.block, (cx_split)s, 0, NULL);
        assert_true(fabs(all - before / n) < 1e-9);
        assert_true(all == cx_task_evaluate(l.task, l.block, (cx_split)s, 1000000, NULL));
    }
    drop_live(&l);
}

/* The rows' losses of evaluation, and the one of the graph. */
static void test_training_loss_is_the_evaluated_one(void **state) {
    (void)state;
    for (int loss = 0; cx_image_loss_words[loss]; loss++) {
        cx_task_spec spec = small(9);
        set(&spec, "loss", loss);
        set(&spec, "loss_scale", 3);
        set(&spec, "batch_size", N_TRAIN); /* a batch is the whole subset */
        live l = make(&spec);
        double a = cx_task_step(l.task, l.block, l.grads, 0);
        double b = cx_task_evaluate(l.task, l.block, CX_SPLIT_TRAIN, 0, NULL);
        if (!(fabs(a - b) < 1e-6 * a))
            fail_msg("%s: %.9g in training, %.9g in evaluation", cx_image_loss_words[loss], a, b);
        drop_live(&l);
    }
}

static void test_row_loss_is_finite_where_it_can_be(void **state) {
    (void)state;
    float x[10] = {1e30f, -1e30f};
    assert_true(cx_image_row_loss(CX_IMAGE_CROSS_ENTROPY, x, 0) == 0);
    assert_true(cx_image_row_loss(CX_IMAGE_CROSS_ENTROPY, x, 1) > 1e29);
    x[3] = NAN;
    for (int loss = 0; loss < 4; loss++)
        assert_true(!isfinite(cx_image_row_loss(loss, x, 0)));
    float y[10] = {0.5f, 3}; /* against class 0: |d| = 0.5 and 3, the rest 0 */
    assert_true(fabs(cx_image_row_loss(CX_IMAGE_MSE, y, 0) - 0.925) < 1e-12);
    assert_true(fabs(cx_image_row_loss(CX_IMAGE_MAE, y, 0) - 0.35) < 1e-12);
    assert_true(fabs(cx_image_row_loss(CX_IMAGE_HUBER, y, 0) - (0.125 + 2.5) / 10) < 1e-12);
}

static void test_evaluation_changes_nothing_and_drops_nothing(void **state) {
    (void)state;
    for (int arch = 0; arch < 2; arch++) {
        cx_task_spec spec = small(11);
        set(&spec, "architecture", arch);
        set(&spec, "width", arch ? 1 : 12);
        set_word(&spec, "norm", "batch");
        set_word(&spec, "activation", "rrelu");
        live plain = make(&spec);
        set(&spec, "dropout", 0.5);
        live l = make(&spec);
        size_t bytes = l.task->state_count * sizeof(float);
        assert_true(l.task->state_count > l.task->param_count); /* running statistics */
        float *copy = malloc(bytes);
        for (uint32_t s = 0; s < 5; s++)
            (void)cx_task_step(l.task, l.block, l.grads, s);
        assert_memory_not_equal(l.block + l.task->param_count, plain.block + l.task->param_count,
                                (l.task->state_count - l.task->param_count) * sizeof(float));
        memcpy(copy, l.block, bytes);
        double m1[CX_TASK_METRICS], m2[CX_TASK_METRICS];
        double a = cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, m1);
        double b = cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, m2);
        assert_memory_equal(copy, l.block, bytes);
        assert_true(a == b && m1[0] == m2[0] && m1[0] >= 0 && m1[0] <= 1 && isnan(m1[1]));
        /* the same parameters without dropout: the same loss */
        assert_true(cx_task_evaluate(plain.task, l.block, CX_SPLIT_TEST, 0, NULL) == a);
        free(copy);
        drop_live(&l);
        drop_live(&plain);
    }
}

/* --- a step is a function of (spec, step, block) --- */

static void test_same_bits(void **state) {
    (void)state;
    cx_task_spec spec = small(13);
    set(&spec, "dropout", 0.3);
    set_word(&spec, "activation", "rrelu");
    check_same_bits(&spec, &config, store, 40);
}

/* A training subset of one example: batches differ by nothing but their masks. */
static void test_masks_change_with_the_step(void **state) {
    (void)state;
    for (int drawn = 0; drawn < 3; drawn++) {
        cx_task_spec spec = small(19);
        set(&spec, "train_examples", 1);
        if (drawn == 1)
            set(&spec, "dropout", 0.5);
        if (drawn == 2)
            set_word(&spec, "activation", "rrelu");
        live l = make(&spec);
        double a = cx_task_step(l.task, l.block, l.grads, 0);
        double b = cx_task_step(l.task, l.block, l.grads, 1);
        assert_int_equal(a != b, drawn > 0);
        drop_live(&l);
    }
}

static void test_scales(void **state) {
    (void)state;
    cx_task_spec spec = small(15);
    live a = make(&spec);
    set(&spec, "loss_scale", 8);
    live b = make(&spec);
    assert_true(8 * cx_task_step(a.task, a.block, a.grads, 0) ==
                cx_task_step(b.task, b.block, b.grads, 0));
    for (size_t i = 0; i < a.task->param_count; i++)
        assert_true(8 * a.grads[i] == b.grads[i]); /* a power of two: exact */
    assert_true(8 * cx_task_evaluate(a.task, a.block, CX_SPLIT_TEST, 0, NULL) ==
                cx_task_evaluate(b.task, b.block, CX_SPLIT_TEST, 0, NULL));
    drop_live(&b);
    set(&spec, "loss_scale", 1);
    set(&spec, "input_scale", 4);
    live c = make(&spec); /* first layer's weights / 4 undo it */
    const cx_param *w = cx_graph_param_info(c.task->graph, 0);
    for (size_t i = 0; i < w->size; i++)
        c.block[w->offset + i] /= 4;
    double x = cx_task_step(a.task, a.block, a.grads, 0);
    double y = cx_task_step(c.task, c.block, c.grads, 0);
    assert_true(fabs(x - y) < 1e-6 * x);
    drop_live(&a);
    drop_live(&c);
}

/* --- every combination --- */

static double sgd(live *l, int steps, double lr) {
    for (uint32_t s = 0; s < (uint32_t)steps; s++) {
        double loss = cx_task_step(l->task, l->block, l->grads, s);
        assert_true(isfinite(loss) && loss >= 0);
        for (size_t i = 0; i < l->task->param_count; i++)
            l->block[i] -= (float)lr * l->grads[i];
    }
    return cx_task_evaluate(l->task, l->block, CX_SPLIT_VALIDATION, 0, NULL);
}

static void every_combination(int arch) {
    for (int norm = 0; cx_image_norm_words[norm]; norm++)
        for (int act = 0; cx_image_activation_words[act]; act++)
            for (int loss = 0; cx_image_loss_words[loss]; loss++) {
                cx_task_spec spec = small((uint64_t)(norm * 100 + act * 10 + loss));
                set(&spec, "architecture", arch);
                set(&spec, "width", arch ? 1 : 16);
                set(&spec, "norm", norm);
                set(&spec, "activation", act);
                set(&spec, "loss", loss);
                live l = make(&spec);
                double before = cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL);
                /* the cnn's last layer has 144 inputs: steeper */
                double lr = loss == CX_IMAGE_CROSS_ENTROPY ? 0.2 : arch ? 0.05 : 0.5;
                double after = sgd(&l, 60, lr);
                if (!(after < 0.95 * before))
                    fail_msg("%s %s %s %s: loss %g, then %g", cx_image_architecture_words[arch],
                             cx_image_norm_words[norm], cx_image_activation_words[act],
                             cx_image_loss_words[loss], before, after);
                drop_live(&l);
            }
}

static void test_every_mlp_learns(void **state) {
    (void)state;
    every_combination(CX_IMAGE_MLP);
}

static void test_every_cnn_learns(void **state) {
    (void)state;
    every_combination(CX_IMAGE_CNN);
}

/* Deeper nets at every resolution, whitened and not: shapes fit, all parameters get
 * gradients, and what is measured without building is what is built. */
static void test_sizes(void **state) {
    (void)state;
    static const int sides[] = {28, 14, 7, 14, 7};
    for (int k = 0; k < 5; k++)
        for (int arch = 0; arch < 2; arch++)
            for (int norm = 0; norm < 3; norm++) {
                cx_task_spec spec = small(3);
                set(&spec, "architecture", arch);
                set(&spec, "layers", 3 + k);
                set(&spec, "width", 0);
                set(&spec, "norm", norm);
                set_word(&spec, "activation", norm ? "prelu" : "elu");
                set(&spec, "batch_size", 4);
                set(&spec, "resolution", sides[k]);
                set(&spec, "whiten", k > 2);
                live l = make(&spec);
                assert_true(isfinite(cx_task_step(l.task, l.block, l.grads, 0)));
                double numbers = 0;
                for (int i = 0; i < cx_graph_param_tensors(l.task->graph); i++) {
                    const cx_param *p = cx_graph_param_info(l.task->graph, i);
                    bool moved = false;
                    for (size_t j = 0; j < p->size; j++)
                        moved = moved || l.grads[p->offset + j] != 0;
                    if (!moved)
                        fail_msg("%s has no gradient", p->name);
                    numbers += (double)p->size;
                }
                cx_image_net net = {arch, 3 + k, 0, norm, norm ? 4 : 1, 0, sides[k], 0};
                cx_image_net_cost c = cx_image_net_measure(&net);
                assert_true(c.params == numbers);
                double flops = cx_graph_flops(l.task->graph);
                if (!(fabs(2 * 4 * c.products / flops - 1) < 1e-6))
                    fail_msg("%g products measured, %g flops in the graph", 4 * c.products, flops);
                assert_true(l.task->family->flops_per_step(&spec, &config) > 3 * flops);
                drop_live(&l);
            }
}

/* --- lengths and faults --- */

static void test_lengths(void **state) {
    (void)state;
    cx_task_spec spec = small(1);
    set(&spec, "outer_steps", 5);
    set(&spec, "inner_per_outer", 7);
    check_inner_steps(&spec, &config, store, 35);
    assert_int_equal(cx_task_inner_steps(&spec, &config), 35);
    set(&spec, "epochs", 4);
    set(&spec, "train_examples", 160);
    check_inner_steps(&spec, &config, store, 40); /* 4 * 160 / 16 / 5 = 8 */
    assert_int_equal(cx_task_inner_steps(&spec, &config), 40);
    set(&spec, "outer_steps", 1000);
    check_inner_steps(&spec, &config, store, 1000); /* at least one inner step each */
    set(&spec, "outer_steps", 5);
    set(&spec, "train_examples", 50000); /* there are 400: 4 * 400 / 16 / 5 = 20 */
    check_inner_steps(&spec, &config, store, 100);
    set(&spec, "inner_steps", 303); /* goes before epochs and inner_per_outer: 61 x 5 */
    check_inner_steps(&spec, &config, store, 305);
    assert_int_equal(cx_task_inner_steps(&spec, &config), 305);
}

static void expect_fault(const cx_task_spec *spec, int code, const char *word) {
    check_task_fault(spec, &config, store, code, word);
}

static void test_faults(void **state) {
    (void)state;
    cx_task_spec spec = small(1);
    set(&spec, "resolution", 20);
    expect_fault(&spec, CX_ECONFIG, "28, 14 or 7");
    set(&spec, "resolution", 28);
    set(&spec, "whiten", 1);
    expect_fault(&spec, CX_ECONFIG, "14 and 7");
    spec = small(1);
    set_word(&spec, "architecture", "cnn");
    set(&spec, "layers", 0);
    expect_fault(&spec, CX_ECONFIG, "layers");
    set(&spec, "layers", 1);
    set(&spec, "width", 65);
    expect_fault(&spec, CX_ECONFIG, "width");
    spec = small(1);
    set_word(&spec, "norm", "batch");
    set(&spec, "batch_size", 1);
    expect_fault(&spec, CX_ECONFIG, "batch_size");
    spec = small(1);
    set(&spec, "layers", 16);
    set(&spec, "width", 8192);
    expect_fault(&spec, CX_ECONFIG, "parameters");
    spec = small(1);
    set_word(&spec, "data", "mnist");
    expect_fault(&spec, CX_ESTATE, "mnist");
}

static void expect_store_fault(const char *row, int code, const char *word) {
    char more[512], rows[512];
    (void)snprintf(more, sizeof more, "data: {fashion_mnist: %s, validation_examples: %d}", folder,
                   N_VALID);
    (void)snprintf(rows, sizeof rows, "  - {family: images, name: mine, outer_steps: 2, %s}\n",
                   row);
    check_store_fault(more, rows, code, word);
}

/* What cannot be trained is refused when the run starts, not when it is drawn. */
static void test_store_faults(void **state) {
    (void)state;
    expect_store_fault("resolution: [7, 21]", CX_ECONFIG, "mine");
    expect_store_fault("resolution: {log_int: [7, 28]}", CX_ECONFIG, "28, 14 or 7");
    expect_store_fault("resolution: [7, 28], whiten: [0, 1]", CX_ECONFIG, "14 and 7");
    expect_store_fault("data: kmnist", CX_ECONFIG, "data.kmnist is empty");
    expect_store_fault("architecture: [mlp, cnn], layers: {int: [0, 2]}", CX_ECONFIG, "layers");
    expect_store_fault("architecture: [mlp, cnn], width: [4, 80]", CX_ECONFIG, "width");
    expect_store_fault("norm: [none, batch], batch_size: {int: [1, 8]}", CX_ECONFIG, "batch_size");
}

static void test_fashion_mnist(void **state) {
    (void)state;
    static const char dir[] = "/usr/share/datasets/fashion-mnist";
    if (!cx_file_exists(dir)) {
        printf("skip: %s is not there\n", dir);
        skip();
    }
    cx_config c;
    cx_data_store *s;
    cx_error err;
    make_config(&c, "", "  - {family: images, outer_steps: 2, resolution: 7, whiten: [0, 1]}\n");
    assert_ok(cx_data_store_open(&c, &s, &err));
    for (int whiten = 0; whiten < 2; whiten++) {
        cx_task_spec spec = small(1);
        set(&spec, "width", 64);
        set(&spec, "batch_size", 32);
        set(&spec, "whiten", whiten);
        live l = make_live(&spec, &c, s);
        double metric[CX_TASK_METRICS];
        double before = cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 1000, metric);
        assert_true(fabs(before - log(10)) < 0.3 && metric[0] < 0.3);
        (void)sgd(&l, 400, 0.2);
        double after = cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 1000, metric);
        if (!(after < 0.85 && metric[0] > 0.68))
            fail_msg("whiten %d: loss %g, accuracy %g", whiten, after, metric[0]);
        drop_live(&l);
    }
    cx_data_store_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trains_on_training_examples_alone),
        cmocka_unit_test(test_subset),
        cmocka_unit_test(test_label_noise),
        cmocka_unit_test(test_evaluates_the_split),
        cmocka_unit_test(test_training_loss_is_the_evaluated_one),
        cmocka_unit_test(test_row_loss_is_finite_where_it_can_be),
        cmocka_unit_test(test_evaluation_changes_nothing_and_drops_nothing),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_masks_change_with_the_step),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_every_mlp_learns),
        cmocka_unit_test(test_every_cnn_learns),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_store_faults),
        cmocka_unit_test(test_fashion_mnist),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
