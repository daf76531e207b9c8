#include "tests/test.h"

#include "config/config.h"
#include "tests/config/families.h"
#include <string.h>
#include <unistd.h>

static cx_error err;
static cx_faults faults;
static cx_config config;

static int parse(const char *yaml, const char *const *overrides, int n) {
    memset(&err, 0, sizeof err);
    return cx_config_parse("f.yaml", yaml, strlen(yaml), overrides, n, families, FAMILIES, &config,
                           &faults, &err);
}

#define TASKS "tasks:\n  - {family: bowl, outer_steps: 8}\n"

static void test_defaults(void **state) {
    (void)state;
    assert_ok(parse(TASKS, NULL, 0));
    assert_int_equal(faults.count, 0);
    assert_int_equal(config.seed, 1);
    assert_int_equal(config.mode, CX_MODE_ASYNCHRONOUS);
    assert_int_equal(config.updates, 100);
    assert_string_equal(config.data.fashion_mnist, "/usr/share/datasets/fashion-mnist");
    assert_string_equal(config.baseline_cache, "");
    assert_true(isinf(config.optimizer.denominator_norm));
    assert_true(config.optimizer.start.value[CX_HYPER_LR] == 1e-3);
    assert_true(config.optimizer.start.value[CX_HYPER_LAMB_OMBETA] == 0.05);
    assert_int_equal(config.reward.learning_rates.n, 7);
    assert_true(config.reward.learning_rates.value[0] == 1e-4);
    assert_true(config.reward.learning_rates.value[6] == 1e-1);
    assert_true(config.ppo.learning_rate == 1e-3); /* desk */
    assert_int_equal(config.ppo.episodes_per_update, 256);
    assert_int_equal(config.ppo.normalize_reward, 1);
    assert_int_equal(config.n_tasks, 1);
    assert_string_equal(config.tasks[0].name, "bowl");
    assert_true(config.tasks[0].weight == 1);
    assert_true(config.tasks[0].param[0].low == 8);
    assert_true(config.tasks[0].param[1].low == 100);
}

static void test_default_actions(void **state) {
    (void)state;
    static const double lr[] = {0.1, 0.5, 0.707, 0.9, 1, 1.1, 1.414, 2, 10};
    assert_ok(parse(TASKS, NULL, 0));
    assert_int_equal(config.registers, 0);
    for (int i = 0; i < CX_HYPER_COUNT; i++) {
        const cx_head_config *h = &config.heads[i];
        bool neutral = false;
        assert_true(h->present);
        assert_int_equal(h->logit, i == CX_HYPER_GROUP_CLIP);
        for (int j = 0; j < h->n; j++)
            neutral = neutral || h->step[j] == (h->logit ? 0 : 1);
        assert_true(neutral);
        assert_true(h->low < config.optimizer.start.value[i]);
        assert_true(h->high > config.optimizer.start.value[i]);
    }
    assert_int_equal(config.heads[CX_HYPER_LR].n, 9);
    assert_memory_equal(config.heads[CX_HYPER_LR].step, lr, sizeof lr);
    assert_true(config.heads[CX_HYPER_LR].noise_low == 1e-2);
    assert_true(config.heads[CX_HYPER_LR].noise_high == 1e2);
    assert_true(config.heads[CX_HYPER_OMBETA2].high == 0.1);
    assert_true(config.heads[CX_HYPER_GROUP_CLIP].high == 1 - 1e-10);
    assert_true(config.heads[CX_HYPER_LAMB_OMBETA].step[0] == 1 / 1.5);
}

static void test_preset(void **state) {
    (void)state;
    assert_ok(parse(TASKS "preset: paper\nppo: {entropy: 0.5}\n", NULL, 0));
    assert_int_equal(config.preset, CX_PRESET_PAPER);
    assert_true(config.ppo.learning_rate == 2e-4);
    assert_int_equal(config.ppo.buffer_episodes, 768);
    assert_true(config.ppo.entropy == 0.5); /* the file goes first */
    assert_int_equal(config.ppo.normalize_reward, 0);
}

