/* A runner for one small task of the configuration, with a policy: what tests of inner runs need.
 */
#ifndef CX_TESTS_WORKERS_FIXTURE_H
#define CX_TESTS_WORKERS_FIXTURE_H

#include "tests/test.h"

#include "workers/baseline.h"
#include "workers/episode.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    cx_config config;
    cx_data_store *store;
    cx_episode_runner *runner;
    cx_task_spec spec;
    cx_task *task;        /* of the runner; NULL until the test asks for it */
    cx_baseline baseline; /* of `task`; likewise */
    float *policy;
} fixture;

/* A runner for the configuration `extra` + `yaml`, and freshly drawn policy weights. */
static inline fixture *make_fixture(const char *extra, const char *yaml) {
    cx_error err;
    int n;
    char text[4096];
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const cx_family_schema *const *schemas = cx_task_schemas(&n);
    int size = snprintf(text, sizeof text, "%s%s", extra, yaml);
    assert_in_range(size, 0, sizeof text - 1);
    assert_ok(
        cx_config_parse("test", text, (size_t)size, NULL, 0, schemas, n, &f->config, NULL, &err));
    assert_ok(cx_data_store_open(&f->config, &f->store, &err));
    assert_ok(cx_episode_runner_create(&f->config, f->store, &f->runner, &err));
    const cx_net *net = cx_episode_runner_net(f->runner);
    f->policy = calloc(cx_net_count(net), sizeof(float));
    assert_non_null(f->policy);
    cx_rng rng = cx_rng_make(1, 0, CX_STREAM_POLICY);
    cx_net_init(net, f->policy, &rng);
    return f;
}

static inline void tear_down(fixture *f) {
    cx_episode_runner_destroy(f->runner);
    cx_data_store_close(f->store);
    free(f->policy);
    free(f);
}

#endif
