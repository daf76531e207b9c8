/* Policy files, against a network that is only a list of tensors: what a file holds
 * does not depend on what the network computes. */
#include "tests/test.h"

#include "base/file.h"
#include "base/hash.h"
#include "policy/observation.h"
#include "store/store.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

struct cx_net {
    cx_net_shape shape;
    int n;
    struct cx_net_tensor tensor[3];
    size_t trainable, count;
};

int cx_net_tensors(const cx_net *net) {
    return net->n;
}
const struct cx_net_tensor *cx_net_tensor_at(const cx_net *net, int i) {
    return &net->tensor[i];
}
size_t cx_net_trainable(const cx_net *net) {
    return net->trainable;
}
size_t cx_net_count(const cx_net *net) {
    return net->count;
}
const cx_net_shape *cx_net_shape_of(const cx_net *net) {
    return &net->shape;
}

/* in.w 4x3 at 0, in.b 4 at 16, heads 2x4 at 32: gaps as alignment leaves them */
static const cx_net net = {
    .shape = {.inputs = 3, .hidden = 4, .lstm = 4, .outputs = 2, .residual = true},
    .n = 3,
    .tensor = {{.name = "in.w", .rank = 2, .dim = {4, 3}, .offset = 0, .size = 12},
               {.name = "in.b", .rank = 1, .dim = {4}, .offset = 16, .size = 4},
               {.name = "heads", .rank = 2, .dim = {2, 4}, .offset = 32, .size = 8}},
    .trainable = 48,
    .count = 64,
};

static char folder[] = "/tmp/cx-test-policy-XXXXXX";
static char path[256];

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/policy.safetensors", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return cx_file_remove_all(folder, NULL);
}

static void fill(float *block) {
    memset(block, 0, 64 * sizeof *block);
    for (int i = 0; i < net.n; i++)
        for (size_t k = 0; k < net.tensor[i].size; k++)
            block[net.tensor[i].offset + k] = (float)(i + 1) + 0.01F * (float)k;
    for (int k = 0; k < 7; k++)
        block[48 + k] = -0.5F * (float)k - 1;
}

static void write_good(void) {
    cx_error err;
    float block[64];
    fill(block);
    assert_ok(cx_policy_write(path, &net, block, "seed: 7\nname: \"x\"\n", 1234567890123, &err));
}

static void read_file(unsigned char **data, size_t *size) {
    cx_error err;
    assert_ok(cx_file_read(path, 1 << 20, data, size, &err));
}

static void test_round_trip(void **state) {
    (void)state;
    cx_error err;
    float block[64], *back;
    uint64_t version;
    char *yaml;
    write_good();
    fill(block);
    assert_ok(cx_policy_read(path, &net, &back, &err));
    assert_memory_equal(back, block, sizeof block);
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
    assert_int_equal(size, 8 + length + (12 + 4 + 8 + 7) * sizeof(float));
    char *header = strndup((char *)data + 8, (size_t)length);
    assert_non_null(strstr(header, "\"policy.in.w\":{\"dtype\":\"F32\",\"shape\":[4,3],"
                                   "\"data_offsets\":[0,48]}"));
    assert_non_null(strstr(header, "\"format\":\"coxswain-policy\""));
    assert_non_null(strstr(header, "\"policy.input_correction\""));
    float first;
    memcpy(&first, data + 8 + length, sizeof first);
    assert_true(first == 1);
    free(header);
    free(data);
}

static int read_bytes(const void *data, size_t size, cx_error *err) {
    float *block;
    assert_int_equal(cx_file_replace(path, data, size, err), CX_OK);
    int rc = cx_policy_read(path, &net, &block, err);
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
    float block[64], *back;
    fill(block);
    write_good();
    read_file(&data, &size);
    memcpy(&length, data, 8);
    for (size_t bit = 0; bit < 8 * size; bit += 7) {
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_ok(cx_file_replace(path, data, size, &err));
        int rc = cx_policy_read(path, &net, &back, &err);
        if (!rc) {
            assert_in_range(bit / 8, 8, 8 + length - 1);
            assert_memory_equal(back, block, sizeof block);
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
        {"policy.in.b", "policy.in.c", CX_EFORMAT, "no tensor policy.in.b"},
        {"policy.in.b", "policy.in.w", CX_EFORMAT, "duplicate"},
        {"\"config\"", "\"konfig\"", CX_EFORMAT, "`config` is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = read_edited(cases[i].from, cases[i].to, &err);
        if (rc != cases[i].rc || !strstr(err.message, cases[i].says))
            fail_msg("%s: %d %s", cases[i].to, rc, err.message);
        assert_non_null(strstr(err.message, path));
    }
    float *block;
    assert_int_equal(cx_policy_read("/nonexistent/p", &net, &block, &err), CX_EDATA);
    cx_net other = net;
    other.shape.inputs = 2;
    write_good();
    assert_int_equal(cx_policy_read(path, &other, &block, &err), CX_EFORMAT);
    assert_non_null(strstr(err.message, "policy.input_mean"));
    other = net;
    other.n = 2; /* one of the file's tensors would be lost */
    assert_int_equal(cx_policy_read(path, &other, &block, &err), CX_EFORMAT);
}

static void test_numbers_that_are_not_finite(void **state) {
    (void)state;
    cx_error err;
    float block[64], *back;
    unsigned char *before, *after;
    size_t size, again;
    uint64_t length;
    write_good();
    read_file(&before, &size);
    fill(block);
    block[33] = NAN;
    assert_int_equal(cx_policy_write(path, &net, block, "", 1, &err), CX_ESTATE);
    assert_non_null(strstr(err.message, "policy.heads"));
    fill(block);
    block[48 + 6] = INFINITY;
    assert_int_equal(cx_policy_write(path, &net, block, "", 1, &err), CX_ESTATE);
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
    char *at = memmem(before, size, "data_xxh3", 9);
    memcpy(at + 12, hash, 16);
    assert_ok(cx_file_replace(path, before, size, &err));
    assert_int_equal(cx_policy_read(path, &net, &back, &err), CX_EFORMAT);
    if (!strstr(err.message, "policy.in.w: number 1 is not finite"))
        fail_msg("%s", err.message);
    free(before);
    free(after);
    fill(block);
    assert_int_equal(cx_policy_write(path, &net, block, "not UTF-8: \xff", 1, &err), CX_EFORMAT);
    assert_int_equal(cx_policy_write("/nonexistent/p", &net, block, "", 1, &err), CX_EIO);
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
