#include "tests/test.h"

#include "base/file.h"
#include "base/rng.h"
#include "data/audio.h"
#include "data/speech.h"
#include "tests/data/recordings.h"
#include "tests/folder.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RATE = 8000, MELS = 12 };
/* FOLDER/what, its folders made. The newest of a few results stay valid. */
static const char *at(const char *what) {
    static char path[8][400];
    static int next;
    char *p = path[next++ % 8];
    cx_error err;
    (void)snprintf(p, sizeof path[0], "%s/%s", folder, what);
    char *slash = strrchr(p, '/');
    *slash = 0;
    assert_ok(cx_file_make_dirs(p, &err));
    *slash = '/';
    return p;
}

static void empty(void) {
    cx_error err;
    assert_ok(cx_file_remove_all(folder, &err));
    assert_ok(cx_file_make_dirs(folder, &err));
}

/* A recording of n samples of noise, its own by name and loudness. */
static void record(const char *what, size_t n, double loudness) {
    float *x = calloc(n + 1, sizeof *x);
    uint64_t seed = 0;
    for (const char *p = what; *p; p++)
        seed = seed * 31 + (unsigned char)*p;
    cx_rng rng = cx_rng_make(seed, 0, CX_STREAM_TEST);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(loudness * (cx_rng_uniform(&rng) - 0.5));
    bool flac = strstr(what, ".flac") != NULL;
    write_audio(at(what), (flac ? SF_FORMAT_FLAC : SF_FORMAT_WAV) | SF_FORMAT_PCM_16, RATE, 1, x,
                n);
    free(x);
}

static void say(const char *what, const char *text) {
    put_text(at(what), text, strlen(text));
}

static cx_speech *open_in(const char *what) {
    cx_error err;
    cx_speech *s;
    assert_ok(cx_speech_open(at(what), at("cache"), MELS, &s, &err));
    return s;
}

static cx_speech_cut *cut_of(const cx_speech *s, int held_out) {
    cx_error err;
    cx_speech_cut *cut;
    assert_ok(cx_speech_cut_make(s, held_out, &cut, &err));
    return cut;
}

static void expect_open(const char *what, int code, const char *word) {
    cx_error err = {0};
    cx_speech *s;
    int rc = cx_speech_open(at(what), at("cache"), MELS, &s, &err);
    if (rc != code || !strstr(err.message, word))
        fail_msg("%d '%s', not %d with '%s'", rc, err.message, code, word);
    assert_null(s);
}

static void expect_cut(const cx_speech *s, int held_out, int code, const char *word) {
    cx_error err = {0};
    cx_speech_cut *cut;
    int rc = cx_speech_cut_make(s, held_out, &cut, &err);
    if (rc != code || !strstr(err.message, word))
        fail_msg("%d '%s', not %d with '%s'", rc, err.message, code, word);
    assert_null(cut);
}

/* Four speakers, ten digits, two times each. */
static const char *const speakers[] = {"anna", "bert", "c_d", "dora"};
static void put_fsdd(const char *where) {
    char name[100];
    for (int s = 0; s < 4; s++)
        for (int digit = 0; digit < 10; digit++)
            for (int i = 0; i < 2; i++) {
                (void)snprintf(name, sizeof name, "%s/%d_%s_%d.wav", where, digit, speakers[s], i);
                record(name, (size_t)(400 + 100 * digit + 30 * s + i), 0.1 * (s + 1));
            }
}

