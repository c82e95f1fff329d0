/* The page: the fused runs first, then experts and single networks, then each run. */
#include "track/report_internal.h"

#include "base/tool.h"
#include "track/html_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which runs, and their order ------------------------------------------------------------- */

static bool is_broken(const struct fx_run *run)
{
    return !run->start || run->state == FX_RUN_BROKEN;
}

static bool has_before(const struct fx_run *run)
{
    return run->before && json_array_size(run->epochs) > 0;
}

/* Measured on the test images first, then by accuracy, then by name. */
static int by_result(const void *a, const void *b)
{
    const struct fx_run *x = *(const struct fx_run *const *)a;
    const struct fx_run *y = *(const struct fx_run *const *)b;
    struct fx_scores u, v;

    fx_scores_final(x, &u);
    fx_scores_final(y, &v);
    int tested =
        (v.split && strcmp(v.split, "test") == 0) - (u.split && strcmp(u.split, "test") == 0);
    if (tested != 0)
        return tested;
    if (isnan(u.fused) != isnan(v.fused))
        return isnan(u.fused) ? 1 : -1;
    if (u.fused < v.fused || u.fused > v.fused)
        return u.fused < v.fused ? 1 : -1;
    return strverscmp(x->name, y->name);
}

/* The runs that are fused, or those that are not. */
static struct fx_report_group group_of(const struct fx_runs *runs, bool is_fused)
{
    struct fx_report_group group = { .runs = runs };

