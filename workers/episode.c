#include "workers/episode.h"

#include "base/arena.h"
#include "base/clock.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TASKS_KEPT = 4 };

typedef struct {
    cx_task *task;
    cx_inner_run *inner;
    uint64_t used; /* 0: empty; for finding the least recently used */
} kept_task;

struct cx_episode_runner {
    const cx_config *config;
    const cx_data_store *store;
    cx_rule_config rule;
    cx_heads heads;
    cx_net *net;
    cx_trajectory *trajectory;
    kept_task kept[TASKS_KEPT];
    uint64_t clock;
    float *state, *logits; /* of the policy */
    float task_vector[4096];
    int n_task_vector;
    double policy_seconds;
    cx_watch_function watch;
    void *watch_context;
    cx_interrupt interrupt;
};

/* Everything of one episode while it runs. */
typedef struct {
    cx_episode_runner *r;
    const cx_episode_job *job;
    const float *policy;
    cx_inner_run *inner;
    cx_observer *observer;
    cx_trajectory *t;
    cx_episode_result *result;
    cx_episode_extra *extra;
    cx_snapshot registers[CX_REGISTERS_MAX];
    cx_rng actions;
    cx_run_state state;
    cx_baseline no_baseline;
    double features[CX_FEATURE_COUNT];
    int choice[CX_HEADS_MAX];
    float noise[CX_HYPER_COUNT];
    double norm; /* of the parameters at the last outer step */
    bool diverged;
} episode;

int cx_episode_runner_create(const cx_config *config, const cx_data_store *store,
                             cx_episode_runner **out, cx_error *err) {
    *out = NULL;
    cx_episode_runner *r = calloc(1, sizeof *r);
    if (!r)
        return cx_fail(err, CX_ENOMEM, "no memory for an episode runner");
    r->config = config;
    r->store = store;
    r->rule = cx_rule_learned(&config->optimizer, config->episode.feature_interval);
    cx_action_heads(config, &r->heads);
    r->n_task_vector = cx_task_vector_size();
    cx_net_shape shape = cx_policy_shape(config);
    int rc = cx_net_create(&shape, &r->net, err);
    r->state = cx_calloc((size_t)2 * (size_t)shape.lstm, sizeof(float));
    r->logits = cx_calloc((size_t)r->heads.n_logits, sizeof(float));
    if (!rc && (!r->state || !r->logits))
        rc = cx_fail(err, CX_ENOMEM, "no memory for the policy's state");
    if (!rc && r->n_task_vector > (int)(sizeof r->task_vector / sizeof r->task_vector[0]))
        rc = cx_fail(err, CX_ESTATE, "the task vector has %d entries", r->n_task_vector);
    if (rc) {
        cx_episode_runner_destroy(r);
        return rc;
    }
    *out = r;
    return CX_OK;
}

void cx_episode_runner_destroy(cx_episode_runner *r) {
    if (!r)
        return;
    for (int i = 0; i < TASKS_KEPT; i++) {
        cx_inner_run_destroy(r->kept[i].inner);
        cx_task_destroy(r->kept[i].task);
    }
    cx_trajectory_destroy(r->trajectory);
    cx_net_destroy(r->net);
    free(r->state);
    free(r->logits);
    free(r);
}

const cx_net *cx_episode_runner_net(const cx_episode_runner *r) {
    return r->net;
}

void cx_episode_runner_watch(cx_episode_runner *r, cx_watch_function watch, void *context) {
    r->watch = watch;
    r->watch_context = context;
}

void cx_episode_runner_interrupt(cx_episode_runner *r, cx_interrupt interrupt) {
    r->interrupt = interrupt;
}

bool cx_episode_runner_interrupted(const cx_episode_runner *r) {
    return r->interrupt.asked && r->interrupt.asked(r->interrupt.context);
}

double cx_episode_runner_policy_seconds(const cx_episode_runner *r) {
    return r->policy_seconds;
}

