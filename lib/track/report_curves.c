/* The validation accuracy of many runs: in one chart where they are few, else in one for each
 * architecture, all with the same axes. */
#include "track/report_internal.h"

#include "track/html_internal.h"

#include <stdlib.h>
#include <string.h>

enum { CURVES_OF_ONE_CHART = 8 };

static const char *arch_of(const struct fx_run *run)
{
    const char *arch = fx_event_text(run->start, "arch");

    return arch ? arch : "";
}

/* The curve of a run, its x and y in `xy`. */
static void fill_curve(struct fx_curve *curve, const struct fx_run *run, double *xy)
{
    size_t n = json_array_size(run->epochs);

    *curve = (struct fx_curve){ .label = run->name, .x = xy, .y = xy + n, .n = n };
    for (size_t e = 0; e < n; e++) {
        const json_t *epoch = json_array_get(run->epochs, e);
        xy[e] = fx_event_number(epoch, "epoch");
        xy[n + e] = fx_event_number(epoch, "val_accuracy");
    }
}

/* The runs in the order of their charts: an architecture after the other, in which the order of
 * the group stays. */
static void by_arch(const struct fx_run **runs, const struct fx_report_group *group)
{
    size_t n = 0;

    for (size_t i = 0; i < group->n; i++) {
        bool is_known = false;
        for (size_t k = 0; k < i && !is_known; k++)
            is_known = strcmp(arch_of(group->run[k]), arch_of(group->run[i])) == 0;
        for (size_t k = i; k < group->n && !is_known; k++)
            if (strcmp(arch_of(group->run[k]), arch_of(group->run[i])) == 0)
                runs[n++] = group->run[k];
    }
}

static bool write_charts(FILE *out, const struct fx_run *const *runs, struct fx_curve *curves,
                         size_t n)
{
    bool is_one = n <= CURVES_OF_ONE_CHART;
    size_t first = 0;
    bool is_good = true;

    fprintf(out, "<div class=\"charts%s\">\n", is_one ? " one" : "");
    for (size_t i = 0; i < n; i++) {
        fx_curve_look(&curves[i], i - first);
        if (i + 1 < n && (is_one || strcmp(arch_of(runs[i]), arch_of(runs[i + 1])) == 0))
            continue;
        char *caption = NULL;
        if (!is_one && asprintf(&caption, "Validation accuracy, %%: %s", arch_of(runs[i])) < 0) {
            caption = NULL;
            is_good = false;
        }
        const struct fx_chart chart = {
            .caption = caption ? caption : "Validation accuracy, %",
            .curves = curves + first,
            .n_curves = i + 1 - first,
            .fitted = curves,
            .n_fitted = n,
        };
        fx_chart_write(out, &chart);
        free(caption);
        first = i + 1;
    }
    fputs("</div>\n", out);
    return is_good;
}

bool fx_report_curves(FILE *out, const struct fx_report_group *group)
{
    const struct fx_run **runs = malloc(group->n * sizeof(struct fx_run *) + 1);
    struct fx_curve *curves = malloc(group->n * sizeof *curves + 1);
    size_t n_points = 0, at = 0;

    for (size_t i = 0; i < group->n; i++)
        n_points += json_array_size(group->run[i]->epochs);
    double *xy = malloc(2 * n_points * sizeof *xy + 1);
    bool is_good = runs && curves && xy;
    if (is_good && n_points > 0) {
        by_arch(runs, group);
        for (size_t i = 0; i < group->n; i++) {
            fill_curve(&curves[i], runs[i], xy + 2 * at);
            at += json_array_size(runs[i]->epochs);
        }
        is_good = write_charts(out, runs, curves, group->n);
    }
    free(xy);
    free(curves);
    free(runs);
    return is_good;
}