static void test_fsdd(void **state) {
    (void)state;
    empty();
    put_fsdd("set/recordings");
    say("set/README.md", "not a recording");
    say("set/recordings/.hidden.wav", "not for us");
    cx_speech *s = open_in("set"), *below = open_in("set/recordings");
    assert_int_equal(cx_speech_count(s), 80);
    assert_int_equal(cx_speech_groups(s), 4);
    assert_int_equal(cx_speech_rate(s), RATE);
    assert_int_equal(cx_speech_mels(s), MELS);
    cx_error err;
    cx_logmel *m;
    assert_ok(cx_logmel_create(RATE, MELS, &m, &err));
    for (uint32_t u = 0; u < 80; u++) {
        static const char *const words[] = {"zero", "one", "two",   "three", "four",
                                            "five", "six", "seven", "eight", "nine"};
        const char *name = strrchr(cx_speech_path(s, u), '/') + 1;
        assert_string_equal(cx_speech_text(s, u), words[name[0] - '0']);
        assert_int_equal(
            strncmp(name + 2, cx_speech_speaker(s, u), strlen(cx_speech_speaker(s, u))), 0);
        assert_string_equal(cx_speech_speaker(s, u), speakers[cx_speech_group_number(s, u)]);
        assert_string_equal(cx_speech_path(s, u), cx_speech_path(below, u));
        if (u > 0)
            assert_true(strcmp(cx_speech_path(s, u - 1), cx_speech_path(s, u)) < 0);
        cx_audio a; /* the features are those of data/audio.h */
        assert_ok(cx_audio_read(cx_speech_path(s, u), &a, &err));
        assert_int_equal(cx_speech_frames(s, u), cx_logmel_frames(m, a.count));
        cx_audio_level(&a);
        for (uint32_t f = 0; f < cx_speech_frames(s, u); f++) {
            float frame[MELS];
            cx_logmel_frame(m, a.samples, a.count, f, frame);
            for (int k = 0; k < MELS; k++)
                assert_true(fabs(CX_SPEECH_UNIT * cx_speech_features(s, u)[f * MELS + (uint32_t)k] -
                                 frame[k]) <= 0.5001 * CX_SPEECH_UNIT);
        }
        cx_audio_free(&a);
    }
    cx_logmel_destroy(m);
    cx_speech_close(s);
    cx_speech_close(below);
}

static void test_no_speaker_in_two_splits(void **state) {
    (void)state;
    empty();
    put_fsdd("set");
    cx_speech *s = open_in("set");
    for (int held_out = 0; held_out < 4; held_out++) {
        cx_speech_cut *cut = cut_of(s, held_out);
        int split[80];
        memset(split, -1, sizeof split);
        for (int k = 0; k < 3; k++)
            for (uint32_t i = 0; i < cut->count[k]; i++) {
                assert_int_equal(split[cut->member[k][i]], -1);
                split[cut->member[k][i]] = k;
            }
        for (uint32_t u = 0; u < 80; u++) {
            int test = (7 - held_out) % 4, valid = (6 - held_out) % 4;
            int speaker = (int)cx_speech_group_number(s, u);
            assert_int_equal(split[u], speaker == test ? 2 : speaker == valid ? 1 : 0);
        }
        cx_speech_cut_free(cut);
    }
    expect_cut(s, 4, CX_ECONFIG, "0 to 3 is right");
    expect_cut(s, -1, CX_ECONFIG, "0 to 3 is right");
    cx_speech_close(s);
}

static void test_alphabet(void **state) {
    (void)state;
    empty();
    put_fsdd("set");
    cx_speech *s = open_in("set");
    cx_speech_cut *cut = cut_of(s, 0);
    static const char letters[] = "efghinorstuvwxz";
    assert_int_equal(cut->n_symbols, 1 + (int)strlen(letters));
    for (int i = 0; letters[i]; i++)
        assert_int_equal(cut->symbol[1 + i], letters[i]);
    for (uint32_t u = 0; u < 80; u++) {
        const char *text = cx_speech_text(s, u);
        assert_int_equal(cx_speech_length(cut, u), strlen(text));
        for (size_t i = 0; text[i]; i++)
            assert_int_equal(cut->symbol[cut->labels[cut->first[u] + i]], text[i]);
        assert_int_equal(cx_speech_needed(cut, u), strlen(text) + !strcmp(text, "three"));
    }
    cx_speech_cut_free(cut);
    cx_speech_close(s);
    /* the only ones of their kind */
    empty();
    for (int k = 0; k < 4; k++) {
        char name[100];
        (void)snprintf(name, sizeof name, "set/1_%s_0.wav", speakers[k]);
        record(name, 900, 0.1);
    }
    record("set/6_dora_0.wav", 900, 0.1); /* an x, by the test speaker alone */
    s = open_in("set");
    expect_cut(s, 0, CX_EDATA, "6_dora_0.wav: a character (U+0073)");
    expect_cut(s, 0, CX_EDATA, "test split");
    expect_cut(s, 3, CX_EDATA, "validation split");
    cut = cut_of(s, 1); /* now dora trains */
    assert_int_equal(cut->n_symbols, 1 + 6);
    cx_speech_cut_free(cut);
    cx_speech_close(s);
}

