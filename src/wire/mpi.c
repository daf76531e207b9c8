/* Messages between ranks under MPI: point to point, non-blocking, one tag, no collective
 * but one at the start (cx_mpi_compare).
 * Nothing here waits: sends and receives are started, and looked after on every call;
 * callers sleep between calls (a rank that waits inside MPI burns a core). MPI_Iprobe
 * and MPI_Irecv rather than MPI_Mprobe: one thread needs no more, a receive of a large
 * message from a rank that dies amid it cannot hang us, and SimGrid knows them. */
#include "wire/transport.h"

#include "base/clock.h"

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TAG = 67, TAKE_AT_ONCE = 256 /* receives begun in one call: bounds its time */ };
static const double close_seconds = 5, broken_seconds = 1;

/* A send or a receive that has begun. */
typedef struct {
    MPI_Request request;
    void *data;
    size_t size;
    int rank; /* the other one */
    bool done;
} transfer;

typedef struct {
    transfer *item; /* in the order in which they began */
    int n, room;
} transfers;

typedef struct {
    cx_transport base; /* first: a cx_transport * is an mpi_end * */
    transfers out, in;
} mpi_end;

static int mpi_fault(int code, const char *what, cx_error *err) {
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int n;
    if (MPI_Error_string(code, text, &n) != MPI_SUCCESS)
        text[0] = 0;
    return cx_fail(err, CX_EMPI, "%s: %s", what, text);
}

static transfer *add(transfers *list, cx_error *err) {
    if (list->n == list->room) {
        int room = list->room ? 2 * list->room : 64;
        transfer *more = realloc(list->item, (size_t)room * sizeof *more);
        if (!more) {
            (void)cx_fail(err, CX_ENOMEM, "no memory for %d messages under way", room);
            return NULL;
        }
        list->item = more;
        list->room = room;
    }
    transfer *t = &list->item[list->n];
    *t = (transfer){.request = MPI_REQUEST_NULL};
    return t;
}

static void remove_at(transfers *list, int i) {
    list->n--;
    memmove(&list->item[i], &list->item[i + 1], (size_t)(list->n - i) * sizeof *list->item);
}

/* A send that fails was to a rank that is gone; that is for the caller's time-outs to
 * find, as all deaths are. Its buffer is freed only where MPI has let go of it. */
static void move_sends(mpi_end *e) {
    int kept = 0;
    for (int i = 0; i < e->out.n; i++) {
        transfer *t = &e->out.item[i];
        int done = 0;
        int rc = MPI_Test(&t->request, &done, MPI_STATUS_IGNORE);
        if (rc == MPI_SUCCESS && !done)
            e->out.item[kept++] = *t;
        else if (t->request == MPI_REQUEST_NULL)
            free(t->data);
    }
    e->out.n = kept;
}

static int end_send(cx_transport *base, int to, void *data, size_t size, cx_error *err) {
    mpi_end *e = (mpi_end *)base;
    move_sends(e);
    if (size > INT_MAX || to < 0 || to >= base->ranks || to == base->rank) {
        free(data);
        return cx_fail(err, CX_ESTATE,
                       "rank %d of %d sends %zu bytes to rank %d: at most 2 GiB, to others",
                       base->rank, base->ranks, size, to);
    }
    transfer *t = add(&e->out, err);
    if (!t) {
        free(data);
        return CX_ENOMEM;
    }
    t->data = data;
    t->rank = to;
    int rc = MPI_Isend(data, (int)size, MPI_BYTE, to, TAG, MPI_COMM_WORLD, &t->request);
    if (rc == MPI_SUCCESS)
        e->out.n++;
    else if (t->request == MPI_REQUEST_NULL) /* as in move_sends */
        free(data);
    return CX_OK;
}

/* Begins the receives of what has been announced. */
static int begin_receives(mpi_end *e, cx_error *err) {
    for (int i = 0; i < TAKE_AT_ONCE; i++) {
        int there = 0, bytes = 0;
        MPI_Status status;
        int rc = MPI_Iprobe(MPI_ANY_SOURCE, TAG, MPI_COMM_WORLD, &there, &status);
        if (rc != MPI_SUCCESS)
            return mpi_fault(rc, "MPI_Iprobe", err);
        if (!there)
            return CX_OK;
        rc = MPI_Get_count(&status, MPI_BYTE, &bytes);
        if (rc != MPI_SUCCESS || bytes < 0)
            return mpi_fault(rc, "MPI_Get_count", err);
        transfer *t = add(&e->in, err);
        if (!t)
            return CX_ENOMEM;
        t->size = (size_t)bytes;
        t->rank = status.MPI_SOURCE;
        t->data = malloc(t->size + 1);
        if (!t->data)
            return cx_fail(err, CX_ENOMEM, "no memory for a message of %d bytes from rank %d",
                           bytes, t->rank);
        rc = MPI_Irecv(t->data, bytes, MPI_BYTE, t->rank, TAG, MPI_COMM_WORLD, &t->request);
        if (rc != MPI_SUCCESS) {
            free(t->data);
            return mpi_fault(rc, "MPI_Irecv", err);
        }
        e->in.n++;
    }
    return CX_OK;
}

