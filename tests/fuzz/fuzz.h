/* Fuzz targets: one file fuzz_NAME.c for each parser of a file or a message. The same
 * targets are driven by libFuzzer (`make fuzz`, engine.c) and, with their seeds and the
 * inputs that once did harm (corpus/NAME), by a unit test (test_corpus.c). */
#ifndef CX_TESTS_FUZZ_H
#define CX_TESTS_FUZZ_H

#include "base/error.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where seeds go. */
typedef struct {
    void (*give)(void *context, const void *data, size_t size);
    void *context;
} fuzz_sink;

typedef struct {
    const char *name;
    /* Feeds the bytes to the parser, and uses what it made of them. true: it took them.
     * What must not be is found by the sanitizers, and by fuzz_must. */
    bool (*run)(const uint8_t *data, size_t size);
    /* Small sound inputs, made by the program itself where it writes the format. */
    void (*seeds)(const fuzz_sink *sink);
} fuzz_target;

/* Every fuzz_NAME.c has its row here (a test sees to it) and defines fuzz_target_NAME. */
#define FUZZ_TABLE(X)                                                                              \
    X(audio)                                                                                       \
    X(bpe)                                                                                         \
    X(bpe_text)                                                                                    \
    X(cache)                                                                                       \
    X(checkpoint)                                                                                  \
    X(cifar)                                                                                       \
    X(config)                                                                                      \
    X(coordinator)                                                                                 \
    X(corpus)                                                                                      \
    X(gpt2)                                                                                        \
    X(gzip)                                                                                        \
    X(idx)                                                                                         \
    X(images)                                                                                      \
    X(launch)                                                                                      \
    X(learner)                                                                                     \
    X(lines)                                                                                       \
    X(message)                                                                                     \
    X(picture)                                                                                     \
    X(policy)                                                                                      \
    X(ratings)                                                                                     \
    X(records)                                                                                     \
    X(report)                                                                                      \
    X(resume)                                                                                      \
    X(sentences)                                                                                   \
    X(state)                                                                                       \
    X(trajectory)                                                                                  \
    X(transcript)                                                                                  \
    X(vectors)                                                                                     \
    X(worker)

#define X(name) extern const fuzz_target fuzz_target_##name;
FUZZ_TABLE(X)
#undef X

/* Ends the process where a condition does not hold, as a sanitizer does. */
#define fuzz_must(condition) ((condition) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #condition))
_Noreturn void fuzz_broken(const char *file, int line, const char *what);

/* Whether a parser took its input. A refusal must carry its own code and a message, and
 * be no lack of memory (an input is small) and no fault of the program. */
bool fuzz_taken(int rc, const cx_error *err);

/* A folder of the process, in memory where there is such a file system; removed at the
 * end. Paths are good until the fifth call after theirs. */
const char *fuzz_folder(void);
const char *fuzz_path(const char *name);
/* Writes a file there (folders on the way are made); ".gz" packs nothing. */
void fuzz_put(const char *name, const void *data, size_t size);
/* A hash of all names and contents below a folder, but for files named *.lock and lock. */
uint64_t fuzz_disk(const char *folder);
/* Removes everything in the folder, or what is at NAME in it. */
void fuzz_clear(const char *name);

/* Unless the magic's last byte is `letter`: puts it there, and puts right the number and the
 * XXH3 of the bytes that follow a header of 32 bytes, where these two stand in it. */
void fuzz_mend(unsigned char *bytes, size_t size, char letter, size_t size_at, size_t hash_at);

/* Several files in one input: pieces apart by FUZZ_CUT. Missing ones are empty. */
#define FUZZ_CUT "\n%%%\n"
void fuzz_cut(const uint8_t *data, size_t size, cx_slice *piece, int n);

void fuzz_seed(const fuzz_sink *sink, const void *data, size_t size);
void fuzz_seed_text(const fuzz_sink *sink, const char *text);
void fuzz_seed_pieces(const fuzz_sink *sink, const cx_slice *piece, int n);
/* A file in the process's folder, with these bytes before it. */
void fuzz_seed_file(const fuzz_sink *sink, const char *name, const void *front, size_t size);

#endif
