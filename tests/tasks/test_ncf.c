#include "tests/test.h"

#include "base/file.h"
#include "tasks/ncf_net.h"
#include "tasks/rank.h"
#include "tests/data/ratings_files.h"
#include "tests/tasks/make.h"

enum { TRAIN = MADE_USERS * (MADE_PER_USER - 2), CANDIDATES = 1 + CX_RATINGS_NEGATIVES };
static char folder[] = "/tmp/cx-test-task-ncf-XXXXXX";
static cx_config config;
static cx_data_store *store;
static cx_ratings *ratings; /* the same file, seen past the task */

static cx_data_store *open_store(cx_config *c, const char *path) {
    cx_error err;
    cx_data_store *s;
    char more[512];
    (void)snprintf(more, sizeof more, "data: {ncf: %s}", path);
    make_config(c, more, "  - {family: ncf, outer_steps: 4}\n");
    assert_ok(cx_data_store_open(c, &s, &err));
    return s;
}

static int set_up(void **state) {
    (void)state;
    cx_error err;
    made_rating made[MADE_RATINGS];
    char path[300];
    if (!mkdtemp(folder))
        return -1;
    make_ratings(made);
    put_ratings(folder, "ratings.dat", made, MADE_RATINGS);
    store = open_store(&config, folder);
    (void)snprintf(path, sizeof path, "%s/ratings.dat", folder);
    assert_ok(cx_ratings_open(path, &ratings, &err));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    cx_data_store_close(store);
    cx_ratings_close(ratings);
    return cx_file_remove_all(folder, NULL);
}

static cx_task_spec small(const char *model, uint64_t seed) {
    cx_task_spec spec = make_spec("ncf", seed);
    set_word(&spec, "model", model);
    set(&spec, "factors", 4);
    set(&spec, "layers", 2);
    set(&spec, "batch_size", 50);
    return spec;
}

static live make(const cx_task_spec *spec) {
    return make_live(spec, &config, store);
}

static cx_ncf_net net_of(const cx_task_spec *spec, const cx_ratings *r) {
    return (cx_ncf_net){.model = (int)cx_task_value(spec, "model"),
                        .factors = (int)cx_task_value(spec, "factors"),
                        .layers = (int)cx_task_value(spec, "layers"),
                        .dropout = cx_task_value(spec, "dropout"),
                        .users = r->users,
                        .items = r->items};
}

/* --- which rows training sees --- */

typedef struct {
    const int32_t *user, *item;
    const float *target;
} seen;

/* The inputs of the training graph: the same calls give the same numbers. */
static seen rows_of(const live *l) {
    cx_graph *g = cx_graph_create();
    cx_ncf_net net = net_of(&l->task->spec, ratings);
    cx_ncf_refs r =
        cx_ncf_net_build(&net, (int)cx_task_value(&l->task->spec, "batch_size"), true, g);
    cx_graph_destroy(g);
    return (seen){cx_graph_value_int(l->task->graph, r.user),
                  cx_graph_value_int(l->task->graph, r.item),
                  cx_graph_value(l->task->graph, r.target)};
}

/* Training interaction number of a pair; -1: none. */
static int positive_of(int32_t user, int32_t item) {
    for (uint32_t i = ratings->first[user]; i < ratings->first[user + 1]; i++)
        if ((int32_t)ratings->item[i] == item)
            return (int)i;
    return -1;
}

/* An epoch: each training interaction once, and so many negatives of its user, none of them
 * known from training; the held-out items are as likely negatives as all others. */