static const char full[] =
    "seed: 18000000000000000000\n"
    "mode: synchronous\n"
    "updates: 2e3\n"
    "data:\n"
    "  mnist: \"a \\\"b\\\" # c\\t\\\\ \\u00e9: d\"\n"
    "episode: {max_gflop: 0.1, environment_reuse: 16}\n"
    "reward:\n"
    "  form: power_fit\n"
    "  learning_rates: [0.001, 0.0030000000000000001, 1]\n"
    "optimizer:\n"
    "  denominator_norm: 2\n"
    "  lamb_max_trust: .inf\n"
    "  scale_grad_norm_by_rolling_max: off\n"
    "  group_clip_grad_norm: 0.3\n"
    "observations:\n"
    "policy:\n"
    "  residual: false\n"
    "actions:\n"
    "  registers: 3\n"
    "  lr: {factors: [0.5, 0.7071067811865476, 2], low: 1e-8, high: 1}\n"
    "  group_clip_grad_norm: {shifts: [-1, 1], low: 0.01, high: 0.99, noise: [-2, 0.5]}\n"
    "tasks:\n"
    "  - family: picture\n"
    "    weight: 2.5\n"
    "    name: wild\n"
    "    outer_steps: {log_int: [2, 128]}\n"
    "    norm: [none, layer]\n"
    "    batch_size: [16, 32, 64]\n"
    "    dropout: {uniform: [0, 0.5]}\n"
    "    input_scale: {log: [0.1, 3]}\n"
    "    shift: {int: [-5, 7]}\n"
    "  - {family: bowl, outer_steps: 4, noise: 0.1}\n"
    "  - {family: picture, outer_steps: 4, norm: \"layer\"}\n";

static void test_full(void **state) {
    (void)state;
    assert_ok(parse(full, NULL, 0));
    assert_true(config.seed == 18000000000000000000ULL);
    assert_int_equal(config.mode, CX_MODE_SYNCHRONOUS);
    assert_int_equal(config.updates, 2000);
    assert_string_equal(config.data.mnist, "a \"b\" # c\t\\ \xc3\xa9: d");
    assert_true(config.episode.max_gflop == 0.1);
    assert_int_equal(config.reward.form, CX_REWARD_POWER_FIT);
    assert_int_equal(config.reward.learning_rates.n, 3);
    assert_true(config.optimizer.denominator_norm == 2);
    assert_true(isinf(config.optimizer.lamb_max_trust));
    assert_int_equal(config.optimizer.scale_by_rolling_max, 0);
    assert_int_equal(config.policy.residual, 0);
    assert_int_equal(config.observations.cdf, 1);
    assert_int_equal(config.registers, 3);
    for (int i = 0; i < CX_HYPER_COUNT; i++)
        assert_int_equal(config.heads[i].present, i == CX_HYPER_LR || i == CX_HYPER_GROUP_CLIP);
    assert_true(config.heads[CX_HYPER_LR].noise_high == 1);
    assert_true(config.heads[CX_HYPER_GROUP_CLIP].logit);
    assert_true(config.heads[CX_HYPER_GROUP_CLIP].noise_low == -2);
    assert_int_equal(config.n_tasks, 3);
    const cx_task_entry *t = &config.tasks[0];
    assert_int_equal(t->family, 1);
    assert_string_equal(t->name, "wild");
    assert_true(t->weight == 2.5);
    assert_int_equal(t->param[0].kind, CX_DIST_LOG_INT);
    assert_true(t->param[0].low == 2 && t->param[0].high == 128);
    assert_int_equal(t->param[1].kind, CX_DIST_CHOICE);
    assert_int_equal(t->param[1].n_choices, 2);
    assert_true(t->param[1].choice[0] == 0 && t->param[1].choice[1] == 2);
    assert_true(t->param[2].choice[2] == 64);
    assert_int_equal(t->param[3].kind, CX_DIST_UNIFORM);
    assert_int_equal(t->param[4].kind, CX_DIST_LOG);
    assert_int_equal(t->param[5].kind, CX_DIST_INT);
    assert_true(t->param[5].low == -5);
    assert_int_equal(config.tasks[2].param[1].kind, CX_DIST_CONSTANT);
    assert_true(config.tasks[2].param[1].low == 2);
    assert_true(config.tasks[1].param[2].low == 0.1);
}

