/* A small meta-training for the targets in which ranks talk, and sound messages of it. */
#ifndef CX_TESTS_FUZZ_MESSAGES_H
#define CX_TESTS_FUZZ_MESSAGES_H

#include "tests/fuzz/fuzz.h"

#include "wire/message.h"

/* The configuration, parsed once; *yaml: as it is resolved. */
const cx_config *fuzz_run_config(const char **yaml);
/* An episode of it that diverged after two outer steps. */
cx_trajectory *fuzz_episode(uint64_t number);
/* Puts magic (its last byte only), version, length and hash of a message right. */
void fuzz_mend_message(void *message, size_t size);
/* One sound message of each type that workers (or the coordinator) receive, for episode 0, and
 * of one run of the next instance's sweep. */
void fuzz_messages(const fuzz_sink *sink, bool to_worker);

/* A transport that has `n` messages for its owner, all from `from`, and swallows what is
 * sent. Unless their last magic byte is 'M' the messages are mended. */
typedef struct {
    cx_transport base; /* first */
    const cx_slice *message;
    int n, next, from, sent;
    bool breath;    /* nothing came the last time */
    bool end_fails; /* receiving after the last one is an error */
} fuzz_transport;
void fuzz_transport_make(fuzz_transport *t, int rank, const cx_slice *message, int n, int from);

#endif
