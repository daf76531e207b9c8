/* A run of a named optimizer that is kept on disk: however often it is interrupted, it
 * ends as one that is not. */
#include "tests/test.h"

#include "base/file.h"
#include "workers/control.h"
#include "workers/keep.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { STEPS = 12 };
static char folder[] = "/tmp/cx-test-control-XXXXXX";
static char file[256], weights[2][256];
static cx_config config;
static cx_data_store *store;
static cx_task *task;

static int set_up(void **state) {
    (void)state;
    cx_error err = {0};
    char yaml[1024], text[1000];
    int n;
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(file, sizeof file, "%s/run.state", folder);
    for (int i = 0; i < 2; i++)
        (void)snprintf(weights[i], sizeof weights[i], "%s/%d.safetensors", folder, i);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i % 10 == 9 ? '\n' : 'a' + i * i % 26);
    (void)snprintf(yaml, sizeof yaml, "%s/text", folder);
    assert_ok(cx_file_replace(yaml, text, sizeof text, &err));
    int size = snprintf(yaml, sizeof yaml,
                        "episode: {outer_examples: 16, final_examples: 16}\n"
                        "data: {text: %s/text}\n"
                        "tasks:\n"
                        "  - {family: text, outer_steps: 3, context: 8, tokens: 16, embedding: 8,\n"
                        "     heads: 2, hidden: 8, layers: 1, dropout: 0.2, inner_steps: %d}\n",
                        folder, STEPS);
    assert_ok(
        cx_config_parse("test", yaml, (size_t)size, NULL, 0, schemas, n, &config, NULL, &err));
    assert_ok(cx_data_store_open(&config, &store, &err));
    cx_task_spec spec;
    cx_task_sample(&config, 0, &spec);
    assert_ok(cx_task_create(&spec, &config, store, &task, &err));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    cx_task_destroy(task);
    cx_data_store_close(store);
    return cx_file_remove_all(folder, NULL);
}

/* What a user sees of a run. */
typedef struct {
    int n;
    struct {
        int step;
        double lr, train, valid;
    } row[STEPS];
    int stop_after, asked, said; /* stop_after 0: never */
} seen;

static void view(void *context, int step, double lr, double train, double valid) {
    seen *s = context;
    assert_true(s->n < STEPS);
    s->row[s->n].step = step;
    s->row[s->n].lr = lr;
    s->row[s->n].train = train;
    s->row[s->n++].valid = valid;
}

static bool stop(void *context) {
    seen *s = context;
    return s->stop_after > 0 && ++s->asked >= s->stop_after;
}

static void say(void *context, const char *text) {
    seen *s = context;
    assert_non_null(strstr(text, "of 12 from"));
    s->said++;
}

typedef struct {
    cx_rule_config rule;
    cx_hyper hyper;
    cx_control_plan plan;
} setting;

static void make(setting *x, const char *name, seen *s, const char *save) {
    cx_error err;
    assert_ok(cx_rule_named(name, &x->rule, &x->hyper, &err));
    x->hyper.value[CX_HYPER_LR] = 0.01;
    x->plan = (cx_control_plan){.config = &config,
                                .task = task,
                                .rule = &x->rule,
                                .hyper = &x->hyper,
                                .schedule = CX_SCHEDULE_cosine,
                                .steps = STEPS,
                                .view = view,
                                .view_context = s,
                                .views = 5,
                                .keep = {.name = name, .save = save}};
}

static void keep(setting *x, seen *s, int stop_after, double every) {
    s->stop_after = stop_after;
    s->asked = 0;
    x->plan.keep.checkpoint = file;
    x->plan.keep.every = every;
    x->plan.keep.should_stop = stop;
    x->plan.keep.say = say;
    x->plan.keep.context = s;
}

static void same_files(void) {
    cx_error err;
    unsigned char *data[2];
    size_t size[2];
    for (int i = 0; i < 2; i++)
        assert_ok(cx_file_read(weights[i], 1 << 24, &data[i], &size[i], &err));
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(data[0], data[1], size[0]);
    free(data[0]);
    free(data[1]);
}

