/* Speech recognition: log-mel features, a recurrent network, connectionist temporal
 * classification of characters (tasks/speech_net.h), on the recordings of data/speech.h.
 * Held out: no policy is trained on it.
 *
 * Training batch number s takes the utterances s B .. s B + B - 1 of an endless row of
 * epochs. Training leaves out what is longer than `frames`, or too short for its
 * transcript; evaluation leaves out nothing: longer utterances have a graph of their own,
 * and one that is too short for its transcript is refused when the task is made. */
#include "data/speech.h"
#include "base/arena.h"
#include "data/audio.h"
#include "tasks/family.h"
#include "tasks/permute.h"
#include "tasks/speech_net.h"
#include "tasks/transcript.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define SPEECH_PARAMS(X) \
    CX_COMMON_PARAMS(X) \
    X(CELL, "cell", cx_recurrent_words, 0, 0, CX_GRU, true, "kind of recurrent layer") \
    X(LAYERS, "layers", NULL, 1, CX_SPEECH_LAYERS_MAX, 2, true, "recurrent layers") \
    X(HIDDEN, "hidden", NULL, 1, 2048, 96, true, "units of a recurrent layer, in each direction") \
    X(BIDIRECTIONAL, "bidirectional", NULL, 0, 1, 0, true, "1: every layer also reads the utterances backward") \
    X(DROPOUT, "dropout", NULL, 0, 0.95, 0, false, "share of a layer's outputs dropped in training") \
    X(BATCH_SIZE, "batch_size", NULL, 1, 1024, 16, true, "training utterances of an inner step") \
    X(MELS, "mels", NULL, 4, CX_SPEECH_MELS_MAX, 40, true, "mel bands") \
    X(STACK, "stack", NULL, 1, 8, 3, true, "frames of 10 ms that make one time step of the network") \
    X(FRAMES, "frames", NULL, 1, 60000, 100, true, "longest training utterance; longer ones are left out of training") \
    X(TIME_MASK, "time_mask", NULL, 0, 1000, 0, true, "training: up to so many frames in a row are blanked out") \
    X(BAND_MASK, "band_mask", NULL, 0, CX_SPEECH_MELS_MAX, 0, true, "training: up to so many bands in a row are blanked out") \
    X(BAND_SHIFT, "band_shift", NULL, 0, 16, 0, false, "training: spectra are moved by up to so many bands, up or down") \
    X(COLOR, "color", NULL, 0, 5, 0, false, "training: up to so much (in log power) is added to the low, middle and high bands, up or down") \
    X(STRETCH, "stretch", NULL, 0, 0.5, 0, false, "training: time runs faster or slower by up to this share") \
    X(HELD_OUT, "held_out", NULL, 0, 9999, 0, true, "which speakers are the test split (data/speech.h); 0: the last ones")
/* clang-format on */

enum { SPEECH_PARAMS(CX_PARAM_ENUM) N_PARAMS };

static const cx_param_schema params[] = {SPEECH_PARAMS(CX_PARAM_ROW)};

const cx_family_schema cx_family_speech_schema = {
    "speech", "speech recognition by recurrent networks and CTC", N_PARAMS, params};

/* What a language's alphabet comes to where no data are at hand; utterances of an
 * evaluation's pass, and of one with the longest. */
enum { SYMBOLS_USUAL = 30, EVAL_BATCH = 32, LONG_BATCH = 4 };
static const double params_max = 1e8, activations_max = 5e8;

/* A graph with the utterances that fill it. */
typedef struct {
    cx_graph *graph;
    cx_speech_refs refs;
    cx_speech_size size;
    int frames;    /* of the longest utterance that fits */
    int rows;      /* that are filled */
    uint32_t *who; /* [batch] */
} pass;

typedef struct {
    const cx_speech *set;
    const cx_speech_cut *cut;
    cx_speech_net net;
    int mels, stack, time_mask, band_mask;
    double band_shift, stretch, color;
    pass train, eval, longest;  /* longest.graph NULL: nothing is longer than `frames` */
    uint32_t *usable, n_usable; /* training utterances */
    cx_permute order[3];        /* in which each split is evaluated */
    cx_epochs epochs;
    float *offset;    /* [mels] of the utterance that is put into a pass */
    uint8_t *decoded; /* [steps of the longest] */
    int *row;         /* scratch of the edit distance */
} speech_task;