static void reads_back(const char *yaml) {
    static cx_config again;
    assert_ok(parse(yaml, NULL, 0));
    char *text;
    assert_ok(cx_config_write(&config, families, FAMILIES, &text, &err));
    int rc = cx_config_parse("again", text, strlen(text), NULL, 0, families, FAMILIES, &again, NULL,
                             &err);
    if (rc != CX_OK)
        fail_msg("%s in\n%s", err.message, text);
    free(text);
    assert_memory_equal(&again, &config, sizeof config);
}

static void test_write(void **state) {
    (void)state;
    reads_back(full);
    reads_back(TASKS);
    reads_back(TASKS "preset: paper\n");
    reads_back(TASKS "reward: {floor: -0.1}\nppo: {learning_rate: 0.1234567890123456789}\n");
    config.tasks[0].family = 9;
    char *text;
    assert_int_equal(cx_config_write(&config, families, FAMILIES, &text, &err), CX_ESTATE);
}

/* ---- faults ---- */

typedef struct {
    const char *yaml;
    const char *want; /* the first fault; "" after the last one */
} fault_case;

#define ENTRY "tasks:\n  - family: picture\n    outer_steps: 8\n"

static const fault_case cases[] = {
    /* keys */
    {TASKS "polciy: {hidden: 3}\n", "f.yaml:3: unknown key 'polciy'; did you mean 'policy'?"},
    {TASKS "ppo:\n  clpi: 3\n", "f.yaml:4: ppo: unknown key 'clpi'; did you mean 'ppo.clip'?"},
    {TASKS "polyak: 0.5\n", "f.yaml:3: unknown key 'polyak'; did you mean 'policy.polyak'?"},
    {TASKS "ppo: {lr: 1}\n", "f.yaml:3: ppo: unknown key 'lr'; did you mean 'optimizer.lr'?"},
    {TASKS "ppo.clip: 1\n", "f.yaml:3: found key 'ppo.clip'; must be `ppo:` and below it `clip:`"},
    {TASKS "checkpoint: {zzzzzz: 1}\n", "f.yaml:3: checkpoint: unknown key 'zzzzzz'; there are: "
                                        "every_updates, every_seconds, keep"},
    {TASKS "seed: 1\nupdates: 2\nseed: 3\n",
     "f.yaml:5: seed: duplicate key, first set on line 3; must be set once"},
    {TASKS "ppo: 3\n", "f.yaml:3: ppo: found '3'; must be a section: keys on lines of their own "
                       "below it, such as `learning_rate:`"},
    /* kinds and ranges */
    {TASKS "updates: 1.5\n",
     "f.yaml:3: updates: found '1.5'; must be a whole number from 1 to 100000000"},
    {TASKS "updates: 0\n",
     "f.yaml:3: updates: found '0'; must be a whole number from 1 to 100000000"},
    {TASKS "updates: \"7\"\n",
     "f.yaml:3: updates: found \"7\"; must be a whole number from 1 to 100000000"},
    {TASKS "updates: 0x10\n",
     "f.yaml:3: updates: found '0x10'; must be a whole number from 1 to 100000000"},
    {TASKS "updates:\n",
     "f.yaml:3: updates: found no value; must be a whole number from 1 to 100000000"},
    {TASKS "updates: [1]\n",
     "f.yaml:3: updates: found a list; must be a whole number from 1 to 100000000"},
    {TASKS "seed: -1\n", "f.yaml:3: seed: found '-1'; must be a whole number, in digits, from 0 to "
                         "1.8e+19"},
    {TASKS "ppo: {clip: .nan}\n",
     "f.yaml:3: ppo.clip: found '.nan'; must be a number from 0.01 to 10"},
    {TASKS "ppo: {clip: .inf}\n",
     "f.yaml:3: ppo.clip: found '.inf'; must be a number from 0.01 to 10"},
    {TASKS "ppo:\n  entropy: 0\n\n  clip: high\n",
     "f.yaml:6: ppo.clip: found 'high'; must be a number from 0.01 to 10"},
    {TASKS "observations: {cdf: 1}\n",
     "f.yaml:3: observations.cdf: found '1'; must be true or false"},
    {TASKS "mode: synchronuos\n",
     "f.yaml:3: mode: unknown word 'synchronuos'; did you mean 'synchronous'?"},
    {TASKS "preset: laptop\n", "f.yaml:3: preset: unknown word 'laptop'; there are: desk, paper"},
    {TASKS "data: {mnist: [a]}\n",
     "f.yaml:3: data.mnist: found a list; must be a text of at most 255 bytes (empty: \"\")"},
    {TASKS "reward: {learning_rates: []}\n", "f.yaml:3: reward.learning_rates: found a list; must "
                                             "be a list of 1 to 32 numbers, ascending (found "
                                             "another count)"},
    {TASKS "reward:\n  learning_rates: [0.1,\n    0.01]\n",
     "f.yaml:5: reward.learning_rates.1: found '0.01'; must be greater than the one before it, "
     "0.1"},
    {TASKS "reward: {learning_rates: [0, 1]}\n",
     "f.yaml:3: reward.learning_rates.0: found '0'; must be a number from 1e-08 to 10"},
    /* keys together */
    {TASKS "ppo: {minibatch_episodes: 512, minibatches: 1}\n",
     "f.yaml:3: ppo.minibatch_episodes: found 512; must be at most ppo.buffer_episodes, which is "
     "256"},
    {TASKS "ppo: {episodes_per_update: 512}\n",
     "f.yaml:3: ppo.episodes_per_update: found 512; must be at most ppo.buffer_episodes, which is "
     "256"},
    {TASKS "ppo:\n  minibatches: 13\n",
     "f.yaml:4: ppo.minibatches: found 13 minibatches of 64 episodes, 832 in all; must be at most "
     "ppo.episodes_per_update x ppo.max_uses = 256 x 3 = 768, or the learner runs out of episodes"},
    {TASKS "optimizer: {lamb_max_trust: 1e-4}\n",
     "f.yaml:3: optimizer.lamb_min_trust: found 0.001; must be at most optimizer.lamb_max_trust, "
     "which is 0.0001"},
    /* tasks */
    {"seed: 1\n", "f.yaml: tasks: missing; must be a list of at least one task, each with its "
                  "`family:`"},
    {"tasks: []\n", "f.yaml:1: tasks: found a list; must be a list of 1 to 32 tasks, each with its "
                    "`family:` (there are 0)"},
    {"tasks: bowl\n",
     "f.yaml:1: tasks: found 'bowl'; must be a list of 1 to 32 tasks, each with its `family:`"},
    {"tasks:\n  - bowl\n",
     "f.yaml:2: tasks.0: found 'bowl'; must be a task, such as {family: nqm, weight: 1, ...}"},
    {"tasks:\n  - {weight: 1}\n",
     "f.yaml:2: tasks.0.family: missing; must be a family such as bowl"},
    {"tasks:\n  - family: bowel\n",
     "f.yaml:2: tasks.0.family: unknown family 'bowel'; did you mean 'bowl'?"},
    {"tasks:\n  - {family: bowl}\n",
     "f.yaml:2: tasks.0.outer_steps: missing; family 'bowl' needs it: outer steps"},
    {ENTRY "    weight: 0\n",
     "f.yaml:4: tasks.0.weight: found '0'; must be a number above 0, at most 1e9"},
    {ENTRY "    weight: .inf\n",
     "f.yaml:4: tasks.0.weight: found '.inf'; must be a number above 0, at most 1e9"},
    {ENTRY "    name: a name that is longer than any struct would hold\n",
     "f.yaml:4: tasks.0.name: found 'a name that is longer than any struct would hold'; must be a "
     "name of 1 to 31 letters"},
    {ENTRY "    bathc_size: 3\n", "f.yaml:4: tasks.0: unknown parameter of family 'picture' "
                                  "'bathc_size'; did you mean 'batch_size'?"},
    {ENTRY "    norm: btach\n",
     "f.yaml:4: tasks.0.norm: unknown word 'btach'; did you mean 'batch'?"},
    {ENTRY "    norm: [none, 2]\n",
     "f.yaml:4: tasks.0.norm.1: unknown word '2'; there are: none, batch, layer"},
    {ENTRY "    norm: {int: [0, 2]}\n",
     "f.yaml:4: tasks.0.norm: found a distribution of numbers; must be a word such as none, or a "
     "list of words"},
    {ENTRY "    batch_size: 2.5\n",
     "f.yaml:4: tasks.0.batch_size: found '2.5'; must be a whole number from 1 to 1024"},
    {ENTRY "    batch_size: [16, 4096]\n",
     "f.yaml:4: tasks.0.batch_size.1: found '4096'; must be a whole number from 1 to 1024"},
    {ENTRY "    batch_size: []\n", "f.yaml:4: tasks.0.batch_size: a list of 0 choices; must be 1 "
                                   "to 24"},
    {ENTRY "    batch_size: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]\n",
     "f.yaml:4: tasks.0.batch_size: a list of 25 choices; must be 1 to 24"},
    {ENTRY "    batch_size: {uniform: [1, 5]}\n",
     "f.yaml:4: tasks.0.batch_size: found 'uniform', which draws fractions; must be int, for whole "
     "numbers"},
    {ENTRY "    batch_size: {log: [1, 5]}\n",
     "f.yaml:4: tasks.0.batch_size: found 'log', which draws fractions; must be log_int, for whole "
     "numbers"},
    {ENTRY "    dropout: {unifrom: [0, 0.5]}\n",
     "f.yaml:4: tasks.0.dropout: unknown distribution 'unifrom'; did you mean 'uniform'?"},
    {ENTRY "    dropout: {uniform: [0, 0.95]}\n",
     "f.yaml:4: tasks.0.dropout.uniform.1: found '0.95'; must be a number from 0 to 0.9"},
    {ENTRY "    dropout: {uniform: [0.5, 0.1]}\n",
     "f.yaml:4: tasks.0.dropout.uniform: found [0.5, 0.1]; the first must not be above the second"},
    {ENTRY "    dropout: {uniform: 0.5}\n",
     "f.yaml:4: tasks.0.dropout.uniform: found '0.5'; must be two numbers, [low, high]"},
    {ENTRY "    dropout: {uniform: [0, 0.1, 0.2]}\n",
     "f.yaml:4: tasks.0.dropout.uniform: found a list; must be two numbers, [low, high]"},
    {ENTRY "    dropout: {log: [0, 0.5]}\n",
     "f.yaml:4: tasks.0.dropout.log.0: found '0'; must be above 0: what follows is drawn on a "
     "logarithmic scale"},
    {ENTRY "    dropout: {uniform: [0, 0.5], log: [1, 2]}\n",
     "f.yaml:4: tasks.0.dropout: found keys with values; must be one key (uniform, log, int or "
     "log_int) with [low, high]"},
    {ENTRY "    shift: {int: [0.5, 3]}\n",
     "f.yaml:4: tasks.0.shift.int: found [0.5, 3]; both must be whole numbers (else use uniform)"},
    /* actions */
    {TASKS "actions:\n", "f.yaml:3: actions: found no value; must be at least one head, such as "
                         "lr: {factors: [0.5, 1, 2], low: 1e-8, high: 1}, or no `actions` at all "
                         "for the usual ones"},
    {TASKS "actions: {registers: 0}\n",
     "f.yaml:3: actions: no head; a policy must have one at least"},
    {TASKS "actions: {registers: 9}\n",
     "f.yaml:3: actions.registers: found '9'; must be a whole number from 0 (none) to 8"},
    {TASKS "actions: {ombeta3: {factors: [1, 2], low: 1e-5, high: 1}}\n",
     "f.yaml:3: actions: unknown head 'ombeta3'; did you mean 'ombeta2'?"},
    {TASKS "actions: {lr: {factor: [1, 2], low: 1e-5, high: 1}}\n",
     "f.yaml:3: actions.lr: unknown key 'factor'; did you mean 'factors'?"},
    {TASKS "actions: {lr: {low: 1e-5, high: 1}}\n",
     "f.yaml:3: actions.lr: found neither; must have one of factors and shifts"},
    {TASKS "actions: {lr: {factors: [1, 2], shifts: [1, 2], low: 1e-5, high: 1}}\n",
     "f.yaml:3: actions.lr: found both; must have one of factors and shifts"},
    {TASKS "actions: {lr: {factors: [1, 0], low: 1e-5, high: 1}}\n",
     "f.yaml:3: actions.lr.factors.1: found '0'; must be a number above 0, finite"},
    {TASKS "actions: {lr: {factors: [2], low: 1e-5, high: 1}}\n",
     "f.yaml:3: actions.lr.factors: found a list; must be a list of 2 to 16 numbers (found another "
     "count)"},
    {TASKS "actions: {lr: {factors: [2, 1, 2], low: 1e-5, high: 1}}\n",
     "f.yaml:3: actions.lr.factors.2: found '2'; must be another number: that one is choice 0"},
    {TASKS "actions: {lr: {factors: [1, 2], high: 1}}\n",
     "f.yaml:3: actions.lr.low: missing; a head needs low and high"},
    {TASKS "actions: {weight_decay: {factors: [1, 2], low: 0, high: 1}}\n",
     "f.yaml:3: actions.weight_decay.low: found '0'; must be a number above 0 to 1"},
    {TASKS "actions: {group_clip_grad_norm: {shifts: [1, 2], low: 0.1, high: 1}}\n",
     "f.yaml:3: actions.group_clip_grad_norm.high: found '1'; must be a number from 1e-10 to 1, 1 "
     "not included"},
    {TASKS "actions: {lr: {factors: [1, 2], low: 0.1, high: 1e-3}}\n",
     "f.yaml:3: actions.lr: found low 0.1, high 0.001; low must be below high"},
    {TASKS "actions: {lr: {factors: [1, 2], low: 1e-5, high: 1, noise: [0, 1]}}\n",
     "f.yaml:3: actions.lr.noise: found a list; must be [low, high], two finite factors above 0, "
     "low not above high"},
    {TASKS "optimizer:\n  ombeta2: 0.5\n",
     "f.yaml:4: optimizer.ombeta2: found 0.5; must be within the bounds of actions.ombeta2, "
     "1e-05 to 0.1, or that head must be left out"},
    /* no YAML, or more of it than is read */
    {"seed: 1\nupdates: [1, 2\n", "f.yaml:3: not YAML: while parsing a flow sequence, did not find "
                                  "expected ',' or ']', column 1"},
    {"ppo:\n\tclip: 1\n",
     "f.yaml:2: not YAML: while scanning for the next token, found character that cannot start any "
     "token, column 1 (YAML indents with spaces, never with tabs)"},
    {"seed: 1\nmode: a: b\n",
     "f.yaml:2: not YAML: mapping values are not allowed in this context, column 8"},
    {"seed: \xff\n", "f.yaml: not YAML: invalid leading UTF-8 octet at byte 6; must be UTF-8 text"},
    {"seed: &a 1\nupdates: *a\n", "f.yaml:2: updates: an alias (*name); aliases are not read, the "
                                  "value must be written out"},
    {"seed: !!int 1\n",
     "f.yaml:1: seed: a tag (!name); tags are not read, only the value must stand here"},
    {"seed: 1\n---\nseed: 2\n", "f.yaml:2: a second document; must be one"},
    {"- 1\n", "f.yaml:1: found a list; must be keys with values, such as `updates: 100`"},
    {"mode: \"a\\0b\"\n", "f.yaml:1: mode: a zero byte inside a value; must be plain text"},
    {"? [a]\n: 1\n", "f.yaml:1: a key that is no word; must be a name"},
    {"a: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n",
     "f.yaml:1: a.0.0.0.0.0.0.0.0.0.0.0.0: nested deeper than any configuration is"},
    {TASKS "\"\\e[31m\": 1\n", "f.yaml:3: unknown key '?[31m'; there are: "},
};

