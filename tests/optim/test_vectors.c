/* The recorded trajectories: those of what is implemented pass, the others are
 * refused by the name of the switch; corrupt files are refused too. */
#include "tests/test.h"

#include "tests/levels.h"

#include "base/file.h"
#include "optim/replay.h"
#include <jansson.h>
#include <string.h>

static const char *const implemented[] = {
    "default",
    "adam_wd_in_update",
    "adamw",
    "denominator_norm_3",
    "feature_every_step",
    "group_clip_absolute",
    "lamb_adamw_decay",
    "lamb_all_tensors",
    "lamb_l2",
    "lamb_no_ema",
    "lamb_power_half_clipped",
    "missing_grad",
    "zero_init",
    "torch_adam",
    "torch_adamax",
    "torch_adamw",
    "torch_rmsprop",
    "torch_sgd_momentum",
    "torch_sgd_nesterov",
};
/* file, switch that the message names */
static const char *const refused[][2] = {
    {"radam_warmup", "approximate_radam_warmup"},
    {"gradient_centralization_1", "gradient_centralization"},
    {"group_clip_grad_z_score", "group_clip_grad_z_score"},
    {"lookahead", "lookahead_alpha"},
    {"lr_vector_multiplier", "lr_vector_multiplier"},
    {"qhadam_nu1_0.7", "qhadam_nu1"},
};

static int replay_text(const char *name, const char *text, size_t size, cx_optimizer_replay *out,
                       cx_error *err) {
    json_t *root = json_loadb(text, size, 0, NULL);
    int code = cx_replay_optimizer(name, root, out, err); /* NULL: text that is no JSON */
    json_decref(root);
    return code;
}

static int replay_file(const char *path, cx_optimizer_replay *out, cx_error *err) {
    unsigned char *data;
    size_t size;
    int code = cx_file_read(path, 1 << 24, &data, &size, err);
    if (code)
        return code;
    code = replay_text(path, (const char *)data, size, out, err);
    free(data);
    return code;
}

static void test_implemented(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof implemented / sizeof *implemented; i++) {
        char relative[128], path[512];
        cx_error err;
        cx_optimizer_replay out;
        (void)snprintf(relative, sizeof relative, "vectors/optimizer/%s.json", implemented[i]);
        CX_SHARED_OR_SKIP(path, relative);
        assert_ok(replay_file(path, &out, &err));
        if (!out.passed)
            fail_msg("%s: %s", path, out.worst);
        assert_int_equal(out.steps, 40);
        assert_true(out.param_error > 0 && out.param_error < CX_REPLAY_PARAM_TOLERANCE);
    }
}

static void test_refused_by_name(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char relative[128], path[512];
        cx_error err;
        cx_optimizer_replay out;
        (void)snprintf(relative, sizeof relative, "vectors/optimizer/%s.json", refused[i][0]);
        CX_SHARED_OR_SKIP(path, relative);
        assert_int_equal(replay_file(path, &out, &err), CX_EUNSUPPORTED);
        assert_non_null(strstr(err.message, refused[i][1]));
        assert_non_null(strstr(err.message, path));
    }
}

/* Replaces the first `from` in a file's text (one line, ", " and ": ") by `to` and
 * replays it. */
static int replay_edited(const char *from, const char *to, cx_optimizer_replay *out,
                         cx_error *err) {
    char path[512];
    CX_SHARED_OR_SKIP(path, "vectors/optimizer/default.json");
    json_t *root = json_load_file(path, 0, NULL);
    char *text = json_dumps(root, JSON_REAL_PRECISION(9));
    json_decref(root);
    assert_non_null(text);
    const char *at = strstr(text, from);
    if (!at)
        fail_msg("no %s", from);
    const size_t before = (size_t)(at - text), length = strlen(text) - strlen(from) + strlen(to);
    char *edited = malloc(length + 1);
    assert_non_null(edited);
    (void)snprintf(edited, length + 1, "%.*s%s%s", (int)before, text, to, at + strlen(from));
    int code = replay_text("edited", edited, length, out, err);
    free(edited);
    free(text);
    return code;
}

