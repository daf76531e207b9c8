/* The configuration of a run: YAML in, a checked struct out. */
#ifndef CX_CONFIG_CONFIG_H
#define CX_CONFIG_CONFIG_H

#include "base/error.h"
#include "config/distribution.h"
#include "config/schema.h"
#include <stddef.h>
#include <stdint.h>

/* The eight hyperparameters that a policy may change, in the order of the action
 * heads and of the observations. X(enum, name) */
#define CX_HYPER_TABLE(X)                                                                          \
    X(CX_HYPER_LR, "lr")                                                                           \
    X(CX_HYPER_WEIGHT_DECAY, "weight_decay")                                                       \
    X(CX_HYPER_EPSILON, "epsilon")                                                                 \
    X(CX_HYPER_OMBETA2, "ombeta2")                                                                 \
    X(CX_HYPER_OMBETA1, "ombeta1")                                                                 \
    X(CX_HYPER_GROUP_CLIP, "group_clip_grad_norm")                                                 \
    X(CX_HYPER_CLIP_OMBETA, "grad_clip_ombeta")                                                    \
    X(CX_HYPER_LAMB_OMBETA, "lamb_update_norm_ombeta")

typedef enum {
#define X(code, name) code,
    CX_HYPER_TABLE(X)
#undef X
        CX_HYPER_COUNT
} cx_hyper_id;

const char *cx_hyper_name(cx_hyper_id id);

typedef struct {
    double value[CX_HYPER_COUNT];
} cx_hyper;

typedef enum { CX_MODE_ASYNCHRONOUS, CX_MODE_SYNCHRONOUS } cx_run_mode;
typedef enum { CX_PRESET_DESK, CX_PRESET_PAPER } cx_preset;
typedef enum { CX_REWARD_ENVELOPE, CX_REWARD_POWER_FIT } cx_reward_form;
/* workers.kernels; the other words are names of levels (base/level.h) */
typedef enum { CX_KERNELS_AUTO, CX_KERNELS_EACH } cx_kernels;
extern const char *const cx_mode_words[]; /* NULL-terminated, numbered as the enum */
extern const char *const cx_preset_words[];
extern const char *const cx_reward_words[];
extern const char *const cx_kernels_words[];

#define CX_REALS_MAX 32
typedef struct {
    int n;
    double value[CX_REALS_MAX];
} cx_reals;

/* One action head: a choice multiplies its hyperparameter (factors), or adds to
 * its logit (shifts). In YAML:
 *   actions:
 *     registers: 3
 *     lr: {factors: [0.5, 1, 2], low: 1e-8, high: 1, noise: [0.01, 100]}
 *     group_clip_grad_norm: {shifts: [-1, 0, 1], low: 1e-10, high: 0.9999999999, noise: [-1, 1]}
 * A hyperparameter without a row has no head and keeps its starting value. Without
 * `actions` the usual heads are there (cx_actions_default in actions.c); overrides
 * change single values of them. `noise` may be left out: none. */
#define CX_HEAD_CHOICES_MAX 16
#define CX_REGISTERS_MAX 8
typedef struct {
    bool present;
    bool logit; /* shifts of the logit, not factors */
    int n;
    double step[CX_HEAD_CHOICES_MAX];
    double low, high;             /* bounds of the hyperparameter */
    double noise_low, noise_high; /* start noise: factors log-uniform, or logit shifts uniform */
} cx_head_config;

#define CX_STARTS_MAX 8 /* factors in evaluation.start_lr */
#define CX_FAMILIES_MAX 32
#define CX_ENTRIES_MAX 32
typedef struct {
    uint32_t family; /* index into the schemas */
    double weight;   /* relative */
    char name[32];   /* `name:` in YAML, else the family's */
    cx_dist param[CX_TASK_PARAMS_MAX];
} cx_task_entry;

typedef struct {
    cx_hyper start;
    double denominator_norm; /* INFINITY: AdaMax; 2: Adam; else q */
    int scale_by_rolling_max, decay_in_update, lamb_ignore_vectors;
    double lamb_power, lamb_min_trust, lamb_max_trust;
} cx_optimizer_config;

