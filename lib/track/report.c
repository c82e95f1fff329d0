/* The page: the fused runs first, then experts and single networks, then each run. */
#include "track/report.h"

#include "base/tool.h"
#include "track/html.h"
#include "track/run_scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- small parts ----------------------------------------------------------------------------- */

void fx_report_percent(FILE *out, double value, const char *class)
{
    fprintf(out, "<td%s%s%s>", class != NULL ? " class=\"" : "", class != NULL ? class : "",
            class != NULL ? "\"" : "");
    if (isfinite(value))
        fprintf(out, "%.2f</td>", value);
    else
        fputs("–</td>", out);
}

void fx_report_gain(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, "<td class=\"%s\">%s%.2f</td>", value < 0 ? "down" : "up",
                value < 0 ? "−" : "+", fabs(value));
    else
        fputs("<td>–</td>", out);
}

void fx_report_state(FILE *out, const struct fx_run *run)
{
    const char *state = fx_run_state_name(run->state);

    fprintf(out, "<span class=\"state %s\">%s</span>", state, state);
}

void fx_report_what(FILE *out, const struct fx_run *run)
{
    const char *fusion = fx_event_text(run->start, "fusion");
    const char *expert = fx_event_text(run->start, "expert");

    fx_html_text(out, fx_event_text(run->start, "arch"));
    if (fusion != NULL) {
        fputs(" × ", out);
        fx_html_text(out, fusion);
    } else if (expert != NULL) {
        fputs(strcmp(expert, "all") == 0 ? ", single network on all images" : ", expert ", out);
        if (strcmp(expert, "all") != 0)
            fx_html_text(out, expert);
    }
}

void fx_report_link(FILE *out, const struct fx_runs *runs, const struct fx_run *run)
{
    fprintf(out, "<a href=\"#run-%zu\">", (size_t)(run - runs->run));
    fx_html_name(out, run->name);
    fputs("</a> ", out);
    if (run->state != FX_RUN_DONE)
        fx_report_state(out, run);
}

static void put_name(FILE *out, const struct fx_runs *runs, const struct fx_run *run)
{
    fputs("<tr><td>", out);
    fx_report_link(out, runs, run);
    fputs("<small>", out);
    fx_report_what(out, run);
    fputs("</small></td>", out);
}

static void begin_table(FILE *out, const char *const *titles)
{
    fputs("<div class=\"wide\"><table>\n<thead><tr>", out);
    for (; *titles != NULL; titles++)
        fprintf(out, "<th scope=\"col\">%s</th>", *titles);
    fputs("</tr></thead>\n<tbody>\n", out);
}

static void end_table(FILE *out)
{
    fputs("</tbody></table></div>\n", out);
}

void fx_report_images(FILE *out, const struct fx_scores *scores)
{
    bool is_val = scores->split != NULL && strcmp(scores->split, "val") == 0;

    fputs("<td>", out);
    if (scores->images > 0)
        fprintf(out, "%lld ", (long long)scores->images);
    fx_html_text(out, is_val ? "validation" : scores->split);
    fputs("</td>", out);
}

/* ---- which runs, and their order --------------------------------------------------------------
 */

static bool is_broken(const struct fx_run *run)
{
    return run->start == NULL || run->state == FX_RUN_BROKEN;
}

static bool has_before(const struct fx_run *run)
{
    return run->before != NULL && json_array_size(run->epochs) > 0;
}

/* Measured on the test images first, then by accuracy, then by name. */
static int by_result(const void *a, const void *b)
{
    const struct fx_run *x = *(const struct fx_run *const *)a;
    const struct fx_run *y = *(const struct fx_run *const *)b;
    struct fx_scores u, v;

    fx_scores_final(x, &u);
    fx_scores_final(y, &v);
    int tested = (v.split != NULL && strcmp(v.split, "test") == 0) -
                 (u.split != NULL && strcmp(u.split, "test") == 0);
    if (tested != 0)
        return tested;
    if (isnan(u.fused) != isnan(v.fused))
        return isnan(u.fused) ? 1 : -1;
    if (u.fused < v.fused || u.fused > v.fused)
        return u.fused < v.fused ? 1 : -1;
    return strverscmp(x->name, y->name);
}

/* The runs that are fused, or those that are not. */
static struct fx_report_part part_of(const struct fx_runs *runs, bool is_fused)
{
    struct fx_report_part part = { .runs = runs };

    part.run = malloc(runs->n * sizeof(struct fx_run *) + 1);
    for (size_t i = 0; i < runs->n && part.run != NULL; i++)
        if (!is_broken(&runs->run[i]) && fx_run_is_fusion(&runs->run[i]) == is_fused)
            part.run[part.n++] = &runs->run[i];
    if (is_fused && part.n > 0)
        qsort(part.run, part.n, sizeof part.run[0], by_result);
    return part;
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* Each expert's validation accuracy before the first step and in the best epoch. */
static void put_change(FILE *out, const struct fx_scores *before, const struct fx_scores *after,
                       int n_columns)
{
    for (int k = 0; k < n_columns; k++) {
        if (k < before->n_experts && k < after->n_experts && isfinite(before->expert[k]) &&
            isfinite(after->expert[k]))
            fprintf(out, "<td><s>%.2f →</s> %.2f</td>", before->expert[k], after->expert[k]);
        else
            fputs("<td>–</td>", out);
    }
    fx_report_gain(out, after->expert_mean - before->expert_mean);
    fx_report_images(out, before);
    fputs("</tr>\n", out);
}

static void put_before_after(FILE *out, const struct fx_report_part *fused)
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
    end_table(out);
}

static bool put_lone(FILE *out, const struct fx_report_part *lone)
{
    static const char *const titles[] = { "Run", "Accuracy", "Calibration<br>error", "Images",
                                          NULL };
    if (lone->n == 0)
        return true;
    fputs("<h2>Experts and single networks</h2>\n", out);
    begin_table(out, titles);
    for (size_t i = 0; i < lone->n; i++) {
        struct fx_scores scores;
        fx_scores_final(lone->run[i], &scores);
        put_name(out, lone->runs, lone->run[i]);
        fx_report_percent(out, scores.fused, "main");
        fx_report_percent(out, scores.ece, NULL);
        fx_report_images(out, &scores);
        fputs("</tr>\n", out);
    }
    end_table(out);
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
        for (size_t e = 0; e < sizeof events / sizeof events[0]; e++) {
            const char *time = fx_event_text(events[e], "timestamp");
            if (!is_broken(run) && time != NULL && (latest == NULL || strcmp(time, latest) > 0))
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
    if (newest(runs) != NULL) {
        fputs("; as of ", out);
        fx_html_text(out, newest(runs));
    }
    fprintf(out, "; fusion-tools %s</p>\n", fx_version);
}

static bool put_sections(FILE *out, const struct fx_report_part *part)
{
    bool is_good = true;

    for (size_t i = 0; i < part->n; i++)
        is_good &= fx_report_run(out, part->run[i], (size_t)(part->run[i] - part->runs->run));
    return is_good;
}

static bool put_parts(FILE *out, const struct fx_runs *runs, const struct fx_report_part *fused,
                      const struct fx_report_part *lone)
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
    struct fx_report_part fused = part_of(runs, true), lone = part_of(runs, false);

    put_head(out, title, runs);
    bool is_good = fused.run != NULL && lone.run != NULL && put_parts(out, runs, &fused, &lone);
    fputs("</body>\n</html>\n", out);
    free(fused.run);
    free(lone.run);
    return is_good;
}