static void test_rows_of_an_epoch(void **state) {
    (void)state;
    enum { NEGATIVES = 3, EPOCHS = 25, BATCH = 48 };
    cx_task_spec spec = small("gmf", 1);
    set(&spec, "negatives", NEGATIVES);
    set(&spec, "batch_size", BATCH);
    live l = make(&spec);
    seen rows = rows_of(&l);
    int held_out = 0, moved = 0, again = 0;
    static int32_t first[TRAIN * (1 + NEGATIVES)];
    static bool drawn[MADE_USERS][MADE_ITEMS]; /* in the first epoch */
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        int ones[TRAIN] = {0}, zeros[MADE_USERS] = {0};
        for (uint32_t s = 0; s < TRAIN * (1 + NEGATIVES) / BATCH; s++) {
            (void)cx_task_step(l.task, l.block, l.grads,
                               epoch * TRAIN * (1 + NEGATIVES) / BATCH + s);
            for (int i = 0; i < BATCH; i++) {
                int32_t u = rows.user[i], item = rows.item[i];
                int p = positive_of(u, item);
                assert_true(item >= 0 && item < (int32_t)ratings->items);
                assert_true(rows.target[i] == (p >= 0 ? 1.0f : 0.0f));
                if (p >= 0)
                    ones[p]++;
                else {
                    zeros[u]++;
                    again += epoch == 1 && drawn[u][item];
                    drawn[u][item] = drawn[u][item] || epoch == 0;
                }
                held_out += item == (int32_t)ratings->target[1][u] ||
                            item == (int32_t)ratings->target[2][u];
                int32_t *was = &first[s * BATCH + (uint32_t)i], now = u << 16 | item;
                moved += epoch > 0 && *was != now;
                *was = epoch > 0 ? *was : now;
            }
        }
        for (int i = 0; i < TRAIN; i++)
            assert_int_equal(ones[i], 1);
        for (int u = 0; u < MADE_USERS; u++)
            assert_int_equal(zeros[u], NEGATIVES * (MADE_PER_USER - 2));
    }
    double draws = EPOCHS * TRAIN * NEGATIVES, p = 2.0 / (ratings->items - (MADE_PER_USER - 2));
    assert_true(fabs(held_out - draws * p) < 5 * sqrt(draws * p));
    /* 30 of 120 items each, anew: 1 - (119 / 120)^30 = 22 % again */
    assert_true(again > MADE_USERS * 30 * 0.15 && again < MADE_USERS * 30 * 0.3);
    assert_true(moved > (EPOCHS - 1) * TRAIN * (1 + NEGATIVES) * 9 / 10);
    drop_live(&l);
}

/* Of two users the validation and test items change places: training does not see it. */
static void test_held_out_items_do_not_train(void **state) {
    (void)state;
    made_rating made[MADE_RATINGS];
    char sub[300];
    cx_config c;
    cx_error err;
    make_ratings(made);
    for (int u = 0; u < MADE_USERS; u += 30) {
        made_rating *last = made + (u + 1) * MADE_PER_USER - 1;
        int time = last->time;
        last->time = last[-1].time;
        last[-1].time = time;
    }
    (void)snprintf(sub, sizeof sub, "%s/swapped", folder);
    assert_ok(cx_file_make_dirs(sub, &err));
    put_ratings(sub, "u.data", made, MADE_RATINGS);
    cx_data_store *other = open_store(&c, sub);
    cx_task_spec spec = small("neumf", 3);
    live a = make(&spec), b = make_live(&spec, &c, other);
    for (uint32_t s = 0; s < 60; s++) {
        assert_true(cx_task_step(a.task, a.block, a.grads, s) ==
                    cx_task_step(b.task, b.block, b.grads, s));
        assert_memory_equal(a.grads, b.grads, a.task->param_count * sizeof(float));
    }
    assert_true(cx_task_evaluate(a.task, a.block, CX_SPLIT_TRAIN, 0, NULL) ==
                cx_task_evaluate(b.task, b.block, CX_SPLIT_TRAIN, 0, NULL));
    for (int s = CX_SPLIT_VALIDATION; s <= CX_SPLIT_TEST; s++)
        assert_true(cx_task_evaluate(a.task, a.block, (cx_split)s, 0, NULL) !=
                    cx_task_evaluate(b.task, b.block, (cx_split)s, 0, NULL));
    drop_live(&a);
    drop_live(&b);
    cx_data_store_close(other);
}

static void test_same_bits(void **state) {
    (void)state;
    cx_task_spec spec = small("neumf", 13);
    set(&spec, "dropout", 0.3);
    check_same_bits(&spec, &config, store, 77);
}

/* --- exact small cases --- */

/* By hand: the weights of a gmf. */
typedef struct {
    const float *user, *item, *w, *b;
    int factors;
} gmf;

