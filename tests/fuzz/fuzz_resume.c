/* A run's folder that is resumed: config.yaml, and the parts "run", "learner" and "episodes"
 * of its checkpoint (whose hashes are right: they were written so). The learner's own header
 * is mended as in fuzz_learner.c. */
#include "tests/fuzz/fuzz.h"

#include "base/file.h"
#include "base/hash.h"
#include "coordinator/coordinator.h"
#include "tests/fuzz/messages.h"
#include "workers/worker.h"
#include <stdlib.h>
#include <string.h>

enum { PARTS = 4 };
static const char *const names[] = {"config", "run", "learner", "episodes"};

static void *mended_learner(const cx_slice *part) {
    unsigned char *bytes = malloc(part->size + 1);
    fuzz_must(bytes);
    if (part->size)
        memcpy(bytes, part->data, part->size);
    fuzz_mend(bytes, part->size, 'R', 8, 16);
    return bytes;
}

static void put_run(const cx_slice *piece) {
    cx_part part[PARTS - 1];
    char lines[6000]; /* more than a checkpoint of this run knows of */
    for (size_t i = 0; i < sizeof lines; i++)
        lines[i] = "{}\n"[i % 3];
    cx_error err;
    void *learner = mended_learner(&piece[2]);
    fuzz_clear("run");
    fuzz_put("run/config.yaml", piece[0].data, piece[0].size);
    fuzz_put("run/metrics.jsonl", lines, sizeof lines);
    fuzz_put("run/episodes.jsonl", lines, sizeof lines);
    for (int i = 0; i < PARTS - 1; i++)
        part[i] =
            (cx_part){names[i + 1], piece[i + 1].size ? piece[i + 1].data : "", piece[i + 1].size};
    part[1].data = learner;
    int rc = cx_checkpoint_write(fuzz_path("run/checkpoints"), 1, part, PARTS - 1, &err);
    fuzz_must(rc == CX_OK);
    free(learner);
}

static bool run(const uint8_t *data, size_t size) {
    cx_slice piece[PARTS];
    fuzz_transport t;
    cx_run_summary summary;
    cx_error err = {0};
    fuzz_cut(data, size, piece, PARTS);
    put_run(piece);
    fuzz_transport_make(&t, 0, NULL, 0, 1);
    t.end_fails = true;
    uint64_t before = fuzz_disk(fuzz_path("run"));
    cx_coordinator_options o = {.dir = fuzz_path("run"), .transport = &t.base, .resume = true};
    o.config = fuzz_run_config(&o.config_yaml);
    int rc = cx_coordinate(&o, &summary, &err);
    if (rc == CX_OK || rc == CX_EMPI) /* it was resumed, and then hears nothing */
        return true;
    fuzz_must(!fuzz_taken(rc, &err) && fuzz_disk(fuzz_path("run")) == before);
    return false;
}

/* --- a seed: the checkpoint of a real run --- */

static int one_job(void *context, bool *worked, cx_error *err) {
    bool stopped;
    return cx_worker_poll(context, worked, &stopped, err);
}

static void train(void) {
    static cx_config config;
    cx_transport *end[2];
    cx_worker *w;
    cx_error err = {0};
    cx_data_store *store;
    cx_run_summary summary;
    const char *yaml;
    config = *fuzz_run_config(&yaml);
    config.updates = 1; /* it may be another on --resume */
    fuzz_clear("first");
    fuzz_must(cx_data_store_open(&config, &store, &err) == CX_OK);
    fuzz_must(cx_loopback_create(2, end, &err) == CX_OK);
    int rc = cx_message_send_hello(end[1], 0, cx_hash(yaml, strlen(yaml), 0), &err);
    if (!rc)
        rc = cx_worker_create(&config, store, end[1], &w, &err);
    fuzz_must(rc == CX_OK);
    cx_coordinator_options o = {.config = &config,
                                .config_yaml = yaml,
                                .dir = fuzz_path("first"),
                                .transport = end[0],
                                .idle = one_job,
                                .idle_context = w};
    fuzz_must(cx_coordinate(&o, &summary, &err) == CX_OK);
    cx_worker_destroy(w);
    end[0]->close(end[0]);
    end[1]->close(end[1]);
    cx_data_store_close(store);
}

/* A finished episode that no update has taken, as coordinator/checkpoint.c writes it. */
static void *episode(size_t *size) {
    cx_trajectory *t = fuzz_episode((uint64_t)fuzz_run_config(NULL)->ppo.episodes_per_update);
    uint64_t bytes = cx_trajectory_piece_bytes(t, t->result.steps);
    *size = sizeof t->result + sizeof bytes + bytes;
    unsigned char *part = malloc(*size);
    fuzz_must(part);
    memcpy(part, &t->result, sizeof t->result);
    memcpy(part + sizeof t->result, &bytes, sizeof bytes);
    cx_trajectory_pack(t, 0, t->result.steps, part + sizeof t->result + sizeof bytes);
    cx_trajectory_destroy(t);
    return part;
}

static void seeds(const fuzz_sink *sink) {
    cx_slice piece[PARTS];
    unsigned char *part[PARTS];
    size_t size;
    train();
    int rc = cx_file_read(fuzz_path("first/config.yaml"), 1 << 20, &part[0], &size, NULL);
    fuzz_must(rc == CX_OK);
    piece[0] = (cx_slice){part[0], size};
    for (int i = 1; i < PARTS - 1; i++) {
        rc = cx_checkpoint_read(fuzz_path("first/checkpoints"), 1, names[i], (void **)&part[i],
                                &size, NULL);
        fuzz_must(rc == CX_OK);
        piece[i] = (cx_slice){part[i], size};
    }
    part[PARTS - 1] = episode(&size);
    piece[PARTS - 1] = (cx_slice){part[PARTS - 1], size};
    fuzz_must(piece[2].size > 32);
    part[2][3] = '?';
    fuzz_seed_pieces(sink, piece, PARTS);
    for (int i = 0; i < PARTS; i++)
        free(part[i]);
}

const fuzz_target fuzz_target_resume = {"resume", run, seeds};
