/* Two queues inside one process. */
#include "wire/transport.h"

#include <stdlib.h>

typedef struct item item;
struct item {
    item *next;
    void *data;
    size_t size;
};

typedef struct {
    item *first, *last; /* what waits for this end */
    bool closed;
} inbox;

typedef struct {
    inbox box[2];
} link_state;

typedef struct {
    cx_transport base; /* first: a cx_transport * is an end * */
    link_state *link;  /* shared; freed with the second end */
} end;

static int end_send(cx_transport *t, int to, void *data, size_t size, cx_error *err) {
    link_state *link = ((end *)t)->link;
    if (to != 1 - t->rank) {
        free(data);
        return cx_fail(err, CX_ESTATE, "rank %d of 2 sends to rank %d", t->rank, to);
    }
    inbox *box = &link->box[to];
    item *i = box->closed ? NULL : malloc(sizeof *i);
    if (!i) {
        free(data);
        return box->closed ? CX_OK : cx_fail(err, CX_ENOMEM, "no memory for a message");
    }
    *i = (item){NULL, data, size};
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
    *from = 1 - t->rank;
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
    if (link->box[1 - t->rank].closed)
        free(link);
    free(t);
}

int cx_loopback_create(cx_transport *ends[2], cx_error *err) {
    link_state *link = calloc(1, sizeof *link);
    end *e[2] = {calloc(1, sizeof **e), calloc(1, sizeof **e)};
    if (!link || !e[0] || !e[1]) {
        free(link);
        free(e[0]);
        free(e[1]);
        ends[0] = ends[1] = NULL;
        return cx_fail(err, CX_ENOMEM, "no memory for the messages of one process");
    }
    for (int r = 0; r < 2; r++) {
        e[r]->base = (cx_transport){.rank = r,
                                    .ranks = 2,
                                    .send = end_send,
                                    .receive = end_receive,
                                    .pending = end_pending,
                                    .close = end_close};
        e[r]->link = link;
        ends[r] = &e[r]->base;
    }
    return CX_OK;
}