static gmf gmf_of(const live *l) {
    const float *at[4];
    for (int i = 0; i < 4; i++)
        at[i] = l->block + cx_graph_param_info(l->task->graph, i)->offset;
    return (gmf){at[0], at[1], at[2], at[3], (int)cx_task_value(&l->task->spec, "factors")};
}

static double gmf_score(const gmf *g, uint32_t user, uint32_t item) {
    double z = *g->b;
    for (int k = 0; k < g->factors; k++)
        z += (double)g->w[k] * g->user[user * (uint32_t)g->factors + (uint32_t)k] *
             g->item[item * (uint32_t)g->factors + (uint32_t)k];
    return z;
}

/* Larger embeddings, so that scores and gradients are not all the same. */
static void stretch(live *l) {
    for (int i = 0; i < 2; i++) {
        const cx_param *p = cx_graph_param_info(l->task->graph, i);
        for (size_t k = 0; k < p->size; k++)
            l->block[p->offset + k] *= 100;
    }
}

static void test_gradient_of_gmf(void **state) {
    (void)state;
    cx_task_spec spec = small("gmf", 4);
    set(&spec, "batch_size", 1);
    live l = make(&spec);
    stretch(&l);
    seen row = rows_of(&l);
    gmf g = gmf_of(&l);
    const cx_graph *graph = l.task->graph;
    for (uint32_t s = 0; s < 20; s++) {
        double loss = cx_task_step(l.task, l.block, l.grads, s);
        uint32_t u = (uint32_t)row.user[0], i = (uint32_t)row.item[0], f = (uint32_t)g.factors;
        double z = gmf_score(&g, u, i), t = *row.target, d = 1 / (1 + exp(-z)) - t;
        assert_true(fabs(loss - (log(1 + exp(z)) - t * z)) < 1e-5);
        assert_true(fabs(l.grads[cx_graph_param_info(graph, 3)->offset] - d) < 1e-5);
        const float *gu = l.grads + cx_graph_param_info(graph, 0)->offset;
        const float *gi = l.grads + cx_graph_param_info(graph, 1)->offset;
        const float *gw = l.grads + cx_graph_param_info(graph, 2)->offset;
        for (uint32_t k = 0; k < f; k++) {
            double pu = g.user[u * f + k], pi = g.item[i * f + k];
            assert_true(fabs(gu[u * f + k] - d * g.w[k] * pi) < 1e-5);
            assert_true(fabs(gi[i * f + k] - d * g.w[k] * pu) < 1e-5);
            assert_true(fabs(gw[k] - d * pu * pi) < 1e-5);
        }
        size_t others = 0; /* rows that were not looked at have no gradient */
        for (uint32_t k = 0; k < ratings->users * f; k++)
            others += gu[k] != 0 && k / f != u;
        assert_int_equal(others, 0);
    }
    drop_live(&l);
}

/* What one user adds to loss and metrics, by hand. */
static void by_hand(const gmf *g, int split, uint32_t e, int negatives, double out[3]) {
    const uint32_t *others = cx_ratings_negatives(ratings, split, e);
    double mine = gmf_score(g, ratings->who[e], ratings->target[split][e]);
    int above = 0;
    out[0] = log(1 + exp(-mine));
    for (int i = 0; i < CX_RATINGS_NEGATIVES; i++) {
        double z = gmf_score(g, ratings->who[e], others[i]);
        above += z > mine;
        if (i < negatives)
            out[0] += log(1 + exp(z));
    }
    out[0] /= 1 + negatives;
    out[1] = above < 10;
    out[2] = above < 10 ? 1 / log2(above + 2) : 0;
}

/* Whatever the number of users, also where the last pass (of 8) is not full: the mean over
 * so many different users of that very split. */
