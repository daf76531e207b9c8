#include "coordinator/internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "tasks/task.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part "run": counters; the part "learner": ppo's own bytes; the part "episodes":
 * finished episodes that no update has consumed, each a result, the size of its piece,
 * and the whole trajectory as one piece. Episodes in flight are not stored: they are
 * run again under the same numbers. */
enum { RUN_PART_VERSION = 1 };
typedef struct {
    uint32_t version, reserved;
    cx_run_counters counters;
} run_part;

typedef struct {
    unsigned char *data;
    size_t size, capacity;
} byte_buffer;

static int buffer_append(byte_buffer *b, const void *data, size_t size, cx_error *err) {
    if (b->size + size > b->capacity) {
        size_t capacity = (b->size + size) * 2;
        unsigned char *bigger = realloc(b->data, capacity);
        if (!bigger)
            return cx_fail(err, CX_ENOMEM, "no memory for %zu bytes of a checkpoint", capacity);
        b->data = bigger;
        b->capacity = capacity;
    }
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    return CX_OK;
}

static int append_episode(void *context, const cx_trajectory *t, cx_error *err) {
    byte_buffer *b = context;
    uint64_t bytes = cx_trajectory_piece_bytes(t, t->result.steps);
    int rc = buffer_append(b, &t->result, sizeof t->result, err);
    if (!rc)
        rc = buffer_append(b, &bytes, sizeof bytes, err);
    if (rc)
        return rc;
    void *piece = malloc(bytes ? bytes : 1);
    if (!piece)
        return cx_fail(err, CX_ENOMEM, "no memory for an episode of a checkpoint");
    cx_trajectory_pack(t, 0, t->result.steps, piece);
    rc = buffer_append(b, piece, bytes, err);
    free(piece);
    return rc;
}

double cx_coordinator_seconds(const coordinator *c) {
    return c->counters.seconds + cx_clock_now() - c->started;
}

int cx_coordinator_write_policy(coordinator *c, cx_error *err) {
    char path[600];
    int rc = cx_path(path, sizeof path, err, "%s/policy.safetensors", c->dir.path);
    if (rc)
        return rc;
    return cx_policy_write(path, cx_learner_policy_net(c->learner), cx_learner_average(c->learner),
                           c->o->config_yaml, cx_learner_version(c->learner), err);
}

int cx_coordinator_save(coordinator *c, cx_error *err) {
    char folder[600];
    byte_buffer episodes = {0};
    void *learner = NULL;
    size_t learner_size = 0;
    run_part run;
    double began = cx_clock_now();
    memset(&run, 0, sizeof run);
    run.version = RUN_PART_VERSION;
    int rc = cx_lines_sync(c->dir.metrics, err);
    if (!rc)
        rc = cx_lines_sync(c->dir.episodes, err);
    run.counters = c->counters;
    run.counters.seconds = cx_coordinator_seconds(c);
    run.counters.metrics_bytes = cx_lines_size(c->dir.metrics);
    run.counters.episodes_bytes = cx_lines_size(c->dir.episodes);
    if (!rc)
        rc = cx_learner_save(c->learner, &learner, &learner_size, err);
    if (!rc)
        rc = cx_dispatch_each_finished(c->dispatch, append_episode, &episodes, err);
    if (!rc)
        rc = cx_path(folder, sizeof folder, err, "%s/checkpoints", c->dir.path);
    if (!rc) {
        cx_part parts[] = {
            {"run", &run, sizeof run},
            {"learner", learner, learner_size},
            {"episodes", episodes.data ? (void *)episodes.data : (void *)&run, episodes.size}};
        rc = cx_checkpoint_write(folder, c->counters.version, parts, 3, err);
    }
    if (!rc)
        rc = cx_checkpoint_prune(folder, c->config->checkpoint.keep,
                                 (uint64_t)c->config->checkpoint.every_updates, err);
    if (!rc)
        rc = cx_coordinator_write_policy(c, err);
    free(learner);
    free(episodes.data);
    c->last_checkpoint = cx_clock_now();
    c->longest_save = fmax(c->longest_save, c->last_checkpoint - began);
    c->checkpoint_version = c->counters.version;
    c->checkpoint_episodes = c->counters.episodes;
    return rc;
}

static double instance_cost(const void *config, uint64_t instance) {
    cx_task_spec spec;
    cx_task_sample(config, instance, &spec);
    return cx_task_gflop(&spec, config);
}

