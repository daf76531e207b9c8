#include "tests/test.h"

#include "base/file.h"
#include "data/natural_images.h"
#include "tasks/classify.h"
#include "tasks/resnet_net.h"
#include "tests/data/picture_files.h"
#include "tests/tasks/make.h"

/* Images of 16 x 16, of seven classes, with more test images than one pass evaluates. */
enum { SIDE = 16, BORDER = 2, CLASSES = 7, N_TEST = 140, N_FILES = 280, N_TRAIN = 252 };
static char folder[] = "/tmp/cx-test-task-resnet-XXXXXX";
static cx_config config;
static cx_data_store *store;
static cx_natural_images *images; /* the same files, seen past the task */

static void put_images(const char *part, int n, unsigned first) {
    for (int i = 0; i < n; i++) {
        char class[16], name[16];
        (void)snprintf(class, sizeof class, "class%d", i % CLASSES);
        (void)snprintf(name, sizeof name, "%04d.png", i);
        put_tagged(folder, part, class, name, SIDE, first + (unsigned)i);
    }
}

static void write_more(char more[512]) {
    (void)snprintf(more, 512, "data: {resnet: %s, cache: %s/cache}", folder, folder);
}

static int set_up(void **state) {
    (void)state;
    cx_error err = {0};
    char more[512], cache[128];
    if (!mkdtemp(folder))
        return -1;
    put_images("train", N_FILES, 0);
    put_images("test", N_TEST, N_FILES);
    write_more(more);
    make_config(&config, more,
                "  - {family: resnet, outer_steps: 2, depth: 8, resolution: [16, 24]}\n"
                "  - {family: resnet, outer_steps: 2, depth: 18, resolution: [32, 96]}\n");
    assert_ok(cx_data_store_open(&config, &store, &err));
    (void)snprintf(cache, sizeof cache, "%s/cache", folder);
    assert_ok(cx_natural_images_open(folder, cache, 10000, SIDE, &images, &err));
    assert_int_equal(cx_natural_images_count(images, 0), N_TRAIN);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    cx_data_store_close(store);
    cx_natural_images_close(images);
    return cx_file_remove_all(folder, NULL);
}

static cx_task_spec small(uint64_t seed) {
    cx_task_spec spec = make_spec("resnet", seed);
    set(&spec, "depth", 8);
    set(&spec, "width", 0.25);
    set(&spec, "resolution", SIDE);
    set(&spec, "batch_size", 12);
    return spec;
}

static live make(const cx_task_spec *spec) {
    return make_live(spec, &config, store);
}

/* --- the networks --- */

static double count_params(const cx_graph *g) {
    double n = 0;
    for (int i = 0; i < cx_graph_param_tensors(g); i++)
        n += (double)cx_graph_param_info(g, i)->size;
    return n;
}

/* The sizes that torchvision's networks have (1000 classes), and those of section 4.2 with
 * projections in the two shortcuts that change the shape. */
static void test_parameter_counts(void **state) {
    (void)state;
    static const struct {
        int depth, classes;
        double params;
    } nets[] = {{18, 1000, 11689512}, {34, 1000, 21797672}, {50, 1000, 25557032}, {8, 10, 78042},
                {20, 10, 272474},     {32, 10, 466906},     {44, 10, 661338},     {56, 10, 855770}};
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
        cx_error err;
        cx_resnet net = {nets[i].depth, 32, nets[i].classes, 1, 0};
        cx_resnet_cost c = cx_resnet_measure(&net);
        assert_true(c.params == nets[i].params);
        cx_graph *g = cx_graph_create();
        (void)cx_resnet_build(&net, 1, false, g);
        assert_ok(cx_graph_plan(g, true, &err));
        assert_true(count_params(g) == nets[i].params);
        assert_true(fabs(2 * c.products / cx_graph_flops(g) - 1) < 1e-9);
        cx_graph_destroy(g);
    }
}

/* Multiplications of the published networks at their resolution (torchvision counts 1.814,
 * 3.664 and 4.089 thousand million), and shapes on the way. */