static int steps_of(int frames, int stack) {
    return (frames + stack - 1) / stack;
}

static cx_speech_net net_of(const cx_task_spec *spec, int symbols) {
    const double *v = spec->value;
    return (cx_speech_net){.cell = (cx_recurrent_kind)v[CELL],
                           .layers = (int)v[LAYERS],
                           .hidden = (int)v[HIDDEN],
                           .bidirectional = v[BIDIRECTIONAL] > 0,
                           .in = (int)(v[MELS] * v[STACK]),
                           .symbols = symbols,
                           .dropout = v[DROPOUT]};
}

/* --- what follows from the spec alone --- */

static double flops_per_step(const cx_task_spec *spec, const cx_config *config) {
    (void)config;
    const double *v = spec->value;
    cx_speech_net net = net_of(spec, SYMBOLS_USUAL);
    cx_speech_net_cost c = cx_speech_net_measure(&net);
    double steps = v[BATCH_SIZE] * steps_of((int)v[FRAMES], (int)v[STACK]);
    return steps * (6 * c.products + 20 * c.activations) + CX_FLOPS_PER_UPDATE * c.params +
           CX_FLOPS_PER_OPERATOR * c.operators;
}

static int check_size(const speech_task *t, const pass *p, cx_error *err) {
    cx_speech_net_cost c = cx_speech_net_measure(&t->net);
    double numbers = c.activations * p->size.steps * p->size.batch;
    if (c.params > params_max || numbers > activations_max)
        return cx_fail(err, CX_ECONFIG,
                       "speech: a network of %.3g parameters and %.3g activations; at most %.0e "
                       "and %.0e are right",
                       c.params, numbers, params_max, activations_max);
    return CX_OK;
}

/* --- creation --- */

static bool fits(const speech_task *t, uint32_t u) {
    return steps_of((int)cx_speech_frames(t->set, u), t->stack) >= cx_speech_needed(t->cut, u);
}

/* CX_EDATA where an utterance of validation or test has fewer steps than its transcript
 * needs: its loss would be infinite. */
static int check_fits(const cx_speech *set, const cx_speech_cut *cut, int stack, cx_error *err) {
    const speech_task t = {.set = set, .cut = cut, .stack = stack};
    for (int s = CX_SPLIT_VALIDATION; s <= CX_SPLIT_TEST; s++)
        for (uint32_t i = 0; i < cut->count[s]; i++) {
            uint32_t u = cut->member[s][i];
            if (!fits(&t, u))
                return cx_fail(err, CX_EDATA,
                               "%s: %u frames make %d time steps of %d, but its transcript needs "
                               "%d; a smaller stack is right",
                               cx_speech_path(set, u), (unsigned)cx_speech_frames(set, u),
                               steps_of((int)cx_speech_frames(set, u), stack), stack,
                               cx_speech_needed(cut, u));
        }
    return CX_OK;
}

static void name_set(int mels, char out[48]) {
    (void)snprintf(out, 48, "mels %d", mels);
}

static void name_cut(int mels, int held_out, char out[48]) {
    (void)snprintf(out, 48, "mels %d held_out %d", mels, held_out);
}

static int find_data(const cx_task_spec *spec, const cx_data_store *store, speech_task *t,
                     cx_error *err) {
    char name[48];
    name_set(t->mels, name);
    t->set = cx_data_store_get(store, &cx_family_speech, name);
    name_cut(t->mels, (int)spec->value[HELD_OUT], name);
    t->cut = cx_data_store_get(store, &cx_family_speech, name);
    if (!t->set || !t->cut)
        return cx_fail(err, CX_ESTATE,
                       "speech: %s is not open; the configuration that the data were opened for "
                       "does not name it",
                       name);
    return check_fits(t->set, t->cut, t->stack, err);
}