static void test_normalization_is_the_training_splits(void **state) {
    (void)state;
    empty();
    put_fsdd("set");
    cx_speech *s = open_in("set");
    for (int held_out = 0; held_out < 2; held_out++) {
        cx_speech_cut *cut = cut_of(s, held_out);
        for (int k = 0; k < MELS; k++) {
            double n = 0, sum = 0, squares = 0;
            for (uint32_t i = 0; i < cut->count[0]; i++) {
                uint32_t u = cut->member[0][i];
                for (uint32_t f = 0; f < cx_speech_frames(s, u); f++) {
                    double x = CX_SPEECH_UNIT * cx_speech_features(s, u)[f * MELS + (uint32_t)k];
                    n++;
                    sum += x;
                    squares += x * x;
                }
            }
            double mean = sum / n, deviation = sqrt(squares / n - mean * mean);
            assert_true(fabs(cut->mean[k] - mean) < 1e-4);
            assert_true(fabs(cut->gain[k] * deviation - 1) < 1e-4);
        }
        cx_speech_cut_free(cut);
    }
    /* other recordings of the two speakers who do not train change nothing in it */
    cx_speech_cut *before = cut_of(s, 0);
    record("set/3_dora_0.wav", 3000, 1);
    record("set/5_c_d_1.wav", 200, 0.001);
    cx_speech *now = open_in("set");
    cx_speech_cut *after = cut_of(now, 0);
    assert_memory_equal(before->mean, after->mean, MELS * sizeof(float));
    assert_memory_equal(before->gain, after->gain, MELS * sizeof(float));
    cx_speech_cut_free(after);
    cx_speech_close(now);
    record("set/5_bert_1.wav", 2000, 1);
    now = open_in("set");
    after = cut_of(now, 0);
    assert_memory_not_equal(before->mean, after->mean, MELS * sizeof(float));
    cx_speech_cut_free(after);
    cx_speech_cut_free(before);
    cx_speech_close(now);
    cx_speech_close(s);
}

/* A silent set: every band is always alike. */
static void test_silence_is_finite(void **state) {
    (void)state;
    empty();
    for (int k = 0; k < 4; k++) {
        char name[100];
        (void)snprintf(name, sizeof name, "set/1_%s_0.wav", speakers[k]);
        record(name, 900, 0);
    }
    cx_speech *s = open_in("set");
    cx_speech_cut *cut = cut_of(s, 0);
    for (int k = 0; k < MELS; k++) {
        assert_true(isfinite(cut->mean[k]) && isfinite(cut->gain[k]));
        assert_true(fabs(cut->mean[k] - CX_SPEECH_UNIT * cx_speech_features(s, 0)[k]) < 1e-4);
    }
    cx_speech_cut_free(cut);
    cx_speech_close(s);
}

static void test_cache(void **state) {
    (void)state;
    char command[300];
    empty();
    put_fsdd("set");
    cx_speech *s = open_in("set");
    (void)snprintf(command, sizeof command, "test $(ls %s/cache | grep -vc lock) = $1", folder);
    (void)snprintf(command, sizeof command, "test $(ls %s/cache | grep -vc lock) = 1", folder);
    cx_speech *again = open_in("set");
    assert_int_equal(system(command), 0);
    assert_memory_equal(cx_speech_features(s, 0), cx_speech_features(again, 0), 1000);
    cx_speech_close(again);
    cx_error err; /* another number of bands is another file */
    assert_ok(cx_speech_open(at("set"), at("cache"), MELS + 1, &again, &err));
    assert_int_not_equal(system(command), 0);
    cx_speech_close(again);
    record("set/3_bert_0.wav", 777, 1); /* a changed recording, too */
    again = open_in("set");
    uint32_t u = 0;
    while (!strstr(cx_speech_path(again, u), "3_bert_0"))
        u++;
    assert_int_equal(cx_speech_frames(again, u), 1 + (777 - 200 + 79) / 80);
    cx_speech_close(again);
    cx_speech_close(s);
    /* of the right size, and full of nonsense */
    (void)snprintf(
        command, sizeof command,
        "for f in %s/cache/*[0-9a-f]; do dd if=/dev/urandom of=$f bs=64 seek=1 conv=notrunc "
        "count=$(($(stat -c %%s $f) / 64 - 1)) status=none; done",
        folder);
    assert_int_equal(system(command), 0);
    expect_open("set", CX_EFORMAT, "damaged");
}