static void test_cost(void **state) {
    (void)state;
    static const int depths[] = {18, 34, 50};
    static const double giga[] = {1.814, 3.664, 4.089};
    for (int i = 0; i < 3; i++) {
        cx_resnet net = {depths[i], 224, 1000, 1, 0};
        assert_true(fabs(cx_resnet_measure(&net).products * 1e-9 - giga[i]) < 1e-3);
    }
    cx_resnet net = {20, 32, 10, 1, 0};
    assert_true(fabs(cx_resnet_measure(&net).products * 1e-6 - 40.8) < 0.3);
    cx_task_spec spec = small(1);
    live l = make(&spec);
    assert_true(l.task->family->flops_per_step(&spec, &config) > 3 * cx_graph_flops(l.task->graph));
    drop_live(&l);
}

static void test_faults_of_networks(void **state) {
    (void)state;
    static const int good[] = {8, 20, 32, 44, 56};
    for (int depth = 0; depth < 60; depth++) {
        bool small_net = false, large = depth == 18 || depth == 34 || depth == 50;
        for (int i = 0; i < 5; i++)
            small_net = small_net || depth == good[i];
        assert_int_equal(cx_resnet_fault(depth, 64) == NULL, small_net || large);
        assert_int_equal(cx_resnet_fault(depth, 36) == NULL, small_net);
        assert_non_null(cx_resnet_fault(depth, 30));
    }
}

/* Convolutions start with deviation sqrt(2 / fan out), batch norm as the identity. */
static void test_initial_values(void **state) {
    (void)state;
    cx_task_spec spec = small(3);
    set(&spec, "width", 1);
    live l = make(&spec);
    const cx_graph *g = l.task->graph;
    for (int i = 0; i < cx_graph_all_tensors(g); i++) {
        const cx_param *p = cx_graph_param_info(g, i);
        const float *x = l.block + p->offset;
        if (p->shape.rank == 4 && p->size > 1000) {
            double sum = 0, fan = p->shape.dim[0] * p->shape.dim[2] * p->shape.dim[3];
            for (size_t k = 0; k < p->size; k++)
                sum += (double)x[k] * x[k];
            double ratio = sum / (double)p->size * fan / 2;
            if (!(fabs(ratio - 1) < 5 * sqrt(2.0 / (double)p->size)))
                fail_msg("%s: variance %g of what is right", p->name, ratio);
        } else if (strstr(p->name, "bn") || strstr(p->name, "downsample.1")) {
            bool one = strstr(p->name, ".weight") || strstr(p->name, ".var");
            for (size_t k = 0; k < p->size; k++)
                assert_true(x[k] == (one ? 1 : 0));
        }
    }
    drop_live(&l);
}

/* --- batches --- */

static const float *inputs(const live *l) {
    return cx_graph_value(l->task->graph, 0); /* x is the first array of the graph */
}

static const int32_t *labels_of(const live *l) {
    cx_ref r = 0;
    while (!cx_graph_value_int(l->task->graph, r))
        r++;
    return cx_graph_value_int(l->task->graph, r);
}

/* Which training example, cut and mirroring makes up a row of the batch: exactly one does.
 * Returns the example, *place = (y * places + x) * 2 + flip. */
static uint32_t identify(const live *l, int row, int *place) {
    enum { SIZE = 3 * SIDE * SIDE, PLACES = 2 * BORDER + 1 };
    const float *x = inputs(l) + (size_t)row * SIZE;
    float want[SIZE];
    uint32_t found = UINT32_MAX;
    for (uint32_t e = 0; e < N_TRAIN; e++)
        for (int k = 0; k < PLACES * PLACES * 2; k++) {
            int dx = k / 2 % PLACES - BORDER, dy = k / 2 / PLACES - BORDER;
            /* the middle is the same whatever the cut: compare it before all of it */
            const uint8_t *p = cx_natural_images_pixels(images, e);
            double mean[3], deviation[3];
            cx_natural_images_statistics(images, mean, deviation);
            int at = SIDE / 2 * SIDE + SIDE / 2;
            int sx = dx + (k % 2 ? SIDE - 1 - SIDE / 2 : SIDE / 2), sy = dy + SIDE / 2;
            if (fabs(x[at] - (p[sy * SIDE + sx] - mean[0]) / deviation[0]) > 1e-3)
                continue;
            cx_natural_images_copy(images, e, SIDE, dx, dy, k % 2, want);
            if (memcmp(want, x, sizeof want) != 0)
                continue;
            assert_int_equal(found, UINT32_MAX);
            found = e;
            *place = k;
        }
    assert_int_not_equal(found, UINT32_MAX);
    return found;
}

