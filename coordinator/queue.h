/* Numbered jobs by urgency: a binary heap of fixed room, the least key first, the lower
 * number where keys are equal. */
#ifndef CX_COORDINATOR_QUEUE_H
#define CX_COORDINATOR_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    double key;
    uint64_t number;
} cx_queued;

typedef struct {
    cx_queued *item; /* the owner's; room for all that is ever pushed at once */
    int n;
} cx_queue;

void cx_queue_push(cx_queue *q, double key, uint64_t number);
/* The first one, which stays; NULL: none. */
const cx_queued *cx_queue_first(const cx_queue *q);
void cx_queue_pop(cx_queue *q); /* takes the first one off */

#endif
