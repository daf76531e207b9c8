#include "data/sentences.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "data/interner.h"
#include "data/sentence_file.h"
#include "data/split_files.h"
#include "data/textfile.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TRAIN, VALID, TEST, SPLITS };
static const char *const split_name[SPLITS] = {"training", "validation", "test"};
static const uint64_t shuffle_seed = 0x73656e74656e6365;

/* One sentence, while and after reading. */
typedef struct {
    size_t first; /* of its words */
    size_t line;
    uint64_t hash; /* of its words */
    uint32_t label;
    uint8_t file, split;
} item;

struct cx_sentences {
    char path[SPLITS][PATH_MAX]; /* "": no such file; a single file is the first */
    cx_interner texts, labels;
    item *items; /* [n + 1]: the last one ends the words of the one before it */
    size_t n, room;
    uint32_t *words; /* numbers of texts while reading, then of the vocabulary */
    size_t n_words, words_room;
    uint32_t *example[SPLITS]; /* [count]: numbers of items */
    uint32_t count[SPLITS];
    uint32_t *of_rank; /* [vocabulary]: numbers of texts */
    uint32_t *times;   /* [vocabulary]: in training, falling */
    uint32_t vocabulary;
    uint32_t *class_label; /* [classes]: numbers of labels */
    int classes;
};

/* --- reading --- */

typedef struct {
    cx_sentences *s;
    int file;
    bool folder;
} taker;

static int grow(void **array, size_t *room, size_t want, size_t size, cx_error *err) {
    if (want <= *room)
        return CX_OK;
    size_t more = want + want / 2 + 1024;
    void *p = more < SIZE_MAX / size ? realloc(*array, more * size) : NULL;
    if (!p)
        return cx_fail(err, CX_ENOMEM, "no memory for %zu words or sentences", more);
    *array = p;
    *room = more;
    return CX_OK;
}

static int take(void *context, const cx_sentence *sentence, cx_error *err) {
    const taker *t = context;
    cx_sentences *s = t->s;
    item it = {.first = s->n_words,
               .line = sentence->line,
               .hash = shuffle_seed,
               .file = (uint8_t)t->file,
               .split = (uint8_t)t->file};
    if (s->n >= UINT32_MAX - 1)
        return cx_fail(err, CX_EDATA, "%s: more than 2^32 - 2 sentences", s->path[t->file]);
    int rc = grow((void **)&s->items, &s->room, s->n + 2, sizeof *s->items, err);
    if (!rc)
        rc = grow((void **)&s->words, &s->words_room, s->n_words + sentence->n_words,
                  sizeof *s->words, err);
    if (!rc)
        rc = cx_interner_add(&s->labels, sentence->label.at, sentence->label.size, &it.label, err);
    if (!rc && s->labels.n > CX_SENTENCES_CLASSES_MAX)
        rc = cx_fail(err, CX_EDATA,
                     "%s:%zu: the label number %d; is it the text? A header line that names the "
                     "columns `label` and `text` says which is which",
                     s->path[t->file], sentence->line, CX_SENTENCES_CLASSES_MAX + 1);
    for (size_t i = 0; !rc && i < sentence->n_words; i++) {
        const cx_span *w = &sentence->words[i];
        it.hash = cx_hash(w->at, w->size, it.hash);
        rc = cx_interner_add(&s->texts, w->at, w->size, &s->words[s->n_words], err);
        s->n_words += !rc;
    }
    if (rc)
        return rc;
    s->items[s->n++] = it;
    s->items[s->n].first = s->n_words;
    return CX_OK;
}

static int read_files(cx_sentences *s, const char *cache, bool folder, cx_error *err) {
    cx_sentence_columns columns = {0};
    int rc = CX_OK;
    for (int f = 0; !rc && f < (folder ? SPLITS : 1); f++) {
        cx_mapped file;
        taker t = {s, f, folder};
        if (!s->path[f][0])
            return cx_fail(err, CX_EDATA,
                           "%s: no %s file beside it: files with `train`, `dev` and `test` in "
                           "their names are right, or one file in place of the folder",
                           s->path[0], split_name[f]);
        rc = cx_textfile_open(s->path[f], cache, &file, err);
        if (rc)
            break;
        rc = cx_sentence_file_read(s->path[f], file.bytes, file.size, &columns, take, &t, err);
        cx_mapped_close(&file);
    }
    return rc;
}

/* --- splits --- */

typedef struct {
    uint64_t hash;
    uint32_t number;
} place;