static void test_evaluates_the_split(void **state) {
    (void)state;
    cx_task_spec spec = small("gmf", 7);
    set(&spec, "negatives", 6);
    live l = make(&spec);
    stretch(&l);
    gmf g = gmf_of(&l);
    int n = (int)ratings->evaluated;
    for (int s = 0; s < 3; s++) {
        bool used[MADE_USERS] = {false};
        double one[MADE_USERS][3], sum[3] = {0}, before = 0, metric[CX_TASK_METRICS];
        for (int e = 0; e < n; e++)
            by_hand(&g, s, (uint32_t)e, 6, one[e]);
        for (int k = 1; k <= n; k++) {
            double total = k * cx_task_evaluate(l.task, l.block, (cx_split)s, k, metric);
            int best = -1;
            for (int e = 0; e < n; e++)
                if (!used[e] && (best < 0 || fabs(total - before - one[e][0]) <
                                                 fabs(total - before - one[best][0])))
                    best = e;
            assert_true(fabs(total - before - one[best][0]) < 1e-4);
            used[best] = true;
            before = total;
            for (int m = 0; m < 3; m++)
                sum[m] += one[best][m];
            assert_true(fabs(metric[0] * k - sum[1]) < 1e-9);
            assert_true(fabs(metric[1] * k - sum[2]) < 1e-9);
        }
        double all = cx_task_evaluate(l.task, l.block, (cx_split)s, 0, NULL);
        assert_true(fabs(all - before / n) < 1e-9);
        assert_true(all == cx_task_evaluate(l.task, l.block, (cx_split)s, 1000000, NULL));
    }
    drop_live(&l);
}

static void test_evaluation_changes_nothing(void **state) {
    (void)state;
    cx_task_spec spec = small("neumf", 11);
    live plain = make(&spec);
    set(&spec, "dropout", 0.5);
    live l = make(&spec);
    size_t bytes = l.task->state_count * sizeof(float);
    assert_memory_equal(l.block, plain.block, bytes);
    for (int s = 0; s < 3; s++) /* dropout is for training */
        assert_true(cx_task_evaluate(l.task, l.block, (cx_split)s, 0, NULL) ==
                    cx_task_evaluate(plain.task, plain.block, (cx_split)s, 0, NULL));
    assert_memory_equal(l.block, plain.block, bytes);
    assert_true(cx_task_step(l.task, l.block, l.grads, 5) !=
                cx_task_step(plain.task, plain.block, plain.grads, 5));
    drop_live(&l);
    drop_live(&plain);
}

/* --- ranks --- */

static void expect_rank(const float *scores, int n, double hit, double gain) {
    cx_rank r = cx_rank_of_first(scores, n);
    if (!(fabs(r.hit - hit) < 1e-12 && fabs(r.gain - gain) < 1e-12))
        fail_msg("hit %g and gain %g, not %g and %g", r.hit, r.gain, hit, gain);
}

static void test_ranks(void **state) {
    (void)state;
    float x[CANDIDATES];
    for (int i = 0; i < CANDIDATES; i++)
        x[i] = (float)-i;
    expect_rank(x, CANDIDATES, 1, 1);
    x[0] = -8.5f; /* after 1 .. 8 */
    expect_rank(x, CANDIDATES, 1, 1 / log2(10));
    x[0] = -9.5f;
    expect_rank(x, CANDIDATES, 1, 1 / log2(11));
    x[0] = -10.5f;
    expect_rank(x, CANDIDATES, 0, 0);
    x[0] = -10; /* place 10 or 11 */
    expect_rank(x, CANDIDATES, 0.5, 0.5 / log2(11));
    x[0] = x[2] = x[1]; /* place 1, 2 or 3 */
    expect_rank(x, CANDIDATES, 1, (1 + 1 / log2(3) + 0.5) / 3);
    x[0] = NAN;
    expect_rank(x, CANDIDATES, 0, 0);
    x[0] = 1;
    x[5] = NAN;
    expect_rank(x, CANDIDATES, 1, 1 / log2(3));
}

/* Who says the same of all items, or nothing, is not good. */
static void test_constant_predictors(void **state) {
    (void)state;
    cx_task_spec spec = small("neumf", 2);
    live l = make(&spec);
    double metric[CX_TASK_METRICS], gain = 0;
    for (int place = 1; place <= 10; place++)
        gain += 1 / log2(place + 1) / CANDIDATES;
    for (int s = 0; s < 3; s++) {
        memset(l.block, 0, l.task->state_count * sizeof(float));
        double loss = cx_task_evaluate(l.task, l.block, (cx_split)s, 0, metric);
        assert_true(fabs(loss - log(2)) < 1e-6);
        assert_true(fabs(metric[0] - 0.1) < 1e-9 && fabs(metric[1] - gain) < 1e-9);
        for (size_t i = 0; i < l.task->state_count; i++)
            l.block[i] = NAN;
        loss = cx_task_evaluate(l.task, l.block, (cx_split)s, 0, metric);
        assert_true(isnan(loss) && metric[0] == 0 && metric[1] == 0);
    }
    drop_live(&l);
}

