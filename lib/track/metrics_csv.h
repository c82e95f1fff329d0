/* Metrics streams as a CSV table: what metrics-csv does (fusion-metrics(5), metrics-csv(1)). */
#ifndef FX_TRACK_METRICS_CSV_H
#define FX_TRACK_METRICS_CSV_H

#include "base/live_file.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct fx_csv_run {
    FILE *in;            /* borrowed */
    const char *in_name; /* borrowed: for messages */
    const char *name;    /* borrowed: what stands in the column "run" */
    struct fx_err why;   /* out: FX_EINPUT, what is wrong with this stream */
};

/* Where the table goes: to a descriptor, or into a file that is brought up to date. */
struct fx_csv_out {
    int fd;
    const char *name;          /* borrowed: for messages */
    struct fx_live_file *live; /* borrowed; NULL: to the descriptor */
};

/* fx_metrics_csv: writes the header once the start event of every run has arrived, then the runs
 * one after the other, each up to its end: one row for each event of one kind, as soon as it
 * arrives, with one write.  There are columns for as many experts as the largest run has.
 *   event   in   the kind: "epoch", "step", "eval", "class", "superclass", "bin", "ood",
 *                "corruption", "robustness", "attack" or "end"
 *   n_rows  out  rows written, also after a failure
 * A damaged stream is read up to the damage, the reason is put into its `why`, and the next one is
 * read.  FX_EINPUT when there was one: a line that is no event or lacks a member that the table
 * needs, epochs or steps that do not ascend, anything before start or after end, no end. */
enum fx_status fx_metrics_csv(struct fx_csv_run *runs, size_t n_runs, const char *event,
                              const struct fx_csv_out *out, int64_t *n_rows,
                              struct fx_err *err) FX_MUST_CHECK;

#endif