/* The training utterances that can be used. */
static int choose_usable(speech_task *t, int frames, cx_error *err) {
    uint32_t n = t->cut->count[CX_SPLIT_TRAIN];
    t->usable = cx_calloc(n, sizeof *t->usable);
    if (!t->usable)
        return cx_fail(err, CX_ENOMEM, "no memory for %u recordings", (unsigned)n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t u = t->cut->member[CX_SPLIT_TRAIN][i];
        if (cx_speech_frames(t->set, u) <= (uint32_t)frames && fits(t, u))
            t->usable[t->n_usable++] = u;
    }
    if (t->n_usable == 0)
        return cx_fail(err, CX_EDATA,
                       "speech: none of the %u training recordings has at most %d frames of %d ms, "
                       "and enough for its transcript; larger `frames` are right",
                       (unsigned)n, frames, CX_LOGMEL_HOP_MS);
    return CX_OK;
}

typedef struct {
    int frames, length;
} extent;

/* The most frames and labels of an utterance that is trained on, or evaluated. */
static extent longest_of(const speech_task *t, bool evaluated) {
    extent e = {1, 1};
    for (int s = 0; s < (evaluated ? 3 : 1); s++) {
        uint32_t n = s == 0 ? t->n_usable : t->cut->count[s];
        const uint32_t *member = s == 0 ? t->usable : t->cut->member[s];
        for (uint32_t i = 0; i < n; i++) {
            int frames = (int)cx_speech_frames(t->set, member[i]);
            int length = cx_speech_length(t->cut, member[i]);
            e.frames = frames > e.frames ? frames : e.frames;
            e.length = length > e.length ? length : e.length;
        }
    }
    return e;
}

static int build(speech_task *t, pass *p, extent e, int batch, bool forward_only, cx_error *err) {
    p->frames = e.frames;
    p->size = (cx_speech_size){steps_of(e.frames, t->stack), batch, e.length};
    int rc = check_size(t, p, err);
    if (rc)
        return rc;
    p->graph = cx_graph_create();
    p->who = cx_calloc((size_t)batch, sizeof *p->who);
    if (!p->graph || !p->who)
        return cx_fail(err, CX_ENOMEM, "no memory for a graph");
    p->refs = cx_speech_net_build(&t->net, p->size, p->graph);
    return cx_graph_plan(p->graph, forward_only, err);
}

static int build_all(const cx_task_spec *spec, cx_task *task, speech_task *t, cx_error *err) {
    extent usable = longest_of(t, false), all = longest_of(t, true);
    usable.frames = (int)spec->value[FRAMES];
    extent some = {usable.frames, all.length};
    int rc = build(t, &t->train, usable, (int)spec->value[BATCH_SIZE], false, err);
    task->graph = t->train.graph; /* the task's to destroy */
    if (!rc)
        rc = build(t, &t->eval, some, EVAL_BATCH, true, err);
    if (!rc && all.frames > some.frames)
        rc = build(t, &t->longest, all, LONG_BATCH, true, err);
    if (rc)
        return rc;
    int steps = steps_of(all.frames > some.frames ? all.frames : some.frames, t->stack);
    t->decoded = cx_calloc((size_t)steps, sizeof *t->decoded);
    t->row = cx_calloc((size_t)all.length + 1, sizeof *t->row);
    t->offset = cx_calloc((size_t)t->mels, sizeof *t->offset);
    if (!t->decoded || !t->row || !t->offset)
        return cx_fail(err, CX_ENOMEM, "no memory for a task");
    return CX_OK;
}

static int create(const cx_task_spec *spec, const cx_config *config, const cx_data_store *store,
                  cx_task *task, cx_error *err) {
    (void)config;
    const double *v = spec->value;
    speech_task *t = calloc(1, sizeof *t);
    if (!t)
        return cx_fail(err, CX_ENOMEM, "no memory for a task");
    task->own = t;
    t->mels = (int)v[MELS];
    t->stack = (int)v[STACK];
    t->time_mask = (int)v[TIME_MASK];
    t->band_mask = (int)v[BAND_MASK];
    t->band_shift = v[BAND_SHIFT];
    t->stretch = v[STRETCH];
    t->color = v[COLOR];
    int rc = find_data(spec, store, t, err);
    if (rc)
        return rc;
    t->net = net_of(spec, t->cut->n_symbols);
    rc = choose_usable(t, (int)v[FRAMES], err);
    if (!rc)
        rc = build_all(spec, task, t, err);
    if (rc)
        return rc;
    cx_rng rng = cx_rng_make(spec->seed, 0, CX_STREAM_EVAL);
    for (int s = 0; s < CX_SPLITS; s++)
        t->order[s] = cx_permute_make(s == 0 ? t->n_usable : t->cut->count[s], &rng);
    t->epochs = cx_epochs_make(t->n_usable, spec->seed);
    return CX_OK;
}

