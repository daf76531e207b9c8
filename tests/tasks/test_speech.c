/* The speech family on recordings of the test's own: each letter is a tone of 60 ms, words
 * are rows of tones, and speakers differ in pitch and loudness. */
#include "tests/test.h"

#include "base/file.h"
#include "base/rng.h"
#include "data/speech.h"
#include "tasks/speech_net.h"
#include "tasks/transcript.h"
#include "tests/data/recordings.h"
#include "tests/tasks/make.h"
#include <unistd.h>

enum { RATE = 8000, SPEAKERS = 6, WORDS = 12, TONE = 480 };
static char folder[] = "/tmp/cx-test-task-speech-XXXXXX";
static const char *const words[WORDS] = {"a",  "b",   "c",   "d",  "ab",   "bd",
                                         "ca", "aba", "dcb", "bb", "caad", "abcd"};
static cx_config config;
static cx_data_store *store;

static void put_word(int speaker, int word, uint64_t seed) {
    static const double hz[] = {400, 800, 1400, 2300};
    static float x[4 * TONE + 1000];
    char path[300];
    cx_rng rng = cx_rng_make(seed, (uint64_t)(100 * speaker + word), CX_STREAM_TEST);
    double pitch = 0.94 + 0.02 * speaker, loudness = 0.05 + 0.05 * speaker;
    size_t n = 100 + cx_rng_below(&rng, 400);
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)(0.002 * cx_rng_normal(&rng));
    for (const char *p = words[word]; *p; p++)
        for (int i = 0; i < TONE; i++, n++)
            x[n] += (float)(loudness * sin(M_PI * i / TONE) *
                            sin(2 * M_PI * pitch * hz[*p - 'a'] * i / RATE));
    (void)snprintf(path, sizeof path, "%s/set/s%d/%02d.wav", folder, speaker, word);
    write_audio(path, SF_FORMAT_WAV | SF_FORMAT_PCM_16, RATE, 1, x, n + 200);
}

static void put_speaker(int speaker, uint64_t seed) {
    char path[300], text[400] = "";
    cx_error err;
    (void)snprintf(path, sizeof path, "%s/set/s%d", folder, speaker);
    assert_ok(cx_file_make_dirs(path, &err));
    for (int w = 0; w < WORDS; w++) {
        put_word(speaker, w, seed);
        (void)snprintf(text + strlen(text), 30, "%02d %s\n", w, words[w]);
    }
    (void)snprintf(path, sizeof path, "%s/set/s%d/x.trans.txt", folder, speaker);
    put_text(path, text, strlen(text));
}

static cx_data_store *open_store(cx_config *c) {
    char more[800];
    cx_error err = {0};
    cx_data_store *s;
    (void)snprintf(more, sizeof more, "data: {speech: %s/set, cache: %s/cache}", folder, folder);
    make_config(
        c, more,
        "  - {family: speech, outer_steps: 4, mels: 20, stack: [1, 2], held_out: [0, 2]}\n");
    if (cx_data_store_open(c, &s, &err))
        fail_msg("%s", err.message);
    return s;
}

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    for (int s = 0; s < SPEAKERS; s++)
        put_speaker(s, 1);
    store = open_store(&config);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    cx_data_store_close(store);
    return cx_file_remove_all(folder, NULL);
}

/* What training draws anew for each utterance, or batch. */
enum { DRAWN = 6 };
static const char *const drawn[DRAWN] = {"dropout",   "stretch",   "band_shift",
                                         "time_mask", "band_mask", "color"};

static cx_task_spec small(uint64_t seed) {
    cx_task_spec spec = make_spec("speech", seed);
    set(&spec, "mels", 20);
    set(&spec, "stack", 2);
    set(&spec, "layers", 1);
    set(&spec, "hidden", 10);
    set(&spec, "batch_size", 8);
    set(&spec, "frames", 60);
    set(&spec, "bidirectional", 0);
    for (int i = 0; i < DRAWN; i++)
        set(&spec, drawn[i], 0);
    return spec;
}