/* Two epochs: every training example once in each, in another order, with its label, and
 * every cut and mirroring about as often. */
static void test_batches(void **state) {
    (void)state;
    cx_task_spec spec = small(5);
    live l = make(&spec);
    int seen[N_TRAIN] = {0}, often[50] = {0};
    uint32_t order[N_TRAIN], same = 0;
    for (uint32_t s = 0; s < 2 * N_TRAIN / 12; s++) {
        (void)cx_task_step(l.task, l.block, l.grads, s);
        for (int i = 0; i < 12; i++) {
            int place;
            uint32_t e = identify(&l, i, &place), at = s * 12 + (uint32_t)i;
            assert_int_equal(seen[e]++, at / N_TRAIN);
            assert_int_equal(labels_of(&l)[i], cx_natural_images_label(images, e));
            often[place]++;
            if (at < N_TRAIN)
                order[at] = e;
            else
                same += order[at - N_TRAIN] == e;
        }
    }
    assert_true(same < 10);
    double chi = 0, mean = 2 * N_TRAIN / 50.0;
    for (int k = 0; k < 50; k++)
        chi += (often[k] - mean) * (often[k] - mean) / mean;
    assert_true(chi < 49 + 5 * sqrt(98)); /* 49 degrees of freedom */
    drop_live(&l);
}

static void test_no_augmentation(void **state) {
    (void)state;
    cx_task_spec spec = small(5);
    set(&spec, "augment", 0);
    live l = make(&spec);
    for (uint32_t s = 0; s < 3; s++) {
        (void)cx_task_step(l.task, l.block, l.grads, s);
        for (int i = 0; i < 12; i++) {
            int place;
            (void)identify(&l, i, &place);
            assert_int_equal(place, BORDER * (2 * BORDER + 1 + 1) * 2); /* the middle */
        }
    }
    drop_live(&l);
}

/* Above 64 pixels images are stored by 8/7 larger, and parts of them are shown. */
static void test_large_images(void **state) {
    (void)state;
    cx_error err;
    char cache[128];
    cx_natural_images *stored;
    float want[3 * 96 * 96];
    (void)snprintf(cache, sizeof cache, "%s/cache", folder);
    assert_ok(cx_natural_images_open(folder, cache, 10000, 110, &stored, &err));
    cx_task_spec spec = small(2);
    set(&spec, "depth", 18);
    set(&spec, "width", 0.0625);
    set(&spec, "resolution", 96);
    set(&spec, "batch_size", 2);
    for (int augment = 0; augment < 2; augment++) {
        int found = 0, middle = 0;
        set(&spec, "augment", augment);
        live l = make(&spec);
        assert_true(isfinite(cx_task_step(l.task, l.block, l.grads, 1)));
        for (uint32_t e = 0; e < N_TRAIN && !found; e++)
            for (int k = 0; k < 15 * 15 * 2 && !found; k++) {
                int x = k / 2 % 15, y = k / 30;
                if (!augment && (x != 7 || y != 7 || k % 2))
                    continue;
                cx_natural_images_copy(stored, e, 1, k % 2 ? x + 95 : x, y, false, want);
                if (want[0] != inputs(&l)[0])
                    continue;
                cx_natural_images_copy(stored, e, 96, x, y, k % 2, want);
                found = memcmp(want, inputs(&l), sizeof want) == 0;
                middle = x == 7 && y == 7;
            }
        assert_true(found);
        assert_int_equal(middle, !augment);
        drop_live(&l);
    }
    cx_natural_images_close(stored);
}