static void destroy(cx_task *task) {
    speech_task *t = task->own;
    if (!t)
        return;
    cx_graph_destroy(t->eval.graph);
    cx_graph_destroy(t->longest.graph);
    free(t->train.who);
    free(t->eval.who);
    free(t->longest.who);
    free(t->usable);
    free(t->decoded);
    free(t->row);
    free(t->offset);
    free(t);
    task->own = NULL;
}

/* --- utterances as the network's input --- */

/* How one utterance is heard; training draws it anew each time. */
enum { KNOTS = 4 };
typedef struct {
    int frames;         /* it comes to */
    double rate, shift; /* source frames of one frame; bands */
    int mask_from, mask_frames, mask_band, mask_bands;
    double color[KNOTS]; /* added to the log power: straight lines over the bands */
} hearing;

static hearing plain(const speech_task *t, uint32_t u) {
    return (hearing){.frames = (int)cx_speech_frames(t->set, u), .rate = 1};
}

static hearing augmented(const speech_task *t, uint32_t u, uint64_t seed, uint64_t position) {
    hearing h = plain(t, u);
    cx_rng rng = cx_rng_make(seed, position, CX_STREAM_DATA);
    double draw[6 + KNOTS];
    for (int i = 0; i < 6 + KNOTS; i++)
        draw[i] = cx_rng_uniform(&rng);
    double rate = exp((2 * draw[0] - 1) * log1p(t->stretch));
    int frames = (int)ceil(h.frames / rate);
    if (t->stretch > 0 && frames <= t->train.frames &&
        steps_of(frames, t->stack) >= cx_speech_needed(t->cut, u)) {
        h.frames = frames;
        h.rate = rate;
    }
    h.shift = t->band_shift * (2 * draw[1] - 1);
    h.mask_frames = (int)(draw[2] * (t->time_mask + 1));
    h.mask_from = (int)(draw[3] * h.frames);
    h.mask_bands = (int)(draw[4] * (t->band_mask + 1));
    h.mask_band = (int)(draw[5] * t->mels);
    for (int i = 0; i < KNOTS; i++)
        h.color[i] = t->color * (2 * draw[6 + i] - 1);
    return h;
}

/* What is taken off each band: the training split's mean, without the coloring. */
static void find_offset(const speech_task *t, const hearing *h) {
    for (int k = 0; k < t->mels; k++) {
        double at = (double)(KNOTS - 1) * k / t->mels;
        const double *c = h->color + (int)at;
        t->offset[k] = (float)(t->cut->mean[k] - c[0] - (at - (int)at) * (c[1] - c[0]));
    }
}

static double clamped(double x, int last) {
    return x < 0 ? 0 : x > last ? last : x;
}

/* The log power at a place between frames and bands, by lines. */
static float between(const int16_t *x, int n, int mels, double frame, double band) {
    frame = clamped(frame, n - 1);
    band = clamped(band, mels - 1);
    int f = (int)frame, k = (int)band, g = f + (f < n - 1), l = k + (k < mels - 1);
    double a = frame - f, b = band - k;
    double low = x[f * mels + k] + b * (x[f * mels + l] - x[f * mels + k]);
    double high = x[g * mels + k] + b * (x[g * mels + l] - x[g * mels + k]);
    return (float)(low + a * (high - low));
}

static bool masked(const hearing *h, int frame, int band) {
    return (frame >= h->mask_from && frame < h->mask_from + h->mask_frames) ||
           (band >= h->mask_band && band < h->mask_band + h->mask_bands);
}

static void put_frame(const speech_task *t, uint32_t u, const hearing *h, int frame, float *to) {
    const int16_t *x = cx_speech_features(t->set, u);
    int n = (int)cx_speech_frames(t->set, u), mels = t->mels;
    bool as_it_is = h->rate == 1 && h->shift == 0;
    for (int k = 0; k < mels; k++) {
        float value =
            as_it_is ? x[frame * mels + k] : between(x, n, mels, frame * h->rate, k + h->shift);
        value = (CX_SPEECH_UNIT * value - t->offset[k]) * t->cut->gain[k];
        to[k] = masked(h, frame, k) ? 0 : value;
    }
}