/* The kept entry of a task; built in place of the least recently used when new. */
static int find_task(cx_episode_runner *r, const cx_task_spec *spec, kept_task **out,
                     cx_error *err) {
    kept_task *oldest = &r->kept[0];
    for (int i = 0; i < TASKS_KEPT; i++) {
        kept_task *k = &r->kept[i];
        if (k->task && memcmp(&k->task->spec, spec, sizeof *spec) == 0) {
            k->used = ++r->clock;
            *out = k;
            return CX_OK;
        }
        if (k->used < oldest->used)
            oldest = k;
    }
    cx_inner_run_destroy(oldest->inner);
    cx_task_destroy(oldest->task);
    memset(oldest, 0, sizeof *oldest);
    int rc = cx_task_create(spec, r->config, r->store, &oldest->task, err);
    if (rc)
        return rc;
    oldest->used = ++r->clock;
    *out = oldest;
    return CX_OK;
}

int cx_episode_runner_task(cx_episode_runner *r, const cx_task_spec *spec, cx_task **task,
                           cx_error *err) {
    kept_task *k;
    int rc = find_task(r, spec, &k, err);
    *task = rc ? NULL : k->task;
    return rc;
}

cx_inner_run *cx_episode_runner_inner(cx_episode_runner *r, const cx_task_spec *spec) {
    for (int i = 0; i < TASKS_KEPT; i++)
        if (r->kept[i].task && memcmp(&r->kept[i].task->spec, spec, sizeof *spec) == 0)
            return r->kept[i].inner;
    return NULL;
}

static int prepare_inner(episode *e, cx_error *err) {
    kept_task *k;
    int rc = find_task(e->r, &e->job->spec, &k, err);
    if (rc)
        return rc;
    if (k->inner)
        cx_inner_run_restart(k->inner);
    else
        rc = cx_inner_run_create(e->r->config, k->task, &e->r->rule, &k->inner, err);
    e->inner = k->inner;
    if (!rc)
        rc = cx_inner_run_mark(e->inner, err); /* so that later marks cannot fail */
    return rc;
}

static int prepare_trajectory(episode *e, cx_error *err) {
    cx_episode_runner *r = e->r;
    int K = e->inner->task->outer_steps;
    if (r->trajectory && r->trajectory->capacity < K) {
        cx_trajectory_destroy(r->trajectory);
        r->trajectory = NULL;
    }
    if (!r->trajectory) {
        int rc = cx_trajectory_create(cx_privileged_size(r->config), r->heads.n_heads,
                                      r->heads.n_logits, K, &r->trajectory, err);
        if (rc)
            return rc;
    }
    e->t = r->trajectory;
    memset(&e->t->result, 0, sizeof e->t->result);
    return CX_OK;
}

static int prepare_registers(episode *e, cx_error *err) {
    for (int i = 0; i < e->r->config->registers; i++) {
        int rc = cx_snapshot_create(e->inner, &e->registers[i], err);
        if (rc)
            return rc;
    }
    return CX_OK;
}

/* Of the validation split. */
static double loss_of(episode *e, int examples, bool averaged) {
    double start = e->extra ? cx_clock_cpu() : 0;
    double loss = cx_inner_run_evaluate(e->inner, CX_SPLIT_VALIDATION, examples, averaged, NULL);
    if (e->extra)
        e->extra->evaluation_seconds += cx_clock_cpu() - start;
    return loss;
}

static double outer_loss(episode *e) {
    return loss_of(e, e->r->config->episode.outer_examples, true);
}

static void prepare_state(episode *e) {
    cx_episode_runner *r = e->r;
    const cx_task *task = e->inner->task;
    cx_run_state *s = &e->state;
    memset(s, 0, sizeof *s);
    cx_rng rng = cx_rng_make(r->config->seed, e->job->episode, CX_STREAM_START);
    s->hyper = r->config->optimizer.start;
    if (!e->job->default_start)
        cx_action_start(r->config, task->outer_steps, &rng, &s->hyper, e->noise);
    if (e->job->start_lr > 0)
        s->hyper.value[CX_HYPER_LR] *= e->job->start_lr;
    s->hyper_start = s->hyper;
    s->outer_steps = task->outer_steps;
    s->inner_steps = task->inner_steps;
    for (int i = 0; i < CX_FEATURE_COUNT; i++)
        e->features[i] = NAN;
    s->features = e->features;
    cx_task_vector(&task->spec, r->config, r->task_vector);
    s->task_vector = r->task_vector;
    s->n_task_vector = r->n_task_vector;
    s->start_noise = e->noise;
    s->baseline = e->job->baseline ? e->job->baseline : &e->no_baseline;
    s->optimum = cx_task_optimum(task);
    s->valid_loss = outer_loss(e);
    s->train_loss = s->valid_loss; /* nothing has been trained: the ratio starts at 1 */
    s->previous_param_norm = s->update_norm = NAN;
    s->param_norm = e->norm = cx_inner_run_norm(e->inner);
    e->result->initial_valid_loss = s->valid_loss;
}

