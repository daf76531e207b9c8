/* What reports and exports read of a run's folder: metrics.jsonl, episodes.jsonl,
 * closing.json, config.yaml. */
#include "tests/fuzz/fuzz.h"

#include "report/export.h"
#include "report/run_page.h"

static bool run(const uint8_t *data, size_t size) {
    static const char *const names[] = {"run/metrics.jsonl", "run/episodes.jsonl",
                                        "run/closing.json", "run/config.yaml"};
    cx_slice file[4];
    cx_run_data read;
    cx_error err;
    fuzz_cut(data, size, file, 4);
    fuzz_clear(NULL);
    for (int i = 0; i < 4; i++)
        if (file[i].size)
            fuzz_put(names[i], file[i].data, file[i].size);
    fuzz_put("run/x", "", 0);
    uint64_t before = fuzz_disk(fuzz_folder());
    bool taken = fuzz_taken(cx_report_run(fuzz_path("run"), NULL, &err), &err);
    fuzz_must(taken || fuzz_disk(fuzz_folder()) == before);
    if (fuzz_taken(cx_run_data_read(fuzz_path("run"), &read, &err), &err)) {
        fuzz_must(cx_export_csv(&read, fuzz_path("csv"), &err) == CX_OK);
        (void)fuzz_taken(cx_export_tensorboard(&read, fuzz_path("board"), 1e9, &err), &err);
        cx_run_data_free(&read);
    }
    return taken;
}

static void seeds(const fuzz_sink *sink) {
    fuzz_seed_text(
        sink,
        "{\"update\":1,\"episodes\":8,\"seconds\":1.5,\"reward\":-1.2,\"diverged\":0,\"loss\":null,"
        "\"head_entropy\":{\"lr\":1.9,\"epsilon\":1}}\n"
        "{\"update\":2,\"episodes\":16,\"seconds\":3,\"reward\":-0.8,\"head_entropy\":{\"lr\":1.8}}"
        "\n{\"up" FUZZ_CUT
        "{\"episode\":0,\"family\":\"nqm\",\"reward\":-1,\"outer_steps\":4,\"end\":"
        "\"diverged\"}\nbad\n{\"family\":\"text\",\"reward\":0.5,\"outer_steps\":8}\n" FUZZ_CUT
        "{\"title\":\"t\",\"columns\":[\"a\",\"b\"],\"rows\":[[\"x\",1.5],[\"y\",null]],\"notes\":["
        "\"n\"]}" FUZZ_CUT "seed: 1\n");
}

const fuzz_target fuzz_target_report = {"report", run, seeds};