static void test_label_noise_and_smoothing(void **state) {
    (void)state;
    cx_task_spec spec = small(6);
    live plain = make(&spec);
    set(&spec, "label_noise", 0.4);
    live noisy = make(&spec);
    int wrong = 0, label[N_TRAIN];
    for (uint32_t s = 0; s < 2 * N_TRAIN / 12; s++) {
        (void)cx_task_step(noisy.task, noisy.block, noisy.grads, s);
        for (int i = 0; i < 12; i++) {
            int place;
            uint32_t e = identify(&noisy, i, &place);
            if (s < N_TRAIN / 12) {
                label[e] = labels_of(&noisy)[i];
                wrong += label[e] != cx_natural_images_label(images, e);
            } else {
                assert_int_equal(label[e], labels_of(&noisy)[i]); /* it belongs to the example */
            }
        }
    }
    /* 0.4 * 6/7 of 252: 86, deviation 7.5 */
    assert_in_range(wrong, 56, 116);
    set(&spec, "label_noise", 0);
    set(&spec, "label_smoothing", 0.2);
    live smooth = make(&spec);
    double a = cx_task_step(plain.task, plain.block, plain.grads, 0);
    double b = cx_task_step(smooth.task, smooth.block, smooth.grads, 0);
    assert_true(a != b);
    for (int s = 0; s < 3; s++) { /* nothing of either in evaluation */
        double want = cx_task_evaluate(plain.task, plain.block, (cx_split)s, 0, NULL);
        assert_true(cx_task_evaluate(noisy.task, plain.block, (cx_split)s, 0, NULL) == want);
        assert_true(cx_task_evaluate(smooth.task, plain.block, (cx_split)s, 0, NULL) == want);
    }
    drop_live(&plain);
    drop_live(&noisy);
    drop_live(&smooth);
}

/* --- evaluation --- */

typedef struct {
    cx_graph *graph;
    cx_resnet_refs refs;
} by_hand;

/* Loss of one example with the running statistics, and where its label stands. */
static double lone_loss(const by_hand *h, const live *l, uint32_t e, int *rank) {
    float *x = cx_graph_value(h->graph, h->refs.x);
    int label = cx_natural_images_label(images, e);
    cx_natural_images_copy(images, e, SIDE, 0, 0, false, x);
    cx_graph_bind(h->graph, l->block, NULL);
    cx_graph_forward(h->graph, CX_EVAL, NULL);
    const float *z = cx_graph_value(h->graph, h->refs.logits);
    *rank = 0;
    for (int k = 0; k < CLASSES; k++)
        *rank += z[k] > z[label];
    return cx_row_cross_entropy(z, CLASSES, label);
}

/* Every split by its own examples, each once, one by one with the running statistics. */
static void test_evaluates_the_split(void **state) {
    (void)state;
    cx_error err;
    cx_task_spec spec = small(7);
    live l = make(&spec);
    cx_resnet net = {8, SIDE, CLASSES, 0.25, 0};
    by_hand h = {.graph = cx_graph_create()};
    h.refs = cx_resnet_build(&net, 1, false, h.graph);
    assert_ok(cx_graph_plan(h.graph, true, &err));
    for (uint32_t s = 0; s < 5; s++) /* running statistics that are not where they began */
        (void)cx_task_step(l.task, l.block, l.grads, s);
    for (int s = 0; s < 3; s++) {
        double sum = 0, losses[N_TRAIN], metric[CX_TASK_METRICS];
        int n = (int)cx_natural_images_count(images, s), right = 0, near = 0, rank;
        for (int i = 0; i < n; i++) {
            losses[i] = lone_loss(&h, &l, cx_natural_images_first(images, s) + (uint32_t)i, &rank);
            sum += losses[i];
            right += rank == 0;
            near += rank < 5;
        }
        double all = cx_task_evaluate(l.task, l.block, (cx_split)s, 0, metric);
        assert_true(fabs(all - sum / n) < 1e-5);
        assert_true(metric[0] == (double)right / n && metric[1] == (double)near / n);
        assert_true(near > right);
        assert_true(all == cx_task_evaluate(l.task, l.block, (cx_split)s, 1000000, NULL));
        /* the first k of a fixed order: the k-th adds the loss of one more example */
        double before = 0;
        bool used[N_TRAIN] = {false};
        for (int k = 1; k <= 6; k++) {
            double total = k * cx_task_evaluate(l.task, l.block, (cx_split)s, k, NULL);
            int best = -1;
            for (int i = 0; i < n; i++)
                if (!used[i] && (best < 0 || fabs(total - before - losses[i]) <
                                                 fabs(total - before - losses[best])))
                    best = i;
            assert_true(fabs(total - before - losses[best]) < 1e-4);
            used[best] = true;
            before = total;
        }
    }
    cx_graph_destroy(h.graph);
    drop_live(&l);
}