static live make(const cx_task_spec *spec) {
    return make_live(spec, &config, store);
}

/* Training, validation and test utterances: four speakers, one, one. */
static const int count[3] = {4 * WORDS, WORDS, WORDS};

/* --- what is read off the outputs --- */

static void test_greedy(void **state) {
    (void)state;
    enum { STEPS = 7, SYMBOLS = 3, STRIDE = 5 };
    float x[STEPS * STRIDE];
    uint8_t got[STEPS];
    int path[STEPS];
    for (int code = 0; code < 2187; code++) { /* every path */
        for (int t = 0, c = code; t < STEPS; t++, c /= 3) {
            path[t] = c % 3;
            for (int k = 0; k < STRIDE; k++) /* what lies beside the row must not matter */
                x[t * STRIDE + k] = k >= SYMBOLS ? 100.0f : k == path[t] ? 1.5f : -0.5f * (float)k;
        }
        for (int steps = 0; steps <= STEPS; steps++) {
            uint8_t want[STEPS];
            int n = 0;
            for (int t = 0; t < steps; t++)
                if (path[t] && (t == 0 || path[t - 1] != path[t]))
                    want[n++] = (uint8_t)path[t];
            assert_int_equal(cx_transcript_greedy(x, STRIDE, steps, SYMBOLS, got), n);
            assert_memory_equal(got, want, (size_t)n);
        }
    }
    float equal[] = {0, 1, 1, NAN, 5, 6, 2, 2, NAN};
    assert_int_equal(cx_transcript_greedy(equal, 3, 3, 3, got), 1);
    assert_int_equal(got[0], 1);
}

/* By the definition: the best of all first edits. */
static int distance_by_hand(const uint8_t *a, int n, const uint8_t *b, int m) {
    if (n == 0 || m == 0)
        return n + m;
    int change = distance_by_hand(a + 1, n - 1, b + 1, m - 1) + (a[0] != b[0]);
    int drop = distance_by_hand(a + 1, n - 1, b, m) + 1;
    int insert = distance_by_hand(a, n, b + 1, m - 1) + 1;
    int best = change < drop ? change : drop;
    return best < insert ? best : insert;
}

static void test_edit_distance(void **state) {
    (void)state;
    uint8_t a[6], b[6];
    int row[7];
    cx_rng rng = cx_rng_make(1, 0, CX_STREAM_TEST);
    for (int i = 0; i < 600; i++) {
        int n = (int)cx_rng_below(&rng, 7), m = (int)cx_rng_below(&rng, 7);
        for (int k = 0; k < 6; k++) {
            a[k] = (uint8_t)cx_rng_below(&rng, 3);
            b[k] = (uint8_t)cx_rng_below(&rng, 3);
        }
        assert_int_equal(cx_transcript_distance(a, n, b, m, row), distance_by_hand(a, n, b, m));
    }
}

/* --- the network --- */

/* The derivative along the gradient of each tensor, by central differences of the loss. */
static void check_gradient(const cx_task_spec *spec) {
    live l = make(spec);
    size_t n = l.task->param_count;
    float *g = malloc(n * sizeof *g), *start = malloc(n * sizeof *start);
    for (uint32_t s = 0; s < 20; s++) { /* off the start, where states are still small */
        (void)cx_task_step(l.task, l.block, l.grads, s);
        for (size_t i = 0; i < n; i++)
            l.block[i] -= 0.05f * l.grads[i];
    }
    (void)cx_task_step(l.task, l.block, l.grads, 77);
    memcpy(g, l.grads, n * sizeof *g);
    memcpy(start, l.block, n * sizeof *start);
    for (int k = 0; k < cx_graph_param_tensors(l.task->graph); k++) {
        const cx_param *p = cx_graph_param_info(l.task->graph, k);
        double norm = 0, loss[2];
        for (size_t i = 0; i < p->size; i++)
            norm += (double)g[p->offset + i] * g[p->offset + i];
        norm = sqrt(norm);
        assert_true(norm > 1e-6);
        const double h = 0.02;
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < p->size; i++)
                l.block[p->offset + i] =
                    (float)(start[p->offset + i] + (side ? h : -h) / norm * g[p->offset + i]);
            loss[side] = cx_task_step(l.task, l.block, l.grads, 77);
        }
        memcpy(l.block, start, n * sizeof *start);
        double slope = (loss[1] - loss[0]) / (2 * h);
        if (!(fabs(slope - norm) < 0.01 * norm + 2e-5))
            fail_msg("%s: slope %g, gradient %g", p->name, slope, norm);
    }
    free(g);
    free(start);
    drop_live(&l);
}

