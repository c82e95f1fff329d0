/* The sections of the page, and what they are made of; false: short of memory. */
#ifndef FX_TRACK_REPORT_INTERNAL_H
#define FX_TRACK_REPORT_INTERNAL_H

#include "track/report.h"
#include "track/run_scores_internal.h"

extern const char fx_report_style[]; /* the style sheet */

/* The runs that a section is about, in its order. */
struct fx_report_group {
    const struct fx_runs *runs; /* borrowed: all runs */
    const struct fx_run **run;  /* owned: those of the section */
    size_t n;
};

/* Its table of fused runs, one line for each: what they are, what came out, what it took. */
void fx_report_overview(FILE *out, const struct fx_report_group *fused);
/* Its charts of the accuracy of many runs, one for each architecture where there are many. */
bool fx_report_curves(FILE *out, const struct fx_report_group *group);
/* Its section about one run: how it went, its curves, its configuration. */
bool fx_report_run(FILE *out, const struct fx_run *run, size_t number);

/* In it: what fusion-eval measured, where it did: on the test images, and on others. */
bool fx_report_eval(FILE *out, const struct fx_run *run);
void fx_report_robust(FILE *out, const struct fx_run *run);

/* The heads of an event of fusion-eval; the experts from 0.  fx_report_number: NaN where there is
 * none.  fx_report_head: the beginning of a head's row. */
enum { FX_REPORT_FUSED = -2, FX_REPORT_ENSEMBLE = -1 };
double fx_report_number(const json_t *event, int head, const char *name);
void fx_report_head(FILE *out, int head);

/* fx_report_table: up to its first row.  titles: HTML, of each column; NULL ends them. */
void fx_report_table(FILE *out, const char *const *titles);
void fx_report_table_end(FILE *out);

/* Cells and words, shared by the tables and the sections. */
void fx_report_percent(FILE *out, double value, const char *class); /* a table cell; NaN: a dash */
void fx_report_gain(FILE *out, double value);                       /* the same with its sign */
void fx_report_images(FILE *out, const struct fx_scores *scores);   /* a table cell */
void fx_report_duration(FILE *out, double seconds);                 /* "1:02:03" */
void fx_report_state(FILE *out, const struct fx_run *run);
/* The run's name as a link to its section, and its state, unless it is done. */
void fx_report_link(FILE *out, const struct fx_runs *runs, const struct fx_run *run);
/* "resnet18 × multiplicative" */
void fx_report_what(FILE *out, const struct fx_run *run);

#endif
