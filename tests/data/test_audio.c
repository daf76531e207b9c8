#include "tests/test.h"

#include "base/file.h"
#include "base/rng.h"
#include "data/audio.h"
#include "tests/data/recordings.h"
#include "tests/folder.h"
#include <math.h>
#include <string.h>

static const char *in_folder(const char *name) {
    static char path[300];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void fill_noise(float *x, size_t n, double deviation, uint64_t seed) {
    cx_rng rng = cx_rng_make(seed, 0, CX_STREAM_TEST);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(deviation * cx_rng_normal(&rng));
}

/* --- reading --- */

static void test_formats(void **state) {
    (void)state;
    enum { N = 9001 }; /* more than two blocks of reading, the last one not full */
    static float x[N], both[2 * N];
    static const struct {
        int format;
        double tolerance;
    } rows[] = {{SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 0.02}, {SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1e-4},
                {SF_FORMAT_WAV | SF_FORMAT_PCM_24, 1e-6}, {SF_FORMAT_WAV | SF_FORMAT_PCM_32, 1e-6},
                {SF_FORMAT_WAV | SF_FORMAT_FLOAT, 0},     {SF_FORMAT_WAV | SF_FORMAT_DOUBLE, 0},
                {SF_FORMAT_WAV | SF_FORMAT_ULAW, 0.03},   {SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 1e-4},
                {SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 1e-6}};
    fill_noise(x, N, 0.2, 1);
    for (int i = 0; i < N; i++) { /* channels whose mean is x, but neither of which is */
        x[i] = x[i] > 0.9f ? 0.9f : x[i] < -0.9f ? -0.9f : x[i];
        both[2 * i] = x[i] + 0.0625f;
        both[2 * i + 1] = x[i] - 0.0625f;
    }
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        for (int channels = 1; channels <= 2; channels++) {
            cx_error err;
            cx_audio a;
            write_audio(in_folder("a.wav"), rows[k].format, 16000, channels,
                        channels == 1 ? x : both, N);
            assert_ok(cx_audio_read(in_folder("a.wav"), &a, &err));
            assert_int_equal(a.rate, 16000);
            assert_int_equal(a.count, N);
            for (int i = 0; i < N; i++)
                if (!(fabs(a.samples[i] - x[i]) <= rows[k].tolerance + 1e-7))
                    fail_msg("format %x, %d channels: sample %d is %g, not %g",
                             (unsigned)rows[k].format, channels, i, a.samples[i], x[i]);
            cx_audio_free(&a);
        }
}

static void expect(const char *name, const char *word) {
    cx_error err = {0};
    cx_audio a;
    assert_int_equal(cx_audio_read(in_folder(name), &a, &err), CX_EDATA);
    assert_null(a.samples);
    if (!strstr(err.message, word) || !strstr(err.message, folder))
        fail_msg("'%s' does not name '%s' and the file", err.message, word);
}

static void test_faults(void **state) {
    (void)state;
    static float x[1000];
    const int wav = SF_FORMAT_WAV | SF_FORMAT_PCM_16, real = SF_FORMAT_WAV | SF_FORMAT_FLOAT;
    expect("nothing.wav", "no recording that can be read");
    expect("", "no recording that can be read");
    put_text(in_folder("text.wav"), "this is no recording", 20);
    expect("text.wav", "no recording that can be read");
    put_text(in_folder("empty.wav"), "", 0);
    expect("empty.wav", "no recording that can be read");
    write_audio(in_folder("none.wav"), wav, 8000, 1, x, 0);
    expect("none.wav", "no samples");
    write_audio(in_folder("slow.wav"), wav, 1, 1, x, 10);
    expect("slow.wav", "1 samples a second; 4000 to 192000");
    write_audio(in_folder("fast.wav"), wav, 2000000000, 1, x, 10);
    expect("fast.wav", "2000000000 samples a second");
    write_audio(in_folder("wide.wav"), wav, 8000, 100, x, 10);
    expect("wide.wav", "100 channels");
    x[7] = NAN;
    write_audio(in_folder("nan.wav"), real, 8000, 1, x, 1000);
    expect("nan.wav", "sample 7 is");
    x[7] = INFINITY;
    write_audio(in_folder("inf.wav"), real, 8000, 1, x, 1000);
    expect("inf.wav", "sample 7 is");
    x[7] = -3e38f;
    write_audio(in_folder("huge.wav"), real, 8000, 1, x, 1000);
    expect("huge.wav", "sample 7 is");
    float *hour = calloc(4000 * 601, sizeof *hour);
    write_audio(in_folder("long.wav"), wav, 4000, 1, hour, 4000 * 601);
    free(hour);
    expect("long.wav", "longer than 600");
}

/* Whatever is cut off or overwritten: an error, or finite samples, and nothing else. */
static void read_any(const char *path) {
    cx_error err = {0};
    cx_audio a;
    int rc = cx_audio_read(path, &a, &err);
    assert_true(rc == CX_OK || (rc == CX_EDATA && err.message[0] && !a.samples));
    for (size_t i = 0; i < a.count; i++)
        assert_true(fabsf(a.samples[i]) <= 1e5f);
    cx_audio_free(&a);
}

static void test_cut_and_overwritten(void **state) {
    (void)state;
    enum { N = 700 };
    static float x[N];
    static const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_WAV | SF_FORMAT_FLOAT,
                                  SF_FORMAT_FLAC | SF_FORMAT_PCM_16};
    fill_noise(x, N, 0.1, 2);
    cx_rng rng = cx_rng_make(3, 0, CX_STREAM_TEST);
    for (int k = 0; k < 3; k++) {
        cx_error err;
        unsigned char *data;
        size_t size;
        write_audio(in_folder("whole"), formats[k], 8000, 1, x, N);
        assert_ok(cx_file_read(in_folder("whole"), 1 << 20, &data, &size, &err));
        for (size_t n = 0; n < size; n += n < 120 ? 1 : 37) {
            put_text(in_folder("cut"), data, n);
            read_any(in_folder("cut"));
        }
        for (int i = 0; i < 400; i++) {
            unsigned char before[4];
            size_t at[4];
            for (int j = 0; j < 4; j++) { /* mostly in the headers */
                at[j] = cx_rng_below(&rng, (uint32_t)(j < 3 ? 100 : size));
                before[j] = data[at[j]];
                data[at[j]] = (unsigned char)(j ? cx_rng_u32(&rng) : 0xff);
            }
            put_text(in_folder("bad"), data, size);
            read_any(in_folder("bad"));
            for (int j = 3; j >= 0; j--)
                data[at[j]] = before[j];
        }
        free(data);
    }
}