    group.run = malloc(runs->n * sizeof(struct fx_run *) + 1);
    for (size_t i = 0; i < runs->n && group.run; i++)
        if (!is_broken(&runs->run[i]) && fx_run_is_fusion(&runs->run[i]) == is_fused)
            group.run[group.n++] = &runs->run[i];
    if (is_fused && group.n > 0)
        qsort(group.run, group.n, sizeof *group.run, by_result);
    return group;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void put_name(FILE *out, const struct fx_runs *runs, const struct fx_run *run)
{
    fputs("<tr><td>", out);
    fx_report_link(out, runs, run);
    fputs("<small>", out);
    fx_report_what(out, run);
    fputs("</small></td>", out);
}

/* Each expert's validation accuracy before the first step and in the best epoch. */
static void put_change(FILE *out, const struct fx_scores *before, const struct fx_scores *after,
                       int n_columns)
{
    for (int k = 0; k < n_columns; k++) {
        const struct fx_expert_scores *old = &before->experts, *new = &after->experts;
        if (k < old->n && k < new->n &&isfinite(old->of[k]) && isfinite(new->of[k]))
            fprintf(out, "<td><s>%.2f →</s> %.2f</td>", old->of[k], new->of[k]);
        else
            fputs("<td>–</td>", out);
    }
    fx_report_gain(out, after->experts.mean - before->experts.mean);
    fx_report_images(out, before);
    fputs("</tr>\n", out);
}

static void put_before_after(FILE *out, const struct fx_report_group *fused)
{
    int n_columns = 0;

    for (size_t i = 0; i < fused->n; i++)
        if (has_before(fused->run[i]) && fused->run[i]->n_experts > n_columns)
            n_columns = fused->run[i]->n_experts;
    if (n_columns == 0)
        return;
    fputs("<h2>Experts before and after</h2>\n<p class=\"soft\">Accuracy of each expert alone on "
          "the validation images, in percent, before the first step and in the best epoch.</p>\n"
          "<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">Run</th>",
          out);
    for (int k = 0; k < n_columns; k++)
        fprintf(out, "<th scope=\"col\">Expert %d</th>", k);
    fputs("<th scope=\"col\">Mean<br>change</th><th scope=\"col\">Images</th></tr></thead>\n"
          "<tbody>\n",
          out);
    for (size_t i = 0; i < fused->n; i++) {
        struct fx_scores before, after;
        if (!has_before(fused->run[i]))
            continue;
        fx_scores_before(fused->run[i], &before);
        fx_scores_best_epoch(fused->run[i], &after);
        put_name(out, fused->runs, fused->run[i]);
        put_change(out, &before, &after, n_columns);
    }
    fx_report_table_end(out);
}

static bool put_lone(FILE *out, const struct fx_report_group *lone)
{
    static const char *const titles[] = { "Run", "Accuracy", "Calibration<br>error", "Images",
                                          NULL };
    if (lone->n == 0)
        return true;
    fputs("<h2>Experts and single networks</h2>\n", out);
    fx_report_table(out, titles);
    for (size_t i = 0; i < lone->n; i++) {
        struct fx_scores scores;
        fx_scores_final(lone->run[i], &scores);
        put_name(out, lone->runs, lone->run[i]);
        fx_report_percent(out, scores.fused, "main");
        fx_report_percent(out, scores.ece, NULL);
        fx_report_images(out, &scores);
        fputs("</tr>\n", out);
    }
    fx_report_table_end(out);
    return fx_report_curves(out, lone);
}

static void put_broken(FILE *out, const struct fx_runs *runs)
{
    size_t n = 0;

    for (size_t i = 0; i < runs->n; i++)
        n += runs->run[i].state == FX_RUN_BROKEN;
    if (n == 0)
        return;
    fputs("<h2>Not readable</h2>\n<ul>\n", out);
    for (size_t i = 0; i < runs->n; i++)
        if (runs->run[i].state == FX_RUN_BROKEN) {
            fputs("<li>", out);
            fx_html_text(out, runs->run[i].why.msg);
            fputs("</li>\n", out);
        }
    fputs("</ul>\n", out);
}

/* ---- the page -------------------------------------------------------------------------------- */

/* The newest moment that any run tells of: the page is as old as its newest number. */
static const char *newest(const struct fx_runs *runs)
{
    const char *latest = NULL;

    for (size_t i = 0; i < runs->n; i++) {
        const struct fx_run *run = &runs->run[i];
        const json_t *events[] = { run->start, run->before, run->eval, fx_run_last_epoch(run),
                                   run->end };
        for (size_t e = 0; e < sizeof events / sizeof *events; e++) {
            const char *time = fx_event_text(events[e], "timestamp");
            if (!is_broken(run) && time && (!latest || strcmp(time, latest) > 0))
                latest = time;
        }
    }
    return latest;
}

static void put_head(FILE *out, const char *title, const struct fx_runs *runs)
{
    size_t n_done = 0;

    for (size_t i = 0; i < runs->n; i++)
        n_done += runs->run[i].state == FX_RUN_DONE;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          out);
    fx_html_text(out, title);
    fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>", fx_report_style);
    fx_html_text(out, title);
    fprintf(out, "</h1>\n<p class=\"soft\">%zu %s, %zu done", runs->n,
            runs->n == 1 ? "run" : "runs", n_done);
    if (newest(runs)) {
        fputs("; as of ", out);
        fx_html_text(out, newest(runs));
    }
    fprintf(out, "; fusion-tools %s</p>\n", fx_version);
}

static bool put_sections(FILE *out, const struct fx_report_group *group)
{
    bool is_good = true;

    for (size_t i = 0; i < group->n; i++)
        is_good &= fx_report_run(out, group->run[i], (size_t)(group->run[i] - group->runs->run));
    return is_good;
}

static bool put_groups(FILE *out, const struct fx_runs *runs, const struct fx_report_group *fused,
                       const struct fx_report_group *lone)
{
    fx_report_overview(out, fused);
    bool is_good = fx_report_curves(out, fused);
    put_before_after(out, fused);
    is_good &= put_lone(out, lone);
    put_broken(out, runs);
    if (fused->n + lone->n > 0)
        fputs("<h2>Each run</h2>\n", out);
    is_good &= put_sections(out, fused);
    return put_sections(out, lone) && is_good;
}

bool fx_report_write(FILE *out, const char *title, const struct fx_runs *runs)
{
    struct fx_report_group fused = group_of(runs, true), lone = group_of(runs, false);

    put_head(out, title, runs);
    bool is_good = fused.run && lone.run && put_groups(out, runs, &fused, &lone);
    fputs("</body>\n</html>\n", out);
    free(fused.run);
    free(lone.run);
    return is_good;
}
