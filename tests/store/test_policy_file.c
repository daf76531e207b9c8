/* Policy files of a small network. */
#include "tests/test.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/hash.h"
#include "policy/observation.h"
#include "store/store.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static const cx_net_shape shape = {.inputs = 3,
                                   .hidden = 4,
                                   .lstm = 4,
                                   .outputs = 2,
                                   .residual = true,
                                   .output_scale = 1,
                                   .input_clip = 2};
static cx_net *net;
static float *good; /* a block of it, statistics of inputs included */

static char folder[] = "/tmp/cx-test-policy-XXXXXX";
static char path[256];

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/policy.safetensors", folder);
    if (cx_net_create(&shape, &net, NULL))
        return -1;
    good = cx_calloc(cx_net_count(net), sizeof *good);
    if (!good)
        return -1;
    cx_rng rng = cx_rng_make(1, 0, CX_STREAM_TEST);
    cx_net_init(net, good, &rng);
    float in[40 * 3];
    cx_rng_fill_normal(&rng, in, sizeof in / sizeof *in);
    cx_net_update_statistics(net, good, in, 40, 0.9);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    cx_net_destroy(net);
    free(good);
    return cx_file_remove_all(folder, NULL);
}

static float *copy_of_good(void) {
    float *block = cx_calloc(cx_net_count(net), sizeof *block);
    assert_non_null(block);
    memcpy(block, good, cx_net_count(net) * sizeof *block);
    return block;
}

static void write_good(void) {
    cx_error err;
    assert_ok(cx_policy_write(path, net, good, "seed: 7\nname: \"x\"\n", 1234567890123, &err));
}

static void read_file(unsigned char **data, size_t *size) {
    cx_error err;
    assert_ok(cx_file_read(path, 1 << 20, data, size, &err));
}

static void test_round_trip(void **state) {
    (void)state;
    cx_error err;
    float *back;
    uint64_t version;
    char *yaml;
    write_good();
    assert_ok(cx_policy_read(path, net, &back, &err));
    assert_memory_equal(back, good, cx_net_count(net) * sizeof *back);
    /* it acts as before */
    const float in[3] = {0.3F, -1, 2};
    float h[8] = {0}, again[8] = {0}, out[2], other[2];
    assert_ok(cx_net_step(net, good, in, h, out, &err));
    assert_ok(cx_net_step(net, back, in, again, other, &err));
    assert_memory_equal(out, other, sizeof out);
    assert_memory_equal(h, again, sizeof h);
    free(back);
    assert_ok(cx_policy_read_config(path, &yaml, &version, &err));
    assert_string_equal(yaml, "seed: 7\nname: \"x\"\n");
    assert_true(version == 1234567890123);
    free(yaml);
    assert_ok(cx_policy_read(path, NULL, &back, &err));
    assert_null(back);
}

/* As the format wants it: a length that is a multiple of 8 and a header that starts
 * with a brace, metadata of texts, then the data without gaps. */
static void test_is_safetensors(void **state) {
    (void)state;
    unsigned char *data;
    size_t size;
    uint64_t length;
    write_good();
    read_file(&data, &size);
    memcpy(&length, data, 8);
    assert_int_equal(length % 8, 0);
    assert_int_equal(data[8], '{');
    size_t numbers = 3 + 3 + 1;
    for (int i = 0; i < cx_net_tensors(net); i++)
        numbers += cx_net_tensor_at(net, i)->size;
    assert_int_equal(size, 8 + length + numbers * sizeof(float));
    char *header = strndup((char *)data + 8, (size_t)length);
    assert_non_null(strstr(header, "\"policy.input.weight\":{\"dtype\":\"F32\",\"shape\":[4,3],"
                                   "\"data_offsets\":[0,48]}"));
    assert_non_null(strstr(header, "\"format\":\"coxswain-policy\""));
    assert_non_null(strstr(header, "\"policy.input_correction\""));
    float first;
    memcpy(&first, data + 8 + length, sizeof first);
    assert_true(first == good[0]);
    free(header);
    free(data);
}