static void test_faults(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rc = parse(cases[i].yaml, NULL, 0);
        size_t n = strlen(cases[i].want);
        bool list = n > 11 && strcmp(cases[i].want + n - 11, "there are: ") == 0;
        if (rc != CX_ECONFIG || faults.count < 1 ||
            (list ? strncmp(faults.text[0], cases[i].want, n) != 0
                  : strcmp(faults.text[0], cases[i].want) != 0))
            fail_msg("case %zu, code %d\n%s\nwanted: %s\ngot:    %s", i, rc, cases[i].yaml,
                     cases[i].want, faults.count ? faults.text[0] : "no fault");
        assert_int_equal(err.code, CX_ECONFIG);
        assert_memory_equal(err.message, faults.text[0], strlen(faults.text[0]));
        assert_true(faults.count == 1 || strstr(err.message, " more faults)"));
    }
}

/* All of them, not the first one; and no more than there is room for. */
static void test_all_faults(void **state) {
    (void)state;
    assert_int_equal(parse("updates: 0\nppo: {clip: x, gamma: 3}\npolicy: {hiden: 1}\n"
                           "tasks:\n  - {family: bowl}\n  - {family: text, weight: -1}\n"
                           "  - {family: picture, outer_steps: 1, norm: no, dropout: 2}\n",
                           NULL, 0),
                     CX_ECONFIG);
    static const char *const want[] = {
        "f.yaml:1: updates",        "f.yaml:2: ppo.clip",       "f.yaml:2: ppo.gamma",
        "f.yaml:3: policy",         "f.yaml:5: tasks.0.outer",  "f.yaml:6: tasks.1.family",
        "f.yaml:6: tasks.1.weight", "f.yaml:7: tasks.2.norm: ", "f.yaml:7: tasks.2.dropout: "};
    assert_int_equal(faults.count, 9);
    for (int i = 0; i < 9; i++)
        assert_memory_equal(faults.text[i], want[i], strlen(want[i]));
    assert_non_null(strstr(err.message, "(and 8 more faults)"));

    char many[4096] = "";
    for (int i = 0; i < 100; i++)
        (void)snprintf(many + strlen(many), sizeof many - strlen(many), "key_%d_zzz: 1\n", i);
    assert_int_equal(parse(many, NULL, 0), CX_ECONFIG);
    assert_int_equal(faults.count, 101); /* and the tasks that are missing */
    /* without a list, and without an error */
    assert_int_equal(
        cx_config_parse("f", many, strlen(many), NULL, 0, families, FAMILIES, &config, NULL, NULL),
        CX_ECONFIG);
}