static bool earlier_one(const transfers *list, int i) {
    for (int j = 0; j < i; j++)
        if (list->item[j].rank == list->item[i].rank)
            return true;
    return false;
}

static int end_receive(cx_transport *base, int *from, void **data, size_t *size, cx_error *err) {
    mpi_end *e = (mpi_end *)base;
    *data = NULL;
    *size = 0;
    move_sends(e);
    int rc = begin_receives(e, err);
    if (rc)
        return rc;
    for (int i = 0; i < e->in.n; i++) {
        transfer *t = &e->in.item[i];
        int done = t->done;
        if (!done) {
            rc = MPI_Test(&t->request, &done, MPI_STATUS_IGNORE);
            if (rc != MPI_SUCCESS) { /* its sender is gone: as if nothing had come */
                if (t->request == MPI_REQUEST_NULL)
                    free(t->data);
                remove_at(&e->in, i--);
                continue;
            }
            t->done = done;
        }
        if (!done || earlier_one(&e->in, i))
            continue;
        *from = t->rank;
        *data = t->data;
        *size = t->size;
        remove_at(&e->in, i);
        return CX_OK;
    }
    return CX_OK;
}

static int end_pending(cx_transport *base) {
    mpi_end *e = (mpi_end *)base;
    move_sends(e);
    return e->out.n;
}

static void end_close(cx_transport *base) {
    if (!base)
        return;
    mpi_end *e = (mpi_end *)base;
    double until = cx_clock_now() + (base->broken ? broken_seconds : close_seconds);
    for (;;) { /* what still comes is taken and dropped, so that its sender can close, too */
        int from;
        void *data;
        size_t size;
        int rc = end_receive(base, &from, &data, &size, NULL);
        free(data);
        if (!rc && data)
            continue;
        if (rc || (e->out.n == 0 && e->in.n == 0) || cx_clock_now() > until)
            break;
        cx_clock_sleep(1e-3);
    }
    if (base->broken || e->out.n ||
        e->in.n) /* MPI may still touch the buffers, and might never return */
        return;
    (void)MPI_Finalize();
    free(e->out.item);
    free(e->in.item);
    free(e);
}

int cx_mpi_open(int *argc, char ***argv, cx_transport **out, cx_error *err) {
    *out = NULL;
    int given;
    int rc = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &given);
    if (rc != MPI_SUCCESS)
        return mpi_fault(rc, "MPI_Init_thread", err);
    rc = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    mpi_end *e = calloc(1, sizeof *e);
    if (!e)
        return cx_fail(err, CX_ENOMEM, "no memory for the transport");
    e->base = (cx_transport){
        .send = end_send, .receive = end_receive, .pending = end_pending, .close = end_close};
    if (rc == MPI_SUCCESS)
        rc = MPI_Comm_rank(MPI_COMM_WORLD, &e->base.rank);
    if (rc == MPI_SUCCESS)
        rc = MPI_Comm_size(MPI_COMM_WORLD, &e->base.ranks);
    if (rc != MPI_SUCCESS) {
        free(e);
        return mpi_fault(rc, "MPI_Comm_rank", err);
    }
    *out = &e->base;
    return CX_OK;
}

int cx_mpi_compare(cx_transport *t, int mine, cx_mpi_extremes *out, cx_error *err) {
    struct {
        int value, rank;
    } own = {mine, t->rank}, first = own;
    memset(out, 0, sizeof *out);
    if (gethostname(out->host, sizeof out->host - 1) != 0)
        out->host[0] = '?';
    int rc = MPI_Allreduce(&own, &first, 1, MPI_2INT, MPI_MINLOC, MPI_COMM_WORLD);
    if (rc == MPI_SUCCESS)
        rc = MPI_Allreduce(&mine, &out->most, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (rc == MPI_SUCCESS)
        rc = MPI_Bcast(out->host, sizeof out->host, MPI_CHAR, first.rank, MPI_COMM_WORLD);
    if (rc != MPI_SUCCESS)
        return mpi_fault(rc, "MPI_Allreduce", err);
    out->least = first.value;
    out->least_rank = first.rank;
    return CX_OK;
}

const char *cx_mpi_version(char *buffer, size_t size) {
    char text[MPI_MAX_LIBRARY_VERSION_STRING + 1] = "";
    int n = 0;
    if (MPI_Get_library_version(text, &n) != MPI_SUCCESS || !text[0])
        memcpy(text, "unknown MPI", sizeof "unknown MPI");
    text[strcspn(text, ",\n")] = 0; /* the rest is where and by whom it was built */
    size_t length = strlen(text);
    if (size > 0) {
        length = length < size - 1 ? length : size - 1;
        memcpy(buffer, text, length);
        buffer[length] = 0;
    }
    return buffer;
}
