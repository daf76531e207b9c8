#include "tests/test.h"

#include "tests/levels.h"

#include "nn/replay.h"
#include <dirent.h>
#include <string.h>

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every file of the reference vectors; operators that do not exist are skipped visibly. */
static void test_all_vectors(void **state) {
    (void)state;
    char probe[512], folder[512];
    CX_SHARED_OR_SKIP(probe, "vectors/operators/linear.json");
    const char *root = getenv("CX_SHARED");
    (void)snprintf(folder, sizeof folder, "%s/vectors/operators", root ? root : "../shared");
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    char *names[256];
    int n = 0, failed = 0, passed = 0;
    for (struct dirent *e; (e = readdir(dir)) && n < 256;)
        if (strstr(e->d_name, ".json"))
            assert_non_null(names[n++] = strdup(e->d_name));
    closedir(dir);
    qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 0; i < n; i++) {
        char path[1024], detail[512];
        cx_error err = {0};
        double out = 0, grad = 0;
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        int rc = cx_replay_operator_file(path, &out, &grad, detail, sizeof detail, &err);
        if (rc == CX_OK) {
            printf("ok %s: outputs %.2g, gradients %.2g\n", names[i], out, grad);
            passed++;
        } else if (rc == CX_EUNSUPPORTED && strstr(err.message, "is not implemented")) {
            printf("skip: %s\n", err.message);
        } else {
            printf("FAIL %s\n", err.message);
            failed++;
        }
        free(names[i]);
    }
    assert_int_equal(failed, 0);
    assert_true(passed > 0);
}

static int replay_text(const char *text, cx_error *err) {
    json_error_t fault;
    json_t *root = json_loads(text, JSON_DISABLE_EOF_CHECK, &fault);
    if (!root)
        fail_msg("the test's own JSON: %s", fault.text);
    double out, grad;
    char detail[256];
    int rc = cx_replay_operator(root, &out, &grad, detail, sizeof detail, err);
    json_decref(root);
    return rc;
}

#define RELU(op, attrs, x, y, dx)                                                                  \
    "{\"op\":\"" op "\",\"cases\":[{\"name\":\"c\",\"attrs\":{" attrs "},\"inputs\":{\"x\":" x     \
    "},\"outputs\":{\"y\":" y "},\"grad_outputs\":{\"y\":{\"shape\":[2],\"data\":[1,2]}},"         \
    "\"grads\":{\"x\":" dx "}}]}"
#define TWO(a, b) "{\"shape\":[2],\"data\":[" #a "," #b "]}"
#define CE(x, target)                                                                              \
    "{\"op\":\"cross_entropy\",\"cases\":[{\"name\":\"c\",\"inputs\":{\"x\":" x                    \
    ",\"target\":" target "},\"outputs\":{\"y\":{\"shape\":[],\"data\":[0.6931472]}}}]}"

