/* How messages travel: ranks under MPI (wire/mpi.c), or two queues inside one
 * process (wire/loopback.c). A message is a block of bytes; order between two ranks
 * is kept; nothing blocks. */
#ifndef CX_WIRE_TRANSPORT_H
#define CX_WIRE_TRANSPORT_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct cx_transport cx_transport;
struct cx_transport {
    int rank, ranks;
    /* Set by whoever finds out: a rank has died, or may have. `close` does not wait for
     * it then, and the process has to leave with _exit. */
    bool broken;
    /* Starts sending `data` (malloc'ed; the transport takes it, frees it when sent,
     * also on failure). */
    int (*send)(cx_transport *t, int to, void *data, size_t size, cx_error *err);
    /* The next message that has arrived: *data malloc'ed, the caller's; NULL when
     * there is none. Also moves pending sends along. */
    int (*receive)(cx_transport *t, int *from, void **data, size_t *size, cx_error *err);
    /* Sends that are not done yet. */
    int (*pending)(cx_transport *t);
    void (*close)(cx_transport *t);
};

/* The ranks of one process: ends[r] is rank r of `ranks` (at least 1). Not for threads.
 * Each end is closed for itself; what is sent to a closed end is dropped, as a dead
 * rank would. */
int cx_loopback_create(int ranks, cx_transport **ends, cx_error *err);
/* MPI must not be initialized yet; argc and argv may be NULL. Only wire/mpi.c includes
 * mpi.h. A receiver that died is not reported by MPI: sends to it stay pending, and
 * only the caller's own time-out finds out. `close` waits some seconds for pending sends
 * and calls MPI_Finalize where none is left, and where the transport is not `broken`
 * (MPI_Finalize may hang when a rank died). */
int cx_mpi_open(int *argc, char ***argv, cx_transport **out, cx_error *err);
/* The least and the most of the ranks' numbers; who has the least, the first of them, and
 * on which machine. All ranks of `t` call it, before any message: it is a collective
 * operation, which as cx_mpi_open waits for all. */
typedef struct {
    int least, most, least_rank;
    char host[64];
} cx_mpi_extremes;
int cx_mpi_compare(cx_transport *t, int mine, cx_mpi_extremes *out, cx_error *err);
/* Library version text of MPI, its first line; needs no cx_mpi_open. */
const char *cx_mpi_version(char *buffer, size_t size);

#endif