/* Loading or swapping an empty register is masked out. */
static void make_mask(const episode *e, unsigned char *mask) {
    const cx_heads *heads = &e->r->heads;
    memset(mask, 1, (size_t)heads->n_logits);
    if (heads->n_heads == 0 || heads->hyper[0] >= 0)
        return;
    for (int c = 0; c < heads->size[0]; c++) {
        int index = 0;
        cx_register_op op = cx_action_register(e->r->config->registers, c, &index);
        if ((op == CX_REGISTER_LOAD || op == CX_REGISTER_SWAP) && !e->registers[index].full)
            mask[heads->offset[0] + c] = 0;
    }
}

static int choose(episode *e, int k, cx_error *err) {
    cx_episode_runner *r = e->r;
    cx_trajectory *t = e->t;
    float *obs = t->obs + (size_t)k * (size_t)t->n_obs;
    unsigned char *mask = t->mask + (size_t)k * (size_t)t->n_logits;
    double start = cx_clock_now(), cpu = e->extra ? cx_clock_cpu() : 0, log_prob = 0;
    cx_observe(e->observer, &e->state, obs);
    make_mask(e, mask);
    memset(r->logits, 0, (size_t)r->heads.n_logits * sizeof(float));
    if (e->job->acting == CX_ACT_NEUTRAL || e->job->acting == CX_ACT_REPLAY) {
        cx_action_neutral(r->config, &r->heads, e->choice);
    } else {
        if (e->job->acting != CX_ACT_RANDOM) {
            int rc = cx_net_step(r->net, e->policy, obs, r->state, r->logits, err);
            if (rc)
                return rc;
        }
        bool likeliest = e->job->acting == CX_ACT_LIKELIEST;
        log_prob =
            cx_action_choose(&r->heads, r->logits, mask, likeliest ? NULL : &e->actions, e->choice);
    }
    for (int h = 0; h < r->heads.n_heads; h++)
        t->choice[(size_t)k * (size_t)t->n_heads + (size_t)h] = e->choice[h];
    t->log_prob[k] = (float)log_prob;
    r->policy_seconds += cx_clock_now() - start;
    if (e->extra)
        e->extra->policy_seconds += cx_clock_cpu() - cpu;
    return CX_OK;
}

static void use_register(episode *e, int choice) {
    int index = 0;
    cx_register_op op = cx_action_register(e->r->config->registers, choice, &index);
    cx_snapshot *s = &e->registers[index];
    double progress = (double)e->state.outer_step / e->state.outer_steps;
    double valid = e->state.valid_loss;
    bool sound = !e->diverged;
    switch (op) {
    case CX_REGISTER_NOTHING:
        return;
    case CX_REGISTER_SAVE:
        if (!sound)
            return; /* a diverged state is not worth keeping, and not to be loaded */
        cx_snapshot_save(s, e->inner);
        s->valid_loss = valid;
        s->progress = progress;
        return;
    case CX_REGISTER_LOAD:
        cx_snapshot_load(s, e->inner, false);
        break;
    case CX_REGISTER_SWAP:
        cx_snapshot_swap(s, e->inner);
        s->full = sound;
        break;
    }
    e->state.valid_loss = s->valid_loss;
    e->diverged = false;
    if (op == CX_REGISTER_SWAP) {
        s->valid_loss = valid;
        s->progress = progress;
    }
}