static void test_fsdd_faults(void **state) {
    (void)state;
    empty();
    expect_open("nowhere", CX_EDATA, "nowhere");
    expect_open("", CX_EDATA, "no recordings");
    static const char *const wrong[] = {"seven.wav",     "a_bert_0.wav", "7__0.wav",
                                        "77_bert_0.wav", "7_bert_.wav",  "7_bert_x.wav",
                                        "7_bert.wav",    "7_bert_0_.wav"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char name[100];
        empty();
        put_fsdd("set");
        (void)snprintf(name, sizeof name, "set/%s", wrong[i]);
        record(name, 300, 0.1);
        expect_open("set", CX_EDATA, wrong[i]);
    }
    empty();
    put_fsdd("set");
    float x[100] = {0};
    write_audio(at("set/9_dora_9.wav"), SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, x, 100);
    expect_open("set", CX_EDATA, "9_dora_9.wav: 16000 samples a second");
    say("set/9_dora_9.wav", "RIFF");
    expect_open("set", CX_EDATA, "9_dora_9.wav");
    empty();
    record("set/1_anna_0.wav", 300, 0.1);
    record("set/1_bert_0.wav", 300, 0.1);
    cx_speech *s = open_in("set");
    expect_cut(s, 0, CX_EDATA, "2 speakers");
    cx_speech_close(s);
    cx_error err = {0};
    static const int mels[] = {0, -1, 257, 250};
    for (int i = 0; i < 4; i++)
        assert_int_equal(cx_speech_open(at("set"), at("cache"), mels[i], &s, &err), CX_ECONFIG);
    if (getuid() != 0) {
        assert_int_equal(cx_speech_open(at("set"), "/proc/cache", MELS, &s, &err), CX_EIO);
        assert_non_null(strstr(err.message, "data.cache"));
    }
}

/* --- LibriSpeech --- */

static void put_libri(void) {
    empty();
    for (int k = 0; k < 3; k++) {
        static const char *const parts[] = {"train-clean", "dev-clean", "test-other"};
        char name[100];
        for (int i = 0; i < 3; i++) {
            (void)snprintf(name, sizeof name, "set/%s/1%d/20/1%d-20-000%d.%s", parts[k], k, k, i,
                           i == 2 ? "wav" : "flac");
            record(name, (size_t)(500 + 100 * k + i), 0.1);
        }
        (void)snprintf(name, sizeof name, "set/%s/1%d/20/1%d-20.trans.txt", parts[k], k, k);
        char text[300];
        (void)snprintf(text, sizeof text,
                       "1%d-20-0000 A CAT'S  TALE\r\n\r\n  \n1%d-20-0001\tEAT  THE\tCAT \n"
                       "1%d-20-0002 \xc3\xa9t\xc3\xa9",
                       k, k, k);
        say(name, text);
    }
    say("set/BOOKS.TXT", "not for us");
    record("set/extra/1/2/3.wav", 100, 0.1); /* without a transcript, but of no split */
}

