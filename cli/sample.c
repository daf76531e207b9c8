/* coxswain sample CONFIG: tasks drawn from the distribution. */
#include "cli/command.h"

#include "base/text.h"
#include "cli/load.h"
#include <stdio.h>
#include <stdlib.h>

static const cx_option options[] = {
    {"-n", "N", "how many (default 10)"},
    {"--seed", "S", "seed of the draws (default: the configuration's)"},
    {"--set", "KEY=VALUE", "override a key of the configuration"},
    {"--json", NULL, "one JSON object a line"},
    {NULL, NULL, NULL}};
static const cx_syntax syntax = {"sample",
                                 "CONFIG [-n N] [--seed S] [--json]",
                                 "Prints tasks drawn from the distribution of CONFIG.",
                                 options,
                                 1,
                                 1};

static void print_json(const cx_config *config, const cx_task_spec *spec, long long i) {
    const cx_family_schema *schema = cx_task_family_at((int)spec->family)->schema;
    (void)printf("{\"instance\": %lld, \"family\": \"%s\", \"entry\": \"%s\", \"seed\": %llu", i,
                 schema->name, config->tasks[spec->entry].name, (unsigned long long)spec->seed);
    for (int p = 0; p < schema->n_params; p++) {
        char number[32];
        const cx_param_schema *q = &schema->params[p];
        cx_text_from_double(number, sizeof number, spec->value[p]);
        if (q->words)
            (void)printf(", \"%s\": \"%s\"", q->name, q->words[(int)spec->value[p]]);
        else
            (void)printf(", \"%s\": %s", q->name, number);
    }
    (void)printf("}\n");
}

int cx_cmd_sample(int argc, char **argv) {
    cx_error err = {0};
    cx_args args;
    bool done;
    long long n, seed;
    cx_config *config = calloc(1, sizeof *config);
    if (!config)
        return 1;
    int rc = cx_args_parse(&syntax, argc, argv, &args, &done, &err);
    if (!rc && !done) {
        rc = cx_args_int(&args, "-n", 1, 1000000000, 10, &n, &err);
        if (!rc)
            rc = cx_args_int(&args, "--seed", 0, 1LL << 62, -1, &seed, &err);
        if (!rc)
            rc = cx_load_config(&args, config, NULL, &err);
        if (!rc && seed >= 0)
            config->seed = (uint64_t)seed;
        for (long long i = 0; !rc && i < n; i++) {
            cx_task_spec spec;
            char text[512];
            cx_task_sample(config, (uint64_t)i, &spec);
            cx_task_describe(&spec, config, text, sizeof text);
            if (cx_args_has(&args, "--json"))
                print_json(config, &spec, i);
            else
                (void)printf("%6lld  %s\n", i, text);
        }
    }
    free(config);
    return rc ? cx_cli_fail("sample", &err) : 0;
}