static int compare_places(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Cuts one file: in the order of the hashes, never between equal ones. */
static int cut(cx_sentences *s, cx_error *err) {
    place *order = calloc(s->n, sizeof *order);
    if (!order)
        return cx_fail(err, CX_ENOMEM, "no memory for %zu sentences", s->n);
    for (size_t i = 0; i < s->n; i++)
        order[i] = (place){s->items[i].hash, (uint32_t)i};
    qsort(order, s->n, sizeof *order, compare_places);
    size_t valid = s->n - s->n / 5, test = s->n - s->n / 10;
    int split = TRAIN;
    for (size_t i = 0; i < s->n; i++) {
        int want = i >= test ? TEST : i >= valid ? VALID : TRAIN;
        if (i == 0 || order[i].hash != order[i - 1].hash)
            split = want;
        s->items[order[i].number].split = (uint8_t)split;
    }
    free(order);
    return CX_OK;
}

static int list_examples(cx_sentences *s, bool folder, cx_error *err) {
    for (size_t i = 0; i < s->n; i++)
        s->count[s->items[i].split]++;
    for (int k = 0; k < SPLITS; k++) {
        if (s->count[k] == 0)
            return cx_fail(err, CX_EDATA, "%s: no sentence is left for the %s split%s",
                           s->path[folder ? k : 0], split_name[k],
                           folder ? "" : "; 10 different ones or more are right");
        s->example[k] = calloc(s->count[k], sizeof *s->example[k]);
        if (!s->example[k])
            return cx_fail(err, CX_ENOMEM, "no memory for %u sentences", (unsigned)s->count[k]);
    }
    uint32_t at[SPLITS] = {0};
    for (size_t i = 0; i < s->n; i++) {
        int k = s->items[i].split;
        s->example[k][at[k]++] = (uint32_t)i;
    }
    return CX_OK;
}

/* --- what is numbered by the training split --- */

typedef struct {
    const char *text;
    long long value; /* of a label that is a whole number; 0 */
    uint32_t number; /* of the text */
    uint32_t times;
} ranked;

static int compare_words(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->times != y->times)
        return x->times > y->times ? -1 : 1;
    return strcmp(x->text, y->text);
}

static int compare_labels(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return strcmp(x->text, y->text);
}

/* Those of the interner's strings that occur in training, in order. */
static ranked *rank(const cx_interner *in, const uint32_t *times,
                    int (*compare)(const void *, const void *), uint32_t *n) {
    ranked *list = calloc((size_t)in->n + 1, sizeof *list);
    bool numbers = true;
    *n = 0;
    for (uint32_t i = 0; list && i < in->n; i++)
        if (times[i]) {
            ranked *r = &list[(*n)++];
            *r = (ranked){cx_interner_text(in, i), 0, i, times[i]};
            numbers = cx_text_int(r->text, &r->value) && numbers;
        }
    for (uint32_t i = 0; list && !numbers && i < *n; i++)
        list[i].value = 0;
    if (list)
        qsort(list, *n, sizeof *list, compare);
    return list;
}

static int number_words(cx_sentences *s, cx_error *err) {
    uint32_t *times = calloc((size_t)s->texts.n + 1, sizeof *times);
    uint32_t *rank_of = calloc((size_t)s->texts.n + 1, sizeof *rank_of);
    ranked *list = NULL;
    int rc = CX_OK;
    for (uint32_t e = 0; times && e < s->count[TRAIN]; e++) {
        const item *it = &s->items[s->example[TRAIN][e]];
        for (size_t w = it[0].first; w < it[1].first; w++)
            times[s->words[w]] += times[s->words[w]] < UINT32_MAX;
    }
    if (times && rank_of)
        list = rank(&s->texts, times, compare_words, &s->vocabulary);
    s->of_rank = calloc((size_t)s->vocabulary + 1, sizeof *s->of_rank);
    s->times = calloc((size_t)s->vocabulary + 1, sizeof *s->times);
    if (!list || !s->of_rank || !s->times)
        rc =
            cx_fail(err, CX_ENOMEM, "no memory for a vocabulary of %u words", (unsigned)s->texts.n);
    for (uint32_t i = 0; !rc && i < s->texts.n; i++)
        rank_of[i] = CX_SENTENCES_UNKNOWN;
    for (uint32_t i = 0; !rc && i < s->vocabulary; i++) {
        s->of_rank[i] = list[i].number;
        s->times[i] = list[i].times;
        rank_of[list[i].number] = i;
    }
    for (size_t w = 0; !rc && w < s->n_words; w++)
        s->words[w] = rank_of[s->words[w]];
    free(times);
    free(rank_of);
    free(list);
    return rc;
}