/* A FLAC file says how long it is: half of it is no recording. */
static void test_half_a_flac(void **state) {
    (void)state;
    static float x[40000];
    fill_noise(x, 40000, 0.1, 4);
    cx_error err;
    unsigned char *data;
    size_t size;
    write_audio(in_folder("a.flac"), SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 8000, 1, x, 40000);
    assert_ok(cx_file_read(in_folder("a.flac"), 1 << 20, &data, &size, &err));
    put_text(in_folder("half.flac"), data, size / 2);
    free(data);
    expect("half.flac", "after");
}

/* --- features --- */

static double mel(double hz) {
    return 2595 * log10(1 + hz / 700);
}

/* Corner i (0 .. mels + 1) of the filters in Hz. */
static double corner(int rate, int mels, int i) {
    double low = mel(20), m = low + i * (mel(rate / 2.0) - low) / (mels + 1);
    return 700 * (pow(10, m / 2595) - 1);
}

static double weight(const cx_logmel *m, int k, double hz) {
    double a = corner(m->rate, m->mels, k), b = corner(m->rate, m->mels, k + 1),
           c = corner(m->rate, m->mels, k + 2);
    return fmax(0, fmin((hz - a) / (b - a), (c - hz) / (c - b)));
}

static cx_logmel *plan(int rate, int mels) {
    cx_error err;
    cx_logmel *m;
    assert_ok(cx_logmel_create(rate, mels, &m, &err));
    return m;
}

