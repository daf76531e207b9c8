/* The page about a training run, from its files alone, while it runs or afterwards. */
#ifndef CX_REPORT_RUN_PAGE_H
#define CX_REPORT_RUN_PAGE_H

#include "base/error.h"

/* Reads DIR/metrics.jsonl, DIR/episodes.jsonl and, where they are there, DIR/closing.json
 * (the closing table) and DIR/config.yaml; writes one self-contained HTML page to
 * out_path (NULL: DIR/report.html). Lines that cannot be read are counted on the page, a
 * torn last one is passed over. CX_EDATA when there is nothing to report on, CX_EIO. */
int cx_report_run(const char *dir, const char *out_path, cx_error *err);

#endif