static void test_overrides(void **state) {
    (void)state;
    static const char *const set[] = {
        "ppo.clip=0.3",       "tasks.0.weight=7",    "tasks.0.batch_size={log_int: [8, 16]}",
        "tasks.0.norm=layer", "actions.registers=2", "actions.lr.high=0.5",
        "baseline_cache=",    "data.mnist=/tmp/a=b", "reward.learning_rates.0=1e-5",
        "checkpoint.keep=9",  "checkpoint.keep=8",   "preset=paper"};
    assert_ok(parse(ENTRY "ppo: {clip: 0.1, gamma: 0.5}\nbaseline_cache: x\nreward: "
                          "{learning_rates: [1e-3, 1e-2]}\n",
                    set, sizeof set / sizeof set[0]));
    assert_true(config.ppo.clip == 0.3 && config.ppo.gamma == 0.5);
    assert_true(config.tasks[0].weight == 7);
    assert_int_equal(config.tasks[0].param[2].kind, CX_DIST_LOG_INT);
    assert_true(config.tasks[0].param[1].low == 2);
    assert_int_equal(config.registers, 2);
    assert_int_equal(config.heads[CX_HYPER_LR].n, 9); /* the usual table, but for what was set */
    assert_true(config.heads[CX_HYPER_LR].high == 0.5);
    assert_true(config.heads[CX_HYPER_EPSILON].present);
    assert_string_equal(config.baseline_cache, "");
    assert_string_equal(config.data.mnist, "/tmp/a=b");
    assert_true(config.reward.learning_rates.value[0] == 1e-5);
    assert_int_equal(config.checkpoint.keep, 8); /* the last one holds */
    assert_true(config.ppo.learning_rate == 2e-4);

    static const char *const all[] = {"tasks=[{family: bowl, outer_steps: 3}]", "updates=5"};
    assert_ok(parse("", all, 2)); /* a whole configuration by overrides */
    assert_int_equal(config.updates, 5);
    assert_int_equal(config.n_tasks, 1);
}

