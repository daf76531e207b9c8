/* What `bench` measures of the learner: updates, and what shards cost that other ranks compute. */
#include "cli/bench.h"

#include "base/clock.h"
#include "base/rng.h"
#include "policy/observation.h"
#include "ppo/ppo.h"
#include "wire/message.h"
#include "workers/shards.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UPDATES_MAX = 50, SLICES_MAX = 512 };

/* Updates of the preset desk for the policies of quickstart and desk, and one of a single
 * gradient step on whole runs of 64 outer steps for the default policy. */
static const struct {
    int hidden, lstm, outer_steps;
    const char *ppo;
} learners[] = {
    {64, 64, 24, ""},
    {128, 128, 24, ""},
    {256, 256, 64,
     "ppo: {episodes_per_update: 128, minibatch_episodes: 128, minibatches: 1, max_uses: 1}\n"},
};
enum { N_LEARNERS = sizeof learners / sizeof learners[0] };

typedef struct {
    cx_config *config;
    cx_learner *l;
    cx_heads heads;
    uint64_t number; /* of the next episode */
    int outer_steps;
} learner_bench;

/* Where an update's seconds go. values: of all episodes, before the first gradient step. */
typedef struct {
    double whole, values, policy, value, longest_slice;
} learner_times;

/* A made-up episode: noise seen, uniform choices, noise earned. */
static int add_episode(learner_bench *b, cx_error *err) {
    cx_trajectory *t;
    const cx_heads *heads = &b->heads;
    int steps = b->outer_steps;
    int rc = cx_trajectory_create(cx_privileged_size(b->config), heads->n_heads, heads->n_logits,
                                  steps, &t, err);
    if (rc)
        return rc;
    cx_rng rng = cx_rng_make(CX_BENCH_SEED, b->number, CX_STREAM_DATA);
    cx_rng_fill_normal(&rng, t->obs, (size_t)steps * (size_t)t->n_obs);
    memset(t->mask, 1, (size_t)steps * (size_t)t->n_logits);
    for (int k = 0; k < steps; k++) {
        t->log_prob[k] = 0;
        for (int h = 0; h < heads->n_heads; h++) {
            t->choice[k * heads->n_heads + h] =
                (int32_t)cx_rng_below(&rng, (uint32_t)heads->size[h]);
            t->log_prob[k] -= logf((float)heads->size[h]);
        }
    }
    t->result.episode = b->number++;
    t->result.version = cx_learner_version(b->l);
    t->result.steps = t->result.outer_steps = steps;
    t->result.reward = t->result.reward_raw = cx_rng_normal(&rng);
    return cx_learner_add(b->l, t, err); /* takes it, whatever comes of it */
}

/* A gradient step is as many slices as its minibatch has shards; the last ones are those of the
 * gradient steps of policy and value function, in turns. */
static void sort_slices(const double *slice, int n, const cx_config *c, learner_times *t) {
    int shards = (c->ppo.minibatch_episodes + CX_SHARD_EPISODES - 1) / CX_SHARD_EPISODES;
    int first = n - 2 * c->ppo.minibatches * shards;
    t->values = t->policy = t->value = 0;
    for (int i = 0; i < n; i++) {
        double *to = i < first                       ? &t->values
                     : (i - first) / shards % 2 == 0 ? &t->policy
                                                     : &t->value;
        *to += slice[i];
        if (slice[i] > t->longest_slice)
            t->longest_slice = slice[i];
    }
}

static int learn_once(learner_bench *b, learner_times *t, cx_error *err) {
    double slice[SLICES_MAX];
    int rc = CX_OK, n = 0;
    bool done = false;
    while (!rc && !cx_learner_ready(b->l))
        rc = add_episode(b, err);
    double start = cx_clock_now(), last = start;
    if (!rc)
        rc = cx_learner_begin(b->l, err);
    while (!rc && !done) {
        rc = cx_learner_advance(b->l, &done, NULL, err);
        double now = cx_clock_now();
        if (n < SLICES_MAX)
            slice[n++] = now - last;
        last = now;
    }
    t->whole = cx_clock_now() - start;
    if (!rc)
        sort_slices(slice, n, b->config, t);
    return rc;
}

