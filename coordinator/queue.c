#include "coordinator/queue.h"

#include <stddef.h>

static bool before(const cx_queued *a, const cx_queued *b) {
    return a->key < b->key || (a->key == b->key && a->number < b->number);
}

void cx_queue_push(cx_queue *q, double key, uint64_t number) {
    cx_queued it = {key, number};
    int i = q->n++;
    while (i > 0 && before(&it, &q->item[(i - 1) / 2])) {
        q->item[i] = q->item[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    q->item[i] = it;
}

const cx_queued *cx_queue_first(const cx_queue *q) {
    return q->n ? &q->item[0] : NULL;
}

void cx_queue_pop(cx_queue *q) {
    cx_queued it = q->item[--q->n];
    int i = 0;
    for (;;) {
        int child = 2 * i + 1;
        if (child >= q->n)
            break;
        if (child + 1 < q->n && before(&q->item[child + 1], &q->item[child]))
            child++;
        if (before(&it, &q->item[child]))
            break;
        q->item[i] = q->item[child];
        i = child;
    }
    if (q->n)
        q->item[i] = it;
}
