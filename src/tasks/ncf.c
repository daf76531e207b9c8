/* Neural collaborative filtering (networks: tasks/ncf_net.h) on ratings taken as implicit
 * feedback (data/ratings.h), with He et al.'s protocol (2017).
 *
 * Training: an epoch holds each training interaction once, and `negatives` rows beside it
 * of the same user and an item drawn uniformly from those that the user has no training
 * interaction with, new ones each time. The user's own validation and test items are drawn
 * as often as any other: leaving them out would tell the network which they are. Batch
 * number s takes the rows s B .. s B + B - 1 of an endless row of epochs, each a
 * permutation of all such rows; which item is drawn depends on the row's place alone.
 *
 * Evaluation: an example is a user, with the split's held-out item (of the training split
 * the newest training interaction) and 99 items that the user has no interaction with. The
 * metrics rank the held-out item among all of them; the loss is the mean over it and the
 * first `negatives` of them, so that it has training's proportion of ones and is
 * comparable with it. */
#include "base/arena.h"
#include "tasks/family.h"
#include "tasks/ncf_net.h"
#include "tasks/permute.h"
#include "tasks/rank.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
#define NCF_PARAMS(X) \
    CX_COMMON_PARAMS(X) \
    X(MODEL, "model", cx_ncf_model_words, 0, 0, CX_NCF_NEUMF, true, "kind of network") \
    X(FACTORS, "factors", NULL, 1, CX_NCF_FACTORS_MAX, 8, true, "predictive factors: gmf's embeddings, mlp's last layer") \
    X(LAYERS, "layers", NULL, 1, CX_NCF_LAYERS_MAX, 3, true, "layers of the mlp's tower, each twice as wide as the next") \
    X(DROPOUT, "dropout", NULL, 0, 0.95, 0, false, "share of gmf's products and of hidden units dropped in training") \
    X(BATCH_SIZE, "batch_size", NULL, 1, 65536, 256, true, "rows of an inner step: a user, an item, 1 or 0") \
    X(NEGATIVES, "negatives", NULL, 1, CX_RATINGS_NEGATIVES, 4, true, "items drawn for each training interaction") \
    X(EPOCHS, "epochs", NULL, 0, 1000, 0, false, "length of the run; 0: inner_per_outer says it")
/* clang-format on */

enum { NCF_PARAMS(CX_PARAM_ENUM) N_PARAMS };

static const cx_param_schema params[] = {NCF_PARAMS(CX_PARAM_ROW)};

const cx_family_schema cx_family_ncf_schema = {
    "ncf", "recommendation from ratings, leaving one out", N_PARAMS, params};

/* MovieLens latest-small of 2016, which the figures of the spec alone are for. */
enum { FILE_USERS = 671, FILE_ITEMS = 9066, FILE_POSITIVES = 98662 };
enum { CANDIDATES = 1 + CX_RATINGS_NEGATIVES, EVAL_USERS = 8 };
static const double params_max = 1e8, activations_max = 5e8;
static const char set_name[] = "ratings";

/* A graph with the arrays that are filled before each pass. */
typedef struct {
    cx_graph *graph;
    cx_ncf_refs refs;
    int batch;
} pass;

typedef struct {
    const cx_ratings *ratings;
    cx_ncf_net net;
    pass train, eval;
    cx_permute order[CX_SPLITS]; /* in which the evaluated users stand */
    cx_epochs epochs;            /* of rows: interaction (1 + negatives) + k, k 0: itself */
    uint32_t negatives;
} ncf_task;

static cx_ncf_net net_of(const double *v, uint32_t users, uint32_t items) {
    return (cx_ncf_net){.model = (int)v[MODEL],
                        .factors = (int)v[FACTORS],
                        .layers = (int)v[LAYERS],
                        .dropout = v[DROPOUT],
                        .users = users,
                        .items = items};
}

/* --- what follows from the spec alone --- */

static int steps_per_outer(const cx_task_spec *spec, double positives) {
    const double *v = spec->value;
    return cx_epochs_per_outer(spec, v[EPOCHS], positives * (1 + v[NEGATIVES]), v[BATCH_SIZE]);
}

static int inner_per_outer(const cx_task_spec *spec, const cx_config *config) {
    (void)config;
    return steps_per_outer(spec, FILE_POSITIVES);
}

static double flops_per_step(const cx_task_spec *spec, const cx_config *config) {
    (void)config;
    cx_ncf_net net = net_of(spec->value, FILE_USERS, FILE_ITEMS);
    cx_ncf_cost c = cx_ncf_net_measure(&net);
    /* as tasks/images.c */
    return spec->value[BATCH_SIZE] * (6 * c.products + 20 * c.activations) +
           CX_FLOPS_PER_UPDATE * c.params + CX_FLOPS_PER_OPERATOR * c.operators;
}