static void learner_row(const learner_bench *b, const learner_times *times, int n, cx_table *t) {
    const cx_config *c = b->config;
    double whole[UPDATES_MAX], step[UPDATES_MAX], part[3] = {0}, longest = 0;
    char heads[128] = "";
    for (int i = 0; i < n; i++) {
        whole[i] = times[i].whole;
        step[i] = times[i].policy / c->ppo.minibatches;
        part[0] += times[i].values / times[i].whole / n;
        part[1] += times[i].policy / times[i].whole / n;
        part[2] += times[i].value / times[i].whole / n;
        longest = times[i].longest_slice > longest ? times[i].longest_slice : longest;
    }
    for (int h = 0; h < b->heads.n_heads; h++)
        (void)snprintf(heads + strlen(heads), sizeof heads - strlen(heads), "%s%d", h ? "," : "",
                       b->heads.size[h]);
    double s = cx_bench_median(whole, n);
    cx_table_number(t, c->policy.hidden);
    cx_table_number(t, c->policy.lstm);
    cx_table_number(t, cx_observation_size(c));
    cx_table_number(t, cx_privileged_size(c));
    cx_table_text(t, heads);
    cx_table_number(t, c->ppo.episodes_per_update);
    cx_table_number(t, b->outer_steps);
    cx_table_number(t, c->ppo.minibatches);
    cx_table_number(t, s);
    cx_table_number(t, cx_bench_least(whole, n));
    cx_table_number(t, c->ppo.episodes_per_update / s);
    cx_table_number(t, longest);
    for (int i = 0; i < 3; i++)
        cx_table_number(t, part[i]);
    cx_table_number(t, cx_bench_median(step, n));
}

static int bench_learner(int which, int updates, cx_table *t, cx_error *err) {
    learner_bench b = {.outer_steps = learners[which].outer_steps};
    learner_times times[UPDATES_MAX] = {{0}}, unused = {0};
    int rc = cx_bench_net_config(learners[which].hidden, learners[which].lstm, b.outer_steps,
                                 learners[which].ppo, &b.config, err);
    if (!rc) {
        cx_action_heads(b.config, &b.heads);
        rc = cx_learner_create(b.config, &b.l, err);
    }
    if (!rc)
        rc = learn_once(&b, &unused, err); /* builds the graphs */
    for (int i = 0; !rc && i < updates; i++)
        rc = learn_once(&b, &times[i], err);
    if (!rc)
        learner_row(&b, times, updates, t);
    cx_learner_destroy(b.l);
    free(b.config);
    return rc;
}