static void test_running_statistics(void **state) {
    (void)state;
    cx_task_spec spec = small(8);
    live l = make(&spec);
    size_t bytes = l.task->state_count * sizeof(float);
    float *copy = malloc(bytes), *grads = malloc(l.task->param_count * sizeof(float));
    assert_non_null(copy);
    assert_non_null(grads);
    memcpy(copy, l.block, bytes);
    double loss = cx_task_step(l.task, l.block, l.grads, 0);
    size_t moved = 0; /* a step moves them, and nothing else of the block */
    for (size_t i = 0; i < l.task->state_count; i++)
        moved += copy[i] != l.block[i];
    assert_memory_equal(copy, l.block, l.task->param_count * sizeof(float));
    assert_true(moved >= 2 * (4 + 4 * 2 + 8 * 3 + 16 * 3) - 4);
    /* training does not read them */
    memcpy(grads, l.grads, l.task->param_count * sizeof(float));
    assert_true(cx_task_step(l.task, l.block, l.grads, 0) == loss);
    assert_memory_equal(grads, l.grads, l.task->param_count * sizeof(float));
    /* evaluation does, and changes nothing */
    memcpy(copy, l.block, bytes);
    double metric[CX_TASK_METRICS];
    double a = cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, metric);
    assert_memory_equal(copy, l.block, bytes);
    assert_true(a == cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL));
    for (size_t i = l.task->param_count; i < l.task->state_count; i++)
        l.block[i] = 2 * l.block[i] + 0.1f;
    assert_true(a != cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL));
    free(copy);
    free(grads);
    drop_live(&l);
}

/* --- training --- */

static void test_same_bits(void **state) {
    (void)state;
    cx_task_spec spec = small(13);
    check_same_bits(&spec, &config, store, 40);
}

/* Noise has nothing to be learned but by heart: the training split's loss falls. */
static void test_learns(void **state) {
    (void)state;
    static const int depths[] = {8, 18};
    for (int k = 0; k < 2; k++) {
        cx_task_spec spec = small(21);
        set(&spec, "depth", depths[k]);
        set(&spec, "width", depths[k] == 8 ? 0.5 : 0.125);
        set(&spec, "resolution", depths[k] == 8 ? SIDE : 32);
        set(&spec, "augment", 0);
        set(&spec, "batch_size", 4);
        live l = make(&spec);
        double before = 0, after = 0;
        for (uint32_t s = 0; s < 30; s++) { /* the same four images again and again */
            after = cx_task_step(l.task, l.block, l.grads, 0);
            before = s == 0 ? after : before;
            assert_true(isfinite(after));
            for (size_t i = 0; i < l.task->param_count; i++)
                l.block[i] -= 0.02f * l.grads[i];
        }
        if (!(after < 0.3 * before))
            fail_msg("depth %d: loss %g, then %g", depths[k], before, after);
        drop_live(&l);
    }
}

