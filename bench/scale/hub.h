/* Many ranks inside one process, each with a queue: a transport for measuring what the
 * coordinator itself costs. */
#ifndef CX_BENCH_SCALE_HUB_H
#define CX_BENCH_SCALE_HUB_H

#include "wire/transport.h"

/* ends[ranks], each closed for itself; the last one frees the hub. */
int cx_hub_create(int ranks, cx_transport **ends, cx_error *err);

#endif