static void apply_choice(episode *e, int k) {
    const cx_heads *heads = &e->r->heads;
    cx_run_state *s = &e->state;
    if (e->job->acting == CX_ACT_REPLAY) {
        s->hyper = *cx_open_loop_at(e->job->replay, (k + 0.5) / s->outer_steps);
    } else {
        if (heads->n_heads > 0 && heads->hyper[0] < 0)
            use_register(e, e->choice[0]);
        cx_action_apply(e->r->config, heads, e->choice, &s->hyper);
    }
    cx_optimizer_set_hyper(e->inner->optimizer, &s->hyper);
    if (e->extra)
        cx_open_loop_record(&e->extra->taken, k, s->outer_steps, &s->hyper);
}

/* The inner steps of one outer step, and what the policy will see of them. */
static void advance(episode *e) {
    cx_run_state *s = &e->state;
    const cx_task *task = e->inner->task;
    (void)cx_inner_run_mark(e->inner, NULL);
    s->previous_param_norm = cx_inner_run_norm(e->inner);
    int before = e->inner->steps_done;
    double start = e->extra ? cx_clock_cpu() : 0;
    e->diverged = !cx_inner_run_advance(e->inner, task->inner_steps / task->outer_steps);
    if (e->extra)
        e->extra->training_seconds += cx_clock_cpu() - start;
    e->result->inner_steps_done += e->inner->steps_done - before;
    cx_optimizer_outer_step(e->inner->optimizer, e->features);
    s->train_loss = e->inner->train_loss;
    s->valid_loss = e->diverged ? NAN : outer_loss(e);
    s->param_norm = cx_inner_run_norm(e->inner);
    s->update_norm = cx_inner_run_update_norm(e->inner);
    s->last_action = e->choice;
    for (int i = 0; i < e->r->config->registers; i++) {
        s->reg[i].full = e->registers[i].full;
        s->reg[i].valid_loss = e->registers[i].valid_loss;
        s->reg[i].progress = e->registers[i].progress;
    }
}

static bool can_go_on(const episode *e) {
    if (!e->diverged)
        return true;
    for (int i = 0; i < e->r->config->registers; i++)
        if (e->registers[i].full)
            return true;
    return false;
}

static int outer_steps(episode *e, cx_piece_function piece, void *context, cx_error *err) {
    int K = e->inner->task->outer_steps, sent = 0, k = 0;
    while (k < K && can_go_on(e)) {
        e->state.outer_step = k;
        int rc = choose(e, k, err);
        if (rc)
            return rc;
        cx_run_state seen = e->state;
        double features[CX_FEATURE_COUNT];
        memcpy(features, e->features, sizeof features);
        seen.features = features;
        apply_choice(e, k);
        k++;
        e->t->result.steps = k;
        if (e->diverged)
            break; /* the policy had its chance to load a register */
        advance(e);
        if (e->r->watch) {
            size_t row = (size_t)k - 1;
            cx_outer_step_view view = {.outer_step = k - 1,
                                       .state = &seen,
                                       .obs = e->t->obs + row * (size_t)e->t->n_obs,
                                       .heads = &e->r->heads,
                                       .logits = e->r->logits,
                                       .mask = e->t->mask + row * (size_t)e->t->n_logits,
                                       .choice = e->choice,
                                       .hyper = &e->state.hyper,
                                       .train_loss = e->state.train_loss,
                                       .valid_loss = e->state.valid_loss,
                                       .features = e->features};
            e->r->watch(e->r->watch_context, &view);
        }
        if (piece && k - sent >= e->r->config->workers.chunk_steps) {
            rc = piece(context, e->t, sent, k - sent, err);
            if (rc)
                return rc;
            sent = k;
        }
        if (cx_episode_runner_interrupted(e->r))
            return cx_fail(err, CX_ESTOPPED, "an episode was interrupted");
    }
    if (piece && k > sent)
        return piece(context, e->t, sent, k - sent, err);
    return CX_OK;
}