/* Every kind of network at its resolutions: shapes fit, and all parameters get gradients. */
static void test_every_depth(void **state) {
    (void)state;
    static const int depths[] = {8, 20, 32, 18, 34, 50};
    for (int k = 0; k < 6; k++) {
        bool large = cx_resnet_is_large(depths[k]);
        cx_task_spec spec = small(4);
        set(&spec, "depth", depths[k]);
        set(&spec, "width", large ? 0.0625 : 0.25);
        set(&spec, "resolution", large ? 96 : 24);
        set(&spec, "batch_size", 2);
        live l = make(&spec);
        assert_true(isfinite(cx_task_step(l.task, l.block, l.grads, 0)));
        for (int i = 0; i < cx_graph_param_tensors(l.task->graph); i++) {
            const cx_param *p = cx_graph_param_info(l.task->graph, i);
            bool moved = false;
            for (size_t j = 0; j < p->size; j++)
                moved = moved || l.grads[p->offset + j] != 0;
            if (!moved)
                fail_msg("depth %d: %s has no gradient", depths[k], p->name);
        }
        assert_true(isfinite(cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 5, NULL)));
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
    set(&spec, "epochs", 2); /* 2 * 252 / 12 / 5 = 8.4 */
    check_inner_steps(&spec, &config, store, 40);
    /* without the data: CIFAR-10's 45,000 */
    assert_int_equal(cx_task_inner_steps(&spec, &config), 5 * 1500);
    set(&spec, "inner_steps", 303);
    check_inner_steps(&spec, &config, store, 305);
}

static void expect_fault(const cx_task_spec *spec, int code, const char *word) {
    check_task_fault(spec, &config, store, code, word);
}

static void test_faults(void **state) {
    (void)state;
    cx_task_spec spec = small(1);
    set(&spec, "depth", 19);
    expect_fault(&spec, CX_ECONFIG, "18, 34 or 50");
    set(&spec, "depth", 18);
    set(&spec, "resolution", 48);
    expect_fault(&spec, CX_ECONFIG, "multiple of 32");
    spec = small(1);
    set(&spec, "resolution", 18);
    expect_fault(&spec, CX_ECONFIG, "multiple of 4");
    set(&spec, "resolution", 20);
    expect_fault(&spec, CX_ESTATE, "resolution 20");
    spec = small(1);
    set(&spec, "depth", 50);
    set(&spec, "resolution", 512);
    set(&spec, "batch_size", 4096);
    expect_fault(&spec, CX_ECONFIG, "activations");
}

static void expect_store_fault(const char *data, const char *row, int code, const char *word) {
    char rows[512];
    (void)snprintf(rows, sizeof rows, "  - {family: resnet, name: mine, outer_steps: 2, %s}\n",
                   row);
    check_store_fault(data, rows, code, word);
}

static void test_store_faults(void **state) {
    (void)state;
    char more[512];
    write_more(more);
    expect_store_fault("", "depth: 20", CX_ECONFIG, "data.resnet is empty");
    expect_store_fault("data: {resnet: /nowhere}", "depth: 20", CX_EDATA, "data.resnet: /nowhere");
    expect_store_fault(more, "depth: [20, 21]", CX_ECONFIG, "mine");
    expect_store_fault(more, "depth: {int: [8, 56]}", CX_ECONFIG, "constants or lists");
    expect_store_fault(more, "depth: [20, 50], resolution: [32, 36]", CX_ECONFIG,
                       "depth 50 at resolution 36");
    expect_store_fault(more, "depth: 50, resolution: 512, batch_size: {int: [1, 4096]}", CX_ECONFIG,
                       "activations");
}

static void test_held_out(void **state) {
    (void)state;
    cx_error err = {0};
    cx_config c;
    assert_int_equal(cx_task_refuse_held_out(&config, &err), CX_ECONFIG);
    assert_non_null(strstr(err.message, "resnet"));
    make_config(&c, "allow_held_out: true", "  - {family: resnet, outer_steps: 2}\n");
    assert_ok(cx_task_refuse_held_out(&c, &err));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameter_counts),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_faults_of_networks),
        cmocka_unit_test(test_initial_values),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_no_augmentation),
        cmocka_unit_test(test_large_images),
        cmocka_unit_test(test_label_noise_and_smoothing),
        cmocka_unit_test(test_evaluates_the_split),
        cmocka_unit_test(test_running_statistics),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_every_depth),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_store_faults),
        cmocka_unit_test(test_held_out),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