/* Without the fsyncs of cx_file_replace: some tests write thousands of files. */
static void put(const void *data, size_t size) {
    (void)unlink(path); /* writing over it would flush the disk at every close */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static int read_bytes(const void *data, size_t size, cx_error *err) {
    float *block;
    put(data, size);
    int rc = cx_policy_read(path, net, &block, err);
    if (rc)
        assert_null(block);
    free(block);
    return rc;
}

static void test_truncations_are_refused(void **state) {
    (void)state;
    cx_error err;
    unsigned char *data;
    size_t size;
    write_good();
    read_file(&data, &size);
    for (size_t n = 0; n < size; n += n < 16 ? 1 : 13) {
        assert_int_equal(read_bytes(data, n, &err), CX_EFORMAT);
        assert_non_null(strstr(err.message, path));
    }
    assert_int_equal(read_bytes(data, size - 1, &err), CX_EFORMAT);
    assert_int_equal(read_bytes(data, size, &err), CX_OK);
    free(data);
}

/* A flipped bit is refused, or (in the configuration's text, or another place without
 * meaning to the numbers) leaves all numbers as they were. */
static void test_bit_flips(void **state) {
    (void)state;
    cx_error err;
    unsigned char *data;
    size_t size;
    uint64_t length;
    float *back;
    write_good();
    read_file(&data, &size);
    memcpy(&length, data, 8);
    for (size_t bit = 0; bit < 8 * size; bit += 13) {
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        put(data, size);
        int rc = cx_policy_read(path, net, &back, &err);
        if (!rc) {
            assert_in_range(bit / 8, 8, 8 + length - 1);
            assert_memory_equal(back, good, cx_net_count(net) * sizeof *back);
        }
        free(back);
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    free(data);
}

/* Replaces `from` by `to` (of the same length) in the good file. */
static int read_edited(const char *from, const char *to, cx_error *err) {
    unsigned char *data;
    size_t size;
    assert_int_equal(strlen(from), strlen(to));
    write_good();
    read_file(&data, &size);
    unsigned char *at = memmem(data, size, from, strlen(from));
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    int rc = read_bytes(data, size, err);
    free(data);
    return rc;
}

static void test_faults_are_told(void **state) {
    (void)state;
    cx_error err;
    static const struct {
        const char *from, *to;
        int rc;
        const char *says;
    } cases[] = {
        {"\"semantics_version\":\"1\"", "\"semantics_version\":\"2\"", CX_EVERSION,
         "features and actions of version 2, this program speaks 1"},
        {"coxswain-policy", "coxswain-polizy", CX_EFORMAT, "coxswain-polizy"},
        {"\"dtype\":\"F32\"", "\"dtype\":\"F16\"", CX_EFORMAT, "must be F32"},
        {"\"shape\":[4,3]", "\"shape\":[3,4]", CX_EFORMAT, "has the shape [3,4]"},
        {"\"shape\":[4,3]", "\"shape\":[4,4]", CX_EFORMAT, "needs 64 bytes"},
        {"\"shape\":[4,3]", "\"shape\":[0,3]", CX_EFORMAT, "not in 1 .."},
        {"[0,48]", "[0,99]", CX_EFORMAT, "offsets give 99"},
        {"[0,48]", "[9,48]", CX_EFORMAT, "needs 48 bytes"},
        {"[48,64]", "[32,48]", CX_EFORMAT, "the one before ends at"}, /* an overlap */
        {"[48,64]", "[48,-1]", CX_EFORMAT, "cut short"},
        {"policy.input.bias", "policy.input.bios", CX_EFORMAT, "no tensor policy.input.bias"},
        {"policy.hidden.bias", "policy.output.bias", CX_EFORMAT, "duplicate"},
        {"\"config\"", "\"konfig\"", CX_EFORMAT, "`config` is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = read_edited(cases[i].from, cases[i].to, &err);
        if (rc != cases[i].rc || !strstr(err.message, cases[i].says))
            fail_msg("%s: %d %s", cases[i].to, rc, err.message);
        assert_non_null(strstr(err.message, path));
    }
    float *block;
    assert_int_equal(cx_policy_read("/nonexistent/p", net, &block, &err), CX_EDATA);
    cx_net *other;
    cx_net_shape another = shape;
    another.inputs = 5;
    write_good();
    assert_ok(cx_net_create(&another, &other, &err));
    assert_int_equal(cx_policy_read(path, other, &block, &err), CX_EFORMAT);
    assert_non_null(strstr(err.message, "has the shape [4,3]"));
    cx_net_destroy(other);
    another = shape;
    another.residual = false; /* one of the file's tensors would be lost */
    assert_ok(cx_net_create(&another, &other, &err));
    assert_int_equal(cx_policy_read(path, other, &block, &err), CX_EFORMAT);
    assert_non_null(strstr(err.message, "tensors"));
    cx_net_destroy(other);
}

static void test_numbers_that_are_not_finite(void **state) {
    (void)state;
    cx_error err;
    float *block = copy_of_good(), *back;
    unsigned char *before, *after;
    size_t size, again;
    uint64_t length;
    write_good();
    read_file(&before, &size);
    size_t at[3];
    cx_net_statistics_at(net, at);
    block[cx_net_tensor_at(net, 1)->offset + 2] = NAN;
    assert_int_equal(cx_policy_write(path, net, block, "", 1, &err), CX_ESTATE);
    assert_non_null(strstr(err.message, "policy.input.bias"));
    memcpy(block, good, cx_net_count(net) * sizeof *block);
    block[at[1] + 2] = INFINITY;
    assert_int_equal(cx_policy_write(path, net, block, "", 1, &err), CX_ESTATE);
    assert_non_null(strstr(err.message, "policy.input_variance"));
    read_file(&after, &again); /* what stood there stands there */
    assert_int_equal(again, size);
    assert_memory_equal(after, before, size);
    /* a file made by others, with a hash that agrees */
    memcpy(&length, before, 8);
    float bad = -INFINITY;
    memcpy(before + 8 + length + 4, &bad, sizeof bad);
    char hash[32];
    (void)snprintf(hash, sizeof hash, "%016" PRIx64,
                   cx_hash(before + 8 + length, size - 8 - (size_t)length, 0));
    char *digits = memmem(before, size, "data_xxh3", 9);
    memcpy(digits + 12, hash, 16);
    assert_ok(cx_file_replace(path, before, size, &err));
    assert_int_equal(cx_policy_read(path, net, &back, &err), CX_EFORMAT);
    if (!strstr(err.message, "policy.input.weight: number 1 is not finite"))
        fail_msg("%s", err.message);
    free(before);
    free(after);
    assert_int_equal(cx_policy_write(path, net, good, "not UTF-8: \xff", 1, &err), CX_EFORMAT);
    assert_int_equal(cx_policy_write("/nonexistent/p", net, good, "", 1, &err), CX_EIO);
    free(block);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_is_safetensors),
        cmocka_unit_test(test_truncations_are_refused),
        cmocka_unit_test(test_bit_flips),
        cmocka_unit_test(test_faults_are_told),
        cmocka_unit_test(test_numbers_that_are_not_finite),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