static void test_libri(void **state) {
    (void)state;
    put_libri();
    cx_speech *s = open_in("set");
    assert_int_equal(cx_speech_count(s), 9);
    cx_speech_cut *cut = cut_of(s, 0);
    for (int k = 0; k < 3; k++) {
        static const char *const texts[] = {"a cat's tale", "eat the cat", "\xc3\xa9t\xc3\xa9"};
        static const int lengths[] = {12, 11, 3};
        assert_int_equal(cut->count[k], 3);
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t u = cut->member[k][i];
            assert_string_equal(cx_speech_text(s, u), texts[i]);
            assert_int_equal(cx_speech_length(cut, u), lengths[i]);
            assert_int_equal(cut->symbol[cut->labels[cut->first[u]]], i == 0   ? 'a'
                                                                      : i == 1 ? 'e'
                                                                               : 0xe9);
            assert_int_equal(cx_speech_frames(s, u), 1 + (300 + 100 * k + (int)i + 79) / 80);
        }
    }
    assert_int_equal(cut->n_symbols, 1 + 10); /* space ' a c e h l s t and e acute */
    cx_speech_cut_free(cut);
    expect_cut(s, 1, CX_ECONFIG, "folders' names");
    cx_speech_close(s);
}

static void test_libri_by_speaker(void **state) {
    (void)state;
    empty();
    for (int k = 0; k < 21; k++) {
        char name[100];
        (void)snprintf(name, sizeof name, "set/%02d/5/%02d-5-0.flac", k, k);
        record(name, 400, 0.1);
        (void)snprintf(name, sizeof name, "set/%02d/5/x.trans.txt", k);
        char text[100];
        (void)snprintf(text, sizeof text, "%02d-5-0 hello\n", k);
        say(name, text);
    }
    assert_int_equal(mkdir(at("set/empty"), 0777), 0);
    cx_speech *s = open_in("set");
    assert_int_equal(cx_speech_groups(s), 21);
    cx_speech_cut *cut = cut_of(s, 0);
    assert_int_equal(cut->count[0], 17);
    assert_int_equal(cut->count[1], 2);
    assert_int_equal(cut->count[2], 2);
    assert_string_equal(cx_speech_speaker(s, cut->member[2][0]), "19");
    assert_string_equal(cx_speech_speaker(s, cut->member[1][0]), "17");
    cx_speech_cut_free(cut);
    cx_speech_close(s);
}

/* The first line of the training transcript is replaced. */
static void expect_line(const char *line, const char *word) {
    char text[400];
    put_libri();
    (void)snprintf(text, sizeof text, "%s\n10-20-0001 b\n10-20-0002 c", line);
    say("set/train-clean/10/20/10-20.trans.txt", text);
    expect_open("set", CX_EDATA, word);
}

static void test_libri_faults(void **state) {
    (void)state;
    expect_line("10-20-0000", "10-20.trans.txt:1: an ID without a transcript");
    expect_line("10-20-0000  \t \r", ":1: an ID without a transcript");
    expect_line("\n\n10-20-0007 A", ":3: there is no 10-20-0007.flac");
    expect_line("", "10-20-0000.flac: no line of a *.trans.txt");
    expect_line("10-20-0001 A", "two lines");
    expect_line("10-20-0000 A\x01", ":1: a control character");
    expect_line("10-20-0000 A\xff", ":1: no valid UTF-8");
    expect_line("10-20-0000 A\xc3", ":1: no valid UTF-8");
    expect_line("10-20-0000 \xed\xa0\x80", ":1: no valid UTF-8");
    expect_line("10-20-0000 \xc0\xaf", ":1: no valid UTF-8");
    expect_line("../20/10-20-0000 A", ":1: an ID with a slash");
    put_libri();
    put_text(at("set/train-clean/10/20/10-20.trans.txt"), "10-20-0000 A\0B\n", 15);
    expect_open("set", CX_EDATA, "zero byte");
    put_libri();
    record("set/dev-clean/11/20/other.wav", 300, 0.1);
    expect_open("set", CX_EDATA, "other.wav: no line");
    put_libri();
    record("set/here.flac", 300, 0.1);
    expect_open("set", CX_EDATA, "folders by split or speaker");
    put_libri();
    say("set/dev-clean/11/20/11-20-0001.flac", "fLaC");
    expect_open("set", CX_EDATA, "11-20-0001.flac");
    put_libri();
    assert_int_equal(unlink(at("set/dev-clean/11/20/11-20-0001.flac")), 0);
    expect_open("set", CX_EDATA, "11-20.trans.txt:4: there is no 11-20-0001.flac");
    put_libri();
    assert_int_equal(symlink(at("set/train-clean"), at("set/train-clean/10/loop")), 0);
    expect_open("set", CX_EDATA, "deeper than 16");
    put_libri();
    cx_error err;
    assert_ok(cx_file_remove_all(at("set/dev-clean"), &err));
    cx_speech *s = open_in("set");
    expect_cut(s, 0, CX_EDATA, "validation split");
    cx_speech_close(s);
}

