/* A metrics stream as a CSV table: what metrics-csv does (fusion-metrics(5), metrics-csv(1)). */
#ifndef FX_TRACK_METRICS_CSV_H
#define FX_TRACK_METRICS_CSV_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

/* fx_metrics_csv: reads events from `in` up to its end and writes the header as soon as the start
 * event is there and a row for every event of one kind as soon as it is there, each with one write.
 *   event   "epoch", "step", "eval" or "end"
 *   n_rows  out: rows written, also on failure
 * FX_EINPUT, "NAME: line 7: why": a line that is no event or lacks a member the table needs, epochs
 * or steps that do not ascend, anything before start or after end, no end. */
enum fx_status fx_metrics_csv(FILE *in, const char *in_name, const char *event, int out_fd,
                              const char *out_name, int64_t *n_rows,
                              struct fx_err *err) FX_MUST_CHECK;

#endif
