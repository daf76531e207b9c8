/* Recordings for the tests, written by libsndfile. */
#ifndef CX_TESTS_DATA_RECORDINGS_H
#define CX_TESTS_DATA_RECORDINGS_H

#include "tests/test.h"

#include <sndfile.h>

static inline void put_text(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* x [frames, channels]; format: SF_FORMAT_*. */
static inline void write_audio(const char *path, int format, int rate, int channels, const float *x,
                               size_t frames) {
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    if (!f)
        fail_msg("%s: %s", path, sf_strerror(NULL));
    assert_int_equal(sf_writef_float(f, x, (sf_count_t)frames), frames);
    assert_int_equal(sf_close(f), 0);
}

#endif
