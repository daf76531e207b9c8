/* What the launcher reads: the news of a rank (a file), a cut, and the text that Slurm gives
 * in SLURM_TASKS_PER_NODE. */
#include "tests/fuzz/fuzz.h"

#include "cli/launch_news.h"
#include "cli/nodes.h"
#include <stdlib.h>
#include <string.h>

static int tasks_of(const cx_slice *text) {
    char value[256];
    size_t n = text->size < sizeof value ? text->size : sizeof value - 1;
    memcpy(value, text->size ? text->data : "", n);
    value[n] = 0;
    (void)unsetenv("SLURM_NTASKS");
    fuzz_must(setenv("SLURM_TASKS_PER_NODE", value, 1) == 0);
    int tasks = cx_nodes_tasks();
    (void)unsetenv("SLURM_TASKS_PER_NODE");
    return tasks;
}

static bool run(const uint8_t *data, size_t size) {
    cx_slice piece[2];
    static cx_launch_news news, again;
    fuzz_cut(data, size, piece, 2);
    fuzz_put("news", piece[0].data, piece[0].size);
    cx_launch_news_read(fuzz_path("news"), &news);
    fuzz_must(memchr(news.host, 0, sizeof news.host));
    fuzz_must(news.n_lost >= 0 && news.n_lost <= CX_LAUNCH_HOSTS_MAX);
    for (int i = 0; i < news.n_lost; i++)
        fuzz_must(memchr(news.lost[i], 0, sizeof news.lost[i]));
    cx_launch_news_write(fuzz_path("again"), &news); /* what is written is read as the same */
    cx_launch_news_read(fuzz_path("again"), &again);
    fuzz_must(again.status == news.status && again.pid == news.pid);
    fuzz_must(again.n_lost == news.n_lost && strcmp(again.host, news.host) == 0);
    int tasks = tasks_of(&piece[1]);
    fuzz_must(tasks >= 0);
    return news.pid > 0 && tasks > 0;
}

static void seeds(const fuzz_sink *sink) {
    fuzz_seed_text(sink, "75 1234 node1\nlost node2\nlost node3\n" FUZZ_CUT "2(x3),1,4");
}

const fuzz_target fuzz_target_launch = {"launch", run, seeds};