static void test_gradients(void **state) {
    (void)state;
    for (int cell = 0; cell < 3; cell++)
        for (int both = 0; both < 2; both++) {
            cx_task_spec spec = small(3);
            set(&spec, "cell", cell);
            set(&spec, "bidirectional", both);
            set(&spec, "layers", 1 + both);
            set(&spec, "dropout", both ? 0.2 : 0);
            check_gradient(&spec);
        }
}

/* Longer batches only mean more padding: the same losses and gradients. */
static void test_padding_changes_nothing(void **state) {
    (void)state;
    for (int both = 0; both < 2; both++)
        for (int stack = 1; stack <= 2; stack++) {
            cx_task_spec spec = small(4);
            set(&spec, "layers", 2);
            set(&spec, "bidirectional", both);
            set(&spec, "stack", stack);
            live a = make(&spec);
            set(&spec, "frames", 97);
            live b = make(&spec);
            assert_int_equal(a.task->param_count, b.task->param_count);
            for (uint32_t s = 0; s < 3; s++) {
                double x = cx_task_step(a.task, a.block, a.grads, s);
                double y = cx_task_step(b.task, b.block, b.grads, s);
                assert_true(isfinite(x) && fabs(x - y) < 1e-5 * x);
                for (size_t i = 0; i < a.task->param_count; i++)
                    assert_true(fabs(a.grads[i] - b.grads[i]) < 1e-4 * (1 + fabs(a.grads[i])));
            }
            drop_live(&a);
            drop_live(&b);
        }
}

/* Both directions see the whole utterance; one direction does not see what comes. */
static void test_order(void **state) {
    (void)state;
    const cx_speech_size size = {5, 3, 1};
    int32_t order[15];
    for (int b = 0; b < 3; b++)
        cx_speech_net_order(order, size, b, b == 0 ? 5 : b == 1 ? 2 : 0);
    static const int32_t want[] = {12, 4, 2, 9, 1, 5, 6, 7, 8, 3, 10, 11, 0, 13, 14};
    assert_memory_equal(order, want, sizeof want);
}

/* --- evaluation --- */

/* Batches of one utterance: an epoch of steps is an evaluation of the training split. */
static void test_evaluation_is_the_mean_over_all(void **state) {
    (void)state;
    for (int both = 0; both < 2; both++) {
        cx_task_spec spec = small(5);
        set(&spec, "batch_size", 1);
        set(&spec, "bidirectional", both);
        live l = make(&spec);
        double sum = 0;
        for (uint32_t s = 0; s < (uint32_t)count[0]; s++)
            sum += cx_task_step(l.task, l.block, l.grads, s);
        double all = cx_task_evaluate(l.task, l.block, CX_SPLIT_TRAIN, 0, NULL);
        assert_true(fabs(all - sum / count[0]) < 1e-5 * all);
        drop_live(&l);
    }
}