/* What only evaluations want to know: losses and metrics of all splits. */
static void look_closer(episode *e) {
    cx_episode_extra *x = e->extra;
    x->optimum = cx_task_optimum(e->inner->task);
    for (int s = 0; s < CX_SPLITS; s++) {
        int examples =
            s == CX_SPLIT_TEST ? e->job->test_examples : e->r->config->episode.final_examples;
        x->loss[s] = NAN;
        for (int m = 0; m < CX_TASK_METRICS; m++)
            x->metric[s][m] = NAN;
        if (e->job->test && !e->diverged)
            x->loss[s] = cx_inner_run_evaluate(e->inner, (cx_split)s, examples, true, x->metric[s]);
    }
}

static void finish(episode *e) {
    const cx_config *config = e->r->config;
    cx_episode_result *res = e->result;
    const cx_task *task = e->inner->task;
    res->steps = e->t->result.steps;
    res->end = e->diverged ? CX_END_DIVERGED : CX_END_FINISHED;
    res->final_train_loss = e->state.train_loss;
    res->final_valid_loss = res->final_valid_loss_raw = NAN;
    if (!e->diverged) {
        res->final_valid_loss = loss_of(e, config->episode.final_examples, true);
        res->final_valid_loss_raw = loss_of(e, config->episode.outer_examples, false);
        if (!isfinite(res->final_valid_loss))
            res->end = CX_END_DIVERGED;
    }
    res->reward = config->reward.floor;
    res->reward_raw = config->reward.floor;
    if (res->end == CX_END_FINISHED && e->job->baseline)
        res->reward = cx_reward(config, e->job->baseline,
                                res->final_valid_loss - cx_task_optimum(task), &res->reward_raw);
    if (e->extra)
        look_closer(e);
}

static void describe(episode *e) {
    cx_episode_result *res = e->result;
    memset(res, 0, sizeof *res);
    res->episode = e->job->episode;
    res->instance = e->job->instance;
    res->version = e->job->version;
    res->spec = e->job->spec;
}

static int run_episode(episode *e, cx_piece_function piece, void *context, cx_error *err) {
    int rc = prepare_inner(e, err);
    if (!rc)
        rc = prepare_trajectory(e, err);
    if (!rc)
        rc = prepare_registers(e, err);
    if (!rc)
        rc = cx_observer_create(e->r->config, &e->observer, err);
    if (rc)
        return rc;
    e->result->outer_steps = e->inner->task->outer_steps;
    e->result->inner_steps = e->inner->task->inner_steps;
    e->actions = cx_rng_make(e->r->config->seed, e->job->episode, CX_STREAM_ACTION);
    memset(e->r->state, 0, (size_t)2 * (size_t)cx_policy_shape(e->r->config).lstm * sizeof(float));
    double start = cx_clock_cpu();
    prepare_state(e);
    rc = outer_steps(e, piece, context, err);
    if (e->extra)
        e->extra->seconds = cx_clock_cpu() - start;
    if (!rc)
        finish(e);
    return rc;
}

int cx_episode_run(cx_episode_runner *r, const cx_episode_job *job, const float *policy,
                   cx_piece_function piece, void *context, cx_episode_result *result,
                   cx_episode_extra *extra, cx_error *err) {
    bool needs_policy = job->acting == CX_ACT_SAMPLE || job->acting == CX_ACT_LIKELIEST;
    if (needs_policy && !policy)
        return cx_fail(err, CX_ESTATE, "an episode was to be run by a policy, but there is none");
    double wall = cx_clock_now(), cpu = cx_clock_cpu();
    episode *e = calloc(1, sizeof *e);
    if (!e)
        return cx_fail(err, CX_ENOMEM, "no memory for an episode");
    e->r = r;
    e->job = job;
    e->policy = policy;
    e->result = result;
    e->extra = extra;
    if (extra)
        memset(extra, 0, sizeof *extra);
    describe(e);
    int rc = run_episode(e, piece, context, err);
    result->seconds = cx_clock_now() - wall;
    result->cpu_seconds = cx_clock_cpu() - cpu;
    for (int i = 0; i < r->config->registers; i++)
        cx_snapshot_destroy(&e->registers[i]);
    cx_observer_destroy(e->observer);
    free(e);
    return rc;
}
