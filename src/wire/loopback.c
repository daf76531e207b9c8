/* A queue for each rank, inside one process. */
#include "wire/transport.h"

#include <stdlib.h>

typedef struct item item;
struct item {
    item *next;
    void *data;
    size_t size;
    int from;
};

typedef struct {
    item *first, *last; /* what waits for this end */
    bool closed;
} inbox;

typedef struct {
    int open; /* ends that are not closed */
    inbox box[];
} link_state;

typedef struct {
    cx_transport base; /* first: a cx_transport * is an end * */
    link_state *link;  /* shared; freed with the last end */
} end;

static int end_send(cx_transport *t, int to, void *data, size_t size, cx_error *err) {
    link_state *link = ((end *)t)->link;
    if (to < 0 || to >= t->ranks || to == t->rank) {
        free(data);
        return cx_fail(err, CX_ESTATE, "rank %d of %d sends to rank %d", t->rank, t->ranks, to);
    }
    inbox *box = &link->box[to];
    item *i = box->closed ? NULL : malloc(sizeof *i);
    if (!i) {
        free(data);
        return box->closed ? CX_OK : cx_fail(err, CX_ENOMEM, "no memory for a message");
    }
    *i = (item){NULL, data, size, t->rank};
    if (box->last)
        box->last->next = i;
    else
        box->first = i;
    box->last = i;
    return CX_OK;
}

static int end_receive(cx_transport *t, int *from, void **data, size_t *size, cx_error *err) {
    (void)err;
    inbox *box = &((end *)t)->link->box[t->rank];
    item *i = box->first;
    *data = NULL;
    *size = 0;
    if (!i)
        return CX_OK;
    box->first = i->next;
    if (!i->next)
        box->last = NULL;
    *from = i->from;
    *data = i->data;
    *size = i->size;
    free(i);
    return CX_OK;
}

static int end_pending(cx_transport *t) {
    (void)t;
    return 0;
}

static void end_close(cx_transport *t) {
    if (!t)
        return;
    link_state *link = ((end *)t)->link;
    int from;
    void *data;
    size_t size;
    while (end_receive(t, &from, &data, &size, NULL) == CX_OK && data)
        free(data);
    link->box[t->rank].closed = true;
    if (--link->open == 0)
        free(link);
    free(t);
}

int cx_loopback_create(int ranks, cx_transport **ends, cx_error *err) {
    link_state *link = calloc(1, sizeof *link + (size_t)ranks * sizeof *link->box);
    int made = 0;
    for (; link && made < ranks; made++) {
        end *e = calloc(1, sizeof *e);
        if (!e)
            break;
        e->base = (cx_transport){.rank = made,
                                 .ranks = ranks,
                                 .send = end_send,
                                 .receive = end_receive,
                                 .pending = end_pending,
                                 .close = end_close};
        e->link = link;
        ends[made] = &e->base;
    }
    if (made == ranks) {
        link->open = ranks;
        return CX_OK;
    }
    free(link);
    for (int r = 0; r < ranks; r++) {
        if (r < made)
            free(ends[r]);
        ends[r] = NULL;
    }
    return cx_fail(err, CX_ENOMEM, "no memory for the messages of one process");
}