static int number_labels(cx_sentences *s, cx_error *err) {
    uint32_t times[CX_SENTENCES_CLASSES_MAX] = {0}, class_of[CX_SENTENCES_CLASSES_MAX], n;
    for (uint32_t e = 0; e < s->count[TRAIN]; e++)
        times[s->items[s->example[TRAIN][e]].label]++;
    ranked *list = rank(&s->labels, times, compare_labels, &n);
    s->class_label = calloc(CX_SENTENCES_CLASSES_MAX, sizeof *s->class_label);
    int rc = CX_OK;
    if (!list || !s->class_label)
        rc = cx_fail(err, CX_ENOMEM, "no memory for the labels");
    else if (n < 2)
        rc = cx_fail(err, CX_EDATA, "%s: all sentences have the label %s; 2 or more are right",
                     s->path[0], list[0].text);
    s->classes = (int)n;
    for (uint32_t i = 0; i < CX_SENTENCES_CLASSES_MAX; i++)
        class_of[i] = UINT32_MAX;
    for (uint32_t i = 0; !rc && i < n; i++) {
        s->class_label[i] = list[i].number;
        class_of[list[i].number] = i;
    }
    for (size_t i = 0; !rc && i < s->n; i++) {
        item *it = &s->items[i];
        if (class_of[it->label] == UINT32_MAX)
            rc = cx_fail(err, CX_EDATA,
                         "%s:%zu: label %s of the %s split, which the training split does not have",
                         s->path[it->file], it->line, cx_interner_text(&s->labels, it->label),
                         split_name[it->split]);
        it->label = class_of[it->label];
    }
    free(list);
    return rc;
}

/* --- the whole set --- */

static int open_set(cx_sentences *s, const char *path, const char *cache, cx_error *err) {
    struct stat st;
    if (stat(path, &st) != 0)
        return cx_fail(err, CX_EDATA, "%s: %s", path, strerror(errno));
    bool folder = S_ISDIR(st.st_mode);
    int rc = folder ? cx_split_files_find(path, s->path, err)
                    : cx_path(s->path[0], PATH_MAX, err, "%s", path);
    if (!rc)
        rc = read_files(s, cache, folder, err);
    if (!rc && !folder)
        rc = cut(s, err);
    if (!rc)
        rc = list_examples(s, folder, err);
    if (!rc)
        rc = number_labels(s, err);
    return rc ? rc : number_words(s, err);
}

int cx_sentences_open(const char *path, const char *cache, cx_sentences **out, cx_error *err) {
    cx_sentences *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return cx_fail(err, CX_ENOMEM, "%s: no memory to read it", path);
    int rc = open_set(s, path, cache, err);
    if (rc) {
        cx_sentences_close(s);
        return rc;
    }
    *out = s;
    return CX_OK;
}

void cx_sentences_close(cx_sentences *s) {
    if (!s)
        return;
    cx_interner_free(&s->texts);
    cx_interner_free(&s->labels);
    for (int k = 0; k < SPLITS; k++)
        free(s->example[k]);
    free(s->items);
    free(s->words);
    free(s->of_rank);
    free(s->times);
    free(s->class_label);
    free(s);
}

uint32_t cx_sentences_count(const cx_sentences *s, int split) {
    return s->count[split];
}

int cx_sentences_classes(const cx_sentences *s) {
    return s->classes;
}

const char *cx_sentences_class_name(const cx_sentences *s, int label) {
    return cx_interner_text(&s->labels, s->class_label[label]);
}

int cx_sentences_label(const cx_sentences *s, int split, uint32_t i) {
    return (int)s->items[s->example[split][i]].label;
}

const uint32_t *cx_sentences_words(const cx_sentences *s, int split, uint32_t i, size_t *n) {
    const item *it = &s->items[s->example[split][i]];
    *n = it[1].first - it[0].first;
    return s->words + it->first;
}

uint32_t cx_sentences_vocabulary(const cx_sentences *s) {
    return s->vocabulary;
}

const char *cx_sentences_word(const cx_sentences *s, uint32_t word) {
    return cx_interner_text(&s->texts, s->of_rank[word]);
}

uint32_t cx_sentences_known(const cx_sentences *s, uint32_t entries, double least) {
    uint32_t low = 0, high = entries < s->vocabulary ? entries : s->vocabulary;
    while (low < high) { /* the first that is too rare */
        uint32_t middle = low + (high - low) / 2;
        if (s->times[middle] >= least)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