static void test_popularity(void **state) {
    (void)state;
    cx_task_spec spec = small("gmf", 2);
    live l = make(&spec);
    for (int s = 0; s < 3; s++) {
        double hit = 0, gain = 0, metric[CX_TASK_METRICS];
        for (uint32_t e = 0; e < ratings->evaluated; e++) {
            const uint32_t *others = cx_ratings_negatives(ratings, s, e);
            float x[CANDIDATES];
            x[0] = (float)ratings->count[ratings->target[s][e]];
            for (int i = 1; i < CANDIDATES; i++)
                x[i] = (float)ratings->count[others[i - 1]];
            cx_rank r = cx_rank_of_first(x, CANDIDATES);
            hit += r.hit / ratings->evaluated;
            gain += r.gain / ratings->evaluated;
        }
        l.task->family->measure_reference(l.task, (cx_split)s, metric);
        assert_true(fabs(metric[0] - hit) < 1e-12 && fabs(metric[1] - gain) < 1e-12);
    }
    drop_live(&l);
}

/* --- learning --- */

/* Adam in its plainest form. */
/* Users of five tastes: an item of the user's own is among about 12 of 100 candidates, and
 * popularity does not know whose it is. */
static void test_all_learn(void **state) {
    (void)state;
    static const int steps[] = {150, 250, 150}; /* 12 are an epoch: soon too many */
    for (int model = 0; cx_ncf_model_words[model]; model++) {
        cx_task_spec spec = small(cx_ncf_model_words[model], 5);
        set(&spec, "factors", 8);
        set(&spec, "batch_size", 256);
        set(&spec, "dropout", model == CX_NCF_NEUMF ? 0.1 : 0);
        live l = make(&spec);
        double popular[CX_TASK_METRICS], metric[CX_TASK_METRICS];
        double before = cx_task_evaluate(l.task, l.block, CX_SPLIT_VALIDATION, 0, NULL);
        adam(&l, steps[model], 0.02);
        for (int s = CX_SPLIT_VALIDATION; s <= CX_SPLIT_TEST; s++) {
            double after = cx_task_evaluate(l.task, l.block, (cx_split)s, 0, metric);
            l.task->family->measure_reference(l.task, (cx_split)s, popular);
            if (!(after < 0.75 * before && metric[0] > 0.5 && popular[0] < 0.3 &&
                  metric[1] > 2 * popular[1]))
                fail_msg("%s: loss %g, then %g; HR@10 %g, popularity %g", cx_ncf_model_words[model],
                         before, after, metric[0], popular[0]);
        }
        drop_live(&l);
    }
}

/* What is measured without building is what is built; all tensors get gradients. */
static void test_sizes(void **state) {
    (void)state;
    for (int k = 0; k < 36; k++) {
        cx_task_spec spec = small(cx_ncf_model_words[k % 3], 3);
        set(&spec, "layers", 1 + k / 3 % 6);
        set(&spec, "factors", k < 18 ? 3 : 8);
        set(&spec, "dropout", k % 2 ? 0.1 : 0);
        live l = make(&spec);
        assert_true(isfinite(cx_task_step(l.task, l.block, l.grads, 0)));
        double numbers = 0;
        for (int i = 0; i < cx_graph_param_tensors(l.task->graph); i++) {
            const cx_param *p = cx_graph_param_info(l.task->graph, i);
            bool moved = false;
            for (size_t j = 0; j < p->size; j++)
                moved = moved || l.grads[p->offset + j] != 0;
            if (!moved && cx_task_value(&spec, "layers") < 5)
                fail_msg("%s has no gradient", p->name);
            numbers += (double)p->size;
        }
        cx_ncf_net net = net_of(&spec, ratings);
        cx_ncf_cost c = cx_ncf_net_measure(&net);
        assert_true(c.params == numbers);
        double flops = cx_graph_flops(l.task->graph);
        assert_true(fabs(2 * 50 * c.products / flops - 1) < 1e-9);
        assert_true(l.task->family->flops_per_step(&spec, &config) > 3 * flops);
        drop_live(&l);
    }
    /* the paper's */
    cx_ncf_net net = {CX_NCF_NEUMF, 8, 3, 0, 6040, 3706};
    assert_true(cx_ncf_net_measure(&net).params == 392601);
}

