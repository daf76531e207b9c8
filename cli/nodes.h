/* The nodes of a Slurm job, and which of them are left out when ranks are started again. */
#ifndef CX_CLI_NODES_H
#define CX_CLI_NODES_H

#include "cli/launch_news.h"
#include <stddef.h>

enum { CX_NODES_MAX = 8192 };

typedef struct {
    char name[64];
    int tasks, failures;
} cx_node;
typedef struct {
    int n; /* 0: not in a job, or unknown */
    cx_node *node;
} cx_nodes;

/* Tasks of the whole job: SLURM_NTASKS, or the sum of "2(x3),1"; 0: not in a job. */
int cx_nodes_tasks(void);
/* Asks scontrol for the names of the job's nodes. */
void cx_nodes_find(cx_nodes *nodes);
void cx_nodes_free(cx_nodes *nodes);
/* One more failure of each of these machines. `again`: of those only that failed before. */
void cx_nodes_failed(cx_nodes *nodes, const cx_launch_news *news, bool again);
/* A node that failed twice is left out, but not the first one: the launcher is there. */
bool cx_nodes_left_out(const cx_nodes *nodes, int i);
/* Those that are not: "a:2,b:2" with tasks, "a,b" without; how many tasks they have.
 * 0 where none is left out. */
int cx_nodes_rest(const cx_nodes *nodes, bool with_tasks, char *list, size_t size);

#endif