static int check(const double *v, const cx_ratings *r, cx_error *err) {
    cx_ncf_net net = net_of(v, r->users, r->items);
    cx_ncf_cost c = cx_ncf_net_measure(&net);
    if (c.params > params_max || c.activations * v[BATCH_SIZE] > activations_max)
        return cx_fail(err, CX_ECONFIG,
                       "ncf: a network of %.3g parameters and %.3g activations for %u users and %u "
                       "items; at most %.0e and %.0e are right",
                       c.params, c.activations * v[BATCH_SIZE], r->users, r->items, params_max,
                       activations_max);
    if (r->positives * (1 + v[NEGATIVES]) > UINT32_MAX)
        return cx_fail(err, CX_ECONFIG,
                       "ncf: %u interactions with %.0f negatives each are more than %u rows of an "
                       "epoch; fewer negatives are right",
                       r->positives, v[NEGATIVES], UINT32_MAX);
    return CX_OK;
}

/* --- creation --- */

static int build(pass *p, const cx_ncf_net *net, int batch, bool forward_only, cx_error *err) {
    p->graph = cx_graph_create();
    if (!p->graph)
        return cx_fail(err, CX_ENOMEM, "no memory for a graph");
    p->batch = batch;
    p->refs = cx_ncf_net_build(net, batch, !forward_only, p->graph);
    return cx_graph_plan(p->graph, forward_only, err);
}

static int create(const cx_task_spec *spec, const cx_config *config, const cx_data_store *store,
                  cx_task *task, cx_error *err) {
    (void)config;
    const double *v = spec->value;
    const cx_ratings *r = cx_data_store_get(store, &cx_family_ncf, set_name);
    if (!r)
        return cx_fail(err, CX_ESTATE,
                       "ncf: no ratings are open; the configuration that the data were opened for "
                       "has no task of this family");
    int rc = check(v, r, err);
    if (rc)
        return rc;
    ncf_task *t = calloc(1, sizeof *t);
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a task");
    task->own = t;
    t->ratings = r;
    t->net = net_of(v, r->users, r->items);
    t->negatives = (uint32_t)v[NEGATIVES];
    if (!(v[INNER_STEPS] > 0)) /* epochs count the interactions that there really are */
        task->inner_steps = task->outer_steps * steps_per_outer(spec, r->positives);
    cx_rng rng = cx_rng_make(spec->seed, 0, CX_STREAM_EVAL);
    for (int s = 0; s < CX_SPLITS; s++)
        t->order[s] = cx_permute_make(r->evaluated, &rng);
    t->epochs = cx_epochs_make(r->positives * (1 + t->negatives), spec->seed);
    rc = build(&t->train, &t->net, (int)v[BATCH_SIZE], false, err);
    task->graph = t->train.graph; /* the task's to destroy */
    return rc ? rc : build(&t->eval, &t->net, EVAL_USERS * CANDIDATES, true, err);
}

static void destroy(cx_task *task) {
    ncf_task *t = task->own;
    if (!t)
        return;
    cx_graph_destroy(t->eval.graph);
    free(t);
    task->own = NULL;
}

/* --- training --- */

static void put_pair(const pass *p, int row, uint32_t user, uint32_t item) {
    cx_graph_value_int(p->graph, p->refs.user)[row] = (int32_t)user;
    cx_graph_value_int(p->graph, p->refs.item)[row] = (int32_t)item;
}

/* Row number `position` of the endless row of epochs. */
static void put_row(ncf_task *t, uint64_t seed, int row, uint64_t position) {
    const cx_ratings *r = t->ratings;
    uint32_t place = cx_epochs_at(&t->epochs, position), positive = place / (1 + t->negatives);
    uint32_t user = r->user[positive], item = r->item[positive];
    bool one = place % (1 + t->negatives) == 0;
    if (!one) {
        cx_rng rng = cx_rng_make(seed, position, CX_STREAM_DATA);
        item = cx_ratings_other(r, user, cx_rng_below(&rng, cx_ratings_others(r, user)));
    }
    put_pair(&t->train, row, user, item);
    cx_graph_value(t->train.graph, t->train.refs.target)[row] = one ? 1.0f : 0.0f;
}

static double step(cx_task *task, float *block, float *grads, uint32_t number) {
    ncf_task *t = task->own;
    const pass *p = &t->train;
    uint64_t seed = task->spec.seed, first = (uint64_t)number * (uint64_t)p->batch;
    for (int i = 0; i < p->batch; i++)
        put_row(t, seed, i, first + (uint64_t)i);
    cx_rng rng = cx_rng_make(seed, number, CX_STREAM_DROPOUT);
    cx_graph_bind(p->graph, block, grads);
    cx_graph_forward(p->graph, CX_TRAIN, &rng);
    double loss = *cx_graph_value(p->graph, p->refs.loss);
    cx_graph_backward_loss(p->graph, p->refs.loss);
    return loss;
}

/* --- evaluation --- */