/* Row b of a pass becomes utterance u. */
static void put_utterance(const speech_task *t, pass *p, int b, uint32_t u, const hearing *h) {
    const cx_graph *g = p->graph;
    size_t in = (size_t)t->net.in, stride = in * (size_t)p->size.batch;
    float *x = cx_graph_value(g, p->refs.x) + in * (size_t)b;
    int steps = steps_of(h->frames, t->stack), length = cx_speech_length(t->cut, u);
    for (int s = 0; s < p->size.steps; s++)
        memset(x + (size_t)s * stride, 0, in * sizeof *x);
    find_offset(t, h);
    for (int f = 0; f < h->frames; f++)
        put_frame(t, u, h, f,
                  x + (size_t)(f / t->stack) * stride + (size_t)(f % t->stack * t->mels));
    int32_t *labels = cx_graph_value_int(g, p->refs.labels) + (size_t)b * (size_t)p->size.length;
    for (int i = 0; i < p->size.length; i++)
        labels[i] = i < length ? t->cut->labels[t->cut->first[u] + (size_t)i] : 0;
    cx_graph_value_int(g, p->refs.step_counts)[b] = steps;
    cx_graph_value_int(g, p->refs.lengths)[b] = length;
    if (p->refs.order >= 0)
        cx_speech_net_order(cx_graph_value_int(g, p->refs.order), p->size, b, steps);
    p->who[b] = u;
}

/* --- training --- */

static double step(cx_task *task, float *block, float *grads, uint32_t number) {
    speech_task *t = task->own;
    pass *p = &t->train;
    uint64_t seed = task->spec.seed, first = (uint64_t)number * (uint64_t)p->size.batch;
    for (int b = 0; b < p->size.batch; b++) {
        uint64_t position = first + (uint64_t)b;
        uint32_t u = t->usable[cx_epochs_at(&t->epochs, position)];
        hearing h = augmented(t, u, seed, position);
        put_utterance(t, p, b, u, &h);
    }
    cx_rng rng = cx_rng_make(seed, number, CX_STREAM_DROPOUT);
    cx_graph_bind(p->graph, block, grads);
    cx_graph_forward(p->graph, CX_TRAIN, &rng);
    double loss = *cx_graph_value(p->graph, p->refs.loss);
    cx_graph_backward_loss(p->graph, p->refs.loss);
    return loss;
}

/* --- evaluation --- */

typedef struct {
    double loss, errors, labels, right;
} score;

static void score_row(const speech_task *t, const pass *p, int b, score *s) {
    uint32_t u = p->who[b];
    int length = cx_speech_length(t->cut, u), symbols = t->net.symbols;
    int steps = cx_graph_value_int(p->graph, p->refs.step_counts)[b];
    const float *logits = cx_graph_value(p->graph, p->refs.logits) + (size_t)b * (size_t)symbols;
    size_t stride = (size_t)p->size.batch * (size_t)symbols;
    int n = cx_transcript_greedy(logits, stride, steps, symbols, t->decoded);
    int errors =
        cx_transcript_distance(t->decoded, n, t->cut->labels + t->cut->first[u], length, t->row);
    s->loss += (double)cx_graph_value(p->graph, p->refs.nll)[b] / length;
    s->errors += errors;
    s->labels += length;
    s->right += errors == 0;
}

/* The rows behind the filled ones hold utterances of before, and are not counted. */
static void flush(speech_task *t, pass *p, float *block, score *s) {
    if (p->rows == 0)
        return;
    cx_graph_bind(p->graph, block, NULL);
    cx_graph_forward(p->graph, CX_EVAL, NULL);
    for (int b = 0; b < p->rows; b++)
        score_row(t, p, b, s);
    p->rows = 0;
}