static void test_filters(void **state) {
    (void)state;
    static const int rates[] = {4000, 8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000};
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        cx_logmel *m = plan(rates[r], 40);
        assert_true(m->size >= 2 * m->window && m->size < 4 * m->window);
        for (int b = 0; b < m->bins; b++) {
            double hz = (double)b * m->rate / m->size, sum = 0;
            for (int k = 0; k < 40; k++) {
                const cx_mel_filter *f = &m->filter[k];
                bool in = b >= f->first && b < f->first + f->count;
                double w = in ? f->weight[b - f->first] : 0;
                assert_true(fabs(w - weight(m, k, hz)) < 1e-6);
                sum += w;
            }
            /* neighbors share their corners, so that between the first and the last peak
             * the weights of every frequency add up to 1 */
            if (hz >= corner(m->rate, 40, 1) && hz <= corner(m->rate, 40, 40))
                assert_true(fabs(sum - 1) < 1e-6);
        }
        cx_logmel_destroy(m);
    }
    assert_true(fabs(mel(1000) - 1000) < 0.02); /* HTK's scale: 1 kHz is 1000 mel */
}

/* Log-mel power of a frame by the definition of the Fourier transform. */
static double by_hand(const cx_logmel *m, const float *x, size_t n, size_t start, int k) {
    double sum = CX_LOGMEL_FLOOR, energy = 0;
    for (int i = 0; i < m->window; i++)
        energy += pow(0.5 - 0.5 * cos(2 * M_PI * i / m->window), 2);
    for (int b = 0; b <= m->size / 2; b++) {
        double w = weight(m, k, (double)b * m->rate / m->size), re = 0, im = 0;
        for (int i = 0; w > 0 && i < m->window && start + (size_t)i < n; i++) {
            double y = x[start + (size_t)i] * (0.5 - 0.5 * cos(2 * M_PI * i / m->window));
            re += y * cos(2 * M_PI * b * i / m->size);
            im -= y * sin(2 * M_PI * b * i / m->size);
        }
        sum += w * (re * re + im * im) / energy;
    }
    return log(sum);
}

static void test_against_the_definition(void **state) {
    (void)state;
    static float x[1000];
    static const int rates[] = {8000, 11025, 16000};
    fill_noise(x, 1000, 0.01, 5);
    for (int i = 0; i < 1000; i++)
        x[i] += (float)(0.1 * sin(0.3 * i) + 0.05); /* a tone, and a direct current */
    for (int r = 0; r < 3; r++) {
        cx_logmel *m = plan(rates[r], 20);
        assert_int_equal(m->window, (int)lround(rates[r] * 0.025));
        assert_int_equal(m->hop, (int)lround(rates[r] * 0.01));
        float out[20];
        size_t frames = cx_logmel_frames(m, 1000);
        for (size_t f = 0; f < frames; f += 3) {
            cx_logmel_frame(m, x, 1000, f, out);
            for (int k = 0; k < 20; k++) {
                double want = by_hand(m, x, 1000, f * (size_t)m->hop, k);
                if (!(fabs(out[k] - want) < 1e-3))
                    fail_msg("rate %d frame %zu band %d: %g, not %g", rates[r], f, k, out[k], want);
            }
        }
        cx_logmel_destroy(m);
    }
}

static void test_tones_peak_in_their_band(void **state) {
    (void)state;
    static float x[800];
    float out[40];
    cx_logmel *m = plan(8000, 40);
    for (double hz = 100; hz < 3900; hz += 37) {
        int want = 0, got = 0;
        for (int i = 0; i < 800; i++)
            x[i] = (float)(0.5 * sin(2 * M_PI * hz * i / 8000));
        cx_logmel_frame(m, x, 800, 2, out);
        for (int k = 0; k < 40; k++) {
            want = weight(m, k, hz) > weight(m, want, hz) ? k : want;
            got = out[k] > out[got] ? k : got;
        }
        /* a tone between two peaks may go to either; else to the band it lies in */
        assert_true(got == want || fabs(weight(m, got, hz) - weight(m, want, hz)) < 0.3);
        assert_true(out[got] > out[got < 20 ? 35 : 3] + 5); /* far above a band far away */
    }
    cx_logmel_destroy(m);
}

