/* Messages. An input is a message; unless its last magic byte is 'M', its length and hash
 * are put right first, so that what lies behind them is reached. */
#include "tests/fuzz/fuzz.h"

#include "tests/fuzz/messages.h"
#include <stdlib.h>
#include <string.h>

static bool run(const uint8_t *data, size_t size) {
    cx_error err;
    cx_msg_type type;
    const void *body, *extra;
    size_t extra_size, n;
    void *message = malloc(size + 1), *again;
    fuzz_must(message);
    if (size)
        memcpy(message, data, size);
    if (size > 3 && data[3] != 'M')
        fuzz_mend_message(message, size);
    fuzz_must(cx_message_name(cx_message_type(message, size)));
    int rc = cx_message_unpack(message, size, &type, &body, &extra, &extra_size, &err);
    bool taken = fuzz_taken(rc, &err);
    if (taken) { /* what is taken is what would be sent */
        size_t whole = cx_message_body_size(type);
        fuzz_must(cx_message_pack(type, body, whole, extra, extra_size, &again, &n, &err) == CX_OK);
        fuzz_must(n == size && memcmp(again, message, n) == 0);
        free(again);
    }
    free(message);
    return taken;
}

static void seeds(const fuzz_sink *sink) {
    fuzz_messages(sink, true);
    fuzz_messages(sink, false);
}

const fuzz_target fuzz_target_message = {"message", run, seeds};
