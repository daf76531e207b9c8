#include "bench/scale/hub.h"

#include <stdlib.h>

typedef struct item item;
struct item {
    item *next;
    void *data;
    size_t size;
    int from;
};

typedef struct {
    item *first, *last;
} queue;

typedef struct hub hub;
typedef struct {
    cx_transport base; /* first: a cx_transport * is an end * */
    hub *hub;
} end;
struct hub {
    int open;
    queue *queue;
    end *ends;
};

static int end_send(cx_transport *t, int to, void *data, size_t size, cx_error *err) {
    hub *h = ((end *)t)->hub;
    item *i = to >= 0 && to < t->ranks ? malloc(sizeof *i) : NULL;
    if (!i) {
        free(data);
        return cx_fail(err, CX_ESTATE, "nothing can be sent to rank %d", to);
    }
    *i = (item){NULL, data, size, t->rank};
    queue *q = &h->queue[to];
    if (q->last)
        q->last->next = i;
    else
        q->first = i;
    q->last = i;
    return CX_OK;
}

static int end_receive(cx_transport *t, int *from, void **data, size_t *size, cx_error *err) {
    (void)err;
    queue *q = &((end *)t)->hub->queue[t->rank];
    item *i = q->first;
    *data = NULL;
    *size = 0;
    if (!i)
        return CX_OK;
    q->first = i->next;
    if (!i->next)
        q->last = NULL;
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
    hub *h = ((end *)t)->hub;
    if (--h->open > 0)
        return;
    for (int r = 0; r < t->ranks; r++)
        while (h->queue[r].first) {
            item *i = h->queue[r].first;
            h->queue[r].first = i->next;
            free(i->data);
            free(i);
        }
    free(h->queue);
    free(h->ends);
    free(h);
}

int cx_hub_create(int ranks, cx_transport **ends, cx_error *err) {
    hub *h = calloc(1, sizeof *h);
    queue *q = calloc((size_t)ranks, sizeof *q);
    end *e = calloc((size_t)ranks, sizeof *e);
    if (!h || !q || !e) {
        free(h);
        free(q);
        free(e);
        return cx_fail(err, CX_ENOMEM, "no memory for %d ranks", ranks);
    }
    *h = (hub){ranks, q, e};
    for (int r = 0; r < ranks; r++) {
        e[r].base = (cx_transport){.rank = r,
                                   .ranks = ranks,
                                   .send = end_send,
                                   .receive = end_receive,
                                   .pending = end_pending,
                                   .close = end_close};
        e[r].hub = h;
        ends[r] = &e[r].base;
    }
    return CX_OK;
}