static const struct {
    const char *text;
    int want;
    const char *says;
} faults[] = {
    {RELU("act_relu", "", TWO(-1, 3), TWO(0, 3), TWO(0, 2)), CX_OK, ""},
    /* the sign of one gradient is wrong */
    {RELU("act_relu", "", TWO(-1, 3), TWO(0, 3), TWO(0, -2)), CX_ESTATE, "gradient 'x'[1]"},
    {RELU("act_relu", "", TWO(-1, 3), TWO(0, 3.001), TWO(0, 2)), CX_ESTATE, "output 'y'[1]"},
    {RELU("act_relu", "", TWO(-1, 3), TWO(0, "inf"), TWO(0, 2)), CX_ESTATE, "output 'y'[1]"},
    {RELU("act_leaky_relu_0.5", "", TWO(-1, 3), TWO(-0.5, 3), TWO(0.5, 2)), CX_OK, ""},
    {RELU("act_leaky_relu_0.5", "\"slope\":0.25", TWO(-1, 3), TWO(-0.25, 3), TWO(0.25, 2)), CX_OK,
     ""},
    {RELU("act_leaky_relu", "\"slope\":-1", TWO(-1, 3), TWO(1, 3), TWO(1, 2)), CX_EDATA, "slope"},
    {RELU("act_leaky_relu", "\"tilt\":1", TWO(-1, 3), TWO(1, 3), TWO(1, 2)), CX_EUNSUPPORTED,
     "'tilt'"},
    {RELU("act_relu6", "", TWO(-1, 3), TWO(0, 3), TWO(0, 2)), CX_EUNSUPPORTED, "act_relu6"},
    {RELU("act_relu_wide", "", TWO(-1, 3), TWO(0, 3), TWO(0, 2)), CX_EUNSUPPORTED, "wide"},
    {RELU("act_rrelu", "", TWO(-1, 3), TWO(0, 3), TWO(0, 2)), CX_EUNSUPPORTED, "random"},
    {RELU("act_relu", "", "{\"shape\":[3],\"data\":[1,2]}", TWO(0, 3), TWO(0, 2)), CX_EDATA,
     "asks for 3"},
    {RELU("act_relu", "", "{\"shape\":[0],\"data\":[]}", TWO(0, 3), TWO(0, 2)), CX_EDATA,
     "dimension"},
    {RELU("act_relu", "", "{\"shape\":[2],\"data\":[1,\"x\"]}", TWO(0, 3), TWO(0, 2)), CX_EDATA,
     "not a number"},
    {RELU("act_relu", "", "{\"shape\":[2]}", TWO(0, 3), TWO(0, 2)), CX_EDATA, "data"},
    {RELU("act_relu", "", TWO(-1, 3), "{\"shape\":[1,2],\"data\":[0,3]}", TWO(0, 2)), CX_EDATA,
     "shape"},
    {"{\"op\":\"act_relu\"}", CX_EDATA, "cases"},
    {"{\"op\":\"act_relu\",\"cases\":[7]}", CX_EDATA, "not an object"},
    {"{\"op\":\"act_relu\",\"cases\":[{}]}", CX_EDATA, "inputs"},
    {"{\"op\":\"act_relu\",\"cases\":[{\"inputs\":{}}]}", CX_EDATA, "'x' is missing"},
    {"{\"op\":\"act_relu\",\"cases\":[{\"inputs\":{\"q\":{}}}]}", CX_EUNSUPPORTED, "'q'"},
    {"{\"op\":\"act_relu\",\"cases\":[{\"inputs\":{\"x\":" TWO(1, 2) "}}]}", CX_EDATA, "outputs"},
    {"{\"op\":7,\"cases\":[{}]}", CX_EDATA, "op"},
    {"[1]", CX_EDATA, "op"},
    {CE("{\"shape\":[1,2],\"data\":[0,0]}", "{\"shape\":[1],\"dtype\":\"int\",\"data\":[1]}"),
     CX_OK, ""},
    {CE("{\"shape\":[1,2],\"data\":[0,0]}", "{\"shape\":[1],\"dtype\":\"int\",\"data\":[2]}"),
     CX_EDATA, "target[0] is 2"},
    {CE("{\"shape\":[1,2],\"data\":[0,0]}", "{\"shape\":[1],\"data\":[1]}"), CX_EDATA, "integers"},
    {CE("{\"shape\":[1,2],\"data\":[0,0]}", "{\"shape\":[2],\"dtype\":\"int\",\"data\":[1,1]}"),
     CX_EDATA, "target must have"},
    {CE("{\"shape\":[1,2],\"data\":[0,0]}", "{\"shape\":[1],\"dtype\":\"int\",\"data\":[1.5]}"),
     CX_EDATA, "32-bit integer"},
};

static void test_faulty_files(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        cx_error err = {0};
        int rc = replay_text(faults[i].text, &err);
        if (rc != faults[i].want || !strstr(err.message, faults[i].says))
            fail_msg("row %zu: code %d, message '%s', wanted %d and '%s'", i, rc, err.message,
                     faults[i].want, faults[i].says);
    }
    cx_error err = {0};
    double out, grad;
    assert_int_equal(cx_replay_operator_file("/nonexistent.json", &out, &grad, NULL, 0, &err),
                     CX_EDATA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_vectors),
        cmocka_unit_test(test_faulty_files),
    };
    int failed = 0;
    RUN_AT_EACH_LEVEL(failed, tests, NULL, NULL);
    return failed;
}