static void test_interrupted_is_uninterrupted(void **state) {
    (void)state;
    static const char *const names[] = {"adam",     "adamw",   "adamax", "lamb", "sgd",
                                        "nesterov", "rmsprop", "ciao",   NULL};
    for (int k = 0; names[k]; k++)
        for (int stop_after = 1; stop_after < 8; stop_after += 3) {
            cx_error err = {0};
            cx_control_result whole, cut;
            seen a = {0}, b = {0};
            setting x, y;
            make(&x, names[k], &a, weights[0]);
            assert_ok(cx_control_run(&x.plan, &whole, &err));
            make(&y, names[k], &b, weights[1]);
            (void)unlink(file);
            int rc = CX_ESTOPPED, starts = 0;
            while (rc == CX_ESTOPPED) {
                keep(&y, &b, stop_after, 0);
                rc = cx_control_run(&y.plan, &cut, &err);
                starts++;
            }
            assert_ok(rc);
            assert_int_equal(starts, (STEPS + stop_after - 1) / stop_after);
            assert_int_equal(b.said, starts - 1);
            assert_memory_equal(whole.loss, cut.loss, sizeof whole.loss);
            assert_int_equal(a.n, 5);
            assert_int_equal(b.n, 5);
            assert_memory_equal(a.row, b.row, sizeof a.row);
            same_files();
            /* what is finished is not trained again */
            keep(&y, &b, 1, 0);
            assert_ok(cx_control_run(&y.plan, &cut, &err));
            assert_memory_equal(whole.loss, cut.loss, sizeof whole.loss);
        }
}

/* Killed without notice: the state on disk is that of some step before. */
static void test_old_state(void **state) {
    (void)state;
    cx_error err = {0};
    cx_control_result whole, cut;
    seen a = {0}, b = {0};
    setting x, y;
    make(&x, "adamw", &a, NULL);
    assert_ok(cx_control_run(&x.plan, &whole, &err));
    make(&y, "adamw", &b, NULL);
    (void)unlink(file);
    keep(&y, &b, 5, 0);
    assert_int_equal(cx_control_run(&y.plan, &cut, &err), CX_ESTOPPED);
    unsigned char *data;
    size_t size;
    assert_ok(cx_file_read(file, 1 << 24, &data, &size, &err));
    keep(&y, &b, 4, 1e-9); /* a state after every step */
    assert_int_equal(cx_control_run(&y.plan, &cut, &err), CX_ESTOPPED);
    assert_ok(cx_file_replace(file, data, size, &err));
    keep(&y, &b, 0, 0);
    assert_ok(cx_control_run(&y.plan, &cut, &err));
    assert_memory_equal(whole.loss, cut.loss, sizeof whole.loss);
    free(data);
}

static void refuse(setting *x, const char *said) {
    cx_error err = {0};
    cx_control_result r;
    assert_int_equal(cx_control_run(&x->plan, &r, &err), CX_ECONFIG);
    if (!strstr(err.message, said) || !strstr(err.message, file))
        fail_msg("no '%s' in '%s'", said, err.message);
}

static void test_another_run(void **state) {
    (void)state;
    cx_error err = {0};
    cx_control_result r;
    seen s = {0};
    setting x, y;
    make(&x, "adamw", &s, NULL);
    (void)unlink(file);
    keep(&x, &s, 2, 0);
    assert_int_equal(cx_control_run(&x.plan, &r, &err), CX_ESTOPPED);
    y = x;
    make(&y, "adam", &s, NULL);
    keep(&y, &s, 0, 0);
    refuse(&y, "it has \"optimizer adamw\", this one \"optimizer adam\"");
    make(&y, "adamw", &s, NULL);
    keep(&y, &s, 0, 0);
    y.hyper.value[CX_HYPER_LR] = 0.02;
    refuse(&y, "it has \"lr 0.01\", this one \"lr 0.02\"");
    y.hyper = x.hyper;
    y.plan.schedule = CX_SCHEDULE_linear;
    refuse(&y, "it has \"schedule cosine\", this one \"schedule linear\"");
    y.plan.schedule = CX_SCHEDULE_cosine;
    y.plan.steps = 13;
    refuse(&y, "steps 13");
    y.plan.steps = STEPS;
    y.rule.denominator_norm = 3;
    refuse(&y, "denominator_norm 3");
    y.rule = x.rule;
    cx_config other = config;
    other.episode.parameter_average = 0.5;
    y.plan.config = &other;
    refuse(&y, "hash of the task");
    other = config;
    (void)snprintf(other.data.text, sizeof other.data.text, "/elsewhere");
    refuse(&y, "hash of the task");
    cx_task_spec spec = task->spec;
    cx_task *another;
    spec.seed++;
    assert_ok(cx_task_create(&spec, &config, store, &another, &err));
    y.plan.config = &config;
    y.plan.task = another;
    refuse(&y, "seed");
    cx_task_destroy(another);
    y.plan.task = task;
    assert_ok(cx_control_run(&y.plan, &r, &err)); /* after all of that it goes on */
}