static void test_override_faults(void **state) {
    (void)state;
    static const struct {
        const char *set, *want;
    } bad[] = {
        {"ppo.clpi=3", "--set ppo.clpi=3: ppo: unknown key 'clpi'; did you mean 'ppo.clip'?"},
        {"prpo.clip=3", "--set prpo.clip=3: unknown key 'prpo'; did you mean 'ppo'?"},
        {"ppo.clip=high", "--set ppo.clip=high: ppo.clip: found 'high'; must be a number from 0.01 "
                          "to 10"},
        {"updates", "--set updates: must be KEY=VALUE, for example ppo.clip=0.1"},
        {"=3", "--set =3: must be KEY=VALUE, for example ppo.clip=0.1"},
        {"ppo..clip=3", "--set ppo..clip=3: ppo: a key without letters; must be names joined by "
                        "single dots"},
        {"tasks.3.weight=2", "--set tasks.3.weight=2: tasks: a list of 1; found '3' as index, must "
                             "be a number from 0 to 0"},
        {"tasks.0.wieght=2", "--set tasks.0.wieght=2: tasks.0: unknown parameter of family 'bowl' "
                             "'wieght'; did you mean 'weight'?"},
        {"tasks.0.outer_steps.low=2", "--set tasks.0.outer_steps.low=2: tasks.0.outer_steps: found "
                                      "'8', a single value, which has no 'low'"},
        {"ppo.clip=[1", "--set ppo.clip=[1: not YAML: while parsing a flow sequence, did not find "
                        "expected ',' or ']', column 1"},
        {"updates=", "--set updates=: updates: found \"\"; must be a whole number from 1 to "
                     "100000000"},
        {"optimizer.lr=1e-9", "--set optimizer.lr=1e-9: optimizer.lr: found '1e-9'; must be a "
                              "number from 1e-08 to 10000"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int rc = parse(TASKS, &bad[i].set, 1);
        if (rc != CX_ECONFIG || strcmp(err.message, bad[i].want) != 0)
            fail_msg("%s: code %d\nwanted: %s\ngot:    %s", bad[i].set, rc, bad[i].want,
                     err.message);
    }
}

static void test_read(void **state) {
    (void)state;
    char path[] = "/tmp/cx_config_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, full, sizeof full - 1), (ssize_t)sizeof full - 1);
    assert_int_equal(close(fd), 0);
    static cx_config from_file;
    assert_ok(cx_config_read(path, NULL, 0, families, FAMILIES, &from_file, &faults, &err));
    assert_ok(parse(full, NULL, 0));
    assert_memory_equal(&from_file, &config, sizeof config);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cx_config_read(path, NULL, 0, families, FAMILIES, &from_file, &faults, &err),
                     CX_ECONFIG);
    assert_int_equal(faults.count, 1);
    assert_non_null(strstr(err.message, path));
}

