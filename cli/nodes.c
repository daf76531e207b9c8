#include "cli/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAILURES_MAX = 2, TASKS_MAX = 1 << 20 };

/* Reads one "2(x3)," and moves on: tasks, and how many nodes have that many. */
static bool read_tasks(const char **at, long *tasks, long *count) {
    char *end;
    *tasks = strtol(*at, &end, 10);
    *count = 1;
    if (end == *at || *tasks < 0 || *tasks > TASKS_MAX)
        return false;
    if (strncmp(end, "(x", 2) == 0) {
        *count = strtol(end + 2, &end, 10);
        if (*count < 0 || *count > TASKS_MAX)
            return false;
        end += *end == ')';
    }
    *at = end + (*end == ',');
    return true;
}

int cx_nodes_tasks(void) {
    const char *tasks = getenv("SLURM_NTASKS"), *at = getenv("SLURM_TASKS_PER_NODE");
    if (tasks || !at)
        return tasks ? atoi(tasks) : 0;
    long sum = 0, n, count;
    while (*at && read_tasks(&at, &n, &count))
        sum += n * count;
    return sum > 0 && sum <= TASKS_MAX ? (int)sum : 0;
}

static void find_names(cx_nodes *nodes) {
    char line[128];
    /* the list is in the environment: no word of it passes through the shell's eyes */
    FILE *f = popen("scontrol show hostnames \"$SLURM_JOB_NODELIST\" 2>/dev/null", "r");
    if (!f)
        return;
    while (nodes->n < CX_NODES_MAX && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0])
            (void)snprintf(nodes->node[nodes->n++].name, sizeof nodes->node[0].name, "%.63s", line);
    }
    (void)pclose(f);
}

void cx_nodes_find(cx_nodes *nodes) {
    const char *at = getenv("SLURM_TASKS_PER_NODE");
    memset(nodes, 0, sizeof *nodes);
    if (!getenv("SLURM_JOB_NODELIST") || !at)
        return;
    nodes->node = calloc(CX_NODES_MAX, sizeof *nodes->node);
    if (nodes->node)
        find_names(nodes);
    int i = 0;
    long n, count;
    while (*at && read_tasks(&at, &n, &count))
        for (; count > 0 && i < nodes->n; count--)
            nodes->node[i++].tasks = (int)n;
    if (i != nodes->n) /* not as we think it is: leave it all to Slurm */
        nodes->n = 0;
}

void cx_nodes_free(cx_nodes *nodes) {
    free(nodes->node);
    memset(nodes, 0, sizeof *nodes);
}

/* Slurm's names are short, a machine's own may have a domain. */
static bool same_host(const char *a, const char *b) {
    size_t n = strcspn(a, ".");
    return n == strcspn(b, ".") && strncmp(a, b, n) == 0;
}

void cx_nodes_failed(cx_nodes *nodes, const cx_launch_news *news, bool again) {
    for (int i = 0; i < nodes->n; i++)
        for (int j = 0; j < news->n_lost; j++)
            if (same_host(nodes->node[i].name, news->lost[j]) &&
                (!again || nodes->node[i].failures > 0))
                nodes->node[i].failures++;
}

bool cx_nodes_left_out(const cx_nodes *nodes, int i) {
    return i > 0 && nodes->node[i].failures >= FAILURES_MAX;
}

int cx_nodes_rest(const cx_nodes *nodes, bool with_tasks, char *list, size_t size) {
    size_t at = 0;
    int tasks = 0, out = 0;
    list[0] = 0;
    for (int i = 0; i < nodes->n; i++) {
        const cx_node *node = &nodes->node[i];
        char word[96];
        if (cx_nodes_left_out(nodes, i)) {
            out++;
            continue;
        }
        int n = with_tasks
                    ? snprintf(word, sizeof word, "%s%s:%d", at ? "," : "", node->name, node->tasks)
                    : snprintf(word, sizeof word, "%s%s", at ? "," : "", node->name);
        if (at + (size_t)n >= size)
            return 0;
        memcpy(list + at, word, (size_t)n + 1);
        at += (size_t)n;
        tasks += node->tasks;
    }
    return out ? tasks : 0;
}