static void test_nothing_is_trained_in_vain(void **state) {
    (void)state;
    cx_error err = {0};
    cx_control_result r;
    seen s = {0};
    setting x;
    make(&x, "adamw", &s, NULL);
    keep(&x, &s, 0, 0);
    x.plan.keep.checkpoint = "/nowhere/file"; /* found out before the first step */
    assert_int_equal(cx_control_run(&x.plan, &r, &err), CX_EIO);
    assert_int_equal(s.asked, 0);
    make(&x, "sgd", &s, weights[0]);
    x.hyper.value[CX_HYPER_LR] = 1e30;
    (void)unlink(weights[0]);
    assert_ok(cx_control_run(&x.plan, &r, &err));
    assert_true(r.diverged);
    assert_false(cx_file_exists(weights[0]));
}

/* Names, shapes and numbers of what --save leaves. */
static void test_saved_weights(void **state) {
    (void)state;
    cx_error err = {0};
    cx_inner_run *run;
    cx_rule_config rule;
    cx_hyper hyper;
    assert_ok(cx_rule_named("adamw", &rule, &hyper, &err));
    assert_ok(cx_inner_run_create(&config, task, &rule, &run, &err));
    cx_optimizer_set_hyper(run->optimizer, &hyper);
    assert_true(cx_inner_run_advance(run, 3));
    assert_ok(cx_keep_save_weights(weights[0], run, &err));
    unsigned char *data;
    size_t size;
    uint64_t length;
    assert_ok(cx_file_read(weights[0], 1 << 24, &data, &size, &err));
    memcpy(&length, data, 8);
    char *header = strndup((char *)data + 8, (size_t)length);
    assert_non_null(strstr(header, "\"format\":\"coxswain-weights\""));
    assert_non_null(strstr(header, "\"steps\":\"3\""));
    assert_non_null(strstr(header, "\"task\":\"text "));
    assert_non_null(strstr(header, "\"wte.weight\":{\"dtype\":\"F32\",\"shape\":[256,8],"
                                   "\"data_offsets\":[0,8192]}"));
    assert_non_null(strstr(header, "\"h.0.mlp.c_fc.bias\":{\"dtype\":\"F32\",\"shape\":[8]"));
    size_t numbers = 0;
    for (int i = 0; i < cx_graph_all_tensors(task->graph); i++) {
        const cx_param *p = cx_graph_param_info(task->graph, i);
        const unsigned char *at = data + 8 + length + numbers * sizeof(float);
        assert_memory_equal(at, run->average + p->offset, p->size * sizeof(float));
        assert_non_null(strstr(header, p->name));
        numbers += p->size;
    }
    assert_int_equal(size, 8 + length + numbers * sizeof(float));
    run->average[0] = NAN;
    assert_int_equal(cx_keep_save_weights(weights[0], run, &err), CX_ESTATE);
    assert_non_null(strstr(err.message, "wte.weight"));
    free(header);
    free(data);
    cx_inner_run_destroy(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interrupted_is_uninterrupted),
        cmocka_unit_test(test_old_state),
        cmocka_unit_test(test_another_run),
        cmocka_unit_test(test_nothing_is_trained_in_vain),
        cmocka_unit_test(test_saved_weights),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