/* Damaged files: whatever comes of them, the sanitizers must be silent, and what is
 * accepted must be written and read back as it is. */
static void test_damaged(void **state) {
    (void)state;
    static const char alphabet[] = "\t\n #&*!|>'\"%@`{}[],:-?.~0123456789eabxyz\x80\xff";
    char yaml[sizeof full];
    cx_rng rng = cx_rng_make(3, 0, CX_STREAM_TEST);
    int accepted = 0;
    for (int i = 0; i < 3000; i++) {
        memcpy(yaml, full, sizeof full);
        size_t size = sizeof full - 1;
        bool numbers_only = i % 2 == 0; /* often still a configuration */
        for (uint32_t n = 1 + cx_rng_below(&rng, 3); n > 0; n--) {
            char *at = &yaml[cx_rng_below(&rng, (uint32_t)size)];
            if (!numbers_only)
                *at = alphabet[cx_rng_below(&rng, sizeof alphabet - 1)];
            else if (*at >= '0' && *at <= '9')
                *at = (char)('0' + cx_rng_below(&rng, 10));
        }
        if (i % 8 == 1)
            size = cx_rng_below(&rng, (uint32_t)size);
        memset(&err, 0, sizeof err);
        int rc = cx_config_parse("f.yaml", yaml, size, NULL, 0, families, FAMILIES, &config,
                                 &faults, &err);
        assert_int_equal(rc == CX_OK, faults.count == 0);
        assert_int_equal(rc, err.code);
        if (rc != CX_OK)
            continue;
        accepted++;
        static cx_config again;
        char *text;
        assert_ok(cx_config_write(&config, families, FAMILIES, &text, &err));
        assert_ok(cx_config_parse("again", text, strlen(text), NULL, 0, families, FAMILIES, &again,
                                  NULL, &err));
        free(text);
        assert_memory_equal(&again, &config, sizeof config);
    }
    assert_true(accepted > 100 && accepted < 2900);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),        cmocka_unit_test(test_default_actions),
        cmocka_unit_test(test_preset),          cmocka_unit_test(test_full),
        cmocka_unit_test(test_write),           cmocka_unit_test(test_faults),
        cmocka_unit_test(test_all_faults),      cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_override_faults), cmocka_unit_test(test_read),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