static double evaluate(cx_task *task, float *block, cx_split split, int examples,
                       double metric[CX_TASK_METRICS]) {
    speech_task *t = task->own;
    uint32_t all = split == CX_SPLIT_TRAIN ? t->n_usable : t->cut->count[split];
    uint32_t n = examples > 0 && (uint32_t)examples < all ? (uint32_t)examples : all;
    score s = {0};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = cx_permute_at(&t->order[split], i);
        uint32_t u = split == CX_SPLIT_TRAIN ? t->usable[at] : t->cut->member[split][at];
        hearing h = plain(t, u);
        pass *p = h.frames <= t->eval.frames ? &t->eval : &t->longest;
        put_utterance(t, p, p->rows++, u, &h);
        if (p->rows == p->size.batch)
            flush(t, p, block, &s);
    }
    flush(t, &t->eval, block, &s);
    flush(t, &t->longest, block, &s);
    metric[0] = s.errors / s.labels;
    metric[1] = s.right / n;
    return s.loss / n;
}

/* --- what the entries of the configuration can draw --- */

static void close_set(void *data) {
    cx_speech_close(data);
}

static void close_cut(void *data) {
    cx_speech_cut_free(data);
}

static int open_set(const cx_config *config, int mels, cx_data_store *store, cx_error *err) {
    char name[48];
    cx_speech *set;
    name_set(mels, name);
    if (cx_data_store_get(store, &cx_family_speech, name))
        return CX_OK;
    if (config->data.speech[0] == 0)
        return cx_fail(err, CX_ECONFIG,
                       "data.speech is empty, but a task uses it: a folder of FSDD's WAV files, or "
                       "of LibriSpeech's FLAC files with transcripts, is right");
    int rc = cx_speech_open(config->data.speech, config->data.cache, mels, &set, err);
    if (rc)
        return cx_fail_in(err, "data.speech");
    return cx_data_store_put(store, &cx_family_speech, name, set, close_set, err);
}

static int open_cut(int mels, int held_out, int stack, cx_data_store *store, cx_error *err) {
    char set_name[48], name[48];
    name_set(mels, set_name);
    name_cut(mels, held_out, name);
    const cx_speech *set = cx_data_store_get(store, &cx_family_speech, set_name);
    const cx_speech_cut *there = cx_data_store_get(store, &cx_family_speech, name);
    cx_speech_cut *cut = NULL;
    int rc = there ? CX_OK : cx_speech_cut_make(set, held_out, &cut, err);
    if (!rc && !there) {
        there = cut;
        rc = cx_data_store_put(store, &cx_family_speech, name, cut, close_cut, err);
    }
    if (!rc)
        rc = check_fits(set, there, stack, err);
    return rc ? cx_fail_in(err, "data.speech") : CX_OK;
}

static int open_entry(const cx_config *config, int entry, cx_data_store *store, cx_error *err) {
    const cx_task_entry *e = &config->tasks[entry];
    double mels[CX_CHOICES_MAX], held_out[CX_CHOICES_MAX];
    int n_mels = cx_dist_values(&e->param[MELS], mels),
        n_held_out = cx_dist_values(&e->param[HELD_OUT], held_out);
    if (!n_mels || !n_held_out)
        return cx_fail(err, CX_ECONFIG,
                       "tasks.%d (%s): mels and held_out must be constants or lists of choices",
                       entry, e->name);
    int rc = CX_OK, stack = (int)cx_dist_end(&e->param[STACK], true);
    for (int i = 0; i < n_mels && !rc; i++) {
        rc = open_set(config, (int)mels[i], store, err);
        for (int k = 0; k < n_held_out && !rc; k++)
            rc = open_cut((int)mels[i], (int)held_out[k], stack, store, err);
    }
    return rc;
}

static int open(const cx_config *config, cx_data_store *store, cx_error *err) {
    int rc = CX_OK;
    for (int i = 0; i < config->n_tasks && !rc; i++)
        if (cx_entry_is(config, i, &cx_family_speech))
            rc = open_entry(config, i, store, err);
    return rc;
}

static void identity(const cx_task_spec *spec, const cx_config *config, char *out, size_t size) {
    (void)spec;
    (void)snprintf(out, size, "%s", config->data.speech);
}

const cx_task_family cx_family_speech = {
    .schema = &cx_family_speech_schema,
    .held_out = true,
    .metric = {{"label error rate", true}, {"transcripts right", true}},
    .open = open,
    .identity = identity,
    .create = create,
    .destroy = destroy,
    .step = step,
    .evaluate = evaluate,
    .flops_per_step = flops_per_step};