/* Random damage in a transcript file: one clear message, or a set that can be read. */
static void test_damaged_transcripts(void **state) {
    (void)state;
    static const char path[] = "set/train-clean/10/20/10-20.trans.txt";
    cx_error err;
    unsigned char *data;
    size_t size;
    put_libri();
    assert_ok(cx_file_read(at(path), 1 << 16, &data, &size, &err));
    cx_rng rng = cx_rng_make(8, 0, CX_STREAM_TEST);
    for (int i = 0; i < 300; i++) {
        size_t where = cx_rng_below(&rng, (uint32_t)size);
        unsigned char was = data[where];
        data[where] = (unsigned char)cx_rng_u32(&rng);
        put_text(at(path), data, i % 3 ? size : where);
        data[where] = was;
        cx_speech *s;
        cx_speech_cut *cut = NULL;
        int rc = cx_speech_open(at("set"), at("cache"), MELS, &s, &err);
        if (!rc)
            rc = cx_speech_cut_make(s, 0, &cut, &err);
        assert_true(rc == CX_OK || (rc == CX_EDATA && err.message[0]));
        cx_speech_cut_free(cut);
        cx_speech_close(s);
    }
    free(data);
}

static void test_many_characters(void **state) {
    (void)state;
    for (int n = 255; n <= 256; n++) {
        char text[2000] = "10-20-0000 ", *p = text + strlen(text);
        put_libri();
        for (int i = 0; i < n - 10; i++, p += 2) /* ten there are in the other lines */
            (void)snprintf(p, 3, "%c%c", 0xc8 + i / 64, 0x80 + i % 64);
        strcpy(p, "\n10-20-0001 EAT THE CAT'S L\n10-20-0002 \xc3\xa9");
        say("set/train-clean/10/20/10-20.trans.txt", text);
        cx_speech *s = open_in("set");
        if (n == 256) {
            expect_cut(s, 0, CX_EDATA, "more than 255 different characters");
        } else {
            cx_speech_cut *cut = cut_of(s, 0);
            assert_int_equal(cut->n_symbols, 256);
            cx_speech_cut_free(cut);
        }
        cx_speech_close(s);
    }
}

/* --- the real set --- */

static void test_real_fsdd(void **state) {
    (void)state;
    char path[300], command[700];
    CX_SHARED_OR_SKIP(path, "data/fsdd-recordings.tar.gz");
    empty();
    /* a tenth of it, for time: indices 0 to 4 */
    (void)snprintf(command, sizeof command,
                   "tar -xzf '%s' -C %s --wildcards 'recordings/*_[0-4].wav'", path, folder);
    assert_int_equal(system(command), 0);
    cx_speech *s = open_in("");
    assert_int_equal(cx_speech_count(s), 300);
    assert_int_equal(cx_speech_rate(s), 8000);
    cx_speech_cut *cut = cut_of(s, 0);
    assert_int_equal(cut->count[0], 200);
    assert_int_equal(cut->count[1], 50);
    assert_int_equal(cut->count[2], 50);
    assert_int_equal(cut->n_symbols, 16);
    assert_string_equal(cx_speech_speaker(s, cut->member[1][0]), "theo");
    assert_string_equal(cx_speech_speaker(s, cut->member[2][0]), "yweweler");
    cx_speech_cut_free(cut);
    cx_speech_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fsdd),
        cmocka_unit_test(test_no_speaker_in_two_splits),
        cmocka_unit_test(test_alphabet),
        cmocka_unit_test(test_normalization_is_the_training_splits),
        cmocka_unit_test(test_silence_is_finite),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_fsdd_faults),
        cmocka_unit_test(test_libri),
        cmocka_unit_test(test_libri_by_speaker),
        cmocka_unit_test(test_libri_faults),
        cmocka_unit_test(test_damaged_transcripts),
        cmocka_unit_test(test_many_characters),
        cmocka_unit_test(test_real_fsdd),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
