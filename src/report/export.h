/* The updates of a run (report/run_data.h) in the formats of other programs. */
#ifndef CX_REPORT_EXPORT_H
#define CX_REPORT_EXPORT_H

#include "report/run_data.h"
#include <stddef.h>
#include <stdint.h>

/* Comma-separated values (RFC 4180): a line of names, then a line per update; an empty
 * cell where a number is missing. Columns: those of CX_METRIC_TABLE, then entropy_HEAD of
 * each head. Replaces `path` as a whole. CX_EIO, CX_ENOMEM. */
int cx_export_csv(const cx_run_data *data, const char *path, cx_error *err);

/* A TensorBoard event file DIR/events.out.tfevents.START.coxswain, which it replaces: one
 * scalar per metric (coxswain/NAME, entropy/HEAD) and update, whose step is the update's
 * number and whose time is `start` (seconds since 1970) plus the run's seconds. */
int cx_export_tensorboard(const cx_run_data *data, const char *dir, double start, cx_error *err);

/* CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), as event files have it. */
uint32_t cx_crc32c(const void *data, size_t size);

#endif