/* Utterances longer than `frames` are evaluated all the same, and not trained on. */
static void test_long_utterances(void **state) {
    (void)state;
    cx_task_spec spec = small(6);
    live a = make(&spec);
    set(&spec, "frames", 18); /* words of one letter have 10 to 18 frames, of two 16 to 24 */
    live b = make(&spec);
    memcpy(b.block, a.block, a.task->state_count * sizeof(float));
    for (int s = 1; s < 3; s++) {
        double m[CX_TASK_METRICS], n[CX_TASK_METRICS];
        double x = cx_task_evaluate(a.task, a.block, (cx_split)s, 0, m);
        double y = cx_task_evaluate(b.task, b.block, (cx_split)s, 0, n);
        assert_true(fabs(x - y) < 1e-6 * x && m[0] == n[0] && m[1] == n[1]);
        double part = 0, whole = 0; /* each number of examples adds one of them */
        for (int k = 1; k <= count[s]; k++) {
            double total = k * cx_task_evaluate(b.task, b.block, (cx_split)s, k, NULL);
            assert_true(total > whole + 0.1);
            part = total - whole;
            whole = total;
        }
        assert_true(part > 0 && fabs(whole / count[s] - y) < 1e-6 * y);
        assert_true(cx_task_evaluate(b.task, b.block, (cx_split)s, 1000, NULL) == y);
    }
    /* the training split is what is trained on */
    assert_true(cx_task_evaluate(a.task, a.block, CX_SPLIT_TRAIN, 0, NULL) !=
                cx_task_evaluate(b.task, b.block, CX_SPLIT_TRAIN, 0, NULL));
    drop_live(&a);
    drop_live(&b);
    cx_error err = {0};
    cx_task *task;
    set(&spec, "frames", 5);
    assert_int_equal(cx_task_create(&spec, &config, store, &task, &err), CX_EDATA);
    assert_non_null(strstr(err.message, "at most 5 frames"));
}

static void test_evaluation_changes_nothing(void **state) {
    (void)state;
    cx_task_spec spec = small(7);
    live plain = make(&spec);
    set(&spec, "dropout", 0.5);
    set(&spec, "stretch", 0.3);
    set(&spec, "band_shift", 2);
    set(&spec, "time_mask", 9);
    set(&spec, "color", 1);
    set(&spec, "band_mask", 9);
    live l = make(&spec);
    size_t bytes = l.task->state_count * sizeof(float);
    float *copy = malloc(bytes);
    for (uint32_t s = 0; s < 5; s++)
        (void)cx_task_step(l.task, l.block, l.grads, s);
    memcpy(copy, l.block, bytes);
    for (int s = 0; s < 3; s++) {
        double m[CX_TASK_METRICS], n[CX_TASK_METRICS];
        double x = cx_task_evaluate(l.task, l.block, (cx_split)s, 0, m);
        double y = cx_task_evaluate(l.task, l.block, (cx_split)s, 0, n);
        assert_memory_equal(copy, l.block, bytes);
        assert_true(x == y && m[0] == n[0] && m[1] == n[1]);
        /* neither masks nor noise of training in it */
        assert_true(cx_task_evaluate(plain.task, l.block, (cx_split)s, 0, NULL) == x);
    }
    free(copy);
    drop_live(&l);
    drop_live(&plain);
}

/* Every step a blank: all letters are missing, and nothing else is wrong. */
static void test_metrics(void **state) {
    (void)state;
    cx_task_spec spec = small(8);
    live l = make(&spec);
    double m[CX_TASK_METRICS];
    memset(l.block, 0, l.task->state_count * sizeof(float));
    const cx_param *bias =
        cx_graph_param_info(l.task->graph, cx_graph_param_tensors(l.task->graph) - 1);
    l.block[bias->offset] = 3;
    (void)cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, m);
    assert_true(m[0] == 1 && m[1] == 0);
    l.block[bias->offset + 1] = 5; /* always "a", which is right once and a part of seven */
    (void)cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, m);
    double letters = 0, hits = 0, right = 0;
    for (int w = 0; w < WORDS; w++) {
        letters += (double)strlen(words[w]);
        hits += strchr(words[w], 'a') != NULL;
        right += strcmp(words[w], "a") == 0;
    }
    /* a word without an a: one letter is replaced, the others are missing */
    assert_true(fabs(m[0] - (letters - hits) / letters) < 1e-12);
    assert_true(fabs(m[1] - right / WORDS) < 1e-12);
    l.block[bias->offset + 1] = NAN;
    assert_true(isnan(cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, m)));
    assert_true(m[0] == 1 && m[1] == 0);
    drop_live(&l);
}