static void put_user(const ncf_task *t, cx_split split, int place, uint32_t e) {
    const cx_ratings *r = t->ratings;
    const uint32_t *others = cx_ratings_negatives(r, (int)split, e);
    put_pair(&t->eval, place * CANDIDATES, r->who[e], r->target[split][e]);
    for (int i = 1; i < CANDIDATES; i++)
        put_pair(&t->eval, place * CANDIDATES + i, r->who[e], others[i - 1]);
}

/* Sum of the losses of the held-out item and of the first negatives. */
static double user_loss(const ncf_task *t, const float *logits) {
    double sum = 0;
    for (uint32_t i = 0; i <= t->negatives; i++) {
        double x = i == 0 ? -logits[i] : logits[i]; /* log(1 + exp(x)) */
        sum += fmax(x, 0) + log1p(exp(-fabs(x)));
    }
    return sum;
}

static double evaluate(cx_task *task, float *block, cx_split split, int examples,
                       double metric[CX_TASK_METRICS]) {
    ncf_task *t = task->own;
    const pass *p = &t->eval;
    uint32_t all = t->ratings->evaluated;
    uint32_t n = examples > 0 && (uint32_t)examples < all ? (uint32_t)examples : all;
    double loss = 0;
    cx_rank sum = {0, 0};
    cx_graph_bind(p->graph, block, NULL);
    for (uint32_t start = 0; start < n; start += EVAL_USERS) {
        /* places of a last pass that is not full hold users of the one before it, and are
         * not counted */
        uint32_t users = n - start < EVAL_USERS ? n - start : EVAL_USERS;
        for (uint32_t i = 0; i < users; i++)
            put_user(t, split, (int)i, cx_permute_at(&t->order[split], start + i));
        cx_graph_forward(p->graph, CX_EVAL, NULL);
        const float *logits = cx_graph_value(p->graph, p->refs.logits);
        for (uint32_t i = 0; i < users; i++, logits += CANDIDATES) {
            cx_rank rank = cx_rank_of_first(logits, CANDIDATES);
            sum.hit += rank.hit;
            sum.gain += rank.gain;
            loss += user_loss(t, logits);
        }
    }
    metric[0] = sum.hit / n;
    metric[1] = sum.gain / n;
    return loss / n / (1 + t->negatives);
}

static void measure_reference(const cx_task *task, cx_split split, double metric[CX_TASK_METRICS]) {
    const ncf_task *t = task->own;
    cx_rank rank = cx_rank_popularity(t->ratings, (int)split);
    metric[0] = rank.hit;
    metric[1] = rank.gain;
}

/* --- what the entries of the configuration can draw --- */

/* The largest network and batch of an entry, which is refused when the run starts. */
static int check_entry(const cx_config *config, int entry, const cx_ratings *r, cx_error *err) {
    const cx_dist *p = config->tasks[entry].param;
    double v[N_PARAMS] = {0}, models[CX_CHOICES_MAX];
    int n = cx_dist_values(&p[MODEL], models), rc = CX_OK;
    for (int i = FACTORS; i < N_PARAMS; i++)
        v[i] = cx_dist_end(&p[i], true);
    for (int i = 0; i < n && !rc; i++) {
        v[MODEL] = models[i];
        rc = check(v, r, err);
    }
    return rc ? cx_fail_in(err, "tasks.%d (%s)", entry, config->tasks[entry].name) : CX_OK;
}

static void close_ratings(void *data) {
    cx_ratings_close(data);
}

static int open(const cx_config *config, cx_data_store *store, cx_error *err) {
    cx_ratings *r;
    if (config->data.ncf[0] == 0)
        return cx_fail(err, CX_ECONFIG,
                       "data.ncf is empty, but a task uses it: MovieLens' ratings.dat, ratings.csv "
                       "or u.data, plain or gzipped, or the folder of it, is right");
    int rc = cx_ratings_open(config->data.ncf, &r, err);
    if (rc)
        return cx_fail_in(err, "data.ncf");
    rc = cx_data_store_put(store, &cx_family_ncf, set_name, r, close_ratings, err);
    for (int i = 0; i < config->n_tasks && !rc; i++)
        if (cx_entry_is(config, i, &cx_family_ncf))
            rc = check_entry(config, i, r, err);
    return rc;
}

static void identity(const cx_task_spec *spec, const cx_config *config, char *out, size_t size) {
    (void)spec;
    (void)snprintf(out, size, "%s", config->data.ncf);
}

const cx_task_family cx_family_ncf = {.schema = &cx_family_ncf_schema,
                                      .held_out = true,
                                      .metric = {{"HR@10", true}, {"NDCG@10", false}},
                                      .reference = "popularity",
                                      .measure_reference = measure_reference,
                                      .open = open,
                                      .identity = identity,
                                      .create = create,
                                      .destroy = destroy,
                                      .step = step,
                                      .evaluate = evaluate,
                                      .flops_per_step = flops_per_step,
                                      .inner_per_outer = inner_per_outer};