/* What is compared is really compared: another value is a failure, and is named. */
static void test_wrong_values_fail(void **state) {
    (void)state;
    static const char *const edits[][3] = {
        {"\"lr\": 0.001", "\"lr\": 0.00101", "parameter"},
        {"\"grad_clip_ombeta\": 0.01", "\"grad_clip_ombeta\": 0.011", ""},
        {"\"lamb_min_trust\": 0.001", "\"lamb_min_trust\": 1", "parameter"},
        {"\"log_lamb\": -", "\"log_lamb\": ", "log_lamb"},
        {"\"cosine_similarity_grad_param\": -",
         "\"cosine_similarity_grad_param\": ", "cosine_similarity_grad_param"},
        {"\"bias_correction2\": 0.01", "\"bias_correction2\": 0.0101", "bias_correction2"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        cx_error err;
        cx_optimizer_replay out;
        assert_ok(replay_edited(edits[i][0], edits[i][1], &out, &err));
        assert_false(out.passed);
        if (!strstr(out.worst, edits[i][2]))
            fail_msg("%s: %s", edits[i][2], out.worst);
    }
}

static void test_edited_files(void **state) {
    (void)state;
    static const struct {
        const char *from, *to;
        int code;
        const char *says;
    } edits[] = {
        {"\"ciao\"", "\"Rprop\"", CX_EUNSUPPORTED, "Rprop"},
        {"\"lamb_power\": 1", "\"lamb_power\": 1, \"adabelief\": true", CX_EUNSUPPORTED,
         "adabelief"},
        {"\"lamb_power\": 1", "\"lamb_power\": 1, \"adabelief\": false", CX_OK, NULL},
        {"\"lamb_power\": 1", "\"lamb_power\": 1, \"lookahead_alpha\": null, \"lookahead_k\": 5",
         CX_OK, NULL},
        {"\"lamb_power\": 1", "\"lamb_power\": 1, \"qhadam_nu1\": 1.0", CX_OK, NULL},
        {"\"lamb_power\": 1", "\"lamb_power\": \"one\"", CX_EDATA, "lamb_power"},
        {"\"lr\": 0.001", "\"lr\": null", CX_EDATA, "lr"},
        {"\"denominator_norm\": \"inf\"", "\"denominator_norm\": -1", CX_EDATA, "denominator_norm"},
        {"\"inner_feature_frequency\": 4", "\"inner_feature_frequency\": 0", CX_EDATA,
         "inner_feature_frequency"},
        {"\"set\": {\"lr\"", "\"set\": {\"lamb_power\": 2, \"lr\"", CX_EUNSUPPORTED, "schedule"},
        {"\"shape\": [7, 5]", "\"shape\": [7, 6]", CX_EDATA, "init"},
        {"\"shape\": [7, 5]", "\"shape\": [7, -5]", CX_EDATA, "shape"},
        {"\"shape\": [7, 5]", "\"shape\": [4294967296, 4294967296]", CX_EDATA, "shape"},
        {"\"shape\": [7, 5]", "\"shape\": 35", CX_EDATA, "shape"},
        {"\"groups\": [[0, 1, 2]]", "\"groups\": [[0, 1, 3]]", CX_EDATA, "group"},
        {"\"groups\": [[0, 1, 2]]", "\"groups\": [[0, 1], [1, 2]]", CX_EDATA, "two groups"},
        {"\"groups\": [[0, 1, 2]]", "\"groups\": [[0, 1]]", CX_EDATA, "in a group"},
        {"\"groups\": [[0, 1, 2]]", "\"groups\": []", CX_EDATA, "groups"},
        {"\"before_step\": 9", "\"before_step\": \"9\"", CX_EDATA, "before_step"},
        {"\"grads\": [[", "\"grads\": [[1, ", CX_EDATA, "gradient"},
        {"\"grads\": [[", "\"grads\": [[], [", CX_EDATA, "grads"},
        {"\"params\": [[", "\"params\": [[true, ", CX_EDATA, "params"},
        {"\"params\": [[", "\"params\": [[", CX_OK, NULL},
        {"\"steps\": [{", "\"steps\": [{ nonsense", CX_EDATA, "object"},
        {"\"steps\": [{", "\"steps\": 5, \"rest\": [{", CX_EDATA, "steps"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        cx_error err;
        cx_optimizer_replay out;
        int code = replay_edited(edits[i].from, edits[i].to, &out, &err);
        if (code != edits[i].code)
            fail_msg("%s: code %d: %s", edits[i].to, code, code ? err.message : "none");
        if (edits[i].says)
            assert_non_null(strstr(err.message, edits[i].says));
    }
}

/* Cut anywhere, a file is refused and nothing crashes. */
static void test_cut_files(void **state) {
    (void)state;
    char path[512];
    unsigned char *data;
    size_t size;
    cx_error err;
    cx_optimizer_replay out;
    CX_SHARED_OR_SKIP(path, "vectors/optimizer/torch_adam.json");
    assert_ok(cx_file_read(path, 1 << 24, &data, &size, &err));
    for (size_t n = 0; n < size; n += 1 + n / 16)
        assert_int_equal(replay_text("cut", (const char *)data, n, &out, &err), CX_EDATA);
    assert_int_equal(replay_text("list", "[]", 2, &out, &err), CX_EDATA);
    assert_int_equal(replay_text("empty", "{}", 2, &out, &err), CX_EDATA);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_implemented),       cmocka_unit_test(test_refused_by_name),
        cmocka_unit_test(test_wrong_values_fail), cmocka_unit_test(test_edited_files),
        cmocka_unit_test(test_cut_files),
    };
    int failed = 0;
    RUN_AT_EACH_LEVEL(failed, tests, NULL, NULL);
    return failed;
}