/* --- a step is a function of (spec, step, block) --- */

static void test_same_bits(void **state) {
    (void)state;
    cx_task_spec spec = small(13);
    set(&spec, "bidirectional", 1);
    set(&spec, "dropout", 0.3);
    set(&spec, "stretch", 0.2);
    set(&spec, "band_shift", 1.5);
    set(&spec, "time_mask", 5);
    set(&spec, "color", 1);
    set(&spec, "band_mask", 5);
    check_same_bits(&spec, &config, store, 40);
}

/* With few utterances and one in a batch, steps differ by little else but what they draw. */
static void test_drawn_anew(void **state) {
    (void)state;
    enum { STEPS = 12 };
    cx_error err;
    cx_task *task;
    int frames = 5; /* of the shortest training utterance */
    for (cx_task_spec spec = small(15);; frames++) {
        set(&spec, "frames", frames);
        if (cx_task_create(&spec, &config, store, &task, &err) == CX_OK)
            break;
        assert_true(frames < 30);
    }
    cx_task_destroy(task);
    for (int k = -1; k < DRAWN; k++) {
        cx_task_spec spec = small(15);
        set(&spec, "batch_size", 1);
        set(&spec, "frames", frames);
        if (k >= 0)
            set(&spec, drawn[k], k == 0 ? 0.5 : k == 1 ? 0.5 : 5);
        live l = make(&spec);
        double loss[STEPS];
        int different = 0;
        for (int s = 0; s < STEPS; s++) {
            int same = 0;
            loss[s] = cx_task_step(l.task, l.block, l.grads, (uint32_t)s);
            for (int i = 0; i < s; i++)
                same += loss[i] == loss[s];
            different += same == 0;
        }
        drop_live(&l);
        if (k < 0 ? different > 3 : different < 5)
            fail_msg("%s: %d different losses", k < 0 ? "nothing" : drawn[k], different);
    }
}

/* Other recordings of the speaker of one split change what is evaluated on that split, and
 * nothing else: neither training, nor the other one. */
static void test_speakers_apart(void **state) {
    (void)state;
    cx_task_spec spec = small(17);
    double before[3], after[3], step_before, step_after;
    cx_config other;
    for (int held_out = 0; held_out <= 2; held_out += 2)
        for (int changed = 1; changed <= 2; changed++) {
            /* by the rule of data/speech.h */
            int speaker = SPEAKERS - 1 - held_out - (changed == 1);
            set(&spec, "held_out", held_out);
            live a = make(&spec);
            for (int s = 0; s < 3; s++)
                before[s] = cx_task_evaluate(a.task, a.block, (cx_split)s, 0, NULL);
            step_before = cx_task_step(a.task, a.block, a.grads, 3);
            put_speaker(speaker, 2);
            cx_data_store *now = open_store(&other);
            live b = make_live(&spec, &other, now);
            for (int s = 0; s < 3; s++)
                after[s] = cx_task_evaluate(b.task, b.block, (cx_split)s, 0, NULL);
            step_after = cx_task_step(b.task, b.block, b.grads, 3);
            for (int s = 0; s < 3; s++)
                assert_int_equal(before[s] != after[s], s == changed);
            assert_true(step_before == step_after);
            drop_live(&a);
            drop_live(&b);
            cx_data_store_close(now);
            put_speaker(speaker, 1);
        }
}

/* --- it learns --- */