typedef struct {
    uint64_t seed;
    int mode, updates, preset;
    struct {
        char fashion_mnist[256], mnist[256], kmnist[256];
        char sentences[256], text[256], gpt2[256], gpt2_tokenizer[256], resnet[256], ncf[256],
            speech[256], cache[256];
        int validation_examples;
    } data;
    struct {
        int environment_reuse, feature_interval, outer_examples, final_examples, noise_full_at;
        double feature_clip, parameter_average, max_gflop;
    } episode;
    struct {
        int form, max_extensions, length_factor;
        double floor;
        cx_reals learning_rates;
    } reward;
    cx_optimizer_config optimizer;
    struct {
        int cdf, log_steps;
    } observations;
    int registers; /* 0: no register head */
    cx_head_config heads[CX_HYPER_COUNT];
    struct {
        int hidden, lstm, residual;
        double input_beta, input_clip, polyak;
    } policy;
    struct {
        double learning_rate, beta2, clip, entropy, value_coefficient, gae_lambda, gamma,
            gradient_norm, anneal_to;
        int episodes_per_update, minibatch_episodes, minibatches, buffer_episodes, max_uses,
            max_staleness, normalize_reward;
    } ppo;
    struct {
        int every_updates, keep;
        double every_seconds;
    } checkpoint;
    struct {
        int prefetch, chunk_steps, learner_ranks, kernels;
        double split_gflop, late_factor, late_seconds, silence_seconds;
    } workers;
    int allow_held_out;
    char baseline_cache[256];
    struct { /* of `eval` */
        int tasks_per_entry, seeds, trials, max_extensions, validation_examples, test_examples;
        int sampled, static_control, open_loop, sgd; /* who takes part besides the policy */
        cx_reals learning_rates, static_learning_rates, sgd_learning_rates, start_lr;
        char cache[256];
    } evaluation;
    int n_tasks;
    cx_task_entry tasks[CX_ENTRIES_MAX];
} cx_config;

/* A list of faults, so that `check` can print them all. */
#define CX_FAULTS_MAX 32
typedef struct {
    int count; /* all that were met; only the first CX_FAULTS_MAX are kept */
    char text[CX_FAULTS_MAX][512];
} cx_faults;

/* Reads `path`, applies `overrides` ("a.b.c=VALUE"; for lists `tasks.0.weight=2`
 * and the like), checks everything against the key table and the families'
 * schemas. faults may be NULL; with it, all faults are collected, each with
 * file, line, key, value, and what would be right. Returns CX_ECONFIG and the
 * first fault in err (a file that cannot be read is one), CX_ENOMEM otherwise.
 * *config is complete on success only; unused bytes of it are zero, so that equal
 * configurations are equal bytes. */
int cx_config_read(const char *path, const char *const *overrides, int n_overrides,
                   const cx_family_schema *const *families, int n_families, cx_config *config,
                   cx_faults *faults, cx_error *err);
/* The same from memory; `name` stands for the file in messages. */
int cx_config_parse(const char *name, const char *yaml, size_t size, const char *const *overrides,
                    int n_overrides, const cx_family_schema *const *families, int n_families,
                    cx_config *config, cx_faults *faults, cx_error *err);
/* The resolved configuration as YAML that reads back to the same struct.
 * *yaml is owned by the caller (free()). */
int cx_config_write(const cx_config *config, const cx_family_schema *const *families,
                    int n_families, char **yaml, cx_error *err);

/* A task instance: entry by weight, then every parameter. Depends on (seed,
 * instance) alone. Cost bounds are the caller's affair (tasks/task.h). `attempt`
 * counts rejected draws, below 2^19. Every parameter is drawn from a sub-stream of its
 * own: a change of its distribution leaves the others as they were. */
void cx_config_sample_task(const cx_config *config, const cx_family_schema *const *families,
                           uint64_t instance, uint32_t attempt, cx_task_spec *spec);
/* The same of a given entry, whatever its weight. */
void cx_config_sample_entry(const cx_config *config, const cx_family_schema *const *families,
                            uint32_t entry, uint64_t instance, uint32_t attempt,
                            cx_task_spec *spec);

#endif