static void test_noise_is_flat(void **state) {
    (void)state;
    enum { N = 160000 };
    static float x[N];
    float out[40];
    double mean[40] = {0};
    fill_noise(x, N, 0.1, 6);
    cx_logmel *m = plan(16000, 40);
    size_t frames = cx_logmel_frames(m, N);
    for (size_t f = 0; f < frames; f++) {
        cx_logmel_frame(m, x, N, f, out);
        for (int k = 0; k < 40; k++)
            mean[k] += (exp(out[k]) - CX_LOGMEL_FLOOR) / (double)frames;
    }
    for (int k = 0; k < 40; k++) {
        double sum = 0;
        for (int i = 0; i < m->filter[k].count; i++)
            sum += m->filter[k].weight[i];
        /* variance 0.01 in every bin; the narrow bands' means vary by 5 % */
        assert_true(fabs(mean[k] / (0.01 * sum) - 1) < 0.2);
    }
    cx_logmel_destroy(m);
}

static void test_level(void **state) {
    (void)state;
    static float x[5000];
    fill_noise(x, 5000, 0.01, 7);
    for (int k = 0; k < 2; k++) { /* however loud, and whatever is added to all samples */
        cx_audio a = {.samples = x, .count = 5000, .rate = 8000};
        double sum = 0, power = 0;
        float before = x[77];
        cx_audio_level(&a);
        for (int i = 0; i < 5000; i++) {
            sum += x[i];
            power += x[i] * x[i];
        }
        assert_true(fabs(sum / 5000) < 1e-6 && fabs(power / 5000 - 1) < 1e-5);
        if (k == 1)
            assert_true(fabs(x[77] - (before - 3) / 40) < 1e-4);
        for (int i = 0; i < 5000; i++)
            x[i] = 40 * x[i] + 3;
    }
    for (int n = 1; n <= 5000; n += 4999) { /* a constant is silence */
        for (int i = 0; i < n; i++)
            x[i] = 0.1f;
        cx_audio a = {.samples = x, .count = (size_t)n, .rate = 8000};
        cx_audio_level(&a);
        for (int i = 0; i < n; i++)
            assert_true(fabsf(x[i]) == 0);
    }
}

static void test_silence_and_short_ones(void **state) {
    (void)state;
    float x[1000] = {0}, out[40];
    cx_logmel *m = plan(8000, 40); /* windows of 200 every 80 */
    cx_logmel_frame(m, x, 1000, 3, out);
    for (int k = 0; k < 40; k++)
        assert_true(fabs(out[k] - log(1e-4)) < 1e-5);
    static const size_t lengths[][2] = {{1, 1}, {200, 1}, {201, 2}, {280, 2}, {281, 3}, {1000, 11}};
    for (int i = 0; i < 6; i++) {
        size_t n = lengths[i][0], frames = lengths[i][1];
        assert_int_equal(cx_logmel_frames(m, n), frames);
        assert_true((frames - 1) * 80 + 200 >= n); /* no sample is lost */
        for (size_t f = 0; f < frames; f++) {
            cx_logmel_frame(m, x, n, f, out);
            for (int k = 0; k < 40; k++)
                assert_true(isfinite(out[k]));
        }
    }
    x[0] = 1; /* the window begins with 0 */
    cx_logmel_frame(m, x, 1, 0, out);
    assert_true(isfinite(out[0]));
    for (int i = 0; i < 1000; i++)
        x[i] = i % 2 ? 1e5f : -1e5f; /* the largest that reading lets through */
    cx_logmel_frame(m, x, 1000, 0, out);
    for (int k = 0; k < 40; k++)
        assert_true(isfinite(out[k]) && out[k] < 32);
    cx_logmel_destroy(m);
}

static void test_plan_faults(void **state) {
    (void)state;
    cx_error err = {0};
    cx_logmel *m;
    static const int rates[] = {-1, 0, 3999, 192001, 2147483647};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(cx_logmel_create(rates[i], 40, &m, &err), CX_EDATA);
        assert_null(m);
    }
    static const int mels[] = {-1, 0, 100000, 1000};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(cx_logmel_create(8000, mels[i], &m, &err), CX_ECONFIG);
        assert_null(m);
    }
    assert_non_null(strstr(err.message, "too many"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_cut_and_overwritten),
        cmocka_unit_test(test_half_a_flac),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_against_the_definition),
        cmocka_unit_test(test_tones_peak_in_their_band),
        cmocka_unit_test(test_noise_is_flat),
        cmocka_unit_test(test_level),
        cmocka_unit_test(test_silence_and_short_ones),
        cmocka_unit_test(test_plan_faults),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