int cx_coordinator_make_dispatch(coordinator *c, uint64_t version, cx_error *err) {
    cx_dispatch_rules rules = {
        .episodes_per_update = c->config->ppo.episodes_per_update,
        .environment_reuse = c->config->episode.environment_reuse,
        .max_staleness = c->config->mode == CX_MODE_SYNCHRONOUS ? 1 : c->config->ppo.max_staleness,
        .updates = c->config->updates,
        .workers = c->n_workers,
        .cost = instance_cost,
        .cost_context = c->config,
        .sweep = cx_sweep_cost(c->config, false),
        .split = c->config,
        .split_above = c->config->workers.split_gflop};
    cx_dispatch_destroy(c->dispatch);
    return cx_dispatch_create(&rules, version, &c->dispatch, err);
}

static int restore_episodes(coordinator *c, const unsigned char *data, size_t size, cx_error *err) {
    size_t at = 0;
    while (at < size) {
        cx_episode_result result;
        uint64_t bytes;
        if (size - at < sizeof result + sizeof bytes)
            return cx_fail(err, CX_EFORMAT, "the checkpoint's episodes end early");
        memcpy(&result, data + at, sizeof result);
        memcpy(&bytes, data + at + sizeof result, sizeof bytes);
        at += sizeof result + sizeof bytes;
        /* a step has more than a byte: no room is made for what is not there */
        if (bytes > size - at || result.steps < 1 || (uint64_t)result.steps > bytes ||
            !cx_coordinator_result_fits(c, &result))
            return cx_fail(err, CX_EFORMAT, "the checkpoint's episodes are damaged");
        cx_trajectory *t;
        int rc = cx_trajectory_create(cx_privileged_size(c->config), c->heads.n_heads,
                                      c->heads.n_logits, result.steps, &t, err);
        if (rc)
            return rc;
        rc = cx_trajectory_unpack(t, data + at, bytes, err);
        if (!rc && t->result.steps != result.steps)
            rc = cx_fail(err, CX_EFORMAT, "the checkpoint's episodes are damaged");
        if (rc) {
            cx_trajectory_destroy(t);
            return rc;
        }
        t->result = result;
        at += bytes;
        rc = cx_dispatch_restore(c->dispatch, t, err);
        if (rc)
            return rc;
    }
    return CX_OK;
}

static int restore_from(coordinator *c, const char *folder, uint64_t number, cx_error *err) {
    void *data = NULL;
    size_t size = 0;
    int rc = cx_checkpoint_read(folder, number, "run", &data, &size, err);
    if (rc)
        return rc;
    run_part run;
    bool fits = size == sizeof run;
    if (fits)
        memcpy(&run, data, sizeof run);
    free(data);
    if (!fits || run.version != RUN_PART_VERSION)
        return cx_fail(err, CX_EVERSION, "%s/%08llu: a checkpoint of another version", folder,
                       (unsigned long long)number);
    c->counters = run.counters;
    rc = cx_checkpoint_read(folder, number, "learner", &data, &size, err);
    if (rc)
        return rc;
    rc = cx_learner_load(c->learner, data, size, err);
    free(data);
    if (rc)
        return rc;
    if (cx_learner_version(c->learner) != c->counters.version)
        return cx_fail(err, CX_EFORMAT, "%s/%08llu: learner and run disagree about the version",
                       folder, (unsigned long long)number);
    rc = cx_coordinator_make_dispatch(c, c->counters.version, err);
    if (!rc)
        rc = cx_checkpoint_read(folder, number, "episodes", &data, &size, err);
    if (rc)
        return rc;
    rc = restore_episodes(c, data, size, err);
    free(data);
    return rc;
}

int cx_coordinator_restore(coordinator *c, cx_error *err) {
    char folder[600], notes[512] = "";
    uint64_t number = 0;
    bool found = false;
    int rc = cx_path(folder, sizeof folder, err, "%s/checkpoints", c->dir.path);
    if (rc)
        return rc;
    if (cx_file_exists(folder)) {
        rc = cx_checkpoint_newest(folder, &number, &found, notes, sizeof notes, err);
        if (rc)
            return rc;
    }
    if (!found && notes[0])
        return cx_fail(
            err, CX_EFORMAT,
            "%s: no checkpoint is whole (%s); move that folder away to begin the run anew", folder,
            notes);
    if (found)
        rc = restore_from(c, folder, number, err);
    else
        rc = cx_coordinator_make_dispatch(c, 0, err);
    if (rc)
        return rc;
    c->checkpoint_version = c->counters.version;
    c->checkpoint_episodes = c->counters.episodes;
    c->restored = found;
    if (c->dir.resumed)
        (void)snprintf(
            c->dir.note, sizeof c->dir.note,
            "going on from %s: update %llu, %llu episodes; anything newer is run again%s%s",
            found ? "the newest whole checkpoint" : "the beginning (no whole checkpoint)",
            (unsigned long long)c->counters.version, (unsigned long long)c->counters.episodes,
            notes[0] ? "; " : "", notes);
    return CX_OK;
}