static void test_learns(void **state) {
    (void)state;
    cx_task_spec spec = small(19);
    set(&spec, "hidden", 16);
    set(&spec, "bidirectional", 1);
    set(&spec, "band_shift", 1);
    live l = make(&spec);
    size_t n = l.task->param_count;
    float *m = calloc(n, sizeof *m), *v = calloc(n, sizeof *v);
    double at_start[CX_TASK_METRICS], at_end[CX_TASK_METRICS];
    (void)cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, at_start);
    for (uint32_t s = 0; s < 300; s++) { /* Adam */
        double loss = cx_task_step(l.task, l.block, l.grads, s);
        assert_true(isfinite(loss) && loss >= 0);
        for (size_t i = 0; i < n; i++) {
            m[i] += 0.1f * (l.grads[i] - m[i]);
            v[i] += 0.01f * (l.grads[i] * l.grads[i] - v[i]);
            float scale = (float)sqrt(1 - pow(0.99, s + 1)) / (1 - powf(0.9f, (float)s + 1));
            l.block[i] -= 0.01f * scale * m[i] / (sqrtf(v[i]) + 1e-8f);
        }
    }
    double loss = cx_task_evaluate(l.task, l.block, CX_SPLIT_TEST, 0, at_end);
    if (!(at_start[0] > 0.5 && at_end[0] < 0.1 && at_end[1] > 0.8 && loss < 0.3))
        fail_msg("letters wrong %g, then %g; words right %g; loss %g", at_start[0], at_end[0],
                 at_end[1], loss);
    free(m);
    free(v);
    drop_live(&l);
}

/* --- configurations --- */

static void expect(const char *more, const char *row, int code, const char *word) {
    char text[600];
    (void)snprintf(text, sizeof text, "data: {%s cache: %s/cache}", more, folder);
    check_store_fault(text, row, code, word);
}

static void test_faults(void **state) {
    (void)state;
    char here[300];
    (void)snprintf(here, sizeof here, "speech: %s/set,", folder);
    const char *row = "  - {family: speech, outer_steps: 2}\n";
    expect("", row, CX_ECONFIG, "data.speech is empty");
    expect("speech: /nonexistent,", row, CX_EDATA, "/nonexistent");
    expect(here, "  - {family: speech, outer_steps: 2, held_out: 6}\n", CX_ECONFIG, "held_out");
    expect(here, "  - {family: speech, outer_steps: 2, mels: {int: [10, 200]}}\n", CX_ECONFIG,
           "lists of choices");
    expect(here, "  - {family: speech, outer_steps: 2, mels: 240}\n", CX_ECONFIG, "too many");
    expect(here, "  - {family: speech, outer_steps: 2, stack: {int: [1, 8]}}\n", CX_EDATA,
           "smaller stack");
    cx_error err = {0};
    cx_task *task;
    cx_task_spec spec = small(1);
    set(&spec, "mels", 21);
    assert_int_equal(cx_task_create(&spec, &config, store, &task, &err), CX_ESTATE);
    spec = small(1);
    set(&spec, "hidden", 2048);
    set(&spec, "layers", 4);
    set(&spec, "bidirectional", 1);
    assert_int_equal(cx_task_create(&spec, &config, store, &task, &err), CX_ECONFIG);
    assert_non_null(strstr(err.message, "parameters"));
    assert_int_equal(cx_task_refuse_held_out(&config, &err), CX_ECONFIG);
}

static void test_cost(void **state) {
    (void)state;
    cx_task_spec spec = small(1);
    const cx_task_family *f = cx_task_family_at((int)spec.family);
    double one = f->flops_per_step(&spec, &config);
    set(&spec, "hidden", 400);
    live l = make(&spec);
    double got = f->flops_per_step(&spec, &config), products = 3 * cx_graph_flops(l.task->graph);
    assert_true(got > 0.9 * products && got < 2 * products && got > 20 * one);
    drop_live(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_edit_distance),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_padding_changes_nothing),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_evaluation_is_the_mean_over_all),
        cmocka_unit_test(test_long_utterances),
        cmocka_unit_test(test_evaluation_changes_nothing),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_drawn_anew),
        cmocka_unit_test(test_speakers_apart),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