static int bench_updates(const cx_bench_options *o, cx_error *err) {
    cx_table *t = cx_table_create("one PPO update (preset desk, made-up episodes)");
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a table");
    cx_table_column(t, "hidden", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "lstm", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "inputs", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "privileged", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "heads", CX_COLUMN_TEXT, 0);
    cx_table_column(t, "episodes", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "outer_steps", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "gradient_steps", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "s_per_update", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "min_s_per_update", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "episodes_per_s", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_column(t, "longest_slice_s", CX_COLUMN_SIGNIFICANT, 3);
    cx_table_column(t, "values", CX_COLUMN_SHARE, 1);
    cx_table_column(t, "policy", CX_COLUMN_SHARE, 1);
    cx_table_column(t, "value", CX_COLUMN_SHARE, 1);
    cx_table_column(t, "policy_step_s", CX_COLUMN_SIGNIFICANT, 4);
    cx_table_note(t,
                  "longest_slice_s: how long the coordinator may leave a message waiting. Shares: "
                  "values of all episodes; gradient steps of the policy, of the value function. "
                  "policy_step_s: a gradient step of the policy alone (inputs, heads): forward, "
                  "loss, backward, clipping, Adam");
    int rc = CX_OK;
    int updates = o->steps <= 0 ? 3 : o->steps > UPDATES_MAX ? UPDATES_MAX : (int)o->steps;
    for (int i = 0; !rc && i < N_LEARNERS; i++)
        rc = bench_learner(i, updates, t, err);
    if (!rc)
        return cx_bench_print(t, o->json, err);
    cx_table_destroy(t);
    return rc;
}

/* --- what a shard costs rank 0 where another rank computes it --- */

enum { ERRANDS = 256 };

/* Seconds of one shard each, or of one message; the least ones are told. */
typedef struct {
    int n, n_weights, n_steps;
    double compute[ERRANDS], give[ERRANDS], take[ERRANDS], weights[ERRANDS], step[ERRANDS];
    double bytes; /* of a shard, mean */
} errands;

static int pack_and_open(cx_msg_type type, const void *body, const void *extra, size_t extra_size,
                         void **data, const void **opened, double *packing, double *opening,
                         cx_error *err) {
    size_t size, n;
    cx_msg_type is;
    const void *unpacked;
    double start = cx_clock_now();
    int rc = cx_message_pack(type, body, cx_message_body_size(type), extra, extra_size, data, &size,
                             err);
    double packed = cx_clock_now();
    if (!rc)
        rc = cx_message_unpack(*data, size, &is, &unpacked, opened, &n, err);
    *packing = packed - start;
    *opening = cx_clock_now() - packed;
    return rc;
}

static int send_weights(cx_shard_runner *r, const cx_work *w, errands *e, cx_error *err) {
    const cx_msg_weights m = {
        .net = cx_learned_net(&w->shard), .serial = w->serial, .n = w->n_weights};
    void *data = NULL;
    const void *weights;
    double packing = 0, opening;
    int rc = pack_and_open(CX_MSG_WEIGHTS, &m, w->weights, w->n_weights * sizeof(float), &data,
                           &weights, &packing, &opening, err);
    if (!rc)
        rc = cx_shard_runner_weights(r, &m, weights, err);
    free(data);
    e->weights[e->n_weights++] = packing;
    return rc;
}

/* One shard, through the bytes of all its messages; *last: the optimizer has made a step. */
static int run_errand(learner_bench *b, cx_shard_runner *r, const cx_work *w, double offered,
                      bool last, errands *e, cx_error *err) {
    cx_msg_gradient m;
    cx_msg_graded answer;
    void *data = NULL, *back = NULL;
    const void *shard, *gradient;
    const float *out;
    double packing = 0, opening = 0, unused, start = 0;
    memset(&m, 0, sizeof m);
    memset(&answer, 0, sizeof answer);
    m.number = w->number;
    m.serial = w->serial;
    m.shard = w->shard;
    int rc =
        pack_and_open(CX_MSG_GRADIENT, &m, w->data, w->size, &data, &shard, &packing, &unused, err);
    e->give[e->n] = offered + packing;
    if (!rc)
        rc = cx_shard_runner_compute(r, &m, shard, w->size, &answer, &out, err);
    if (!rc)
        rc = pack_and_open(CX_MSG_GRADED, &answer, out, answer.n * sizeof(float), &back, &gradient,
                           &unused, &opening, err);
    if (!rc) {
        start = cx_clock_now();
        rc = cx_learner_answer(b->l, answer.number, gradient, answer.n, &answer.sums, err);
    }
    double took = opening + cx_clock_now() - start;
    if (w->shard.kind != CX_SHARD_OUTPUTS && last)
        e->step[e->n_steps++] = took;
    else if (w->shard.kind != CX_SHARD_OUTPUTS) {
        e->take[e->n] = took;
        e->compute[e->n++] = answer.sums.seconds;
        e->bytes += (double)w->size;
    }
    free(data);
    free(back);
    return rc;
}

static int update_by_messages(learner_bench *b, errands *e, cx_error *err) {
    cx_shard_runner *r = NULL;
    uint64_t serial[CX_LEARNED_NETS] = {0};
    int shards = (b->config->ppo.minibatch_episodes + CX_SHARD_EPISODES - 1) / CX_SHARD_EPISODES;
    int rc = cx_shard_runner_create(b->config, &r, err), seen = 0;
    bool done = false, any = true;
    while (!rc && !cx_learner_ready(b->l))
        rc = add_episode(b, err);
    if (!rc)
        rc = cx_learner_begin(b->l, err);
    while (!rc && !done && e->n < ERRANDS - 1 && e->n_weights < ERRANDS && e->n_steps < ERRANDS) {
        cx_work w;
        double start = cx_clock_now();
        rc = cx_learner_offer(b->l, &w, &any, err);
        double offered = cx_clock_now() - start;
        if (!rc && any) {
            uint64_t *has = &serial[cx_learned_net(&w.shard)];
            if (*has != w.serial)
                rc = send_weights(r, &w, e, err);
            *has = w.serial;
            seen += w.shard.kind != CX_SHARD_OUTPUTS;
        }
        if (!rc && any)
            rc = run_errand(b, r, &w, offered, seen % shards == 0, e, err);
        if (!rc)
            rc = cx_learner_end(b->l, &done, NULL, err);
    }
    cx_shard_runner_destroy(r);
    return rc;
}

static void errands_row(const learner_bench *b, errands *e, cx_table *t) {
    const cx_config *c = b->config;
    double compute = cx_bench_least(e->compute, e->n), give = cx_bench_least(e->give, e->n);
    double take = cx_bench_least(e->take, e->n), step = cx_bench_least(e->step, e->n_steps);
    double weights = cx_bench_least(e->weights, e->n_weights);
    int shards = (c->ppo.minibatch_episodes + CX_SHARD_EPISODES - 1) / CX_SHARD_EPISODES;
    cx_table_number(t, c->policy.hidden);
    cx_table_number(t, c->policy.lstm);
    cx_table_number(t, c->ppo.minibatch_episodes);
    cx_table_number(t, b->outer_steps);
    cx_table_number(t, e->bytes / e->n / 1e6);
    cx_table_number(t, (double)cx_learner_policy_count(b->l) * sizeof(float) / 1e6);
    cx_table_number(t, 1e3 * compute);
    cx_table_number(t, 1e3 * give);
    cx_table_number(t, 1e3 * weights);
    cx_table_number(t, 1e3 * take);
    cx_table_number(t, 1e3 * (step - take));
    /* L ranks need shards (give + take) + L weights + step of rank 0, and shards compute / L of
     * theirs: the largest L for which the first is less. Both networks' shards are there at once */
    double own = shards * (give + take) + step - take, all = shards * compute, most = 0;
    while (most < 2 * shards && own + (most + 1) * weights < all / (most + 1))
        most++;
    cx_table_number(t, most);
}

static int bench_errands(int which, cx_table *t, cx_error *err) {
    learner_bench b = {.outer_steps = learners[which].outer_steps};
    static errands e;
    memset(&e, 0, sizeof e);
    int rc = cx_bench_net_config(learners[which].hidden, learners[which].lstm, b.outer_steps,
                                 learners[which].ppo, &b.config, err);
    if (!rc) {
        cx_action_heads(b.config, &b.heads);
        rc = cx_learner_create(b.config, &b.l, err);
    }
    for (int i = 0; !rc && i < 3; i++) /* the first one builds the graphs */
        rc = update_by_messages(&b, &e, err);
    if (!rc)
        errands_row(&b, &e, t);
    cx_learner_destroy(b.l);
    free(b.config);
    return rc;
}

static int bench_shards(const cx_bench_options *o, cx_error *err) {
    cx_table *t = cx_table_create("a shard of a gradient step that a learner rank computes, ms");
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a table");
    cx_table_column(t, "hidden", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "lstm", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "minibatch", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "outer_steps", CX_COLUMN_FIXED, 0);
    cx_table_column(t, "shard_MB", CX_COLUMN_SIGNIFICANT, 3);
    cx_table_column(t, "gradient_MB", CX_COLUMN_SIGNIFICANT, 3);
    cx_table_column(t, "compute", CX_COLUMN_SIGNIFICANT, 3);
    cx_table_column(t, "give", CX_COLUMN_SIGNIFICANT, 3);
    cx_table_column(t, "weights", CX_COLUMN_SIGNIFICANT, 3);
    cx_table_column(t, "take", CX_COLUMN_SIGNIFICANT, 3);
    cx_table_column(t, "step", CX_COLUMN_SIGNIFICANT, 3);
    cx_table_column(t, "ranks_at_most", CX_COLUMN_FIXED, 0);
    cx_table_note(
        t, "compute: on the learner rank. On rank 0, without MPI: give, take: a shard packed, its "
           "gradient checked and added; weights: for each rank and gradient step; step: the "
           "optimizer. ranks_at_most: more learner ranks wait for rank 0, or for shards");
    int rc = CX_OK;
    for (int i = 0; !rc && i < N_LEARNERS; i++)
        rc = bench_errands(i, t, err);
    if (!rc)
        return cx_bench_print(t, o->json, err);
    cx_table_destroy(t);
    return rc;
}

int cx_bench_learner(const cx_bench_options *o, cx_error *err) {
    int rc = bench_updates(o, err);
    return rc ? rc : bench_shards(o, err);
}
