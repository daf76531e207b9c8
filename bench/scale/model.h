/* What a simulated run has in place of inner trainings and of PPO's arithmetic: the same
 * interfaces (workers/episode.h, workers/baseline.h, workers/trial.h, ppo/ppo.h), behind
 * which nothing is computed and time passes as it was measured. Everything else of a run is
 * the program's own: coordinator/, workers/worker.c, src/wire/. */
#ifndef CX_BENCH_SCALE_MODEL_H
#define CX_BENCH_SCALE_MODEL_H

#include "bench/scale/times.h"
#include "ppo/ppo.h"

/* CPU seconds of learning, one thread. Per episode and (padded) outer step: the gradient of
 * either network, values alone. step: of an optimizer, for learner ranks; rank 0 alone has it in
 * the others. */
typedef struct {
    double policy, value, forward, step;
} cx_model_learner;

/* All ranks of a simulation live in one process and share it. Set before anything runs. */
typedef struct {
    cx_times times;
    cx_model_learner learner;
    void (*pause)(double seconds); /* lets an inner run's time pass */
    void (*learner_pause)(double seconds);
    void (*charge)(double seconds);      /* rank 0's time, besides; may be NULL */
    void (*on_update)(uint64_t version); /* an update is done; may be NULL */
    bool real_size; /* policies as large as the configuration's; else tiny ones */
    /* counted */
    double learner_seconds;
    uint64_t episodes, sweep_runs;
} cx_model;
extern cx_model cx_the_model;

/* Lets the time pass that a shard takes where it is computed; how long that was. */
double cx_model_shard(const cx_shard *s);
/* The policy that travels. */
cx_net_shape cx_model_shape(const cx_config *config);

#endif