/* --- lengths and faults --- */

static void test_lengths(void **state) {
    (void)state;
    cx_task_spec spec = small("gmf", 1);
    set(&spec, "outer_steps", 5);
    set(&spec, "inner_per_outer", 7);
    check_inner_steps(&spec, &config, store, 35);
    set(&spec, "epochs", 4);
    set(&spec, "batch_size", 100);
    check_inner_steps(&spec, &config, store, 120);           /* 4 * 600 * 5 / 100 / 5 = 24 */
    assert_true(cx_task_inner_steps(&spec, &config) > 1000); /* of the full-sized file */
    set(&spec, "inner_steps", 303);
    check_inner_steps(&spec, &config, store, 305);
}

static void expect_store_fault(const char *path, const char *row, int code, const char *word) {
    char more[512], rows[512];
    (void)snprintf(more, sizeof more, "data: {ncf: '%s'}", path);
    (void)snprintf(rows, sizeof rows, "  - {family: ncf, name: mine, outer_steps: 2%s}\n", row);
    check_store_fault(more, rows, code, word);
}

static void test_faults(void **state) {
    (void)state;
    cx_task_spec spec = small("mlp", 1);
    cx_error err = {0};
    cx_task *task;
    assert_int_equal(cx_task_create(&spec, &config, NULL, &task, &err), CX_ESTATE);
    assert_null(task);
    set(&spec, "factors", 512);
    set(&spec, "layers", 6);
    set(&spec, "batch_size", 65536);
    assert_int_equal(cx_task_create(&spec, &config, store, &task, &err), CX_ECONFIG);
    assert_non_null(strstr(err.message, "activations"));
    expect_store_fault("", "", CX_ECONFIG, "data.ncf is empty");
    expect_store_fault("/nowhere", "", CX_EDATA, "data.ncf: /nowhere: not there");
    expect_store_fault(folder, ", model: [gmf, mlp], factors: [8, 512], layers: 6", CX_ECONFIG,
                       "tasks.0 (mine): ncf: a network of");
}

static void test_is_held_out(void **state) {
    (void)state;
    cx_error err = {0};
    assert_int_equal(cx_task_refuse_held_out(&config, &err), CX_ECONFIG);
    assert_non_null(strstr(err.message, "family ncf"));
}

/* The figures of the documentation. */
static void test_movielens(void **state) {
    (void)state;
    char path[400];
    cx_error err;
    cx_ratings *r;
    CX_SHARED_OR_SKIP(path, "data/ml-latest-small-2016-ratings.csv.gz");
    assert_ok(cx_ratings_open(path, &r, &err));
    cx_rank test = cx_rank_popularity(r, CX_SPLIT_TEST),
            valid = cx_rank_popularity(r, CX_SPLIT_VALIDATION);
    printf("popularity: validation HR@10 %.4f NDCG@10 %.4f, test HR@10 %.4f NDCG@10 %.4f\n",
           valid.hit, valid.gain, test.hit, test.gain);
    assert_true(fabs(test.hit - 0.5477) < 5e-5 && fabs(test.gain - 0.3206) < 5e-5);
    cx_ratings_close(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_an_epoch),
        cmocka_unit_test(test_held_out_items_do_not_train),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_gradient_of_gmf),
        cmocka_unit_test(test_evaluates_the_split),
        cmocka_unit_test(test_evaluation_changes_nothing),
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_constant_predictors),
        cmocka_unit_test(test_popularity),
        cmocka_unit_test(test_all_learn),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_is_held_out),
        cmocka_unit_test(test_movielens),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
